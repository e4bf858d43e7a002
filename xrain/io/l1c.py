"""Decode one GPM level 1C granule: the only place that knows where its fields lie.

The layout is that of the GPM file specification of 1C products (NASA Precipitation Processing
System), V05 to V07 as HDF5, and the same layout as netCDF-4. A field that a version lacks is
absent here too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt

from xrain.conventions import QUALITY_FILL
from xrain.errors import FileFormatError
from xrain.io.chunks import read_rows
from xrain.io.hdf5 import (
    child,
    dataset_at,
    fill_values,
    name_of,
    open_file,
    require_size,
    require_written,
    source_of,
    text_attribute,
    warn,
)
from xrain.io.header import granule_number, read_header
from xrain.io.undescribed import groups_with_temperatures, sensor_of_file
from xrain.sensors import Channel, Sensor, find_sensor
from xrain.temperature import HIGHEST_TB, LOWEST_TB, is_kelvin

Array = npt.NDArray[Any]

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

_TIME_FIELDS: Final = tuple(
    f"ScanTime/{n}" for n in ("Year", "Month", "DayOfMonth", "Hour", "Minute", "Second")
)
_FIELDS: Final = (
    TB_FIELD, *_ON_PIXELS, INCIDENCE_INDEX_FIELD, *SCAN_FIELDS.values(), *_TIME_FIELDS,
)  # fmt: skip

# What lies outside is no measurement: the archive's codes are -9999.9, -9999 and -99, netCDF's
# are 9.97e36 and -32767.
_BLOCK: Final = 1 << 15
"""Values that are checked at once."""

LIMITS: Final = {
    TB_FIELD: (LOWEST_TB, HIGHEST_TB),
    LATITUDE_FIELD: (-90.0, 90.0),
    LONGITUDE_FIELD: (-360.0, 360.0),
    INCIDENCE_FIELD: (-90.0, 180.0),
    GLINT_FIELD: (-90.0, 180.0),
    "sunLocalTime": (0.0, 24.0),
    "SCstatus/SClatitude": (-90.0, 90.0),
    "SCstatus/SClongitude": (-360.0, 360.0),
    "SCstatus/SCaltitude": (0.0, 50000.0),
    "SCstatus/SCorientation": (-360.0, 360.0),
}


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
        The file, or what names an open one.
    source : str or file object
        What is read.
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
    source: Any
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


def read_granule(given: Any) -> Granule:
    """Read what a granule says of itself.

    Parameters
    ----------
    given : path-like, file object or bytes
        An L1C granule, 1C or 1C-R, HDF5 or netCDF-4.

    Returns
    -------
    Granule

    Raises
    ------
    FileFormatError
        If the file cannot be read, is another product, or has a wrong shape.

    Warns
    -----
    UserWarning
        If no sensor table describes its instrument, so that its channels are those that the file
        lists and the rest is assumed; and if fields beside temperatures and positions do not lie
        on their grid.

    See Also
    --------
    xrain.open_l1c : Granules as a dataset.
    xrain.io.write_l1c.write_l1c : Write one.

    References
    ----------
    Berg, W., et al., 2016: Intercalibration of the GPM microwave radiometer constellation.
    *J. Atmos. Oceanic Technol.* 33, 2639-2654, doi 10.1175/JTECH-D-16-0100.1.
    """
    source = source_of(given)
    path = name_of(source)
    with open_file(source) as file:
        header = read_header(file)
        _require_l1c(path, file, header)
        sensor = _sensor(path, file, header)
        found = {s.name: child(file, s.name) for s in sensor.swaths}
        groups = {n: _layout(path, n, g, sensor) for n, g in found.items() if g is not None}
        beside = [n for n in groups_with_temperatures(file) if n not in found]
    if beside:
        warn(
            f"{path}: swath group {', '.join(beside)} is left out: no channel of "
            f"{sensor.name}'s table lies there"
        )
    if not groups:
        wanted = ", ".join(s.name for s in sensor.swaths)
        raise FileFormatError(f"{path}: {sensor.name} needs swath groups {wanted}; none is there")
    return Granule(
        path=path,
        source=source,
        sensor=sensor,
        platform=header.get("SatelliteName", "") or _from_name(path, 1),
        orbit=granule_number(header),
        version=header.get("ProductVersion", ""),
        header=header,
        groups=groups,
    )


def _from_name(path: str, position: int) -> str:
    """One field of an archive file name, which begins with 1C.PLATFORM.SENSOR."""
    parts = os.path.basename(path).split(".")
    return parts[position] if len(parts) > 4 else ""


def _require_l1c(path: str, file: h5py.File, header: Mapping[str, str]) -> None:
    product = header.get("AlgorithmID", "") or _from_name(path, 0)
    if product.startswith("1C"):
        return
    groups = (child(file, name) for name in file)
    if not product and any(isinstance(g, h5py.Group) and TB_FIELD in g for g in groups):
        return
    what = f"holds the product {product}" if product else "has no GPM header"
    raise FileFormatError(f"{path}: {what}; a level 1C granule (1C or 1C-R) is needed")


def _sensor(path: str, file: h5py.File, header: Mapping[str, str]) -> Sensor:
    name = header.get("InstrumentName", "") or _from_name(path, 2)
    sensor = find_sensor(name, header.get("SatelliteName", "") or _from_name(path, 1))
    return sensor_of_file(path, file, header, name or "radiometer") if sensor is None else sensor


def _layout(path: str, name: str, group: Any, sensor: Sensor) -> GroupLayout:
    if not isinstance(group, h5py.Group):
        raise FileFormatError(
            f"{path}: {name} is no group; a swath group of {sensor.name} is needed"
        )
    channels = sensor.swath_channels(name)
    members = {field: dataset_at(group, field) for field in _FIELDS}
    found = {field: item for field, item in members.items() if item is not None}
    for needed in (TB_FIELD, LATITUDE_FIELD, LONGITUDE_FIELD):
        if needed not in found:
            raise FileFormatError(f"{path}: {name}/{needed} is missing")
    tb = found[TB_FIELD]
    if tb.ndim != 3 or tb.shape[2] != len(channels):
        raise FileFormatError(
            f"{path}: {name}/{TB_FIELD} has shape {tb.shape}; {sensor.name} needs "
            f"(scan, pixel, {len(channels)})"
        )
    require_size(path, f"{name}/{TB_FIELD}", tb.shape[:2])
    for field in (TB_FIELD, LATITUDE_FIELD, LONGITUDE_FIELD):
        require_written(path, f"{name}/{field}", found[field])
    units = text_attribute(tb, "units") or text_attribute(tb, "Units")
    if units and not is_kelvin(units):
        raise FileFormatError(f"{path}: {name}/{TB_FIELD} is in {units!r}; K is needed")
    scans, pixels = tb.shape[:2]
    rows = tb.chunks[0] if tb.chunks else scans
    return GroupLayout(name, scans, pixels, channels, _fields_on_grid(path, name, found), rows)


def _fields_on_grid(path: str, name: str, found: Mapping[str, h5py.Dataset]) -> frozenset[str]:
    """Names of the fields that lie on the grid of Tc; positions must, the others are warned of.

    Subsetters may cut the arrays of the pixels and forget those of the scans.
    """
    tb = found[TB_FIELD].shape
    odd = {f: d.shape for f, d in found.items() if not _fits(f, d.shape, tb)}
    for field in (LATITUDE_FIELD, LONGITUDE_FIELD):
        if field in odd:
            raise FileFormatError(
                f"{path}: {name}/{field} has shape {odd[field]}, {name}/{TB_FIELD} has {tb}"
            )
    if odd:
        told = ", ".join(f"{name}/{field} has shape {shape}" for field, shape in odd.items())
        warn(f"{path}: {told}, {name}/{TB_FIELD} has {tb}; what does not fit is left out")
    return frozenset(found) - frozenset(odd)


def _fits(field: str, shape: tuple[int, ...], tb: tuple[int, ...]) -> bool:
    if field == TB_FIELD:
        return True
    if field in (LATITUDE_FIELD, LONGITUDE_FIELD):
        return shape == tb[:2]
    if field in _ON_PIXELS:
        most = 3 if field in (INCIDENCE_FIELD, GLINT_FIELD) else 2
        return shape[:2] == tb[:2] and 2 <= len(shape) <= most and 0 not in shape[2:]
    if field == INCIDENCE_INDEX_FIELD:
        return shape in {tb[2:], tb[::2], tb[::-2]}
    return shape == tb[:1]


def decode(raw: Array, field: str, fills: Sequence[float] = ()) -> npt.NDArray[np.float32]:
    """Turn missing and impossible values into NaN.

    Parameters
    ----------
    raw : array
        What the file holds; overwritten if it is float32.
    field : str
        Name of the field, which tells what its values can be.
    fills : sequence of float
        What the file says stands for missing.

    Returns
    -------
    array of float32
    """
    low, high = LIMITS[field]
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(raw, np.float32)
    flat = values.reshape(-1)
    for first in range(0, flat.size, _BLOCK):  # in pieces that stay in the processor's cache
        part = flat[first : first + _BLOCK]
        good = (part >= np.float32(low)) & (part <= np.float32(high))
        if not good.all():
            part[~good] = np.nan
    for fill in fills:
        values = np.where(values == np.float32(fill), np.float32(np.nan), values)
    return values


def read_field(file: h5py.File, group: str, field: str, rows: slice) -> npt.NDArray[np.float32]:
    """Read some scans of a field as float32 with NaN where the value is missing."""
    item = file[f"{group}/{field}"]
    return decode(read_rows(item, rows), field, fill_values(item, *LIMITS[field]))


def read_quality(file: h5py.File, group: str, rows: slice) -> npt.NDArray[np.int8]:
    """Read the quality code of some scans as int8, −99 where missing."""
    values = read_rows(file[f"{group}/{QUALITY_FIELD}"], rows)
    if values.dtype != np.int8:
        known = np.isfinite(values) & (values >= QUALITY_FILL) & (values <= 127)
        values = np.where(known, values, QUALITY_FILL).astype(np.int8)
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
    field = dataset_at(file, f"{group}/{INCIDENCE_INDEX_FIELD}")
    scans, channels = file[f"{group}/{TB_FIELD}"].shape[::2]
    if field is None or field.shape not in {(channels,), (scans, channels), (channels, scans)}:
        return None
    index: Array
    if field.ndim == 1:
        index = np.broadcast_to(read_rows(field, slice(None)), (scans, channels))[rows]
    elif field.shape == (scans, channels):
        index = read_rows(field, rows)
    else:
        index = read_rows(field, slice(None)).T[rows]
    return np.nan_to_num(index, nan=-99).clip(-99, 99).astype(np.int8)
