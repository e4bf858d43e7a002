"""Scenes: rain with everything around it that a radiometer sees.

A scene lays over a rain field the smooth fields of temperature, vapour, cloud and wind, the
surface from the packaged land mask, and the named unknowns of the forward model as spatially
correlated fields.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, special

from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.geo.projection import azimuthal_equidistant
from xrain.simulate.climate import State, draw_state, saturated_column, spread
from xrain.simulate.environment import EMISSIVITY_MODES, LAND, OCEAN, SEA_ICE, SNOW, Environment
from xrain.simulate.parameters import default_parameters
from xrain.simulate.profiles import VIRGA, convective_share
from xrain.simulate.rain import WET, Field, RainGrid, gaussian_field

__all__ = ["Place", "Scene", "draw_place", "draw_scene", "place_grid"]

_SURFACES = ("ocean", "land", "snow", "ice")
_ABUNDANCE = (0.58, 0.30, 0.06, 0.06)
_WHERE_IT_RAINS = 0.7  # share of places drawn from where it rains, the rest from anywhere
_COASTS = 0.3  # share of the scenes over land or sea that look for a coast

# Correlation length in km of each unknown, how much of its variance a whole scene shares, and the
# exponent of its spectrum. Ice, depth and kind of rain are correlated as along real transects: the
# ice of columns of like rain by .66 over 5 km, .53 over 10, .41 over 20 and .22 over 100; humidity
# aloft follows air masses.
_UNKNOWNS = {
    "ice": (60.0, 0.3, 2.5),
    "rain_top": (60.0, 0.3, 2.5),
    "kind": (60.0, 0.2, 2.5),
    "dsd": (30.0, 0.35, 3.5),
    "cloud": (40.0, 0.3, 3.5),
    "humidity_aloft": (300.0, 0.5, 3.5),
    "scale": (30.0, 0.35, 3.5),
}
_EMISSIVITY = (40.0, 0.5, 3.5)


@dataclass(frozen=True)
class Place:
    """Where a scene lies.

    Attributes
    ----------
    latitude, longitude : float
        Its centre in degrees.
    rotation : float
        Direction of the grid's y axis, degrees clockwise from north.
    surface : str
        What prevails: ``"ocean"``, ``"land"``, ``"snow"`` or ``"ice"``.
    season : float
        Cosine of the year's angle, 1 in July.
    """

    latitude: float
    longitude: float
    rotation: float
    surface: str
    season: float


@dataclass(frozen=True)
class Scene:
    """Fields on one grid, all (y, x) float32.

    Attributes
    ----------
    rain : RainGrid
        The rain with its spacing; NaN rates were not observed and count as dry here.
    variables : dict of str to array
        Variables of `Environment` by name.
    emissivity : array
        (y, x, mode) deviates of the emissivity modes.
    """

    rain: RainGrid
    variables: dict[str, Field]
    emissivity: Field

    def environment(
        self, chosen: NDArray[np.bool_] | None = None, device: torch.device | str = "cpu"
    ) -> Environment:
        """Columns of the scene for the forward model, in row order.

        Parameters
        ----------
        chosen : array of bool, optional
            (y, x) columns wanted; all by default.
        device : torch.device or str
            Where the tensors shall live.
        """
        pick = slice(None) if chosen is None else chosen.ravel()
        values: dict[str, Any] = {
            name: torch.from_numpy(np.ascontiguousarray(field.reshape(-1)[pick])).to(device)
            for name, field in self.variables.items()
        }
        modes = self.emissivity.reshape(-1, self.emissivity.shape[-1])[pick]
        return Environment.derive(
            emissivity=torch.from_numpy(np.ascontiguousarray(modes)).to(device),
            device=device,
            **values,
        )


def place_grid(
    shape: tuple[int, int], spacing: tuple[float, float], place: Place
) -> tuple[Field, Field]:
    """Latitude and longitude of a grid laid flat around a place.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    spacing : tuple of float
        Distance of rows and columns in km.
    place : Place
        Centre and direction of the grid.

    Returns
    -------
    latitude, longitude : array
        Degrees; azimuthal equidistant on the mean sphere.
    """
    y = (np.arange(shape[0]) - 0.5 * (shape[0] - 1)) * spacing[0]
    x = (np.arange(shape[1]) - 0.5 * (shape[1] - 1)) * spacing[1]
    turn = np.radians(place.rotation)
    north = y[:, None] * np.cos(turn) - x[None, :] * np.sin(turn)
    east = y[:, None] * np.sin(turn) + x[None, :] * np.cos(turn)
    _, to_earth = azimuthal_equidistant(place.latitude, place.longitude)
    lat, lon = to_earth(north, east)
    return lat.astype(np.float32), ((lon + 180) % 360 - 180).astype(np.float32)


def draw_place(rng: np.random.Generator, surface: str | None = None) -> Place:
    """Draw a place with the climate of its surface.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    surface : str, optional
        ``"ocean"``, ``"land"``, ``"snow"`` or ``"ice"``; drawn by default.

    Raises
    ------
    InputError
        If there is no such surface.
    """
    if surface is None:
        surface = str(rng.choice(_SURFACES, p=_ABUNDANCE))
    if surface not in _SURFACES:
        raise InputError(f"unknown surface {surface!r}: use {', '.join(_SURFACES)}")
    state = draw_state(surface, bool(rng.random() < _WHERE_IT_RAINS), rng)
    longitudes = rng.uniform(-180, 180, 48)
    near = land_fraction(state.latitude + rng.uniform(-2, 2, 48), longitudes)
    fits = near > 0.5 if surface in {"land", "snow"} else near < 0.5
    if rng.random() < _COASTS:
        rim = land_fraction(
            np.clip(state.latitude + np.array([[-1.5], [1.5], [0], [0]]), -89, 89),
            longitudes + np.array([[0], [0], [-1.5], [1.5]]),
        )
        coast = fits & (np.ptp(rim, axis=0) > 0.5)
        fits = coast if coast.any() else fits
    longitude = longitudes[np.argmax(fits)]
    rotation = float(rng.uniform(0, 360))
    return Place(state.latitude, float(longitude), rotation, surface, state.season)


def draw_scene(
    rain: RainGrid,
    rng: np.random.Generator,
    *,
    place: Place | None = None,
    surface: str | None = None,
) -> Scene:
    """Lay a whole scene around a rain field.

    Parameters
    ----------
    rain : RainGrid
        The rain; its own positions are used where it has any.
    rng : numpy.random.Generator
        Source of chance.
    place : Place, optional
        Where the scene lies; drawn by default.
    surface : str, optional
        ``"ocean"`` or ``"land"`` everywhere, instead of the land mask.

    Returns
    -------
    Scene

    See Also
    --------
    xrain.simulate.forward.ForwardModel : Brightness temperatures of it.
    """
    place = place or draw_place(rng, surface)
    lat, lon = rain.latitude, rain.longitude
    if lat is None or lon is None:
        lat, lon = place_grid(rain.rate.shape, rain.spacing, place)
    land = _land(lat, lon, surface)
    known = {"latitude": place.latitude, "season": place.season}
    wet = draw_state(place.surface, True, rng, known)
    raining = bool((np.nan_to_num(rain.rate) >= WET).any())
    # Air around rain is akin to that in it; where it does not rain at all it may be any.
    dry = draw_state(place.surface, False, rng, known | ({"t2m": wet.t2m} if raining else {}))
    rain = replace(rain, latitude=lat, longitude=lon)
    variables = _smooth_fields(rain, wet, dry, land, rng)
    rate = np.nan_to_num(rain.rate).astype(np.float32)
    variables |= {"rain_rate": rate, "rain_aloft": _rain_aloft(rain, rng), "land_fraction": land}
    variables["convective_fraction"] = _convective(rain, variables)
    variables["surface"] = _surface_class(land, variables["t2m"], place.surface, rain.spacing, rng)
    variables |= _unknown_fields(rain, rng)
    needs_modes = bool((land > 0).any() or (variables["surface"] != OCEAN).any())
    modes = (
        _emissivity(rain, rng)
        if needs_modes
        else np.zeros((*land.shape, EMISSIVITY_MODES), np.float32)
    )
    return Scene(rain, variables, modes)


def _land(lat: Field, lon: Field, surface: str | None) -> Field:
    if surface in {"ocean", "ice"}:
        return np.zeros(lat.shape, np.float32)
    if surface in {"land", "snow"}:
        return np.ones(lat.shape, np.float32)
    return land_fraction(lat, lon)


def _noise(rain: RainGrid, scale: float, rng: np.random.Generator, exponent: float = 4.0) -> Field:
    return gaussian_field(rain.rate.shape, rain.spacing, 3.0 * scale, exponent, rng)


def _poleward(latitude: Field) -> Field:
    """Cooling away from the tropics relative to the scene's mean, 0.5 K per degree."""
    beyond = np.maximum(np.abs(latitude), 20.0)
    return np.asarray(0.5 * (beyond.mean() - beyond), np.float32)


def _smooth_fields(
    rain: RainGrid, wet: State, dry: State, land: Field, rng: np.random.Generator
) -> dict[str, Field]:
    """Temperature, vapour, cloud and wind, leaning to the raining state where it rains."""
    rate = np.nan_to_num(rain.rate).astype(np.float32)
    latitude = np.zeros_like(rate) if rain.latitude is None else rain.latitude
    sigma = [35.0 / d for d in rain.spacing]
    weight = ndimage.gaussian_filter((rate >= WET).astype(np.float32), sigma, mode="wrap")
    weight = np.clip(2.5 * weight, 0, 1)

    def blend(name: str) -> Field:
        low, high = getattr(dry, name), getattr(wet, name)
        return np.asarray(low + (high - low) * weight, np.float32)

    t2m = blend("t2m") + 0.8 * _noise(rain, 150.0, rng) + _poleward(latitude)
    excess = blend("skin_excess")
    # Off the prevailing surface the skin is taken near the air: no state of it was drawn.
    other = 1 - land if land.mean() > 0.5 else land
    excess = excess * (1 - other) + 0.7 * _noise(rain, 60.0, rng) * (0.3 + land)
    log_vapour = blend("log_humidity") + spread("vapor") * _noise(rain, 200.0, rng)
    vapour = np.exp(np.clip(log_vapour, -4, 0.2)) * saturated_column(t2m)
    liquid = np.exp(blend("log_cloud_liquid") + 0.7 * _noise(rain, 50.0, rng)) - 1e-3
    ice = np.exp(blend("log_cloud_ice") + 0.7 * _noise(rain, 60.0, rng)) - 1e-3
    gust = ndimage.gaussian_filter(rain.convective * (rate > 5), [10.0 / d for d in rain.spacing])
    wind = blend("sqrt_wind") ** 2 + spread("wind") * _noise(rain, 150.0, rng) + 6.0 * gust
    elevation = np.clip(np.exp(blend("log_elevation") + 0.4 * _noise(rain, 60.0, rng)), 0, 3)
    lapse = default_parameters().atmosphere.lapse_rate
    freezing = (t2m - 273.15) / lapse + 0.2 * _noise(rain, 150.0, rng)
    fields = {
        "t2m": np.clip(t2m, 222, 320),
        "skin_temperature": np.clip(t2m + excess, 215, 335),
        "water_vapour": np.clip(vapour, 0.3, 78),
        "cloud_liquid": np.clip(liquid, 0, 2.5),
        "cloud_ice": np.clip(ice, 0, 2.5),
        "wind_speed": np.clip(wind, 0.2, 35),
        "elevation": np.where(land > 0, np.maximum(elevation - 0.02, 0) * land, 0),
        "freezing_level": np.clip(freezing, 0, 5.8),
    }
    return {name: np.asarray(field, np.float32) for name, field in fields.items()}


def _rain_aloft(rain: RainGrid, rng: np.random.Generator) -> Field:
    """Rates that go with profiles: of dry cells near rain some have precipitation aloft.

    Along real transects 40 % of the dry pixels 5 km along the track from rain have any, 22 % of
    those at 10 km and 8 % of those at 30 km. Rain beside the track may be nearer: in fields of
    the generator this decay, in km from any rain, gives 45, 20 and 5 %.
    """
    rate = np.nan_to_num(rain.rate).astype(np.float32)
    dry = rate < WET
    far = float(np.hypot(*(n * d for n, d in zip(rate.shape, rain.spacing, strict=True))))
    distance = ndimage.distance_transform_edt(dry, rain.spacing) if not dry.all() else far
    chance = 0.45 * np.exp((5.0 - np.maximum(distance, 5.0)) / 3.0)
    there = special.ndtr(_shared(rain, 60.0, 0.2, 2.5, rng)) < chance
    return np.where((rate <= 0) & there, np.float32(VIRGA), rate)


def _convective(rain: RainGrid, variables: dict[str, Field]) -> Field:
    """Share of convective rain, from the field's texture and from real columns alike."""
    rate, level, land = (
        torch.from_numpy(np.ascontiguousarray(variables[n], np.float32))
        for n in ("rain_rate", "freezing_level", "land_fraction")
    )
    share = convective_share(rate, level, land).numpy()
    return np.asarray(np.clip(0.6 * share + 0.4 * rain.convective, 0, 1), np.float32)


def _surface_class(
    land: Field,
    t2m: Field,
    prevailing: str,
    spacing: tuple[float, float],
    rng: np.random.Generator,
) -> Field:
    surface = np.where(land > 0.5, LAND, OCEAN)
    if prevailing in {"snow", "ice"}:
        patches = t2m + 1.5 * gaussian_field(land.shape, spacing, 120.0, 4.0, rng)
        surface = np.where((land > 0.5) & (patches < 275.0), SNOW, surface)
        surface = np.where(
            (land <= 0.5) & (patches < 271.5) & (prevailing == "ice"), SEA_ICE, surface
        )
    return surface.astype(np.float32)


def _shared(
    rain: RainGrid, scale: float, common: float, exponent: float, rng: np.random.Generator
) -> Field:
    """Draw a field of standard normal deviates of which the whole scene shares a part."""
    field = np.sqrt(1 - common) * _noise(rain, scale, rng, exponent)
    return np.asarray(field + np.sqrt(common) * rng.standard_normal(), np.float32)


def _unknown_fields(rain: RainGrid, rng: np.random.Generator) -> dict[str, Field]:
    out = {name: _shared(rain, *how, rng) for name, how in _UNKNOWNS.items()}
    scale = out.pop("scale")
    out["ice_scale"] = np.exp(default_parameters().ice.scale_spread * scale)
    return out


def _emissivity(rain: RainGrid, rng: np.random.Generator) -> Field:
    modes = [_shared(rain, *_EMISSIVITY, rng) for _ in range(EMISSIVITY_MODES)]
    return np.stack(modes, axis=-1)
