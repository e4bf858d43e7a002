"""What the engine asks of a model's numbers, and how a card's architecture is built.

A network that looks around and an inversion that looks at each pixel alone answer the same
question, with a distribution over the same kind of rain classes; nothing behind knows which it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from xrain.sensors import Channel

__all__ = ["Architecture", "Classifier", "Shape", "build_network"]


class Shape(Protocol):
    """What tiles and classes depend on."""

    @property
    def edges(self) -> Sequence[float]:
        """Bounds of the rain-rate classes in mm/h; rates under the first are the dry class."""

    @property
    def stride(self) -> int:
        """Scans and pixels of the grid that tiles must start on."""

    @property
    def halo(self) -> int:
        """Rows beside a tile that make it exact."""

    @property
    def features(self) -> int:
        """Numbers held for each pixel at full resolution, for a guess of the memory."""


class Classifier(nn.Module, ABC):
    """A model made ready for one list of channels."""

    @abstractmethod
    def classify(self, tb: Tensor, incidence: Tensor, land: Tensor) -> tuple[Tensor, Tensor | None]:
        """Estimate the distribution over the rain classes.

        Rows and columns are multiples of the stride, or one: then each image is a lone pixel.

        Parameters
        ----------
        tb : Tensor, shape (batch, row, column, channel)
            Brightness temperature, K; NaN where missing.
        incidence, land : Tensor, shape (batch, row, column)
            Earth incidence angle in degrees and land fraction; NaN where unknown.

        Returns
        -------
        logits : Tensor, shape (batch, row, column, class)
            Logarithms of the probabilities, up to a constant for each pixel.
        strange : Tensor of bool, shape (batch, row, column), or None
            Where the input is unlike all that the model knows, if it can tell.
        """


class Architecture(Protocol):
    """A model before its channels are fixed: a :class:`torch.nn.Module` with these members."""

    @property
    def config(self) -> Shape:
        """Its shape."""

    def fold(self, channels: Sequence[Channel]) -> Classifier:
        """Make it ready for channels in their order."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return its tensors by name."""


def build_network(architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Architecture:
    """Build what a card's architecture describes.

    Raises
    ------
    ModelError
        If the kind of architecture is unknown or the tensors do not fit it.
    """
    from xrain.models.bayes import BayesianInversion, load_inversion
    from xrain.models.unet import load_network

    if architecture.get("kind") == BayesianInversion.KIND:
        return load_inversion(architecture, tensors)
    return load_network(architecture, tensors)
