"""Commands on models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xrain.cli.console import out, say
from xrain.errors import InputError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, describe, fetch, add and publish models.")

Name = Annotated[
    str, typer.Argument(help="Such as gmi-unet or gmi-unet@1, or a folder.", show_default=False)
]


@app.command("list")
def list_(
    remote: Annotated[
        bool, typer.Option("--remote", help="Ask the server for others too.")
    ] = False,
) -> None:
    """List all models."""
    from rich.table import Table

    from xrain.models.store import find_model, is_at_hand, list_models, load_card

    table = Table("model", "sensor", "MB", "where", "summary", box=None)
    for name in list_models(remote=remote):
        entry = find_model(name)
        here = is_at_hand(entry)
        card = load_card(entry.id) if here else None
        table.add_row(
            entry.id,
            (card.sensor or "any") if card else "",
            f"{entry.size / 1e6:.1f}",
            "here" if here else "to fetch",
            card.summary if card else "",
        )
    if not table.row_count:
        say("no models; XRAIN_WEIGHTS_URL names a server with others, see --remote")
        return
    out().print(table)


@app.command()
def show(
    name: Name,
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Show the card of a model: training, scores, limits, licence."""
    from xrain.models.store import load_card

    card = load_card(name)
    if json:
        typer.echo(card.to_json(), nl=False)
        return
    typer.echo(f"{card.id}: {card.summary}\n")
    values = card.to_dict()
    values["channels"] = ", ".join(card.channels) or "any"
    hidden = {"name", "version", "summary", "architecture", "prior", "ranges", "rates", "limits"}
    hidden |= {"detector"}
    for key, value in values.items():
        if key not in hidden:
            _print_value(key, value)
    typer.echo("limits")
    for limit in card.limits:
        typer.echo(f"  - {limit}")


def _print_value(key: str, value: Any, indent: int = 0) -> None:
    pad = " " * indent
    if isinstance(value, dict):
        typer.echo(f"{pad}{key}")
        for name, inner in value.items():
            _print_value(str(name), inner, indent + 2)
        return
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    typer.echo(f"{pad}{key}: {value}")


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Models to fetch.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Fetch all that the server has.")] = False,
) -> None:
    """Bring models to this machine, to work offline later."""
    from xrain.models.store import fetch_model, list_models

    wanted = list_models(remote=True) if every else names
    if not wanted:
        raise InputError("name a model, or give --all; 'xrain models list' shows them")
    for name in wanted:
        files = fetch_model(name)
        for path in (files.card, *files.weights):
            typer.echo(str(path))


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
    """Take in models that somebody has published, under their own names."""
    from xrain.models.store import add_models

    for entry in add_models(source):
        typer.echo(entry.id)


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
        typer.Option(help="Publish under this name; {name} stands for the model's own."),
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Publish as this version.")] = None,
    check: Annotated[
        bool,
        typer.Option(help="Fetch and load the result in a new process, as a stranger would."),
    ] = True,
) -> None:
    """Make of trained models what others can add: weights, cards, hashes and a register."""
    from xrain.models.publish import check_package, package_models

    entries = package_models(folders, output, name=name, version=version)
    for entry in entries:
        typer.echo(f"{entry.id}  {output / entry.card.path}")
    if check:
        check_package(output)
        say(f"checked: a new process with an empty cache loads all of {output}")
