"""The accessor only delegates; here it does so with the real functions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.sensors import get_sensor
from xrain.testing import fake_swath, tiny_model


@pytest.fixture
def swath():
    return fake_swath("GMI", 20, 30)


def test_sensor_and_channels(swath):
    assert swath.rain.sensor is get_sensor("gmi")
    assert swath.rain.channels == list(get_sensor("gmi").channels)
    assert fake_swath("SSMI", 4, 4).assign_attrs(sensor="SSM/I").rain.sensor is get_sensor("SSMI")


def test_an_unknown_sensor_still_has_channels(swath):
    del swath.attrs["sensor"]
    assert swath.rain.sensor is None
    assert [c.frequency for c in swath.rain.channels] == pytest.approx(swath.frequency.values)


def test_channels_need_names(swath):
    with pytest.raises(xrain.XrainError, match="no coordinate 'channel'"):
        _ = swath.drop_vars("channel").rain.channels


def test_retrieve_is_the_function(swath):
    model = tiny_model("gmi", seed=1)
    by_method = swath.rain.retrieve(model, quantiles=(0.1, 0.9), device="cpu")
    by_function = xrain.retrieve(swath, model, quantiles=(0.1, 0.9), device="cpu")
    assert by_method.equals(by_function)
    assert swath.rain.retrieve(model).sizes["quantile"] == 3
    assert "quantile" not in swath.rain.retrieve(model, quantiles=()).sizes


def test_check_is_the_function(swath):
    model = tiny_model("gmi")
    assert swath.rain.check(model) == xrain.check(swath, model) == []
    assert swath.drop_vars("latitude").rain.check(model)


def test_resample_is_the_function(swath):
    model = tiny_model("gmi")
    rain = swath.rain.retrieve(model)
    xr.testing.assert_identical(rain.rain.resample("0.5deg"), xrain.resample(rain, "0.5deg"))


def test_the_result_does_not_hide_the_accessor(swath):
    rain = swath.rain.retrieve(tiny_model("gmi"))
    assert rain.rain.sensor is get_sensor("gmi")
    assert np.isfinite(rain.surface_precip).all()


def test_the_accessor_gives_way_to_what_a_dataset_calls_rain(swath):
    plain = xr.Dataset({"rain": ("x", np.float32([1, 2]))})
    assert plain.rain.identical(plain["rain"])
    assert plain.rain.mean() == 1.5
    assert xr.Dataset(coords={"rain": ("x", [3.0])}).rain.item() == 3.0
    assert xr.Dataset(attrs={"rain": "none"}).rain == "none"
    both = swath.assign(rain=swath.latitude * 0)
    assert both.rain.identical(both["rain"])
    assert both.xrain.sensor is get_sensor("gmi")


def test_a_variable_that_is_added_or_replaced_is_seen(swath):
    assert swath.rain.sensor is get_sensor("gmi")
    swath["rain"] = swath.latitude * 0
    assert swath.rain.identical(swath["rain"])
    swath["rain"] = swath.latitude * 0 + 1
    assert float(swath.rain.min()) == 1.0
    assert swath.drop_vars("rain").rain.sensor is get_sensor("gmi")


def test_a_file_opened_by_somebody_else_keeps_its_rain(tmp_path):
    """xarray imports every engine at the first open, this package's among them."""
    xr.Dataset({"rain": ("x", np.float32([1, 2]))}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    code = (
        f"import xarray; print(float(xarray.open_dataset({str(tmp_path / 'a.nc')!r}).rain.mean()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1.5"
