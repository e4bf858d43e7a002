"""How a batch is followed: a bar on a terminal, a line now and then elsewhere, and its report."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from xrain.atomic import replacing
from xrain.cli.console import echo, say, say_error, say_plainly
from xrain.display import plain
from xrain.errors import XrainError

if TYPE_CHECKING:
    from xrain.retrieval.batch import Outcome

__all__ = ["Follower", "details", "exit_status", "tell_failure", "write_report"]

EVERY: Final = 15.0
"""Seconds between lines where there is no terminal."""


class Follower:
    """Tells of granules as they are done.

    Parameters
    ----------
    total : int
        Granules of the batch.
    quiet : bool
        Tell only what goes wrong.
    verbose : bool
        Also tell of each granule how long it took.
    """

    def __init__(self, total: int, *, quiet: bool = False, verbose: bool = False) -> None:
        self.outcomes: list[Outcome] = []
        self._total, self._quiet, self._verbose = total, quiet, verbose
        console = Console(stderr=True)
        shown = console.is_terminal and total > 0 and not quiet
        self._lines = not shown and not quiet and total > 1
        self._bar = Progress(
            BarColumn(12), MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}", table_column=Column(no_wrap=True, min_width=37)),
            TextColumn("{task.fields[name]}", table_column=Column(no_wrap=True)),
            console=console, disable=not shown, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=total, speed=Text(""), name=Text(""))
        self._start = self._last = time.monotonic()
        self._pixels = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, outcome: Outcome) -> None:
        """Tell what became of a granule."""
        if not any(o.status != "skipped" for o in self.outcomes):
            self._start = time.monotonic() - sum(outcome.seconds.values())
        self.outcomes.append(outcome)
        self._pixels += outcome.pixels
        if outcome.error is not None:
            tell_failure(outcome.source, outcome.error)
        elif not self._quiet and not outcome.skipped:
            self._bar.console.file.flush()
            for path in outcome.written:
                echo(path)
        if self._verbose:
            say(details(outcome))
        self._show(outcome)

    def _show(self, outcome: Outcome) -> None:
        name = outcome.source.name
        self._bar.update(
            self._task, advance=1, speed=Text(self._speed()), name=Text(plain(name)[:40])
        )
        now = time.monotonic()
        if self._lines and now - self._last >= EVERY:
            self._last = now
            say(f"{len(self.outcomes)} of {self._total} granules, {self._speed()}, {name}")

    def _speed(self) -> str:
        """Pixels a second, and the time left at that speed."""
        worked = sum(o.status != "skipped" for o in self.outcomes)
        taken = time.monotonic() - self._start
        if not worked or taken <= 0:
            return ""
        left = (self._total - len(self.outcomes)) * taken / worked
        return f"{_count(self._pixels / taken)} pixels/s, {_clock(left)} left"

    def summary(self) -> None:
        """Tell what was skipped and what has failed, and why."""
        counts = Counter(o.status for o in self.outcomes)
        if counts["skipped"] and not self._quiet:
            say(f"{counts['skipped']} of {self._total} files were complete already "
                "(--overwrite repeats them)")  # fmt: skip
        if counts["outside"] and not self._quiet:
            say(f"{counts['outside']} of {self._total} granules do not see the extent")
        failed = [o for o in self.outcomes if o.error is not None]
        if failed and self._total > 1:
            say(f"{len(self.outcomes) - len(failed)} of {self._total} files done; failed:")
            for outcome in failed:
                say(f"  {outcome.source}: {_reason(outcome.error)}")

    def interrupted(self) -> None:
        """Tell how to go on."""
        done = sum(o.error is None for o in self.outcomes)
        say_plainly(
            f"interrupted: {done} of {self._total} granules are done; repeat the same command "
            "to go on"
        )


def _reason(error: Exception | None) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def details(outcome: Outcome) -> str:
    """Say how large a granule was and how long it took."""
    parts = [outcome.status, f"{_count(outcome.pixels)} pixels"] if outcome.pixels else [
        outcome.status
    ]  # fmt: skip
    parts += [f"{name} {taken:.2f} s" for name, taken in outcome.seconds.items()]
    return f"{outcome.source.name}: {', '.join(parts)}"


def _count(number: float) -> str:
    for unit, name in ((1e6, "million"), (1e3, "thousand")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number:.0f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def exit_status(failures: Sequence[Exception]) -> int:
    """Status that tells of failures: 0 without any, 2 if all are the user's to mend, else 1."""
    if not failures:
        return 0
    return 2 if all(isinstance(e, XrainError) for e in failures) else 1


def write_report(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write what became of each granule as JSON.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of a batch.
    path : Path
        File to write.
    """
    with replacing(path) as draft:
        rows = [_row(o) for o in outcomes]
        draft.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _row(outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source": str(outcome.source),
        "status": outcome.status,
        "written": [str(p) for p in outcome.written],
        "pixels": outcome.pixels,
        "seconds": {name: round(taken, 3) for name, taken in outcome.seconds.items()},
    }
    if outcome.error is not None:
        row["error"] = f"{type(outcome.error).__name__}: {outcome.error}"
    return row


def tell_failure(source: Path, error: Exception) -> None:
    """Report why a file could not be used, with a traceback if the error is unexpected."""
    text = str(error)
    if isinstance(error, XrainError):
        say_error(text if source.name in text else f"{source}: {text}")
        return
    traceback.print_exception(error, file=sys.stderr)
    say_error(f"{source}: unexpected {type(error).__name__}: {text}")
