"""What a granule says of itself, how its fields are decoded, and what is said of bad files."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import os
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from xrain.errors import FileFormatError, UnknownSensorError
from xrain.io import l1c
from xrain.sensors import get_sensor, list_sensors
from xrain.testing import write_fake_l1c

ALL = slice(0, 10_000)


@pytest.fixture
def gmi(tmp_path):
    return write_fake_l1c(tmp_path, "GMI", scans=12)


def edit_header(path: Path, old: str, new: str) -> None:
    with h5py.File(path, "r+") as file:
        text = file.attrs["FileHeader"].decode()
        assert old in text
        file.attrs["FileHeader"] = np.bytes_(text.replace(old, new).encode())


# ---- what a granule says of itself


def test_every_real_granule_is_understood(l1c_granule):
    granule = l1c.read_granule(l1c_granule)
    product, platform, sensor, _, _, orbit, version = l1c_granule.name.split(".")[:7]
    assert granule.header["AlgorithmID"].startswith("1C")
    assert granule.path == str(l1c_granule)
    assert (granule.platform, granule.sensor.name) == (platform, sensor)
    assert (granule.orbit, granule.version) == (int(orbit), version)
    assert product in ("1C", "1C-R")
    assert list(granule.groups) == [s.name for s in granule.sensor.swaths]
    assert granule.channels == granule.sensor.channels
    with h5py.File(l1c_granule) as file:
        for name, group in granule.groups.items():
            assert (group.scans, group.pixels) == file[name]["Latitude"].shape


@pytest.mark.parametrize("name", list_sensors())
@pytest.mark.parametrize("suffix", ["HDF5", "nc"])
def test_both_formats_of_every_sensor(name, suffix, tmp_path):
    path = write_fake_l1c(tmp_path / f"a.{suffix}", name, scans=8)
    granule = l1c.read_granule(path)
    assert granule.sensor is get_sensor(name)
    assert granule.channels == granule.sensor.channels
    assert granule.header["SatelliteName"] == granule.platform


def test_the_name_stands_in_for_a_missing_header(gmi):
    with h5py.File(gmi, "r+") as file:
        for key in list(file.attrs):
            del file.attrs[key]
    granule = l1c.read_granule(gmi)
    assert (granule.platform, granule.sensor.name, granule.orbit) == ("GPM", "GMI", -1)


def test_an_unknown_platform_opens(gmi):
    edit_header(gmi, "SatelliteName=GPM", "SatelliteName=GPM2")
    assert l1c.read_granule(gmi).platform == "GPM2"


def test_a_missing_group_leaves_the_others(gmi):
    with h5py.File(gmi, "r+") as file:
        del file["S2"]
    granule = l1c.read_granule(gmi)
    assert list(granule.groups) == ["S1"]
    with pytest.raises(FileFormatError, match=r"'S2' is missing; the file has S1.*swath="):
        granule.group("S2")


def test_pvl_keeps_what_stands_between_equals_and_semicolon():
    assert l1c.parse_pvl("A=1;\nB=x=y; z;\r\n\nrubbish;\nC=;\n") == {
        "A": "1",
        "B": "x=y; z",
        "C": "",
    }


# ---- decoding


def test_fill_values_become_nan_and_nothing_else_does():
    raw = np.array([-9999.9, -9999.0, np.nan, 0.0, 85.5, 350.0], np.float32)
    out = l1c.decode(raw.copy(), "Tc")
    np.testing.assert_array_equal(np.isnan(out), [True, True, True, False, False, False])
    np.testing.assert_array_equal(out[3:], raw[3:])
    np.testing.assert_array_equal(
        l1c.decode(np.float32([-90, 90, -99]), "Latitude"), [-90, 90, np.nan]
    )
    assert np.isfinite(l1c.decode(np.float32([-180, 180, 359]), "Longitude")).all()
    np.testing.assert_array_equal(l1c.decode(np.int8([-99, 12]), "sunGlintAngle"), [np.nan, 12])


def test_scan_time_of_every_real_granule(l1c_granule):
    with l1c.open_file(l1c_granule) as file:
        for group in l1c.read_granule(l1c_granule).groups:
            parts = {k: v[:].astype(int) for k, v in file[group]["ScanTime"].items()}
            got = l1c.read_time(file, group, ALL)
            for i, time in enumerate(got):
                year, month, day, hour, minute, second, milli = (
                    int(parts[k][i])
                    for k in (
                        "Year",
                        "Month",
                        "DayOfMonth",
                        "Hour",
                        "Minute",
                        "Second",
                        "MilliSecond",
                    )
                )
                if year < 0:
                    assert np.isnat(time)
                    continue
                want = dt.datetime(year, month, day, hour, minute) + dt.timedelta(
                    seconds=second, milliseconds=milli
                )
                assert time == np.datetime64(want, "ns")


def test_scan_time_without_milliseconds_with_a_leap_second_and_missing(gmi):
    with h5py.File(gmi, "r+") as file:
        stamp = file["S1/ScanTime"]
        for key, values in {
            "Year": [2016, 2016, -9999, 2017],
            "Month": [12, 12, -99, 1],
            "DayOfMonth": [31, 31, -99, 1],
            "Hour": [23, 23, -99, 0],
            "Minute": [59, 59, -99, 0],
            "Second": [59, 60, -99, 0],
            "MilliSecond": [7, 999, -9999, -9999],
        }.items():
            stamp[key][:4] = values
    with l1c.open_file(gmi) as file:
        time = l1c.read_time(file, "S1", slice(0, 4))
    want = ["2016-12-31T23:59:59.007", "2017-01-01T00:00:00.999", "NaT", "2017-01-01T00:00:00"]
    np.testing.assert_array_equal(time, np.array(want, "datetime64[ns]"))
    with h5py.File(gmi, "r+") as file:
        del file["S1/ScanTime/MilliSecond"]
    with l1c.open_file(gmi) as file:
        assert l1c.read_time(file, "S1", slice(0, 1))[0] == np.datetime64("2016-12-31T23:59:59")
    with h5py.File(gmi, "r+") as file:
        del file["S1/ScanTime"]
    with l1c.open_file(gmi) as file:
        time = l1c.read_time(file, "S1", slice(2, 9))
    assert time.shape == (7,)
    assert np.isnat(time).all()


def test_incidence_index_chooses_the_angle_of_a_channel(tmp_path):
    path = write_fake_l1c(tmp_path / "a.HDF5", "GMI", scans=6)
    rng = np.random.default_rng(0)
    angles = rng.uniform(50, 54, (6, 221, 2)).astype("f4")
    index = rng.integers(1, 3, (6, 9)).astype("i1")
    index[3], index[4, 2] = -99, 3
    with h5py.File(path, "r+") as file:
        del file["S1/incidenceAngle"], file["S1/incidenceAngleIndex"]
        file["S1/incidenceAngle"] = angles
        file["S1/incidenceAngleIndex"] = index
    with l1c.open_file(path) as file:
        got = l1c.read_incidence(file, "S1", slice(1, 6))
    for i in range(1, 6):
        for c in range(9):
            k = index[i, c]
            want = angles[i, :, k - 1] if k in (1, 2) else np.full(221, np.nan)
            np.testing.assert_array_equal(got[i - 1, :, c], want)


@pytest.mark.parametrize("shape", ["channel", "channel first", "absent"])
def test_other_forms_of_the_incidence_index(shape, tmp_path):
    path = write_fake_l1c(tmp_path / "a.HDF5", "GMI", scans=6)
    index = np.array([1, 2, 1, 1, 2, 2, 1, 1, 2], "i1")
    with h5py.File(path, "r+") as file:
        angle = file["S1/incidenceAngle"][..., 0]
        del file["S1/incidenceAngle"], file["S1/incidenceAngleIndex"]
        file["S1/incidenceAngle"] = np.stack([angle, angle + 1], -1)
        if shape == "channel":
            file["S1/incidenceAngleIndex"] = index
        elif shape == "channel first":
            file["S1/incidenceAngleIndex"] = np.repeat(index[:, None], 6, 1)
    with l1c.open_file(path) as file:
        got = l1c.read_incidence(file, "S1", slice(2, 5))
    if shape == "absent":
        np.testing.assert_array_equal(got, angle[2:5, :, None])
    else:
        np.testing.assert_array_equal(got, angle[2:5, :, None] + (index - 1).astype("f4"))


def test_a_float_quality_is_read_as_a_code(gmi):
    values = np.zeros((12, 221), "f4")
    values[0], values[1] = np.nan, 3
    with h5py.File(gmi, "r+") as file:
        del file["S1/Quality"]
        file["S1/Quality"] = values
    with l1c.open_file(gmi) as file:
        got = l1c.read_quality(file, "S1", slice(0, 3))
    np.testing.assert_array_equal(got[:, 0], np.array([-99, 3, 0], np.int8), strict=True)


# ---- bad input


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda g: b"", "the file is empty"),
        (lambda g: b"CDF\x01 something else", r"not an HDF5 file.*GPM L1C granule \(1C"),
        (lambda g: gzip.compress(g), "unpack it first"),
        (lambda g: g[: len(g) // 2], "truncated or damaged.*fetch it again"),
        (lambda g: g[:600], "truncated or damaged.*fetch it again"),
    ],
)
def test_what_cannot_be_read_is_told(content, message, gmi, tmp_path):
    path = write(tmp_path / "bad.HDF5", content(gmi.read_bytes()))
    with pytest.raises(FileFormatError, match=rf"bad\.HDF5: .*{message}"):
        l1c.read_granule(path)


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(FileFormatError, match=r"none\.HDF5: no such file"):
        l1c.read_granule(tmp_path / "none.HDF5")
    with pytest.raises(FileFormatError, match="is a folder, not a granule"):
        l1c.read_granule(tmp_path)


def test_something_that_is_no_path():
    with pytest.raises(FileFormatError, match=r"BytesIO.*path of a file"):
        l1c.read_granule(io.BytesIO(b""))


def test_no_right_to_read(gmi):
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        path = shutil.copy(gmi, folder / "a.HDF5")
        path.chmod(0)
        root = os.geteuid() == 0
        if root:  # who may read everything
            os.seteuid(65534)
        try:
            with pytest.raises(FileFormatError, match=r"a\.HDF5: no right to read"):
                l1c.read_granule(path)
        finally:
            if root:
                os.seteuid(0)
    finally:
        shutil.rmtree(folder)


def test_other_products_of_the_archive(data_dir):
    others = sorted(p for p in data_dir.glob("granules/*/*.HDF5") if not p.name.startswith("1C"))
    if not others:
        pytest.skip("no granule of another product is there")
    for path in others:
        with pytest.raises(FileFormatError, match=r"level 1C granule .* is needed") as error:
            l1c.read_granule(path)
        assert str(path) in str(error.value)


def test_an_hdf5_file_of_something_else(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(FileFormatError, match=r"no GPM header; a level 1C granule"):
        l1c.read_granule(tmp_path / "a.h5")


def test_an_unknown_instrument(gmi):
    edit_header(gmi, "InstrumentName=GMI", "InstrumentName=WSF")
    with pytest.raises(UnknownSensorError, match=r"'WSF'; known are AMSR2.*xrain/sensors"):
        l1c.read_granule(gmi)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "S1/Tc",
            np.zeros((12, 221, 8), "f4"),
            r"shape \(12, 221, 8\); GMI needs \(scan, pixel, 9\)",
        ),
        ("S1/Tc", np.zeros((12, 221), "f4"), r"shape \(12, 221\); GMI needs"),
        ("S2/Latitude", np.zeros((11, 221), "f4"), r"shape \(11, 221\), S2/Tc has \(12"),
        ("S1/Quality", np.zeros((12, 220), "i1"), r"shape \(12, 220\), S1/Tc has"),
        ("S1/incidenceAngle", np.zeros((9, 221, 1), "f4"), r"shape \(9, 221, 1\), S1/Tc has"),
        ("S1/incidenceAngleIndex", np.zeros((12, 4), "i1"), r"shape \(12, 4\), S1/Tc has"),
        ("S1/ScanTime/Year", np.zeros(3, "i2"), r"shape \(3,\), S1/Tc has"),
        ("S2/Longitude", None, "is missing"),
        ("S1", np.zeros(3), "is no group"),
    ],
)
def test_wrong_shapes_are_named(name, values, message, gmi):
    with h5py.File(gmi, "r+") as file:
        del file[name]
        if values is not None:
            file[name] = values
    with pytest.raises(FileFormatError, match=rf"{gmi.name}: {name} .*{message}"):
        l1c.read_granule(gmi)


def test_no_swath_group_at_all(gmi):
    with h5py.File(gmi, "r+") as file:
        del file["S1"], file["S2"]
    with pytest.raises(FileFormatError, match="GMI needs swath groups S1, S2; none is there"):
        l1c.read_granule(gmi)
