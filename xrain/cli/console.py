"""Where the commands write: results on standard output, all else on standard error.

Cards, headers and names of files come from others too, so whatever is written loses what a terminal
would obey, and nothing in it is read as markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from xrain.display import plain

__all__ = ["echo", "out", "progress", "say", "say_error", "say_plainly"]


class _PlainConsole(Console):
    """A console that shows text as it is: of lines and of the cells of tables."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn text into what is shown."""
        return super().render_str(plain(text), **options)


def _console(*, stderr: bool = False) -> Console:
    return _PlainConsole(stderr=stderr, soft_wrap=True, highlight=False, markup=False)


def out() -> Console:
    """Return the console of results. It never breaks a line of text such as a path."""
    return _console()


def echo(text: object, *, end: str = "\n") -> None:
    """Write a result as it is, in whatever encoding standard output has."""
    typer.echo(plain(text) + end, nl=False)


def say(text: str) -> None:
    """Tell something beside the results."""
    _console(stderr=True).print(text)


def say_plainly(text: str) -> None:
    """Tell something in the midst of anything, such as from a signal's handler."""
    typer.echo(plain(text), err=True)


def say_error(text: str) -> None:
    """Tell an error."""
    console = _console(stderr=True)
    console.print("error:", style="bold red", end=" ")
    console.print(text)


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """Show a progress bar if standard error is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    shown = console.is_terminal and total > 0
    with Progress(*columns, console=console, disable=not shown, transient=True) as bar:
        yield bar
