"""Read and check sensor tables, one TOML file per instrument."""

from __future__ import annotations

import tomllib
from importlib.resources.abc import Traversable
from typing import Any

from xrain.errors import FileFormatError
from xrain.sensors.sensor import Channel, Degradation, Sensor, SwathGroup, sensor_key

__all__ = ["load_sensors", "read_sensor"]

SCAN_TYPES = ("conical", "cross-track")
POLARIZATIONS = ("V", "H", "QV", "QH")
QUANTITIES = ("bandwidth", "footprint", "incidence_angle", "nedt", "polarization")
"""What may be assumed of a channel."""
GEOMETRY = ("altitude", "pixels", "scan_angle", "scan_period")
"""What may be assumed of an instrument."""


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
        assumed=tuple(table.get("assumed", [])),
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
        assumed=tuple(table.get("assumed", [])),
        shared_names=tuple(table.get("shared_names", [])),
        degraded=tuple(_degradation(d) for d in table.get("degraded", [])),
    )


def read_sensor(file: Traversable) -> Sensor:
    """Read and check one sensor table.

    Parameters
    ----------
    file : pathlib.Path or importlib.resources.abc.Traversable
        The TOML file.

    Returns
    -------
    Sensor

    Raises
    ------
    FileFormatError
        If the table cannot be read or contradicts itself; the message names the file.
    """
    try:
        sensor = _parse(file.read_text("utf-8"))
    except KeyError as err:
        raise FileFormatError(f"sensor table {file.name} lacks {err}; see gmi.toml") from err
    except (AttributeError, OSError, TypeError, ValueError) as err:
        raise FileFormatError(f"sensor table {file.name} cannot be read: {err}") from err
    if wrong := _faults(sensor):
        raise FileFormatError(f"sensor table {file.name}: {'; '.join(wrong)}")
    return sensor


def _faults(sensor: Sensor) -> list[str]:
    """List what in a table cannot be right."""
    groups = [s.name for s in sensor.swaths]
    names = [c.name for c in sensor.channels]
    checks = [
        (not sensor_key(sensor.name), "name has no letter or digit"),
        (sensor.scan_type not in SCAN_TYPES, f"scan_type must be one of {', '.join(SCAN_TYPES)}"),
        (sensor.reference_swath not in groups, "reference_swath is none of the groups"),
        (len(set(groups)) < len(groups), "two groups have one name"),
        (len(set(names)) < len(names), "two channels have one name"),
        (not sensor.platforms, "platforms names no satellite"),
        (not set(sensor.assumed) <= set(GEOMETRY), f"assumed may name {', '.join(GEOMETRY)}"),
        (not 100.0 < sensor.altitude < 50_000.0, "altitude must be in km"),
        (any(s.pixels < 1 or not s.scan_period > 0 for s in sensor.swaths),
         "pixels and scan_period must be positive"),
    ]  # fmt: skip
    return [text for bad, text in checks if bad] + [
        f"channel {c.name}: {text}" for c in sensor.channels for text in _channel_faults(c)
    ]


def _channel_faults(channel: Channel) -> list[str]:
    checks = [
        (not 1.0 <= channel.frequency <= 1000.0, "frequency must be in GHz"),
        (channel.polarization not in POLARIZATIONS,
         f"polarization must be one of {', '.join(POLARIZATIONS)}"),
        (not all(0.0 < width < 1000.0 for width in channel.footprint),
         "footprint must be two widths in km"),
        (not (channel.bandwidth > 0 and 0 < channel.nedt < 100),
         "bandwidth (MHz) and nedt (K) must be positive"),
        (not set(channel.assumed) <= set(QUANTITIES),
         f"assumed may name {', '.join(QUANTITIES)}"),
        (not 0.0 <= channel.incidence_angle < 90.0, "incidence_angle must be in 0 to 90 degrees"),
    ]  # fmt: skip
    return [text for bad, text in checks if bad]


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
        If a table is broken, or if two tables describe one instrument; the message names the
        file and what is wrong.
    """
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    found: dict[str, Sensor] = {}
    for file in files:
        sensor = read_sensor(file)
        if sensor_key(sensor.name) in found:
            raise FileFormatError(f"sensor table {file.name}: a second table of {sensor.name}")
        found[sensor_key(sensor.name)] = sensor
    return found
