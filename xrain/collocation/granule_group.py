"""Make what a store holds of one radiometer granule, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xrain.collocation.patches import Patch, cut, find_patches
from xrain.collocation.splits import Split
from xrain.collocation.store import (
    FIRST_PIXEL,
    FIRST_SCAN,
    GRID,
    LAND,
    PATCH,
    VARIABLES,
)
from xrain.collocation.writing import describe_samples, write_group
from xrain.conventions import (
    CHANNEL,
    COVERED,
    EVENT_RATE,
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
from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.io.open import open_l1c
from xrain.reference.collocated import collocate_files, join_stretches, meeting_scans
from xrain.reference.files import Identity, Span, identify, open_source
from xrain.reference.quality import good_tb
from xrain.sensors import get_sensor

__all__ = ["Job", "Settings", "make_group", "require_same"]


@dataclass(frozen=True)
class Settings:
    """How samples are made; the same for a whole store.

    Attributes
    ----------
    size : int
        Scans and pixels of a patch.
    window : float
        Longest time between radiometer and reference in minutes.
    fraction : float
        Share of a footprint that the reference must cover.
    variable : str
        Rate that is taken from the reference.
    least : int
        Patches with fewer matched pixels are left out.
    split : Split
        Days held out.
    """

    size: int = 64
    window: float = 15.0
    fraction: float = COVERED
    variable: str = SURFACE_PRECIP
    least: int = 32
    split: Split = field(default_factory=Split)

    def __post_init__(self) -> None:
        wrong = [
            text
            for good, text in (
                (self.size >= 1, f"size is {self.size}, a patch needs a pixel"),
                (self.window > 0, f"window is {self.window:g} minutes, it must be more than 0"),
                (0 < self.fraction <= 1, f"fraction is {self.fraction:g}, it lies in (0, 1]"),
                (self.least >= 1, f"least is {self.least}, a patch needs a matched pixel"),
            )
            if not good
        ]
        if wrong:
            raise InputError("; ".join(wrong))

    @property
    def time(self) -> np.timedelta64:
        """The window."""
        return np.timedelta64(round(self.window * 60e3), "ms")


@dataclass(frozen=True)
class Job:
    """A radiometer granule with the references that it may have met.

    Attributes
    ----------
    name : str
        Of the group to be made.
    radiometer : Path
        L1C granule.
    references : tuple of Span
        Files that overlap it in time.
    expected : tuple of Identity
        Radiometer and reference of the store.
    channels : tuple of str
        Channels of the store.
    settings : Settings
        How samples are made.
    """

    name: str
    radiometer: Path
    references: tuple[Span, ...]
    expected: tuple[Identity, Identity]
    channels: tuple[str, ...]
    settings: Settings


def make_group(job: Job, store: Path, drafts: Path) -> dict[str, Any]:
    """Match, cut and write one granule.

    Parameters
    ----------
    job : Job
        What to do.
    store : Path
        Where the group appears once it is complete.
    drafts : Path
        Folder on the same disk, where it is written.

    Returns
    -------
    dict
        The attributes of the group.

    Raises
    ------
    FileFormatError, InputError, UnknownSensorError
        If the granule or a reference cannot be used; then nothing is written.
    OutputError
        If the store cannot be written, such as on a full disk.
    """
    data, facts = _samples(job)
    write_group(data, facts, store / job.name, drafts)
    return facts


# ---- samples of one granule


def _samples(job: Job) -> tuple[xr.Dataset | None, dict[str, Any]]:
    """Patches of a granule, None if there are none, and what is to be said of them."""
    with open_l1c(job.radiometer) as ds:
        require_same(identify(ds), job.expected[0], job.radiometer)
        names = tuple(str(c) for c in ds[CHANNEL].values)
        if names != job.channels:
            raise InputError(
                f"{job.radiometer.name} has channels {', '.join(names)}; the store has "
                f"{', '.join(job.channels)}"
            )
        parts = []
        for rows in _stretches(ds, job):
            parts += _stretch(ds.isel({SCAN: rows}).load(), rows.start, job)
        facts = _facts(ds, job)
    data = xr.concat(parts, PATCH) if parts else None
    facts["patches"] = 0 if data is None else data.sizes[PATCH]
    rate = np.empty(0) if data is None else data[SURFACE_PRECIP].values
    facts["matched_pixels"] = int(np.isfinite(rate).sum())
    facts["raining_pixels"] = int((rate >= EVENT_RATE).sum())
    return data, facts


def require_same(found: Identity, expected: Identity, path: Path) -> None:
    """Refuse another product or version than a store holds; InputError names both."""
    if found != expected:
        raise InputError(
            f"{path.name} is {found.product} {found.version}, the store holds {expected.product} "
            f"{expected.version}: these do not mix, collocate it into another store"
        )


def _facts(ds: xr.Dataset, job: Job) -> dict[str, Any]:
    time = ds[TIME].values
    known = time[~np.isnat(time)]
    first = known.min() if known.size else np.datetime64("NaT")
    return {
        "granule": job.radiometer.name,
        "channels": list(job.channels),
        "references": [s.path.name for s in job.references],
        "platform": str(ds.attrs.get("platform", "")),
        "orbit": int(ds.attrs.get("orbit", -1)),
        "time_coverage_start": str(first.astype("datetime64[s]")),
        "split": job.settings.split.of(first) if known.size else "train",
        "simulated": str(ds.attrs.get("simulated", "false")).lower(),
    }


def _stretches(ds: xr.Dataset, job: Job) -> list[slice]:
    """Find scans that may have a reference; maps of all times are taken to cover the same."""
    settings = job.settings
    place = ds[[LATITUDE, LONGITUDE, TIME]].load()
    found: list[slice] = []
    for span in job.references:
        with open_source(span.path) as reference:
            require_same(identify(reference), job.expected[1], span.path)
            found += meeting_scans(reference, place, settings.variable, settings.time)
            if SCAN not in reference.dims:
                break
    return join_stretches(found)


def _stretch(ds: xr.Dataset, first_scan: int, job: Job) -> list[xr.Dataset]:
    """Match some scans, and cut them into patches."""
    settings, sensor = job.settings, get_sensor(str(ds.attrs["sensor"]))
    found = collocate_files(ds, job.references, settings.variable, settings.time, settings.fraction)
    tb = good_tb(ds, sensor)
    blind = ~np.isfinite(tb).any(axis=-1) | ~np.isfinite(ds[LATITUDE].values)
    rate = np.where(blind, np.float32(np.nan), found.rate)
    patches = find_patches(np.isfinite(rate), settings.size, settings.least)
    if not patches:
        return []
    fields = _fields(ds, tb, rate, found.fraction)
    return [_assemble(ds, fields, patches, first_scan, settings.size)]


def _fields(ds: xr.Dataset, tb: Any, rate: Any, fraction: Any) -> dict[str, Any]:
    lat, lon = (ds[n].transpose(SCAN, PIXEL).values for n in (LATITUDE, LONGITUDE))
    angle = np.full(lat.shape, np.nan, np.float32)
    if INCIDENCE in ds.variables:
        given = ds[INCIDENCE]
        given = given.isel({CHANNEL: 0}) if CHANNEL in given.dims else given
        angle = given.transpose(SCAN, PIXEL).values
    return {
        TB: tb, SURFACE_PRECIP: rate, REFERENCE_FRACTION: fraction, INCIDENCE: angle,
        LAND: land_fraction(lat, lon), LATITUDE: lat, LONGITUDE: lon,
    }  # fmt: skip


def _assemble(
    ds: xr.Dataset, fields: dict[str, Any], patches: list[Patch], first_scan: int, size: int
) -> xr.Dataset:
    data: dict[str, Any] = {}
    for name, values in fields.items():
        dims, dtype = VARIABLES[name]
        squares = np.stack([cut(values, p, size) for p in patches]).astype(dtype)
        data[name] = (dims, squares)
    keep = np.stack([p.mask for p in patches])
    data[SURFACE_PRECIP] = (GRID, np.where(keep, data[SURFACE_PRECIP][1], np.float32(np.nan)))
    time = ds[TIME].values
    middle = [time[min(p.row + size // 2, time.size - 1)] for p in patches]
    data[TIME] = ((PATCH,), np.asarray(middle, "M8[ns]"))
    data[FIRST_SCAN] = ((PATCH,), np.array([p.row + first_scan for p in patches], np.int32))
    data[FIRST_PIXEL] = ((PATCH,), np.array([p.column for p in patches], np.int32))
    return describe_samples(xr.Dataset(data))
