"""Metadata of Zarr stores: how a group begins, and which store may be replaced by another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["METADATA", "group_metadata", "store_attributes"]

METADATA: Final = "zarr.json"
"""File of the metadata of a group or an array of format 3."""

_HEADERS: Final = {METADATA, ".zgroup", ".zattrs", ".zmetadata"}


def group_metadata(facts: Mapping[str, Any]) -> str:
    """Return the metadata of a Zarr group of format 3 with attributes."""
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": dict(facts)}, indent=2)


def store_attributes(folder: Path) -> dict[str, Any]:
    """Attributes of a Zarr store that holds arrays and nothing else.

    Parameters
    ----------
    folder : Path
        Any folder.

    Returns
    -------
    dict
        Attributes of the root group; empty where the folder is no Zarr store, or holds a file or
        a folder that is no array of it.
    """
    attrs: dict[str, Any] = {}
    for name, key in ((METADATA, "attributes"), (".zattrs", None)):
        try:
            header = json.loads((folder / name).read_text(encoding="utf-8"))
            attrs |= header[key] if key else header
        except (OSError, ValueError, KeyError, TypeError):
            continue
    whole = all(item.name in _HEADERS or _is_array(item) for item in folder.iterdir())
    return attrs if whole else {}


def _is_array(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (METADATA, ".zarray"))
