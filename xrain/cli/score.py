"""Score models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from xrain.cli.console import echo, out, progress, say

__all__ = ["score"]

_SURFACES = ("all", "ocean", "land")
_WIDE = 96  # columns of a terminal that has room for intervals
_MEANS = ("table", "swath", "reference")
_KINDS = {"table": "each pixel alone", "swath": "with neighbours"}


def score(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Matched pixels, transects, stores, or with --truth granules.", show_default=False
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Model name or folder.", show_default=False)
    ],
    channels: Annotated[
        str | None,
        typer.Option(
            help="Use only these channels, separated by commas; the name of an instrument stands "
            "for the channels nearest to its own."
        ),
    ] = None,
    truth: Annotated[
        bool,
        typer.Option("--truth", help="The files are simulated granules with their truth files."),
    ] = False,
    prior: Annotated[
        float | None,
        typer.Option(
            help="Frequency of rain to assume; by default that of the file for matched pixels, "
            "else the model's own."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
    bootstrap: Annotated[
        int | None,
        typer.Option(min=0, help="Bootstrap samples for the confidence intervals; 0 for none."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the bootstrap.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda and so on. Default: a GPU if there is one.")
    ] = None,
) -> None:
    """Score a model on real pixels with known rain, or on simulated swaths.

    Of a store of 'xrain collocate' the patches of its test count. Transects are scored pixel by
    pixel and as swaths one pixel wide. Several files and stores are scored each for itself,
    several granules together.
    """
    from xrain.evaluation.scorecard import to_json

    wanted = None if channels is None else [c.strip() for c in channels.split(",") if c.strip()]
    options: dict[str, Any] = {"channels": wanted, "prior": prior, "seed": seed, "device": device}
    if bootstrap is not None:
        options["bootstrap"] = bootstrap
    found = (_granules if truth else _observed)(files, model, options)
    if json:
        echo(to_json(found[0] if len(found) == 1 else found))
        return
    for scores in found:
        _show(scores)


def _granules(files: Sequence[Path], model: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    from xrain.evaluation.swaths import score_granules

    with progress(len(files)) as bar:
        task = bar.add_task("scoring", total=len(files))
        return [score_granules(files, model, progress=lambda _: bar.advance(task), **options)]


def _observed(files: Sequence[Path], model: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    from xrain.models.store import load_model

    loaded, found = load_model(model), []
    with progress(len(files)) as bar:
        task = bar.add_task("scoring", total=len(files))
        for file in files:
            found.append(_scorer(file)(file, loaded, **options))
            bar.advance(task)
    return found


def _scorer(file: Path) -> Callable[..., dict[str, Any]]:
    """Choose the function that scores a file or a store."""
    from xrain.collocation.store import is_store
    from xrain.evaluation.matchups import score_matchups
    from xrain.evaluation.stores import score_store
    from xrain.evaluation.transects import score_transects
    from xrain.io.transects import is_transects

    if is_store(file):
        return score_store
    return score_transects if is_transects(file) else score_matchups


def _show(scores: dict[str, Any]) -> None:
    """Print tables of scores, a row each, a column for each surface; then the classes of rate."""
    source = scores["source"]
    where = source if isinstance(source, str) else f"{len(source)} granules"
    event = f"; an event is {scores['event']}" if scores["event"] else ""
    name = f"{scores['model']}@{scores['model_version']}"
    out().print(f"{name} on {where}{event}")
    if scores.get("given_rain"):
        out().print("all pixels rain: mean and quantiles are those on that condition")
    if scores["trained_on"]:
        say(f"the model was trained on {', '.join(scores['trained_on'])}: these scores say how "
            "well it fits, not how well it does on other data")  # fmt: skip
    for kind, words in _KINDS.items():
        if kind in scores:
            out().print(f"\n{words}")
            _print_surfaces(scores[kind])
    if "all" in scores:
        _print_surfaces(scores)
    if "by_table_mean" in scores:
        out().print("\nmean rates in mm/h by classes of the rate of each pixel alone")
        _print_rows(scores["by_table_mean"], ("low", "high", "n", "rain_share", *_MEANS))


def _print_surfaces(scores: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("", *_SURFACES, box=None, padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    wide = out().width >= _WIDE
    for name in _rows(scores):
        table.add_row(name, *(_cell(scores[s], name, wide) for s in _SURFACES))
    out().print(table)
    if "reliability" in scores["all"]:
        columns = ("low", "high", "n", "probability", "frequency")
        out().print("reliability of the probability, all pixels")
        _print_rows(scores["all"]["reliability"], columns)
    if scores["n_without_value"]:
        say(f"{scores['n_without_value']} pixels have a truth but no estimate: they do not count")


def _print_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    from rich.table import Table

    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.justify = "right"
    for row in rows:
        table.add_row(*(_number(row[c]) for c in columns))
    out().print(table)


def _number(value: float | int | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _rows(scores: dict[str, Any]) -> list[str]:
    return [
        k for k, v in scores["all"].items()
        if not isinstance(v, dict | list) and not k.endswith("_interval")
    ]  # fmt: skip


def _cell(scores: dict[str, Any], name: str, wide: bool) -> str:
    value, interval = scores.get(name), scores.get(f"{name}_interval")
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if not wide or interval is None or None in interval:
        return f"{value:.3f}"
    return f"{value:.3f} [{interval[0]:.2f}, {interval[1]:.2f}]"
