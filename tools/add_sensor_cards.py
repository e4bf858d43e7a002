"""Give radiometers that no training knew a name of the one network, as a model card of their own.

``python tools/add_sensor_cards.py --samples FOLDER [--sensors MWI,AMSR3,…] [--patches 24]``
simulates swaths in the geometry of each (kept in FOLDER), which with the training ranges say what
is usual, and writes ``NAME-unet`` with the shared weights. What real pixels say is then measured
and put on the cards by ``tools/score_cards.py``.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from xrain.models.card import CardChannel, ModelCard
from xrain.models.export import save_model
from xrain.models.outliers import FEWEST, OutlierTest
from xrain.models.registry import add_to_registry
from xrain.models.store import PACKAGED, REGISTRY_FILE, load_card
from xrain.sensors import Channel, get_sensor
from xrain.sensors.describe import describe_channel
from xrain.training.export import CONSTELLATION, outlier_tests
from xrain.training.samples import Plan, load_samples, make_samples, valid_ranges

SENSORS = "MWI,AMSR3,TMS,MWS,AWS,MWRI,MWHS"
SEED = 7
"""Of the swaths that say what is usual."""

UNHEARD = (
    "the network knows the instrument's channels by their frequency, polarization and side bands "
    "alone: no observation of it was in training, and its card tells what the table assumes"
)


def add_card(name: str, folder: Path, patches: int) -> ModelCard:
    """Write the card of one instrument."""
    common = load_card(CONSTELLATION)
    sensor, channels = get_sensor(name), {name: get_sensor(name).channels}
    plan = Plan((name,), 1, 64, SEED, per_shard=patches)
    make_samples(folder, plan, workers=1)
    usual = load_samples(folder, plan)
    assumed = sorted({a for c in sensor.channels for a in c.assumed} | {*sensor.assumed})
    card = dataclasses.replace(
        common,
        name=f"{name.lower()}-unet",
        summary=f"Rain from {name} swaths, by the one network for all sensors",
        sensor=name,
        inputs=tuple(CardChannel.from_channel(c) for c in sensor.channels),
        ranges=_joined(valid_ranges(usual, channels), common.ranges),
        outliers=_borrowed(common, [c.name for c in sensor.channels])
        or outlier_tests(usual, channels),
        training={**common.training, "assumed": assumed},
        limits=(UNHEARD, *common.limits),
        scores={},
    )
    trunk = PACKAGED / f"{CONSTELLATION}-{card.version}.safetensors"
    target = PACKAGED / f"{card.name}-{card.version}"
    out = save_model(target, card, load_file(trunk), trunk=trunk)
    add_to_registry(REGISTRY_FILE, PACKAGED, target)
    return out


def _joined(own: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Widen ranges by those of the nearest channel that training knew, real pixels among them."""
    out = {}
    for name, (low, high) in own.items():
        wanted = describe_channel(name)
        near = min(map(describe_channel, known), key=lambda c: _unlike(c, wanted)).name
        out[name] = (min(low, known[near][0]), max(high, known[near][1]))
    return out


def _unlike(channel: Channel, wanted: Channel) -> tuple[float, float, bool]:
    return (
        round(abs(math.log(channel.frequency / wanted.frequency)), 2),
        abs(channel.sideband_offset - wanted.sideband_offset),
        channel.polarization[-1] != wanted.polarization[-1],
    )


def _borrowed(common: ModelCard, names: list[str]) -> dict[str, Any]:
    """Take the test of the instrument that shares most channels, which has seen real pixels too."""
    laid = {k: OutlierTest.from_dict(v, names) for k, v in common.outliers.items()}
    best = max(laid, key=lambda k: (len(laid[k].columns), -laid[k].fitted))
    return {best: common.outliers[best]} if len(laid[best].columns) >= FEWEST else {}


def main() -> None:
    """Write the cards of some instruments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--sensors", default=SENSORS)
    parser.add_argument("--patches", type=int, default=24)
    args = parser.parse_args()
    for name in args.sensors.split(","):
        card = add_card(name, args.samples, args.patches)
        print(card.id, card.ranges, flush=True)


if __name__ == "__main__":
    main()
