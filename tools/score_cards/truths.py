"""Real pixels beside what is known of their rain, and the parts that are kept apart."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import EVENT_RATE
from xrain.evaluation.matchups import model_inputs
from xrain.evaluation.pixels import Pixels
from xrain.evaluation.transects import transect_table
from xrain.geo.surfaces import dataset_surfaces
from xrain.io.matchups import matched_days, open_matchups
from xrain.io.transects import open_transects, smooth_along_track
from xrain.training.matched_pixels import kept_apart as part_of
from xrain.training.observed import BLOCK_OF_OVERPASSES, FREEZING
from xrain.training.recipes import RECIPES

PARTS = 4
Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Truth:
    """Real pixels with all channels, beside what is known of their rain.

    ``units`` stay together when pixels are kept apart, ``groups`` when intervals are drawn.
    """

    source: str
    table: xr.Dataset
    rate: NDArray[np.float64] | None
    event: NDArray[np.float64] | None
    units: NDArray[np.int64]
    groups: NDArray[np.int64]
    surfaces: dict[str, Mask]
    smooth: NDArray[np.float64] | None = None

    @property
    def tb(self) -> NDArray[np.float32]:
        """Brightness temperatures, (pixel, channel)."""
        return np.asarray(self.table["tb"].values, np.float32)

    @property
    def given_rain(self) -> bool:
        """Whether it rains in all pixels."""
        return self.event is None

    @property
    def prior(self) -> float | None:
        """Frequency of rain where a table has more of it than nature."""
        return float(self.event.mean()) if self.rate is None and self.event is not None else None

    def parts(self) -> list[Mask]:
        """Parts of the pixels that are kept apart one after the other."""
        return [part_of(self.units, k, PARTS) for k in range(PARTS)]

    def pixels(self, chosen: Mask, **estimates: Any) -> Pixels:
        """Put estimates of some pixels beside their truth."""
        pick = functools.partial(_picked, chosen)
        return Pixels(
            **estimates,
            rate=pick(self.rate),
            event=pick(self.event),
            groups=self.groups[chosen],
            surfaces={k: v[chosen] for k, v in self.surfaces.items()},
            smooth_rate=pick(self.smooth),
        )


def _picked(chosen: Mask, values: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if values is None else values[chosen]


def read_truths(data: Path) -> dict[str, Truth]:
    """Read transects, rates beside the radar, and phases beside the radar."""
    recipe = RECIPES["brain"]
    found = {"transects": _transects(data / recipe.transects[0])}
    for path in (data / name for name in recipe.tables):
        ds = open_matchups(path)
        kind = "rates" if "surface_precip" in ds else "phases"
        if kind not in found and np.median(ds["t2m"].values[np.isfinite(ds["t2m"])]) > FREEZING:
            found[kind] = _matched(ds, path.name)
    return found


def _transects(path: Path) -> Truth:
    ds = open_transects(path)
    rate = ds["surface_precip"].values.astype(float)
    overpass = ds["overpass"].values.astype(np.int64)
    smooth = smooth_along_track(rate, overpass)
    whole = np.isfinite(ds["tb"].values).all(axis=1) & np.isfinite(rate)
    kept = ds.isel(scan=whole)
    rate, blocks = rate[whole], overpass[whole] // BLOCK_OF_OVERPASSES
    event = (rate >= EVENT_RATE).astype(float)
    return Truth(path.name, transect_table(kept), rate, event, blocks, blocks,
                 dataset_surfaces(kept), smooth[whole])  # fmt: skip


def _matched(ds: xr.Dataset, name: str) -> Truth:
    """Pixels of a table as a network learns from them: complete ones, by day."""
    ds = ds.isel(sample=np.isfinite(ds["tb"].transpose("sample", "channel").values).all(axis=1))
    days = matched_days(ds)
    rate = event = None
    if "surface_precip" in ds:
        rate = ds["surface_precip"].values.astype(float)
    else:
        event = (ds["phase"].values >= 1).astype(float)
    return Truth(name, model_inputs(ds), rate, event, days, days, dataset_surfaces(ds))
