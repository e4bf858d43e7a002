"""
Network, DRAIN, BRAIN: three retrievals of one scene
====================================================

The network of the package, the same network with the four channels of DRAIN,
and Bayesian inversion after BRAIN look at one storm whose rain is known. Which
is better depends on what is asked, so the page asks several things.
"""

# %%
# The storm
# ---------
# Storms of 10 June 2019, as the radar composite MRMS of the United States saw
# them, moved to the sea south of Bermuda, and what GMI would have measured
# above them.

# sphinx_gallery_thumbnail_number = 2
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import xrain
from xrain.demo import demo_radar
from xrain.io.truth import truth_path
from xrain.plotting import plot_side_by_side

storm = xr.open_dataset(demo_radar(), engine="h5netcdf").rain_rate[0].load()
storm = storm.assign_coords(
    latitude=storm.latitude - 8, longitude=storm.longitude + 24
)
folder = Path(tempfile.mkdtemp())
granule = xrain.simulate_granule(
    "gmi", folder / "granule.HDF5", rain=storm, seed=4
)
truth = xr.open_dataset(truth_path(granule))

# %%
# Three retrievals
# ----------------
# A model is chosen by its name. ``gmi-unet`` is a network with all thirteen
# channels. ``gmi-drain`` has those of DRAIN, 36.5 and 89 GHz in both
# polarizations, and is not the published DRAIN, which learned from a hundred
# thousand images of real radar. ``gmi-brain`` searches a database for what
# resembles a pixel, as BRAIN and GPROF (the Goddard Profiling Algorithm) do.

ds = xrain.open_l1c(granule)
names = ["gmi-unet", "gmi-drain", "gmi-brain"]
rain = {name: ds.rain.retrieve(name).load() for name in names}
extent = (-66.5, -53.5, 19.5, 29.5)
figure = plot_side_by_side(
    {"true": truth, **rain}, extent=extent, borders=False
)

# %%
# Scores
# ------
# :func:`xrain.compare` takes the pixels that all of them and the truth have,
# and every score from its one definition. Draws of whole groups of scans would
# give intervals; one scene is too few for them, so they are left out.

found = xrain.compare([granule], names, "truth", bootstrap=0)
wanted = {
    "correlation": "correlation",
    "rmse": "RMSE (mm/h)",
    "relative_bias": "relative bias",
    "pod_flag": "POD",
    "far_flag": "FAR",
    "auc": "AUC",
}
print(f"{'':12}" + "".join(f"{title:>15}" for title in wanted.values()))
for name in names:
    scores = found.scores[name].sel(stratum="all")
    row = "".join(f"{float(scores[score]):15.2f}" for score in wanted)
    print(f"{name:12}{row}")

# %%
# RMSE is the root-mean-square error, POD the probability of detection, FAR the
# false alarm ratio, and AUC the area under the curve of the receiver operating
# characteristic, which does not depend on any threshold.
#
# By rate
# -------
# A correlation hides where rain is lost. The ratio of retrieved to true rain,
# in classes of the true rate, shows it. As a rule a posterior mean gives too
# much where it rains little and too little where it rains hard, the more so
# the less the channels know.

rates = ["0.1-1", "1-5", "5-10", "10-inf"]
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for k, name in enumerate(names):
    scores = found.scores[name].sel(stratum=[f"rate {r}" for r in rates])
    ratio = scores.mean_estimate / scores.mean_reference
    ax.bar(np.arange(4) + 0.27 * (k - 1), ratio, width=0.25, label=name)
ax.axhline(1, color="0.4", linewidth=0.8)
ax.set_xticks(range(4), ["0.1–1", "1–5", "5–10", "above 10"])
ax.set(xlabel="true rain (mm/h)", ylabel="retrieved / true")
figure.legend(loc="outside upper center", ncols=3)

# %%
# How sure are they?
# ------------------
# All three return a distribution. Where the truth lies within the 5–95 %
# interval nine times out of ten, the interval is honest; of two honest ones
# the narrower is better.

true = truth.surface_precip.where(truth.observed_fraction > 0.9)
wet = true > 0.5
for name in names:
    quantiles = rain[name].surface_precip_quantile
    low, high = quantiles.sel(quantile=0.05), quantiles.sel(quantile=0.95)
    inside = ((true >= low) & (true <= high)).where(wet).mean()
    width = (high - low).where(wet).mean()
    print(
        f"{name:12}{float(inside):5.0%} inside, {float(width):5.1f} mm/h wide"
    )

# %%
# And GPROF?
# ----------
# GPROF runs at NASA on what satellites saw, so it has no answer to a simulated
# scene. Where the granule of level 2A lies beside one of level 1C, it takes
# part like a model, with a radar as the reference:
#
# .. code-block:: console
#
#    $ xrain compare 1C.GPM.GMI….HDF5 --models gmi-unet,gmi-brain \
#          --also 2A.GPM.GMI.GPROF….HDF5 --reference 2A.GPM.DPR….HDF5 -o report
#
# In Python, :func:`xrain.open_reference` reads both,
# :func:`xrain.match_reference` brings them onto the pixels of the radiometer,
# and :func:`xrain.evaluation.report.write_comparison` writes the report.
#
# What GPROF scores elsewhere, and real pixels for all models, are on
# :doc:`/quality`. A simulated scene flatters them all: they learned from the
# same simulator. Where BRAIN can win is told on
# :doc:`/explanation/evaluation`.
