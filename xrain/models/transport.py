"""Read from a server, with bounds on size, time and protocol.

A server may be broken or hostile: it may send for ever, one byte at a time, more than it said,
or lead elsewhere. The bounds hold for the whole of a transfer, redirections included.
"""

from __future__ import annotations

import ipaddress
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

__all__ = ["TransferError", "is_set", "read_url", "require_safe"]

T = TypeVar("T")

ALLOW_HTTP: Final = "XRAIN_ALLOW_HTTP"
"""Environment variable that allows servers without encryption."""

_SILENCE: Final = (10.0, 30.0)  # s to connect, and without a byte
_PATIENCE: Final = 60.0  # s that any transfer may take
_SLOWEST: Final = 20_000.0  # bytes per second of the slowest server, beyond that
_REDIRECTIONS: Final = 5
_CHUNK: Final = 1 << 16
_OFF: Final = ("", "0", "false", "no", "off")


class TransferError(Exception):
    """A transfer that failed.

    Attributes
    ----------
    is_final : bool
        Whether another attempt is useless.
    """

    def __init__(self, why: str, *, is_final: bool) -> None:
        super().__init__(why)
        self.is_final = is_final


def is_set(name: str) -> bool:
    """Whether an environment variable is set to anything but 0, false, no, off or nothing."""
    return os.environ.get(name, "").strip().lower() not in _OFF


def require_safe(url: str) -> None:
    """Refuse a URL that is neither encrypted nor on this machine.

    A list of models carries the hashes that all else is held against, so nobody on the way may
    change it. ``XRAIN_ALLOW_HTTP=1`` allows it nevertheless.

    Raises
    ------
    TransferError
        If the URL is not allowed.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or url.startswith("doi:"):
        return
    if parts.scheme != "http":
        raise TransferError(f"{url} is neither https:// nor http://", is_final=True)
    if not _is_loopback(parts.hostname or "") and not is_set(ALLOW_HTTP):
        raise TransferError(
            f"{url} is not encrypted, so anybody on the way could replace models; use https://, "
            f"or set {ALLOW_HTTP}=1 if the network is trusted",
            is_final=True,
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_url(
    url: str,
    write: Callable[[bytes], Any],
    most: int,
    grow: Callable[[int, int], Any] | None = None,
) -> None:
    """Read what a URL holds.

    Parameters
    ----------
    url : str
        Where to read; see :func:`require_safe`.
    write : callable
        Takes the content, part by part.
    most : int
        Bytes after which the transfer is broken off.
    grow : callable, optional
        Takes bytes done and bytes expected.

    Raises
    ------
    TransferError
        If the server does not answer, answers with an error, sends too much or is too slow.
    """
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    deadline = time.monotonic() + _PATIENCE + most / _SLOWEST
    try:
        response = _within(deadline, lambda: _open(url))
        try:
            _copy(response.raw, write, most, deadline, grow)
        finally:
            response.close()
    except (RequestException, HTTPError) as error:
        raise TransferError(_explain(error), is_final=False) from error


def _open(url: str) -> Any:
    """Send the request, and follow redirections to where it is safe."""
    import requests

    with requests.Session() as session:
        for _ in range(_REDIRECTIONS):
            require_safe(url)
            response = session.get(
                url, stream=True, timeout=_SILENCE, allow_redirects=False,
                headers={"Accept-Encoding": "identity"},
            )  # fmt: skip
            if not response.is_redirect:
                break
            response.close()
            url = urljoin(url, response.headers["location"])
        else:
            raise TransferError("the server redirects without end", is_final=True)
    if response.status_code >= 400:
        response.close()
        status, reason = response.status_code, response.reason
        is_final = 400 <= status < 500
        raise TransferError(f"the server answers {status} {reason}", is_final=is_final)
    return response


def _copy(
    raw: Any,
    write: Callable[[bytes], Any],
    most: int,
    deadline: float,
    grow: Callable[[int, int], Any] | None,
) -> None:
    done = 0
    while part := raw.read1(_CHUNK, decode_content=True):
        done += len(part)
        if done > most:
            raise TransferError(f"the server sends more than {most} bytes", is_final=True)
        if time.monotonic() > deadline:
            raise TransferError("the server is too slow", is_final=True)
        write(part)
        if grow is not None:
            grow(done, most)


def _within(deadline: float, call: Callable[[], T]) -> T:
    """Call a function that may block, and go on without it when the time is over."""
    answers: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:  # handed to the caller's thread
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = answers.get(timeout=max(deadline - time.monotonic(), 0.0))
    except queue.Empty:
        raise TransferError("the server is too slow", is_final=True) from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def _explain(error: Exception) -> str:
    from requests import exceptions as http
    from urllib3 import exceptions as low

    if isinstance(error, http.Timeout | low.TimeoutError):
        return f"no answer within {_SILENCE[1]:.0f} s"
    if isinstance(error, http.ChunkedEncodingError | low.ProtocolError | low.IncompleteRead):
        return "the connection broke off before the end of the file"
    if isinstance(error, http.ConnectionError):
        return "no connection to the server"
    return str(error)
