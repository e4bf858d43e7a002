"""Figures as they stand in a page: PNG in text, with words for those who cannot see them."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xrain.errors import XrainError

__all__ = ["Picture", "draw_picture", "require_matplotlib"]

DPI = 144
SHOWN_DPI = 96
"""Pixels drawn and shown to an inch: pictures stay sharp on fine screens."""


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes
    ----------
    png : str
        The image in base64.
    alt : str
        What it shows, for those who cannot see it.
    caption : str
        What stands below.
    width, height : int
        Size on the page in pixels.
    """

    png: str
    alt: str
    caption: str
    width: int
    height: int


def require_matplotlib() -> None:
    """Raise an XrainError that names the remedy where matplotlib is absent."""
    try:
        import matplotlib.pyplot  # noqa: F401
    except ImportError as error:
        raise XrainError("a report needs matplotlib: pip install 'xrain[plot]'") from error


def draw_picture(draw: Callable[[], Any], alt: str, caption: str) -> Picture:
    """Draw a figure and keep it as text."""
    import matplotlib.pyplot as plt

    figure = draw()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    plt.close(figure)
    image = buffer.getvalue()
    width, height = (x * SHOWN_DPI // DPI for x in struct.unpack(">II", image[16:24]))
    return Picture(base64.b64encode(image).decode("ascii"), alt, caption, width, height)
