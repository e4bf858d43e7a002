"""Names for the channels of other readers, told by frequency and polarization."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import xarray as xr

from xrain.conventions import OFFSET_TOLERANCE, ChannelName, match_channels, parse_channel_name
from xrain.sensors import Channel, Sensor, get_sensor, list_sensors
from xrain.sensors.describe import as_pair, is_near_known
from xrain.temperature import is_kelvin

__all__ = ["channel_label", "name_channels"]

_BANDS: Final = (
    "frequency_range",
    "frequency_double_sideband",
    "frequency_quadruple_sideband",
)
_HORN: Final = re.compile(r"^btemp_(?P<frequency>[\d.]+)(?P<horn>[ab]?)(?P<polarization>[vh])$")
"""Channel names of Satpy's reader amsr2_l1b, such as ``btemp_89.0av``."""

_WHOLE: Final = re.compile(r"^btemp_(?P<frequency>\d+)(?P<polarization>[vh])(?P<count>\d*)$")
"""Channel names of Satpy's reader mirs: whole GHz, rounded down, and a counter where several
channels share them, such as ``btemp_183h1``."""

_COUNTED: Final = re.compile(r"^(?P<frequency>\d+)(?P<polarization>[VH])(?:#(?P<count>\d+))?$")
"""What :func:`channel_label` makes of these."""

ROUGH: Final = 0.02
"""The same for a channel that is told to be of a sensor in the tables."""


def channel_label(array: xr.DataArray) -> str | None:
    """Name a channel by frequency, sideband and polarization; None if it is no channel.

    Parameters
    ----------
    array : xarray.DataArray
        With the attributes that Satpy's readers give: a frequency band, or a name that says it.
    """
    attrs = array.attrs
    units = attrs.get("units")
    if units is not None and not is_kelvin(units):
        return None
    if attrs.get("calibration") in ("counts", "radiance"):
        return None
    name = str(attrs.get("original_name") or attrs.get("name") or array.name)
    if horn := _HORN.match(name):
        suffix = f"-{horn['horn'].upper()}" if horn["horn"] else ""
        return f"{horn['frequency']}{horn['polarization'].upper()}{suffix}"
    if whole := _WHOLE.match(name):
        count = f"#{whole['count']}" if whole["count"] else ""
        return f"{whole['frequency']}{whole['polarization'].upper()}{count}"
    parsed = parse_channel_name(name)
    if parsed is not None and parsed.polarization:
        return name.removeprefix("CHANNEL_")
    polarization = attrs.get("polarization") or ""
    polarization = str(getattr(polarization, "name", polarization))
    for band in _BANDS:
        if (found := attrs.get(band)) is not None:
            offset = 0.0 if band == "frequency_range" else float(found[1])
            return _label(float(found[0]), offset, polarization)
    return None


def _label(frequency: float, offset: float, polarization: str) -> str:
    """Name a band; one on a side of the vapour line sees what a pair around it sees."""
    band = as_pair(ChannelName(frequency, offset, polarization, ""))
    sides = f"+-{band.offset:g}" if band.offset else ""
    return f"{band.frequency:g}{sides}{polarization}"


def name_channels(labels: Sequence[str], sensor: Sensor | None) -> dict[str, int]:
    """Choose the channels that a model can know, under the sensor's own names where it has them.

    Parameters
    ----------
    labels : sequence of str
        What :func:`channel_label` says.
    sensor : Sensor or None
        The instrument, where it is known.

    Returns
    -------
    dict of str to int
        Place among the labels by name: the sensor's channels in its order, then the others that
        are near one in any table, by frequency.
    """
    out = _own_places(labels, sensor) if sensor is not None else {}
    rest = [i for i in range(len(labels)) if i not in out.values() and _is_useful(labels[i])]
    for i in sorted(rest, key=lambda i: _rank(labels[i])):
        out.setdefault(labels[i], i)
    return out


def _own_places(labels: Sequence[str], sensor: Sensor) -> dict[str, int]:
    """Place of each channel of a sensor among labels, which may describe it roughly."""
    own = [c.name for c in sensor.channels]
    found = match_channels(labels, own)
    for name, place in _counted_places(labels, sensor).items():
        if place not in found:
            found[own.index(name)] = place
    for k, channel in enumerate(sensor.channels):
        alike = [c for c in sensor.channels if _is_roughly(c.name, channel)]
        if found[k] is None and len(alike) == 1:
            free = (i for i in range(len(labels)) if i not in found)
            found[k] = next((i for i in free if _is_roughly(labels[i], channel)), None)
    return {n: i for n, i in zip(own, found, strict=True) if i is not None}


def _counted_places(labels: Sequence[str], sensor: Sensor) -> dict[str, int]:
    """Place of the channels that labels of whole GHz mean, those of one frequency in order."""
    groups: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for i, label in enumerate(labels):
        if found := _COUNTED.match(label):
            key = int(found["frequency"]), found["polarization"]
            groups.setdefault(key, []).append((int(found["count"] or 0), i))
    out: dict[str, int] = {}
    for (frequency, polarization), members in groups.items():
        meant = [c for c in sensor.channels if frequency in _whole_frequencies(c)]
        alike = [c for c in meant if c.polarization.endswith(polarization)] or meant
        if len(alike) == len(members):
            out |= {c.name: i for c, (_, i) in zip(alike, sorted(members), strict=True)}
    return out


def _whole_frequencies(channel: Channel) -> set[int]:
    """Whole GHz, rounded down, by which a channel may be called: its centre or a side band."""
    offset = channel.sideband_offset
    return {int(channel.frequency + d) for d in (0.0, offset, -offset)}


def _is_roughly(label: str, channel: Channel) -> bool:
    """Whether a label means a channel but for the polarization: Satpy has QH for ATMS's 88.2."""
    parsed = parse_channel_name(label)
    return (
        parsed is not None
        and abs(parsed.frequency - channel.frequency) <= ROUGH * channel.frequency
        and abs(parsed.offset - channel.sideband_offset) <= OFFSET_TOLERANCE
    )


def _rank(label: str) -> tuple[float, float, str]:
    parsed = parse_channel_name(label)
    return (np.inf, 0.0, label) if parsed is None else (parsed.frequency, parsed.offset, label)


def _is_useful(label: str) -> bool:
    parsed = parse_channel_name(label)
    known = {c.frequency for name in list_sensors() for c in get_sensor(name).channels}
    return parsed is not None and is_near_known(parsed.frequency, known)
