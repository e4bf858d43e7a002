"""What lies beside a simulated granule: its true rain, and the radar that saw it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import xarray as xr

from xrain.conventions import COVERED, PIXEL, SCAN, SURFACE_PRECIP
from xrain.errors import FileFormatError, InputError
from xrain.io.hdf5 import open_file, text_attribute
from xrain.io.header import SIMULATION, parse_pvl

OBSERVED = "observed_fraction"

RAIN_FIELD = "rain_field"
"""Attribute that names the file of the simulated rain."""


def truth_path(granule: str | os.PathLike[str]) -> Path:
    """Where the true rain of a simulated granule lies: ``<granule>.truth.nc``."""
    path = Path(granule)
    return path.with_name(f"{path.stem}.truth.nc")


def radar_path(granule: str | os.PathLike[str]) -> Path:
    """Where the radar granule over the same rain lies: ``<granule>.radar.HDF5``."""
    path = Path(granule)
    return path.with_name(f"{path.stem}.radar.HDF5")


def require_same_seed(granule: str | os.PathLike[str], seed: str) -> None:
    """Refuse to put a simulated granule in the place of another one, or of an observed one.

    Parameters
    ----------
    granule : path
        Where it is to be written.
    seed : str
        Its seed.

    Raises
    ------
    InputError
        If a file is there that is no simulation, or one of another seed.
    """
    path = Path(granule)
    if not path.is_file():
        return
    try:
        with open_file(path) as file:
            record = parse_pvl(text_attribute(file, SIMULATION))
    except FileFormatError:
        record = {}
    found = f"of seed {record['Seed']}" if "Seed" in record else "that is no simulation"
    if record.get("Seed") != seed:
        raise InputError(
            f"{path} is there already, a file {found}: choose another name, start or orbit"
        )


def open_truth(granule: str | os.PathLike[str]) -> xr.Dataset:
    """Read the true rain beside a simulated granule, NaN where too little of it is known.

    Raises
    ------
    FileFormatError
        If there is none, or it cannot be read.
    """
    path = truth_path(granule)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as ds:
            truth = ds.load()
        rate = truth[SURFACE_PRECIP].transpose(SCAN, PIXEL)
    except (OSError, ValueError, KeyError) as error:
        raise FileFormatError(
            f"{path}: no readable truth for {Path(granule).name}; 'xrain simulate' writes it "
            f"beside the granule: {error}"
        ) from error
    known = truth[OBSERVED] >= COVERED if OBSERVED in truth else np.isfinite(rate)
    return truth.assign({SURFACE_PRECIP: rate.where(known)})
