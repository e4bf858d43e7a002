"""Commands on granules and rain files."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from xrain.cli.console import out, progress, say, say_error
from xrain.errors import XrainError

__all__ = ["animate", "info", "plot", "retrieve", "tell_failure"]

File = Annotated[Path, typer.Argument(help="An L1C granule or a rain file.", show_default=False)]


def info(file: File) -> None:
    """Say what a granule or a rain file holds."""
    from rich.table import Table

    from xrain.files import open_any, summarize

    with open_any(file) as ds:
        summary = summarize(ds)
    width = max(map(len, summary.facts))
    for key, value in summary.facts.items():
        out().print(f"{key:<{width}}  {value}", markup=False)
    table = Table(*summary.columns, box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in summary.rows:
        table.add_row(*row)
    out().print(table)


def retrieve(
    files: Annotated[list[Path], typer.Argument(help="L1C granules.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for <name>.rain.nc; made if absent.")
    ] = Path(),
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Model name or folder; by default the sensor's own."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda …; by default a GPU where there is one.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Also draw a map of each.")] = False,
) -> None:
    """Retrieve rain from granules: one CF netCDF file for each.

    A granule that cannot be read does not stop the others; the exit status is then 2.
    """
    from xrain.files import retrieve_files

    failures: list[Exception] = []
    outcomes = retrieve_files(files, output, model=model, device=device, pictures=plot)
    with progress(len(files)) as bar:
        task = bar.add_task("retrieving", total=len(files))
        for outcome in outcomes:
            for path in outcome.written:
                bar.console.file.flush()
                typer.echo(str(path))
            if outcome.error is not None:
                tell_failure(outcome.source, outcome.error)
                failures.append(outcome.error)
            bar.advance(task)
    if failures:
        if len(files) > 1:
            say(f"{len(files) - len(failures)} of {len(files)} files done")
        raise typer.Exit(2 if all(isinstance(e, XrainError) for e in failures) else 1)


def tell_failure(source: Path, error: Exception) -> None:
    """Tell why a file could not be used; with its traceback where that is a fault of xrain."""
    text = str(error)
    if isinstance(error, XrainError):
        say_error(text if source.name in text else f"{source}: {text}")
        return
    traceback.print_exception(error, file=sys.stderr)
    say_error(f"{source}: unexpected {type(error).__name__}: {text}")


def plot(
    file: File,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Image; by default <name>.png where you are."),
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Variable of a rain file; by default the rain rate.")
    ] = None,
    panels: Annotated[
        bool, typer.Option("--panels", help="Rain, probability and interval side by side.")
    ] = False,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", "-c", help="Channel of a granule; may be repeated."),
    ] = None,
) -> None:
    """Draw a map of a rain file, or of a granule's brightness temperatures."""
    from xrain.files import draw_file

    target = output or Path(f"{file.name.removesuffix(file.suffix)}.png")
    path = draw_file(file, target, variable=variable, panels=panels, channels=channel or ())
    typer.echo(str(path))


def animate(
    files: Annotated[
        list[Path], typer.Argument(help="Rain files, in their order.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Film: .gif, or .mp4 (ffmpeg).")],
    variable: Annotated[
        str | None, typer.Option(help="Variable to draw; by default the rain rate.")
    ] = None,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 2.0,
) -> None:
    """Draw rain files, or the intervals of a gridded one, one after the other into a film."""
    from xrain.files import animate_files

    typer.echo(str(animate_files(files, output, variable=variable, fps=fps)))
