"""Transects as a store of samples: patches one pixel wide, overpass by overpass."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.atomic import replacing
from xrain.collocation.store import (
    FIRST_PIXEL,
    FIRST_SCAN,
    FORMAT,
    LAND,
    PATCH,
    SPLITS,
    VARIABLES,
    GranuleGroup,
    list_groups,
    open_store,
    read_attrs,
)
from xrain.collocation.writing import describe_samples, write_group, writing
from xrain.conventions import (
    CHANNEL,
    EVENT_RATE,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    REFERENCE_FRACTION,
    SCAN,
    SURFACE_PRECIP,
    TB,
    TIME,
)
from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.io.storable import CF_VERSION
from xrain.io.transects import OVERPASS, SCAN_NUMBER, open_transects
from xrain.io.zarr_store import METADATA, group_metadata
from xrain.sensors import find_sensor, get_sensor

__all__ = ["BLOCK", "TRANSECTS", "collocate_transects", "open_store_transects", "overpass_split"]

TRANSECTS: Final = "transects"

SIZE: Final = 64
"""Scans of a patch."""

BLOCK: Final = 10
"""Overpasses that serve one purpose together, since those next to each other see one weather."""

_CYCLE: Final = 10


def overpass_split(number: int) -> str:
    """Tell the purpose of an overpass.

    Of ten blocks of overpasses the last is for the test, that before it for validation.

    Examples
    --------
    >>> [overpass_split(k) for k in (0, 79, 80, 90, 99, 100)]
    ['train', 'train', 'validation', 'test', 'test', 'train']
    """
    place = number // BLOCK % _CYCLE
    return {_CYCLE - 1: "test", _CYCLE - 2: "validation"}.get(place, "train")


def collocate_transects(
    files: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    size: int = SIZE,
) -> list[GranuleGroup]:
    """Make samples for training of transects.

    Each overpass becomes a group of the store. Blocks of ten overpasses serve one purpose, see
    :func:`overpass_split`. What the store has already is not made again.

    Parameters
    ----------
    files : iterable of path
        Files of transects of one instrument; see :func:`xrain.io.transects.open_transects`.
    output : path
        The store; made if absent.
    size : int
        Scans of a patch, which is one pixel wide.

    Returns
    -------
    list of GranuleGroup
        All that the store holds now.

    Raises
    ------
    FileFormatError, InputError
        If a file will not do, or the store holds something else.
    OutputError
        If the store cannot be written.

    Examples
    --------
    >>> collocate_transects(["gmi_corra_conus.nc"], "transects.zarr")  # doctest: +SKIP
    """
    output, paths = Path(output), [Path(f) for f in files]
    if not paths:
        raise InputError("there is no file of transects")
    with writing(output) as drafts:
        for path in paths:
            ds = open_transects(path)
            facts = _root(output, ds, size)
            done = {p.name for p in list_groups(output)}
            for number in np.unique(ds[OVERPASS].values):
                name = f"{path.stem}_{int(number):05d}"
                if name not in done:
                    own = ds.isel({SCAN: ds[OVERPASS].values == number})
                    _write(own, facts, path, int(number), output / name, drafts)
    return list_groups(output)


def _root(output: Path, ds: xr.Dataset, size: int) -> dict[str, Any]:
    """Attributes of the store, which is begun if it is not there."""
    sensor = find_sensor(str(ds.attrs.get("sensor", "")))
    if sensor is None:
        raise InputError("the transects do not say of which known instrument they are")
    facts = {
        "xrain_store": FORMAT,
        "kind": TRANSECTS,
        "Conventions": CF_VERSION,
        "title": f"{sensor.name} along the track of a radar",
        "sensor": sensor.name,
        "radiometer_version": "",
        "channels": [str(c) for c in ds[CHANNEL].values],
        "reference": "radar along the track",
        "reference_version": "",
        "patch_size": size,
        "patch_width": 1,
        "block": BLOCK,
    }
    if (output / METADATA).exists():
        kept = read_attrs(output)
        if wrong := [k for k, v in facts.items() if kept.get(k) != v]:
            raise InputError(f"{output} is another store, its {', '.join(wrong)} differ: use it "
                             "with the same, or another store")  # fmt: skip
        return kept
    with replacing(output / METADATA) as draft:
        draft.write_text(group_metadata(facts), encoding="utf-8")
    return facts


def _write(
    ds: xr.Dataset,
    facts: Mapping[str, Any],
    path: Path,
    number: int,
    target: Path,
    drafts: Path,
) -> None:
    rate = ds[SURFACE_PRECIP].values
    known = np.isfinite(rate)
    data = _patches(ds, facts)
    about = {
        "granule": f"{path.name} overpass {number}",
        "overpass": number,
        "channels": facts["channels"],
        "references": [path.name],
        "platform": "",
        "orbit": -1,
        "time_coverage_start": "",
        "split": overpass_split(number),
        "simulated": "false",
        "patches": data.sizes[PATCH],
        "matched_pixels": int(known.sum()),
        "raining_pixels": int((rate >= EVENT_RATE).sum()),
    }
    write_group(data, about, target, drafts)


def _patches(ds: xr.Dataset, facts: Mapping[str, Any]) -> xr.Dataset:
    """Cut an overpass into patches (patch, scan, 1); the last is filled up with nothing."""
    size = int(facts["patch_size"])
    scans = ds.sizes[SCAN]
    count = -(-scans // size)
    lat, lon = ds[LATITUDE].values, ds[LONGITUDE].values
    sensor = get_sensor(facts["sensor"])
    angle = sensor.channels[0].incidence_angle if sensor.scan_type == "conical" else np.nan
    fields: dict[str, Any] = {
        TB: ds[TB].values, SURFACE_PRECIP: ds[SURFACE_PRECIP].values,
        REFERENCE_FRACTION: np.isfinite(ds[SURFACE_PRECIP].values).astype(np.float32),
        INCIDENCE: np.full(scans, angle), LAND: land_fraction(lat, lon),
        LATITUDE: lat, LONGITUDE: lon,
    }  # fmt: skip
    data: dict[str, Any] = {}
    for name, values in fields.items():
        over = [(0, count * size - scans)] + [(0, 0)] * (values.ndim - 1)
        full = np.pad(values.astype(np.float64), over, constant_values=np.nan)
        dims, dtype = VARIABLES[name]
        data[name] = (dims, full.reshape(count, size, 1, *values.shape[1:]).astype(dtype))
    first = int(ds[SCAN_NUMBER].values[0])
    data[TIME] = ((PATCH,), np.full(count, np.datetime64("NaT", "ns")))
    data[FIRST_SCAN] = ((PATCH,), (first + size * np.arange(count)).astype(np.int32))
    data[FIRST_PIXEL] = ((PATCH,), np.zeros(count, np.int32))
    return describe_samples(xr.Dataset(data))


def open_store_transects(path: str | os.PathLike[str], split: str = "test") -> xr.Dataset:
    """Read the overpasses of a store that have one purpose.

    Parameters
    ----------
    path : path
        A store of :func:`collocate_transects`.
    split : {"test", "validation", "train"}
        Which overpasses.

    Returns
    -------
    xarray.Dataset
        As of :func:`xrain.io.transects.open_transects`.

    Raises
    ------
    FileFormatError, InputError
        If there is no such store, or it has none of that purpose.
    """
    if split not in SPLITS:
        raise InputError(f"split is {split!r}; it is one of {', '.join(SPLITS)}")
    ds = open_store(path, split).load()
    rows = ds.sizes[SCAN]
    names = (TB, SURFACE_PRECIP, LATITUDE, LONGITUDE)
    flat = {n: ds[n].values.reshape(-1, *ds[n].shape[3:]) for n in names}
    _, overpass = np.unique(ds["granule"].values, return_inverse=True)
    number = ds[FIRST_SCAN].values[:, None] + np.arange(rows)
    known = np.isfinite(flat[LATITUDE])
    data: dict[str, Any] = {
        n: ((SCAN, CHANNEL) if n == TB else (SCAN,), v[known]) for n, v in flat.items()
    }
    data[OVERPASS] = (SCAN, np.repeat(overpass, rows)[known])
    data[SCAN_NUMBER] = (SCAN, number.ravel()[known])
    out = xr.Dataset(data, {CHANNEL: ds[CHANNEL].values}, {"sensor": ds.attrs["sensor"]})
    order = np.lexsort([out[SCAN_NUMBER].values, out[OVERPASS].values])
    return out.isel({SCAN: order}).set_coords([LATITUDE, LONGITUDE])
