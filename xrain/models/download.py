"""Fetch files of models from servers, from archives with a DOI, or from folders.

The only networking code. A base is the URL of a server's folder, such as
``https://weights.example.org/xrain``; the DOI of a record whose files lie side by side, such as
``doi:10.5281/zenodo.1234567``; or a folder of this machine.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from xrain.atomic import replacing
from xrain.errors import FetchError, ModelError
from xrain.models.registry import Artefact
from xrain.models.transport import TransferError, is_set, read_url, require_safe
from xrain.models.whole_files import read_bounded

__all__ = ["fetch_file", "fetch_text", "is_offline", "is_remote", "locked", "servers"]

T = TypeVar("T")
Draw = Callable[[int, int], None]

REMOTE: Final = ("http://", "https://", "doi:")

_ATTEMPTS: Final = 3
_BACK_OFF: Final = 0.5  # s before the second attempt; doubles with each
_TIMEOUT: Final = 30.0  # s for the archive that a DOI belongs to
_LOCK_TIMEOUT: Final = 600.0  # s that one process waits for another's download
_MOST_TEXT: Final = 4 << 20  # bytes of a list of models


def is_offline() -> bool:
    """Whether ``XRAIN_OFFLINE`` forbids every connection: any value but 0, false, no and off."""
    return is_set("XRAIN_OFFLINE")


def is_remote(base: str) -> bool:
    """Whether a base lies outside this machine's folders."""
    return base.startswith(REMOTE)


def servers() -> list[str]:
    """Bases that ``XRAIN_WEIGHTS_URL`` names.

    Raises
    ------
    FetchError
        If one of them is neither a URL nor a DOI, or is not encrypted.
    """
    urls = os.environ.get("XRAIN_WEIGHTS_URL", "").split(",")
    bases = [url.strip().rstrip("/") for url in urls if url.strip()]
    if wrong := [base for base in bases if not is_remote(base)]:
        raise FetchError(
            f"XRAIN_WEIGHTS_URL must begin with https://, http:// or doi:, not {wrong[0]!r}"
        )
    try:
        for base in bases:
            require_safe(base)
    except TransferError as error:
        raise FetchError(f"XRAIN_WEIGHTS_URL: {error}") from error
    return bases


def fetch_file(
    artefact: Artefact, target: Path, what: str, bases: Sequence[str], progress: bool
) -> Path:
    """Fetch a file, and hold it against its SHA-256.

    Parameters
    ----------
    artefact : Artefact
        The file.
    target : Path
        Where it shall lie.
    what : str
        What it belongs to, for messages.
    bases : sequence of str
        Where to look, in this order.
    progress : bool
        Show a progress bar.

    Raises
    ------
    FetchError
        If no base has it, undamaged.
    """

    def get(base: str) -> Path:
        if not is_remote(base):
            return _copy(Path(base) / artefact.path, artefact, target)
        with _progress_bar(f"{what} {target.name}", progress) as bar:
            return _download(_resolve(base, artefact.path), artefact, target, bar)

    return _from_bases(artefact.path, what, bases, get)


def fetch_text(path: str, what: str, bases: Sequence[str], parse: Callable[[str, str], T]) -> T:
    """Fetch a small text file and parse it.

    Parameters
    ----------
    path : str
        The file, relative to a base.
    what : str
        What it is, for messages.
    bases : sequence of str
        Where to look, in this order.
    parse : callable
        Takes the text and where it came from.

    Raises
    ------
    FetchError
        If no base has it, in a form that `parse` takes.
    """

    def get(base: str) -> T:
        name = f"{base}/{path}"
        if not is_remote(base):
            return parse(_read_text(Path(name)), name)
        parts: list[bytes] = []
        read_url(_resolve(base, path), parts.append, _MOST_TEXT)
        return parse(b"".join(parts).decode(), name)

    return _from_bases(path, what, bases, get)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Let one process at a time write a file of the cache.

    Raises
    ------
    FetchError
        If the cache cannot be written, or another process does not come to an end.
    """
    from filelock import FileLock, Timeout

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=_LOCK_TIMEOUT):
            yield
    except Timeout as error:
        raise FetchError(
            f"another process has been fetching {target} for {_LOCK_TIMEOUT:.0f} s; "
            f"if there is none, delete {error.lock_file}"
        ) from error
    except OSError as error:
        raise FetchError(
            f"the cache folder cannot be written: {error}; set XRAIN_CACHE_DIR to another"
        ) from error


def _resolve(base: str, path: str) -> str:
    """URL of a file; the archive of a DOI is asked for it."""
    if not base.startswith("doi:"):
        return f"{base}/{path}"
    from pooch import downloaders

    record = downloaders.doi_to_repository(base.removeprefix("doi:"), timeout=_TIMEOUT)
    return str(record.download_url(file_name=path))


def _download(url: str, artefact: Artefact, target: Path, bar: Draw | None) -> Path:
    """Write a file that is as published, or none."""
    digest = hashlib.sha256()
    with replacing(target) as draft:
        with draft.open("wb") as file:

            def write(part: bytes) -> None:
                digest.update(part)
                file.write(part)

            read_url(url, write, artefact.size, bar)
        if (draft.stat().st_size, digest.hexdigest()) != (artefact.size, artefact.sha256):
            raise TransferError(
                "what came has another size or SHA-256 than published (damaged or replaced)",
                is_final=False,
            )
    return target


def _read_text(path: Path) -> str:
    try:
        return read_bounded(path, _MOST_TEXT).decode("utf-8")
    except (OSError, ValueError) as error:
        raise TransferError(f"cannot be read: {error}", is_final=True) from error


def _copy(source: Path, artefact: Artefact, target: Path) -> Path:
    try:
        content = read_bounded(source, artefact.size)
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
        raise TransferError(why, is_final=True) from error
    except ValueError:
        content = b""
    if (len(content), hashlib.sha256(content).hexdigest()) != (artefact.size, artefact.sha256):
        raise TransferError(
            "has another size or SHA-256 than its registry says (damaged or replaced)",
            is_final=True,
        )
    with replacing(target) as draft:
        draft.write_bytes(content)
    return target


def _from_bases(path: str, what: str, bases: Sequence[str], get: Callable[[str], T]) -> T:
    """Call `get` with one base after the other, a few times."""
    left = _allowed(bases, what)
    failures: dict[str, str] = {}
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_BACK_OFF * 2 ** (attempt - 1))
        for base in list(left):
            try:
                return get(base)
            except (OSError, ValueError, ModelError, TransferError) as error:
                failures[f"{base}/{path}"], is_final = _explain(error)
                if is_final:
                    left.remove(base)
        if not left:
            break
    told = "\n".join(f"- {url}: {why}" for url, why in failures.items())
    hint = "Check the network and XRAIN_WEIGHTS_URL, or try later"
    if not any(map(is_remote, bases)):
        hint = "'xrain models add' takes it from another place"
    raise FetchError(f"cannot fetch {what}:\n{told}\n{hint}")


def _allowed(bases: Sequence[str], what: str) -> list[str]:
    here = [base for base in bases if not is_remote(base)]
    if is_offline() and not here:
        raise FetchError(
            f"{what} is not on this machine, and XRAIN_OFFLINE forbids to fetch it; fetch it "
            "once online with 'xrain models fetch'"
        )
    if not bases:
        raise FetchError(
            f"{what} is not on this machine, and no server is set; set XRAIN_WEIGHTS_URL to the "
            "base URL of one that has it"
        )
    return here if is_offline() else list(bases)


def _explain(error: Exception) -> tuple[str, bool]:
    """Say in words why a download failed, and whether to try again is useless."""
    from requests import exceptions as http

    if isinstance(error, TransferError):
        return str(error), error.is_final
    if isinstance(error, http.ConnectionError | http.Timeout):
        return "no connection to the archive of the DOI", False
    if isinstance(error, OSError) and not isinstance(error, http.RequestException):
        raise error  # the cache, not the server
    return str(error), True  # a list of models that is broken, or an archive's answer about a DOI


@contextmanager
def _progress_bar(label: str, show: bool) -> Iterator[Draw | None]:
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
