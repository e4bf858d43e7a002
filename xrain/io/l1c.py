"""Decode one GPM level 1C granule: the only place that knows where its fields lie.

The layout is that of the GPM file specification of 1C products (NASA Precipitation Processing
System), V05 to V07 as HDF5, and the same layout as netCDF-4. A field that a version lacks is
absent here too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt

from xrain.conventions import QUALITY_FILL
from xrain.errors import FileFormatError, UnknownSensorError
from xrain.io.chunks import read_rows
from xrain.sensors import Channel, Sensor, find_sensor, list_sensors

Array = npt.NDArray[Any]

SIMULATION: Final = "SimulationRecord"
HEADERS: Final = ("FileHeader", "FileInfo", "InputRecord", "NavigationRecord", "XCALinfo")
TB_FIELD: Final = "Tc"
LATITUDE_FIELD: Final = "Latitude"
LONGITUDE_FIELD: Final = "Longitude"
QUALITY_FIELD: Final = "Quality"
INCIDENCE_FIELD: Final = "incidenceAngle"
INCIDENCE_INDEX_FIELD: Final = "incidenceAngleIndex"
GLINT_FIELD: Final = "sunGlintAngle"

PIXEL_FIELDS: Final = {"sun_local_time": "sunLocalTime"}
SCAN_FIELDS: Final = {
    "spacecraft_latitude": "SCstatus/SClatitude",
    "spacecraft_longitude": "SCstatus/SClongitude",
    "spacecraft_altitude": "SCstatus/SCaltitude",
    "spacecraft_orientation": "SCstatus/SCorientation",
}

_ON_PIXELS: Final = (
    LATITUDE_FIELD, LONGITUDE_FIELD, QUALITY_FIELD, INCIDENCE_FIELD, GLINT_FIELD,
    *PIXEL_FIELDS.values(),
)  # fmt: skip

# Nothing below these is a measurement: the archive's codes are -9999.9, -9999 and -99.
_LOWEST: Final = {LATITUDE_FIELD: -90.0, LONGITUDE_FIELD: -360.0, "SCstatus/SCorientation": -360.0}
_LOWEST_OTHERWISE: Final = -90.0
_LOWEST["SCstatus/SClongitude"] = -360.0


@dataclass(frozen=True)
class GroupLayout:
    """Shape of one swath group of a file.

    Attributes
    ----------
    name : str
        ``"S1"`` and so on.
    scans, pixels : int
        Size of its grid.
    channels : tuple of Channel
        Its channels in file order.
    fields : frozenset of str
        Names of the datasets that are there.
    chunk_scans : int
        Scans in one chunk of the file's Tc.
    """

    name: str
    scans: int
    pixels: int
    channels: tuple[Channel, ...]
    fields: frozenset[str]
    chunk_scans: int


@dataclass(frozen=True)
class Granule:
    """What a file says of itself, without its arrays.

    Attributes
    ----------
    path : str
        The file.
    sensor : Sensor
        The instrument's table.
    platform : str
        Satellite as the header names it.
    orbit : int
        Granule number, −1 where the header has none.
    version : str
        Product version such as ``"V07A"``.
    header : dict of str to str
        The PVL headers, flattened.
    groups : dict of str to GroupLayout
        Swath groups by name.
    """

    path: str
    sensor: Sensor
    platform: str
    orbit: int
    version: str
    header: Mapping[str, str]
    groups: Mapping[str, GroupLayout]

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Channels of all groups in file order."""
        return tuple(c for g in self.groups.values() for c in g.channels)

    def group(self, name: str) -> GroupLayout:
        """Return a swath group; FileFormatError if the file lacks it."""
        if name not in self.groups:
            raise FileFormatError(
                f"{self.path}: swath group {name!r} is missing; the file has "
                f"{', '.join(self.groups)}. Choose one of them with swath=…"
            )
        return self.groups[name]


@contextmanager
def open_file(
    path: str | os.PathLike[str], wanted: str = "A GPM L1C granule (1C*.HDF5 or .nc)"
) -> Iterator[h5py.File]:
    """Open an HDF5 file, or say clearly why not, and what is `wanted` instead."""
    path = _path(path)
    if not os.path.exists(path):
        raise FileFormatError(f"{path}: no such file")
    if os.path.isdir(path):
        raise FileFormatError(f"{path}: is a folder, not a granule")
    try:
        file = h5py.File(path, "r")
    except PermissionError as error:
        raise FileFormatError(f"{path}: no right to read the file") from error
    except OSError as error:
        raise FileFormatError(f"{path}: {_why_unreadable(path, error, wanted)}") from error
    with file:
        yield file


def _path(path: Any) -> str:
    try:
        return str(os.fspath(path))
    except TypeError as error:
        raise FileFormatError(
            f"{path!r} cannot be opened; give the path of a file on this machine"
        ) from error


def _why_unreadable(path: str, error: OSError, wanted: str) -> str:
    with open(path, "rb") as stream:
        magic = stream.read(8)
    if magic == b"\x89HDF\r\n\x1a\n":
        return f"the HDF5 file is truncated or damaged ({error}); fetch it again"
    kind = "empty" if not magic else "not an HDF5 file"
    hint = "; unpack it first" if magic[:2] == b"\x1f\x8b" else ""
    return f"the file is {kind}{hint}. {wanted} is needed"


def text(value: object) -> str:
    """Attribute value as text: the archive stores bytes, netCDF-4 stores str."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def parse_pvl(content: str) -> dict[str, str]:
    """Read ``key=value;`` lines of a PVL header."""
    pairs = (line.split("=", 1) for line in content.replace("\r", "").split(";\n"))
    return {p[0].strip(): p[1].strip().rstrip(";") for p in pairs if len(p) == 2}


def read_header(file: h5py.File) -> dict[str, str]:
    """All PVL headers of a file in one dictionary, empty if there are none."""
    out: dict[str, str] = {}
    for name in HEADERS:
        if name in file.attrs:
            out |= parse_pvl(text(file.attrs[name]))
    if SIMULATION in file.attrs:
        record = parse_pvl(text(file.attrs[SIMULATION]))
        out["simulated"] = ", ".join(f"{k} {v}" for k, v in record.items() if k != "Simulated")
    return out


def read_granule(path: str | os.PathLike[str]) -> Granule:
    """Read what a granule says of itself.

    Parameters
    ----------
    path : path-like
        An L1C granule, 1C or 1C-R, HDF5 or netCDF-4.

    Raises
    ------
    FileFormatError
        If the file cannot be read, is another product, or has a wrong shape.
    UnknownSensorError
        If no sensor table describes its instrument.
    """
    path = _path(path)
    with open_file(path) as file:
        header = read_header(file)
        _require_l1c(path, file, header)
        sensor = _sensor(path, header)
        groups = {
            s.name: _layout(path, file[s.name], sensor) for s in sensor.swaths if s.name in file
        }
    if not groups:
        wanted = ", ".join(s.name for s in sensor.swaths)
        raise FileFormatError(f"{path}: {sensor.name} needs swath groups {wanted}; none is there")
    number = header.get("GranuleNumber", "")
    return Granule(
        path=path,
        sensor=sensor,
        platform=header.get("SatelliteName", "") or _from_name(path, 1),
        orbit=int(number) if number.lstrip("-").isdigit() else -1,
        version=header.get("ProductVersion", ""),
        header=header,
        groups=groups,
    )


def _from_name(path: str, position: int) -> str:
    """One field of an archive file name, which begins with 1C.PLATFORM.SENSOR."""
    parts = Path(path).name.split(".")
    return parts[position] if len(parts) > 4 else ""


def _require_l1c(path: str, file: h5py.File, header: Mapping[str, str]) -> None:
    product = header.get("AlgorithmID", "") or _from_name(path, 0)
    if re.match(r"1C", product):
        return
    if not product and any(f"{g}/{TB_FIELD}" in file for g in file):
        return
    what = f"holds the product {product}" if product else "has no GPM header"
    raise FileFormatError(f"{path}: {what}; a level 1C granule (1C or 1C-R) is needed")


def _sensor(path: str, header: Mapping[str, str]) -> Sensor:
    name = header.get("InstrumentName", "") or _from_name(path, 2)
    sensor = find_sensor(name)
    if sensor is None:
        raise UnknownSensorError(
            f"{path}: unknown instrument {name!r}; known are {', '.join(list_sensors())}. "
            "A new sensor needs a table in xrain/sensors"
        )
    return sensor


def _layout(path: str, group: h5py.Group, sensor: Sensor) -> GroupLayout:
    name = group.name.strip("/")
    if not isinstance(group, h5py.Group):
        raise FileFormatError(
            f"{path}: {name} is no group; a swath group of {sensor.name} is needed"
        )
    channels = sensor.swath_channels(name)
    fields: list[str] = []
    group.visititems(lambda n, o: fields.append(n) if isinstance(o, h5py.Dataset) else None)
    for needed in (TB_FIELD, LATITUDE_FIELD, LONGITUDE_FIELD):
        if needed not in fields:
            raise FileFormatError(f"{path}: {name}/{needed} is missing")
    shape = group[TB_FIELD].shape
    if len(shape) != 3 or shape[2] != len(channels):
        raise FileFormatError(
            f"{path}: {name}/{TB_FIELD} has shape {shape}; {sensor.name} needs "
            f"(scan, pixel, {len(channels)})"
        )
    _require_shapes(path, group, fields)
    chunks = group[TB_FIELD].chunks
    return GroupLayout(
        name, shape[0], shape[1], channels, frozenset(fields), chunks[0] if chunks else shape[0]
    )


def _require_shapes(path: str, group: h5py.Group, fields: list[str]) -> None:
    """Raise FileFormatError if a field does not lie on the grid of Tc."""
    name, tb = group.name.strip("/"), group[TB_FIELD].shape
    index = {tb[2:], tb[::2], tb[::-2]}
    for field in fields:
        shape = group[field].shape
        if field in _ON_PIXELS:
            good = shape[:2] == tb[:2]
        elif field == INCIDENCE_INDEX_FIELD:
            good = shape in index
        elif field in SCAN_FIELDS.values() or field.startswith("ScanTime/"):
            good = shape == tb[:1]
        else:
            continue
        if not good:
            raise FileFormatError(
                f"{path}: {name}/{field} has shape {shape}, {name}/{TB_FIELD} has {tb}"
            )


def decode(raw: Array, field: str) -> npt.NDArray[np.float32]:
    """Turn the archive's missing values into NaN; float32, in place where it can be."""
    values = raw.astype(np.float32, copy=False)
    lowest = _LOWEST.get(field, _LOWEST_OTHERWISE)
    missing = ~(values >= np.float32(lowest))
    if missing.any():
        values = np.where(missing, np.float32(np.nan), values)
    return values


def read_field(file: h5py.File, group: str, field: str, rows: slice) -> npt.NDArray[np.float32]:
    """Read some scans of a field as float32 with NaN where the value is missing."""
    return decode(read_rows(file[f"{group}/{field}"], rows), field)


def read_quality(file: h5py.File, group: str, rows: slice) -> npt.NDArray[np.int8]:
    """Read the quality code of some scans as int8, −99 where missing."""
    values = file[f"{group}/{QUALITY_FIELD}"][rows]
    if values.dtype != np.int8:
        values = np.where(np.isfinite(values), values, QUALITY_FILL).astype(np.int8)
    out: npt.NDArray[np.int8] = values
    return out


def read_incidence(file: h5py.File, group: str, rows: slice) -> npt.NDArray[np.float32]:
    """Earth incidence angle of every channel of a group, shape (scan, pixel, channel) or (…, 1).

    ``incidenceAngleIndex`` says for each scan and channel which angle is meant: 1-based, −99
    where it is missing. Where one angle serves every channel the last axis has length 1.
    """
    angles = read_field(file, group, INCIDENCE_FIELD, rows)
    if angles.ndim == 2:
        angles = angles[..., None]
    index = _incidence_index(file, group, rows)
    if index is None or (angles.shape[2] == 1 and (index == 1).all()):
        return angles[..., :1]
    angle = np.clip(index - 1, 0, angles.shape[2] - 1)
    out = np.take_along_axis(angles, angle[:, None, :].astype(np.intp), axis=2)
    bad = (index < 1) | (index > angles.shape[2])
    out[np.broadcast_to(bad[:, None, :], out.shape)] = np.nan
    return out


def _incidence_index(file: h5py.File, group: str, rows: slice) -> Array | None:
    """1-based index (scan, channel) of the angle that each channel has; None if not given."""
    field = file.get(f"{group}/{INCIDENCE_INDEX_FIELD}")
    if field is None:
        return None
    scans, channels = file[f"{group}/{TB_FIELD}"].shape[::2]
    index: Array
    if field.ndim == 1:
        index = np.broadcast_to(field[:], (scans, channels))[rows]
    elif field.shape == (scans, channels):
        index = field[rows]
    else:
        index = field[:].T[rows]
    return index


def read_time(file: h5py.File, group: str, rows: slice) -> npt.NDArray[np.datetime64]:
    """Scan time in UTC to the millisecond, NaT where the date is missing."""
    base = f"{group}/ScanTime"
    scans = file[f"{group}/{LATITUDE_FIELD}"][rows, :0].shape[0]
    if f"{base}/Year" not in file:
        return np.full(scans, np.datetime64("NaT", "ns"))

    def part(name: str) -> npt.NDArray[np.int64]:
        return np.asarray(file[f"{base}/{name}"][rows], np.int64)

    year, month, day = part("Year"), part("Month"), part("DayOfMonth")
    hour, minute, second = part("Hour"), part("Minute"), part("Second")
    milli = part("MilliSecond") if f"{base}/MilliSecond" in file else np.zeros_like(year)
    bad = (year < 1900) | (month < 1) | (day < 1) | (hour < 0) | (minute < 0) | (second < 0)
    months = (year - 1970) * 12 + month - 1
    time = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
    seconds = hour * 3600 + minute * 60 + second
    out = time.astype("datetime64[ms]") + seconds * 1000 + np.maximum(milli, 0)
    out = np.where(bad, np.datetime64("NaT", "ms"), out).astype("datetime64[ns]")
    return out
