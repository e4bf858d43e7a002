"""Small granules with known rain, two models, and a comparison of them written to disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

import xrain
from xrain.cli import app
from xrain.io.truth import truth_path
from xrain.models.export import save_model
from xrain.models.store import Model
from xrain.testing import tiny_model, tiny_rate, write_fake_l1c


def named(name: str, seed: int | None) -> Model:
    tiny = tiny_model(seed=seed)
    return Model(dataclasses.replace(tiny.card, name=name, event_frequency=0.1), tiny.network)


@pytest.fixture(scope="session")
def models() -> list[Model]:
    return [named("first", None), named("second", 3)]


@pytest.fixture(scope="session")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two MHS granules of another day, with rain that the first model nearly finds."""
    folder = tmp_path_factory.mktemp("granules")
    return [small_granule(folder / f"1C.TEST{k}.HDF5", k) for k in range(2)]


def small_granule(path: Path, seed: int) -> Path:
    start = np.datetime64("2020-01-10T00:00", "ns") + seed * np.timedelta64(190, "D")
    write_fake_l1c(path, "mhs", scans=96, seed=seed, start=start, longitude=-60.0)
    ds = xrain.open_l1c(path).load()
    rate = tiny_rate(ds["tb"].values)
    noise = np.random.default_rng(seed).lognormal(0.0, 0.3, rate.shape)
    dry = rate < np.quantile(rate, 0.6)
    truth = np.where(dry, 0.0, (rate - rate.min() + 0.1) * noise * (1 + 10 * (noise > 2.3)))
    place = {n: ds[n] for n in ("latitude", "longitude", "time")}
    xr.Dataset({"surface_precip": (("scan", "pixel"), truth)}, place).to_netcdf(
        truth_path(path), engine="h5netcdf"
    )
    return path


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, models: list[Model]) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    for model in models:
        save_model(folder / model.card.name, model.card, model.network.state_dict(), half=False)
    return [folder / m.card.name for m in models]


@pytest.fixture(scope="session")
def written(
    tmp_path_factory: pytest.TempPathFactory, folders: list[Path], granules: list[Path]
) -> tuple[Path, Result]:
    """Folder that the command wrote, and what it printed."""
    out = tmp_path_factory.mktemp("comparison") / "out"
    arguments: list[Any] = ["compare", *granules, "--models", ",".join(map(str, folders))]
    arguments += ["--reference", "truth", "--output", out, "--bootstrap", "10"]
    return out, CliRunner().invoke(app, [str(a) for a in arguments])
