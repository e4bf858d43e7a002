"""The Satpy reader ``xrain_rain``: rain that :func:`xrain.io.write_rain.write_rain` wrote."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    LATITUDE,
    LONGITUDE,
    PRECIP_FLAG,
    PRECIP_PHASE,
    QUANTILE,
    RETRIEVAL_QUALITY,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
    TIME,
)
from xrain.errors import FileFormatError, InputError
from xrain.satpy_plugin.base import (
    PROVENANCE,
    QUALITY_FILL,
    GranuleHandler,
    GranuleReader,
    Info,
    platform_attributes,
    quantile_name,
    to_datetime,
)

_POSITIONS: Final = (LONGITUDE, LATITUDE)


class RainReader(GranuleReader):
    """Reader of the rain of one radiometer.

    Satpy joins what the files of a Scene have in common, so they must be alike.
    """

    unlike = (
        "a Scene holds rain of one radiometer with the same quantiles, these files have "
        "{found}: make a Scene for each"
    )


class RainFileHandler(GranuleHandler):
    """One file of rain on a swath.

    Parameters
    ----------
    filename : path-like
        The file.
    filename_info, filetype_info : dict
        What Satpy made of its name, and the file type of the YAML.

    Raises
    ------
    FileFormatError
        If it cannot be read, or holds no rain.
    InputError
        If the rain is not on a swath, or nothing tells its time.
    """

    def __init__(self, filename: Any, filename_info: Info, filetype_info: Info) -> None:
        super().__init__(filename, filename_info, filetype_info)
        self._path = os.fspath(filename)
        try:
            with xr.open_dataset(self._path, engine="h5netcdf") as ds:
                self._read_header(ds)
        except OSError as error:
            raise FileFormatError(
                f"{self._path}: cannot be read as netCDF-4 ({error}); write it again"
            ) from error

    def _read_header(self, ds: xr.Dataset) -> None:
        if SURFACE_PRECIP not in ds:
            raise FileFormatError(
                f"{self._path}: holds no {SURFACE_PRECIP}; a file of `xrain retrieve` is needed"
            )
        dims = ds[SURFACE_PRECIP].dims
        if len(dims) != 2:
            raise InputError(
                f"{self._path}: rain of separate pixels {dims}; Satpy needs a swath, so open the "
                "file with xarray"
            )
        self._header = ds.attrs
        self._levels = [float(q) for q in ds[QUANTILE].values] if QUANTILE in ds else []
        self._planes = [str(n) for n, v in ds.variables.items() if v.dims == dims]
        if TIME in ds.variables and ds[TIME].dims == dims[:1]:
            self._planes.append(TIME)
        wanted = {*self._planes, SURFACE_PRECIP_QUANTILE}
        self._unwanted = [str(n) for n in ds.variables if n not in wanted]
        self._times = self._period(ds)
        self._scan_times = ds[TIME].values if TIME in self._planes else None

    def _period(self, ds: xr.Dataset) -> tuple[dt.datetime, dt.datetime]:
        """First and last scan time; from the file's name where every one is missing."""
        known = ds[TIME].values.ravel() if TIME in ds.variables else np.empty(0, "datetime64[ns]")
        known = known[~np.isnat(known)]
        if known.size:
            return to_datetime(known.min()), to_datetime(known.max())
        if "end_time" in self.filename_info:
            return self.filename_info["start_time"], self.filename_info["end_time"]
        raise InputError(
            f"{self._path}: no scan has a time, and Satpy needs one: give the dataset a "
            f"coordinate '{TIME}' before it is written"
        )

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
        return {name.lower() for name in (self._header.get("sensor"),) if name}

    @property
    def kind(self) -> str:
        """What files that are joined must share, in words."""
        levels = ", ".join(f"{q:g}" for q in self._levels) or "none"
        sensor, platform = (self._header.get(k, "unknown") for k in ("sensor", "platform"))
        return f"{sensor} on {platform} with quantiles {levels}"

    def scan_times(self) -> dict[str, npt.NDArray[np.datetime64]]:
        """Give the times of the scans, under the name of the rain."""
        return {} if self._scan_times is None else {SURFACE_PRECIP: self._scan_times}

    @cached_property
    def _attributes(self) -> Info:
        header = self._header
        orbit = int(header["orbit"]) if "orbit" in header else None
        common = platform_attributes(header.get("sensor"), header.get("platform"), orbit)
        return {**{k: header[k] for k in PROVENANCE if k in header}, **common}

    @cached_property
    def _quantiles(self) -> dict[str, int]:
        """Place of every quantile by the name of its dataset."""
        return {quantile_name(q): i for i, q in enumerate(self._levels)}

    @cached_property
    def _data(self) -> xr.Dataset:
        """The file as Dask arrays; flags stay integers."""
        return xr.open_dataset(
            self._path,
            engine="h5netcdf",
            chunks="auto",
            drop_variables=self._unwanted,
            mask_and_scale=dict.fromkeys((PRECIP_FLAG, PRECIP_PHASE, RETRIEVAL_QUALITY), False),
        )

    def available_datasets(
        self, configured_datasets: Iterable[tuple[bool | None, Info]] | None = None
    ) -> Iterator[tuple[bool | None, Info]]:
        """Offer every field of the file and every quantile."""
        yield from super().available_datasets(configured_datasets)
        located = all(p in self._planes for p in _POSITIONS)
        for name in (*self._planes, *self._quantiles):
            info: Info = {"name": name, "file_type": self.filetype_info["file_type"]}
            if located and name not in (*_POSITIONS, TIME):
                info["coordinates"] = _POSITIONS
            if name in _POSITIONS:  # Satpy looks for it before a position is loaded
                info["standard_name"] = name
            yield True, info

    def get_dataset(self, dataset_id: Mapping[str, Any], ds_info: Info) -> xr.DataArray:
        """Return a dataset with dimensions y (scan) and x (pixel), lazy."""
        name = dataset_id["name"]
        attrs: Info = {}
        if name in self._quantiles:
            index = self._quantiles[name]
            array = self._data[SURFACE_PRECIP_QUANTILE].isel({QUANTILE: index})
            attrs = {"quantile": self._levels[index]}
        else:
            array = self._data[name]
        if name == RETRIEVAL_QUALITY:
            attrs = {"_FillValue": np.uint8(QUALITY_FILL)}
        attrs = {"name": name, **array.attrs, **attrs, **self._attributes}
        data = self.cut(array.data, SURFACE_PRECIP)
        return xr.DataArray(data, dims=("y", "x")[: array.ndim], attrs=attrs)
