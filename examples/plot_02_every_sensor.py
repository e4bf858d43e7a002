"""
Five radiometers, one storm
===========================

Five instruments look at one storm, each with its own channels, footprints and
scan. One network serves them all. What a radiometer can say about rain depends
on what it can see of it.
"""

# %%
# One storm
# ---------
# A radar field ships with the package: storms of 10 June 2019 as the composite
# MRMS of the United States saw them, averaged to some 4 km. Here it is moved
# from the south-east of the United States to the sea south of Bermuda, where
# rain shows in all channels. Any rain rate on a grid would do.

# sphinx_gallery_thumbnail_number = 1
import tempfile
from pathlib import Path

import xarray as xr

import xrain
from xrain.demo import demo_radar
from xrain.io.truth import truth_path
from xrain.plotting import plot_rain, plot_side_by_side

storm = xr.open_dataset(demo_radar(), engine="h5netcdf").rain_rate[0].load()
storm = storm.assign_coords(
    latitude=storm.latitude - 8, longitude=storm.longitude + 24
)
extent = (-66.5, -53.5, 19.5, 29.5)
figure = plot_rain(
    storm.to_dataset(), variable="rain_rate", extent=extent, title="The storm"
)

# %%
# Five granules
# -------------
# Any name of :func:`xrain.list_sensors` would do. These are three imagers,
# which scan in cones, and two sounders, which scan across the track.

folder = Path(tempfile.mkdtemp())
granules = {
    name: xrain.simulate_granule(
        name, folder / f"{name}.HDF5", rain=storm, seed=3
    )
    for name in ("GMI", "AMSR2", "SSMIS", "ATMS", "MHS")
}

# %%
# Five retrievals
# ---------------
# Beside them the truth, averaged over the footprint of GMI.

rain = {
    name: xr.open_dataset(path, engine="gpm-l1c").rain.retrieve()
    for name, path in granules.items()
}
truth = xr.open_dataset(truth_path(granules["GMI"]))
figure = plot_side_by_side(
    {"true": truth, **rain}, extent=extent, borders=False
)

# %%
# AMSR2 has the largest antenna and resolves most detail. The sounders, ATMS
# (the Advanced Technology Microwave Sounder) and MHS (the Microwave Humidity
# Sounder), respond mostly to the ice above the rain: they show the convective
# cells, but hardly any warm rain without ice.
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
