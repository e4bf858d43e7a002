"""Commands on models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xrain.cli.console import echo, out, say
from xrain.errors import InputError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, show, download, add and publish models.")

Name = Annotated[
    str,
    typer.Argument(help="Model such as gmi-unet or gmi-unet@1, or a folder.", show_default=False),
]


@app.command("list")
def list_(
    remote: Annotated[
        bool, typer.Option("--remote", help="Also list the models of the server.")
    ] = False,
) -> None:
    """List all models, how well they do, and which one is used by default."""
    from rich.table import Table

    from xrain.cli.card_text import correlation, method
    from xrain.models.store import find_model, is_at_hand, list_models, load_card

    table = Table("model", "sensor", "method", "r radar", "r simulated", "MB", "", box=None)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[3:6]:
        column.justify = "right"
    for name in list_models(remote=remote):
        entry = find_model(name)
        size = f"{entry.size / 1e6:.1f}"
        if not is_at_hand(entry):
            table.add_row(entry.id, "", "", "", "", size, "to fetch")
            continue
        card = load_card(entry.id)
        found = (correlation(card, "kept_apart", "real"), correlation(card, "simulated"))
        r = ("–" if value is None else f"{value:.2f}" for value in found)
        default = "default" if name in _defaults() else ""
        table.add_row(entry.id, card.sensor or "any", method(card), *r, size, default)
    if not table.row_count:
        say("no models; XRAIN_WEIGHTS_URL names a server with others, see --remote")
        return
    out().print(table)
    say(
        "r: correlation of the rain rate with a radar on real pixels kept apart from training "
        "(each by itself), and with the known rain of simulated swaths; "
        "'xrain models show MODEL' lists all scores and limits. The default "
        "is used for its sensor when no model is named, constellation-unet for any other input."
    )


def _defaults() -> set[str]:
    """Names of the models that are used when none is named."""
    from xrain.retrieval.dataset import default_model_name
    from xrain.sensors import get_sensor, list_sensors

    return {default_model_name(get_sensor(s)) for s in list_sensors()} | {default_model_name(None)}


@app.command()
def show(
    name: Name,
    json: Annotated[bool, typer.Option("--json", help="Print the complete card as JSON.")] = False,
) -> None:
    """Show the card of a model: training, scores, limits, licence."""
    from xrain.cli.card_text import card_facts, score_tables, used_metrics
    from xrain.models.store import load_card

    card = load_card(name)
    if json:
        echo(card.to_json(), end="")
        return
    out().print(f"{card.id}: {card.summary}\n")
    for label, text in card_facts(card):
        out().print(f"{label}: {text}")
    out().print("limits")
    for limit in card.limits:
        out().print(f"  - {limit}")
    for table in score_tables(card):
        out().print()
        out().print(table)
    if metrics := used_metrics(card):
        out().print("\nscores")
        for metric, meaning in metrics.items():
            out().print(f"  {metric}: {meaning}")


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Models to download.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Download all models of the server.")
    ] = False,
) -> None:
    """Download models, to work offline later."""
    from xrain.models.store import fetch_model, list_models

    if every and names:
        raise InputError("name models or give --all, not both")
    wanted = list_models(remote=True) if every else names
    if not wanted:
        raise InputError("name a model, or give --all; 'xrain models list' shows them")
    for name in wanted:
        files = fetch_model(name)
        for path in (files.card, *files.weights):
            echo(path)


@app.command()
def add(
    source: Annotated[
        str,
        typer.Argument(
            help="URL, DOI (doi:10.5281/zenodo.…) or folder of a published model.",
            show_default=False,
        ),
    ],
) -> None:
    """Add models that somebody has published, under their own names."""
    from xrain.models.store import add_models

    for entry in add_models(source):
        echo(entry.id)


@app.command()
def package(
    folders: Annotated[
        list[Path], typer.Argument(help="Trained models: folders with a card.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to publish; made if absent.")
    ] = Path("published"),
    name: Annotated[
        str | None,
        typer.Option(help="Name to publish under; {name} stands for the name of the model."),
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Version to publish as.")] = None,
    check: Annotated[
        bool,
        typer.Option(help="Verify the result by loading it in a new process with an empty cache."),
    ] = True,
) -> None:
    """Package trained models for publication: weights, cards, hashes and a registry."""
    from xrain.models.publish import check_package, package_models

    entries = package_models(folders, output, name=name, version=version)
    for entry in entries:
        echo(f"{entry.id}  {output / entry.card.path}")
    if check:
        check_package(output)
        say(f"checked: a new process with an empty cache loads all of {output}")


@app.command()
def export(
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write. Default: <name>-<version>.onnx here."),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="onnx, the only one yet.")] = "onnx",
    sensor: Annotated[
        str | None,
        typer.Option(help="Instrument whose channels it is for; a model for any needs it."),
    ] = None,
    quantiles: Annotated[
        str, typer.Option(help="Quantiles of the rate, separated by commas.")
    ] = "0.05,0.5,0.95",
) -> None:
    """Export a network as ONNX, for programs without PyTorch.

    Its inputs are the brightness temperatures, incidence angle and land fraction of a swath of any
    size, with NaN where they are missing; its outputs the rain rate, the probability of
    precipitation and the quantiles. It carries no outlier test and no flags.
    """
    from xrain.cli.retrieval import levels
    from xrain.models.onnx_export import export_onnx
    from xrain.models.store import load_model
    from xrain.sensors import get_sensor
    from xrain.sensors.describe import describe_channels

    if format_ != "onnx":
        raise InputError(f"--format {format_}: only onnx is known")
    model = load_model(name)
    card = model.card
    if sensor is None and card.accepts_any:
        raise InputError(f"{card.id} takes any channels: give --sensor, such as gmi")
    table = get_sensor(sensor or str(card.sensor))
    names = card.channels or tuple(c.name for c in table.channels)
    target = output or Path(f"{card.name}-{card.version}.onnx")
    echo(export_onnx(model, target, describe_channels(list(names), table), levels(quantiles)))
