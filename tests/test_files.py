from __future__ import annotations

from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
import xarray as xr

from xrain.errors import FileFormatError, InputError, OutputError
from xrain.files import open_any, plan_outputs, save_picture, summarize
from xrain.output import write_rain
from xrain.testing import fake_swath, write_fake_l1c


def picture() -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure()
    figure.subplots().plot([0, 1])
    return figure


def test_each_granule_has_its_own_output() -> None:
    plan = plan_outputs(["a/x.HDF5", "b/y.nc"], "out")
    assert list(plan.values()) == [Path("out/x.rain.nc"), Path("out/y.rain.nc")]
    with pytest.raises(InputError, match=r"a/x\.HDF5, b/x\.nc .*out/x\.rain\.nc"):
        plan_outputs(["a/x.HDF5", "b/x.nc"], "out")


def test_the_same_granule_given_twice_is_done_once() -> None:
    assert len(plan_outputs(["a/x.HDF5", "a/x.HDF5"], "out")) == 1


def test_rain_files_and_granules_of_both_kinds_open(tmp_path: Path) -> None:
    rain = xr.Dataset({"surface_precip": (("scan", "pixel"), np.ones((2, 3), "f4"))})
    with open_any(write_rain(rain, tmp_path / "a.nc")) as ds:
        assert "surface_precip" in ds
    for name in ("g.HDF5", "g.nc"):
        with open_any(write_fake_l1c(tmp_path / name, "gmi", scans=4)) as ds:
            assert ds.attrs["sensor"] == "GMI"
    (tmp_path / "text").write_text("text")
    with pytest.raises(FileFormatError, match="text"):
        open_any(tmp_path / "text")


def test_a_summary_counts_what_is_there() -> None:
    ds = fake_swath("gmi", 6, 5)
    ds["tb"] = ds["tb"].copy()
    ds["tb"][:3, :, 0] = np.nan
    ds["tb"][:, :, 1] = np.nan
    rows = {row[0]: row for row in summarize(ds).rows}
    assert rows["10.65V"][2] == "50.0%"
    assert rows["10.65H"][2:] == ("0.0%", "–", "–", "–")
    assert rows["18.7V"][2] == "100.0%"


def test_a_bare_dataset_has_a_summary() -> None:
    tb = np.full((2, 3, 1), 200, "f4")
    ds = xr.Dataset({"tb": (("scan", "pixel", "channel"), tb)}, {"channel": ["36.5V"]})
    assert summarize(ds).rows == (("36.5V", "", "100.0%", "200.0", "200.0", "200.0"),)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".SVG"])
def test_a_picture_is_saved_in_the_format_of_its_name(tmp_path: Path, suffix: str) -> None:
    path = save_picture(picture, tmp_path / f"a{suffix}")
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".SVG": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(start)


def test_a_picture_that_cannot_be_saved_is_told_before_it_is_drawn(tmp_path: Path) -> None:
    def never() -> None:
        raise AssertionError("drawn")

    with pytest.raises(InputError, match="unknown kind of picture"):
        save_picture(never, tmp_path / "a.abc")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_picture(never, tmp_path / "file" / "a.png")
