"""Written granules against the archive's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import pytest

from xrain.errors import InputError, OutputError
from xrain.io.header import parse_pvl
from xrain.io.l1c import read_granule
from xrain.io.scan_time import read_time
from xrain.io.write_l1c import L1CGroup, archive_name, write_l1c
from xrain.sensors import get_sensor
from xrain.testing import write_fake_l1c


def _groups(sensor, scans=6, start="2020-12-31T23:59:57.250", step=1.9):
    times = np.datetime64(start, "ns") + (np.arange(scans) * step * 1e9).astype("timedelta64[ns]")
    rng = np.random.default_rng(1)
    out = {}
    for swath in sensor.swaths:
        shape = (scans, swath.pixels)
        out[swath.name] = L1CGroup(
            tc=rng.uniform(150, 280, (*shape, len(sensor.swath_channels(swath.name)))),
            latitude=rng.uniform(-60, 60, shape),
            longitude=rng.uniform(-180, 180, shape),
            time=times,
            incidence_angle=np.full(shape, 52.8),
        )
    return out


def _write(path, groups=None, name="gmi", **kwargs):
    sensor = get_sensor(name)
    groups = groups if groups is not None else _groups(sensor)
    platform = next(iter(sensor.platforms))
    return write_l1c(path, sensor=sensor, platform=platform, orbit=7, groups=groups, **kwargs)


def _describe(path):
    """Everything about a file's layout that a reader could stumble over."""
    out = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            out[name] = (str(item.dtype), item.ndim, {k: _plain(item, k) for k in item.attrs})
        else:
            out[name] = "group"

    with h5py.File(path) as file:
        file.visititems(visit)
        out["/"] = {
            k: set(parse_pvl(v.decode())) for k, v in file.attrs.items() if k.endswith("Header")
        }
        for group in file:
            out[f"{group}@"] = {k: set(parse_pvl(v.decode())) for k, v in file[group].attrs.items()}
    return out


def _plain(item, key):
    """Attribute with the archive's own differences between sensors taken out."""
    kind, value = str(item.attrs.get_id(key).dtype)[:2], item.attrs[key]
    if key == "LongName":
        return kind
    if key.lower() == "units":  # AMSR2 alone says "degree"
        value = value.replace(b"degrees", b"degree")
    if key == "DimensionNames":  # AMSR2 numbers the angles of S3 and S4 as those of S1
        value = re.sub(rb"nchUIA\d", b"nchUIA", value)
    return kind, value


def test_layout_is_that_of_the_archive(l1c_granule, tmp_path):
    real = read_granule(l1c_granule)
    fake = write_fake_l1c(
        tmp_path / "fake.HDF5", real.sensor, scans=10, platform=real.platform, version=real.version
    )
    assert _describe(fake) == _describe(l1c_granule)


def test_headers_of_groups_and_root_agree_with_the_archive(l1c_granule, tmp_path):
    real = read_granule(l1c_granule)
    fake = write_fake_l1c(tmp_path / "f.HDF5", real.sensor, scans=10, platform=real.platform)
    with h5py.File(fake) as ours, h5py.File(l1c_granule) as theirs:
        assert set(theirs.attrs) <= set(ours.attrs)
        for name in theirs:
            key = f"{name}_SwathHeader"
            got, want = (parse_pvl(f[name].attrs[key].decode()) for f in (ours, theirs))
            for same in ("NumberPixels", "ScanType", "NumberScansInSet"):
                assert got[same] == want[same]
            key = f"{name}_IncidenceAngleIndex"
            index = parse_pvl(ours[name].attrs[key].decode())["IncidenceAngleIndex"]
            assert len(index.split(",")) == theirs[name]["Tc"].shape[2]
            for mine, other in zip(
                _channel_words(ours[name]), _channel_words(theirs[name]), strict=True
            ):
                # SSMIS files say 91.665 GHz for a channel at 91.655
                assert mine[:2] == pytest.approx(other[:2], abs=0.011)
                assert mine[2:] == other[2:]
        ours, theirs = (parse_pvl(f.attrs["FileHeader"].decode()) for f in (ours, theirs))
    for same in ("SatelliteName", "InstrumentName", "AlgorithmID", "NumberOfSwaths"):
        assert ours[same] == theirs[same]


def _channel_words(group):
    """Frequency, sideband, polarisation and A/B scan of each channel named by a LongName."""
    entries = re.split(r"\d\)\s", group["Tc"].attrs["LongName"].decode())[1:]
    entry = re.compile(
        r"(?P<f>[\d.]+)\s*(GHz)?\s*(\+/?-\s*(?P<o>[\d.]+))?\s*(GHz)?\s*"
        r"(?P<p>Q?[VH]-Pol)?\s*(?P<s>[AB]-Scan)?"
    )
    found = [entry.match(e).groupdict() for e in entries]
    return [(float(d["f"]), float(d["o"] or 0), d["p"], d["s"]) for d in found]


def test_values_and_missing_values_come_back(tmp_path):
    sensor = get_sensor("gmi")
    groups = _groups(sensor)
    tc = np.array(groups["S1"].tc)
    tc[2] = np.nan
    tc[0, 0, 0] = np.nan
    time = np.array(groups["S1"].time)
    time[3] = np.datetime64("NaT")
    groups["S1"] = L1CGroup(
        tc, groups["S1"].latitude, groups["S1"].longitude, time, groups["S1"].incidence_angle
    )
    path = _write(tmp_path / "g.HDF5", groups)
    with h5py.File(path) as file:
        raw = file["S1/Tc"][:]
        assert np.array_equal(raw, np.where(np.isnan(tc), np.float32(-9999.9), tc.astype("f4")))
        assert (file["S1/Quality"][2] == -99).all()
        assert (file["S1/Quality"][:2] == 0).all()
        assert file["S1/ScanTime/Year"][:].tolist() == [2020, 2020, 2021, -9999, 2021, 2021]
        assert file["S1/sunLocalTime"][0, 0] == np.float32(-9999.9)
        assert "MissingData=1;" in file.attrs["FileHeader"].decode()


def test_channels_with_different_angles_are_indexed(tmp_path):
    # As in TMI S1, whose two polarisations look at 53.27 and 53.38 degrees.
    tmi = get_sensor("tmi")
    channels = tuple(
        replace(c, incidence_angle=53.38) if c.name == "10.65H" else c for c in tmi.channels
    )
    path = write_fake_l1c(tmp_path / "f.HDF5", replace(tmi, channels=channels), scans=4)
    with h5py.File(path) as file:
        assert file["S1/incidenceAngleIndex"][0].tolist() == [1, 2]
        angle = file["S1/incidenceAngle"][:]
        assert angle.shape == (4, 104, 2)
        shift = 53.38 - tmi.channel("10.65V").incidence_angle
        assert angle[..., 1] - angle[..., 0] == pytest.approx(shift, abs=0.011)
        assert file["S1/sunGlintAngle"].shape == (4, 104, 2)
        assert b"=1,2;" in file["S1"].attrs["S1_IncidenceAngleIndex"]


def test_scan_times_across_midnight_and_new_year(tmp_path):
    groups = _groups(get_sensor("gmi"))
    path = _write(tmp_path / "g.HDF5", groups)
    with h5py.File(path) as file:
        read = read_time(file, "S1", slice(0, 6))
        assert (np.abs(read - groups["S1"].time) < np.timedelta64(1, "ms")).all()
        scan = {k: v[[0, -1]].tolist() for k, v in file["S1/ScanTime"].items()}
    assert scan["DayOfYear"] == [366, 1]
    assert scan["Month"] == [12, 1]
    assert scan["DayOfMonth"] == [31, 1]
    assert scan["SecondOfDay"] == pytest.approx([86397.25, 6.75])
    assert scan["MilliSecond"] == [250, 750]


@pytest.mark.parametrize("suffix", ["nc", "nc4"])
def test_netcdf_holds_the_same_with_real_dimensions(tmp_path, suffix):
    sensor = get_sensor("gmi")
    groups = _groups(sensor)
    hdf = _write(tmp_path / "g.HDF5", groups)
    net = _write(tmp_path / f"g.{suffix}", groups)
    with h5py.File(hdf) as a, h5netcdf.File(net) as b:
        names = []
        a.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
        assert len(names) == 2 * 22
        for name in names:
            variable = b[name]
            assert np.array_equal(a[name][:], variable[:]), name
            wanted = a[name].attrs["DimensionNames"].decode()
            assert ",".join(variable.dimensions) == wanted
            assert variable.attrs["_FillValue"] == a[name].attrs["_FillValue"]
        assert "InstrumentName=GMI;" in b.attrs["FileHeader"]


def test_other_software_opens_the_netcdf(tmp_path):
    netcdf4 = pytest.importorskip("netCDF4")
    path = _write(tmp_path / "g.nc")
    with netcdf4.Dataset(path) as file:
        assert file["S1/Tc"].dimensions == ("nscan1", "npixel1", "nchannel1")
        assert file["S1/ScanTime/Year"][:].min() == 2020


def test_simulated_granules_say_so(tmp_path):
    plain = _write(tmp_path / "a.HDF5")
    made = _write(tmp_path / "b.HDF5", simulation={"Seed": "3"})
    with h5py.File(plain) as a, h5py.File(made) as b:
        assert b"ProcessingSystem=PPS;" in a.attrs["FileHeader"]
        assert "SimulationRecord" not in a.attrs
        assert b"ProcessingSystem=XRAIN-SIMULATION;" in b.attrs["FileHeader"]
        assert parse_pvl(b.attrs["SimulationRecord"].decode()) == {"Simulated": "TRUE", "Seed": "3"}


def test_names_are_those_of_the_archive(l1c_granule):
    if l1c_granule.name.startswith("1C-R"):
        pytest.skip("regridded product, not written")
    granule = read_granule(l1c_granule)
    header = granule.header
    start, end = (
        np.datetime64(header[k].rstrip("Z"))
        for k in ("StartGranuleDateTime", "StopGranuleDateTime")
    )
    name = archive_name(
        granule.sensor, granule.platform, start, end, granule.orbit, granule.version,
        calibration="XCAL" + header["AlgorithmVersion"],
    )  # fmt: skip
    assert name == l1c_granule.name


def test_a_directory_gets_the_archive_name(tmp_path):
    path = _write(tmp_path)
    assert path.parent == tmp_path
    assert path.name == "1C.GPM.GMI.XCAL2016-C.20201231-S235957-E000005.000007.V07A.HDF5"


def test_missing_group_and_wrong_shape_are_told(tmp_path):
    groups = _groups(get_sensor("gmi"))
    with pytest.raises(InputError, match=r"needs the swath groups S1, S2; given are S1"):
        _write(tmp_path / "g.HDF5", {"S1": groups["S1"]})
    with pytest.raises(InputError, match=r"GMI S2: tc has shape \(6, 221, 9\).*4 channels"):
        _write(tmp_path / "g.HDF5", groups | {"S2": groups["S1"]})
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"g\.HDF5 cannot be written"):
        _write(tmp_path / "file" / "g.HDF5")


@pytest.mark.parametrize("name", ["g.HDF5", "g.nc"])
def test_no_room_leaves_nothing_behind(tmp_path: Path, name: str):
    script = (
        "import resource, signal, sys\n"
        "from xrain.testing import write_fake_l1c\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    write_fake_l1c(sys.argv[1], 'gmi')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, os.fspath(tmp_path / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OutputError")
    assert "cannot be written" in done.stdout
    assert list(tmp_path.iterdir()) == []
