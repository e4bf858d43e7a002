from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xrain.conventions import ATTRIBUTES, PRECIP_FLAG_FILL, QUALITY_FLAGS
from xrain.errors import InputError, OutputError
from xrain.io.write_rain import rain_path, write_rain

SIZE = (40, 30)


def rain_dataset(size: tuple[int, int] = SIZE) -> xr.Dataset:
    rng = np.random.default_rng(7)
    dims = ("scan", "pixel")
    rate = rng.gamma(0.5, 2.0, size).astype("f4")
    rate[-1, 2] = np.nan
    flag = (rate > 1).astype("i1")
    flag[-1, 2] = PRECIP_FLAG_FILL
    quality = rng.choice(list(QUALITY_FLAGS.values()), size).astype("u1")
    time = np.datetime64("2014-03-04T23:59:58.123", "ns") + np.arange(size[0]) * np.timedelta64(
        1875, "ms"
    )
    time[-1] = np.datetime64("NaT")
    data = {
        "surface_precip": (dims, rate),
        "surface_precip_quantile": (("quantile", *dims), np.stack([rate / 2, rate * 2])),
        "probability_of_precip": (dims, rng.uniform(size=size).astype("f4")),
        "precip_flag": (dims, flag),
        "retrieval_quality": (dims, quality),
    }
    coords = {
        "latitude": (dims, rng.uniform(-60, 60, size).astype("f4")),
        "longitude": (dims, rng.uniform(-180, 180, size).astype("f4")),
        "time": ("scan", time),
        "quantile": [0.05, 0.95],
    }
    attrs = {"sensor": "GMI", "platform": "GPM", "model": "gmi-unet", "model_version": 1}
    ds = xr.Dataset(data, coords, {**attrs, "model_sha256": "ab" * 32, "simulated": True})
    for name in ds.variables:
        ds[name].attrs = dict(ATTRIBUTES[name])
    return ds


def test_every_value_comes_back(tmp_path: Path) -> None:
    ds = rain_dataset()
    path = write_rain(ds, tmp_path / "new" / "a.rain.nc")
    with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as raw:
        np.testing.assert_array_equal(raw["precip_flag"], ds["precip_flag"])
        np.testing.assert_array_equal(raw["retrieval_quality"], ds["retrieval_quality"])
    with xr.open_dataset(path, engine="h5netcdf") as back:
        for name in set(ds.variables) - {"precip_flag"}:
            np.testing.assert_array_equal(back[name], ds[name])
        assert set(back.coords) == set(ds.coords)
        flag = ds["precip_flag"].where(ds["precip_flag"] != PRECIP_FLAG_FILL)
        np.testing.assert_array_equal(back["precip_flag"], flag)


def test_rain_without_a_known_time_is_written(tmp_path: Path) -> None:
    ds = rain_dataset().assign_coords(time=("scan", np.full(SIZE[0], "NaT", "datetime64[ns]")))
    path = write_rain(ds, tmp_path / "a.rain.nc")
    with xr.open_dataset(path, engine="h5netcdf") as back:
        np.testing.assert_array_equal(back["time"], ds["time"], strict=True)


@settings(max_examples=25)
@given(st.integers(0, 2**61))
def test_any_time_is_kept_to_the_nanosecond(ns: int) -> None:
    import tempfile

    ds = rain_dataset((2, 3)).assign_coords(
        time=("scan", np.array([ns, ns // 10**6 * 10**6], "datetime64[ns]"))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = write_rain(ds, Path(folder) / "a.nc")
        with xr.open_dataset(path, engine="h5netcdf") as back:
            np.testing.assert_array_equal(back["time"].values, ds["time"].values)


def test_the_file_follows_cf(tmp_path: Path) -> None:
    path = write_rain(rain_dataset(), tmp_path / "a.rain.nc")
    with h5py.File(path) as file:
        assert file.attrs["Conventions"] == b"CF-1.11"
        assert file.attrs["simulated"] == b"true"
        assert {"history", "model", "model_version", "model_sha256"} <= set(file.attrs)
        for name, array in file.items():
            if name in ("scan", "pixel"):
                continue
            assert array.attrs["long_name"], name
            if name not in ("precip_flag", "retrieval_quality"):
                assert array.attrs["units"], name
            if array.ndim > 1:
                assert array.compression == "gzip", name
        flag, quality = file["precip_flag"], file["retrieval_quality"]
        assert flag.attrs["flag_values"].dtype == flag.dtype
        assert quality.attrs["flag_masks"].dtype == quality.dtype
        assert len(quality.attrs["flag_meanings"].split()) == len(quality.attrs["flag_masks"])
        coordinates = file["surface_precip"].attrs["coordinates"].split()
        assert {b"latitude", b"longitude"} <= set(coordinates)
        assert "_FillValue" not in file["quantile"].attrs


def test_text_attributes_are_of_the_classic_kind_unless_they_cannot(tmp_path: Path) -> None:
    ds = rain_dataset().assign_attrs(title="plain", comment="± 3")
    path = write_rain(ds, tmp_path / "a.nc")
    with h5py.File(path) as file:
        kinds = {k: file.attrs.get_id(k).dtype.kind for k in ("title", "history", "comment")}
        assert kinds == {"title": "S", "history": "S", "comment": "O"}
        assert file["time"].attrs.get_id("units").dtype.kind == "S"
    with xr.open_dataset(path, engine="h5netcdf") as back:
        assert back.attrs["title"] == "plain"
        assert back.attrs["comment"] == "± 3"


def test_other_software_reads_it(tmp_path: Path) -> None:
    netcdf4 = pytest.importorskip("netCDF4")
    ds = rain_dataset()
    path = write_rain(ds, tmp_path / "a.rain.nc")
    with netcdf4.Dataset(path) as file:
        assert file.sensor == "GMI"
        rate = file["surface_precip"][:]
        assert rate.mask.sum() == int(ds["surface_precip"].isnull().sum())
        time = netcdf4.num2date(file["time"][:], file["time"].units, file["time"].calendar)
        assert time[0].isoformat(timespec="milliseconds") == "2014-03-04T23:59:58.123"


def test_a_lazy_dataset_gives_the_same_file(tmp_path: Path) -> None:
    ds = rain_dataset()
    eager = write_rain(ds, tmp_path / "eager.nc")
    lazy = write_rain(ds.chunk(scan=7), tmp_path / "lazy.nc")
    with xr.open_dataset(eager, engine="h5netcdf") as a, xr.open_dataset(lazy) as b:
        a.attrs.pop("history"), b.attrs.pop("history")
        xr.testing.assert_identical(a.load(), b.load())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_a_dataset_on_a_cluster_of_processes_is_written(tmp_path: Path, name: str) -> None:
    from dask.distributed import Client, LocalCluster

    if name.endswith("zarr"):
        pytest.importorskip("zarr")
    ds = rain_dataset()
    with (
        LocalCluster(1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        for given_one in (ds.chunk(scan=7), ds):
            path = write_rain(given_one, tmp_path / name)
            with xr.open_dataset(path) as back:
                np.testing.assert_array_equal(back["surface_precip"], ds["surface_precip"])


def test_a_written_file_can_be_read_changed_and_written_again(tmp_path: Path) -> None:
    path = write_rain(rain_dataset(), tmp_path / "a.nc")
    with xr.open_dataset(path, engine="h5netcdf") as ds:
        ds.load()
    write_rain(ds.isel(scan=slice(0, 9)), path)
    with xr.open_dataset(path, engine="h5netcdf") as back:
        assert back.sizes["scan"] == 9
        np.testing.assert_array_equal(back["time"], ds["time"][:9])


def test_a_table_of_pixels_is_written(tmp_path: Path) -> None:
    ds = rain_dataset().isel(scan=0, drop=True).rename(pixel="sample")
    path = write_rain(ds, tmp_path / "a.nc")
    with xr.open_dataset(path, engine="h5netcdf") as back:
        assert dict(back.sizes) == {"sample": SIZE[1], "quantile": 2}


def test_an_attribute_that_netcdf_cannot_hold_is_named(tmp_path: Path) -> None:
    ds = rain_dataset().assign_attrs(area={"name": "world"}, nothing=None, thing=object())
    with pytest.raises(InputError, match="'thing' holds object"):
        write_rain(ds, tmp_path / "a.nc")
    path = write_rain(ds.assign_attrs(thing=Path("x")), tmp_path / "a.nc")
    with xr.open_dataset(path, engine="h5netcdf") as back:
        assert back.attrs["area"] == '{"name": "world"}'
        assert "nothing" not in back.attrs


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("1C.GPM.GMI.V07A.HDF5", "1C.GPM.GMI.V07A.rain.nc"),
        ("/in/1C.GPM.GMI.V07B.nc", "1C.GPM.GMI.V07B.rain.nc"),
        ("a.nc4", "a.rain.nc"),
        ("plain", "plain.rain.nc"),
    ],
)
def test_the_output_is_named_after_the_input(source: str, name: str) -> None:
    assert rain_path(source, "out") == Path("out") / name


# ---- places that cannot be written


def write_in_new_process(path: Path, setting: str = "") -> subprocess.CompletedProcess[str]:
    code = f"""
import importlib.util, resource, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("t", {str(Path(__file__))!r})
t = importlib.util.module_from_spec(spec); spec.loader.exec_module(t)
ds = t.rain_dataset((600, 200))
{setting}
try:
    t.write_rain(ds, {str(path)!r})
except t.OutputError as error:
    print(error); sys.exit(2)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file size as on Linux")
def test_a_file_that_cannot_grow_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    (tmp_path / "a.nc").write_text("old")
    run = write_in_new_process(tmp_path / "a.nc", limit)
    assert (run.returncode, run.stderr) == (2, "")
    assert os.strerror(errno.EFBIG) in run.stdout
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        run = write_in_new_process(disk / "a.nc")
        assert (run.returncode, run.stderr) == (2, "")
        assert os.strerror(errno.ENOSPC) in run.stdout
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_without_the_right_to_write_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() == 0:  # who may write everywhere is refused only where no file can be
        folder = Path("/proc/self")
    else:
        folder.chmod(0o500)
    with pytest.raises(OutputError, match=r"a\.nc cannot be written"):
        write_rain(rain_dataset(), folder / "a.nc")


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_rain(rain_dataset(), tmp_path / "file" / "a.nc")
