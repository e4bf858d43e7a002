"""
How microwaves see rain
=======================

A radiometer measures radiation that the surface, drops and ice emit and
scatter, and no rain. The package's simulator draws here what reaches GMI, and
why a rate is a guess.
"""

# %%
# Over the sea, rain is warm
# --------------------------
# Water reflects the cold sky, so the sea is cold at low frequencies, the more
# so in horizontal polarization (H). Drops emit, and the more it rains, the
# warmer the scene: at 10 GHz up to heavy rain, at 37 GHz until the cloud is
# opaque at a few mm/h. This *emission* comes from the rain itself.
# Each point is the mean of 400 columns from a library of what a radar saw.

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Ellipse

import xrain
from xrain.simulate.environment import (
    DEVIATES,
    Environment,
    draw_unknowns,
)
from xrain.simulate.forward import ForwardModel

gmi = xrain.get_sensor("GMI")
names = ["10.65H", "18.7H", "36.64H", "89.0H", "166.0H", "183.31+-7V"]
channels = [channel for channel in gmi.channels if channel.name in names]
model = ForwardModel(channels)
rate = torch.as_tensor(np.geomspace(0.05, 60, 16), dtype=torch.float32)


DRAWS = 400  # columns of each rate: what lies above the rain differs
chance = draw_unknowns(
    Environment.derive(rain_rate=torch.ones(DRAWS)),
    torch.Generator().manual_seed(1),
)
unknown = {name: getattr(chance, name) for name in (*DEVIATES, "ice_scale")}


def temperatures(**state):
    """Mean brightness temperatures (K) of the channels, over the draws."""
    varied = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    count = len(next(iter(varied.values())))
    drawn = {name: values.repeat(count) for name, values in unknown.items()}
    long = {k: v.repeat_interleave(DRAWS) for k, v in varied.items()}
    drawn = Environment.derive(**state | drawn | long)
    both = model(drawn).numpy()
    which = ["VH".index(c.polarization) for c in channels]
    one = np.stack([both[:, i, p] for i, p in enumerate(which)], -1)
    return one.reshape(-1, DRAWS, one.shape[-1]).mean(1)


def draw(x, values, label):
    """One line for each channel."""
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for i, channel in enumerate(channels):
        ax.plot(x, values[:, i], label=f"{channel.name} GHz")
    ax.set(xscale="log", xlabel=label, ylabel="brightness temperature (K)")
    ax.legend(ncols=2, fontsize=8)
    return figure


tropics = {"t2m": 299.0, "rain_rate": rate}
figure = draw(rate, temperatures(**tropics, surface=0), "rain rate (mm/h)")

# %%
# At 89 GHz and above the curve turns: ice above the rain scatters radiation
# away, and what was warm becomes cold.
#
# Over land, only the ice is seen
# -------------------------------
# Land is as warm as rain, so emission has no contrast: below 20 GHz the lines
# are nearly flat, and what moves is *scattering* by ice aloft. The rate at the
# ground is then inferred from the ice that usually lies above it.

figure = draw(
    rate,
    temperatures(**tropics, surface=1, land_fraction=1.0),
    "rain rate over land (mm/h)",
)

# %%
# The same rain, other ice
# ------------------------
# Rain of 8 mm/h with a third to three times the usual ice: at 89 GHz and above
# the temperature moves by tens of kelvin though the rain at the ground is the
# same. This is the largest part of the uncertainty of a retrieval, and of the
# sounders, which have these channels only, nearly all. Falling snow, and snow
# on the ground, scatter in the same way.

ice = torch.as_tensor(np.geomspace(1 / 3, 3, 12), dtype=torch.float32)
same = {"t2m": 299.0, "rain_rate": torch.full_like(ice, 8.0), "surface": 0}
figure = draw(
    ice, temperatures(**same, ice_scale=ice), "ice above, times the usual"
)

# %%
# Each channel sees another area
# ------------------------------
# A footprint is as wide as the wavelength over the size of the antenna. What
# fills the footprint at 10 GHz may be a shower and its dry surroundings, whose
# mean is not what either of them radiates: the curves above are bent. A
# retrieved rate is a mean over about the footprint of the 37 GHz channel.

figure, ax = plt.subplots(figsize=(5.5, 4), layout="constrained")
shown = ["10.65V", "18.7V", "36.64V", "89.0V", "183.31+-7V"]
for i, channel in enumerate(c for c in gmi.channels if c.name in shown):
    along, across = channel.footprint
    ax.add_patch(
        Ellipse((0, 0), across, along, fill=False, color=f"C{i}", linewidth=2)
    )
    ax.plot([], [], color=f"C{i}", label=f"{channel.name} GHz")
ax.set(xlim=(-20, 20), ylim=(-20, 20), aspect="equal")
ax.set(xlabel="km across the line of sight", ylabel="km along it")
ax.legend(fontsize=8)

# %%
# From here: what a pixel tells by itself is on
# :doc:`/explanation/single_pixels`, what its neighbours add on
# :doc:`/explanation/network`, and the simulator with its faults on
# :doc:`/explanation/simulator`. The ice that it puts above heavy rain is one
# of them.
