from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from xrain.errors import FileFormatError, InputError
from xrain.io.rain_rates import open_rain_grid, rain_grid, rate_factor, to_mm_per_hour
from xrain.reference import match_footprints
from xrain.simulate.rain_maps import open_rain_map
from xrain.testing import fake_swath

RATES = {
    "mm h-1": 1.0, "mm/h": 1.0, "mm hr-1": 1.0, "mm/hr": 1.0, "mm h**-1": 1.0, "mm h^-1": 1.0,
    "millimeter/hour": 1.0, "millimetres per hour": 1.0, "MM/HR": 1.0, "kg m-2 h-1": 1.0,
    "kg m-2 s-1": 3600.0, "kg m**-2 s**-1": 3600.0, "kg/m2/s": 3600.0, "mm s-1": 3600.0,
    "m s-1": 3.6e6, "m s**-1": 3.6e6, "mm/day": 1 / 24, "mm d-1": 1 / 24, "kg m-2 day-1": 1 / 24,
    "cm h-1": 10.0, "in/hr": 25.4,
}  # fmt: skip


@pytest.mark.parametrize(("units", "factor"), RATES.items())
def test_rates_in_any_units_are_converted(units: str, factor: float) -> None:
    assert rate_factor(units) == pytest.approx(factor)


@pytest.mark.parametrize(
    "units", ["mm", "kg m-2", "K", "", "1", "m2 s-1", "mm h", "dBZ", "mm/30min", "kg m-2 s-2"]
)
def test_what_is_no_rate_is_refused(units: str) -> None:
    assert rate_factor(units) is None
    with pytest.raises(InputError, match="no rain rate"):
        to_mm_per_hour(xr.DataArray([1.0], attrs={"units": units}), "here")


def grid(units: str | None, factor: float) -> xr.Dataset:
    """2 mm/h everywhere under the swath, told in some units."""
    swath = fake_swath("gmi", 8)
    lat = np.arange(float(swath.latitude.min()) - 2, float(swath.latitude.max()) + 2, 0.1)
    lon = np.arange(float(swath.longitude.min()) - 2, float(swath.longitude.max()) + 2, 0.1)
    rate = np.full((lat.size, lon.size), 2.0 / factor)
    attrs = {} if units is None else {"units": units}
    return xr.Dataset(
        {"rain_rate": (("latitude", "longitude"), rate, attrs)},
        {"latitude": lat, "longitude": lon, "time": swath.time.values[0]},
    )


@pytest.mark.parametrize("units", ["kg m-2 s-1", "m s-1", "mm/day", "mm/hr"])
def test_every_reader_of_a_grid_gives_mm_per_hour(units: str, tmp_path: Path) -> None:
    ds = grid(units, RATES[units])
    ds.to_netcdf(tmp_path / "rain.nc", engine="h5netcdf")
    with open_rain_grid(tmp_path / "rain.nc") as opened:
        assert opened["rain_rate"].attrs["units"] == "mm h-1"
        assert opened["rain_rate"].values == pytest.approx(2.0)
    assert np.nanmax(np.abs(open_rain_map(tmp_path / "rain.nc").rate - 2.0)) < 1e-5
    swath = fake_swath("gmi", 8)
    for source in (ds, rain_grid(ds, "here")):
        found = match_footprints(swath, source, max_minutes=None)["reference_precip"]
        assert np.nanmax(np.abs(found.values - 2.0)) < 1e-5


def test_a_file_must_tell_its_units_and_a_dataset_may(tmp_path: Path) -> None:
    ds = grid(None, 1.0)
    assert rain_grid(ds, "here")["rain_rate"].values == pytest.approx(2.0)
    ds.to_netcdf(tmp_path / "rain.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=r"rain\.nc: rain_rate does not say its units"):
        open_rain_grid(tmp_path / "rain.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(FileFormatError, match="cannot be read as netCDF"):
        open_rain_grid(tmp_path / "text.nc")
