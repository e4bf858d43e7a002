"""Read files that may be anything: only regular ones, and only so much of them."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

__all__ = ["read_bounded", "sha256_of"]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file.
    """
    with os.fdopen(_open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bounded(path: Path, most: int) -> bytes:
    """Read a file whole.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file: a pipe or a device might never end.
    ValueError
        If it has more than `most` bytes.
    """
    with os.fdopen(_open_regular(path), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} is larger than {most} bytes")
    return content


def _open_regular(path: Path) -> int:
    # A pipe is opened without waiting for who writes to it.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(f"{path} is no regular file")
    return number
