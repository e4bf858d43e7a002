"""Pixels of one radiometer as another would have seen them."""

import numpy as np
import pytest

from xrain.sensors import get_sensor
from xrain.training.translation import (
    NEAREST,
    Library,
    Translator,
    make_library,
    simulate_ice_sheets,
)

SENSORS = ("GMI", "MHS", "TMI")
NEEDED = (
    "skin_temperature", "total_column_water_vapour", "total_column_cloud_liquid", "u10", "v10",
)  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory, write_matchups):
    return write_matchups(tmp_path_factory.mktemp("tables") / "phase.nc", count=240)


@pytest.fixture(scope="module")
def library(table):
    return make_library([table], SENSORS, seed=3)


def test_every_radiometer_sees_the_same_columns(library):
    assert library.tb.shape == (240, 13 + 5 + 9)
    gmi, tmi = library.tb[:, library.columns("GMI")], library.tb[:, library.columns("TMI")]
    assert np.isfinite(library.tb).all()
    # 37 GHz in V at nearly the same angle
    assert np.corrcoef(gmi[:, 5], tmi[:, 5])[0, 1] > 0.95
    assert abs((gmi[:, 5] - tmi[:, 5]).mean()) < 3.0
    np.testing.assert_allclose(library.angles(np.arange(3), "TMI"), 53.2, atol=0.5)
    assert len(np.unique(library.angles(np.arange(240), "MHS"))) == 240


def test_columns_are_kept_and_drawn_from_a_seed(library, table, tmp_path):
    library.save(tmp_path / "columns.npz")
    again = Library.load(tmp_path / "columns.npz")
    assert again.sensors == SENSORS
    np.testing.assert_array_equal(again.tb, library.tb)
    np.testing.assert_array_equal(make_library([table], SENSORS, seed=3).tb, library.tb)
    assert np.abs(make_library([table], SENSORS, seed=4).tb - library.tb).max() > 1.0


def test_a_column_is_translated_into_itself(library):
    translator = Translator(library, "GMI")
    own = library.tb[:, library.columns("GMI")]
    near = translator.nearest(own, library.land)
    assert near.shape == (240, NEAREST)
    np.testing.assert_array_equal(near[:, 0], np.arange(240))
    tb, angle = translator.translate(own, near[:, 0], "MHS")
    np.testing.assert_allclose(tb, library.tb[:, library.columns("MHS")], atol=1e-3)
    np.testing.assert_array_equal(angle, library.angle)
    # What was seen warmer than the column stays warmer in the other's nearest channels.
    warmer, _ = translator.translate(own + 2.0, near[:, 0], "MHS")
    np.testing.assert_allclose(warmer - tb, 2.0, atol=1e-3)
    same, angle = translator.translate(own, near[:, 0], "GMI")
    np.testing.assert_array_equal(same, own)
    np.testing.assert_allclose(angle, get_sensor("GMI").channels[0].incidence_angle)


def test_land_is_not_taken_for_sea(library):
    translator = Translator(library, "GMI")
    own = library.tb[:, library.columns("GMI")]
    near = translator.nearest(own, library.land)
    like = np.abs(library.land[near] - library.land[:, None]) < 0.5
    assert like.mean() > 0.95


def test_ice_sheets_are_cold_and_scatter():
    ice = simulate_ice_sheets(200, SENSORS, seed=1)
    window = ice.tb[:, ice.columns("MHS")][:, :2]
    assert 140 < np.median(window) < 230
    assert set(np.unique(ice.land)) == {0.0, 1.0}
