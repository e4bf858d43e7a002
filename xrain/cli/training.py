"""Train models from simulated swaths and real pixels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrain.cli.collocation import find_files
from xrain.cli.console import progress, say

if TYPE_CHECKING:
    from xrain.training.fit import Run

__all__ = ["train"]

Files = list[Path] | None


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; resumed if there.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="tiny, cpu, finetune, archive, drain or gpu; by default what fits the rest."
        ),
    ] = None,
    sensors: Annotated[
        str | None,
        typer.Option(
            help="Instruments separated by commas, or all; by default those of the stores, or all."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", "--finetune", help="Model to begin with: a name or a folder."),
    ] = None,
    data: Annotated[
        Files,
        typer.Option(
            help="What to learn from beside simulated swaths: a store of 'xrain collocate', or "
            "matched pixels (netCDF); repeatable."
        ),
    ] = None,
    simulated: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of batches that are simulated beside stores; 0.3 by default.",
        ),
    ] = None,
    freeze: Annotated[
        str | None,
        typer.Option(help="trunk: only what reads the channels learns; goes with --init."),
    ] = None,
    align: Annotated[
        list[str] | None,
        typer.Option(
            help="L1C granules of an instrument to whose brightness temperatures the simulated "
            "ones are moved: a file or a quoted pattern; repeatable."
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(help="Judge what the real pixels teach on days kept apart, so often.")
    ] = 0,
    rain: Annotated[
        Files,
        typer.Option(help="Radar composites; each gives its rain to half as many samples more."),
    ] = None,
    radar: Annotated[
        Files, typer.Option(help="Radar composites whose rain the held-out swaths have.")
    ] = None,
    shards: Annotated[
        int | None, typer.Option(help="Sixteens of simulated patches of each instrument.")
    ] = None,
    pixel_steps: Annotated[
        int | None, typer.Option(help="Steps of the branch for single pixels.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps thereafter, of the branch for neighbours.")
    ] = None,
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
    brain: Annotated[
        bool,
        typer.Option("--brain", help="Make databases for Bayesian inversion, not a network."),
    ] = False,
) -> None:
    """Train one network on simulated swaths or an archive, and write it as models.

    The run keeps its samples, its checkpoint and its log in the folder given, and goes on from
    there when the command is repeated. Finished models lie in its folder "models". With --data
    it learns from stores of collocated granules, judged on their days held out, or from matched
    pixels; with --folds the gain of these is first measured on days kept apart. Either gain stands
    on the cards. With --align simulated swaths are first moved to where an instrument's granules
    lie, which needs no rain.

    With --brain it makes a database for Bayesian inversion instead: one for each instrument from
    simulated samples, or with --data one from real pixels, judged by days it has not seen.
    """
    from xrain.training.archive import is_store

    stores = tuple(str(p) for p in data or () if is_store(p))
    tables = tuple(str(p) for p in data or () if str(p) not in stores)
    names = _sensors(sensors, stores)
    if brain:
        made = _brain(out, names, preset, seed, stores, tables)
    else:
        changes = {
            "seed": seed,
            "matchups": tables,
            "stores": stores,
            "rain": tuple(str(p) for p in rain or ()),
            "radar": tuple(str(p) for p in radar or ()),
            "align": tuple(find_files(align or ())),
        }
        given = {"shards": shards, "pixel_steps": pixel_steps, "steps": steps,
                 "simulated": simulated, "freeze": freeze}  # fmt: skip
        changes |= {k: v for k, v in given.items() if v is not None}
        job = _Job(out, names, preset, changes, init, folds, version, device, cache, stop_after)
        made = _network(job)
    for card in made:
        typer.echo(f"{card.id}  {out / 'models' / f'{card.name}-{card.version}'}")


def _sensors(named: str | None, stores: tuple[str, ...]) -> tuple[str, ...]:
    """Instruments that were named; else those of the stores; else all."""
    from xrain.sensors import list_sensors
    from xrain.training.store import read_facts

    if named is None and stores:
        return tuple(dict.fromkeys(read_facts(path)["sensor"] for path in stores))
    return tuple(list_sensors() if named in (None, "all") else named.split(","))


@dataclass(frozen=True)
class _Job:
    """What was asked of a network's training."""

    out: Path
    sensors: tuple[str, ...]
    preset: str | None
    changes: dict[str, Any]
    init: str | None
    folds: int
    version: int
    device: str | None
    cache: Path | None
    stop_after: float | None


def _network(job: _Job) -> list[Any]:
    """Train a network; no card if it is not complete."""
    from xrain.crossvalidation import score_stores
    from xrain.inference import choose_device
    from xrain.training.fit import Run
    from xrain.training.settings import settings

    _require_sense(job)
    base = _beginning(job)
    changes = job.changes | ({"config": base.network.config} if base else {})
    chosen = settings(job.preset or _usual(base, changes), job.sensors, **changes)
    device, cache = choose_device(job.device), job.cache or job.out / "samples"
    found = _gain(job, chosen, base, device, cache) if job.folds else {}
    run = Run(job.out, chosen, device, cache)
    if base is not None:
        run.start_from(dict(base.network.state_dict()))
    if not _watched(run, job.stop_after):
        say(f"stopped at step {run.step}; the same command goes on from here")
        return []
    before = f"{base.card.id}: {base.card.training.get('data', '')}" if base else None

    def real(model: Any) -> dict[str, Any]:
        return score_stores(chosen, base, model, device=device) if chosen.stores else found

    return run.publish(job.version, before=before, real=real)


def _require_sense(job: _Job) -> None:
    """Refuse what does not go together."""
    from xrain.errors import InputError

    given, real = job.changes, bool(job.changes["matchups"]) and not job.changes["stores"]
    wrong = [
        (job.folds and not (job.folds > 1 and job.init and real),
         "--folds, two or more, goes with --init and --data of matched pixels"),
        ("simulated" in given and not given["stores"], "--simulated goes with --data of a store"),
        (given["align"] and given["stores"] and given.get("simulated") == 0,
         "--align moves simulated samples, of which --simulated 0 takes none"),
        ("freeze" in given and given["freeze"] != "trunk", "only --freeze trunk is known"),
        ("freeze" in given and not job.init, "--freeze goes with --init: it keeps what is learned"),
    ]  # fmt: skip
    if told := [text for bad, text in wrong if bad]:
        raise InputError("; ".join(told))


def _beginning(job: _Job) -> Any:
    """Load the model to begin with, None if there is none."""
    from xrain.errors import InputError
    from xrain.models.store import load_model

    if job.init is None:
        return None
    base = load_model(job.init)
    if base.card.architecture.get("kind") != "constellation-unet":
        raise InputError(f"{base.card.id} is no network; only a network can be fine-tuned")
    return base


def _usual(base: Any, changes: dict[str, Any]) -> str:
    """Preset where none is named: that of the network to begin with, or of the data."""
    if base is not None and base.network.config.levels:
        return "drain"
    if changes["stores"]:
        return "archive"
    return "finetune" if changes["matchups"] or changes["align"] else "cpu"


def _gain(job: _Job, chosen: Any, base: Any, device: str, cache: Path) -> dict[str, Any]:
    """Measure what the real pixels teach, and keep it beside the run."""
    import dataclasses

    from xrain.crossvalidation import cross_validate

    apart = dataclasses.replace(chosen, folds=job.folds)
    folder = job.out / "folds"
    found = cross_validate(folder, apart, base, device=device, cache=cache, report=_tell)
    (job.out / "crossvalidation.json").write_text(json.dumps(found, indent=1), "utf-8")
    return found


def _watched(run: Run, stop_after: float | None) -> bool:
    """Train with a bar; say whether the run is complete."""
    with progress(run.settings.all_steps) as bar:
        task = bar.add_task("training", total=run.settings.all_steps)

        def report(facts: dict[str, Any]) -> None:
            done = facts.get("step", facts.get("samples"))
            bar.update(task, completed=done, total=facts["of"])
            _tell(facts)

        return run.train(report, stop_after)


def _tell(facts: dict[str, Any]) -> None:
    for name, label in (("loss", "loss"), ("held_out", "held-out loss")):
        if name in facts:
            say(f"step {facts['step']} of {facts['of']}, {label} {facts[name]:.4f}")


def _brain(
    out: Path,
    names: tuple[str, ...],
    preset: str | None,
    seed: int,
    stores: tuple[str, ...],
    tables: tuple[str, ...],
) -> list[Any]:
    """Make databases of real pixels, or else of simulated samples."""
    from xrain.errors import InputError

    if stores:
        raise InputError("--brain learns from tables of matched pixels, not from stores")
    if tables:
        return _from_real(out, [Path(p) for p in tables])
    return _from_samples(out, names, preset or "cpu", seed)


def _from_samples(out: Path, names: tuple[str, ...], preset: str, seed: int) -> list[Any]:
    from xrain.training.databases import simulation, train_on_samples

    return train_on_samples(out, names, simulation(preset), seed=seed, report=say)


def _from_real(out: Path, files: list[Path]) -> list[Any]:
    from xrain.errors import InputError
    from xrain.evaluation.matchups import model_inputs
    from xrain.io.matchups import matched_days, open_matchups
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
