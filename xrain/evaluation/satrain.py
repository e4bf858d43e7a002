"""Models in SatRain's evaluator, and SatRain's files in xrain.

SatRain (Pfreundschuh et al. 2026, doi 10.1038/s41597-026-06565-0) is a benchmark of rain over the
United States, Korea and Austria. Its package needs an older numpy than xrain, so nothing of it is
imported here: the two meet in the layout of datasets, and, where one process cannot hold both, in
files between two processes (``python -m xrain.evaluation.satrain MODEL``).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import (
    LATITUDE,
    LONGITUDE,
    PIXEL,
    PROBABILITY_OF_PRECIP,
    QUANTILE,
    SAMPLE,
    SCAN,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
)
from xrain.errors import InputError
from xrain.evaluation.satrain_files import (
    CHANNELS,
    load_netcdf,
    make_swath,
    open_satrain,
    require_sensor,
    satrain_matchups,
    spread,
)
from xrain.models.store import Model, load_model
from xrain.retrieval.dataset import retrieve

__all__ = ["CHANNELS", "SatRainRetrieval", "open_satrain", "satrain_matchups"]

Array = NDArray[np.float64]

LEVELS: Final = (0.05, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Quantiles between which the probability of heavy rain is found."""


class SatRainRetrieval:
    """A model as SatRain's ``Evaluator.evaluate`` calls it.

    Parameters
    ----------
    model : str, path or Model
        As for :func:`xrain.retrieve`.
    sensor : {"gmi", "atms"}
        Whose observations the evaluator loads.
    channels : sequence of int, optional
        Positions of the channels that it loads, if not all: its ``channels`` of the input.
    heavy : float
        Rate in mm/h from which on precipitation is heavy.
    device : str, optional
        Where to compute.

    See Also
    --------
    xrain.evaluation.satrain_files.open_satrain : Read the observations.

    References
    ----------
    Pfreundschuh, S., et al., 2026: SatRain, doi 10.1038/s41597-026-06565-0.

    Examples
    --------
    >>> retrieval = SatRainRetrieval("gmi-unet")  # doctest: +SKIP
    >>> results = retrieval(input_data)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model,
        sensor: str = "gmi",
        *,
        channels: Sequence[int] | None = None,
        heavy: float = 10.0,
        device: str | None = None,
    ) -> None:
        self._sensor = require_sensor(sensor)
        names = CHANNELS[self._sensor]
        self._names = names if channels is None else tuple(names[k] for k in channels)
        self._model = model if isinstance(model, Model) else load_model(model)
        self._heavy, self._device = heavy, device

    def __call__(self, data: xr.Dataset) -> xr.Dataset:
        """Retrieve rain from what the evaluator loaded.

        Parameters
        ----------
        data : xarray.Dataset
            ``obs_gmi`` or ``obs_atms`` (features_…, *place*) in K, where *place* is
            (scan, pixel), (latitude, longitude), either of them after ``batch``, or ``batch``
            alone; ``eia_…`` and positions where they are there. Not normalized.

        Returns
        -------
        xarray.Dataset
            ``surface_precip`` (mm/h), ``probability_of_precip``, ``precip_flag``,
            ``probability_of_heavy_precip`` and ``heavy_precip_flag`` over *place*. Rates and
            probabilities are NaN and flags False where there is no estimate.

        Raises
        ------
        InputError
            If the observations are missing or have other channels.
        """
        features = f"features_{self._sensor}"
        name = f"obs_{self._sensor}"
        if name not in data or data.sizes.get(features) != len(self._names):
            raise InputError(
                f"SatRain's input needs {name} with {len(self._names)} channels along {features}; "
                f"it has {dict(data.sizes)}"
            )
        place = [str(d) for d in data[name].dims if d != features]
        if place == ["batch"]:
            flat = data.reset_index("batch") if "batch" in data.indexes else data
            return self._retrieve(flat, (SAMPLE,), ["batch"])
        if "batch" in place:
            scenes = [self(data.isel(batch=k)) for k in range(data.sizes["batch"])]
            return xr.concat(scenes, "batch")
        return self._retrieve(data, (SCAN, PIXEL), place)

    def _retrieve(self, data: xr.Dataset, dims: tuple[str, ...], place: list[str]) -> xr.Dataset:
        swath = self._as_swath(data, dims, place)
        rain = retrieve(swath, self._model, quantiles=LEVELS, device=self._device)
        rate = rain[SURFACE_PRECIP].values
        probability = rain[PROBABILITY_OF_PRECIP].values
        quantiles = rain[SURFACE_PRECIP_QUANTILE].transpose(QUANTILE, *dims).values
        heavy = _exceedance(quantiles, self._heavy).astype(np.float32)
        known = np.isfinite(rate)
        out = {
            SURFACE_PRECIP: rate,
            PROBABILITY_OF_PRECIP: probability,
            "precip_flag": known & (probability > self._model.card.threshold),
            "probability_of_heavy_precip": np.where(known, heavy, np.float32(np.nan)),
            "heavy_precip_flag": known & (heavy >= 0.5),
        }
        return xr.Dataset({n: (place, v) for n, v in out.items()})

    def _as_swath(self, data: xr.Dataset, dims: tuple[str, ...], place: list[str]) -> xr.Dataset:
        features = f"features_{self._sensor}"
        tb = data[f"obs_{self._sensor}"].transpose(*place, features).values
        angles = data.get(f"eia_{self._sensor}")
        incidence = None if angles is None else angles.transpose(*place, features).values
        found = {
            n: spread(data[n], place, tb.shape[:-1])
            for n in (LATITUDE, LONGITUDE)
            if n in data.variables
        }
        return make_swath(tb, incidence, found, self._names, self._sensor, dims)


def _exceedance(quantiles: NDArray[Any], rate: float) -> Array:
    """Find the probability of at least a rate, straight between the quantiles.

    0 where the highest quantile is under it, and at most the share over the lowest quantile. The
    shape is that of one quantile.
    """
    levels = np.array(LEVELS)
    over = quantiles >= rate  # rises with the level
    first = np.where(over.any(axis=0), over.argmax(axis=0), len(levels))
    upper = np.clip(first, 1, len(levels) - 1)
    low, high = (np.take_along_axis(quantiles, k[None], 0)[0] for k in (upper - 1, upper))
    step = np.where(high > low, high - low, 1.0)
    share = np.clip((rate - low) / step, 0, 1)
    level = levels[upper - 1] + share * (levels[upper] - levels[upper - 1])
    inside = np.where(first == 0, 1 - levels[0], 1 - level)
    return np.asarray(np.where(first == len(levels), 0.0, inside))


# ---- across a process boundary


def serve(retrieval: SatRainRetrieval, requests: TextIO, answers: TextIO) -> None:
    """Answer requests of another process until an empty line, or the end.

    Parameters
    ----------
    retrieval : SatRainRetrieval
        What to call.
    requests : file object
        Each line holds two paths with a tab between them: a netCDF file with the evaluator's
        input, and where to write the result.
    answers : file object
        Gets ``done`` for each line, or ``error`` and what is wrong.
    """
    for line in requests:
        source, _, target = line.rstrip("\n").partition("\t")
        if not source:
            return
        try:
            retrieval(load_netcdf(Path(source))).to_netcdf(target, engine="h5netcdf")
        except Exception as error:  # the other side must hear of it and goes on
            print(f"error {type(error).__name__}: {error}".replace("\n", " "), file=answers)
        else:
            print("done", file=answers)
        answers.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a model over standard input and output."""
    parser = argparse.ArgumentParser(prog="python -m xrain.evaluation.satrain")
    parser.add_argument("model", help="model name or folder")
    parser.add_argument("--sensor", default="gmi", choices=list(CHANNELS))
    parser.add_argument("--device")
    given = parser.parse_args(arguments)
    retrieval = SatRainRetrieval(given.model, given.sensor, device=given.device)
    print("ready", flush=True)
    serve(retrieval, sys.stdin, sys.stdout)


if __name__ == "__main__":
    main()
