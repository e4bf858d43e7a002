"""
When channels are lost
======================

Instruments age. Here GMI loses one channel after another; the retrieval goes
on, says what it lacks, and knows less.
"""

# %%
# A granule over the open sea
# ---------------------------

# sphinx_gallery_thumbnail_number = 3
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import xarray as xr

from xrain.io.truth import truth_path
from xrain.plotting import plot_rain, plot_side_by_side
from xrain.simulate.granule import simulate_granule

folder = Path(tempfile.mkdtemp())
path = simulate_granule(
    "gmi", folder / "granule.HDF5", seed=5, place=(14.0, 150.0), scans=120
)
ds = xr.open_dataset(path, engine="gpm-l1c").load()
truth = xr.open_dataset(truth_path(path))

# %%
# Ask before computing
# --------------------
# ``check``, as :func:`xrain.check` too, says what a model misses. Channels may
# be left out altogether, or be NaN.

drain = ds.sel(channel=["36.64V", "36.64H", "89.0V", "89.0H"])
print(*drain.rain.check(), sep="\n")

# %%
# Fewer and fewer
# ---------------

cases = {
    "all 13 channels": ds,
    "without 36.64 GHz": ds.drop_sel(channel=["36.64V", "36.64H"]),
    "36.64 and 89 GHz": drain,
    "183 GHz only": ds.sel(channel=["183.31+-3V", "183.31+-7V"]),
}
rain = {name: case.rain.retrieve() for name, case in cases.items()}
figure = plot_side_by_side(rain, borders=False)

# %%
# The interval, averaged over the pixels where it truly rains, and the error of
# the mean:

wet = truth.surface_precip > 0.5
widths, errors = [], []
for result in rain.values():
    quantiles = result.surface_precip_quantile
    width = quantiles.sel(quantile=0.95) - quantiles.sel(quantile=0.05)
    widths.append(float(width.where(wet).mean()))
    errors.append(
        float(
            abs(result.surface_precip - truth.surface_precip).where(wet).mean()
        )
    )

figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
ax.barh(
    list(rain), widths, color="#92d6db", label="width of the 5–95 % interval"
)
ax.barh(
    list(rain),
    errors,
    height=0.35,
    color="#61479f",
    label="mean absolute error",
)
ax.invert_yaxis()
ax.set_xlabel("mm/h, where it rains more than 0.5 mm/h")
figure.legend(loc="outside upper center", ncols=2)

# %%
# Less information should widen the interval. It does where the signal becomes
# ambiguous. Where it vanishes altogether the network sees nothing to doubt: it
# says dry, with a narrow interval, and is wrong. Look at the probability and
# the flags too, and do not take a narrow interval from a few channels for
# certainty.
#
# A failing line
# --------------
# Single scans may be missing as well. The flags tell where, and the neighbours
# help.

holes = ds.copy(deep=True)
holes.tb[40:44] = float("nan")
holes.tb[70:90, :, 5] = float("nan")
figure = plot_rain(holes.rain.retrieve(), variable="retrieval_quality")
