"""A score on training data says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import xrain
from xrain.cli import app
from xrain.evaluation.compare import compare
from xrain.evaluation.swaths import score_granules
from xrain.evaluation.training_data import seen_in_training, training_note
from xrain.models.export import save_model
from xrain.models.store import Model
from xrain.sensors import get_sensor
from xrain.simulate.granule import simulate_granule
from xrain.testing import tiny_model


@pytest.fixture(scope="module")
def learned() -> Model:
    """A model whose card names a table and a rain field."""
    tiny = tiny_model()
    training = {"matchups": ["seen.nc"], "more": {"rain": ["storm.nc", 5]}, "steps": 3}
    return Model(dataclasses.replace(tiny.card, training=training), tiny.network)


def test_names_on_the_card_are_found_wherever_they_stand(learned: Model) -> None:
    assert seen_in_training(learned.card, ["a.nc", "seen.nc", "storm.nc", ""]) == [
        "seen.nc",
        "storm.nc",
    ]
    assert training_note(learned.card, ["a.nc"]) is None
    assert "tiny@1 was trained on seen.nc" in str(training_note(learned.card, ["seen.nc"]))
    card = xrain.load_model("gmi-unet").card
    assert seen_in_training(card, ["gmi_dpr_rain.nc", "other.nc"]) == ["gmi_dpr_rain.nc"]


def test_the_command_tells(tmp_path: Path, learned: Model) -> None:
    folder = tmp_path / "tiny-1"
    save_model(folder, learned.card, learned.network.state_dict(), half=False)
    names = [c.name for c in get_sensor("GMI").channels]
    rng = np.random.default_rng(0)
    table = xr.Dataset(
        {
            "tb": (("sample", "channel"), rng.uniform(210, 250, (80, 13)).astype("f4")),
            "surface_precip": ("sample", rng.gamma(1.0, 2.0, 80).astype("f4")),
            "latitude": ("sample", np.zeros(80)),
            "longitude": ("sample", np.zeros(80)),
        },
        {"channel": names},
    )
    for name in ("seen.nc", "new.nc"):
        table.to_netcdf(tmp_path / name, engine="h5netcdf")
        done = CliRunner().invoke(app, ["score", str(tmp_path / name), "-m", str(folder)])
        assert done.exit_code == 0, done.output
        assert ("the model was trained on seen.nc" in done.stderr) == (name == "seen.nc")


def test_simulated_granules_know_the_rain_field_they_show(tmp_path: Path, learned: Model) -> None:
    y = np.arange(-300.0, 300.0, 4.0)
    rate = 8 * np.exp(-((np.hypot(y[:, None], y) / 60) ** 2))
    field = xr.Dataset(
        {"rain_rate": (("y", "x"), rate, {"units": "mm h-1"})},
        {"y": ("y", y, {"units": "km"}), "x": ("x", y, {"units": "km"})},
    )
    field.to_netcdf(tmp_path / "storm.nc", engine="h5netcdf")
    path = tmp_path / "1C.TEST.HDF5"
    simulate_granule("gmi", path, rain=tmp_path / "storm.nc", scans=16, place=(10.0, -150.0))
    assert score_granules(path, learned, bootstrap=0)["trained_on"] == ["storm.nc"]
    notes = compare([path], [learned, "gmi-unet"], "truth", bootstrap=0).notes
    assert [n for n in notes if "storm.nc" in n] == [
        "tiny@1 was trained on storm.nc: these scores say how well it fits, not how well it does "
        "on other data"
    ]
