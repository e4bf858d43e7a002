"""What a pixel of a radiometer sees: the half-power ellipse of its footprint on the ground."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xrain.geometry import EARTH_RADIUS, unit_vectors
from xrain.sensors import Channel, Sensor

Array = npt.NDArray[Any]


def footprint_widths(sensor: Sensor, channel: Channel, incidence: Array) -> tuple[Array, Array]:
    """Half-power widths in km along and across the line of sight.

    Conical scans keep theirs. For a cross-track scan the tabled width holds at nadir; it grows
    with the distance to the ground, and along the line of sight with the slant as well.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    channel : Channel
        Whose footprint.
    incidence : ndarray
        Earth incidence angle in degrees.
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
    tangent = _tangent(points)
    east = np.stack([-points[..., 1], points[..., 0], np.zeros_like(points[..., 0])], axis=-1)
    tangent = np.where(np.isfinite(tangent[..., :1]), tangent, east)
    tangent -= points * np.einsum("...k,...k->...", points, tangent)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
    normal = np.cross(points, tangent)
    return (normal, tangent) if scan_type == "conical" else (tangent, normal)


def _tangent(points: Array) -> Array:
    """Step along the scan: to both sides, or to the one side that is known."""
    step = np.diff(points, axis=1)
    pad = [(0, 0)] * 3
    sides = []
    for before in (1, 0):
        pad[1] = (before, 1 - before)
        sides.append(np.pad(step, pad, constant_values=np.nan))
    known = [np.isfinite(s[..., :1]) for s in sides]
    both = np.where(known[0], sides[0], 0) + np.where(known[1], sides[1], 0)
    out: Array = np.where(known[0] | known[1], both, np.float32(np.nan))
    return out
