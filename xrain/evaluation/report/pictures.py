"""Figures as they stand in a page: PNG in text, with words for those who cannot see them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xrain.plotting.save import png_of

__all__ = ["Picture", "draw_picture"]

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


def draw_picture(draw: Callable[[], Any], alt: str, caption: str) -> Picture:
    """Draw a figure and keep it as text."""
    image = png_of(draw, DPI)
    width, height = (x * SHOWN_DPI // DPI for x in struct.unpack(">II", image[16:24]))
    return Picture(base64.b64encode(image).decode("ascii"), alt, caption, width, height)
