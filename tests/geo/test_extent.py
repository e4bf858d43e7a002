"""Boxes of degrees: what lies in them, on swaths, tables and grids."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.errors import InputError, NoOverlapError
from xrain.geo.extent import crop, in_extent
from xrain.testing import fake_swath, tiny_model


@pytest.fixture(scope="module")
def rain() -> xr.Dataset:
    return xrain.retrieve(fake_swath("GMI", 60, 120), tiny_model("GMI", seed=1))


def middle_box(ds: xr.Dataset) -> tuple[float, float, float, float]:
    lat, lon = ds["latitude"].values, ds["longitude"].values
    return (lon[30, 60] - 1, lon[30, 60] + 1, lat[30, 60] - 0.5, lat[30, 60] + 0.5)


def test_every_pixel_of_the_box_is_kept_and_few_others(rain: xr.Dataset) -> None:
    box = middle_box(rain)
    cut = rain.rain.crop(box)
    inside = in_extent(rain["latitude"], rain["longitude"], box)
    left = in_extent(cut["latitude"], cut["longitude"], box)
    assert 20 < inside.sum() == left.sum()
    assert left.any(axis=1).all()
    assert left.any(axis=0).all()
    assert np.array_equal(rain["surface_precip"].values[inside], cut["surface_precip"].values[left])
    assert cut["time"].size == cut.sizes["scan"] < 40


def test_two_passes_through_one_box_are_both_kept(rain: xr.Dataset) -> None:
    away = rain.assign_coords(longitude=(rain["longitude"] + 90) % 360 - 180)
    three = xr.concat([rain, away, rain], "scan")
    cut = crop(three, middle_box(rain))
    assert cut.sizes["scan"] == 2 * crop(rain, middle_box(rain)).sizes["scan"]


def test_the_date_line_and_longitudes_to_360(rain: xr.Dataset) -> None:
    west, east, south, north = middle_box(rain)
    wanted = crop(rain, (west, east, south, north))
    shift = 180 - rain["longitude"].values[30, 60]
    moved = rain.assign_coords(longitude=(rain["longitude"] + shift + 180) % 360 - 180)
    cut = crop(moved, ((west + shift), (east + shift) - 360, south, north))
    assert cut["surface_precip"].equals(wanted["surface_precip"].drop_vars(
        "longitude").assign_coords(longitude=cut["longitude"]))  # fmt: skip
    positive = rain.assign_coords(longitude=rain["longitude"] % 360)
    assert crop(positive, (west, east, south, north)).sizes == wanted.sizes


def test_it_stays_lazy_and_other_names_of_positions_do(rain: xr.Dataset) -> None:
    box = middle_box(rain)
    lazy = crop(rain.chunk({"scan": 10}), box)
    assert lazy["surface_precip"].chunks is not None
    named = rain.rename(latitude="lat", longitude="lon").reset_coords(["lat", "lon"])
    assert crop(named, box).sizes == lazy.sizes


def test_missing_positions_are_in_no_box(rain: xr.Dataset) -> None:
    bad = rain.copy()
    bad["latitude"] = rain["latitude"].where(rain["scan"] < 0) if "scan" in rain.coords else (
        rain["latitude"] * np.nan
    )  # fmt: skip
    with pytest.raises(NoOverlapError, match="nothing lies in"):
        crop(bad, (-180, 180, -90, 90))
    assert not in_extent(-9999.9, -9999.9, (-180, 180, -90, 90))
    assert not in_extent(0.0, 1e30, (-180, 180, -90, 90))


def test_a_table_of_pixels(rain: xr.Dataset) -> None:
    table = rain.stack(sample=("scan", "pixel"), create_index=False)
    box = middle_box(rain)
    assert crop(table, box).sizes["sample"] == in_extent(
        rain["latitude"], rain["longitude"], box
    ).sum()  # fmt: skip


def degree_grid(first: float) -> xr.Dataset:
    lat, lon = np.arange(-89.5, 90), first + 0.5 + np.arange(360.0)
    ds = xr.Dataset(
        {"surface_precip": (("time", "latitude", "longitude"),
                            np.arange(180 * 360.0).reshape(1, 180, 360))},
        {"latitude": lat, "longitude": ("longitude", lon, {"bounds": "longitude_bnds"})},
    )  # fmt: skip
    return ds.assign_coords(longitude_bnds=(("longitude", "bnds"),
                                            np.stack([lon - 0.5, lon + 0.5], axis=1)))  # fmt: skip


@pytest.mark.parametrize(("first", "box"), [
    (-180.0, (170, -170, 0, 5)), (0.0, (-10, 10, 0, 5)), (-180.0, (10, 30, 0, 5)),
])  # fmt: skip
def test_a_grid_of_degrees_across_its_seam(first: float, box: tuple[float, ...]) -> None:
    grid = degree_grid(first)
    cut = crop(grid, box)
    assert cut["surface_precip"].shape == (1, 5, 20)
    assert np.allclose(np.diff(cut["longitude"]), 1.0)
    assert np.allclose((cut["longitude"] - box[0]) % 360, np.arange(20) + 0.5)
    assert np.allclose(cut["longitude_bnds"].mean("bnds"), cut["longitude"])
    lat, lon = cut["latitude"].values[2], cut["longitude"].values[3]
    value = grid["surface_precip"].sel(latitude=lat, longitude=(lon - first) % 360 + first)
    assert value.item() == cut["surface_precip"].values[0, 2, 3]


def test_a_resampled_grid_stays_regular(rain: xr.Dataset) -> None:
    grid = rain.rain.resample("0.25deg")
    cut = grid.rain.crop(middle_box(rain))
    assert np.allclose(np.diff(cut["x"]), 0.25)
    assert cut.sizes["x"] in (7, 8, 9)
    assert cut["crs"].attrs == grid["crs"].attrs


@pytest.mark.parametrize("box", [(0, 10, 20, 10), (0, 0, 0, 1), (0, 400, 0, 1), (0, 1, 0, np.nan)])
def test_what_is_no_box_is_told(rain: xr.Dataset, box: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="west, east, south, north"):
        rain.rain.crop(box)


def test_positions_are_needed(rain: xr.Dataset) -> None:
    with pytest.raises(InputError, match="latitude and longitude are needed"):
        crop(rain.drop_vars("latitude"), (0, 1, 0, 1))
