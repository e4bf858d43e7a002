"""Figures of swaths: rain, its uncertainty, brightness temperatures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import SURFACE_PRECIP, TB
from xrain.errors import InputError
from xrain.extras import require
from xrain.geo.cells import jumps
from xrain.geo.extent import Extent
from xrain.geo.sphere import unit_vectors
from xrain.plotting.legends import draw_legends
from xrain.plotting.maps import (
    View,
    corners,
    draw_background,
    frame,
    project,
    projection_of,
    view_of,
    view_of_extent,
)
from xrain.plotting.panels import Panel, heading, label_title, make_panel, panel_names, tb_panels
from xrain.plotting.style import UNSEEN_COLOR, Style, style_of

Array = NDArray[np.float64]

_WIDE = 0.8  # height over width


def plot_rain(
    ds: xr.Dataset,
    *,
    variable: str = SURFACE_PRECIP,
    panels: Sequence[str] | bool = False,
    quantile: float | None = None,
    extent: Extent | None = None,
    ax: Any = None,
    projection: Any = None,
    borders: bool = True,
    legend: bool = True,
    title: str | None = None,
) -> Any:
    """Draw the rain of a swath, or of a table of pixels, on a map.

    Parameters
    ----------
    ds : xarray.Dataset
        A rain Dataset as :func:`xrain.retrieve` makes it, eager or lazy, with dimensions
        ``(scan, pixel)`` or one ``sample``. Without latitude and longitude a swath is drawn over
        scan and pixel.
    variable : str
        What to draw: any variable of `ds` over these dimensions, or ``"interval"``: the width
        between the outermost quantiles, in mm/h.
    panels : sequence of str or bool
        Several variables side by side; ``True`` stands for rain, probability and interval.
    quantile : float, optional
        Which quantile of ``surface_precip_quantile`` to draw; by default the highest.
    extent : tuple of float, optional
        West, east, south, north in degrees; west > east crosses the date line. By default
        everything that has a position.
    ax : matplotlib Axes or cartopy GeoAxes, optional
        Draw here instead of in a new figure. A plain Axes becomes a map in degrees.
    projection : cartopy.crs.CRS, optional
        Of the new figure's maps; by default equirectangular, or polar stereographic for data
        around a pole.
    borders : bool
        Draw country borders too.
    legend : bool
        Draw the colour bar and the key to dry and unseen pixels.
    title : str, optional
        Replaces the title made from sensor, platform and time.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, its first axes being the maps in the order of `panels`.

    Raises
    ------
    InputError
        If a variable is missing, or a table of pixels has no positions.
    MissingPackageError
        If matplotlib is not installed.

    See Also
    --------
    xrain.plotting.plot_tb : Brightness temperatures.
    xrain.plotting.plot_side_by_side : Several datasets.
    xrain.plotting.animate : One after the other.

    Examples
    --------
    >>> import xrain
    >>> from xrain.plotting import plot_rain
    >>> from xrain.testing import fake_swath
    >>> rain = fake_swath("GMI", scans=8, pixels=8).rain.retrieve()
    >>> figure = plot_rain(rain, panels=True)
    >>> len(figure.axes) >= 3
    True
    """
    drawn = [make_panel(ds, name, quantile) for name in panel_names(panels, variable)]
    if len(drawn) > 1:
        drawn = [replace(p, title=label_title(p.values)) for p in drawn]
    above = heading(ds) if title is None else title
    return draw_figure(
        drawn, above, extent=extent, ax=ax, projection=projection, borders=borders, legend=legend
    )


def plot_tb(
    ds: xr.Dataset,
    channels: str | Sequence[str] | None = None,
    *,
    extent: Extent | None = None,
    ax: Any = None,
    projection: Any = None,
    borders: bool = True,
    legend: bool = True,
    title: str | None = None,
) -> Any:
    """Draw brightness temperatures of a swath, or of a table of pixels, one map per channel.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath with ``tb(scan, pixel, channel)`` in K, or a table with ``tb(sample, channel)``.
    channels : str or sequence of str, optional
        Channels to draw, in any spelling (``"36.5V"``, ``"183±3V"``); by default all of them.
    extent, ax, projection, borders, legend, title
        As in :func:`plot_rain`; `ax` takes one channel only.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, its first axes being the maps in the order of `channels`.

    Raises
    ------
    InputError
        If there is no ``tb``, a channel is missing, or a table of pixels has no positions.

    See Also
    --------
    xrain.plotting.plot_rain : Rain.
    """
    drawn = tb_panels(ds, channels)
    above = heading(ds, drawn[0].title if len(drawn) == 1 else "") if title is None else title
    return draw_figure(
        drawn, above, extent=extent, ax=ax, projection=projection, borders=borders, legend=legend
    )


def plot_side_by_side(
    datasets: Mapping[str, xr.Dataset],
    *,
    variable: str = SURFACE_PRECIP,
    quantile: float | None = None,
    extent: Extent | None = None,
    projection: Any = None,
    borders: bool = True,
    legend: bool = True,
    title: str = "",
) -> Any:
    """Draw the same variable of several datasets on maps of one extent, with one colour bar.

    Parameters
    ----------
    datasets : mapping of str to xarray.Dataset
        What to draw, by the title of its map.
    variable, quantile, extent, projection, borders, legend, title
        As in :func:`plot_rain`; the common extent holds all datasets.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, its first axes being the maps in the order of `datasets`.

    Raises
    ------
    InputError
        If `datasets` is empty or one of them lacks the variable.

    See Also
    --------
    xrain.plotting.plot_rain : One dataset.
    xrain.plotting.animate : One after the other.
    """
    if not datasets:
        raise InputError("nothing to draw: the mapping of datasets is empty")
    drawn = [
        replace(make_panel(ds, variable, quantile), title=name) for name, ds in datasets.items()
    ]
    return draw_figure(
        drawn, title, extent=extent, projection=projection, borders=borders, legend=legend
    )


def plot(ds: xr.Dataset, **options: Any) -> Any:
    """Draw a dataset: its rain, or its brightness temperatures where it has no rain yet.

    Parameters
    ----------
    ds : xarray.Dataset
        A rain Dataset, or a swath or table with ``tb``.
    **options
        As for :func:`plot_rain` or :func:`plot_tb`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If an option is for rain and there is none, or nothing can be drawn.

    See Also
    --------
    xrain.plotting.plot_rain : All options for rain.
    xrain.plotting.plot_tb : All options for brightness temperatures.
    xrain.plotting.plot_side_by_side : Several datasets.

    Examples
    --------
    >>> import xrain
    >>> from xrain.testing import fake_swath
    >>> figure = xrain.plot(fake_swath("GMI", 8, 8), channels=["89.0V", "36.64V"])
    >>> figure.savefig("tb.png")
    """
    if SURFACE_PRECIP in ds.variables or "variable" in options or TB not in ds.variables:
        return plot_rain(ds, **options)
    of_rain = [name for name in ("panels", "quantile") if options.pop(name, None)]
    if of_rain:
        raise InputError(
            f"{' and '.join(of_rain)}: the dataset has no rain yet, only 'tb'; retrieve it first"
        )
    return plot_tb(ds, **options)


def draw_figure(
    panels: Sequence[Panel],
    above: str,
    *,
    extent: Extent | None = None,
    view: View | None = None,
    ax: Any = None,
    projection: Any = None,
    borders: bool = True,
    legend: bool = True,
) -> Any:
    """Draw panels on maps of one view, by default one that holds them all; returns the figure."""
    require("matplotlib", "plot", "pictures")
    _require_places(panels)
    if ax is not None and len(panels) > 1:
        raise InputError(f"{len(panels)} panels do not fit into one axes: leave out 'ax'")
    view = view or _common_view(panels, extent)
    styles = _common_styles(panels)
    if ax is None:
        figure, axes = _new_axes(panels, styles, view, projection)
    else:
        figure, axes = ax.figure, [ax]
    drawn = []
    for panel, style, one in zip(panels, styles, axes, strict=True):
        drawn.append(_draw(one, panel, style, view, borders))
        one.set_title(panel.title, fontsize=10)
    if above and len(axes) == 1:
        axes[0].set_title(_fit(above, axes[0].bbox.width / figure.dpi), fontsize=10.5)
    elif above:
        figure.suptitle(_fit(above, figure.get_figwidth()), fontsize=12)
        figure.get_layout_engine().set(h_pad=0.09)
    if legend:
        draw_legends(figure, axes, drawn, styles)
    return figure


def _require_places(panels: Sequence[Panel]) -> None:
    lost = [panel for panel in panels if panel.positions is None]
    if any(panel.values.ndim == 1 for panel in lost):
        raise InputError("a table of pixels needs 'latitude' and 'longitude' to be drawn")
    if lost and len(lost) < len(panels):
        raise InputError("some datasets have 'latitude' and 'longitude' and others have not")


def _common_view(panels: Sequence[Panel], extent: Extent | None) -> View | None:
    places = [p.positions for p in panels if p.positions is not None]
    if not places:
        return None
    if extent is not None:
        return view_of_extent(extent)
    lat = np.concatenate([place[0].ravel() for place in places])
    lon = np.concatenate([place[1].ravel() for place in places])
    return view_of(lat, lon)


def _fit(text: str, inches: float) -> str:
    """Break a title between its parts where it is wider than the figure."""
    lines = [""]
    for part in text.split(" · "):
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if lines[-1] and len(longer) > 11 * inches:
            lines.append(part)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _common_styles(panels: Sequence[Panel]) -> list[Style]:
    """Styles of the panels; rain of one name shares its own, and thus one colour bar."""
    styles = [style_of(p.values) for p in panels]
    shared: dict[object, list[int]] = {}
    for i, (panel, style) in enumerate(zip(panels, styles, strict=True)):
        if style.dry:
            shared.setdefault(panel.values.name, []).append(i)
    for name, members in shared.items():
        style = styles[members[0]]
        if len({styles[i].label for i in members}) > 1:
            style = replace(style, label=f"{str(name).replace('_', ' ')} (mm/h)")
        for i in members:
            styles[i] = style
    return styles


def _new_axes(
    panels: Sequence[Panel], styles: Sequence[Style], view: View | None, projection: Any
) -> tuple[Any, list[Any]]:
    """Make a figure that its maps fill, whatever their shape."""
    import matplotlib.pyplot as plt

    count = len(panels)
    shape = min(max(_image_shape(panels[0]) if view is None else view.shape, 0.3), 1.8)
    columns = _columns(count, shape)
    rows = math.ceil(count / columns)
    width = 6.2 if count == 1 else 2.4 if columns > 3 else 4.0
    width *= min(1.0, math.sqrt(1.3 / shape))
    shared = len({id(style) for style in styles}) == 1
    beside = 1.3 + 0.09 * max(map(_widest_label, styles)) if shared else 0.2
    below = 0.55 if shared else 1.25
    crs = None
    if view is not None:
        crs = projection if projection is not None else projection_of(view)
    size = (columns * (width + 0.5) + beside, rows * (width * shape + below) + 0.35)
    figure = plt.figure(figsize=size, layout="constrained")
    axes = [figure.add_subplot(rows, columns, i + 1, projection=crs) for i in range(count)]
    return figure, axes


def _widest_label(style: Style) -> int:
    """Count the letters of the longest line beside the colour bar beyond those of a number."""
    lines = [line for text in style.tick_labels or () for line in text.splitlines()]
    return max((len(line) - 4 for line in lines), default=0)


def _columns(count: int, shape: float) -> int:
    """Choose how many columns leave the fewest places empty: at most five, three of wide maps."""
    if count <= 3:
        return count
    most = 5 if shape > _WIDE else 3
    least = min(math.ceil(math.sqrt(count)), most)
    return min(range(least, most + 1), key=lambda columns: (-count % columns, columns))


def _image_shape(panel: Panel) -> float:
    scans, pixels = panel.values.shape
    return min(max(scans / max(pixels, 1), 0.4), 1.6)


def _draw(axes: Any, panel: Panel, style: Style, view: View | None, borders: bool) -> Any:
    numbers = np.ma.masked_invalid(np.asarray(panel.values.values, np.float64))
    options = {"cmap": style.cmap, "norm": style.norm, "zorder": 2}
    if view is None:
        drawn = _draw_image(axes, panel, numbers, options)
    else:
        draw_background(axes, view, borders=borders)
        lat, lon = cast("tuple[Array, Array]", panel.positions)
        numbers = np.ma.masked_where(np.isnan(lat) | np.isnan(lon), numbers)
        if numbers.ndim == 1 or 1 in numbers.shape:
            drawn = _draw_points(axes, view, lat.ravel(), lon.ravel(), numbers.ravel(), options)
        else:
            drawn = _draw_cells(axes, view, lat, lon, numbers, options)
    if numbers.count() == 0:
        axes.text(
            0.5, 0.5, "no valid value", transform=axes.transAxes, ha="center", va="center",
            zorder=5, bbox={"facecolor": "white", "edgecolor": "0.4", "boxstyle": "round"},
        )  # fmt: skip
    return drawn


def _draw_image(axes: Any, panel: Panel, numbers: Any, options: dict[str, Any]) -> Any:
    axes.set_facecolor(UNSEEN_COLOR)
    axes.set(xlabel=str(panel.values.dims[1]), ylabel=str(panel.values.dims[0]))
    return axes.pcolormesh(numbers, **options)


def _draw_points(
    axes: Any, view: View, lat: Array, lon: Array, numbers: Any, options: dict[str, Any]
) -> Any:
    x, y = project(axes, view, lat, lon)
    if view.pole:
        frame(axes, x, y)
    good = np.isfinite(x) & np.isfinite(y) & ~np.ma.getmaskarray(numbers)
    size = float(np.clip(20_000 / max(int(good.sum()), 1), 3, 40))
    return axes.scatter(
        x[good], y[good], s=size, c=np.asarray(numbers)[good], edgecolors="0.3",
        linewidths=0.2 if size > 4 else 0.0, **options,
    )  # fmt: skip


def _draw_cells(
    axes: Any, view: View, lat: Array, lon: Array, numbers: Any, options: dict[str, Any]
) -> Any:
    gaps = jumps(unit_vectors(lat, lon))
    lat, lon = (np.insert(a, gaps, np.nan, axis=0) for a in (lat, lon))
    numbers = np.ma.masked_invalid(np.insert(numbers.filled(np.nan), gaps, np.nan, axis=0))
    x, y = project(axes, view, *corners(lat, lon))
    if view.pole:
        frame(axes, x, y)
    known = np.isfinite(x) & np.isfinite(y)
    cells = np.stack([known[:-1, :-1], known[1:, :-1], known[:-1, 1:], known[1:, 1:]])
    bad = ~cells.all(0) | ~np.isfinite(lat) | _torn(axes, x)
    x, y = np.where(known, x, 0.0), np.where(known, y, 0.0)
    values = np.ma.masked_array(numbers, np.ma.getmaskarray(numbers) | bad)
    return axes.pcolormesh(x, y, values, shading="flat", rasterized=True, **options)


def _torn(axes: Any, x: Array) -> NDArray[np.bool_]:
    """Find the cells that the edge of the map, opposite its centre, would tear apart."""
    limits = getattr(getattr(axes, "projection", None), "x_limits", (-180.0, 180.0))
    half = (limits[1] - limits[0]) / 2
    four = np.stack((x[:-1, :-1], x[1:, :-1], x[:-1, 1:], x[1:, 1:]))
    torn: NDArray[np.bool_] = np.ptp(np.where(np.isfinite(four), four, 0.0), axis=0) > half
    return torn
