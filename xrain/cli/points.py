"""The command that extracts series at stations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xrain.cli.console import echo, progress, say
from xrain.cli.follow import exit_status, tell_failure
from xrain.cli.options import Device, Model
from xrain.errors import InputError

__all__ = ["extract"]


def extract(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Rain files, rain granules of the archive, grids or L1C granules.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Table (.csv), or netCDF (.nc) with all dimensions."),
    ],
    points: Annotated[
        Path | None,
        typer.Option(help="CSV file with columns latitude, longitude and, if named, station."),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(help="A point as NAME=LATITUDE,LONGITUDE. Repeatable."),
    ] = None,
    reach: Annotated[
        float | None,
        typer.Option(
            help="Take the nearest pixel up to so many km away. Default: the point must lie in a "
            "pixel."
        ),
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(help="Variable to extract. Repeatable. Default: all."),
    ] = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Extract what every overpass says at stations: rain, time, distance and flags.

    If a file cannot be read the others are still used, and the exit status is 2.
    """
    from xrain.points import extract_points
    from xrain.retrieval.batch_granule import Outcome

    write = _writer(output)
    failures: list[Exception] = []
    with progress(len(files)) as bar:
        task = bar.add_task("extracting", total=len(files))

        def tell(outcome: Outcome) -> None:
            if outcome.error is not None:
                tell_failure(outcome.source, outcome.error)
                failures.append(outcome.error)
            bar.advance(task)

        series = extract_points(
            files, _points(points, at), reach=reach, variables=variable, model=model,
            device=device, tell=tell,
        )  # fmt: skip
    write(series)
    echo(output)
    say(f"{series.sizes['observation']} observations at {series.sizes['station']} stations")
    if failures:
        say(f"{len(files) - len(failures)} of {len(files)} files used")
        raise typer.Exit(exit_status(failures))


def _writer(output: Path) -> Any:
    """Choose how to write by the file's ending."""
    from xrain.io.write_rain import write_rain

    if output.suffix in (".nc", ".zarr"):
        return lambda series: write_rain(series, output)
    if output.suffix != ".csv":
        raise InputError(f"{output}: a series is written as .csv, .nc or .zarr")
    return lambda series: _write_csv(series, output)


def _write_csv(series: Any, output: Path) -> None:
    from xrain.atomic import replacing
    from xrain.points import point_table

    with replacing(output) as draft:
        point_table(series).to_csv(
            draft, index=False, date_format="%Y-%m-%dT%H:%M:%SZ", float_format="%.6g"
        )


def _points(table: Path | None, at: list[str] | None) -> Any:
    """Collect the points of a table or of options."""
    if (table is None) == (not at):
        raise InputError("give the points either with --points FILE or with --at")
    if table is not None:
        return table
    points = {}
    for text in at or ():
        name, _, place = text.rpartition("=")
        parts = place.split(",")
        try:
            latitude, longitude = map(float, parts)
        except ValueError as error:
            raise InputError(f"--at {text}: write it as Taipei=25.03,121.51") from error
        points[name or place] = (latitude, longitude)
    return points
