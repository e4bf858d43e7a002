"""The training of a network: its options, and how it is run, watched and resumed."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrain.cli.cluster import cluster
from xrain.cli.console import progress, say

if TYPE_CHECKING:
    from xrain.training.fit import Run
    from xrain.training.processes import Processes

__all__ = ["TrainingJob", "run_job", "tell"]


@dataclass(frozen=True)
class TrainingJob:
    """Options of the training of a network."""

    output: Path
    sensors: tuple[str, ...]
    preset: str | None
    changes: dict[str, Any]
    samples: int | None
    init: str | None
    folds: int
    version: int
    device: str | None
    cache: Path | None
    scheduler: str | None
    stop_after: float | None
    tensorboard: bool = False

    def write(self) -> None:
        """Keep what the settings of the run do not say, so that it can be resumed."""
        from xrain.atomic import replacing

        kept = {"init": self.init, "folds": self.folds, "version": self.version,
                "cache": None if self.cache is None else str(self.cache)}  # fmt: skip
        with replacing(self.output / _COMMAND) as draft:
            draft.write_text(json.dumps(kept, indent=1), "utf-8")

    @classmethod
    def read(cls, output: Path, **now: Any) -> TrainingJob:
        """Read the options of a run that is there.

        Parameters
        ----------
        output : Path
            Folder of the run.
        **now
            Options that may change: ``device``, ``cache``, ``scheduler``, ``stop_after`` and
            ``tensorboard``.

        Raises
        ------
        InputError
            If there is no run.
        """
        from dataclasses import fields

        from xrain.errors import InputError
        from xrain.training.settings import read_settings

        chosen = read_settings(output / "settings.json")
        changes = {f.name: getattr(chosen, f.name) for f in fields(chosen) if f.name != "sensors"}
        if not chosen.stores:
            del changes["simulated"]  # said of stores alone
        try:
            kept = json.loads((output / _COMMAND).read_text("utf-8"))
            given = {"init": kept["init"], "folds": int(kept["folds"]),
                     "version": int(kept["version"])}  # fmt: skip
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{output} holds no run that can be resumed: {error}") from error
        if now["cache"] is None and kept["cache"] is not None:
            now["cache"] = Path(kept["cache"])
        return cls(output=output, sensors=chosen.sensors, preset="cpu", changes=changes,
                   samples=None, **given, **now)  # fmt: skip


_COMMAND = "command.json"


def run_job(job: TrainingJob) -> list[Any]:
    """Train a network; no card if the run is not complete, or another process writes it."""
    from xrain.retrieval.devices import choose_device
    from xrain.training.processes import joined

    _require_sense(job)
    with joined(choose_device(job.device)) as (processes, device):
        return _learn(job, processes, device)


def _learn(job: TrainingJob, processes: Processes, device: str) -> list[Any]:
    from xrain.training.crossvalidation import score_stores
    from xrain.training.fit import Run
    from xrain.training.settings import settings

    base = _beginning(job)
    changes = {"parts": processes.count} | job.changes
    if base is not None:
        changes["config"] = base.network.config
    preset = job.preset or _usual(changes)
    if job.samples is not None:
        per_shard = settings(preset, job.sensors).per_shard
        changes |= {"shards": math.ceil(job.samples / per_shard)}
    chosen = settings(preset, job.sensors, **changes)
    cache = job.cache or job.output / "samples"
    if processes.is_first:
        _simulate(job.scheduler, chosen, cache)
    processes.wait()
    found = _gain(job, chosen, base, device, cache) if job.folds else {}
    run = Run(job.output, chosen, device, cache, processes=processes, tensorboard=job.tensorboard)
    if processes.is_first:
        job.write()
    if base is not None:
        run.start_from(dict(base.network.state_dict()))
    if not _watched(run, job.stop_after):
        if processes.is_first:
            say(f"stopped at step {run.step}; repeat the command to resume, or give --resume")
        return []
    if not processes.is_first:
        return []
    before = f"{base.card.id}: {base.card.training.get('data', '')}" if base else None

    def real(model: Any) -> dict[str, Any]:
        return score_stores(chosen, base, model, device=device) if chosen.stores else found

    return run.publish(job.version, before=before, real=real)


def _simulate(scheduler: str | None, chosen: Any, cache: Path) -> None:
    """Make the simulated samples on a cluster, if one is named; else they are made when needed."""
    from xrain.training.samples import make_samples

    if scheduler is None or not chosen.simulated_share:
        return
    plans = chosen.training_plans + (() if chosen.stores else (chosen.judging_plan,))
    total = sum(len(plan.numbers) for plan in plans)
    with cluster(scheduler) as client, progress(total) as bar:
        task = bar.add_task("simulating", total=total)
        make_samples(
            cache, *plans, client=client,
            progress=lambda done, _: bar.update(task, completed=done),
        )  # fmt: skip


def _require_sense(job: TrainingJob) -> None:
    """Refuse options that exclude each other."""
    from xrain.errors import InputError

    given, real = job.changes, bool(job.changes["matchups"]) and not job.changes["stores"]
    wrong = [
        (job.folds and not (job.folds > 1 and job.init and real),
         "--folds must be 2 or more, and needs --init and --data of matched pixels"),
        ("simulated" in given and not given["stores"], "--simulated needs --data of a store"),
        (given["stream"] and not given["stores"], "--stream needs --data of a store"),
        (given["align"] and given["stores"] and given.get("simulated") == 0,
         "--align adjusts simulated samples, which --simulated 0 excludes"),
        (given.get("freeze") not in (None, "", "trunk"), "--freeze must be 'trunk'"),
        (given.get("precision") not in (None, "auto", "float32", "bfloat16"),
         "--precision must be float32 or bfloat16"),
        (job.folds and int(os.environ.get("WORLD_SIZE", "1")) > 1,
         "--folds runs in one process, without torchrun"),
        (given.get("freeze") and not job.init, "--freeze needs --init"),
    ]  # fmt: skip
    if told := [text for bad, text in wrong if bad]:
        raise InputError("; ".join(told))


def _beginning(job: TrainingJob) -> Any:
    """Load the model to start from, None if there is none."""
    from xrain.errors import InputError
    from xrain.models.store import load_model

    if job.init is None:
        return None
    base = load_model(job.init)
    if base.card.architecture.get("kind") != "constellation-unet":
        raise InputError(f"{base.card.id} is not a network; only networks can be fine-tuned")
    return base


def _usual(changes: dict[str, Any]) -> str:
    """Choose the preset that suits the data."""
    if changes["stores"]:
        return "archive"
    return "finetune" if changes["matchups"] or changes["align"] else "cpu"


def _gain(job: TrainingJob, chosen: Any, base: Any, device: str, cache: Path) -> dict[str, Any]:
    """Cross-validate the fine-tuning on matched pixels; keep the result beside the run."""
    import dataclasses

    from xrain.training.crossvalidation import cross_validate

    apart = dataclasses.replace(chosen, folds=job.folds)
    folder = job.output / "folds"
    found = cross_validate(folder, apart, base, device=device, cache=cache, report=tell)
    (job.output / "crossvalidation.json").write_text(json.dumps(found, indent=1), "utf-8")
    return found


def _watched(run: Run, stop_after: float | None) -> bool:
    """Train with a progress bar; return whether the run is complete."""
    with progress(run.settings.all_steps) as bar:
        task = bar.add_task("training", total=run.settings.all_steps)

        def report(facts: dict[str, Any]) -> None:
            done = facts.get("step", facts.get("samples"))
            bar.update(task, completed=done, total=facts["of"])
            tell(facts)

        return run.train(report, stop_after)


def tell(facts: dict[str, Any]) -> None:
    """Print what was made, and the losses of a step."""
    if "database" in facts:
        say(f"{facts['database']}: {facts['entries']} entries")
    for name, label in (("loss", "loss"), ("held_out", "validation loss")):
        if name in facts:
            say(f"step {facts['step']} of {facts['of']}, {label} {facts[name]:.4f}")
