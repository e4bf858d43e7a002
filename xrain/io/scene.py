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
)
from xrain.errors import InputError
from xrain.io.coregister import Coregistration, Grid
from xrain.io.labels import channel_label, name_channels
from xrain.io.swath import channel_coordinates
from xrain.sensors import Channel, Sensor, find_sensor
from xrain.sensors.describe import describe_channels

__all__ = ["from_scene", "gather"]

_LOG = logging.getLogger(__name__)

_ANGLES: Final = (
    "sensor_zenith_angle",
    "satellite_zenith_angle",
    "platform_zenith_angle",
    "observation_zenith_angle",
)
POSSIBLE: Final = (20.0, 400.0)
"""Brightness temperatures in K outside which a value is a fill that a reader let through."""


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
        names = (LATITUDE, LONGITUDE)
        found = [self.array.coords.get(n) for n in names]
        return None if any(f is None or f.ndim != 2 for f in found) else (found[0], found[1])

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
        standard = self.array.attrs.get("standard_name")
        sun = "sun" in self.name or "solar" in self.name
        known = standard in _ANGLES or ("zenith" in self.name and not sun)
        return self.array.ndim == 2 and (self.name.startswith(INCIDENCE) or known)


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
        loaded = ", ".join(sorted({f.name for f in fields})) or "nothing"
        raise InputError(
            "the Scene holds no brightness temperature of a radiometer channel; load some with "
            f"calibration='brightness_temperature'. It holds {loaded}"
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
    name = _sensor_name(channels[0].array.attrs)
    return find_sensor(name) if name else None


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
    left = [
        f"{channels[i].name} ({labels[i]})"
        for i in sorted({*range(len(labels))} - {*places.values()})
    ]
    if left:
        _LOG.info("left out, unlike any channel that models know: %s", ", ".join(left))
    return {name: channels[i] for name, i in places.items()}


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
        """A channel of the sensor's reference swath, else of the grid that most channels share."""
        fields = list(self.channels.values())
        if self.sensor is not None:
            for channel, field in zip(self.described, fields, strict=True):
                if channel.swath == self.sensor.reference_swath:
                    return field
        grids = [f.grid for f in fields]
        return max(fields, key=lambda f: (grids.count(f.grid), f.array.size))

    @cached_property
    def _grids(self) -> dict[tuple[Any, ...], Coregistration]:
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
            self._grids[field.grid] = Coregistration(there, here)
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
        if self.reference.positions is not None:
            for name, values in zip((LATITUDE, LONGITUDE), self.reference.positions, strict=True):
                coords[name] = ((SCAN, PIXEL), _lazy(values), ATTRIBUTES[name])
        if incidence is not None:
            dims = (SCAN, PIXEL, CHANNEL)[: incidence.ndim]
            coords[INCIDENCE] = (dims, incidence, ATTRIBUTES[INCIDENCE])
        if (time := self._time()) is not None:
            coords[TIME] = (SCAN, time, ATTRIBUTES[TIME])
        if quality is not None:
            data[QUALITY] = ((SCAN, PIXEL, SWATH), quality, ATTRIBUTES[QUALITY])
        return xr.Dataset(data, coords, self._attributes())

    def _tb(self) -> da.Array:
        """Brightness temperature: channels of one grid are brought together."""
        by_grid: dict[tuple[Any, ...], list[int]] = {}
        fields = list(self.channels.values())
        for i, field in enumerate(fields):
            by_grid.setdefault(field.grid, []).append(i)
        parts = []
        for members in by_grid.values():
            stacked = da.stack([fields[i].lazy.astype(np.float32) for i in members], -1)
            stacked = da.where((stacked > POSSIBLE[0]) & (stacked < POSSIBLE[1]), stacked, np.nan)
            parts.append(self.bring(stacked, fields[members[0]], np.nan))
        order = [i for members in by_grid.values() for i in members]
        joined = da.concatenate(parts, -1)
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
            return da.stack([brought[id(angle)] for angle in own], -1)
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
        times = [f for f in self.others if f.name == TIME]
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
