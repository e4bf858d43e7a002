"""Train models from simulated swaths, or make databases for Bayesian inversion."""

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
    brain: Annotated[
        bool,
        typer.Option("--brain", help="Make databases for Bayesian inversion, not a network."),
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="With --brain: matched real pixels to make the database of; repeatable."),
    ] = None,
) -> None:
    """Train one network for many radiometers on simulated swaths, and write it as models.

    The run keeps its samples, its checkpoint and its log in the folder given, and goes on from
    there when the command is repeated. Finished models lie in its folder "models".

    With --brain it makes a database for Bayesian inversion instead: one for each instrument from
    simulated samples, or with --data one from real pixels, judged by days it has not seen.
    """
    from xrain.sensors import list_sensors

    names = tuple(list_sensors() if sensors == "all" else sensors.split(","))
    if data and not brain:
        raise typer.BadParameter("--data goes with --brain")
    if brain and data:
        cards = _from_real(out, data)
    elif brain:
        cards = _from_samples(out, names, preset, seed)
    else:
        cards = _network(out, names, preset, seed, device, stop_after)
    for card in cards:
        typer.echo(f"{card.id}  {out / 'models' / f'{card.name}-{card.version}'}")


def _network(
    out: Path,
    names: tuple[str, ...],
    preset: str,
    seed: int,
    device: str | None,
    stop_after: float | None,
) -> list[Any]:
    """Train a network; no card if it is not complete."""
    from xrain.inference import choose_device
    from xrain.training.fit import Run, settings

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
    if complete:
        return run.publish()
    say(f"stopped at step {run.step}; the same command goes on from here")
    return []


def _from_samples(out: Path, names: tuple[str, ...], preset: str, seed: int) -> list[Any]:
    from xrain.training.databases import simulation, train_on_samples

    return train_on_samples(out, names, simulation(preset), seed=seed, report=say)


def _from_real(out: Path, files: list[Path]) -> list[Any]:
    from xrain.errors import InputError
    from xrain.evaluation.matchups import matched_days, model_inputs, open_matchups
    from xrain.sensors import get_sensor
    from xrain.training.databases import train_on_real
    from xrain.training.vectors import Vectors, table_vectors

    tables = [open_matchups(path) for path in files]
    owners = {str(model_inputs(ds).attrs.get("sensor", "unknown")) for ds in tables}
    if len(owners) != 1 or owners == {"unknown"}:
        raise InputError(
            f"the files must hold pixels of one known instrument; they hold {', '.join(owners)}"
        )
    sensor = get_sensor(owners.pop())
    rows = [table_vectors(sensor, ds, matched_days(ds)) for ds in tables]
    names = [path.name for path in files]
    return [train_on_real(out, sensor, Vectors.join(rows), data=names, report=say)]
