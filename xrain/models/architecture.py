"""What the engine asks of a model's numbers, and how a card's architecture is built.

A network that looks around and an inversion that looks at each pixel alone answer the same
question, with a distribution over the same kind of rain classes; nothing behind knows which it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, Protocol

import torch
from torch import Tensor, nn

from xrain.sensors import Channel

__all__ = ["PHASE_KIND", "Architecture", "Classifier", "Shape"]

PHASE_KIND: Final = "phase"
"""Kind of architecture, on a card, of the network that tells rain from snow."""


class Shape(Protocol):
    """What tiles and classes depend on."""

    @property
    def edges(self) -> Sequence[float]:
        """Bounds of the rain-rate classes in mm/h; rates under the first are the dry class."""

    @property
    def halo(self) -> int:
        """Rows beside a tile that make it exact."""

    @property
    def features(self) -> int:
        """Numbers held for each pixel by the widest layer, for a guess of the memory."""


class Classifier(nn.Module, ABC):
    """A model made ready for one list of channels.

    It judges pixels by themselves first, and then, if it looks at neighbours, whole images of
    them.
    """

    BATCH: ClassVar[int] = 2048
    """Pixels that are judged at once on a CPU, so that they stay in its cache."""

    def prepare(self, tb: Tensor, incidence: Tensor, land: Tensor) -> Tensor:
        """Lay out what was measured for the two other methods.

        Parameters
        ----------
        tb : Tensor, shape (pixel, channel)
            Brightness temperature, K; NaN where missing.
        incidence, land : Tensor, shape (pixel,)
            Earth incidence angle in degrees and land fraction; NaN where unknown.

        Returns
        -------
        Tensor, shape (pixel, plane)
        """
        return torch.cat([tb, incidence[:, None], land[:, None]], dim=1)

    @abstractmethod
    def judge(self, planes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Estimate the distribution over the rain classes of pixels by themselves.

        Parameters
        ----------
        planes : Tensor, shape (pixel, plane)
            From :meth:`prepare`.

        Returns
        -------
        logits : Tensor, shape (pixel, class)
            Logarithms of the probabilities, up to a constant for each pixel.
        outlier : Tensor of bool, shape (pixel,), or None
            Where the input is unlike all that the model knows, if it can tell.
        """

    def refine(self, planes: Tensor, logits: Tensor) -> Tensor:
        """Correct the judgements of single pixels by what their neighbours tell.

        Parameters
        ----------
        planes : Tensor, shape (row, column, plane)
            From :meth:`prepare`.
        logits : Tensor, shape (row, column, class)
            From :meth:`judge`.

        Returns
        -------
        Tensor, shape (row, column, class)
            The same logits for a model that looks at no neighbours.
        """
        del planes
        return logits


class Architecture(Protocol):
    """A model before its channels are fixed: a :class:`torch.nn.Module` with these members."""

    @property
    def config(self) -> Shape:
        """Its shape."""

    def fold(self, channels: Sequence[Channel]) -> Classifier:
        """Make it ready for channels in their order."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return its tensors by name."""
