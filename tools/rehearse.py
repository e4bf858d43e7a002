"""Rehearse the way from an archive to better weights, where the gain is known.

``python tools/rehearse.py FOLDER [--small]`` simulates an archive whose physics the shipped weights
never saw: GMI granules with radar granules beside them, and granules of a second radiometer over
the same storms minutes later. It then runs the commands that a user would run on it, scores what
comes of them against the true rain, and prints a table; ``report.json`` in the folder holds the
same. What is in the folder already is not made again. ``--small`` runs the same chain in a minute,
too small to teach anything.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xrain.simulate.parameters import Parameters, default_parameters, differences

SECOND = "ssmis"
"""The second radiometer: wide footprints and high frequencies, and no radar ever beside it."""

MINUTES = 12
"""Minutes after GMI at which the second radiometer looks at a storm."""

FACTORS = {
    "ice__content": 1.8,
    "ice__saturation": 1.5,
    "ice__density_snow": 1.35,
    "ice__depth": 1.25,
    "cloud__liquid_scale": 1.5,
    "cloud__rain_liquid": 1.7,
    "atmosphere__humidity_aloft": 1.25,
    "rain__melting_factor": 0.65,
    "ocean__foam": 1.5,
}
STEPS = {"rain__log10_nw": -0.4, "ice__log10_nw": -0.4}
"""What the foreign physics changes: more, denser and coarser ice, larger drops, moister air aloft,
thicker clouds, each by 1.5 to 3 of the standard deviations by which training moves them."""

EXTENT, GRID = 2200.0, 5.0  # km


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes
    ----------
    orbits : int
        Granules with a radar beside them.
    more : int
        Further granules, of which only the ceiling sees the truth.
    test : int
        Granules that only scores see.
    scans : int
        Scans of a GMI granule.
    steps : int
        Optimiser steps of each training.
    """

    orbits: int = 50
    more: int = 50
    test: int = 16
    scans: int = 160
    steps: int = 600


SMALL = Size(orbits=6, more=0, test=2, scans=72, steps=20)


def foreign_physics() -> Parameters:
    """Physics of the rehearsal's archive."""
    usual = default_parameters()
    changes: dict[str, Any] = {k: usual.get(k) * f for k, f in FACTORS.items()}  # type: ignore[operator]
    changes |= {k: usual.get(k) + s for k, s in STEPS.items()}  # type: ignore[operator]
    return usual.replace(**changes)


# ---- the archive


@dataclass(frozen=True)
class Event:
    """A storm, and when and where it is seen."""

    number: int
    year: int
    day: int


def events(size: Size) -> dict[str, list[Event]]:
    """Storms by purpose: spread over one year to learn from, over the next for the test."""
    kinds = {"orbits": (size.orbits, 2020), "more": (size.more, 2020), "test": (size.test, 2021)}
    out, number = {}, 0
    for kind, (count, year) in kinds.items():
        days = np.floor(np.arange(count) * 366 / max(count, 1) + (kind == "more") * 3)
        out[kind] = [Event(number + k, year, int(d)) for k, d in enumerate(days)]
        number += count
    return out


def simulate_event(folder: Path, event: Event, scans: int, radar: bool) -> None:
    """Write the granules of a storm that are not there yet."""
    import torch

    from xrain.sensors import get_sensor
    from xrain.simulate.granule import simulate_granule, truth_path

    torch.set_num_threads(1)
    start, place, storm = _storm(event)
    period = {s: get_sensor(s).swath(get_sensor(s).reference_swath).scan_period for s in _SENSORS}
    for sensor in _SENSORS:
        path = granule(folder, sensor, event)
        if truth_path(path).exists() and (not radar or sensor != "gmi" or _radar(path).exists()):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        simulate_granule(
            sensor,
            path,
            rain=storm,
            place=place,
            start=start + np.timedelta64(MINUTES * (sensor != "gmi"), "m"),
            seed=event.number,
            scans=round(scans * period["gmi"] / period[sensor]),
            orbit_number=1000 + 15 * event.day,
            with_radar=radar and sensor == "gmi",
            parameters=foreign_physics(),
        )


_SENSORS = ("gmi", SECOND)


def granule(folder: Path, sensor: str, event: Event) -> Path:
    """Where the granule of a sensor over a storm lies."""
    return folder / f"{sensor}-{event.number:03d}.HDF5"


def _radar(path: Path) -> Path:
    from xrain.simulate.granule import radar_path

    return radar_path(path)


def _storm(event: Event) -> tuple[np.datetime64, tuple[float, float], Any]:
    """Time, place and rain of an event."""
    from xrain.simulate.rain import StormParameters, stochastic_rain, storm_warmth
    from xrain.simulate.rain_maps import RainMap
    from xrain.simulate.scenes import draw_place

    rng = np.random.default_rng((2020, event.number))
    start = np.datetime64(f"{event.year}-01-01T00:00", "ns") + np.timedelta64(event.day, "D")
    start = start + np.timedelta64(int(rng.integers(120, 1300)), "m")
    while abs((place := draw_place(rng)).latitude) > 58:
        pass
    drawn = StormParameters.draw(rng, storm_warmth(place.latitude))
    few = replace(drawn, wet_fraction=0.6 * drawn.wet_fraction)
    count = round(EXTENT / GRID)
    rain = stochastic_rain((count, count), (GRID, GRID), seed=rng, parameters=few)
    axis = (np.arange(count) - 0.5 * (count - 1)) * GRID
    storm = RainMap(rain.rate, axis, axis, (GRID, GRID))
    return start, (place.latitude, place.longitude), storm


def make_archive(folder: Path, size: Size, workers: int) -> None:
    """Simulate all granules."""
    with ProcessPoolExecutor(workers) as pool:
        jobs = [
            pool.submit(simulate_event, folder / kind, event, size.scans, kind == "orbits")
            for kind, some in events(size).items()
            for event in some
        ]
        for job in jobs:
            job.result()
