"""Swaths on map grids: the nearest pixel, everywhere on the globe."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr
from pyresample import AreaDefinition, SwathDefinition, create_area_def, kd_tree

import xrain
from xrain.conventions import QUALITY_FLAGS
from xrain.errors import InputError
from xrain.regrid import area_of, resample, swath_spacing
from xrain.testing import fake_swath, tiny_model


@pytest.fixture(scope="module")
def rain() -> xr.Dataset:
    return xrain.retrieve(fake_swath("GMI", 60, 120), tiny_model("GMI", seed=1))


def area_over(ds: xr.Dataset, step: float = 0.25) -> AreaDefinition:
    lat, lon = ds.latitude.values, ds.longitude.values
    low = (np.floor(np.nanmin(lon)), np.floor(np.nanmin(lat)))
    high = (np.ceil(np.nanmax(lon)), np.ceil(np.nanmax(lat)))
    return create_area_def("box", "EPSG:4326", resolution=step, area_extent=(*low, *high))


def by_hand(ds: xr.Dataset, name: str, area: AreaDefinition, radius: float, fill: float):
    swath = SwathDefinition(ds.longitude.values, ds.latitude.values)
    return kd_tree.resample_nearest(swath, ds[name].values, area, radius, fill_value=fill)


def made_swath(latitude: np.ndarray, longitude: np.ndarray) -> xr.Dataset:
    """Swath whose value says where it is."""
    value = np.sin(np.deg2rad(latitude)) * 50 + np.cos(np.deg2rad(longitude))
    return xr.Dataset(
        {"value": (("scan", "pixel"), value)},
        {
            "latitude": (("scan", "pixel"), latitude),
            "longitude": (("scan", "pixel"), (longitude + 180) % 360 - 180),
        },
    )


@pytest.mark.parametrize("projection", ["EPSG:4326", "EPSG:3976"])
def test_values_are_those_of_pyresample(rain, projection):
    area = area_over(rain)
    if projection != "EPSG:4326":
        area = create_area_def(
            "polar", projection, center=(1.2e6, 2.2e6), resolution=2e4, shape=(60, 70)
        )
    made = resample(rain, area, radius_of_influence=15_000)
    assert made.surface_precip.dims == ("y", "x")
    for name, fill in (("surface_precip", np.nan), ("precip_flag", -1), ("retrieval_quality", 32)):
        expected = by_hand(rain, name, area, 15_000, fill)
        assert made[name].dtype == rain[name].dtype
        np.testing.assert_array_equal(made[name], expected)
    assert np.isfinite(made.surface_precip).any()
    lons, lats = area.get_lonlats()
    np.testing.assert_allclose(made.latitude, lats, rtol=1e-6)
    np.testing.assert_allclose(made.longitude, lons, rtol=1e-6)


def test_every_variable_comes_along_described(rain):
    made = resample(rain, area_over(rain))
    assert set(made.data_vars) == set(rain.data_vars)
    for name in rain.data_vars:
        assert made[name].attrs == rain[name].attrs
    assert set(made.surface_precip_quantile.dims) == {"quantile", "y", "x"}
    np.testing.assert_array_equal(made["quantile"], rain["quantile"])
    for k in range(3):
        expected = resample(rain.isel(quantile=[k]), area_over(rain))
        np.testing.assert_array_equal(
            made.surface_precip_quantile.isel(quantile=k),
            expected.surface_precip_quantile.isel(quantile=0),
        )
    assert made.attrs["model"] == "tiny"
    assert made.attrs["area"] == "box"


def test_brightness_temperatures_too():
    ds = fake_swath("MHS", 30, 40)
    made = resample(ds, "0.5deg")
    assert set(made.tb.dims) == {"y", "x", "channel"}
    assert made.channel.values.tolist() == ds.channel.values.tolist()
    inside = made.tb.isel(channel=2)
    expected = by_hand(ds.isel(channel=2), "tb", area_of(ds, "0.5deg"), 60_000, np.nan)
    found = np.isfinite(inside.values)
    assert found.any()
    np.testing.assert_array_equal(inside.values[found], expected[found])


def test_no_hole_opens_inside_a_swath():
    ds = fake_swath("GMI", 60)
    made = resample(ds, "0.05deg").tb.isel(channel=0).transpose("y", "x").values
    known = np.isfinite(made)
    for row in known[10:-10]:
        at = np.flatnonzero(row)
        if at.size:
            assert row[at[0] : at[-1] + 1].mean() > 0.99 or at.size < 20


def test_lazy_stays_lazy(rain):
    def refuse(*args, **kwargs):
        raise AssertionError("something was computed")

    chunked = rain.chunk(scan=20).assign_coords(
        {n: rain[n] for n in ("latitude", "longitude", "time")}
    )
    area = area_over(rain)
    with dask.config.set(scheduler=refuse):
        made = resample(chunked, area)
    assert all(v.chunks for v in made.data_vars.values())
    xr.testing.assert_equal(made.compute(), resample(rain, area))


def test_outside_the_swath_is_no_observation(rain):
    away = create_area_def("away", "EPSG:4326", resolution=1, area_extent=(100, 40, 110, 50))
    made = resample(rain, away)
    assert np.isnan(made.surface_precip).all()
    assert (made.precip_flag == -1).all()
    assert (made.retrieval_quality == QUALITY_FLAGS["no_usable_channel"]).all()


def test_missing_positions_are_left_out(rain):
    holes = rain.copy(deep=True)
    holes.latitude[20:30] = np.nan
    holes.longitude[20:30] = np.nan
    holes["surface_precip"] = holes.surface_precip.where(np.isfinite(holes.latitude))
    made = resample(holes, area_over(rain))
    assert np.isfinite(made.surface_precip).any()
    assert (
        np.isfinite(made.surface_precip).sum()
        < np.isfinite(resample(rain, area_over(rain)).surface_precip).sum()
    )


def test_across_the_dateline():
    latitude, longitude = np.meshgrid(
        np.arange(-5, 5, 0.1), np.arange(175, 185, 0.1), indexing="ij"
    )
    ds = made_swath(latitude, longitude)
    made = resample(ds, "0.2deg")
    assert made.sizes["x"] <= 52  # not once around the earth
    assert np.isfinite(made.value).all()
    value = np.sin(np.deg2rad(made.latitude)) * 50 + np.cos(np.deg2rad(made.longitude))
    np.testing.assert_allclose(made.value, value, atol=0.2)
    east = made.longitude.values % 360
    assert east.min() > 174
    assert east.max() < 186


@pytest.mark.parametrize("pole", [1, -1])
def test_over_a_pole(pole):
    x, y = np.meshgrid(np.arange(-300, 300, 10.0), np.arange(-300, 300, 10.0), indexing="ij")
    latitude = pole * (90 - np.hypot(x, y) / 111.2)
    ds = made_swath(latitude, np.rad2deg(np.arctan2(y, x)))
    made = resample(ds, "0.5deg")
    assert made.sizes["x"] == 720
    assert np.abs(made.latitude).max() <= 90
    assert np.isfinite(made.value.where(np.abs(made.latitude) > 88)).sum() > 2000
    polar = create_area_def("polar", "EPSG:3413" if pole > 0 else "EPSG:3976", center=(0, 0),
                            resolution=2e4, shape=(20, 20))  # fmt: skip
    assert np.isfinite(resample(ds, polar).value).all()


def test_spacing():
    latitude, longitude = np.meshgrid(np.arange(0, 3, 0.1), np.arange(0, 3, 0.05), indexing="ij")
    assert swath_spacing(latitude, longitude) == pytest.approx(11.1, abs=0.1)
    latitude[3] = np.nan
    latitude[7, 7] = 60.0
    assert swath_spacing(latitude, longitude) == pytest.approx(11.1, abs=0.1)
    nothing = np.full((4, 4), np.nan)
    assert swath_spacing(nothing, nothing) > 0


@pytest.mark.parametrize("area", ["no such area", "0deg", "-1deg", 42, None])
def test_an_unknown_area_is_told(rain, area):
    with pytest.raises(InputError, match=r"give an AreaDefinition or a resolution '0\.1deg'"):
        resample(rain, area)


def test_without_positions_nothing_can_be_done(rain):
    with pytest.raises(InputError, match="latitude is missing"):
        resample(rain.drop_vars("latitude"), "1deg")
    with pytest.raises(InputError, match=r"a swath \(scan, pixel\) is needed"):
        resample(rain.isel(scan=0), "1deg")
    lost = rain.assign_coords(latitude=rain.latitude * np.nan)
    with pytest.raises(InputError, match="no valid position"):
        resample(lost, "1deg")
