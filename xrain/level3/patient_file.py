"""A file that HDF5 can go on writing to when the disk is full."""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType
from typing import IO, Self

__all__ = ["PatientFile"]


class PatientFile(io.RawIOBase):
    """A binary file to write whose errors are told later, by :meth:`raise_error`.

    HDF5 ends the process if a write fails while it closes a file. So from the first failure on,
    all that is written is kept in memory, and reads see it. Whoever writes much asks now and then
    whether there was an error, so that what is kept stays small.

    Parameters
    ----------
    path : Path
        File to write; it is emptied.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        self._file: IO[bytes] = path.open("w+b", buffering=0)
        self._kept: dict[int, bytes] = {}
        self._size = 0
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def raise_error(self) -> None:
        """Raise the OSError of what could not be written, if there was one."""
        if self.error is not None:
            raise self.error

    # ---- what h5py asks of a file

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place in the file."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Make the file so long."""
        self._size = self._at if size is None else size
        if self.error is None:
            try:
                self._file.truncate(self._size)
            except OSError as error:
                self.error = error
        return self._size

    def write(self, data: object) -> int:
        """Write bytes; those that the disk does not take are kept."""
        content = memoryview(data).cast("B")  # type: ignore[arg-type]
        done = 0 if self.error is not None else self._write_out(content)
        if done < len(content):
            self._kept[self._at + done] = bytes(content[done:])
        self._at += len(content)
        self._size = max(self._size, self._at)
        return len(content)

    def _write_out(self, content: memoryview) -> int:
        """Write what the disk takes; return how many bytes that is."""
        done = 0
        try:
            self._file.seek(self._at)
            while done < len(content):
                done += self._file.write(content[done:])
        except OSError as error:
            self.error = error
        return done

    def readinto(self, buffer: object) -> int:
        """Read bytes, also those that are kept."""
        out = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        count = max(min(len(out), self._size - self._at), 0)
        self._file.seek(self._at)
        found = self._file.read(count) or b""
        out[:count] = found + bytes(count - len(found))
        for place, kept in self._kept.items():  # in the order in which they were written
            first, last = max(place, self._at), min(place + len(kept), self._at + count)
            if first < last:
                out[first - self._at : last - self._at] = kept[first - place : last - place]
        self._at += count
        return count

    def close(self) -> None:
        """Close the file; what the disk did not take is lost."""
        if not self.closed:
            self._file.close()
            self._kept.clear()
        super().close()
