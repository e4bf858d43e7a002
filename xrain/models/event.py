"""The event that a probability of precipitation refers to, among the rain classes of a model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from xrain.conventions import EVENT_RATE

__all__ = ["event_shares", "split_edges"]


def split_edges(edges: Sequence[float]) -> tuple[float, ...]:
    """Return the bounds of rain classes with the event's rate, 0.1 mm/h, among them.

    Parameters
    ----------
    edges : sequence of float
        Bounds in mm/h, ascending.

    Returns
    -------
    tuple of float
        The same bounds, with 0.1 added where it lies between two of them.

    Examples
    --------
    >>> split_edges((0.05, 0.2, 1.0))
    (0.05, 0.1, 0.2, 1.0)
    """
    known = any(math.isclose(e, EVENT_RATE, rel_tol=1e-5) for e in edges)
    if known or not edges[0] < EVENT_RATE < edges[-1]:
        return tuple(edges)
    return tuple(sorted((*edges, EVENT_RATE)))


def event_shares(edges: Sequence[float]) -> tuple[float, ...]:
    """Share of each rain class that lies at or above 0.1 mm/h, in the logarithm of the rate.

    Parameters
    ----------
    edges : sequence of float
        Bounds in mm/h, ascending.

    Returns
    -------
    tuple of float
        One number for each class, the dry one first: 0 below the event, 1 above it, and what
        lies between for the class that holds its bound.

    Examples
    --------
    >>> event_shares((0.05, 0.2, 1.0))
    (0.0, 0.5, 1.0)
    """
    shares = (
        math.log(high / EVENT_RATE) / math.log(high / low)
        for low, high in itertools.pairwise(edges)
    )
    return (0.0, *(round(min(max(s, 0.0), 1.0), 5) for s in shares))
