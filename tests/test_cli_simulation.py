from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def test_time_orbit_and_direction_are_those_asked_for(tmp_path: Path) -> None:
    words = ["--start", "2021-03-04T05:06", "--orbit", "77", "--descending", "--scans", "12"]
    done = run("simulate", "--sensor", "mhs", "-o", tmp_path, *words)
    assert done.returncode == 0, done.stderr
    granule = Path(done.stdout.split()[0])
    assert ".20210304-S0505" in granule.name or ".20210304-S0506" in granule.name
    assert ".000077." in granule.name
    with xr.open_dataset(granule, engine="gpm-l1c") as ds:
        middle = ds["time"].values[6]
        assert abs(middle - np.datetime64("2021-03-04T05:06")) < np.timedelta64(5, "s")
        assert float(ds["latitude"][-1].mean()) < float(ds["latitude"][0].mean())


def simulated(folder: Path, *words: object) -> Any:
    command = ["simulate", "--sensor", "mhs", "--scans", "6", *map(str, words)]
    return CliRunner().invoke(app, [*command, "-o", str(folder)])


def test_seeds_never_replace_each_other(tmp_path: Path) -> None:
    names = [simulated(tmp_path, "--seed", k).stdout.split()[0] for k in (1, 2, 1)]
    assert names[0] == names[2] != names[1]
    assert len(list(tmp_path.glob("*.HDF5"))) == 2
    before = Path(names[0]).read_bytes()
    done = simulated(tmp_path, "--seed", 5, "--orbit", 2)
    assert done.exit_code == 2
    assert "a file of seed 1" in done.stderr
    done = simulated(Path(names[0]), "--seed", 2)
    assert done.exit_code == 2
    assert Path(names[0]).read_bytes() == before
    with h5py.File(tmp_path / "other.HDF5", "w") as file:
        file["observed"] = 1
    assert "no simulation" in simulated(tmp_path / "other.HDF5").stderr


def test_a_satellite_flies_to_the_north_or_to_the_south(tmp_path: Path) -> None:
    for word, way in (("--ascending", 1), ("--descending", -1)):
        path = tmp_path / f"{way}.HDF5"
        assert simulated(path, word).exit_code == 0
        with xr.open_dataset(path, engine="gpm-l1c") as ds:
            latitude = ds["latitude"].values.mean(axis=1)
            assert np.sign(latitude[-1] - latitude[0]) == way


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sensor", "abacus"), "abacus"),
        (("--sensor", "gmi", "--surface", "mud"), "mud"),
        (("--sensor", "gmi", "--rain", "absent.nc"), "absent.nc"),
        (("--sensor", "mhs", "--with-radar"), "radar"),
        (("--sensor", "mhs", "--time", "3"), "--time selects a time of --rain"),
        (("--sensor", "mhs", "--start", "noon"), "write the time as"),
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
