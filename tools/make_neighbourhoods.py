"""Make the table of real rain around a radar pixel, from fields of rain rate.

    python tools/make_neighbourhoods.py ../shared/data/radar/*.nc

For places whose mean over 5 km rains, it stores that mean and the rates at sixteen points around
it, four within the 5 km box and four on each of three rings, as seen at the field's own
resolution of 1-2 km. Isolated pixels above 20 mm/h among dry ones are taken for spikes and left
out. Data: MRMS (NOAA) and OPERA (EUMETNET).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.simulate.neighbourhood import BOX, RINGS, TABLE

Array = NDArray[np.float64]
BINS = np.geomspace(0.05, 60.0, 13)
PER_BIN = 130  # per field and bin of rate


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


def offsets(rng: np.random.Generator, count: int) -> Array:
    """Random positions in km of the sixteen points, (count, 16, 2)."""
    box = rng.uniform(-0.5 * BOX, 0.5 * BOX, (count, 4, 2))
    turn = rng.uniform(0, 2 * np.pi, (count, len(RINGS), 1)) + np.arange(4) * np.pi / 2
    radius = np.array([r for r, _, _ in RINGS])[:, None]
    ring = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=-1)
    return np.concatenate([box, ring.reshape(count, -1, 2)], axis=1)


def sample(rate: Array, dy: float, dx: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Centre rates and the points around them, for places spread evenly over rates."""
    rate = despike(rate)
    mean = box_mean(rate, dy, dx)
    chosen = []
    for low, high in itertools.pairwise(BINS):
        places = np.argwhere((mean >= low) & (mean < high))
        if len(places):
            chosen.append(places[rng.permutation(len(places))[:PER_BIN]])
    centre = np.concatenate(chosen)
    where = centre[:, None] + offsets(rng, len(centre)) / np.array([dy, dx])
    index = np.rint(where).astype(int)
    inside = ((index >= 0) & (index < rate.shape)).all((1, 2))
    centre, index = centre[inside], index[inside]
    points = rate[index[..., 0], index[..., 1]]
    seen = np.isfinite(points).all(1)
    return mean[centre[seen, 0], centre[seen, 1]], points[seen]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    rng = np.random.default_rng(1)
    parts = [sample(*f, rng) for p in parser.parse_args().files for f in fields(p)]
    centre, points = (np.concatenate(x) for x in zip(*parts, strict=True))
    order = np.argsort(centre)
    target = Path(__file__).parents[1] / "xrain" / "simulate" / "tables" / TABLE
    np.savez_compressed(
        target, centre=centre[order].astype("f4"), points=points[order].astype("f2")
    )
    print(f"{len(centre)} neighbourhoods, {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
