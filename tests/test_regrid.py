"""Swaths on map grids and on other swaths, by every method, everywhere on the globe."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from pyresample import AreaDefinition, SwathDefinition, create_area_def, kd_tree

import xrain
from xrain.conventions import QUALITY_FLAGS
from xrain.errors import InputError
from xrain.geo.cells import swath_of
from xrain.regrid import METHODS, area_of, resample
from xrain.regrid.areas import named_area
from xrain.regrid.average import area_shares
from xrain.regrid.target import cell_size, target_of
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
        assert made[name].attrs == {**rain[name].attrs, "grid_mapping": "crs"}
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
    area = create_area_def("wide", "EPSG:4326", resolution=1, area_extent=(-60, -80, 60, -40))
    made = resample(rain, area)
    unseen = made.surface_precip.isnull()
    assert 0.5 < unseen.mean() < 1
    assert (made.precip_flag.where(unseen, -1) == -1).all()
    none = QUALITY_FLAGS["no_usable_channel"]
    assert (made.retrieval_quality.where(unseen, none) == none).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lazy", [False, True])
def test_an_area_that_does_not_meet_the_swath_is_told(rain, method, lazy):
    away = create_area_def("away", "EPSG:4326", resolution=1, area_extent=(100, 40, 110, 50))
    with pytest.raises(InputError, match=r"'away' \(40.5 to 49.5° N, .* does not meet the swath"):
        resample(rain.chunk() if lazy else rain, away, method)


def test_an_area_just_beside_the_swath_is_told_too():
    latitude, longitude = np.meshgrid(np.arange(0, 8, 0.1), np.arange(0, 8, 0.1), indexing="ij")
    ds = made_swath(latitude, longitude)
    near = create_area_def("near", "EPSG:4326", resolution=0.1, area_extent=(8.1, 0, 9, 8))
    with pytest.raises(InputError, match="does not meet the swath"):
        resample(ds, near)
    with pytest.raises(InputError, match="does not meet the swath"):
        resample(ds.chunk(), near).compute()


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


def test_steps_of_a_swath_are_local_and_pass_over_gaps():
    latitude, longitude = np.meshgrid(np.arange(0, 3, 0.1), np.arange(0, 3, 0.05), indexing="ij")
    swath = swath_of(latitude, longitude)
    np.testing.assert_allclose(swath.spacing, 11.12, atol=0.05)
    assert swath.reach == pytest.approx(1.2 * 11.12, abs=0.1)
    np.testing.assert_allclose(swath.area[:, 0], 11.12 * 5.56, rtol=3e-3)
    latitude[3] = np.nan
    latitude[15:] += 4  # the next granule
    swath = swath_of(latitude, longitude)
    known = np.isfinite(swath.points[..., 0])
    np.testing.assert_allclose(swath.spacing[known], 11.12, atol=0.05)
    nothing = np.full((4, 4), np.nan)
    assert swath_of(nothing, nothing).reach > 0


@pytest.mark.parametrize("area", ["no such area", "0deg", "-1deg", "0km", 42, None])
def test_an_unknown_area_is_told(rain, area):
    with pytest.raises(InputError, match="give an AreaDefinition, the name of a Satpy area, a res"):
        resample(rain, area)


def test_an_unknown_method_is_told(rain):
    with pytest.raises(InputError, match="unknown method 'cubic'; there are nearest, bilinear"):
        resample(rain, "1deg", "cubic")
    with pytest.raises(InputError, match="footprint=-3"):
        resample(rain, "1deg", "gaussian", footprint=-3)
    with pytest.raises(InputError, match="min_coverage=2"):
        resample(rain, "1deg", "average", min_coverage=2)
    with pytest.raises(InputError, match="'ewa' needs an area"):
        resample(rain, rain, "ewa")


def test_a_grid_too_fine_is_refused_before_it_is_made(rain):
    with pytest.raises(InputError, match="coarser resolution"):
        resample(rain, "1m")


def test_without_positions_nothing_can_be_done(rain):
    with pytest.raises(InputError, match="latitude is missing"):
        resample(rain.drop_vars("latitude"), "1deg")
    with pytest.raises(InputError, match=r"a swath \(scan, pixel\) is needed"):
        resample(rain.isel(scan=0), "1deg")
    lost = rain.assign_coords(latitude=rain.latitude * np.nan)
    with pytest.raises(InputError, match="no valid position"):
        resample(lost, "1deg")


# ---- areas


def test_satpy_areas_are_known_by_name_without_satpy(monkeypatch, tmp_path):
    import sys

    before = "satpy" in sys.modules
    assert named_area("worldeqc30km").shape == (410, 820)
    assert ("satpy" in sys.modules) == before
    with pytest.raises(InputError, match=r"'euro_l' \(did you mean .*eurol"):
        named_area("euro_l")
    own = "mine:\n  projection: EPSG:4326\n  shape: [10, 20]\n  area_extent: [0, 0, 20, 10]\n"
    (tmp_path / "areas.yaml").write_text(own)
    monkeypatch.setenv("SATPY_CONFIG_PATH", str(tmp_path))
    assert named_area("mine").shape == (10, 20)


def test_an_area_is_found_by_name():
    ds = fake_swath("GMI", 40, 60)
    made = resample(ds, "worldeqc30km")
    assert made.attrs["area"] == "worldeqc30km"
    assert np.isfinite(made.tb.isel(channel=0)).sum() > 50


def test_a_resolution_in_km_is_equal_area_over_the_swath():
    ds = fake_swath("MHS", 60)
    area = area_of(ds, "20km")
    assert "Lambert Azimuthal Equal Area" in area.crs.coordinate_operation.method_name
    assert area.pixel_size_x == pytest.approx(20_000)
    made = resample(ds, "20km").tb.isel(channel=0)
    covered = float(np.isfinite(made).sum()) * 400
    swath = swath_of(ds.latitude.values, ds.longitude.values)
    assert covered == pytest.approx(swath.area.sum(), rel=0.02)
    whole = fake_swath("MHS", 1800, 30)
    assert area_of(whole, "50km").crs.to_dict()["proj"] == "cea"
    assert cell_size(target_of(whole, "50km")) == pytest.approx(50, rel=0.02)


def test_onto_another_swath():
    fine = fake_swath("GMI", 120, 221)
    i, j = np.meshgrid(np.arange(40), np.arange(40), indexing="ij")
    middle = [float(fine[n][60, 110]) for n in ("latitude", "longitude")]
    coarse = made_swath(middle[0] + 0.2 * (i - 20), middle[1] + 0.4 * (j - 20) + 0.1 * i)
    coarse["time"] = ("scan", fine.time.values[:40])
    coarse = coarse.set_coords("time")
    wave = np.sin(np.deg2rad(fine.latitude) * 40)
    ds = fine[["latitude", "longitude"]].assign(wave=wave)
    expected = np.sin(np.deg2rad(coarse.latitude) * 40)
    swath = SwathDefinition(coarse.longitude.values, coarse.latitude.values)
    for method in ("nearest", "bilinear", "average", "gaussian"):
        made = resample(ds, coarse, method)
        assert made.wave.dims == ("scan", "pixel")
        np.testing.assert_array_equal(made.time, coarse.time)
        assert 200 < int(made.wave.notnull().sum()) < 1600
        assert float(abs(made.wave - expected).max()) < {"average": 0.12, "gaussian": 0.3}.get(
            method, 0.08
        )
        bare = resample(ds, swath, method)
        np.testing.assert_array_equal(bare.wave, made.wave)


# ---- methods


def smooth(ds: xr.Dataset) -> xr.DataArray:
    """Field that varies slowly over the globe, seams and poles alike."""
    lat, lon = np.deg2rad(ds.latitude), np.deg2rad(ds.longitude)
    return 2 + np.sin(lat) * 3 + np.cos(lat) * np.cos(lon - 1)


PLACES = {
    "tropics": lambda i, j: (0.1 * i, 20 + 0.1 * j + 0.04 * i),
    "dateline": lambda i, j: (40 + 0.1 * i, 178 + 0.1 * j - 0.05 * i),
    "pole": lambda i, j: (
        90 - np.hypot(i - 20, j - 20) * 0.1,
        np.rad2deg(np.arctan2(j - 20.0, i - 20.0)),
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("step", ["0.05deg", "0.3deg", "25km"])
def test_a_smooth_field_comes_through_everywhere(method, place, step):
    i, j = np.meshgrid(np.arange(41), np.arange(41), indexing="ij")
    latitude, longitude = PLACES[place](i, j)
    ds = made_swath(latitude, longitude)
    ds["field"] = smooth(ds)
    made = resample(ds, step, method)
    assert float(abs(made.field - smooth(made)).max()) < 0.02
    swath = swath_of(ds.latitude.values, ds.longitude.values)
    target = target_of(ds, step)
    weights = np.asarray(area_shares(swath, target).sum(axis=1)).reshape(target.shape)
    inside = weights > 0.8 * weights.max(initial=1)
    if place != "pole" and step != "25km":
        assert np.isfinite(made.field.values[inside]).all()


@pytest.mark.parametrize("sensor", ["GMI", "MHS", "SSMIS"])
@pytest.mark.parametrize("method", ["average", "gaussian", "ewa"])
@pytest.mark.parametrize("step", ["0.1deg", "0.5deg"])
def test_totals_are_kept(sensor, method, step):
    ds = fake_swath(sensor, 240)
    rng = np.random.default_rng(3)
    rate = rng.gamma(0.6, 2.0, ds.latitude.shape)
    rate = rate + np.roll(rate, 1, 0) + np.roll(rate, 2, 0)
    rate = (rate + np.roll(rate, 1, 1)).astype("f4")
    ds = ds[["latitude", "longitude"]].assign(rate=(("scan", "pixel"), rate))
    ds.attrs["sensor"] = sensor
    made = resample(ds, step, method)
    swath = swath_of(ds.latitude.values, ds.longitude.values)
    size = np.deg2rad(float(made.x[1] - made.x[0])) * 6371
    cells = np.cos(np.deg2rad(made.latitude)) * size**2
    total = float((made.rate * cells).sum()) / float((cells * made.rate.notnull()).sum())
    assert total == pytest.approx(float((rate * swath.area).sum() / swath.area.sum()), rel=0.01)
    assert float((cells * made.rate.notnull()).sum()) == pytest.approx(
        float(swath.area.sum()), rel=0.01 if step == "0.1deg" else 0.03
    )


def test_the_average_is_the_mean_over_the_area_of_a_cell():
    latitude, longitude = np.meshgrid(np.arange(8) + 0.5, np.arange(8) + 0.5, indexing="ij")
    ds = made_swath(latitude[::-1], longitude)
    ds["value"] = ds.value * 0 + np.arange(64).reshape(8, 8)
    area = create_area_def("a", "EPSG:4326", area_extent=(0, 0, 8, 8), shape=(4, 4))
    made = resample(ds, area, "average").value
    blocks = ds.value.values.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(made, blocks, atol=0.03)  # pixels shrink towards the pole
    ds["value"][0:2, 0] = np.nan
    half = resample(ds, area, "average", min_coverage=0.45).value
    assert half[0, 0] == pytest.approx(np.mean([1, 9]), abs=0.03)
    assert np.isnan(resample(ds, area, "average", min_coverage=0.8).value[0, 0])


def test_a_gaussian_weight_is_that_of_an_antenna():
    latitude, longitude = np.meshgrid(np.arange(-2, 2, 0.1), np.arange(-2, 2, 0.1), indexing="ij")
    ds = made_swath(latitude, longitude)
    spike = np.zeros((40, 40))
    spike[20, 20] = 1.0
    ds["value"] = (("scan", "pixel"), spike)
    made = resample(ds, "0.05deg", "gaussian", footprint=40.0).value
    distance = np.hypot(made.latitude, made.longitude) * 111.2
    peak = float(made.max())
    near = distance < 44
    expected = peak * np.exp(-4 * np.log(2) * (distance / 40) ** 2)
    np.testing.assert_allclose(made.where(near), expected.where(near), atol=0.05 * peak)
    assert float(made.where(distance > 50).max()) == 0


@pytest.mark.parametrize("method", METHODS)
def test_flags_and_masks_take_the_nearest_pixel(rain, method):
    shape = rain.precip_flag.shape
    number = (rain.precip_flag.dims, np.arange(rain.precip_flag.size).reshape(shape))
    masked = rain.assign(
        mask=rain.surface_precip > 0.1,
        when=rain.time + 0 * rain.precip_flag,
        number=number,  # no two pixels alike: a flag that is the same all around hides a wrong one
    )
    made = resample(masked, "0.1deg", method)
    assert made.precip_flag.dtype == rain.precip_flag.dtype
    assert set(np.unique(made.precip_flag)) <= {-1, 0, 1}
    assert set(np.unique(made.retrieval_quality)) <= {*np.unique(rain.retrieval_quality), 32}
    assert made["mask"].dtype == bool
    when = made.when.values
    assert set(when[~np.isnat(when)]) <= set(rain.time.values)
    seen = np.isfinite(made.surface_precip)
    near = resample(masked, "0.1deg", radius_of_influence=60_000)
    for name in ("precip_flag", "number"):
        np.testing.assert_array_equal(made[name].where(seen), near[name].where(seen))


@pytest.mark.parametrize("method", ["bilinear", "ewa", "gaussian"])
def test_a_missing_pixel_stays_missing(method):
    latitude, longitude = np.meshgrid(np.arange(0, 3, 0.1), np.arange(0, 3, 0.1), indexing="ij")
    ds = made_swath(latitude, longitude)
    ds["value"][10, 12] = np.nan
    made = resample(ds, "0.02deg", method).value
    hole = made.sel(y=slice(1.04, 0.96), x=slice(1.16, 1.24))
    assert hole.size >= 9
    assert np.isnan(hole).all()
    assert np.isfinite(made.sel(y=slice(0.9, 0.2), x=slice(0.2, 2.8))).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_lazy(rain, method):
    def refuse(*args, **kwargs):
        raise AssertionError("something was computed")

    chunked = rain.chunk(scan=20).assign_coords(
        {n: rain[n] for n in ("latitude", "longitude", "time")}
    )
    with dask.config.set(scheduler=refuse):
        made = resample(chunked, "0.25deg", method)
    xr.testing.assert_equal(made.compute(), resample(rain, "0.25deg", method))


def test_bilinear_agrees_with_pyresample_inside():
    from pyresample.bilinear import NumpyBilinearResampler

    latitude, longitude = np.meshgrid(np.arange(3, 0, -0.1), np.arange(0, 3, 0.1), indexing="ij")
    ds = made_swath(latitude + 0.02 * longitude, longitude)
    rng = np.random.default_rng(0)
    ds["value"] = (("scan", "pixel"), rng.standard_normal((30, 30)))
    area = create_area_def("in", "EPSG:4326", resolution=0.03, area_extent=(0.3, 0.5, 2.5, 2.5))
    swath = SwathDefinition(ds.longitude.values, ds.latitude.values)
    hand = NumpyBilinearResampler(swath, area, 40_000).resample(ds.value.values)
    made = resample(ds, area, "bilinear").value.values
    both = np.isfinite(hand)
    assert both.mean() > 0.9
    # pyresample takes the nearest pixel of each quadrant, which is not always of the same cell
    assert np.mean(np.abs(made[both] - hand[both]) < 0.02) > 0.97


def test_bilinear_is_exact_where_the_field_is_linear():
    latitude, longitude = np.meshgrid(np.arange(0, 3, 0.1), np.arange(0, 3, 0.1), indexing="ij")
    ds = made_swath(latitude, longitude)
    ds["value"] = ds.latitude * 2 + ds.longitude
    made = resample(ds, "0.03deg", "bilinear")
    inside = (made.latitude < 2.9) & (made.longitude < 2.9)
    inside &= (made.latitude > 0) & (made.longitude > 0)
    expected = (made.latitude * 2 + made.longitude).where(inside)
    np.testing.assert_allclose(made.value.where(inside), expected, atol=2e-3)


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (3, 2)])
@pytest.mark.parametrize("method", METHODS)
def test_small_swaths_are_resampled_too(shape, method):
    i, j = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    ds = made_swath(10 + 0.1 * i, 20 + 0.1 * j)
    area = create_area_def("a", "EPSG:4326", resolution=0.05, area_extent=(19, 9, 24, 14))
    made = resample(ds, area, method)
    count = int(np.isfinite(made.value).sum())
    assert count == pytest.approx(4 * i.size, rel=0.35)


@pytest.mark.parametrize(("method", "why"), [("average", "min_coverage=0.5"), ("nearest", "cent")])
def test_cells_too_large_for_the_swath_are_told(method, why):
    i, j = np.meshgrid(np.arange(4), np.arange(4), indexing="ij")
    ds = made_swath(10.1 + 0.1 * i, 20.1 + 0.1 * j)
    area = create_area_def("a", "EPSG:4326", resolution=1, area_extent=(20, 10, 21, 11))
    with pytest.raises(InputError, match=f"{why}.*finer cells are needed"):
        resample(ds, area, method)


def test_real_granules_keep_their_mean(l1c_granule: Path) -> None:
    with xrain.open_l1c(l1c_granule) as opened:
        ds = opened[["tb"]].isel(channel=[-1], scan=slice(0, 150)).load()
    tb = ds.tb[..., 0].where(np.abs(ds.latitude) <= 90)
    if not np.isfinite(ds.latitude).any():
        with pytest.raises(InputError, match="no valid position"):
            resample(ds, "0.05deg", "average")
        return
    made = resample(ds, "0.05deg", "average").tb.isel(channel=0)
    assert bool(made.notnull().any()) == bool(tb.notnull().any())
    if made.notnull().any():
        assert float(made.min()) >= float(tb.min()) - 0.01
        assert float(made.max()) <= float(tb.max()) + 0.01
        area = swath_of(ds.latitude.values, ds.longitude.values).area
        mean = float((tb * area).sum() / (area * tb.notnull()).sum())
        cells = np.cos(np.deg2rad(made.latitude))
        assert float(made.weighted(cells).mean()) == pytest.approx(mean, abs=2.0)
        near = resample(ds, "0.05deg").tb.isel(channel=0)
        assert set(near.values[np.isfinite(near)]) <= set(tb.values[np.isfinite(tb)])
