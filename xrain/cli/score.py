"""Score models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from xrain.cli.console import out, progress, say

__all__ = ["score"]

_SURFACES = ("all", "ocean", "land")
_SKIPPED = {"quantile_coverage", "reliability"}


def score(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Matched pixels, stores, or with --truth granules.", show_default=False
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Model name or folder.", show_default=False)
    ],
    channels: Annotated[
        str | None,
        typer.Option(
            help="Keep only these channels, separated by commas; an instrument's name stands for "
            "the channels nearest to its own."
        ),
    ] = None,
    truth: Annotated[
        bool,
        typer.Option("--truth", help="The files are simulated granules with their truth beside."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    bootstrap: Annotated[
        int | None, typer.Option(min=0, help="Draws behind the intervals; 0 leaves them out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda …; by default a GPU where there is one.")
    ] = None,
) -> None:
    """Score a model on real matched pixels, or on simulated swaths with known rain.

    Of a store of 'xrain collocate' the patches of its test count. Several files of matched pixels
    and stores are scored each for itself, several granules together.
    """
    from xrain.evaluation.scorecard import to_json

    wanted = None if channels is None else [c.strip() for c in channels.split(",") if c.strip()]
    options: dict[str, Any] = {"channels": wanted, "seed": seed, "device": device}
    if bootstrap is not None:
        options["bootstrap"] = bootstrap
    found = (_granules if truth else _matchups)(files, model, options)
    if json:
        typer.echo(to_json(found[0] if len(found) == 1 else found))
        return
    for scores in found:
        _show(scores)


def _granules(files: Sequence[Path], model: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    from xrain.evaluation.swaths import score_granules

    with progress(len(files)) as bar:
        task = bar.add_task("scoring", total=len(files))
        return [score_granules(files, model, progress=lambda _: bar.advance(task), **options)]


def _matchups(files: Sequence[Path], model: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    from xrain.crossvalidation import score_store
    from xrain.evaluation.matchups import score_matchups
    from xrain.models.store import load_model
    from xrain.training.archive import is_store

    loaded, found = load_model(model), []
    with progress(len(files)) as bar:
        task = bar.add_task("scoring", total=len(files))
        for file in files:
            scored = score_store if is_store(file) else score_matchups
            found.append(scored(file, loaded, **options))
            bar.advance(task)
    return found


def _show(scores: dict[str, Any]) -> None:
    """Print a table: one row a score, one column a surface."""
    from rich.table import Table

    source = scores["source"]
    where = source if isinstance(source, str) else f"{len(source)} granules"
    out().print(f"{scores['model']}@{scores['model_version']} on {where}", markup=False)
    if scores["given_rain"]:
        out().print("all pixels rain: mean and quantiles are those on that condition")
    table = Table("", *_SURFACES, box=None, padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for name in _rows(scores):
        table.add_row(name, *(_cell(scores[s], name) for s in _SURFACES))
    out().print(table)
    if scores["n_without_value"]:
        say(f"{scores['n_without_value']} pixels have a truth but no estimate: they do not count")


def _rows(scores: dict[str, Any]) -> list[str]:
    return [k for k in scores["all"] if k not in _SKIPPED and not k.endswith("_interval")]


def _cell(scores: dict[str, Any], name: str) -> str:
    value, interval = scores.get(name), scores.get(f"{name}_interval")
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if interval is None or None in interval:
        return f"{value:.3f}"
    return f"{value:.3f} [{interval[0]:.2f}, {interval[1]:.2f}]"
