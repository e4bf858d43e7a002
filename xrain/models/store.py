"""Where models come from: the package, the cache, or a server. The only networking code.

Files are looked for in the package's own weights, then in the cache, and only then on a
server, and are held against their SHA-256 every time. Settings are environment variables:

``XRAIN_CACHE_DIR``
    Folder of fetched files; by default the platform's cache folder.
``XRAIN_WEIGHTS_URL``
    Base URL of a server with weights, or several, separated by commas, tried in this order.
    There is none by default.
``XRAIN_OFFLINE``
    ``1`` forbids every connection.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from xrain.atomic import replacing
from xrain.errors import FetchError, ModelError
from xrain.models.card import ModelCard
from xrain.models.registry import CARD_FILE, Artefact, ModelEntry, Registry, sha256_of

if TYPE_CHECKING:
    from torch import Tensor

    from xrain.models.architecture import Architecture

__all__ = [
    "Model",
    "ModelFiles",
    "cache_dir",
    "fetch_model",
    "find_model",
    "is_at_hand",
    "list_models",
    "load_card",
    "load_model",
]

T = TypeVar("T")

REGISTRY_FILE: Final = Path(__file__).with_name("registry.json")
PACKAGED: Final = Path(__file__).with_name("weights")

_ATTEMPTS: Final = 3
_BACK_OFF: Final = 0.5  # s before the second attempt; doubles with each
_TIMEOUT: Final = 30.0  # s without a byte
_LOCK_TIMEOUT: Final = 600.0  # s that one process waits for another's download


@dataclass(frozen=True)
class ModelFiles:
    """Files of one model on this machine.

    Attributes
    ----------
    card : Path
        The card.
    weights : tuple of Path
        Weight files in loading order.
    """

    card: Path
    weights: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class Model:
    """A model ready for use.

    Attributes
    ----------
    card : ModelCard
        What it is.
    network : Architecture
        The network, or the inversion with its database, in float32 on the CPU.
    reference : str or None
        What :func:`load_model` takes to load the same again in another process.
    """

    card: ModelCard
    network: Architecture
    reference: str | None = None


def list_models(*, remote: bool = False) -> list[str]:
    """Names of all models, in alphabetical order.

    Parameters
    ----------
    remote : bool
        Also ask the server for those that this version of the package does not know.

    Raises
    ------
    FetchError
        If the server is asked for and does not answer.
    """
    registry = Registry.read(REGISTRY_FILE).merged(_cached_registry())
    return (registry.merged(_fetch_registry()) if remote else registry).names()


def find_model(name: str) -> ModelEntry:
    """Find a published model.

    Parameters
    ----------
    name : str
        ``"gmi-unet"`` for the newest version that this package knows, or ``"gmi-unet@1"``. What
        it does not know is looked up on the server, if one is set.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    known = Registry.read(REGISTRY_FILE)
    entry = known.find(name) or _cached_registry().find(name)
    if entry is None and _mirrors() and not _offline():
        entry = _fetch_registry().find(name)
    if entry is None:
        base = name.partition("@")[0]
        choice = [e.id for e in known.versions(base)] or known.names()
        raise ModelError(
            f"unknown model {name!r}; known are {', '.join(choice) or 'none'}. A folder with "
            f"{CARD_FILE} and weights is taken too; XRAIN_WEIGHTS_URL names a server with others"
        )
    return entry


def is_at_hand(entry: ModelEntry) -> bool:
    """Whether all files of a model lie, undamaged, in the package or in the cache."""
    return all(_local(artefact) for artefact in entry.artefacts)


def fetch_model(name: str, *, progress: bool | None = None) -> ModelFiles:
    """Bring all files of a published model to this machine.

    Parameters
    ----------
    name : str
        As for :func:`find_model`.
    progress : bool, optional
        Show a progress bar; by default where standard error is a terminal.

    Returns
    -------
    ModelFiles
        Paths of the card and the weights, in the package where they are part of it, else in
        the cache.

    Raises
    ------
    ModelError
        If there is no such model.
    FetchError
        If a file cannot be fetched: offline, no server, not found, cut off, wrong hash.
    """
    entry = find_model(name)
    show = sys.stderr.isatty() if progress is None else progress
    card, *weights = (_local(a) or _fetch(a, entry, show) for a in entry.artefacts)
    return ModelFiles(card, tuple(weights))


def load_card(name: str | os.PathLike[str]) -> ModelCard:
    """Read the card of a model, published or in a folder; see :func:`load_model`."""
    return ModelCard.read(_files(name)[0].card)


def load_model(name: str | os.PathLike[str]) -> Model:
    """Load a model.

    Parameters
    ----------
    name : str or path
        ``"gmi-unet"``, ``"gmi-unet@1"``, or a folder that holds ``card.json`` and weights.

    Returns
    -------
    Model
        Card and network.

    Raises
    ------
    ModelError
        If there is no such model, its card or weights are broken, or a hash is wrong.
    FetchError
        If its files must be fetched and cannot be.
    """
    from xrain.models.architecture import build_network

    files, reference = _files(name)
    card = ModelCard.read(files.card)
    tensors: dict[str, Tensor] = {}
    for path, sha256 in zip(files.weights, card.sha256s.values(), strict=True):
        tensors |= _read_tensors(path, sha256)
    try:
        network = build_network(card.architecture, tensors)
    except ModelError as error:
        raise ModelError(f"{card.id} ({files.card.parent}): {error}") from error
    return Model(card, network, reference)


def cache_dir() -> Path:
    """Folder of fetched files: ``XRAIN_CACHE_DIR``, or the platform's cache folder."""
    import pooch

    return Path(os.environ.get("XRAIN_CACHE_DIR") or pooch.os_cache("xrain")).expanduser()


# ---- local files


def _files(name: str | os.PathLike[str]) -> tuple[ModelFiles, str]:
    """Files of a model, and the reference by which it can be loaded again."""
    text = os.fspath(name)
    if isinstance(name, str) and _is_name(text):
        entry = find_model(text)
        return fetch_model(entry.id), entry.id
    folder = Path(text).expanduser().resolve()
    if folder.name == CARD_FILE:
        folder = folder.parent
    card = ModelCard.read(folder / CARD_FILE)
    weights = tuple((folder / file).resolve() for file in card.sha256s)
    return ModelFiles(folder / CARD_FILE, weights), str(folder)


def _is_name(text: str) -> bool:
    """Whether a text names a published model rather than a folder."""
    if os.sep in text or "/" in text:
        return False
    return Registry.read(REGISTRY_FILE).find(text) is not None or not Path(text).is_dir()


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if sha256_of(path) != sha256:
            raise ModelError(f"{path} is not the file that its card names: its SHA-256 differs")
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} holds no readable weights: {error}") from error
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def _local(artefact: Artefact) -> Path | None:
    """Where a file lies on this machine, undamaged, or None."""
    for root in (PACKAGED, cache_dir()):
        path = root / artefact.path
        if _is_good(path, artefact):
            return path
    return None


def _is_good(path: Path, artefact: Artefact) -> bool:
    try:
        return path.stat().st_size == artefact.size and sha256_of(path) == artefact.sha256
    except OSError:
        return False


def _cached_registry() -> Registry:
    """Read the server's register as it was last seen."""
    path = cache_dir() / REGISTRY_FILE.name
    return Registry.read(path) if path.exists() else Registry({})


# ---- the network


def _offline() -> bool:
    return os.environ.get("XRAIN_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on")


def _mirrors() -> list[str]:
    urls = os.environ.get("XRAIN_WEIGHTS_URL", "").split(",")
    return [url.strip().rstrip("/") for url in urls if url.strip()]


def _fetch(artefact: Artefact, entry: ModelEntry, progress: bool) -> Path:
    """Fetch one file into the cache, unless another process has just done so."""
    import pooch

    target = cache_dir() / artefact.path

    def get(url: str) -> Path:
        with _progress_bar(f"{entry.id} {target.name}", progress) as bar:
            downloader = pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT)
            known = f"sha256:{artefact.sha256}"
            pooch.retrieve(url, known, target.name, target.parent, downloader=downloader)
        return target

    with _locked(target):
        if _is_good(target, artefact):
            return target
        return _from_mirrors(artefact.path, f"model {entry.id}", get)


def _fetch_registry() -> Registry:
    """Fetch the server's register, and keep a copy."""
    import pooch

    def get(url: str) -> Registry:
        buffer = io.BytesIO()
        pooch.HTTPDownloader(timeout=_TIMEOUT)(url, buffer, None)
        return Registry.from_json(buffer.getvalue().decode(), url)

    target = cache_dir() / REGISTRY_FILE.name
    with _locked(target):
        registry = _from_mirrors(target.name, "the list of models", get)
        with replacing(target) as draft:
            draft.write_text(registry.to_json(), encoding="utf-8")
    return registry


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Let one process at a time fetch a file; FetchError if the cache cannot be written."""
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


def _from_mirrors(path: str, what: str, get: Callable[[str], T]) -> T:
    """Call `get` with the URL of a file on one mirror after the other, a few times."""
    mirrors = _allowed_mirrors(what)
    failures: dict[str, str] = {}
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_BACK_OFF * 2 ** (attempt - 1))
        for mirror in list(mirrors):
            url = f"{mirror}/{path}"
            try:
                return get(url)
            except (OSError, ValueError, ModelError) as error:
                failures[url], is_final = _explain(error)
                if is_final:
                    mirrors.remove(mirror)
        if not mirrors:
            break
    told = "\n".join(f"- {url}: {why}" for url, why in failures.items())
    raise FetchError(
        f"cannot fetch {what}:\n{told}\nCheck the network and XRAIN_WEIGHTS_URL, or try later"
    )


def _allowed_mirrors(what: str) -> list[str]:
    mirrors = _mirrors()
    if _offline():
        raise FetchError(
            f"{what} is not on this machine, and XRAIN_OFFLINE forbids to fetch it; fetch it "
            "once online with 'xrain models fetch'"
        )
    if not mirrors:
        raise FetchError(
            f"{what} is not on this machine, and no server is set; set XRAIN_WEIGHTS_URL to the "
            "base URL of one that has it"
        )
    if wrong := [m for m in mirrors if not m.startswith(("http://", "https://"))]:
        raise FetchError(f"XRAIN_WEIGHTS_URL must begin with http:// or https://, not {wrong[0]!r}")
    return mirrors


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
    if isinstance(error, http.RequestException):
        return str(error), True
    if isinstance(error, OSError):
        raise error  # the cache, not the server
    if isinstance(error, ModelError):
        return str(error), True
    return "what came has another SHA-256 than published (damaged or replaced)", False


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
