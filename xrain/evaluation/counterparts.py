"""Find, for a granule, what the same rain looked like to others, on the granule's pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    LATITUDE,
    LONGITUDE,
    PIXEL,
    PRECIP_FLAG,
    PROBABILITY_OF_PRECIP,
    REFERENCE_FRACTION,
    REFERENCE_PRECIP,
    REFERENCE_PROBABILITY,
    SCAN,
    SURFACE_PRECIP,
    TIME,
)
from xrain.errors import InputError, NoOverlapError
from xrain.evaluation.evaluate import positions_differ
from xrain.evaluation.swaths import open_truth
from xrain.matching import match_reference
from xrain.matching.quality import good_rate

__all__ = ["TRUTH", "Counterparts", "product_label"]

TRUTH = "truth"
"""Word for the true rain beside a simulated granule."""

MARGIN = np.timedelta64(20, "m")
"""Time by which a file may miss a granule and still be looked at."""

COVERED = 0.9
"""Share of a footprint that must be observed for its mean to count."""

KEPT = (SURFACE_PRECIP, PROBABILITY_OF_PRECIP, PRECIP_FLAG, "land_fraction", "sea_ice_fraction")


class Counterparts:
    """Files of one kind, such as the granules of a product, or the truth of simulated granules.

    Parameters
    ----------
    files : sequence of path, or "truth"
        Granules of 2A GPROF, 2A radar, 2B CORRA or half-hourly IMERG, in any order; or the word
        ``truth`` for what lies beside each simulated granule.
    """

    def __init__(self, files: str | Sequence[str | os.PathLike[str]]) -> None:
        self.is_truth = files == TRUTH or list(map(str, files)) == [TRUTH]
        self._spans = [] if self.is_truth else [_span(Path(f)) for f in files]
        if not self.is_truth and not self._spans:
            raise InputError("there is no file to compare with")

    @property
    def label(self) -> str:
        """Name for people."""
        if self.is_truth:
            return "simulated truth"
        return " and ".join(dict.fromkeys(label for *_, label in self._spans))

    @property
    def names(self) -> list[str]:
        """Names of the files."""
        return [path.name for path, *_ in self._spans]

    def on(self, granule: Path, swath: xr.Dataset) -> xr.Dataset:
        """Bring what overlaps a granule in time onto its pixels.

        Parameters
        ----------
        granule : Path
            The granule's file.
        swath : xarray.Dataset
            The granule, with ``latitude``, ``longitude`` and ``time``.

        Returns
        -------
        xarray.Dataset
            ``surface_precip`` (scan, pixel) in mm/h, NaN where nothing is known, and what else
            there is of probability, flag and surface.

        Raises
        ------
        InputError
            If no file overlaps the granule in time.
        """
        if self.is_truth:
            return open_truth(granule)
        first, last = _ends(swath[TIME].values)
        near = [p for p, a, b, _ in self._spans if a - MARGIN <= last and first - MARGIN <= b]
        if not near:
            raise InputError(
                f"{granule.name}: none of {', '.join(self.names)} overlaps it in time; give files "
                "of the same orbit"
            )
        parts = [_on_pixels(path, swath) for path in near]
        out = parts[0]
        for part in parts[1:]:
            out = out.combine_first(part)
        return out


def product_label(attrs: dict[str, object]) -> str:
    """Name a product for people by its attributes: GPROF for every 2A GPROF."""
    product = str(attrs.get("product", "")) or "reference"
    name = "GPROF" if "GPROF" in product else product
    return " ".join(str(w) for w in (name, attrs.get("product_version", "")) if w)


def _span(path: Path) -> tuple[Path, np.datetime64, np.datetime64, str]:
    from xrain.io.open import open_reference

    with open_reference(path) as ds:
        return path, *_ends(ds[TIME].values), product_label(dict(ds.attrs))


def _ends(time: NDArray[Any]) -> tuple[np.datetime64, np.datetime64]:
    known = time[~np.isnat(time)]
    if not known.size:
        return np.datetime64("NaT", "ns"), np.datetime64("NaT", "ns")
    return known.min(), known.max()


def _on_pixels(path: Path, swath: xr.Dataset) -> xr.Dataset:
    """Read a product and bring it onto the pixels of a swath, as it lies if it has them.

    Pixels that the product itself calls bad count as unknown.
    """
    from xrain.io.open import open_reference

    with open_reference(path) as ds:
        ds = ds.assign({SURFACE_PRECIP: good_rate(ds, SURFACE_PRECIP)})
        found = ds[[n for n in KEPT if n in ds]]
        if dict(found.sizes) == {d: swath.sizes[d] for d in (SCAN, PIXEL)}:
            here = found.transpose(SCAN, PIXEL, ...).load()
            if not positions_differ(swath, here, (SCAN, PIXEL)):
                return here.drop_vars([c for c in here.coords if c not in (LATITUDE, LONGITUDE)])
        return _matched(ds, swath)


def _matched(product: xr.Dataset, swath: xr.Dataset) -> xr.Dataset:
    """Average a radar or a grid over footprints, or take another radiometer's nearest pixels.

    All is NaN where the two do not meet.
    """
    place = swath[[LATITUDE, LONGITUDE]].reset_coords().set_coords([LATITUDE, LONGITUDE])
    try:
        found = match_reference(swath, product)
    except NoOverlapError:
        nothing = np.full((swath.sizes[SCAN], swath.sizes[PIXEL]), np.nan, np.float32)
        return place.assign({SURFACE_PRECIP: ((SCAN, PIXEL), nothing)})
    if REFERENCE_FRACTION in found:
        found = found.where(found[REFERENCE_FRACTION] >= COVERED)
    names = {REFERENCE_PRECIP: SURFACE_PRECIP, REFERENCE_PROBABILITY: PROBABILITY_OF_PRECIP}
    return place.assign({ours: found[theirs].variable for theirs, ours in names.items()
                         if theirs in found})  # fmt: skip
