"""The xarray engines ``gpm-l1c`` and ``gpm-l2``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from xrain.io.file_names import L1C_PREFIXES, L2_PREFIXES, MAP_PREFIXES, is_archive_name


class _GranuleEntrypoint(BackendEntrypoint):
    """What the engines share: groups as a tree, files known by the archive's names."""

    url = "https://gpm.nasa.gov/data"
    supports_groups = True
    prefixes: ClassVar[tuple[str, ...]]

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
    ) -> xr.DataTree:
        """Open the swath groups as a tree."""
        groups = self.open_groups_as_dict(filename_or_obj, drop_variables=drop_variables)
        return xr.DataTree.from_dict(groups)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the name is one that the archive gives to such granules."""
        return is_archive_name(filename_or_obj, self.prefixes)


class L1CBackendEntrypoint(_GranuleEntrypoint):
    """Open GPM level 1C granules with ``xarray.open_dataset(path, engine="gpm-l1c")``."""

    description = "GPM level 1C radiometer granules: every channel on one grid"
    prefixes = L1C_PREFIXES
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        "swath",
        "coregistration",
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        swath: str | None = None,
        coregistration: Any = "nearest",
    ) -> xr.Dataset:
        """Open a granule on the grid of its reference swath; see :func:`xrain.open_l1c`."""
        from xrain.io.swath import open_swath

        out = open_swath(filename_or_obj, swath=swath, coregistration=coregistration)
        return _drop(out, drop_variables)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open each swath group as it is, under ``/S1``, ``/S2`` and so on."""
        from xrain.io.l1c import read_granule
        from xrain.io.swath import group_dataset

        granule = read_granule(filename_or_obj)
        root = xr.Dataset(attrs={"sensor": granule.sensor.name, "platform": granule.platform})
        groups = {
            f"/{name}": _drop(group_dataset(granule, name), drop_variables)
            for name in granule.groups
        }
        return {"/": root, **groups}


class L2BackendEntrypoint(_GranuleEntrypoint):
    """Open GPM rain granules with ``xarray.open_dataset(path, engine="gpm-l2")``."""

    description = "GPM rain granules: 2A GPROF, 2A DPR, Ku, Ka and PR, 2B CORRA, half-hourly IMERG"
    prefixes = (*L2_PREFIXES, *MAP_PREFIXES)
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        "swath",
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        swath: str | None = None,
    ) -> xr.Dataset:
        """Open one swath group, or the grid; see :func:`xrain.open_reference`."""
        from xrain.io.reference import open_group

        return _drop(open_group(filename_or_obj, swath), drop_variables)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open every swath group, under ``/FS``, ``/HS`` and so on."""
        from xrain.io.reference import group_dataset, read_reference

        granule = read_reference(filename_or_obj)
        groups = {f"/{n}": _drop(group_dataset(granule, n), drop_variables) for n in granule.groups}
        return {"/": xr.Dataset(attrs=granule.attributes), **groups}


def _drop(dataset: xr.Dataset, names: str | Iterable[str] | None) -> xr.Dataset:
    if names is None:
        return dataset
    wanted = {names} if isinstance(names, str) else set(names)
    out = dataset.drop_vars(wanted & set(map(str, dataset.variables)))
    out.set_close(dataset._close)
    return out
