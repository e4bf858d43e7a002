"""
A Satpy Scene: from a granule to a GeoTIFF
==========================================

In a Scene rain is one more composite, beside the pictures that forecasters
make of the same channels. What follows is Satpy as its users know it: load,
resample, save.
"""

# %%
# A Scene
# -------
# A granule of GMI over Florida, simulated. Files of the archive are opened in
# the same way, one granule or several that follow one another.

# sphinx_gallery_thumbnail_number = 2
import tempfile
from pathlib import Path

from satpy import Scene

from xrain.simulate.granule import simulate_granule

folder = Path(tempfile.mkdtemp())
granule = simulate_granule(
    "gmi", folder, seed=2, scans=240, place=(26.5, -82.0)
)

scn = Scene(filenames=[str(granule)], reader="gpm_l1c")
print(*scn.available_composite_names(), sep="\n")

# %%
# Load
# ----
# The channels lie on two grids; they are brought together before the network
# sees them. Nothing is computed yet, and one retrieval will serve all that is
# loaded.

names = ["surface_precip", "probability_of_precip", "color37", "color89"]
scn.load(names)
scn["surface_precip"]

# %%
# Resample
# --------
# The retrieval looks at neighbouring pixels as the instrument saw them, so
# rain comes first and the map after it. The other way round xrain refuses,
# with an :class:`xrain.XrainError` that says why.

from pyresample import create_area_def

area = create_area_def(
    "florida",
    {"proj": "laea", "lat_0": 27.0, "lon_0": -81.5, "datum": "WGS84"},
    area_extent=(-500e3, -500e3, 500e3, 500e3),
    resolution=2000,
)
local = scn.resample(area, radius_of_influence=15_000)

# %%
# Look
# ----
# Satpy's enhancement of a composite gives the colours: for rain the classes of
# xrain's own maps, for 37 and 89 GHz the recipes of the Naval Research
# Laboratory. In its pictures land is cyan; rain is pink at 37 GHz, and ice
# aloft, which scatters 89 GHz, is red.

import matplotlib.pyplot as plt
from satpy.enhancements.enhancer import get_enhanced_image

from xrain.geo.land import land_fraction

lons, lats = area.get_lonlats()
land = land_fraction(lats, lons)
titles = ["rain", "probability of rain", "37 GHz", "89 GHz"]
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
for ax, name, title in zip(axes.flat, names, titles, strict=True):
    picture, _ = get_enhanced_image(local[name]).finalize()
    ax.set_facecolor("0.85")
    ax.imshow(picture.transpose("y", "x", "bands"))
    ax.contour(land, [0.5], colors="k", linewidths=0.8)
    ax.set(title=title, xticks=[], yticks=[])

# %%
# Save
# ----
# As a GeoTIFF of the values, for a geographic information system: without
# enhancement, as float32.

import numpy as np

tiff = folder / "rain.tif"
local.save_dataset(
    "surface_precip",
    str(tiff),
    enhance=False,
    dtype=np.float32,
    fill_value=np.nan,
)

# %%
# Read back by another program, it holds what the Scene holds, in its place.

import rasterio

with rasterio.open(tiff) as file:
    values = file.read(1)
    print(file.crs.to_proj4())
    print(file.bounds)

np.testing.assert_array_equal(values, local["surface_precip"].values)
print(f"{np.isfinite(values).mean():.0%} of the area observed")

# %%
# As a picture, with its legend in a corner of the raster. A GeoTIFF without
# ``enhance=False`` would get the same colours.

import satpy

with satpy.config.set({"xrain.legend": True}):
    local.save_dataset("surface_precip", str(folder / "rain.png"))

figure = plt.figure(figsize=(5, 5))
ax = figure.add_axes((0, 0, 1, 1), facecolor="0.85")
ax.imshow(plt.imread(folder / "rain.png"))
ax.contour(land, [0.5], colors="k", linewidths=0.8)
ax.set(xticks=[], yticks=[])

# %%
# More in :doc:`/howto/satpy`: quantiles, other weights, and many granules.
# What Satpy's own readers have read becomes a dataset by
# :func:`xrain.from_scene`.
# The composites are those of
# :class:`~xrain.satpy_plugin.composites.RainField` and
# :class:`~xrain.satpy_plugin.composites.TropicalCycloneColor`.
