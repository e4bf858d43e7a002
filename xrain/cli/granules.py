"""Commands that show granules and rain files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrain.cli.console import echo, out
from xrain.cli.follow import exit_status, tell_failure

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["animate", "info", "plot"]

Files = Annotated[
    list[Path],
    typer.Argument(
        help="L1C granules, rain granules of the archive, rain files or grids.", show_default=False
    ),
]


def info(files: Files) -> None:
    """Show the contents of granules, rain files and grids; of several one line each."""
    from xrain.cli.summary import COLUMNS, summarize, summary_row
    from xrain.io.open import open_any

    if len(files) == 1:
        with open_any(files[0]) as ds:
            summary = summarize(ds)
        width = max(map(len, summary.facts))
        for key, value in summary.facts.items():
            out().print(f"{key:<{width}}  {value}")
        out().print(_table(summary.columns, summary.rows))
        return
    rows, failures = [], []
    for file in files:
        try:
            with open_any(file) as ds:
                rows.append((file.name, *summary_row(ds)))
        except Exception as error:  # whatever it is, the other files are shown
            tell_failure(file, error)
            failures.append(error)
    lines = [("file", *COLUMNS), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:  # unbroken on a narrow terminal, and easy to search
        out().print("  ".join(f"{t:<{w}}" for t, w in zip(line, widths, strict=True)).rstrip())
    if failures:
        raise typer.Exit(exit_status(failures))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Make a table, numbers to the right."""
    from rich.table import Table

    table = Table(*columns, box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    return table


def plot(
    files: Files,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Image file. Default: <name>.png in the current folder, after the first file.",
        ),
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Variable of a rain file. Default: the rain rate.")
    ] = None,
    panels: Annotated[
        bool,
        typer.Option("--panels", help="Draw rain rate, probability and interval side by side."),
    ] = False,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", "-c", help="Channel of a granule. Repeatable. Default: all."),
    ] = None,
    extent: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="West, east, south and north in degrees. Default: all there is."),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="Times of a grid to draw, such as 2020-07-01. Default: all."),
    ] = None,
) -> None:
    """Draw maps of rain files, rain granules and grids, or of brightness temperatures.

    Several files, and the times of a grid, are drawn side by side, with one extent and one
    colour bar.
    """
    from xrain.cli.pictures import draw_files

    target = output or Path(f"{files[0].name.removesuffix(files[0].suffix)}.png")
    path = draw_files(
        files, target, variable=variable, panels=panels, channels=channel or (), extent=extent,
        time=time,
    )  # fmt: skip
    echo(path)


def animate(
    files: Annotated[
        list[Path],
        typer.Argument(help="Rain files in the order of the frames.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Animation: .gif, or .mp4 (needs ffmpeg).")
    ],
    variable: Annotated[
        str | None, typer.Option(help="Variable to draw. Default: the rain rate.")
    ] = None,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 2.0,
) -> None:
    """Animate rain files, or the time steps of a gridded one."""
    from xrain.cli.pictures import animate_files

    echo(animate_files(files, output, variable=variable, fps=fps))
