"""What is judged: models, gradient boosting and a Gaussian process."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from tools.score_cards.truths import Mask, Truth
from xrain.evaluation.pixels import LEVELS, Pixels
from xrain.models.store import Model
from xrain.retrieval.dataset import retrieve_both
from xrain.training.rate_process import RateProcess

BOOSTING = {"max_iter": 300, "learning_rate": 0.05, "max_leaf_nodes": 15, "l2_regularization": 1.0}


def estimate(model: Model, shown: xr.Dataset, truth: Truth, chosen: Mask) -> Pixels:
    """Retrieve some pixels, each by itself."""
    ds = shown.isel(sample=chosen)
    free, wet = retrieve_both(ds, model, quantiles=LEVELS, device="cpu", prior=truth.prior)
    found = Pixels.from_retrieval(
        wet if truth.given_rain else free,
        given_rain=None if truth.given_rain or truth.rate is None else wet,
        rate=None, event=None, groups=truth.groups[chosen], surfaces={},
    )  # fmt: skip
    names = ("mean", "probability", "flag", "quantiles", "mean_given_rain", "quantiles_given_rain")
    return truth.pixels(chosen, **{n: getattr(found, n) for n in names})


def boosting(x: NDArray[np.float32], truth: Truth, parts: list[Mask]) -> Pixels:
    """Predict rate and event by gradient boosting that the other parts taught, for each part."""
    found = []
    for part in parts:
        count = int(part.sum())
        mean, probability = np.zeros(count), np.full(count, np.nan)
        if truth.rate is not None:
            machine = HistGradientBoostingRegressor(**BOOSTING, random_state=0)
            mean = machine.fit(x[~part], truth.rate[~part]).predict(x[part])
        if truth.event is not None:
            machine = HistGradientBoostingClassifier(**BOOSTING, random_state=0)
            probability = machine.fit(x[~part], truth.event[~part]).predict_proba(x[part])[:, 1]
        flag = np.where(np.isnan(probability), np.nan, probability > 0.5)
        found.append(
            truth.pixels(part, mean=mean, probability=probability, flag=flag, quantiles={})
        )
    return Pixels.join(found)


def process(x: NDArray[np.float32], truth: Truth, parts: list[Mask]) -> Pixels:
    """Predict the cube root of the rate by a process that the other parts taught, for each part."""
    found = []
    assert truth.rate is not None
    for part in parts:
        machine = RateProcess(x[~part], truth.rate[~part].astype(np.float32))
        root, spread = machine.predict(x[part])
        quantiles = {q: np.maximum(root + spread * norm.ppf(q), 0.0) ** 3 for q in LEVELS}
        none = np.full(len(root), np.nan)
        mean = np.maximum(root**3 + 3 * root * spread**2, 0.0)
        found.append(
            truth.pixels(part, mean=mean, probability=none, flag=none, quantiles=quantiles)
        )
    return Pixels.join(found)


def with_branch(model: Model, path: Path, body: Path | None = None) -> Model:
    """Give a network another branch for single pixels, and for neighbours if there is one."""
    network = copy.deepcopy(model.network)
    network.pixel.load_state_dict(load_file(path))
    if body is not None:
        network.neighbours.load_state_dict(load_file(body))
    return Model(model.card, network.eval().requires_grad_(False))
