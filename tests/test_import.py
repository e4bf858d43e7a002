"""Importing xrain is quick and brings nothing heavy along."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from importlib.metadata import version

import pytest

import xrain

HEAVY = (
    "torch", "satpy", "matplotlib", "cartopy", "dask.distributed", "distributed", "pyresample",
    "scipy", "h5py", "pooch", "requests", "typer", "rich", "sklearn",
)  # fmt: skip


def imported_by(code: str) -> set[str]:
    """Modules that a fresh interpreter has after some code, beyond those of plain xarray."""
    script = (
        "import json, sys, xarray; before = set(sys.modules)\n"
        f"{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    ["import xrain", "import xrain; xarray.Dataset().rain.sensor", "import xrain.io.backend"],
)
def test_nothing_heavy_comes_along(code):
    new = imported_by(code)
    assert "xrain" in new
    assert not [m for m in HEAVY if m in new]


def test_every_public_name_is_there():
    for name in xrain.__all__:
        assert getattr(xrain, name) is not None
        assert name in dir(xrain)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = xrain.nonsense


def test_the_version_is_that_of_the_package():

    assert xrain.__version__ == version("xrain")


def test_no_module_hides_a_public_function():
    """A submodule, once imported, takes the place of a lazy name that is spelled the same."""
    modules = {m.name for m in pkgutil.iter_modules(xrain.__path__)}
    assert not modules & set(xrain.__all__)
