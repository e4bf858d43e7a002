"""Near real time: granules are retrieved as they arrive, once each, until it is told to stop."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from xrain.atomic import replacing
from xrain.errors import FileFormatError, InputError, OutputError, XrainError
from xrain.io.hdf5 import open_file
from xrain.retrieval.batch_granule import (
    BatchOptions,
    Granule,
    Outcome,
    is_complete,
    output_path,
    retrieve_granule,
)
from xrain.retrieval.batch_inputs import granules_in

__all__ = ["Watch", "only_watcher"]

NAP: Final = 0.2
"""Seconds after which it is asked again whether to stop."""


@dataclass
class _Seen:
    """A granule as it was found: size, time of change, since when so, and whether it is settled."""

    size: int
    changed: int
    since: float
    settled: bool = False


@dataclass
class Watch:
    """Watches a folder.

    A granule has arrived when it has not changed from one look to the next and can be opened; HDF5
    files that lack their end cannot. It is retrieved once, again only if it changes. What the
    output folder has complete when the watch begins is not retrieved again.

    Attributes
    ----------
    folder, output : Path
        Where granules arrive, also in folders below; where their rain goes.
    options : BatchOptions
        How they are retrieved.
    interval : float
        Seconds from one look to the next.
    patience : float
        Seconds after which a file that does not change and cannot be opened is told as an error.
    heartbeat : Path or None
        JSON file that is written at every look and after every granule.
    tell : callable
        Called with the outcome of each granule.
    stopped : callable
        Says whether to stop; asked often, but not while a granule is retrieved.

    Raises
    ------
    InputError
        If there is no such folder, or a time makes no sense.
    """

    folder: Path
    output: Path
    options: BatchOptions
    interval: float = 5.0
    patience: float = 600.0
    heartbeat: Path | None = None
    tell: Callable[[Outcome], object] = lambda outcome: None
    stopped: Callable[[], bool] = lambda: False
    _files: dict[Path, _Seen] = field(default_factory=dict, init=False)
    _counts: Counter[str] = field(default_factory=Counter, init=False)
    _last: str = field(default="", init=False)
    _waiting: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is no folder to watch")
        if not (self.interval > 0 and self.patience >= 0):
            raise InputError("the interval must be longer than 0 s, and the patience not negative")

    def run(self) -> None:
        """Watch until it is told to stop."""
        while not self.stopped():
            self.look()
            self._beat("watching")
            self._nap()
        self._beat("stopped")

    def look(self) -> None:
        """Look once, and retrieve what has arrived."""
        with contextlib.suppress(OSError):  # a folder may vanish while it is looked through
            found = granules_in(self.folder)
            self._files = {p: self._files[p] for p in found if p in self._files}
            arrived = [path for path in found if self._has_arrived(path)]
            self._waiting = sum(not seen.settled for seen in self._files.values()) - len(arrived)
            for path in arrived:
                if self.stopped():
                    return
                self._settle(path)

    def _has_arrived(self, path: Path) -> bool:
        """Whether a granule is there whole, and is not settled."""
        try:
            facts = path.stat()
        except OSError:
            return False
        seen, now = self._files.get(path), time.monotonic()
        if seen is None or (seen.size, seen.changed) != (facts.st_size, facts.st_mtime_ns):
            done = seen is None and self._is_complete(path)
            self._files[path] = _Seen(facts.st_size, facts.st_mtime_ns, now, done)
            return False
        if seen.settled:
            return False
        return _opens(path) or now - seen.since >= self.patience

    def _is_complete(self, path: Path) -> bool:
        try:
            return is_complete(self._granule(path))
        except XrainError:
            return False

    def _granule(self, path: Path) -> Granule:
        target = output_path(path, self.output, self.options.format)
        return Granule(path, target, self.options)

    def _settle(self, path: Path) -> None:
        """Retrieve a granule; one that cannot be written is tried again later."""
        try:
            outcome = retrieve_granule(self._granule(path))
        except XrainError as error:
            outcome = Outcome(path, error=error)
        seen = self._files[path]
        seen.settled = not isinstance(outcome.error, OutputError)
        self._counts[outcome.status] += 1
        self._last = path.name
        self.tell(outcome)
        self._beat("watching")

    def _nap(self) -> None:
        end = time.monotonic() + self.interval
        while not self.stopped() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, NAP))

    def _beat(self, state: str) -> None:
        """Say that it lives; a disk that is full now may not be so later."""
        if self.heartbeat is None:
            return
        facts = {
            "state": state,
            "time": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "process": os.getpid(),
            "folder": str(self.folder),
            "waiting": self._waiting,
            "last": self._last,
            **{name: self._counts[name] for name in ("done", "outside", "failed")},
        }
        with contextlib.suppress(OutputError), replacing(self.heartbeat) as draft:
            draft.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def _opens(path: Path) -> bool:
    """Whether a file is whole, as far as its beginning tells."""
    try:
        with open_file(path):
            return True
    except FileFormatError:
        return False


@contextlib.contextmanager
def only_watcher(output: Path) -> Iterator[Any]:
    """Be the only watch that writes into a folder.

    Parameters
    ----------
    output : Path
        The folder; made if absent.

    Raises
    ------
    InputError
        If another watch writes into it.
    OutputError
        If it cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        output.mkdir(parents=True, exist_ok=True)
        with FileLock(output / ".xrain-watch.lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"another watch writes into {output}") from error
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}") from error
