"""From the architecture on a card and its tensors to a model that works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xrain.errors import ModelError
from xrain.models.architecture import PHASE_KIND, Architecture
from xrain.models.bayes import BayesianInversion, InversionConfig
from xrain.models.database_values import config_problems, database_problems
from xrain.models.unet import load_network
from xrain.sensors import get_sensor

__all__ = ["build_network", "load_inversion"]


def build_network(architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Architecture:
    """Build what a card's architecture describes.

    Parameters
    ----------
    architecture : mapping
        ``architecture`` of a model card.
    tensors : mapping of str to Tensor
        Weights by name.

    Raises
    ------
    ModelError
        If the kind of architecture is unknown, the tensors do not fit it, or no rain comes of
        them.
    """
    if architecture.get("kind") == BayesianInversion.KIND:
        return load_inversion(architecture, tensors)
    if architecture.get("kind") == PHASE_KIND:
        raise ModelError("it tells rain from snow beside every model of rain, and is none itself")
    network = load_network(architecture, tensors)
    _require_numbers(network)
    return network


def _require_numbers(network: Architecture) -> None:
    """Refuse a network whose weights, each a number, overflow on ordinary input."""
    channels = get_sensor("GMI").channels
    folded = network.fold(channels)
    with torch.inference_mode():
        tb = torch.tensor([120.0, 220.0, 300.0])[:, None].expand(-1, len(channels))
        planes = folded.prepare(tb, torch.full((3,), 52.8), torch.zeros(3))
        alone, _ = folded.judge(planes)
        refined = folded.refine(planes[:, None], alone[:, None])
    if not (alone.isfinite().all() and refined.isfinite().all()):
        raise ModelError("the weights give no numbers for ordinary brightness temperatures")


def load_inversion(
    architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> BayesianInversion:
    """Build the inversion that a card describes, with its database.

    Raises
    ------
    ModelError
        If the card's architecture is incomplete or the database does not fit it.
    """
    try:
        config = InversionConfig.from_dict(architecture)
        parts = {name: tensors[name] for name in ("vectors", "rate", "surface", "population")}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the model card or its database is incomplete: {error!r:.300}") from error
    if bad := [*config_problems(config), *database_problems(config, parts)]:
        raise ModelError(f"the database does not fit its card: {', '.join(bad)}")
    return BayesianInversion(config, **parts).eval()
