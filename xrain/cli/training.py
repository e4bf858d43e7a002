"""The command that trains models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrain.cli.cluster import Scheduler
from xrain.cli.collocation import find_files
from xrain.cli.console import echo
from xrain.cli.databases import Databases, build
from xrain.cli.training_job import TrainingJob, run_job, tell

if TYPE_CHECKING:
    pass

__all__ = ["train"]

Files = list[Path] | None


def train(
    ctx: typer.Context,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder of the run; training resumes if it holds one."),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            help="Set of defaults: tiny, cpu, finetune, archive or gpu; chosen from the "
            "other options if not given."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Remake packaged models from the folder of data that --data names: "
            "constellation for networks, brain for databases, phase for what tells rain from snow."
        ),
    ] = None,
    sensors: Annotated[
        str | None,
        typer.Option(
            help="Instruments, separated by commas, or all. Default: those of the stores, else all."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", "--finetune", help="Model to start from: a name or a folder."),
    ] = None,
    data: Annotated[
        Files,
        typer.Option(
            help="Training data beside simulated swaths: a store of 'xrain collocate', or matched "
            "pixels (netCDF). Repeatable."
        ),
    ] = None,
    simulated: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Fraction of the batches that are simulated when there are stores. Default: 0.3.",
        ),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Read patches from the stores as they are drawn instead of unpacking a copy.",
        ),
    ] = False,
    freeze: Annotated[
        str | None,
        typer.Option(
            help="With 'trunk', only the layers that depend on the channels are trained. Needs "
            "--init."
        ),
    ] = None,
    align: Annotated[
        list[str] | None,
        typer.Option(
            help="L1C granules to whose brightness temperatures the simulated ones are adjusted: "
            "a file or a quoted pattern. Repeatable."
        ),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of folds of days for cross-validation of the fine-tuning on matched "
            "pixels; 0 for none.",
        ),
    ] = 0,
    train_rain: Annotated[
        Files,
        typer.Option(
            help="Radar composite whose rain is used for additional training samples. Repeatable."
        ),
    ] = None,
    validation_rain: Annotated[
        Files,
        typer.Option(help="Radar composite whose rain is used for validation. Repeatable."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Simulated patches per instrument, rounded up to full files of samples.",
        ),
    ] = None,
    pixel_steps: Annotated[
        int | None, typer.Option(min=0, help="Training steps of the single-pixel branch.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=0, help="Training steps of the neighbour branch.")
    ] = None,
    parts: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Parts of each batch, every one as large as the preset's batch: the number of "
            "processes of torchrun, or a multiple. Default: one for each process.",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Arithmetic of the neighbour branch: float32 or bfloat16. Default: bfloat16 on "
            "a GPU."
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write metrics for TensorBoard.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in the output folder with the options that it was started with.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    version: Annotated[int, typer.Option(min=1, help="Version number of the finished models.")] = 1,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda. Default: a GPU if there is one.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of simulated samples, which several runs may share."),
    ] = None,
    scheduler: Scheduler = None,
    stop_after: Annotated[
        float | None,
        typer.Option(help="Stop after this many seconds of training; the run can be resumed."),
    ] = None,
    brain: Annotated[
        bool,
        typer.Option(
            "--brain", help="Build databases for Bayesian inversion instead of a network."
        ),
    ] = False,
) -> None:
    """Train a network on simulated swaths and observations, and export it as models.

    Samples, checkpoint and log are kept in the output folder; repeat the command to resume, or
    give --resume alone. The finished models are in its subfolder "models". Under torchrun every
    process learns from its parts of each batch.

    With --data the network is also trained on collocated granules, validated on their validation
    days, or on matched pixels; with --folds the gain from the latter is estimated by
    cross-validation first. The scores before and after are stored on the model cards. With --align
    the simulated brightness temperatures are adjusted to an instrument's own, which needs no rain.

    With --scheduler the simulated samples are made on a Dask cluster, before the training.

    With --brain a database for Bayesian inversion is built for each instrument from simulated
    samples, or with --data from matched pixels, validated on days left out.

    With --recipe packaged models are remade from the files that their cards name, below the one
    folder of --data.
    """
    from xrain.collocation.store import is_store

    if resume:
        _refuse_unused(ctx, "resume", "--resume")
        job = TrainingJob.read(
            output, device=device, cache=cache, scheduler=scheduler, stop_after=stop_after,
            tensorboard=tensorboard,
        )  # fmt: skip
        _tell_models(run_job(job), output)
        return
    if recipe is not None:
        kind = "brain recipe" if recipe == "brain" else PHASE if recipe == PHASE else "recipe"
        _refuse_unused(ctx, kind, f"--recipe {recipe}")
        _tell_models(_follow(recipe, data, output, sensors, seed, version, device, cache), output)
        return
    stores = tuple(str(p) for p in data or () if is_store(p))
    tables = tuple(str(p) for p in data or () if str(p) not in stores)
    names = _sensors(sensors, stores)
    if brain:
        beside = " and --data" if tables or stores else ""
        _refuse_unused(ctx, "data" if beside else "", f"--brain{beside}")
        plan = Databases(output, names, preset or "cpu", samples, seed, version, cache, scheduler)
        made = build(plan, stores, tables)
    else:
        changes = {
            "seed": seed,
            "matchups": tables,
            "stores": stores,
            "rain": tuple(str(p) for p in train_rain or ()),
            "radar": tuple(str(p) for p in validation_rain or ()),
            "align": tuple(find_files(align or ())),
        }
        given = {"pixel_steps": pixel_steps, "steps": steps, "simulated": simulated,
                 "freeze": freeze, "precision": precision, "parts": parts}  # fmt: skip
        changes |= {k: v for k, v in given.items() if v is not None} | {"stream": stream}
        job = TrainingJob(
            output, names, preset, changes, samples, init, folds, version, device, cache, scheduler,
            stop_after, tensorboard,
        )  # fmt: skip
        made = run_job(job)
    _tell_models(made, output)


def _tell_models(cards: list[Any], output: Path) -> None:
    for card in cards:
        echo(f"{card.id}  {output / 'models' / f'{card.name}-{card.version}'}")


def _follow(
    name: str,
    data: Files,
    output: Path,
    sensors: str | None,
    seed: int,
    version: int,
    device: str | None,
    cache: Path | None,
) -> list[Any]:
    """Remake packaged models."""
    from xrain.errors import InputError
    from xrain.retrieval.devices import choose_device
    from xrain.training.recipes import RECIPES, follow

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--recipe runs in one process, without torchrun")
    if name not in (*RECIPES, PHASE):
        raise InputError(f"unknown recipe {name!r}; there are {', '.join((*RECIPES, PHASE))}")
    if not data or len(data) != 1 or not data[0].is_dir():
        raise InputError("--recipe needs --data with the one folder of the files")
    if name == PHASE:
        from xrain.training.phase import follow_phase

        return follow_phase(data[0], output, seed=seed, version=version, report=tell)
    return follow(
        RECIPES[name], data[0], output, sensors=_sensors(sensors, ()) if sensors else (), seed=seed,
        version=version, device=choose_device(device), cache=cache, report=tell,
    )  # fmt: skip


PHASE = "phase"
"""The recipe of the network that tells rain from snow."""

_HEEDED = {
    "": {
        "output",
        "brain",
        "sensors",
        "preset",
        "samples",
        "seed",
        "version",
        "cache",
        "scheduler",
    },
    "data": {"output", "brain", "data", "version"},
    PHASE: {"output", "recipe", "data", "seed", "version"},
    "resume": {
        "output",
        "resume",
        "device",
        "cache",
        "scheduler",
        "stop_after",
        "tensorboard",
    },
    "recipe": {"output", "recipe", "data", "sensors", "seed", "version", "device", "cache"},
    "brain recipe": {"output", "recipe", "data", "sensors", "seed", "version", "cache"},
}
"""Options that count for databases of simulated samples and of matched pixels, and for recipes."""


def _refuse_unused(ctx: typer.Context, kind: str, asked: str) -> None:
    """Refuse options that what was asked for would not heed."""
    from xrain.errors import InputError

    given = {
        option.name: option.opts[0]
        for option in ctx.command.params
        if option.name and str(ctx.get_parameter_source(option.name)).endswith("COMMANDLINE")
    }
    unused = [flag for name, flag in given.items() if name not in _HEEDED[kind]]
    if unused:
        raise InputError(f"{asked} takes no {', '.join(unused)}")


def _sensors(named: str | None, stores: tuple[str, ...]) -> tuple[str, ...]:
    """Return the instruments named, or those of the stores, or all."""
    from xrain.collocation.store import read_attrs
    from xrain.sensors import list_sensors

    if named is None and stores:
        return tuple(dict.fromkeys(read_attrs(path)["sensor"] for path in stores))
    return tuple(list_sensors() if named in (None, "all") else named.split(","))
