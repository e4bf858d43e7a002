"""Compare the simulator with what a radiometer saw above the columns of a radar.

Once it is driven by the radar's own profiles, which judges particles and radiative transfer; and
once by profiles of the generator that are given rate, rain type and freezing level, which judges
the vertical structure too. Brightness temperatures seen never enter.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xrain.errors import InputError
from xrain.sensors import Channel
from xrain.sensors.describe import find_owner
from xrain.simulate.column_forward import column_environment, simulate_columns
from xrain.simulate.parameters import Parameters
from xrain.simulate.radar_columns import RadarColumns, read_columns
from xrain.simulate.validate import Statistics, Validation, simulate_matchups, statistics

__all__ = ["RAIN_TYPES", "run_columns", "validate_columns"]

RAIN_TYPES = {1: "stratiform", 2: "convective", 3: "other"}
SURFACES = ("ocean", "land")
_WIND = (7.0, 3.0)  # m s-1, mean and standard deviation over the sea
Array = NDArray[np.float32]


def validate_columns(
    columns: RadarColumns,
    *,
    draws: int = 16,
    seed: int = 0,
    parameters: Parameters | None = None,
    progress: Callable[[int], None] | None = None,
) -> Validation:
    """Simulate columns from their profiles, and from rate, type and freezing level alone.

    Parameters
    ----------
    columns : RadarColumns
        As from `read_columns`.
    draws, seed, parameters, progress
        As in `simulate_matchups`; the draws are of the generator.

    Returns
    -------
    Validation
        Classes ``column_ocean``, ``column_land``, ``generated_ocean`` and ``generated_land``; the
        generated ones hold columns with rain at the surface. Every channel also has
        ``corra_bias`` and ``corra_std`` of CORRA's simulation of the same columns, and ``types``
        with the figures of each rain type.
    """
    channels = _channels(columns)
    given = simulate_columns(columns, channels, parameters)[None]
    raining = np.flatnonzero(columns.rate > 0)
    drawn = _generate(columns.select(raining), channels, draws, seed, parameters, progress)
    table: Statistics = {}
    observed: dict[str, Array] = {}
    simulated: dict[str, Array] = {}
    every = np.arange(len(columns))
    for source, index, values in (("column", every, given), ("generated", raining, drawn)):
        chosen = columns.select(index)
        for surface in SURFACES:
            member = chosen.ocean == (surface == "ocean")
            if member.sum() > 1:
                name = f"{source}_{surface}"
                table[name] = _class(chosen.select(member), values[:, member])
                observed[name], simulated[name] = chosen.tb[member], values[:, member]
    return Validation(table, observed, simulated, columns.channels, 0)


def _channels(columns: RadarColumns) -> list[Channel]:
    owner = find_owner(list(columns.channels))
    if owner is None:
        raise InputError(f"no instrument has the channels {', '.join(columns.channels)}")
    return [owner.channel(n) for n in columns.channels]


def _generate(
    columns: RadarColumns,
    channels: list[Channel],
    draws: int,
    seed: int,
    parameters: Parameters | None,
    progress: Callable[[int], None] | None,
) -> Array:
    """Brightness temperature of generated profiles, (draw, N, channel)."""
    wind = np.random.default_rng(seed).normal(*_WIND, len(columns)).clip(0.5, 25.0)
    convective = torch.from_numpy((columns.rain_type == 2).astype(np.float32))
    environment = column_environment(
        columns,
        rain_rate=torch.from_numpy(columns.rate),
        convective_fraction=convective,
        wind_speed=torch.from_numpy(wind.astype(np.float32)),
    )
    return simulate_matchups(
        environment,
        channels,
        draws=draws,
        seed=seed,
        parameters=parameters,
        convective=convective,
        progress=progress,
    )


def _class(columns: RadarColumns, simulated: Array) -> dict[str, dict[str, Any]]:
    """Figures of one class of columns by channel, with CORRA's and those of every rain type."""
    names = columns.channels
    out = statistics(columns.tb, simulated, names)
    theirs = columns.corra_tb - columns.tb
    kinds = {
        name: columns.rain_type == number
        for number, name in RAIN_TYPES.items()
        if (columns.rain_type == number).sum() > 1
    }
    parts = {k: statistics(columns.tb[m], simulated[:, m], names) for k, m in kinds.items()}
    for i, channel in enumerate(names):
        out[channel] |= _corra(theirs[:, i])
        out[channel]["types"] = {
            kind: parts[kind][channel] | _corra(theirs[member, i]) for kind, member in kinds.items()
        }
    return out


def _corra(difference: Array) -> dict[str, float]:
    known = difference[np.isfinite(difference)].astype(float)
    if not known.size:
        return {"corra_bias": float("nan"), "corra_std": float("nan")}
    return {"corra_bias": float(known.mean()), "corra_std": float(known.std())}


def run_columns(
    path: str | Path,
    seed: int = 0,
    draws: int = 16,
    progress: Callable[[int], None] | None = None,
) -> Validation:
    """Read a file of transects with a radar's columns and validate the simulator on it."""
    return validate_columns(read_columns(path), seed=seed, draws=draws, progress=progress)
