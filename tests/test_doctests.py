"""The examples in the docstrings of what is public run as they are printed."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import xrain

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "api.rst"


def public_names() -> list[str]:
    """Names on the API page, where there is one, else those of the package."""
    if not PAGE.is_file():
        return [f"xrain.{name}" for name in xrain.__all__]
    return re.findall(r"^   (xrain\.[\w.]+)$", PAGE.read_text("utf-8"), re.MULTILINE)


def find(name: str) -> Any:
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def examples(name: str) -> list[doctest.DocTest]:
    found = find(name)
    names = vars(importlib.import_module(found.__module__))
    tests = doctest.DocTestFinder().find(found, name, module=False, globs=names)
    return [test for test in tests if test.examples]


WITH_EXAMPLES = [name for name in public_names() if examples(name)]


@pytest.mark.parametrize("name", ["xrain", *WITH_EXAMPLES])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "xrain":
        tests = [doctest.DocTestParser().get_doctest(xrain.__doc__ or "", {}, name, None, 0)]
    else:
        tests = examples(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    told: list[str] = []
    for test in tests:
        runner.run(test, out=told.append)
    assert runner.failures == 0, "".join(told)


@pytest.mark.parametrize("name", sorted(set(xrain.__all__) - {"XrainError"}))
def test_public_functions_are_described(name: str) -> None:
    found = getattr(xrain, name)
    text = inspect.getdoc(found) or ""
    assert ">>> " in text, "no example"
    if inspect.signature(found).parameters:
        assert "Parameters\n---" in text
    assert "Returns\n---" in text
