"""The radiometers of the constellation, described by one TOML file per instrument.

The tables of the package lie in this folder. Others are added with :func:`register_sensor`, or by
naming their folders in the environment variable ``XRAIN_SENSORS``.
"""

from __future__ import annotations

import functools
import os
from importlib import resources
from pathlib import Path

from xrain.errors import FileFormatError, InputError, UnknownSensorError
from xrain.sensors.sensor import Channel, Degradation, Sensor, SwathGroup, sensor_key
from xrain.sensors.tables import load_sensors, read_sensor

__all__ = [
    "Channel",
    "Degradation",
    "Sensor",
    "SwathGroup",
    "find_sensor",
    "get_sensor",
    "list_sensors",
    "load_sensors",
    "packaged_sensors",
    "register_sensor",
]

_registered: dict[str, Sensor] = {}


@functools.cache
def packaged_sensors() -> dict[str, Sensor]:
    """Return the sensors whose tables come with the package, by their lower-case names."""
    return load_sensors(resources.files(__name__))


@functools.cache
def _sensors_of(folders: str) -> dict[str, Sensor]:
    """Read the folders that ``XRAIN_SENSORS`` names, once for each value of the variable."""
    found: dict[str, Sensor] = {}
    for folder in filter(None, folders.split(os.pathsep)):
        for sensor in _read_source(Path(folder).expanduser()):
            _refuse_clash(sensor, packaged_sensors() | found)
            found[sensor_key(sensor.name)] = sensor
    return found


def _registry() -> dict[str, Sensor]:
    """All known sensors: the package's own, those of ``XRAIN_SENSORS``, those registered."""
    return packaged_sensors() | _sensors_of(os.environ.get("XRAIN_SENSORS", "")) | _registered


def _read_source(source: Path) -> list[Sensor]:
    """Read one table, or all tables of a folder."""
    if source.is_dir():
        found = list(load_sensors(source).values())
        if not found:
            raise FileFormatError(f"{source} holds no sensor table (*.toml)")
        return found
    if not source.is_file():
        raise FileFormatError(f"{source} is neither a sensor table nor a folder of them")
    return [read_sensor(source)]


def _spellings(sensor: Sensor) -> set[str]:
    return {sensor_key(name) for name in (sensor.name, *sensor.aliases)}


def _refuse_clash(sensor: Sensor, known: dict[str, Sensor]) -> None:
    """Refuse a name or an alias by which another sensor is known already."""
    for other in known.values():
        if shared := _spellings(sensor) & _spellings(other):
            raise InputError(
                f"{sensor.name}: {other.name} is known as {', '.join(sorted(shared))} already; "
                "give the new instrument a name and aliases of its own"
            )


def register_sensor(source: str | os.PathLike[str]) -> list[Sensor]:
    """Make instruments known that the package does not describe.

    The registration lasts as long as the process. For other processes, such as the command line
    or Dask workers, name the folder in the environment variable ``XRAIN_SENSORS``.

    Parameters
    ----------
    source : path
        A sensor table (TOML), or a folder of them. A table of the same name that was registered
        before is replaced.

    Returns
    -------
    list of Sensor
        The sensors that are known now.

    Raises
    ------
    FileFormatError
        If there is no table, or one cannot be read or contradicts itself.
    InputError
        If a name or an alias belongs to another sensor.

    See Also
    --------
    xrain.get_sensor : The table of one.
    xrain.list_sensors : Names of all.

    Examples
    --------
    >>> import tempfile, pathlib, xrain
    >>> from importlib import resources
    >>> text = resources.files("xrain.sensors").joinpath("saphir.toml").read_text("utf-8")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pathlib.Path(folder, "saphir2.toml")
    ...     _ = table.write_text(text.replace('"SAPHIR"', '"SAPHIR-2"'), "utf-8")
    ...     [sensor] = xrain.register_sensor(table)
    >>> xrain.get_sensor("saphir2") is sensor
    True
    """
    found = _read_source(Path(source))
    for sensor in found:
        known = {k: s for k, s in _registry().items() if k not in _registered}
        others = {k: s for k, s in _registered.items() if k != sensor_key(sensor.name)}
        _refuse_clash(sensor, known | others)
    _registered.update({sensor_key(s.name): s for s in found})
    return found


def list_sensors() -> list[str]:
    """Return the names of all known sensors in alphabetical order.

    Returns
    -------
    list of str

    See Also
    --------
    xrain.get_sensor : The table of one.
    xrain.register_sensor : Add another.

    Examples
    --------
    >>> import xrain
    >>> xrain.list_sensors()[:3]
    ['AMSR2', 'AMSR3', 'AMSRE']
    """
    return sorted(s.name for s in _registry().values())


def find_sensor(name: str, platform: str = "") -> Sensor | None:
    """Return the sensor called `name` (any case or punctuation), or None.

    Parameters
    ----------
    name : str
        Name or alias of the instrument.
    platform : str
        Satellite, which tells instruments of one name apart.
    """
    key = sensor_key(name)
    known = _registry().values()
    aboard = [s for s in known if sensor_key(platform) in s.platform_keys] if platform else []
    own = next((s for s in aboard if key in {sensor_key(n) for n in s.shared_names}), None)
    return own or next((s for s in known if key in _spellings(s)), None)


def get_sensor(name: str) -> Sensor:
    """Return the table of a sensor.

    Parameters
    ----------
    name : str
        Instrument name in any case, with or without punctuation: ``"gmi"``, ``"AMSR-E"``.

    Returns
    -------
    Sensor

    Raises
    ------
    UnknownSensorError
        If no table describes the instrument.

    See Also
    --------
    xrain.list_sensors : Names of all.
    xrain.register_sensor : Add another.

    Examples
    --------
    >>> import xrain
    >>> gmi = xrain.get_sensor("gmi")
    >>> len(gmi.channels), gmi.rain_channel.name
    (13, '36.64V')
    """
    sensor = find_sensor(name)
    if sensor is None:
        raise UnknownSensorError(
            f"unknown instrument {name!r}; known are {', '.join(list_sensors())}"
        )
    return sensor
