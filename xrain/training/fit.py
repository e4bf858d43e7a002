"""The training loop: resumable, and the same for the same seed."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xrain.atomic import replacing
from xrain.errors import InputError
from xrain.models.card import ModelCard
from xrain.models.store import Model
from xrain.models.unet import ConstellationUNet, describe
from xrain.training.archive import require_store
from xrain.training.batches import Batch, Pixels, Source, draw_batch, draw_pixels
from xrain.training.export import class_frequencies, publish
from xrain.training.inputs import Inputs, Report
from xrain.training.reality import Reality, rate_loss
from xrain.training.samples import Shard
from xrain.training.settings import Settings
from xrain.training.verify import Judged, judged_loss, pixel_loss, verify

SAVE_EVERY = 200
"""Steps between checkpoints."""

PATIENCE = 6
"""Judgements without a better one after which a run ends early."""

AHEAD = 2
"""Batches that are drawn while one is learned from."""

LONE_BATCH = 2048
"""Lone pixels in a step of the branch for single pixels."""

REAL_BATCH = 448
"""Real matched pixels of each table in such a step."""

LONE_BESIDE = 512
"""Lone pixels beside these."""

RATES = 0.5
"""Weight of the rate's class on the condition that it rains, beside that of all classes. Most
pixels are dry: without it the branch learns late how hard it rains."""

BEST = "best.safetensors"

OWN = ("own_", "trunk.pixel")
"""How the names of the parameters begin that belong to the branch for single pixels."""


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
    """

    def __init__(
        self, folder: Path, chosen: Settings, device: str = "cpu", cache: Path | None = None
    ) -> None:
        self.folder, self.settings, self.device = folder, chosen, device
        self.inputs = Inputs(chosen, cache or folder / "samples")
        self.channels = self.inputs.channels
        for path in chosen.stores:
            require_store(path, chosen.sensors, chosen.config.stride)
        folder.mkdir(parents=True, exist_ok=True)
        self._require_same_settings()
        torch.manual_seed(chosen.seed)
        self.network = ConstellationUNet(chosen.config).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.trunk.requires_grad_(chosen.freeze != "trunk")
        self._forget_mean()
        self._warm = False
        learning = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(learning, lr=chosen.rate, weight_decay=chosen.decay)
        self.step, self.seconds = 0, 0.0
        self.best: dict[str, float] = {"step": 0, "held_out": math.inf}
        self._resume()

    def _require_same_settings(self) -> None:
        path = self.folder / "settings.json"
        mine = json.loads(json.dumps(asdict(self.settings)))
        if path.exists():
            theirs = json.loads(path.read_text("utf-8"))
            changed = [k for k in mine if mine[k] != theirs.get(k)]
            if changed:
                raise InputError(
                    f"{self.folder} holds a run with other settings ({', '.join(changed)}); "
                    "choose another folder or the same settings"
                )
        with replacing(path) as draft:
            draft.write_text(json.dumps(mine, indent=2), "utf-8")

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def save(self) -> None:
        """Write a checkpoint from which the run goes on as if it had not stopped."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"mean.{k}": v for k, v in self.mean.items()}
        for k, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{k}.{n}": torch.as_tensor(v) for n, v in state.items()}
        stored = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        with replacing(self._checkpoint) as draft:
            save_file(stored, draft, {"step": str(self.step), "seconds": str(self.seconds)})

    def _resume(self) -> None:
        if (self.folder / BEST).exists():
            best = _facts(self.folder / BEST)
            self.best = {"step": int(best["step"]), "held_out": float(best["held_out"])}
        if not self._checkpoint.exists():
            return
        facts = _facts(self._checkpoint)
        self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
        tensors = load_file(self._checkpoint, device=self.device)
        self.network.load_state_dict(_under(tensors, "network."))
        self.mean = _under(tensors, "mean.")
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, "optimiser.").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value.cpu() if key == "step" else value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        if self.step > self.settings.pixel_steps:
            self._hold()

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
        learned = inputs.learned()
        typical = learned.typical()
        if self.step == 0 and not self._warm:
            self._expect_climate(typical)
        held_out, reality = inputs.held_out(), inputs.reality(typical)
        if self.step == 0 and self.settings.stores:
            self._judge(held_out, report)  # what is no better than its beginning is not kept
        begun, losses = time.monotonic(), []
        with contextlib.closing(self.batches(learned.sources())) as batches:
            while not self.complete:
                losses.append(self.advance(next(batches), reality))
                if self._due:
                    self._judge(held_out, report)
                if self.step % SAVE_EVERY == 0 or self.complete:
                    self.seconds += time.monotonic() - begun
                    begun = time.monotonic()
                    self.save()
                    self._log({"step": self.step, "loss": float(np.mean(losses))}, report)
                    losses = []
                    if stop_after is not None and self.seconds > stop_after:
                        break
        return self.complete

    def batches(self, sources: list[Source]) -> Generator[Batch | Pixels]:
        """Draw batches from the present step on, each while the one before is learned from."""
        s = self.settings
        lone = LONE_BESIDE if s.matchups else LONE_BATCH

        def draw(step: int) -> Batch | Pixels:
            if step < s.pixel_steps:
                return draw_pixels(sources, self.channels, lone, (s.seed, step))
            return draw_batch(sources, self.channels, s.batch, (s.seed, step))

        with ThreadPoolExecutor(1) as reader:
            coming: deque[Future[Batch | Pixels]] = deque()
            for step in range(self.step, s.all_steps):
                coming.append(reader.submit(draw, step))
                if len(coming) > AHEAD:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    @property
    def complete(self) -> bool:
        """Whether the last step is done, or nothing has become better for long."""
        first, last = self.settings.pixel_steps, self.settings.all_steps
        judged = math.isfinite(self.best["held_out"])
        waiting = self.step - max(self.best["step"], first)
        return self.step >= last or (judged and waiting >= PATIENCE * self.settings.judge_every)

    @property
    def _due(self) -> bool:
        """Whether it is time to judge: not before the branch for single pixels is done."""
        s = self.settings
        beyond = self.step - s.pixel_steps
        return self.step == s.all_steps or (beyond > 0 and beyond % s.judge_every == 0)

    def _judge(self, held_out: list[Judged], report: Report | None) -> None:
        """Measure the running mean on held-out samples, and keep the best."""
        loss = judged_loss(self._mean_network(), held_out)
        self._log({"step": self.step, "held_out": loss}, report)
        if loss < self.best["held_out"]:
            self.best = {"step": self.step, "held_out": loss}
            stored = {k: v.detach().cpu().contiguous() for k, v in self.mean.items()}
            with replacing(self.folder / BEST) as draft:
                save_file(stored, draft, {k: repr(v) for k, v in self.best.items()})

    def _expect_climate(self, samples: dict[str, Shard]) -> None:
        """Begin with the frequencies of the classes instead of learning them first."""
        if self.settings.config.levels:
            return
        prior = class_frequencies(samples, self.settings.config.edges)
        head = self.network.trunk.pixel_head.state_dict()
        head["weight"].mul_(0.1)
        head["bias"].copy_(torch.tensor(prior).log())
        self._forget_mean()

    def _forget_mean(self) -> None:
        self.mean = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def _log(self, facts: dict[str, Any], report: Report | None) -> None:
        facts |= {"of": self.settings.all_steps, "seconds": round(self.seconds)}
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as stream:
            stream.write(json.dumps(facts) + "\n")
        if report is not None:
            report(facts)

    def advance(self, batch: Batch | Pixels, reality: Reality | None = None) -> float:
        """Take one step, on a batch and on real pixels if there are any; return the loss."""
        s = self.settings
        if self.step == s.pixel_steps:
            self._settle()
        if isinstance(batch, Pixels):
            done, steps, rate = self.step, s.pixel_steps, s.pixel_rate
            with torch.random.fork_rng():  # what dropout forgets is told by the step
                torch.manual_seed(s.seed * 1_000_000 + self.step)
                loss = self._lone_loss(batch, reality)
        else:
            done, steps, rate = self.step - s.pixel_steps, s.steps, s.rate
            loss = self._loss(batch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * _schedule(done / steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        memory = min(s.average, (done + 1) / (done + 11.0))
        with torch.no_grad():
            for key, value in self.network.state_dict().items():
                self.mean[key].lerp_(value, 1.0 - memory)
        return float(loss.detach())

    def _settle(self) -> None:
        """Fix the branch for single pixels at its running mean."""
        self.network.load_state_dict(self.mean)
        self._hold()

    def _hold(self) -> None:
        """Let the branch for single pixels neither learn nor forget."""
        self.network.eval()
        for name, parameter in self.network.named_parameters():
            if name.startswith(OWN):
                parameter.requires_grad_(False)

    def _lone_loss(self, batch: Pixels, reality: Reality | None) -> Tensor:
        """Loss of lone pixels, and of real ones if there are any."""
        s = self.settings
        channels = describe(self.channels[batch.sensor]).to(self.device)
        output = self.network.alone(batch.planes.to(self.device), channels).float()
        rain, weight = batch.rain.to(self.device), batch.weight.to(self.device)
        loss = (pixel_loss(output, rain, s.config) * weight).sum()
        if not s.config.levels:
            wet = np.where(batch.rain.numpy() >= s.config.edges[0], batch.rain.numpy(), np.nan)
            loss = loss + RATES * rate_loss(output, wet, s.config.edges)
        if reality is None:
            return loss
        return s.beside * loss + reality.loss(self.network, REAL_BATCH, (s.seed, self.step, 1))

    def _loss(self, batch: Batch) -> Tensor:
        channels = describe(self.channels[batch.sensor]).to(self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            output = self.network(batch.planes.to(self.device), channels)
        rain, weight = batch.rain.to(self.device), batch.weight.to(self.device)
        return (pixel_loss(output.float(), rain, self.settings.config) * weight).sum()

    def result(self) -> ConstellationUNet:
        """Return the network with the running mean of its weights that was judged best."""
        path = self.folder / BEST
        return self._mean_network(load_file(path) if path.exists() else self.mean)

    def _mean_network(self, mean: dict[str, Tensor] | None = None) -> ConstellationUNet:
        network = ConstellationUNet(self.settings.config)
        tensors = self.mean if mean is None else mean
        network.load_state_dict({k: v.cpu() for k, v in tensors.items()})
        return network.eval().requires_grad_(False)

    def publish(
        self,
        version: int = 1,
        *,
        before: str | None = None,
        real: Callable[[Model], dict[str, Any]] | None = None,
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
        """
        s = self.settings
        learned = self.inputs.learned()
        typical = learned.typical()
        training: dict[str, Any] = {
            **learned.told(),
            "matchups": [Path(p).name for p in s.matchups],
            "rain": [Path(p).name for p in s.rain],
            "sensors": list(typical),
            "pixel_steps": s.pixel_steps,
            "steps": s.steps,
            "seconds": round(self.seconds),
            "device": self.device,
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
        )

    def scores(self) -> dict[str, Any]:
        """Judge the result on held-out simulated swaths, by sensor, if it learned from any."""
        samples = self.inputs.simulated(self.settings.judging_plan)
        return verify(self.result(), samples, self.channels)


def _facts(path: Path) -> dict[str, str]:
    """Read what a file of tensors says of itself."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        found: dict[str, str] = file.metadata()
    return found


def _schedule(share: float) -> float:
    """Learning rate as a share of its peak: a short rise, then half a cosine."""
    if share < 0.05:
        return share / 0.05 + 1e-3
    return 0.5 * (1 + math.cos(math.pi * (share - 0.05) / 0.95)) + 1e-3


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
