"""Arrays in, arrays out: a model over a swath of any length, in tiles that do not show.

Every pixel is judged by itself once. What its neighbours add is computed in tiles that carry a halo
of the network's reach, so every way of cutting a swath gives the same numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xrain.errors import InputError, ModelError
from xrain.retrieval.devices import exact, slots
from xrain.retrieval.estimates import Estimate, FloatArray, Judged, Pixels
from xrain.retrieval.tiles import Tile, plan
from xrain.sensors import Channel

if TYPE_CHECKING:
    import torch

    from xrain.models.architecture import Architecture

MEMORY_BUDGET = 250e6
"""Bytes that one tile may take; sets its rows."""

LIVE_FEATURES = 8
"""Numbers of the widest layer's kind taken to be alive at once for each pixel; an estimate."""

GPU_BATCH = 1 << 18
"""Pixels that are judged by themselves at once on a GPU."""


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
    climatology, prevalence, threshold
        As for :class:`xrain.models.posterior.Posterior`.

    Raises
    ------
    InputError
        If the precision is unknown.
    """

    def __init__(
        self,
        network: Architecture,
        channels: Sequence[Channel],
        quantiles: Sequence[float],
        device: str = "cpu",
        precision: str = "float32",
        *,
        climatology: Sequence[float] | None = None,
        prevalence: float = 0.0,
        threshold: float = 0.5,
    ) -> None:
        import torch

        from xrain.models.posterior import Posterior

        if precision not in ("float32", "bfloat16"):
            raise InputError(f"precision is {precision!r}; it is 'float32' or 'bfloat16'")
        config = network.config
        self.halo = config.halo
        self.device = device
        self.dtype = getattr(torch, precision)
        folded = network.fold(channels).eval().requires_grad_(False)
        self._network = folded.to(device)
        _channels_last(self._network)
        self.posterior = Posterior(
            config.edges,
            quantiles,
            climatology,
            prevalence=prevalence,
            threshold=threshold,
            device=device,
        )
        self.batch = folded.BATCH if device == "cpu" else GPU_BATCH
        self._levels = len(quantiles)
        self._width = config.features

    def swath(self, pixels: Pixels, *, conditions: Sequence[bool] = (False,)) -> list[Estimate]:
        """Retrieve a swath.

        Parameters
        ----------
        pixels : Pixels
            Arrays of the shape (scan, pixel).
        conditions : sequence of bool
            For each estimate wanted, whether its mean and quantiles hold on the condition that it
            rains. The network runs once for all of them.

        Returns
        -------
        list of Estimate
            One for each condition, of the shape (scan, pixel).
        """
        rows, columns = pixels.tb.shape[:2]
        out = [Estimate.empty(self._levels, rows * columns) for _ in conditions]
        if rows * columns:
            window = _Window(self, pixels)
            for tile in plan(rows, self._rows_at_once(columns), self.halo):
                self._fill(out, tile, window, conditions)
        return [estimate.reshaped(rows, columns) for estimate in out]

    def patches(self, tb: FloatArray, incidence: FloatArray, land: FloatArray) -> Estimate:
        """Retrieve patches that are no neighbours of each other.

        Parameters
        ----------
        tb : ndarray, shape (patch, scan, pixel, channel)
            Brightness temperature, K; NaN where missing.
        incidence, land : ndarray, shape (patch, scan, pixel)
            Earth incidence angle in degrees and land fraction; NaN where unknown.

        Returns
        -------
        Estimate
            Of the shape (patch, scan, pixel).
        """
        calm = np.zeros(tb.shape[1:3], bool)
        found = [
            self.swath(Pixels(t, a, g, calm))[0]
            for t, a, g in zip(tb, incidence, land, strict=True)
        ]
        mean, quantiles, *rest = zip(*found, strict=True)
        return Estimate(np.stack(mean), np.stack(quantiles, 1), *map(np.stack, rest))

    def single_pixels(
        self, pixels: Pixels, *, conditions: Sequence[bool] = (False,)
    ) -> list[Estimate]:
        """Retrieve separate pixels, each without neighbours.

        Parameters
        ----------
        pixels : Pixels
            Arrays of the shape (sample,).
        conditions : sequence of bool
            As for :meth:`swath`.

        Returns
        -------
        list of Estimate
            One for each condition, of the shape (sample,).
        """
        count = len(pixels.tb)
        out = [Estimate.empty(self._levels, count) for _ in conditions]
        for first in range(0, count, self.batch):
            where = slice(first, min(first + self.batch, count))
            judged = self.judge(pixels.tb[where], pixels.incidence[where], pixels.land[where])
            self._conclude(out, where, judged.logits, judged.outlier, pixels, conditions)
        return out

    def judge(self, tb: FloatArray, incidence: FloatArray, land: FloatArray) -> Judged:
        """Let the network judge a batch of pixels by themselves."""
        import torch

        with self._computing():
            fields = (
                torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.device)
                for x in (tb, incidence, land)
            )
            planes = self._network.prepare(*fields)
            with self._arithmetic():
                logits, outlier = self._network.judge(planes)
            return Judged(planes, logits.float(), outlier)

    def _fill(
        self, out: list[Estimate], tile: Tile, window: _Window, conditions: Sequence[bool]
    ) -> None:
        """Compute one tile; where memory does not suffice, in halves."""
        import torch

        columns = window.pixels.tb.shape[1]
        try:
            judged = window.rows(tile.low, tile.high)
            with self._computing(), self._arithmetic():
                logits = self._network.refine(judged.planes, judged.logits)
        except torch.OutOfMemoryError as error:
            rows, total = tile.stop - tile.start, window.pixels.tb.shape[0]
            if rows == 1:
                raise ModelError(
                    f"{self.device} has too little memory even for one row; use device='cpu'"
                ) from error
            window.clear()
            torch.cuda.empty_cache()
            for part in plan(rows, -(-rows // 2), self.halo):
                start, stop = part.start + tile.start, part.stop + tile.start
                low, high = max(start - self.halo, 0), min(stop + self.halo, total)
                self._fill(out, Tile(start, stop, low, high), window, conditions)
            return
        where = slice(tile.start * columns, tile.stop * columns)
        cut = slice(tile.start - tile.low, tile.stop - tile.low)
        outlier = None if judged.outlier is None else judged.outlier[cut]
        self._conclude(out, where, logits[cut].float(), outlier, window.pixels, conditions)

    def _conclude(
        self,
        out: list[Estimate],
        where: slice,
        logits: torch.Tensor,
        found: torch.Tensor | None,
        pixels: Pixels,
        conditions: Sequence[bool],
    ) -> None:
        """Say what the logits of some pixels mean, batch by batch, and put it in its place."""
        import torch

        logits = logits.reshape(-1, logits.shape[-1])
        outlier = torch.from_numpy(pixels.outlier.reshape(-1)[where]).to(logits.device)
        if found is not None:
            outlier = outlier | found.reshape(-1)
        for first in range(0, len(logits), self.batch):
            part = slice(first, min(first + self.batch, len(logits)))
            there = slice(where.start + part.start, where.start + part.stop)
            given = pixels.flat_prior(there)
            prior = torch.from_numpy(given) if isinstance(given, np.ndarray) else given
            odd = outlier[part]
            with self._computing():
                for given_rain, estimate in zip(conditions, out, strict=True):
                    rain = self.posterior(logits[part], odd, given_rain=given_rain, prior=prior)
                    for to, values in zip(estimate, (*rain, odd), strict=True):
                        to[..., there] = values.cpu().numpy()

    def _rows_at_once(self, columns: int) -> int:
        per_row = max(columns, 1) * self._width * 4 * LIVE_FEATURES
        return max(int(MEMORY_BUDGET / per_row), 4 * self.halo, 1)

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        """Compute without gradients, in turn with other threads."""
        import torch

        with torch.inference_mode(), slots(), exact(self.device):
            yield

    def _arithmetic(self) -> Any:
        """Let the network compute in the precision asked for."""
        import torch

        device = self.device.split(":")[0]
        return torch.autocast(device, self.dtype, enabled=self.dtype != torch.float32)


class _Window:
    """Rows of a swath, judged pixel by pixel; what one tile leaves for the next is kept.

    Parameters
    ----------
    engine : Engine
        Whose network judges.
    pixels : Pixels
        The swath.
    """

    def __init__(self, engine: Engine, pixels: Pixels) -> None:
        self.pixels = pixels
        self._engine = engine
        self._columns = pixels.tb.shape[1]
        self._flat = (
            pixels.tb.reshape(-1, pixels.tb.shape[-1]),
            pixels.incidence.reshape(-1),
            pixels.land.reshape(-1),
        )
        self._low = self._high = 0
        self._judged: Judged | None = None

    def clear(self) -> None:
        """Forget everything, to free memory."""
        self._low = self._high = 0
        self._judged = None

    def rows(self, low: int, high: int) -> Judged:
        """Judge rows, of the shape (row, column); those that are known are not judged again."""
        kept = self._high - low if self._low <= low <= self._high <= high else 0
        begin, end = low * self._columns, high * self._columns
        fresh = begin + kept * self._columns
        whole: Judged | None = None
        for first in range(fresh, end, self._engine.batch):
            last = min(first + self._engine.batch, end)
            part = self._engine.judge(*(x[first:last] for x in self._flat))
            whole = part.room(end - begin) if whole is None else whole
            whole.put(slice(first - begin, last - begin), part)
        old = self._judged
        if old is not None and kept:
            left = old.cut(slice((low - self._low) * self._columns, None))
            whole = left if whole is None else whole
            whole.put(slice(0, fresh - begin), left)
        assert whole is not None  # noqa: S101  no tile is empty
        self._judged, self._low, self._high = whole, low, high
        return whole.reshaped(high - low, self._columns)


def _channels_last(network: torch.nn.Module) -> None:
    """Lay out the kernels as the swath lies in memory, so that nothing is transposed."""
    import torch

    for tensor in network.parameters():
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
