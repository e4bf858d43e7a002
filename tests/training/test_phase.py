"""The recipe of the phase: from tables of matched pixels to a model that tells rain from snow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from xrain.cli import app
from xrain.errors import InputError
from xrain.models.phase import load_phase
from xrain.sensors import get_sensor
from xrain.training.phase import PhaseRecipe, follow_phase, read_table

NAMES = [c.name for c in get_sensor("GMI").channels]
SMALL = PhaseRecipe(
    phases=("dpr.nc", "cpr.nc"), unlabelled=("era5.nc",), snow="snow.nc",
    steps=150, batch=256, lessons=2000, hidden=16,
)  # fmt: skip


def write_matches(path: Path, seed: int, *, rates: bool = False) -> None:
    """Pixels in which ice makes 166 GHz cold, cold air makes snow, and vapour warms 23 GHz."""
    rng = np.random.default_rng(seed)
    count = 240
    t2m = rng.uniform(255, 295, count)
    ice = rng.uniform(0, 1, count)
    tb = 200.0 + 0.5 * (t2m[:, None] - 275) + rng.normal(0, 1.0, (count, 13))
    tb[:, 9:] -= 60 * ice[:, None]
    phase = np.where(ice < 0.5, 0, np.where(t2m < 274, 2, 1)).astype(np.int8)
    columns = {
        "t2m": t2m, "skin_temperature": t2m + 1, "total_column_water_vapour": t2m / 10 - 20,
        "latitude": rng.uniform(-60, 60, count), "longitude": rng.uniform(-180, 180, count),
        "month": rng.integers(1, 13, count), "day": rng.integers(1, 29, count),
    }  # fmt: skip
    truth = {"surface_precip": 0.05 + ice} if rates else {"phase": phase}
    data = {n: ("sample", v) for n, v in (columns | truth).items()}
    tb_of = (("sample", "channel"), tb.astype(np.float32))
    xr.Dataset({"tb": tb_of, **data}, {"channel": NAMES}).to_netcdf(path, engine="h5netcdf")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("dpr", "cpr", "era5")):
        write_matches(folder / f"{name}.nc", seed)
    write_matches(folder / "snow.nc", 9, rates=True)
    return folder


@pytest.fixture(scope="module")
def made(data, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("run")
    (card,) = follow_phase(data, output, recipe=SMALL)
    assert card.name == "constellation-phase"
    return output / "models" / "constellation-phase-1"


def test_the_model_tells_what_the_tables_hold(made, data):
    model = load_phase(str(made))
    table = read_table(data / "dpr.nc")
    wet = table.label > 0
    right = []
    for air in (False, True):
        columns = table.columns.copy()
        if not air:
            columns[:, 14:] = np.nan
        said = model.network(torch.as_tensor(columns)).logits.argmax(1).numpy()
        right.append(float((said == table.label).mean()))
    assert right[0] > 0.75
    assert right[1] > 0.85
    assert ((table.label == 2)[wet]).mean() < 0.6  # always the same answer would be worse


def test_more_ice_is_more_snow(made, data):
    table = read_table(data / "snow.nc")
    said = load_phase(str(made)).network(torch.as_tensor(table.columns)).log_snowfall.numpy()
    assert np.corrcoef(said, np.log(table.label))[0, 1] > 0.7
    assert 0.7 < np.exp(said).mean() / table.label.mean() < 1.4


def test_the_same_seed_makes_the_same(made, data, tmp_path):
    follow_phase(data, tmp_path, recipe=SMALL)
    first, second = (
        (folder / "weights.safetensors").read_bytes()
        for folder in (made, tmp_path / "models" / "constellation-phase-1")
    )
    assert first == second


def test_the_card_tells_what_it_is_made_of(made):
    card = load_phase(str(made)).card
    assert card.training["data"] == "dpr.nc, cpr.nc, era5.nc, snow.nc"
    assert sum(card.training["classes"].values()) == pytest.approx(1.0)
    assert card.event_frequency == pytest.approx(1.0 - card.training["classes"]["dry"])
    assert list(card.channels) == NAMES


def test_files_that_will_not_do(data, tmp_path):
    with pytest.raises(InputError, match=r"the recipe needs .*gmi_dpr_phase.nc"):
        follow_phase(data, tmp_path)
    with xr.open_dataset(data / "dpr.nc", engine="h5netcdf") as ds:
        ds.load().drop_vars("t2m").to_netcdf(tmp_path / "bare.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="the phase is learned beside t2m"):
        read_table(tmp_path / "bare.nc")


def test_the_command_refuses_what_it_would_not_heed(data, tmp_path):
    asked = ["train", "--recipe", "phase", "--data", str(data), "-o", str(tmp_path)]
    run = CliRunner().invoke(app, [*asked, "--sensors", "GMI"])
    assert run.exit_code == 2
    assert "--recipe phase takes no --sensors" in run.output
