"""Instruments that no table describes: their own files tell the channels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from satpy import Scene

import xrain
from xrain.conventions import QUALITY_FLAGS
from xrain.errors import FileFormatError
from xrain.io.undescribed import channels_in_words
from xrain.sensors import Sensor, get_sensor
from xrain.testing import write_fake_l1c

TOLD = "no table describes FUTURE; its channels are those that the file lists"


def renamed(name: str, new: str = "FUTURE") -> Sensor:
    """A known instrument under a name that nobody knows."""
    return replace(get_sensor(name), name=new)


def write(folder: Path, name: str, suffix: str = ".nc") -> Path:
    made = renamed(name)
    return write_fake_l1c(folder / f"a{suffix}", made, scans=12, version="V08A")


@pytest.mark.parametrize("suffix", [".nc", ".HDF5"])
@pytest.mark.parametrize("name", ["GMI", "AMSR2", "SSMIS", "ATMS", "SAPHIR"])
def test_channels_and_geometry_come_from_the_file(tmp_path, name, suffix):
    path, sensor = write(tmp_path, name, suffix), get_sensor(name)
    with pytest.warns(UserWarning, match=TOLD):
        ds = xrain.open_l1c(path, swath=sensor.reference_swath)
    known = write_fake_l1c(tmp_path / "b.nc", sensor, scans=12)
    expected = xrain.open_l1c(known)
    np.testing.assert_array_equal(ds.tb, expected.tb)
    np.testing.assert_array_equal(ds.earth_incidence_angle, expected.earth_incidence_angle)
    np.testing.assert_allclose(ds.frequency, expected.frequency, rtol=1e-6)
    np.testing.assert_array_equal(ds.sideband_offset, expected.sideband_offset)
    if name != "SAPHIR":  # whose files do not tell the polarization
        np.testing.assert_array_equal(ds.polarization, expected.polarization)
    assert ds.attrs["sensor"] == "FUTURE"
    assert ds.attrs["platform"] in sensor.platforms


def test_what_is_assumed_is_told_flagged_and_moves_no_rain(tmp_path):
    with pytest.warns(UserWarning, match=TOLD):
        ds = xrain.open_l1c(write(tmp_path, "GMI"), swath="S1").load()
    known = xrain.open_l1c(write_fake_l1c(tmp_path / "b.nc", "GMI", scans=12)).load()
    rain = ds.rain.retrieve()
    assert rain.attrs["model"].startswith("constellation-unet")
    bit = QUALITY_FLAGS["assumed_input"]
    assert (rain.retrieval_quality & bit).all()
    assert any("no table describes FUTURE" in told for told in ds.rain.check())
    own = known.rain.retrieve("constellation-unet")
    assert not (own.retrieval_quality & bit).any()
    np.testing.assert_allclose(rain.surface_precip, own.surface_precip, rtol=1e-4)


def test_satpy_retrieves_it(tmp_path):
    path = write(tmp_path, "AMSR2")
    with pytest.warns(UserWarning, match=TOLD):
        scene = Scene([str(path)], reader="gpm_l1c")
    scene.load(["surface_precip", "36.5V"])
    rain = xrain.open_l1c(path).load().rain.retrieve()
    np.testing.assert_allclose(scene["surface_precip"], rain.surface_precip, rtol=1e-4)
    assert scene["36.5V"].attrs["platform_name"] == "GCOMW1"
    assert not {"color89", "pct37"} & set(scene.available_composite_names())


def test_groups_stay_a_tree(tmp_path):
    with pytest.warns(UserWarning, match=TOLD):
        tree = xr.open_datatree(write(tmp_path, "SSMIS"), engine="gpm-l1c")
    assert list(tree["S2"].channel.values) == ["37V", "37H"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Tc for channels 1) 10.85 GHz V-Pol and 2) 10.85 GHz H-Pol", ["10.85V", "10.85H"]),
        ("1) 183.31 +/-3 GHz V-Pol\n 2) 183.31 +/- 7 GHz V-Pol", ["183.31+-3V", "183.31+-7V"]),
        ("9) 184.41 GHz QH-Pol, 10) 186.51 GHz QH-Pol", ["184.41QH", "186.51QH"]),
        ("1) 89.0 GHz V-Pol A-Scan", ["89V-A"]),
        ("1) 204.8 GHz", ["204.8"]),
        ("Intercalibrated Tb", []),
    ],
)
def test_words_of_the_archive(text, names):
    assert channels_in_words(text) == names


def spoil(path: Path, old: str, new: str) -> None:
    with h5py.File(path, "r+") as file:
        for group in file.values():
            if isinstance(group, h5py.Group) and "Tc" in group:
                text = group["Tc"].attrs["LongName"].decode()
                group["Tc"].attrs["LongName"] = np.bytes_(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1) 10.65 GHz V-Pol", "ten", r"S1/Tc holds 9 channels and its LongName lists 10\.65H"),
        ("10.65 GHz H-Pol", "10.65 GHz V-Pol", r"lists 10\.65V more than once"),
    ],
)
def test_channels_that_cannot_be_told_are_an_error(tmp_path, old, new, message):
    path = write(tmp_path, "GMI", ".HDF5")
    spoil(path, old, new)
    with pytest.raises(FileFormatError, match=message):
        xrain.open_l1c(path)


def test_a_file_without_swath_groups_is_an_error(tmp_path):
    path = write(tmp_path, "MHS", ".HDF5")
    with h5py.File(path, "r+") as file:
        file.move("S1", "Grid")
    with pytest.raises(FileFormatError, match="holds no swath group"):
        xrain.open_l1c(path)
