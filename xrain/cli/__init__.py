"""The command ``xrain``: parsing, progress and exit codes; the work is done elsewhere.

Exit status: 0 success; 1 an unexpected error in xrain; 2 an input or option that cannot be used,
explained in one message.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import typer
import typer.core

from xrain.cli.collocation import collocate
from xrain.cli.compare import compare
from xrain.cli.console import echo, say_error
from xrain.cli.granules import animate, info, plot
from xrain.cli.grid import grid
from xrain.cli.models import app as models
from xrain.cli.points import extract
from xrain.cli.retrieval import retrieve, watch
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

        echo(f"xrain {version('xrain')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", "-V", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    os.environ.setdefault("MPLBACKEND", "agg")  # pictures go to files: no screen is needed


app.command()(info)
app.command()(retrieve)
app.command()(watch)
app.command()(plot)
app.command()(animate)
app.command()(grid)
app.command()(extract)
app.add_typer(models, name="models")
app.command()(demo)
app.command()(score)
app.command()(compare)
app.command()(collocate)
app.command()(train)
app.command()(simulate)
app.command("validate-simulator")(validate_simulator)


def main() -> None:
    """Run the command line.

    A request to end (SIGTERM, SIGHUP), which batch systems send, ends it as Ctrl-C does: what is
    half written is deleted. The exit status is then 128 and the signal's number.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    app()


def _end(number: int, frame: object) -> None:
    """Leave by way of every ``finally``; a second signal ends the process at once."""
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(128 + number)
