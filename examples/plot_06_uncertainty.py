"""
How sure is it?
===============

A rain rate from a radiometer is a guess, and xrain says how good a guess. This
page shows how to read the probability, the interval and the flags, and how to
check them where the truth is known.
"""

# %%
# A storm at a coast
# ------------------
# A simulated pass of GMI, with the rain that was put in beside it.

# sphinx_gallery_thumbnail_number = 3
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from xrain.io.truth import truth_path
from xrain.plotting import plot_rain, plot_side_by_side
from xrain.simulate.granule import simulate_granule

folder = Path(tempfile.mkdtemp())
path = simulate_granule(
    "gmi", folder / "granule.HDF5", seed=8, place=(21.0, 90.5), scans=170
)
levels = (0.05, 0.25, 0.5, 0.75, 0.95)
rain = xr.open_dataset(path, engine="gpm-l1c").rain.retrieve(quantiles=levels)
truth = xr.open_dataset(truth_path(path))

# %%
# Three maps of one thing
# -----------------------
# The mean is what one expects on average. The probability says whether it
# rains at all. The interval says how far off the mean may be: nine times out
# of ten the rain lies within it.

figure = plot_rain(rain, panels=True)

# %%
# A low and a high guess
# ----------------------
# Quantiles are rates too. Somebody who must not miss a flood looks at the high
# one; somebody who must not raise a false alarm looks at the low one.

cases = {
    "5 % quantile": rain.surface_precip_quantile.sel(quantile=0.05),
    "mean": rain.surface_precip,
    "95 % quantile": rain.surface_precip_quantile.sel(quantile=0.95),
    "true": truth.surface_precip,
}
figure = plot_side_by_side(
    {
        name: values.drop_vars("quantile", errors="ignore").to_dataset(
            name="surface_precip"
        )
        for name, values in cases.items()
    },
    borders=False,
)

# %%
# Along one scan
# --------------
# The scan with the most rain, from its left to its right end.

scan = int(np.argmax(truth.surface_precip.mean("pixel").values))
line = rain.isel(scan=scan)
figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
for low, high, shade in ((0.05, 0.95, "#c5ede9"), (0.25, 0.75, "#5abdd2")):
    ax.fill_between(
        np.arange(line.sizes["pixel"]),
        line.surface_precip_quantile.sel(quantile=low),
        line.surface_precip_quantile.sel(quantile=high),
        color=shade,
        label=f"{100 * low:.0f}–{100 * high:.0f} % interval",
    )
ax.plot(line.surface_precip.values, color="#0f85c4", label="mean")
ax.plot(
    truth.surface_precip.isel(scan=scan).values,
    color="black",
    linewidth=1,
    label="true",
)
ax.set(xlabel="pixel", ylabel="mm/h", xlim=(0, line.sizes["pixel"] - 1))
ax.set_ylim(bottom=0)
figure.legend(loc="outside upper center", ncols=4)

# %%
# Does it rain as often as it says?
# ---------------------------------
# Take all pixels to which about the same probability was given. If it is
# honest, it rains in that share of them.

seen = truth.observed_fraction > 0.9
given = rain.probability_of_precip.where(seen).values.ravel()
rains = (truth.surface_precip >= 0.1).values.ravel()[np.isfinite(given)]
given = given[np.isfinite(given)]
classes = np.minimum((given * 10).astype(int), 9)
count = np.bincount(classes, minlength=10)
share = np.bincount(classes, rains, minlength=10) / np.maximum(count, 1)
middle = np.bincount(classes, given, minlength=10) / np.maximum(count, 1)

figure, (left, right) = plt.subplots(
    1, 2, figsize=(8.5, 3.6), layout="constrained"
)
left.plot([0, 1], [0, 1], color="0.5", linewidth=0.8)
left.scatter(
    middle[count > 20],
    share[count > 20],
    s=12 + 60 * np.sqrt(count / count.max())[count > 20],
    color="#61479f",
)
left.set(
    xlabel="probability given",
    ylabel="share of pixels with rain",
    xlim=(-0.03, 1.03),
    ylim=(-0.03, 1.03),
)

# The same for the quantiles: the truth should lie below the 25 % quantile a
# quarter of the time. Dry pixels tell nothing, since zero is on all of them.

wet = seen & (rain.probability_of_precip > 0.9)
below = [
    float(
        (
            truth.surface_precip
            <= rain.surface_precip_quantile.sel(quantile=level)
        )
        .where(wet)
        .mean()
    )
    for level in levels
]
right.plot([0, 1], [0, 1], color="0.5", linewidth=0.8)
right.plot(levels, below, "o-", color="#0f85c4")
right.set(
    xlabel="quantile",
    ylabel="share of truth below it,\nwhere rain is almost certain",
    xlim=(0, 1),
    ylim=(0, 1),
)

# %%
# Points on the line mean honest figures; above it on the right, the retrieval
# gives too much rain. One scene is one draw: scores over many are on the cards
# (``xrain models show gmi-unet``), and
# :func:`xrain.evaluation.evaluate.evaluate` gives them for any retrieval and
# reference, by surface and rate. And the scene obeys the physics that the
# network was trained on. Nature does not quite: see :doc:`/limits`.
#
# Look at the flags
# -----------------
# An interval is honest only for input like that of the training. Where it is
# not, a flag says so. Here a strip of the 18.7 GHz channel suffers from radio
# interference, and one channel has lost some scans.

spoilt = xr.open_dataset(path, engine="gpm-l1c").load()
spoilt.tb[40:60, 80:150, 2] += 45.0
spoilt.tb[100:108, :, 6] = np.nan
flagged = spoilt.rain.retrieve()
figure = plot_rain(flagged, variable="retrieval_quality", borders=False)
