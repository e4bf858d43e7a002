"""Files that nobody vouches for: a right result or a clear error, nothing read from elsewhere."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zlib
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.conventions import QUALITY_FILL
from xrain.errors import FileFormatError, XrainError
from xrain.io import hdf5
from xrain.io.write_radar import RadarSwath, write_2a_radar
from xrain.sensors import get_sensor
from xrain.simulate.radar import radar_of
from xrain.testing import write_fake_l1c


@pytest.fixture
def gmi(tmp_path):
    return write_fake_l1c(tmp_path / "a.HDF5", "GMI", scans=12)


# ---- file objects


def opened(kind: str, path: Path):
    if kind == "file":
        return path.open("rb")
    if kind == "fsspec":
        return fsspec.open(f"file://{path}").open()
    content = path.read_bytes()
    return {"BytesIO": io.BytesIO, "bytes": bytes, "memory": memoryview}[kind](content)


@pytest.mark.parametrize("kind", ["file", "fsspec", "BytesIO", "bytes", "memory"])
def test_open_files_and_bytes_are_read(gmi, kind):
    want = xrain.open_l1c(gmi).load()
    got = xr.open_dataset(opened(kind, gmi), engine="gpm-l1c").load()
    for name in ("tb", "latitude", "time", "earth_incidence_angle"):
        np.testing.assert_array_equal(got[name], want[name])
    if kind != "memory":
        assert xrain.open_l1c(opened(kind, gmi)).tb.equals(want.tb)
        assert xrain.open_l1c([opened(kind, gmi)], chunks={}).tb.load().equals(want.tb)
    tree = xr.open_datatree(opened(kind, gmi), engine="gpm-l1c")
    np.testing.assert_array_equal(tree["S1"]["tb"], want.tb[..., :9])


def test_a_file_in_memory_travels_between_processes(gmi):
    lazy = xr.open_dataset(io.BytesIO(gmi.read_bytes()), engine="gpm-l1c", chunks={})
    assert pickle.loads(pickle.dumps(lazy)).tb.load().equals(lazy.tb.load())


def test_an_open_file_is_named_in_messages(gmi):
    with gmi.open("rb") as stream:
        ds = xrain.open_l1c(stream)
        assert ds.attrs["granule"] == "a.HDF5"
        assert xrain.open_l1c(stream).tb.equals(ds.tb)


# ---- what is no file, or not to be had


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "1C.pipe.HDF5")
    for path in (tmp_path / "1C.pipe.HDF5", "/dev/zero"):
        with pytest.raises(FileFormatError, match="is a pipe or a device, not a file"):
            xrain.open_l1c(path)
        with pytest.raises(FileFormatError, match="is a pipe or a device, not a file"):
            xrain.open_reference(path)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_cannot_be_is_told(name):
    with pytest.raises(FileFormatError, match="no such file"):
        xrain.open_l1c(name)


def test_a_file_that_is_locked_is_not_called_damaged(gmi):
    code = f"import h5py; f = h5py.File({str(gmi)!r}, 'r+'); print(1, flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1)
    try:
        assert other.stdout.readline()
        with pytest.raises(FileFormatError, match=r"locked by another process.*HDF5_USE_FILE"):
            xrain.open_l1c(gmi)
    finally:
        other.communicate(b"\n")
    assert xrain.open_l1c(gmi).sizes["scan"] == 12


# ---- other files


def replaced(path, name, make):
    with h5py.File(path, "r+") as file:
        item = file[name]
        shape, dtype = item.shape, item.dtype
        del file[name]
        make(file, name, shape, dtype)
    return path


def external(file, name, shape, dtype):
    size = int(np.prod(shape)) * dtype.itemsize
    file.create_dataset(name, shape, dtype, external=[("/proc/self/environ", 0, size)])


def virtual(file, name, shape, dtype):
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(file.filename, name, shape)
    file.create_virtual_dataset(name, layout)


def link(file, name, *_):
    file[name] = h5py.ExternalLink("/etc/passwd", "/x")


@pytest.mark.parametrize("make", [external, virtual, link])
@pytest.mark.parametrize("name", ["S1/Tc", "S2/Latitude", "S1/ScanTime/Year", "S1/Quality"])
def test_data_in_other_files_are_not_read(gmi, name, make):
    replaced(gmi, name, make)
    with pytest.raises(FileFormatError, match=r"(other|another) file.* not read"):
        xrain.open_l1c(gmi)


def test_a_group_in_another_file_is_not_read(gmi):
    with h5py.File(gmi, "r+") as file:
        del file["S2"]
        file["S2"] = h5py.ExternalLink(str(gmi), "/S1")
    with pytest.raises(FileFormatError, match="S2 lies in another file"):
        xrain.open_l1c(gmi)


# ---- sizes


@pytest.mark.parametrize("shape", [(1_000_000_000, 221, 9), (100_001, 1, 9), (40_000, 221, 9)])
def test_more_pixels_than_any_granule_has_are_refused(gmi, shape):
    with h5py.File(gmi, "r+") as file:
        for name in ("Tc", "Latitude", "Longitude"):
            del file[f"S1/{name}"]
            size = shape if name == "Tc" else shape[:2]
            file.create_dataset(f"S1/{name}", size, "f4", chunks=True)
    with pytest.raises(FileFormatError, match=r"S1/Tc has .* pixels; a granule has at most"):
        xrain.open_l1c(gmi)


def test_a_chunk_larger_than_memory_is_refused(gmi):
    def make(file, name, shape, dtype):
        most = (None, *shape[1:])
        file.create_dataset(name, shape, dtype, chunks=(100_000, *shape[1:]), maxshape=most)

    replaced(gmi, "S1/Tc", make)
    with pytest.raises(FileFormatError, match="chunks larger than 256 MiB"):
        xrain.open_l1c(gmi)


@pytest.mark.parametrize("kind", [h5py.string_dtype(), "c8", [("a", "f4")]])
def test_what_holds_no_numbers_is_told(gmi, kind):
    replaced(gmi, "S1/Tc", lambda f, n, shape, *_: f.create_dataset(n, shape, kind))
    with pytest.raises(FileFormatError, match=r"S1/Tc holds .*; numbers are needed"):
        xrain.open_l1c(gmi)


def test_a_header_of_gigabytes_is_not_read(gmi, monkeypatch):
    monkeypatch.setattr(hdf5, "LONGEST_TEXT", 100)
    with pytest.raises(FileFormatError, match="attribute FileHeader is too long"):
        xrain.open_l1c(gmi)


# ---- damage


def test_what_the_library_raises_is_told_as_damage():
    for error in (KeyError("x"), RuntimeError("a\nb"), ValueError(""), MemoryError(), TypeError()):
        told = pytest.raises(FileFormatError, match=r"x: S1 cannot be read.*fetch it again")
        with told, hdf5.tell_damage("x", "S1"):
            raise error
    with pytest.raises(XrainError, match="as it is"), hdf5.tell_damage("x"):
        raise XrainError("as it is")


def test_a_chunk_that_unpacks_to_too_little_is_told_eagerly_and_lazily(gmi):
    with h5py.File(gmi, "r+") as file:
        item = file["S1/Tc"]
        _, raw = item.id.read_direct_chunk((0, 0, 0))
        item.id.write_direct_chunk((0, 0, 0), raw[: len(raw) // 2])
    for chunks in (None, {}):
        ds = xrain.open_l1c(gmi, chunks=chunks)
        with pytest.raises(FileFormatError, match="S1 cannot be read, the file is damaged"):
            ds.tb.load()


def test_a_part_of_the_time_that_unpacks_to_too_little_is_told(gmi):
    with h5py.File(gmi, "r+") as file:
        item = file["S1/ScanTime/Minute"]
        assert item.compression == "gzip"
        item.id.write_direct_chunk((0,), zlib.compress(bytes(1)))
    with pytest.raises(FileFormatError, match="the file is damaged"):
        xrain.open_l1c(gmi)


@pytest.mark.parametrize("field", ["Tc", "Latitude", "Longitude"])
def test_a_field_that_was_never_written_is_told(gmi, field):
    def make(file, name, shape, dtype):
        file.create_dataset(name, shape, dtype, chunks=True, compression="gzip")

    replaced(gmi, f"S1/{field}", make)
    with pytest.raises(FileFormatError, match=f"S1/{field} was never written"):
        xrain.open_l1c(gmi)


def test_quality_of_another_shape_is_left_out(gmi):
    def make(file, name, shape, dtype):
        file.create_dataset(name, data=np.zeros((*shape, 2), dtype))

    replaced(gmi, "S1/Quality", make)
    with pytest.warns(UserWarning, match=r"S1/Quality has shape .* left out"):
        ds = xrain.open_l1c(gmi)
    assert (ds.quality.isel(swath=0) == QUALITY_FILL).all()
    assert np.isfinite(ds.tb.values).any()


def test_a_granule_without_minutes_has_no_times(gmi):
    with h5py.File(gmi, "r+") as file:
        del file["S1/ScanTime/Minute"]
    assert np.isnat(xrain.open_l1c(gmi).time.values).all()


def test_a_terminal_is_not_commanded(gmi):
    with h5py.File(gmi, "r+") as file:
        text = file.attrs["FileHeader"].decode()
        text = text.replace("SatelliteName=GPM", "SatelliteName=GPM\x1b]52;c;ZXZpbA==\x07\x9b")
        text += "a/b=1;\n=2;\n" + "k" * 200 + "=3;\n"
        file.attrs["FileHeader"] = np.bytes_(text.encode("latin1"))
    attrs = xrain.open_l1c(gmi).attrs
    assert all(v.isprintable() for v in map(str, attrs.values()))
    assert all(k.isidentifier() and len(k) <= 100 for k in attrs)


@pytest.mark.parametrize("number", ["9" * 5000, "\u00b2", "-", "", "1e5"])
def test_a_strange_orbit_is_none(gmi, number):
    with h5py.File(gmi, "r+") as file:
        text = file.attrs["FileHeader"].decode()
        text = text.replace("GranuleNumber=000001", f"GranuleNumber={number}")
        file.attrs["FileHeader"] = np.bytes_(text.encode())
    assert xrain.open_l1c(gmi).attrs["orbit"] == -1


@pytest.mark.parametrize("make", [external, virtual, link])
def test_rain_in_other_files_is_not_read(tmp_path, make):
    grid = np.zeros((4, 5))
    swath = RadarSwath(
        time=np.datetime64("2020-07-01", "ns") + np.arange(4) * np.timedelta64(1, "s"),
        latitude=grid, longitude=grid, rate=grid, convective=grid, freezing_level=grid,
        land=grid, zenith_angle=grid, sun_local_time=grid,
    )  # fmt: skip
    path = write_2a_radar(tmp_path / "r.HDF5", swath, radar=radar_of(get_sensor("gmi")),
                          platform="GPM", orbit=1)  # fmt: skip
    replaced(path, "FS/SLV/precipRateNearSurface", make)
    with pytest.raises(FileFormatError, match=r"(other|another) file.* not read"):
        xrain.open_reference(path)


def test_a_heap_that_the_library_would_walk_for_ever_is_told(tmp_path):
    path = write_fake_l1c(tmp_path / "a.nc", "MHS", scans=6)
    data = path.read_bytes()
    place = data.index(b"GCOL")
    assert data.find(b"GCOL", place + 1) < 0 or xrain.open_l1c(path).sizes["scan"] == 6
    for start in (place + 16, place + 200, place + 8):
        path.write_bytes(data[:start] + bytes(3000) + data[start + 3000 :])
        with pytest.raises(FileFormatError, match=r"a\.nc: .*damaged"):
            xrain.open_l1c(path)


def test_a_file_object_that_is_left_open_does_not_crash_the_end(gmi):
    code = f"""
import fsspec, xarray as xr
ds = xr.open_dataset(fsspec.open("file://{gmi}").open(), engine="gpm-l1c")
print(float(ds.tb.mean()) > 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
