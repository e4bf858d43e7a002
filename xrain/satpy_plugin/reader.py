"""The Satpy reader ``gpm_l1c``: channels of GPM L1C granules in their own swath groups.

Everything about the files is decided in :mod:`xrain.io`; here names and attributes are put the
way Satpy wants them.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.base import tokenize
from satpy.readers.pmw_channels_definitions import FrequencyDoubleSideBand, FrequencyRange

from xrain.conventions import (
    ATTRIBUTES,
    CHANNEL,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    QUALITY,
    QUALITY_FILL,
    TB,
    TIME,
)
from xrain.errors import InputError
from xrain.io.backend import L1CBackendEntrypoint
from xrain.io.hdf5 import open_file
from xrain.io.l1c import INCIDENCE_FIELD, read_granule
from xrain.io.swath import open_group
from xrain.satpy_plugin.base import (
    ANY_SENSOR,
    LACKING,
    GranuleHandler,
    GranuleReader,
    Info,
    platform_attributes,
    to_datetime,
)
from xrain.sensors import Channel, find_sensor

FILE_TYPES: Final = ["gpm_1c", "gpm_1c_r"]
"""Where Satpy looks for a dataset, the product in its own geometry first."""

WHOLE: Final = {name: f"all_{name}" for name in (TB, INCIDENCE, QUALITY)}
"""Variables that hold every channel on one grid, and the names of their datasets."""

_POSITIONS: Final = (LONGITUDE, LATITUDE)
_REFERENCE_FIELDS: Final = ("sun_glint_angle", "sun_local_time")
_SATPY_ONLY: Final = ("file_type", "coordinates")


class L1CReader(GranuleReader):
    """Reader of one radiometer's granules.

    Satpy joins what the files of a Scene have in common, so they must come from one instrument
    on one satellite.
    """

    unlike = (
        "a Scene holds granules of one radiometer, these are of {found}: make a Scene "
        "for each, or a MultiScene with group_keys=('start_time', 'platform_shortname')"
    )


class L1CFileHandler(GranuleHandler):
    """One granule.

    Parameters
    ----------
    filename : path-like
        The file.
    filename_info, filetype_info : dict
        What Satpy made of its name, and the file type of the YAML.

    Raises
    ------
    FileFormatError, UnknownSensorError
        If it is no L1C granule that xrain knows.
    """

    def __init__(self, filename: Any, filename_info: Info, filetype_info: Info) -> None:
        super().__init__(filename, filename_info, filetype_info)
        self.granule = read_granule(filename)
        self._groups: dict[str, xr.Dataset] = {}
        self._arrays: dict[tuple[str, str], da.Array] = {}

    @property
    def start_time(self) -> dt.datetime:
        """Start of the granule, UTC."""
        return self._period[0]

    @property
    def end_time(self) -> dt.datetime:
        """End of the granule, UTC, on the day after its start where it runs past midnight."""
        return self._period[1]

    @cached_property
    def _period(self) -> tuple[dt.datetime, dt.datetime]:
        """Start and end by the header, the name of the file, or the times of its scans."""
        header, info = self.granule.header, self.filename_info
        start = _header_time(header, "StartGranuleDateTime") or info.get("start_time")
        end = _header_time(header, "StopGranuleDateTime") or info.get("end_time")
        if start is None or end is None:
            time = np.concatenate(list(self.scan_times().values()))
            time = time[~np.isnat(time)]
            if not time.size:
                raise InputError(
                    f"{self.filename}: neither the header, the name nor a scan of the granule "
                    "tells its time, and Satpy needs one; open it with xrain.open_l1c"
                )
            start, end = start or to_datetime(time.min()), end or to_datetime(time.max())
        return start, end

    @property
    def kind(self) -> str:
        """Instrument and satellite."""
        return f"{self.granule.sensor.name} on {self.granule.platform}"

    @property
    def version(self) -> str:
        """Version of the product."""
        return self.granule.version

    def scan_times(self) -> dict[str, npt.NDArray[np.datetime64]]:
        """Give the times of the scans of each swath group."""
        return {name: self._group(name)[TIME].values for name in self.granule.groups}

    @property
    def sensor_names(self) -> set[str]:
        """The instrument, as Satpy writes it; one without a table has the composites of any."""
        name = self.granule.sensor.name
        return {ANY_SENSOR if find_sensor(name) is None else name.lower()}

    @cached_property
    def _attributes(self) -> Info:
        granule = self.granule
        common = platform_attributes(granule.sensor.name, granule.platform, granule.orbit)
        name = os.path.basename(granule.path)
        return {**common, "granule": name, "product_version": granule.version}

    def _group(self, name: str) -> xr.Dataset:
        if name not in self._groups:
            self._groups[name] = open_group(self.granule.path, name)
        return self._groups[name]

    def _array(self, group: str, name: str) -> da.Array:
        """Variable of a group as a Dask array, one for all its channels."""
        key = (group, name)
        if key not in self._arrays:
            path = self.granule.path
            token = tokenize(os.path.abspath(path), os.stat(path).st_mtime_ns, group, name)
            variable = self._group(group)[name].variable
            self._arrays[key] = _as_dask(variable, f"gpm_l1c-{name}-{token}")
        return self._arrays[key]

    @property
    def _grid(self) -> str:
        """Group onto whose pixels all channels are brought."""
        reference = self.granule.sensor.reference_swath
        return reference if reference in self.granule.groups else next(iter(self.granule.groups))

    @cached_property
    def _whole(self) -> xr.Dataset:
        """Every channel on one grid."""
        return xr.open_dataset(
            self.granule.path, engine=L1CBackendEntrypoint, chunks={}, swath=self._grid
        )

    def _angles(self, group: str) -> int:
        """Count the incidence angles that the file gives for a group."""
        with open_file(self.granule.path) as file:
            field = file.get(f"{group}/{INCIDENCE_FIELD}")
            return 1 if field is None or field.ndim < 3 else int(field.shape[2])

    def available_datasets(
        self, configured_datasets: Iterable[tuple[bool | None, Info]] | None = None
    ) -> Iterator[tuple[bool | None, Info]]:
        """Offer every channel of every group, and the positions, flags and angles beside them."""
        yield from super().available_datasets(configured_datasets)
        for name, layout in self.granule.groups.items():
            side = _side_infos(self._group(name), self._angles(name))
            for info in (*map(_channel_info, layout.channels), *side):
                yield True, {**info, "swath": name, "file_type": FILE_TYPES}
        for channel in self._absent_channels():
            info = {**_channel_info(channel), "swath": channel.swath, "file_type": FILE_TYPES}
            yield False, info
        for name in LACKING:
            told = f"with a channel at {name.replace('_', ' ')}"
            yield False, {"name": name, "file_type": told}
        for name in (n for n in WHOLE if n in self._group(self._grid).variables):
            info = {"name": WHOLE[name], **ATTRIBUTES[name], "coordinates": _POSITIONS}
            yield True, {**info, "swath": self._grid, "file_type": FILE_TYPES}

    def _absent_channels(self) -> list[Channel]:
        """Channels that the instrument has and this file lacks."""
        return [c for c in self.granule.sensor.channels if c.swath not in self.granule.groups]

    def get_dataset(self, dataset_id: Mapping[str, Any], ds_info: Info) -> xr.DataArray | None:
        """Return a dataset with dimensions y (scan) and x (pixel), lazy but for the time."""
        group = str(ds_info.get("swath"))
        if group not in self.granule.groups:
            return None
        attrs = {k: v for k, v in ds_info.items() if k not in _SATPY_ONLY} | self._attributes
        for name, dataset in WHOLE.items():
            if dataset_id["name"] == dataset:
                whole: xr.DataArray = _in_satpys_words(self._whole[name], attrs)
                return whole[self.rows.get(self._grid, slice(None))]
        variable, index = _locate(self._group(group), dataset_id["name"])
        if variable not in self._group(group).variables:
            return None
        if variable == TIME:  # in memory anyway
            data: Any = self._group(group)[variable].values
        else:
            data = self._array(group, variable)
        if index is not None:
            data = data[..., index]
        data = self.cut(data, group)
        return xr.DataArray(data, dims=("y", "x")[: data.ndim], attrs=attrs)


def _in_satpys_words(array: xr.DataArray, attrs: Info) -> xr.DataArray:
    """Name the dimensions of an array as Satpy does; of the coordinates keep the last."""
    last = str(array.dims[-1])
    return xr.DataArray(array.data, {last: array[last].values}, dims=("y", "x", last), attrs=attrs)


def _header_time(header: Mapping[str, str], key: str) -> dt.datetime | None:
    """Time of a header such as ``1997-12-07T23:57:17.296Z``, without a zone as Satpy wants it."""
    try:
        return dt.datetime.fromisoformat(header.get(key, "")).replace(tzinfo=None)
    except ValueError:
        return None


def _channel_info(channel: Channel) -> Info:
    width = channel.bandwidth / 1000.0
    if channel.sideband_offset:
        band: Info = {
            "frequency_double_sideband": FrequencyDoubleSideBand(
                channel.frequency, channel.sideband_offset, width
            )
        }
    else:
        band = {"frequency_range": FrequencyRange(channel.frequency, width)}
    return {
        "name": channel.name,
        "long_name": ATTRIBUTES[TB]["long_name"],
        "standard_name": "toa_brightness_temperature",
        "units": "K",
        "calibration": "brightness_temperature",
        "polarization": channel.polarization,
        "coordinates": _POSITIONS,
        **band,
    }


def _side_infos(group: xr.Dataset, angles: int) -> Iterator[Info]:
    """Describe what a group holds beside its channels."""
    for name in (*_POSITIONS, QUALITY, INCIDENCE, *_REFERENCE_FIELDS):
        if name in group.variables:
            position = {} if name in _POSITIONS else {"coordinates": _POSITIONS}
            fill = {"_FillValue": QUALITY_FILL} if name == QUALITY else {}
            yield {"name": name, **ATTRIBUTES[name], **position, **fill}
    if angles > 1:
        for channel in group[CHANNEL].values:
            yield {
                "name": f"{INCIDENCE}_{channel}",
                **ATTRIBUTES[INCIDENCE],
                "coordinates": _POSITIONS,
            }
    yield {"name": TIME, **ATTRIBUTES[TIME]}


def _locate(group: xr.Dataset, name: str) -> tuple[str, int | None]:
    """Variable of a group that holds a dataset, and the index of its last axis, if it has one."""
    channels = [str(c) for c in group[CHANNEL].values]
    if name in channels:
        return TB, channels.index(name)
    if name.startswith(f"{INCIDENCE}_"):
        return INCIDENCE, channels.index(name.removeprefix(f"{INCIDENCE}_"))
    return name, 0 if name in (QUALITY, INCIDENCE) else None


def _read_block(variable: xr.Variable, key: tuple[slice, ...], *_: Any) -> npt.NDArray[Any]:
    block: npt.NDArray[Any] = variable[key].values
    return block


def _as_dask(variable: xr.Variable, name: str) -> da.Array:
    """Dask array of a lazy variable.

    A getter of its own keeps Dask from pulling the choice of a channel into the reading: all
    channels of a group lie in the same chunks of the file, so these are read only once.
    """
    preferred = variable.encoding.get("preferred_chunks", {})
    chunks = [preferred.get(d, n) for d, n in zip(variable.dims, variable.shape, strict=True)]
    out: da.Array = da.from_array(
        variable, chunks, name=name, getitem=_read_block, meta=np.empty(0, variable.dtype)
    )
    return out
