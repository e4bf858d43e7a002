"""``xrain info`` and ``xrain plot`` of every kind of file, one or several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from click.testing import Result
from typer.testing import CliRunner

import xrain
from xrain.cli import app
from xrain.io.truth import radar_path
from xrain.testing import tiny_model, write_fake_l1c


def run(*args: Any) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each kind."""
    folder = tmp_path_factory.mktemp("files")
    model = tiny_model("GMI", seed=1)
    made = {}
    for k in range(2):
        start = np.datetime64("2020-07-01T12:00", "ns") + np.timedelta64(20 * k, "h")
        granule = write_fake_l1c(
            folder / f"{k}.HDF5", "gmi", scans=40, orbit=1 + 13 * k, start=start
        )
        rain = xrain.retrieve(xrain.open_l1c(granule), model)
        made[f"granule {k}"] = granule
        made[f"rain {k}"] = xrain.write_rain(rain, folder / f"{k}.rain.nc")
    rains = [made["rain 0"], made["rain 1"]]
    made["grid"] = xrain.grid_rain(rains, folder / "days.nc", resolution=0.5)
    made["area"] = xrain.write_rain(rain.rain.resample("50km"), folder / "area.nc")
    orbit = xrain.simulate_granule("gmi", folder / "o.HDF5", scans=20, with_radar=True)
    made["radar"] = radar_path(orbit)
    return made


@pytest.mark.parametrize(("kind", "words"), [
    ("grid", ["resolution  0.5°", "2020-07-01T00:00:00 to 2020-07-03T00:00:00", "overpass_count"]),
    ("area", ["50000 m", "nearest", "surface_precip"]),
    ("radar", ["product", "2A", "freezing_level"]),
])  # fmt: skip
def test_info_of_grids_and_rain_granules(
    files: dict[str, Path], kind: str, words: list[str]
) -> None:
    done = run("info", files[kind])
    assert done.exit_code == 0, done.output
    for word in words:
        assert word in done.stdout


def test_info_of_several_files_is_a_line_each(files: dict[str, Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.nc"
    bad.write_text("nothing")
    done = run("info", *files.values(), bad)
    assert done.exit_code == 2
    assert "bad.nc" in done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + len(files)
    found = {line.split()[0]: line for line in lines}
    assert "temperatures" in found["0.HDF5"]
    assert "2020-07-02T08:00" in found["1.rain.nc"]
    assert "tiny" in found["1.rain.nc"]
    assert "grid" in found["days.nc"]
    assert run("info", *files.values()).exit_code == 0


def width_of(path: Path) -> float:
    """Width of a picture over its height; it must not be empty."""
    image = plt.imread(path)
    assert len(np.unique((image[..., :3] * 8).astype(int).reshape(-1, 3), axis=0)) > 8
    return image.shape[1] / image.shape[0]


@pytest.mark.parametrize("kind", ["area", "radar"])
def test_plot_of_every_kind(files: dict[str, Path], kind: str, tmp_path: Path) -> None:
    done = run("plot", files[kind], "-o", tmp_path / "a.png")
    assert done.exit_code == 0, done.output
    assert width_of(tmp_path / "a.png") > 0.3


def test_the_times_of_a_grid_are_drawn_side_by_side(files: dict[str, Path], tmp_path: Path) -> None:
    sizes = []
    for number, more in enumerate([(), ("--time", "2020-07-02")]):
        target = tmp_path / f"{number}.png"
        done = run(
            "plot", files["grid"], "-o", target, "--extent", "-60", "60", "-80", "-40", *more
        )
        assert done.exit_code == 0, done.output
        sizes.append(width_of(target))
    assert sizes[0] > 1.5 * sizes[1]
    for wrong, words in ((("--time", "2021"), "no such time"), (("--time", "x"), "2020-07-01T12"),
                         (("--panels",), "--panels draws one")):  # fmt: skip
        done = run("plot", files["grid"], "-o", tmp_path / "no.png", *wrong)
        assert done.exit_code == 2
        assert words in done.stderr
    assert not (tmp_path / "no.png").exists()


def test_plot_of_several_files(files: dict[str, Path], tmp_path: Path) -> None:
    one, two = tmp_path / "1.png", tmp_path / "2.png"
    rains = files["rain 0"], files["rain 1"]
    assert run("plot", rains[0], "-o", one).exit_code == 0
    done = run("plot", *rains, "-o", two)
    assert done.exit_code == 0, done.output
    granules = files["granule 0"], files["granule 1"]
    done = run("plot", *granules, "-c", "36.5V", "-o", tmp_path / "3.png")
    assert done.exit_code == 0, done.output
    assert width_of(tmp_path / "3.png") > width_of(one)
    done = run("plot", *granules, "-o", tmp_path / "4.png")
    assert "one channel" in done.stderr


def test_too_many_times_are_told(files: dict[str, Path], tmp_path: Path) -> None:
    with xr.open_dataset(files["grid"], engine="h5netcdf") as day:
        many = xr.concat([day.isel(time=0)] * 40, "time").assign_coords(
            time=np.datetime64("2020-07-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
        )
        path = xrain.write_rain(many, tmp_path / "many.nc")
    done = run("plot", path, "-o", tmp_path / "a.png")
    assert done.exit_code == 2
    assert "xrain animate" in done.stderr
