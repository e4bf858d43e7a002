"""The Satpy reader on every real granule, and on fakes where the archive has none here."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
import xarray as xr
from pyresample import AreaDefinition, SwathDefinition
from satpy import DataQuery, Scene, available_readers, find_files_and_readers
from satpy.tests.utils import CustomScheduler

import xrain
from xrain.errors import FileFormatError, InputError
from xrain.io import l1c
from xrain.sensors import get_sensor, list_sensors
from xrain.testing import write_fake_l1c

READER = "gpm_l1c"
TMI = "1C.TRMM.TMI.XCAL2021-V.19971207-S235717-E012836.000160.V07A.HDF5"
GMI = "1C.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.HDF5"
AMSR2 = "1C.GCOMW1.AMSR2.XCAL2016-V.20120702-S223117-E001009.000676.V07A.HDF5"


def open_scene(*paths: Path) -> Scene:
    return Scene(filenames=[str(p) for p in paths], reader=READER)


def query(name: str, swath: str) -> DataQuery:
    return DataQuery(name=name, swath=swath)


def real(data_dir: Path, name: str) -> Path:
    granule = data_dir / "granules" / "V7" / name
    if not granule.exists():
        pytest.skip(f"{granule} is not there")
    return granule


@pytest.fixture
def tmi(data_dir):
    return real(data_dir, TMI)


@pytest.fixture
def gmi(data_dir):
    return real(data_dir, GMI)


def raw(file: h5py.File, path: str) -> np.ndarray:
    """A field straight from the file, with the archive's fill values as NaN."""
    values = file[path][:]
    return np.where(values < -9000, np.float32(np.nan), values)


def test_satpy_knows_the_reader():
    assert READER in available_readers()


def test_only_what_exists_is_registered():
    """Satpy looks for etc/<what> in every registered module."""
    for what in ("readers", "composites", "enhancements"):
        for point in entry_points(group=f"satpy.{what}"):
            if point.value.startswith("xrain"):
                folder = Path(point.load().__file__).parent / "etc" / what
                assert list(folder.glob("*.yaml"))


def test_plugin_package_imports_nothing():
    code = (
        "import sys; import xrain.satpy_plugin; "
        "sys.exit(any(m in sys.modules for m in ('satpy', 'torch', 'matplotlib', 'dask')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_finds_every_granule_and_nothing_else(data_dir):
    folder = data_dir / "granules" / "V7"
    found = find_files_and_readers(base_dir=str(folder), reader=READER)
    assert set(found[READER]) == {str(p) for p in folder.glob("1C*.HDF5")}


def test_finds_by_sensor_and_time(tmi):
    folder = str(tmi.parent)
    evening = {
        "start_time": dt.datetime(1997, 12, 8, 0, 30),
        "end_time": dt.datetime(1997, 12, 8, 2),
    }
    found = find_files_and_readers(base_dir=folder, reader=READER, sensor="tmi", **evening)
    assert [Path(p).name for p in found[READER]] == [TMI]


@pytest.mark.parametrize(
    "name",
    [
        "1C.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V08A.nc",
        "1C.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V05A.nc4",
        "1C.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.HDF5.nc4",
        "1C.GPM.GMI.XCAL2016-C.20140304-S175932-E180430.V07A.RT-H5",
        "1C-R.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.nc4",
        "1C.F16.SSMIS.XCAL2021-V.20051120-S023527-E041722.010784.V07A.h5",
        "1C.GPM.GMI.XCAL2016-C.20260617-S055200-E055658.V08A.RT-NC",
        "1C-R.GPM.GMI.XCAL2016-C.20260617-S055200-E055658.V07A.RT-NC",
    ],
)
def test_finds_other_names_of_the_archive(tmp_path, name):
    (tmp_path / name).touch()
    found = find_files_and_readers(base_dir=str(tmp_path), reader=READER)
    assert [Path(p).name for p in found[READER]] == [name]


@pytest.mark.parametrize("name", [TMI.replace(".HDF5", ".rain.nc"), TMI.replace("1C.", "2A.")])
def test_leaves_other_files_alone(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match="No supported files"):
        find_files_and_readers(base_dir=str(tmp_path), reader=READER)


def test_channels_equal_the_file(archive_granule):
    scene = open_scene(archive_granule)
    sensor = get_sensor(next(iter(scene.sensor_names)))
    names = [c.name for c in sensor.channels]
    assert set(names) <= set(scene.available_dataset_names())
    scene.load(names)
    with h5py.File(archive_granule) as file:
        for swath in sensor.swaths:
            tc = raw(file, f"{swath.name}/Tc")
            for i, channel in enumerate(sensor.swath_channels(swath.name)):
                array = scene[channel.name]
                assert array.dims == ("y", "x")
                assert array.dtype == np.float32
                np.testing.assert_array_equal(array.values, tc[..., i], strict=True)
                assert array.attrs["units"] == "K"
                assert array.attrs["standard_name"] == "toa_brightness_temperature"
                assert array.attrs["polarization"] == channel.polarization


def test_side_fields_equal_the_file(archive_granule):
    scene = open_scene(archive_granule)
    sensor = get_sensor(next(iter(scene.sensor_names)))
    fields = {
        "latitude": "Latitude",
        "longitude": "Longitude",
        "quality": "Quality",
        "sun_local_time": "sunLocalTime",
    }
    groups = [s.name for s in sensor.swaths]
    scene.load([query(n, g) for n in (*fields, "sun_glint_angle") for g in groups])
    with h5py.File(archive_granule) as file:
        for group in groups:
            for name, field in fields.items():
                expected = raw(file, f"{group}/{field}")
                np.testing.assert_array_equal(scene[query(name, group)].values, expected)
            glint = file[f"{group}/sunGlintAngle"][..., 0].astype(np.float32)
            glint[glint == -99] = np.nan
            np.testing.assert_array_equal(scene[query("sun_glint_angle", group)].values, glint)


def test_scan_time_equals_the_file(archive_granule):
    scene = open_scene(archive_granule)
    swath = get_sensor(next(iter(scene.sensor_names))).reference_swath
    scene.load([query("time", swath)])
    time = scene[query("time", swath)]
    assert time.dims == ("y",)
    with h5py.File(archive_granule) as file:
        stamp = {k: v[:].astype(int) for k, v in file[f"{swath}/ScanTime"].items()}
    expected = [
        dt.datetime(*(int(stamp[k][i]) for k in ("Year", "Month", "DayOfMonth", "Hour", "Minute")))
        + dt.timedelta(seconds=int(stamp["Second"][i]), milliseconds=int(stamp["MilliSecond"][i]))
        for i in range(time.size)
    ]
    np.testing.assert_array_equal(time.values, np.array(expected, "datetime64[ns]"))


def test_metadata(l1c_granule):
    scene = open_scene(l1c_granule)
    platform, instrument = l1c_granule.name.split(".")[1:3]
    sensor = get_sensor(instrument)
    scene.load([sensor.channels[0].name])
    attrs = scene[sensor.channels[0].name].attrs
    assert attrs["platform_name"] == sensor.platforms[platform]
    assert attrs["sensor"] == instrument.lower()
    assert attrs["orbit"] == int(l1c_granule.name.split(".")[5])
    assert "file_type" not in attrs
    start = dt.datetime.strptime(l1c_granule.name.split(".")[4][:16], "%Y%m%d-S%H%M%S")
    assert dt.timedelta(0) <= scene.start_time - start < dt.timedelta(seconds=1)
    assert dt.timedelta(minutes=85) < scene.end_time - scene.start_time < dt.timedelta(minutes=115)


def test_each_group_lies_where_it_looks(gmi):
    scene = open_scene(gmi)
    scene.load(["89.0V", "166.0V"])
    with h5py.File(gmi) as file:
        for name, group in (("89.0V", "S1"), ("166.0V", "S2")):
            area = scene[name].attrs["area"]
            assert isinstance(area, SwathDefinition)
            lons, lats = area.get_lonlats()
            np.testing.assert_array_equal(lats, raw(file, f"{group}/Latitude"))
            np.testing.assert_array_equal(lons, raw(file, f"{group}/Longitude"))
        assert not np.array_equal(file["S1/Latitude"], file["S2/Latitude"])


def test_channels_of_one_group_share_an_area(gmi):
    scene = open_scene(gmi)
    scene.load(["89.0V", "89.0H"])
    assert scene["89.0V"].attrs["area"] == scene["89.0H"].attrs["area"]


def test_incidence_angle_by_channel(tmi):
    """TMI's 10 GHz horns look at slightly different angles, chosen by incidenceAngleIndex."""
    scene = open_scene(tmi)
    names = ["earth_incidence_angle_10.65V", "earth_incidence_angle_10.65H"]
    scene.load([*names, query("earth_incidence_angle", "S3")])
    with h5py.File(tmi) as file:
        angles, index = file["S1/incidenceAngle"][:], file["S1/incidenceAngleIndex"][:]
        for i, name in enumerate(names):
            expected = np.stack([a[:, k - 1] for a, k in zip(angles, index[:, i], strict=True)])
            np.testing.assert_array_equal(scene[name].values, expected)
        last = scene[query("earth_incidence_angle", "S3")]
        np.testing.assert_array_equal(last.values, file["S3/incidenceAngle"][..., 0])
    assert not np.array_equal(scene[names[0]], scene[names[1]])


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ({"name": "36.64H"}, "36.64H"),
        ({"frequency_range": 36.5, "polarization": "H"}, "36.64H"),
        ({"frequency_range": 89.0, "polarization": "H"}, "89.0H"),
        ({"frequency_range": 89.0}, "89.0V"),
        ({"frequency_range": 23.8}, "23.8V"),
        ({"frequency_double_sideband": 180.31}, "183.31+-3V"),
        ({"frequency_double_sideband": 183.31 + 7}, "183.31+-7V"),
        ({"polarization": "H", "swath": "S2"}, "166.0H"),
    ],
)
def test_selection(gmi, wanted, name):
    scene = open_scene(gmi)
    scene.load([DataQuery(**wanted)])
    assert [key["name"] for key in scene.keys()] == [name]  # noqa: SIM118


def test_amsr2_horns_are_told_apart(data_dir):
    scene = open_scene(real(data_dir, AMSR2))
    scene.load([DataQuery(frequency_range=89.0, polarization="V", swath=s) for s in ("S5", "S6")])
    assert {key["name"] for key in scene.keys()} == {"89.0V-A", "89.0V-B"}  # noqa: SIM118


def test_past_midnight(tmi):
    scene = open_scene(tmi)
    assert scene.start_time == dt.datetime(1997, 12, 7, 23, 57, 17, 296000)
    assert scene.end_time == dt.datetime(1997, 12, 8, 1, 28, 37, 430000)


def test_past_midnight_without_header(tmi, tmp_path):
    """The name tells the clock time of the end only."""
    copy = tmp_path / TMI
    shutil.copy(tmi, copy)
    with h5py.File(copy, "r+") as file:
        del file.attrs["FileHeader"]
    scene = open_scene(copy)
    assert scene.start_time == dt.datetime(1997, 12, 7, 23, 57, 17)
    assert scene.end_time == dt.datetime(1997, 12, 8, 1, 28, 36)


def test_loading_reads_nothing(gmi):
    with dask.config.set(scheduler=CustomScheduler(max_computes=0)):
        scene = open_scene(gmi)
        scene.load(["89.0V", "166.0H", query("quality", "S2"), query("latitude", "S1")])
    assert all(array.chunks for array in scene)


def test_channels_of_a_group_are_read_once(gmi, monkeypatch):
    reads = []
    read_field = l1c.read_field

    def count(file, group, field, rows):
        reads.append((group, field))
        return read_field(file, group, field, rows)

    monkeypatch.setattr(l1c, "read_field", count)
    scene = open_scene(gmi)
    names = [c.name for c in get_sensor("GMI").swath_channels("S1")]
    scene.load(names)
    dask.compute(*(scene[n].data for n in names))
    assert reads == [("S1", "Tc")]


def test_chunks_suit_the_file(tmp_path):
    granule = write_fake_l1c(tmp_path, "GMI", scans=1100)
    scene = open_scene(granule)
    scene.load(["10.65V"])
    rows = scene["10.65V"].chunks[0]
    with h5py.File(granule) as file:
        stored = file["S1/Tc"].chunks[0]
    assert len(rows) > 1
    assert rows[0] % min(stored, 1100) == 0


def nearest_by_hand(lon: np.ndarray, lat: np.ndarray, values: np.ndarray, area: AreaDefinition):
    """Nearest neighbour by trying every pixel."""
    grid_lon, grid_lat = (np.deg2rad(a) for a in area.get_lonlats())
    lon, lat = np.deg2rad(lon.ravel()), np.deg2rad(lat.ravel())
    cosine = np.sin(grid_lat)[..., None] * np.sin(lat) + np.cos(grid_lat)[..., None] * np.cos(
        lat
    ) * np.cos(grid_lon[..., None] - lon)
    return values.ravel()[cosine.argmax(axis=-1)]


def test_resampling(tmi):
    scene = open_scene(tmi)
    scene.load(["85.5V", "37.0V"])
    extent = (177.9, -31.78, 179.1, -31.62)
    area = AreaDefinition("sea", "off the coast", "", "EPSG:4326", 30, 8, extent)
    image = scene.resample(area, resampler="nearest", radius_of_influence=30_000)
    for name, group in (("85.5V", "S3"), ("37.0V", "S2")):
        assert image[name].shape == (8, 30)
        assert image[name].attrs["area"] == area
        with h5py.File(tmi) as file:
            lon, lat = file[f"{group}/Longitude"][:], file[f"{group}/Latitude"][:]
            channels = [c.name for c in get_sensor("TMI").swath_channels(group)]
            tc = file[f"{group}/Tc"][..., channels.index(name)]
        expected = nearest_by_hand(lon.astype(float), lat.astype(float), tc, area)
        agree = image[name].values == expected
        assert agree.mean() > 0.98  # the ellipsoid decides a few ties otherwise
        assert np.isfinite(image[name].values).all()


def test_cf_file(tmi, tmp_path):
    scene = open_scene(tmi)
    scene.load(["85.5V", "85.5H"])
    out = tmp_path / "tmi.nc"
    scene.save_datasets(writer="cf", filename=str(out))
    with xr.open_dataset(out) as written:
        found = written["CHANNEL_85.5H"]
        np.testing.assert_array_equal(found.values, scene["85.5H"].values)
        assert {"longitude", "latitude"} <= set(found.coords)


@pytest.mark.parametrize("name", list_sensors())
@pytest.mark.parametrize("suffix", ["HDF5", "nc4"])
def test_every_sensor_and_format(tmp_path, name, suffix):
    """Among the real granules is none of AMSR-E and none in netCDF-4."""
    sensor = get_sensor(name)
    named = write_fake_l1c(tmp_path, sensor, scans=12)
    granule = named.with_suffix(f".{suffix}")
    if granule != named:
        named.unlink()
        write_fake_l1c(granule, sensor, scans=12)
    scene = Scene(filenames=find_files_and_readers(base_dir=str(tmp_path), reader=READER))
    names = [c.name for c in sensor.channels]
    scene.load(names)
    with h5py.File(granule) as file:
        for channel in sensor.channels:
            i = sensor.swath_channels(channel.swath).index(channel)
            expected = raw(file, f"{channel.swath}/Tc")[..., i]
            np.testing.assert_array_equal(scene[channel.name].values, expected)


def test_granules_follow_one_another(tmp_path):
    first = write_fake_l1c(tmp_path, "MHS", scans=10, orbit=7)
    late = np.datetime64("2020-07-01T13:40:00.000", "ns")
    second = write_fake_l1c(tmp_path, "MHS", scans=8, orbit=8, start=late)
    scene = open_scene(second, first)
    scene.load(["89.0QV"])
    with h5py.File(first) as one, h5py.File(second) as two:
        expected = np.concatenate([raw(f, "S1/Tc")[..., 0] for f in (one, two)])
    np.testing.assert_array_equal(scene["89.0QV"].values, expected)
    assert scene["89.0QV"].attrs["area"].shape == (18, 90)
    assert (scene["89.0QV"].attrs["start_orbit"], scene["89.0QV"].attrs["end_orbit"]) == (7, 8)


def test_an_older_version_is_left_out(tmp_path):
    old = write_fake_l1c(tmp_path, "MHS", scans=10, version="V05A", seed=1)
    new = write_fake_l1c(tmp_path, "MHS", scans=10, version="V07A", seed=2)
    scene = open_scene(old, new)
    scene.load(["89.0QV"])
    with h5py.File(new) as file:
        np.testing.assert_array_equal(scene["89.0QV"].values, raw(file, "S1/Tc")[..., 0])


def piece(folder, first, scans, **options):
    start = np.datetime64("2020-07-01T12:00:00", "ns")
    start += np.timedelta64(round(first * 1.875e9), "ns")
    name = f"1C.GPM.GMI.XCAL2016-C.20200701-S120000-E1205{first:02d}.V08A.RT-NC"
    return write_fake_l1c(folder / name, "GMI", scans=scans, start=start, **options)


def test_pieces_of_an_orbit_are_joined_each_scan_once(tmp_path):
    paths = [piece(tmp_path, first, 40) for first in (0, 30, 60)]
    scene = open_scene(*paths)
    scene.load(["89.0V", query("166.0V", "S2"), "all_tb", query("time", "S1")])
    whole = xrain.open_l1c(paths)
    assert whole.sizes["scan"] == 100
    np.testing.assert_array_equal(scene["89.0V"], whole.tb.sel(channel="89.0V"))
    np.testing.assert_array_equal(scene["time"], whole.time)
    assert scene["all_tb"].shape == (100, 221, 13)
    assert scene["166.0V"].shape == (100, 221)
    assert scene["89.0V"].attrs["area"].shape == (100, 221)


def test_a_newer_version_fills_in_its_scans(tmp_path):
    old, new = (
        piece(tmp_path, 0, 40, version="V07A"),
        piece(tmp_path, 10, 10, version="V08A", seed=3),
    )
    scene = open_scene(old, new)
    scene.load(["89.0V"])
    assert scene["89.0V"].shape[0] == 40
    values = {row.tobytes() for row in scene["89.0V"].values}
    assert {row.tobytes() for row in xrain.open_l1c(new).tb.sel(channel="89.0V").values} <= values


def test_a_file_of_any_name_is_opened(tmp_path):
    path = write_fake_l1c(tmp_path / "granule of mine.dat", "MHS", scans=6)
    scene = open_scene(path)
    scene.load(["89.0QV"])
    np.testing.assert_array_equal(scene["89.0QV"], xrain.open_l1c(path).tb[..., 0])
    assert scene.start_time == dt.datetime(2020, 7, 1, 12)
    with pytest.raises(ValueError, match="No supported files"):
        Scene([__file__], reader=READER)


def test_the_time_of_a_file_of_any_name_without_a_header(tmp_path):
    path = write_fake_l1c(tmp_path / "mine.HDF5", "MHS", scans=6)
    with h5py.File(path, "r+") as file:
        text = file.attrs["FileHeader"].decode().replace("GranuleDateTime", "Nothing")
        file.attrs["FileHeader"] = np.bytes_(text.encode())
    scene = open_scene(path)
    assert scene.start_time == dt.datetime(2020, 7, 1, 12)
    assert scene.end_time > scene.start_time
    del scene
    path = shutil.copy(path, tmp_path / "untimed.HDF5")
    with h5py.File(path, "r+") as file:
        del file["S1/ScanTime"]
    with pytest.raises(InputError, match=r"tells its time.*xrain\.open_l1c"):
        open_scene(path)


def test_own_geometry_comes_before_the_remapped(data_dir, gmi):
    scene = open_scene(real(data_dir, GMI.replace("1C.", "1C-R.")), gmi)
    scene.load([query("latitude", "S2")])
    with h5py.File(gmi) as file:
        latitude = scene[query("latitude", "S2")].values
        np.testing.assert_array_equal(latitude, raw(file, "S2/Latitude"))
        assert np.isfinite(latitude).all()


def test_two_radiometers_need_two_scenes(gmi, tmi):
    with pytest.raises(InputError, match=r"GMI on GPM and TMI on TRMM.*MultiScene"):
        open_scene(gmi, tmi)


def test_broken_file_is_named(tmi, tmp_path):
    short = tmp_path / TMI
    short.write_bytes(tmi.read_bytes()[:5000])
    with pytest.raises(FileFormatError, match=r"000160.*truncated"):
        open_scene(short)
