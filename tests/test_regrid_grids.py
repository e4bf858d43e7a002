"""Grids of every kind: which cells they are, how a result describes them, and what time it says."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS, Transformer
from pyresample import AreaDefinition, create_area_def
from pyresample.geometry import DynamicAreaDefinition

import xrain
from xrain.errors import InputError, NoOverlapError
from xrain.io.write_rain import write_rain
from xrain.reference import match_reference
from xrain.regrid import METHODS, area_of, resample
from xrain.regrid.areas import MOST_CELLS, require_size
from xrain.testing import fake_swath, tiny_model

FILLS = [-9999.9, -999.0, -1e10, 1e20, 1e30, 9.96921e36, np.inf, np.nan]
DEGREES = {"proj": "longlat", "datum": "WGS84"}


@pytest.fixture(scope="module")
def rain() -> xr.Dataset:
    """A pass at 61 to 68° S, 7 to 26° E, with its own latitude and longitude as values."""
    ds = xrain.retrieve(fake_swath("GMI", 60, 120), tiny_model("GMI", seed=1))
    return ds.assign(
        lat=ds.latitude.astype("f4").drop_attrs(), lon=ds.longitude.astype("f4").drop_attrs()
    )


def box_of(ds: xr.Dataset) -> tuple[float, float, float, float]:
    """West, south, east, north."""
    return (float(ds.longitude.min()), float(ds.latitude.min()),
            float(ds.longitude.max()), float(ds.latitude.max()))  # fmt: skip


def area(projection: object, extent: tuple[float, ...], shape: tuple[int, int]) -> AreaDefinition:
    return AreaDefinition("a", "", "", projection, shape[1], shape[0], extent)


def polar(*order: int) -> AreaDefinition:
    made = create_area_def(
        "polar", "EPSG:3976", center=(0.9e6, 2.6e6), resolution=2e4, shape=(60, 70)
    )
    extent = made.area_extent
    return area(made.crs, tuple(extent[k] for k in order), (60, 70))


AREAS = {
    "equal areas": lambda _: "25km",
    "degrees": lambda _: "0.3deg",
    "polar": lambda _: polar(0, 1, 2, 3),
    "polar, south first, east first": lambda _: polar(2, 3, 0, 1),
    "km": lambda _: create_area_def(
        "km", "+proj=laea +lat_0=-64 +lon_0=17 +units=km", shape=(50, 60),
        area_extent=(-900, -700, 900, 700),
    ),
    "globe": lambda _: area(DEGREES, (-180, -90, 180, 90), (180, 360)),
    "globe from the date line to the west": lambda _: area(
        DEGREES, (180, 90, -180, -90), (180, 360)
    ),
    "globe from 0": lambda _: area(DEGREES, (0, -90, 360, 90), (180, 360)),
    "another meridian": lambda ds: area(
        "+proj=longlat +pm=180",
        tuple(v - 180 * (k % 2 == 0) for k, v in enumerate(box_of(ds))), (40, 60),
    ),
    "rotated pole": lambda _: area(
        "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=26 +lon_0=197 +datum=WGS84",
        (-190, -7, -170, 7), (40, 60),
    ),
    "geostationary": lambda _: create_area_def(
        "geos", "+proj=geos +h=35785831 +lon_0=10 +sweep=y", shape=(300, 300),
        area_extent=(-5.5e6, -5.5e6, 5.5e6, 5.5e6),
    ),
    "omerc_bb": lambda _: "omerc_bb",
    "laea_bb": lambda _: "laea_bb",
}  # fmt: skip


# ---- the cells


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", [(0, 3, 2, 1), (2, 1, 0, 3), (2, 3, 0, 1)])
def test_the_order_of_the_axes_does_not_matter(rain, method, order):
    """Rows from the south, columns from the east, or both: the same cells, turned."""
    box = box_of(rain)
    expected = resample(rain, area(DEGREES, box, (40, 60)), method)
    made = resample(rain, area(DEGREES, tuple(box[k] for k in order), (40, 60)), method)
    turned = made.isel(
        y=slice(None, None, -1 if order[1] == 3 else 1),
        x=slice(None, None, -1 if order[0] == 2 else 1),
    )
    assert 1590 < int(expected.surface_precip.notnull().sum()) < 1610
    np.testing.assert_allclose(turned.latitude, expected.latitude, atol=1e-5)
    np.testing.assert_allclose(turned.longitude, expected.longitude, atol=1e-5)
    # fornav rounds the ends of its ellipses to cells, upwards
    np.testing.assert_allclose(
        turned.surface_precip, expected.surface_precip, rtol=0.05 if method == "ewa" else 1e-3
    )
    np.testing.assert_array_equal(turned.time, expected.time)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", AREAS)
def test_values_lie_where_the_coordinates_say(rain, name, method):
    """Each cell's value is its pixel's latitude; it must be that of the cell, to half a pixel."""
    target = AREAS[name](rain)
    made = resample(rain, target, method)
    coarse = "glob" in name or name == "geostationary"
    assert int(made.lat.notnull().sum()) > (40 if coarse else 300)
    apart = abs(made.lat - made.latitude).where(made.lat.notnull())
    assert float(apart.max()) < (1.1 if coarse else 0.15)
    assert float(apart.median()) < 0.05 or coarse


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", [[19, 19, 19], [18, 19], [15, 16, 17, 18, 19]])
def test_repeated_scans_change_no_map(rain, method, order):
    twice = rain.isel(scan=[*range(20), *order, *range(20, 60)])
    expected, made = (resample(ds, "0.1deg", method) for ds in (rain, twice))
    xr.testing.assert_identical(made.drop_attrs(), expected.drop_attrs())


def test_the_same_places_at_other_times_are_another_pass(rain):
    later = rain.assign_coords(time=rain.time + np.timedelta64(6, "h"))
    both = resample(xr.concat([rain, later + 1], "scan"), "0.3deg", "average")
    once = resample(rain, "0.3deg", "average")
    seen = once.surface_precip.notnull()
    np.testing.assert_allclose(
        both.surface_precip.where(seen), once.surface_precip + 0.5, atol=1e-4
    )


# ---- positions


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("name", ["0.25deg", "20km", "omerc_bb", "laea_bb", "fitted"])
def test_scans_without_a_position_do_not_widen_the_grid(rain, fill, name):
    chosen = DynamicAreaDefinition(
        "fit", projection={"proj": "longlat", "datum": "WGS84"}, resolution=0.2
    ) if name == "fitted" else name  # fmt: skip
    expected = resample(rain.isel(scan=slice(8, None)), chosen)
    lat, lon = (rain[n].values.copy() for n in ("latitude", "longitude"))
    lat[:8] = lon[:8] = fill
    dims = ("scan", "pixel")
    lost = rain.assign_coords(latitude=(dims, lat), longitude=(dims, lon))
    made = resample(lost, chosen)
    assert made.sizes == expected.sizes
    np.testing.assert_array_equal(made.surface_precip, expected.surface_precip)


def test_without_any_position_every_kind_of_area_is_refused(rain):
    lost = rain.assign_coords(latitude=rain.latitude * np.nan)
    for name in ("0.25deg", "20km", "omerc_bb", "EPSG_4326_360x180"):
        with pytest.raises(InputError, match="no valid position"):
            resample(lost, name)


def test_positions_may_be_plain_variables_or_have_other_names(rain):
    expected = resample(rain, "0.3deg")
    plain = rain.reset_coords(["latitude", "longitude", "time"])
    xr.testing.assert_identical(resample(plain, "0.3deg"), expected)
    swapped = rain.assign_coords(longitude=rain.longitude.T)
    xr.testing.assert_identical(resample(swapped, "0.3deg"), expected)
    with pytest.raises(InputError, match="but longitude"):
        resample(rain.assign_coords(longitude=(("scan", "beam"), rain.longitude.values)), "0.3deg")


# ---- areas that fit themselves, and areas that are too large


def test_a_projection_is_fitted_where_every_scan_has_a_gap(rain):
    gap = np.zeros(rain.latitude.shape, bool)
    gap[:, :3] = True
    made = resample(rain.assign_coords(latitude=rain.latitude.where(~gap)), "laea_bb")
    assert int(made.surface_precip.notnull().sum()) > 10_000
    torn = np.indices(gap.shape).sum(axis=0) % 2 > 0
    with pytest.raises(InputError, match="too many gaps"):
        resample(rain.assign_coords(latitude=rain.latitude.where(~torn)), "laea_bb")


def test_an_area_that_cannot_be_fitted_is_told(rain):
    with pytest.raises(InputError, match="'bare' cannot be fitted"):
        resample(rain, DynamicAreaDefinition("bare", projection=DEGREES))


def test_dynamic_areas_are_found_in_ones_own_file(rain, tmp_path, monkeypatch):
    (tmp_path / "areas.yaml").write_text(
        "mine:\n  description: fits itself\n  projection: {proj: laea, lat_0: -64, lon_0: 17}\n"
        "  resolution: 20000\n"
    )
    monkeypatch.setenv("SATPY_CONFIG_PATH", str(tmp_path))
    made = resample(rain, "mine")
    assert made.attrs["area"] == "mine"
    assert 500 < int(made.surface_precip.notnull().sum()) < 2500


@pytest.mark.parametrize("kind", ["named", "definition", "fitted", "degrees", "km"])
def test_too_many_cells_are_refused_before_they_are_made(rain, kind):
    chosen = {
        "named": "EPSG_4326_36000x18000",
        "definition": area(DEGREES, (-180, -90, 180, 90), (20_001, 20_000)),
        "fitted": DynamicAreaDefinition("fit", projection=DEGREES, resolution=1e-6),
        "degrees": "0.0001deg",
        "km": "1m",
    }[kind]
    with pytest.raises(InputError, match=f"more than {MOST_CELLS:,}; give a coarser"):
        resample(rain, chosen)
    require_size("largest", 20_000, 20_000)


# ---- what the result says of itself


@pytest.mark.parametrize("name", AREAS)
def test_the_grid_mapping_places_every_cell(rain, name, tmp_path):
    """From the file alone: x, y and the mapping give back latitude and longitude."""
    path = write_rain(resample(rain, AREAS[name](rain)), tmp_path / "grid.nc")
    with xr.open_dataset(path, engine="h5netcdf", decode_coords="all") as ds:
        ds.load()
    assert ds.surface_precip.encoding["grid_mapping"] == "crs"
    assert (ds.x.attrs["axis"], ds.y.attrs["axis"]) == ("X", "Y")
    geographic = ds.x.attrs["standard_name"] == "longitude"
    units = ("degrees_east", "degrees_north") if geographic else ("m",) * 2
    units = ("km",) * 2 if name == "km" else units
    units = ("degrees",) * 2 if name == "rotated pole" else units
    assert (ds.x.attrs["units"], ds.y.attrs["units"]) == units
    crs = CRS.from_cf(ds.crs.attrs)
    base = crs.source_crs if crs.is_derived and crs.is_geographic else CRS("OGC:CRS84")
    lon, lat = Transformer.from_crs(crs, base, always_xy=True).transform(
        *np.meshgrid(ds.x, ds.y), errcheck=False
    )
    known = np.isfinite(ds.lat.values)
    np.testing.assert_allclose(lat[known], ds.latitude.values[known], atol=1e-3)
    apart = (lon[known] - ds.longitude.values[known] + 180) % 360 - 180
    np.testing.assert_allclose(apart, 0, atol=2e-3)


@pytest.mark.parametrize("name", AREAS)
def test_gdal_places_every_cell(rain, name, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    warp = pytest.importorskip("rasterio.warp")
    if name == "rotated pole":
        pytest.skip("GDAL has no name for a rotated pole")
    path = write_rain(resample(rain, AREAS[name](rain)), tmp_path / "grid.nc")
    with rasterio.open(f"netcdf:{path}:lat") as picture:
        values, transform, crs = picture.read(1), picture.transform, picture.crs
    row, column = np.nonzero(values > -90)
    x, y = rasterio.transform.xy(transform, row, column)
    _, lat = warp.transform(crs, "EPSG:4326", list(x), list(y))
    coarse = "glob" in name or name == "geostationary"
    np.testing.assert_allclose(lat, values[row, column], atol=0.7 if coarse else 0.12)


def test_a_swath_as_target_has_no_grid_mapping(rain):
    other = rain[["latitude", "longitude"]].isel(scan=slice(None, None, 3))
    made = resample(rain, other)
    assert "crs" not in made.variables
    assert "grid_mapping" not in made.surface_precip.attrs
    again = resample(resample(rain, "0.3deg"), other)
    assert "crs" not in again.variables
    assert "grid_mapping" not in again.surface_precip.attrs


# ---- time


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lazy", [False, True])
def test_each_cell_keeps_the_time_of_its_scan(rain, method, lazy):
    later = rain.assign_coords(
        time=rain.time + np.timedelta64(5400, "s"), longitude=rain.longitude - 24
    )
    both = xr.concat([rain, later], "scan").reset_coords("lon", drop=True)
    made = resample(both.chunk(scan=30) if lazy else both, "0.3deg", method)
    assert made.time.dims == ("y", "x")
    assert made.time.dtype == np.dtype("M8[ns]")
    made = made.load()
    seen = made.surface_precip.notnull()
    assert bool(made.time.notnull().where(seen, True).all())
    west = made.time.where(seen & (made.longitude < 0), drop=True).values
    east = made.time.where(seen & (made.longitude > 10), drop=True).values
    first, last = rain.time.values[[0, -1]]
    assert np.nanmin(east) >= first
    assert np.nanmax(east) <= last
    assert np.nanmin(west) >= first + np.timedelta64(5400, "s")
    if method == "nearest":
        nearest = resample(both.assign(seen=both.time.broadcast_like(both.latitude)), "0.3deg")
        np.testing.assert_array_equal(nearest.seen, nearest.time)


def test_time_survives_a_file(rain, tmp_path: Path):
    made = resample(rain, "0.3deg")
    path = write_rain(made, tmp_path / "grid.nc")
    with xr.open_dataset(path, engine="h5netcdf") as ds:
        np.testing.assert_array_equal(ds.time, made.time)
        assert ds.time.attrs["standard_name"] == "time"
    made.to_netcdf(tmp_path / "bare.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "bare.nc", engine="h5netcdf") as ds:
        gap = (ds.time - made.time) / np.timedelta64(1, "s")
        assert float(abs(gap).max()) < 1e-3
        np.testing.assert_array_equal(ds.time.isnull(), made.time.isnull())


def test_the_area_of_a_resolution_in_m_is_in_m(rain):
    made = area_of(rain, "2500m")
    assert made.pixel_size_x == pytest.approx(2500)
    assert made.crs.axis_info[0].unit_name == "metre"


# ---- positions that make no swath


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["anywhere", "on a line", "at one place", "interleaved"])
def test_absurd_positions_end_soon(method, kind):
    rng = np.random.default_rng(3)
    shape = (200, 120)
    lat, lon = rng.uniform(-90, 90, shape), rng.uniform(-180, 180, shape)
    if kind == "on a line":  # all steps are parallel, so cells have no area
        lat = np.linspace(0, 60, lat.size).reshape(shape)
        lon = 0.1 * lat
    elif kind == "at one place":
        lat, lon = np.full(shape, 10.0), np.full(shape, 20.0)
    elif kind == "interleaved":
        lat, lon = np.meshgrid(np.linspace(-60, 60, 200), np.linspace(0, 50, 120), indexing="ij")
        lat[::2], lon[:, ::2] = lat[::2][::-1], lon[:, ::2][:, ::-1]
    dims = ("scan", "pixel")
    ds = xr.Dataset(
        {"value": (dims, rng.uniform(size=shape))},
        {"latitude": (dims, lat), "longitude": (dims, lon)}, {"sensor": "GMI"},
    )  # fmt: skip
    start = time.process_time()
    try:
        made = resample(ds, area(DEGREES, (-180, -90, 180, 90), (360, 720)), method).value
    except InputError:
        pass
    else:
        assert float(made.min()) >= 0
        assert float(made.max()) <= 1
    assert time.process_time() - start < 10


def test_a_gaussian_that_does_not_fit_into_memory_is_refused(rain):
    with pytest.raises(InputError, match="a narrower footprint"):
        resample(rain, "0.005deg", "gaussian", footprint=2000.0)


@pytest.mark.parametrize("name", ["0.1deg", "10km"])
def test_a_resampled_grid_is_a_reference_with_a_time_for_each_cell(rain, name):
    wave = 3 + np.sin(np.deg2rad(rain.latitude * 100)).drop_attrs()
    rain = rain.assign(surface_precip=wave.astype("f4"))
    later = rain.assign_coords(
        time=rain.time + np.timedelta64(5400, "s"), longitude=rain.longitude - 24
    )
    grid = resample(xr.concat([rain, later], "scan"), name)[["surface_precip"]]
    found = match_reference(rain, grid, max_minutes=5)
    seen = found.reference_precip.notnull()
    assert int(seen.sum()) > 6000
    assert float(abs(found.reference_time_difference).max()) < 15
    np.testing.assert_allclose(
        found.reference_precip.where(seen), rain.surface_precip.where(seen), atol=0.2
    )
    first = rain.assign_coords(longitude=rain.longitude - 24)
    assert not match_reference(first, grid, max_minutes=None).reference_precip.isnull().all()
    with pytest.raises(NoOverlapError):
        match_reference(first, grid, max_minutes=5)
    bare = grid.drop_vars(["latitude", "longitude"])
    with pytest.raises(InputError, match="a time for each cell"):
        match_reference(rain, bare)
    undated = match_reference(rain, bare.drop_vars("time"), max_minutes=None)
    np.testing.assert_allclose(
        undated.reference_precip.where(seen), found.reference_precip.where(seen), atol=0.1
    )
