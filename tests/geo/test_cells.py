"""The step between pixels: one definition, whatever is wrong with a swath."""

from __future__ import annotations

import time

import numpy as np
import pytest

from xrain.geo.cells import jumps, spacing, steps, steps_at, swath_of, unrepeated_scans
from xrain.geo.coregister import Window, match_nearest
from xrain.geo.nearest import nearest_points
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors

KM = 180 / (np.pi * EARTH_RADIUS)
"""Degrees of latitude in a km."""


def grid(scans: int = 12, pixels: int = 9, step: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Positions near the equator, 5 km apart along the track and 10 km along the scan."""
    lat, lon = np.meshgrid(
        np.arange(scans) * step * KM, np.arange(pixels) * 2 * step * KM, indexing="ij"
    )
    return lat, lon


def lengths(latitude: np.ndarray, longitude: np.ndarray, axis: int) -> np.ndarray:
    points = unit_vectors(latitude, longitude)
    return np.linalg.norm(steps(points, axis), axis=-1) * EARTH_RADIUS


def test_steps_of_an_even_grid_are_its_spacings() -> None:
    lat, lon = grid()
    np.testing.assert_allclose(lengths(lat, lon, 0), 5, rtol=1e-3)
    np.testing.assert_allclose(lengths(lat, lon, 1), 10, rtol=1e-3)
    assert spacing(unit_vectors(lat, lon)) == pytest.approx((5, 10), rel=1e-3)


@pytest.mark.parametrize(
    "order",
    [
        [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9],  # a scan twice
        [0, 1, 2, 3, 4, 5, 5, 5, 5, 6, 7, 8, 9],  # four times
        [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8],  # at both ends
        [0, 1, 2, 3, 4, 5, 6, 5, 6, 7, 8, 9],  # two scans again, as in files that overlap
        [0, 1, 2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6, 7, 8, 9],
        [9, 8, 7, 6, 6, 5, 4, 3, 2, 1, 0],
    ],
)
def test_scans_that_come_again_keep_the_size_of_their_cells(order: list[int]) -> None:
    lat, lon = grid(10)
    lat, lon = lat[order], lon[order]
    np.testing.assert_allclose(lengths(lat, lon, 0), 5, rtol=1e-3)
    np.testing.assert_allclose(swath_of(lat, lon).area, 50, rtol=2e-3)


def test_a_pixel_that_is_there_twice_keeps_the_size_of_its_cell() -> None:
    lat, lon = grid()
    lat, lon = np.repeat(lat, 2, axis=1), np.repeat(lon, 2, axis=1)
    np.testing.assert_allclose(lengths(lat, lon, 1), 10, rtol=1e-3)


def test_all_pixels_at_one_place_have_the_cell_of_a_lone_one() -> None:
    lat, lon = np.full((4, 5), 10.0), np.full((4, 5), 20.0)
    np.testing.assert_allclose(swath_of(lat, lon).area, 100, rtol=2e-3)


def test_jumps_and_gaps_do_not_widen_a_cell() -> None:
    lat, lon = grid()
    lat[6:] += 30
    assert jumps(unit_vectors(lat, lon)).tolist() == [6]
    np.testing.assert_allclose(lengths(lat, lon, 0), 5, rtol=1e-3)
    lat[3] = np.nan
    assert np.isnan(lengths(lat, lon, 0)[3]).all()
    np.testing.assert_allclose(np.delete(lengths(lat, lon, 0), 3, axis=0), 5, rtol=1e-3)
    assert jumps(unit_vectors(lat, lon)).tolist() == [6]


def test_steps_at_some_pixels_are_those_of_all() -> None:
    rng = np.random.default_rng(2)
    lat, lon = grid(40, 30)
    lat, lon = lat + rng.normal(0, 0.2 * KM, lat.shape), lon + rng.normal(0, 0.2 * KM, lat.shape)
    lat[20:] += 10
    lat[3, 4] = np.nan
    points = unit_vectors(lat, lon)
    row, column = (v.ravel() for v in np.indices(lat.shape))
    known = np.isfinite(points[row, column, 0])
    for made, axis in zip(steps_at(points, row, column), (0, 1), strict=True):
        np.testing.assert_array_equal(made[known], steps(points, axis)[row, column][known])


def test_scans_are_the_same_only_with_place_and_time() -> None:
    lat, lon = grid(4)
    order = [0, 1, 1, 2, 0, 3]
    lat, lon = lat[order], lon[order]
    time = np.array([0, 1, 1, 2, 50, 3], "M8[s]")
    assert unrepeated_scans(lat, lon).tolist() == [0, 1, 3, 5]
    assert unrepeated_scans(lat, lon, time).tolist() == [0, 1, 3, 4, 5]
    each = np.repeat(time[:, None], lat.shape[1], axis=1)
    assert unrepeated_scans(lat, lon, each).tolist() == [0, 1, 3, 4, 5]
    lat[:2] = -9999.9  # nobody knows where these are, so nobody knows that they are the same
    assert unrepeated_scans(lat, lon).tolist() == [0, 1, 2, 3, 4, 5]


def test_repeated_scans_of_a_source_group_lose_no_match() -> None:
    """The farthest match follows from the cell, so a cell of no size would match nothing."""
    lat, lon = grid(12, 9)
    reference = Window(lat, lon + 3 * KM, 0, 12)
    whole = match_nearest(reference, Window(lat, lon, 0, 12))
    order = np.array([0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9, 10, 11])
    again = match_nearest(reference, Window(lat[order], lon[order], 0, 14))
    assert whole.found.all()
    np.testing.assert_array_equal(order[again.row], whole.row)
    np.testing.assert_array_equal(again.column, whole.column)


def test_nearest_points_leaves_out_what_is_unknown_or_too_far() -> None:
    lat, lon = grid()
    points = unit_vectors(lat, lon, np.float64)
    points[2, 3] = np.nan
    sought = unit_vectors(np.array([lat[2, 3], lat[5, 5], np.nan, 60.0]),
                          np.array([lon[2, 3], lon[5, 5], 0.0, 0.0]), np.float64)  # fmt: skip
    found = nearest_points(points, sought, 8.0)
    assert found.tolist() == [found[0], 5 * 9 + 5, -1, -1]
    assert found[0] in (1 * 9 + 3, 3 * 9 + 3)
    assert nearest_points(points, sought)[3] >= 0
    assert (nearest_points(np.full((2, 2, 3), np.nan), sought) == -1).all()


@pytest.mark.parametrize("pattern", ["runs", "turns"])
def test_points_that_coincide_are_searched_once(pattern) -> None:
    """As where a receiver of positions is stuck; a search of all by each would take hours."""
    few = unit_vectors(np.array([0.0, 1.0, 2.0]), np.zeros(3), np.float64)
    order = np.repeat([0, 1, 2], 100_000) if pattern == "runs" else np.tile([0, 1, 2], 100_000)
    begun = time.process_time()
    found = nearest_points(few[order], few[order])
    assert time.process_time() - begun < 30
    np.testing.assert_array_equal(order[found], order)
