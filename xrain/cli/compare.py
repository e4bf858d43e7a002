"""Compare retrievals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrain.cli.console import echo, out, progress, say

if TYPE_CHECKING:
    from xrain.evaluation.compare import Comparison
    from xrain.evaluation.report.tables import Cell

__all__ = ["compare"]


def compare(
    granules: Annotated[
        list[Path],
        typer.Argument(help="L1C granules, stores or transects.", show_default=False),
    ],
    reference: Annotated[
        list[str] | None,
        typer.Option(
            "--reference",
            "-r",
            help="Reference of granules: files of any product (repeatable), or the word truth for "
            "simulated granules. Stores and transects hold their own.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        str,
        typer.Option("--models", "-m", help="Model names or folders, separated by commas."),
    ] = "",
    also: Annotated[
        list[Path] | None,
        typer.Option(help="Product granule to compare like a model, such as 2A GPROF. Repeatable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for report.html and scores.json."),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Bootstrap samples for the confidence intervals; 0 for none.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Random seed of the bootstrap.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda and so on. Default: a GPU if there is one.")
    ] = None,
) -> None:
    """Compare models and products with a reference on the same pixels.

    Prints a table; with --output also writes all scores as JSON and a report as a self-contained
    HTML page.
    """
    from xrain.evaluation.compare import compare as run

    names = [m.strip() for m in models.split(",") if m.strip()]
    with progress(len(granules)) as bar:
        task = bar.add_task("comparing", total=len(granules))
        found = run(
            granules,
            names,
            reference,
            also=also or (),
            bootstrap=bootstrap,
            seed=seed,
            device=device,
            progress=lambda _: bar.advance(task),
        )
    _show(found)
    if output is not None:
        from xrain.evaluation.report import write_comparison

        for path in write_comparison(found, output):
            echo(path)
    if not any(int(s["n"].sel(stratum="all")) for s in found.scores.values()):
        raise typer.Exit(2)


def _cell(cell: Cell) -> str:
    return f"{cell.text} ({cell.small})" if cell.small else cell.text


def _show(found: Comparison) -> None:
    """Print a table for each surface, and the notes beside."""
    from rich.table import Table

    from xrain.evaluation.report import score_table

    whole = next(iter(found.scores.values()))
    for stratum in ("all", "ocean", "land"):
        count = int(whole["n"].sel(stratum=stratum))
        if stratum != "all" and not count:
            continue
        words = score_table(found.scores, stratum, "")
        event = f"an event is {whole.attrs['event']}"
        out().print(f"{stratum}, against {found.reference}: {count} pixels; {event}")
        wide = out().width >= 28 + 26 * len(found.scores)
        table = Table("", *words.head[1:], box=None, padding=(0, 2, 0, 0))
        for column in table.columns[1:]:
            column.justify = "right"
        for name, *cells in words.rows:
            table.add_row(name, *(_cell(c) if wide else c.text for c in cells))
        out().print(table)
    for note in found.notes:
        say(note)
