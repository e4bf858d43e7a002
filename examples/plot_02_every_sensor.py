"""
Every sensor, the same storm
============================

Ten instruments look at one storm, each with its own channels, footprints and
scan. One network serves them all. What a radiometer can say about rain depends
on what it can see of it.
"""

# %%
# One storm
# ---------
# A field of rain on a grid of about 4 km. Any rain rate on a grid would do: a
# radar composite, for instance.

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

import xrain
from xrain.plotting import plot_rain, plot_side_by_side
from xrain.simulate.granule import simulate_granule, truth_path
from xrain.simulate.rain import StormParameters, stochastic_rain

drawn = StormParameters.draw(np.random.default_rng(1), warmth=0.5)
drawn = dataclasses.replace(drawn, wet_fraction=0.22, outer_scale=500.0)
grid = stochastic_rain((240, 260), (4.0, 4.0), seed=1, parameters=drawn)
storm = xr.DataArray(
    grid.rate,
    {
        "latitude": 6 + 0.036 * np.arange(240),
        "longitude": 129 + 0.038 * np.arange(260),
    },
    ("latitude", "longitude"),
    "rain_rate",
    {"units": "mm h-1"},
)
extent = (129.0, 138.9, 6.0, 14.6)
figure = plot_rain(
    storm.to_dataset(), variable="rain_rate", extent=extent, title="The storm"
)

# %%
# Ten granules
# ------------

# sphinx_gallery_thumbnail_number = 2
folder = Path(tempfile.mkdtemp())
granules = {
    name: simulate_granule(name, folder / f"{name}.HDF5", rain=storm, seed=3)
    for name in xrain.list_sensors()
}

# %%
# Ten retrievals
# --------------

rain = {
    name: xr.open_dataset(path, engine="gpm-l1c").rain.retrieve()
    for name, path in granules.items()
}
figure = plot_side_by_side(
    rain, extent=extent, borders=False, title="Retrieved rain"
)

# %%
# AMSR2 has the largest antenna and sees most detail. The sounders – AMSU-B,
# MHS, ATMS, SAPHIR – see mostly ice: no signal, no rain. SSM/I has wide
# footprints and no channel above 85 GHz.
#
# How sure is each of them?
# -------------------------
# The width of the interval tells.

figure = plot_side_by_side(
    rain,
    variable="interval",
    extent=extent,
    borders=False,
    title="Width of the 5–95 % interval",
)

# %%
# Against the truth
# -----------------
# The truth differs from sensor to sensor, since it is averaged over the
# sensor's own footprint.


def scores(name):
    """Correlation, bias and width, where the footprint was observed."""
    truth = xr.open_dataset(truth_path(granules[name]))
    seen = truth.observed_fraction > 0.9
    true = truth.surface_precip.where(seen)
    mean = rain[name].surface_precip.where(seen)
    quantiles = rain[name].surface_precip_quantile.where(seen)
    width = quantiles.isel(quantile=-1) - quantiles.isel(quantile=0)
    return (
        float(xr.corr(true, mean)),
        float((mean - true).mean()),
        float(width.mean()),
    )


print(f"{'sensor':8}{'correlation':>12}{'bias':>8}{'width':>8}   (mm/h)")
for name in rain:
    correlation, bias, width = scores(name)
    print(f"{name:8}{correlation:12.2f}{bias:8.2f}{width:8.2f}")

# %%
# These are scores on simulated scenes, where the truth obeys the same physics
# as the training: see :doc:`/limits`.
