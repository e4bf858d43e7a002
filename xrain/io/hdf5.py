"""Open HDF5 files that nobody vouches for: the one place where damage becomes a clear error.

A file may be truncated, altered or made to do harm. What the HDF5 library raises on it is told as
:class:`~xrain.errors.FileFormatError`; links to other files, virtual and external storage, and
sizes that no granule has are refused before anything is read.
"""

from __future__ import annotations

import io
import mmap
import os
import stat
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import h5py
import numpy as np

from xrain.errors import FileFormatError

__all__ = [
    "child", "dataset_at", "fill_values", "name_of", "open_file", "require_size",
    "require_sound_heaps", "require_written", "source_of", "tell_damage", "text", "text_attribute",
    "warn",
]  # fmt: skip

DAMAGE: Final = (
    ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError,
    ValueError, zlib.error,
)  # fmt: skip
"""What h5py and NumPy raise on a damaged file."""

MOST_SCANS: Final = 100_000
"""Scans of a granule; an orbit has 2,900 (GMI) to 8,300 (DPR)."""

MOST_PIXELS: Final = 6_000_000
"""Pixels of a swath; an orbit of AMSR2 has 1.9 million."""

MOST_CELLS: Final = 10_000_000
"""Cells of a map; one of IMERG has 6.5 million."""

LARGEST_CHUNK: Final = 1 << 28
"""Bytes of an unpacked chunk."""

LONGEST_TEXT: Final = 4 << 20
"""Bytes of a text attribute; a list of input files has some hundred kilobytes."""

_LOCKED: Final = frozenset({11, 35, 37, 77})
"""Error numbers of a lock: EAGAIN (Linux, macOS), ENOLCK (Linux, macOS)."""

_HEAP: Final = b"GCOL\x01\0\0\0"
"""How a global heap begins: its signature and version."""

_MAGIC: Final = b"\x89HDF\r\n\x1a\n"


def source_of(given: Any) -> Any:
    """Return what h5py can open: the path as text, or a file object.

    Parameters
    ----------
    given : path-like, file object or bytes
        A file of this machine, an open one (also of fsspec), or its content.

    Raises
    ------
    FileFormatError
        If it is none of these.
    """
    if isinstance(given, bytes | bytearray | memoryview):
        return io.BytesIO(given)
    if hasattr(given, "read") and hasattr(given, "seek"):
        return given
    try:
        path = os.fspath(given)
    except TypeError:
        raise FileFormatError(
            f"a {type(given).__name__} cannot be opened; give the path of a file on this machine, "
            "or a file object opened for reading in binary mode"
        ) from None
    return os.fsdecode(path)


def name_of(source: Any) -> str:
    """Name a source in messages and attributes: its path, or what stands for one."""
    if isinstance(source, str):
        return source
    name = getattr(source, "full_name", None) or getattr(source, "path", None)
    name = name or getattr(source, "name", None)
    return name if isinstance(name, str) else f"<{type(source).__name__}>"


@contextmanager
def open_file(
    given: Any, wanted: str = "A GPM L1C granule (1C*.HDF5 or .nc)"
) -> Iterator[h5py.File]:
    """Open an HDF5 file, or say clearly why not, and what is wanted instead.

    Parameters
    ----------
    given : path-like, file object or bytes
        The file.
    wanted : str
        What should have been given, for messages.

    Yields
    ------
    h5py.File
        The open file; errors of the HDF5 library while it is in use become FileFormatError.

    Raises
    ------
    FileFormatError
        If it cannot be opened or read.
    """
    source = source_of(given)
    name = name_of(source)
    if isinstance(source, str):
        _require_file(source)
    with tell_damage(name):
        try:
            file = h5py.File(source, "r")
        except PermissionError as error:
            raise FileFormatError(f"{name}: no right to read the file") from error
        except OSError as error:
            raise FileFormatError(f"{name}: {_why_unreadable(source, error, wanted)}") from error
        with file:
            yield file


@contextmanager
def tell_damage(name: str, what: str = "a part of it") -> Iterator[None]:
    """Tell what is raised on a damaged file as FileFormatError.

    Parameters
    ----------
    name : str
        The file.
    what : str
        What is read.
    """
    try:
        yield
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileFormatError(
            f"{name}: {what} cannot be read, the file is damaged or gone ({reason}); fetch it again"
        ) from error


def _require_file(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except PermissionError as error:
        raise FileFormatError(f"{path}: no right to read the file") from error
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        raise FileFormatError(f"{path!r}: no such file".replace("'", "")) from error
    if stat.S_ISDIR(mode):
        raise FileFormatError(f"{path}: is a folder, not a granule")
    if not stat.S_ISREG(mode):
        raise FileFormatError(f"{path}: is a pipe or a device, not a file")


def _why_unreadable(source: Any, error: OSError, wanted: str) -> str:
    if error.errno in _LOCKED or "unable to lock file" in str(error):
        return (
            "the file is locked by another process, or the file system knows no locks; close it "
            "there, or set HDF5_USE_FILE_LOCKING=FALSE"
        )
    magic = _first_bytes(source)
    if magic == _MAGIC:
        return f"the HDF5 file is truncated or damaged ({error}); fetch it again"
    kind = "empty" if not magic else "not an HDF5 file"
    hint = "; unpack it first" if magic[:2] == b"\x1f\x8b" else ""
    return f"the file is {kind}{hint}. {wanted} is needed"


def _first_bytes(source: Any) -> bytes:
    if isinstance(source, str):
        with open(source, "rb") as stream:
            return stream.read(8)
    source.seek(0)
    return bytes(source.read(8))


# ---- parts of a file


def child(group: h5py.Group, name: str) -> Any:
    """Return a member of a group, None if it has none of that name.

    Raises
    ------
    FileFormatError
        If the member lies in another file.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if isinstance(link, h5py.ExternalLink):
        raise FileFormatError(
            f"{group.file.filename}: {group.name.rstrip('/')}/{name} lies in another file, which "
            "no granule of the archive does; it is not read"
        )
    return group.get(name)


def dataset_at(group: h5py.Group, path: str) -> h5py.Dataset | None:
    """Return a dataset of numbers below a group, None if there is none.

    Parameters
    ----------
    group : h5py.Group
        Where to look.
    path : str
        Names of groups and the dataset, separated by slashes.

    Raises
    ------
    FileFormatError
        If it is virtual, lies in another file, holds no numbers, or is made of chunks too large.
    """
    item: Any = group
    for name in path.split("/"):
        item = child(item, name) if isinstance(item, h5py.Group) else None
    if not isinstance(item, h5py.Dataset):
        return None
    _require_plain(item)
    return item


def _require_plain(item: h5py.Dataset) -> None:
    where = f"{item.file.filename}: {item.name.strip('/')}"
    if item.is_virtual or item.external:
        raise FileFormatError(
            f"{where} is stored in other files, which no granule of the archive is; it is not read"
        )
    if item.dtype.kind not in "fiu" or item.shape is None:
        raise FileFormatError(f"{where} holds {item.dtype}; numbers are needed")
    if item.chunks and np.prod(item.chunks, dtype=float) * item.dtype.itemsize > LARGEST_CHUNK:
        raise FileFormatError(f"{where} is made of chunks larger than {LARGEST_CHUNK >> 20} MiB")


def require_written(name: str, what: str, item: h5py.Dataset) -> None:
    """Raise FileFormatError if a field has a size but nothing of it was ever written.

    The library would give its fill value everywhere, whatever size the file claims.

    Parameters
    ----------
    name, what : str
        The file and the field, for the message.
    item : h5py.Dataset
        The field.
    """
    if item.size and not item.id.get_storage_size():
        raise FileFormatError(
            f"{name}: {what} was never written, though it has a size; fetch the file again"
        )


def require_size(name: str, what: str, shape: tuple[int, ...], most: int = MOST_PIXELS) -> None:
    """Raise FileFormatError if a grid is larger than any granule's.

    Parameters
    ----------
    name, what : str
        The file and the field, for the message.
    shape : tuple of int
        Scans and pixels, or the axes of a map.
    most : int
        Largest number of pixels.
    """
    if shape and (shape[0] > MOST_SCANS or np.prod(shape, dtype=float) > most):
        size = " × ".join(f"{n:,}" for n in shape)
        raise FileFormatError(
            f"{name}: {what} has {size} pixels; a granule has at most {MOST_SCANS:,} scans and "
            f"{most:,} pixels"
        )


def text(value: object) -> str:
    """Attribute value as text: the archive stores bytes, netCDF-4 stores str."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def text_attribute(item: Any, name: str) -> str:
    """Return an attribute of a group or dataset as text, empty where there is none.

    Raises
    ------
    FileFormatError
        If it is longer than `LONGEST_TEXT`.
    """
    if name not in item.attrs:
        return ""
    stored = item.attrs.get_id(name)
    if stored.get_storage_size() > LONGEST_TEXT:
        raise FileFormatError(f"{item.file.filename}: attribute {name} is too long to be text")
    kind = h5py.check_string_dtype(stored.dtype)
    if kind is not None and kind.length is None:
        require_sound_heaps(item.file)
    return text(item.attrs[name])


def require_sound_heaps(file: h5py.File) -> None:
    """Raise FileFormatError if texts of variable length lie in a heap that cannot be walked.

    The HDF5 library loops for ever over a global heap whose free space claims to be empty. Only
    netCDF-4 has such texts, and heaps are few, so that looking for them costs little.

    References
    ----------
    HDF5 File Format Specification Version 3.0, III.E, Global Heap.
    """
    name = file.filename
    if not isinstance(name, str) or not os.path.isfile(name) or not os.path.getsize(name):
        return
    with open(name, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = data.find(_HEAP)
        while place >= 0:
            if not _is_sound_heap(data, place):
                raise FileFormatError(f"{name}: a heap of texts is damaged; fetch the file again")
            place = data.find(_HEAP, place + 1)


def _is_sound_heap(data: mmap.mmap, start: int) -> bool:
    """Whether each object of a global heap takes some room, up to its end."""
    size = int.from_bytes(data[start + 8 : start + 16], "little")
    place, end = start + 16, start + size
    if end > len(data):
        return False
    while place + 16 <= end:
        index = int.from_bytes(data[place : place + 2], "little")
        length = int.from_bytes(data[place + 8 : place + 16], "little")
        if index == 0:
            return 16 <= length <= end - place
        place += 16 + -(-length // 8) * 8
    return place <= end


def fill_values(item: h5py.Dataset, low: float, high: float) -> list[float]:
    """Return what a dataset names as missing and what could be taken for a value.

    Parameters
    ----------
    item : h5py.Dataset
        With or without the attributes ``_FillValue`` and ``missing_value``.
    low, high : float
        Range of the values that are possible.
    """
    named = (item.attrs[n] for n in ("_FillValue", "missing_value") if n in item.attrs)
    numbers = (np.ravel(v)[:8] for v in named if np.asarray(v).dtype.kind in "fiu")
    return [float(n) for v in numbers for n in v if low <= n <= high]


def warn(message: str) -> None:
    """Warn whoever called into xrain."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("xrain"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
