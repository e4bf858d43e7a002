"""Files and folders that are there whole or not at all.

What is not finished yet lies beside its place under a hidden name that tells the process which
writes it. A process that was killed leaves it there; the next one that writes into the same folder
deletes it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from xrain.errors import OutputError

__all__ = ["replacing", "replacing_folder", "sweep"]

_DRAFT: Final = re.compile(
    r"^\.(?P<name>.+)\.(?P<kind>draft|old)-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}(\.\w+)?$"
)

_LONGEST: Final = 7 * 86400
"""Seconds after which a draft of another machine counts as left behind."""


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name to write to, which becomes `path` at the end.

    The temporary file lies in the same folder, so that renaming it is one step; after an error
    it is deleted and `path` is as it was.

    Parameters
    ----------
    path : path
        File to write; its folder is made.

    Yields
    ------
    Path
        An empty file to write to instead.

    Raises
    ------
    OutputError
        If the folder or the file cannot be written, or the disk is full.
    """
    path = Path(path)
    draft: Path | None = None
    with _told(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep_once(path.parent.resolve(), os.getpid())
            draft = _hidden(path, "draft")
            draft.touch(exist_ok=False)
            yield draft
            draft.replace(path)
        finally:
            if draft is not None:
                draft.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | Path, is_own: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a temporary folder to write to, which becomes `path` at the end.

    Parameters
    ----------
    path : path
        Folder to write, such as a Zarr store; the folder that holds it is made.
    is_own : callable
        Says of a folder that is there already whether it may be replaced. An empty one may.

    Yields
    ------
    Path
        The name of a folder to make; nothing is there.

    Raises
    ------
    OutputError
        If something else lies at `path`, before anything is computed; or if it cannot be
        written.
    """
    path = Path(path)
    draft: Path | None = None
    with _told(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep_once(path.parent.resolve(), os.getpid())
            _require_replaceable(path, is_own)
            draft = _hidden(path, "draft")
            draft.mkdir()
            yield draft
            _swap(draft, path)
        finally:
            if draft is not None:
                shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn errors of the system into one that names the file."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(f"{path} cannot be written: {why}") from error


def _require_replaceable(path: Path, is_own: Callable[[Path], bool]) -> None:
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise OutputError(f"{path} is a file, and a folder is to be written: choose another name")
    if any(path.iterdir()) and not is_own(path):
        raise OutputError(
            f"{path} is a folder that holds something else and is left alone: choose another name"
        )


def _swap(draft: Path, path: Path) -> None:
    """Put the new folder in the place of the old one."""
    if not path.exists():
        draft.rename(path)
        return
    old = _hidden(path, "old")
    path.rename(old)  # killed here, the old folder comes back with the next run
    draft.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _hidden(path: Path, kind: str) -> Path:
    stem = path.stem
    if kind == "draft":  # file systems allow 255 bytes
        stem = os.fsdecode(os.fsencode(stem)[:150])
    name = f".{stem}.{kind}-{_host()}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}"
    return path.with_name(name)


@functools.cache
def _host() -> str:
    """Tell the machine, and the space in which its process numbers hold."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


@functools.lru_cache(maxsize=1024)
def _sweep_once(folder: Path, pid: int) -> None:
    """Delete what processes that are gone left in a folder, once for each process."""
    del pid  # a forked process has a cache of its own
    sweep(folder)


def sweep(folder: Path) -> None:
    """Delete what processes that are gone left half written in a folder.

    Parameters
    ----------
    folder : Path
        Any folder, or none.
    """
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            found = _DRAFT.match(entry.name)
            if found is not None and _is_left(entry, found):
                _remove(Path(entry.path), found)


def _is_left(entry: os.DirEntry[str], found: re.Match[str]) -> bool:
    if found["host"] != _host() or os.name != "posix":
        return time.time() - entry.stat().st_mtime > _LONGEST
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return _is_zombie(int(found["pid"]))


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended, but nobody has asked how: in containers often for ever."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return facts.rpartition(b")")[2].split()[:1] == [b"Z"]


def _remove(left: Path, found: re.Match[str]) -> None:
    """Delete a draft; bring a folder back whose replacement was interrupted."""
    if found["kind"] == "old":
        place = left.with_name(found["name"] + left.suffix)
        if not place.exists():
            left.rename(place)
            return
    if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)
