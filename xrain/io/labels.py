"""Names for the channels of other readers, told by frequency and polarization."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import xarray as xr

from xrain.conventions import OFFSET_TOLERANCE, match_channels, parse_channel_name
from xrain.sensors import Channel, Sensor, get_sensor, list_sensors

__all__ = ["channel_label", "name_channels"]

_BANDS: Final = (
    "frequency_range",
    "frequency_double_sideband",
    "frequency_quadruple_sideband",
)
_HORN: Final = re.compile(r"^btemp_(?P<frequency>[\d.]+)(?P<horn>[ab]?)(?P<polarization>[vh])$")
"""Channel names of Satpy's reader amsr2_l1b, such as ``btemp_89.0av``."""

_LINE: Final = 183.31
"""Centre of the water vapour line in GHz."""

NEAR: Final = 0.05
"""A channel is of use if its frequency lies within this share of one in the sensor tables. That
leaves out the temperature sounders of the oxygen band, which no model has seen."""

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
    if attrs.get("units") not in ("K", None) or attrs.get("calibration") in ("counts", "radiance"):
        return None
    name = str(attrs.get("original_name") or attrs.get("name") or array.name)
    if horn := _HORN.match(name):
        suffix = f"-{horn['horn'].upper()}" if horn["horn"] else ""
        return f"{horn['frequency']}{horn['polarization'].upper()}{suffix}"
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
    """Name a band; one on the lower side of the vapour line sees what a pair around it sees."""
    if offset == 0 and _LINE - 12 < frequency < _LINE:
        frequency, offset = _LINE, round(_LINE - frequency, 2)
    sides = f"+-{offset:g}" if offset else ""
    return f"{frequency:g}{sides}{polarization}"


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
    for k, channel in enumerate(sensor.channels):
        alike = [c for c in sensor.channels if _is_roughly(c.name, channel)]
        if found[k] is None and len(alike) == 1:
            free = (i for i in range(len(labels)) if i not in found)
            found[k] = next((i for i in free if _is_roughly(labels[i], channel)), None)
    return {n: i for n, i in zip(own, found, strict=True) if i is not None}


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
    return parsed is not None and any(
        abs(parsed.frequency - frequency) <= NEAR * frequency for frequency in known
    )
