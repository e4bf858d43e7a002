"""Make the table of real rain around a radar pixel, from fields of rain rate.

    python tools/make_neighbourhoods.py TRANSECTS.nc ../shared/data/radar/*.nc [--all]

For places whose mean over 5 km rains, it stores that mean and the rates at four points within, as
seen at the field's own resolution of 1-2 km. Isolated pixels above 20 mm/h among dry ones are
taken for spikes and left out. For raining pixels of transects it stores the rates of the three
pixels before and after along the track, over sea and over land. Without ``--all`` every third
block of overpasses is left out, so that figures can be measured on it. Data: MRMS (NOAA), OPERA
(EUMETNET) and 2B CORRA (NASA).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.geo.surfaces import dataset_surfaces
from xrain.io.transects import OVERPASS, SCAN_NUMBER, open_transects
from xrain.simulate.neighbourhood import BOX, RINGS, TABLE
from xrain.training.matched_pixels import kept_apart
from xrain.training.observed import BLOCK_OF_OVERPASSES

Array = NDArray[np.float64]
BINS = np.geomspace(0.05, 60.0, 13)
PER_BIN = 130  # per field and bin of rate
LEAST = 0.05  # mm/h


def fields(path: str) -> list[tuple[Array, float, float]]:
    """Fields of a file with their spacing in km along rows and columns."""
    data = xr.load_dataset(path)
    rate = data["rain_rate"]
    if "latitude" in rate.dims or "lat" in rate.dims:
        name = "latitude" if "latitude" in rate.dims else "lat"
        lat = data[name].values
        dy = abs(float(lat[1] - lat[0])) * 111.2
        dx = dy * float(np.cos(np.deg2rad(lat.mean())))
    else:
        dy = dx = abs(float(data["y"][1] - data["y"][0])) * 1e-3
        dy = dx = dx if dx > 0.1 else dx * 1e3
    return [(np.asarray(f, float), dy, dx) for f in rate.values.reshape(-1, *rate.shape[-2:])]


def despike(rate: Array) -> Array:
    """Blank single pixels above 20 mm/h whose eight neighbours hold less than a tenth of it."""
    out = rate.copy()
    shifted = [np.roll(rate, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    mean = np.nan_to_num(np.stack(shifted).astype("f4")).mean(axis=0)
    out[(rate > 20.0) & (mean < 0.1 * rate)] = np.nan
    return out


def box_mean(rate: Array, dy: float, dx: float) -> Array:
    """Mean over about 5 km × 5 km around each pixel, NaN where any part is unobserved."""
    from scipy.ndimage import uniform_filter

    size = (round(5.0 / dy) | 1, round(5.0 / dx) | 1)
    seen = np.isfinite(rate)
    mean = uniform_filter(np.where(seen, rate, 0.0), size, mode="constant")
    whole = uniform_filter(seen.astype(float), size, mode="constant") > 0.999
    return np.where(whole, mean, np.nan)


def sample(rate: Array, dy: float, dx: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Means over 5 km and four points within, for places spread evenly over rates."""
    rate = despike(rate)
    mean = box_mean(rate, dy, dx)
    chosen = []
    for low, high in itertools.pairwise(BINS):
        places = np.argwhere((mean >= low) & (mean < high))
        if len(places):
            chosen.append(places[rng.permutation(len(places))[:PER_BIN]])
    centre = np.concatenate(chosen)
    box = rng.uniform(-0.5 * BOX, 0.5 * BOX, (len(centre), 4, 2))
    index = np.rint(centre[:, None] + box / np.array([dy, dx])).astype(int)
    inside = ((index >= 0) & (index < rate.shape)).all((1, 2))
    centre, index = centre[inside], index[inside]
    points = rate[index[..., 0], index[..., 1]]
    seen = np.isfinite(points).all(1)
    return mean[centre[seen, 0], centre[seen, 1]], points[seen]


def along_track(path: str, every: bool) -> dict[str, Array]:
    """Raining pixels of transects over sea and land, and those before and after them."""
    data = open_transects(path)
    rate, overpass = data["surface_precip"].values.astype(float), data[OVERPASS].values
    key = overpass.astype(int) * 100_000 + data[SCAN_NUMBER].values.astype(int)
    order = np.argsort(key)
    key, rate = key[order], rate[order]
    steps = np.arange(1, len(RINGS) + 1)[:, None] * np.array([1, -1])
    wanted = key[:, None, None] + steps
    place = np.searchsorted(key, wanted).clip(0, key.size - 1)
    whole = (key[place] == wanted).all((1, 2)) & np.isfinite(rate[place]).all((1, 2))
    apart = kept_apart((overpass[order] - 1) // BLOCK_OF_OVERPASSES, 2, 3)
    usable = whole & (rate >= LEAST) & (every | ~apart)
    surfaces = dataset_surfaces(data)
    out: dict[str, Array] = {}
    for name, surface in (("sea", "ocean"), ("land", "land")):
        chosen = np.flatnonzero(usable & surfaces[surface][order])
        chosen = chosen[np.argsort(rate[chosen])]
        out |= {f"{name}_centre": rate[chosen], f"{name}_rings": rate[place[chosen]]}
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transects")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    parts = [sample(*f, rng) for p in options.files for f in fields(p)]
    centre, points = (np.concatenate(x) for x in zip(*parts, strict=True))
    order = np.argsort(centre)
    arrays = {"box_centre": centre[order], "box": points[order]}
    arrays |= along_track(options.transects, options.all)
    target = Path(__file__).parents[1] / "xrain" / "simulate" / "tables" / TABLE
    stored = {k: v.astype("f4" if v.ndim == 1 else "f2") for k, v in arrays.items()}
    np.savez_compressed(target, **stored)
    print({k: len(v) for k, v in arrays.items()}, f"{target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
