"""An optional dependency that is absent is named, with a command that installs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import xrain
from xrain.errors import MissingPackageError
from xrain.extras import require
from xrain.plotting import plot_rain, plot_tb
from xrain.testing import fake_swath

ENTRIES = {
    "matplotlib": "plot",
    "sklearn": "train",
    "zarr": "zarr",
    "jinja2": "evaluate",
    "scores": "evaluate",
}


@pytest.mark.parametrize(("module", "extra"), ENTRIES.items())
def test_the_command_names_true_requirements(monkeypatch, module, extra):
    require(module, extra, "these")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=rf"these need the package {module}.*'{extra}'"):
        require(module, extra, "these")
    with pytest.raises(ImportError) as told:
        require(module, extra, "these")
    assert told.value.name == module
    command = str(told.value).partition("pip install ")[2]
    assert {"sklearn": "scikit-learn"}.get(module, module) in command
    assert "xrain" not in command


def test_an_extra_that_includes_others_names_theirs(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        MissingPackageError, match=r"scores>=.*scikit-learn>=|scikit-learn>=.*scores>="
    ):
        require("sklearn", "train", "databases")


@pytest.mark.parametrize(
    "draw",
    [
        lambda: fake_swath("GMI", 4, 4).rain.plot(),
        lambda: plot_tb(fake_swath("GMI", 4, 4)),
        lambda: plot_rain(fake_swath("GMI", 4, 4).rain.retrieve()),
        lambda: xrain.plot(fake_swath("GMI", 4, 4)),
    ],
    ids=["accessor", "plot_tb", "plot_rain", "plot"],
)
def test_pictures_without_matplotlib(monkeypatch, draw):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"pip install .*matplotlib"):
        draw()


def test_the_package_and_its_satpy_plugin_import_without_extras():
    code = (
        "import sys\n"
        "names = ('matplotlib', 'cartopy', 'sklearn', 'zarr', 'jinja2', 'scores', 'rasterio')\n"
        "sys.modules |= dict.fromkeys(names)\n"
        "import xrain, xrain.cli, xrain.plotting, xrain.satpy_plugin.enhancements\n"
        "import xrain.satpy_plugin.composites, xrain.satpy_plugin.reader\n"
        "for name in xrain.__all__: getattr(xrain, name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
