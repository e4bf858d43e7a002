"""What is known of pixels before and after a network has judged them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["BoolArray", "Estimate", "FloatArray", "Judged", "Pixels"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


class Estimate(NamedTuple):
    """What is said of the rain over a swath or a table of pixels.

    Attributes
    ----------
    mean : ndarray, shape (...)
        Mean rate in mm/h.
    quantiles : ndarray, shape (quantile, ...)
        Quantiles of the rate in mm/h.
    probability : ndarray, shape (...)
        Probability of at least 0.1 mm/h.
    detected : ndarray of bool, shape (...)
        Whether precipitation is reported.
    outlier : ndarray of bool, shape (...)
        Where the input is unlike the training data, as given or as the model itself finds.
    """

    mean: FloatArray
    quantiles: FloatArray
    probability: FloatArray
    detected: BoolArray
    outlier: BoolArray

    @classmethod
    def empty(cls, quantiles: int, pixels: int) -> Estimate:
        """Make room for so many pixels in one row."""
        return cls(
            np.empty(pixels, np.float32),
            np.empty((quantiles, pixels), np.float32),
            np.empty(pixels, np.float32),
            np.empty(pixels, bool),
            np.empty(pixels, bool),
        )

    def reshaped(self, *shape: int) -> Estimate:
        """Lay the pixels out on a grid."""
        return Estimate(
            self.mean.reshape(shape),
            self.quantiles.reshape(len(self.quantiles), *shape),
            self.probability.reshape(shape),
            self.detected.reshape(shape),
            self.outlier.reshape(shape),
        )


class Judged(NamedTuple):
    """Pixels that the network has judged by themselves.

    Attributes
    ----------
    planes : Tensor, shape (..., plane)
        What it looked at.
    logits : Tensor, shape (..., class)
        Class logits.
    outlier : Tensor of bool, shape (...), or None
        What it found unlike all it knows.
    """

    planes: torch.Tensor
    logits: torch.Tensor
    outlier: torch.Tensor | None

    def room(self, pixels: int) -> Judged:
        """Make room for so many pixels of this kind."""
        return Judged(
            self.planes.new_empty(pixels, self.planes.shape[-1]),
            self.logits.new_empty(pixels, self.logits.shape[-1]),
            None if self.outlier is None else self.outlier.new_empty(pixels),
        )

    def put(self, where: slice, part: Judged) -> None:
        """Put pixels in their place."""
        self.planes[where] = part.planes
        self.logits[where] = part.logits
        if self.outlier is not None and part.outlier is not None:
            self.outlier[where] = part.outlier

    def cut(self, where: slice) -> Judged:
        """Choose some of the pixels, or of the rows."""
        outlier = None if self.outlier is None else self.outlier[where]
        return Judged(self.planes[where], self.logits[where], outlier)

    def reshaped(self, rows: int, columns: int) -> Judged:
        """Lay the pixels out as an image."""
        return Judged(
            self.planes.view(rows, columns, -1),
            self.logits.view(rows, columns, -1),
            None if self.outlier is None else self.outlier.view(rows, columns),
        )


@dataclass(frozen=True)
class Pixels:
    """What an estimate is made from.

    Attributes
    ----------
    tb : ndarray, shape (..., channel)
        Brightness temperature, K; NaN where missing.
    incidence, land : ndarray, shape (...)
        Earth incidence angle in degrees and land fraction; NaN where unknown.
    outlier : ndarray of bool, shape (...)
        Where the input is unlike the training data.
    prior : ndarray, shape (...), float or None
        Frequency of rain of at least 0.1 mm/h to assume; None or NaN for the model's own.
    """

    tb: FloatArray
    incidence: FloatArray
    land: FloatArray
    outlier: BoolArray
    prior: FloatArray | float | None = None

    def flat_prior(self, where: slice) -> FloatArray | float | None:
        """Prior of some of the pixels, counted row by row."""
        return self.prior.reshape(-1)[where] if isinstance(self.prior, np.ndarray) else self.prior
