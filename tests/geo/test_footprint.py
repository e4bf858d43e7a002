"""What a pixel sees: one width of a footprint, in maps and in comparisons."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xrain.geo.footprint import footprint_widths, nominal_incidence, pixel_incidence
from xrain.geo.sphere import EARTH_RADIUS
from xrain.regrid import resample
from xrain.sensors import get_sensor

# Full widths of the beams of ATMS at nadir and at the end of the scan, in km, along the view and
# across it, as NOAA STAR gives them for 5.2, 2.2 and 1.1 degrees from 824 km.
PUBLISHED = [
    ("ATMS", "31.4QV", 96, 74.8, (323.1, 141.8)),
    ("ATMS", "88.2QV", 96, 31.6, (136.7, 60.0)),
    ("ATMS", "183.31+-1QH", 96, 15.8, (68.4, 30.0)),
    ("MHS", "89.0QV", 90, 15.8, (52.8, 27.1)),
]


@pytest.mark.parametrize(("name", "channel", "pixels", "nadir", "end"), PUBLISHED)
def test_widths_at_the_end_of_a_scan_are_those_that_are_published(
    name, channel, pixels, nadir, end
) -> None:
    sensor = get_sensor(name)
    angle = nominal_incidence(sensor, pixels)
    along, across = footprint_widths(sensor, sensor.channel(channel), angle)
    middle = pixels // 2
    np.testing.assert_allclose((along[middle], across[middle]), nadir, rtol=0.01)
    np.testing.assert_allclose((along[0], across[0]), end, rtol=0.012)
    np.testing.assert_allclose((along[-1], across[-1]), end, rtol=0.012)


def test_widths_across_the_view_follow_bennartz() -> None:
    """His fit to AMSU-B by the number of the pixel, for the width along the track."""
    sensor = get_sensor("AMSU-B")
    _, across = footprint_widths(sensor, sensor.rain_channel, nominal_incidence(sensor, 90))
    number = np.arange(1, 46)
    np.testing.assert_allclose(across[:45], 28.72 - 0.90 * number + 0.094 * number**1.5, rtol=0.05)


def one_scan_line(sensor: str, pixels: int) -> xr.Dataset:
    """Rows of pixels that all see straight down, or as the table of the sensor says."""
    lat, lon = np.meshgrid(np.arange(-6, 6, 0.1), np.arange(pixels) * 0.15, indexing="ij")
    value = np.zeros(lat.shape)
    value[60, 3], value[60, pixels // 2] = 1.0, 1.0
    dims = ("scan", "pixel")
    return xr.Dataset(
        {"value": (dims, value)},
        {"latitude": (dims, lat), "longitude": (dims, lon)},
        {"sensor": sensor},
    )


def half_width(made: xr.DataArray, longitude: float) -> float:
    """Full width at half maximum in km of the response to a point, along its meridian."""
    line = made.sel(x=longitude, method="nearest")
    far = float(line.y[line >= line.max() / 2].max())
    return 2 * np.deg2rad(far) * EARTH_RADIUS


@pytest.mark.parametrize(("sensor", "pixels", "end"), [("ATMS", 96, 70.0), ("MHS", 90, 30.0)])
def test_maps_use_the_same_widths(sensor: str, pixels: int, end: float) -> None:
    """The mean of both widths, also near the end of the scan."""
    ds = one_scan_line(sensor, pixels)
    made = resample(ds, "0.05deg", "gaussian").value
    table = get_sensor(sensor)
    angle = nominal_incidence(table, pixels)
    widths = np.sqrt(np.prod(footprint_widths(table, table.rain_channel, angle), axis=0))
    assert widths[3] > end
    spacing = 0.15 * np.pi / 180 * EARTH_RADIUS
    for pixel in (3, pixels // 2):
        expected = max(widths[pixel], spacing)
        assert half_width(made, 0.15 * pixel) == pytest.approx(expected, abs=0.11 * 111)


def test_the_angles_of_the_swath_count_where_it_has_them() -> None:
    ds = one_scan_line("ATMS", 96)
    sensor = get_sensor("ATMS")
    dims = ("scan", "pixel")
    down = ds.assign_coords(earth_incidence_angle=(dims, np.zeros(ds.latitude.shape, "f4")))
    assert (pixel_incidence(down, sensor) == 0).all()
    each = down.expand_dims(channel=2).transpose("channel", *dims)
    each = ds.assign_coords(earth_incidence_angle=each.earth_incidence_angle.expand_dims(channel=2))
    assert (pixel_incidence(each, sensor) == 0).all()
    fill = ds.assign_coords(earth_incidence_angle=down.earth_incidence_angle - 9999.9)
    np.testing.assert_array_equal(pixel_incidence(fill, sensor)[5], nominal_incidence(sensor, 96))
    made = resample(down, "0.05deg", "gaussian").value
    assert half_width(made, 0.45) == pytest.approx(31.6, abs=11)
    conical = ds.assign_attrs(sensor="GMI")
    assert (pixel_incidence(conical, get_sensor("GMI")) == 52.8).all()
