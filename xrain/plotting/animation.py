"""Moving pictures of granules or grids, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.atomic import replacing
from xrain.conventions import LATITUDE, LONGITUDE, SURFACE_PRECIP, TIME
from xrain.errors import InputError
from xrain.extras import require
from xrain.geo.extent import Extent
from xrain.geo.sphere import valid_positions
from xrain.plotting.figures import draw_figure
from xrain.plotting.maps import View, frame, project, view_of, view_of_extent
from xrain.plotting.panels import heading, make_panel

Array = NDArray[np.float64]

WRITERS: Final = {".gif": "pillow", ".mp4": "ffmpeg"}

_POINTS = 64


def animate(
    frames: xr.Dataset | Iterable[xr.Dataset],
    path: str | Path,
    *,
    variable: str = SURFACE_PRECIP,
    quantile: float | None = None,
    titles: Sequence[str] | None = None,
    fps: float = 2.0,
    dpi: float = 100.0,
    extent: Extent | None = None,
    projection: Any = None,
    borders: bool = True,
    legend: bool = True,
) -> Path:
    """Draw one map after the other, all of one extent and one palette, into a GIF or MP4.

    Parameters
    ----------
    frames : xarray.Dataset or iterable of xarray.Dataset
        Rain of several granules or scenes, in their order; or one Dataset with a dimension
        ``time``, such as :func:`xrain.grid_rain` writes. Only one is in memory at a time if
        they are lazy.
    path : path
        ``.gif``, which needs nothing beside matplotlib, or ``.mp4``, which needs ffmpeg.
    variable, quantile, extent, projection, borders, legend
        As in :func:`xrain.plotting.plot_rain`; the common extent holds all frames.
    titles : sequence of str, optional
        One for each frame; by default made from sensor, platform and time.
    fps : float
        Frames per second.
    dpi : float
        Dots per inch.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no frame, one lacks the variable or positions, the kind of file is unknown,
        or ffmpeg is not installed.
    OutputError
        If the file cannot be written.

    See Also
    --------
    xrain.plotting.plot_side_by_side : All at once.
    """
    require("matplotlib", "plot", "films")
    path = Path(path)
    listed = list(_split(frames))
    _require(listed, path, titles, fps)
    view, places = _common_view(listed, extent)
    options = {"view": view, "projection": projection, "borders": borders, "legend": legend}
    writer = _writer(path, fps)
    import matplotlib as mpl

    with replacing(path) as draft, mpl.rc_context({"savefig.bbox": None}):
        try:
            for k, ds in enumerate(listed):
                title = heading(ds) if titles is None else titles[k]
                figure = draw_figure([make_panel(ds, variable, quantile)], title, **options)
                if view.pole and extent is None:
                    frame(figure.axes[0], *project(figure.axes[0], view, *places))
                _grab(writer, figure, draft, dpi)
        finally:
            if getattr(writer, "fig", None) is not None:
                writer.finish()
    return path


def _grab(writer: Any, figure: Any, path: Path, dpi: float) -> None:
    """Add a figure to the film; the first one opens it."""
    import matplotlib.pyplot as plt

    if getattr(writer, "fig", None) is None:
        writer.setup(figure, str(path), dpi=dpi)
    writer.fig = figure
    writer.grab_frame()
    plt.close(figure)


def _split(frames: xr.Dataset | Iterable[xr.Dataset]) -> Iterator[xr.Dataset]:
    if not isinstance(frames, xr.Dataset):
        yield from frames
    elif TIME in frames.dims:
        yield from (frames.isel({TIME: k}) for k in range(frames.sizes[TIME]))
    else:
        yield frames


def _require(
    frames: Sequence[xr.Dataset], path: Path, titles: Sequence[str] | None, fps: float
) -> None:
    if not frames:
        raise InputError("nothing to draw: there is no frame")
    if titles is not None and len(titles) != len(frames):
        raise InputError(f"{len(titles)} titles for {len(frames)} frames")
    if not fps > 0:
        raise InputError(f"fps={fps}: frames per second must be more than 0")
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"{path}: unknown kind of film; known are {', '.join(WRITERS)}")
    for k, ds in enumerate(frames):
        if LATITUDE not in ds.variables or LONGITUDE not in ds.variables:
            raise InputError(f"frame {k} has no 'latitude' and 'longitude'")


def _writer(path: Path, fps: float) -> Any:
    from matplotlib.animation import writers

    name = WRITERS[path.suffix.lower()]
    if not writers.is_available(name):
        raise InputError(f"{path}: this kind of film needs {name}; install it or write a .gif")
    make: Any = writers[name]
    return make(fps=fps)


def _common_view(
    frames: Sequence[xr.Dataset], extent: Extent | None
) -> tuple[View, tuple[Array, Array]]:
    """Choose the view that holds all frames, and give the outlines it was chosen by."""
    pairs = [_outline(ds) for ds in frames]
    lat, lon = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
    return view_of(lat, lon) if extent is None else view_of_extent(extent), (lat, lon)


def _outline(ds: xr.Dataset) -> tuple[Array, Array]:
    """Give a net of positions that reaches to the ends of a dataset."""
    lat, lon = xr.broadcast(ds[LATITUDE], ds[LONGITUDE])
    some = {
        d: np.unique(np.linspace(0, n - 1, min(n, _POINTS)).astype(int))
        for d, n in lat.sizes.items()
        if n
    }
    values = [v.isel(some).values.astype(np.float64).ravel() for v in (lat, lon)]
    known = valid_positions(*values)
    return np.where(known, values[0], np.nan), np.where(known, values[1], np.nan)
