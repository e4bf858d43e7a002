"""Make the picture of the README and of the landing page from the packaged demo granule.

    python tools/make_picture.py docs/_static/rain.png

To be run again whenever the granule or the default weights change.
"""

from __future__ import annotations

import sys

import matplotlib as mpl

mpl.use("Agg")

from xrain import open_l1c, retrieve
from xrain.demo import demo_granule
from xrain.plotting import plot_rain


def main(path: str) -> None:
    """Retrieve the demo granule's rain and draw it with its uncertainty."""
    with open_l1c(demo_granule()) as granule:
        figure = plot_rain(retrieve(granule), panels=True)
    figure.savefig(path, dpi=110, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(sys.argv[1])
