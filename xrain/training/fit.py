"""The training loop: resumable, and the same for the same seed.

A run has three stages. Lone simulated pixels teach the simulation's own branch for single pixels.
Lone observed pixels, where there are any, teach that of the network, which else is the first one's
copy. Then both stay as they are, and squares of either world teach what neighbours add.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xrain.atomic import replacing
from xrain.errors import InputError
from xrain.models.card import ModelCard
from xrain.models.store import Model
from xrain.models.unet import ConstellationUNet, describe
from xrain.training.archive import require_store
from xrain.training.batches import Batch, Pixels, Source, draw_batch, draw_pixels
from xrain.training.checkpoint import (
    facts_of,
    run_folder,
    schedule,
    under,
    write_tensors,
)
from xrain.training.export import PixelFacts, class_frequencies, publish
from xrain.training.inputs import Inputs, Report
from xrain.training.learner import Learner, on_device
from xrain.training.matched_pixels import Reality
from xrain.training.metrics import Metrics
from xrain.training.mirrored import tie_mirrored
from xrain.training.processes import Processes
from xrain.training.settings import Settings
from xrain.training.validation import Judged, judged_loss, verify

SAVE_EVERY = 200
"""Steps between checkpoints."""

PATIENCE = 6
"""Judgements without a better one after which a run ends early."""

AHEAD = 2
"""Batches that are drawn while one is learned from."""

READERS = 4
"""Threads that draw them where they are read from a compressed store."""

LONE_BATCH = 2048
"""Lone pixels in a step of a branch for single pixels."""

REAL_BATCH = 448
"""Real matched pixels of each table in such a step."""

SWATH_EVERY = 6
"""Steps from one observed swath without rain to the next."""

BEST = "best.safetensors"


class Run:
    """One training run in a folder: its samples, its checkpoint, its log.

    Parameters
    ----------
    folder : Path
        Where everything is kept; a run that is there already is resumed.
    chosen : Settings
        What to do; must be the same when a run is resumed.
    device : str
        ``"cpu"`` or ``"cuda"``.
    cache : Path, optional
        Where samples are kept, by default in `folder`.
    processes : Processes, optional
        This process among those that learn together; the first one alone writes.
    tensorboard : bool
        Whether to write metrics for TensorBoard, too.
    """

    def __init__(
        self,
        folder: Path,
        chosen: Settings,
        device: str = "cpu",
        cache: Path | None = None,
        *,
        processes: Processes | None = None,
        tensorboard: bool = False,
    ) -> None:
        self.processes = processes or Processes()
        self._own = self.processes.parts(chosen.parts)
        self._wrapped: nn.Module | None = None
        self.folder, self.settings, self.device = folder, chosen, device
        self.inputs = Inputs(chosen, cache or folder / "samples")
        self.channels = self.inputs.channels
        for path in chosen.stores:
            require_store(path, chosen.sensors)
        with self.processes.first_alone():
            run_folder(folder)
            self._require_same_settings()
        self.metrics = Metrics(folder, tensorboard) if self.processes.is_first else None
        torch.manual_seed(chosen.seed)
        self.learner = Learner(chosen.config).to(device)
        self.learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = self.learner.network
        self.network.pixel.trunk.requires_grad_(chosen.freeze != "trunk")
        self.network.neighbours.trunk.requires_grad_(chosen.freeze != "trunk")
        tie_mirrored(self.network.neighbours)
        self._forget_mean()
        self._warm = False
        learning = [p for p in self.learner.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(learning, lr=chosen.rate, weight_decay=chosen.decay)
        self.step, self.seconds = 0, 0.0
        self.best: dict[str, float] = {"step": 0, "held_out": math.inf}
        self._resume()

    def _require_same_settings(self) -> None:
        path = self.folder / "settings.json"
        mine = json.loads(json.dumps(asdict(self.settings)))
        if path.exists():
            theirs = json.loads(path.read_text("utf-8"))
            usual = json.loads(json.dumps(asdict(Settings(()))))  # of settings that came later
            changed = [k for k in mine if mine[k] != theirs.get(k, usual[k])]
            if changed:
                raise InputError(
                    f"{self.folder} holds a run with other settings ({', '.join(changed)}); "
                    "choose another folder or the same settings"
                )
        elif self.processes.is_first:
            with replacing(path) as draft:
                draft.write_text(json.dumps(mine, indent=2), "utf-8")

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def save(self) -> None:
        """Write a checkpoint from which the run goes on as if it had not stopped."""
        if not self.processes.is_first:
            return
        tensors = {f"learner.{k}": v for k, v in self.learner.state_dict().items()}
        tensors |= {f"mean.{k}": v for k, v in self.mean.items()}
        for k, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{k}.{n}": torch.as_tensor(v) for n, v in state.items()}
        facts = {"step": str(self.step), "seconds": str(self.seconds)}
        write_tensors(self._checkpoint, tensors, facts)

    def _resume(self) -> None:
        if (self.folder / BEST).exists():
            best = facts_of(self.folder / BEST)
            self.best = {"step": int(best["step"]), "held_out": float(best["held_out"])}
        if not self._checkpoint.exists():
            return
        facts = facts_of(self._checkpoint)
        self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
        tensors = load_file(self._checkpoint, device=self.device)
        self.learner.load_state_dict(under(tensors, "learner."))
        self.mean = under(tensors, "mean.")
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in under(tensors, "optimiser.").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value.cpu() if key == "step" else value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        if self.step > self.settings.lone_steps:
            self.learner.hold_pixels()

    def start_from(self, tensors: dict[str, Tensor]) -> None:
        """Begin with the weights of another network, unless the run is already under way."""
        if self.step == 0:
            self.network.load_state_dict({k: v.float() for k, v in tensors.items()})
            self._warm = True
            self._forget_mean()

    def train(self, report: Report | None = None, stop_after: float | None = None) -> bool:
        """Go on until the last step, or for some seconds; say whether the run is complete.

        Parameters
        ----------
        report : callable, optional
            Called with the facts of the run every checkpoint.
        stop_after : float, optional
            Seconds after which to stop at the next checkpoint.
        """
        self.inputs = inputs = replace(self.inputs, report=report)
        with self.processes.first_alone():
            learned = inputs.learned()
            inputs.held_out()
        typical = learned.typical()
        if self.step == 0 and not self._warm:
            self.learner.expect_climate(class_frequencies(typical, self.settings.config.edges))
            self._forget_mean()
        held_out, reality = inputs.held_out(), inputs.reality(typical)
        if self.step == 0 and self.settings.stores:
            self._judge(held_out, report)  # what is no better than its beginning is not kept
        begun, losses = time.monotonic(), []
        with contextlib.closing(self.batches(learned.sources())) as batches:
            while not self.complete:
                losses.append(self.advance([next(batches) for _ in self._own], reality))
                if self._due:
                    self._judge(held_out, report)
                if self.step % SAVE_EVERY == 0 or self.complete:
                    self.seconds += time.monotonic() - begun
                    begun = time.monotonic()
                    self.save()
                    loss = self.processes.mean(float(np.mean(losses)), self.device)
                    rate = self.optimiser.param_groups[0]["lr"]
                    self._log({"step": self.step, "loss": loss, "learning_rate": rate}, report)
                    losses = []
                    seconds = self.processes.agree(self.seconds, self.device)
                    if stop_after is not None and seconds > stop_after:
                        break
        self.processes.wait()
        return self.complete

    def batches(self, sources: list[Source]) -> Generator[Batch | Pixels]:
        """Draw this process's parts of batches from the present step on.

        Each is drawn while the one before is learned from.
        """
        s = self.settings
        simulated = [x for x in sources if x.simulated]
        observed = [x for x in sources if not x.simulated] or simulated

        def draw(step: int, part: int) -> Batch | Pixels:
            seed = self._seed(step, part)
            if step < s.lone_steps:
                chosen = simulated if step < s.first_steps else observed
                return draw_pixels(chosen, self.channels, LONE_BATCH, seed)
            return draw_batch(sources, self.channels, s.batch, seed)

        readers = READERS if s.stream else 1
        with ThreadPoolExecutor(readers) as reader:
            coming: deque[Future[Batch | Pixels]] = deque()
            for step, part in itertools.product(range(self.step, s.all_steps), self._own):
                coming.append(reader.submit(draw, step, part))
                if len(coming) > AHEAD * readers:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    @property
    def complete(self) -> bool:
        """Whether the last step is done, or nothing has become better for long."""
        first, last = self.settings.lone_steps, self.settings.all_steps
        judged = math.isfinite(self.best["held_out"])
        waiting = self.step - max(self.best["step"], first)
        return self.step >= last or (judged and waiting >= PATIENCE * self.settings.judge_every)

    @property
    def _due(self) -> bool:
        """Whether it is time to judge: not before the branches for single pixels are done."""
        s = self.settings
        beyond = self.step - s.lone_steps
        return self.step == s.all_steps or (beyond > 0 and beyond % s.judge_every == 0)

    def _judge(self, held_out: list[Judged], report: Report | None) -> None:
        """Measure the running mean on held-out samples, and keep the best."""
        loss = 0.0
        if self.processes.is_first:
            mean = self._mean_learner()
            beside = None if self.settings.stores else mean.simulated
            loss = judged_loss(mean.network, held_out, beside)
        loss = self.processes.agree(loss, self.device)
        self._log({"step": self.step, "held_out": loss}, report)
        if loss < self.best["held_out"]:
            self.best = {"step": self.step, "held_out": loss}
            if self.processes.is_first:
                facts = {k: repr(v) for k, v in self.best.items()}
                write_tensors(self.folder / BEST, self.mean, facts)

    def _forget_mean(self) -> None:
        self.mean = {k: v.detach().clone() for k, v in self.learner.state_dict().items()}

    def _log(self, facts: dict[str, Any], report: Report | None) -> None:
        facts |= {"of": self.settings.all_steps, "seconds": round(self.seconds)}
        if self.metrics is not None:
            self.metrics.write(facts)
        if report is not None and self.processes.is_first:
            report(facts)

    def advance(self, parts: list[Batch | Pixels], reality: Reality | None = None) -> float:
        """Take one step, on the parts of a batch that this process has; return their loss.

        Parameters
        ----------
        parts : list of Batch or Pixels
            Of :meth:`batches`.
        reality : Reality, optional
            Real matched pixels, from which the second stage learns too.
        """
        self._enter_stage()
        s, stage = self.settings, self.settings.stage(self.step)
        if self._wrapped is None:
            self._wrapped = self.processes.spread(self.learner)
        self.optimiser.zero_grad(set_to_none=True)
        seen: list[Tensor] = []
        total = 0.0
        for part, batch in zip(self._own, parts, strict=True):
            last = part == self._own[-1]
            with nullcontext() if last else self.processes.apart(self._wrapped):
                loss = self._wrapped(partial(self._part_loss, batch, part, reality, seen))
                (loss / len(parts)).backward()
            total += float(loss.detach()) / len(parts)
        if seen:
            self.learner.law.note(self.processes.sum(torch.stack(seen).sum(0)))
        done = self.step - stage.start
        for group in self.optimiser.param_groups:
            group["lr"] = stage.rate * schedule(done / stage.steps)
        nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._follow(min(s.average, (done + 1) / (done + 11.0)))
        return total

    def _seed(self, step: int, part: int) -> tuple[int, ...]:
        """Seed of a part of a batch; without parts that of the step."""
        return (self.settings.seed, step, 1000 + part) if part else (self.settings.seed, step)

    def _part_loss(
        self, batch: Batch | Pixels, part: int, reality: Reality | None, seen: list[Tensor]
    ) -> Tensor:
        """Loss of a part of a batch, and what else is learned from beside it."""
        s = self.settings
        description = describe(self.channels[batch.sensor]).to(self.device)
        if isinstance(batch, Pixels):
            with torch.random.fork_rng():  # what dropout forgets is told by the step
                torch.manual_seed(s.seed * 1_000_000 + self.step + part * 1_000_000_000)
                batch = on_device(batch, self.device)
                return self._lone_loss(batch, description, reality, part)
        kind = self.device.partition(":")[0]
        with torch.autocast(kind, torch.bfloat16, enabled=self._is_coarse):
            several = seen if s.parts > 1 else None
            loss = self.learner.square_loss(
                on_device(batch, self.device), description, s.law, several
            )
            return loss + s.parts * self._swath_loss() if part == 0 else loss

    @property
    def _is_coarse(self) -> bool:
        """Whether the branch for neighbours is computed in bfloat16."""
        chosen = self.settings.precision
        return chosen == "bfloat16" or (chosen == "auto" and self.device.startswith("cuda"))

    def _swath_loss(self) -> Tensor | float:
        """Loss of a piece of an observed swath without rain, every few steps."""
        swaths = self.inputs.swaths
        if self.step % SWATH_EVERY or not swaths:
            return 0.0
        swath = swaths[self.step // SWATH_EVERY % len(swaths)]
        planes = swath.draw((self.settings.seed, self.step, 2)).to(self.device)
        loss = self.learner.swath_loss(planes, describe(swath.channels).to(self.device))
        return self.settings.swath_law * loss

    def _enter_stage(self) -> None:
        """Do what is due where a stage begins: fix what the one before has taught."""
        s = self.settings
        if self.step in (s.first_steps, s.lone_steps):
            self.learner.load_state_dict(self.mean)
        if self.step == s.first_steps and not self._warm and s.first_steps:
            self.learner.adopt()
            self._forget_mean()
        if self.step == s.lone_steps:
            self.learner.hold_pixels()
        if self.step in (s.first_steps, s.lone_steps):
            self._wrapped = None  # other parameters learn from here on

    def _follow(self, memory: float) -> None:
        """Let the running mean follow the weights; numbers that are counted are copied."""
        with torch.no_grad():
            for key, value in self.learner.state_dict().items():
                if value.is_floating_point():
                    self.mean[key].lerp_(value, 1.0 - memory)
                else:
                    self.mean[key].copy_(value)

    def _lone_loss(
        self, batch: Pixels, description: Tensor, reality: Reality | None, part: int
    ) -> Tensor:
        """Loss of lone pixels, in the second stage beside matched ones if there are any."""
        first = self.step < self.settings.first_steps
        branch = self.learner.branch(first)
        loss = self.learner.lone_loss(branch, batch, description)
        if first or reality is None:
            return loss
        drawn = *self._seed(self.step, part), 1
        return self.settings.beside * loss + reality.loss(branch, REAL_BATCH, drawn)

    def result(self) -> ConstellationUNet:
        """Return the network with the running mean of its weights that was judged best."""
        return self._result().network.eval().requires_grad_(False)

    def _result(self) -> Learner:
        path = self.folder / BEST
        return self._mean_learner(load_file(path) if path.exists() else self.mean)

    def _mean_learner(self, mean: dict[str, Tensor] | None = None) -> Learner:
        learner = Learner(self.settings.config)
        tensors = self.mean if mean is None else mean
        learner.load_state_dict({k: v.cpu() for k, v in tensors.items()})
        return learner.eval().requires_grad_(False)

    def publish(
        self,
        version: int = 1,
        *,
        before: str | None = None,
        real: Callable[[Model], dict[str, Any]] | None = None,
        pixels: PixelFacts | None = None,
    ) -> list[ModelCard]:
        """Write the result as models, below the run's folder, with scores of held-out swaths.

        Parameters
        ----------
        version : int
            Version of the models.
        before : str, optional
            What was learned before this run, if it did not begin from nothing.
        real : callable, optional
            Gives the finished model's scores on real data by sensor, for the cards.
        pixels : PixelFacts, optional
            Of a single-pixel branch with which the run began and that it kept.
        """
        s = self.settings
        learned = self.inputs.learned()
        typical = learned.typical()
        training: dict[str, Any] = {
            **learned.told(),
            "matchups": [Path(p).name for p in s.matchups],
            "rain": [Path(p).name for p in s.rain],
            "sensors": list(typical),
            "simulated_steps": s.first_steps,
            "pixel_steps": s.lone_steps - s.first_steps,
            "steps": s.steps,
            "seconds": round(self.seconds),
            "device": self.device,
            "parts": s.parts,
            "precision": "bfloat16" if self._is_coarse else "float32",
            "seed": self.settings.seed,
            "parameters": sum(p.numel() for p in self.network.parameters()),
        }
        if s.align:
            training["aligned"] = {
                "granules": len(s.align),
                "sensors": list(self.inputs.alignments),
            }
        if before is not None:
            training["before"] = before
        return publish(
            self.result(),
            typical,
            self.channels,
            self.folder / "models",
            version=version,
            training=training,
            scores=self.scores(),
            real=real,
            seen=self.inputs.matched(),
            pixels=pixels,
        )

    def scores(self) -> dict[str, Any]:
        """Judge the result on held-out simulated swaths, by sensor, if it learned from any."""
        samples = self.inputs.simulated(self.settings.judging_plan)
        result = self._result()
        return verify(result.network, samples, self.channels, result.simulated)
