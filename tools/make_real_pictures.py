"""Make the pictures of real observations that the documentation shows.

    XRAIN_TEST_DATA=/folder/of/real/data python tools/make_real_pictures.py docs/_static

The observations themselves may not be passed on, pictures of them may. To be run again whenever
the default weights change. Sources: MHS on MetOp-B (EUMETSAT), as distributed with the test data of
the Joint Center for Satellite Data Assimilation; SSMIS on DMSP F18, as distributed with the ARCHER
cyclone tracker of the University of Wisconsin.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr

mpl.use("Agg")

from xrain import retrieve
from xrain.plotting import plot_rain
from xrain.plotting.figures import draw_figure
from xrain.plotting.panels import label_title, make_panel, tb_panels

DATENUM_OF_1970 = 719529


def open_mhs(data: Path) -> xr.Dataset:
    """Open a quarter of an hour of MHS on MetOp-B: from Hudson Bay to the Caribbean."""
    with xr.open_dataset(data / "swaths" / "mhs_metopb_20201012T15.nc") as ds:
        return ds.set_coords(["latitude", "longitude"]).load()


def open_cyclone(data: Path) -> xr.Dataset:
    """Open SSMIS at 91 GHz over the cyclone Damien as it reaches Western Australia."""
    scene = np.load(data / "tc_scenes" / "archer_20200208T094041_ssmis18.npz")
    days = (scene["time_datenum"] - DATENUM_OF_1970) * 86_400e9
    tb = np.stack([scene["tbv"], scene["tbh"]], -1)
    place = {"latitude": scene["lat"], "longitude": scene["lon"]}
    return xr.Dataset(
        {"tb": (("scan", "pixel", "channel"), tb, {"units": "K"})},
        {name: (("scan", "pixel"), values) for name, values in place.items()}
        | {
            "channel": ["91.655V", "91.655H"],
            "time": ("scan", np.datetime64(0, "ns") + days.astype("timedelta64[ns]")),
        },
        {"sensor": "SSMIS", "platform": "F18"},
    )


def draw(ds: xr.Dataset, channel: str, title: str, extent: Any) -> Any:
    """Draw a channel, the rain and its probability side by side."""
    rain = retrieve(ds).load()
    names = ("surface_precip", "probability_of_precip")
    made = [make_panel(rain, name, None) for name in names]
    words = [label_title(panel.values) for panel in made]
    panels = [type(p)(p.values, w) for p, w in zip(made, words, strict=True)]
    return draw_figure([*tb_panels(ds, channel), *panels], title, extent=extent)


def draw_thumbnail(ds: xr.Dataset) -> Any:
    """Draw the rain alone, small and without words."""
    return plot_rain(retrieve(ds).load(), legend=False, title="", extent=(-85, -55, 28, 52))


def main(folder: str) -> None:
    """Write every picture into a folder."""
    data = Path(os.environ["XRAIN_TEST_DATA"])
    pictures = {
        "real_mhs.png": draw(
            open_mhs(data), "89.0QV", "Observed: MHS on MetOp-B, 2020-10-12 15:00–15:13 UTC", None
        ),
        "real_cyclone.png": draw(
            open_cyclone(data),
            "91.655H",
            "Observed: SSMIS on DMSP F18, 2020-02-08 09:40 UTC, cyclone Damien",
            (108.0, 126.0, -31.0, -15.0),
        ),
        "real_mhs_rain.png": draw_thumbnail(open_mhs(data)),
    }
    for name, figure in pictures.items():
        figure.savefig(Path(folder, name), dpi=100, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(sys.argv[1])
