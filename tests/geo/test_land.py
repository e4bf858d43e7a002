"""The packaged land mask knows where land is."""

import numpy as np
import pytest

from xrain.geo.land import land_fraction


@pytest.mark.parametrize(
    ("latitude", "longitude", "land"),
    [
        (48.9, 2.3, 1), (40.0, -100.0, 1), (-25.0, 134.0, 1), (-80.0, 100.0, 1), (71.0, -40.0, 1),
        (0.0, -30.0, 0), (35.0, -150.0, 0), (-50.0, 90.0, 0), (43.0, 35.0, 0), (89.9, 0.0, 0),
    ],
)  # fmt: skip
def test_continents_and_oceans(latitude, longitude, land):
    assert land_fraction(latitude, longitude) == land


def test_coasts_are_mixed_and_longitudes_wrap():
    lat, lon = np.meshgrid(np.arange(50.0, 52, 0.05), np.arange(-5.0, 2, 0.05))
    coast = land_fraction(lat, lon)
    assert coast.dtype == np.float32
    assert ((coast > 0) & (coast < 1)).mean() > 0.05
    assert coast == pytest.approx(land_fraction(lat, lon + 360), abs=1e-5)
    assert np.array_equal(land_fraction(lat, 180.0), land_fraction(lat, -180.0))


def test_share_of_land_on_the_globe():
    lat, lon = np.meshgrid(np.arange(-89.5, 90), np.arange(-179.5, 180), indexing="ij")
    weight = np.cos(np.radians(lat))
    assert np.average(land_fraction(lat, lon), weights=weight) == pytest.approx(0.29, abs=0.01)


def test_no_position_no_answer():
    got = land_fraction([np.nan, 10, 95], [0, np.nan, 0])
    assert np.isnan(got).all()
