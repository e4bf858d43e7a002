"""Train models from simulated swaths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xrain.cli.console import progress, say

__all__ = ["train"]


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; resumed if there.")],
    preset: Annotated[str, typer.Option(help="tiny, cpu or gpu.")] = "cpu",
    sensors: Annotated[str, typer.Option(help="Instruments separated by commas, or all.")] = "all",
    seed: Annotated[int, typer.Option(help="Source of chance.")] = 1,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; by default a GPU where there is one.")
    ] = None,
    stop_after: Annotated[
        float | None, typer.Option(help="Seconds of training after which to stop for now.")
    ] = None,
) -> None:
    """Train one network for many radiometers on simulated swaths, and write it as models.

    The run keeps its samples, its checkpoint and its log in the folder given, and goes on from
    there when the command is repeated. Finished models lie in its folder "models".
    """
    from xrain.inference import choose_device
    from xrain.sensors import list_sensors
    from xrain.training.fit import Run
    from xrain.training.settings import settings

    names = tuple(list_sensors() if sensors == "all" else sensors.split(","))
    run = Run(out, settings(preset, names, seed=seed), choose_device(device))
    with progress(run.settings.steps) as bar:
        task = bar.add_task("training", total=run.settings.steps)

        def report(facts: dict[str, Any]) -> None:
            if "step" in facts:
                bar.update(task, completed=facts["step"], total=run.settings.steps)
                say(f"step {facts['step']} of {facts['of']}, loss {facts['loss']:.4f}")
            else:
                bar.update(task, completed=facts["samples"], total=facts["of"])

        complete = run.train(report, stop_after)
    if not complete:
        say(f"stopped at step {run.step}; the same command goes on from here")
        return
    for card in run.publish():
        typer.echo(f"{card.id}  {out / 'models' / f'{card.name}-{card.version}'}")
