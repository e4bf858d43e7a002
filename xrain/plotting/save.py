"""Save a figure whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xrain.atomic import replacing
from xrain.errors import InputError
from xrain.extras import require


def save_picture(draw: Callable[[], Any], path: Path) -> Path:
    """Draw a figure and save it, whole or not at all.

    Parameters
    ----------
    draw : callable
        Makes a matplotlib figure.
    path : Path
        Image file; its suffix tells the format.

    Raises
    ------
    InputError
        If matplotlib does not know the format.
    MissingPackageError
        If matplotlib is not installed.
    OutputError
        If the file cannot be written.
    """
    require("matplotlib", "plot", "pictures")
    import matplotlib.pyplot as plt

    known = plt.figure().canvas.get_supported_filetypes()
    plt.close()
    if path.suffix[1:].lower() not in known:
        raise InputError(f"{path}: unknown kind of picture; known are {', '.join(sorted(known))}")
    with replacing(path) as draft:
        figure = draw()
        figure.savefig(draft, dpi=150)
        plt.close(figure)
    return path


def png_of(draw: Callable[[], Any], dpi: float) -> bytes:
    """Draw a figure on white paper and return it as PNG."""
    require("matplotlib", "plot", "pictures")
    import matplotlib.pyplot as plt

    figure = draw()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    plt.close(figure)
    return buffer.getvalue()
