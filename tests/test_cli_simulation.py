from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from xrain.cli import app

XRAIN = Path(sys.executable).with_name("xrain")


def run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [str(XRAIN), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A round storm over the sea."""
    y = x = np.arange(-300.0, 301.0, 5.0)
    rate = 20 * np.exp(-(y[:, None] ** 2 + x**2) / 80**2)
    ds = xr.Dataset(
        {"rain_rate": (("y", "x"), rate.astype("f4"), {"units": "mm h-1"})},
        {"y": ("y", y, {"units": "km"}), "x": ("x", x, {"units": "km"})},
    )
    path = tmp_path_factory.mktemp("field") / "field.nc"
    ds.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.slow
def test_a_rain_field_becomes_a_granule_with_truth_and_radar(field: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "storm.HDF5"
    options = ("--rain", field, "--surface", "ocean", "--scans", 40, "--place", 30, -60)
    done = run("simulate", "--sensor", "gmi", "-o", path, "--with-radar", *options)
    assert done.returncode == 0, done.stderr
    granule, truth, radar = map(Path, done.stdout.split())
    assert granule == path
    with (
        xr.open_dataset(granule, engine="gpm-l1c") as ds,
        xr.open_dataset(truth, engine="h5netcdf") as true,
    ):
        assert ds.sizes["scan"] == 40
        rate = true["surface_precip"].values
        cold = ds["tb"].sel(channel="89.0H").values
        warm = ds["tb"].sel(channel="10.65H").values
        assert np.nanmax(rate) > 5
        raining, dry = rate > 5, rate == 0
        assert np.nanmean(warm[raining]) > np.nanmean(warm[dry]) + 20
        assert np.isfinite(cold).any()
        assert abs(float(ds["latitude"].mean()) - 30) < 3
    with h5py.File(radar) as file:
        assert "FS" in file


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sensor", "abacus"), "abacus"),
        (("--sensor", "gmi", "--surface", "mud"), "mud"),
        (("--sensor", "gmi", "--rain", "absent.nc"), "absent.nc"),
        (("--sensor", "mhs", "--with-radar"), "radar"),
    ],
)
def test_what_cannot_be_simulated_is_told(
    options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["simulate", "-o", str(tmp_path / "a.HDF5"), *options])
    assert done.exit_code == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_validation_prints_json_alone_and_draws(data_dir: Path, tmp_path: Path) -> None:
    with xr.open_dataset(data_dir / "matchups" / "gmi_dpr_phase.nc") as ds:
        dim = next(iter(ds.sizes))
        ds.isel({dim: slice(0, 400)}).to_netcdf(tmp_path / "few.nc")
    picture = tmp_path / "few.png"
    done = run("validate-simulator", tmp_path / "few.nc", "--json", "--draws", 2, "--plot", picture)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert set(values) <= {"dry_ocean", "rain_ocean", "dry_land", "rain_land"}
    for channels in values.values():
        for figures in channels.values():
            assert {"n", "bias", "std", "correlation"} <= set(figures)
            assert len(figures["quantiles_observed"]) == len(figures["quantiles_simulated"]) == 5
    assert "skipped" in done.stderr
    assert picture.stat().st_size > 10_000


def test_validation_tells_what_it_cannot_read(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["validate-simulator", str(tmp_path / "absent.nc")])
    assert done.exit_code == 2
    assert "no such file" in done.stderr
