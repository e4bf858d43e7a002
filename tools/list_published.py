"""List models that are about to be published, so that a test keeps their files as they are.

usage: python tools/list_published.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from xrain.models.registry import Registry
from xrain.models.store import REGISTRY_FILE

LIST = Path(__file__).parent.parent / "tests" / "models" / "published.json"


def main() -> None:
    """Add what is not listed yet; what is listed stays."""
    listed = json.loads(LIST.read_text())
    for entry in Registry.read(REGISTRY_FILE).entries.values():
        hashes = "".join(artefact.sha256 for artefact in entry.artefacts)
        listed.setdefault(entry.id, hashlib.sha256(hashes.encode()).hexdigest())
    LIST.write_text(json.dumps(listed, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
