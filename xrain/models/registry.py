"""The registry of published models: names, versions and the files that make them up.

Every file lies at one relative path, the same in the package, in the cache and on a server::

    trunk-1.safetensors
    gmi-unet-1/card.json
    gmi-unet-1/weights.safetensors

A published version never changes: its files are known by size and SHA-256.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from xrain.atomic import replacing
from xrain.errors import ModelError
from xrain.models.card import ModelCard
from xrain.models.whole_files import read_bounded, sha256_of

__all__ = [
    "ADDED_FILE",
    "CARD_FILE",
    "REGISTRY_NAME",
    "Artefact",
    "ModelEntry",
    "Registry",
    "add_to_registry",
]

CARD_FILE: Final = "card.json"
REGISTRY_NAME: Final = "registry.json"
ADDED_FILE: Final = "added.json"
"""File in the cache with the registry of what the user has added."""

_FORMAT: Final = 1
_NAME: Final = re.compile(r"(?P<name>[\w.-]{1,100})(?:@(?P<version>\d{1,6}))?", re.ASCII)
_PART: Final = re.compile(r"[\w][\w.+-]{0,149}", re.ASCII)  # of a path: nothing hidden, nothing odd
_DEEPEST: Final = 8  # folders of a path
_LARGEST: Final = 4 << 30  # bytes of one file
_MOST_MODELS: Final = 10_000
_MOST_FILES: Final = 100  # of one model
_MOST_TEXT: Final = 8 << 20  # bytes of a registry


@dataclass(frozen=True)
class Artefact:
    """One file of a model.

    Attributes
    ----------
    path : str
        Path with forward slashes, relative to the package's weights, the cache or the base URL.
    sha256 : str
        Hash of the whole file.
    size : int
        Bytes.
    """

    path: str
    sha256: str
    size: int

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if self.path.lower() in (REGISTRY_NAME, ADDED_FILE):
            raise ValueError(f"path {self.path!r} is the name of a registry")
        if len(parts) > _DEEPEST or not all(map(_PART.fullmatch, parts)):
            raise ValueError(f"path {self.path!r} leaves its folder, or has odd characters")
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"{self.path} has no proper sha256")
        if not 0 <= self.size <= _LARGEST:
            raise ValueError(f"{self.path} has the size {self.size}")


@dataclass(frozen=True)
class ModelEntry:
    """One version of a published model.

    Attributes
    ----------
    name : str
        Model name.
    version : int
        Version.
    card : Artefact
        The card.
    weights : tuple of Artefact
        Weight files in loading order; a later file's tensors replace an earlier one's.
    source : str or None
        Where the user added it from: a URL, a DOI or a folder.
    """

    name: str
    version: int
    card: Artefact
    weights: tuple[Artefact, ...]
    source: str | None = None

    @property
    def id(self) -> str:
        """Name and version, as in ``"gmi-unet@1"``."""
        return f"{self.name}@{self.version}"

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        """All files, the card first."""
        return (self.card, *self.weights)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(a.size for a in self.artefacts)

    def is_same(self, other: ModelEntry) -> bool:
        """Whether the files are the same, wherever they lie."""
        return [a.sha256 for a in self.artefacts] == [a.sha256 for a in other.artefacts]


@dataclass(frozen=True)
class Registry:
    """Published models by name and version.

    Attributes
    ----------
    entries : dict of str to ModelEntry
        Entries by :attr:`ModelEntry.id`.
    """

    entries: dict[str, ModelEntry]

    @classmethod
    def from_json(cls, text: str, source: str) -> Self:
        """Read a registry; ModelError names `source` if it is broken."""
        try:
            if len(text) > _MOST_TEXT:
                raise ValueError("it is too large")
            entries = _entries(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"the model registry {source} is broken: {error!r:.300}") from error
        return cls({e.id: e for e in entries})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a registry file."""
        try:
            text = read_bounded(path, _MOST_TEXT).decode("utf-8")
        except (OSError, ValueError) as error:
            raise ModelError(f"the model registry {path} cannot be read: {error}") from error
        return cls.from_json(text, str(path))

    def to_json(self) -> str:
        """Return the registry as indented JSON."""
        models: dict[str, dict[str, Any]] = {}
        for entry in sorted(self.entries.values(), key=lambda e: (e.name, e.version)):
            files: dict[str, Any] = {
                "card": asdict(entry.card),
                "weights": [asdict(a) for a in entry.weights],
            }
            if entry.source is not None:
                files["source"] = entry.source
            models.setdefault(entry.name, {})[str(entry.version)] = files
        values = {"format": _FORMAT, "models": models}
        return json.dumps(values, indent=2) + "\n"

    def names(self) -> list[str]:
        """Names of all models, in alphabetical order."""
        return sorted({e.name for e in self.entries.values()})

    def versions(self, name: str) -> list[ModelEntry]:
        """All versions of one model, oldest first; empty if there is none."""
        return sorted((e for e in self.entries.values() if e.name == name), key=lambda e: e.version)

    def find(self, text: str) -> ModelEntry | None:
        """Find ``"name@version"``, or the newest version of ``"name"``."""
        parsed = _NAME.fullmatch(text)
        if parsed is None:
            return None
        if parsed["version"]:
            return self.entries.get(f"{parsed['name']}@{int(parsed['version'])}")
        versions = self.versions(parsed["name"])
        return versions[-1] if versions else None

    def merged(self, other: Registry) -> Registry:
        """Return this registry with the entries of another that it does not have itself."""
        return Registry({**other.entries, **self.entries})

    def placed(self, source: str | None) -> Registry:
        """Return this registry with all entries coming from `source`."""
        return Registry({k: replace(e, source=source) for k, e in self.entries.items()})


def _entries(values: dict[str, Any]) -> list[ModelEntry]:
    if values["format"] != _FORMAT:
        raise ValueError(f"its format is {values['format']!r}, not {_FORMAT}")
    entries = [
        _entry(name, version, files)
        for name, versions in values["models"].items()
        for version, files in versions.items()
    ]
    if len(entries) > _MOST_MODELS:
        raise ValueError(f"it lists {len(entries)} models")
    return entries


def _entry(name: str, number: str, files: dict[str, Any]) -> ModelEntry:
    if not _NAME.fullmatch(f"{name}@{number}") or not (version := int(number)):
        raise ValueError(f"{name}@{number} is no name and version")
    if not 0 < len(files["weights"]) <= _MOST_FILES:
        raise ValueError(f"{name}@{number} has {len(files['weights'])} files of weights")
    weights = tuple(_artefact(a) for a in files["weights"])
    source = files.get("source")
    place = None if source is None else str(source)
    return ModelEntry(name, version, _artefact(files["card"]), weights, place)


def _artefact(values: dict[str, Any]) -> Artefact:
    return Artefact(str(values["path"]), str(values["sha256"]), int(values["size"]))


def add_to_registry(registry_file: str | Path, root: str | Path, folder: str | Path) -> ModelEntry:
    """Enter a saved model into a registry, which is made if it does not exist.

    Parameters
    ----------
    registry_file : path
        The registry, a JSON file.
    root : path
        Folder that the artefacts' paths start from: the package's weights, or what a server
        will show under its base URL.
    folder : path
        The saved model, below `root`.

    Returns
    -------
    ModelEntry
        What was entered.

    Raises
    ------
    ModelError
        If a file is absent or lies outside `root`.
    """
    registry_file, root, folder = Path(registry_file), Path(root).resolve(), Path(folder).resolve()
    card = ModelCard.read(folder / CARD_FILE)
    files = [folder / CARD_FILE, *((folder / name).resolve() for name in card.sha256s)]
    first, *rest = [_describe(path, root) for path in files]
    entry = ModelEntry(card.name, card.version, first, tuple(rest))
    old = Registry.read(registry_file) if registry_file.exists() else Registry({})
    new = Registry(old.entries | {entry.id: entry})
    with replacing(registry_file) as draft:
        draft.write_text(new.to_json(), encoding="utf-8")
    return entry


def _describe(path: Path, root: Path) -> Artefact:
    try:
        relative = path.relative_to(root).as_posix()
        return Artefact(relative, sha256_of(path), path.stat().st_size)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be entered into the registry: {error}") from error
