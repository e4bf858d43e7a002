"""From simulated samples or tables of real pixels to published databases."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrain.errors import InputError
from xrain.evaluation.metrics import event_scores, probability_scores, rate_scores
from xrain.models.bayes import STAGES, SURFACES, BayesianInversion
from xrain.models.card import CardChannel, ModelCard
from xrain.models.export import save_model
from xrain.models.rain_classes import EDGES, rain_classes
from xrain.models.registry import add_to_registry
from xrain.retrieval.engine import Engine
from xrain.retrieval.estimates import Pixels
from xrain.sensors import Sensor, get_sensor
from xrain.training.brain import Brain, Recipe, make_brain
from xrain.training.covariance import Fit
from xrain.training.export import CREDITS, OUTLIER_PIXELS, PIXELS_PER_COMPONENT
from xrain.training.outlier_test import COMPONENTS, fit_outlier_test
from xrain.training.samples import Plan, load_samples, make_samples
from xrain.training.vectors import Vectors, patch_vectors

__all__ = ["LIMITS", "PRESETS", "Simulation", "as_pixels", "cross_validate", "publish_brain",
           "simulation", "train_on_real", "train_on_samples"]  # fmt: skip

LIMITS = (
    "sees each pixel alone: nothing is learned from its surroundings",
    "probabilities assume rain as frequent as in the database",
)

SIMULATED_LIMITS = (
    "the database is simulated, by a simulator fitted to real GMI pixels of half the days",
    "rates are averages over a footprint (37 GHz, sounders 89 GHz), not at a point",
    "snowfall at the ground, warm shallow rain and rain over mountains are hardly represented",
)

ALLOWANCE = (1.0, 2.0)
"""Factors of the covariances of detection and rate for what the simulator does not know, of which
GMI pixels seen with the channels of GMI, SSM/I and MHS ask for 0.9 and 2.1 (geometric means)."""

REAL_LIMITS = (
    "the database holds the pixels of its files and no others: single pixels, their climate, "
    "and rain as frequent as in the files",
)

FOLDS = 5
"""Parts into which the days of real pixels are cut to judge a database by days it has not seen."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Simulation:
    """Which samples to make a database from, and how.

    Attributes
    ----------
    shards, per_shard, size : int
        Shards of each sensor, patches in a shard, scans and pixels of a patch. One more shard of
        another seed is held out.
    recipe : Recipe
        How to make the database.
    """

    shards: int = 20
    per_shard: int = 16
    size: int = 64
    recipe: Recipe = field(default_factory=lambda: Recipe(allowance=ALLOWANCE))

    def plan(self, sensor: str, seed: int) -> Plan:
        """Say which samples to make for one sensor."""
        return Plan((sensor,), self.shards, self.size, seed, self.per_shard)


PRESETS = {
    "tiny": Simulation(2, 4, 32, Recipe(200, 100, Fit(steps=4, batch=64))),
    "cpu": Simulation(),
    "gpu": Simulation(60, recipe=Recipe(60_000, 30_000, allowance=ALLOWANCE)),
}
"""Simulations by name: a smoke test, what the package carries, and a large database."""


def simulation(preset: str) -> Simulation:
    """Return a preset.

    Raises
    ------
    InputError
        If it is unknown.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}; there are {', '.join(PRESETS)}")
    return PRESETS[preset]


def train_on_samples(
    folder: Path,
    sensors: Sequence[str],
    how: Simulation,
    *,
    seed: int = 1,
    version: int = 1,
    cache: Path | None = None,
    real: Mapping[str, Vectors] | None = None,
    scores: Mapping[str, Any] | None = None,
    client: Any = None,
    report: Report | None = None,
) -> list[ModelCard]:
    """Make a database for each sensor from simulated samples, and write it below ``models``.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    sensors : sequence of str
        Instruments.
    how : Simulation
        How much to simulate, and how to make the databases.
    seed, version : int
        Source of chance; version of the models.
    cache : Path, optional
        Where samples are kept, by default in `folder`.
    real : mapping of str to Vectors, optional
        Real pixels by sensor, to fit the errors with.
    scores : mapping, optional
        Scores on real pixels by sensor, for the cards.
    client : distributed.Client, optional
        A cluster that simulates.
    report : callable, optional
        Called with a line of text when something is done.
    """
    cache = cache or folder / "samples"
    cards = []
    for name in sensors:
        begun, sensor = time.monotonic(), get_sensor(name)
        plan = how.plan(sensor.name, seed)
        make_samples(cache, plan, client=client)
        shard = load_samples(cache, plan)[sensor.name]
        rows = patch_vectors(sensor, shard, how.per_shard)
        brain = make_brain(sensor, rows, how.recipe, (real or {}).get(sensor.name))
        training = {
            "data": "simulated swaths of stochastic storms and dry scenes",
            "sensors": [sensor.name],
            "patches": len(shard.rain),
            "pixels": len(rows),
            "seconds": round(time.monotonic() - begun),
            "seed": seed,
            "credits": list(CREDITS),
        }
        held = Plan((sensor.name,), 1, how.size, seed + 900_000, how.per_shard)
        make_samples(cache, held, client=client)
        judged = patch_vectors(sensor, load_samples(cache, held)[sensor.name])
        found = {"simulated": {sensor.name: judge([brain], [judged])}}
        if scores and sensor.name in scores:
            found["real"] = {sensor.name: scores[sensor.name]}
        cards.append(
            publish_brain(
                brain, folder / "models", version=version, training=training, scores=found,
                limits=SIMULATED_LIMITS,
            )
        )  # fmt: skip
        if report is not None:
            report(f"{cards[-1].id}: {len(brain.inversion.rate)} entries from {len(rows)} pixels")
    return cards


def train_on_real(
    folder: Path,
    sensor: Sensor,
    rows: Vectors,
    *,
    data: Sequence[str],
    recipe: Recipe | None = None,
    version: int = 1,
    report: Report | None = None,
) -> ModelCard:
    """Make a database of real pixels, judge it by days it has not seen, and write it.

    Parameters
    ----------
    folder : Path
        Folder of the run; the model lies in its folder ``models``.
    sensor : Sensor
        The instrument.
    rows : Vectors
        Real pixels, grouped by day.
    data : sequence of str
        Names of the files, for the card.
    recipe : Recipe, optional
        How to make the database.
    version : int
        Version of the model.
    report : callable, optional
        Called with a line of text when something is done.
    """
    begun = time.monotonic()
    scores = cross_validate(sensor, rows, recipe, report=report)
    brain = make_brain(sensor, rows, recipe)
    training = {
        "data": "real pixels",
        "files": list(data),
        "sensors": [sensor.name],
        "pixels": len(rows),
        "days": len(np.unique(rows.group)),
        "seconds": round(time.monotonic() - begun),
        "seed": (recipe or Recipe()).seed,
        "credits": ["the authors of the files named"],
    }
    return publish_brain(
        brain, folder / "models", version=version, training=training, limits=REAL_LIMITS,
        scores={"other_days": {sensor.name: scores}},
    )  # fmt: skip


# ---- scores


def cross_validate(
    sensor: Sensor,
    rows: Vectors,
    recipe: Recipe | None = None,
    folds: int = FOLDS,
    report: Report | None = None,
) -> dict[str, Any]:
    """Judge databases by the days that each has not seen.

    Raises
    ------
    InputError
        If there are fewer days than folds.
    """
    days = np.unique(rows.group)
    if len(days) < folds:
        raise InputError(f"to judge a database takes {folds} days at least; there are {len(days)}")
    place = np.random.default_rng(0).permutation(len(days)) % folds
    fold = place[np.searchsorted(days, rows.group)]
    brains, parts = [], []
    for k in range(folds):
        brains.append(make_brain(sensor, rows.pick(fold != k), recipe))
        parts.append(rows.pick(fold == k))
        if report is not None:
            report(f"days put aside, part {k + 1} of {folds}")
    return {"folds": folds, **judge(brains, parts)}


def judge(brains: Sequence[Brain], parts: Sequence[Vectors]) -> dict[str, Any]:
    """Score inversions, each on its part of the pixels; rates on the condition that it rains.

    Returns
    -------
    dict
        For ``all``, ``ocean`` and ``land``: ``n`` and ``correlation`` of raining pixels with a
        known rate, ``hss`` and ``auc`` of detection at the frequency of the database.
    """
    rate, chance = (
        np.concatenate([_estimates(b, p)[k] for b, p in zip(brains, parts, strict=True)])
        for k in (0, 1)
    )
    rows = Vectors.join(parts)
    masks = {"all": np.ones(len(rows), bool)}
    masks |= {s: rows.surface == k for k, s in enumerate(SURFACES[:2])}
    return {name: _score(rows.pick(m), rate[m], chance[m]) for name, m in masks.items()}


def _estimates(brain: Brain, rows: Vectors) -> tuple[NDArray[Any], NDArray[Any]]:
    engine = Engine(brain.inversion, brain.sensor.channels, ())
    (found,) = engine.single_pixels(as_pixels(brain, rows), conditions=(True,))
    return found.mean, found.probability


def as_pixels(brain: Brain, rows: Vectors) -> Pixels:
    """Rows of a database as pixels that can be retrieved."""
    channels = brain.sensor.channels
    angle = np.full(len(rows), channels[0].incidence_angle, np.float32)
    if brain.inversion.config.air_mass:
        angle = np.degrees(np.arccos(1.0 / rows.vectors[:, -1]))
    land = np.array([0.0, 1.0, 0.5], np.float32)[rows.surface]
    tb = rows.vectors[:, : len(channels)]
    return Pixels(tb, angle, land, np.zeros(len(rows), bool))


def _score(rows: Vectors, rate: NDArray[Any], chance: NDArray[Any]) -> dict[str, Any]:
    """Score the rates of raining pixels, and the detection of rain."""
    counted, known = (rows.population[:, k] > 0 for k in range(len(STAGES)))
    wet, said = rows.wet[counted].astype(float), chance[counted]
    found: dict[str, Any] = {}
    if known.sum() > 2:
        found["correlation"] = rate_scores(rate[known], rows.rate[known])["correlation"]
    if wet.any() and not wet.all():
        found["hss"] = event_scores(said > 0.5, wet)["hss"]
        found["auc"] = probability_scores(said, wet)["auc"]
    told = {name: round(float(v), 3) for name, v in found.items() if np.isfinite(v)}
    return {"n": int(known.sum()), **told}


# ---- cards


def publish_brain(
    brain: Brain,
    root: Path,
    *,
    version: int,
    training: Mapping[str, Any],
    scores: Mapping[str, Any] | None = None,
    limits: Sequence[str] = (),
    registry: Path | None = None,
) -> ModelCard:
    """Write a database and its card, and enter them into a registry.

    Parameters
    ----------
    brain : Brain
        What :func:`make_brain` made.
    root : Path
        Folder that will hold a folder for the model.
    version : int
        Version of the model.
    training, scores : mapping
        What the card says of the data, and scores.
    limits : sequence of str
        What the card warns of besides :data:`LIMITS`.
    registry : Path, optional
        Register to enter the model into; by default ``registry.json`` in `root`.
    """
    sensor, config = brain.sensor, brain.inversion.config
    prior = class_shares(brain.inversion)
    card = ModelCard(
        name=f"{sensor.name.lower()}-brain",
        version=version,
        summary=f"Rain from {sensor.name} pixels by Bayesian inversion with a database",
        architecture=config.to_dict(),
        rates=config.edges,
        inputs=tuple(CardChannel.from_channel(c) for c in sensor.channels),
        ranges=_ranges(brain),
        outliers={sensor.name: _outlier_test(brain)},
        sensor=sensor.name,
        training={**training, **brain.notes, "entries": len(brain.inversion.rate)},
        scores=dict(scores or {}),
        limits=(*LIMITS, *limits),
        halo=config.halo,
        stride=config.stride,
        event_frequency=1.0 - prior[0],
        prior=tuple(prior),
    )
    folder = root / f"{card.name}-{version}"
    card = save_model(folder, card, brain.inversion.state_dict())
    add_to_registry(registry or root / "registry.json", root, folder)
    return card


def class_shares(inversion: BayesianInversion) -> list[float]:
    """Share of each rain class in the database, the dry one first; none is zero."""
    population = inversion.population.double().numpy()
    kinds = rain_classes(inversion.rate.numpy())
    dry = population[kinds == 0, 0].sum() / population[:, 0].sum()
    rates = np.bincount(kinds, population[:, 1], len(EDGES))[1:] + 1e-6
    shares = np.concatenate([[dry], (1 - dry) * rates / rates.sum()])
    return [float(x) for x in shares / shares.sum()]


def _ranges(brain: Brain) -> dict[str, tuple[float, float]]:
    low, high = np.quantile(brain.rows.vectors, [0.0001, 0.9999], axis=0)
    return {
        c.name: (round(float(low[k]) - 5.0, 1), round(float(high[k]) + 5.0, 1))
        for k, c in enumerate(brain.sensor.channels)
    }


def _outlier_test(brain: Brain) -> dict[str, Any]:
    names = [c.name for c in brain.sensor.channels]
    rng = np.random.default_rng(0)
    tb = brain.rows.vectors[:, : len(names)]
    some = rng.choice(len(tb), min(OUTLIER_PIXELS, len(tb)), replace=False)
    parts = int(np.clip(len(some) // (PIXELS_PER_COMPONENT * len(names)), 1, COMPONENTS))
    return fit_outlier_test(tb[some], names, components=parts)
