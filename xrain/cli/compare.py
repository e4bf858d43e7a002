"""Compare retrievals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrain.cli.console import out, progress, say

if TYPE_CHECKING:
    from xrain.evaluation.compare import Comparison
    from xrain.report.tables import Cell

__all__ = ["compare"]


def compare(
    granules: Annotated[list[Path], typer.Argument(help="L1C granules.", show_default=False)],
    reference: Annotated[
        list[str],
        typer.Option(
            "--reference",
            "-r",
            help="What to compare with: 2A or 2B granules, several by repeating the option, or the "
            "word truth for simulated granules.",
            show_default=False,
        ),
    ],
    models: Annotated[
        str,
        typer.Option("--models", "-m", help="Model names or folders, separated by commas."),
    ] = "",
    also: Annotated[
        list[Path] | None,
        typer.Option(
            help="Product granule that takes part like a model, such as 2A GPROF; may be repeated."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for report.html and scores.json."),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Draws behind the intervals; 0 leaves them out.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda …; by default a GPU where there is one.")
    ] = None,
) -> None:
    """Score several models and products side by side, on the same pixels.

    Prints a table; with --output also writes all numbers as JSON and a report as one HTML page
    that needs no network.
    """
    from xrain.evaluation.compare import compare as run

    names = [m.strip() for m in models.split(",") if m.strip()]
    with progress(len(granules)) as bar:
        task = bar.add_task("comparing", total=len(granules))
        found = run(
            granules,
            names,
            "truth" if reference == ["truth"] else reference,
            also=also or (),
            bootstrap=bootstrap,
            seed=seed,
            device=device,
            progress=lambda _: bar.advance(task),
        )
    _show(found)
    if output is not None:
        from xrain.report import write_comparison

        for path in write_comparison(found, output):
            typer.echo(str(path))


def _cell(cell: Cell) -> str:
    return f"{cell.text} ({cell.small})" if cell.small else cell.text


def _show(found: Comparison) -> None:
    """Print a table for each surface, and the notes beside."""
    from rich.table import Table

    from xrain.report import score_table

    whole = next(iter(found.scores.values()))
    for stratum in ("all", "ocean", "land"):
        count = int(whole["n"].sel(stratum=stratum))
        if stratum != "all" and not count:
            continue
        words = score_table(found.scores, stratum, "")
        out().print(f"{stratum}, against {found.reference}: {count} pixels", markup=False)
        wide = out().width >= 28 + 26 * len(found.scores)
        table = Table("", *words.head[1:], box=None, padding=(0, 2, 0, 0))
        for column in table.columns[1:]:
            column.justify = "right"
        for name, *cells in words.rows:
            table.add_row(name, *(_cell(c) if wide else c.text for c in cells))
        out().print(table)
    for note in found.notes:
        say(note)
