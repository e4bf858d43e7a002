"""Positions, times and angles under the names of other tools."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xrain.naming import is_zenith_angle, known_names
from xrain.testing import fake_swath

COORDS = ("latitude", "longitude", "time", "earth_incidence_angle")


@pytest.fixture
def swath():
    return fake_swath("MHS", 6, 5)


def test_known_names_are_left_alone(swath):
    assert known_names(swath) is swath


def test_plain_variables_become_coordinates(swath):
    assert known_names(swath.reset_coords(list(COORDS))).identical(swath)


@pytest.mark.parametrize(
    "names",
    [
        {"latitude": "lat", "longitude": "lon", "time": "scan_time", "tb": "Tc"},
        {"latitude": "Latitude", "longitude": "Longitude", "time": "ScanTime", "tb": "TB"},
        {"earth_incidence_angle": "incidence_angle"},
        {"earth_incidence_angle": "incidenceAngle", "latitude": "lats"},
        {"earth_incidence_angle": "satellite_zenith_angle", "tb": "brightness_temperature"},
    ],
)
def test_names_of_other_tools_are_understood(swath, names):
    theirs = swath.rename(names)
    assert known_names(theirs).identical(swath)
    assert known_names(theirs.reset_coords([names.get(n, n) for n in COORDS])).identical(swath)


def test_cf_standard_names_are_understood(swath):
    odd = {"latitude": "phi", "longitude": "lambda", "earth_incidence_angle": "theta", "time": "t"}
    assert known_names(swath.rename(odd)).identical(swath)


def test_two_candidates_are_none(swath):
    both = swath.rename(latitude="lat").assign_coords(lats=swath.latitude.variable)
    assert "latitude" not in known_names(both).variables


def test_axes_of_a_map_are_not_positions_of_a_swath():
    grid = xr.Dataset({"surface_precip": (("lat", "lon"), np.zeros((2, 3)))})
    grid = grid.assign_coords(lat=[0.0, 1.0], lon=[0.0, 1.0, 2.0])
    assert known_names(grid) is grid


def test_another_variable_is_none(swath):
    other = swath.rename(latitude="sun_latitude", earth_incidence_angle="solar_zenith_angle")
    for name in ("sun_latitude", "solar_zenith_angle"):
        other[name].attrs.clear()
    out = known_names(other)
    assert not {"latitude", "earth_incidence_angle"} & set(out.variables)


def test_the_zenith_of_the_sun_is_not_that_of_the_satellite():
    assert is_zenith_angle("satellite_zenith_horn1")
    assert is_zenith_angle("x", "sensor_zenith_angle")
    assert is_zenith_angle("sat_zen")
    assert not is_zenith_angle("solar_zenith_angle")
    assert not is_zenith_angle("btemp_89.0v")
