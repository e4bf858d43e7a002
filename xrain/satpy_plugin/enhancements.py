"""Colours of the composites: the classes of xrain's maps, and a legend in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import dask.array as da
import numpy as np
import numpy.typing as npt
import satpy
import xarray as xr

from xrain.conventions import QUALITY_FLAGS
from xrain.plotting.style import (
    DRY_COLOR,
    FLAG_COLORS,
    PHASE_COLORS,
    PROBABILITY_COLORS,
    PROBABILITY_EDGES,
    RAIN_COLORS,
    RAIN_EDGES,
)
from xrain.satpy_plugin.legend import draw_legend, paint

_RAIN: Final = (DRY_COLOR, *RAIN_COLORS)


def rain_classes(img: Any) -> None:
    """Colour rain in mm/h by logarithmic classes, the lowest being dry."""
    _classes(img, RAIN_EDGES, _RAIN, "mm/h")


def probability_classes(img: Any) -> None:
    """Colour a probability by ten classes."""
    _classes(img, PROBABILITY_EDGES[1:-1], PROBABILITY_COLORS, "probability")


def rain_flag(img: Any) -> None:
    """Colour what is dry and what is rain; neither where nothing was observed."""
    fill = img.data.attrs.get("_FillValue")
    img.data = img.data.where(img.data != fill) if fill is not None else img.data
    _classes(img, (0.5,), FLAG_COLORS[:2], "")


def phase_classes(img: Any) -> None:
    """Colour solid, mixed and liquid precipitation, and what is dry."""
    fill = img.data.attrs.get("_FillValue")
    img.data = img.data.where(img.data != fill) if fill is not None else img.data
    _classes(img, (0.5, 1.5, 2.5), PHASE_COLORS, "")


def quality_classes(img: Any) -> None:
    """Colour what is good, what carries a flag, and what has no rate."""
    fill = img.data.attrs.get("_FillValue")
    flags = img.data if fill is None else img.data.where(img.data != fill)
    none = QUALITY_FLAGS["no_usable_channel"] | QUALITY_FLAGS["bad_geolocation"]
    bits = flags.fillna(0).astype(np.uint8)
    level = (bits > 0).astype(np.float32) + ((bits & none) > 0)
    img.data = level.where(flags.notnull()).assign_attrs(img.data.attrs)
    _classes(img, (0.5, 1.5), (FLAG_COLORS[0], FLAG_COLORS[2], FLAG_COLORS[9]), "")


def _classes(img: Any, edges: Sequence[float], colors: Sequence[str], title: str) -> None:
    """Replace the values by the colours of their classes; NaN stays NaN and turns transparent."""
    table = np.array([_rgb(c) for c in colors], np.float32)
    values = img.data.isel(bands=0, drop=True).transpose("y", "x")
    data = values.data
    data = data if isinstance(data, da.Array) else da.from_array(np.asarray(data))
    painted = da.map_blocks(
        _color, data, np.asarray(edges), table, dtype=np.float32, new_axis=0,
        chunks=((3,), *data.chunks), meta=np.empty((0, 0, 0), np.float32),
    )  # fmt: skip
    if title and satpy.config.get("xrain.legend", False):
        painted = paint(painted, draw_legend(edges, colors, title))
    img.data = xr.DataArray(
        painted,
        dims=("bands", "y", "x"),
        coords={"bands": ["R", "G", "B"]},
        attrs={**img.data.attrs, "mode": "RGB"},
    )


def _color(
    values: npt.NDArray[Any], edges: npt.NDArray[np.float64], table: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    out = table[np.digitize(values, edges)]
    out[~np.isfinite(values)] = np.nan
    return np.moveaxis(out, -1, 0)


def _rgb(color: str) -> tuple[float, float, float]:
    """Shares of red, green and blue of ``#rrggbb``."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
