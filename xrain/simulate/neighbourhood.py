"""Rain around a pixel of known rate, for footprints wider than the pixel.

A radiometer's footprint of 5–30 km sees more than the 5 km pixel whose rain is known. The stored
table holds real surroundings (``tools/make_neighbourhoods.py``); one whose own mean is near a
pixel's rate is drawn and scaled to it, and the footprint's average is taken over its points.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from xrain.sensors import Channel

__all__ = ["BOX", "POINTS", "RINGS", "TABLE", "beam_weights", "draw_neighbourhood"]

TABLE = "neighbourhoods.npz"
BOX = 5.0  # km, side of the pixel whose mean rate is known
# radius of the points and limits of the area they stand for, km
RINGS = ((5.0, 2.82, 7.0), (9.5, 7.0, 12.5), (16.0, 12.5, 30.0))
POINTS = 4 + 4 * len(RINGS)
_CANDIDATES = 24


@functools.cache
def _table() -> tuple[Tensor, Tensor]:
    path = resources.files("xrain.simulate") / "tables" / TABLE
    with path.open("rb") as file, np.load(file) as table:
        centre = torch.as_tensor(table["centre"].astype(np.float32))
        points = torch.as_tensor(table["points"].astype(np.float32))
    return centre, points


def draw_neighbourhood(
    rain_rate: Tensor, generator: torch.Generator | None = None, softness: float = 1.0
) -> Tensor:
    """Draw rates around pixels of known mean rate.

    Parameters
    ----------
    rain_rate : Tensor, (N,)
        Mean over 5 km in mm h-1.
    generator : torch.Generator, optional
        For reproducible draws.
    softness : float
        Power of the ratio between a point and the centre: 1 is radar rain as it is, less is
        smoother.

    Returns
    -------
    Tensor, (N, POINTS)
        mm h-1; the four points of the box average to the rate.
    """
    centre, points = _table()
    place = torch.searchsorted(centre, rain_rate.contiguous())
    shift = torch.randint(-_CANDIDATES, _CANDIDATES, place.shape, generator=generator)
    pick = (place + shift).clamp(0, centre.numel() - 1)
    ratio = (points[pick] / centre[pick, None]) ** softness
    inner = ratio[:, :4].mean(1, keepdim=True).clamp_min(0.05)
    ratio = torch.cat([ratio[:, :4] / inner, ratio[:, 4:]], dim=1)
    return rain_rate[:, None] * ratio


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
