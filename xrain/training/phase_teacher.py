"""Kernel regressions that tell rain from snow and how much it snows: teachers for a network.

On some thousands of matched pixels they do better than gradient boosting; but each pixel costs
them a thousand times what it costs a small network, which learns from them at any number of
inputs between and beside the pixels.

References
----------
Williams, C. K. I. and Seeger, M., 2000: Using the Nyström method to speed up kernel machines,
NIPS 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xrain.extras import require

__all__ = ["PhaseTeacher", "SnowTeacher", "Table", "columns_of"]

Array = NDArray[np.float32]

WIDTH: Final = 0.05
"""Parameter gamma of the Gaussian kernel over standardised columns."""

POINTS: Final = 1500
"""Pixels that stand for all in the kernel."""

STRENGTH, DAMPING = 50.0, 0.1
"""Inverse regularisation of the classes, and regularisation of the rates."""

APART: Final = 2.0
"""Distance in the kernel between tables, whose radars see snow differently."""

PAIRS: Final = ((0, 1), (2, 3), (5, 6), (7, 8), (9, 10))
"""Vertical and horizontal channels of GMI, whose differences are columns of their own."""

_BLOCK: Final = 8000


@dataclass(frozen=True)
class Table:
    """Matched pixels.

    Attributes
    ----------
    columns : ndarray of float32, shape (pixel, input)
        Brightness temperatures, land fraction, ancillary fields; the last may be NaN.
    label : ndarray, shape (pixel,)
        0 dry, 1 rain, 2 snow; or a snowfall rate in mm/h.
    day : ndarray of int, shape (pixel,)
        Number of the day.
    """

    columns: Array
    label: NDArray[Any]
    day: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.day)

    def select(self, chosen: NDArray[np.bool_]) -> Table:
        """Keep some pixels."""
        return Table(self.columns[chosen], self.label[chosen], self.day[chosen])

    def complete(self) -> Table:
        """Keep the pixels of which everything is known."""
        return self.select(np.asarray(np.isfinite(self.columns).all(axis=1)))


def columns_of(inputs: Array, channels: int, ancillary: bool) -> NDArray[np.float64]:
    """Columns in which pixels are compared, with the ancillary fields or without."""
    tb = inputs[:, :channels].astype(np.float64)
    pairs = [(tb[:, v] - tb[:, h])[:, None] for v, h in PAIRS if h < channels]
    rest = [inputs[:, channels : channels + 1]]
    if ancillary:
        air, vapor, skin = inputs[:, channels + 1 :].T
        rest.append(np.stack([air, np.sqrt(np.maximum(vapor, 0.0)), skin], axis=1))
    return np.concatenate([tb, *pairs, *rest], axis=1)


class _Kernel:
    """Standardised columns, and the features of the kernel over them."""

    def __init__(self, columns: NDArray[np.float64], extra: NDArray[np.float64], seed: int) -> None:
        require("sklearn", "train", "training of the phase")
        from sklearn.kernel_approximation import Nystroem

        self._mean, self._spread = columns.mean(0), columns.std(0)
        points = min(POINTS, len(columns))
        self._map = Nystroem(gamma=WIDTH, n_components=points, random_state=seed)
        self._map.fit(self._joined(columns, extra))

    def _joined(
        self, columns: NDArray[np.float64], extra: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return np.concatenate([(columns - self._mean) / self._spread, extra], axis=1)

    def features(
        self, columns: NDArray[np.float64], extra: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return np.asarray(self._map.transform(self._joined(columns, extra)))


class PhaseTeacher:
    """Logistic regression on a kernel: probabilities of dry, rain and snow.

    Parameters
    ----------
    tables : list of Table
        Of labels 0, 1, 2. What it says holds for the first; the others help as far as they agree.
    channels : int
        Channels among the columns.
    ancillary : bool
        Whether to use the ancillary fields.
    seed : int
        Seed of the choice of points.
    """

    def __init__(self, tables: list[Table], channels: int, ancillary: bool, seed: int = 0) -> None:
        require("sklearn", "train", "training of the phase")
        from sklearn.linear_model import LogisticRegression

        self._channels, self._ancillary, self._tables = channels, ancillary, len(tables)
        known = [t.complete() if ancillary else t for t in tables]
        columns = np.concatenate([columns_of(t.columns, channels, ancillary) for t in known])
        extra = np.concatenate([self._extra(k, len(t)) for k, t in enumerate(known)])
        self._kernel = _Kernel(columns, extra, seed)
        self._model = LogisticRegression(C=STRENGTH, max_iter=400)
        labels = np.concatenate([t.label for t in known])
        self._model.fit(self._kernel.features(columns, extra), labels)

    def _extra(self, table: int, count: int) -> NDArray[np.float64]:
        return np.tile(APART * np.eye(self._tables)[table], (count, 1))

    def probabilities(self, inputs: Array, table: int = 0) -> Array:
        """Probabilities (pixel, 3) as of the pixels of a table."""
        parts = []
        for part in np.array_split(inputs, max(len(inputs) // _BLOCK, 1)):
            columns = columns_of(part, self._channels, self._ancillary)
            features = self._kernel.features(columns, self._extra(table, len(part)))
            parts.append(self._model.predict_proba(features))
        return np.concatenate(parts).astype(np.float32)


class SnowTeacher:
    """Ridge regression on a kernel: the logarithm of the snowfall rate.

    Parameters
    ----------
    table : Table
        Of rates in mm/h.
    channels, ancillary, seed
        As for :class:`PhaseTeacher`.
    """

    def __init__(self, table: Table, channels: int, ancillary: bool, seed: int = 0) -> None:
        require("sklearn", "train", "training of the phase")
        from sklearn.linear_model import Ridge

        self._channels, self._ancillary = channels, ancillary
        known = table.complete() if ancillary else table
        columns = columns_of(known.columns, channels, ancillary)
        none = np.zeros((len(columns), 0))
        self._kernel = _Kernel(columns, none, seed)
        self._model = Ridge(alpha=DAMPING)
        self._model.fit(self._kernel.features(columns, none), np.log(known.label))

    def log_rate(self, inputs: Array) -> Array:
        """Mean logarithm of the rate in mm/h (pixel,), given that it snows."""
        parts = []
        for part in np.array_split(inputs, max(len(inputs) // _BLOCK, 1)):
            columns = columns_of(part, self._channels, self._ancillary)
            features = self._kernel.features(columns, np.zeros((len(part), 0)))
            parts.append(self._model.predict(features))
        return np.concatenate(parts).astype(np.float32)
