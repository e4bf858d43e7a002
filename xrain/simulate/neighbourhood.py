"""Rain around a pixel of known rate, for footprints wider than the pixel.

A radiometer's footprint of 5–30 km sees more than the 5 km pixel whose rain is known. The stored
table holds real surroundings (``tools/make_neighbourhoods.py``): within 5 km from composites of
ground radars, further away from the radar in space, along whose track pixels of 5 km follow each
other. One whose own rate is near a pixel's is drawn and scaled to it, and the footprint's average
is taken over its points.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from xrain.sensors import Channel
from xrain.simulate.environment import Environment
from xrain.simulate.profiles import convective_share

__all__ = [
    "BOX",
    "CONICAL",
    "POINTS",
    "RINGS",
    "TABLE",
    "beam_weights",
    "draw_neighbourhood",
    "rates_aloft",
    "surroundings",
]

TABLE = "neighbourhoods.npz"
BOX = 5.0  # km, side of the pixel whose mean rate is known
# radius of the points and limits of the area they stand for, km
RINGS = ((5.0, 2.82, 7.0), (9.5, 7.0, 12.5), (16.0, 12.5, 30.0))
POINTS = 4 + 4 * len(RINGS)
_CANDIDATES = 24
CONICAL = 40.0
"""Incidence angle in degrees above which radiometers look aslant."""


@functools.cache
def _table() -> dict[str, Tensor]:
    path = resources.files("xrain.simulate") / "tables" / TABLE
    with path.open("rb") as file, np.load(file) as table:
        return {k: torch.as_tensor(table[k].astype(np.float32)) for k in table.files}


def _near(centre: Tensor, rate: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw one of the stored centres whose rates are next to the given ones."""
    place = torch.searchsorted(centre, rate.contiguous())
    shift = torch.randint(-_CANDIDATES, _CANDIDATES, place.shape, generator=generator)
    return (place + shift).clamp(0, centre.numel() - 1)


def draw_neighbourhood(
    rain_rate: Tensor,
    land: Tensor,
    generator: torch.Generator | None = None,
    softness: float = 1.0,
) -> Tensor:
    """Draw rates around pixels of known mean rate.

    Parameters
    ----------
    rain_rate : Tensor, (N,)
        Mean over 5 km in mm h-1.
    land : Tensor, (N,)
        Land fraction.
    generator : torch.Generator, optional
        For reproducible draws.
    softness : float
        Power of the ratio between a point and the mean within the 5 km: 1 is ground radar rain
        as it is, less is smoother.

    Returns
    -------
    Tensor, (N, POINTS)
        mm h-1; the four points of the box average to the rate. On every ring the first and third
        point lie ahead along the track, the others behind.
    """
    table = _table()
    pick = _near(table["box_centre"], rain_rate, generator)
    ratio = (table["box"][pick] / table["box_centre"][pick, None]) ** softness
    inner = ratio / ratio.mean(1, keepdim=True).clamp_min(0.05)
    outer = torch.empty(len(rain_rate), len(RINGS), 4)
    for name, there in (("sea", land <= 0.5), ("land", land > 0.5)):
        centre = table[f"{name}_centre"]
        found = _near(centre, rain_rate[there], generator)
        outer[there] = (table[f"{name}_rings"][found] / centre[found, None, None]).repeat(1, 1, 2)
    return rain_rate[:, None] * torch.cat([inner, outer.flatten(1)], dim=1)


def rates_aloft(points: Tensor, slant: bool) -> Tensor:
    """Rates over 5 km that go with what is aloft over drawn points, (N, POINTS) in mm h-1.

    Parameters
    ----------
    points : Tensor, (N, POINTS)
        As drawn.
    slant : bool
        Whether the radiometer looks aslant, ahead along the track: at 53° its path crosses the
        ice, some 5.5 km up, over places 7 km further. It then belongs to the mean of the two
        nearest points on that way.
    """
    box = points[:, :4].mean(1)
    one, two, three = points[:, 4:8], points[:, 8:12], points[:, 12:16]
    if not slant:
        return torch.cat([box[:, None].expand(-1, 4), points[:, 4:]], dim=1)

    def mean(a: Tensor, b: Tensor) -> Tensor:
        return 0.5 * (a + b)

    centre = mean(one[:, 0], two[:, 0])
    first = [mean(two[:, 0], three[:, 0]), mean(box, one[:, 0]), one[:, 2], one[:, 3]]
    second = [three[:, 0], mean(one[:, 1], box), two[:, 2], two[:, 3]]
    third = [three[:, 0], mean(two[:, 1], one[:, 1]), three[:, 2], three[:, 3]]
    return torch.stack([*[centre] * 4, *first, *second, *third], dim=1)


def surroundings(
    environment: Environment,
    generator: torch.Generator | None,
    softness: float,
    *,
    slant: bool,
    convective: Tensor | None = None,
) -> Environment:
    """Draw the points in and around raining pixels, POINTS for each one after the other.

    Parameters
    ----------
    environment : Environment
        N pixels, whose rates are means over 5 km.
    generator, softness
        As for `draw_neighbourhood`.
    slant : bool
        As for `rates_aloft`.
    convective : Tensor, (N,), optional
        Share of convective rain; that of real columns alike by default.
    """
    rates = draw_neighbourhood(
        environment.rain_rate, environment.land_fraction, generator, softness
    )
    aloft = rates_aloft(rates, slant).reshape(-1)
    points = environment.select(torch.arange(len(environment)).repeat_interleave(POINTS))
    share = (
        convective_share(aloft, points.freezing_level, points.land_fraction)
        if convective is None
        else convective.repeat_interleave(POINTS)
    )
    return points.replace(rain_rate=rates.reshape(-1), rain_aloft=aloft, convective_fraction=share)


def beam_weights(channels: Sequence[Channel]) -> Tensor:
    """Weight of every point in each channel's Gaussian footprint, (channel, POINTS)."""
    axis = np.arange(-30.0, 30.25, 0.5)
    x, y = np.meshgrid(axis, axis)
    radius = np.hypot(x, y)
    rows = []
    for channel in channels:
        along, across = channel.footprint
        gain = np.exp(-4.0 * np.log(2.0) * ((x / along) ** 2 + (y / across) ** 2))
        areas = [radius < RINGS[0][1], *((radius >= a) & (radius < b) for _, a, b in RINGS)]
        rows.append(np.repeat([gain[a].sum() / 4.0 for a in areas], 4))
    weights = np.stack(rows)
    return torch.as_tensor(weights / weights.sum(1, keepdims=True)).float()
