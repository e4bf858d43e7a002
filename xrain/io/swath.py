"""One swath from the groups of a granule, read lazily and brought onto one grid."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    ATTRIBUTES,
    CHANNEL,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    QUALITY,
    QUALITY_FILL,
    SCAN,
    SWATH,
    TB,
    TIME,
)
from xrain.errors import InputError
from xrain.geo.coregister import Match, Window, align, match_nearest, source_rows
from xrain.geo.gaussian import smooth_onto
from xrain.io import l1c
from xrain.io.hdf5 import warn
from xrain.io.l1c import Granule, GroupLayout
from xrain.io.lazy import FileReader, LazyArray, chunk_scans, lazy_variable
from xrain.io.scan_time import scan_times
from xrain.sensors import Channel

Array = npt.NDArray[Any]
Coregistration = Literal["nearest", "gaussian"]

_KEPT_MATCHES = 8


class SwathSource(FileReader):
    """Reads a granule's scans on the grid of one of its groups; travels between processes.

    Parameters
    ----------
    granule : Granule
        What the file says of itself.
    reference : str
        Group onto whose pixels all channels are brought.
    coregistration : {"nearest", "gaussian"}
        How channels of other groups are brought there.
    """

    def __init__(self, granule: Granule, reference: str, coregistration: Coregistration) -> None:
        if coregistration not in ("nearest", "gaussian"):
            raise InputError(f"coregistration is {coregistration!r}; it is 'nearest' or 'gaussian'")
        super().__init__(granule.source)
        self.granule = granule
        self.reference = granule.group(reference)
        self.coregistration = coregistration
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._matches: dict[tuple[str, int, int], tuple[Match, slice, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_matches")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def positions(self, group: GroupLayout, rows: slice) -> Window:
        """Positions of some scans of a group."""
        return Window(
            self.read(l1c.read_field, group.name, l1c.LATITUDE_FIELD, rows),
            self.read(l1c.read_field, group.name, l1c.LONGITUDE_FIELD, rows),
            rows.start,
            group.scans,
        )

    def match(self, group: GroupLayout, rows: slice) -> tuple[Match, slice, int]:
        """Match of a group for reference `rows`: indices, source rows, first row matched."""
        key = (group.name, rows.start, rows.stop)
        with self._lock:
            if key not in self._matches:
                while len(self._matches) >= _KEPT_MATCHES:
                    self._matches.pop(next(iter(self._matches)))
                self._matches[key] = self._find_match(group, rows)
            return self._matches[key]

    def _ratio(self, group: GroupLayout) -> float:
        sensor = self.granule.sensor
        own = sensor.swath(group.name).scan_period
        return sensor.swath(self.reference.name).scan_period / own

    def _find_match(self, group: GroupLayout, rows: slice) -> tuple[Match, slice, int]:
        ratio = self._ratio(group)
        start, stop = align(rows.start, rows.stop)
        near = source_rows(rows.start, rows.stop, ratio, group.scans)
        here = self.positions(self.reference, slice(start, min(stop, self.reference.scans)))
        return match_nearest(here, self.positions(group, near), ratio), near, start

    def bring(
        self,
        group: GroupLayout,
        rows: slice,
        reader: Callable[..., Array],
        fill: float,
        smooth: bool = False,
    ) -> Array:
        """Read what `reader` reads of a group, on the reference grid."""
        if group.name == self.reference.name:
            return self.read(reader, group.name, rows)
        match, near, start = self.match(group, rows)
        values = self.read(reader, group.name, near)
        cut = slice(rows.start - start, rows.stop - start)
        nearest = Match(match.row[cut], match.column[cut])
        if not smooth:
            return nearest.take(values, fill)
        return smooth_onto(
            self.positions(self.reference, rows), self.positions(group, near), values, nearest
        )

    def tb(self, rows: slice, channels: Sequence[int]) -> Array:
        """Brightness temperature, shape (scan, pixel, channel), K."""

        def reader(file: h5py.File, group: str, near: slice) -> Array:
            return l1c.read_field(file, group, l1c.TB_FIELD, near)

        smooth = self.coregistration == "gaussian"
        return self._by_channel(rows, channels, reader, smooth)

    def incidence(self, rows: slice, channels: Sequence[int]) -> Array:
        """Earth incidence angle, shape (scan, pixel, channel), degrees."""
        return self._by_channel(rows, channels, l1c.read_incidence, False)

    def _by_channel(
        self, rows: slice, channels: Sequence[int], reader: Callable[..., Array], smooth: bool
    ) -> Array:
        wanted = [self.granule.channels[i] for i in channels]
        out = np.empty((rows.stop - rows.start, self.reference.pixels, len(wanted)), np.float32)
        for name, group in self.granule.groups.items():
            to = [k for k, c in enumerate(wanted) if c.swath == name]
            if to:
                values = self.bring(group, rows, reader, np.nan, smooth)
                own = [group.channels.index(wanted[k]) for k in to]
                one = values.shape[2] == 1
                out[..., _as_slice(to)] = values if one else values[..., _as_slice(own)]
        return out

    def quality(self, rows: slice, groups: Sequence[int]) -> Array:
        """Quality code, shape (scan, pixel, swath), int8; −99 where there is no sample."""
        out = np.full((rows.stop - rows.start, self.reference.pixels, len(groups)), QUALITY_FILL)
        out = out.astype(np.int8)
        layouts = list(self.granule.groups.values())
        for k, i in enumerate(groups):
            if l1c.QUALITY_FIELD in layouts[i].fields:
                out[..., k] = self.bring(layouts[i], rows, l1c.read_quality, QUALITY_FILL)
        return out

    def field(self, name: str, rows: slice) -> Array:
        """One field of the reference group, as float32 with NaN."""
        values = self.read(l1c.read_field, self.reference.name, name, rows)
        return values[..., 0] if values.ndim == 3 else values


def _as_slice(index: list[int]) -> slice | list[int]:
    """Contiguous indices as a slice, which NumPy copies without a detour."""
    if index == list(range(index[0], index[0] + len(index))):
        return slice(index[0], index[0] + len(index))
    return index


def open_swath(
    path: Any,
    *,
    swath: str | None = None,
    coregistration: Coregistration = "nearest",
) -> xr.Dataset:
    """Open a granule as one swath with every channel, lazily and without Dask.

    Parameters
    ----------
    path : path-like, file object or bytes
        An L1C granule.
    swath : str, optional
        Group whose pixels are the grid; by default the sensor's reference swath.
    coregistration : {"nearest", "gaussian"}
        How channels of the other groups are brought onto that grid.

    Returns
    -------
    xarray.Dataset
        ``tb(scan, pixel, channel)`` in K and its coordinates; see :doc:`/explanation/data_model`.

    Raises
    ------
    FileFormatError, UnknownSensorError
        If the file is no L1C granule that xrain knows.
    """
    granule = l1c.read_granule(path)
    _warn_of_missing_groups(granule)
    return swath_dataset(granule, swath or granule.sensor.reference_swath, coregistration)


def _warn_of_missing_groups(granule: Granule) -> None:
    missing = [s.name for s in granule.sensor.swaths if s.name not in granule.groups]
    if missing:
        warn(
            f"{granule.path}: swath group {', '.join(missing)} is missing; "
            "its channels are left out"
        )


def open_group(path: Any, name: str) -> xr.Dataset:
    """Open one swath group as it is, with its own channels only."""
    return group_dataset(l1c.read_granule(path), name)


def group_dataset(granule: Granule, name: str) -> xr.Dataset:
    """Build the lazy dataset of one swath group as it is."""
    group = granule.group(name)
    alone = Granule(**{**granule.__dict__, "groups": {name: group}})
    return swath_dataset(alone, name, "nearest")


def swath_dataset(
    granule: Granule, reference: str, coregistration: Coregistration = "nearest"
) -> xr.Dataset:
    """Build the lazy dataset of a granule on the grid of its group `reference`."""
    source = SwathSource(granule, reference, coregistration)
    group = source.reference
    chunks = {SCAN: chunk_scans(group.chunk_scans, group.scans)}
    grid = (group.scans, group.pixels)
    layouts = list(granule.groups.values())
    count = len(granule.channels)

    data = {TB: lazy_variable((SCAN, PIXEL, CHANNEL), LazyArray(
        (*grid, count), np.float32, source.tb, by_last=True), TB, chunks)}  # fmt: skip
    if any(l1c.QUALITY_FIELD in g.fields for g in layouts):
        array = LazyArray((*grid, len(layouts)), np.int8, source.quality, by_last=True)
        data[QUALITY] = lazy_variable((SCAN, PIXEL, SWATH), array, QUALITY, chunks)
    if l1c.GLINT_FIELD in group.fields:
        array = LazyArray(grid, np.float32, partial(source.field, l1c.GLINT_FIELD))
        data["sun_glint_angle"] = lazy_variable((SCAN, PIXEL), array, "sun_glint_angle", chunks)
    data |= _reference_fields(source, grid, chunks)

    coords = _coordinates(source, grid, chunks)
    coords |= channel_coordinates(granule.channels)
    coords[SWATH] = xr.Variable((SWATH,), list(granule.groups), ATTRIBUTES[SWATH])
    if QUALITY not in data:
        del coords[SWATH]
    out = xr.Dataset(data, coords, _attributes(granule, reference))
    out.set_close(source.close)
    if isinstance(granule.source, str):
        out.encoding["source"] = os.path.abspath(granule.source)
    return out


def _reference_fields(
    source: SwathSource, grid: tuple[int, int], chunks: dict[str, int]
) -> dict[str, xr.Variable]:
    fields = source.reference.fields
    out = {}
    for name, field in l1c.PIXEL_FIELDS.items():
        if field in fields:
            array = LazyArray(grid, np.float32, partial(source.field, field))
            out[name] = lazy_variable((SCAN, PIXEL), array, name, chunks)
    for name, field in l1c.SCAN_FIELDS.items():
        if field in fields:
            array = LazyArray(grid[:1], np.float32, partial(source.field, field))
            out[name] = lazy_variable((SCAN,), array, name, chunks)
    return out


def _coordinates(
    source: SwathSource, grid: tuple[int, int], chunks: dict[str, int]
) -> dict[str, xr.Variable]:
    group = source.reference
    out = {
        name: lazy_variable(
            (SCAN, PIXEL), LazyArray(grid, np.float32, partial(source.field, field)), name, chunks
        )
        for name, field in ((LATITUDE, l1c.LATITUDE_FIELD), (LONGITUDE, l1c.LONGITUDE_FIELD))
    }
    time = scan_times(source, group.name, group.scans)
    out[TIME] = xr.Variable((SCAN,), time, ATTRIBUTES[TIME])
    if all(l1c.INCIDENCE_FIELD in g.fields for g in source.granule.groups.values()):
        shape = (*grid, len(source.granule.channels))
        array = LazyArray(shape, np.float32, source.incidence, by_last=True)
        out[INCIDENCE] = lazy_variable((SCAN, PIXEL, CHANNEL), array, INCIDENCE, chunks)
    return out


def channel_coordinates(channels: Sequence[Channel]) -> dict[str, xr.Variable]:
    """Coordinates along ``channel``: name, frequency, sideband offset, polarization."""
    columns: dict[str, list[Any]] = {
        CHANNEL: [c.name for c in channels],
        "frequency": [c.frequency for c in channels],
        "sideband_offset": [c.sideband_offset for c in channels],
        "polarization": [c.polarization for c in channels],
    }
    return {
        name: xr.Variable((CHANNEL,), np.asarray(values), ATTRIBUTES[name])
        for name, values in columns.items()
    }


def _attributes(granule: Granule, reference: str) -> dict[str, Any]:
    own = {
        "sensor": granule.sensor.name,
        "platform": granule.platform,
        "granule": os.path.basename(granule.path),
        "orbit": granule.orbit,
        "reference_swath": reference,
        "product_version": granule.version,
    }
    return own | {k: v for k, v in granule.header.items() if k not in own}
