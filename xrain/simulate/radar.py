"""The precipitation radar beside an imager, over the same simulated rain."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import xrain.simulate.track as tr
from xrain.io.write_radar import RadarSwath, write_2a_radar
from xrain.sensors import Channel, Sensor, SwathGroup
from xrain.simulate.instrument import footprint_average
from xrain.simulate.orbit import Orbit, local_solar_time, scan_geometry
from xrain.simulate.scenes import Scene

__all__ = ["radar_of", "write_radar_granule"]

Array = NDArray[np.float64]

_RAYS = 49
_WIDTH = 5.0  # km, half-power footprint
_LEAST = 0.2  # mm/h, about what 15 dBZ, the radars' threshold, stands for
_SEEN = 0.9


def radar_of(imager: Sensor) -> Sensor:
    """Describe the radar that flies beside an imager.

    DPR's full-scan swath and PR look 17 degrees to either side with 49 rays; a scan takes 0.7 s
    and 0.6 s (JAXA/NASA, GPM DPR Level-2 ATBD V07; Kummerow et al. 1998,
    doi 10.1175/1520-0426(1998)015<0809:TTRMMT>2.0.CO;2).
    """
    name, period = ("PR", 0.6) if imager.name == "TMI" else ("DPR", 0.7)
    frequency = 13.8 if name == "PR" else 13.6
    channel = Channel(f"{frequency}H", frequency, (), "H", 6.0, (_WIDTH, _WIDTH), 0.0, 0.0, "FS")
    return Sensor(
        name=name,
        long_name=f"precipitation radar beside {imager.name}",
        scan_type="cross-track",
        altitude=imager.altitude,
        scan_angle=17.04,
        reference_swath="FS",
        platforms=imager.platforms,
        swaths=(SwathGroup("FS", _RAYS, period, 0.0),),
        channels=(channel,),
        aliases=(),
        sources=(),
    )


def write_radar_granule(
    path: str | os.PathLike[str],
    imager: Sensor,
    platform: str,
    orbit: Orbit,
    duration: float,
    scene: Scene,
    origin: tuple[float, float],
    *,
    orbit_number: int = 1,
    seed: int = 0,
) -> Path:
    """Write what the radar measures over a scene.

    Parameters
    ----------
    path : path-like
        File to write, HDF5.
    imager : Sensor
        GMI or TMI.
    platform : str
        Satellite as in L1C headers.
    orbit : Orbit
        The imager's orbit.
    duration : float
        Seconds that the radar looks.
    scene : Scene
        Scene on the plane of the orbit's track.
    origin : tuple of float
        x and y of the scene's first column and row on that plane in km.
    orbit_number, seed : int
        For the header.
    """
    radar = radar_of(imager)
    group = radar.swaths[0]
    geometry = scan_geometry(radar, group, orbit, max(2, round(duration / group.scan_period)))
    plane = tr.swath_plane(radar, orbit, geometry)
    plane = tr.moved(plane, *origin)
    rate = scene.rain.rate
    v = scene.variables
    fields = np.stack(
        [
            np.nan_to_num(rate), np.isfinite(rate), np.nan_to_num(rate) * scene.rain.convective,
            v["freezing_level"], v["land_fraction"],
        ]
    )  # fmt: skip
    size = np.full_like(plane.x, _WIDTH)
    mean = footprint_average(
        torch.from_numpy(fields.astype(np.float32)), scene.rain.spacing, plane, (size, size)
    ).numpy()
    outside = (
        (plane.x < 0) | (plane.x > (rate.shape[1] - 1) * scene.rain.spacing[1])
        | (plane.y < 0) | (plane.y > (rate.shape[0] - 1) * scene.rain.spacing[0])
    )  # fmt: skip
    amount = np.where((mean[1] >= _SEEN) & ~outside, mean[0] / np.maximum(mean[1], _SEEN), np.nan)
    swath = RadarSwath(
        time=geometry.time,
        latitude=geometry.latitude,
        longitude=geometry.longitude,
        rate=np.where(amount < _LEAST, 0.0, amount),
        convective=mean[2] / np.maximum(mean[0], 1e-3),
        freezing_level=mean[3],
        land=mean[4],
        zenith_angle=geometry.incidence_angle,
        sun_local_time=local_solar_time(geometry.time, geometry.longitude),
    )
    return write_2a_radar(
        path,
        swath,
        radar=radar,
        platform=platform,
        orbit=orbit_number,
        simulation={"Generator": "xrain.simulate", "Seed": str(seed)},
    )
