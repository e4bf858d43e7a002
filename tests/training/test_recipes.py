"""Remaking networks from named files."""

import numpy as np
import pytest
from typer.testing import CliRunner

from xrain.cli import app
from xrain.errors import InputError
from xrain.io.transects import open_transects
from xrain.models.store import load_model
from xrain.models.trunk import UNetConfig
from xrain.training import recipes
from xrain.training.pixel_batches import Sizes
from xrain.training.recipes import Recipe, follow

SMALL = Recipe(
    transects=("transects.nc",),
    tables=("phase.nc", "more.nc", "rain.nc", "snow.nc"),
    preset="tiny",
    pixels={
        "steps": 30,
        "lessons": 300,
        "sizes": Sizes(transects=64, rain=32, snow=16, events=32, lessons=32, ice=16),
    },
    neighbours={
        "config": UNetConfig(width=8, dilations=(1, 2), pixel=16, pixel_blocks=1, pixel_hidden=16),
        "steps": 6, "simulated_steps": 6,
    },
    threshold=0.35,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_matchups, write_transects):
    folder = tmp_path_factory.mktemp("data")
    write_transects(folder / "transects.nc", overpasses=100, length=28)
    write_matchups(folder / "phase.nc", seed=1)
    write_matchups(folder / "more.nc", seed=2)
    write_matchups(folder / "rain.nc", kind="rate", seed=3)
    write_matchups(folder / "snow.nc", kind="rate", cold=True, seed=4)
    return folder


@pytest.mark.slow
def test_a_recipe_makes_models_that_tell_what_they_are_made_of(data, tmp_path, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "small", SMALL)
    options = ["train", "--recipe", "small", "--data", str(data), "--sensors", "GMI",
               "-o", str(tmp_path / "run"), "--version", "3"]  # fmt: skip
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    assert "gmi-unet@3" in result.output
    model = load_model(tmp_path / "run" / "models" / "gmi-unet-3")
    card = model.card
    rain = open_transects(data / "transects.nc")["surface_precip"].values
    assert card.prevalence == pytest.approx(np.mean(rain >= 0.1), rel=1e-3)
    assert card.threshold == 0.35
    assert card.training["transects"] == ["transects.nc"]
    assert card.training["matchups"] == ["phase.nc", "more.nc", "rain.nc", "snow.nc"]
    # What single pixels have learned stays as it is while the neighbours learn.
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "run" / "pixel" / "pixel.safetensors")
    own = model.network.state_dict()
    for name in ("bias", "trunk.head.weight"):  # its last bias is balanced in the end
        np.testing.assert_allclose(own[f"pixel.{name}"], kept[f"mean.{name}"], rtol=1e-3)


def test_what_a_recipe_lacks_is_said(data, tmp_path):
    with pytest.raises(InputError, match=r"needs .*transects\.nc"):
        follow(SMALL, tmp_path, tmp_path / "run")
    run = CliRunner().invoke
    wrong = run(app, ["train", "--recipe", "cake", "--data", str(data), "-o", str(tmp_path)])
    assert "unknown recipe 'cake'" in wrong.output
    wrong = run(app, ["train", "--recipe", "constellation", "-o", str(tmp_path)])
    assert "needs --data" in wrong.output
    wrong = run(app, ["train", "--recipe", "constellation", "--steps", "3", "-o", str(tmp_path)])
    assert "takes no --steps" in wrong.output
