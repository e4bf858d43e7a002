"""Scores of the models on real pixels that they have never seen, for their cards.

Three steps, each of which can be repeated by itself::

    python -m tools.score_cards branches --data DATA -o FOLDS
    python -m tools.score_cards measure --data DATA --folds FOLDS -o SCORES [--models NAME ...]
    python -m tools.score_cards write SCORES

``branches`` teaches the networks' branch for single pixels four times, each time without one part
of the overpasses and days (``FOLDS/0`` to ``FOLDS/3``; an interrupted run goes on). ``measure``
judges every model on the pixels of each part with the branch that has not seen it, a database on
the part that it is not made of, and gradient boosting on the same parts; for each model a file
``SCORES/NAME.json`` is written. ``write`` puts these on the cards and into the registry.

``--body FILE`` gives a branch for neighbours that has not seen the first part, by which lines are
judged; by default that of the packaged weights, which is taught so.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from safetensors.torch import save_file

from tools.score_cards.estimates import boosting, estimate, process, with_branch
from tools.score_cards.truths import PARTS, Truth, part_of, read_truths
from xrain.evaluation.card_scores import KEPT_APART, card_scores, kept_apart_scores
from xrain.evaluation.channel_subset import choose_channels
from xrain.evaluation.matchups import PHASE_EVENT
from xrain.evaluation.pixel_scores import RATE_EVENT
from xrain.evaluation.pixels import Pixels
from xrain.evaluation.scorecard import Settings
from xrain.evaluation.transects import transect_pixels, transect_table
from xrain.io.transects import open_transects, transect_swath
from xrain.models.card import ModelCard
from xrain.models.registry import CARD_FILE, add_to_registry
from xrain.models.store import PACKAGED, REGISTRY_FILE, Model, list_models, load_card, load_model
from xrain.models.trunk import UNetConfig
from xrain.sensors import get_sensor
from xrain.training import observed_databases
from xrain.training.observed import BLOCK_OF_OVERPASSES, Observed, read_observed
from xrain.training.pixel_batches import keep_library
from xrain.training.pixel_stage import PixelSettings, PixelStage
from xrain.training.recipes import RECIPES
from xrain.training.translation import Translator, make_library

STEPS = 7000
SOURCE = "GMI"
LEARNED = RECIPES["constellation"].sensors
TABLES = {"transects": "transects", "rates": "rain", "phases": "events0"}
NETWORK_SPLIT = (
    f"blocks of {BLOCK_OF_OVERPASSES} overpasses, or days, in {PARTS} parts, each judged by a "
    f"branch for single pixels that learned {STEPS} steps from the other parts"
)
COMMAND = "python -m tools.score_cards measure --data DATA --folds FOLDS -o SCORES"
LINES = "; lines on the first part, which the branch for neighbours has not seen either"


class Measured:
    """Judges models on all tables; what several models need is computed once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.truths = read_truths(options.data)
        self.folds, self.body, self.bootstrap = options.folds, options.body, options.bootstrap
        self.output: Path = options.output
        self.output.mkdir(parents=True, exist_ok=True)
        self.options = options
        self._known: dict[tuple[str, ...], dict[str, Any]] = {}

    @functools.cached_property
    def world(self) -> tuple[Observed, Translator]:
        """Real pixels with the simulated columns most like them, and what translates them."""
        recipe, data = RECIPES["brain"], self.options.data
        tables = [str(data / n) for n in recipe.tables]
        observed = read_observed([data / n for n in recipe.transects], tables)
        every = (SOURCE, *(s for s in LEARNED if s != SOURCE))
        library = keep_library(
            self.folds / "columns.npz", lambda: make_library(tables, every, seed=1)
        )
        translator = Translator(library, SOURCE)
        return observed_databases.with_columns(observed, translator, self.folds / "nearest.npz"), (
            translator
        )

    def translated(self, name: str, sensor: str) -> xr.Dataset:
        """Show the pixels of a table as another radiometer would see them."""
        observed, translator = self.world
        truth, table = self.truths[name], TABLES[name]
        rows = np.arange(len(observed.tables[table]))
        assert np.array_equal(observed.tables[table].tb, truth.tb)
        rng = np.random.default_rng((1, 31))
        shown = observed.show(table, rows, sensor, translator, rng)
        place = {n: ("sample", truth.table[n].values) for n in ("latitude", "longitude")}
        angle = {"earth_incidence_angle": ("sample", shown.angle)}
        names = [c.name for c in get_sensor(sensor).channels]
        return xr.Dataset(
            {"tb": (("sample", "channel"), shown.tb)},
            {"channel": names, **place, **angle},
            {"sensor": sensor},
        )

    def score(self, name: str) -> dict[str, Any]:
        """Judge a model; return what its card tells."""
        card = load_card(name)
        if card.architecture["kind"] == "bayesian-inversion":
            return self._database(load_model(name))
        return self._network(load_model(name))

    def _card(self, pixels: Pixels) -> dict[str, Any]:
        return card_scores(pixels, Settings(self.bootstrap))

    def _facts(self, truth: Truth, seen_as: str, split: str, command: str) -> dict[str, Any]:
        event = RATE_EVENT if truth.rate is not None else PHASE_EVENT
        unit = "blocks of overpasses" if truth.smooth is not None else "days"
        facts = {
            "data": truth.source, "seen_as": seen_as, "split": split, "event": event,
            "groups": len(np.unique(truth.groups)), "interval": f"95 %, over drawn {unit}",
            "command": command,
        }  # fmt: skip
        if truth.given_rain:
            facts["condition"] = "given that it rains"
        return facts if truth.prior is None else facts | {"prior": round(truth.prior, 4)}

    # ---- networks

    def _network(self, model: Model) -> dict[str, Any]:
        card = model.card
        sensor = card.sensor or SOURCE
        own = sensor == SOURCE
        judge = model if own else load_model("constellation-unet")
        out = {}
        for name, truth in self.truths.items():
            shown, seen_as = self._seen(truth, card, own)
            found = self._judged(judge, name, truth, shown)
            split = NETWORK_SPLIT + (LINES if name == "transects" else "")
            out[name] = kept_apart_scores(self._facts(truth, seen_as, split, COMMAND), found)
        if not own and sensor in LEARNED:
            truth = self.truths["transects"]
            shown = self.translated("transects", sensor)
            found = {"table": self._parts(model, shown, truth)}
            facts = self._facts(truth, f"translated to {sensor}", NETWORK_SPLIT, COMMAND)
            out["translated"] = kept_apart_scores(facts, found)
        return out

    def _judged(self, judge: Model, name: str, truth: Truth, shown: xr.Dataset) -> dict[str, Any]:
        """Judge a network, and what others do with the same pixels, once for the same channels."""
        channels = [str(c) for c in shown["channel"].values]
        key = (judge.card.name, name, *channels)
        if key not in self._known:
            found = {"table": self._parts(judge, shown, truth)}
            if name == "transects":
                found |= self._lines(judge, truth, shown)
            self._known[key] = found | self._others(name, truth, channels)
        return self._known[key]

    @staticmethod
    def _seen(truth: Truth, card: ModelCard, own: bool) -> tuple[xr.Dataset, str]:
        """Show a table in a network's channels, or in those nearest to its instrument's."""
        names = [str(n) for n in truth.table["channel"].values]
        if own:
            kept = [n for n in names if n in card.channels] or names
            return truth.table.sel(channel=kept), ", ".join((SOURCE, *kept)[: 1 + len(kept)])
        kept = [names[k] for k in choose_channels([str(card.sensor)], names)]
        return truth.table.sel(
            channel=kept
        ), f"{SOURCE}, channels nearest to those of {card.sensor}"

    def _branch(self, k: int) -> Path:
        return Path(self.folds / str(k) / "branch.safetensors")

    def _parts(self, model: Model, shown: xr.Dataset, truth: Truth) -> dict[str, Any]:
        """Judge a network on every part, each with the branch that has not seen it."""
        found = [
            estimate(with_branch(model, self._branch(k)), shown, truth, part)
            for k, part in enumerate(truth.parts())
        ]
        return self._card(Pixels.join(found))

    def _lines(self, model: Model, truth: Truth, shown: xr.Dataset) -> dict[str, Any]:
        """Judge lines of the first part, and the same pixels alone."""
        ds = open_transects(self.options.data / RECIPES["brain"].transects[0])
        kept = [str(c) for c in shown["channel"].values]
        whole = np.isfinite(ds["tb"].values).all(axis=1)
        first = part_of(ds["overpass"].values // BLOCK_OF_OVERPASSES, 0, PARTS)
        part, whole = ds.isel(scan=first).sel(channel=kept), whole[first]
        model = with_branch(model, self._branch(0), self.body)
        out = {}
        for name, swath in (
            ("swath", transect_swath(part)),
            ("table_beside_swath", transect_table(part)),
        ):
            pixels = transect_pixels(swath, part, whole, model, None, "cpu")
            blocks = pixels.groups // BLOCK_OF_OVERPASSES
            out[name] = self._card(dataclasses.replace(pixels, groups=blocks).pick(pixels.scorable))
        return out

    def _others(self, name: str, truth: Truth, channels: list[str]) -> dict[str, Any]:
        """Judge boosting, and for rates with all channels a process, on the same pixels."""
        path = self.output / "others" / f"{name}-{'-'.join(channels)}.json"
        if not path.exists():
            x = truth.table["tb"].sel(channel=channels).values.astype(np.float32)
            found = {"boosting": self._card(boosting(x, truth, truth.parts()))}
            if truth.given_rain and len(channels) == truth.tb.shape[1]:
                found["process"] = self._card(process(x, truth, truth.parts()))
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(found))
        kept: dict[str, Any] = json.loads(path.read_text())
        return kept

    # ---- databases

    def _database(self, model: Model) -> dict[str, Any]:
        """Judge a database on the part of which it is not made."""
        sensor = str(model.card.sensor)
        out = {}
        for name, truth in self.truths.items():
            own = sensor == SOURCE
            shown = truth.table if own else self.translated(name, sensor)
            apart = observed_databases.kept_apart_pixels(self.world[0], TABLES[name])
            x = shown["tb"].values.astype(np.float32)
            found = {
                "table": self._card(estimate(model, shown, truth, apart)),
                "boosting": self._card(boosting(x, truth, [apart])),
            }
            seen_as = sensor if own else f"translated to {sensor}"
            facts = self._facts(truth, seen_as, observed_databases.SPLIT, COMMAND)
            key = "translated" if name == "transects" and not own else name
            out[key] = kept_apart_scores(facts, found)
        return out


# ---- commands


def teach(options: argparse.Namespace) -> None:
    """Teach the branch for single pixels without each of the parts."""
    recipe = RECIPES["constellation"]
    files = [tuple(str(options.data / n) for n in names)
             for names in (recipe.transects, recipe.tables)]  # fmt: skip
    for k in range(PARTS):
        folder = options.output / str(k)
        settings = PixelSettings(*files, recipe.sensors, steps=options.steps, fold=k, folds=PARTS)
        stage = PixelStage(folder, settings, UNetConfig())
        stage.train(lambda facts: print(facts, flush=True))
        tensors = {n: v.contiguous() for n, v in stage.result().state_dict().items()}
        save_file(tensors, folder / "branch.safetensors")


def measure(options: argparse.Namespace) -> None:
    """Judge models, and write a file for each."""
    measured = Measured(options)
    for name in options.models or list_models():
        found = measured.score(name)
        (options.output / f"{name}.json").write_text(json.dumps(found))
        print(name, {k: v["table"]["all"].get("correlation") for k, v in found.items()}, flush=True)


def write(options: argparse.Namespace) -> None:
    """Put what was measured on the cards."""
    for path in sorted(options.scores.glob("*.json")):
        card = load_card(path.stem)
        folder = PACKAGED / f"{card.name}-{card.version}"
        scores = {**card.scores, KEPT_APART: json.loads(path.read_text())}
        dataclasses.replace(card, scores=scores).write(folder / CARD_FILE)
        add_to_registry(REGISTRY_FILE, PACKAGED, folder)


def main() -> None:
    """Do one of the steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("branches")
    one.add_argument("--steps", type=int, default=STEPS)
    one.set_defaults(run=teach)
    two = commands.add_parser("measure")
    two.add_argument("--folds", type=Path, required=True)
    two.add_argument("--models", nargs="*", default=[])
    two.add_argument("--body", type=Path)
    two.add_argument("--bootstrap", type=int, default=200)
    two.set_defaults(run=measure)
    for command in (one, two):
        command.add_argument("--data", type=Path, required=True)
        command.add_argument("-o", "--output", type=Path, required=True)
    three = commands.add_parser("write")
    three.add_argument("scores", type=Path)
    three.set_defaults(run=write)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
