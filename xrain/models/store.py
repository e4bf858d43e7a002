"""Where models come from: the package, the cache, a server, or where the user says.

Files are looked for in the package's own weights, then in the cache, and only then where they
were added from or on a server, and are held against their SHA-256 every time. Settings are
environment variables:

``XRAIN_CACHE_DIR``
    Folder of fetched files, and of the registry of added models; by default the platform's
    cache folder.
``XRAIN_WEIGHTS_URL``
    Base URL or DOI of weights, or several, separated by commas, tried in this order.
    There is none by default.
``XRAIN_OFFLINE``
    ``1``, or anything but ``0``, ``false``, ``no`` and ``off``, forbids every connection.
``XRAIN_ALLOW_HTTP``
    ``1`` allows servers without encryption; without it they must be on this machine.
"""

from __future__ import annotations

import glob
import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from xrain.atomic import replacing
from xrain.display import as_html, as_text, listed
from xrain.errors import FetchError, ModelError
from xrain.models.card import ModelCard
from xrain.models.download import fetch_file, fetch_text, is_offline, is_remote, locked, servers
from xrain.models.registry import (
    ADDED_FILE,
    CARD_FILE,
    REGISTRY_NAME,
    Artefact,
    ModelEntry,
    Registry,
)
from xrain.models.transport import TransferError, require_safe
from xrain.models.whole_files import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

    from xrain.models.architecture import Architecture

__all__ = [
    "Model",
    "ModelFiles",
    "add_models",
    "cache_dir",
    "fetch_model",
    "find_model",
    "is_at_hand",
    "list_models",
    "load_card",
    "load_model",
    "load_tensors",
]

PHASE_MODEL: Final = "constellation-phase"
"""The model that tells rain from snow, beside those of rain."""

REGISTRY_FILE: Final = Path(__file__).with_name(REGISTRY_NAME)
PACKAGED: Final = Path(__file__).with_name("weights")
_DOI: Final = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)(10\.\d+/\S+)", re.IGNORECASE)


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


@dataclass(frozen=True, eq=False, repr=False)
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

    See Also
    --------
    xrain.load_model : Makes one.
    """

    card: ModelCard
    network: Architecture
    reference: str | None = None

    def __repr__(self) -> str:
        return as_text(*self._described())

    def _repr_html_(self) -> str:
        return as_html(*self._described())

    def _described(self) -> tuple[str, dict[str, str]]:
        card = self.card
        low, high = card.frequency_range
        anything = f"any from {low:g} to {high:g} GHz"
        return f"<Model {card.id}> {card.summary}", {
            "method": str(card.architecture.get("kind", "")),
            "sensor": card.sensor or "any",
            "channels": listed(card.channels) or anything,
            "estimates": card.task,
            "rain": f"{card.prevalence:.3f} of the pixels in training; flagged from "
            f"{card.threshold:g} on",
            "trained on": str(card.training.get("data", "")),
            "limits": f"{len(card.limits)}, in card.limits" if card.limits else "",
            "from": self.reference or "memory",
        }


def list_models(*, remote: bool = False) -> list[str]:
    """Return the names of all models of rain in alphabetical order.

    The model that tells rain from snow, ``constellation-phase``, works beside each of them and
    is not listed.

    Parameters
    ----------
    remote : bool
        Also ask the server for those that this version of the package does not know.

    Returns
    -------
    list of str

    Raises
    ------
    FetchError
        If the server is asked for and does not answer.

    See Also
    --------
    xrain.load_model : A model ready for use.
    xrain.fetch_model : Its files.

    Examples
    --------
    >>> import xrain
    >>> {"gmi-unet", "constellation-unet"} <= set(xrain.list_models())
    True
    """
    registry = _known()
    names = (registry.merged(_fetch_registry()) if remote else registry).names()
    return [name for name in names if name != PHASE_MODEL]


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
    packaged = Registry.read(REGISTRY_FILE)
    entry = packaged.find(name) or _known().find(name)
    if entry is None and servers() and not is_offline():
        entry = _fetch_registry().find(name)
    if entry is None:
        base, known = name.partition("@")[0], _known()
        choice = [e.id for e in known.versions(base)] or known.names()
        raise ModelError(
            f"unknown model {name!r}; known are {', '.join(choice) or 'none'}. A folder with "
            f"{CARD_FILE} and weights is taken too; XRAIN_WEIGHTS_URL names a server with others, "
            "and 'xrain models add' takes in one that somebody has published"
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

    See Also
    --------
    xrain.load_model : A model ready for use.
    xrain.list_models : Names of models.
    xrain.models.store.add_models : Models of others.

    Examples
    --------
    >>> import xrain
    >>> files = xrain.fetch_model("gmi-unet")
    >>> files.card.name
    'card.json'
    """
    entry = find_model(name)
    show = sys.stderr.isatty() if progress is None else progress
    card, *weights = (_local(a) or _fetch(a, entry, show) for a in entry.artefacts)
    return ModelFiles(card, tuple(weights))


def add_models(source: str | os.PathLike[str], *, progress: bool | None = None) -> list[ModelEntry]:
    """Take in what others have published: fetch it, and know its names from now on.

    Parameters
    ----------
    source : str or path
        What :func:`xrain.models.publish.package_models` wrote: the URL or the DOI under which it
        was published, or a folder.
    progress : bool, optional
        As for :func:`fetch_model`.

    Returns
    -------
    list of ModelEntry
        The models, which have names as those of the package have.

    Raises
    ------
    ModelError
        If a name and version are already those of another model.
    FetchError
        If a file cannot be fetched; then nothing is added.

    See Also
    --------
    xrain.list_models : Names of models.
    xrain.models.publish.package_models : Makes what is added.
    """
    base = _base(source)
    offered = fetch_text(REGISTRY_NAME, "the list of models", [base], Registry.from_json)
    offered = offered.placed(base)
    _require_own_names(offered)
    show = sys.stderr.isatty() if progress is None else progress
    for entry in offered.entries.values():
        card, *_ = [_local(a) or _fetch(a, entry, show) for a in entry.artefacts]
        if (found := ModelCard.read(card).id) != entry.id:
            raise ModelError(f"{base}: the card of {entry.id} is that of {found}")
    target = cache_dir() / ADDED_FILE
    with locked(target):
        added = offered.merged(_cached_registry(ADDED_FILE))
        with replacing(target) as draft:
            draft.write_text(added.to_json(), encoding="utf-8")
    return list(offered.entries.values())


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

    See Also
    --------
    xrain.list_models : Names of models.
    xrain.models.card.ModelCard : What a model tells of itself.
    xrain.retrieve : Takes the model, or its name.

    Examples
    --------
    >>> import xrain
    >>> model = xrain.load_model("gmi-unet")
    >>> model.card.sensor
    'GMI'
    """
    from xrain.models.build import build_network

    card, tensors, reference = load_tensors(name)
    try:
        network = build_network(card.architecture, tensors)
    except ModelError as error:
        raise ModelError(f"{card.id} ({reference}): {error}") from error
    return Model(card, network, reference)


def load_tensors(
    name: str | os.PathLike[str],
) -> tuple[ModelCard, dict[str, Tensor], str]:
    """Read card and weights of a model.

    Parameters
    ----------
    name : str or path
        As for :func:`load_model`.

    Returns
    -------
    tuple
        The card, the tensors by name, and what loads the same again in another process.

    Raises
    ------
    ModelError
        If there is no such model, its card or weights are broken, or a hash is wrong.
    FetchError
        If its files must be fetched and cannot be.
    """
    from xrain.models.weights_file import read_tensors

    files, reference = _files(name)
    card = ModelCard.read(files.card)
    if len(files.weights) != len(card.sha256s):
        raise ModelError(f"{card.id}: the registry and the card name other files of weights")
    tensors: dict[str, Tensor] = {}
    for path, sha256 in zip(files.weights, card.sha256s.values(), strict=True):
        tensors |= read_tensors(path, sha256)
    return card, tensors, reference


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


def _local(artefact: Artefact) -> Path | None:
    """Where a file lies on this machine, undamaged, or None."""
    for root in (PACKAGED, cache_dir()):
        path = root / artefact.path
        if _is_good(path, artefact):
            return path
    return None


def _is_good(path: Path, artefact: Artefact) -> bool:
    try:
        # The size first: it is told without reading.
        return path.stat().st_size == artefact.size and sha256_of(path) == artefact.sha256
    except OSError:
        return False


# ---- registrys


def _known() -> Registry:
    """Join what the package knows, what the user added, and what the server had last time."""
    packaged = Registry.read(REGISTRY_FILE)
    return packaged.merged(_cached_registry(ADDED_FILE)).merged(_cached_registry(REGISTRY_NAME))


def _cached_registry(name: str) -> Registry:
    """Read a registry of the cache; one that is damaged must not keep other models from use."""
    path = cache_dir() / name
    try:
        return Registry.read(path) if path.exists() else Registry({})
    except (ModelError, OSError) as error:
        warnings.warn(
            f"{error}; its models are left out. Delete the file, and fetch or add them again",
            RuntimeWarning,
            stacklevel=2,
        )
        return Registry({})


def _base(source: str | os.PathLike[str]) -> str:
    """Where a registry and its files lie, from what a user gives."""
    text = os.fspath(source).strip().removesuffix(f"/{REGISTRY_NAME}").rstrip("/")
    if found := _DOI.fullmatch(text):
        return f"doi:{found[1]}"
    if is_remote(text):
        try:
            require_safe(text)
        except TransferError as error:
            raise FetchError(str(error)) from error
        return text
    folder = Path(text).expanduser().resolve()
    if not (folder / REGISTRY_NAME).is_file():
        raise ModelError(
            f"{folder} holds no {REGISTRY_NAME}: give the URL, the DOI or the folder of a "
            "published model, as 'xrain models package' makes it. A folder with a card alone "
            "needs no adding: give its path as the model"
        )
    return str(folder)


def _require_own_names(offered: Registry) -> None:
    """Refuse an entry whose name and version another model has."""
    known = _known().entries
    taken = [e.id for e in offered.entries.values() if e.id in known and not e.is_same(known[e.id])]
    if taken:
        raise ModelError(
            f"another model is already known as {', '.join(taken)}; a version never changes, so "
            "this one must be published under another name or version: 'xrain models package "
            "--name … --version …'"
        )


# ---- the network


def _fetch(artefact: Artefact, entry: ModelEntry, progress: bool) -> Path:
    """Fetch one file into the cache, unless another process has just done so."""
    target = cache_dir() / artefact.path
    with locked(target):
        if _is_good(target, artefact):
            return target
        _sweep(target)
        bases = [*([entry.source] if entry.source else []), *servers()]
        return fetch_file(artefact, target, f"model {entry.id}", bases, progress)


def _sweep(target: Path) -> None:
    """Delete what processes that were killed left of a file; its lock is held."""
    for draft in target.parent.glob(f".{glob.escape(target.stem)}.????????{target.suffix}"):
        draft.unlink(missing_ok=True)


def _fetch_registry() -> Registry:
    """Fetch the server's registry, and keep a copy."""
    target = cache_dir() / REGISTRY_NAME
    with locked(target):
        registry = fetch_text(target.name, "the list of models", servers(), Registry.from_json)
        registry = registry.placed(None)
        with replacing(target) as draft:
            draft.write_text(registry.to_json(), encoding="utf-8")
    return registry
