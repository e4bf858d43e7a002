"""Rain products of the archive in xrain's vocabulary: 2A GPROF, 2A radar, 2B CORRA, IMERG.

What the layouts look like stands in :mod:`xrain.io.reference_layout`; here they are read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import ATTRIBUTES, BAND, LATITUDE, LAYER, LONGITUDE, SCAN, TIME
from xrain.errors import FileFormatError
from xrain.io import l1c
from xrain.io.chunks import read_rows
from xrain.io.hdf5 import (
    MOST_CELLS,
    MOST_PIXELS,
    child,
    dataset_at,
    fill_values,
    name_of,
    open_file,
    require_size,
    source_of,
    text_attribute,
    warn,
)
from xrain.io.header import granule_number, read_header
from xrain.io.lazy import FileReader, LazyArray, chunk_scans, lazy_variable
from xrain.io.reference_layout import (
    BANDS,
    HEIGHT,
    LATITUDES,
    LAYER_TOPS,
    LONGITUDES,
    PRODUCTS,
    Field,
    Product,
    dimensions,
    find_product,
)
from xrain.io.scan_time import scan_times
from xrain.sensors import find_sensor

__all__ = ["ReferenceGranule", "group_dataset", "open_group", "read_reference"]

Array = npt.NDArray[Any]

_WANTED: Final = "A 2A GPROF, 2A radar, 2B CORRA or half-hourly IMERG granule (HDF5)"
_GRID: Final = (TIME, LATITUDE, LONGITUDE)
_COORDINATES: Final = (LATITUDE, LONGITUDE)
LAYER_TOP: Final = "layer_top"
_POSSIBLE: Final = (-360.0, 50_000.0)
"""Range of all values of all fields; a fill value outside is known as none already."""

_LONGEST: Final = 4e9
"""Seconds from an epoch that a time can lie away: a century."""


@dataclass(frozen=True)
class Stored:
    """A field that a file holds.

    Attributes
    ----------
    field : Field
        What it is.
    path : str
        Where it lies in its group.
    dims : tuple of str
        Its axes in the order of the file.
    shape : tuple of int
        Their lengths.
    dtype : numpy dtype
        Type in the file.
    fill : int or None
        What the file puts for missing integers.
    """

    field: Field
    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: int | None


@dataclass(frozen=True)
class ReferenceGranule:
    """What a file says of itself, without its arrays.

    Attributes
    ----------
    path : str
        The file, or what names an open one.
    source : str or file object
        What is read.
    product : Product
        Its layout.
    header : dict of str to str
        The PVL headers, flattened.
    groups : dict of str to dict of str to Stored
        The fields of every swath group, the default group first.
    chunk_scans : dict of str to int
        Scans in one chunk of a group's latitude.
    """

    path: str
    source: Any
    product: Product
    header: Mapping[str, str]
    groups: Mapping[str, Mapping[str, Stored]]
    chunk_scans: Mapping[str, int]

    @property
    def attributes(self) -> dict[str, Any]:
        """Sensor, platform, orbit and version, then the rest of the header."""
        name = self.header.get("InstrumentName", "")
        sensor = find_sensor(name, self.header.get("SatelliteName", "")) if name else None
        own = {
            "sensor": sensor.name if sensor else name,
            "platform": self.header.get("SatelliteName", ""),
            "granule": os.path.basename(self.path),
            "orbit": granule_number(self.header),
            "product": self.header.get("AlgorithmID", ""),
            "product_version": self.header.get("ProductVersion", ""),
        }
        return own | {k: v for k, v in self.header.items() if k not in own}


def read_reference(given: Any) -> ReferenceGranule:
    """Read what a rain granule says of itself.

    Parameters
    ----------
    given : path-like, file object or bytes
        A granule of one of :data:`xrain.io.reference_layout.PRODUCTS`.

    Returns
    -------
    ReferenceGranule

    Raises
    ------
    FileFormatError
        If the file cannot be read, is another product, or has a wrong shape.
    """
    source = source_of(given)
    path = name_of(source)
    with open_file(source, _WANTED) as file:
        header = read_header(file)
        product = _product(path, header)
        found = {name: child(file, name) for name in product.groups}
        members = {name: g for name, g in found.items() if isinstance(g, h5py.Group)}
        if not members:
            raise FileFormatError(
                f"{path}: {product.name} needs a group {' or '.join(product.groups)}; the file "
                f"has {', '.join(list(file)[:20]) or 'none'}"
            )
        groups = {name: _stored(path, group, product) for name, group in members.items()}
        chunks = {
            name: (members[name][stored[LATITUDE].path].chunks or (1,))[0]
            for name, stored in groups.items()
            if LATITUDE in stored
        }
    return ReferenceGranule(path, source, product, header, groups, chunks)


def _product(path: str, header: Mapping[str, str]) -> Product:
    algorithm = header.get("AlgorithmID", "")
    found = find_product(algorithm)
    if found is None:
        what = f"holds the product {algorithm}" if algorithm else "has no GPM header"
        hint = "; open it with xrain.open_l1c" if algorithm.startswith("1C") else ""
        known = ", ".join(p.name for p in PRODUCTS)
        raise FileFormatError(f"{path}: {what}{hint}. Rain is read from {known}")
    return found


def _stored(path: str, group: h5py.Group, product: Product) -> dict[str, Stored]:
    """Find the fields of a group, and check that they lie on its grid."""
    out = {}
    for field in product.fields:
        for place in field.paths:
            item = dataset_at(group, place)
            if item is not None:
                out[field.name] = _describe(path, item, field, place, product.gridded)
                break
    needed = [f for f in product.fields if f.name in ("latitude", "longitude", "surface_precip")]
    missing = [f.paths[0] for f in needed if f.name not in out]
    if missing:
        raise FileFormatError(
            f"{path}: {group.name.strip('/')} lacks {', '.join(missing)}; {_WANTED} is needed"
        )
    shape = out["surface_precip"].shape
    require_size(path, group.name.strip("/"), shape, MOST_CELLS if product.gridded else MOST_PIXELS)
    return _on_one_grid(path, group, out)


def _describe(path: str, item: h5py.Dataset, field: Field, place: str, gridded: bool) -> Stored:
    names = text_attribute(item, "DimensionNames")
    dims = dimensions(names, item.ndim, gridded)
    if dims is None:
        raise FileFormatError(f"{path}: {item.name} has unknown dimensions {names!r}")
    fill = item.attrs.get("_FillValue")
    whole = fill is not None and item.dtype.kind in "iu"
    return Stored(
        field, place, dims, item.shape, item.dtype, int(np.ravel(fill)[0]) if whole else None
    )


def _on_one_grid(path: str, group: h5py.Group, stored: dict[str, Stored]) -> dict[str, Stored]:
    """Fields that lie on the grid of the rain; positions must, the others are warned of."""
    rain = stored["surface_precip"]
    sizes = dict(zip(rain.dims, rain.shape, strict=True))
    odd = {}
    for name, one in stored.items():
        own = dict(zip(one.dims, one.shape, strict=True)).items()
        for layers in (n for d, n in own if d == LAYER):
            sizes.setdefault(LAYER, layers)  # the first profile's
        if any(sizes.get(d, n) != n for d, n in own if d != BAND or n != len(BANDS)):
            odd[name] = one
    name = group.name.strip("/")
    told = ", ".join(f"{name}/{s.path} has shape {s.shape}" for s in odd.values())
    told = f"{path}: {told}, {name}/{rain.path} has {rain.shape}"
    if odd.keys() & set(_COORDINATES):
        raise FileFormatError(f"{told}; the file is damaged, fetch it again")
    if odd:
        warn(f"{told}; what does not fit is left out")
    return {name: one for name, one in stored.items() if name not in odd}


def open_group(path: Any, name: str | None = None) -> xr.Dataset:
    """Open one swath group, by default the one that covers most; see :func:`group_dataset`."""
    return group_dataset(read_reference(path), name)


def group_dataset(granule: ReferenceGranule, name: str | None = None) -> xr.Dataset:
    """Build the lazy dataset of one swath group, or of the grid.

    Parameters
    ----------
    granule : ReferenceGranule
        What the file says of itself.
    name : str, optional
        Swath group such as ``"FS"``; by default the first that the file has of the order in
        which the product lists them.

    Raises
    ------
    FileFormatError
        If the file lacks the group.
    """
    name = name or next(iter(granule.groups))
    if name not in granule.groups:
        raise FileFormatError(
            f"{granule.path}: swath group {name!r} is missing; the file has "
            f"{', '.join(granule.groups)}. Choose one of them with swath=…"
        )
    reader = FileReader(granule.source)
    build = _grid if granule.product.gridded else _swath
    out = build(granule, name, reader)
    out.attrs = granule.attributes | {"reference_swath": name}
    out.set_close(reader.close)
    if isinstance(granule.source, str):
        out.encoding["source"] = os.path.abspath(granule.source)
    return out


def _swath(granule: ReferenceGranule, name: str, reader: FileReader) -> xr.Dataset:
    stored = granule.groups[name]
    scans = stored[LATITUDE].shape[0]
    chunks = {SCAN: chunk_scans(granule.chunk_scans[name], scans)}
    variables = {k: _variable(reader, name, s, s.dims, chunks) for k, s in stored.items()}
    time = scan_times(reader, name, scans)
    variables[TIME] = xr.Variable((SCAN,), time, ATTRIBUTES[TIME])
    if any(BAND in s.dims for s in stored.values()):
        variables[BAND] = xr.Variable((BAND,), list(BANDS), ATTRIBUTES[BAND])
    layers = {dict(zip(s.dims, s.shape, strict=True)).get(LAYER) for s in stored.values()}
    if (count := max((n for n in layers if n), default=0)) and (
        tops := reader.read(_read_layer_tops, "", count)
    ).size:
        variables[LAYER_TOP] = xr.Variable((LAYER,), tops, ATTRIBUTES[LAYER_TOP])
    names = (*_COORDINATES, TIME, BAND, LAYER_TOP, *l1c.PIXEL_FIELDS, *l1c.SCAN_FIELDS)
    return xr.Dataset(variables).set_coords([n for n in names if n in variables])


def _read_layer_tops(file: h5py.File, group: str, count: int) -> Array:
    """Heights of the layers of profiles in km, none where the file does not tell them."""
    item = dataset_at(file, LAYER_TOPS)
    if item is None or item.shape != (count,):
        return np.empty(0, np.float32)
    return HEIGHT.decode(item[:])


def _grid(granule: ReferenceGranule, name: str, reader: FileReader) -> xr.Dataset:
    stored = granule.groups[name]
    variables = {k: _variable(reader, name, s, _GRID, {}) for k, s in stored.items()}
    rain = stored["surface_precip"]
    sizes = dict(zip(rain.dims, rain.shape, strict=True))
    for coordinate, kind in ((LATITUDE, LATITUDES), (LONGITUDE, LONGITUDES)):
        raw = reader.read(_read_axis, name, coordinate[:3], (sizes[coordinate],))
        variables[coordinate] = xr.Variable((coordinate,), kind.decode(raw), ATTRIBUTES[coordinate])
    attrs = ATTRIBUTES[TIME] | {"long_name": "start of the half hour", "bounds": "time_bounds"}
    units = {"units": "seconds since 1970-01-01"}
    time = reader.read(_read_times, name, "time", (sizes[TIME],))
    variables[TIME] = xr.Variable((TIME,), time, attrs, units)
    bounds = reader.read(_read_times, name, "time_bnds", (sizes[TIME], 2))
    variables["time_bounds"] = xr.Variable((TIME, "bound"), bounds, None, units)
    return xr.Dataset(variables).set_coords(["time_bounds"])


def _axis(file: h5py.File, group: str, path: str, shape: tuple[int, ...]) -> h5py.Dataset:
    """Return a dataset that describes an axis of a grid; FileFormatError if it does not."""
    item = dataset_at(file[group], path)
    if item is None or item.shape != shape:
        found = "is missing" if item is None else f"has shape {item.shape}, not {shape}"
        raise FileFormatError(f"{file.filename}: {group}/{path} {found}; fetch the file again")
    return item


def _read_axis(file: h5py.File, group: str, path: str, shape: tuple[int, ...]) -> Array:
    out: Array = _axis(file, group, path, shape)[:]
    return out


def _read_times(
    file: h5py.File, group: str, path: str, shape: tuple[int, ...]
) -> npt.NDArray[np.datetime64]:
    """Read seconds since the epoch that the units name; leap seconds are not in them."""
    item = _axis(file, group, path, shape)
    units = text_attribute(item, "units") or "seconds since 1970-01-01"
    epoch = np.datetime64(units.split("since")[-1].split("UTC")[0].strip().replace(" ", "T"), "s")
    seconds = item[:]
    good = np.isfinite(seconds) & (np.abs(seconds) < _LONGEST)
    out = epoch + np.where(good, seconds, 0).astype("timedelta64[s]")
    return np.where(good, out, np.datetime64("NaT", "s")).astype("datetime64[ns]")


def _variable(
    reader: FileReader,
    group: str,
    stored: Stored,
    dims: tuple[str, ...],
    chunks: Mapping[str, int],
) -> xr.Variable:
    """Make the lazy variable of a field, its axes in the order `dims`."""
    field = stored.field
    order = tuple(stored.dims.index(d) for d in dims)
    dtype = field.kind.dtype or stored.dtype
    array = LazyArray(
        tuple(stored.shape[i] for i in order),
        dtype,
        partial(_read_block, reader, group, stored, order),
    )
    attrs = {**ATTRIBUTES[field.name], **dict(field.attrs), "file_field": f"{group}/{stored.path}"}
    if field.name in _COORDINATES:
        attrs.pop("file_field")
    out = lazy_variable(dims, array, field.name, chunks, attrs)
    fill = field.kind.fill if field.kind.dtype else stored.fill
    if fill is not None:
        out.encoding["_FillValue"] = np.dtype(dtype).type(fill)
    return out


def _read_block(
    reader: FileReader, group: str, stored: Stored, order: tuple[int, ...], rows: slice
) -> Array:
    return reader.read(_read_field, group, stored, order, rows)


def _read_field(
    file: h5py.File, group: str, stored: Stored, order: tuple[int, ...], rows: slice
) -> Array:
    """Read and decode some scans, or some times of a grid."""
    item = file[f"{group}/{stored.path}"]
    raw = read_rows(item, rows)
    values = stored.field.kind.decode(raw)
    if values.dtype == np.float32:
        for fill in fill_values(item, *_POSSIBLE):
            values = np.where(raw == np.asarray(fill, raw.dtype), np.float32(np.nan), values)
    return values.transpose(order)
