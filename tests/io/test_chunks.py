"""Reading rows in parallel equals the HDF5 library for every layout."""

from __future__ import annotations

import zlib

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xrain.io import chunks
from xrain.io.chunks import read_rows

SHAPE = (70, 11, 3)
LAYOUTS = {
    "whole": {"chunks": SHAPE, "compression": "gzip", "shuffle": True},
    "scans": {"chunks": (16, 11, 3), "compression": "gzip", "shuffle": True},
    "one scan": {"chunks": (1, 11, 3), "compression": "gzip"},
    "one channel": {"chunks": (16, 11, 1), "compression": "gzip"},
    "blocks": {"chunks": (16, 4, 2), "compression": "gzip", "shuffle": True},
    "lzf": {"chunks": (16, 11, 3), "compression": "lzf"},
    "checksum": {"chunks": (16, 11, 3), "compression": "gzip", "fletcher32": True},
    "plain chunks": {"chunks": (16, 11, 3)},
    "contiguous": {},
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("chunks") / "a.h5"
    with h5py.File(path, "w") as out:
        for kind in ("f4", "f8", "i1", "i2", ">f4", ">i2"):
            values = rng.integers(-99, 99, SHAPE).astype(kind)
            for name, options in LAYOUTS.items():
                out.create_dataset(f"{kind}/{name}", data=values, **options)
        gaps = out.create_dataset("gaps", SHAPE, "f4", fillvalue=-9, chunks=(16, 11, 3),
                                  compression="gzip")  # fmt: skip
        gaps[20:30] = 5.0
    with h5py.File(path) as opened:
        yield opened


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=st.sampled_from(["f4", "f8", "i1", "i2", ">f4", ">i2"]),
    layout=st.sampled_from(sorted(LAYOUTS)),
    rows=st.tuples(st.integers(0, 70), st.integers(0, 70)).map(sorted),
)
def test_any_rows_of_any_layout(file, kind, layout, rows):
    dataset, here = file[f"{kind}/{layout}"], slice(*rows)
    expected = dataset[here]
    for small in (0, 1 << 18):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunks, "SMALL", small)
            got = read_rows(dataset, here)
        np.testing.assert_array_equal(got, expected, strict=True)


def test_the_archives_layout_takes_the_parallel_way(file, monkeypatch):
    monkeypatch.setattr(chunks, "SMALL", 0)
    unpacked = []
    original = chunks._unpack
    monkeypatch.setattr(chunks, "_unpack", lambda *a: (unpacked.append(1), original(*a)))
    read_rows(file["f4/scans"], slice(10, 40))
    assert len(unpacked) == 3


def test_chunks_that_were_never_written_hold_the_fill_value(file, monkeypatch):
    monkeypatch.setattr(chunks, "SMALL", 0)
    got = read_rows(file["gaps"], slice(0, 70))
    assert (got[20:30] == 5).all()
    assert (got[:20] == -9).all()
    assert (got[30:] == -9).all()


@pytest.mark.parametrize("small", [0, 1 << 18], ids=["threads", "alone"])
@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"not deflated", ValueError),
        (zlib.compress(b"\0" * 100), ValueError),
        (zlib.compress(b"\0" * 50_000_000), ValueError),
        (zlib.compress(b"\0" * 4224)[:-8], ValueError),
    ],
    ids=["other bytes", "too short", "a bomb", "cut"],
)
def test_a_damaged_chunk_does_not_pass(raw, error, small, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "SMALL", small)
    path = tmp_path / "damaged.h5"
    with h5py.File(path, "w") as out:
        data = out.create_dataset("x", data=np.arange(2310.0).reshape(SHAPE), chunks=(16, 11, 3),
                                  compression="gzip")  # fmt: skip
        data.id.write_direct_chunk((16, 0, 0), raw)
    with h5py.File(path) as again, pytest.raises(error):
        read_rows(again["x"], slice(0, 70))


def test_a_chunk_that_skipped_its_filters_is_read(tmp_path):
    values = np.arange(2112, dtype="f4").reshape(64, 11, 3)
    for shuffle in (False, True):
        path = tmp_path / f"{shuffle}.h5"
        with h5py.File(path, "w") as out:
            data = out.create_dataset("x", data=values, chunks=(16, 11, 3), compression="gzip",
                                      shuffle=shuffle)  # fmt: skip
            data.id.write_direct_chunk((16, 0, 0), values[16:32].tobytes(), 3 if shuffle else 1)
        with h5py.File(path) as again:
            np.testing.assert_array_equal(again["x"][:], values)
            np.testing.assert_array_equal(read_rows(again["x"], slice(0, 64)), values)
