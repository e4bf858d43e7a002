"""Describe a channel that is known by its name or its frequency alone.

A dataset need not come from a sensor in the tables: what it does not say of a channel
(footprint, noise, incidence angle) is taken from the nearest channel of any sensor.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence

from xrain.conventions import ChannelName, match_channels, parse_channel_name
from xrain.errors import UnknownChannelError
from xrain.sensors import Channel, Sensor, get_sensor, list_sensors, packaged_sensors

__all__ = ["as_pair", "describe_channel", "describe_channels", "find_owner", "is_near_known"]

VAPOUR_LINE = 183.31
"""Centre of the water vapour line in GHz."""

NEAR = 0.05
"""A channel is of use if its frequency lies within this share of one that is known. That leaves
out the temperature sounders of the oxygen band, which no network has seen."""


@functools.cache
def _all_channels() -> tuple[Channel, ...]:
    """Channels of the package's own sensors: what others register changes no description."""
    return tuple(c for s in packaged_sensors().values() for c in s.channels)


def _unlike(channel: Channel, wanted: ChannelName) -> tuple[float, float, float, int]:
    frequency = abs(math.log(channel.frequency / wanted.frequency))
    offset = abs(channel.sideband_offset - wanted.offset)
    other = float(channel.polarization != wanted.polarization)
    return frequency, offset, other, len(channel.assumed)


def describe_channel(name: str) -> Channel:
    """Describe a channel by its name alone.

    Parameters
    ----------
    name : str
        Such as ``"36.5V"``, ``"183±3V"`` or ``"157 GHz QV"``.

    Returns
    -------
    Channel
        With the frequency, sideband offset and polarization of the name, and the footprint,
        noise, bandwidth and incidence angle of the nearest channel of any packaged sensor.

    Raises
    ------
    UnknownChannelError
        If the name says no frequency.
    """
    wanted = parse_channel_name(name)
    if wanted is not None:
        wanted = as_pair(wanted)
    if wanted is None:
        raise UnknownChannelError(
            f"channel {name!r} says no frequency; write it like '36.64V' or '183.31+-3V'"
        )
    nearest = min(_all_channels(), key=lambda c: _unlike(c, wanted))
    return dataclasses.replace(
        nearest,
        name=name,
        frequency=wanted.frequency,
        sideband_offsets=(wanted.offset,) if wanted.offset else (),
        polarization=wanted.polarization or nearest.polarization,
        swath="",
        assumed=(),
    )


def as_pair(channel: ChannelName) -> ChannelName:
    """Take a single band on one side of the vapour line for a pair around it, which sees the same.

    Parameters
    ----------
    channel : ChannelName
        Any channel.

    Returns
    -------
    ChannelName
        At 183.31 GHz with the band's distance as its offset; what lies elsewhere, is a pair
        already, or is the band at 190.31 GHz that MHS has, stays as it is.
    """
    distance = abs(channel.frequency - VAPOUR_LINE)
    beside = 0.05 < distance < (12.0 if channel.frequency < VAPOUR_LINE else 6.5)
    if channel.offset or not beside:
        return channel
    return dataclasses.replace(channel, frequency=VAPOUR_LINE, offset=round(distance, 2))


def describe_channels(names: list[str], sensor: Sensor | None = None) -> list[Channel]:
    """Describe channels by name, as the sensor's own where it has them.

    Parameters
    ----------
    names : list of str
        Channel names in any spelling.
    sensor : Sensor, optional
        The instrument, where it is known.

    Raises
    ------
    UnknownChannelError
        If a name is neither a channel of the sensor nor says a frequency.
    """
    own = sensor.channels if sensor is not None else ()
    found = match_channels([c.name for c in own], names)
    return [
        own[i] if i is not None else describe_channel(name)
        for name, i in zip(names, found, strict=True)
    ]


def is_near_known(frequency: float, known: Iterable[float]) -> bool:
    """Tell whether a frequency lies within 5 % of a known one.

    Parameters
    ----------
    frequency : float
        Of the channel in question, GHz.
    known : iterable of float
        Frequencies of the channels that are known, GHz.
    """
    return any(abs(frequency - other) <= NEAR * other for other in known)


def find_owner(names: Sequence[str]) -> Sensor | None:
    """Find the one instrument that has all channels by name; None if there is none, or more."""
    owners = [
        s for s in map(get_sensor, list_sensors()) if set(names) <= {c.name for c in s.channels}
    ]
    return owners[0] if len(owners) == 1 else None
