"""What surrounds the package says the same as the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="not a checkout of the repository")


def jobs(path: Path) -> dict[str, dict]:
    return yaml.safe_load(path.read_text("utf-8"))["jobs"]


def test_every_python_version_that_is_promised_is_tested() -> None:
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c}
    (matrix,) = (
        job["strategy"]["matrix"]["python"]
        for path in WORKFLOWS
        for job in jobs(path).values()
        if "strategy" in job
    )
    assert set(matrix) == named
    assert PROJECT["requires-python"] == f">={min(named, key=lambda v: int(v[2:]))}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_workflows_call_what_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    extras = set(PROJECT["optional-dependencies"])
    for job in jobs(path).values():
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
            continue
        for step in job["steps"]:
            script = step.get("run", "")
            assert set(re.findall(r"\bmake ([\w-]+)", script)) <= targets
            for group in re.findall(r"\[([a-z,]+)\]'", script):
                assert set(group.split(",")) <= extras


def test_the_guide_names_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        assert (ROOT / link).exists(), link
    for name in re.findall(r"`((?:xrain|tests|tools)/[\w/.]*)`", text):
        assert (ROOT / name).exists(), name


def test_the_citation_has_a_version() -> None:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^version: \d+\.\d+\.\d+$", text, re.MULTILINE)


def test_the_api_page_lists_all_public_names() -> None:
    import xrain

    page = (ROOT / "docs" / "reference" / "api.rst").read_text("utf-8")
    listed = set(re.findall(r"^   xrain\.(\w+)$", page, re.MULTILINE))
    assert listed == set(xrain.__all__)
