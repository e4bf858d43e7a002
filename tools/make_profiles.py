"""Make the library of real vertical profiles of precipitation, from columns beside transects.

    python tools/make_profiles.py ../shared/data/transects/gmi_corra_conus.nc [--all]

Each column of 2B CORRA (NASA) gives the content and mass-weighted diameter of its precipitation
and its cloud water, on levels between the surface and 0 °C and on levels above 0 °C, with the
surface rate, the freezing level, whether it is convective, and whether it lies over land. Values
are stored as bytes. Without ``--all`` every third block of overpasses is left out, so that
figures can be measured on it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.simulate.profiles import (
    ABOVE,
    BELOW,
    LEVELS,
    RATES,
    TABLE,
    decode,
    encode_content,
    encode_diameter,
)
from xrain.training.matched_pixels import kept_apart
from xrain.training.observed import BLOCK_OF_OVERPASSES

Array = NDArray[np.float64]
BIN = 0.25  # km
FREEZING = 273.15
GROUPS, DEPTHS = 16, 3
"""Candidates of a node: groups in the order of their ice, and columns of a group by depth."""
APART = {"rate": 0.3, "level": 0.6, "land": 0.8, "kind": 0.35}
"""Distances that count as one, in ln(rate), km, surface and kind of rain."""


def freezing_bins(data: xr.Dataset) -> Array:
    """Bin, with fraction, of the highest 0 °C; the surface's where it is colder throughout."""
    temperature, nodes = data["air_temperature"].values, data["environment_bins"].values
    surface = data["surface_bin"].values.astype(float)
    out = surface.copy()
    for i, (t, b) in enumerate(zip(temperature, nodes, strict=True)):
        warm = np.flatnonzero(t >= FREEZING)
        if warm.size and warm[0] > 0:
            k = warm[0]
            share = (FREEZING - t[k - 1]) / (t[k] - t[k - 1])
            out[i] = b[k - 1] + share * (b[k] - b[k - 1])
    return np.minimum(out, surface)


def to_surface(values: Array) -> Array:
    """Carry the lowest known value down through the clutter."""
    known = np.isfinite(values)
    last = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    lowest = np.take_along_axis(values, last[:, None], 1)
    below = np.arange(values.shape[1]) > last[:, None]
    return np.nan_to_num(np.where(below, lowest, values))


def at_bins(values: Array, bins: Array, half: float) -> Array:
    """Mean of each column's values within `half` bins of places given in bins."""
    edge = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)

    def integral(x: Array) -> Array:
        x = x.clip(0.0, values.shape[1])
        low = np.minimum(x.astype(int), values.shape[1] - 1)
        first = np.take_along_axis(edge, low, 1)
        return np.asarray(first + (x - low) * np.take_along_axis(values, low, 1))

    upper, lower = bins + 0.5 - half, bins + 0.5 + half
    return (integral(lower) - integral(upper)) / (2.0 * half)


def library(data: xr.Dataset, chosen: NDArray[np.bool_]) -> dict[str, NDArray[np.generic]]:
    """Arrays of the table."""
    surface = data["surface_bin"].values.astype(float)
    freezing = freezing_bins(data)
    below = surface[:, None] - (surface - freezing)[:, None] * np.asarray(BELOW)
    above = freezing[:, None] - np.asarray(ABOVE) / BIN
    content, cloud = (
        to_surface(data[n].values.astype(float)) for n in ("water_content", "cloud_water")
    )
    diameter = to_surface(data["mass_diameter"].values.astype(float))
    moment = content * diameter
    out: dict[str, NDArray[np.generic]] = {}
    for part, bins in (("below", below), ("above", above)):
        mean = at_bins(content, bins, 0.5 if part == "below" else 1.0)
        size = at_bins(moment, bins, 0.5 if part == "below" else 1.0) / mean.clip(1e-6)
        out[f"{part}_content"] = encode_content(mean)
        out[f"{part}_diameter"] = encode_diameter(size)
        out[f"{part}_cloud"] = encode_content(at_bins(cloud, bins, 1.0))
    scan = data["column_scan"].values
    out["rate"] = data["surface_precip"].values[scan].astype(np.float32)
    out["freezing_level"] = ((surface - freezing) * BIN).clip(0.0).astype(np.float16)
    out["convective"] = data["precip_type"].values == 2
    out["land"] = data["surface_type"].values[scan] >= 100
    kept = {k: v[chosen] for k, v in out.items()}
    candidates, share = nearest(kept, decode(kept, "above"))
    return kept | {"candidates": candidates.astype(np.int16), "share": share.astype(np.float16)}


def nearest(
    facts: dict[str, NDArray[np.generic]], above: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Columns nearest to every node, ordered, and the share of convective ones near it."""
    ice, top = ice_path(above), top_height(above)
    # Without rain at the ground the rate lies far below the lowest node, which is theirs alone.
    logarithm = np.where(facts["rate"] > 0, np.log(np.maximum(facts["rate"], 0.02)), RATES[0] - 9.0)
    rates = np.concatenate([[RATES[0] - 9.0], RATES[1:]])
    place = np.stack([logarithm / APART["rate"], facts["freezing_level"] / APART["level"]])
    nodes = [(land, kind) for land in (0, 1) for kind in (0, 1)]
    count = GROUPS * DEPTHS
    candidates = np.empty((2, 2, LEVELS.size, RATES.size, GROUPS, DEPTHS), np.int64)
    share = np.empty((2, LEVELS.size, RATES.size), np.float32)
    convective = facts["convective"].astype(float)
    for i, level in enumerate(LEVELS):
        for j, rate in enumerate(rates):
            gap = (place[0] - rate / APART["rate"]) ** 2 + (place[1] - level / APART["level"]) ** 2
            for land, kind in nodes:
                other = (facts["land"] != land) / APART["land"] ** 2
                if not kind:
                    share[land, i, j] = convective[np.argpartition(gap + other, 80)[:80]].mean()
                wrong = (convective != kind) / APART["kind"] ** 2
                chosen = np.argpartition(gap + other + wrong, count)[:count]
                candidates[land, kind, i, j] = ordered(chosen, ice, top)
    return candidates, share


def ordered(chosen: NDArray[np.intp], ice: Array, top: Array) -> NDArray[np.intp]:
    """Put groups of columns in the order of their ice, and each in the order of its depth."""
    groups = chosen[np.argsort(ice[chosen], kind="stable")].reshape(GROUPS, DEPTHS)
    order = np.argsort(top[groups], axis=1, kind="stable")
    return np.take_along_axis(groups, order, 1)


def ice_path(above: NDArray[np.float32]) -> Array:
    """Ice in kg m-2."""
    return np.asarray(above[0].sum(1) * (ABOVE[1] - ABOVE[0]), np.float64)


def top_height(above: NDArray[np.float32]) -> Array:
    """Height in km above 0 °C under which 90 % of the ice lies."""
    heights = np.asarray(ABOVE)
    share = np.cumsum(above[0], axis=1) / above[0].sum(1, keepdims=True).clip(1e-9)
    return np.asarray(heights[np.argmax(share >= 0.9, axis=1)], np.float64)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    data = xr.load_dataset(options.file)
    overpass = data["overpass"].values[data["column_scan"].values]
    apart = kept_apart((overpass - 1) // BLOCK_OF_OVERPASSES, 2, 3)
    arrays = library(data, np.ones_like(apart) if options.all else ~apart)
    target = Path(__file__).parents[1] / "xrain" / "simulate" / "tables" / TABLE
    np.savez_compressed(target, **arrays)
    print(f"{len(arrays['rate'])} profiles, {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
