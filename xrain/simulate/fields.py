"""Brightness temperatures on a field's own grid, for any channels and any environment."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from xrain.conventions import ATTRIBUTES
from xrain.errors import InputError
from xrain.sensors import Channel, Sensor, get_sensor
from xrain.simulate.climate import season_of
from xrain.simulate.environment import Environment
from xrain.simulate.forward import ForwardModel, mix_polarization
from xrain.simulate.parameters import default_parameters
from xrain.simulate.rain import RainGrid, convective_share
from xrain.simulate.rain_maps import RainMap, open_rain_map
from xrain.simulate.scenes import Place, Scene, draw_scene

__all__ = ["simulate_scene"]

_VARIABLES = tuple(n for n in Environment.__dataclass_fields__ if n not in {"rain_rate"})


def simulate_scene(
    rain_field: str | os.PathLike[str] | xr.Dataset | xr.DataArray | RainMap,
    environment: xr.Dataset | None,
    sensor: str | Sensor | Sequence[Channel],
    *,
    time: int | str | np.datetime64 | None = None,
    surface: str | None = None,
    spacing: float = 4.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> xr.Dataset:
    """Simulate what a sensor's channels see over a rain field, cell by cell.

    Footprints, scan and noise are left to `xrain.simulate.granule.simulate_granule`.

    Parameters
    ----------
    rain_field : path-like, Dataset, DataArray or RainMap
        Rain in mm/h on a grid of known spacing (see `open_rain_map`).
    environment : Dataset or None
        Any variables of `xrain.simulate.environment.Environment` on the grid (y, x) that results
        or as scalars; the others are drawn around the field with their joint statistics.
    sensor : str, Sensor or sequence of Channel
        Which channels.
    time : int, str or datetime64, optional
        Which time of the field; the first by default.
    surface : {"ocean", "land"}, optional
        Surface everywhere; by default the land mask where the field has positions, else ocean.
    spacing : float
        Finer cells are averaged to about this many km.
    seed : int
        Seed of everything that is drawn.
    device : torch.device or str
        Where columns are simulated.

    Returns
    -------
    Dataset
        ``tb`` (y, x, channel) in K at the nominal incidence angle, ``rain_rate`` and the
        variables of the environment.

    Raises
    ------
    InputError
        If a variable is unknown, does not fit the grid, or leaves its physical limits.
    """
    channels = _channels(sensor)
    rain = (
        rain_field
        if isinstance(rain_field, RainMap)
        else open_rain_map(rain_field, time, spacing=spacing)
    )
    scene = _scene(rain, environment, surface, np.random.default_rng(seed))
    model = ForwardModel(channels, device=device)
    with torch.no_grad():
        tb = mix_polarization(
            model(scene.environment(device=device)), [c.polarization for c in channels]
        )
    grid = ("y", "x")
    out = xr.Dataset(
        {
            "tb": ((*grid, "channel"), tb.reshape(*rain.rate.shape, -1).cpu().numpy()),
            **{name: (grid, field) for name, field in scene.variables.items()},
        },
        coords={
            "y": rain.y,
            "x": rain.x,
            "channel": [c.name for c in channels],
            "frequency": ("channel", [c.frequency for c in channels]),
            "polarization": ("channel", [c.polarization for c in channels]),
        },
        attrs={"spacing_km": list(rain.spacing), "source": "xrain simulation", "seed": seed},
    )
    if scene.rain.latitude is not None and scene.rain.longitude is not None:
        out = out.assign_coords(
            latitude=(grid, scene.rain.latitude), longitude=(grid, scene.rain.longitude)
        )
    for name in ("tb", "channel", "frequency", "polarization"):
        out[name].attrs = dict(ATTRIBUTES[name])
    out["rain_rate"].attrs = {"units": "mm h-1", "long_name": "rain rate, unobserved as 0"}
    return out


def _channels(sensor: str | Sensor | Sequence[Channel]) -> tuple[Channel, ...]:
    if isinstance(sensor, str):
        sensor = get_sensor(sensor)
    return sensor.channels if isinstance(sensor, Sensor) else tuple(sensor)


def _scene(
    rain: RainMap, environment: xr.Dataset | None, surface: str | None, rng: np.random.Generator
) -> Scene:
    located = rain.to_earth is not None
    lat = lon = None
    if rain.to_earth is not None:
        y, x = np.meshgrid(rain.y, rain.x, indexing="ij")
        lat, lon = (a.astype(np.float32) for a in rain.to_earth(y, x))
    share = convective_share(rain.rate, rain.spacing)
    grid = RainGrid(rain.rate, share, rain.spacing, lat, lon)
    if surface not in {None, "ocean", "land"}:
        raise InputError(f"surface={surface!r}: use 'ocean' or 'land', or leave it out")
    kind = surface or "ocean"
    latitude = float(np.median(lat)) if lat is not None else 30.0
    longitude = float(np.median(lon)) if lon is not None else 0.0
    season = 1.0 if rain.time is None else season_of(rain.time)
    place = Place(latitude, longitude, 0.0, kind, season)
    scene = draw_scene(grid, rng, place=place, surface=surface if located else kind)
    return _replaced(scene, environment) if environment is not None else scene


def _replaced(scene: Scene, environment: xr.Dataset) -> Scene:
    """Put the given variables in the place of the drawn ones."""
    shape = scene.rain.rate.shape
    variables, modes = dict(scene.variables), scene.emissivity
    for name in map(str, environment.data_vars):
        if name not in _VARIABLES:
            raise InputError(
                f"unknown variable of the environment: {name}; known are {', '.join(_VARIABLES)}"
            )
        values = environment[name].values.astype(np.float32)
        if values.shape not in {(), shape} and name != "emissivity":
            raise InputError(
                f"environment variable {name} has shape {values.shape}; the field has {shape}"
            )
        if name == "emissivity":
            modes = np.broadcast_to(values, (*shape, modes.shape[-1])).astype(np.float32)
        else:
            variables[name] = np.broadcast_to(values, shape).astype(np.float32)
    if "t2m" in environment and "freezing_level" not in environment:
        lapse = default_parameters().atmosphere.lapse_rate
        level = np.clip((variables["t2m"] - 273.15) / lapse, 0, 6)
        variables["freezing_level"] = level.astype(np.float32)
    if "t2m" in environment and "skin_temperature" not in environment:
        excess = scene.variables["skin_temperature"] - scene.variables["t2m"]
        variables["skin_temperature"] = variables["t2m"] + excess
    return Scene(scene.rain, variables, modes)
