"""A plane that follows the swath: x to the right of the ground track, y along it.

It unrolls the track of any length without distortion along it; points away from the track keep
their great-circle distance. The earth's rotation is in the track, as in the real swath.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xrain.geo.sphere import EARTH_RADIUS
from xrain.sensors import Sensor
from xrain.simulate.instrument import SwathPlane
from xrain.simulate.orbit import Orbit, ScanGeometry

__all__ = ["moved", "swath_plane", "to_earth", "to_track"]

Array = NDArray[np.float64]


def _frame(orbit: Orbit, y: Array) -> tuple[Array, Array, Array]:
    """Return unit vectors up, forward and right where the track has gone y km."""
    position, forward = orbit.frame(y / orbit.ground_speed)
    up = position / np.linalg.norm(position, axis=-1, keepdims=True)
    return up, forward, np.cross(forward, up)


def to_earth(orbit: Orbit, x: Array, y: Array) -> tuple[Array, Array]:
    """Latitude and longitude in degrees of points on the plane.

    Parameters
    ----------
    orbit : Orbit
        The orbit whose track is followed; y is 0 at its start.
    x, y : array
        Kilometres; they broadcast.
    """
    x, y = np.broadcast_arrays(x, y)
    up, _, right = _frame(orbit, y)
    arc = (x / EARTH_RADIUS)[..., None]
    point = np.cos(arc) * up + np.sin(arc) * right
    lat = np.degrees(np.arcsin(np.clip(point[..., 2], -1, 1)))
    return lat, np.degrees(np.arctan2(point[..., 1], point[..., 0]))


def to_track(orbit: Orbit, latitude: Array, longitude: Array, guess: Array) -> tuple[Array, Array]:
    """Find points of the earth on the plane.

    Parameters
    ----------
    orbit : Orbit
        The orbit whose track is followed.
    latitude, longitude : array
        Degrees.
    guess : array
        Kilometres along the track, good to some 2000 km.

    Returns
    -------
    x, y : array
        Kilometres to the right of the track and along it.
    """
    phi, lam = np.radians(latitude), np.radians(longitude)
    point = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    y = np.array(guess, np.float64)
    for _ in range(6):  # contracts by the ratio of the earth's rate to the orbit's, 1/14 or less
        _, forward, _ = _frame(orbit, y)
        y = y + EARTH_RADIUS * np.arcsin(np.einsum("...i,...i->...", point, forward))
    _, _, right = _frame(orbit, y)
    x = EARTH_RADIUS * np.arcsin(np.clip(np.einsum("...i,...i->...", point, right), -1, 1))
    return x, y


def swath_plane(sensor: Sensor, orbit: Orbit, geometry: ScanGeometry) -> SwathPlane:
    """Lay a group's pixels on the plane.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    orbit : Orbit
        Orbit of the geometry.
    geometry : ScanGeometry
        Where the pixels lie on the earth.
    """
    seconds = (geometry.time - orbit.start) / np.timedelta64(1, "s")
    guess = np.broadcast_to((seconds * orbit.ground_speed)[:, None], geometry.latitude.shape)
    x, y = to_track(orbit, geometry.latitude, geometry.longitude, guess)
    angle = np.broadcast_to(geometry.scan_angle, x.shape)
    if sensor.scan_type == "conical":
        view_x, view_y = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    else:
        view_x, view_y = np.where(angle < 0, -1.0, 1.0), np.zeros_like(x)
    return SwathPlane(x, y, view_x, view_y, geometry.incidence_angle, angle)


def moved(plane: SwathPlane, x0: float, y0: float) -> SwathPlane:
    """Shift the origin of a plane's pixels to x0, y0 (km)."""
    return replace(plane, x=plane.x - x0, y=plane.y - y0)
