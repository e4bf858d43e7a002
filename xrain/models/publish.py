"""Turn trained models into what others can fetch: files side by side, with a registry.

All files of a package lie in one folder without subfolders, because archives that give DOIs keep
them so; names that end in a hash keep files of different makers apart in a cache::

    registry.json
    mine-2.json
    mine-2.safetensors
    trunk-1f0a7c33d0b2.safetensors
    SHA256SUMS
    README.md
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from xrain.atomic import replacing
from xrain.errors import ModelError
from xrain.models.card import ModelCard
from xrain.models.export import WEIGHTS_FILE
from xrain.models.registry import CARD_FILE, Artefact, ModelEntry, Registry
from xrain.models.store import REGISTRY_FILE, load_model

__all__ = ["check_package", "package_models"]

SUMS_FILE: Final = "SHA256SUMS"
README_FILE: Final = "README.md"

_HASH_LETTERS: Final = 12
_STRANGER: Final = """
import sys
from xrain.models.store import add_models, load_model
for entry in add_models(sys.argv[1]):
    assert load_model(entry.id).reference == entry.id
    print(entry.id)
"""
_PATIENCE: Final = 600.0  # s for a new process to fetch and load everything


def package_models(
    folders: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    name: str | None = None,
    version: int | None = None,
) -> list[ModelEntry]:
    """Write trained models in the form in which others can take them in.

    Parameters
    ----------
    folders : sequence of path
        Models, each a folder with ``card.json`` and weights. Weights that several of them share
        are written once.
    output : path
        Folder to write to; a package that is there already gets further models.
    name : str, optional
        Name to publish under, in which ``{name}`` stands for the model's own.
    version : int, optional
        Version to publish under, by default that of the card.

    Returns
    -------
    list of ModelEntry
        What was written, in the order given.

    Raises
    ------
    ModelError
        If a model is broken, or a name and version are already those of another model, of this
        package of models or of xrain itself.
    OutputError
        If a file cannot be written.

    See Also
    --------
    xrain.models.publish.check_package : Try the package.
    xrain.models.store.add_models : Take one in.
    """
    output = Path(output)
    if not folders:
        raise ModelError("no model to package: name a folder with card.json and weights")
    register = output / REGISTRY_FILE.name
    done = Registry.read(register) if register.is_file() else Registry({})
    parcels = [_parcel(Path(os.path.abspath(f)), name, version) for f in folders]
    _require_unchanged([p.entry for p in parcels], Registry.read(REGISTRY_FILE).merged(done))
    for parcel in parcels:
        _write_parcel(parcel, output)
    entries = [p.entry for p in parcels]
    done = Registry({**done.entries, **{e.id: e for e in entries}})
    _write(register, done.to_json())
    _write(output / SUMS_FILE, _sums(done))
    _write(output / README_FILE, _readme(done, output))
    return entries


def check_package(output: str | os.PathLike[str]) -> list[str]:
    """Do with a package what a stranger would: add it from a server, and load every model.

    A server on the loopback interface shows the folder; a new process with an empty cache and
    none of the user's settings fetches from it.

    Parameters
    ----------
    output : path
        The package.

    Returns
    -------
    list of str
        The models that were loaded, such as ``"mine@2"``.

    Raises
    ------
    ModelError
        If it does not work.

    See Also
    --------
    xrain.models.publish.package_models : Makes a package.
    """
    output = Path(output).resolve()
    ours = {k: v for k, v in os.environ.items() if not k.startswith("XRAIN_")}
    with tempfile.TemporaryDirectory(prefix="xrain-stranger-") as empty, _served(output) as url:
        env = {**ours, "XRAIN_CACHE_DIR": empty, "NO_PROXY": "127.0.0.1"}
        command = [sys.executable, "-c", _STRANGER, url]
        try:
            ran = subprocess.run(  # noqa: S603
                command, env=env, cwd=empty, capture_output=True, text=True, timeout=_PATIENCE,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{output}: not loaded within {_PATIENCE:.0f} s") from error
    if ran.returncode:
        why = ran.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ModelError(f"{output}: a stranger could not load it: {why[0]}")
    return ran.stdout.split()


@dataclass(frozen=True)
class _Parcel:
    """A model as it will be written: its entry, its card, and the files to copy by new name."""

    entry: ModelEntry
    card: str
    files: dict[str, Path]


def _parcel(folder: Path, name: str | None, version: int | None) -> _Parcel:
    """Read a model, whole and as its card says, and find its names in the package."""
    folder = folder.parent if folder.name == CARD_FILE else folder
    card = _renamed(load_model(Path(folder)).card, name, version)
    stem = f"{card.name}-{card.version}"
    files, weights = {}, []
    for file, sha256 in card.sha256s.items():
        source = folder / file
        own = file == WEIGHTS_FILE
        new = f"{stem if own else f'{source.stem}-{sha256[:_HASH_LETTERS]}'}.safetensors"
        files[new] = source
        weights.append(Artefact(new, sha256, source.stat().st_size))
    text = dataclasses.replace(card, sha256s={a.path: a.sha256 for a in weights}).to_json()
    blob = text.encode()
    described = Artefact(f"{stem}.json", hashlib.sha256(blob).hexdigest(), len(blob))
    return _Parcel(ModelEntry(card.name, card.version, described, tuple(weights)), text, files)


def _renamed(card: ModelCard, name: str | None, version: int | None) -> ModelCard:
    new = card.name if name is None else name.replace("{name}", card.name)
    number = card.version if version is None else version
    if not re.fullmatch(r"[\w.-]+", new) or number < 1:
        raise ModelError(
            f"{new}@{number} is no name: letters, digits, '-', '_' and '.', and a version from 1"
        )
    return dataclasses.replace(card, name=new, version=number)


def _require_unchanged(entries: Sequence[ModelEntry], published: Registry) -> None:
    """Refuse a name and version that another model has."""
    taken = dict(published.entries)
    latest: dict[str, int] = {}
    for entry in published.entries.values():
        latest[entry.name] = max(entry.version, latest.get(entry.name, 0))
    wrong = [  # versions below the latest were published too, though they may be gone
        e.id
        for e in entries
        if (e.id not in taken and e.version < latest.get(e.name, 0))
        or not e.is_same(taken.setdefault(e.id, e))
    ]
    if wrong:
        raise ModelError(
            f"{', '.join(wrong)}: already the name of another published model, and a published "
            "version never changes; choose another with --name or --version"
        )


def _write_parcel(parcel: _Parcel, output: Path) -> None:
    for new, source in parcel.files.items():
        with replacing(output / new) as draft:
            draft.write_bytes(source.read_bytes())
    _write(output / parcel.entry.card.path, parcel.card)


def _write(path: Path, text: str) -> None:
    with replacing(path) as draft:
        draft.write_bytes(text.encode())


def _sums(registry: Registry) -> str:
    """List all files as ``sha256sum -c`` reads them."""
    files = {a.path: a.sha256 for e in registry.entries.values() for a in e.artefacts}
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(files.items()))


def _readme(registry: Registry, output: Path) -> str:
    """Say what the models are, for those who find the files without the program."""
    lines = [
        "# Rain retrieval models for xrain\n",
        "Put the URL or the DOI of this folder for PLACE:\n",
        "    pip install xrain",
        "    xrain models add PLACE",
        f"    xrain retrieve GRANULE --model {next(iter(registry.entries))}\n",
        "`sha256sum -c SHA256SUMS` checks the files.\n",
    ]
    for entry in registry.entries.values():
        card = ModelCard.read(output / entry.card.path)
        lines += [f"## {card.id}\n", f"{card.summary} Licence: {card.licence}.\n"]
        lines += [f"- {limit}" for limit in card.limits] + [""] * bool(card.limits)
    return "\n".join(lines).rstrip() + "\n"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Show a folder to this machine over HTTP."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
