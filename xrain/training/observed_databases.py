"""Databases for Bayesian inversion of real pixels, in the channels of any radiometer.

Pixels of transects keep the weight that they have in nature, so that rain is as frequent as it is
there; matched pixels of the whole globe are few beside them, and weighted to the same frequency.
Radiometers that no radar was matched with see the same pixels through
:mod:`xrain.training.translation`. Simulated ice sheets, dry, tell cold ground from ice aloft.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrain.atomic import replacing
from xrain.conventions import EVENT_RATE
from xrain.evaluation.card_scores import KEPT_APART, card_scores, kept_apart_scores
from xrain.evaluation.pixel_scores import RATE_EVENT
from xrain.evaluation.pixels import LEVELS, Pixels
from xrain.evaluation.scorecard import Settings
from xrain.models.bayes import SURFACES
from xrain.models.card import ModelCard
from xrain.models.rain_classes import EDGES
from xrain.retrieval.engine import Engine
from xrain.sensors import Sensor, get_sensor, packaged_sensors
from xrain.training.brain import Brain, Recipe, make_brain
from xrain.training.covariance import Fit
from xrain.training.databases import as_pixels, publish_brain
from xrain.training.matched_pixels import RealPixels
from xrain.training.observed import Observed, find_source, read_observed
from xrain.training.pixel_batches import ICE_COLUMNS, keep_library
from xrain.training.translation import Library, Translator, make_library, simulate_ice_sheets
from xrain.training.vectors import Vectors, is_cross_track, lay_out

__all__ = [
    "NATURAL",
    "kept_apart_pixels",
    "kept_apart_rows",
    "make_databases",
    "natural_pixels",
    "natural_rows",
    "publish_natural",
    "score_natural",
    "with_columns",
]

NATURAL = Recipe(dry=6000, fit=Fit(steps=200, batch=512))
"""How to make a database of pixels as frequent in rain as nature."""

MATCHED = 0.12
"""Weight of all matched pixels of one table beside that of all transects."""

ICE, ICE_ACROSS = 0.02, 0.08
"""Weight of all simulated ice sheets beside that of all transects; the second for cross-track
scanners, to which they look most like rain: about the share of the Earth under ice."""

TABLES = (("events0", 0), ("rain", 1), ("snow", 1))
"""Tables of matched pixels and the stage that each serves: detection, or the rate."""

COLD, FREEZING = 0.06, 273.0
"""Weight of all cold pixels of the other tables of events beside that of all transects, and the
temperature at 2 m in K below which a pixel is cold: the transects hardly have such pixels."""

MATCHED_COLD, SHEETS = -1, 1
"""Kinds of rows that clusters of their own are made of: cold matched pixels, and ice sheets. Errors
are not fitted to the former: by them alone rain and snow can hardly be told, so they would widen
the errors everywhere."""

BLOCK, FOLDS = 13, 5
"""Overpasses or days that stay together, and parts of which one is kept apart to judge by."""

SPLIT = f"every fifth block of {BLOCK} overpasses or days, of which no database is made"

LIMITS = (
    "probability is that of at least 0.1 mm/h, with rain as frequent as over the United States "
    "along the track of the radar; prior= shifts it",
    "rates are those of a radar's footprint of 5 km; above 10 mm/h about a third are found",
)

TRANSLATED = (
    "no radar was matched with this instrument: it sees real GMI pixels through simulated "
    "differences between the channels, and its scores are those of such pixels",
)

CREDITS = (
    "GPM combined radar-radiometer rain (2B.GPM.DPRGMI): NASA and JAXA",
    "TLP-R2S matchups: University of Minnesota",
)

Report = Callable[[dict[str, Any]], None]


def make_databases(
    output: Path,
    transects: Sequence[str],
    tables: Sequence[str],
    *,
    sensors: Sequence[str] = (),
    seed: int = 1,
    version: int = 1,
    cache: Path | None = None,
    recipe: Recipe | None = None,
    report: Report | None = None,
) -> list[ModelCard]:
    """Make databases of real pixels, and write them below ``output / "models"``.

    Parameters
    ----------
    output : Path
        Folder of the run.
    transects, tables : sequence of str
        Files of real pixels; see :func:`xrain.training.observed.read_observed`.
    sensors : sequence of str
        Instruments, all by default.
    seed : int
        Random seed of the simulated columns.
    version : int
        Version of the models.
    cache : Path, optional
        Where simulated columns are kept, by default in `output`.
    recipe : Recipe, optional
        How to make a database, by default :data:`NATURAL`.
    report : callable, optional
        Called with the facts of each database.

    Returns
    -------
    list of ModelCard
        A card for each instrument.
    """
    recipe = recipe or NATURAL
    observed = read_observed(transects, tables)
    source = find_source(observed)
    every = (source, *(s.name for s in packaged_sensors().values() if s.name != source))
    folder = cache or output
    folder.mkdir(parents=True, exist_ok=True)
    library = keep_library(folder / "columns.npz", lambda: make_library(tables, every, seed))
    ice = keep_library(folder / "ice.npz", lambda: simulate_ice_sheets(ICE_COLUMNS, every, seed))
    translator = Translator(library, source)
    observed = with_columns(observed, translator, folder / "nearest.npz")
    names = {
        "data": "real pixels with rain of radars, and simulated ice sheets",
        "transects": [Path(p).name for p in transects],
        "matchups": [Path(p).name for p in tables],
        "seed": seed,
    }
    cards = []
    for sensor in map(get_sensor, sensors or every):
        begun = time.monotonic()
        rows = natural_rows(sensor, observed, translator, ice, recipe.seed)
        apart = kept_apart_rows(rows)
        brain = make_brain(sensor, rows.pick(~apart), recipe)
        judged = rows.pick(apart & natural_pixels(rows))
        facts = names | {"seconds": round(time.monotonic() - begun)}
        cards.append(publish_natural(brain, judged, output / "models", source, version, facts))
        if report is not None:
            report({"database": cards[-1].id, "entries": len(brain.inversion.rate)})
    return cards


def with_columns(observed: Observed, translator: Translator, path: Path) -> Observed:
    """Find the simulated columns most like each pixel, or read from a file what was found before.

    Parameters
    ----------
    observed : Observed
        Real pixels.
    translator : Translator
        What finds the columns.
    path : Path
        File in which they are kept.
    """
    if not path.exists():
        found = {k: translator.nearest(t.tb, t.land) for k, t in observed.tables.items()}
        with replacing(path) as draft, open(draft, "wb") as stream:
            np.savez(stream, **found)  # type: ignore[arg-type]
    with np.load(path) as kept:
        return dataclasses.replace(observed, columns={k: kept[k] for k in kept.files})


# ---- rows


def natural_rows(
    sensor: Sensor, observed: Observed, translator: Translator, ice: Library, seed: int = 0
) -> Vectors:
    """Lay out real pixels as rows of a database.

    Parameters
    ----------
    sensor : Sensor
        The instrument, of which the library of `translator` knows the channels.
    observed : Observed
        Real pixels, with the simulated columns most like each.
    translator : Translator
        What shows them in the instrument's channels.
    ice : Library
        Simulated ice sheets, dry.
    seed : int
        Random seed.

    Returns
    -------
    Vectors
        Rows, those of one overpass or day as one group; the transects come first.
    """
    rng = np.random.default_rng((seed, 21))
    groups = _groups(observed)

    def rows(name: str, warmest: float = np.inf) -> Vectors:
        table = observed.tables[name]
        chosen = table.t2m < warmest
        shown = observed.show(name, np.flatnonzero(chosen), sensor.name, translator, rng)
        rate = _rates(table)[chosen]
        return lay_out(sensor, shown.tb, rate, shown.land, shown.angle, groups[name][chosen])

    natural = rows("transects")
    total, wet = len(natural), float(natural.wet.mean())
    parts = [natural]
    parts += [_weighted(rows(n), stage, MATCHED * total, wet) for n, stage in TABLES]
    if cold := [rows(n, FREEZING) for n in _cold_tables(observed)]:
        parts.append(_of_kind(_weighted(Vectors.join(cold), 0, COLD * total, wet), MATCHED_COLD))
    weight = ICE_ACROSS if is_cross_track(sensor) else ICE
    start = 1 + max(int(g.max()) for g in groups.values())
    parts.append(_of_kind(_ice_rows(sensor, ice, weight * total, start), SHEETS))
    return Vectors.join(parts)


def _cold_tables(observed: Observed) -> list[str]:
    """Tables of events whose cold pixels count: all but the first."""
    return [f"events{k}" for k in range(1, len(observed.events))]


def _groups(observed: Observed) -> dict[str, NDArray[np.int64]]:
    """Count overpasses and days through all tables; cold pixels of one day are one group."""
    out, start = {}, 0
    for name in ("transects", *dict(TABLES)):
        day = observed.tables[name].day
        out[name] = day - day.min() + start
        start = int(out[name].max()) + 1
    days = {name: observed.tables[name].day for name in _cold_tables(observed)}
    first = min((int(day.min()) for day in days.values()), default=0)
    return out | {name: day - first + start for name, day in days.items()}


def _rates(table: RealPixels) -> NDArray[np.float32]:
    """Rain rate, or where only an event is known 0 for none and the lowest class for one."""
    event = np.where(table.event > 0, 1.01 * EDGES[0], 0.0)
    event = np.where(np.isnan(table.event), np.nan, event)
    return np.where(np.isnan(table.rate), event, table.rate).astype(np.float32)


def _of_kind(rows: Vectors, kind: int) -> Vectors:
    return dataclasses.replace(rows, kind=np.full(len(rows), kind, np.int8))


def _weighted(rows: Vectors, stage: int, total: float, wet: float) -> Vectors:
    """Let rows count in one stage alone, with a weight in all and a share of rain."""
    population = np.zeros_like(rows.population)
    if stage == 0:
        for mask, share in ((rows.wet, wet), (~rows.wet, 1.0 - wet)):
            population[mask, 0] = total * share / max(mask.sum(), 1)
    else:
        population[rows.wet, 1] = total * wet / max(rows.wet.sum(), 1)
    return dataclasses.replace(rows, population=population).pick(population.any(axis=1))


def _ice_rows(sensor: Sensor, ice: Library, total: float, start: int) -> Vectors:
    count = len(ice.land)
    every = np.arange(count)
    population = np.stack([np.full(count, total / count), np.zeros(count)], axis=1)
    return lay_out(
        sensor, ice.tb[:, ice.columns(sensor.name)], np.zeros(count), ice.land,
        ice.angles(every, sensor.name), start + every // 50, population,
    )  # fmt: skip


def kept_apart_rows(rows: Vectors) -> NDArray[np.bool_]:
    """Tell the rows that no database is made of: of every five blocks of groups the last."""
    return _is_kept_apart(rows.group)


def kept_apart_pixels(observed: Observed, name: str) -> NDArray[np.bool_]:
    """Tell the pixels of a table that no database is made of.

    Parameters
    ----------
    observed : Observed
        All pixels.
    name : str
        A table of :attr:`xrain.training.observed.Observed.tables`.
    """
    return _is_kept_apart(_groups(observed)[name])


def _is_kept_apart(group: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((group // BLOCK) % FOLDS == FOLDS - 1)


def natural_pixels(rows: Vectors) -> NDArray[np.bool_]:
    """Tell the rows of transects, each of which stands for one pixel."""
    return np.asarray(rows.population[:, 0] == 1)


# ---- scores and cards


def score_natural(brains: Sequence[Brain], parts: Sequence[Vectors]) -> dict[str, Any]:
    """Score inversions on pixels as frequent in rain as nature, each on its part of them.

    Parameters
    ----------
    brains : sequence of Brain
        Inversions.
    parts : sequence of Vectors
        Rows of transects, along the track, that the inversion of the same place has not seen.

    Returns
    -------
    dict
        Scores by surface, as of :func:`xrain.evaluation.card_scores.card_scores`.
    """
    pixels = [_estimates(b, p) for b, p in zip(brains, parts, strict=True)]
    return card_scores(Pixels.join(pixels), Settings())


def _estimates(brain: Brain, rows: Vectors) -> Pixels:
    """List what an inversion says of rows beside their rain."""
    engine = Engine(brain.inversion, brain.sensor.channels, LEVELS)
    found, given = engine.single_pixels(as_pixels(brain, rows), conditions=(False, True))
    rate = rows.rate.astype(np.float64)
    return Pixels(
        found.mean.astype(np.float64),
        found.probability.astype(np.float64),
        found.detected.astype(np.float64),
        quantiles=dict(zip(LEVELS, found.quantiles.astype(np.float64), strict=True)),
        rate=rate,
        event=(rows.rate >= np.float32(EVENT_RATE)).astype(np.float64),
        groups=rows.group,
        surfaces={name: rows.surface == k for k, name in enumerate(SURFACES)},
        mean_given_rain=given.mean.astype(np.float64),
    )


def publish_natural(
    brain: Brain,
    judged: Vectors,
    root: Path,
    source: str,
    version: int,
    training: Mapping[str, Any],
) -> ModelCard:
    """Judge a database by transects kept apart, and write it.

    Parameters
    ----------
    brain : Brain
        What :func:`xrain.training.brain.make_brain` made of :func:`natural_rows`.
    judged : Vectors
        Rows of transects that it has not seen.
    root : Path
        Folder that will hold a folder for the model.
    source : str
        The radiometer that observed the pixels.
    version : int
        Version of the model.
    training : mapping
        What the card says of the data.
    """
    name = brain.sensor.name
    kind = "transects" if name == source else "translated"
    facts = {
        **training,
        "sensors": [name],
        "pixels": len(brain.rows),
        "kept_apart": SPLIT,
        "credits": list(CREDITS),
    }
    told = {
        "data": ", ".join(training["transects"]),
        "seen_as": name if name == source else f"translated to {name}",
        "split": SPLIT,
        "event": RATE_EVENT,
        "groups": len(np.unique(judged.group)),
        "interval": "95 %, over drawn overpasses",
    }
    found = kept_apart_scores(told, {"table": score_natural([brain], [judged])})
    return publish_brain(
        brain, root, version=version, training=facts,
        limits=LIMITS if name == source else (*LIMITS, *TRANSLATED),
        scores={KEPT_APART: {kind: found}},
    )  # fmt: skip
