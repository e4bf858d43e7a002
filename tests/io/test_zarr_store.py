"""Only a store of the same kind is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr

import xrain
from xrain.errors import OutputError
from xrain.io.write_rain import write_rain
from xrain.io.zarr_store import store_attributes
from xrain.testing import fake_swath, tiny_model

zarr = pytest.importorskip("zarr")


@pytest.fixture(scope="module")
def rain() -> xr.Dataset:
    return xrain.retrieve(fake_swath("GMI", 12, 16), tiny_model(seed=1))


def test_an_older_store_of_rain_is_replaced(rain: xr.Dataset, tmp_path: Path) -> None:
    for scans in (12, 8):
        write_rain(rain.isel(scan=slice(scans)), tmp_path / "a.zarr")
        with xr.open_zarr(tmp_path / "a.zarr") as ds:
            assert ds.sizes["scan"] == scans


@pytest.mark.parametrize("kind", ["archive", "notes", "nested"])
def test_other_folders_are_left_alone(rain: xr.Dataset, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    if kind == "archive":
        zarr.open_group(path, mode="w", attributes={"sensor": "GMI"}).create_array(
            "surface_precip", shape=(3,), dtype="f4"
        )
    else:
        write_rain(rain, path)
        if kind == "notes":
            (path / "notes.txt").write_text("of mine")
        else:
            (path / "more").mkdir()
            (path / "more" / "notes.txt").write_text("of mine")
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    with pytest.raises(OutputError, match="left alone"):
        write_rain(rain, path)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before


def test_what_is_no_store_has_no_attributes(tmp_path: Path) -> None:
    assert store_attributes(tmp_path) == {}
    (tmp_path / "zarr.json").write_text("{")
    assert store_attributes(tmp_path) == {}
    (tmp_path / "zarr.json").write_text("[1]")
    assert store_attributes(tmp_path) == {}
    (tmp_path / "zarr.json").write_text('{"attributes": {"title": "x"}}')
    assert store_attributes(tmp_path) == {"title": "x"}
