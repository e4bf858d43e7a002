"""Samples of collocated observations on disk: the layout of a store, and how it is read.

A store is a Zarr group of format 3. Each radiometer granule that met a reference is one group in
it, whole or not at all; the root says what they have in common. See the page on the layout in
the reference of the documentation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    CHANNEL,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    REFERENCE_FRACTION,
    SCAN,
    SURFACE_PRECIP,
    TB,
    TIME,
)
from xrain.errors import FileFormatError, InputError
from xrain.io.zarr_store import METADATA

__all__ = [
    "GranuleGroup", "is_store", "list_groups", "open_group_swath", "open_store", "patch_shape",
    "read_arrays", "read_attrs", "stack_patches",
]  # fmt: skip

Array = npt.NDArray[Any]

FORMAT: Final = 1

PATCH: Final = "patch"
LAND: Final = "land_fraction"
FIRST_SCAN: Final = "first_scan"
FIRST_PIXEL: Final = "first_pixel"

GAP: Final = 1000
"""Seconds between patches that are laid below each other."""

SPLITS: Final = ("train", "validation", "test")

GRID: Final = (PATCH, SCAN, PIXEL)
VARIABLES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    TB: ((*GRID, CHANNEL), "f4"),
    SURFACE_PRECIP: (GRID, "f4"),
    REFERENCE_FRACTION: (GRID, "f2"),
    INCIDENCE: (GRID, "f2"),
    LAND: (GRID, "f2"),
    LATITUDE: (GRID, "f4"),
    LONGITUDE: (GRID, "f4"),
    TIME: ((PATCH,), "M8[ns]"),
    FIRST_SCAN: ((PATCH,), "i4"),
    FIRST_PIXEL: ((PATCH,), "i4"),
}
"""Dimensions and type of every variable as it is read."""


@dataclass(frozen=True)
class GranuleGroup:
    """What a store holds of one radiometer granule.

    Attributes
    ----------
    path : Path
        Its group.
    attrs : dict
        Its attributes: ``granule``, ``references``, ``platform``, ``orbit``, ``split``,
        ``patches``, ``matched_pixels`` and others.
    """

    path: Path
    attrs: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the group."""
        return self.path.name

    @property
    def patches(self) -> int:
        """Number of patches."""
        return int(self.attrs["patches"])

    @property
    def split(self) -> str:
        """What it is for: ``"train"``, ``"validation"`` or ``"test"``."""
        return str(self.attrs["split"])


def read_attrs(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what the groups of a store have in common.

    Returns
    -------
    dict
        ``sensor``, ``channels``, ``patch_size``, ``reference`` and others.

    Raises
    ------
    FileFormatError
        If there is no store, or one of another format.
    """
    facts = _attributes(Path(path))
    if facts is None or "xrain_store" not in facts:
        raise FileFormatError(f"{path} is no store of samples; 'xrain collocate' makes one")
    if facts["xrain_store"] != FORMAT:
        raise FileFormatError(
            f"{path} has format {facts['xrain_store']}, this version of xrain reads {FORMAT}"
        )
    return facts


def is_store(path: str | os.PathLike[str]) -> bool:
    """Tell a store from a file; FileFormatError if it is a folder that is no store."""
    return Path(path).is_dir() and bool(read_attrs(path))


def patch_shape(facts: Mapping[str, Any]) -> tuple[int, int]:
    """Tell the scans and pixels of a store's patches; those of transects are one pixel wide."""
    rows = int(facts["patch_size"])
    return rows, int(facts.get("patch_width", rows))


def list_groups(path: str | os.PathLike[str], split: str | None = None) -> list[GranuleGroup]:
    """List the groups of a store by name, which is by time.

    Parameters
    ----------
    path : path
        The store.
    split : {"train", "validation", "test"}, optional
        Only those of one purpose.

    Raises
    ------
    FileFormatError
        If there is no store.
    InputError
        If the purpose is unknown.
    """
    read_attrs(path)
    if split is not None and split not in SPLITS:
        raise InputError(f"split is {split!r}; it is one of {', '.join(SPLITS)}")
    found = []
    for folder in sorted(p for p in Path(path).iterdir() if p.is_dir()):
        facts = _attributes(folder)
        if facts is not None and split in (None, facts.get("split")):
            found.append(GranuleGroup(folder, facts))
    return found


def open_store(path: str | os.PathLike[str], split: str | None = None) -> xr.Dataset:
    """Open a store as one lazy dataset, in blocks of one granule.

    Parameters
    ----------
    path : path
        The store.
    split : {"train", "validation", "test"}, optional
        Only the patches of one purpose.

    Returns
    -------
    xarray.Dataset
        ``tb(patch, scan, pixel, channel)`` in K; ``surface_precip(patch, scan, pixel)`` in mm h-1,
        NaN where there is no reference; ``reference_fraction``, ``earth_incidence_angle`` in
        degrees, ``land_fraction``, ``latitude``, ``longitude``; along ``patch`` also ``time``,
        ``month``, ``day``, ``orbit``, ``platform``, ``split``, ``granule``.

    Raises
    ------
    FileFormatError
        If there is no store, or it cannot be read.
    InputError
        If it has no patch of that purpose.
    """
    facts = read_attrs(path)
    groups = _with_patches(path, split)
    rows, columns = patch_shape(facts)
    shape = {SCAN: rows, PIXEL: columns, CHANNEL: len(facts["channels"])}
    data: dict[str, Any] = {}
    for name, (dims, dtype) in VARIABLES.items():
        data[name] = (dims, _lazy(groups, name, [shape[d] for d in dims[1:]], dtype))
    for name in ("orbit", "platform", "split", "granule"):
        values = np.repeat([p.attrs[name] for p in groups], [p.patches for p in groups])
        data[name] = ((PATCH,), values)
    out = xr.Dataset(data, {CHANNEL: list(facts["channels"])}, facts)
    time = out[TIME].dt
    out = out.assign(month=time.month, day=time.day)
    along = [str(n) for n, v in out.variables.items() if v.dims == (PATCH,)]
    return out.set_coords([LATITUDE, LONGITUDE, INCIDENCE, *along])


def _with_patches(path: str | os.PathLike[str], split: str | None) -> list[GranuleGroup]:
    groups = [p for p in list_groups(path, split) if p.patches]
    if not groups:
        raise InputError(f"{path} holds no samples{f' for {split}' if split else ''}")
    return groups


def _attributes(folder: Path) -> dict[str, Any] | None:
    """Attributes of a group, None if there is no group."""
    try:
        found = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        return dict(found["attributes"]) if found["node_type"] == "group" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lazy(groups: Sequence[GranuleGroup], name: str, shape: Sequence[int], dtype: str) -> Any:
    import dask.array as da
    from dask import delayed

    read = delayed(_read_one, pure=True)
    return da.concatenate(
        [
            da.from_delayed(read(p, name), (p.patches, *shape), dtype, meta=np.empty(0, dtype))
            for p in groups
        ]
    )


def _read_one(group: GranuleGroup, name: str) -> Array:
    return read_arrays(group, name)[0]


def read_arrays(group: GranuleGroup, *names: str) -> list[Array]:
    """Read variables of a group, decoded.

    Raises
    ------
    FileFormatError
        If it is damaged.
    """
    others = [n for n in VARIABLES if n not in names]
    try:
        with xr.open_dataset(
            group.path, engine="zarr", consolidated=False, drop_variables=others
        ) as ds:
            return [ds[n].values.astype(VARIABLES[n][1], copy=False) for n in names]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise FileFormatError(
            f"{group.path} is damaged: {error}; delete it and repeat 'xrain collocate'"
        ) from error


def open_group_swath(path: str | os.PathLike[str], group: GranuleGroup) -> xr.Dataset:
    """Read a group as a swath, its patches below each other, none the neighbour of another.

    Parameters
    ----------
    path : path
        The store.
    group : GranuleGroup
        With patches.

    Returns
    -------
    xarray.Dataset
        ``tb(scan, pixel, channel)``, ``surface_precip(scan, pixel)``, NaN without a reference,
        positions, angles, ``time`` and the attribute ``sensor``.

    Raises
    ------
    FileFormatError
        If the group is damaged.
    """
    facts = read_attrs(path)
    names = (TB, SURFACE_PRECIP, LATITUDE, LONGITUDE, INCIDENCE, TIME)
    found = dict(zip(names, read_arrays(group, *names), strict=True))
    data = {n: (VARIABLES[n][0], v) for n, v in found.items()}
    patches = xr.Dataset(data, {CHANNEL: list(facts["channels"])}, {"sensor": facts["sensor"]})
    return stack_patches(patches)


def stack_patches(patches: xr.Dataset) -> xr.Dataset:
    """Lay patches (patch, scan, …) below each other as one swath (scan, …).

    Times are those of the first patch and later, with a gap before every patch, so that none is
    taken for the neighbour of another.
    """
    count, rows = patches.sizes[PATCH], patches.sizes[SCAN]
    data = {
        str(name): (v.dims[1:], v.values.reshape(count * rows, *v.shape[2:]))
        for name, v in patches.variables.items()
        if v.dims[:2] == (PATCH, SCAN)
    }
    start = patches[TIME].values.astype("M8[ns]")[0]
    start = np.datetime64("2000-01-01", "ns") if np.isnat(start) else start
    seconds = np.arange(count)[:, None] * (rows + GAP) + np.arange(rows)
    time = start + seconds.ravel().astype("m8[s]")
    attrs = {"sensor": patches.attrs["sensor"]}
    out = xr.Dataset(data, {CHANNEL: patches[CHANNEL].values, TIME: (SCAN, time)}, attrs)
    return out.set_coords([LATITUDE, LONGITUDE, INCIDENCE])
