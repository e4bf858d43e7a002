"""What a sensor table says: an instrument, its swath groups and its channels."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass

from xrain.display import as_html, as_text, listed
from xrain.errors import UnknownChannelError, UnknownSensorError

__all__ = ["Channel", "Degradation", "Sensor", "SwathGroup", "sensor_key"]


def sensor_key(name: str) -> str:
    """Spell a name in lower case without punctuation, as names are compared."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


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
    assumed : tuple of str
        Which of these no source tells, such as ``"nedt"``: the value is that of a like channel.

    See Also
    --------
    xrain.sensors.Sensor : The instrument.
    xrain.conventions.parse_channel_name : From a name.
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
    assumed: tuple[str, ...] = ()

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

    See Also
    --------
    xrain.sensors.Sensor : The instrument.

    References
    ----------
    Berg, W., et al., 2016: Intercalibration of the GPM microwave radiometer constellation.
    *J. Atmos. Oceanic Technol.* 33, 2639-2654, doi 10.1175/JTECH-D-16-0100.1.
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

    See Also
    --------
    xrain.sensors.Sensor : The instrument.
    """

    platform: str
    channels: tuple[str, ...]
    since: dt.date
    note: str


@dataclass(frozen=True, repr=False)
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
    assumed : tuple of str
        Which of its numbers no source tells, such as ``"scan_angle"``.
    shared_names : tuple of str
        Names that its files give and that are another instrument's too; the satellite tells
        which one is meant.

    See Also
    --------
    xrain.get_sensor : The table of one by name.
    xrain.sensors.Channel : One channel.
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
    assumed: tuple[str, ...] = ()
    shared_names: tuple[str, ...] = ()

    @property
    def platform_keys(self) -> set[str]:
        """Satellites in any spelling, as names are compared."""
        return {sensor_key(name) for pair in self.platforms.items() for name in pair}

    def __repr__(self) -> str:
        return as_text(*self._described())

    def _repr_html_(self) -> str:
        return as_html(*self._described())

    def _described(self) -> tuple[str, dict[str, str]]:
        group = self.swath(self.reference_swath)
        swaths = (f"{s.name} ({s.pixels} pixels)" for s in self.swaths)
        rain = self.rain_channel
        bad = (f"{d.platform} {', '.join(d.channels)} since {d.since}" for d in self.degraded)
        return f"<Sensor {self.name}> {self.long_name}", {
            "scan": f"{self.scan_type}, every {group.scan_period:g} s, from {self.altitude:g} km",
            "channels": f"{len(self.channels)}: {listed(c.name for c in self.channels)}",
            "swaths": listed(swaths),
            "rain": f"at the footprint of {rain.name}, {rain.footprint[0]:g} × "
            f"{rain.footprint[1]:g} km",
            "satellites": listed(self.platforms),
            "degraded": listed(bad, 2),
        }

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
