"""Files to pictures and films."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xrain.conventions import CHANNEL, SURFACE_PRECIP, TB, TIME, match_channels
from xrain.errors import InputError
from xrain.geo.extent import Extent
from xrain.io.open import open_any
from xrain.plotting.save import save_picture

MOST_MAPS = 25
"""Maps of one picture: more could not be told apart on a page."""


def draw_files(
    sources: Sequence[str | Path],
    target: Path,
    *,
    variable: str | None = None,
    panels: bool = False,
    channels: Sequence[str] = (),
    extent: Extent | None = None,
    time: str | None = None,
) -> Path:
    """Draw maps of rain files, rain granules, grids, or brightness temperatures of granules.

    Parameters
    ----------
    sources : sequence of path
        Of several files, and of the times of a grid, there is a map each, all of one extent
        and with one colour bar.
    target : Path
        Image to write.
    variable : str, optional
        What to draw of rain, by default the rain rate.
    panels : bool
        Draw rain, probability and interval side by side.
    channels : sequence of str
        Which channels of a granule to draw, by default all; of several granules, one.
    extent : tuple of float, optional
        West, east, south and north in degrees.
    time : str, optional
        Which times of a grid to draw, such as ``"2020-07-01"``; by default all.
    """
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(open_any(source)) for source in sources]
        frames = [frame for ds in opened for frame in _frames(ds, time)]
        options: dict[str, Any] = {} if extent is None else {"extent": extent}
        if variable is not None:
            options["variable"] = variable
        if len(frames) == 1:
            options |= {"panels": True} if panels else {}
            return save_picture(lambda: _draw(frames[0], channels, **options), target)
        if panels:
            raise InputError("--panels draws one file or one time; choose a time with --time")
        return save_picture(lambda: _draw_beside(frames, channels, **options), target)


def _frames(ds: xr.Dataset, time: str | None) -> list[xr.Dataset]:
    """Split a grid into its times."""
    if TIME not in ds.dims:
        return [ds]
    if time is not None:
        try:
            ds = ds.sel({TIME: slice(time, time)})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"--time {time}: write it as 2020-07-01 or 2020-07-01T12") from error
        if not ds.sizes[TIME]:
            raise InputError(f"--time {time}: the grid has no such time")
    if ds.sizes[TIME] > MOST_MAPS:
        raise InputError(
            f"the grid has {ds.sizes[TIME]} times: choose some with --time, or use xrain animate"
        )
    return [ds.isel({TIME: k}) for k in range(ds.sizes[TIME])]


def _draw_beside(frames: Sequence[xr.Dataset], channels: Sequence[str], **options: Any) -> Any:
    """Draw one variable, or one channel, of several datasets."""
    from xrain.plotting import plot_side_by_side

    if len(frames) > MOST_MAPS:
        raise InputError(f"{len(frames)} maps are too many for one picture: {MOST_MAPS} at most")
    labelled: dict[str, xr.Dataset] = {}
    for ds in frames:
        if SURFACE_PRECIP not in ds.variables and TB in ds.variables:
            ds = _one_channel(ds, channels)
            options["variable"] = TB
        name = _label(ds)
        number = sum(known.startswith(name) for known in labelled) + 1
        labelled[name if number == 1 else f"{name} ({number})"] = ds
    return plot_side_by_side(labelled, **options)


def _one_channel(ds: xr.Dataset, channels: Sequence[str]) -> xr.Dataset:
    if len(channels) != 1:
        raise InputError("of several granules one channel can be drawn: name it with --channel")
    (index,) = match_channels([str(n) for n in ds[CHANNEL].values], channels)
    if index is None:
        raise InputError(f"no channel {channels[0]} in {ds.attrs.get('granule', 'the granule')}")
    return ds.isel({CHANNEL: index}, drop=True)


def _label(ds: xr.Dataset) -> str:
    """Name a map by its sensor and the time at which it begins."""
    name = str(ds.attrs.get("sensor", ""))
    times = np.atleast_1d(ds[TIME].values) if TIME in ds.variables else np.empty(0, "M8[ns]")
    known = times[~np.isnat(times)]
    when = str(np.datetime64(known.min(), "m")).replace("T", " ") if known.size else ""
    return ", ".join(part for part in (name, when) if part) or "map"


def draw_rain(rain: xr.Dataset, target: Path) -> Path:
    """Draw a map of retrieved rain."""
    return save_picture(lambda: _draw(rain), target)


def _draw(ds: xr.Dataset, channels: Sequence[str] = (), **options: Any) -> Any:
    from xrain.plotting import plot

    if channels:
        options["channels"] = list(channels)
    return plot(ds, **options)


def animate_files(
    sources: Sequence[str | Path],
    target: Path,
    *,
    variable: str | None = None,
    fps: float = 2.0,
) -> Path:
    """Draw rain files, or the intervals of gridded ones, one after the other into a film.

    Parameters
    ----------
    sources : sequence of path
        Rain files in the order of the film.
    target : Path
        ``.gif`` or ``.mp4`` file to write.
    variable : str, optional
        What to draw, by default the rain rate.
    fps : float
        Frames per second.
    """
    from xrain.plotting import animate

    options: dict[str, Any] = {} if variable is None else {"variable": variable}
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(open_any(source)) for source in sources]
        frames: list[xr.Dataset] = []
        for ds in opened:
            whole = TIME in ds.dims
            frames += [ds.isel({TIME: k}) for k in range(ds.sizes[TIME])] if whole else [ds]
        return animate(frames, target, fps=fps, **options)
