"""The Satpy reader ``gpm_l2``: 2A GPROF, 2A radar and 2B CORRA in their own swath groups.

Everything about the files is decided in :mod:`xrain.io.reference`; here names and attributes are
put the way Satpy wants them.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import BAND, LATITUDE, LONGITUDE, TIME
from xrain.errors import FileFormatError, InputError
from xrain.io.reference import LAYER_TOP, group_dataset, read_reference
from xrain.satpy_plugin.base import (
    GranuleHandler,
    GranuleReader,
    Info,
    platform_attributes,
    to_datetime,
)

_POSITIONS: Final = (LONGITUDE, LATITUDE)


class ProductReader(GranuleReader):
    """Reader of one product of one instrument.

    Satpy joins what the files of a Scene have in common, so they must be alike.
    """

    unlike = (
        "a Scene holds granules of one product and instrument, these are of {found}: make a "
        "Scene for each"
    )


class ProductFileHandler(GranuleHandler):
    """One granule.

    Parameters
    ----------
    filename : path-like
        The file.
    filename_info, filetype_info : dict
        What Satpy made of its name, and the file type of the YAML.

    Raises
    ------
    FileFormatError
        If it is no granule on a swath that xrain knows.
    """

    def __init__(self, filename: Any, filename_info: Info, filetype_info: Info) -> None:
        super().__init__(filename, filename_info, filetype_info)
        self.granule = read_reference(filename)
        if self.granule.product.gridded:
            raise FileFormatError(
                f"{filename}: lies on a map grid; open it with Satpy's reader gpm_imerg, or with "
                "xrain.open_reference"
            )

    @cached_property
    def _header(self) -> Info:
        return self.granule.attributes

    @cached_property
    def _plain(self) -> dict[str, xr.Dataset]:
        """The swath groups without Dask, the times in memory."""
        return {name: group_dataset(self.granule, name) for name in self.granule.groups}

    @cached_property
    def _groups(self) -> dict[str, xr.Dataset]:
        """The swath groups as Dask arrays."""
        path = os.fspath(self.filename)
        return {
            name: xr.open_dataset(path, engine="gpm-l2", swath=name, chunks={})
            for name in self.granule.groups
        }

    @cached_property
    def _times(self) -> tuple[dt.datetime, dt.datetime]:
        time = np.concatenate([g[TIME].values for g in self._plain.values()])
        time = time[~np.isnat(time)]
        if not time.size and "start_time" in self.filename_info:
            return self.filename_info["start_time"], self.filename_info["end_time"]
        if not time.size:
            raise InputError(
                f"{self.filename}: neither a scan nor the name of the granule tells its time, and "
                "Satpy needs one; open it with xrain.open_reference"
            )
        return to_datetime(time.min()), to_datetime(time.max())

    @property
    def start_time(self) -> dt.datetime:
        """Time of the first scan, UTC."""
        return self._times[0]

    @property
    def end_time(self) -> dt.datetime:
        """Time of the last scan, UTC."""
        return self._times[1]

    @property
    def sensor_names(self) -> set[str]:
        """The instrument, as Satpy writes it."""
        return {str(self._header["sensor"]).lower()}

    @property
    def kind(self) -> str:
        """What files that are joined must share, in words."""
        return f"{self._header['product']} on {self._header['platform']}"

    @property
    def version(self) -> str:
        """Version of the product."""
        return str(self._header["product_version"])

    def scan_times(self) -> dict[str, npt.NDArray[np.datetime64]]:
        """Give the times of the scans of each swath group."""
        return {name: group[TIME].values for name, group in self._plain.items()}

    @cached_property
    def _attributes(self) -> Info:
        header = self._header
        common = platform_attributes(header["sensor"], header["platform"], header["orbit"])
        return {**{k: header[k] for k in ("granule", "product", "product_version")}, **common}

    def available_datasets(
        self, configured_datasets: Iterable[tuple[bool | None, Info]] | None = None
    ) -> Iterator[tuple[bool | None, Info]]:
        """Offer every field of every swath group, and every band of it."""
        yield from super().available_datasets(configured_datasets)
        kind = self.filetype_info["file_type"]
        for swath, group in self._groups.items():
            for name, variable in group.variables.items():
                if name in (BAND, LAYER_TOP):
                    continue
                info = {"name": name, "swath": swath, "file_type": kind, **variable.attrs}
                if name not in _POSITIONS and name != TIME:
                    info["coordinates"] = _POSITIONS
                if "_FillValue" in variable.encoding:
                    info["_FillValue"] = variable.encoding["_FillValue"]
                bands = group[BAND].values.tolist() if BAND in variable.dims else [None]
                for band in bands:
                    yield True, info | ({"band": band} if band else {})

    def get_dataset(self, dataset_id: Mapping[str, Any], ds_info: Info) -> xr.DataArray | None:
        """Return a dataset with dimensions y (scan) and x (pixel), lazy; None if not there."""
        group = self._groups.get(ds_info["swath"])
        if group is None or dataset_id["name"] not in group.variables:
            return None
        if dataset_id["name"] == TIME:
            group = self._plain[ds_info["swath"]]
        array = group[dataset_id["name"]]
        if BAND in array.dims:
            array = array.sel({BAND: str(ds_info[BAND])})
        kept = {k: v for k, v in ds_info.items() if k not in ("file_type", "coordinates")}
        attrs = {**kept, **self._attributes}
        data = self.cut(array.data, ds_info["swath"])
        dims = ("y", "x", *array.dims[2:])[: array.ndim]
        tops = {LAYER_TOP: array[LAYER_TOP].variable} if LAYER_TOP in array.coords else None
        return xr.DataArray(data, tops, dims=dims, attrs=attrs)
