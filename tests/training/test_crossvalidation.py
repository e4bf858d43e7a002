"""Fine-tuning on real pixels from the command line, judged on days that were kept apart."""

import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from xrain.cli import app
from xrain.models.store import load_model
from xrain.sensors import get_sensor
from xrain.training.fit import Run
from xrain.training.settings import settings

COUNT = 48
NAMES = [c.name for c in get_sensor("GMI").channels]


def write(path, seed, **labels):
    rng = np.random.default_rng(seed)
    xr.Dataset(
        {"tb": (("sample", "channel"), rng.uniform(180, 280, (COUNT, 13)).astype("f4"))}
        | {k: ("sample", v) for k, v in labels.items()},
        coords={
            "channel": NAMES,
            "latitude": ("sample", np.zeros(COUNT)),
            "longitude": ("sample", np.full(COUNT, -150.0)),
            "month": ("sample", np.ones(COUNT, int)),
            "day": ("sample", np.arange(COUNT) % 6),
            "land_fraction": ("sample", np.zeros(COUNT)),
        },
    ).to_netcdf(path, engine="h5netcdf")
    return str(path)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    chosen = settings("tiny", ("GMI",), pixel_steps=2, steps=2, size=16)
    run = Run(folder, chosen, cache=folder / "samples")
    assert run.train()
    run.publish()
    return folder


def test_the_gain_on_days_kept_apart_stands_on_the_card(base, tmp_path):
    rng = np.random.default_rng(1)
    rain = write(tmp_path / "rain.nc", 1, surface_precip=rng.lognormal(0, 0.8, COUNT))
    phase = write(tmp_path / "phase.nc", 2, phase=rng.integers(0, 3, COUNT))
    model = base / "models" / "gmi-unet-1"
    words = ["train", "-o", str(tmp_path / "tuned"), "--preset", "tiny", "--sensors", "GMI"]
    words += ["--finetune", str(model), "--data", rain, "--data", phase, "--folds", "2"]
    words += ["--pixel-steps", "2", "--steps", "2", "--version", "2"]
    found = CliRunner().invoke(app, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    kept = json.loads((tmp_path / "tuned" / "crossvalidation.json").read_text())
    assert set(kept["GMI"]) == {"rain.nc", "phase.nc"}
    for state in ("before", "after"):
        assert -1 <= kept["GMI"]["rain.nc"][state]["all"]["correlation"] <= 1
        assert 0 <= kept["GMI"]["phase.nc"][state]["ocean"]["auc"] <= 1
    card = load_model(tmp_path / "tuned" / "models" / "gmi-unet-2").card
    assert card.scores["real"]["GMI"] == kept["GMI"]
    assert card.training["matchups"] == ["rain.nc", "phase.nc"]
    assert "gmi-unet@1" in card.training["before"]
    first, second = (
        Run(tmp_path / "tuned" / "folds" / f"fold-{k}", _fold(tmp_path, model, rain, phase, k))
        for k in (0, 1)
    )
    assert any(not np.array_equal(v, second.mean[k]) for k, v in first.mean.items())


def _fold(tmp_path, model, rain, phase, fold):
    config = load_model(model).network.config
    facts = {"config": config, "matchups": (rain, phase), "fold": fold, "folds": 2, "seed": 1}
    return settings("tiny", ("GMI",), simulated_steps=0, pixel_steps=2, steps=0, **facts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "4"], "--folds must be 2 or more, and needs"),
        (["--folds", "1", "--finetune", "gmi-unet", "--data", "x.nc"], "must be 2 or more"),
        (["--finetune", "gmi-brain"], "gmi-brain@2 is not a network"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(tmp_path, words, message):
    found = CliRunner().invoke(app, ["train", "-o", str(tmp_path / "run"), *words])
    assert found.exit_code != 0
    assert message in f"{found.output} {found.exception}"
    assert not (tmp_path / "run").exists()
