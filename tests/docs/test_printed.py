"""The code on the pages of the tutorial and the how-to runs as it is printed."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from typer.main import get_command
from typer.testing import CliRunner

import xrain
from tests.docs.printed import blocks_of, pages
from xrain.cli import app
from xrain.demo import demo_radar

pytest.importorskip("cartopy")
pytest.importorskip("satpy")
pytestmark = pytest.mark.skipif(not Path("docs").is_dir(), reason="no documentation here")

PAGES = list(pages())
PYTHON = [p for p in PAGES if any(b.kind == "python" for b in blocks_of(p))]
CONSOLE = [p for p in PAGES if any(b.commands for b in blocks_of(p))]

LEFT_OUT = {
    "howto/ancillary": "fields of ERA5",
    "howto/archive": "an archive of real granules",
    "howto/batch": "an archive, on a path of its own",
    "howto/watch": "a folder that fills, for as long as the command runs",
    "howto/publish": "a trained model and a server",
    "howto/train": "hours of training",
    "howto/transfer": "hours of training",
    "howto/weights": "a trained model and a server",
    "howto/satrain": "SatRain, which is not installed beside xrain",
    "howto/new_sensor": "a table of one's own",
    "howto/reference_rain": "granules of a radar and of GPROF",
}
"""Pages that are read only: every command and every import, but nothing runs. Why."""

NEEDS = re.compile(
    r"earthaccess|/archive|@granules|gmi_dpr|gmi-dpr|corra|transects|2A\.GPM|mws_l1b|scheduler_file|monday"
)
"""Blocks and commands that need what a folder of simulated granules has not."""

FOREIGN = re.compile(
    "satrain_client|satrain.evaluation|earthaccess|cdsapi|dask_(jobqueue|cuda|kubernetes)"
)
"""Packages that are not installed beside xrain."""

ELSEWHERE = re.compile(r'"eurol"')
"""Lines about another part of the globe than that of the simulated granules."""


@pytest.mark.parametrize("page", CONSOLE)
def test_every_command_is_one_that_xrain_knows(page: str) -> None:
    for block in blocks_of(page):
        for words in block.commands:
            parse(words)


@pytest.mark.parametrize("page", PYTHON)
def test_every_block_is_python_and_its_imports_are_there(page: str) -> None:
    for block in blocks_of(page):
        if block.kind == "python":
            lines = [x for x in block.imports.splitlines() if not FOREIGN.search(x)]
            exec("\n".join(lines), {})


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if p not in LEFT_OUT and blocks_of(p)])
def test_the_page_runs_as_it_is_printed(
    page: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of(page)
    for name in re.findall(r"-o (\w+\.HDF5)", "".join(b.text for b in blocks)):
        Path(name).unlink(missing_ok=True)  # the page makes it
    names = given()
    done = 0
    for block in blocks:
        if block.kind == "console":
            done += sum(map(run, block.commands))
        elif not NEEDS.search(block.text):
            lines = [x for x in block.text.splitlines() if not ELSEWHERE.search(x)]
            exec(compile("\n".join(lines), page, "exec"), names)
            done += 1
    assert done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Granules, rain and tables under the names that the pages use."""
    here = tmp_path_factory.mktemp("printed")
    place = {"place": (27.0, 130.0), "scans": 24}
    first = xrain.simulate_granule("gmi", here, seed=1, orbit_number=11, **place)
    later = np.datetime64("2020-07-01T18:00", "ns")
    second = xrain.simulate_granule("gmi", here, seed=2, start=later, orbit_number=12, **place)
    shutil.copy(first, here / "granule.HDF5")
    for path, name in ((first, "storm"), (second, "storm-2")):
        shutil.copy(path, here / f"{name}.HDF5")
        shutil.copy(path.with_suffix(".truth.nc"), here / f"{name}.truth.nc")
    (here / "granules").mkdir()
    for name in ("out", "rain"):
        (here / name).mkdir()
    for path, name in ((first, "a"), (second, "b")):
        shutil.copy(path, here / "granules")
        rain = xrain.open_l1c(path).rain.retrieve()
        file = xrain.write_rain(rain, here / f"{name}.rain.nc")
        for name in ("out", "rain"):
            shutil.copy(file, here / name / f"{path.stem}.rain.nc")
    xrain.grid_rain(sorted(here.glob("?.rain.nc")), here / "day.nc", resolution=0.5, freq="1D")
    shutil.copy(here / "day.nc", here / "rain.nc")
    storms = xr.open_dataset(demo_radar(), engine="h5netcdf").isel(latitude=slice(60))
    storms.isel(longitude=slice(60)).to_netcdf(here / "field.nc", engine="h5netcdf")
    (here / "stations.csv").write_text("station,latitude,longitude\nNaha,26.21,127.69\n")
    return here


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def given() -> dict[str, Any]:
    """What the pages take to be there: they begin where the tutorial ends."""
    import cartopy.crs as ccrs
    import matplotlib.pyplot as plt
    from pyresample import create_area_def
    from satpy import find_files_and_readers

    granules = sorted(glob.glob("1C.*.HDF5"))
    ds = xr.open_dataset(granules[0], engine="gpm-l1c", chunks={})
    rain = ds.rain.retrieve()
    box = {"area_extent": (126, 24, 134, 30), "resolution": 0.1}
    return {
        "__name__": "page",
        "xr": xr,
        "xarray": xr,
        "np": np,
        "xrain": xrain,
        "find_files_and_readers": find_files_and_readers,
        "ds": ds,
        "rain": rain,
        "ax": plt.subplots(subplot_kw={"projection": ccrs.PlateCarree()})[1],
        "area": create_area_def("box", "EPSG:4326", **box),
        "other": ds,
        "paths": granules,
        "granules": ["storm.HDF5"],
        "files": sorted(glob.glob("?.rain.nc")),
        "values": ds.tb.values.reshape(-1, ds.sizes["channel"])[:50, :6],
    } | dict.fromkeys(("a", "b", "first", "second", "third"), rain)


def parse(words: list[str]) -> None:
    """Let the command line read a command without doing it."""
    import click

    command, words = get_command(app), [w for w in words if w not in ("|", ">")]
    context = click.Context(command, info_name="xrain")
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        found = command.commands.get(words[0])
        assert found is not None, f"no command {words[0]!r}"
        command, words = found, words[1:]
    parser = command.make_parser(context)
    parser.parse_args(list(words))


def run(words: list[str]) -> bool:
    """Run one command as a shell would; False where it needs what is not here."""
    text = " ".join(words)
    if NEEDS.search(text) or "|" in words:
        return False
    stem = Path(sorted(glob.glob("1C.GPM.GMI*.HDF5"))[0]).stem
    filled = [w.replace("out/GRANULE", f"out/{stem}") for w in words]
    filled = [f"{stem}.HDF5" if w == "GRANULE" else w for w in filled]
    spread = [f for w in filled for f in (sorted(glob.glob(w)) if "*" in w else [w])]
    result = CliRunner().invoke(app, spread, catch_exceptions=False)
    assert result.exit_code == 0, f"xrain {text}\n{result.output}"
    return True


def test_what_runs_is_more_than_what_is_left_out() -> None:
    assert set(LEFT_OUT) <= set(PAGES)
    assert len(LEFT_OUT) < len(PAGES) / 2
    assert os.environ.get("XRAIN_OFFLINE") is None
