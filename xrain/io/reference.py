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

from xrain.conventions import ATTRIBUTES, BAND, LATITUDE, LONGITUDE, SCAN, TIME
from xrain.errors import FileFormatError
from xrain.io import l1c
from xrain.io.chunks import read_rows
from xrain.io.lazy import FileReader, LazyArray, chunk_scans, lazy_variable
from xrain.io.reference_layout import (
    BANDS,
    LATITUDES,
    LONGITUDES,
    PRODUCTS,
    Field,
    Product,
    dimensions,
    find_product,
)
from xrain.sensors import find_sensor

__all__ = ["ReferenceGranule", "group_dataset", "open_group", "read_reference"]

Array = npt.NDArray[Any]

_WANTED: Final = "A 2A GPROF, 2A radar, 2B CORRA or half-hourly IMERG granule (HDF5)"
_GRID: Final = (TIME, LATITUDE, LONGITUDE)
_COORDINATES: Final = (LATITUDE, LONGITUDE)


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
        The file.
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
    product: Product
    header: Mapping[str, str]
    groups: Mapping[str, Mapping[str, Stored]]
    chunk_scans: Mapping[str, int]

    @property
    def attributes(self) -> dict[str, Any]:
        """Sensor, platform, orbit and version, then the rest of the header."""
        name = self.header.get("InstrumentName", "")
        sensor = find_sensor(name) if name else None
        number = self.header.get("GranuleNumber", "")
        own = {
            "sensor": sensor.name if sensor else name,
            "platform": self.header.get("SatelliteName", ""),
            "granule": os.path.basename(self.path),
            "orbit": int(number) if number.lstrip("-").isdigit() else -1,
            "product": self.header.get("AlgorithmID", ""),
            "product_version": self.header.get("ProductVersion", ""),
        }
        return own | {k: v for k, v in self.header.items() if k not in own}


def read_reference(path: str | os.PathLike[str]) -> ReferenceGranule:
    """Read what a rain granule says of itself.

    Parameters
    ----------
    path : path-like
        A granule of one of :data:`xrain.io.reference_layout.PRODUCTS`.

    Raises
    ------
    FileFormatError
        If the file cannot be read, is another product, or has a wrong shape.
    """
    with l1c.open_file(path, _WANTED) as file:
        path = str(os.fspath(path))
        header = l1c.read_header(file)
        product = _product(path, header)
        names = [n for n in product.groups if isinstance(file.get(n), h5py.Group)]
        if not names:
            raise FileFormatError(
                f"{path}: {product.name} needs a group {' or '.join(product.groups)}; the file "
                f"has {', '.join(file) or 'none'}"
            )
        groups = {name: _stored(path, file[name], product) for name in names}
        chunks = {
            name: (file[name][stored[LATITUDE].path].chunks or (1,))[0]
            for name, stored in groups.items()
            if LATITUDE in stored
        }
    return ReferenceGranule(path, product, header, groups, chunks)


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
        place = next((p for p in field.paths if isinstance(group.get(p), h5py.Dataset)), None)
        if place is not None:
            out[field.name] = _describe(path, group[place], field, place, product.gridded)
    needed = [f for f in product.fields if f.name in ("latitude", "longitude", "surface_precip")]
    missing = [f.paths[0] for f in needed if f.name not in out]
    if missing:
        raise FileFormatError(
            f"{path}: {group.name.strip('/')} lacks {', '.join(missing)}; {_WANTED} is needed"
        )
    _require_one_grid(path, group, out)
    return out


def _describe(path: str, item: h5py.Dataset, field: Field, place: str, gridded: bool) -> Stored:
    names = l1c.text(item.attrs.get("DimensionNames", ""))
    dims = dimensions(names, item.ndim, gridded)
    if dims is None:
        raise FileFormatError(f"{path}: {item.name} has unknown dimensions {names!r}")
    fill = item.attrs.get("_FillValue")
    whole = fill is not None and item.dtype.kind in "iu"
    return Stored(
        field, place, dims, item.shape, item.dtype, int(np.ravel(fill)[0]) if whole else None
    )


def _require_one_grid(path: str, group: h5py.Group, stored: Mapping[str, Stored]) -> None:
    sizes: dict[str, int] = {}
    for one in stored.values():
        for dim, size in zip(one.dims, one.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                name = group.name.strip("/")
                raise FileFormatError(
                    f"{path}: {name}/{one.path} has shape {one.shape}, other fields of {name} "
                    f"have {sizes[dim]} along {dim}; the file is damaged, fetch it again"
                )


def open_group(path: str | os.PathLike[str], name: str | None = None) -> xr.Dataset:
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
    reader = FileReader(granule.path)
    build = _grid if granule.product.gridded else _swath
    out = build(granule, name, reader)
    out.attrs = granule.attributes | {"reference_swath": name}
    out.set_close(reader.close)
    out.encoding["source"] = os.path.abspath(granule.path)
    return out


def _swath(granule: ReferenceGranule, name: str, reader: FileReader) -> xr.Dataset:
    stored = granule.groups[name]
    scans = stored[LATITUDE].shape[0]
    chunks = {SCAN: chunk_scans(granule.chunk_scans[name], scans)}
    variables = {k: _variable(reader, name, s, s.dims, chunks) for k, s in stored.items()}
    time = reader.read(l1c.read_time, name, slice(0, scans))
    variables[TIME] = xr.Variable((SCAN,), time, ATTRIBUTES[TIME])
    if any(BAND in s.dims for s in stored.values()):
        variables[BAND] = xr.Variable((BAND,), list(BANDS), ATTRIBUTES[BAND])
    names = (*_COORDINATES, TIME, BAND, *l1c.PIXEL_FIELDS, *l1c.SCAN_FIELDS)
    return xr.Dataset(variables).set_coords([n for n in names if n in variables])


def _grid(granule: ReferenceGranule, name: str, reader: FileReader) -> xr.Dataset:
    stored = granule.groups[name]
    variables = {k: _variable(reader, name, s, _GRID, {}) for k, s in stored.items()}
    for coordinate, kind in ((LATITUDE, LATITUDES), (LONGITUDE, LONGITUDES)):
        raw = reader.read(_read_whole, name, coordinate[:3])
        variables[coordinate] = xr.Variable((coordinate,), kind.decode(raw), ATTRIBUTES[coordinate])
    attrs = ATTRIBUTES[TIME] | {"long_name": "start of the half hour", "bounds": "time_bounds"}
    units = {"units": "seconds since 1970-01-01"}
    variables[TIME] = xr.Variable((TIME,), reader.read(_read_times, name, "time"), attrs, units)
    bounds = reader.read(_read_times, name, "time_bnds")
    variables["time_bounds"] = xr.Variable((TIME, "bound"), bounds, None, units)
    return xr.Dataset(variables).set_coords(["time_bounds"])


def _read_whole(file: h5py.File, group: str, path: str) -> Array:
    out: Array = file[f"{group}/{path}"][:]
    return out


def _read_times(file: h5py.File, group: str, path: str) -> npt.NDArray[np.datetime64]:
    """Read seconds since the epoch that the units name; leap seconds are not in them."""
    item = file[f"{group}/{path}"]
    units = l1c.text(item.attrs.get("units", "seconds since 1970-01-01"))
    epoch = np.datetime64(units.split("since")[-1].split("UTC")[0].strip().replace(" ", "T"), "ns")
    return np.asarray(epoch + item[:].astype("timedelta64[s]").astype("timedelta64[ns]"))


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
    values = stored.field.kind.decode(read_rows(file[f"{group}/{stored.path}"], rows))
    return values.transpose(order)
