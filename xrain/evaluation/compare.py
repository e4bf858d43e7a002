"""Retrievals side by side: the same granules, the same pixels, one reference."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import CHANNEL, LATITUDE, LONGITUDE, SCAN, SURFACE_PRECIP, TIME
from xrain.errors import InputError
from xrain.evaluation.evaluate import estimate_of, reference_rate, sum_retrieval
from xrain.evaluation.pixels import LEVELS
from xrain.evaluation.scenes import Scene, SceneSource, scene_source
from xrain.evaluation.score_sums import THRESHOLDS, ScoreSums
from xrain.evaluation.scores import paired_differences, scores_from_sums
from xrain.evaluation.training_data import source_names, training_note
from xrain.models.store import Model, load_model
from xrain.reference.collocated import ReferenceFiles
from xrain.retrieval.dataset import retrieve

__all__ = ["Comparison", "compare"]

WINDOW = 240
"""Scans of the scene that is drawn: those with most rain."""

FEW_PIXELS, FEW_EVENTS, FEW_GROUPS = 5000, 500, 10
"""Fewer than so many prove the path only, or leave intervals that mean little."""


@dataclass
class Comparison:
    """What came out, ready to be printed, written and drawn.

    Attributes
    ----------
    reference : str
        What the estimates were compared with, for people.
    granules : list of dict
        Name, sensor, platform, time and number of pixels that count of each granule.
    competitors : dict of str to dict
        Facts of each estimate: model, version, sha256, or product and files.
    scores : dict of str to xarray.Dataset
        Scores of each estimate; see :func:`xrain.evaluation.scores.scores_from_sums`.
    scene : dict of str to xarray.Dataset
        Reference and estimates over the scans with most rain.
    differences : dict of str to xarray.Dataset
        Scores of each later estimate minus those of the first; see
        :func:`xrain.evaluation.scores.paired_differences`.
    notes : list of str
        What a reader must know before believing a figure.

    See Also
    --------
    xrain.compare : Makes one.
    xrain.evaluation.report.write_comparison : A report of it.
    """

    reference: str
    granules: list[dict[str, Any]] = field(default_factory=list)
    competitors: dict[str, dict[str, Any]] = field(default_factory=dict)
    scores: dict[str, xr.Dataset] = field(default_factory=dict)
    scene: dict[str, xr.Dataset] = field(default_factory=dict)
    differences: dict[str, xr.Dataset] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Running:
    """What is kept from granule to granule."""

    sums: dict[str, ScoreSums] = field(default_factory=dict)
    scene: dict[str, xr.Dataset] = field(default_factory=dict)
    most_rain: float = -1.0
    granules: list[dict[str, Any]] = field(default_factory=list)
    simulated: bool = False
    dropped: Counter[str] = field(default_factory=Counter)


def compare(
    granules: Sequence[str | os.PathLike[str]],
    models: Sequence[str | os.PathLike[str] | Model],
    reference: str | Sequence[str | os.PathLike[str]] | None = None,
    *,
    also: Sequence[str | os.PathLike[str]] = (),
    bootstrap: int = 200,
    seed: int = 0,
    device: str | None = None,
    progress: Callable[[Path], None] | None = None,
) -> Comparison:
    """Compare retrievals, and products, on the pixels that all of them and the reference have.

    Granules are taken one after the other: a year of them needs no more memory than one.

    Parameters
    ----------
    granules : sequence of path
        L1C granules of one radiometer; or stores of collocated samples, whose test patches count,
        and files of transects.
    models : sequence of str, path or Model
        Models as for :func:`xrain.retrieve`.
    reference : "truth" or sequence of path, optional
        The truth beside simulated granules, or files of a reference of any kind; those that
        overlap an L1C granule in time are collocated with it. None for stores and transects,
        which hold their own.
    also : sequence of path
        Products that take part as if they were models, such as 2A GPROF granules of the same
        orbits.
    bootstrap, seed : int
        As in :func:`xrain.evaluation.scores.scores_from_sums`.
    device : str, optional
        Where to compute.
    progress : callable, optional
        Called with each granule that is done.

    Returns
    -------
    Comparison
        Scores, a scene and notes.

    Raises
    ------
    FileFormatError, InputError, ModelError
        If a granule, a product, a truth or a model will not do.

    See Also
    --------
    xrain.evaluation.evaluate.evaluate : One retrieval.
    xrain.evaluation.report.write_comparison : A report of the result.
    xrain.match_reference : The reference on the pixels.

    References
    ----------
    Wilks, D. S., 2019: *Statistical Methods in the Atmospheric Sciences*, 4th ed., ch. 5 and 9.

    Examples
    --------
    >>> import xrain
    >>> granule = xrain.simulate_granule("mhs", "storm.HDF5", scans=48)
    >>> found = xrain.compare([granule], ["mhs-unet", "mhs-brain"], "truth", bootstrap=0)
    >>> len(found.scores)
    2
    """
    paths = [Path(p) for p in granules]
    if not paths or not (models or also):
        raise InputError("a comparison needs at least one granule and one model or product")
    loaded = _named([m if isinstance(m, Model) else load_model(m) for m in models], models)
    source = scene_source(reference, paths)
    products = _products(also)
    if clash := set(loaded) & set(products):
        raise InputError(f"model and product have the same name: {', '.join(clash)}")
    running = _Running()
    for path in paths:
        for scene in source.scenes(path):
            _take(running, scene, loaded, products, source, device)
        if progress is not None:
            progress(path)
    scores = {
        name: scores_from_sums(sums, bootstrap=bootstrap, seed=seed)
        for name, sums in running.sums.items()
    }
    first, *others = running.sums
    differences = {
        name: paired_differences(
            running.sums[name], running.sums[first], bootstrap=bootstrap, seed=seed
        )
        for name in others
    }
    facts = {name: _model_facts(m) for name, m in loaded.items()}
    facts |= {name: {"product": p.label, "files": p.names} for name, p in products.items()}
    names = [n for p in paths for n in source_names(p)]
    told = (training_note(m.card, names) for m in loaded.values())
    notes = [*_notes(running, scores, source), *(note for note in told if note)]
    return Comparison(
        source.label, running.granules, facts, scores, running.scene, differences, notes
    )


def _named(
    loaded: Sequence[Model], given: Sequence[str | os.PathLike[str] | Model]
) -> dict[str, Model]:
    """Name models by their cards, with the version or the given name where that is not enough."""
    names = [m.card.name for m in loaded]
    if len(set(names)) < len(names):
        names = [f"{m.card.name}@{m.card.version}" for m in loaded]
    if len(set(names)) < len(names):
        names = [
            m.card.name if isinstance(g, Model) else str(g)
            for m, g in zip(loaded, given, strict=True)
        ]
    if len(set(names)) < len(names):
        raise InputError(f"a model is named twice: {', '.join(names)}")
    return dict(zip(names, loaded, strict=True))


def _products(files: Sequence[str | os.PathLike[str]]) -> dict[str, ReferenceFiles]:
    """Group product files by product."""
    by_label: dict[str, list[str | os.PathLike[str]]] = {}
    for file in files:
        by_label.setdefault(ReferenceFiles([file]).label, []).append(file)
    return {label: ReferenceFiles(group) for label, group in by_label.items()}


def _model_facts(model: Model) -> dict[str, Any]:
    card = model.card
    return {
        "model": card.name,
        "version": card.version,
        "sha256": card.sha256,
        "summary": card.summary,
    }


def _take(
    running: _Running,
    scene: Scene,
    models: dict[str, Model],
    products: dict[str, ReferenceFiles],
    source: SceneSource,
    device: str | None,
) -> None:
    """Retrieve and score one scene."""
    ds, reference = scene.swath, scene.reference
    estimates = {
        name: retrieve(ds, model, quantiles=LEVELS, device=device).load()
        for name, model in models.items()
    }
    where = {n: ds[n] for n in (LATITUDE, LONGITUDE, TIME)}
    for name, product in products.items():
        found = product.on(scene.name, ds)
        estimates[name] = found.drop_vars(list(found.coords)).assign_coords(where)
    if not scene.dated:
        estimates = {name: rain.drop_vars(TIME) for name, rain in estimates.items()}
    rate = reference_rate(next(iter(estimates.values())), reference)
    common = _common(running, estimates, np.isfinite(rate))
    for name, rain in estimates.items():
        sums = sum_retrieval(rain, reference, name=scene.name, where=common)
        running.sums[name] = running.sums[name].merge(sums) if name in running.sums else sums
    running.simulated |= ds.attrs.get("simulated") not in (None, False, "false") or source.is_truth
    running.granules.append(_granule_facts(scene, rate, common))
    placed = reference[[SURFACE_PRECIP]].drop_vars(list(reference.coords)).assign_coords(where)
    _keep_scene(running, {source.label: placed, **estimates}, np.where(common, rate, 0.0))


def _common(
    running: _Running, estimates: dict[str, xr.Dataset], known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Pixels that have a reference and every estimate; count what each estimate costs."""
    common = known.copy()
    for name, rain in estimates.items():
        there = np.isfinite(estimate_of(rain).rate)
        running.dropped[name] += int((known & ~there).sum())
        common &= there
    return common


def _granule_facts(
    scene: Scene, rate: NDArray[np.float64], common: NDArray[np.bool_]
) -> dict[str, Any]:
    ds = scene.swath
    time = ds[TIME].values
    known = time[~np.isnat(time)] if scene.dated else time[:0]
    start = str(np.datetime_as_string(known.min(), "s")) if known.size else ""
    return {
        "granule": scene.name,
        "sensor": str(ds.attrs.get("sensor", "")),
        "platform": str(ds.attrs.get("platform", "")),
        "start": start,
        "channels": int(ds.sizes[CHANNEL]),
        "pixels": int(common.sum()),
        "raining": int((common & (rate >= THRESHOLDS[0])).sum()),
    }


def _keep_scene(running: _Running, shown: dict[str, xr.Dataset], rate: NDArray[np.float64]) -> None:
    """Keep the stretch of scans with most rain of all granules so far."""
    along = np.concatenate([[0.0], np.cumsum(rate.sum(axis=1))])
    length = min(WINDOW, rate.shape[0])
    rain = along[length:] - along[:-length] if length else np.zeros(0)
    if not rain.size or rain.max() <= running.most_rain:
        return
    running.most_rain = float(rain.max())
    rows = slice(int(rain.argmax()), int(rain.argmax()) + length)
    running.scene = {
        name: ds[[SURFACE_PRECIP]].isel({SCAN: rows}).copy(deep=True) for name, ds in shown.items()
    }


def _notes(running: _Running, scores: dict[str, xr.Dataset], source: SceneSource) -> list[str]:
    """Say what a reader must know before believing a figure."""
    first = next(iter(scores.values()))
    whole = first.sel(stratum="all")
    pixels, events = int(whole["n"]), int(whole["events"])
    notes = []
    if pixels == 0:
        notes.append(
            "No pixel has a reference and every estimate, so there is nothing to score: this "
            "proves only that the files can be read and matched."
        )
    elif pixels < FEW_PIXELS or events < FEW_EVENTS:
        notes.append(
            f"Only {pixels} pixels, {events} of them with rain: this proves the path, not the "
            "skill. No difference between the columns means anything."
        )
    if running.simulated:
        notes.append(
            "The granules are simulated. The truth is exact, but networks and databases were made "
            "with the same simulator: how near it comes to nature is not tested here."
        )
    if not source.is_truth:
        notes.append(
            f"The reference, {source.label}, is itself a retrieval: its errors count as those of "
            "the estimates, and an estimate that was tuned to it gains by that."
        )
    groups, group = first.attrs["groups"], first.attrs["group"]
    if 1 < groups < FEW_GROUPS:
        notes.append(f"Intervals are drawn from {groups} groups ({group}): too few to rely on.")
    lost = [f"{name} {count}" for name, count in running.dropped.items() if count]
    if lost:
        notes.append(
            "Pixels with a reference that do not count because an estimate has no value: "
            + ", ".join(lost)
            + "."
        )
    return notes
