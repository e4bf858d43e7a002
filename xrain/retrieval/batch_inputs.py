"""Which granules a batch takes: by name, folder, pattern or list, and by time."""

from __future__ import annotations

import datetime
import glob
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from xrain.errors import InputError, XrainError
from xrain.io.file_names import ENDINGS, L2_PREFIXES, MAP_PREFIXES, is_archive_name
from xrain.reference.files import span_of

__all__ = ["find_granules", "granules_in", "moment"]

Time = str | datetime.datetime | np.datetime64

_GRANULES: Final = tuple(f".{ending.lower()}" for ending in (*ENDINGS, "hdf"))


def find_granules(
    names: str | Path | Iterable[str | Path],
    *,
    start: Time | None = None,
    end: Time | None = None,
) -> list[Path]:
    """Find the granules that files, folders, patterns and lists name.

    Parameters
    ----------
    names : path, or iterable of them
        A file; a folder, of which every granule is taken, also of the folders in it; a pattern
        such as ``in/*.HDF5``; ``@list.txt``, a file with a name on each line; or ``-``, the same
        from standard input.
    start, end : str or datetime, optional
        Only granules with scans at or after the one and before the other, in UTC. An end that
        names a year, a month or a day includes all of it. Times are taken from the archive's
        names, or else from the files.

    Returns
    -------
    list of Path
        Each once, in the order given, those of a folder or pattern by name.

    Raises
    ------
    InputError
        If a list cannot be read, a time makes no sense, or nothing is found at all.
    """
    first, last = moment(start), moment(end, last=True)
    found: dict[Path, None] = {}
    for name in [names] if isinstance(names, str | Path) else names:
        found |= dict.fromkeys(_expanded(str(name)))
    if not found:
        raise InputError("no granules are named, or none are in the folders and patterns named")
    if first is None and last is None:
        return list(found)
    inside = [path for path in found if _overlaps(path, first, last)]
    if not inside:
        raise InputError(f"none of {len(found)} granules has scans from {start} to {end}")
    return inside


def granules_in(folder: Path) -> list[Path]:
    """List every granule in a folder and the folders in it, by name."""
    inside = (p for p in folder.rglob("*") if p.name.lower().endswith(_GRANULES))
    return sorted(p for p in inside if not _is_other(p) and p.is_file())


def _expanded(name: str) -> Sequence[Path]:
    path = Path(name)
    if path.is_dir():
        return granules_in(path)
    if path.exists():
        return [path]
    if name == "-" or name.startswith("@"):
        return [p for line in _lines(name) for p in _expanded(line)]
    if glob.has_magic(name):
        return sorted(Path(p) for p in glob.glob(name, recursive=True) if Path(p).is_file())
    return [path]  # told when it is opened, as the others go on


def _is_other(path: Path) -> bool:
    """Whether a file has the name of an output, of a draft or of rain of the archive."""
    hidden = path.name.endswith(".rain.nc") or path.name.startswith(".")
    return hidden or is_archive_name(path, (*L2_PREFIXES, *MAP_PREFIXES))


def _lines(name: str) -> list[str]:
    """Lines of a list, empty ones and lists of lists left out."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the list {name[1:]} cannot be read: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and line != "-" and not line.startswith(("@", "#"))]


def moment(time: Time | None, *, last: bool = False) -> Any:
    """Turn a time into nanoseconds, one past it for the last year, month or day of a period.

    Parameters
    ----------
    time : str, datetime or datetime64, or None
        In UTC, such as ``"2020-07"``, ``"2020-07-01"`` or ``"2020-07-01T12:30"``.
    last : bool
        Whether it is the end of a period.

    Returns
    -------
    datetime64[ns] or None

    Raises
    ------
    InputError
        If it is no time.

    Examples
    --------
    >>> moment("2020-06", last=True)
    numpy.datetime64('2020-07-01T00:00:00.000000000')
    """
    if time is None:
        return None
    if isinstance(time, datetime.datetime) and time.tzinfo is not None:
        time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    try:
        given = np.datetime64(time.removesuffix("Z") if isinstance(time, str) else time)
    except ValueError as error:
        raise InputError(f"{time!r} is no time such as 2020-07-01 or 2020-07-01T12:30") from error
    if np.isnat(given):
        raise InputError(f"{time!r} is no time such as 2020-07-01 or 2020-07-01T12:30")
    if last and np.datetime_data(given.dtype)[0] in ("Y", "M", "D"):
        given = given + 1
    return given.astype("datetime64[ns]")


def _overlaps(path: Path, first: Any, last: Any) -> bool:
    """Whether a granule has scans in a period; one that cannot be read is told of later."""
    try:
        span = span_of(path, True)
    except XrainError:
        return True
    return (last is None or span.first < last) and (first is None or span.last >= first)
