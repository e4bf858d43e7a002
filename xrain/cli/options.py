"""Options that several commands share, so that one text tells of them."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Device", "Model"]

Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Model name or folder. Default: the sensor's own."),
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda and so on. Default: a GPU where there is one.")
]
