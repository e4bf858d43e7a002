"""
Extend: your own radiometer, your own weights
=============================================

A radiometer that xrain has never heard of needs no new code, and weights of
your own are a folder.
"""

# %%
# An unknown radiometer
# ---------------------
# The network takes channels by their description. A dataset with ``tb`` in
# kelvin and names that say frequency and polarization is enough;
# ``constellation-unet`` is used when the sensor is unknown. Here five channels
# of an imaginary small satellite, taken from a simulated GMI, in a table of
# separate pixels without any position.

import tempfile
from pathlib import Path

import xarray as xr

import xrain
from xrain.io.truth import truth_path
from xrain.simulate.granule import simulate_granule

folder = Path(tempfile.mkdtemp())
path = simulate_granule(
    "gmi", folder / "granule.HDF5", seed=1, place=(30.0, 130.0), scans=60
)
gmi = xr.open_dataset(path, engine="gpm-l1c").load()

swath = gmi.tb.sel(channel=["18.7V", "36.64V", "89.0V", "89.0H", "183.31+-7V"])
table = xr.Dataset(
    {"tb": (("sample", "channel"), swath.values.reshape(-1, 5))},
    {"channel": ["18.7V", "36.6V", "89V", "89H", "183±7V"]},
)
rain = table.rain.retrieve("constellation-unet")
rain

# %%
# What was assumed, and what is lost by showing each pixel alone:

print(*table.rain.check("constellation-unet"), sep="\n")

truth = xr.open_dataset(truth_path(path)).surface_precip.values.ravel()
alone = rain.surface_precip.values
together = gmi.rain.retrieve().surface_precip.values.ravel()
for name, values in (
    ("five channels, lone pixels", alone),
    ("thirteen, as a swath", together),
):
    error = abs(values - truth)[truth > 0.5].mean()
    print(f"{name}: mean absolute error {error:.2f} mm/h where it rains")

# %%
# The result of a table is a table. With positions, it is drawn as points.

from xrain.plotting import plot_rain

placed = rain.assign_coords(
    latitude=("sample", gmi.latitude.values.ravel()),
    longitude=("sample", gmi.longitude.values.ravel()),
)
figure = plot_rain(placed, title="Lone pixels, five channels")

# %%
# Your own weights
# ----------------
# A model is a folder with a card and weights. Here the weights of a published
# one are written under another name, as a training run would write its own.

import dataclasses

from xrain.models.export import save_model

model = xrain.load_model("constellation-unet")
card = dataclasses.replace(
    model.card,
    name="my-unet",
    version=1,
    summary="A copy, to show how it is done.",
    sha256s={},
)
save_model(folder / "my-unet", card, model.network.state_dict())
print(*sorted(p.name for p in (folder / "my-unet").iterdir()), sep="\n")

# %%
# It is used by its path, and the output names it.

mine = gmi.rain.retrieve(str(folder / "my-unet"))
print(mine.attrs["source"])

# %%
# Others use it by a name: :func:`xrain.models.publish.package_models` makes
# the files for a server, :func:`xrain.models.store.add_models` adds them, and
# :func:`xrain.list_models` then lists them, and :func:`xrain.fetch_model`
# brings one to this machine. Footprints and noise of your own radiometer are
# one table, which :func:`xrain.register_sensor` makes known.
