"""The list of the site's versions."""

from __future__ import annotations

from pathlib import Path

from tools.list_docs_versions import entries


def test_newest_comes_first_and_the_newest_release_is_preferred(tmp_path: Path) -> None:
    for name in ("0.9.0", "0.10.0", "0.11.0rc1", "latest"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").touch()
    (tmp_path / "images").mkdir()
    found = entries(tmp_path, "https://example.org/xrain/")
    assert [entry["name"] for entry in found] == ["latest", "0.11.0rc1", "0.10.0", "0.9.0"]
    assert [entry["name"] for entry in found if entry.get("preferred")] == ["0.10.0"]
    assert found[2]["url"] == "https://example.org/xrain/0.10.0/"


def test_without_a_release_none_is_preferred(tmp_path: Path) -> None:
    (tmp_path / "0.1.0.dev3").mkdir()
    (tmp_path / "0.1.0.dev3" / "index.html").touch()
    (found,) = entries(tmp_path, "https://example.org")
    assert "preferred" not in found
