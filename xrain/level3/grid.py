"""What a user asks level 3 for: a grid in degrees, intervals of time, flags to leave out."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from xrain.conventions import QUALITY_FLAGS
from xrain.errors import InputError
from xrain.geo.extent import Extent, require_extent
from xrain.regrid.areas import require_size
from xrain.regrid.target import Target, target_of

__all__ = ["MOST_CELLS", "degree_grid", "duration", "flag_bits"]

MOST_CELLS: Final = 30_000_000
"""Cells of the largest grid: the globe at 0.05 degrees. Two intervals of it take 3.3 GB."""

SHORTEST: Final = 1_000_000_000
"""Nanoseconds of the shortest interval, in which a radiometer makes a scan or two."""


def duration(freq: str) -> int:
    """Length of an interval of time.

    Parameters
    ----------
    freq : str
        As pandas understands it, such as ``"30min"``, ``"3h"`` or ``"1D"``.

    Returns
    -------
    int
        Nanoseconds.

    Raises
    ------
    InputError
        If it is no fixed time, or less than a second.

    Examples
    --------
    >>> duration("30min") // 10**9
    1800
    """
    text = freq.strip()
    try:
        length = pd.Timedelta(f"1{text}" if text[:1].isalpha() else text)
    except (ValueError, OverflowError) as error:
        raise InputError(f"freq={freq!r}: give a fixed time such as '30min', '3h', '1D'") from error
    if not length.value >= SHORTEST:
        raise InputError(f"freq={freq!r}: an interval must be at least a second long")
    return int(length.as_unit("ns").value)


def degree_grid(resolution: float, extent: Extent | None) -> Target:
    """Make a grid of degrees whose cells begin at multiples of the resolution.

    Parameters
    ----------
    resolution : float
        Width of a cell; it must divide 180.
    extent : tuple of float, optional
        West, east, south, north; by default the globe.

    Returns
    -------
    Target

    Raises
    ------
    InputError
        If one of them makes no sense, or the grid has more than 30 million cells.
    """
    from pyresample import create_area_def

    count = round(180 / resolution) if 0 < resolution < math.inf else 0
    if count < 1 or abs(count * resolution - 180) > 1e-6:
        raise InputError(f"resolution={resolution:g}: give degrees that divide 180, such as 0.1")
    west, east, south, north = (-180.0, 180.0, -90.0, 90.0) if extent is None else extent
    require_extent((west, east, south, north))
    low = [math.floor(v / resolution + 1e-6) for v in (west, south)]
    high = math.ceil(north / resolution - 1e-6)
    width = (east - west) % 360 or 360.0
    columns = min(math.ceil((west + width) / resolution - 1e-6) - low[0], 2 * count)
    require_size(f"a grid of {resolution:g} degrees", high - low[1], columns, MOST_CELLS)
    edge = (low[0] * resolution, low[1] * resolution,
            (low[0] + columns) * resolution, high * resolution)  # fmt: skip
    area = create_area_def(
        f"grid_{resolution:g}deg", {"proj": "longlat", "datum": "WGS84"},
        area_extent=edge, shape=(high - low[1], columns),
    )  # fmt: skip
    return target_of(xr.Dataset(), area)


def flag_bits(names: Sequence[str]) -> int:
    """Join flags of ``retrieval_quality``.

    Parameters
    ----------
    names : sequence of str
        Their names.

    Returns
    -------
    int
        Their bits.

    Raises
    ------
    InputError
        If there is no such flag.

    Examples
    --------
    >>> flag_bits([])
    0
    """
    unknown = [n for n in names if n not in QUALITY_FLAGS]
    if unknown:
        raise InputError(f"no flag {', '.join(unknown)}; there are {', '.join(QUALITY_FLAGS)}")
    return functools.reduce(lambda a, b: a | b, (QUALITY_FLAGS[n] for n in names), 0)


def edges(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the rows from the south and of the columns from the west, in degrees."""
    west, south, east, north = target.area.area_extent
    rows, columns = target.shape
    return np.linspace(south, north, rows + 1), np.linspace(west, east, columns + 1)
