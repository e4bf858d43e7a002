"""What a pixel of a radiometer sees: the half-power ellipse of its footprint on the ground."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import INCIDENCE, LATITUDE
from xrain.geo.cells import steps
from xrain.geo.sphere import EARTH_RADIUS, unit_vectors
from xrain.sensors import Channel, Sensor

Array = npt.NDArray[Any]

STEEPEST: Final = 75.0
"""Largest earth incidence angle in degrees of any pixel. Larger ones are fill values."""


def footprint_widths(sensor: Sensor, channel: Channel, incidence: Array) -> tuple[Array, Array]:
    """Half-power widths in km along and across the line of sight.

    Conical scans keep theirs. For a cross-track scan the tabled width holds at nadir; it grows
    with the distance to the ground, and along the line of sight with the slant as well. So the
    beam of 2.2 degrees of ATMS sees 32 km at nadir and 137 by 60 km at the end of the scan.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    channel : Channel
        Whose footprint.
    incidence : ndarray
        Earth incidence angle in degrees.

    Returns
    -------
    along, across : ndarray
        In km, of the shape of `incidence`.

    References
    ----------
    Bennartz, R., 2000: Optimal convolution of AMSU-B to AMSU-A. *J. Atmos. Oceanic Technol.* 17,
    1215-1225, doi 10.1175/1520-0426(2000)017<1215:OCOABT>2.0.CO;2: the geometry of a cross-track
    scan.

    Examples
    --------
    >>> from xrain.sensors import get_sensor
    >>> atms = get_sensor("ATMS")
    >>> angles = nominal_incidence(atms, 96)[[0, 47]]
    >>> [w.round().tolist() for w in footprint_widths(atms, atms.rain_channel, angles)]
    [[137.0, 32.0], [60.0, 32.0]]
    """
    along, across = channel.footprint
    one = np.ones_like(incidence)
    if sensor.scan_type == "conical":
        return along * one, across * one
    theta = np.radians(incidence)
    ratio = EARTH_RADIUS / (EARTH_RADIUS + sensor.altitude)
    view = np.arcsin(ratio * np.sin(theta))
    arc = theta - view
    slant = np.sqrt(
        EARTH_RADIUS**2
        + (EARTH_RADIUS + sensor.altitude) ** 2
        - 2 * EARTH_RADIUS * (EARTH_RADIUS + sensor.altitude) * np.cos(arc)
    )
    growth = slant / sensor.altitude
    return along * growth / np.cos(theta), across * growth


def pixel_incidence(swath: xr.Dataset, sensor: Sensor) -> Array:
    """Earth incidence angle of every pixel: the swath's own, else that of the sensor's table.

    Parameters
    ----------
    swath : xarray.Dataset
        With ``latitude`` over two dimensions, maybe with ``earth_incidence_angle``.
    sensor : Sensor
        The instrument.

    Returns
    -------
    ndarray, shape (scan, pixel)
        Degrees. For a conical scan the nominal angle.
    """
    position = swath[LATITUDE]
    nominal = np.broadcast_to(nominal_incidence(sensor, position.shape[1]), position.shape)
    if INCIDENCE not in swath.variables or sensor.scan_type == "conical":
        return nominal
    given = swath[INCIDENCE]
    given = given.isel({d: 0 for d in given.dims if d not in position.dims})
    values = given.broadcast_like(position).transpose(*position.dims).values
    with np.errstate(invalid="ignore"):
        return np.where((values >= 0) & (values <= STEEPEST), values, nominal)


def nominal_incidence(sensor: Sensor, pixels: int) -> Array:
    """Earth incidence angle in degrees along a scan, from the sensor's table.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    pixels : int
        Pixels of a scan.
    """
    if sensor.scan_type == "conical":
        return np.full(pixels, sensor.rain_channel.incidence_angle)
    view = np.radians(np.linspace(-sensor.scan_angle, sensor.scan_angle, pixels))
    sine = (1 + sensor.altitude / EARTH_RADIUS) * np.sin(view)
    return np.asarray(np.degrees(np.arcsin(np.clip(np.abs(sine), 0, 1))))


def footprint_directions(latitude: Array, longitude: Array, scan_type: str) -> tuple[Array, Array]:
    """Directions on the ground along and across the line of sight of every pixel.

    A cross-track sounder looks along its scan. A conical scan is an arc around the point below
    the satellite, so it looks at right angles to the scan.

    Parameters
    ----------
    latitude, longitude : ndarray, shape (scan, pixel)
        Degrees, NaN where unknown.
    scan_type : str
        ``"conical"`` or ``"cross-track"``.

    Returns
    -------
    along, across : ndarray of float32, shape (scan, pixel, 3)
        Unit vectors in the tangent plane; east and north where a pixel has no neighbour.
    """
    points = unit_vectors(latitude, longitude)
    tangent = steps(points, 1)
    east = np.stack([-points[..., 1], points[..., 0], np.zeros_like(points[..., 0])], axis=-1)
    tangent = np.where(np.isfinite(tangent[..., :1]), tangent, east)
    tangent -= points * np.einsum("...k,...k->...", points, tangent)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
    normal = np.cross(points, tangent)
    return (normal, tangent) if scan_type == "conical" else (tangent, normal)
