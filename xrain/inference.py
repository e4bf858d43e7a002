"""Arrays in, arrays out: a model over a swath of any length, in tiles that do not show.

A tile begins on a multiple of the network's stride on the granule's own grid and carries a halo
of the network's reach, so every way of cutting a swath gives the same numbers.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xrain.errors import InputError, ModelError
from xrain.sensors import Channel

if TYPE_CHECKING:
    import torch

    from xrain.models.architecture import Architecture

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

MEMORY_BUDGET = 100e6
"""Bytes that the features of one tile may take; sets the rows of a tile. Small tiles stay near the
processor: four times as much is a tenth slower, halos included."""

LIVE_FEATURES = 8
"""Full-resolution feature maps of the widest kind taken to be alive at once; an estimate."""

WIDENING = 0.5
"""Share of the training rain distribution that is mixed into the quantiles of an input unlike
the training data: its interval then spans what rain does at all."""

DOUBT = 0.5
"""Chance of rain in that distribution, at least: such an input does not tell that it is dry."""

LONE_BATCH = 4096


@dataclass(frozen=True)
class Tile:
    """Rows [start, stop) to be computed from rows [low, high)."""

    start: int
    stop: int
    low: int
    high: int


def plan(rows: int, tile_rows: int, stride: int, halo: int) -> list[Tile]:
    """Cut `rows` into tiles that begin on multiples of the stride, with halo."""
    step = max(tile_rows // stride * stride, stride)
    starts = range(0, rows, step)
    return [
        Tile(s, min(s + step, rows), max(s - halo, 0), min(s + step + halo, rows)) for s in starts
    ]


def choose_device(device: str | None) -> str:
    """Name of the device to compute on: the given one, else a GPU where there is one.

    Raises
    ------
    InputError
        If the device does not exist here.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used here: {error}") from error
    return device


class Engine:
    """A model made ready for one channel list, one device and one set of quantiles.

    Parameters
    ----------
    network : Architecture
        The network, or what stands in its place.
    channels : sequence of Channel
        Description of the channels, in the order of the last axis of ``tb``.
    quantiles : sequence of float
        Cumulative probabilities in (0, 1).
    device : str
        ``"cpu"``, ``"cuda"`` …
    precision : {"float32", "bfloat16"}
        Arithmetic of the network; bfloat16 only pays on a GPU.
    prior : sequence of float, optional
        Distribution over the rain classes in training, mixed into the quantiles of inputs that
        are unlike the training data.
    given_rain : bool
        Whether mean and quantiles hold on the condition that it rains: the dry class is left
        out of them. The probability of precipitation stays.
    """

    def __init__(
        self,
        network: Architecture,
        channels: Sequence[Channel],
        quantiles: Sequence[float],
        device: str = "cpu",
        precision: str = "float32",
        prior: Sequence[float] | None = None,
        given_rain: bool = False,
    ) -> None:
        import torch

        from xrain.models.unet import class_rates

        if precision not in ("float32", "bfloat16"):
            raise InputError(f"precision is {precision!r}; it is 'float32' or 'bfloat16'")
        config = network.config
        self.stride, self.halo = config.stride, config.halo
        self.device = device
        self.dtype = getattr(torch, precision)
        folded = network.fold(channels).eval().requires_grad_(False)
        self._network = folded.to(device)
        _channels_last(self._network)
        self._rates = class_rates(config.edges).to(device)
        self._log_edges = torch.log(torch.tensor(config.edges)).to(device)
        self._quantiles = torch.tensor(list(quantiles), dtype=torch.float32, device=device)
        self._prior = None if prior is None else torch.tensor(list(prior), device=device)
        self._given_rain = given_rain
        self._width = config.features
        self._tile_rows: int | None = None

    @property
    def outputs(self) -> int:
        """Planes of a result: mean rate, probability of precipitation, then the quantiles."""
        return 2 + len(self._quantiles)

    def swath(
        self,
        tb: FloatArray,
        incidence: FloatArray,
        land: FloatArray,
        strange: BoolArray,
    ) -> FloatArray:
        """Retrieve a swath.

        Parameters
        ----------
        tb : ndarray, shape (scan, pixel, channel)
            Brightness temperature, K; NaN where missing.
        incidence, land : ndarray, shape (scan, pixel)
            Earth incidence angle in degrees and land fraction; NaN where unknown.
        strange : ndarray of bool, shape (scan, pixel)
            Where the input is unlike the training data; what the model itself finds strange is
            added to it.

        Returns
        -------
        ndarray, shape (2 + quantiles, scan, pixel)
            Mean rate in mm/h, probability of precipitation, quantiles of the rate in mm/h.
        """
        rows, pixels = tb.shape[:2]
        out = np.empty((self.outputs, rows, pixels), np.float32)
        if out.size == 0:
            return out
        for tile in plan(rows, self._rows_at_once(pixels), self.stride, self.halo):
            self._fill(out, tile, (tb, incidence, land, strange))
        return out

    def _fill(self, out: FloatArray, tile: Tile, inputs: tuple[npt.NDArray[Any], ...]) -> None:
        """Compute one tile; where memory does not suffice, in halves."""
        import torch

        here = slice(tile.low, tile.high)
        cut = slice(tile.start - tile.low, tile.stop - tile.low)
        try:
            values = self._run(*(x[None, here] for x in inputs))
        except torch.OutOfMemoryError as error:
            rows = tile.stop - tile.start
            if rows <= self.stride:
                raise ModelError(
                    f"{self.device} has too little memory even for {rows} rows; use device='cpu'"
                ) from error
            torch.cuda.empty_cache()
            for part in plan(rows, -(-rows // 2), self.stride, self.halo):
                start, stop = part.start + tile.start, part.stop + tile.start
                low, high = max(start - self.halo, 0), min(stop + self.halo, out.shape[1])
                self._fill(out, Tile(start, stop, low, high), inputs)
            return
        out[:, tile.start : tile.stop] = values[:, 0, cut]

    def lone(
        self,
        tb: FloatArray,
        incidence: FloatArray,
        land: FloatArray,
        strange: BoolArray,
    ) -> FloatArray:
        """Retrieve separate pixels, each without neighbours.

        Parameters
        ----------
        tb : ndarray, shape (sample, channel)
        incidence, land, strange : ndarray, shape (sample,)
            As for :meth:`swath`.

        Returns
        -------
        ndarray, shape (2 + quantiles, sample)
        """
        out = np.empty((self.outputs, tb.shape[0]), np.float32)
        for first in range(0, tb.shape[0], LONE_BATCH):
            part = slice(first, first + LONE_BATCH)
            angle, ground = incidence[part, None, None], land[part, None, None]
            images = tb[part, None, None], angle, ground, strange[part, None, None]
            out[:, part] = self._run(*images, multiple=1)[:, :, 0, 0]
        return out

    def _rows_at_once(self, pixels: int) -> int:
        per_row = max(pixels, 1) * self._width * 4 * LIVE_FEATURES
        return max(int(MEMORY_BUDGET / per_row), 4 * self.stride)

    def _run(
        self,
        tb: FloatArray,
        incidence: FloatArray,
        land: FloatArray,
        strange: BoolArray,
        *,
        multiple: int | None = None,
    ) -> FloatArray:
        """Turn images (batch, row, pixel[, channel]) into planes (output, batch, row, pixel).

        They are padded to a multiple of the stride, or of another number.
        """
        import torch

        rows, pixels = tb.shape[1:3]
        step = multiple or self.stride
        pad = ((0, 0), (0, -rows % step), (0, -pixels % step))
        with torch.inference_mode(), _turn(self.device), _exact(self.device):
            images = (
                torch.from_numpy(_padded(x, pad)).to(self.device) for x in (tb, incidence, land)
            )
            with torch.autocast(
                self.device.split(":")[0], self.dtype, enabled=self.dtype != torch.float32
            ):
                logits, found = self._network.classify(*images)
            logits = logits[:, :rows, :pixels].float()
            if found is not None:
                strange |= found[:, :rows, :pixels].cpu().numpy()
            odd = torch.from_numpy(strange).to(self.device)
            values = self.posterior(logits.reshape(-1, logits.shape[-1]), odd.reshape(-1))
            out: FloatArray = values.reshape(-1, *tb.shape[:3]).cpu().numpy()
        return out

    def posterior(self, logits: torch.Tensor, strange: torch.Tensor) -> torch.Tensor:
        """Mean, probability and quantiles from class logits (pixel, class), as (output, pixel).

        Within a class the rate is spread evenly in its logarithm. Where the input is strange the
        quantiles, not the mean, are spread by a mixture with the training distribution. Given
        rain, mean and quantiles come from the raining classes alone, as the softmax over their
        logits.
        """
        import torch

        p = torch.softmax(logits, dim=1)
        out = p.new_empty((self.outputs, p.shape[0]))
        torch.sub(1.0, p[:, 0], out=out[1]).clamp_(min=0.0)
        if self._given_rain:
            p = _without_dry(torch.softmax(logits[:, 1:], dim=1))
        torch.mv(p, self._rates, out=out[0])
        if len(self._quantiles):
            out[2:] = self._quantile_rates(p)
            if self._prior is not None and bool(strange.any()):
                out[2:, strange] = self._widened(out[2:, strange], p[strange], self._prior)
        return out

    def _widened(self, own: torch.Tensor, p: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
        """Quantiles (quantile, pixel) moved outward to those of a mixture with the prior."""
        import torch

        prior = prior.to(p)
        rains = prior[1:] / prior[1:].sum()
        if self._given_rain:
            prior = _without_dry(rains)
        elif prior[0] > 1.0 - DOUBT:
            prior = torch.cat([1.0 - DOUBT * torch.ones_like(prior[:1]), DOUBT * rains])
        mixed = self._quantile_rates((1 - WIDENING) * p + WIDENING * prior)
        level = self._quantiles[:, None]
        outward = torch.where(level < 0.5, torch.minimum(own, mixed), torch.maximum(own, mixed))
        return torch.where(level == 0.5, own, outward)

    def _quantile_rates(self, p: torch.Tensor) -> torch.Tensor:
        """Return rates (quantile, pixel) where the cumulated probabilities reach the quantiles."""
        import torch

        cdf = torch.cumsum(p, dim=1)
        wanted = self._quantiles.expand(p.shape[0], -1)
        index = torch.searchsorted(cdf, wanted.contiguous()).clamp_(max=p.shape[1] - 1)
        before = (index - 1).clamp_(min=0)
        share = (wanted - cdf.gather(1, before)) / p.gather(1, index).clamp_(min=1e-12)
        low, high = self._log_edges[before], self._log_edges[index]
        rate = torch.exp(low + share.clamp_(0, 1) * (high - low))
        return torch.where(index == 0, 0.0, rate).T


def _without_dry(raining: torch.Tensor) -> torch.Tensor:
    """Put a dry class of no probability before those of the raining classes."""
    import torch

    return torch.nn.functional.pad(raining, (1, 0))


def _channels_last(network: torch.nn.Module) -> None:
    """Lay out the kernels as the swath lies in memory, so that nothing is transposed."""
    import torch

    for tensor in network.parameters():
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def _padded(values: npt.NDArray[Any], pad: tuple[tuple[int, int], ...]) -> npt.NDArray[Any]:
    """Pad rows and pixels with NaN to multiples of the stride."""
    if not any(after for _, after in pad):
        return np.ascontiguousarray(values, np.float32)
    full = (*pad, *[(0, 0)] * (values.ndim - len(pad)))
    return np.pad(values.astype(np.float32, copy=False), full, constant_values=np.nan)


@functools.cache
def _slots() -> threading.Semaphore:
    """Tiles computed at once in this process: as many as there are cores for Torch's threads."""
    import torch

    return threading.Semaphore(max((os.cpu_count() or 1) // max(torch.get_num_threads(), 1), 1))


def _turn(device: str) -> threading.Semaphore:
    """Wait for a turn, so that Dask's threads do not fight with Torch's or fill the memory."""
    del device
    return _slots()


def _exact(device: str) -> Any:
    """Keep float32 convolutions on a GPU in float32: TF32 would cost three digits."""
    import contextlib

    import torch

    if device.startswith("cuda"):
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return contextlib.nullcontext()


def segments(breaks: npt.NDArray[np.intp], rows: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches of rows between breaks; a network must not look across one."""
    bounds = [0, *(int(b) for b in breaks), rows]
    for start, stop in itertools.pairwise(bounds):
        if stop > start:
            yield start, stop
