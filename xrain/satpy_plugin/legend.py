"""A legend that lies in a corner of a Satpy picture, so that its raster stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import dask.array as da
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from xrain.errors import InputError

_BOX: Final = (26, 18)
"""Width and height in pixels of the patch of one class."""

_PAD: Final = 8
_FONT_SIZE: Final = 13


def draw_legend(
    edges: Sequence[float], colors: Sequence[str], title: str
) -> npt.NDArray[np.float32]:
    """Draw the classes one above the other, the highest on top.

    Parameters
    ----------
    edges : sequence of float
        Values between the classes, rising.
    colors : sequence of str
        One colour for each class, one more than edges.
    title : str
        Text above.

    Returns
    -------
    ndarray, shape (row, column, 3)
        Shares of red, green and blue.
    """
    font = ImageFont.load_default(_FONT_SIZE)
    texts = [f"{edge:g}" for edge in edges]
    beside = _BOX[0] + 6 + max(font.getlength(t) for t in texts)
    width = int(max(beside, font.getlength(title))) + 2 * _PAD
    top = _PAD + _FONT_SIZE + 8
    image = Image.new("RGB", (width, top + _BOX[1] * len(colors) + _PAD), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, image.width - 1, image.height - 1), outline="#7f7f7f")
    pen.text((_PAD, _PAD - 2), title, fill="black", font=font)
    bottom = top + _BOX[1] * len(colors)
    for k, color in enumerate(colors):
        y = bottom - _BOX[1] * (k + 1)
        pen.rectangle((_PAD, y, _PAD + _BOX[0], y + _BOX[1]), fill=color, outline="#7f7f7f")
    for k, text in enumerate(texts):
        y = bottom - _BOX[1] * (k + 1)
        pen.text((_PAD + _BOX[0] + 6, y), text, fill="black", font=font, anchor="lm")
    return np.asarray(image, np.float32) / np.float32(255)


def paint(picture: da.Array, legend: npt.NDArray[np.float32]) -> da.Array:
    """Lay a legend into the lower left corner of a picture (band, y, x).

    Raises
    ------
    InputError
        If the picture has no room for it.
    """
    high, wide = legend.shape[:2]
    rows, columns = picture.shape[1:]
    if rows < high + 2 * _PAD or columns < wide + 2 * _PAD:
        raise InputError(
            f"a picture of {rows} rows and {columns} columns has no room for a legend of {high} "
            f"and {wide}; resample to a finer grid, or set xrain.legend to False"
        )
    around: Any = ((0, 0), (rows - _PAD - high, _PAD), (_PAD, columns - _PAD - wide))
    laid = da.pad(da.from_array(np.moveaxis(legend, -1, 0)), around, constant_values=np.nan)
    laid = laid.rechunk(picture.chunks)
    out: da.Array = da.where(da.isnan(laid), picture, laid)
    return out
