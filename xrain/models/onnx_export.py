"""Networks as ONNX: for programs in other languages, and centres without PyTorch.

The graph takes what was measured and gives what :func:`xrain.retrieve` does for a swath whose
inputs are like those of the training. Outside it stay the land mask, the outlier test with its
wider intervals, and the flags of quality.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from xrain.atomic import replacing
from xrain.conventions import PROBABILITY_OF_PRECIP, SURFACE_PRECIP, SURFACE_PRECIP_QUANTILE
from xrain.errors import InputError, ModelError
from xrain.extras import require
from xrain.models.posterior import OUTER, Posterior
from xrain.models.unet import AUXILIARY, TB_OFFSET, TB_SCALE, FoldedUNet

if TYPE_CHECKING:
    from xrain.models.store import Model
    from xrain.sensors import Channel

__all__ = ["export_onnx"]

OPSET: Final = 18
INPUTS: Final = ("tb", "earth_incidence_angle", "land_fraction")
OUTPUTS: Final = (SURFACE_PRECIP, PROBABILITY_OF_PRECIP, SURFACE_PRECIP_QUANTILE)


class _Graph(nn.Module):
    """From temperatures to rain, in operations that ONNX has."""

    levels: Tensor

    def __init__(self, network: FoldedUNet, posterior: Posterior, levels: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.posterior = posterior
        self.register_buffer("levels", torch.tensor(list(levels)))

    def forward(self, tb: Tensor, incidence: Tensor, land: Tensor) -> tuple[Tensor, ...]:
        """Rate and probability (scan, pixel), quantiles (quantile, scan, pixel)."""
        planes = _planes(tb, incidence, land).permute(2, 0, 1)[None]
        logits = self.network(planes)[0]
        p = self.posterior.class_probabilities(logits.flatten(0, 1))
        mean = p @ self.posterior.rates
        cdf = torch.cumsum(p, dim=1)
        index = (cdf[:, None] < self.levels[None, :, None]).sum(2).clamp(max=p.shape[1] - 1)
        found = self.posterior.rates_at(p, cdf, index)
        found = torch.where(self.levels >= OUTER, torch.maximum(found, mean[:, None]), found)
        found = torch.where(self.levels <= 1 - OUTER, torch.minimum(found, mean[:, None]), found)
        shape = tb.shape[:2]
        chance = self.posterior.event_probability(p)
        quantiles = found.T.reshape(-1, *shape)
        return mean.reshape(shape), chance.reshape(shape), quantiles


def _planes(tb: Tensor, incidence: Tensor, land: Tensor) -> Tensor:
    """Compute what :func:`xrain.models.unet.pixel_planes` does, without writing in place."""
    values = torch.cat(
        [
            (tb - TB_OFFSET) / TB_SCALE,
            ((torch.cos(torch.deg2rad(incidence)) - 0.6) * 3.0)[..., None],
            land[..., None],
        ],
        dim=-1,
    )
    there = (values == values).float()  # NaN is not itself
    some = there[..., : -len(AUXILIARY)].amax(-1, keepdim=True)
    masks = torch.cat([there[..., : -len(AUXILIARY)], there[..., -len(AUXILIARY) :] * some], -1)
    return torch.cat([torch.where(masks > 0, values, 0.0), masks], dim=-1)


def export_onnx(
    model: Model, path: str | Path, channels: Sequence[Channel], quantiles: Sequence[float]
) -> Path:
    """Write a network for one list of channels as an ONNX file.

    Parameters
    ----------
    model : Model
        A network.
    path : path
        File to write.
    channels : sequence of Channel
        The channels, in the order that ``tb`` is to have.
    quantiles : sequence of float
        Cumulative probabilities in (0, 1).

    Returns
    -------
    Path
        The file. Its inputs are ``tb`` (scan, pixel, channel) in K, ``earth_incidence_angle``
        (scan, pixel) in degrees and ``land_fraction`` (scan, pixel), float32 with NaN where
        missing; its outputs ``surface_precip`` and ``probability_of_precip`` (scan, pixel) and
        ``surface_precip_quantile`` (quantile, scan, pixel). Its properties name the model, its
        channels and its quantiles.

    Raises
    ------
    InputError
        If there are no quantiles, or they are out of range.
    ModelError
        If the model is no network.
    MissingPackageError
        If the packages of the extra ``onnx`` are not installed.
    OutputError
        If the file cannot be written.

    References
    ----------
    ONNX, Open Neural Network Exchange, https://onnx.ai
    """
    for name in ("onnx", "onnxscript"):
        require(name, "onnx", "ONNX files")
    if not quantiles or not all(0 < q < 1 for q in quantiles):
        raise InputError("quantiles between 0 and 1 are needed, one at least")
    card = model.card
    folded = model.network.fold(channels)
    if not isinstance(folded, FoldedUNet):
        raise ModelError(f"{card.id} is no network: only networks can be exported as ONNX")
    posterior = Posterior(folded.config.edges, quantiles)
    graph = _Graph(folded.eval().requires_grad_(False), posterior, quantiles).eval()
    made = _exported(graph, len(channels))
    facts = {
        "model": card.id,
        "sha256": card.sha256,
        "licence": card.licence,
        "channels": ", ".join(c.name for c in channels),
        "quantiles": ", ".join(f"{q:g}" for q in quantiles),
        "threshold": f"{card.threshold:g}",
        "units": "K, degree, 1 to mm h-1, 1, mm h-1",
    }
    made.model.metadata_props.update(facts)
    path = Path(path)
    with replacing(path) as draft:
        made.save(str(draft), include_initializers=True)
    return path


def _exported(graph: nn.Module, channels: int) -> Any:
    """Trace the graph for swaths of any size."""
    example = (torch.full((24, 20, channels), 250.0), torch.zeros(24, 20), torch.zeros(24, 20))
    scan, pixel = torch.export.Dim("scan"), torch.export.Dim("pixel")
    grid = {0: scan, 1: pixel}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()),
    ):  # fmt: skip
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            graph, example, input_names=INPUTS, output_names=OUTPUTS, opset_version=OPSET,
            dynamic_shapes=(grid, grid, grid), dynamo=True, verbose=False,
        )  # fmt: skip
