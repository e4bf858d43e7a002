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

import xrain
from xrain.errors import FileFormatError
from xrain.io import l1c
from xrain.io.hdf5 import open_file
from xrain.io.header import parse_pvl
from xrain.io.scan_time import read_time
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


def test_every_granule_is_understood(archive_granule):
    granule = l1c.read_granule(archive_granule)
    product, platform, sensor, _, _, orbit, version = archive_granule.name.split(".")[:7]
    assert granule.header["AlgorithmID"].startswith("1C")
    assert granule.path == str(archive_granule)
    assert (granule.platform, granule.sensor.name) == (platform, sensor)
    assert (granule.orbit, granule.version) == (int(orbit), version)
    assert product in ("1C", "1C-R")
    assert list(granule.groups) == [s.name for s in granule.sensor.swaths]
    assert granule.channels == granule.sensor.channels
    with h5py.File(archive_granule) as file:
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
    assert parse_pvl("A=1;\nB=x=y; z;\r\n\nrubbish;\nC=;\n") == {
        "A": "1",
        "B": "x=y; z",
        "C": "",
    }


# ---- decoding


FILLS = (-9999.9, -9999.0, -99.0, -999.0, -1e10, 655.35, 65535.0, 1e20, 9.96921e36, np.nan, np.inf)


GOOD = {
    "Tc": [20.0, 85.5, 350.0, 400.0],
    "Latitude": [-90.0, 0.0, 90.0],
    "Longitude": [-180.0, 0.0, 359.9],
    "incidenceAngle": [0.0, 52.8],
    "sunLocalTime": [0.0, 23.99],
}


@pytest.mark.parametrize("field", GOOD)
def test_fill_values_become_nan_and_nothing_else_does(field):
    fills = [f for f in FILLS if field != "Longitude" or f != -99]  # a longitude like any other
    for fill in fills:
        raw = np.array([fill, *GOOD[field]], np.float32)
        out = l1c.decode(raw.copy(), field)
        np.testing.assert_array_equal(out, np.float32([np.nan, *GOOD[field]]), strict=True)


def test_integers_are_decoded():
    np.testing.assert_array_equal(
        l1c.decode(np.int8([-99, -127, 12]), "sunGlintAngle"), [np.nan, np.nan, 12]
    )


def test_a_fill_value_that_is_named_is_missing(gmi):
    with h5py.File(gmi, "r+") as file:
        for field, fill in (("Tc", 99.0), ("Latitude", 0.0)):
            item = file[f"S1/{field}"]
            item[3] = fill
            item.attrs["_FillValue"] = np.float32(fill)
    with open_file(gmi) as file:
        for field in ("Tc", "Latitude"):
            got = l1c.read_field(file, "S1", field, slice(2, 5))
            assert np.isnan(got[1]).all()
            assert np.isfinite(got[[0, 2]]).all()


@pytest.mark.parametrize("spelling", ["K", "kelvin", "degrees Kelvin"])
def test_kelvin_is_understood_and_another_unit_refused(gmi, spelling):
    with h5py.File(gmi, "r+") as file:
        file["S1/Tc"].attrs["units"] = spelling
    assert l1c.read_granule(gmi).groups["S1"].scans == 12
    with h5py.File(gmi, "r+") as file:
        file["S1/Tc"].attrs["units"] = "degC"
    with pytest.raises(FileFormatError, match="S1/Tc is in 'degC'; K is needed"):
        l1c.read_granule(gmi)


def test_scan_time_of_every_granule(archive_granule):
    with open_file(archive_granule) as file:
        for group in l1c.read_granule(archive_granule).groups:
            parts = {k: v[:].astype(int) for k, v in file[group]["ScanTime"].items()}
            got = read_time(file, group, ALL)
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
    with open_file(gmi) as file:
        time = read_time(file, "S1", slice(0, 4))
    want = ["2016-12-31T23:59:59.007", "2017-01-01T00:00:00.999", "NaT", "2017-01-01T00:00:00"]
    np.testing.assert_array_equal(time, np.array(want, "datetime64[ns]"))
    with h5py.File(gmi, "r+") as file:
        del file["S1/ScanTime/MilliSecond"]
    with open_file(gmi) as file:
        assert read_time(file, "S1", slice(0, 1))[0] == np.datetime64("2016-12-31T23:59:59")
    with h5py.File(gmi, "r+") as file:
        del file["S1/ScanTime"]
    with open_file(gmi) as file:
        time = read_time(file, "S1", slice(2, 9))
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
    with open_file(path) as file:
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
    with open_file(path) as file:
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
    with open_file(gmi) as file:
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


def test_something_that_is_no_file():
    with pytest.raises(FileFormatError, match=r"a int cannot be opened.*path of a file"):
        l1c.read_granule(42)
    with pytest.raises(FileFormatError, match=r"<BytesIO>: the file is empty"):
        l1c.read_granule(io.BytesIO(b""))
    with pytest.raises(FileFormatError, match=r"not an HDF5 file") as error:
        l1c.read_granule(b"nonsense" * 1_000_000)
    assert len(str(error.value)) < 300


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
        ("S2/Longitude", None, "is missing"),
        ("S1", np.zeros(3), "is no group"),
        ("S1/Longitude", np.zeros((12, 221, 2), "f4"), "shape"),
    ],
)
def test_wrong_shapes_are_named(name, values, message, gmi):
    with h5py.File(gmi, "r+") as file:
        del file[name]
        if values is not None:
            file[name] = values
    with pytest.raises(FileFormatError, match=rf"{gmi.name}: {name} .*{message}"):
        l1c.read_granule(gmi)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("S1/Quality", np.zeros((12, 220), "i1")),
        ("S1/incidenceAngle", np.zeros((9, 221, 1), "f4")),
        ("S1/incidenceAngle", np.zeros((12, 221, 0), "f4")),
        ("S1/incidenceAngleIndex", np.zeros((12, 4), "i1")),
        ("S1/SCstatus/SCaltitude", np.zeros(3, "f4")),
    ],
)
def test_what_does_not_fit_beside_temperatures_is_left_out_with_a_warning(name, values, gmi):
    with h5py.File(gmi, "r+") as file:
        del file[name]
        file[name] = values
    with pytest.warns(UserWarning, match=rf"{name} has shape .*left out"):
        granule = l1c.read_granule(gmi)
    assert name.removeprefix("S1/") not in granule.groups["S1"].fields
    with pytest.warns(UserWarning, match=name):
        ds = xrain.open_l1c(gmi)
    assert np.isfinite(ds.tb.values[..., :9]).all()


def test_times_of_other_scans_are_missing_with_a_warning(gmi):
    with h5py.File(gmi, "r+") as file:
        del file["S1/ScanTime/Year"]
        file["S1/ScanTime/Year"] = np.full(30, 2020, "i2")
    with pytest.warns(UserWarning, match=r"S1/ScanTime/Year has shape \(30,\)"):
        ds = xrain.open_l1c(gmi)
    assert np.isnat(ds.time.values).all()
    assert np.isfinite(ds.tb.values).any()


def test_times_that_a_subsetter_left_are_read(gmi):
    want = xrain.open_l1c(gmi).time.values
    with h5py.File(gmi, "r+") as file:
        del file["S1/ScanTime"]
        milli = (want - want[0]).astype("timedelta64[ms]").astype("i8")
        file["S1/ScanTime/timeMidScan_datetime"] = milli
        start = np.datetime_as_string(want[0], "us").replace("T", " ")
        units = f"milliseconds since {start}"
        file["S1/ScanTime/timeMidScan_datetime"].attrs["units"] = np.bytes_(units)
    np.testing.assert_array_equal(xrain.open_l1c(gmi).time.values, want)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("Month", 99), ("Month", 0), ("Year", 2500), ("Year", 32767), ("Year", 1700), ("Hour", 24),
        ("DayOfMonth", 32), ("Minute", 60), ("Second", 61), ("MilliSecond", 1000),
    ],
)  # fmt: skip
def test_a_date_that_is_none_is_missing(gmi, part, value):
    with h5py.File(gmi, "r+") as file:
        file[f"S1/ScanTime/{part}"][4] = value
    with open_file(gmi) as file:
        assert np.flatnonzero(np.isnat(read_time(file, "S1", slice(0, 12)))).tolist() == [4]


def test_the_31st_of_a_shorter_month_is_missing(gmi):
    with h5py.File(gmi, "r+") as file:
        file["S1/ScanTime/Month"][:2], file["S1/ScanTime/DayOfMonth"][:2] = 6, [30, 31]
    with open_file(gmi) as file:
        assert np.isnat(read_time(file, "S1", slice(0, 2))).tolist() == [False, True]


def test_a_time_unlike_the_others_is_left_out_with_a_warning(gmi):
    want = xrain.open_l1c(gmi).time.values
    with h5py.File(gmi, "r+") as file:
        file["S1/ScanTime/Year"][5] = 2040
    with pytest.warns(
        UserWarning, match=r"1 of 12 scan times of S1 cannot be right \(such as 2040"
    ):
        got = xrain.open_l1c(gmi).time.values
    assert np.isnat(got[5])
    np.testing.assert_array_equal(np.delete(got, 5), np.delete(want, 5))


def test_no_swath_group_at_all(gmi):
    with h5py.File(gmi, "r+") as file:
        del file["S1"], file["S2"]
    with pytest.raises(FileFormatError, match="GMI needs swath groups S1, S2; none is there"):
        l1c.read_granule(gmi)
