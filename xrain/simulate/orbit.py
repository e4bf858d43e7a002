"""Where a radiometer looks: circular inclined orbit, rotating earth, conical and cross-track scans.

The ground point of each pixel is the intersection of its line of sight with the WGS84 ellipsoid
(Hoffmann-Wellenhof et al. 2008, *GNSS*, ch. 8); the orbit is a circle, the earth turns under it
at its sidereal rate. The position of the sun is pyorbital's, geodetic coordinates are PROJ's.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrain.errors import InputError
from xrain.geo.sphere import EARTH_RADIUS
from xrain.sensors import Sensor, SwathGroup

__all__ = [
    "Orbit",
    "ScanGeometry",
    "group_scans",
    "local_solar_time",
    "orbit_over",
    "scan_geometry",
    "southernmost_orbit",
]

Array = NDArray[np.float64]

_SEMI_MAJOR, _SEMI_MINOR = 6378.137, 6356.752314  # km, WGS84
_MU = 398600.4418  # km3 s-2, WGS84
_EARTH_RATE = 7.2921159e-5  # rad s-1, sidereal
_PRECESSION = 1.99096871e-7  # rad s-1, node drift of a sun-synchronous orbit
_J2 = 1.08262668e-3
# Orbits that are not sun-synchronous, degrees: mission pages of GPM core, TRMM, Megha-Tropiques,
# the space station, FY-3G and TROPICS (Blackwell et al. 2018, doi 10.1002/qj.3290).
_INCLINATIONS = {
    "GPM": 65.0, "TRMM": 35.0, "MT1": 20.0, "ISS": 51.6, "FY3G": 50.0,
    **{f"TROPICS{i:02d}": 32.75 for i in (1, 3, 5, 6, 7)},
}  # fmt: skip
_BLOCK = 512  # scans computed at once, bounds the memory
_NIGHT = -88  # the archive's code for a sun below the horizon


@dataclass(frozen=True)
class Orbit:
    """A circular orbit over the rotating earth.

    Attributes
    ----------
    altitude : float
        Height above the mean sphere in km.
    inclination : float
        Inclination in degrees.
    node_longitude : float
        Longitude of the ascending node at `start` in degrees east, in the rotating frame.
    argument : float
        Angle from the ascending node at `start` in degrees (−90: southernmost point).
    start : numpy.datetime64
        Time of the first scan.
    """

    altitude: float
    inclination: float
    node_longitude: float
    argument: float
    start: np.datetime64

    @property
    def mean_motion(self) -> float:
        """Angular speed along the orbit in rad s-1."""
        return float(np.sqrt(_MU / (EARTH_RADIUS + self.altitude) ** 3))

    @property
    def period(self) -> float:
        """Orbit period in seconds."""
        return float(2 * np.pi / self.mean_motion)

    @property
    def ground_speed(self) -> float:
        """Speed of the sub-satellite point in km s-1, the earth's rotation left out."""
        return self.mean_motion * EARTH_RADIUS

    def frame(self, seconds: Array) -> tuple[Array, Array]:
        """Position in km and unit flight direction, earth-fixed, last axis xyz.

        Parameters
        ----------
        seconds : array
            Seconds since `start`, any shape.
        """
        u = np.radians(self.argument) + self.mean_motion * seconds
        node = np.radians(self.node_longitude) - _EARTH_RATE * seconds
        incl = np.radians(self.inclination)
        radius = EARTH_RADIUS + self.altitude
        return radius * _on_orbit(u, node, incl), _on_orbit(u + np.pi / 2, node, incl)


@dataclass(frozen=True)
class ScanGeometry:
    """Geometry of one swath group, arrays of (scan, pixel) unless said otherwise.

    Attributes
    ----------
    latitude, longitude : array
        Geodetic position in degrees.
    incidence_angle : array
        Angle of the line of sight from the local vertical in degrees.
    azimuth : array
        Direction in which the instrument looks, degrees clockwise from north at the pixel.
    scan_angle : array
        (pixel,) angle along the scan in degrees: azimuth from the flight direction for a conical
        scan, signed angle from nadir for a cross-track one.
    sun_glint_angle : array
        Angle between the mirrored line of sight and the sun in degrees, −88 at night.
    time : array of datetime64
        (scan,) time of each scan.
    spacecraft_latitude, spacecraft_longitude, spacecraft_altitude : array
        (scan,) sub-satellite point in degrees and height above the ellipsoid in km.
    """

    latitude: Array
    longitude: Array
    incidence_angle: Array
    azimuth: Array
    sun_glint_angle: Array
    scan_angle: Array
    time: NDArray[np.datetime64]
    spacecraft_latitude: Array
    spacecraft_longitude: Array
    spacecraft_altitude: Array


def _on_orbit(u: Array, node: Array, incl: float) -> Array:
    cu, su, co, so = np.cos(u), np.sin(u), np.cos(node), np.sin(node)
    ci = np.cos(incl)
    return np.stack([co * cu - so * su * ci, so * cu + co * su * ci, su * np.sin(incl)], axis=-1)


def inclination_of(platform: str, altitude: float) -> float:
    """Inclination in degrees: a known one, else that of a sun-synchronous orbit at `altitude` km.

    The node of a circular orbit drifts by −1.5 J2 (Re/a)² n cos i (Vallado 2013, eq. 9-37).
    """
    if platform in _INCLINATIONS:
        return _INCLINATIONS[platform]
    a = EARTH_RADIUS + altitude
    drift = 1.5 * _J2 * (_SEMI_MAJOR / a) ** 2 * np.sqrt(_MU / a**3)
    return float(np.degrees(np.arccos(-_PRECESSION / drift)))


def southernmost_orbit(
    sensor: Sensor, platform: str, start: np.datetime64, longitude: float = 0.0
) -> Orbit:
    """Orbit that starts at its southernmost point, as the archive cuts granules.

    Parameters
    ----------
    longitude : float
        Longitude of that point in degrees east.
    """
    incl = inclination_of(platform, sensor.altitude)
    # Seen from the node, the southernmost point of a prograde orbit lies 90 degrees behind.
    node = longitude + (90.0 if incl < 90.0 else -90.0)
    return Orbit(sensor.altitude, incl, node, -90.0, start.astype("datetime64[ns]"))


def orbit_over(
    sensor: Sensor,
    platform: str,
    start: np.datetime64,
    scans: int,
    latitude: float,
    longitude: float,
    *,
    ascending: bool = True,
    stretch: bool = False,
) -> Orbit:
    """Orbit whose reference swath has its middle over a point half-way through `scans` scans.

    Parameters
    ----------
    scans : int
        Scans of the reference swath.
    latitude, longitude : float
        Point that the middle of the swath shall see, in degrees.
    ascending : bool
        Whether the spacecraft flies north there.
    stretch : bool
        Raise the inclination to 5 degrees beyond the latitude if the platform's own orbit does
        not reach it, instead of an error.

    Raises
    ------
    InputError
        If the orbit never looks that far north or south.
    """
    group = sensor.swath(sensor.reference_swath)
    orbit = southernmost_orbit(sensor, platform, start)
    beyond = min(abs(latitude) + 5.0, 90.0)
    if stretch and min(orbit.inclination, 180.0 - orbit.inclination) < beyond:
        orbit = replace(orbit, inclination=beyond)
    orbit = replace(
        orbit,
        argument=_argument_at(orbit.inclination, latitude, ascending),
        node_longitude=0.0,
    )
    # Two unknowns (argument, node) by a few Newton steps on where the middle pixel falls.
    for _ in range(12):
        lat, lon = _middle(sensor, group, orbit)
        step = float(np.clip((latitude - lat) / _slope(sensor, group, orbit), -10.0, 10.0))
        orbit = replace(
            orbit,
            argument=orbit.argument + step,
            node_longitude=orbit.node_longitude + _wrap(longitude - lon),
        )
    lat, lon = _middle(sensor, group, orbit)
    if abs(lat - latitude) > 1.0 or abs(_wrap(lon - longitude)) > 1.0:
        raise InputError(
            f"{sensor.name} on {platform} (inclination {orbit.inclination:.0f} degrees) never "
            f"looks at latitude {latitude:g}; choose a place nearer to the equator"
        )
    half = 0.5 * (scans - 1) * group.scan_period
    return replace(
        orbit,
        argument=orbit.argument - np.degrees(orbit.mean_motion) * half,
        node_longitude=orbit.node_longitude + np.degrees(_EARTH_RATE) * half,
    )


def _argument_at(inclination: float, latitude: float, ascending: bool) -> float:
    ratio = np.sin(np.radians(latitude)) / np.sin(np.radians(inclination))
    u = float(np.degrees(np.arcsin(np.clip(ratio, -0.98, 0.98))))
    return u if ascending else 180.0 - u


def _middle(sensor: Sensor, group: SwathGroup, orbit: Orbit) -> tuple[float, float]:
    """Where the middle of the scan looks when the orbit stands at its argument."""
    latitude, longitude, *_ = _look(sensor, group, orbit, np.zeros((1, 1)), np.zeros(1))
    return float(latitude[0, 0]), float(longitude[0, 0])


def _slope(sensor: Sensor, group: SwathGroup, orbit: Orbit) -> float:
    """Change of the middle's latitude with the argument, kept off zero near the turning point."""
    step = 0.05
    ahead = replace(orbit, argument=orbit.argument + step)
    slope = (_middle(sensor, group, ahead)[0] - _middle(sensor, group, orbit)[0]) / step
    return slope if abs(slope) > 0.05 else float(np.copysign(0.05, slope))


def _wrap(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0


def group_scans(sensor: Sensor, group: SwathGroup, scans: int) -> int:
    """Count the scans of `group` while the reference swath makes `scans`; SSM/I S1 makes half."""
    reference = sensor.swath(sensor.reference_swath)
    return max(1, round(scans * reference.scan_period / group.scan_period))


def scan_angles(sensor: Sensor, group: SwathGroup) -> Array:
    """Angle of each pixel along the scan in degrees, from right (+) to left of the flight.

    Pixels of one scan are spread evenly over the sensor's sector, so groups with twice as many
    pixels lie between those of the others, as in the real instruments.
    """
    width = 2.0 * sensor.scan_angle
    step = width / group.pixels
    count = np.arange(group.pixels, dtype=np.float64)
    if sensor.scan_type == "conical":
        densest = max(s.pixels for s in sensor.swaths)
        first = sensor.scan_angle - 0.5 * width / densest  # all groups share their first pixel
        return first - step * count
    return sensor.scan_angle - width * count / max(group.pixels - 1, 1)


def scan_geometry(
    sensor: Sensor, group: SwathGroup, orbit: Orbit, scans: int, pixels: slice | None = None
) -> ScanGeometry:
    """Geometry of one swath group along an orbit.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    group : SwathGroup
        One of its swath groups.
    orbit : Orbit
        The orbit; its start is the time of the first scan.
    scans : int
        Scans of this group.
    pixels : slice, optional
        Part of each scan.

    Returns
    -------
    ScanGeometry
    """
    angles = scan_angles(sensor, group)[pixels or slice(None)]
    dwell = _seconds_into_scan(sensor, group)[pixels or slice(None)]
    starts = group.scan_period * np.arange(scans, dtype=np.float64)
    blocks = [
        _look(sensor, group, orbit, starts[i : i + _BLOCK, None] + dwell, angles)
        for i in range(0, scans, _BLOCK)
    ]
    lat, lon, inc, azi, glint = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    sc_lat, sc_lon, sc_alt = _geodetic(orbit.frame(starts)[0])
    time = orbit.start + np.round(starts * 1e3).astype("timedelta64[ms]")
    return ScanGeometry(
        lat, lon, inc, azi, glint, angles, time.astype("datetime64[ns]"), sc_lat, sc_lon, sc_alt
    )


def _seconds_into_scan(sensor: Sensor, group: SwathGroup) -> Array:
    """Seconds from the start of the scan to each pixel."""
    reference = sensor.swath(sensor.reference_swath)
    share = sensor.scan_angle / 180.0 if sensor.scan_type == "conical" else 0.65
    return share * reference.scan_period * np.arange(group.pixels) / group.pixels


def _nominal_incidence(sensor: Sensor, group: SwathGroup) -> float:
    return sensor.swath_channels(group.name)[0].incidence_angle


def _track_delay(sensor: Sensor, group: SwathGroup, orbit: Orbit) -> float:
    """Seconds by which the group looks ahead of the reference swath.

    A group on another cone gets its offset from the cone itself; only groups that share the
    reference's incidence angle need the along-track offset of the sensor table.
    """
    reference = sensor.swath(sensor.reference_swath)
    other = _nominal_incidence(sensor, group) - _nominal_incidence(sensor, reference)
    if abs(other) > 0.05:
        return 0.0
    return group.along_track_offset / orbit.ground_speed


def _look(
    sensor: Sensor, group: SwathGroup, orbit: Orbit, seconds: Array, angles: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Latitude, longitude, incidence, azimuth and sun glint angle of each line of sight."""
    position, forward = orbit.frame(seconds + _track_delay(sensor, group, orbit))
    sight = _sight(sensor, group, position, forward, np.radians(angles))
    ground = position + _distance(position, sight)[..., None] * sight
    lat, lon, _ = _geodetic(ground)
    up, east, north = _local_axes(lat, lon)
    inc = np.degrees(np.arccos(np.clip(-_dot(sight, up), -1, 1)))
    azi = np.degrees(np.arctan2(_dot(sight, east), _dot(sight, north))) % 360.0
    mirrored = sight - 2 * _dot(sight, up)[..., None] * up
    sun = _sun_direction(orbit.start + (seconds * 1e3).astype("timedelta64[ms]"))
    glint = np.degrees(np.arccos(np.clip(_dot(mirrored, sun), -1, 1)))
    return lat, lon, inc, azi, np.where(_dot(up, sun) > 0, glint, _NIGHT)


def _sight(
    sensor: Sensor, group: SwathGroup, position: Array, forward: Array, angles: Array
) -> Array:
    """Return the unit vector from the spacecraft to the ground, earth-fixed."""
    down = -position / np.linalg.norm(position, axis=-1, keepdims=True)
    right = np.cross(down, forward)
    if sensor.scan_type == "cross-track":
        return np.asarray(np.cos(angles)[:, None] * down + np.sin(angles)[:, None] * right)
    incidence = np.radians(_nominal_incidence(sensor, group))
    ratio = EARTH_RADIUS / (EARTH_RADIUS + sensor.altitude)
    cone = np.arcsin(ratio * np.sin(incidence))
    outward = np.cos(angles)[:, None] * forward + np.sin(angles)[:, None] * right
    return np.asarray(np.cos(cone) * down + np.sin(cone) * outward)


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("...i,...i->...", a, b))


def _distance(position: Array, sight: Array) -> Array:
    """Distance in km along the line of sight to the ellipsoid, NaN where it misses the earth."""
    scale = np.array([1.0, 1.0, _SEMI_MAJOR / _SEMI_MINOR])
    p, s = position * scale, sight * scale
    a, b, c = _dot(s, s), _dot(p, s), _dot(p, p) - _SEMI_MAJOR**2
    with np.errstate(invalid="ignore"):
        return np.asarray((-b - np.sqrt(b * b - a * c)) / a)


def _geodetic(xyz: Array) -> tuple[Array, Array, Array]:
    """Geodetic latitude and longitude in degrees on WGS84, height in km."""
    lon, lat, height = _from_geocentric().transform(*np.moveaxis(1e3 * xyz, -1, 0))
    known = np.isfinite(height)
    return (
        np.where(known, lat, np.nan),
        np.where(known, lon, np.nan),
        np.where(known, height, np.nan) / 1e3,
    )


@functools.cache
def _from_geocentric() -> Any:
    from pyproj import Transformer

    return Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)


def _local_axes(lat: Array, lon: Array) -> tuple[Array, Array, Array]:
    phi, lam = np.radians(lat), np.radians(lon)
    sp, cp, sl, cl = np.sin(phi), np.cos(phi), np.sin(lam), np.cos(lam)
    up = np.stack([cp * cl, cp * sl, sp], axis=-1)
    east = np.stack([-sl, cl, np.zeros_like(sl)], axis=-1)
    return up, east, np.stack([-sp * cl, -sp * sl, cp], axis=-1)


def _sun_position(time: NDArray[np.datetime64]) -> tuple[Array, Array]:
    """Latitude and longitude in radians of the place above which the sun stands."""
    from pyorbital import astronomy

    ascension, declination = astronomy.sun_ra_dec(time)
    return np.asarray(declination), np.asarray(ascension - astronomy.gmst(time))


def _sun_direction(time: NDArray[np.datetime64]) -> Array:
    lat, lon = _sun_position(time)
    up, _, _ = _local_axes(np.degrees(lat), np.degrees(lon))
    return up


def local_solar_time(time: NDArray[np.datetime64], longitude: Array) -> Array:
    """Apparent solar time in hours, 0 to 24.

    Parameters
    ----------
    time : array of datetime64
        (scan,) UTC.
    longitude : array
        (scan, pixel) degrees east.
    """
    _, noon = _sun_position(time)
    return np.asarray(12.0 + (longitude - np.degrees(noon)[:, None]) / 15.0) % 24.0
