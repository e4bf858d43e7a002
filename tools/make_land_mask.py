"""Make xrain/data/land_fraction.npz from the mask in the PyPI package global-land-mask.

That mask (MIT licence) has 30 arc-seconds and comes from the GLOBE elevation model (NOAA, public
domain). Here it becomes the share of land in cells of 0.1 degrees, in eighths.

    pip download --no-deps global-land-mask && unzip -d glm global_land_mask-*.whl
    python tools/make_land_mask.py glm/global_land_mask/globe_combined_mask_compressed.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

CELLS = 12  # 30 arc-second cells along 0.1 degrees
STEPS = 8
OUT = Path(__file__).resolve().parent.parent / "xrain" / "data" / "land_fraction.npz"


def main(source: str) -> None:
    """Average the mask and write it."""
    with np.load(source) as file:
        land = ~file["mask"]  # true over ocean, north to south, from -180 degrees eastward
        if not file["lat"][0] > file["lat"][-1] or not file["lon"][0] < file["lon"][-1]:
            raise SystemExit(f"{source}: expected latitudes from north, longitudes from west")
    rows, columns = land.shape
    blocks = land.reshape(rows // CELLS, CELLS, columns // CELLS, CELLS)
    share = np.round(blocks.mean(axis=(1, 3), dtype=np.float32) * STEPS).astype(np.uint8)
    np.savez_compressed(OUT, eighths=share)
    print(f"{OUT}: {share.shape}, {OUT.stat().st_size / 1024:.0f} KB, land {share.mean() / 8:.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
