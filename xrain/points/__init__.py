"""Series at stations: what every overpass says of some places."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from xrain.conventions import (
    ATTRIBUTES,
    LATITUDE,
    LONGITUDE,
    QUANTILE,
    SURFACE_PRECIP,
    TIME,
)
from xrain.errors import InputError
from xrain.io.open import open_any
from xrain.models.store import Model
from xrain.naming import known_names
from xrain.points.passes import Sightings, grid_sightings, swath_sightings
from xrain.points.stations import STATION, stations_of
from xrain.reference.files import product_label
from xrain.retrieval.batch_granule import Outcome
from xrain.retrieval.dataset import retrieve

__all__ = ["extract_points", "point_table"]

OBSERVATION: Final = "observation"
_INDEX: Final = "station_index"
_TEXTS: Final = ("sensor", "platform", "product", "source")
_SCANS: Final = 256
"""Scans of a granule that are retrieved at once, of those near a station."""

Source = str | os.PathLike[str] | xr.Dataset


@dataclass(frozen=True)
class _Wanted:
    """What to extract, and how to retrieve granules."""

    stations: xr.Dataset
    reach: float | None
    variables: Sequence[str] | None
    model: str | Model | None
    device: str | None


def extract_points(
    files: Source | Iterable[Source],
    points: Any,
    *,
    reach: float | None = None,
    variables: Sequence[str] | None = None,
    model: str | Model | None = None,
    device: str | None = None,
    tell: Callable[[Outcome], object] | None = None,
) -> xr.Dataset:
    """Extract what every overpass of some granules says at stations.

    Parameters
    ----------
    files : path or Dataset, or iterable of them
        Rain files of :func:`xrain.write_rain`, rain granules of the archive (2A, 2B, IMERG),
        grids of :func:`xrain.grid_rain`, or rain in memory. Of granules of level 1C the scans
        near a station are retrieved on the way.
    points : path, DataFrame, Dataset, mapping or iterable
        A CSV file or a table with columns ``latitude`` and ``longitude``, and ``station`` if
        they have names; a mapping of names to (latitude, longitude); or pairs of these.
    reach : float, optional
        Take the nearest pixel up to so many km away. By default a station must lie in the cell
        of a pixel, whose size is that of the sampling.
    variables : sequence of str, optional
        What to extract; by default everything that lies on the pixels.
    model, device : optional
        For granules of level 1C, as for :func:`xrain.retrieve`.
    tell : callable, optional
        Called with the outcome of each file as soon as it is known. Without it the first file
        that cannot be used ends everything; with it the others go on.

    Returns
    -------
    xarray.Dataset
        Over ``observation``, sorted by station and time: the variables, ``time``, ``distance``
        from the middle of the pixel in km, ``pixel_latitude`` and ``pixel_longitude``,
        ``station_index``, and the ``sensor``, ``platform``, ``product`` and ``source`` that each
        comes from. Over ``station``: names and positions. This is the indexed ragged array that
        CF has for time series. Where a pixel has no value neither has the observation; an
        overpass that several files hold comes once.

    Raises
    ------
    InputError
        If the points make no sense, a variable is in no file, or a file holds no rain.

    See Also
    --------
    xrain.points.point_table : The same as a table of pandas.

    References
    ----------
    Eaton et al., *NetCDF Climate and Forecast (CF) Metadata Conventions* 1.11, section 9,
    https://cfconventions.org

    Examples
    --------
    >>> import xrain
    >>> from xrain.testing import fake_swath
    >>> rain = xrain.retrieve(fake_swath("GMI", 24, 24))
    >>> place = (float(rain["latitude"][12, 12]), float(rain["longitude"][12, 12]))
    >>> series = xrain.extract_points(rain, {"here": place})
    >>> series.sizes["observation"], round(float(series["distance"][0]), 3)
    (1, 0.0)
    """
    stations = stations_of(points)
    if reach is not None and not reach > 0:
        raise InputError(f"reach={reach}: a distance in km greater than 0 is needed")
    wanted = _Wanted(stations, reach, variables, model, device)
    parts, sources = [], _listed(files)
    for source in sources:
        try:
            part = _from_source(source, wanted)
        except Exception as error:  # whatever it is, the other files go on
            if tell is None:
                raise
            tell(Outcome(Path(_name(source)), error=error))
            continue
        parts.append(part)
        if tell is not None:
            tell(Outcome(Path(_name(source))))
    if not parts:
        raise InputError("none of the files could be used" if sources else "no files are given")
    return _joined(parts, stations)


def _listed(files: Source | Iterable[Source]) -> list[Source]:
    if isinstance(files, str | os.PathLike | xr.Dataset):
        return [files]
    return list(files)


def _name(source: Source) -> str:
    if isinstance(source, xr.Dataset):
        return str(source.attrs.get("source_file") or source.attrs.get("granule", ""))
    return os.path.basename(os.fspath(source))


def _from_source(source: Source, wanted: _Wanted) -> xr.Dataset:
    """Extract the stations of one file or dataset."""
    if not isinstance(source, xr.Dataset):
        with open_any(source) as ds:
            return _from_source(ds.assign_attrs(source_file=_name(source)), wanted)
    ds = known_names(source)
    for name in (LATITUDE, LONGITUDE):
        if name not in ds.variables:
            raise InputError(f"{_name(source)}: {name} is missing, so no station can be found")
    dims, seen = _sightings(ds, wanted.stations, wanted.reach)
    if SURFACE_PRECIP not in ds.variables:
        near = ds.chunk({dims[0]: _SCANS}) if seen.row.size else ds.isel({dims[0]: slice(0, 0)})
        ds = retrieve(near, wanted.model, device=wanted.device)  # lazily: only what is taken below
    return _observations(ds, dims, seen, wanted.variables, _name(source))


def _sightings(
    ds: xr.Dataset, stations: xr.Dataset, reach: float | None
) -> tuple[tuple[str, str], Sightings]:
    lat, lon = ds[LATITUDE], ds[LONGITUDE]
    if lat.ndim == lon.ndim == 1 and lat.dims != lon.dims:
        dims = (str(lat.dims[0]), str(lon.dims[0]))
        return dims, grid_sightings(lat.values, lon.values, stations, reach)
    if lat.ndim != 2 or set(lat.dims) != set(lon.dims):
        raise InputError(f"latitude has dimensions {lat.dims}: a swath or a grid is needed")
    places = lat.values, lon.transpose(*lat.dims).values
    dims = (str(lat.dims[0]), str(lat.dims[1]))
    known = TIME in ds.variables and ds[TIME].dims == dims[:1] and ds[TIME].dtype.kind == "M"
    time = ds[TIME].values if known else None
    return dims, swath_sightings(*places, stations, reach, time)


def _observations(
    ds: xr.Dataset,
    dims: tuple[str, str],
    seen: Sightings,
    variables: Sequence[str] | None,
    source: str,
) -> xr.Dataset:
    """Take the pixels that were found, as rows of a series."""
    names = [n for n, v in ds.data_vars.items() if set(dims) <= set(v.dims)]
    if variables is not None:
        missing = set(variables) - set(names)
        if len(missing) == len(set(variables)):
            raise InputError(f"{source}: no {', '.join(sorted(missing))}; it has {names}")
        names = [n for n in names if n in set(variables)]
    at = {d: xr.DataArray(k, dims=OBSERVATION) for d, k in
          zip(dims, (seen.row, seen.column), strict=True)}  # fmt: skip
    wanted = [*names, LATITUDE, LONGITUDE, *([TIME] if TIME in ds.variables else [])]
    kept = ds[[n for n in wanted if n in ds.variables]].isel(at).compute()
    facts = {**ds.attrs, "product": product_label(ds.attrs), "source": source}
    count = seen.station.size
    texts = {t: (OBSERVATION, np.full(count, str(facts.get(t, "")), object)) for t in _TEXTS}
    series = kept.reset_coords([n for n in kept.coords if n not in kept.dims]).assign(
        {_INDEX: (OBSERVATION, seen.station), "distance": (OBSERVATION, seen.distance), **texts}
    )
    used = {*names, _INDEX, "distance", LATITUDE, LONGITUDE, TIME, *_TEXTS}
    series = series[[n for n in series.data_vars if n in used]]
    series = series.rename({LATITUDE: "pixel_latitude", LONGITUDE: "pixel_longitude"})
    return _one_row_each(series.drop_vars([d for d in dims if d in series.coords]))


def _one_row_each(series: xr.Dataset) -> xr.Dataset:
    """Make a row of each time of a grid; those without a value go."""
    if TIME in series.dims:
        whole = series.reset_index(TIME).reset_coords(TIME)
        every = xr.DataArray(np.arange(whole.sizes[TIME]), dims=TIME)
        flat = {n: v if TIME in v.dims and OBSERVATION in v.dims else xr.broadcast(
            v, every, whole[_INDEX])[0] for n, v in whole.data_vars.items()}  # fmt: skip
        stacked = xr.Dataset(flat).stack(row=(OBSERVATION, TIME), create_index=False)
        series = stacked.rename(row=OBSERVATION)
    if TIME not in series.variables:
        never = np.full(series.sizes[OBSERVATION], "NaT", "datetime64[ns]")
        series[TIME] = (OBSERVATION, never)
    series = series.reset_coords(TIME) if TIME in series.coords else series
    if SURFACE_PRECIP not in series:
        return series
    return series.isel({OBSERVATION: np.flatnonzero(series[SURFACE_PRECIP].notnull())})


def _joined(parts: list[xr.Dataset], stations: xr.Dataset) -> xr.Dataset:
    """Join the series of all files, sorted, each overpass once."""
    full = [p for p in parts if p.sizes[OBSERVATION]] or parts[:1]
    series = xr.concat(
        full, OBSERVATION, data_vars="all", coords="minimal", compat="override", join="outer",
        combine_attrs="drop_conflicts",
    )  # fmt: skip
    time = series[TIME].values
    series = series.isel({OBSERVATION: np.lexsort((time, series[_INDEX].values))})
    keys = pd.DataFrame({n: series[n].values for n in (_INDEX, TIME, *_TEXTS[:3])})
    repeated = keys.duplicated() & keys[TIME].notna()
    series = series.isel({OBSERVATION: np.flatnonzero(~repeated)})
    for name in _TEXTS:
        series[name] = series[name].astype(str)
    series[_INDEX] = series[_INDEX].astype(np.int32)
    return _described(series.set_coords(TIME), stations)


def _described(series: xr.Dataset, stations: xr.Dataset) -> xr.Dataset:
    """Add the stations and what CF asks of a series."""
    stated = {
        "distance": {"long_name": "distance of the pixel to the station", "units": "km"},
        "pixel_latitude": {"long_name": "latitude of the pixel", "units": "degrees_north"},
        "pixel_longitude": {"long_name": "longitude of the pixel", "units": "degrees_east"},
        _INDEX: {"long_name": "station of the observation", "instance_dimension": STATION},
        TIME: ATTRIBUTES[TIME],
    }
    for name, attrs in stated.items():
        series[name].attrs = dict(attrs)
    for variable in series.data_vars.values():
        variable.attrs.pop("grid_mapping", None)
    series = series.assign_coords(stations.coords)
    series.attrs = {"title": "Rain at stations", "featureType": "timeSeries"}
    return series


def point_table(series: xr.Dataset) -> pd.DataFrame:
    """Turn the series of :func:`xrain.extract_points` into a table.

    Parameters
    ----------
    series : xarray.Dataset
        The series.

    Returns
    -------
    pandas.DataFrame
        One row for each observation, with the name of its station first; a variable with
        quantiles becomes a column for each, such as ``surface_precip_quantile_0.05``.

    See Also
    --------
    xrain.extract_points : Makes the series.

    Examples
    --------
    >>> import xrain
    >>> from xrain.points import point_table
    >>> from xrain.testing import fake_swath
    >>> rain = xrain.retrieve(fake_swath("GMI", 24, 24))
    >>> place = (float(rain["latitude"][12, 12]), float(rain["longitude"][12, 12]))
    >>> table = point_table(xrain.extract_points(rain, {"here": place}))
    >>> table["station"].tolist()
    ['here']
    """
    index = series[_INDEX].values
    columns: dict[str, Any] = {STATION: series[STATION].values[index], TIME: series[TIME].values}
    for name, values in series.data_vars.items():
        if name == _INDEX or OBSERVATION not in values.dims:
            continue
        rest = [d for d in values.dims if d != OBSERVATION]
        if not rest:
            columns[str(name)] = values.values
        for key, part in _layers(values, rest):
            columns[f"{name}_{key}"] = part
    return pd.DataFrame(columns)


def _layers(values: xr.DataArray, dims: list[Any]) -> list[tuple[str, Any]]:
    """Columns of a variable with one more dimension."""
    if len(dims) != 1:
        return []
    (dim,) = dims
    keys = values[dim].values if dim in values.coords else np.arange(values.sizes[dim])
    texts = [f"{k:g}" if dim == QUANTILE else str(k) for k in keys]
    return [(t, values.isel({dim: k}).values) for k, t in enumerate(texts)]
