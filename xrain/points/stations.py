"""Where series are wanted: stations with names, from whatever names them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from xrain.conventions import ATTRIBUTES, LATITUDE, LONGITUDE
from xrain.errors import InputError
from xrain.geo.sphere import valid_positions
from xrain.naming import means

__all__ = ["STATION", "stations_of"]

STATION: Final = "station"
"""Dimension of the stations, and the coordinate with their names."""

_NAMES: Final = ("station", "name", "id", "station_id", "site")


def stations_of(points: Any) -> xr.Dataset:
    """Turn what a user gives as points into stations.

    Parameters
    ----------
    points : path, DataFrame, Dataset, mapping or iterable
        A CSV file or a table with columns ``latitude`` and ``longitude`` (or ``lat`` and
        ``lon``), and ``station`` or ``name`` if they have names; a Dataset with these variables
        over one dimension; a mapping of names to (latitude, longitude); or pairs of these.

    Returns
    -------
    xarray.Dataset
        ``latitude`` and ``longitude`` in degrees over ``station``, which holds the names.

    Raises
    ------
    InputError
        If there is no point, a position is none, or a name stands twice.

    Examples
    --------
    >>> ds = stations_of({"Taipei": (25.03, 121.51), "Naha": (26.21, 127.69)})
    >>> ds["station"].values.tolist()
    ['Taipei', 'Naha']
    """
    table = _table_of(points)
    latitude, longitude = (_column(table, name) for name in (LATITUDE, LONGITUDE))
    if not latitude.size:
        raise InputError("no points are given")
    bad = np.flatnonzero(~valid_positions(latitude, longitude))
    if bad.size:
        k = int(bad[0])
        raise InputError(f"point {k + 1}: {latitude[k]:g}, {longitude[k]:g} is no position")
    names = _station_names(table)
    twice = names[names.duplicated()]
    if len(twice):
        raise InputError(f"two points have the name {twice.iloc[0]!r}")
    return xr.Dataset(
        {LATITUDE: (STATION, latitude, ATTRIBUTES[LATITUDE]),
         LONGITUDE: (STATION, longitude, ATTRIBUTES[LONGITUDE])},
        {STATION: (STATION, names.to_numpy(str), {"cf_role": "timeseries_id"})},
    ).set_coords([LATITUDE, LONGITUDE])  # fmt: skip


def _table_of(points: Any) -> pd.DataFrame:
    if isinstance(points, str | os.PathLike):
        return _read_table(Path(points))
    if isinstance(points, xr.Dataset):
        return points.reset_coords().to_dataframe().reset_index()
    if isinstance(points, pd.DataFrame):
        return points.reset_index() if points.index.name else points
    if isinstance(points, Mapping):
        return _pairs(points.values()).assign(station=[str(k) for k in points])
    if isinstance(points, Iterable):
        return _pairs(points)
    raise InputError(f"points are a table or pairs of latitude and longitude, no {type(points)}")


def _pairs(points: Iterable[Any]) -> pd.DataFrame:
    try:
        values = np.array([tuple(p) for p in points], float).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise InputError("a point is a pair: latitude and longitude in degrees") from error
    return pd.DataFrame(values, columns=[LATITUDE, LONGITUDE])


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, skipinitialspace=True, dtype=dict.fromkeys(_NAMES, str))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no table of points with commas: {error}") from error


def _column(table: pd.DataFrame, concept: str) -> np.ndarray[Any, Any]:
    found = [c for c in table.columns if means(concept, str(c))]
    if len(found) != 1:
        raise InputError(
            f"points need one column {concept}; there are {', '.join(map(str, table.columns))}"
        )
    try:
        out: np.ndarray[Any, Any] = table[found[0]].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{concept} of the points: {error}") from error
    return out


def _station_names(table: pd.DataFrame) -> pd.Series[str]:
    for name in _NAMES:
        found = [c for c in table.columns if str(c).lower() == name]
        if found:
            return table[found[0]].astype(str).str.strip()
    return pd.Series([str(k + 1) for k in range(len(table))])
