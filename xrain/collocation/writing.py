"""Write groups of a store, each whole or not at all, one process at a time."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.collocation.store import FIRST_PIXEL, FIRST_SCAN, LAND, VARIABLES
from xrain.conventions import ATTRIBUTES, INCIDENCE, SURFACE_PRECIP, TB, TIME
from xrain.errors import InputError, OutputError
from xrain.io.zarr_store import METADATA, group_metadata

__all__ = ["describe_samples", "write_group", "writing"]

TB_PACKING: Final = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 200.0,
                     "_FillValue": -32768}  # fmt: skip
TIME_PACKING: Final = {"dtype": "int64", "units": "milliseconds since 1970-01-01",
                       "calendar": "standard"}  # fmt: skip

_TEXTS: Final[dict[str, dict[str, Any]]] = {
    LAND: {"standard_name": "land_area_fraction", "long_name": "land fraction", "units": "1"},
    FIRST_SCAN: {"long_name": "first scan of the patch in its granule, from 0"},
    FIRST_PIXEL: {"long_name": "first pixel of the patch in its scans, from 0"},
    TIME: {"long_name": "time of the middle of the patch"},
    SURFACE_PRECIP: {"long_name": "precipitation rate of the reference over the footprint"},
}


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """Be the only one who writes to a store; yields a folder for drafts, which is deleted.

    Raises
    ------
    InputError
        If another process writes to it.
    OutputError
        If it cannot be written.
    """
    from filelock import FileLock, Timeout

    drafts = output.with_name(f".{output.name}.drafts")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(output.with_name(f".{output.name}.lock"), timeout=0):
            shutil.rmtree(drafts, ignore_errors=True)
            try:
                yield drafts
            finally:
                shutil.rmtree(drafts, ignore_errors=True)
    except Timeout as error:
        raise InputError(f"another process is writing to {output}; wait for it to end") from error
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}") from error


def write_group(
    data: xr.Dataset | None, facts: Mapping[str, Any], target: Path, drafts: Path
) -> None:
    """Write one group of a store, in place of one that is there.

    Parameters
    ----------
    data : xarray.Dataset or None
        Samples of :data:`xrain.collocation.store.VARIABLES`; None for a granule without any.
    facts : mapping
        Attributes of the group.
    target : Path
        Where the group appears once it is complete.
    drafts : Path
        Folder on the same disk, where it is written.

    Raises
    ------
    OutputError
        If it cannot be written, such as on a full disk.
    """
    draft = drafts / f"{target.name}.{secrets.token_hex(4)}"
    try:
        draft.mkdir(parents=True)
        if data is None:
            (draft / METADATA).write_text(group_metadata(facts), encoding="utf-8")
        else:
            _write(data.assign_attrs(facts), draft)
        if target.exists():
            target.rename(drafts / f"old.{draft.name}")
        draft.rename(target)
    except OSError as error:
        raise OutputError(
            f"{target.parent} cannot be written: {error.strerror or error}; what is in it is "
            "complete. Make room and repeat the command, which goes on from there"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(data: xr.Dataset, folder: Path) -> None:
    from zarr.codecs import BloscCodec

    codec = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
    encoding: dict[str, dict[str, Any]] = {
        str(n): {"compressors": (codec,), "chunks": v.shape} for n, v in data.variables.items()
        if str(n) in VARIABLES
    }  # fmt: skip
    encoding[TB] |= TB_PACKING
    if np.isnat(data[TIME].values).all():  # xarray cannot encode times that are all unknown
        data = data.assign({TIME: _unknown_times(data[TIME])})
    else:
        encoding[TIME] |= TIME_PACKING
    data.to_zarr(folder, mode="w", zarr_format=3, consolidated=False, encoding=encoding)


def _unknown_times(time: xr.DataArray) -> xr.DataArray:
    """Encode times that are all unknown as a file holds them."""
    fill = np.iinfo(np.int64).min
    packing = {k: v for k, v in TIME_PACKING.items() if k != "dtype"}
    attrs = {**time.attrs, **packing, "_FillValue": fill}
    return time.copy(data=np.full(time.shape, fill)).assign_attrs(attrs)


def describe_samples(data: xr.Dataset) -> xr.Dataset:
    """Give samples their CF attributes."""
    for name in VARIABLES:
        data[name].attrs = {**ATTRIBUTES.get(name, {}), **_TEXTS.get(name, {})}
    data[INCIDENCE].attrs["comment"] = "of the first channel"
    return data
