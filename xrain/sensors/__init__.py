"""The radiometers of the constellation, described by one TOML file per instrument.

A new sensor is a new TOML in this folder; no code changes.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from xrain.errors import FileFormatError, UnknownChannelError, UnknownSensorError

__all__ = [
    "Channel",
    "Degradation",
    "Sensor",
    "SwathGroup",
    "find_sensor",
    "get_sensor",
    "list_sensors",
    "load_sensors",
]


@dataclass(frozen=True)
class Channel:
    """One radiometer channel.

    Attributes
    ----------
    name : str
        Canonical name such as ``"36.64V"``, ``"183.31+-3V"`` or ``"89.0V-A"``.
    frequency : float
        Centre frequency in GHz.
    sideband_offsets : tuple of float
        Offsets of the pass bands from the centre in GHz: empty for a single band, ``(3.0,)``
        for a pair at centre ± 3 GHz, ``(0.9,)`` and so on.
    polarization : str
        ``"V"``, ``"H"``, or ``"QV"``/``"QH"`` where the scan mixes the two.
    bandwidth : float
        Total width of one pass band in MHz.
    footprint : tuple of float
        Half-power footprint on the ground in km: the long axis, along the view, then the short
        one across it; at nadir for a cross-track sounder.
    nedt : float
        Noise-equivalent temperature difference in K.
    incidence_angle : float
        Nominal earth incidence angle in degrees, 0 (nadir) for a cross-track sounder.
    swath : str
        Swath group of the L1C file that holds the channel, such as ``"S1"``.
    """

    name: str
    frequency: float
    sideband_offsets: tuple[float, ...]
    polarization: str
    bandwidth: float
    footprint: tuple[float, float]
    nedt: float
    incidence_angle: float
    swath: str

    @property
    def sideband_offset(self) -> float:
        """First sideband offset in GHz, 0 for a single band."""
        return self.sideband_offsets[0] if self.sideband_offsets else 0.0


@dataclass(frozen=True)
class SwathGroup:
    """One swath group of the L1C layout.

    Attributes
    ----------
    name : str
        Group name in the file, ``"S1"`` and so on.
    pixels : int
        Pixels per scan.
    scan_period : float
        Seconds from one scan of this group to the next.
    along_track_offset : float
        Distance in km by which the group's scan centre lies ahead (positive) of the reference
        group's in flight direction; used by the simulator, never by the reader.
    """

    name: str
    pixels: int
    scan_period: float
    along_track_offset: float


@dataclass(frozen=True)
class Degradation:
    """Channels of one platform that are known to be bad from a day on.

    Attributes
    ----------
    platform : str
        Satellite name as in L1C headers.
    channels : tuple of str
        Names of the channels.
    since : datetime.date
        First bad day.
    note : str
        What happened, with its source.
    """

    platform: str
    channels: tuple[str, ...]
    since: dt.date
    note: str


@dataclass(frozen=True)
class Sensor:
    """One instrument and where it flies.

    Attributes
    ----------
    name : str
        Instrument name as in file names, such as ``"GMI"``.
    long_name : str
        Full name.
    scan_type : str
        ``"conical"`` or ``"cross-track"``.
    altitude : float
        Nominal altitude in km.
    scan_angle : float
        Angle in degrees from the middle of the scan to the centre of its outermost pixel: of
        azimuth for a conical scan, of the view from nadir for a cross-track one.
    reference_swath : str
        Group onto whose pixels the other groups are brought.
    platforms : dict of str to str
        Satellite names as they stand in L1C headers, with the name in WMO's OSCAR, which
        Satpy uses.
    swaths : tuple of SwathGroup
        Groups in file order.
    channels : tuple of Channel
        Channels in file order.
    aliases : tuple of str
        Other names of the instrument.
    sources : tuple of str
        Where the numbers come from.
    degraded : tuple of Degradation
        Channels that went bad in orbit.
    """

    name: str
    long_name: str
    scan_type: str
    altitude: float
    scan_angle: float
    reference_swath: str
    platforms: dict[str, str]
    swaths: tuple[SwathGroup, ...]
    channels: tuple[Channel, ...]
    aliases: tuple[str, ...]
    sources: tuple[str, ...]
    degraded: tuple[Degradation, ...] = ()

    @property
    def rain_channel(self) -> Channel:
        """Channel whose footprint a retrieved rain rate stands for.

        That nearest to 37 GHz for imagers, to 89 GHz for cross-track sounders.
        """
        target = 89.0 if self.scan_type == "cross-track" else 37.0
        return min(self.channels, key=lambda c: abs(math.log(c.frequency / target)))

    def channel(self, name: str) -> Channel:
        """Return the channel called `name`; UnknownChannelError if there is none."""
        for channel in self.channels:
            if channel.name == name:
                return channel
        known = ", ".join(c.name for c in self.channels)
        raise UnknownChannelError(f"{self.name} has no channel {name!r}; it has {known}")

    def swath(self, name: str) -> SwathGroup:
        """Return the swath group called `name`."""
        for swath in self.swaths:
            if swath.name == name:
                return swath
        known = ", ".join(s.name for s in self.swaths)
        raise UnknownSensorError(f"{self.name} has no swath {name!r}; it has {known}")

    def swath_channels(self, name: str) -> tuple[Channel, ...]:
        """Channels of one swath group in file order."""
        return tuple(c for c in self.channels if c.swath == name)


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _channel(table: dict[str, Any], swath: str) -> Channel:
    along, across = table["footprint"]
    return Channel(
        name=table["name"],
        frequency=float(table["frequency"]),
        sideband_offsets=tuple(float(x) for x in table.get("sideband_offsets", [])),
        polarization=table["polarization"],
        bandwidth=float(table["bandwidth"]),
        footprint=(float(along), float(across)),
        nedt=float(table["nedt"]),
        incidence_angle=float(table["incidence_angle"]),
        swath=swath,
    )


def _swath(table: dict[str, Any]) -> SwathGroup:
    return SwathGroup(
        name=table["name"],
        pixels=int(table["pixels"]),
        scan_period=float(table["scan_period"]),
        along_track_offset=float(table.get("along_track_offset", 0.0)),
    )


def _degradation(table: dict[str, Any]) -> Degradation:
    return Degradation(
        platform=table["platform"],
        channels=tuple(table["channels"]),
        since=table["since"],
        note=table["note"],
    )


def _parse(text: str) -> Sensor:
    table = tomllib.loads(text)
    return Sensor(
        name=table["name"],
        long_name=table["long_name"],
        scan_type=table["scan_type"],
        altitude=float(table["altitude"]),
        scan_angle=float(table["scan_angle"]),
        reference_swath=table["reference_swath"],
        platforms=dict(table["platforms"]),
        swaths=tuple(_swath(s) for s in table["swath"]),
        channels=tuple(_channel(c, s["name"]) for s in table["swath"] for c in s["channel"]),
        aliases=tuple(table.get("aliases", [])),
        sources=tuple(table["sources"]),
        degraded=tuple(_degradation(d) for d in table.get("degraded", [])),
    )


def _read(file: Traversable) -> Sensor:
    try:
        return _parse(file.read_text("utf-8"))
    except KeyError as err:
        raise FileFormatError(f"sensor table {file.name} lacks {err}; see gmi.toml") from err
    except (TypeError, ValueError) as err:
        raise FileFormatError(f"sensor table {file.name} cannot be read: {err}") from err


def load_sensors(folder: Traversable) -> dict[str, Sensor]:
    """Read every sensor table of a folder.

    Parameters
    ----------
    folder : pathlib.Path or importlib.resources.abc.Traversable
        Folder with one TOML file per instrument.

    Returns
    -------
    dict of str to Sensor
        Sensors by their name in lower case without punctuation.

    Raises
    ------
    FileFormatError
        If a table is broken; the message names the file and what is wrong.
    """
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {_key(s.name): s for s in map(_read, files)}


@functools.cache
def _registry() -> dict[str, Sensor]:
    """Sensors of the package, read once."""
    return load_sensors(resources.files(__name__))


def list_sensors() -> list[str]:
    """Names of all known sensors, in alphabetical order."""
    return sorted(s.name for s in _registry().values())


def find_sensor(name: str) -> Sensor | None:
    """Return the sensor called `name` (any case or punctuation), or None."""
    key = _key(name)
    for sensor in _registry().values():
        if key == _key(sensor.name) or key in map(_key, sensor.aliases):
            return sensor
    return None


def get_sensor(name: str) -> Sensor:
    """Return the sensor called `name`.

    Parameters
    ----------
    name : str
        Instrument name in any case, with or without punctuation: ``"gmi"``, ``"AMSR-E"``.

    Raises
    ------
    UnknownSensorError
        If no table describes the instrument.
    """
    sensor = find_sensor(name)
    if sensor is None:
        raise UnknownSensorError(
            f"unknown instrument {name!r}; known are {', '.join(list_sensors())}"
        )
    return sensor
