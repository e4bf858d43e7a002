"""References on the pixels of a radiometer, against sums by brute force and known answers."""

from __future__ import annotations

import time as clock

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.conventions import ATTRIBUTES
from xrain.errors import InputError, NoOverlapError, UnknownChannelError
from xrain.geo.footprint import footprint_directions, footprint_widths, nominal_incidence
from xrain.io.truth import radar_path, truth_path
from xrain.reference import match_footprints, match_pixels, match_reference
from xrain.sensors import get_sensor
from xrain.simulate.granule import simulate_granule
from xrain.simulate.orbit import group_scans, orbit_over, scan_geometry
from xrain.simulate.radar import radar_of

R = 6371.0
NOON = np.datetime64("2020-07-01T12:00", "ns")
SECOND = np.timedelta64(1, "s")
CENTRES = [(0.0, 0.0), (10.0, 180.0), (-35.0, -179.97), (89.95, 30.0), (-90.0, 0.0)]


def sphere(lat, lon):
    lat, lon = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)


def around(centre, x, y):
    """Positions x km east and y km north of a centre, on great circles."""
    lon = np.radians(centre[1])
    up = sphere(*centre)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.cross(up, east)
    far = np.hypot(x, y)[..., None] / R
    way = (x[..., None] * east + y[..., None] * north) / np.maximum(far * R, 1e-9)
    p = np.cos(far) * up + np.sin(far) * way
    return np.degrees(np.arcsin(np.clip(p[..., 2], -1, 1))), np.degrees(
        np.arctan2(p[..., 1], p[..., 0])
    )


def swath(lat, lon, *, period=1.0, start=NOON, sensor="GMI", **fields):
    time = start + (np.arange(lat.shape[0]) * period * 1e9).astype("timedelta64[ns]")
    return xr.Dataset(
        {k: (("scan", "pixel"), v) for k, v in fields.items()},
        {
            "latitude": (("scan", "pixel"), np.float32(lat)),
            "longitude": (("scan", "pixel"), np.float32(lon)),
            "time": ("scan", time),
        },
        {"sensor": sensor},
    )


def flat(centre, nx, ny, step, **fields):
    """A swath of equal steps, its first pixel in the south-west."""
    x, y = np.meshgrid((np.arange(nx) - (nx - 1) / 2) * step, (np.arange(ny) - (ny - 1) / 2) * step)
    made = {k: f(x, y).astype(np.float32) for k, f in fields.items()}
    return swath(*around(centre, x, y), **made)


def pattern(target, source, along, across, widths):
    """Antenna pattern of every target at every source pixel, in double precision."""
    there, here = (sphere(d.latitude.values, d.longitude.values).reshape(-1, 3)
                   for d in (source, target))  # fmt: skip
    gap = (there[None] - here[:, None]) * R
    q = sum((np.einsum("ijk,ik->ij", gap, d.reshape(-1, 3)) / w.reshape(-1, 1)) ** 2
            for d, w in ((along, widths[0]), (across, widths[1])))  # fmt: skip
    return np.where(q <= 1.2**2, np.exp(-4 * np.log(2) * q), 0)


@pytest.fixture(scope="module", params=["gmi", "mhs"])
def orbit(request):
    """A piece of orbit of a radiometer, a radar's from the same satellite, and the sensor."""
    sensor = get_sensor(request.param)
    platform = next(iter(sensor.platforms))
    group = sensor.swath(sensor.reference_swath)
    way = orbit_over(sensor, platform, NOON, 24, 40.0, 179.0)
    geometry = scan_geometry(sensor, group, way, group_scans(sensor, group, 24))
    radar = radar_of(get_sensor("gmi"))
    rays = scan_geometry(radar, radar.swaths[0], way, 140)
    rate = np.random.default_rng(1).gamma(0.5, 4.0, rays.latitude.shape).astype(np.float32)
    rate[30:33] = rate[60, 20] = np.nan
    ours = swath(geometry.latitude, geometry.longitude, sensor=sensor.name)
    ours["time"] = ("scan", geometry.time)
    theirs = swath(rays.latitude, rays.longitude, sensor="DPR", surface_precip=rate)
    theirs["time"] = ("scan", rays.time)
    if sensor.name == "GMI":
        ours = ours.isel(pixel=slice(80, 141))
    return sensor, ours, theirs, geometry


def test_means_are_those_of_sums_over_all_pixels(orbit):
    sensor, ours, theirs, _ = orbit
    found = match_footprints(ours, theirs)
    lat, lon = ours.latitude.values, ours.longitude.values
    along, across = footprint_directions(lat, lon, sensor.scan_type)
    angle = np.broadcast_to(nominal_incidence(sensor, lat.shape[1]), lat.shape)
    widths = footprint_widths(sensor, sensor.rain_channel, angle)
    weight = pattern(ours, theirs, along, across, widths)
    rate = theirs.surface_precip.values.ravel()
    seen = np.isfinite(rate)
    total = weight[:, seen].sum(axis=1)
    inside = total.reshape(lat.shape) > 0.05
    mean = (weight[:, seen] @ rate[seen] / np.maximum(total, 1e-9)).reshape(lat.shape)
    np.testing.assert_allclose(found.reference_precip.values[inside], mean[inside], rtol=2e-3)
    count = (weight[:, seen] > 0).sum(axis=1).reshape(lat.shape)
    assert np.abs(found.reference_count.values - count)[inside].max() <= 1  # at the very edge
    share = found.reference_fraction.values
    assert (share[~inside] < 0.02).all()
    whole = inside & (weight[:, ~seen].sum(axis=1).reshape(lat.shape) < 1e-9)
    assert 0.3 < (share[whole] > 0.999).mean() < 1  # the others hang over the radar's edge


def test_footprints_point_where_the_instrument_looks(orbit):
    sensor, ours, _, geometry = orbit
    along, across = footprint_directions(ours.latitude.values, ours.longitude.values,
                                         sensor.scan_type)  # fmt: skip
    here = sphere(ours.latitude.values, ours.longitude.values)
    below = sphere(geometry.spacecraft_latitude, geometry.spacecraft_longitude)[:, None]
    view = here - below
    view -= here * np.einsum("ijk,ijk->ij", view, here)[..., None]
    length = np.linalg.norm(view, axis=-1)
    far = length > 100 / R
    cosine = np.abs(np.einsum("ijk,ijk->ij", view, along)) / length
    assert cosine[far].min() > 0.985
    np.testing.assert_allclose(np.einsum("ijk,ijk->ij", along, across), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(along, axis=-1), 1, atol=1e-5)


def test_a_sounders_footprints_grow_towards_the_ends_of_its_scan():
    sensor = get_sensor("mhs")
    wide = flat((0, 0), 90, 3, 24.0, surface_precip=lambda x, y: x * 0)
    fine = flat((0, 0), 450, 60, 5.0, surface_precip=lambda x, y: x * 0 + 1)
    wide.attrs["sensor"] = "MHS"
    count = match_footprints(wide, fine, max_minutes=None).reference_count.values[1]
    middle, end = count[44], count[2]
    along, across = footprint_widths(sensor, sensor.rain_channel, nominal_incidence(sensor, 90))
    assert end / middle == pytest.approx(along[2] * across[2] / along[44] / across[44], rel=0.15)
    given = wide.assign(earth_incidence_angle=(("scan", "pixel"), np.zeros((3, 90), np.float32)))
    count = match_footprints(given, fine, max_minutes=None).reference_count.values[1]
    assert abs(count[2] - count[44]) <= 2


@pytest.mark.parametrize("centre", CENTRES)
def test_everywhere_on_earth_the_same(centre):
    def rate(x, y):
        return 2 + np.sin(x / 40) + np.cos(y / 30)

    radar = flat(centre, 49, 60, 5.0, surface_precip=rate)
    pixels = flat(centre, 15, 15, 11.0, exact=rate)
    # a circular Gaussian of width w damps a wave of number k by exp(-k² w² / (16 ln 2))
    x, y = np.meshgrid((np.arange(15) - 7) * 11.0, (np.arange(15) - 7) * 11.0)
    damp = [np.exp(-(k**2) * 15**2 / (16 * np.log(2))) for k in (1 / 40, 1 / 30)]
    known = 2 + damp[0] * np.sin(x / 40) + damp[1] * np.cos(y / 30)
    found = match_footprints(pixels, radar, footprint=15.0)
    np.testing.assert_allclose(found.reference_precip, known, atol=0.012)
    np.testing.assert_allclose(found.reference_fraction, 1, atol=1e-5)
    near = match_pixels(pixels, radar)
    assert float(near.reference_distance.max()) < 3.6
    np.testing.assert_allclose(near.reference_precip, pixels.exact, atol=0.2)


@pytest.mark.parametrize("centre", CENTRES[:4])
def test_a_constant_stays_and_the_edge_halves_the_fraction(centre):
    radar = flat(centre, 40, 40, 5.0, surface_precip=lambda x, y: 0 * x + 3.5)
    edge = flat(centre, 9, 3, 25.0)  # in the middle row: -100, -75 … 100 km; the edge is at 100
    found = match_footprints(edge, radar, footprint=20.0)
    share = found.reference_fraction.values[1]
    np.testing.assert_allclose(share, [0.5, *[1] * 7, 0.5], atol=0.01)
    assert found.reference_precip.values[1] == pytest.approx(3.5, rel=1e-6)


def test_a_single_raining_pixel_shows_the_antenna_pattern():
    radar = flat((20, 50), 61, 61, 4.0, surface_precip=lambda x, y: 100.0 * ((x == 0) & (y == 0)))
    pixels = flat((20, 50), 13, 13, 3.0)
    found = match_footprints(pixels, radar, footprint=(24.0, 16.0))
    # a conical scan whose pixels go east looks north: the long axis is y
    x, y = np.meshgrid((np.arange(13) - 6) * 3.0, (np.arange(13) - 6) * 3.0)
    q = (x / 16) ** 2 + (y / 24) ** 2
    whole = 16 * 24 * np.pi / (4 * np.log(2)) * (1 - 2 ** (-4 * 1.2**2))
    known = np.where(q <= 1.2**2, 100 * 16 * np.exp(-4 * np.log(2) * q) / whole, 0)
    np.testing.assert_allclose(found.reference_precip, known, rtol=0.03, atol=1e-6)


def test_totals_are_kept():
    rng = np.random.default_rng(5)
    spots = np.zeros((80, 80), np.float32)
    spots[25:55, 25:55] = rng.gamma(0.3, 10, (30, 30))
    radar = flat((-30, 100), 80, 80, 5.0, surface_precip=lambda x, y: spots)
    pixels = flat((-30, 100), 76, 76, 5.0)
    found = match_footprints(pixels, radar, footprint=12.0)
    assert float(found.reference_precip.sum()) == pytest.approx(float(spots.sum()), rel=2e-3)


def test_missing_pixels_do_not_count_and_missing_places_get_nothing():
    radar = flat((0, 0), 30, 30, 5.0, surface_precip=lambda x, y: np.where(x < 0, np.nan, 2.0))
    pixels = flat((0, 0), 5, 5, 10.0)
    pixels.latitude[2, 2] = np.nan
    found = match_footprints(pixels, radar, footprint=14.0)
    share = found.reference_fraction.values
    np.testing.assert_allclose(share[0], 1 - share[0, ::-1], atol=1e-3)  # as much here as not there
    assert share[0, 2] == pytest.approx(0.5, abs=1e-3)
    assert share[2, 2] == 0
    assert np.isnan(found.reference_precip.values[2, 2])
    assert np.isnan(found.reference_time_difference.values[2, 2])
    radar.latitude[17:19] = np.nan  # scans without positions leave a hole
    found = match_footprints(pixels, radar, footprint=14.0)
    assert found.reference_fraction.values[0, 4] == pytest.approx(1, abs=1e-3)
    assert found.reference_fraction.values[3, 4] < 0.7


# ---- in time


def test_the_pass_of_the_right_time_is_taken():
    first = flat((0, 0), 30, 40, 5.0, surface_precip=lambda x, y: 0 * x + 1)
    later = flat((0, 0), 30, 40, 5.0, surface_precip=lambda x, y: 0 * x + 2)
    later["time"] = later.time + np.timedelta64(95, "m")
    both = xr.concat([first, later], "scan", data_vars="minimal")
    pixels = flat((0, 0), 5, 4, 10.0)
    for shift, rate in ((0, 1), (95, 2)):
        moved = pixels.assign_coords(time=pixels.time + np.timedelta64(shift, "m"))
        for match in (match_footprints, match_pixels):
            found = match(moved, both)
            np.testing.assert_allclose(found.reference_precip, rate, rtol=1e-6)
            assert np.abs(found.reference_time_difference).max() < 60
    between = pixels.assign_coords(time=pixels.time + np.timedelta64(40, "m"))
    with pytest.raises(NoOverlapError, match=r"within 15 minutes: 2020-07-01T12:40 to"):
        match_footprints(between, both)
    assert np.isfinite(match_footprints(between, both, max_minutes=60).reference_precip).all()


def test_scans_without_a_time_get_nothing():
    radar = flat((0, 0), 30, 40, 5.0, surface_precip=lambda x, y: 0 * x + 1)
    pixels = flat((0, 0), 5, 4, 10.0)
    pixels["time"] = pixels.time.where([True, False, True, True])
    found = match_footprints(pixels, radar)
    assert np.isfinite(found.reference_precip).all("pixel").values.tolist() == [1, 0, 1, 1]
    assert np.isfinite(match_footprints(pixels, radar, max_minutes=None).reference_precip).all()


def test_full_granules_that_do_not_meet_are_refused_at_once():
    shape = np.zeros((3000, 200))
    row = np.arange(3000)[:, None] * 0.01
    here = swath(row + shape, shape + np.arange(200) * 0.04)
    there = swath(row + shape, shape + np.arange(200) * 0.04 + 60, surface_precip=shape)
    then = here.assign(surface_precip=(("scan", "pixel"), shape))
    then["time"] = then.time + np.timedelta64(5, "D")
    for other in (there, then):
        for match in (match_footprints, match_pixels):
            start = clock.process_time()
            with pytest.raises(NoOverlapError, match="no place in common with the swath"):
                match(here, other)
            assert clock.process_time() - start < 2.0


# ---- grids


def smooth(lat, lon):
    """A field on the sphere without seams."""
    p = sphere(np.asarray(lat, float), np.asarray(lon, float))
    return 3 + p @ [1.0, 0.7, 0.4] + 2 * p[..., 0] * p[..., 1]


def in_degrees(step, south, north, west, east, times=(NOON,)):
    lat = np.arange(north - step / 2, south, -step)
    lon = np.arange(west + step / 2, east, step)
    rate = smooth(*np.meshgrid(lat, lon, indexing="ij"))
    return xr.Dataset(
        {"rain_rate": (("time", "lat", "lon"), np.stack([rate + k for k in range(len(times))]))},
        {"time": list(times), "lat": lat, "lon": lon},
    )


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize(("west", "step"), [(-180, 0.25), (0, 0.5)])
def test_a_global_grid_has_no_seams(centre, west, step):
    grid = in_degrees(step, -90, 90, west, west + 360)
    pixels = flat(centre, 21, 9, 13.0)
    found = match_footprints(pixels, grid, footprint=(30.0, 25.0))
    known = smooth(pixels.latitude, pixels.longitude)
    np.testing.assert_allclose(found.reference_precip, known, atol=4e-3)
    np.testing.assert_allclose(found.reference_fraction, 1, atol=1e-5)
    assert (found.reference_count > 0).all()


def test_a_fine_grid_in_degrees_is_a_sum_over_its_cells():
    grid = in_degrees(0.02, 40, 43, -100, -96)
    rng = np.random.default_rng(2)
    grid["rain_rate"] = grid.rain_rate * np.kron(rng.gamma(0.5, 5, (1, 15, 20)), np.ones((10, 10)))
    grid.rain_rate[:, 60:90, 100:130] = np.nan
    pixels = flat((41.5, -98.0), 12, 12, 20.0)
    found = match_footprints(pixels, grid, footprint=30.0)
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    gap = np.linalg.norm(sphere(pixels.latitude.values, pixels.longitude.values)[:, :, None]
                         - sphere(lat, lon).reshape(-1, 3), axis=-1) * R  # fmt: skip
    weight = np.where(gap <= 36, np.exp(-4 * np.log(2) * (gap / 30) ** 2), 0)
    weight *= np.cos(np.radians(lat)).ravel()
    rate = grid.rain_rate.values.ravel()
    seen = np.isfinite(rate)
    known = (weight[..., seen] @ rate[seen]) / weight[..., seen].sum(-1)
    got = found.reference_precip.values
    np.testing.assert_allclose(got, known, rtol=0.12)  # most beside the hole
    assert np.corrcoef(got.ravel(), known.ravel())[0, 1] > 0.999
    share = weight[..., seen].sum(-1) / weight.sum(-1)
    np.testing.assert_allclose(found.reference_fraction, share, atol=0.02)
    count = (weight[..., seen] > 0).sum(-1)
    np.testing.assert_allclose(found.reference_count, count, rtol=0.15)


PROJ = "+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +units=m +ellps=WGS84"


def projected(units="m", falling=True):
    from pyproj import Transformer

    scale = 1e3 if units == "km" else 1.0
    y, x = np.arange(-3.9e6, -3.5e6, 4e3), np.arange(1.5e6, 2.1e6, 4e3)
    y = y[::-1] if falling else y
    lon, lat = Transformer.from_crs(PROJ, "EPSG:4326", always_xy=True).transform(*np.meshgrid(x, y))
    ds = xr.Dataset(
        {"rain_rate": (("y", "x"), smooth(lat, lon))},
        {"y": ("y", y / scale, {"units": units}), "x": ("x", x / scale, {"units": units})},
    )
    return ds.assign_coords(time=NOON), lat, lon


@pytest.mark.parametrize("units", ["m", "km"])
@pytest.mark.parametrize("falling", [True, False])
@pytest.mark.parametrize("how", ["attribute", "grid mapping", "positions"])
def test_projected_and_curvilinear_grids(units, falling, how):
    from pyproj import CRS

    grid, lat, lon = projected(units, falling)
    middle = lat.mean(), lon.mean()
    if how == "attribute":
        grid.attrs["projection"] = PROJ
    elif how == "grid mapping":
        grid["crs"] = ((), 0, {"crs_wkt": CRS(PROJ).to_wkt()})
        grid.rain_rate.attrs["grid_mapping"] = "crs"
    else:
        grid = grid.drop_vars(["x", "y"]).assign(lat=(("y", "x"), lat), lon=(("y", "x"), lon))
    pixels = flat(middle, 60, 9, 13.0)
    found = match_footprints(pixels, grid, footprint=30.0)
    share = found.reference_fraction.values
    assert 0.3 < (share > 0.999).mean() < 0.9
    known = smooth(pixels.latitude, pixels.longitude)
    full = share > 0.999
    np.testing.assert_allclose(found.reference_precip.values[full], known[full], atol=2e-3)
    assert np.isnan(found.reference_precip.values[share == 0]).all()
    assert (share == 0).any()


def test_the_field_nearest_in_time_is_taken():
    times = NOON + np.array([0, 30, 60]) * np.timedelta64(60, "s").astype("timedelta64[ns]")
    grid = in_degrees(0.5, -10, 10, -10, 10, times)
    pixels = flat((0, 0), 5, 4, 10.0)
    pixels["time"] = ("scan", NOON + np.array([-10, 10, 20, 90]) * 60 * SECOND)
    found = match_footprints(pixels, grid)
    plain = smooth(pixels.latitude, pixels.longitude)
    np.testing.assert_allclose((found.reference_precip - plain)[:3].mean("pixel"), [0, 0, 1],
                               atol=0.01)  # fmt: skip
    assert np.isnan(found.reference_precip[3]).all()
    assert found.reference_time_difference[:3, 0].values.tolist() == [600, -600, 600]
    bounded = grid.assign_coords(bounds=(("time", "nv"), np.stack(
        [times, times + np.timedelta64(30, "m")], -1)))  # fmt: skip
    bounded.time.attrs["bounds"] = "bounds"
    found = match_footprints(pixels, bounded, max_minutes=60)
    assert found.reference_time_difference[:, 0].values.tolist() == [1500, 300, -300, -900]


def test_imerg_as_it_is_opened(data_dir):
    path = next((data_dir / "granules" / "V7").glob("3B-HHR*"), None)
    if path is None:
        pytest.skip("the IMERG granule is not there")
    grid = xrain.open_reference(path)
    pixels = flat((-89.5, -179.5), 9, 9, 5.0)
    pixels["time"] = ("scan", np.datetime64("2000-06-01T00:05", "ns") + np.arange(9) * SECOND)
    found = match_footprints(pixels, grid, footprint=20.0)
    assert found.attrs["reference_product"] == "3IMERGHH"
    assert float(found.reference_time_difference.max()) <= 600  # to the middle of the half hour
    assert float(found.reference_time_difference.min()) >= 592
    assert 0 < float(found.reference_fraction.max()) <= 1


@pytest.mark.parametrize(("name", "centre", "size"), [
    ("mrms_conus_20190610", (35.0, -95.0), 1.2), ("opera_europe_20180824", (50.0, 10.0), 2.0),
])  # fmt: skip
def test_real_radar_composites(name, centre, size, data_dir):
    path = data_dir / "radar" / f"{name}.nc"
    if not path.is_file():
        pytest.skip(f"{name} is not there")
    with xr.open_dataset(path) as grid:
        pixels = flat(centre, 40, 40, 12.0)
        pixels["time"] = pixels.time - NOON + grid.time.values[1]
        found = match_footprints(pixels, grid, footprint=16.0)
        seen = found.reference_fraction.values > 0.99
        assert seen.mean() > 0.5
        field = grid.rain_rate.isel(time=1)
        if "mrms" in name:
            inner = field.sel(latitude=slice(36.5, 33.5), longitude=slice(-97, -93)).mean()
            lat, lon = pixels.latitude.values, pixels.longitude.values
            part = (abs(lat - 35) < 1.5) & (abs(lon + 95) < 2) & seen
            assert float(found.reference_precip.values[part].mean()) == pytest.approx(
                float(inner), rel=0.1)  # fmt: skip
        assert np.nanmax(found.reference_precip) < float(field.max())
        assert (found.reference_count.values[seen] > 100 / size**2).all()


# ---- real and simulated granules


def test_products_of_one_orbit(data_dir):
    folder = data_dir / "granules" / "V7"
    paths = {k: next(folder.glob(p), None) for k, p in (
        ("l1c", "1C.TRMM.TMI*"), ("gprof", "2A-CLIM.TRMM.TMI*"), ("pr", "2A.TRMM.PR*"),
        ("corra", "2B.TRMM*"))}  # fmt: skip
    if None in paths.values():
        pytest.skip("the granules of TRMM's orbit 160 are not all there")
    with xrain.open_l1c(paths["l1c"]) as ours, xrain.open_reference(paths["gprof"]) as gprof:
        found = match_reference(ours, gprof)
        np.testing.assert_array_equal(found.reference_precip, gprof.surface_precip)
        np.testing.assert_array_equal(found.reference_probability, gprof.probability_of_precip)
        assert float(found.reference_distance.max()) == 0
        assert np.abs(found.reference_time_difference).max() <= 1
        averaged = match_footprints(ours, gprof)
        rate = gprof.surface_precip
        assert float(averaged.reference_precip.min()) >= float(rate.min())
        assert float(averaged.reference_precip.max()) <= float(rate.max())
        for name in ("pr", "corra"):
            with (
                xrain.open_reference(paths[name]) as radar,
                pytest.raises(NoOverlapError, match=r"latitude -36\.1 to -35"),
            ):  # as cut, the radar's pixels lie 500 km away
                match_reference(ours, radar)


def test_a_radar_moved_onto_the_real_radiometer(data_dir):
    folder = data_dir / "granules" / "V7"
    ours = next(folder.glob("1C.TRMM.TMI*"), None)
    path = next((data_dir / "dpr").glob("*.HDF5"), None)
    if ours is None or path is None:
        pytest.skip("the granules are not there")
    with xrain.open_l1c(ours) as swath_, xrain.open_reference(path) as radar:
        shift = {n: float(swath_[n].mean() - radar[n].mean()) for n in ("latitude", "longitude")}
        moved = radar.assign_coords({n: radar[n] + s for n, s in shift.items()})
        found = match_footprints(swath_, moved, max_minutes=None).load()
    assert (found.reference_fraction > 0.999).mean() > 0.9
    assert 0 < float(found.reference_precip.mean()) < float(radar.surface_precip.max())


@pytest.mark.slow
def test_a_simulated_radar_gives_the_truth_of_its_granule(tmp_path):
    granule = simulate_granule("gmi", tmp_path / "1C.HDF5", seed=5, scans=60, with_radar=True,
                               start=np.datetime64("2016-07-01T12:00", "ns"))  # fmt: skip
    with xr.open_dataset(truth_path(granule)) as truth:
        true = truth.surface_precip.values
    found = match_reference(xrain.open_l1c(granule), xrain.open_reference(radar_path(granule)))
    use = (found.reference_fraction.values > 0.99) & np.isfinite(true)
    assert use.sum() > 1000
    rate = found.reference_precip.values[use]
    assert np.corrcoef(rate, true[use])[0, 1] > 0.99
    assert rate.mean() == pytest.approx(true[use].mean(), rel=0.1)


# ---- what comes back, what is refused


def test_the_result_has_cf_attributes_and_survives_a_file(tmp_path):
    radar = flat((0, 0), 30, 40, 5.0, surface_precip=lambda x, y: 0 * x + 1)
    radar.attrs |= {"product": "2ADPR", "sensor": "DPR", "granule": "2A.HDF5"}
    pixels = flat((0, 0), 5, 4, 10.0)
    found = match_footprints(pixels, radar)
    for name in found.data_vars:
        assert found[name].dims == ("scan", "pixel")
        assert found[name].attrs == ATTRIBUTES[name]
    assert found.attrs["reference_product"] == "2ADPR"
    assert found.attrs["sensor"] == "GMI"
    assert found.reference_count.dtype == np.int32
    found.to_netcdf(tmp_path / "m.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "m.nc", engine="h5netcdf") as copy:
        xr.testing.assert_allclose(copy, found)
        assert copy.reference_time_difference.dtype == np.float32
    named = match_footprints(pixels, radar, footprint="10.65V")
    assert (named.reference_count > found.reference_count).all()


def test_dask_arrays_and_other_orders_of_dimensions():
    radar = flat((0, 0), 30, 40, 5.0, surface_precip=lambda x, y: x + 100)
    pixels = flat((0, 0), 5, 4, 10.0)
    found = match_footprints(pixels, radar)
    turned = match_footprints(pixels.transpose("pixel", "scan").chunk(), radar.transpose().chunk(7))
    xr.testing.assert_allclose(found, turned)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda s, r: (s.drop_vars("latitude"), r), {}, "latitude missing: without positions"),
        (lambda s, r: (s.isel(scan=0), r), {}, r"dimensions \('pixel',\); a swath"),
        (lambda s, r: (s.drop_vars("time"), r), {}, "the swath has no time; give it, or max_min"),
        (lambda s, r: (s, r.drop_vars("time")), {}, "the reference has no time"),
        (lambda s, r: (s.drop_attrs(), r), {}, "the sensor None is not known, .* give footprint"),
        (lambda s, r: (s, r), {"footprint": -3.0}, "footprint is -3.0; it is a width in km"),
        (lambda s, r: (s, r), {"max_minutes": 0}, "max_minutes is 0; it must be more than 0"),
        (lambda s, r: (s, r), {"variable": "rain"}, "no rain; there are surface_precip. Say with"),
        (lambda s, r: (s, r.rename(scan="y", pixel="x", latitude="a", longitude="b", time="c")),
         {"max_minutes": None}, "lacks a coordinate. Give latitude and longitude"),
        (lambda s, r: (s, projected()[0]), {}, "dimensions y and x but no projection"),
        (lambda s, r: (s, projected()[0].assign_attrs(projection="nonsense")), {},
         "projection 'nonsense' is not understood"),
    ],
)  # fmt: skip
def test_what_cannot_be_matched_is_told(change, options, message):
    radar = flat((0, 0), 30, 40, 5.0, surface_precip=lambda x, y: 0 * x + 1)
    ours, theirs = change(flat((0, 0), 5, 4, 10.0), radar)
    with pytest.raises(InputError, match=message):
        match_footprints(ours, theirs, **options)


def test_unknown_channels_and_swaths_without_a_position():
    radar = flat((0, 0), 30, 40, 5.0, surface_precip=lambda x, y: 0 * x + 1)
    pixels = flat((0, 0), 5, 4, 10.0)
    with pytest.raises(UnknownChannelError):
        match_footprints(pixels, radar, footprint="1.4V")
    pixels["latitude"] = pixels.latitude * np.nan
    for match in (match_footprints, match_pixels):
        with pytest.raises(NoOverlapError, match="reference"):
            match(pixels, radar)
