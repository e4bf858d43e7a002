"""The sums of level 3: what every overpass adds to a cell and an interval of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    ATTRIBUTES,
    LATITUDE,
    LONGITUDE,
    PROBABILITY_OF_PRECIP,
    PROBABILITY_OF_SNOW,
    QUANTILE,
    RETRIEVAL_QUALITY,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
    TIME,
)
from xrain.errors import InputError
from xrain.geo.cells import swath_of
from xrain.geo.extent import Extent
from xrain.level3.describe import (
    COUNT,
    FROZEN,
    GRID_ATTRIBUTES,
    SPREAD,
    TIME_ATTRIBUTES,
    TITLE,
    TYPES,
    UNCERTAINTY,
)
from xrain.level3.grid import degree_grid, duration, edges, flag_bits
from xrain.level3.overpasses import SeenScans
from xrain.level3.sums import NAMES, Sums
from xrain.regrid import swath_dataset
from xrain.regrid.average import average_operator, cell_areas

__all__ = ["FIELDS", "Gridder"]

Array = npt.NDArray[Any]

FIELDS: Final = (
    SURFACE_PRECIP, SURFACE_PRECIP_QUANTILE, PROBABILITY_OF_PRECIP, PROBABILITY_OF_SNOW,
    RETRIEVAL_QUALITY, LATITUDE, LONGITUDE, TIME,
)  # fmt: skip
"""What is read of a swath, as far as it is there."""

_PARTS: Final = (("known", "variance", 2), ("likely", "likelihood", 1), ("phased", "frozen", 1))
"""Sums of weights of what may be unknown, of what, and its power."""


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

    See Also
    --------
    xrain.grid_rain : From files to a file.

    Notes
    -----
    Memory does not depend on the number of granules: the sums of all but the last `KEPT`
    intervals wait in a temporary folder, which goes with :meth:`close` or at the end of a
    ``with`` block.

    References
    ----------
    Eaton et al., *NetCDF Climate and Forecast (CF) Metadata Conventions* 1.11,
    https://cfconventions.org
    """

    def __init__(
        self,
        *,
        resolution: float = 0.1,
        freq: str = "1D",
        extent: Extent | None = None,
        exclude: Sequence[str] = (),
    ) -> None:
        self.step = duration(freq)
        self.target = degree_grid(resolution, extent)
        self.excluded = flag_bits(exclude)
        self.sensors: set[str] = set()
        self.granules = 0
        self._sums = Sums(self.target.latitude.size)
        self._seen = SeenScans()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete the sums; results that are still lazy cannot be read any more."""
        self._sums.close()

    def add(self, rain: xr.Dataset) -> int:
        """Add the rain of one overpass.

        Scans that were added before, as where files of one orbit overlap, do not count again.

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
        rain = self._new_scans(swath_dataset(rain))
        swath = swath_of(rain[LATITUDE].values, rain[LONGITUDE].values)
        fields = _fields(rain, self.excluded)
        bins = self._bins_of(rain)
        known = np.isfinite(fields["mean"]) & np.isfinite(swath.points[..., 0]).ravel()
        known &= bins != _NO_TIME
        self.granules += 1
        self.sensors.add(_radiometer(rain))
        if not known.any():
            return 0
        shares = average_operator(swath, self.target, 0.0)
        if shares.cell.size:
            areas = cell_areas(self.target, shares.cell)
            for number in np.unique(bins[known]):
                self._add_bin(int(number), shares, areas, fields, known & (bins == number))
        return int(known.sum())

    def _new_scans(self, rain: xr.Dataset) -> xr.Dataset:
        """Leave out scans that were added before."""
        scan = rain[LATITUDE].dims[0]
        named = rain.attrs.get("platform") and rain.attrs.get("granule")
        if rain[TIME].dims != (scan,) or not named:
            return rain  # nothing says that equal times mean the same scan
        new = self._seen.add(_radiometer(rain), rain[TIME].values.astype("datetime64[ns]"))
        return rain if new.all() else rain.isel({scan: np.flatnonzero(new)})

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
        sums = self._sums.open(number)
        for name, values in (
            ("weight", weight), ("mean", weight * mean), ("square", weight * mean**2),
            ("count", np.ones(cell.size)),
        ):  # fmt: skip
            sums[NAMES.index(name)][cell] += values
        for name, total, power in _PARTS:
            field = fields[total]
            part = shared(np.isfinite(field).astype(float))[hit]
            value = shared(field)[hit] / np.where(part > 0, part, 1)
            there = np.where(part > 0, weight, 0)
            sums[NAMES.index(name)][cell] += there
            sums[NAMES.index(total)][cell] += (there * value) ** power

    # ---- results

    def to_dataset(self) -> xr.Dataset:
        """Means, counts and uncertainties so far; lazy, one interval at a time.

        Returns
        -------
        xarray.Dataset
            ``surface_precip``, ``overpass_count``, ``surface_precip_spread``,
            ``surface_precip_uncertainty``, ``probability_of_precip`` and ``frozen_precip`` (the
            rate times the probability of snow) on (time, latitude, longitude), with their bounds;
            time is the middle of an interval. NaN where there was no overpass.

        Raises
        ------
        InputError
            If nothing was added, or none of it lies on the grid.
        """
        if not self._sums.intervals:
            raise InputError("nothing to grid: no pixel with rain, position and time on this grid")
        from dask import delayed
        from dask.array import concatenate, from_delayed

        numbers = sorted(self._sums.intervals)
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
            "title": TITLE,
            "source": ", ".join(sorted(self.sensors)),
            "granules": self.granules,
        }
        return xr.Dataset({**made, "crs": crs}, attrs=attrs).assign_coords(self._coords(numbers))

    def _coords(self, numbers: Sequence[int]) -> dict[str, Any]:
        start = np.array(numbers, np.int64) * self.step
        time = np.stack([start, start + self.step], axis=1).astype("datetime64[ns]")
        coords: dict[str, Any] = {
            TIME: (TIME, time[:, 0] + (time[:, 1] - time[:, 0]) // 2,
                   dict(TIME_ATTRIBUTES)),
            "time_bnds": ((TIME, "bnds"), time),
        }  # fmt: skip
        for name, edge in zip((LATITUDE, LONGITUDE), edges(self.target), strict=True):
            attrs = {**ATTRIBUTES[name], "bounds": f"{name}_bnds",
                     "axis": "Y" if name == LATITUDE else "X"}  # fmt: skip
            coords[name] = (name, (edge[:-1] + edge[1:]) / 2, attrs)
            coords[f"{name}_bnds"] = ((name, "bnds"), np.stack([edge[:-1], edge[1:]], axis=1))
        return coords

    def _results(self, number: int) -> dict[str, Array]:
        """Variables of one interval, (1, latitude, longitude), from the south."""
        sums = dict(zip(NAMES, self._sums.read(number), strict=True))
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
                FROZEN: sums["frozen"] / sums["phased"],
            }
        return {
            name: values.reshape(1, *self.target.shape)[:, ::-1].astype(TYPES[name])
            for name, values in made.items()
        }


# ---- the rain of one overpass


_NO_TIME: Final = np.iinfo(np.int64).min


def _require_rain(rain: xr.Dataset) -> None:
    missing = [n for n in (SURFACE_PRECIP, LATITUDE, LONGITUDE, TIME) if n not in rain.variables]
    if missing:
        raise InputError(f"{', '.join(missing)} missing: a swath of retrieved rain is needed")


def _radiometer(rain: xr.Dataset) -> str:
    """Name the instrument and its satellite."""
    known = [str(rain.attrs[k]) for k in ("sensor", "platform") if rain.attrs.get(k)]
    return " ".join(known) or "unknown"


def _fields(rain: xr.Dataset, excluded: int) -> dict[str, Array]:
    """Rate, its standard deviation and the probability of each pixel, flat, float64."""
    dims = rain[LATITUDE].dims
    wanted = [n for n in FIELDS if n in rain.data_vars]
    rain = rain[wanted].compute()
    rate = rain[SURFACE_PRECIP].transpose(*dims).values.astype(float).ravel()
    if excluded and RETRIEVAL_QUALITY in rain:
        quality = rain[RETRIEVAL_QUALITY].transpose(*dims).fillna(0).values.astype(int).ravel()
        rate[(quality & excluded) > 0] = np.nan
    unknown = np.full(rate.shape, np.nan)
    likely = unknown
    if PROBABILITY_OF_PRECIP in rain:
        likely = rain[PROBABILITY_OF_PRECIP].transpose(*dims).values.astype(float).ravel()
    frozen = unknown
    if PROBABILITY_OF_SNOW in rain:
        frozen = rate * rain[PROBABILITY_OF_SNOW].transpose(*dims).values.astype(float).ravel()
    deviation = _deviation(rain, unknown)
    return {"mean": rate, "variance": deviation, "likelihood": likely, "frozen": frozen}


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
