"""Where the commands write: results on standard output, all else on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

__all__ = ["out", "progress", "say", "say_error"]


def out() -> Console:
    """Return the console of results. It never breaks a line of text such as a path."""
    return Console(soft_wrap=True, highlight=False)


def say(text: str) -> None:
    """Tell something beside the results."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


def say_error(text: str) -> None:
    """Tell an error."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print("error:", style="bold red", end=" ")
    console.print(text, markup=False)


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """Show how many of several files are done, where a person is looking."""
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
