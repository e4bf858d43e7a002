"""From a finished run to published models: one trunk, and a card for every name."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xrain.models.card import CardChannel, ModelCard
from xrain.models.export import save_model, save_tensors
from xrain.models.rain_classes import classes
from xrain.models.registry import add_to_registry
from xrain.models.store import Model
from xrain.models.unet import ConstellationUNet
from xrain.sensors import Channel
from xrain.training.outlier_test import COMPONENTS, fit_outlier_test
from xrain.training.samples import Shard, valid_ranges

CONSTELLATION = "constellation-unet"

CREDITS = (
    "GPM level 1C layout and sensor constants: NASA and JAXA",
    "ERA5: Copernicus Climate Change Service",
    "TLP-R2S matchups: University of Minnesota",
    "GPM combined radar-radiometer rain (2B.GPM.DPRGMI): NASA and JAXA",
    "ocean winds, vapour and cloud: Remote Sensing Systems",
    "radar composites that the storms are like, or are taken from: MRMS (NOAA), OPERA (EUMETNET)",
)

OUTLIER_PIXELS = 60_000
"""Pixels of each sensor from which the test of unusual input is made."""

PIXELS_PER_COMPONENT = 40
"""Pixels per channel that a component of that test needs at least, with a margin of two."""

SIMULATED = (
    "learned from simulated swaths alone, by a simulator fitted to real GMI pixels of half the days"
)
MIXED = (
    "learned from simulated swaths and from real GMI pixels that DPR saw, whose rates end at "
    "20 mm/h; other instruments share in the latter through the channels near to GMI's"
)
NATURAL = (
    "learned from real GMI pixels over the United States beside CORRA's nadir rays, from pixels of "
    "the globe matched with DPR, CloudSat and ERA5, and under other instruments' channels by "
    "translation; what neighbours add from simulated swaths and from lines of the former"
)
PREVALENCE = "probabilities hold for rain as frequent as over the United States; prior= shifts them"
UNSEEN = "snowfall at the ground, warm shallow rain and rain over mountains are hardly represented"
AS_REFERENCE = (
    "what the reference does not see, such as rain under its threshold, counts as dry; where it "
    "errs, so do these rates"
)

LIMITS = (
    "rates are averages over a footprint (37 GHz, sounders 89 GHz), not at a point",
    "probabilities assume rain as frequent as in training",
)


def describe_data(stores: Sequence[Mapping[str, Any]], simulated: float) -> str:
    """Say in a phrase what a run learned from: stores, and a share of simulated batches."""
    swaths = "simulated swaths of storms and dry scenes, physics moved about"
    parts = [
        f"{s['sensor']} beside {s['reference']} {s['reference_version']}, {s['granules']} "
        f"{'granules' if s['observed'] else 'simulated granules'} of {s['first'][:10]} to "
        f"{s['last'][:10]}"
        for s in stores
    ]
    if simulated and stores:
        swaths = f"in {simulated:.0%} of the batches {swaths}"
    return "; ".join(parts + [swaths] * bool(simulated))


def _references(training: Mapping[str, Any]) -> list[str]:
    """Credit the references of the stores."""
    found = {f"{s['reference']} {s['reference_version']}" for s in training["stores"]}
    return [f"rain beside the swaths: {name}" for name in sorted(found)]


def limits(training: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what weights cannot do, by what they learned from."""
    if training.get("transects"):
        return NATURAL, UNSEEN, LIMITS[0], PREVALENCE
    if training["stores"]:
        return f"learned from {training['data']}", AS_REFERENCE, *LIMITS
    return MIXED if training["matchups"] else SIMULATED, UNSEEN, *LIMITS


def class_frequencies(samples: Mapping[str, Shard], edges: Sequence[float]) -> list[float]:
    """Share of each rain class in the samples, the dry class first; none is zero."""
    import torch

    counts = np.ones(len(edges))
    for shard in samples.values():
        found = classes(torch.from_numpy(shard.rain), edges).numpy()
        counts += np.bincount(found[found >= 0], minlength=len(edges))
    return [float(x) for x in counts / counts.sum()]


def outlier_tests(
    samples: Mapping[str, Shard],
    channels: Mapping[str, Sequence[Channel]],
    seen: Mapping[str, npt.NDArray[np.float32]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Describe usual input by sensor; see :func:`xrain.training.outlier_test.fit_outlier_test`.

    Real pixels that were `seen`, (pixel, channel) by sensor, make up half of what is usual.
    """
    rng = np.random.default_rng(seed)
    out = {}
    for name, shard in samples.items():
        names = [c.name for c in channels[name]]
        tb = shard.tb.reshape(-1, len(names))
        real = (seen or {}).get(name)
        if real is not None:
            half = min(OUTLIER_PIXELS // 2, tb.shape[0])
            tb = tb[rng.choice(tb.shape[0], half, replace=False)]
            tb = np.concatenate([tb, real[rng.integers(0, len(real), half)].astype(tb.dtype)])
        some = rng.choice(tb.shape[0], min(OUTLIER_PIXELS, tb.shape[0]), replace=False)
        parts = int(np.clip(len(some) // (PIXELS_PER_COMPONENT * len(names)), 1, COMPONENTS))
        few = tb[some].astype(np.float32)
        out[name] = fit_outlier_test(few, names, components=parts, seed=seed)
    return out


@dataclasses.dataclass(frozen=True)
class PixelFacts:
    """What is known of a single-pixel branch that was trained before the run.

    Attributes
    ----------
    climate : tuple of float
        Frequency of every rain class for which its probabilities hold.
    threshold : float
        Probability above which precipitation is detected.
    training : dict
        What it learned from, for the cards.
    """

    climate: tuple[float, ...]
    threshold: float
    training: dict[str, Any]


def publish(
    network: ConstellationUNet,
    samples: Mapping[str, Shard],
    channels: Mapping[str, Sequence[Channel]],
    root: Path,
    *,
    version: int,
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
    real: Callable[[Model], Mapping[str, Any]] | None = None,
    seen: Mapping[str, npt.NDArray[np.float32]] | None = None,
    registry: Path | None = None,
    pixels: PixelFacts | None = None,
) -> list[ModelCard]:
    """Write the network under its constellation name and one name per sensor.

    With GMI goes ``gmi-drain``: the same weights with the four channels of DRAIN.

    Parameters
    ----------
    network : ConstellationUNet
        The trained network.
    samples : mapping of str to Shard
        Training samples by sensor; for the prior and the valid ranges.
    channels : mapping of str to sequence of Channel
        Channels of the samples by sensor.
    root : Path
        Folder that holds the shared weights and a folder for each name.
    version : int
        Version of every name.
    training, scores : mapping
        What the cards say of the run, and scores by sensor.
    real : callable, optional
        Gives the finished model's scores on real data by sensor.
    seen : mapping, optional
        Brightness temperatures of real pixels that training saw, (pixel, channel) by sensor.
    registry : Path, optional
        Registry file to enter the models into; by default ``registry.json`` in `root`.
    pixels : PixelFacts, optional
        Of the single-pixel branch; by default its probabilities hold for the samples.

    Returns
    -------
    list of ModelCard
        The cards as written.
    """
    tensors = dict(network.state_dict())
    trunk = save_tensors(root / f"{CONSTELLATION}-{version}.safetensors", tensors)
    prior = pixels.climate if pixels else class_frequencies(samples, network.config.edges)
    training = {**training, **(pixels.training if pixels else {})}
    common: dict[str, Any] = {
        "version": version,
        "architecture": network.config.to_dict(),
        "rates": network.config.edges,
        "halo": network.config.halo,
        "stride": network.config.stride,
        "limits": limits(training),
        "event_frequency": 1.0 - prior[0],
        "prior": tuple(prior),
        "threshold": pixels.threshold if pixels else 0.5,
        "training": {**training, "credits": [*CREDITS, *_references(training)]},
    }
    heard = {n: _heard(s.tb) for n, s in samples.items()}
    shown = {n: dataclasses.replace(s, tb=s.tb[..., heard[n]]) for n, s in samples.items()}
    known = {n: list(itertools.compress(channels[n], mask)) for n, mask in heard.items()}
    usual = outlier_tests(shown, known, {n: tb[:, heard[n]] for n, tb in (seen or {}).items()})
    ranges = valid_ranges(shown, known)
    cards = [_constellation_card(common | {"ranges": ranges, "outliers": usual})]
    for name, shard in shown.items():
        own = {"ranges": valid_ranges({name: shard}, known), "outliers": {name: usual[name]}}
        cards.append(_sensor_card(name, channels[name], common | own))
    cards += _drain_cards(shown, known, common)
    every = {"simulated": scores, "real": real(Model(cards[0], network)) if real else {}}
    out = []
    for card in cards:
        card = dataclasses.replace(card, scores=_scores_of(card.sensor, every))
        folder = root / f"{card.name}-{version}"
        out.append(save_model(folder, card, tensors, trunk=trunk))
        add_to_registry(registry or root / "registry.json", root, folder)
    return out


def _heard(tb: npt.NDArray[np.float16]) -> npt.NDArray[np.bool_]:
    """Tell channels that have values from those whose receiver has died, shape (channel,)."""
    return np.asarray(np.isfinite(tb).any((0, 1, 2)))


def _scores_of(sensor: str | None, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Scores of one instrument, or of all, by kind; no kind without any."""
    kept = {
        kind: {k: v for k, v in found.items() if sensor in (None, k)}
        for kind, found in scores.items()
    }
    return {kind: found for kind, found in kept.items() if found}


def _constellation_card(facts: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        name=CONSTELLATION,
        summary="Rain from whatever microwave channels there are, by one network for all sensors",
        **facts,
    )


def _sensor_card(sensor: str, channels: Sequence[Channel], facts: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        name=f"{sensor.lower()}-unet",
        summary=f"Rain from {sensor} swaths",
        sensor=sensor,
        inputs=tuple(CardChannel.from_channel(c) for c in channels),
        **facts,
    )


DRAIN = ("36.64V", "36.64H", "89.0V", "89.0H")
"""Channels of GMI in DRAIN (Viltard et al. 2023, https://arxiv.org/abs/2303.01220)."""


def _drain_cards(
    samples: Mapping[str, Shard],
    channels: Mapping[str, Sequence[Channel]],
    facts: Mapping[str, Any],
) -> list[ModelCard]:
    """Describe the network with the channels of DRAIN, if GMI has learned with all of them."""
    kept = [k for k, c in enumerate(channels.get("GMI", ())) if c.name in DRAIN]
    if len(kept) < len(DRAIN):
        return []
    some = [channels["GMI"][k] for k in kept]
    shard = {"GMI": dataclasses.replace(samples["GMI"], tb=samples["GMI"].tb[..., kept])}
    own = {
        "ranges": valid_ranges(shard, {"GMI": some}),
        "outliers": outlier_tests(shard, {"GMI": some}),
        "scores": {},  # those at hand are of all channels
    }
    card = _sensor_card("GMI", some, {**facts, **own})
    summary = f"{card.summary}, with the channels of DRAIN ({', '.join(DRAIN)})"
    return [dataclasses.replace(card, name="gmi-drain", summary=summary)]
