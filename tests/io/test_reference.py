"""Rain granules of the archive: what is read is what the file holds, in xrain's words."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.conventions import ATTRIBUTES
from xrain.errors import FileFormatError, InputError
from xrain.io.backend import L2BackendEntrypoint
from xrain.io.scan_time import read_time
from xrain.io.write_radar import RadarSwath, write_2a_radar
from xrain.sensors import get_sensor
from xrain.simulate.radar import radar_of
from xrain.testing import write_fake_l1c


def expected(file: h5py.File, variable: xr.DataArray) -> np.ndarray:
    """What a variable should be, from the file alone."""
    item = file[variable.attrs["file_field"]]
    raw, name = item[:], variable.name
    dims = item.attrs["DimensionNames"].decode()
    if name == "precip_type":
        raw = np.select([raw == -1111, raw < 0], [0, -1], raw // 10_000_000)
    elif name == "precip_flag":
        raw = np.select([raw < 0, raw == 0], [-1, 0], 1)
    elif name == "precip_phase":
        raw = np.where(raw == 255, -1, raw.astype(int) // 100)
    elif raw.dtype.kind == "f" or item.attrs.get("Units") in (b"percent", b"degrees"):
        fills = np.isin(raw.astype("f4"), np.float32([-9999.9, -9999, -1111.1, -99]))
        raw = np.where(fills, np.nan, raw.astype("f4"))
        if item.attrs.get("Units") == b"percent":
            raw = raw / np.float32(100)
    if dims == "time,lon,lat":
        raw = raw.swapaxes(1, 2)
    return raw.astype(variable.dtype)


def test_every_real_granule_is_the_file(rain_granule):
    tree = xr.open_datatree(rain_granule, engine="gpm-l2")
    with h5py.File(rain_granule) as file:
        assert set(tree) == {g for g in file if g not in ("GprofDHeadr", "AlgorithmRuntimeInfo")}
        for group in tree:
            ds = tree[group].to_dataset().load()
            assert {"surface_precip", "latitude", "longitude", "time"} <= set(ds.variables)
            read = [v for v in ds.variables.values() if "file_field" in v.attrs]
            assert len(read) > 3
            for name in ds.variables:
                variable = ds[name]
                if "file_field" in variable.attrs:
                    np.testing.assert_array_equal(variable, expected(file, variable), name)
                    assert set(ATTRIBUTES[name]) <= set(variable.attrs)
            if group == "Grid":
                np.testing.assert_array_equal(ds.longitude, file["Grid/lon"][:])
                assert ds.time.values == [np.datetime64("2000-06-01")]
                assert ds.surface_precip.dims == ("time", "latitude", "longitude")
                continue
            latitude = file[f"{group}/Latitude"][:]
            np.testing.assert_array_equal(
                ds.latitude, np.where(latitude < -90, np.float32(np.nan), latitude)
            )
            np.testing.assert_array_equal(ds.time, read_time(file, group, slice(None)))
            assert ds.surface_precip.dims == ("scan", "pixel")
    tree.close()


def test_every_real_granule_opens_lazily_and_alike(rain_granule):
    def refuse(*args, **kwargs):
        raise AssertionError("something was computed")

    with dask.config.set(scheduler=refuse):
        lazy = xrain.open_reference(rain_granule, chunks={})
    assert lazy.surface_precip.chunks
    plain = xr.open_dataset(rain_granule, engine="gpm-l2")
    assert not plain.surface_precip.variable._in_memory
    np.testing.assert_array_equal(lazy.surface_precip[..., 3:7, ::-2],
                                  plain.surface_precip.values[..., 3:7, ::-2])  # fmt: skip
    assert pickle.loads(pickle.dumps(plain)).load().identical(lazy.load())
    assert plain.attrs["product_version"] in rain_granule.name
    assert plain.attrs["platform"] in (rain_granule.name.split(".")[1], "MULTI")


@pytest.mark.parametrize("name", ["2A-CLIM.TRMM", "2A.NOAA21", "2A.GPM.DPR", "2B.GPM", "3B-HHR"])
def test_what_is_read_survives_a_netcdf_file(name, tmp_path, data_dir):
    ds = xrain.open_reference(next(data_dir.glob(f"granules/V7/{name}*"))).load()
    ds.to_netcdf(tmp_path / "copy.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "copy.nc", engine="h5netcdf") as copy:
        for name in ("surface_precip", "latitude", "time"):
            np.testing.assert_array_equal(copy[name], ds[name])
        if "surface_type" in ds:
            missing = ds.surface_type.values < 0
            assert np.isnan(copy.surface_type.values[missing]).all()


def radar_swath(scans=6, start="2014-12-31T23:59:58", rays=5) -> RadarSwath:
    rng = np.random.default_rng(3)
    shape = (scans, rays)
    rate = np.where(rng.random(shape) < 0.4, 0, rng.gamma(1.0, 3.0, shape))
    rate[1, 2] = np.nan
    first = np.datetime64(start, "ns")
    return RadarSwath(
        time=first + np.arange(scans) * np.timedelta64(700, "ms"),
        latitude=10 + 0.045 * np.arange(scans)[:, None] + np.zeros(rays),
        longitude=20 + 0.045 * np.arange(rays) + np.zeros((scans, 1)),
        rate=rate,
        convective=rng.random(shape),
        freezing_level=rng.uniform(-1, 5, shape),
        land=rng.integers(0, 2, shape),
        zenith_angle=np.full(shape, 7.0),
        sun_local_time=np.full(shape, 12.5),
    )


def write(path, swath=None, name="gmi", **options) -> Path:
    sensor = get_sensor(name)
    swath = swath or radar_swath()
    options = {"radar": radar_of(sensor), "platform": next(iter(sensor.platforms)),
               "orbit": 144} | options  # fmt: skip
    return write_2a_radar(path, swath, **options)


@pytest.mark.parametrize("name", ["gmi", "tmi"])
def test_what_the_writer_of_radar_granules_wrote(name, tmp_path):
    swath = radar_swath()
    ds = xrain.open_reference(write(tmp_path / "r.HDF5", swath, name)).load()
    rate = np.float32(swath.rate)
    np.testing.assert_array_equal(ds.surface_precip, rate)
    np.testing.assert_array_equal(ds.estimated_surface_precip, rate)
    np.testing.assert_array_equal(ds.latitude, np.float32(swath.latitude))
    np.testing.assert_array_equal(ds.longitude, np.float32(swath.longitude))
    np.testing.assert_array_equal(ds.time, swath.time.astype("datetime64[ms]"))
    np.testing.assert_array_equal(ds.freezing_level, np.float32(swath.freezing_level * 1e3))
    np.testing.assert_array_equal(ds.sun_local_time, np.float32(swath.sun_local_time))
    wet = rate > 0
    unseen = np.isnan(rate)
    convective = np.where(swath.convective >= 0.5, 2, 1)
    kind = np.select([unseen, wet], [-1, convective], 0)
    np.testing.assert_array_equal(ds.precip_type, kind)
    np.testing.assert_array_equal(ds.precip_flag, np.where(unseen, -1, wet))
    phase = np.where(swath.freezing_level > 0, 2, 1)
    np.testing.assert_array_equal(ds.precip_phase, np.where(wet, phase, -1))
    np.testing.assert_array_equal(ds.surface_type, 100 * swath.land)
    quality = ds.quality if name == "tmi" else ds.quality.sel(band="Ka")
    np.testing.assert_array_equal(quality, 2 * unseen)
    assert ds.attrs["sensor"] == ("PR" if name == "tmi" else "DPR")
    assert ds.attrs["orbit"] == 144


def test_codes_and_small_values_that_are_no_fill(tmp_path):
    path = write(tmp_path / "r.HDF5")
    with h5py.File(path, "a") as file:
        file["FS/VER/heightZeroDeg"][0, :4] = [-89.5, -9999.9, -9999.0, 0.0]
        file["FS/SLV/precipRateNearSurface"][0, :4] = [-1111.1, 0.0, 1e-16, -9999.0]
        file["FS/CSF/typePrecip"][0, :4] = [-1111, -9999, 30021000, 19031000]
        file["FS/PRE/flagPrecip"][0, :4] = [10, 11, 0, -9999]
    ds = xrain.open_reference(path)
    nan = np.nan
    np.testing.assert_array_equal(ds.freezing_level[0, :4], np.float32([-89.5, nan, nan, 0]))
    np.testing.assert_array_equal(ds.surface_precip[0, :4], np.float32([nan, 0, 1e-16, nan]))
    assert ds.precip_type[0, :4].values.tolist() == [0, -1, 3, 1]
    assert ds.precip_flag[0, :4].values.tolist() == [1, 1, 0, -1]


def test_granules_are_joined_in_order_of_time(tmp_path):
    late = write(tmp_path / "b.HDF5", radar_swath(start="2015-01-01T00:00:30"))
    early = write(tmp_path / "a.HDF5")
    both = xrain.open_reference([late, early, early])
    assert both.surface_precip.shape == (12, 5)
    assert (np.diff(both.time.values) > np.timedelta64(0)).all()
    assert both.surface_precip.chunks
    other = write(tmp_path / "c.HDF5", name="tmi")
    with pytest.raises(InputError, match="different instruments cannot be joined: sensor is"):
        xrain.open_reference([early, other])
    with pytest.raises(InputError, match="the list of files is empty"):
        xrain.open_reference([])


def test_half_hours_are_joined_along_time(tmp_path, data_dir):
    paths = list(data_dir.glob("granules/V7/3B-HHR*"))
    if not paths:
        pytest.skip("the IMERG granule is not there")
    later = tmp_path / "3B-HHR.later.HDF5"
    later.write_bytes(paths[0].read_bytes())
    with h5py.File(later, "a") as file:
        file["Grid/time"][:] += 1800
        file["Grid/time_bnds"][:] += 1800
    both = xrain.open_reference([later, paths[0]]).load()
    assert both.sizes["time"] == 2
    assert both.time.values[1] == np.datetime64("2000-06-01T00:30")
    assert both.time_bounds.values[0, 1] == both.time.values[1]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: f.move("FS", "XX"), r"2A radar needs a group FS or NS or MS or HS; .* XX"),
        (lambda f: f.__delitem__("FS/Latitude"), r"FS lacks Latitude; A 2A GPROF"),
        (lambda f: f.__delitem__("FS/SLV"), r"FS lacks SLV/precipRateNearSurface"),
        (lambda f: f.attrs.__delitem__("FileHeader"), r"has no GPM header\. Rain is read from"),
        (lambda f: f["FS/Latitude"].attrs.modify("DimensionNames", np.bytes_(b"nscan,beam")),
         r"/FS/Latitude has unknown dimensions 'nscan,beam'"),
    ],
)  # fmt: skip
def test_bad_granules_are_told(break_it, message, tmp_path):
    path = write(tmp_path / "r.HDF5")
    with h5py.File(path, "a") as file:
        break_it(file)
    for engine in (xr.open_dataset, xr.open_datatree):
        with pytest.raises(FileFormatError, match=message):
            engine(path, engine="gpm-l2")


def test_fields_of_another_shape_are_left_out_with_a_warning(tmp_path):
    path = write(tmp_path / "r.HDF5")
    with h5py.File(path, "a") as file:
        del file["FS/CSF/typePrecip"]
        file["FS/CSF/typePrecip"] = np.zeros((6, 4), "i4")
    with pytest.warns(UserWarning, match=r"FS/CSF/typePrecip has shape \(6, 4\), .* \(6, 5\)"):
        ds = xrain.open_reference(path)
    assert "precip_type" not in ds
    assert ds.surface_precip.shape == (6, 5)


def test_positions_of_another_shape_are_told(tmp_path):
    path = write(tmp_path / "r.HDF5")
    with h5py.File(path, "a") as file:
        del file["FS/Latitude"]
        file["FS/Latitude"] = np.zeros((6, 4), "f4")
    with pytest.raises(FileFormatError, match=r"FS/Latitude has shape \(6, 4\), .* \(6, 5\)"):
        xrain.open_reference(path)


@pytest.mark.parametrize("fill", [9.96921e36, 1e20, -99.0, np.inf])
def test_fills_of_other_formats_are_missing(fill, tmp_path):
    path = write(tmp_path / "r.HDF5")
    with h5py.File(path, "a") as file:
        for field in ("SLV/precipRateNearSurface", "Latitude"):
            file[f"FS/{field}"][2] = fill
        file["FS/VER/heightZeroDeg"][2] = -9999.9 if fill == -99 else fill
    ds = xrain.open_reference(path)
    for name in ("surface_precip", "latitude", "freezing_level"):
        assert np.isnan(ds[name].values[2]).all()


def test_a_fill_value_that_is_named_is_missing(tmp_path):
    path = write(tmp_path / "r.HDF5")
    with h5py.File(path, "a") as file:
        file["FS/SLV/precipRateNearSurface"][2] = 7.5
        file["FS/SLV/precipRateNearSurface"].attrs["_FillValue"] = np.float32(7.5)
    assert np.isnan(xrain.open_reference(path).surface_precip.values[2]).all()


def test_other_files_are_told(tmp_path):
    l1c = write_fake_l1c(tmp_path / "1C.HDF5", "MHS", scans=3)
    with pytest.raises(FileFormatError, match=r"holds the product 1CMHS; open it with xrain\.open"):
        xrain.open_reference(l1c)
    (tmp_path / "bad.HDF5").write_bytes(b"nonsense")
    with pytest.raises(FileFormatError, match=r"not an HDF5 file\. A 2A GPROF, 2A radar"):
        xrain.open_reference(tmp_path / "bad.HDF5")
    with pytest.raises(FileFormatError, match="no such file"):
        xrain.open_reference(tmp_path / "none.HDF5")
    with pytest.raises(FileFormatError, match=r"swath group 'HS' is missing; the file has FS\."):
        xrain.open_reference(write(tmp_path / "r.HDF5"), swath="HS")


def test_a_damaged_field_is_told_when_it_is_read(tmp_path):
    path = write(tmp_path / "r.HDF5")
    ds = xrain.open_reference(path)
    path.unlink()
    path.write_bytes(b"gone")
    ds.close()
    with pytest.raises(FileFormatError, match="FS cannot be read, the file is damaged or gone"):
        ds.surface_precip.load()


def test_the_engine(tmp_path):
    engine = xr.backends.list_engines()["gpm-l2"]
    assert isinstance(engine, L2BackendEntrypoint)
    path = write(tmp_path / "2A.GPM.DPR.V9.HDF5")
    one = xr.open_dataset(path, engine="gpm-l2", swath="FS", drop_variables="precip_type")
    assert "precip_type" not in one
    assert one.attrs["reference_swath"] == "FS"
    tree = xr.open_groups(path, engine="gpm-l2", drop_variables=["precip_flag"])
    assert set(tree) == {"/", "/FS"}
    assert tree["/"].attrs["product"] == "2ADPR"
    assert "precip_flag" not in tree["/FS"]


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("2A.GPM.GMI.GPROF2021v1.20140304-S175932-E193159.000079.V07A.HDF5", True),
        ("2A-CLIM.F08.SSMI.GPROF2021v1.19870709-S125514-E143711.000274.V07A.HDF5", True),
        ("2A-CS-151E24S154E30S.GPM.Ku.V7-20170308.20141206-S0-E1.004383.V05A.HDF5", True),
        ("/data/2B.GPM.DPRGMI.CORRA2022.20140308-S220950-E234217.000144.V07A.HDF5", True),
        ("3B-HHR.MS.MRG.3IMERG.20000601-S000000-E002959.0000.V07A.HDF5", True),
        ("3B-HHR-L.MS.MRG.3IMERG.20160101-S000000-E002959.0000.V07B.HDF5", True),
        ("1C.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.HDF5", False),
        ("2B-GEOPROF.hdf5.txt", False),
        (b"\x89HDF\r\n", False),
    ],
)
def test_what_it_takes_for_its_own(name, ours):
    assert L2BackendEntrypoint().guess_can_open(name) is ours


def test_the_engine_works_where_xrain_is_not_imported(tmp_path):
    path = write(tmp_path / "r.HDF5")
    code = (
        "import sys, xarray as xr; "
        f"ds = xr.open_dataset({str(path)!r}, engine='gpm-l2'); ds.load(); "
        "print(ds.sizes['scan'], 'torch' in sys.modules, 'satpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", "False", "False"]


@pytest.mark.parametrize("axis", ["lat", "lon", "time", "time_bnds"])
def test_axes_of_a_map_that_do_not_fit_are_told(axis, tmp_path, data_dir):
    path = tmp_path / "3B-HHR.x.HDF5"
    path.write_bytes(next(data_dir.glob("granules/V7/3B-HHR*")).read_bytes())
    with h5py.File(path, "a") as file:
        del file[f"Grid/{axis}"]
        file[f"Grid/{axis}"] = np.zeros(7)
    with pytest.raises(FileFormatError, match=rf"Grid/{axis} has shape \(7,\), not"):
        xrain.open_reference(path)
