"""Train the network that tells rain from snow on matched pixels.

Two teachers, one that knows what a model says of the air and one that does not, are fitted to the
pixels; the network learns from what they say of many inputs between and beside these, with
channels, land fraction and ancillary fields lost as they may be.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrain.conventions import ANCILLARY, CHANNEL, LATITUDE, LONGITUDE, SAMPLE, SURFACE_PRECIP, TB
from xrain.errors import InputError
from xrain.geo.land import land_fraction
from xrain.io.matchups import PHASE, matched_days, open_matchups
from xrain.models.card import CardChannel, ModelCard
from xrain.models.export import save_model
from xrain.models.phase import PhaseConfig, PhaseNetwork
from xrain.models.store import PHASE_MODEL
from xrain.sensors import Channel, get_sensor
from xrain.training.observed import draw_kept
from xrain.training.phase_teacher import PhaseTeacher, SnowTeacher, Table
from xrain.training.rate_process import draw_inputs

__all__ = ["PhaseRecipe", "follow_phase", "read_table", "train_phase"]

Array = NDArray[np.float32]
Report = Callable[[dict[str, Any]], None]

_COLUMNS: Final = ("t2m", "total_column_water_vapour", "skin_temperature")
"""The ancillary fields as tables of matched pixels name them."""

NOISE: Final = (0.02, 0.3, 0.3, 0.3)
"""Standard deviation of the noise of land fraction and ancillary fields in lessons."""

COMPLETE: Final = 0.45
"""Share of a step's pixels with all channels."""

WITHOUT, SOME = 0.5, 0.2
"""Share of a step's pixels without ancillary fields, and share that lose each by itself."""

SHARED: Final = 1.0
"""Standard deviation in K of an error that the pixels share that lose channels: those of other
radiometers are not quite GMI's."""

GROUPS: Final = 16
"""Parts of a step that lose the same."""

LANDLESS: Final = 0.1
"""Share of the pixels whose land fraction is unknown."""

THRESHOLD: Final = 0.6
"""Probability of snow, at the frequencies of the matched pixels, above which it is reported. In
nature fewer pixels have snow; from about here on a report is as often right as wrong if one cold
pixel in ten has some."""

SNOW_WEIGHT: Final = 0.3
"""Weight of the snowfall rates beside the classes."""


@dataclass(frozen=True)
class PhaseRecipe:
    """What the network is made of.

    Attributes
    ----------
    phases : tuple of str
        Tables with ``phase``, below the folder of data; the first is taken at its word.
    unlabelled : tuple of str
        Tables of whose pixels the teachers are asked, without their labels.
    snow : str
        Table of snowfall rates.
    steps, batch, lessons : int
        Training steps, pixels in each, and inputs that the teachers are asked about.
    learning_rate : float
        Highest learning rate.
    hidden : int
        Width of the network.
    """

    phases: tuple[str, ...] = ("matchups/gmi_dpr_phase.nc", "matchups/gmi_cpr_phase.nc")
    unlabelled: tuple[str, ...] = ("matchups/gmi_era5_phase.nc",)
    snow: str = "matchups/gmi_cpr_snow.nc"
    steps: int = 12000
    batch: int = 2048
    lessons: int = 80000
    learning_rate: float = 5e-3
    hidden: int = 40


@dataclass(frozen=True)
class Lessons:
    """Inputs with what the teachers say of them, without and with the ancillary fields.

    Attributes
    ----------
    inputs : Tensor, shape (lesson, input)
        What the network is shown, all known.
    shares : Tensor, shape (2, lesson, 3)
        Probabilities of dry, rain and snow.
    log_rate : Tensor, shape (2, lesson)
        Logarithm of the mean snowfall rate in mm/h; NaN of pixels of tables without rates.
    """

    inputs: Tensor
    shares: Tensor
    log_rate: Tensor


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read matched pixels with their phase or their snowfall rate, and what goes with them.

    Raises
    ------
    FileFormatError, InputError
        As of :func:`xrain.io.matchups.open_matchups`; or if a field of the air is missing.
    """
    ds = open_matchups(path)
    if lost := [n for n in _COLUMNS if n not in ds]:
        raise InputError(f"{path}: the phase is learned beside {', '.join(lost)}")
    tb = ds[TB].transpose(SAMPLE, CHANNEL).values
    land = land_fraction(ds[LATITUDE].values, ds[LONGITUDE].values)
    air = [ds[n].values for n in _COLUMNS]
    columns = np.column_stack([tb, land, *air]).astype(np.float32)
    label = ds[PHASE if PHASE in ds else SURFACE_PRECIP].values
    table = Table(columns, label, matched_days(ds))
    return table.select(np.isfinite(tb).all(1) & (label >= 0))


def train_phase(
    phases: Sequence[Table],
    unlabelled: Sequence[Table],
    snow: Table,
    recipe: PhaseRecipe | None = None,
    *,
    channels: Sequence[Channel] = (),
    seed: int = 1,
    report: Report | None = None,
) -> PhaseNetwork:
    """Fit the teachers, and let the network learn from them.

    Parameters
    ----------
    phases, unlabelled, snow
        Tables as of :class:`PhaseRecipe`.
    recipe : PhaseRecipe, optional
        Steps and sizes.
    channels : sequence of Channel
        Channels of the tables, GMI's by default.
    seed : int
        Random seed.
    report : callable, optional
        Called with step, number of steps and loss now and then.
    """
    recipe = recipe or PhaseRecipe()
    channels = channels or get_sensor("GMI").channels
    lessons = _make_lessons(phases, unlabelled, snow, recipe, len(channels), seed)
    torch.manual_seed(seed)
    network = PhaseNetwork(PhaseConfig(len(channels), recipe.hidden))
    network.offset.copy_(lessons.inputs.mean(0))
    network.scale.copy_(lessons.inputs.std(0).clamp_min(1e-3))
    _learn(network, lessons, channels, recipe, seed, report)
    return network


def _make_lessons(
    phases: Sequence[Table],
    unlabelled: Sequence[Table],
    snow: Table,
    recipe: PhaseRecipe,
    channels: int,
    seed: int,
) -> Lessons:
    """Ask the teachers about inputs near the pixels of all tables."""
    inputs, snows = _draw([*phases, *unlabelled, snow], recipe.lessons, channels, seed)
    shares, rates = [], []
    for ancillary in (False, True):
        teacher = PhaseTeacher(list(phases), channels, ancillary, seed)
        shares.append(torch.as_tensor(teacher.probabilities(inputs)))
        rate = np.full(len(inputs), np.nan, np.float32)
        teacher_of_rates = SnowTeacher(snow, channels, ancillary, seed)
        more = _log_of_mean(snow, channels, ancillary, seed)
        rate[snows] = teacher_of_rates.log_rate(inputs[snows]) + more
        rates.append(torch.as_tensor(rate))
    return Lessons(torch.as_tensor(inputs), torch.stack(shares), torch.stack(rates))


def _draw(
    tables: Sequence[Table], count: int, channels: int, seed: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Draw inputs near the pixels of tables, as many of each as it has; tell the last table's."""
    noise = np.array([1.0] * channels + list(NOISE))
    known = [t.complete() for t in tables]
    total = sum(map(len, known))
    parts = []
    for k, table in enumerate(known):
        wanted = math.ceil(count * len(table) / total)
        drawn, _ = draw_inputs(table.columns, wanted, seed + k, noise)
        drawn[:, channels] = drawn[:, channels].clip(0.0, 1.0)
        drawn[:, channels + 2] = drawn[:, channels + 2].clip(0.1)  # vapour
        parts.append(drawn)
    last = np.arange(sum(map(len, parts))) >= sum(map(len, parts[:-1]))
    return np.concatenate(parts), last


def _learn(
    network: PhaseNetwork,
    lessons: Lessons,
    channels: Sequence[Channel],
    recipe: PhaseRecipe,
    seed: int,
    report: Report | None,
) -> None:
    """Show lessons step by step; the weights end as their running mean."""
    rng = np.random.default_rng((seed, 29))
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    for step in range(recipe.steps):
        rows = torch.as_tensor(rng.integers(0, len(lessons.inputs), recipe.batch))
        inputs, with_air = _lose(rng, lessons.inputs[rows], channels)
        loss = _loss(network, inputs, lessons, rows, with_air)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if report is not None and step % 500 == 499:
            report({"step": step + 1, "of": recipe.steps, "loss": loss.item()})
    network.eval().requires_grad_(False)


def _loss(
    network: PhaseNetwork, inputs: Tensor, lessons: Lessons, rows: Tensor, with_air: Tensor
) -> Tensor:
    """Cross entropy of the classes, and squared error of the logarithms of snowfall."""
    odds = network(inputs)
    who = with_air.long()
    shares, rate = lessons.shares[who, rows], lessons.log_rate[who, rows]
    classes = torch.nn.functional.cross_entropy(odds.logits, shares)
    known = rate.isfinite()
    wrong = torch.where(known, odds.log_snowfall - rate.nan_to_num(), 0.0)
    return classes + SNOW_WEIGHT * (wrong**2).sum() / known.sum().clamp_min(1)


def _lose(
    rng: np.random.Generator, inputs: Tensor, channels: Sequence[Channel]
) -> tuple[Tensor, Tensor]:
    """Take away channels, land fraction and ancillary fields; tell who keeps any of the last."""
    out, count = inputs.clone(), len(channels)
    parts = np.array_split(np.arange(len(out)), GROUPS)
    for part in parts[int(COMPLETE * GROUPS) :]:
        where = slice(int(part[0]), int(part[-1]) + 1)
        out[where, :count] += SHARED * torch.as_tensor(rng.standard_normal((1, count), np.float32))
        lost = torch.as_tensor(~draw_kept(rng, channels, False))
        out[where, :count] = torch.where(lost, torch.nan, out[where, :count])
    rows = len(out)
    out[:, count] = torch.where(_draws(rng, rows) < LANDLESS, torch.nan, out[:, count])
    alone = _draws(rng, rows) < WITHOUT
    for k in range(len(ANCILLARY)):
        lost = alone | (_draws(rng, rows) < SOME)
        out[:, count + 1 + k] = torch.where(lost, torch.nan, out[:, count + 1 + k])
    return out, ~out[:, count + 1 :].isnan().all(1)


def _draws(rng: np.random.Generator, count: int) -> Tensor:
    return torch.as_tensor(rng.uniform(size=count).astype(np.float32))


def _log_of_mean(snow: Table, channels: int, ancillary: bool, seed: int) -> float:
    """By how much the logarithm of the mean rate exceeds the mean logarithm that is taught.

    It is found on days that the teacher has not seen.
    """
    apart = snow.day % 4 == (snow.day % 4).min()
    teacher = SnowTeacher(snow.select(~apart), channels, ancillary, seed)
    judged = snow.select(apart).complete()
    taught = np.exp(teacher.log_rate(judged.columns).astype(np.float64))
    return math.log(float(np.mean(judged.label)) / float(taught.mean()))


def follow_phase(
    data: Path,
    output: Path,
    *,
    recipe: PhaseRecipe | None = None,
    seed: int = 1,
    version: int = 1,
    report: Report | None = None,
) -> list[ModelCard]:
    """Make the network from the files of a recipe, and save it as a model.

    Parameters
    ----------
    data : Path
        Folder of the files.
    output : Path
        Folder of the run; the model lies in its subfolder ``models``.
    recipe : PhaseRecipe, optional
        What to do.
    seed, version : int
        Random seed, and version of the model.
    report : callable, optional
        As for :func:`train_phase`.

    Returns
    -------
    list of ModelCard
        The card of the model.

    Raises
    ------
    InputError
        If a file is missing.
    """
    recipe = recipe or PhaseRecipe()
    names = (*recipe.phases, *recipe.unlabelled, recipe.snow)
    if lost := [str(data / n) for n in names if not (data / n).is_file()]:
        raise InputError(f"the recipe needs {', '.join(lost)}")
    phases, unlabelled = ([read_table(data / n) for n in group]
                          for group in (recipe.phases, recipe.unlabelled))  # fmt: skip
    snow = read_table(data / recipe.snow)
    network = train_phase(phases, unlabelled, snow, recipe, seed=seed, report=report)
    card = make_card(phases[0], recipe, seed, version, network.config)
    return [save_model(output / "models" / f"{card.name}-{version}", card, network.state_dict())]


def make_card(
    first: Table, recipe: PhaseRecipe, seed: int, version: int, config: PhaseConfig
) -> ModelCard:
    """Describe the network."""
    shares = [float(np.mean(first.label == k)) for k in range(3)]
    names = (*recipe.phases, *recipe.unlabelled, recipe.snow)
    return ModelCard(
        name=PHASE_MODEL,
        version=version,
        summary="Tells rain from snow in single pixels of any radiometer, and how much it snows.",
        architecture=config.to_dict(),
        rates=(0.003, 13.0),
        inputs=tuple(map(CardChannel.from_channel, get_sensor("GMI").channels)),
        task="precipitation phase and snowfall rate",
        training={
            "data": ", ".join(Path(n).name for n in names),
            "credits": "GPM DPR and GMI (NASA, JAXA), CloudSat CPR (NASA), ERA5 (Copernicus), "
            "matched by the TLP-R2S study (University of Minnesota)",
            "classes": dict(zip(("dry", "rain", "snow"), shares, strict=True)),
            "steps": recipe.steps,
            "seed": seed,
        },
        limits=(
            "Each pixel is judged by itself, without its neighbours.",
            "Other radiometers are judged through the channels of GMI that come nearest, seen "
            "under GMI's angle.",
            "Light snow that the DPR does not see is learned as dry; snow over snow-covered "
            "ground is missed most.",
        ),
        event_frequency=1.0 - shares[0],
        threshold=THRESHOLD,
    )
