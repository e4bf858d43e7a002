"""What tells one scan from another: its time, and the version of the product that holds it.

Granules overlap: near-real-time pieces share scans with their neighbours, orbits begin before the
last one ends, and an archive holds several versions of one granule. All readers tell scans apart
here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["distinct_scans", "filled_times", "plausible_times", "version_key"]

Times = NDArray[np.datetime64]

WINDOW: Final = 11
"""Scans around one whose median says what its time must be near."""

APART: Final = 60.0
"""Seconds by which a scan's time may differ from that median; gaps and times to the minute stay
below, since a median follows a step."""

LONGEST: Final = 24 * 3600.0
"""Seconds from the middle of a granule beyond which no scan of it lies. An orbit takes less than
three hours."""

_NAT: Final = np.datetime64("NaT", "ns")


def plausible_times(time: Any) -> tuple[Times, NDArray[np.bool_]]:
    """Replace scan times that cannot be right by NaT.

    A time is wrong if it lies more than a day from the median of the granule, or more than a
    minute (and ten scans) from the median of the scans around it. Gaps between scans, falling
    times and equal times are none of this.

    Parameters
    ----------
    time : array_like of datetime64
        Times of the scans of one granule, in the order of the file.

    Returns
    -------
    time : array of datetime64[ns]
        Times with NaT where they are wrong.
    wrong : array of bool
        Which are wrong; those that were missing are not.
    """
    given = np.asarray(time).astype("datetime64[ns]")
    known = np.flatnonzero(~np.isnat(given))
    wrong = np.zeros(given.shape, bool)
    if known.size < 3:
        return given, wrong
    seconds = (given[known] - given[known[0]]) / np.timedelta64(1, "s")
    far = np.abs(seconds - np.median(seconds)) > LONGEST
    wrong[known[far]] = True
    known, seconds = known[~far], seconds[~far]
    if known.size >= 3:
        width = min(WINDOW, 2 * ((known.size - 1) // 2) + 1)
        near = ndimage.median_filter(seconds, width, mode="mirror")
        step = abs(float(np.median(np.diff(seconds))))
        wrong[known[np.abs(seconds - near) > max(APART, 10 * step)]] = True
    return np.where(wrong, _NAT, given), wrong


def filled_times(time: Any) -> Times:
    """Estimate missing and wrong scan times from those of the scans around them.

    Parameters
    ----------
    time : array_like of datetime64
        Times of the scans of one granule.

    Returns
    -------
    array of datetime64[ns]
        NaT only where fewer than two scans have a time.
    """
    good, _ = plausible_times(time)
    known = np.flatnonzero(~np.isnat(good))
    if known.size < 2 or known.size == good.size:
        return good
    start = good[known[0]]
    seconds = (good[known] - start) / np.timedelta64(1, "ns")
    rows = np.arange(good.size)
    filled = np.interp(rows, known, seconds)
    slope = (seconds[-1] - seconds[0]) / (known[-1] - known[0])
    before, after = rows < known[0], rows > known[-1]
    filled[before] = seconds[0] + slope * (rows[before] - known[0])
    filled[after] = seconds[-1] + slope * (rows[after] - known[-1])
    estimate = start + np.rint(filled).astype("timedelta64[ns]")
    return np.asarray(np.where(np.isnat(good), estimate, good))


def distinct_scans(
    times: Sequence[Any], versions: Sequence[str] | None = None
) -> list[NDArray[np.intp]]:
    """Choose the scans of several granules of one radiometer so that each comes once.

    Parameters
    ----------
    times : sequence of array_like of datetime64
        Scan times of each granule.
    versions : sequence of str, optional
        Product versions such as ``"V07A"``. The newest version of a scan is kept; among equal
        versions that of the granule which begins first, then the one given first.

    Returns
    -------
    list of array of int
        Rows of each granule to keep. Scans without any time are kept, since nothing tells them
        apart.
    """
    filled = [filled_times(t) for t in times]
    starts = [_start(t) for t in filled]
    order = sorted(range(len(filled)), key=lambda i: (starts[i], i))
    if versions is not None:
        order.sort(key=lambda i: version_key(versions[i]), reverse=True)
    kept: list[NDArray[np.intp]] = [np.zeros(0, np.intp)] * len(filled)
    seen = np.zeros(0, np.int64)
    for i in order:
        time, missing = filled[i].astype(np.int64), np.isnat(filled[i])
        new = missing | ~_is_near(time, seen, _tolerance(time[~missing]))
        kept[i] = np.flatnonzero(new)
        seen = np.sort(np.concatenate([seen, time[new & ~missing]]))
    return kept


def version_key(version: str) -> tuple[int, str]:
    """Order product versions: ``V07A`` before ``V07B`` before ``V08A`` before ``V10A``."""
    found = re.search(r"(\d+)(.*)", version)
    return (int(found[1]), found[2]) if found else (-1, version)


def _start(time: Times) -> np.datetime64:
    known = time[~np.isnat(time)]
    return np.datetime64(known.min() if known.size else "1678-01-01", "ns")


def _tolerance(time: NDArray[np.int64]) -> float:
    """Half of the time between two scans in nanoseconds."""
    steps = np.abs(np.diff(time))
    steps = steps[steps > 0]  # times may be given to the minute only
    return float(np.median(steps)) / 2 if steps.size else 0.5


def _is_near(
    time: NDArray[np.int64], seen: NDArray[np.int64], tolerance: float
) -> NDArray[np.bool_]:
    """Whether a time lies within the tolerance of one of the sorted times `seen`."""
    if not seen.size:
        return np.zeros(time.shape, bool)
    place = np.searchsorted(seen, time)
    below = np.abs(time - seen[np.maximum(place - 1, 0)])
    above = np.abs(seen[np.minimum(place, seen.size - 1)] - time)
    return np.asarray(np.minimum(below, above) < tolerance)
