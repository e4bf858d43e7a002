"""
Real weather
============

A quarter of an hour of MHS on MetOp-B, from Hudson Bay to the Caribbean. The
observations may not be passed on with the package; where they are at hand
this page is computed from them, elsewhere it shows the stored picture of the
same steps.
"""

# %%
# Observations
# ------------
# Any dataset with ``tb`` in kelvin, channel names and positions will do; this
# one was decoded from a BUFR message as weather services exchange them. It has
# ``tb(scan, pixel, channel)`` and the attribute ``sensor``.

# sphinx_gallery_thumbnail_path = '_static/real_mhs_rain.png'
import os
from pathlib import Path

import matplotlib.pyplot as plt
import xarray as xr

import xrain
from xrain.plotting import plot_rain, plot_tb

data = Path(os.environ.get("XRAIN_TEST_DATA", "real-data"))
file = data / "swaths" / "mhs_metopb_20201012T15.nc"


def show_stored(name):
    """Show the picture that was made where the observations are."""
    picture = plt.imread(Path("..", "docs", "_static", name))
    height, width = picture.shape[:2]
    figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
    figure.add_axes((0, 0, 1, 1)).imshow(picture)
    figure.axes[0].set_axis_off()


# %%
# Rain
# ----
# On the left what the radiometer measured at 89 GHz: the sea is cold, land is
# warm, and clouds over the sea are warmer than the sea. Rain bands lie off the
# coast of New England, where ice aloft makes them cold again. Then the mean of
# what is possible, and the probability of rain.

if file.is_file():
    ds = xr.open_dataset(file).set_coords(["latitude", "longitude"])
    print(*ds.rain.check(), sep="\n")
    rain = xrain.retrieve(ds).load()
    plot_tb(ds, "89.0QV")
    plot_rain(rain)
    plot_rain(rain, variable="probability_of_precip")
else:
    show_stored("real_mhs.png")

# %%
# What to distrust: there is no radar beside this swath, so nobody knows how
# good these numbers are. The gaps are scans that are missing in the message.
# In the north-west, snow and cold ground look like rain. The temperatures of a
# weather model (:func:`xrain.add_ancillary`) would tell snow apart better. The
# pixels at the edge of the scan are three times as wide as those in the
# middle. The network has seen this swath in training, without any rain as a
# label: it learned there that neighbours must not change the amount of rain.
#
# A cyclone in two channels
# -------------------------
# SSMIS at 91 GHz over the tropical cyclone Damien as it reaches Western
# Australia. Only two of its 24 channels are at hand. The network sees the eye
# and the bands, but with so little to go on it says 1 mm/h where a cyclone of
# hurricane force surely has ten times as much, at a probability near 0.3.

show_stored("real_cyclone.png")

# %%
# Sources: MHS, EUMETSAT, as distributed with the test data of the Joint Center
# for Satellite Data Assimilation; SSMIS, as distributed with the cyclone
# tracker ARCHER of the University of Wisconsin. The script that makes the
# stored pictures is ``tools/make_real_pictures.py``.
