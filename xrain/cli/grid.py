"""The command that merges many granules on one grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xrain.cli.cluster import Scheduler, cluster
from xrain.cli.console import echo, progress, say
from xrain.cli.follow import exit_status, tell_failure
from xrain.cli.options import Device, Model

__all__ = ["grid"]


def grid(
    files: Annotated[
        list[Path], typer.Argument(help="Rain files or L1C granules.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="netCDF file, or a Zarr store if the name ends in .zarr."
        ),
    ],
    resolution: Annotated[float, typer.Option(help="Grid spacing in degrees.")] = 0.1,
    freq: Annotated[
        str, typer.Option(help="Length of the time intervals: 30min, 3h, 1D and so on.")
    ] = "1D",
    extent: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="West, east, south and north in degrees. Default: the globe."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Exclude pixels with this flag of retrieval_quality. Repeatable."),
    ] = None,
    model: Model = None,
    device: Device = None,
    scheduler: Scheduler = None,
) -> None:
    """Average the rain of many sensors on one grid, with counts and uncertainty.

    If a file cannot be read the others are still used, and the exit status is 2.
    """
    from xrain.level3 import grid_rain
    from xrain.retrieval.batch import Outcome

    failures: list[Exception] = []
    with cluster(scheduler) as client, progress(len(files)) as bar:
        task = bar.add_task("gridding", total=len(files))

        def tell(outcome: Outcome) -> None:
            if outcome.error is not None:
                tell_failure(outcome.source, outcome.error)
                failures.append(outcome.error)
            bar.advance(task)

        path = grid_rain(
            files, output, resolution=resolution, freq=freq, extent=extent, model=model,
            device=device, exclude=exclude or (), client=client, tell=tell,
        )  # fmt: skip
    echo(path)
    if failures:
        say(f"{len(files) - len(failures)} of {len(files)} files used")
        raise typer.Exit(exit_status(failures))
