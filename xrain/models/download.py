"""Fetch files of models from servers, from archives with a DOI, or from folders.

The only networking code. A base is the URL of a server's folder, such as
``https://weights.example.org/xrain``; the DOI of a record whose files lie side by side, such as
``doi:10.5281/zenodo.1234567``; or a folder of this machine.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from xrain.atomic import replacing
from xrain.errors import FetchError, ModelError
from xrain.models.registry import Artefact, sha256_of

__all__ = ["fetch_file", "fetch_text", "is_offline", "is_remote", "locked", "servers"]

T = TypeVar("T")

REMOTE: Final = ("http://", "https://", "doi:")

_ATTEMPTS: Final = 3
_BACK_OFF: Final = 0.5  # s before the second attempt; doubles with each
_TIMEOUT: Final = 30.0  # s without a byte
_LOCK_TIMEOUT: Final = 600.0  # s that one process waits for another's download


class _UnfitError(Exception):
    """A source that is there, but does not hold what it should."""


def is_offline() -> bool:
    """Whether ``XRAIN_OFFLINE`` forbids every connection."""
    return os.environ.get("XRAIN_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on")


def is_remote(base: str) -> bool:
    """Whether a base lies outside this machine's folders."""
    return base.startswith(REMOTE)


def servers() -> list[str]:
    """Bases that ``XRAIN_WEIGHTS_URL`` names.

    Raises
    ------
    FetchError
        If one of them is neither a URL nor a DOI.
    """
    urls = os.environ.get("XRAIN_WEIGHTS_URL", "").split(",")
    bases = [url.strip().rstrip("/") for url in urls if url.strip()]
    if wrong := [base for base in bases if not is_remote(base)]:
        raise FetchError(
            f"XRAIN_WEIGHTS_URL must begin with http://, https:// or doi:, not {wrong[0]!r}"
        )
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
        import pooch

        url = f"{base}/{artefact.path}"
        with _progress_bar(f"{what} {target.name}", progress) as bar:
            known = f"sha256:{artefact.sha256}"
            pooch.retrieve(url, known, target.name, target.parent, downloader=_loader(url, bar))
        return target

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
        url = f"{base}/{path}"
        if not is_remote(base):
            return parse(_read_text(Path(url)), url)
        buffer = io.BytesIO()
        _loader(url, False)(url, buffer, None)
        return parse(buffer.getvalue().decode(), url)

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


def _loader(url: str, bar: Any) -> Any:
    import pooch

    kind = pooch.DOIDownloader if url.startswith("doi:") else pooch.HTTPDownloader
    return kind(progressbar=bar, timeout=_TIMEOUT)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _UnfitError(f"cannot be read: {error}") from error


def _copy(source: Path, artefact: Artefact, target: Path) -> Path:
    try:
        if sha256_of(source) != artefact.sha256:
            raise _UnfitError("has another SHA-256 than its register says (damaged or replaced)")
        content = source.read_bytes()
    except OSError as error:
        raise _UnfitError(f"cannot be read: {error.strerror}") from error
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
            except (OSError, ValueError, ModelError, _UnfitError) as error:
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

    if isinstance(error, http.HTTPError) and error.response is not None:
        status = error.response.status_code
        return f"the server answers {status} {error.response.reason}", 400 <= status < 500
    if isinstance(error, http.Timeout):
        return f"no answer within {_TIMEOUT:.0f} s", False
    if isinstance(error, http.ChunkedEncodingError):
        return "the connection broke off before the end of the file", False
    if isinstance(error, http.ConnectionError):
        return "no connection to the server", False
    if isinstance(error, http.RequestException | ModelError | _UnfitError):
        return str(error), True
    if isinstance(error, OSError):
        raise error  # the cache, not the server
    if "hash" in str(error):
        return "what came has another SHA-256 than published (damaged or replaced)", False
    return str(error), True  # an archive's answer about a DOI


class _Bar:
    """What pooch expects of a progress bar, drawn by rich."""

    def __init__(self, draw: Callable[..., None]) -> None:
        self._draw = draw
        self._done = 0
        self.total = 0

    def update(self, size: int) -> None:
        self._done = min(self._done + size, self.total)
        self._draw(completed=self._done, total=self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        self._draw(completed=self.total, total=self.total)


@contextmanager
def _progress_bar(label: str, show: bool) -> Iterator[Any]:
    if not show:
        yield False
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=None)
        yield _Bar(lambda **state: progress.update(task, **state))
