"""Rain does not depend on where a file begins, nor on the direction in which its scans run."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.demo import demo_granule
from xrain.models.store import load_model

WET = 0.1
"""Rate in mm/h from which on a pixel of the storm counts."""


@functools.cache
def storm() -> xr.Dataset:
    """The packaged granule: a simulated storm over real physics of the instrument."""
    with xrain.open_l1c(demo_granule()) as ds:
        return ds.load()


@functools.cache
def rain_of_the_whole() -> xr.Dataset:
    return xrain.retrieve(storm(), "gmi-unet")


@pytest.mark.parametrize("cut", [1, 5, 8, 101])
def test_a_swath_that_begins_later_has_the_same_rain(cut):
    part = xrain.retrieve(storm().isel(scan=slice(cut, None)), "gmi-unet")
    halo = load_model("gmi-unet").network.config.halo
    inside = slice(cut + halo, None)
    for name in ("surface_precip", "probability_of_precip"):
        expected = rain_of_the_whole()[name].isel(scan=inside)
        np.testing.assert_allclose(part[name].isel(scan=slice(halo, None)), expected, atol=1e-4)


def test_scans_in_reverse_order_give_the_same_rain():
    turned = xrain.retrieve(storm().isel(scan=slice(None, None, -1)), "gmi-unet")
    back = turned.isel(scan=slice(None, None, -1))
    for name in ("surface_precip", "probability_of_precip"):
        expected = rain_of_the_whole()[name]
        assert float((expected >= WET).mean()) > 0.05
        np.testing.assert_allclose(back[name], expected, atol=1e-3)
