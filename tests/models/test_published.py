"""What was published stays as it is: users name a version to get the same rain for ever."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from xrain.models.registry import ModelEntry, Registry
from xrain.models.store import REGISTRY_FILE

PUBLISHED = Path(__file__).with_name("published.json")


def fingerprint(entry: ModelEntry) -> str:
    """One hash of all files of a model, the card included."""
    hashes = [artefact.sha256 for artefact in entry.artefacts]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def test_a_published_version_never_changes() -> None:
    """A model that changes gets a new version, which tools/list_published.py adds to the list."""
    expected = json.loads(PUBLISHED.read_text())
    found = {e.id: fingerprint(e) for e in Registry.read(REGISTRY_FILE).entries.values()}
    changed = [name for name in expected if found.get(name) != expected[name]]
    assert not changed, f"published versions that differ or are gone: {changed}"
