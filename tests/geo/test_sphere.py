"""Positions on the sphere."""

from __future__ import annotations

import numpy as np
import pytest

from xrain.geo.sphere import valid_positions

FILLS = [-9999.9, -999.0, -99.9, 655.35, 65535.0, 1e20, 1e30, -1e10, 9.97e36, np.inf, np.nan]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fill_value_is_no_position(fill, dtype):
    lat = np.array([10.0, fill, 10.0, fill], dtype)
    lon = np.array([20.0, 20.0, fill, fill], dtype)
    # -99.9 is a longitude, but no latitude
    expected = [True, False, fill == -99.9, False]
    assert valid_positions(lat, lon).tolist() == expected


def test_both_conventions_of_longitude_are_valid():
    lat = np.array([90.0, -90.0, 0.0])
    lon = np.array([360.0, -180.0, 359.99])
    assert valid_positions(lat, lon).all()


def test_limits_are_exact_and_shapes_broadcast():
    assert not valid_positions([90.0001], [0.0])[0]
    assert not valid_positions([0.0], [-360.01])[0]
    assert valid_positions(np.zeros((3, 1)), np.zeros((1, 4))).shape == (3, 4)
