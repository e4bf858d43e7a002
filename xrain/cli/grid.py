"""The command that merges many granules on one grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xrain.cli.console import progress, say
from xrain.cli.granules import tell_failure
from xrain.errors import XrainError

__all__ = ["grid"]


def grid(
    files: Annotated[
        list[Path], typer.Argument(help="Rain files, or L1C granules.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="netCDF file, or Zarr store if called .zarr.")
    ],
    resolution: Annotated[float, typer.Option(help="Width of a cell in degrees.")] = 0.1,
    freq: Annotated[str, typer.Option(help="Interval of time: 30min, 3h, 1D …")] = "1D",
    extent: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="West, east, south, north in degrees; by default the globe."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Flag of retrieval_quality to leave out; may be repeated."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="For granules; by default the sensor's own."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="For granules: cpu, cuda …")] = None,
) -> None:
    """Merge rain of many sensors into means on one grid, with counts and uncertainty.

    A file that cannot be read does not stop the others; the exit status is then 2.
    """
    from xrain.files import Outcome
    from xrain.level3 import grid_rain

    failures: list[Exception] = []
    with progress(len(files)) as bar:
        task = bar.add_task("gridding", total=len(files))

        def tell(outcome: Outcome) -> None:
            if outcome.error is not None:
                tell_failure(outcome.source, outcome.error)
                failures.append(outcome.error)
            bar.advance(task)

        path = grid_rain(
            files, output, resolution=resolution, freq=freq, extent=extent, model=model,
            device=device, exclude=exclude or (), tell=tell,
        )  # fmt: skip
    typer.echo(str(path))
    if failures:
        say(f"{len(files) - len(failures)} of {len(files)} files used")
        raise typer.Exit(2 if all(isinstance(e, XrainError) for e in failures) else 1)
