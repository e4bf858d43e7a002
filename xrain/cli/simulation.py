"""Commands that simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder; made if absent.")] = Path(
        "demo"
    ),
    sensor: Annotated[
        str | None, typer.Option(help="Simulate this instrument instead of the packaged granule.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Simulate another storm; each number has its own.")
    ] = None,
) -> None:
    """Retrieve rain from a simulated granule, draw it, and hold it against the truth."""
    from xrain.demo import run_demo

    for line in run_demo(output, sensor=sensor, seed=seed):
        typer.echo(line)
