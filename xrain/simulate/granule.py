"""Whole granules: what a sensor sees over rain that is known, written like the archive's.

The scene lies on a plane that follows the swath; each group of channels looks at it along its
own scan, so groups differ in position and angle as the instrument's do.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

import xrain.simulate.track as tr
from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.io.truth import radar_path, require_same_seed, truth_path
from xrain.io.write_l1c import granule_path, write_l1c
from xrain.sensors import Sensor, get_sensor
from xrain.simulate.block_columns import scene_columns
from xrain.simulate.climate import draw_state, season_of
from xrain.simulate.forward import ForwardModel
from xrain.simulate.instrument import add_noise, receive
from xrain.simulate.orbit import Orbit, inclination_of, orbit_over
from xrain.simulate.parameters import Parameters, default_parameters, differences
from xrain.simulate.radar import write_radar_granule
from xrain.simulate.rain import (
    RainGrid,
    StormParameters,
    convective_share,
    stochastic_rain,
    storm_warmth,
)
from xrain.simulate.rain_maps import RainMap, open_rain_map, place_map, sample_map
from xrain.simulate.scenes import Place, Scene, draw_place, draw_scene
from xrain.simulate.swath_group import geometry_group
from xrain.simulate.truth import write_truth
from xrain.simulate.view import View, lay_out

__all__ = ["simulate_granule"]

Array = NDArray[np.float64]

_NOON = np.datetime64("2020-07-01T12:00", "ns")
_LENGTH = 2000.0  # km along the track without a rain file
_LONGEST = 6000.0


def simulate_granule(
    sensor: str | Sensor,
    path: str | os.PathLike[str],
    *,
    rain: str | os.PathLike[str] | xr.Dataset | xr.DataArray | RainMap | None = None,
    time: int | str | np.datetime64 | None = None,
    surface: str | None = None,
    seed: int = 0,
    scans: int | None = None,
    platform: str | None = None,
    place: tuple[float, float] | None = None,
    start: np.datetime64 | None = None,
    ascending: bool = True,
    orbit_number: int | None = None,
    with_radar: bool = False,
    spacing: float | None = None,
    noise: bool = True,
    parameters: Parameters | None = None,
    device: torch.device | str = "cpu",
) -> Path:
    """Simulate a granule over known rain and write it with its truth beside it.

    Two radiometers see the same storm if both are given one rain map, place, start and seed: the
    weather around it is then drawn alike, its smallest variations on each one's own grid.

    Parameters
    ----------
    sensor : str or Sensor
        The instrument.
    path : path-like
        File to write: HDF5, or netCDF-4 if it ends in ``.nc`` or ``.nc4``; an existing directory
        gets a file with the archive's own name.
    rain : path-like, Dataset, DataArray or RainMap, optional
        Rain field (see `xrain.simulate.rain_maps.open_rain_map`); a stochastic storm drawn from
        `seed` by default.
    time : int, str or datetime64, optional
        Which time of the rain field; the first by default.
    surface : {"ocean", "land"}, optional
        Surface everywhere; by default the packaged land mask tells. A rain field without
        positions needs it, or a place.
    seed : int
        Seed of everything that is drawn.
    scans : int, optional
        Scans of the reference swath; by default enough for the rain field, or 2000 km.
    platform : str, optional
        Satellite as in L1C headers; the sensor's first by default. Over a rain field beyond the
        reach of its orbit it flies with a higher inclination.
    place : (float, float), optional
        Latitude and longitude of the middle; by default that of the rain, else drawn.
    start : numpy.datetime64, optional
        UTC at the middle; by default that of the rain, else noon of 1 July 2020.
    ascending : bool
        Whether the spacecraft flies north.
    orbit_number : int, optional
        Granule number; by default 1 more than the seed, so that in a folder granules of several
        seeds have names of their own.
    with_radar : bool
        Also write a radar granule (2A-DPR layout) over the same rain, for GMI and TMI.
    spacing : float, optional
        Grid spacing in km; by default that of the pixels along the scan, within 4 to 8 km.
    noise : bool
        Whether to add the channels' noise.
    parameters : Parameters, optional
        Physics of columns; the fitted one by default. What differs stands in the granule's record.
    device : torch.device or str
        Where columns are simulated.

    Returns
    -------
    Path
        The granule; its truth is at `truth_path`, the radar at `radar_path`.

    Raises
    ------
    InputError
        If an argument or the rain field cannot be used, or a granule of another seed or an
        observed one is in the place of the file.
    OutputError
        If a file cannot be written.

    See Also
    --------
    xrain.simulate.forward.ForwardModel : Brightness temperatures of columns.
    xrain.open_l1c : Read the granule.
    xrain.testing.write_fake_l1c : A granule without physics, in no time.

    Examples
    --------
    >>> import xarray as xr
    >>> import xrain
    >>> from xrain.io.truth import truth_path
    >>> granule = xrain.simulate_granule("mhs", "storm.HDF5", scans=24, seed=3)
    >>> with xr.open_dataset(truth_path(granule), engine="h5netcdf") as truth:
    ...     truth["surface_precip"].sizes["scan"]
    24
    """
    sensor = get_sensor(sensor) if isinstance(sensor, str) else sensor
    platform = platform or next(iter(sensor.platforms))
    _check(sensor, surface, scans, with_radar)
    require_same_seed(path, str(seed))  # before anything is computed
    orbit_number = 1 + seed % 999_999 if orbit_number is None else orbit_number
    rng = np.random.default_rng(seed)
    storm = _rain_map(rain, time)
    if storm is not None and storm.to_map is None and surface is None and place is None:
        raise InputError(
            "the rain field has no positions, so its surface is unknown: "
            "give surface='ocean' or 'land', or a place"
        )
    centre = place or _centre(storm, sensor, platform, surface, rng)
    if storm is not None and storm.to_map is None:
        storm = place_map(storm, *centre)
    when = start if start is not None else _when(storm)
    count = _scans(sensor, scans, storm)
    orbit = _orbit(sensor, platform, centre, when, count, ascending, storm is not None)
    view = lay_out(sensor, platform, orbit, count, spacing)
    scene = _scene(view, storm, centre, surface, rng)
    seen = _observe(view, scene, parameters, device)
    if noise:
        seen = {name: add_noise(tb, sensor.swath_channels(name), rng) for name, tb in seen.items()}
    written = _write(path, view, seen, orbit_number, seed, storm, parameters)
    rain_field = "" if storm is None else storm.name
    write_truth(truth_path(written), view, scene, written.name, seed, rain_field)
    if with_radar:
        write_radar_granule(
            radar_path(written), sensor, platform, view.orbit, _passing(view), scene,
            (float(view.x[0]), float(view.y[0])), orbit_number=orbit_number, seed=seed,
        )  # fmt: skip
    return written


def _check(sensor: Sensor, surface: str | None, scans: int | None, with_radar: bool) -> None:
    if surface not in {None, "ocean", "land"}:
        raise InputError(f"surface={surface!r}: use 'ocean' or 'land', or leave it out")
    if scans is not None and scans < 2:
        raise InputError(f"scans={scans}: at least 2 are needed")
    if with_radar and sensor.name not in {"GMI", "TMI"}:
        raise InputError(f"{sensor.name} never flew beside a radar; only GMI and TMI did")


def _rain_map(
    rain: str | os.PathLike[str] | xr.Dataset | xr.DataArray | RainMap | None,
    time: int | str | np.datetime64 | None,
) -> RainMap | None:
    if rain is None or isinstance(rain, RainMap):
        return rain
    return open_rain_map(rain, time)


def _when(storm: RainMap | None) -> np.datetime64:
    if storm is None or storm.time is None:
        return _NOON
    return storm.time


def _centre(
    storm: RainMap | None,
    sensor: Sensor,
    platform: str,
    surface: str | None,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Middle of the observed rain, or a place that the orbit reaches."""
    if storm is not None and storm.to_earth is not None:
        weight = np.nan_to_num(storm.rate) + 1e-3 * np.isfinite(storm.rate)
        y = float((weight.sum(axis=1) * storm.y).sum() / weight.sum())
        x = float((weight.sum(axis=0) * storm.x).sum() / weight.sum())
        lat, lon = storm.to_earth(np.array([y]), np.array([x]))
        return float(lat[0]), float(lon[0])
    inclination = inclination_of(platform, sensor.altitude)
    reach = min(inclination, 180 - inclination) - 3.0
    wanted = surface or "ocean"
    for _ in range(200):
        drawn = draw_place(rng, wanted)
        if abs(drawn.latitude) < reach:
            return drawn.latitude, drawn.longitude
    return 0.0, drawn.longitude


def _scans(sensor: Sensor, scans: int | None, storm: RainMap | None) -> int:
    if scans is not None:
        return scans
    length = _LENGTH if storm is None else min(max(storm.extent), _LONGEST)
    group = sensor.swath(sensor.reference_swath)
    speed = Orbit(sensor.altitude, 0.0, 0.0, 0.0, _NOON).ground_speed
    return max(2, round(length / (speed * group.scan_period)))


def _orbit(
    sensor: Sensor,
    platform: str,
    centre: tuple[float, float],
    when: np.datetime64,
    scans: int,
    ascending: bool,
    stretch: bool,
) -> Orbit:
    half = 0.5 * (scans - 1) * sensor.swath(sensor.reference_swath).scan_period
    begin = when.astype("datetime64[ns]") - np.timedelta64(round(half * 1e3), "ms")
    return orbit_over(sensor, platform, begin, scans, *centre, ascending=ascending, stretch=stretch)


def _scene(
    view: View,
    storm: RainMap | None,
    centre: tuple[float, float],
    surface: str | None,
    rng: np.random.Generator,
) -> Scene:
    lat, lon = (
        a.astype(np.float32) for a in tr.to_earth(view.orbit, view.x[None, :], view.y[:, None])
    )
    season = season_of(view.orbit.start)
    if storm is None:
        warmth = storm_warmth(centre[0])
        parameters = replace(
            StormParameters.draw(rng, warmth),
            wet_fraction=float(rng.uniform(0.12, 0.3)),
            outer_scale=float(rng.uniform(250, 400)),
        )
        rain = stochastic_rain(view.shape, view.spacing, seed=rng, parameters=parameters)
        rain = replace(rain, latitude=lat, longitude=lon)
    else:
        rate = sample_map(storm, lat, lon)
        share = convective_share(rate, view.spacing)
        rain = RainGrid(rate, share, view.spacing, lat, lon)
        if not np.isfinite(rate).any():
            raise InputError("the swath misses the rain field; give a place within it")
    prevailing = _prevailing(surface, lat, lon, centre[0], season, rng)
    return draw_scene(rain, rng, place=Place(*centre, 0.0, prevailing, season), surface=surface)


def _prevailing(
    surface: str | None,
    lat: NDArray[np.float32],
    lon: NDArray[np.float32],
    latitude: float,
    season: float,
    rng: np.random.Generator,
) -> str:
    """Find what surface and climate prevail, with snow or ice where it freezes."""
    land = surface == "land"
    if surface is None:
        land = float(land_fraction(lat[::8, ::8], lon[::8, ::8]).mean()) > 0.5
    kind = "land" if land else "ocean"
    known = {"latitude": latitude, "season": season}
    cold = draw_state(kind, False, rng, known).t2m < (272.0 if land else 266.0)
    return ("snow" if land else "ice") if cold and surface is None else kind


def _observe(
    view: View, scene: Scene, parameters: Parameters | None, device: torch.device | str
) -> dict[str, NDArray[np.float32]]:
    """Brightness temperatures of every group, without noise."""
    sensor = view.sensor
    model = ForwardModel(sensor.channels, parameters=parameters, device=device)
    tb = scene_columns(scene, model, view.incidence_angle(), chosen=view.needed())
    out = {}
    for group in sensor.swaths:
        indices = [i for i, c in enumerate(sensor.channels) if c.swath == group.name]
        channels = sensor.swath_channels(group.name)
        planes = [view.planes[group.name]] * len(channels)
        out[group.name] = receive(tb[:, :, indices], view.spacing, sensor, channels, planes)
    return {name: t.cpu().numpy() for name, t in out.items()}


def _write(
    path: str | os.PathLike[str],
    view: View,
    seen: dict[str, NDArray[np.float32]],
    orbit_number: int,
    seed: int,
    storm: RainMap | None,
    parameters: Parameters | None,
) -> Path:
    from importlib.metadata import version

    groups = {
        name: geometry_group(view.geometries[name], view.sensor.swath_channels(name), tb)
        for name, tb in seen.items()
    }
    target = granule_path(path, view.sensor, view.platform, orbit_number, groups)
    require_same_seed(target, str(seed))
    record = {
        "Generator": f"xrain {version('xrain')}",
        "Rain": "stochastic storm" if storm is None else "rain field",
        "Seed": str(seed),
        "OrbitInclination": f"{view.orbit.inclination:.1f}",
        "Physics": _physics(parameters),
    }
    return write_l1c(
        target,
        sensor=view.sensor,
        platform=view.platform,
        orbit=orbit_number,
        groups=groups,
        simulation=record,
    )


def _physics(parameters: Parameters | None) -> str:
    """Name every number that differs from the fitted ones."""
    changed = [] if parameters is None else differences(parameters, default_parameters())
    return " ".join(changed) or "fitted"


def _passing(view: View) -> float:
    """Seconds until the spacecraft has passed over all that the imager saw ahead of it."""
    return float(view.y[-1]) / view.orbit.ground_speed
