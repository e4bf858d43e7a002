"""What retrievals are compared on: swaths with a reference on their pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import xarray as xr

from xrain.collocation.store import is_store, list_groups, open_group_swath, read_attrs
from xrain.conventions import SURFACE_PRECIP, TIME
from xrain.errors import InputError
from xrain.io.open import open_l1c
from xrain.io.transects import OVERPASS, is_transects, open_transects, transect_swath
from xrain.io.truth import open_truth
from xrain.reference.collocated import ReferenceFiles

__all__ = ["TRUTH", "Scene", "SceneSource", "holds_reference", "scene_source"]

TRUTH: Final = "truth"
"""Word for the true rain beside a simulated granule."""


@dataclass(frozen=True)
class Scene:
    """A swath and what its rain is compared with.

    Attributes
    ----------
    name : str
        Name of the granule, or of the part of a store.
    swath : xarray.Dataset
        ``tb(scan, pixel, channel)`` with positions and times.
    reference : xarray.Dataset
        ``surface_precip(scan, pixel)`` in mm/h, NaN where unknown.
    dated : bool
        Whether the times are those of the observation, not just some that tell neighbours.
    """

    name: str
    swath: xr.Dataset
    reference: xr.Dataset
    dated: bool = True


class SceneSource(Protocol):
    """Turns a file into scenes."""

    label: str
    """Name of the reference for people."""

    is_truth: bool
    """Whether the reference is exact."""

    def scenes(self, path: Path) -> Iterator[Scene]:
        """Read the scenes of a file."""
        ...


def holds_reference(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a store of collocated samples or a file of transects."""
    return is_store(path) or is_transects(path)


def scene_source(
    reference: str | Sequence[str | os.PathLike[str]] | None,
    paths: Sequence[Path],
) -> SceneSource:
    """Choose where the reference comes from.

    Parameters
    ----------
    reference : "truth", sequence of path, or None
        The truth beside simulated granules, files of a reference, or what stores and transects
        hold themselves.
    paths : sequence of Path
        What is compared on.

    Raises
    ------
    InputError
        If granules come without a reference, or stores with another than their own.
    """
    own = [holds_reference(p) for p in paths]
    if any(own) and not all(own):
        raise InputError("stores and transects cannot be mixed with granules: compare them apart")
    if all(own):
        if reference:
            raise InputError("stores and transects hold their reference: give no other")
        return _Own(paths)
    if not reference:
        raise InputError("granules need a reference to be compared with")
    if reference == TRUTH or list(map(str, reference)) == [TRUTH]:
        return _Truth()
    return _Files([reference] if isinstance(reference, str) else reference)


class _Truth:
    """Simulated granules with their truth beside."""

    label = "simulated truth"
    is_truth = True

    def scenes(self, path: Path) -> Iterator[Scene]:
        """See :class:`SceneSource`."""
        with open_l1c(path) as opened:
            yield Scene(path.name, opened.load(), open_truth(path))


class _Files:
    """Granules, and files that are brought onto their pixels."""

    is_truth = False

    def __init__(self, files: Sequence[str | os.PathLike[str]]) -> None:
        self._files = ReferenceFiles(files)
        self.label = self._files.label

    def scenes(self, path: Path) -> Iterator[Scene]:
        """See :class:`SceneSource`."""
        with open_l1c(path) as opened:
            swath = opened.load()
        yield Scene(path.name, swath, self._files.on(path.name, swath))


class _Own:
    """Test patches of stores, and transects, which hold their reference."""

    is_truth = False

    def __init__(self, paths: Sequence[Path]) -> None:
        self.label = " and ".join(dict.fromkeys(_own_label(p) for p in paths))

    def scenes(self, path: Path) -> Iterator[Scene]:
        """See :class:`SceneSource`."""
        for name, swath, dated in _store_parts(path) if is_store(path) else _overpasses(path):
            rate = swath[[SURFACE_PRECIP]].reset_coords([TIME], drop=True)
            yield Scene(name, swath.drop_vars(SURFACE_PRECIP), rate, dated)


def _own_label(path: Path) -> str:
    if not is_store(path):
        return f"radar of {path.name}"
    facts = read_attrs(path)
    return f"{facts['reference']} {facts['reference_version']}".strip()


def _store_parts(path: Path) -> Iterator[tuple[str, xr.Dataset, bool]]:
    groups = [p for p in list_groups(path, "test") if p.patches]
    if not groups:
        raise InputError(f"{path} holds no samples for test")
    for group in groups:
        dated = bool(group.attrs["time_coverage_start"])
        yield str(group.attrs["granule"]), open_group_swath(path, group), dated


def _overpasses(path: Path) -> Iterator[tuple[str, xr.Dataset, bool]]:
    ds = open_transects(path)
    for number in np.unique(ds[OVERPASS].values):
        part = ds.isel({"scan": ds[OVERPASS].values == number})
        yield f"{path.name} overpass {number}", transect_swath(part), False
