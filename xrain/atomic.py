"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from xrain.errors import OutputError

__all__ = ["replacing"]


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _new_file(path)
        yield draft
        draft.replace(path)
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(f"{path} cannot be written: {why}") from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)


def _new_file(path: Path) -> Path:
    draft = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    draft.touch(exist_ok=False)
    return draft
