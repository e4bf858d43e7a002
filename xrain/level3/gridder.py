"""The sums of level 3: what every overpass adds to a cell and an interval of time."""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    ATTRIBUTES,
    LATITUDE,
    LONGITUDE,
    PROBABILITY_OF_PRECIP,
    QUALITY_FLAGS,
    QUANTILE,
    RETRIEVAL_QUALITY,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
    TIME,
)
from xrain.errors import InputError, OutputError
from xrain.level3.describe import (
    COUNT,
    GRID_ATTRIBUTES,
    SPREAD,
    TIME_ATTRIBUTES,
    TYPES,
    UNCERTAINTY,
)
from xrain.regrid.areas import Target, require_swath, target_of
from xrain.regrid.average import average_operator, cell_areas
from xrain.regrid.locate import swath_of

__all__ = ["Extent", "Gridder"]

Array = npt.NDArray[Any]
Extent = tuple[float, float, float, float]

SUMS: Final = ("weight", "mean", "square", "count", "known", "variance", "likely", "likelihood")
"""What is summed up over overpasses: Σa, Σam, Σam², n, Σa where u is known, Σ(au)², Σa where the
probability is known, Σap."""

KEPT: Final = 2
"""Intervals of time whose sums stay in memory; the others wait on disk."""


class Gridder:
    """Sums up rain of any number of granules on a grid of degrees and intervals of time.

    Parameters
    ----------
    resolution : float
        Width of a cell in degrees; it must divide 180.
    freq : str
        Length of an interval, such as ``"30min"``, ``"3h"`` or ``"1D"``; the intervals begin at
        multiples of it after 1970-01-01 00 UTC.
    extent : tuple of float, optional
        West, east, south, north in degrees; west > east crosses the date line. It is widened to
        whole cells. By default the globe.
    exclude : sequence of str
        Flags of ``retrieval_quality`` whose pixels are left out.

    Raises
    ------
    InputError
        If a parameter makes no sense.

    Notes
    -----
    Memory does not depend on the number of granules: the sums of all but the last `KEPT`
    intervals wait in a temporary folder, which goes with :meth:`close` or at the end of a
    ``with`` block.
    """

    def __init__(
        self,
        *,
        resolution: float = 0.1,
        freq: str = "1D",
        extent: Extent | None = None,
        exclude: Sequence[str] = (),
    ) -> None:
        self.step = _duration(freq)
        self.target = _globe(resolution, extent)
        self.excluded = _flags(exclude)
        self.sensors: set[str] = set()
        self.granules = 0
        self._folder: Path | None = None
        self._sums: OrderedDict[int, Array] = OrderedDict()
        self._bins: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete what waits on disk."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def add(self, rain: xr.Dataset) -> int:
        """Add the rain of one overpass.

        Parameters
        ----------
        rain : xarray.Dataset
            A swath as :func:`xrain.retrieve` makes it, with latitude, longitude and time.

        Returns
        -------
        int
            Number of pixels that were used.

        Raises
        ------
        InputError
            If rain, positions or times are missing.
        """
        _require_rain(rain)
        require_swath(rain)
        swath = swath_of(rain[LATITUDE].values, rain[LONGITUDE].values)
        fields = _fields(rain, self.excluded)
        bins = self._bins_of(rain)
        known = np.isfinite(fields["mean"]) & np.isfinite(swath.points[..., 0]).ravel()
        known &= bins != _NO_TIME
        self.granules += 1
        self.sensors.add(" ".join(str(rain.attrs[k]) for k in ("sensor", "platform")
                                  if rain.attrs.get(k)) or "unknown")  # fmt: skip
        if not known.any():
            return 0
        shares = average_operator(swath, self.target, 0.0)
        if shares.cell.size:
            areas = cell_areas(self.target, shares.cell)
            for number in np.unique(bins[known]):
                self._add_bin(int(number), shares, areas, fields, known & (bins == number))
        return int(known.sum())

    def _bins_of(self, rain: xr.Dataset) -> Array:
        """Find the number of the interval of each pixel, flat."""
        time = rain[TIME].broadcast_like(rain[LATITUDE]).transpose(*rain[LATITUDE].dims).values
        time = time.astype("datetime64[ns]").ravel()
        numbers = time.astype(np.int64) // self.step
        return np.where(np.isnat(time), _NO_TIME, numbers)

    def _add_bin(
        self, number: int, shares: Any, areas: Array, fields: dict[str, Array], use: Array
    ) -> None:
        def shared(values: Array) -> Array:
            out: Array = shares.weights @ np.where(use & np.isfinite(values), values, 0.0)
            return out

        area = shared(np.ones(use.size))
        hit = area > 0
        cell, area = shares.cell[hit], area[hit]
        weight = np.minimum(area / areas[hit], 1.0)
        mean = shared(fields["mean"])[hit] / area
        sums = self._open(number)
        for name, values in (
            ("weight", weight), ("mean", weight * mean), ("square", weight * mean**2),
            ("count", np.ones(cell.size)),
        ):  # fmt: skip
            sums[SUMS.index(name)][cell] += values
        for name, total, power in (("known", "variance", 2), ("likely", "likelihood", 1)):
            field = fields[total]
            part = shared(np.isfinite(field).astype(float))[hit]
            value = shared(field)[hit] / np.where(part > 0, part, 1)
            there = np.where(part > 0, weight, 0)
            sums[SUMS.index(name)][cell] += there
            sums[SUMS.index(total)][cell] += (there * value) ** power

    # ---- sums in memory and on disk

    def _path(self, number: int) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="xrain-grid-"))
        return self._folder / f"{number}.npy"

    def _open(self, number: int) -> Array:
        """Give the sums of one interval, to be added to."""
        if number not in self._sums:
            while len(self._sums) >= KEPT:
                self._spill()
            self._sums[number] = self._load(number)
        self._bins.add(number)
        self._sums.move_to_end(number)
        return self._sums[number]

    def _spill(self) -> None:
        number, sums = self._sums.popitem(last=False)
        try:
            np.save(self._path(number), sums)
        except OSError as error:
            where = self._path(number).parent
            raise OutputError(f"{where} cannot hold the sums: {error.strerror}") from error

    def _load(self, number: int) -> Array:
        if number in self._bins and number not in self._sums:
            loaded: Array = np.load(self._path(number))
            return loaded
        return self._sums.get(number, np.zeros((len(SUMS), self.target.latitude.size)))

    # ---- results

    def to_dataset(self) -> xr.Dataset:
        """Means, counts and uncertainties so far; lazy, one interval at a time.

        Returns
        -------
        xarray.Dataset
            ``surface_precip``, ``overpass_count``, ``surface_precip_spread``,
            ``surface_precip_uncertainty`` and ``probability_of_precip`` on (time, latitude,
            longitude), with their bounds; time is the middle of an interval. NaN where there
            was no overpass.

        Raises
        ------
        InputError
            If nothing was added, or none of it lies on the grid.
        """
        if not self._bins:
            raise InputError("nothing to grid: no pixel with rain, position and time on this grid")
        from dask import delayed
        from dask.array import concatenate, from_delayed

        numbers = sorted(self._bins)
        shape = (1, *self.target.shape)
        results = [delayed(self._results, pure=False)(number) for number in numbers]
        data = {
            name: concatenate([from_delayed(r[name], shape, dtype) for r in results])
            for name, dtype in TYPES.items()
        }
        dims = (TIME, LATITUDE, LONGITUDE)
        made = {
            n: (dims, v, {**GRID_ATTRIBUTES[n], "grid_mapping": "crs"}) for n, v in data.items()
        }
        crs = xr.Variable((), np.int32(0), {
            "grid_mapping_name": "latitude_longitude",
            "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563,
        })  # fmt: skip
        attrs = {
            "title": "Surface precipitation of passive-microwave radiometers on a grid",
            "source": ", ".join(sorted(self.sensors)),
            "granules": self.granules,
        }
        return xr.Dataset({**made, "crs": crs}, attrs=attrs).assign_coords(self._coords(numbers))

    def _coords(self, numbers: Sequence[int]) -> dict[str, Any]:
        start = np.array(numbers, np.int64) * self.step
        time = np.stack([start, start + self.step], axis=1).astype("datetime64[ns]")
        west, south, east, north = self.target.area.area_extent
        rows, columns = self.target.shape
        edges = {LATITUDE: np.linspace(south, north, rows + 1),
                 LONGITUDE: np.linspace(west, east, columns + 1)}  # fmt: skip
        coords: dict[str, Any] = {
            TIME: (TIME, time[:, 0] + (time[:, 1] - time[:, 0]) // 2,
                   dict(TIME_ATTRIBUTES)),
            "time_bnds": ((TIME, "bnds"), time),
        }  # fmt: skip
        for name, edge in edges.items():
            attrs = {**ATTRIBUTES[name], "bounds": f"{name}_bnds",
                     "axis": "Y" if name == LATITUDE else "X"}  # fmt: skip
            coords[name] = (name, (edge[:-1] + edge[1:]) / 2, attrs)
            coords[f"{name}_bnds"] = ((name, "bnds"), np.stack([edge[:-1], edge[1:]], axis=1))
        return coords

    def _results(self, number: int) -> dict[str, Array]:
        """Variables of one interval, (1, latitude, longitude), from the south."""
        sums = dict(zip(SUMS, self._load(number), strict=True))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = sums["mean"] / sums["weight"]
            count = sums["count"]
            variance = np.maximum(sums["square"] / sums["weight"] - mean**2, 0)
            made = {
                SURFACE_PRECIP: mean,
                COUNT: count,
                SPREAD: np.where(count > 1, np.sqrt(variance * count / (count - 1)), np.nan),
                UNCERTAINTY: np.sqrt(sums["variance"]) / sums["known"],
                PROBABILITY_OF_PRECIP: sums["likelihood"] / sums["likely"],
            }
        return {
            name: values.reshape(1, *self.target.shape)[:, ::-1].astype(TYPES[name])
            for name, values in made.items()
        }


# ---- what is asked for


_FREQ: Final = re.compile(r"^\s*(?P<count>\d*\.?\d*)\s*(?P<unit>s|min|h|d)\s*$", re.IGNORECASE)
_UNITS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_NO_TIME: Final = np.iinfo(np.int64).min


def _duration(freq: str) -> int:
    """Length of an interval in nanoseconds."""
    found = _FREQ.match(freq)
    if found is None:
        raise InputError(f"freq={freq!r}: give a fixed time such as '30min', '3h', '1D'")
    length = round(float(found["count"] or 1) * _UNITS[found["unit"].lower()] * 1e9)
    if length <= 0:
        raise InputError(f"freq={freq!r}: an interval must be longer than nothing")
    return length


def _globe(resolution: float, extent: Extent | None) -> Target:
    """Make the grid of degrees, cells beginning at multiples of the resolution."""
    from pyresample import create_area_def

    count = round(180 / resolution) if resolution > 0 else 0
    if count < 1 or abs(count * resolution - 180) > 1e-6:
        raise InputError(f"resolution={resolution:g}: give degrees that divide 180, such as 0.1")
    west, east, south, north = (-180.0, 180.0, -90.0, 90.0) if extent is None else extent
    if not -90 <= south < north <= 90:
        raise InputError(f"extent {extent}: give west, east, south, north in degrees")
    low = [np.floor(v / resolution + 1e-6) for v in (west, south)]
    high = np.ceil(north / resolution - 1e-6)
    width = (east - west) % 360 or 360.0
    columns = min(int(np.ceil((west + width) / resolution - 1e-6) - low[0]), 2 * count)
    edge = (low[0] * resolution, low[1] * resolution,
            (low[0] + columns) * resolution, high * resolution)  # fmt: skip
    area = create_area_def(
        f"grid_{resolution:g}deg", {"proj": "longlat", "datum": "WGS84"},
        area_extent=edge, shape=(int(high - low[1]), columns),
    )  # fmt: skip
    return target_of(xr.Dataset(), area)


def _flags(names: Sequence[str]) -> int:
    unknown = [n for n in names if n not in QUALITY_FLAGS]
    if unknown:
        raise InputError(f"no flag {', '.join(unknown)}; there are {', '.join(QUALITY_FLAGS)}")
    return functools.reduce(lambda a, b: a | b, (QUALITY_FLAGS[n] for n in names), 0)


def _require_rain(rain: xr.Dataset) -> None:
    missing = [n for n in (SURFACE_PRECIP, LATITUDE, LONGITUDE, TIME) if n not in rain.variables]
    if missing:
        raise InputError(f"{', '.join(missing)} missing: a swath of retrieved rain is needed")


def _fields(rain: xr.Dataset, excluded: int) -> dict[str, Array]:
    """Rate, its standard deviation and the probability of each pixel, flat, float64."""
    dims = rain[LATITUDE].dims
    wanted = [n for n in (SURFACE_PRECIP, SURFACE_PRECIP_QUANTILE, PROBABILITY_OF_PRECIP,
                          RETRIEVAL_QUALITY) if n in rain.variables]  # fmt: skip
    rain = rain[wanted].compute()
    rate = rain[SURFACE_PRECIP].transpose(*dims).values.astype(float).ravel()
    if excluded and RETRIEVAL_QUALITY in rain:
        quality = rain[RETRIEVAL_QUALITY].transpose(*dims).fillna(0).values.astype(int).ravel()
        rate[(quality & excluded) > 0] = np.nan
    unknown = np.full(rate.shape, np.nan)
    likely = unknown
    if PROBABILITY_OF_PRECIP in rain:
        likely = rain[PROBABILITY_OF_PRECIP].transpose(*dims).values.astype(float).ravel()
    return {"mean": rate, "variance": _deviation(rain, unknown), "likelihood": likely}


def _deviation(rain: xr.Dataset, unknown: Array) -> Array:
    """Find the standard deviation of a normal distribution as wide as the outermost quantiles."""
    from scipy.special import ndtri

    if rain.sizes.get(QUANTILE, 0) < 2:
        return unknown
    ordered = rain[SURFACE_PRECIP_QUANTILE].sortby(QUANTILE)
    level = ordered[QUANTILE].values[[0, -1]]
    dims = rain[SURFACE_PRECIP].dims
    low, high = (ordered.isel({QUANTILE: k}).transpose(*dims).values for k in (0, -1))
    width: Array = (high - low).astype(float).ravel() / float(ndtri(level[1]) - ndtri(level[0]))
    return width
