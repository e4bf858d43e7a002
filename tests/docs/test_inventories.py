"""The stored inventories are those that the script writes, and name what is installed."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the docs extra is not installed")
from tools.make_inventories import PAGES, inventory

STORED = Path(__file__).resolve().parents[2] / "docs" / "_inventories"
pytestmark = pytest.mark.skipif(not STORED.is_dir(), reason="no documentation beside the tests")


def entries(content: bytes) -> list[str]:
    """Lines of an inventory after its head of four lines."""
    *_, packed = content.split(b"\n", 4)
    return zlib.decompress(packed).decode().splitlines()


@pytest.mark.parametrize("project", PAGES)
def test_stored_inventory_is_current(project: str) -> None:
    stored = entries((STORED / f"{project}.inv").read_bytes())
    assert stored == entries(inventory(project))


def test_every_mapped_project_has_its_inventory() -> None:
    text = (STORED.parent / "conf.py").read_text("utf-8")
    mapped = re.findall(r'^        "(\w+)": "https://', text, re.MULTILINE)
    assert sorted(mapped) == sorted(PAGES) == sorted(p.stem for p in STORED.glob("*.inv"))
