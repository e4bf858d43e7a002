"""One granule, and several joined along the scans."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.errors import FileFormatError, InputError
from xrain.io.open import join, open_any
from xrain.testing import fake_swath, tiny_model, write_fake_l1c

START = np.datetime64("2020-07-01T12:00:00", "ns")


def granule(folder, name="MHS", scans=40, after=0, **options):
    """A granule that begins so many scans after the first one."""
    period = xrain.get_sensor(name).swaths[0].scan_period
    start = START + np.timedelta64(round(after * period * 1e9), "ns")
    path = folder / f"{name}-{after}.HDF5"
    return write_fake_l1c(path, name, scans=scans, start=start, orbit=after, **options)


def test_one_granule_is_lazy_without_dask(tmp_path):
    ds = xrain.open_l1c(granule(tmp_path))
    assert ds.tb.chunks is None
    assert not ds.tb.variable._in_memory
    assert xrain.open_l1c(str(granule(tmp_path)), chunks={"scan": 40}).tb.chunks[0] == (40,)


def test_a_list_of_one_is_that_granule_in_chunks(tmp_path):
    path = granule(tmp_path)
    ds = xrain.open_l1c([path])
    assert ds.tb.chunks is not None
    assert ds.load().identical(xrain.open_l1c(path).load())


def test_granules_are_joined_in_order_of_time(tmp_path):
    paths = [granule(tmp_path, after=a) for a in (0, 40, 80)]
    ds = xrain.open_l1c([paths[1], paths[2], paths[0]])
    parts = [xrain.open_l1c(p).load() for p in paths]
    assert ds.sizes["scan"] == 120
    assert (np.diff(ds.time.values) > np.timedelta64(0)).all()
    for name in ("tb", "quality", "latitude", "earth_incidence_angle", "sun_glint_angle"):
        assert ds[name].chunks is not None
        expected = np.concatenate([p[name].values for p in parts])
        np.testing.assert_array_equal(ds[name].values, expected, strict=True)
    assert ds.attrs["granule"] == ", ".join(p.name for p in paths)
    assert "scan" not in ds.frequency.dims
    assert ds.attrs["sensor"] == "MHS"


def test_scans_that_two_granules_share_come_once(tmp_path):
    one, two = granule(tmp_path), granule(tmp_path, after=30)
    ds = xrain.open_l1c([two, one])
    assert ds.sizes["scan"] == 70
    np.testing.assert_array_equal(ds.tb[:40].values, xrain.open_l1c(one).tb.values)
    np.testing.assert_array_equal(ds.tb[40:].values, xrain.open_l1c(two).tb[10:].values)


def test_the_same_granule_twice_is_that_granule(tmp_path):
    path = granule(tmp_path)
    again = shutil.copy(path, tmp_path / "again.HDF5")
    ds = xrain.open_l1c([path, again])
    np.testing.assert_array_equal(ds.tb.values, xrain.open_l1c(path).tb.values)


def test_scans_without_a_time_are_kept(tmp_path):
    one, two = granule(tmp_path), granule(tmp_path, after=40)
    for path in (one, two):
        with h5py.File(path, "r+") as file:
            file["S1/ScanTime/Year"][5:9] = -9999
    ds = xrain.open_l1c([one, two])
    assert ds.sizes["scan"] == 80
    assert np.isnat(ds.time.values).sum() == 8


def test_a_generator_of_paths_and_other_options(tmp_path):
    paths = (granule(tmp_path, "GMI", scans=20, after=a) for a in (0, 20))
    ds = xrain.open_l1c(paths, swath="S2", chunks={"scan": 20})
    assert ds.attrs["reference_swath"] == "S2"
    assert ds.tb.chunks[0] == (20, 20)


def test_a_field_that_only_some_granules_have_is_left_out(tmp_path):
    one, two = granule(tmp_path), granule(tmp_path, after=40)
    with h5py.File(two, "r+") as file:
        del file["S1/sunGlintAngle"], file["S1/Quality"]
    ds = xrain.open_l1c([one, two])
    assert ds.sizes["scan"] == 80
    assert "sun_glint_angle" not in ds
    assert "quality" not in ds
    assert ds.tb.shape[0] == 80


def test_closing_closes_every_file(tmp_path):
    paths = [granule(tmp_path, after=a) for a in (0, 40)]
    ds = xrain.open_l1c(paths)
    ds.tb.compute()
    ds.close()
    for path in paths:
        with h5py.File(path, "r+") as file:
            file.attrs["free"] = 1


def test_no_file_and_a_bad_one_among_others(tmp_path):
    with pytest.raises(InputError, match="no granule to open"):
        xrain.open_l1c([])
    bad = tmp_path / "bad.HDF5"
    bad.write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"bad\.HDF5: the file is empty"):
        xrain.open_l1c([granule(tmp_path), bad])


def test_different_radiometers_are_not_joined(tmp_path):
    mhs, gmi = granule(tmp_path), granule(tmp_path, "GMI")
    with pytest.raises(InputError, match=r"sensor is '(MHS|GMI)' in (MHS|GMI)-0"):
        xrain.open_l1c([mhs, gmi])
    other = granule(tmp_path, after=40, platform="METOPB")
    with pytest.raises(InputError, match=r"platform is .*MHS-0.* and 'METOPB' in MHS-40"):
        xrain.open_l1c([mhs, other])


def test_swaths_of_other_channels_are_not_joined():
    ds = fake_swath("MHS", 6, 10)
    for other in (ds.isel(channel=[0, 1]), ds.isel(pixel=[0, 1])):
        with pytest.raises(InputError, match="other pixels or channels"):
            join([ds, other])


def test_swaths_in_memory_are_joined():
    ds = fake_swath("MHS", 20, 10)
    whole = join([ds.isel(scan=slice(8, 20)), ds.isel(scan=slice(0, 12))])
    xr.testing.assert_equal(whole, ds)


def test_the_newest_version_of_a_granule_wins(tmp_path):
    old = write_fake_l1c(tmp_path / "old.HDF5", "MHS", scans=40, version="V07A", seed=1)
    new = write_fake_l1c(tmp_path / "new.HDF5", "MHS", scans=20, version="V08A", seed=2)
    ds = xrain.open_l1c([old, new])
    assert ds.sizes["scan"] == 40
    np.testing.assert_array_equal(ds.tb[:20].values, xrain.open_l1c(new).tb.values)
    np.testing.assert_array_equal(ds.tb[20:].values, xrain.open_l1c(old).tb[20:].values)


def test_a_gap_of_one_granule_is_filled_by_another(tmp_path):
    whole = write_fake_l1c(tmp_path / "whole.HDF5", "MHS", scans=60)
    ds = xrain.open_l1c(whole).load()
    gap = ds.isel(scan=[*range(20), *range(40, 60)])
    joined = join([gap, ds])
    np.testing.assert_array_equal(joined.time, ds.time)
    np.testing.assert_array_equal(joined.tb, ds.tb)


@pytest.mark.parametrize(("which", "year"), [(0, 2040), (1, 2019), (0, 1987), (1, 2040)])
def test_one_wrong_time_costs_no_other_scan(tmp_path, which, year):
    paths = [granule(tmp_path, after=a) for a in (0, 40)]
    with h5py.File(paths[which], "r+") as file:
        file["S1/ScanTime/Year"][30] = year
    with pytest.warns(UserWarning, match=r"1 of 40 scan times of S1 cannot be right"):
        ds = xrain.open_l1c(paths)
    assert ds.sizes["scan"] == 80
    assert np.flatnonzero(np.isnat(ds.time)).tolist() == [30 + 40 * which]


def test_granules_without_times_are_all_kept(tmp_path):
    paths = [granule(tmp_path, after=a) for a in (0, 40)]
    for path in paths:
        with h5py.File(path, "r+") as file:
            del file["S1/ScanTime"]
    assert xrain.open_l1c(paths).sizes["scan"] == 80


def rain_file(folder):
    rain = fake_swath("MHS", 30, 20).rain.retrieve(tiny_model())
    return rain.load(), xrain.write_rain(rain, folder / "a.rain.nc")


def test_a_rain_file_is_opened_lazily_and_equals_what_was_written(tmp_path):
    rain, path = rain_file(tmp_path)
    with open_any(path) as ds:
        assert not ds.surface_precip.variable._in_memory
        np.testing.assert_array_equal(ds.surface_precip, rain.surface_precip)
        np.testing.assert_array_equal(ds.surface_precip[3:9, ::-2], rain.surface_precip[3:9, ::-2])
        np.testing.assert_array_equal(ds.time, rain.time)
        assert set(ds.coords) == set(xr.open_dataset(path, engine="h5netcdf").coords)


def test_a_damaged_rain_file_is_told(tmp_path):
    _, path = rain_file(tmp_path)
    with h5py.File(path, "r+") as file:
        item = file["surface_precip"]
        info = item.id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(info.byte_offset)
        stream.write(b"\xff" * 20)
    ds = open_any(path)
    with pytest.raises(FileFormatError, match=r"a\.rain\.nc: the rain cannot be read.*damaged"):
        ds.surface_precip.load()
    ds.close()
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        open_any(path)


def test_a_folder_is_no_rain_file(tmp_path):
    with pytest.raises(FileFormatError):
        open_any(tmp_path)
