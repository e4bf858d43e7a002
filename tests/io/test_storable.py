"""What is written although netCDF does not know it, and what is told before it is computed."""

from __future__ import annotations

import datetime

import cftime
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xrain.errors import InputError, OutputError
from xrain.io.write_rain import write_rain
from xrain.testing import fake_swath, tiny_model


def small(**attrs) -> xr.Dataset:
    return xr.Dataset({"surface_precip": ("sample", np.float32([0, 1, 2]))}, attrs=attrs)


def written(ds: xr.Dataset, path) -> xr.Dataset:
    with xr.open_dataset(write_rain(ds, path), engine="h5netcdf") as back:
        return back.load()


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"atms"}, "atms"),
        ({"b", "a"}, ["a", "b"]),
        (np.str_("ATMS"), "ATMS"),
        (np.array(["ATMS"]), "ATMS"),
        (np.array("ATMS"), "ATMS"),
        (np.array(["a", "b"], object), ["a", "b"]),
        (b"bytes", "bytes"),
        ("with\0NUL\0", "withNUL"),
        ("half \ud800 pair", "half ? pair"),
        (2**70, str(2**70)),
        ([1, 2.5], [1, 2.5]),
        ([1, "a"], ["1", "a"]),
        ([True, False], ["true", "false"]),
        ([[1, 2], [3, 4]], "[[1, 2], [3, 4]]"),
        (np.eye(2), "[[1.0, 0.0], [0.0, 1.0]]"),
        ([None, 1], "[null, 1]"),
        ([], ""),
        (np.array([], "f4"), []),
        (np.float32(0.5), 0.5),
        (datetime.datetime(2020, 7, 1), "2020-07-01 00:00:00"),
        (np.datetime64("2020-07-01", "s"), "2020-07-01T00:00:00"),
        (np.array(["2020-07-01"], "M8[s]"), "2020-07-01 00:00:00"),
    ],
)
def test_attributes_of_any_kind(tmp_path, value, stored):
    found = written(small(thing=value), tmp_path / "a.nc").attrs["thing"]
    found = found.tolist() if isinstance(found, np.ndarray | np.generic) else found
    assert found == stored


def test_attributes_that_describe_packing_or_belong_to_hdf5_are_left_out(tmp_path):
    ds = small(CLASS="x", _NCProperties="y", kept="z")
    ds.surface_precip.attrs = {"_FillValue": -1, "scale_factor": 10.0, "coordinates": "no such"}
    back = written(ds, tmp_path / "a.nc")
    np.testing.assert_array_equal(back.surface_precip, ds.surface_precip)
    assert "CLASS" not in back.attrs
    assert back.attrs["kept"] == "z"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("chunks", [None, 2])
def test_times_of_every_unit_come_back(tmp_path, unit, chunks):
    time = np.array(["2020-07-01T11:56:15", "NaT", "2020-07-01T11:56:17"], f"M8[{unit}]")
    ds = small().assign_coords(time=("sample", time))
    ds = ds if chunks is None else ds.chunk(sample=chunks)
    assert ds.time.dtype == f"M8[{unit}]"
    np.testing.assert_array_equal(written(ds, tmp_path / "a.nc").time, time)


def test_times_that_nanoseconds_cannot_hold_are_told(tmp_path):
    time = np.array(["2020-07-01", "2500-01-01", "NaT"], "M8[s]")
    with pytest.raises(InputError, match="'time' holds times before 1678 or after 2261"):
        write_rain(small().assign_coords(time=("sample", time)), tmp_path / "a.nc")


def test_cftime_and_text_coordinates_are_written(tmp_path):
    dates = [cftime.DatetimeGregorian(2020, 7, d) for d in (1, 2, 3)]
    names = np.array(["a", "bb", "ccc"], object)
    ds = small().assign_coords(time=("sample", dates), station=("sample", names))
    back = written(ds, tmp_path / "a.nc")
    assert back.station.values.tolist() == ["a", "bb", "ccc"]
    assert back.time.values.astype("M8[D]").astype(str).tolist() == [
        "2020-07-01", "2020-07-02", "2020-07-03",
    ]  # fmt: skip


def test_stacked_pixels_keep_their_scan_and_pixel(tmp_path):
    table = fake_swath("GMI", 6, 5).stack(sample=("scan", "pixel"))
    rain = table.rain.retrieve(tiny_model("GMI"))
    back = written(rain, tmp_path / "a.nc")
    np.testing.assert_array_equal(back.scan, np.repeat(np.arange(6), 5))
    np.testing.assert_array_equal(back.pixel, np.tile(np.arange(5), 6))
    np.testing.assert_array_equal(back.surface_precip, rain.surface_precip)


def test_half_precision_is_widened(tmp_path):
    back = written(small().astype("f2"), tmp_path / "a.nc")
    assert back.surface_precip.dtype == np.float32


def untouchable() -> da.Array:
    """Lazy values that must not be computed."""

    def fail(block):
        raise AssertionError("computed")

    return da.zeros(3, chunks=1).map_blocks(fail, dtype="f4", meta=np.zeros(0, "f4"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda ds: ds.assign(mixed=("sample", np.array([1, "a", None], object))),
        lambda ds: ds.assign(complex=("sample", np.zeros(3, complex))),
        lambda ds: ds.assign_attrs(thing=object()),
        lambda ds: ds.assign({"a/b": ("sample", np.zeros(3))}),
    ],
)
@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_what_cannot_be_stored_is_told_before_anything_is_computed(tmp_path, spoil, name):
    ds = spoil(xr.Dataset({"surface_precip": ("sample", untouchable())}))
    with pytest.raises(InputError, match="netCDF"):
        write_rain(ds, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# ---- Zarr


@pytest.fixture
def zarr():
    return pytest.importorskip("zarr")


def test_zarr_is_written_where_the_name_says_so(tmp_path, zarr):
    rain = fake_swath("GMI", 60, 20).chunk(scan=(7, 20, 33)).rain.retrieve(tiny_model("GMI"))
    path = write_rain(rain.chunk(scan=(7, 20, 33)), tmp_path / "new" / "rain.zarr")
    assert (path / "zarr.json").is_file()
    with xr.open_zarr(path) as back:
        for name in rain.data_vars:
            np.testing.assert_array_equal(back[name], rain[name])
        np.testing.assert_array_equal(back.time, rain.time)
        assert back.retrieval_quality.dtype == np.uint8
        assert back.attrs["sensor"] == "GMI"
    assert [p.name for p in path.parent.iterdir()] == ["rain.zarr"]


def test_a_store_is_replaced_and_nothing_else_is(tmp_path, zarr):
    path = write_rain(small(number=1), tmp_path / "a.zarr")
    write_rain(small(number=2), path)
    with xr.open_zarr(path) as back:
        assert back.attrs["number"] == 2
    other = tmp_path / "notes.zarr"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        write_rain(small(), other)
    assert [p.read_text() for p in other.iterdir()] == ["mine"]
    (tmp_path / "file.zarr").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        write_rain(small(), tmp_path / "file.zarr")
    (tmp_path / "empty.zarr").mkdir()
    write_rain(small(), tmp_path / "empty.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.zarr", "empty.zarr", "file.zarr", "notes.zarr",
    ]  # fmt: skip
