"""Observed beside simulated brightness temperatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xrain.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_histograms"]


def plot_histograms(
    observed: Mapping[str, NDArray[np.float32]],
    simulated: Mapping[str, NDArray[np.float32]],
    channels: Sequence[str],
) -> Figure:
    """Draw histograms of observed and simulated brightness temperatures.

    Parameters
    ----------
    observed : mapping of str to array
        Brightness temperatures in K (pixel, channel) of each class of pixels.
    simulated : mapping of str to array
        Those simulated for the same pixels (draw, pixel, channel).
    channels : sequence of str
        Names of the channels.

    Returns
    -------
    matplotlib.figure.Figure
        One row per class, one panel per channel.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    require("matplotlib", "plot", "pictures")
    from matplotlib.figure import Figure

    size = (2.0 * len(channels), 1.9 * len(observed) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(observed), len(channels), squeeze=False)
    for row, (name, values) in zip(axes, observed.items(), strict=True):
        for i, (axis, channel) in enumerate(zip(row, channels, strict=True)):
            _draw_pair(axis, values[:, i], simulated[name][:, :, i].ravel())
            axis.set_title(channel, fontsize=8)
            axis.tick_params(labelsize=6, left=False, labelleft=False)
        row[0].set_ylabel(name.replace("_", " "), fontsize=8)
    axes[0, 0].legend(fontsize=6, frameon=False)
    figure.supxlabel("brightness temperature (K)", fontsize=8)
    return figure


def _draw_pair(axis: Axes, observed: NDArray[np.float32], simulated: NDArray[np.float32]) -> None:
    low, high = (
        float(q) for q in np.percentile(np.concatenate([observed, simulated]), [0.2, 99.8])
    )
    bins = np.linspace(low, high, 40).tolist()
    axis.hist(observed, bins, density=True, color="0.75", label="observed")
    axis.hist(simulated, bins, density=True, histtype="step", color="C3", label="simulated")
