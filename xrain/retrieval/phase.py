"""Rain or snow for the pixels of a block."""

from __future__ import annotations

import functools
import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from xrain.conventions import PHASES, PRECIP_PHASE_FILL
from xrain.models.card import ModelCard
from xrain.sensors import Channel

__all__ = ["PhaseEstimate", "estimate_phase", "phase_flag"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

BATCH: Final = 8192
"""Pixels that are judged at once, so that they stay in the cache."""


class PhaseEstimate(NamedTuple):
    """What is said of the phase, in the shape of the pixels.

    Attributes
    ----------
    probability_of_snow : ndarray
        That precipitation, if there is any, is snow; NaN where nothing tells.
    snowfall_rate : ndarray
        Mean rate in mm/h if it snows.
    snows : ndarray of bool
        Where snow is detected.
    """

    probability_of_snow: FloatArray
    snowfall_rate: FloatArray
    snows: BoolArray

    def at(self, where: slice) -> PhaseEstimate:
        """Return views of some of the pixels."""
        return PhaseEstimate(
            self.probability_of_snow[where], self.snowfall_rate[where], self.snows[where]
        )


def estimate_phase(
    channels: tuple[Channel, ...],
    tb: FloatArray,
    land: FloatArray,
    ancillary: tuple[Any, ...],
    prior: Any = None,
    device: str = "cpu",
) -> PhaseEstimate:
    """Tell rain from snow.

    Parameters
    ----------
    channels : tuple of Channel
        Description of the channels.
    tb : ndarray, shape (..., channel)
        Brightness temperature in K, NaN where missing.
    land : ndarray, shape (...)
        Land fraction, NaN where unknown.
    ancillary : tuple of ndarray or None
        Fields in the order of :data:`xrain.conventions.ANCILLARY`.
    prior : float or ndarray, optional
        Frequency of precipitation to assume for the detection of snow.
    device : str
        Where the network runs.

    Returns
    -------
    PhaseEstimate
    """
    grid = tb.shape[:-1]
    pixels = tb.reshape(-1, tb.shape[-1])
    planes = [_flat(x, len(pixels)) for x in (land, *ancillary)]
    judge = _ready(channels, tuple(p is not None for p in planes), device)
    columns = [pixels[:, i] for i in judge.places] + [p for p in planes if p is not None]
    shift = _shift(judge.card, prior, grid)
    out = PhaseEstimate(
        np.empty(len(pixels), np.float32),
        np.empty(len(pixels), np.float32),
        np.empty(len(pixels), bool),
    )
    for first in range(0, len(pixels), BATCH):
        where = slice(first, first + BATCH)
        inputs = np.stack([c[where] for c in columns], axis=1)
        moved = shift[where] if isinstance(shift, np.ndarray) else shift
        judge.fill(out.at(where), inputs, moved)
    return PhaseEstimate(
        out.probability_of_snow.reshape(grid),
        out.snowfall_rate.reshape(grid),
        out.snows.reshape(grid),
    )


class _Judge:
    """The network made ready for what is known of the pixels.

    Parameters
    ----------
    channels : tuple of Channel
        Channels of the dataset.
    planes : tuple of bool
        Whether land fraction and ancillary fields are there.
    device : str
        Where it runs.
    """

    def __init__(self, channels: tuple[Channel, ...], planes: tuple[bool, ...], device: str):
        from xrain.models.phase import FoldedPhase, load_phase

        model = load_phase()
        self.card, self._device = model.card, device
        places = model.places(channels)
        used = [k for k, i in enumerate(places) if i is not None]
        self.places = [i for i in places if i is not None]
        count = len(places)
        present = [*used, *(count + k for k, there in enumerate(planes) if there)]
        self._network = FoldedPhase(model.network, present).to(device)
        telling = [k < count or k == count + 1 for k in present]  # temperatures, seen or of the air
        self._telling = np.array(telling, bool)
        rates = self.card.rates
        self._bounds = math.log(rates[0]), math.log(rates[-1])

    def fill(
        self, out: PhaseEstimate, inputs: FloatArray, shift: FloatArray | float | None
    ) -> None:
        """Judge some pixels, and put what comes of it in its place."""
        import torch

        threshold = self.card.threshold if shift is None else 0.5

        with torch.inference_mode():
            odds = self._network(torch.from_numpy(inputs).to(self._device))
            dry, rain, snow = odds.logits.unbind(1)
            given = torch.sigmoid(snow - rain)
            moved = 0.0 if shift is None else torch.as_tensor(shift, device=self._device)
            wet = torch.sigmoid(torch.logaddexp(rain, snow) - dry + moved)
            rate = odds.log_snowfall.clamp(*self._bounds).exp()
            snows = wet * given > threshold
        out.probability_of_snow[:] = given.cpu().numpy()
        out.snowfall_rate[:] = rate.cpu().numpy()
        out.snows[:] = snows.cpu().numpy()
        blind = np.isnan(inputs[:, self._telling]).all(axis=1)
        if blind.any():
            out.probability_of_snow[blind] = out.snowfall_rate[blind] = np.nan
            out.snows[blind] = False


@functools.lru_cache(maxsize=8)
def _ready(channels: tuple[Channel, ...], planes: tuple[bool, ...], device: str) -> _Judge:
    return _Judge(channels, planes, device)


def _flat(values: Any, count: int) -> FloatArray | None:
    return None if values is None else np.asarray(values, np.float32).reshape(count)


def _shift(card: ModelCard, prior: Any, grid: tuple[int, ...]) -> FloatArray | float | None:
    """By how much the logarithm of the odds of precipitation differs from that in training.

    None without a prior: then the threshold of the card holds, for nature, in which snow is rarer.
    """
    if prior is None:
        return None
    wanted = np.clip(np.asarray(prior, np.float64), 1e-6, 1.0 - 1e-6)
    own = card.event_frequency
    shift = np.nan_to_num(np.log(wanted / (1.0 - wanted)) - math.log(own / (1.0 - own)))
    if not shift.ndim:
        return float(shift)
    return np.broadcast_to(shift, grid).reshape(-1).astype(np.float32)


def phase_flag(detected: BoolArray, estimate: PhaseEstimate) -> npt.NDArray[np.int8]:
    """Values of ``precip_phase``: the likelier phase where precipitation is detected."""
    snow = estimate.snows | (estimate.probability_of_snow > 0.5)
    phase = np.where(snow, PHASES["solid"], PHASES["liquid"])
    phase = np.where(detected, phase, PHASES["no_precipitation"]).astype(np.int8)
    phase[detected & np.isnan(estimate.probability_of_snow)] = PRECIP_PHASE_FILL
    return phase
