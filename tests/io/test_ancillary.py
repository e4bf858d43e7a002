"""Fields of a model brought to pixels: names, units, places, times."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.conventions import ANCILLARY, ATTRIBUTES
from xrain.errors import FileFormatError, InputError
from xrain.io.ancillary import add_ancillary, known_ancillary
from xrain.testing import fake_swath

START = np.datetime64("2020-07-01T11:00", "ns")


def field(lat, lon, hours) -> np.ndarray:
    """A field that linear interpolation gives back exactly, away from the seam."""
    return 260.0 + 0.2 * lat + 0.05 * lon + 0.5 * hours


def era5(step: float = 5.0, hours: int = 3, lon0: float = 0.0, **attrs) -> xr.Dataset:
    lat = np.arange(90.0, -90.1, -step)
    lon = np.arange(lon0, lon0 + 360.0, step)
    hour = np.arange(float(hours))
    values = field(lat[None, :, None], lon, hour[:, None, None])
    time = START + (hour * 3600).astype("timedelta64[s]")
    axes = {"time": time, "latitude": lat, "longitude": lon}
    dims = ("time", "latitude", "longitude")
    attrs = {"units": "K"} | attrs
    return xr.Dataset({"t2m": (dims, values, attrs)}, axes)


@pytest.fixture
def gmi() -> xr.Dataset:
    ds = fake_swath("GMI", 24, 18)
    assert (ds.longitude > 0).all()
    return ds


def expected(ds: xr.Dataset) -> np.ndarray:
    hours = ((ds.time - START) / np.timedelta64(1, "h")).broadcast_like(ds.latitude)
    return field(ds.latitude, ds.longitude, hours).values


def test_a_field_is_linear_in_space_and_time(gmi):
    found = add_ancillary(gmi, era5())["air_temperature_2m"]
    np.testing.assert_allclose(found, expected(gmi), atol=2e-3)
    assert found.attrs == ATTRIBUTES["air_temperature_2m"]
    assert found.dtype == np.float32
    xr.testing.assert_identical(gmi.rain.add_ancillary(era5())["air_temperature_2m"], found)


@pytest.mark.parametrize("turned", ["latitude", "longitude", "time"])
def test_axes_may_run_either_way(gmi, turned):
    source = era5()
    found = add_ancillary(gmi, source.isel({turned: slice(None, None, -1)}))
    np.testing.assert_allclose(found["air_temperature_2m"], expected(gmi), atol=2e-3)


def test_longitudes_from_minus_180_give_the_same(gmi):
    source = era5()
    west = source.assign_coords(longitude=(source.longitude + 180) % 360 - 180).sortby("longitude")
    a, b = (add_ancillary(gmi, s)["air_temperature_2m"] for s in (source, west))
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_the_seam_of_the_grid_is_closed(gmi):
    source = era5()
    source["t2m"][:] = 270.0 + 10.0 * np.cos(np.deg2rad(source.longitude))
    at = gmi.assign_coords(longitude=xr.full_like(gmi.longitude, -2.5))
    found = add_ancillary(at, source)["air_temperature_2m"]
    np.testing.assert_allclose(found, 270.0 + 5.0 * (1 + np.cos(np.deg2rad(5.0))), atol=1e-3)


@pytest.mark.parametrize(
    ("units", "value"),
    [("K", 271.3), ("degC", -1.85), ("Celsius", -1.85), ("degree_Fahrenheit", 28.67)],
)
def test_temperatures_are_converted(gmi, units, value):
    source = era5(units=units)
    source["t2m"][:] = value
    if units == "degree_Fahrenheit":
        source["t2m"].attrs["units"] = "degF"
    found = add_ancillary(gmi, source)["air_temperature_2m"]
    np.testing.assert_allclose(found, 271.3, atol=1e-3)


@pytest.mark.parametrize(("units", "factor"), [("kg m**-2", 1), ("mm", 1), ("g cm-2", 0.1)])
def test_vapour_is_converted(gmi, units, factor):
    source = era5(units=units).rename(t2m="prw")
    source["prw"][:] = 20.0 * factor
    found = add_ancillary(gmi, source)["total_column_water_vapor"]
    np.testing.assert_allclose(found, 20.0, atol=1e-4)


@pytest.mark.parametrize(
    ("called", "standard_name", "name"),
    [
        ("2t", None, "air_temperature_2m"),
        ("x", "air_temperature", "air_temperature_2m"),
        ("skt", None, "skin_temperature"),
        ("x", "surface_temperature", "skin_temperature"),
        ("total_column_water_vapour", None, "total_column_water_vapor"),
        ("x", "atmosphere_mass_content_of_water_vapor", "total_column_water_vapor"),
    ],
)
def test_fields_are_known_by_name_or_standard_name(gmi, called, standard_name, name):
    units = "kg m-2" if "water" in name else "K"
    source = era5(units=units).rename(t2m=called)
    source[called][:] = 30.0 if units != "K" else 280.0
    if standard_name:
        source[called].attrs["standard_name"] = standard_name
    added = set(add_ancillary(gmi, source).variables) & set(ANCILLARY)
    assert added == {name}


def test_era5_as_it_is_downloaded(gmi, tmp_path):
    """The names of the Climate Data Store: valid_time, number and expver beside it."""
    source = era5().rename(time="valid_time").assign_coords(number=0)
    source = source.assign_coords(expver=("valid_time", ["0001"] * 3))
    path = tmp_path / "era5.nc"
    source.to_netcdf(path)
    found = add_ancillary(gmi, path)["air_temperature_2m"]
    np.testing.assert_allclose(found, expected(gmi), atol=2e-3)


def test_lazy_input_gives_the_same(gmi):
    lazy = add_ancillary(gmi.chunk(scan=7), era5().chunk(time=1))
    whole = add_ancillary(gmi, era5())
    xr.testing.assert_equal(lazy["air_temperature_2m"], whole["air_temperature_2m"])
    assert lazy.tb.chunks is not None


def test_a_table_of_pixels(gmi):
    table = gmi.stack(sample=("scan", "pixel"), create_index=False)
    found = add_ancillary(table, era5())["air_temperature_2m"]
    assert found.dims == ("sample",)
    np.testing.assert_allclose(found.values, expected(gmi).ravel(), atol=2e-3)


# ---- what cannot be used


def test_units_that_are_none_are_refused(gmi):
    with pytest.raises(InputError, match="t2m: is in 'm s-1'"):
        add_ancillary(gmi, era5(units="m s-1"))
    source = era5()
    del source["t2m"].attrs["units"]
    with pytest.raises(InputError, match="t2m: has no units"):
        add_ancillary(gmi, source)


def test_values_that_cannot_be_are_refused(gmi):
    source = era5()
    with pytest.raises(InputError, match="lie outside 170 to 340 K"):
        add_ancillary(gmi, source.assign(t2m=source.t2m.copy() * 0 + 12.0))


def test_times_that_are_others_are_refused(gmi):
    source = era5()
    late = source.assign_coords(time=source.time + np.timedelta64(2, "D"))
    with pytest.raises(InputError, match=r"t2m holds for 2020-07-03T11:00 to .*the pixels are of"):
        add_ancillary(gmi, late)
    with pytest.raises(InputError, match="no coordinate that is its time"):
        add_ancillary(gmi, source.isel(time=0, drop=True))
    with pytest.raises(InputError, match="no time"):
        add_ancillary(gmi.drop_vars("time"), source)


def test_one_field_stands_for_three_hours(gmi):
    near = era5().isel(time=[0])
    assert np.isfinite(add_ancillary(gmi, near)["air_temperature_2m"]).all()
    far = near.assign_coords(time=near.time - np.timedelta64(4, "h"))
    with pytest.raises(InputError, match="holds for"):
        add_ancillary(gmi, far)


def test_places_that_are_others_are_refused(gmi):
    source = era5(1.0).sel(latitude=slice(60, 50), longitude=slice(100, 120))
    with pytest.raises(InputError, match="covers 50 to 60° N and 100 to 120° E, and no pixel"):
        add_ancillary(gmi, source)
    with pytest.raises(InputError, match="dataset has no latitude"):
        add_ancillary(gmi.drop_vars("latitude"), source)


def test_a_part_of_the_pixels_may_be_outside(gmi):
    middle = float(gmi.latitude.median())
    south = era5(1.0)
    south = south.sel(latitude=south.latitude <= np.floor(middle))
    with pytest.warns(UserWarning, match="t2m is unknown for"):
        found = add_ancillary(gmi, south)["air_temperature_2m"]
    known = np.isfinite(found)
    assert 0 < known.sum() < found.size
    np.testing.assert_allclose(found.values[known], expected(gmi)[known], atol=0.3)
    rain = xrain.retrieve(gmi.assign(air_temperature_2m=found))
    assert np.isfinite(rain.probability_of_snow).all()


def test_a_source_without_fields_is_refused(gmi, tmp_path):
    with pytest.raises(InputError, match="the source has wind: none of them"):
        add_ancillary(gmi, era5().rename(t2m="wind"))
    with pytest.raises(FileFormatError, match="cannot be read"):
        add_ancillary(gmi, tmp_path / "nowhere.nc")


def test_more_dimensions_are_refused(gmi):
    members = xr.concat([era5(), era5()], "number")
    with pytest.raises(InputError, match="choose one of each"):
        add_ancillary(gmi, members)


def test_fields_on_pixels_are_known_by_any_name(gmi):
    celsius = xr.full_like(gmi.latitude, -3.0, np.float32).assign_attrs(units="degC")
    named = known_ancillary(gmi.assign(t2m=celsius.drop_vars(["latitude", "longitude"])))
    np.testing.assert_allclose(named["air_temperature_2m"], 270.15, atol=1e-3)
    assert "t2m" not in named.variables
    wrong = gmi.assign(t2m=celsius.assign_attrs(units="hPa"))
    with pytest.raises(InputError, match="t2m: is in 'hPa'"):
        xrain.retrieve(wrong)
    grid = gmi.assign(air_temperature_2m=("y", np.zeros(3), {"units": "K"}))
    with pytest.raises(InputError, match="add_ancillary brings"):
        xrain.retrieve(grid)
