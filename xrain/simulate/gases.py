"""Absorption by oxygen, nitrogen and water vapour, as polynomials fitted to a stored table.

The table (``tables/gases.npz``, made by ``tools/make_tables.py``) holds pyrtlib's absorption on a
grid of frequency, temperature and pressure. For given channels it is averaged over every pass
band and condensed into small polynomials, whose evaluation is one matrix product.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrain.errors import UnknownChannelError
from xrain.sensors import Channel

__all__ = ["GasAbsorption", "gas_table", "pass_band"]

FREQUENCY_LIMITS = (6.0, 235.0)  # GHz, extent of the table
ORDER = 4
Array = NDArray[np.float64]


@functools.cache
def gas_table() -> dict[str, Array]:
    """Return the stored table: grids, log absorption of dry air and vapour, self growth."""
    path = resources.files("xrain.simulate") / "tables" / "gases.npz"
    with path.open("rb") as file, np.load(file) as table:
        return {k: table[k].astype(np.float64) for k in table.files if k != "model"}


def pass_band(channel: Channel, points: int = 5) -> Array:
    """Frequencies in GHz that sample all pass bands of a channel evenly.

    Raises
    ------
    UnknownChannelError
        If a pass band leaves the range of the table, 6–235 GHz.
    """
    centres = [channel.frequency]
    for offset in channel.sideband_offsets:
        centres = [c + s * offset for c, s in itertools.product(centres, (-1.0, 1.0)) if offset]
    half = 0.5e-3 * channel.bandwidth
    steps = half * (np.arange(points) + 0.5 - points / 2) / (points / 2)
    frequencies: Array = (np.asarray(centres)[:, None] + steps).ravel()
    low, high = FREQUENCY_LIMITS
    if frequencies.min() < low or frequencies.max() > high:
        raise UnknownChannelError(
            f"channel {channel.name!r} at {channel.frequency} GHz lies outside the simulator's "
            f"range of {low:g}–{high:g} GHz"
        )
    return frequencies


def _sample_states() -> tuple[Array, Array]:
    """Pressures (hPa) and temperatures (K) that real columns visit, for the fit."""
    pressure = np.geomspace(60.0, 1050.0, 24)
    standard = np.maximum(288.0 * (pressure / 1013.0) ** 0.19, 212.0)
    spread = np.linspace(-32.0, 30.0, 9)
    p, d = np.meshgrid(pressure, spread, indexing="ij")
    return p.ravel(), np.clip(standard[:, None] + d, 187.0, 324.0).ravel()


def _interpolate(values: Array, frequency: Array, p: Array, t: Array) -> Array:
    """Trilinear table look-up; returns (frequency, state)."""
    from scipy.interpolate import RegularGridInterpolator

    table = gas_table()
    grid = (table["frequency"], 300.0 / table["temperature"][::-1], np.log(table["pressure"]))
    look = RegularGridInterpolator(grid, values[:, ::-1], method="linear")
    theta, logp = 300.0 / t, np.log(p)
    return np.stack([look((f, theta, logp)) for f in frequency])


def features(log_pressure: Tensor, temperature: Tensor) -> Tensor:
    """Polynomial terms in ``ln(p / 500 hPa)`` and ``300 K / T - 1.15``, stacked last."""
    x = log_pressure
    y = 300.0 / temperature - 1.15
    powers_x, powers_y = [torch.ones_like(x)], [torch.ones_like(y)]
    for _ in range(ORDER):
        powers_x.append(powers_x[-1] * x)
        powers_y.append(powers_y[-1] * y)
    terms = [
        powers_x[i] * powers_y[j] for i in range(ORDER + 1) for j in range(min(ORDER + 1 - i, 3))
    ]
    return torch.stack(terms, dim=-1)


class GasAbsorption:
    """Absorption coefficients of gases for a list of channels.

    Parameters
    ----------
    channels : sequence of Channel
        Any channels within 6–235 GHz.
    device : torch.device or str
        Where to evaluate.
    """

    def __init__(self, channels: Sequence[Channel], device: torch.device | str = "cpu") -> None:
        p, t = _sample_states()
        table = gas_table()
        terms = features(torch.as_tensor(np.log(p / 500.0)), torch.as_tensor(t)).numpy()
        targets: list[list[Array]] = [[], [], []]
        for channel in channels:
            band = pass_band(channel)
            logs = (_interpolate(table[k], band, p, t) for k in ("log_dry", "log_vapour"))
            for store, values in zip(targets, logs, strict=False):
                store.append(values.mean(axis=0))
            targets[2].append(_interpolate(table["self_growth"], band, p, t).mean(axis=0))
        warm = np.exp(-0.5 * (np.minimum(t - 297.0, 0.0) / 14.0) ** 2) + 0.02
        weights = (np.ones_like(t), np.ones_like(t), warm)  # cold air holds no dense vapour
        fits = [
            np.linalg.lstsq(terms * w[:, None], np.stack(y, axis=-1) * w[:, None], rcond=None)[0]
            for w, y in zip(weights, targets, strict=True)
        ]
        self._coefficients = torch.as_tensor(np.stack(fits), dtype=torch.float32, device=device)

    def __call__(self, pressure: Tensor, temperature: Tensor, vapour: Tensor) -> Tensor:
        """Evaluate the absorption coefficient.

        Parameters
        ----------
        pressure, temperature, vapour : Tensor, (...)
            hPa, K and g m-3.

        Returns
        -------
        Tensor, (..., channel)
            Absorption in km-1.
        """
        terms = features(torch.log(pressure / 500.0), temperature)
        # one product each: what follows is much faster on contiguous results
        dry, thin, growth = (terms @ c.to(terms.dtype) for c in self._coefficients)
        v = vapour.unsqueeze(-1)
        total: Tensor = torch.exp(dry) + v * torch.exp(thin) * (1.0 + growth * v)
        return total
