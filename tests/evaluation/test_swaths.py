from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import xrain
from xrain.cli import app
from xrain.demo import demo_granule
from xrain.errors import FileFormatError, InputError
from xrain.evaluation.swaths import score_granules
from xrain.io.truth import open_truth, truth_path
from xrain.models.export import save_model
from xrain.models.store import Model
from xrain.testing import tiny_model


@pytest.fixture(scope="module")
def model() -> Model:
    tiny = tiny_model()
    return Model(dataclasses.replace(tiny.card, event_frequency=0.1), tiny.network)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-1"
    save_model(folder, model.card, model.network.state_dict(), half=False)
    return folder


@pytest.fixture(scope="module")
def scores(model: Model) -> dict:
    return score_granules(demo_granule(), model, bootstrap=5)


def test_scores_are_those_of_the_pixels_with_known_truth(scores: dict, model: Model) -> None:
    truth = open_truth(demo_granule())
    rain = xrain.retrieve(xrain.open_l1c(demo_granule()).load(), model)
    a, b = rain["surface_precip"].values.ravel(), truth["surface_precip"].values.ravel()
    b = np.minimum(b, 50.0)  # true rates are cut there in correlations and RMSE
    good = np.isfinite(a) & np.isfinite(b)
    assert scores["n"] == good.sum()
    assert scores["all"]["correlation"] == pytest.approx(np.corrcoef(a[good], b[good])[0, 1])
    assert scores["all"]["rmse"] == pytest.approx(np.sqrt(np.mean((a - b)[good] ** 2)))
    sea = truth["land_fraction"].values.ravel() < 0.01
    assert scores["ocean"]["n"] == (good & sea).sum()
    assert scores["event_frequency"] == pytest.approx((b[good] >= 0.1).mean())
    assert {"pod", "hss_flag", "auc", "coverage90", "effective_resolution"} <= set(scores["all"])


def test_a_perfect_estimate_resolves_down_to_the_sampling(
    tmp_path: Path, model: Model, scores: dict
) -> None:
    """The truth is replaced by what the model finds."""
    granule = tmp_path / "1C.TEST.HDF5"
    shutil.copy(demo_granule(), granule)
    rain = xrain.retrieve(xrain.open_l1c(granule).load(), model)
    truth = xr.load_dataset(truth_path(demo_granule()), engine="h5netcdf")
    truth["surface_precip"] = ("scan", "pixel"), rain["surface_precip"].values
    truth["observed_fraction"][:] = 1.0
    truth.to_netcdf(truth_path(granule), engine="h5netcdf")
    found = score_granules([granule], model, bootstrap=0)
    assert found["all"]["correlation"] == pytest.approx(1.0)
    assert found["all"]["effective_resolution"] < 14.0  # two pixels
    worse = scores["all"]["effective_resolution"]
    assert worse is None or worse > found["all"]["effective_resolution"]


def test_two_granules_count_together_and_channels_can_be_left_out(model: Model) -> None:
    both = score_granules([demo_granule()] * 2, model, bootstrap=0, channels=["ssmi"])
    one = score_granules([demo_granule()], model, bootstrap=0)
    assert both["n"] == 2 * one["n"]
    assert both["all"]["correlation"] != pytest.approx(one["all"]["correlation"])


def test_truth_of_pixels_that_were_hardly_observed_is_unknown(tmp_path: Path) -> None:
    granule = tmp_path / "1C.TEST.HDF5"
    truth = xr.load_dataset(truth_path(demo_granule()), engine="h5netcdf")
    truth["observed_fraction"][:] = 1.0
    truth["observed_fraction"][:5] = 0.8
    truth.to_netcdf(truth_path(granule), engine="h5netcdf")
    assert np.isnan(open_truth(granule)["surface_precip"].values[:5]).all()


def test_a_granule_without_its_truth_or_with_anothers_is_refused(
    tmp_path: Path, model: Model
) -> None:
    granule = tmp_path / "1C.TEST.HDF5"
    shutil.copy(demo_granule(), granule)
    with pytest.raises(FileFormatError, match="xrain simulate"):
        score_granules(granule, model)
    truth = xr.load_dataset(truth_path(demo_granule()), engine="h5netcdf")
    truth.isel(scan=slice(10)).to_netcdf(truth_path(granule), engine="h5netcdf")
    with pytest.raises(InputError, match="do not belong together"):
        score_granules(granule, model)
    with pytest.raises(InputError, match="no granules"):
        score_granules([], model)


# ---- the command


def test_the_command_prints_json_alone(model_folder: Path, scores: dict) -> None:
    command = [sys.executable, "-c", "from xrain.cli import main; main()", "score"]
    options = [demo_granule(), "--truth", "--model", model_folder, "--json", "--bootstrap", "5"]
    done = subprocess.run(
        [*command, *map(str, options)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == "tiny"
    assert found["all"]["correlation"] == pytest.approx(scores["all"]["correlation"], abs=1e-6)


def test_the_command_prints_a_table_of_surfaces(data_dir: Path, model_folder: Path) -> None:
    file = data_dir / "matchups" / "gmi_dpr_phase.nc"
    options = ["--model", str(model_folder), "--channels", "36.5V, 89V", "--bootstrap", "3"]
    done = CliRunner().invoke(app, ["score", str(file), *options])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "tiny@1 on gmi_dpr_phase.nc; an event is rain or snow (phase >= 1)"
    assert lines[1].split() == ["all", "ocean", "land"]
    rows = [line.split()[0] for line in lines[2:] if line]
    assert rows[: rows.index("reliability")] == [
        "n", "pod", "far", "csi", "hss", "pod_flag", "far_flag", "csi_flag", "hss_flag", "auc",
        "brier", "brier_climatology", "brier_skill", "worst_reliability",
    ]  # fmt: skip


def test_an_unknown_channel_ends_the_command_with_one_message(
    data_dir: Path, model_folder: Path
) -> None:
    file = data_dir / "matchups" / "gmi_dpr_rain.nc"
    options = ["--model", str(model_folder), "--channels", "50.3V"]
    done = CliRunner().invoke(app, ["score", str(file), *options])
    assert done.exit_code == 2
    assert "no channel 50.3V" in done.stderr
    assert not done.stdout
