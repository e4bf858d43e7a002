"""Make the pictures of the first tutorial: what its steps draw, smaller.

    python tools/make_tutorial_pictures.py docs/_static

To be run again whenever the simulator or the default weights change.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import xrain
from xrain.plotting import plot_tb


def main(folder: str) -> None:
    """Simulate the tutorial's granule, draw its temperatures and its rain."""
    with tempfile.TemporaryDirectory() as scratch:
        ds = xrain.open_l1c(xrain.simulate_granule("gmi", Path(scratch, "granule.HDF5"), seed=7))
        figures = {
            "tutorial_tb.png": plot_tb(ds, ["18.7H", "36.64H", "89.0H", "183.31+-7V"]),
            "tutorial_rain.png": xrain.plot(ds.rain.retrieve(), panels=True),
        }
        for name, figure in figures.items():
            figure.savefig(Path(folder, name), dpi=70, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(sys.argv[1])
