r"""BRAIN: Bayesian Monte Carlo inversion of brightness temperatures with a database.

The posterior of the rain over a pixel is that of the database's entries, each weighing

.. math:: n_i \exp\left(-\tfrac12 (y - y_i)^T S^{-1} (y - y_i)\right)

with what was measured :math:`y`, the entry's vector :math:`y_i` and population :math:`n_i`, and
the covariance :math:`S` of instrument noise and modelling error (Viltard, Burlaud and Kummerow
2006, doi 10.1175/JAM2346.1; Kummerow et al. 1996). Rain is detected first, with all entries, and
its rate found second, with the raining ones alone and a covariance of its own.

A channel that is missing is integrated out: S keeps the rows and columns of those that are there.
It knows no satellite, no file and no dataset.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from xrain.conventions import match_channels
from xrain.geo.surfaces import SHARE
from xrain.models.architecture import Classifier
from xrain.models.gap_search import GapSearch
from xrain.models.kernel_search import Search
from xrain.sensors import Channel

__all__ = ["STAGES", "SURFACES", "BayesianInversion", "InversionConfig", "StageError"]

SURFACES = ("ocean", "land", "mixed")
"""Surface classes: less than 1 % of land, more than 99 %, and what lies between."""

STAGES = ("detection", "rate")
"""What an inversion does first and second."""

AIR_MASS = "air_mass"
"""Coordinate beside the channels of a cross-track scanner: the secant of the incidence angle."""

SURELY_DRY = 0.02
"""Probability of rain under which its rate is not sought; given rain, it is that of the surface."""

MANY = 256
"""Pixels with the same channels from which on it pays to prepare the database for these."""

KEPT = 24
"""Prepared databases that are kept, each some megabytes."""

_Key = tuple[str, int, tuple[int, ...] | None]
_UNKNOWN = len(SURFACES)
_NEVER = 1e-9
_PLAUSIBLE = (0.0, 500.0)  # K; what lies beyond is as strange as its bound, and squares stay finite


@dataclass(frozen=True)
class StageError:
    """Errors that one stage of an inversion assumes over one surface.

    Attributes
    ----------
    covariance : tuple of tuple of float
        Covariance S between the coordinates: K² for channels.
    other_surface : float
        Weight of entries from other surface classes beside those of the pixel's own, 0 to 1: how
        far the surface mask is not believed.
    """

    covariance: tuple[tuple[float, ...], ...]
    other_surface: float

    def times(self, factor: float) -> StageError:
        """Multiply the covariance."""
        rows = np.array(self.covariance) * factor
        return StageError(
            tuple(tuple(float(f"{x:.6g}") for x in row) for row in rows), self.other_surface
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StageError:
        """Make it from its JSON form."""
        rows = tuple(tuple(float(x) for x in row) for row in values["covariance"])
        return cls(rows, float(values["other_surface"]))


@dataclass(frozen=True)
class InversionConfig:
    """What an inversion knows besides its database.

    Attributes
    ----------
    channels : tuple of str
        Names of the channels, in the order of the database's vectors.
    edges : tuple of float
        Bounds of the rain-rate classes in mm/h; rates under the first are the dry class.
    errors : dict
        :class:`StageError` by stage and surface class.
    near : dict of str to float
        By stage, the squared Mahalanobis distance with all coordinates up to which an entry of
        the largest population is a near neighbour; rarer ones must be nearer.
    air_mass : bool
        Whether the vectors end with the secant of the incidence angle.
    """

    channels: tuple[str, ...]
    edges: tuple[float, ...]
    errors: Mapping[str, Mapping[str, StageError]]
    near: Mapping[str, float]
    air_mass: bool = False

    stride: ClassVar[int] = 1
    halo: ClassVar[int] = 0
    features: ClassVar[int] = 32

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InversionConfig:
        """Rebuild a configuration from the ``architecture`` of a model card."""
        errors = {
            stage: {s: StageError.from_dict(values["errors"][stage][s]) for s in SURFACES}
            for stage in STAGES
        }
        return cls(
            tuple(values["channels"]),
            tuple(float(x) for x in values["edges"]),
            errors,
            {stage: float(values["near"][stage]) for stage in STAGES},
            bool(values["air_mass"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values for a model card."""
        errors = {
            stage: {
                surface: {
                    "covariance": [list(row) for row in error.covariance],
                    "other_surface": error.other_surface,
                }
                for surface, error in by_surface.items()
            }
            for stage, by_surface in self.errors.items()
        }
        return {
            "kind": BayesianInversion.KIND,
            "channels": list(self.channels),
            "edges": list(self.edges),
            "errors": errors,
            "near": dict(self.near),
            "air_mass": self.air_mass,
        }

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the coordinates of the database's vectors."""
        return (*self.channels, AIR_MASS) if self.air_mass else self.channels


def surface_classes(land: Tensor) -> Tensor:
    """Index into :data:`SURFACES` for land fractions, or their number where unknown."""
    out = torch.full(land.shape, 2, dtype=torch.int64, device=land.device)
    out[land < SHARE] = 0
    out[land > 1 - SHARE] = 1
    out[torch.isnan(land)] = _UNKNOWN
    return out


class BayesianInversion(nn.Module):
    """A database with the errors that it is to be compared with.

    Parameters
    ----------
    config : InversionConfig
        Channels, classes and errors.
    vectors : Tensor, shape (entry, coordinate)
        Brightness temperatures in K, then the air mass if there is one.
    rate : Tensor, shape (entry,)
        Rain rate in mm/h, exactly 0 where it is under the lowest class.
    surface : Tensor of int, shape (entry,)
        Index into :data:`SURFACES`.
    population : Tensor, shape (entry, 2)
        What an entry weighs in each of :data:`STAGES`; 0 where it does not count.
    """

    KIND: ClassVar[str] = "bayesian-inversion"

    vectors: Tensor
    rate: Tensor
    surface: Tensor
    population: Tensor

    def __init__(
        self,
        config: InversionConfig,
        vectors: Tensor,
        rate: Tensor,
        surface: Tensor,
        population: Tensor,
    ) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("vectors", vectors)
        self.register_buffer("rate", rate)
        self.register_buffer("surface", surface)
        self.register_buffer("population", population)

    def fold(self, channels: Sequence[Channel]) -> FoldedInversion:
        """Make the inversion ready for channels in their order; others than its own are left."""
        return FoldedInversion(self, [c.name for c in channels])


class FoldedInversion(Classifier):
    """The inversion for one list of channels.

    Parameters
    ----------
    inversion : BayesianInversion
        Database and errors.
    names : sequence of str
        Names of the channels in the order in which they will come.
    """

    BATCH: ClassVar[int] = 1 << 15  # pixels with the same gaps are sought together

    def __init__(self, inversion: BayesianInversion, names: Sequence[str]) -> None:
        super().__init__()
        self.config = inversion.config
        self.inversion = inversion
        self._columns = match_channels(list(names), self.config.channels)
        self._searches: dict[_Key, Search | GapSearch] = {}
        self._lock = threading.Lock()

    def judge(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Find the posterior; see :meth:`xrain.models.architecture.Classifier.judge`.

        An outlier has no near neighbour among all entries.
        """
        tb, incidence, land = planes[:, :-2], planes[:, -2], planes[:, -1]
        with torch.autocast(tb.device.type, enabled=False):
            measured = self._measured(tb.float(), incidence.float())
            surface = surface_classes(land)
            logits = measured.new_zeros(len(measured), len(self.config.edges))
            far = torch.zeros(len(measured), dtype=torch.bool, device=tb.device)
            there = torch.isfinite(measured)
            code = (there.long() << torch.arange(self._width, device=tb.device)).sum(dim=1)
            kinds, owner, counts = torch.unique(
                code * (_UNKNOWN + 1) + surface, return_inverse=True, return_counts=True
            )
            for kind in (counts >= MANY).nonzero()[:, 0].tolist():
                rows = (owner == kind).nonzero()[:, 0]
                bits, place = divmod(int(kinds[kind]), _UNKNOWN + 1)
                columns = tuple(i for i in range(self._width) if bits >> i & 1)
                if columns:
                    found = self._invert(measured[rows][:, columns], columns, place)
                    logits[rows], far[rows] = found
            few = (counts < MANY)[owner] & there.any(dim=1)
            for place in torch.unique(surface[few]).tolist():
                rows = (few & (surface == place)).nonzero()[:, 0]
                logits[rows], far[rows] = self._invert(measured[rows], None, place)
        return logits, far

    @property
    def _width(self) -> int:
        return len(self.config.coordinates)

    def _measured(self, tb: Tensor, incidence: Tensor) -> Tensor:
        """Bring what was measured into the database's order; NaN where it has no such channel."""
        out = tb.new_full((*tb.shape[:-1], self._width), math.nan)
        for own, column in enumerate(self._columns):
            if column is not None:
                out[..., own] = tb[..., column].clamp(*_PLAUSIBLE)
        if self.config.air_mass:
            # Beyond the steepest entries, where there are none, the pixel is compared with these.
            out[..., -1] = air_mass(incidence).clamp(max=float(self.inversion.vectors[:, -1].max()))
        return out

    def _invert(
        self, measured: Tensor, columns: tuple[int, ...] | None, surface: int
    ) -> tuple[Tensor, Tensor]:
        """Detect rain, then weigh the rates: logits (pixel, class), and what is far.

        `columns` are the coordinates that all pixels have; None if each has its own.
        """
        detection, rate = (self._search(stage, surface, columns) for stage in STAGES)
        wet, far = detection(measured)
        rates = rate.before.expand(len(wet), -1).clone()
        rows = (wet[:, 1] > math.log(SURELY_DRY)).nonzero()[:, 0]
        rates[rows], _ = rate(measured[rows])
        return torch.cat([wet[:, :1], wet[:, 1:] + rates], dim=1), far

    def _search(
        self, stage: str, surface: int, columns: tuple[int, ...] | None
    ) -> Search | GapSearch:
        key = stage, surface, columns
        with self._lock:
            found = self._searches.pop(key, None)
        found = found or self._make_search(*key)
        with self._lock:
            self._searches[key] = found  # the last one asked for is the last one dropped
            while len(self._searches) > KEPT:
                del self._searches[next(iter(self._searches))]
        return found

    def _make_search(
        self, stage: str, surface: int, columns: tuple[int, ...] | None
    ) -> Search | GapSearch:
        base, config = self.inversion, self.config
        # An unknown surface is compared with the errors of the mixed one, and believed of any.
        error = config.errors[stage][SURFACES[min(surface, len(SURFACES) - 1)]]
        population = base.population[:, STAGES.index(stage)]
        kept = population > 0
        weight = population[kept].log()
        if surface != _UNKNOWN:
            others = math.log(max(error.other_surface, _NEVER))
            weight = weight + others * (base.surface[kept] != surface)
        kinds, count = self._classes(stage, base.rate[kept])
        covariance = torch.tensor(error.covariance, dtype=torch.float64)
        near = config.near[stage]
        if columns is None:
            return GapSearch(base.vectors[kept], weight, kinds, count, covariance, near)
        pick = list(columns)
        near *= len(pick) / len(config.coordinates)
        return Search(
            base.vectors[kept][:, pick], weight, kinds, count, covariance[pick][:, pick], near
        )

    def _classes(self, stage: str, rate: Tensor) -> tuple[Tensor, int]:
        """Class of each rate in a stage, and the number of classes."""
        if stage == STAGES[0]:
            return (rate > 0).long(), 2
        bounds = torch.tensor(self.config.edges[1:-1], device=rate.device)
        return torch.bucketize(rate, bounds, right=True), len(bounds) + 1


def air_mass(incidence: Tensor) -> Tensor:
    """Secant of the incidence angle in degrees: the path through the air, 1 at nadir."""
    return 1.0 / torch.cos(torch.deg2rad(incidence.clamp(max=75.0)))
