"""Matching swath groups: the nearest pixel of the same pass, whatever way a granule is cut."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from xrain.geo.coregister import (
    LIMIT_FACTOR,
    ROW_WINDOW,
    Match,
    Window,
    align,
    match_nearest,
    source_rows,
)
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors
from xrain.sensors import get_sensor, list_sensors
from xrain.simulate.orbit import group_scans, scan_geometry, southernmost_orbit

START = np.datetime64("2020-07-01T12:00:00", "ns")


@functools.cache
def grid(sensor: str, group: str, scans: int) -> Window:
    """Positions of one group: so many reference scans from the southernmost point on."""
    table = get_sensor(sensor)
    swath = table.swath(group)
    platform = next(iter(table.platforms))
    orbit = southernmost_orbit(table, platform, START, 0.0)
    here = scan_geometry(table, swath, orbit, group_scans(table, swath, scans))
    lat, lon = here.latitude.astype("f4"), here.longitude.astype("f4")
    return Window(lat, lon, 0, len(lat))


def ratio_of(sensor: str, group: str) -> float:
    table = get_sensor(sensor)
    return table.swath(table.reference_swath).scan_period / table.swath(group).scan_period


def points(window: Window) -> np.ndarray:
    return unit_vectors(window.latitude, window.longitude).astype(float) * EARTH_RADIUS


def distances(reference: Window, source: Window, match: Match) -> np.ndarray:
    gap = points(source)[match.row, match.column] - points(reference)
    return np.where(match.found, np.linalg.norm(gap, axis=-1), np.nan)


def nearest_distance(reference: Window, source: Window) -> np.ndarray:
    there = points(source).reshape(-1, 3)
    out, _ = cKDTree(there[np.isfinite(there[:, 0])]).query(np.nan_to_num(points(reference)))
    return out


PAIRS = [
    pytest.param(name, swath.name, id=f"{name}-{swath.name}")
    for name in list_sensors()
    for swath in get_sensor(name).swaths
    if swath.name != get_sensor(name).reference_swath
]


@pytest.mark.parametrize(("sensor", "group"), PAIRS)
def test_the_match_is_the_nearest_pixel(sensor, group):
    reference = grid(sensor, get_sensor(sensor).reference_swath, 200)
    source = grid(sensor, group, 200)
    match = match_nearest(reference, source, ratio_of(sensor, group))
    best = nearest_distance(reference, source)
    excess = distances(reference, source, match) - best
    found = match.found
    across = np.nanmedian(np.linalg.norm(np.diff(points(source), axis=1), axis=-1))
    along = np.nanmedian(np.linalg.norm(np.diff(points(source), axis=0), axis=-1))
    cell = np.hypot(across, along)
    # ties, and cells at the end of a conical scan where the grid is far from square
    assert np.nanmax(excess) < 0.35 * cell
    assert np.nanmean(excess) < 0.003 * cell
    assert (excess[found] < 0.03 * cell).mean() > 0.99
    assert best[found].max() < LIMIT_FACTOR * 1.5 * cell
    inside = np.zeros_like(found)
    inside[25:-25, 25:-25] = True
    assert (~found[inside & (best < 0.45 * cell)]).mean() < 0.01


def test_a_grid_matches_itself():
    window = grid("GMI", "S1", 150)
    match = match_nearest(window, window)
    row, column = np.mgrid[:150, :221]
    np.testing.assert_array_equal(match.row, row)
    np.testing.assert_array_equal(match.column, column)


@pytest.mark.parametrize("pole", [1, -1])
def test_a_swath_over_the_pole_and_the_dateline(pole):
    """A made grid, 12 km by 5 km, straight over the pole; the source lies half a cell beside."""
    along, across = np.meshgrid(
        np.arange(-100, 100) * 12.0, np.arange(-60, 60) * 5.0, indexing="ij"
    )

    def window(x, y):
        colatitude = np.hypot(x, y) / EARTH_RADIUS
        latitude = pole * (90 - np.rad2deg(colatitude))
        return Window(latitude, np.rad2deg(np.arctan2(y, x)), 0, 200)

    match = match_nearest(window(along, across), window(along + 1.2, across - 1.0))
    row, column = np.mgrid[:200, :120]
    np.testing.assert_array_equal(match.row, row)
    np.testing.assert_array_equal(match.column, column)


@pytest.mark.parametrize("sensor", ["MHS", "SSMIS"])
def test_orbits_that_cross_do_not_mix(sensor):
    """A polar orbiter sees the pole again some 100 minutes later, an orbit's scans away."""
    table = get_sensor(sensor)
    group = table.reference_swath
    orbit = southernmost_orbit(table, next(iter(table.platforms)), START, 0.0)
    once = round(orbit.period / table.swath(group).scan_period)
    whole = grid(sensor, group, once + 100)
    found = points(whole)
    tree = cKDTree(found[:100].reshape(-1, 3))
    assert tree.query(found[once : once + 50])[0].min() < 40  # both passes see the same ground
    match = match_nearest(whole, whole)
    offset = match.row - np.arange(whole.total)[:, None]
    assert match.found.all()
    assert np.abs(offset).max() <= ROW_WINDOW
    assert (offset == 0).mean() > 0.999


def test_half_the_scans():
    """The low-frequency group of SSM/I has every second scan and every second pixel."""
    reference, source = grid("SSMI", "S2", 160), grid("SSMI", "S1", 160)
    match = match_nearest(reference, source, ratio_of("SSMI", "S1"))
    assert match.found[2:-2].all()
    expected = np.arange(160)[:, None] / 2
    assert np.abs(match.row - expected).max() <= 2
    assert set(np.unique(match.row)) == set(range(80))
    assert set(np.unique(match.column)) == set(range(64))


def with_holes(window: Window, seed: int, share: float) -> Window:
    rng = np.random.default_rng(seed)
    latitude = window.latitude.copy()
    latitude[rng.random(window.total) < share] = np.nan
    latitude[rng.random(latitude.shape) < share / 5] = np.nan
    return Window(latitude, np.where(np.isnan(latitude), np.nan, window.longitude), 0, window.total)


def test_missing_positions_match_nothing_and_disturb_nothing():
    whole, source = grid("GMI", "S1", 150), grid("GMI", "S2", 150)
    reference = with_holes(whole, 0, 0.1)
    match, full = match_nearest(reference, source), match_nearest(whole, source)
    given = np.isfinite(reference.latitude)
    assert not match.found[~given].any()
    best = nearest_distance(whole, source)
    excess = distances(whole, source, match)[match.found] - best[match.found]
    assert excess.max() < 5
    assert (match.found == full.found)[given].mean() > 0.98


def test_missing_source_pixels_are_not_matched():
    reference, source = grid("GMI", "S1", 150), with_holes(grid("GMI", "S2", 150), 1, 0.1)
    match = match_nearest(reference, source)
    chosen = source.latitude[match.row[match.found], match.column[match.found]]
    assert np.isfinite(chosen).all()
    best = nearest_distance(reference, source)
    excess = distances(reference, source, match)[match.found] - best[match.found]
    assert (excess < 0.5).mean() > 0.98


def test_nothing_there_matches_nothing():
    window = grid("GMI", "S1", 40)
    empty = Window(np.full((40, 221), np.nan, "f4"), np.full((40, 221), np.nan, "f4"), 0, 40)
    assert not match_nearest(window, empty).found.any()
    assert not match_nearest(empty, window).found.any()
    none = Window(window.latitude[:0], window.longitude[:0], 0, 0)
    assert match_nearest(none, window).row.shape == (0, 221)


def test_far_away_matches_nothing():
    window = grid("GMI", "S1", 100)
    away = Window(window.latitude + 10, window.longitude, 0, 100)
    assert not match_nearest(window, away).found.any()


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (3, 3)])
def test_tiny_grids(shape):
    latitude = np.linspace(0, 0.1 * shape[0], shape[0])[:, None] + np.zeros(shape)
    longitude = np.linspace(0, 0.1 * shape[1], shape[1]) + np.zeros(shape)
    window = Window(latitude, longitude, 0, shape[0])
    match = match_nearest(window, window)
    row, column = np.indices(shape)
    np.testing.assert_array_equal(match.row, row)
    np.testing.assert_array_equal(match.column, column)


@functools.cache
def damaged(sensor: str) -> tuple[Window, Window, float]:
    table = get_sensor(sensor)
    group = table.swaths[0 if table.swaths[0].name != table.reference_swath else -1].name
    reference = with_holes(grid(sensor, table.reference_swath, 400), 2, 0.02)
    return reference, with_holes(grid(sensor, group, 400), 3, 0.02), ratio_of(sensor, group)


@functools.cache
def matched(sensor: str) -> Match:
    return match_nearest(*damaged(sensor))


@settings(deadline=None, max_examples=12)
@given(st.sampled_from(["GMI", "SSMI", "TMI"]), st.integers(0, 399), st.integers(1, 400))
def test_a_part_matches_as_the_whole_does(sensor, start, count):
    reference, source, ratio = damaged(sensor)
    stop = min(start + count, 400)
    first, last = align(start, stop)
    last = min(last, 400)
    near = source_rows(start, stop, ratio, source.total)
    match = match_nearest(
        Window(reference.latitude[first:last], reference.longitude[first:last], first, 400),
        Window(source.latitude[near], source.longitude[near], near.start, source.total),
        ratio,
    )
    here, whole = slice(start - first, stop - first), matched(sensor)
    row = np.where(match.found, match.row + near.start, -1)[here]
    np.testing.assert_array_equal(row, whole.row[start:stop])
    np.testing.assert_array_equal(match.column[here], whole.column[start:stop])


@given(
    st.integers(0, 5000),
    st.integers(1, 600),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.integers(0, 6000),
)
def test_source_rows_lie_in_the_source(start, count, ratio, total):
    rows = source_rows(start, start + count, ratio, total)
    assert 0 <= rows.start <= rows.stop <= total
    assert total == 0 or rows.stop > rows.start or rows.start == total - 1
    expected = [r for r in (int(start * ratio), int((start + count - 1) * ratio)) if r < total]
    assert all(rows.start <= r < rows.stop for r in expected)


def test_taking_puts_the_fill_where_nothing_matches():
    match = Match(np.int32([[0, -1]]), np.int32([[1, -1]]))
    values = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(match.take(values, -5)[0], [[3, 4, 5], [-5, -5, -5]])
    codes = match.take(np.int8([[1, 2], [3, 4]]), -99)
    np.testing.assert_array_equal(codes, np.int8([[2, -99]]), strict=True)
