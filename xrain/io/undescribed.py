"""An instrument without a sensor table, as its own L1C file describes it.

The file names its channels in words (``Tc:LongName``) and holds the geometry. Footprint, noise and
bandwidth, which it does not tell, are those of the nearest channels that are known.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

import h5py
import numpy as np

from xrain.errors import FileFormatError
from xrain.io.hdf5 import child, dataset_at, text_attribute, warn
from xrain.io.header import parse_pvl
from xrain.io.scan_time import read_time
from xrain.sensors import Channel, Sensor, SwathGroup
from xrain.sensors.describe import describe_channel
from xrain.sensors.sensor import sensor_key

__all__ = ["channels_in_words", "sensor_of_file"]

_CHANNEL: Final = re.compile(
    r"\d\)\s*(?P<frequency>\d+(?:\.\d+)?)\s*(?:GHz)?\s*"
    r"(?:\+\s*/?\s*-\s*(?P<offset>\d+(?:\.\d+)?)\s*(?:GHz)?)?\s*"
    r"(?:(?P<polarization>Q?[VH])-Pol)?\s*(?:(?P<horn>[AB])-Scan)?",
    re.IGNORECASE,
)
"""Such as ``1) 10.85 GHz V-Pol``, ``3) 183.31 +/-3 GHz V-Pol`` and ``1) 89.0 GHz V-Pol A-Scan``."""

_GROUP: Final = re.compile(r"S\d{1,2}")
_MOST_GROUPS: Final = 20
_USUAL_ALTITUDE: Final = 800.0
_USUAL_PERIOD: Final = 2.0
_OUTERMOST: Final = 50.0
"""Degrees along the scan; read by the simulator only."""


def channels_in_words(text: str) -> list[str]:
    """Name the channels that a text of the archive lists.

    Parameters
    ----------
    text : str
        The attribute ``LongName`` of ``Tc``.

    Returns
    -------
    list of str
        Names in xrain's spelling; without polarization where the text does not tell it.

    Examples
    --------
    >>> channels_in_words("Tb for channels 1) 10.85 GHz V-Pol and 2) 183.31 +/-3 GHz V-Pol")
    ['10.85V', '183.31+-3V']
    """
    names = []
    for found in _CHANNEL.finditer(" ".join(text.split())):
        offset = f"+-{float(found['offset']):g}" if found["offset"] else ""
        horn = f"-{found['horn'].upper()}" if found["horn"] else ""
        polarization = (found["polarization"] or "").upper()
        names.append(f"{float(found['frequency']):g}{offset}{polarization}{horn}")
    return names


def sensor_of_file(path: str, file: h5py.File, header: Mapping[str, str], name: str) -> Sensor:
    """Describe the instrument of an L1C file that no table describes.

    Parameters
    ----------
    path : str
        The file, for messages.
    file : h5py.File
        The open granule.
    header : mapping of str to str
        Its PVL headers.
    name : str
        The instrument's name; ``"radiometer"`` where the file gives none.

    Returns
    -------
    Sensor
        With the channels that the file lists and its geometry.

    Raises
    ------
    FileFormatError
        If the file does not tell its channels.

    Warns
    -----
    UserWarning
        What was read, and what is assumed.
    """
    found = groups_with_temperatures(file)
    if not found:
        raise FileFormatError(f"{path}: holds no swath group (S1, S2, …) with Tc")
    conical = _is_conical(found)
    channels = tuple(c for n, g in found.items() for c in _channels(path, n, g, conical))
    names = [c.name for c in channels]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise FileFormatError(
            f"{path}: lists {', '.join(twice)} more than once, so that channels cannot be told "
            f"apart; describe {name} by a table (xrain.register_sensor)"
        )
    swaths = tuple(_swath(n, g) for n, g in found.items())
    warn(
        f"{path}: no table describes {name}; its channels are those that the file lists "
        f"({', '.join(names)}), footprint and noise are taken from the nearest known channels. "
        "See xrain.register_sensor"
    )
    platform = header.get("SatelliteName", "") or "unknown"
    return Sensor(
        name=name,
        long_name=f"{name}, as its file describes it",
        scan_type="conical" if conical else "cross-track",
        altitude=_median(found, "SCstatus/SCaltitude", 100.0, 50_000.0, _USUAL_ALTITUDE),
        scan_angle=_OUTERMOST,
        reference_swath=max(swaths, key=lambda s: s.pixels).name,
        platforms={platform: platform},
        swaths=swaths,
        channels=channels,
        aliases=(),
        sources=(),
    )


def groups_with_temperatures(file: h5py.File) -> dict[str, h5py.Group]:
    """Return the swath groups S1, S2 … of a file that hold brightness temperatures."""
    names = [n for n in sorted(file)[:_MOST_GROUPS] if _GROUP.fullmatch(n)]
    groups = {n: g for n in names if isinstance(g := child(file, n), h5py.Group)}
    return {n: g for n, g in groups.items() if "Tc" in g}


def _is_conical(groups: Mapping[str, h5py.Group]) -> bool:
    """Whether the headers say so, or the incidence angle hardly differs along the scan."""
    for name, group in groups.items():
        header = parse_pvl(text_attribute(group, f"{name}_SwathHeader")
                           or text_attribute(group, "SwathHeader"))  # fmt: skip
        if told := sensor_key(header.get("ScanType", "")):
            return told == "conical"
    angle = _values(next(iter(groups.values())), "incidenceAngle", 0.0, 90.0)
    return bool(angle.size and np.ptp(angle) < 15.0 and angle.min() > 30.0)


def _channels(path: str, name: str, group: h5py.Group, conical: bool) -> list[Channel]:
    item = dataset_at(group, "Tc")
    if item is None or item.ndim != 3:
        raise FileFormatError(f"{path}: {name}/Tc is no array (scan, pixel, channel)")
    labels = channels_in_words(text_attribute(item, "LongName"))
    if len(labels) != item.shape[2]:
        raise FileFormatError(
            f"{path}: {name}/Tc holds {item.shape[2]} channels and its LongName lists "
            f"{', '.join(labels) or 'none'}; describe the instrument by a table "
            "(xrain.register_sensor)"
        )
    angle = _median({name: group}, "incidenceAngle", 0.0, 90.0, np.nan) if conical else 0.0
    return [_channel(label, name, angle, conical) for label in labels]


def _channel(label: str, swath: str, angle: float, conical: bool) -> Channel:
    """Describe a channel; V and H of a cross-track scan turn with its angle."""
    near = describe_channel(label)
    polarization = near.polarization.lstrip("Q")
    own = polarization if conical else f"Q{polarization}"
    stem = re.sub(r"Q?[VH](?=-[AB]$|$)", "", label)
    horn = label[-2:] if label[-2:] in {"-A", "-B"} else ""
    return dataclasses.replace(
        near,
        name=f"{stem.removesuffix(horn)}{own}{horn}",
        polarization=own,
        incidence_angle=near.incidence_angle if np.isnan(angle) else angle,
        swath=swath,
        assumed=("bandwidth", "footprint", "nedt"),
    )


def _swath(name: str, group: h5py.Group) -> SwathGroup:
    scans, pixels = group["Tc"].shape[:2]
    time = read_time(group.file, name, slice(0, scans))
    steps = np.diff(time[~np.isnat(time)]) / np.timedelta64(1, "ms") / 1000.0
    steps = steps[steps > 0]
    period = float(np.median(steps)) if steps.size else _USUAL_PERIOD
    return SwathGroup(name, max(pixels, 1), period, 0.0)


def _median(
    groups: Mapping[str, h5py.Group], path: str, low: float, high: float, usual: float
) -> float:
    for group in groups.values():
        values = _values(group, path, low, high)
        if values.size:
            return round(float(np.median(values)), 2)
    return usual


def _values(group: h5py.Group, path: str, low: float, high: float) -> Any:
    """Possible values of a field, those of 64 rows at most."""
    item = dataset_at(group, path)
    if item is None or not item.size:
        return np.empty(0)
    values = np.asarray(item[:: max(1, item.shape[0] // 64)], float)
    return values[(values > low) & (values < high)]
