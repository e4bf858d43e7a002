"""
A first swath
=============

A granule of GMI goes in, a map of rain with its uncertainty comes out. The
granule is simulated, so that this page needs no download and the true rain is
known; a granule from the archive is opened in just the same way.
"""

# %%
# A granule
# ---------
# The simulator flies GMI over a storm and writes what it would have seen, in
# the layout of the archive. The true rain lies beside it.

# sphinx_gallery_thumbnail_number = 5
import tempfile
from pathlib import Path

import xarray as xr

from xrain.io.truth import truth_path
from xrain.simulate.granule import simulate_granule

folder = Path(tempfile.mkdtemp())
path = simulate_granule(
    "gmi", folder / "granule.HDF5", seed=1, place=(33.0, 131.0), scans=180
)

# %%
# Open it
# -------
# Every channel of every swath group lies on one grid. ``engine="gpm-l1c"`` is
# needed: without it xarray takes another engine, which shows the empty root of
# the file.

ds = xr.open_dataset(path, engine="gpm-l1c", chunks={})
ds

# %%
# What is known of the instrument:

print(ds.rain.sensor.long_name)
print(*(channel.name for channel in ds.rain.channels))

# %%
# Look at it
# ----------
# Rain over the sea is warm at 18 and 37 GHz, where drops emit, and cold at 89
# and 183 GHz, where ice scatters. Land is warm at all of them, so only the ice
# shows there.

from xrain.plotting import plot_rain, plot_side_by_side, plot_tb

figure = plot_tb(ds, ["18.7H", "36.64H", "89.0H", "183.31+-7V"])

# %%
# Retrieve
# --------
# The model is chosen by the sensor. Since the granule was opened in chunks,
# nothing is computed before it is needed.

rain = ds.rain.retrieve()
rain

# %%
# The rain and what is known of it
# --------------------------------
# From left to right: the mean of all rates that are possible given the
# observation, the probability that it rains, and the width of the interval
# between the 5 % and 95 % quantiles.

figure = rain.rain.plot(panels=True)

# %%
# Was it right?
# -------------
# Here the truth is known: the rain that was put in, averaged over the
# footprint of the 37 GHz channel.
truth = xr.open_dataset(truth_path(path))
figure = plot_side_by_side({"true": truth, "retrieved": rain.compute()})

# %%
# The mean is smoother than the truth. Pixel by pixel:

import matplotlib.pyplot as plt
import numpy as np

pairs = xr.Dataset(
    {"true": truth.surface_precip, "retrieved": rain.surface_precip}
).compute()
pairs = pairs.where(truth.observed_fraction > 0.9)
x, y = (
    np.clip(pairs[name].values.ravel(), 0.02, None)
    for name in ("true", "retrieved")
)

figure, ax = plt.subplots(figsize=(5.5, 4.6), layout="constrained")
edges = np.geomspace(0.02, 60, 60)
count, *_ = np.histogram2d(x, y, bins=(edges, edges))
mesh = ax.pcolormesh(
    edges,
    edges,
    np.log10(np.where(count > 0, count, np.nan)).T,
    cmap="cividis",
)
ax.plot(edges, edges, color="0.4", linewidth=0.8)
ax.set(
    xscale="log",
    yscale="log",
    xlabel="true rain (mm/h)",
    ylabel="retrieved mean (mm/h)",
)
ax.set_title(f"correlation {xr.corr(pairs.true, pairs.retrieved):.2f}")
figure.colorbar(mesh, label="pixels (logarithm)")

# %%
# How often does the truth lie within the 5–95 % interval? Ninety percent of
# the time, if the interval is honest.

low, high = (
    rain.surface_precip_quantile.sel(quantile=q).compute()
    for q in (0.05, 0.95)
)
inside = (truth.surface_precip >= low) & (truth.surface_precip <= high)
wet = truth.surface_precip > 0.1
shares = [float(part.mean()) for part in (inside, inside.where(wet))]
print(
    "inside: {:.1%} of all pixels, {:.1%} of the raining ones".format(*shares)
)

# %%
# All scores at once, by surface and by rate, as
# :func:`xrain.evaluation.evaluate.evaluate` defines them:

scores = rain.rain.evaluate(truth)
for name in ("correlation", "rmse", "auc", "crps"):
    print(f"{name:12}{float(scores[name].sel(stratum='all')):5.2f}")

# %%
# Such scores say how well the simulation has been inverted, not how good the
# retrieval is on real data: see :doc:`/limits`.
#
# Keep it
# -------
# As CF netCDF, and on a map grid.

import xrain

xrain.write_rain(rain, folder / "granule.rain.nc")
grid = rain.rain.resample("0.1deg")
figure = plot_rain(grid, title="on a grid of 0.1 degrees")

# %%
# Only a part of it, with :func:`xrain.plot`, which draws whatever it is given:

figure = xrain.plot(rain.rain.crop((129, 135, 31, 36)), borders=False)
