from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xrain.demo import compare, demo_granule, demo_radar, run_demo
from xrain.errors import UnknownSensorError
from xrain.io.open import open_l1c
from xrain.simulate.rain_maps import open_rain_map


def field(values: list[float]) -> xr.DataArray:
    return xr.DataArray(np.array(values, "f4"), dims="sample")


def test_the_comparison_leaves_out_what_is_missing() -> None:
    text = compare(field([1.5, 2.5, 9.0, np.nan]), field([1.0, 2.0, np.nan, 4.0]))
    assert "correlation 1.00, bias +0.50 mm/h, mean rain 1.50 mm/h, over 2 pixels" in text


def test_nothing_in_common_is_said() -> None:
    assert "no pixel" in compare(field([np.nan, 1.0]), field([1.0, np.nan]))


def test_the_packaged_granule_says_that_it_is_simulated_and_has_its_truth() -> None:
    path = demo_granule()
    with (
        open_l1c(path) as ds,
        xr.open_dataset(path.with_suffix(".truth.nc"), engine="h5netcdf") as truth,
    ):
        assert ds.attrs["simulated"].startswith("Generator xrain")
        for name in ("latitude", "longitude"):
            np.testing.assert_array_equal(ds[name], truth[name])
        assert 0.05 < float((truth["surface_precip"] > 0.1).mean()) < 0.5
        assert ds["tb"].notnull().any(("scan", "pixel")).all()
    assert sum(p.stat().st_size for p in path.parent.glob("demo.*")) <= 3e6


def test_an_unknown_sensor_is_refused_before_anything_is_written(tmp_path) -> None:
    with pytest.raises(UnknownSensorError):
        list(run_demo(tmp_path / "out", sensor="abacus"))
    assert not list(tmp_path.glob("out/*"))


def test_the_packaged_radar_field_is_small_names_its_source_and_can_be_flown_over() -> None:
    assert demo_radar().stat().st_size < 1e6
    with xr.open_dataset(demo_radar(), engine="h5netcdf") as ds:
        assert "MRMS" in ds.attrs["source"]
        assert "public domain" in ds.attrs["source"]
        assert float(ds.rain_rate.max()) > 50
    rain = open_rain_map(demo_radar(), time=1)
    assert 900 < rain.extent[0] < 1300
    assert 0.05 < (rain.rate > 1).mean() < 0.3
