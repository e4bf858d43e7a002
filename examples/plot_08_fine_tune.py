"""
Train: adapt a network to a radiometer
======================================

A radiometer measures 8 K too much in some channels, and nobody knows. A
precipitation radar flies beside it. Granules of both become training data, and
a packaged network learns in a quarter of a minute to live with the error.
"""

# %%
# An archive
# ----------
# Sixteen granules of GMI (the GPM Microwave Imager) over the sea, each with a
# granule of radar beside it, all simulated. The channels from 18.7 to
# 36.64 GHz are then made 8 K warmer in the files.

# sphinx_gallery_thumbnail_number = 2
import tempfile
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

import xrain
from xrain.collocation import Split
from xrain.io.truth import radar_path, truth_path
from xrain.plotting import plot_side_by_side

folder = Path(tempfile.mkdtemp())
places = np.random.default_rng(0).uniform((5, 130), (30, 170), size=(16, 2))
days = [f"2020-07-{day:02}" for day in range(1, 21, 2)]
days += [f"2020-{month:02}-{day:02}" for month in (8, 9) for day in (1, 3, 5)]


def spoil(path):
    """Make five channels of a granule 8 K too warm, where there are any."""
    with h5py.File(path, "r+") as file:
        tb = file["S1/Tc"][:]
        tb[..., 2:7] += np.where(tb[..., 2:7] > 0, 8, 0)
        file["S1/Tc"][:] = tb


granules = []
for number, (day, place) in enumerate(zip(days, places, strict=True)):
    path = xrain.simulate_granule(
        "gmi",
        folder,
        seed=number,
        place=tuple(place),
        start=np.datetime64(f"{day}T12:00", "ns"),
        scans=72,
        surface="ocean",
        with_radar=True,
    )
    spoil(path)
    granules.append(path)

# %%
# Samples
# -------
# :func:`xrain.collocate` brings the radar onto the footprints of the
# radiometer and stores patches of both. July teaches, August tells when to
# stop, and September judges; nothing else uses it.

groups = xrain.collocate(
    granules,
    [radar_path(path) for path in granules],
    folder / "gmi-radar.zarr",
    settings={"split": Split(validation=("2020-08",), test=("2020-09",))},
    workers=1,
)
print(sum(group.patches for group in groups), "patches")

# %%
# Training
# --------
# What one would type is ``xrain train --data gmi-radar.zarr --init gmi-unet
# --freeze trunk -o run``. With ``--freeze trunk`` only the layers that read
# the channels learn, a few percent of the weights: enough for a calibration,
# and hard to spoil with few samples. A few steps suffice here.

from typer.testing import CliRunner

from xrain.cli import app

command = [
    *("train", "--data", str(folder / "gmi-radar.zarr")),
    *("--init", "gmi-unet", "--freeze", "trunk", "--simulated", "0"),
    *("--preset", "finetune", "--pixel-steps", "60", "--steps", "30"),
    *("--version", "9", "-o", str(folder / "run")),
]
done = CliRunner().invoke(app, command, catch_exceptions=False)
print(*done.output.splitlines()[:3], sep="\n")

# %%
# Before and after
# ----------------
# A model is a folder; its path is used like a name. Here it judges a granule
# of September.

test = granules[-1]
ds = xrain.open_l1c(test)
truth = xr.open_dataset(truth_path(test))
before = ds.rain.retrieve().load()
after = ds.rain.retrieve(str(folder / "run" / "models" / "gmi-unet-9")).load()
figure = plot_side_by_side(
    {"true": truth, "as packaged": before, "fine-tuned": after}, borders=False
)

# %%
# Mean retrieved rain by the true rate, over the granules of September:

import matplotlib.pyplot as plt

edges = np.geomspace(0.1, 30, 12)
models = {
    "as packaged": "gmi-unet",
    "fine-tuned": str(folder / "run" / "models" / "gmi-unet-9"),
}
true = np.concatenate(
    [
        xr.open_dataset(truth_path(p)).surface_precip.values
        for p in granules[-3:]
    ]
)
group = np.digitize(true, edges)
figure, ax = plt.subplots(figsize=(5.5, 4.2), layout="constrained")
for name, model in models.items():
    rates = [
        xrain.open_l1c(p).rain.retrieve(model).surface_precip.values
        for p in granules[-3:]
    ]
    rates = np.concatenate(rates)
    means = [rates[group == k].mean() for k in range(1, len(edges))]
    ax.plot(np.sqrt(edges[1:] * edges[:-1]), means, "o-", label=name)
ax.plot(edges, edges, color="0.5", linewidth=0.8)
ax.set(xscale="log", yscale="log", xlabel="true rain (mm/h)")
ax.set_ylabel("mean retrieved rain (mm/h)")
ax.legend()

# %%
# The card of the new model holds its scores on the September days, before and
# after, against the radar.

card = xrain.load_model(folder / "run" / "models" / "gmi-unet-9").card
scores = card.scores["real"]["GMI"]["gmi-radar.zarr"]
for name in ("before", "after"):
    row = scores[name]["all"]
    print(
        f"{name:7} correlation {row['correlation']:.2f},"
        f" RMSE {row['rmse']:.2f} mm/h,"
        f" total {row['rain_ratio']:.2f} of the true one"
    )

# %%
# Sixteen pieces of granules are no archive. :doc:`/howto/archive` collocates
# years of real granules, :doc:`/howto/train` explains every option, and
# :doc:`/explanation/transfer` shows what can be hoped for.
