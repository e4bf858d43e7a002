"""What can be a brightness temperature, and how its unit is spelled."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from xrain.temperature import is_kelvin, possible_temperatures

FILLS = (-9999.9, -9999.0, -999.0, -99.0, -1e10, 0.0, 2.7, 655.35, 65535.0, 1e20, 9.96921e36)


@pytest.mark.parametrize("fill", [*FILLS, np.nan, np.inf, -np.inf])
def test_a_fill_value_is_missing(fill):
    tb = np.array([[fill, 20.0], [400.0, 250.5]], np.float32)
    before = tb.copy()
    out = possible_temperatures(tb)
    np.testing.assert_array_equal(out, np.array([[np.nan, 20.0], [400.0, 250.5]], np.float32))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(tb, before)


@pytest.mark.parametrize("kind", ["f8", ">f4", "i4", "u2"])
def test_every_type_of_number_becomes_float32(kind):
    out = possible_temperatures(np.array([0, 250], kind))
    assert out.dtype == np.dtype("f4")
    assert out.dtype.isnative
    np.testing.assert_array_equal(out, [np.nan, 250])


def test_a_lazy_array_stays_lazy():
    out = possible_temperatures(da.from_array(np.array([1e20, 250.0]), chunks=1))
    assert isinstance(out, da.Array)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out.compute(), [np.nan, 250])


def test_a_list_is_taken():
    np.testing.assert_array_equal(possible_temperatures([-1, 250]), [np.nan, 250])


# Spellings of UDUNITS-2 (udunits2-base.xml), Pint (default_en.txt), GeoIPS and MiRS files
@pytest.mark.parametrize(
    "unit",
    [
        "K", "kelvin", "Kelvin", "kelvins", "Kelvins", "KELVIN", "degK", "deg_K", "degreeK",
        "degreesK", "degree_K", "degrees_K", "degree_kelvin", "degrees_kelvin", "degree_Kelvin",
        "degrees_Kelvin", "degrees Kelvin", "Degrees Kelvin", "deg K", "°K", "° K", " K ", "K\0",
        "\u212a", b"K", np.str_("K"),
    ],
)  # fmt: skip
def test_kelvin_in_every_spelling(unit):
    assert is_kelvin(unit)


@pytest.mark.parametrize(
    "unit", ["degC", "celsius", "F", "mK", "kK", "K/h", "K m", "1", "", "k", "%", None]
)
def test_another_unit_is_not_kelvin(unit):
    assert not is_kelvin(unit)
