"""Everything that decides a training run, and sets of it by name."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xrain.errors import InputError
from xrain.models.trunk import UNetConfig
from xrain.sensors import Channel, get_sensor
from xrain.training.samples import Plan

RADAR_SHARE = 0.5
"""Samples with the rain of a file of radar composites, for one with stochastic rain."""

OTHER_RAIN, JUDGING = 1_000_000, 900_000
"""Added to the seed: for every file of radar composites, and for the samples to judge by. No
multiple of the one is the other, however many files there are."""


@dataclass(frozen=True)
class Stage:
    """A stretch of steps in which the learning rate rises to a peak and falls once."""

    start: int
    steps: int
    rate: float


@dataclass(frozen=True)
class Settings:
    """Everything that decides a training run.

    Attributes
    ----------
    sensors : tuple of str
        Instruments whose swaths are simulated.
    config : UNetConfig
        Shape of the network.
    shards, held_out : int
        Shards per sensor to train on with stochastic rain, and to judge by (other seeds).
    per_shard : int
        Patches in one shard.
    size : int
        Scans and pixels of a patch.
    simulated_steps : int
        Steps, the first ones, in which lone simulated pixels teach the simulation's own branch for
        single pixels.
    pixel_steps : int
        Steps thereafter, if anything real is given, in which its lone pixels teach the network's.
    steps, batch : int
        Steps thereafter, and patches in each: the branch for neighbours learns to change the
        results of these two, which are left as they are.
    parts : int
        Parts of a batch, each drawn as one of `batch` patches; processes share them out.
    precision : str
        Arithmetic of the branch for neighbours: ``"float32"``, ``"bfloat16"``, or ``"auto"``:
        bfloat16 on a GPU.
    pixel_rate, rate : float
        Highest learning rates; both rise over the first twentieth and fall as a cosine.
    law : float
        Weight of the law of total expectation.
    swaths : tuple of str
        Observed swaths without rain, on which that law is held too.
    swath_law : float
        Its weight there.
    decay : float
        Weight decay.
    average : float
        Memory of the running mean of the weights, which is what is kept in the end.
    seed : int
        Source of chance.
    physics : float
        How far the simulator's parameters are moved about; drawn anew where it is judged.
    radar : tuple of str
        Files of radar composites whose rain the held-out samples have; stochastic by default.
    rain : tuple of str
        Files of radar composites; each gives its rain to half as many samples more.
    matchups : tuple of str
        Files of real matched pixels to learn from beside the simulated samples.
    fold, folds : int
        With two folds or more, every `folds`-th day of the matchups from day `fold` is left out.
    channels : tuple of str
        The only channels shown, by name; all by default.
    real, detection : float
        Weight of the real pixels' rates, and of whether it rained in them.
    beside : float
        Weight of the other lone pixels where there are real ones.
    stores : tuple of str
        Stores of collocated patches to learn from; their validation days judge the run.
    stream : bool
        Whether patches of stores are read from them as they are drawn, not unpacked first.
    simulated : float
        Share of the batches that are simulated where there are stores; without them all are.
    freeze : str
        ``"trunk"``: only what makes the first kernels from the channels' descriptions learns.
    judge_every : int
        Steps between judgements on the held-out samples.
    align : tuple of str
        Granules of the instruments to which simulated brightness temperatures are moved.
    """

    sensors: tuple[str, ...]
    config: UNetConfig = field(default_factory=UNetConfig)
    shards: int = 20
    held_out: int = 2
    per_shard: int = 16
    size: int = 64
    simulated_steps: int = 4000
    pixel_steps: int = 3000
    steps: int = 12000
    batch: int = 4
    parts: int = 1
    precision: str = "auto"
    pixel_rate: float = 4e-3
    rate: float = 3e-3
    law: float = 0.5
    swath_law: float = 2.0
    decay: float = 0.01
    average: float = 0.998
    seed: int = 1
    physics: float = 1.0
    radar: tuple[str, ...] = ()
    rain: tuple[str, ...] = ()
    matchups: tuple[str, ...] = ()
    fold: int = 0
    folds: int = 0
    channels: tuple[str, ...] = ()
    real: float = 1.0
    detection: float = 0.15
    beside: float = 0.3
    stores: tuple[str, ...] = ()
    stream: bool = False
    simulated: float = 0.3
    freeze: str = ""
    judge_every: int = 1000
    align: tuple[str, ...] = ()
    swaths: tuple[str, ...] = ()

    @property
    def first_steps(self) -> int:
        """Steps of the simulation's own branch for single pixels."""
        return self.simulated_steps if self.simulated_share else 0

    @property
    def lone_steps(self) -> int:
        """Steps of both branches for single pixels."""
        real = self.stores or self.matchups
        return self.first_steps + (self.pixel_steps if real else 0)

    @property
    def all_steps(self) -> int:
        """Steps of all branches."""
        return self.lone_steps + self.steps

    def stage(self, step: int) -> Stage:
        """Tell the stage that a step belongs to."""
        bounds = 0, self.first_steps, self.lone_steps, self.all_steps
        rates = self.pixel_rate, self.pixel_rate, self.rate
        k = sum(step >= b for b in bounds[1:-1])
        return Stage(bounds[k], bounds[k + 1] - bounds[k], rates[k])

    @property
    def simulated_share(self) -> float:
        """Chance that a batch is simulated."""
        return self.simulated if self.stores else 1.0

    def channels_of(self, sensor: str) -> tuple[Channel, ...]:
        """Channels of an instrument that are shown."""
        every = get_sensor(sensor).channels
        return tuple(c for c in every if not self.channels or c.name in self.channels)

    @property
    def training_plans(self) -> tuple[Plan, ...]:
        """Samples to learn from: stochastic rain, and that of each file."""
        storms = Plan(self.sensors, self.shards, self.size, self.seed, self.per_shard, self.physics)
        share = math.ceil(RADAR_SHARE * self.shards)
        return storms, *(
            replace(storms, shards=share, seed=self.seed + k * OTHER_RAIN, radar=(path,))
            for k, path in enumerate(self.rain, 1)
        )

    @property
    def judging_plan(self) -> Plan:
        """Samples to judge by, which training never sees."""
        parts = self.held_out, self.size, self.seed + JUDGING, self.per_shard, self.physics
        return Plan(self.sensors, *parts, self.radar)


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "shards": 1,
        "held_out": 1,
        "per_shard": 4,
        "size": 32,
        "simulated_steps": 20,
        "pixel_steps": 20,
        "steps": 20,
        "batch": 4,
    },
    "cpu": {"shards": 20, "held_out": 2},
    "finetune": {
        "shards": 20,
        "held_out": 2,
        "pixel_steps": 2400,
        "pixel_rate": 3e-3,
        "steps": 2000,
        "rate": 1e-3,
    },
    "archive": {
        "shards": 20,
        "pixel_steps": 1000,
        "pixel_rate": 1e-3,
        "steps": 3000,
        "rate": 1e-3,
        "judge_every": 250,
    },
    "gpu": {
        "config": UNetConfig(width=64, dilations=(1, 2, 4, 8, 1, 2, 4, 8, 2, 1), hidden=96),
        "shards": 200,
        "held_out": 4,
        "size": 128,
        "steps": 30000,
        "batch": 64,
    },
}
"""Settings by name: a smoke test, two cores within an hour, real pixels mixed in, stores of an
archive, and one GPU in slices."""


def settings(preset: str, sensors: tuple[str, ...], **changes: Any) -> Settings:
    """Return the settings of a preset, with changes.

    Raises
    ------
    InputError
        If the preset or a sensor is unknown.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}; there are {', '.join(PRESETS)}")
    names = tuple(get_sensor(s).name for s in sensors)
    return replace(Settings(**{"sensors": names, **PRESETS[preset]}), **changes)


def read_settings(path: Path) -> Settings:
    """Read the settings that a run has kept.

    Parameters
    ----------
    path : Path
        ``settings.json`` in its folder.

    Returns
    -------
    Settings

    Raises
    ------
    InputError
        If there is none, or one of another version of xrain.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        config = UNetConfig(**_with_tuples(values.pop("config")))
        return Settings(config=config, **_with_tuples(values))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path.parent} holds no run that can be resumed: {error}") from error


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
