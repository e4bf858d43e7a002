"""The command ``xrain``: parsing, progress and exit codes; the work is done elsewhere.

Exit status: 0 all done; 1 an error in xrain itself; 2 something given cannot be used, told in
one message.
"""

from __future__ import annotations

import os
from typing import Any

import typer
import typer.core

from xrain.cli.collocation import collocate
from xrain.cli.compare import compare
from xrain.cli.console import say_error
from xrain.cli.granules import animate, info, plot, retrieve
from xrain.cli.grid import grid
from xrain.cli.models import app as models
from xrain.cli.score import score
from xrain.cli.simulation import demo, simulate, validate_simulator
from xrain.cli.training import train
from xrain.errors import XrainError

__all__ = ["app", "main"]


class _Group(typer.core.TyperGroup):
    """Commands whose own errors are told without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except XrainError as error:
            say_error(str(error))
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Rain from any passive-microwave radiometer of the GPM constellation.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"xrain {version('xrain')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    os.environ.setdefault("MPLBACKEND", "agg")  # pictures go to files: no screen is needed


app.command()(info)
app.command()(retrieve)
app.command()(plot)
app.command()(animate)
app.command()(grid)
app.add_typer(models, name="models")
app.command()(demo)
app.command()(score)
app.command()(compare)
app.command()(collocate)
app.command()(train)
app.command()(simulate)
app.command("validate-simulator")(validate_simulator)


def main() -> None:
    """Run the command line."""
    app()
