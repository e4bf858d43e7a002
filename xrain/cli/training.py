"""Train models from simulated swaths and real pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrain.cli.console import progress, say

if TYPE_CHECKING:
    from xrain.training.fit import Run

__all__ = ["train"]

Files = list[Path] | None


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; resumed if there.")],
    preset: Annotated[
        str | None,
        typer.Option(help="tiny, cpu, finetune or gpu; by default cpu, or finetune with --data."),
    ] = None,
    sensors: Annotated[str, typer.Option(help="Instruments separated by commas, or all.")] = "all",
    finetune: Annotated[
        str | None, typer.Option(help="Model to begin with: a name or a folder.")
    ] = None,
    data: Annotated[
        Files, typer.Option(help="Real matched pixels (netCDF) to learn from as well; repeatable.")
    ] = None,
    folds: Annotated[
        int, typer.Option(help="Judge what the real pixels teach on days kept apart, so often.")
    ] = 0,
    radar: Annotated[
        Files, typer.Option(help="Radar composites whose rain the held-out swaths have.")
    ] = None,
    shards: Annotated[
        int | None, typer.Option(help="Sixteens of simulated patches of each instrument.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    seed: Annotated[int, typer.Option(help="Source of chance.")] = 1,
    version: Annotated[int, typer.Option(help="Version of the finished models.")] = 1,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; by default a GPU where there is one.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of simulated samples to share between runs.")
    ] = None,
    stop_after: Annotated[
        float | None, typer.Option(help="Seconds of training after which to stop for now.")
    ] = None,
) -> None:
    """Train one network for many radiometers on simulated swaths, and write it as models.

    The run keeps its samples, its checkpoint and its log in the folder given, and goes on from
    there when the command is repeated. Finished models lie in its folder "models". With --data
    real pixels are mixed in; with --folds the gain is first measured on days kept apart, and
    stands on the cards.
    """
    from xrain.inference import choose_device
    from xrain.models.store import load_model
    from xrain.sensors import list_sensors
    from xrain.training.fit import Run
    from xrain.training.settings import settings

    names = tuple(list_sensors() if sensors == "all" else sensors.split(","))
    changes: dict[str, Any] = {
        "seed": seed,
        "matchups": tuple(str(p) for p in data or ()),
        "radar": tuple(str(p) for p in radar or ()),
    }
    changes |= {k: v for k, v in (("shards", shards), ("steps", steps)) if v is not None}
    base = load_model(finetune) if finetune else None
    if base is not None:
        changes["config"] = base.network.config
    chosen = settings(preset or ("finetune" if data else "cpu"), names, **changes)
    where = choose_device(device)
    real = _gain(out, chosen, base, folds, where, cache) if data and base and folds else None
    run = Run(out, chosen, where, cache or out / "samples")
    if base is not None:
        run.start_from(dict(base.network.state_dict()))
    if not _watched(run, stop_after):
        say(f"stopped at step {run.step}; the same command goes on from here")
        return
    before = f"{base.card.id}: {base.card.training.get('data', '')}" if base else None
    for card in run.publish(version, before=before, real=real):
        typer.echo(f"{card.id}  {out / 'models' / f'{card.name}-{card.version}'}")


def _gain(
    out: Path, chosen: Any, base: Any, folds: int, device: str, cache: Path | None
) -> dict[str, Any]:
    """Measure what the real pixels teach, and keep it beside the run."""
    import dataclasses

    from xrain.crossvalidation import cross_validate

    apart = dataclasses.replace(chosen, folds=folds)
    shared = cache or out / "samples"
    found = cross_validate(out / "folds", apart, base, device=device, cache=shared, report=_tell)
    (out / "crossvalidation.json").write_text(json.dumps(found, indent=1), "utf-8")
    return found


def _watched(run: Run, stop_after: float | None) -> bool:
    """Train with a bar; say whether the run is complete."""
    with progress(run.settings.steps) as bar:
        task = bar.add_task("training", total=run.settings.steps)

        def report(facts: dict[str, Any]) -> None:
            done = facts.get("step", facts.get("samples"))
            bar.update(task, completed=done, total=facts["of"])
            _tell(facts)

        return run.train(report, stop_after)


def _tell(facts: dict[str, Any]) -> None:
    for name, label in (("loss", "loss"), ("held_out", "held-out loss")):
        if name in facts:
            say(f"step {facts['step']} of {facts['of']}, {label} {facts[name]:.4f}")
