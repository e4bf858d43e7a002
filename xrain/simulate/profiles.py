"""Real vertical profiles of precipitation, drawn for columns of known rate.

The stored library (``tables/profiles.npz``, made by ``tools/make_profiles.py``) holds columns of
GPM's combined radar-radiometer product 2B CORRA (NASA) over and around North America. For a rate,
freezing level, surface and kind of rain the nearest columns are candidates. They stand in the
order of their ice, and among those alike of their depth, and a column's deviates pick one: so
deviates that are alike, as of neighbours in a storm, give profiles that are alike.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "ABOVE",
    "BELOW",
    "LEVELS",
    "RATES",
    "TABLE",
    "VIRGA",
    "Library",
    "Storm",
    "choose_storm",
    "convective_share",
    "decode",
    "encode_content",
    "encode_diameter",
    "library",
]

TABLE = "profiles.npz"
BELOW = tuple(i / 7 for i in range(8))
"""Heights of stored levels under 0 °C, relative to the freezing level."""
ABOVE = tuple(0.5 * i for i in range(26))
"""Heights of stored levels from 0 °C upwards, in km above it."""

_LEAST, _MOST = 1e-3, 30.0  # g m-3, contents that a byte tells apart
_WIDEST = 4.2  # mm
_THIN = 0.05  # km, least freezing level that has rain below it
RATES = np.linspace(np.log(0.015), np.log(160.0), 27)
"""Logarithms of the rates of nodes; the first stands for columns without rain at the ground."""
LEVELS = np.linspace(0.0, 5.5, 12)
"""Freezing levels of nodes in km."""
VIRGA = 0.001953125
"""Rate in mm/h aloft that stands for columns without any rain at the ground."""
Array = NDArray[np.float64]


def encode_content(values: Array) -> NDArray[np.uint8]:
    """Store contents in g m-3 as bytes, in equal steps of their logarithm, 0 below 0.001."""
    step = (np.log(_MOST) - np.log(_LEAST)) / 254
    code = 1 + np.rint((np.log(values.clip(_LEAST, _MOST)) - np.log(_LEAST)) / step)
    return np.where(values < _LEAST, 0, code).astype(np.uint8)


def encode_diameter(values: Array) -> NDArray[np.uint8]:
    """Store diameters in mm as bytes, in equal steps."""
    return np.rint(255 * values.clip(0.0, _WIDEST) / _WIDEST).astype(np.uint8)


def _content(code: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = (np.log(_MOST) - np.log(_LEAST)) / 254
    value = _LEAST * np.exp(step * (code.astype(np.float32) - 1))
    return np.where(code == 0, 0, value).astype(np.float32)


_ALL, PRECIPITATION, _CLOUD = slice(None), slice(2), slice(2, 3)  # of content, diameter, cloud


@dataclass(frozen=True)
class Library:
    """Real columns, P of them.

    Attributes
    ----------
    rate : Tensor, (P,)
        Surface rain in mm h-1.
    freezing_level : Tensor, (P,)
        km above the surface.
    convective, land : Tensor of bool, (P,)
        Whether the radar took it for convective, and whether it lies over land.
    below : Tensor, (3, P, len(BELOW))
        Content (g m-3), mass-weighted diameter (mm) and cloud liquid (g m-3) under 0 °C.
    above : Tensor, (3, P, len(ABOVE))
        The same from 0 °C upwards.
    candidates : Tensor of int64, (land, convective, freezing level, rate, group, depth)
        Columns nearest to nodes, in the order of their ice, then of their depth; at the first
        node of rate those without rain at the ground.
    share : Tensor, (land, freezing level, rate)
        Share of convective columns among those nearest.
    """

    rate: Tensor
    freezing_level: Tensor
    convective: Tensor
    land: Tensor
    below: Tensor
    above: Tensor
    candidates: Tensor
    share: Tensor


@dataclass(frozen=True)
class Storm:
    """Precipitation of N columns on the levels of the library, in its units.

    Attributes
    ----------
    below, above : Tensor, (3, N, level)
        As of `Library`.
    convective : Tensor, (N,)
        1 where the rain is convective, else 0.
    """

    below: Tensor
    above: Tensor
    convective: Tensor

    def under(self, height: Tensor, freezing_level: Tensor, fields: slice = _ALL) -> Tensor:
        """Content, diameter and cloud (3, layer, N) at heights (layer, N) in km under 0 °C."""
        relative = height / freezing_level.clamp_min(_THIN)
        return _at_levels(self.below[fields], relative.clamp_max(1.0) / BELOW[1])

    def over(self, height: Tensor, freezing_level: Tensor, fields: slice = _ALL) -> Tensor:
        """Content, diameter and cloud (3, layer, N) at heights (layer, N) in km above 0 °C."""
        return _at_levels(self.above[fields], (height - freezing_level).clamp_min(0.0) / ABOVE[1])

    def cloud(self, height: Tensor, warm: int, freezing_level: Tensor) -> Tensor:
        """Cloud liquid in g m-3 at the heights of layers, of which `warm` lie under 0 °C."""
        under = self.under(height[:warm], freezing_level, _CLOUD)[0]
        return torch.cat([under, self.over(height[warm:], freezing_level, _CLOUD)[0]])


@functools.cache
def library(device: str = "cpu") -> Library:
    """Return the stored library on a device."""
    path = resources.files("xrain.simulate") / "tables" / TABLE
    with path.open("rb") as file, np.load(file) as table:
        arrays = {k: table[k] for k in table.files}
    rate, level = arrays["rate"].astype(np.float32), arrays["freezing_level"].astype(np.float32)
    parts = {k: decode(arrays, k) for k in ("below", "above")}
    facts = {
        "rate": rate,
        "freezing_level": level,
        "convective": arrays["convective"],
        "land": arrays["land"],
    }
    return Library(
        **{k: torch.as_tensor(v, device=device) for k, v in (facts | parts).items()},
        candidates=torch.as_tensor(arrays["candidates"].astype(np.int64), device=device),
        share=torch.as_tensor(arrays["share"].astype(np.float32), device=device),
    )


def decode(arrays: Mapping[str, NDArray[np.generic]], part: str) -> NDArray[np.float32]:
    """Content, diameter and cloud of a stored part, (3, P, level)."""
    diameter = arrays[f"{part}_diameter"].astype(np.float32) * (_WIDEST / 255)
    content, cloud = (
        _content(arrays[f"{part}_{name}"].astype(np.uint8)) for name in ("content", "cloud")
    )
    return np.stack([content, diameter, cloud])


def _places(rate: Tensor, freezing_level: Tensor, land: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes of surface, freezing level and rate next to columns."""

    def node(values: Tensor, grid: Array) -> Tensor:
        step = float(grid[1] - grid[0])
        return torch.round((values - float(grid[0])) / step).long().clamp(0, grid.size - 1)

    log_rate = torch.log(rate.clamp_min(1e-3))
    place = node(log_rate, RATES).clamp_min(1) * (rate != VIRGA)
    return (land > 0.5).long(), node(freezing_level, LEVELS), place


def convective_share(rate: Tensor, freezing_level: Tensor, land: Tensor) -> Tensor:
    """Share of convective columns among real ones alike.

    Parameters
    ----------
    rate, freezing_level, land : Tensor, (N,)
        Surface rain in mm h-1, height of 0 °C above the surface in km, and land fraction.
    """
    return library(str(rate.device)).share[_places(rate, freezing_level, land)]


def choose_storm(
    rate: Tensor,
    aloft: Tensor,
    freezing_level: Tensor,
    land: Tensor,
    convective: Tensor,
    ice: Tensor,
    depth: Tensor,
) -> Storm:
    """Choose real profiles for raining columns, and scale them to the rates.

    Parameters
    ----------
    rate, freezing_level, land : Tensor, (N,)
        As for `convective_share`.
    aloft : Tensor, (N,)
        Rate over some 5 km, in mm h-1, that goes with what lies above 0 °C; `VIRGA` stands
        for columns without rain at the ground, and at 0 there is nothing.
    convective : Tensor of bool, (N,)
        Whether the rain is convective.
    ice, depth : Tensor, (N,)
        Standard normal deviates: of the ice aloft among columns alike otherwise, and of the
        height that it reaches.

    Returns
    -------
    Storm
    """
    stored = library(str(rate.device))
    steps = (
        _step(deviate, count)
        for deviate, count in zip((ice, depth), stored.candidates.shape[-2:], strict=True)
    )
    group, height = steps
    kind = convective.long()

    def nearest(wanted: Tensor) -> tuple[Tensor, Tensor]:
        land_node, level, node = _places(wanted, freezing_level, land)
        index = stored.candidates[land_node, kind, level, node, group, height]
        real = stored.rate[index]
        return index, torch.where(real > 0, wanted / real.clamp_min(1e-3), 1.0) * (wanted > 0)

    below, below_ratio = nearest(torch.where(rate > 0, rate, aloft * (aloft == VIRGA)))
    above, above_ratio = nearest(aloft)
    return Storm(
        stored.below[:, below] * _factor(below_ratio),
        stored.above[:, above] * _factor(above_ratio),
        convective.float(),
    )


def _step(deviate: Tensor, count: int) -> Tensor:
    """Place of a standard normal deviate among equally likely steps."""
    step: Tensor = (torch.special.ndtr(deviate) * count).long().clamp(0, count - 1)
    return step


def _factor(ratio: Tensor) -> Tensor:
    """Factors of content, diameter and cloud where it rains by a ratio harder."""
    bounded = ratio.clamp(0.0, 5.0)
    return torch.stack([bounded**0.85, bounded.clamp_min(0.1) ** 0.15, torch.ones_like(ratio)])[
        ..., None
    ]


def _at_levels(levels: Tensor, position: Tensor) -> Tensor:
    """Values (field, layer, N) at positions (layer, N) in levels, zero beyond the highest."""
    last = levels.shape[-1] - 1
    low = position.floor().clamp(0, last - 1)
    share = (position - low).clamp(0.0, 1.0)
    index = low.long().T.expand(levels.shape[0], -1, -1)
    first, second = (torch.gather(levels, 2, index + k).transpose(1, 2) for k in (0, 1))
    values: Tensor = (first + share * (second - first)) * (position <= last)
    return values
