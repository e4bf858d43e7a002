"""Estimates beside truth, pixel by pixel: what is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    PRECIP_FLAG,
    PROBABILITY_OF_PRECIP,
    QUANTILE,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
)
from xrain.errors import InputError

__all__ = ["LEVELS", "Pixels"]

Array = NDArray[np.float64]

LEVELS = (0.05, 0.15, 0.25, 0.35, 0.5, 0.65, 0.75, 0.85, 0.95)
"""Levels of the quantiles that are scored."""


@dataclass(frozen=True)
class Pixels:
    """Estimates beside truth, all of shape (sample,).

    Attributes
    ----------
    mean : ndarray
        Estimated rate in mm/h.
    probability, flag : ndarray
        Probability of precipitation; 1 where precipitation is detected as delivered.
    quantiles : dict of float to ndarray
        Quantiles of the rate in mm/h by level, all of :data:`LEVELS` or none.
    rate : ndarray or None
        True rate in mm/h.
    event : ndarray or None
        1 where it truly rains or snows, else 0.
    groups : ndarray
        What belongs together when intervals are drawn, such as the day.
    surfaces : dict of str to ndarray of bool
        Masks by surface class.
    mean_given_rain : ndarray or None
        Estimated rate on the condition that it rains, where `mean` is not.
    quantiles_given_rain : dict of float to ndarray or None
        Quantiles on the condition that it rains, where `quantiles` are not.
    smooth_rate : ndarray or None
        True rate averaged over the pixel and its neighbours along the track, in mm/h: a footprint
        is wider than the pixel of a radar.
    """

    mean: Array
    probability: Array
    flag: Array
    quantiles: dict[float, Array]
    rate: Array | None
    event: Array | None
    groups: NDArray[Any]
    surfaces: dict[str, NDArray[np.bool_]]
    mean_given_rain: Array | None = None
    quantiles_given_rain: dict[float, Array] | None = None
    smooth_rate: Array | None = None

    @classmethod
    def from_retrieval(
        cls,
        rain: xr.Dataset,
        *,
        rate: Array | None,
        event: Array | None,
        groups: NDArray[Any],
        surfaces: Mapping[str, NDArray[np.bool_]],
        given_rain: xr.Dataset | None = None,
        smooth_rate: Array | None = None,
    ) -> Pixels:
        """List the pixels of a retrieval beside truths of its shape.

        Parameters
        ----------
        rain : xarray.Dataset
            A retrieval with quantiles.
        rate, event, groups, surfaces, smooth_rate
            As the attributes, in the shape of the retrieval.
        given_rain : xarray.Dataset, optional
            The same retrieval on the condition that it rains.
        """
        probability = rain[PROBABILITY_OF_PRECIP].values.astype(float).ravel()
        flag = rain[PRECIP_FLAG].values.astype(float).ravel()
        return cls(
            mean=_rate(rain),
            probability=probability,
            flag=np.where(np.isnan(probability), np.nan, flag),
            quantiles=_quantiles(rain),
            rate=None if rate is None else rate.ravel(),
            event=None if event is None else event.ravel(),
            groups=groups.ravel(),
            surfaces={name: mask.ravel() for name, mask in surfaces.items()},
            mean_given_rain=None if given_rain is None else _rate(given_rain),
            quantiles_given_rain=None if given_rain is None else _quantiles(given_rain),
            smooth_rate=None if smooth_rate is None else smooth_rate.ravel(),
        )

    @classmethod
    def join(cls, parts: Sequence[Pixels]) -> Pixels:
        """Put the pixels of several swaths together, all with the same kinds of truth."""

        def joined(values: list[Any]) -> Any:
            if values[0] is None:
                return None
            if isinstance(values[0], dict):
                return {k: joined([v[k] for v in values]) for k in values[0]}
            return np.concatenate(values)

        names = [f.name for f in fields(cls)]
        return cls(**{n: joined([getattr(p, n) for p in parts]) for n in names})

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is some truth."""
        truths = [t for t in (self.rate, self.event) if t is not None]
        if not truths:
            raise InputError("there is neither a true rate nor a true event to score against")
        return np.asarray(np.any([np.isfinite(t) for t in truths], axis=0))

    @property
    def scorable(self) -> NDArray[np.bool_]:
        """Where there is an estimate and some truth."""
        return np.asarray(self.known & np.isfinite(self.mean))

    def pick(self, mask: NDArray[np.bool_]) -> Pixels:
        """Keep some of the pixels."""

        def picked(value: Any) -> Any:
            if isinstance(value, dict):
                return {k: v[mask] for k, v in value.items()}
            return None if value is None else value[mask]

        return Pixels(**{f.name: picked(getattr(self, f.name)) for f in fields(self)})


def _rate(rain: xr.Dataset) -> Array:
    return np.asarray(rain[SURFACE_PRECIP].values.astype(float).ravel())


def _quantiles(rain: xr.Dataset) -> dict[float, Array]:
    levels = [float(q) for q in rain[QUANTILE].values]
    values = rain[SURFACE_PRECIP_QUANTILE].values.astype(float).reshape(len(levels), -1)
    return dict(zip(levels, values, strict=True))
