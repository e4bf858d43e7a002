"""The xarray engine ``gpm-l1c``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

_NAME = re.compile(r"^1C(-R)?\..+\.(HDF5|h5|nc4?)$", re.IGNORECASE)


class L1CBackendEntrypoint(BackendEntrypoint):
    """Open GPM level 1C granules with ``xarray.open_dataset(path, engine="gpm-l1c")``."""

    description = "GPM level 1C radiometer granules: every channel on one grid"
    url = "https://gpm.nasa.gov/data"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        "swath",
        "coregistration",
    )
    supports_groups = True

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
        """Whether the name is one that the archive gives to level 1C granules."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        return bool(_NAME.match(os.path.basename(os.fspath(filename_or_obj))))


def _drop(dataset: xr.Dataset, names: str | Iterable[str] | None) -> xr.Dataset:
    if names is None:
        return dataset
    wanted = {names} if isinstance(names, str) else set(names)
    out = dataset.drop_vars(wanted & set(map(str, dataset.variables)))
    out.set_close(dataset._close)
    return out
