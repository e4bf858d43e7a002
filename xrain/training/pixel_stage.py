"""Train the branch for single pixels on everything real, for every radiometer at once.

Each step shows pixels of the radiometer that observed, and the same tables as another one would
have seen them. Transects teach how often and how hard it rains in nature, tables of matched pixels
the rest of the globe, a Gaussian process fitted to their rates how rain changes between them, and
simulated ice sheets that cold is no rain.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xrain.atomic import replacing
from xrain.errors import InputError
from xrain.models.rain_classes import classes
from xrain.models.trunk import UNetConfig
from xrain.models.unet import PixelBranch, describe
from xrain.sensors import get_sensor, packaged_sensors
from xrain.training.batches import pixel_planes
from xrain.training.checkpoint import append_line, run_folder, write_tensors
from xrain.training.observed import Observed, find_source, read_observed
from xrain.training.pixel_batches import PixelBatch, PixelBatches, Sizes
from xrain.training.pixel_losses import (
    TableOdds,
    balanced_tilt,
    dry_loss,
    event_loss,
    event_odds,
    first_event_class,
    natural_loss,
    rate_loss,
    share_loss,
)

__all__ = ["PixelSettings", "PixelStage"]

Report = Callable[[dict[str, Any]], None]

SAVE_EVERY = 250
"""Steps between checkpoints."""

RISE = 0.03
"""Share of the steps in which the learning rate rises."""

ALONE = 0.2
"""Share of the steps, the first ones, in which the source radiometer is shown alone."""

TEACHER_CLASSES = 26
"""Classes of rain that the process tells apart, to 20 mm/h, where the tables end."""

FIRST_TABLE = 0.6
"""Weight of the first table of events among all."""

COLD, COLD_SPREAD = 274.0, 1.5
"""Temperature at 2 m in K around which rain turns to snow, and the width of the change: a table
may hold another share of snow than of rain."""

SHOWN = {"AMSRE": 0.4, "AMSUB": 0.6, "ATMS": 1.3, "MHS": 1.3, "SAPHIR": 1.2, "SSMIS": 1.2}
"""How often a radiometer is shown, where not once: some are nearly the same, some hard."""


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of the loss.

    Attributes
    ----------
    given_rain, mean : float
        Of two parts of :func:`~xrain.training.pixel_losses.natural_loss`; the latter also of the
        rates of rain in matched pixels.
    rain : float
        Of the rates of rain in matched pixels, and of what the process says of them. They hold
        the heavy tail down where the transects lack pixels, and with it the tail of the transects.
    teacher : float
        Share of the process in these; the rest is the rates themselves.
    snow, ice, events : float
        Of the rates of snow, of ice sheets, and of all tables of events together.
    """

    given_rain: float = 0.6
    mean: float = 0.3
    rain: float = 2.5
    teacher: float = 0.7
    snow: float = 0.3
    ice: float = 4.0
    events: float = 1.0


@dataclass(frozen=True)
class PixelSettings:
    """Everything that decides the training of the branch.

    Attributes
    ----------
    transects, tables : tuple of str
        Files of real pixels; see :func:`xrain.training.observed.read_observed`.
    sensors : tuple of str
        Radiometers for which the branch is trained beside that of the files; all by default.
    steps : int
        Training steps.
    sizes : Sizes
        Pixels in a step.
    lessons : int
        Inputs that the process is asked about.
    learning_rate, decay, ema_decay : float
        Highest learning rate, weight decay, and memory of the running mean of the weights.
    source_share : float
        Share of a step's pixels that the source radiometer is shown.
    weights : Weights
        Weights of the parts of the loss.
    fold, folds : int
        With two folds or more, a part of the days and overpasses is left out.
    seed : int
        Random seed.
    """

    transects: tuple[str, ...]
    tables: tuple[str, ...]
    sensors: tuple[str, ...] = ()
    steps: int = 6000
    sizes: Sizes = field(default_factory=Sizes)
    lessons: int = 40000
    learning_rate: float = 4e-3
    decay: float = 0.02
    ema_decay: float = 0.998
    source_share: float = 0.55
    weights: Weights = field(default_factory=Weights)
    fold: int = 0
    folds: int = 0
    seed: int = 1


class PixelStage:
    """Training of the branch for single pixels in a folder; resumes what it finds there.

    Parameters
    ----------
    folder : Path
        Where checkpoint, log and what was simulated are kept.
    settings : PixelSettings
        What to do.
    config : UNetConfig
        Shape of the network.

    Attributes
    ----------
    frequencies : list of float
        Frequency of every class of rain in nature, for which the branch's probabilities hold.

    Raises
    ------
    InputError
        If the files will not do, or the folder holds a run with other settings.
    """

    def __init__(self, folder: Path, settings: PixelSettings, config: UNetConfig) -> None:
        self.folder, self.settings, self.config = folder, settings, config
        run_folder(folder)
        _require_same(folder / "pixel_settings.json", settings)
        observed = _observed(settings)
        source = find_source(observed)
        every = settings.sensors or tuple(s.name for s in packaged_sensors().values())
        self.others = tuple(s for s in every if s != source)
        self.batches = PixelBatches(
            folder, observed, source, self.others,
            tables=settings.tables, edges=config.edges[: TEACHER_CLASSES + 1],
            lessons=settings.lessons, seed=settings.seed,
        )  # fmt: skip
        self.frequencies = natural_frequencies(observed, config)
        torch.manual_seed(settings.seed)
        self.branch = PixelBranch(config)
        self._expect_climate()
        tables = [float(np.mean(t.event)) for t in observed.events]
        self.odds = TableOdds(tables, observed.prevalence)
        self.optimiser = self._make_optimiser()
        self.mean = {k: v.detach().clone() for k, v in self.branch.state_dict().items()}
        self.step = 0
        self._resume()

    def _expect_climate(self) -> None:
        """Begin with the frequencies of the classes in nature instead of learning them first."""
        share = torch.as_tensor(self.frequencies, dtype=torch.float32) + 1e-4
        share[1 : first_event_class(self.config.edges)] = 2e-3
        head = self.branch.trunk.head
        with torch.no_grad():
            head.weight.mul_(0.1)
            head.bias.copy_((share / share.sum()).log())

    def _make_optimiser(self) -> torch.optim.AdamW:
        named = list(self.branch.parameters())
        groups = [
            {"params": [p for p in named if p.ndim > 1], "weight_decay": self.settings.decay},
            {"params": [p for p in named if p.ndim <= 1], "weight_decay": 0.0},
            {"params": list(self.odds.parameters()), "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate)

    def train(self, report: Report | None = None, stop_after: int | None = None) -> bool:
        """Go on until the last step, or for some steps; say whether the training is complete.

        Parameters
        ----------
        report : callable, optional
            Called with the facts of the run at every checkpoint.
        stop_after : int, optional
            Steps after which to stop.
        """
        last = self.settings.steps
        if stop_after is not None:
            last = min(last, self.step + stop_after)
        losses = []
        while self.step < last:
            losses.append(self.advance())
            if self.step % SAVE_EVERY == 0 or self.step == last:
                self.save()
                self._log(float(np.mean(losses)), report)
                losses = []
        return self.step >= self.settings.steps

    def _log(self, loss: float, report: Report | None) -> None:
        facts = {"step": self.step, "of": self.settings.steps, "loss": round(loss, 4)}
        append_line(self.folder / "pixel_log.jsonl", facts)
        if report is not None:
            report(facts)

    def advance(self) -> float:
        """Take one step; return the loss."""
        s = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = s.learning_rate * _schedule(self.step / s.steps) + 1e-6
        with torch.random.fork_rng():  # what dropout forgets is told by the step
            torch.manual_seed(s.seed * 1_000_000 + self.step)
            loss = self._loss(np.random.default_rng((s.seed, self.step)))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.branch.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        memory = min(s.ema_decay, self.step / (self.step + 10.0))
        with torch.no_grad():
            for key, value in self.branch.state_dict().items():
                self.mean[key].lerp_(value, 1.0 - memory)
        return float(loss.detach())

    def _loss(self, rng: np.random.Generator) -> Tensor:
        s = self.settings
        source = self.batches.source
        if self.step < ALONE * s.steps or not self.others:
            return self._taught(self.batches.draw(rng, source, s.sizes))
        chance = np.array([SHOWN.get(name, 1.0) for name in self.others])
        other = str(rng.choice(self.others, p=chance / chance.sum()))
        share = s.source_share
        own = self._taught(self.batches.draw(rng, source, s.sizes, share))
        theirs = self._taught(self.batches.draw(rng, other, s.sizes, 1.0 - share))
        return share * own + (1.0 - share) * theirs

    def _taught(self, batch: PixelBatch) -> Tensor:
        """Sum of what every table says of a batch."""
        channels = describe(get_sensor(batch.sensor).channels)
        logits = batch.part(self.branch(batch.planes, channels))
        trust = batch.part(batch.trust)
        w, edges, tables = self.settings.weights, self.config.edges, self.batches.observed.tables

        def rate(name: str) -> Tensor:
            return torch.as_tensor(tables[name].rate[batch.rows[name]])

        parts = [
            natural_loss(logits["transects"], rate("transects"), batch.weight, edges,
                         w.given_rain, w.mean),
            w.rain * (1 - w.teacher) * rate_loss(logits["rain"], rate("rain"), edges, w.mean),
            w.rain * w.teacher * share_loss(logits["lessons"], self.batches.shares(batch)),
            w.snow * rate_loss(logits["snow"], rate("snow"), edges),
            w.ice * dry_loss(logits["ice"], first_event_class(edges), trust["ice"]),
            w.events * self._events_loss(logits, trust, batch),
        ]  # fmt: skip
        return torch.stack(parts).sum()

    def _events_loss(
        self, logits: dict[str, Tensor], trust: dict[str, Tensor], batch: PixelBatch
    ) -> Tensor:
        """Loss of all tables of events, each with its own odds."""
        first, events = first_event_class(self.config.edges), self.batches.observed.events
        rest = (1.0 - FIRST_TABLE) / max(len(events) - 1, 1)
        total = torch.zeros(())
        for k, table in enumerate(events):
            rows = batch.rows[f"events{k}"]
            land = torch.as_tensor((table.land[rows] > 0.5).astype(np.int64))
            cold = torch.sigmoid(torch.as_tensor((COLD - table.t2m[rows]) / COLD_SPREAD))
            odds = self.odds(event_odds(logits[f"events{k}"], first), k, land, cold)
            loss = event_loss(odds, torch.as_tensor(table.event[rows]), trust[f"events{k}"])
            total = total + (rest if k else FIRST_TABLE) * loss
        return total

    def result(self) -> PixelBranch:
        """Return the branch with the running mean of its weights, its total rain set right."""
        branch = PixelBranch(self.config)
        branch.load_state_dict(self.mean)
        branch.eval().requires_grad_(False)
        table, channels = self.batches.observed.transects, get_sensor(self.batches.source).channels
        angle = np.full(len(table), channels[0].incidence_angle, np.float32)
        planes = pixel_planes(table.tb, angle, table.land)
        description = describe(channels)
        logits = torch.cat([branch(part, description) for part in torch.split(planes, 16384)])
        tilt = balanced_tilt(logits, float(table.rate.mean()), self.config.edges)
        branch.trunk.head.bias.add_(tilt)
        return branch

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "pixel.safetensors"

    def save(self) -> None:
        """Write a checkpoint from which the training goes on as if it had not stopped."""
        tensors = {f"branch.{k}": v for k, v in self.branch.state_dict().items()}
        tensors |= {f"mean.{k}": v for k, v in self.mean.items()}
        tensors |= {f"odds.{k}": v for k, v in self.odds.state_dict().items()}
        for k, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{k}.{n}": torch.as_tensor(v) for n, v in state.items()}
        write_tensors(self._checkpoint, tensors, {"step": str(self.step)})

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        from safetensors import safe_open

        with safe_open(self._checkpoint, "pt") as file:
            self.step = int(file.metadata()["step"])
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in load_file(self._checkpoint).items():
            kind, key = name.split(".", 1)
            parts.setdefault(kind, {})[key] = value
        self.branch.load_state_dict(parts["branch"])
        self.odds.load_state_dict(parts["odds"])
        self.mean = parts["mean"]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts.get("optimiser", {}).items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})


def natural_frequencies(observed: Observed, config: UNetConfig) -> list[float]:
    """Frequency of every class of rain in the transects."""
    found = classes(torch.as_tensor(observed.transects.rate), config.edges)
    count = torch.bincount(found, minlength=config.classes)
    return [float(x) for x in count / len(found)]


def _schedule(share: float) -> float:
    """Learning rate as a share of its peak: a short rise, then half a cosine."""
    if share < RISE:
        return share / RISE
    return 0.5 * (1 + math.cos(math.pi * (share - RISE) / (1 - RISE)))


def _observed(settings: PixelSettings) -> Observed:
    """Read the files, without what is kept apart."""
    found = read_observed(settings.transects, settings.tables)
    return found.split(settings.fold, settings.folds)[0] if settings.folds > 1 else found


def _require_same(path: Path, settings: PixelSettings) -> None:
    """Refuse a folder with a run of other settings; write them where there is none."""
    mine = json.loads(json.dumps(asdict(settings)))
    if path.exists():
        theirs = json.loads(path.read_text("utf-8"))
        if changed := [k for k in mine if mine[k] != theirs.get(k)]:
            raise InputError(
                f"{path.parent} holds a run with other settings ({', '.join(changed)}); "
                "choose another folder or the same settings"
            )
    with replacing(path) as draft:
        draft.write_text(json.dumps(mine, indent=2), "utf-8")
