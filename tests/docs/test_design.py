"""The page on the design shows the rooms of the package as they are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "explanation" / "design.rst").read_text("utf-8")


def layers() -> list[list[str]]:
    """Layers of the contract that the linter checks, from the top."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    (found,) = (c for c in contracts if c["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in found["layers"]]


def rooms() -> set[str]:
    """Subpackages and modules of the package."""
    import xrain

    (folder,) = map(Path, xrain.__path__)
    packages = {p.parent.name for p in folder.glob("*/__init__.py")}
    return packages | {p.stem for p in folder.glob("*.py")} - {"__init__"}


def test_every_room_has_its_layer() -> None:
    listed = [name for layer in layers() for name in layer]
    assert sorted(listed) == sorted(rooms())


def test_the_page_shows_the_layers() -> None:
    block = PAGE.partition(".. code-block:: text\n\n")[2].partition("\n\n")[0]
    shown = [[name.strip() for name in line.split("|")] for line in block.splitlines()]
    assert shown == layers()


def test_the_page_says_what_each_room_is_for() -> None:
    described = re.findall(r"^   \* - ``(\w+)``$", PAGE, re.MULTILINE)
    assert described == [name for layer in layers() for name in layer]
