"""Channels that Satpy has read, as one swath.

Nothing of Satpy is imported: a Scene is anything that gives DataArrays by key, each with the
attributes that Satpy's readers give it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import dask.array as da
import numpy as np
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
    parse_channel_name,
)
from xrain.errors import InputError
from xrain.geo.blockwise import BlockwiseMatch, Grid
from xrain.io.channel_names import channel_label, name_channels
from xrain.io.hdf5 import warn
from xrain.io.swath import channel_coordinates
from xrain.naming import is_zenith_angle, means
from xrain.sensors import Channel, Sensor, find_sensor
from xrain.sensors.describe import describe_channels
from xrain.temperature import possible_temperatures

__all__ = ["from_scene", "gather"]

_LOG = logging.getLogger(__name__)

_OTHERWISE: Final = ((0.0, 9.0), (48.0, 72.0), (115.0, 122.5), (195.0, np.inf))
"""Bands in GHz of sea surface, temperature and ice, which no model of rain takes: no loss."""


def from_scene(scene: Any) -> xr.Dataset:
    """Bring the channels of a Satpy Scene onto one swath, ready for a retrieval.

    Channels are recognised by frequency and polarization, whatever their reader calls them, so
    the instrument need not be in xrain's tables. Channels with positions of their own are
    brought to the nearest pixels of the grid that most of them share, or of the sensor's
    reference swath. Zenith angles of the satellite serve as incidence angles where they are
    loaded too.

    Parameters
    ----------
    scene : satpy.Scene or xarray.Dataset
        A Scene with channels loaded, or what its ``to_xarray()`` gives.

    Returns
    -------
    xarray.Dataset
        ``tb(scan, pixel, channel)`` in K with ``latitude``, ``longitude`` and, where known,
        ``time``, ``earth_incidence_angle`` and ``quality``; Dask arrays if the Scene holds them.
        Channels unlike any in the sensor tables are left out.

    Raises
    ------
    InputError
        If no brightness temperature of a radiometer is loaded, or the channels lie on a map.

    See Also
    --------
    xrain.open_l1c : Granules of level 1C, without Satpy.
    xrain.retrieve : From the swath to rain.

    Examples
    --------
    >>> scn = Scene(filenames, reader="mws_l1b_nc")  # doctest: +SKIP
    >>> scn.load(scn.available_dataset_names())  # doctest: +SKIP
    >>> rain = xrain.from_scene(scn).rain.retrieve()  # doctest: +SKIP
    """
    return gather(_arrays_of(scene))[0]


def _arrays_of(scene: Any) -> list[xr.DataArray]:
    if isinstance(scene, xr.Dataset):
        return [scene[name].assign_attrs(name=name) for name in scene.variables]
    if hasattr(scene, "keys") and hasattr(scene, "__getitem__"):
        return [scene[key] for key in scene.keys()]  # noqa: SIM118  a Scene iterates over values
    raise InputError(f"{type(scene).__name__} is neither a Satpy Scene nor a dataset made of one")


def gather(arrays: Iterable[xr.DataArray]) -> tuple[xr.Dataset, xr.DataArray]:
    """Build a swath of arrays with Satpy's attributes, and say which of them is its grid.

    Parameters
    ----------
    arrays : iterable of xarray.DataArray
        Channels, and what else was loaded with them.

    Returns
    -------
    dataset : xarray.Dataset
        As :func:`from_scene` gives it.
    reference : xarray.DataArray
        A channel that lies on the dataset's grid.
    """
    fields = [_Field(a) for a in arrays]
    whole = next((f for f in fields if f.name == f"all_{TB}"), None)
    if whole is not None:
        _require_swath([whole])
        return _of_whole(whole, fields), whole.array
    labels = {id(f): channel_label(f.array) for f in fields}
    channels = [f for f in fields if labels[id(f)] and f.array.ndim == 2]
    _require_channels(channels, fields)
    sensor = _sensor_of(channels)
    named = _named([str(labels[id(f)]) for f in channels], channels, sensor)
    swath = _Swath(named, [f for f in fields if f not in channels], sensor)
    out = swath.dataset()
    lazy = any(f.array.chunks is not None for f in named.values())
    return (out if lazy else out.compute()), swath.reference.array


@dataclass(frozen=True, eq=False)
class _Field:
    """An array of a Scene."""

    array: xr.DataArray

    @property
    def name(self) -> str:
        attrs = self.array.attrs
        return str(attrs.get("original_name") or attrs.get("name") or self.array.name)

    @property
    def group(self) -> str | None:
        """Swath group of the file, where its reader says so."""
        swath = self.array.attrs.get("swath")
        return None if swath is None else str(getattr(swath, "name", swath))

    @cached_property
    def positions(self) -> tuple[Any, Any] | None:
        """Latitude and longitude, or None."""
        area = self.array.attrs.get("area")
        if area is not None and hasattr(area, "lats"):
            return area.lats, area.lons
        found = [
            next(
                (
                    c
                    for n, c in self.array.coords.items()
                    if c.ndim == 2 and means(wanted, str(n), c.attrs.get("standard_name"))
                ),
                None,
            )
            for wanted in (LATITUDE, LONGITUDE)
        ]
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    @cached_property
    def grid(self) -> tuple[Any, ...]:
        """What tells its grid from others: the group, or the names of lazy positions."""
        if self.positions is None:
            return self.array.shape
        latitude = self.positions[0]
        data = latitude.data if isinstance(latitude, xr.DataArray) else latitude
        return getattr(data, "name", id(data)), *self.array.shape

    @property
    def lazy(self) -> da.Array:
        """Its values."""
        return _lazy(self.array)

    @property
    def is_angle(self) -> bool:
        """Whether it is the zenith angle of the satellite."""
        standard = self.array.attrs.get("standard_name")
        return self.array.ndim == 2 and is_zenith_angle(self.name, standard)

    def is_field(self, concept: str) -> bool:
        """Whether it holds positions or times, by name or CF standard name."""
        return means(concept, self.name, self.array.attrs.get("standard_name"))


def _of_whole(whole: _Field, fields: Sequence[_Field]) -> xr.Dataset:
    """Build the swath of arrays that hold every channel on one grid, from xrain's own reader."""
    names = [str(n) for n in whole.array[CHANNEL].values]
    swath = _Swath(dict.fromkeys(names, whole), fields, _sensor_of([whole]))
    by_name = {f.name: f.array.data for f in fields}
    return swath.assemble(
        whole.array.data, by_name.get(f"all_{INCIDENCE}"), by_name.get(f"all_{QUALITY}")
    )


def _require_channels(channels: Sequence[_Field], fields: Sequence[_Field]) -> None:
    if not channels:
        units = {f.name: f.array.attrs.get("units") for f in fields}
        told = sorted(f"{n} ({u})" if u else n for n, u in units.items())
        loaded = ", ".join(told) or "nothing"
        raise InputError(
            "the Scene holds no brightness temperature of a radiometer channel in K; load some "
            f"with calibration='brightness_temperature'. It holds {loaded}"
        )
    _require_swath(channels)


def _require_swath(channels: Sequence[_Field]) -> None:
    for field in channels:
        area: Any = field.array.attrs.get("area")
        if hasattr(area, "area_extent"):
            raise InputError(
                f"channel {field.name} lies on the map grid {area.area_id!r}, and the retrieval "
                "looks at neighbouring pixels of the swath as it was measured: retrieve first "
                "(scn.load(['surface_precip'])), then resample the rain"
            )


def _sensor_of(channels: Sequence[_Field]) -> Sensor | None:
    attrs = channels[0].array.attrs
    name = _sensor_name(attrs)
    return find_sensor(name, str(attrs.get("platform_name", ""))) if name else None


def _sensor_name(attrs: Mapping[str, Any]) -> str | None:
    name = attrs.get("sensor")
    if isinstance(name, set | frozenset | list | tuple):
        name = next(iter(sorted(name)), None)
    return str(name) if name else None


def _named(
    labels: list[str], channels: Sequence[_Field], sensor: Sensor | None
) -> dict[str, _Field]:
    """Give channels their names, and leave out those that no model can know."""
    places = name_channels(labels, sensor)
    if not places:
        raise InputError(
            f"no channel is like one that models know: the Scene has {', '.join(labels)}"
        )
    left = sorted({*range(len(labels))} - {*places.values()})
    lost = [i for i in left if not _is_of_no_use(labels[i])]
    if others := [f"{channels[i].name} ({labels[i]})" for i in left if i not in lost]:
        _LOG.info("left out, of bands that no model of rain takes: %s", ", ".join(others))
    if lost:
        told = ", ".join(f"{channels[i].name} ({labels[i]})" for i in lost)
        warn(f"left out, unlike any channel that models know: {told}")
    return {name: channels[i] for name, i in places.items()}


def _is_of_no_use(label: str) -> bool:
    parsed = parse_channel_name(label.partition("#")[0])
    return parsed is not None and any(a <= parsed.frequency <= b for a, b in _OTHERWISE)


@dataclass(frozen=True)
class _Swath:
    """Channels by name, the arrays beside them, and the sensor where it is known."""

    channels: dict[str, _Field]
    others: Sequence[_Field]
    sensor: Sensor | None

    @cached_property
    def described(self) -> list[Channel]:
        return describe_channels(list(self.channels), self.sensor)

    @cached_property
    def reference(self) -> _Field:
        """A channel of the grid that most share, of the sensor's reference swath if it is known."""
        fields = list(self.channels.values())
        if self.sensor is not None:
            group = self.sensor.reference_swath
            own = zip(self.described, fields, strict=True)
            fields = [f for c, f in own if c.swath == group] or fields
        grids = [f.grid for f in fields]
        return max(fields, key=lambda f: (grids.count(f.grid), f.array.size))

    @cached_property
    def _grids(self) -> dict[tuple[Any, ...], BlockwiseMatch]:
        return {}

    def bring(self, values: da.Array, field: _Field, fill: float) -> da.Array:
        """Bring values of the grid of a field onto the reference grid."""
        if field.grid == self.reference.grid:
            return values
        if field.positions is None or self.reference.positions is None:
            raise InputError(
                f"{field.name} has another shape than {self.reference.name} and no position; "
                "load it with its longitude and latitude"
            )
        if field.grid not in self._grids:
            here, there = (_grid(f.positions) for f in (self.reference, field))
            self._grids[field.grid] = BlockwiseMatch(there, here)
        return self._grids[field.grid].bring(values, fill)

    def dataset(self) -> xr.Dataset:
        """Build the swath from arrays with grids of their own."""
        quality = [f for f in self.others if f.name == QUALITY]
        planes = [self.bring(f.lazy, f, QUALITY_FILL) for f in quality]
        return self.assemble(
            self._tb(), self._incidence(), da.stack(planes, -1) if planes else None
        )

    def assemble(self, tb: Any, incidence: Any | None, quality: Any | None) -> xr.Dataset:
        """Name the arrays of one grid, and add positions, times and attributes."""
        data = {TB: ((SCAN, PIXEL, CHANNEL), tb, ATTRIBUTES[TB])}
        coords: dict[str, Any] = dict(channel_coordinates(self.described))
        if (positions := self._positions()) is not None:
            for name, values in zip((LATITUDE, LONGITUDE), positions, strict=True):
                coords[name] = ((SCAN, PIXEL), _lazy(values), ATTRIBUTES[name])
        if incidence is not None:
            dims = (SCAN, PIXEL, CHANNEL)[: incidence.ndim]
            coords[INCIDENCE] = (dims, incidence, ATTRIBUTES[INCIDENCE])
        if (time := self._time()) is not None:
            coords[TIME] = (SCAN, time, ATTRIBUTES[TIME])
        if quality is not None:
            data[QUALITY] = ((SCAN, PIXEL, SWATH), quality, ATTRIBUTES[QUALITY])
        return xr.Dataset(data, coords, self._attributes())

    def _positions(self) -> tuple[Any, Any] | None:
        """Positions of the reference grid, which may be fields of their own."""
        if self.reference.positions is not None:
            return self.reference.positions
        shape = self.reference.array.shape
        found = [
            next((f.array for f in self.others if f.is_field(n) and f.array.shape == shape), None)
            for n in (LATITUDE, LONGITUDE)
        ]
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    def _tb(self) -> da.Array:
        """Brightness temperature: channels of one grid are brought together."""
        by_grid: dict[tuple[Any, ...], list[int]] = {}
        fields = list(self.channels.values())
        for i, field in enumerate(fields):
            by_grid.setdefault(field.grid, []).append(i)
        parts = []
        for members in by_grid.values():
            stacked = da.stack([fields[i].lazy.astype(np.float32) for i in members], -1)
            stacked = possible_temperatures(stacked)
            parts.append(self.bring(stacked, fields[members[0]], np.nan))
        order = [i for members in by_grid.values() for i in members]
        joined: da.Array = da.concatenate(parts, -1)
        place = [order.index(i) for i in range(len(order))]
        return joined if place == sorted(place) else joined[..., place]

    def _incidence(self) -> da.Array | None:
        """Incidence angle of each channel where all have one, else the reference's, or any."""
        angles = [f for f in self.others if f.is_angle]
        own = [self._angle_of(name, f, angles) for name, f in self.channels.items()]
        brought: dict[int, da.Array] = {}
        for angle in own:
            if angle is not None and id(angle) not in brought:
                brought[id(angle)] = self.bring(angle.lazy.astype(np.float32), angle, np.nan)
        if not brought:
            return None
        if len(brought) == 1:
            return next(iter(brought.values()))
        if all(own):
            stacked: da.Array = da.stack([brought[id(angle)] for angle in own], -1)
            return stacked
        known = [a for a in own if a is not None]
        best = next((a for a in known if a.grid == self.reference.grid), known[0])
        return brought[id(best)]

    @staticmethod
    def _angle_of(name: str, field: _Field, angles: Sequence[_Field]) -> _Field | None:
        """Angle of a channel: its own, else one of its grid."""
        shared = None
        for angle in angles:
            if angle.name == f"{INCIDENCE}_{name}":
                return angle
            if angle.grid == field.grid and not angle.name.startswith(f"{INCIDENCE}_"):
                shared = angle
        return shared

    def _time(self) -> Any | None:
        """Scan times, which are in memory: those of the reference grid, else of as many scans."""
        array = self.reference.array
        times = [f for f in self.others if f.is_field(TIME)]
        times.sort(key=lambda f: f.group != self.reference.group)
        for found in (*(f.array for f in times), *array.coords.values()):
            fits = found.dims == array.dims[:1] and found.shape == array.shape[:1]
            if fits and found.dtype.kind == "M":
                return np.asarray(found.values)
        return None

    def _attributes(self) -> dict[str, Any]:
        attrs = self.reference.array.attrs
        platform = attrs.get("platform_name")
        name = _sensor_name(attrs)
        if self.sensor is not None:
            name = self.sensor.name
            own = {v: k for k, v in self.sensor.platforms.items()}
            platform = own.get(str(platform), platform)
        out = {"sensor": name, "platform": platform, "orbit": attrs.get("orbit")}
        out["granule"] = attrs.get("granule")
        return {k: v for k, v in out.items() if v is not None}


def _grid(positions: Any) -> Grid:
    latitude, longitude = (_lazy(p) for p in positions)
    return Grid(latitude, longitude)


def _lazy(values: Any) -> da.Array:
    """Values as a Dask array, whatever they come in."""
    data = getattr(values, "data", values)
    return data if isinstance(data, da.Array) else da.from_array(np.asarray(data))
