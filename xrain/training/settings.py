"""Everything that decides a training run, and sets of it by name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
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
    pixel_steps : int
        Steps, the first ones, in which the branch for single pixels learns from lone pixels. The
        longer it learns from simulation alone, the more it trusts the simulator.
    steps, batch : int
        Steps thereafter, and patches in each: the branch for neighbours learns to change the
        results of the first, which is left as it is.
    pixel_rate, rate : float
        Highest learning rates; both rise over the first twentieth and fall as a cosine.
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
    pixel_steps: int = 3000
    steps: int = 6000
    batch: int = 8
    pixel_rate: float = 5e-3
    rate: float = 3e-3
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
    simulated: float = 0.3
    freeze: str = ""
    judge_every: int = 1000
    align: tuple[str, ...] = ()

    @property
    def all_steps(self) -> int:
        """Steps of both branches."""
        return self.pixel_steps + self.steps

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


DRAIN_LEVELS = tuple(round(k / 100, 2) for k in range(1, 100))
"""Quantiles that DRAIN gives (Viltard et al. 2023, arXiv 2303.01220)."""

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "shards": 1,
        "held_out": 1,
        "per_shard": 4,
        "size": 32,
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
    "drain": {
        "sensors": ("GMI",),
        "config": UNetConfig((16, 32, 64, 128), levels=DRAIN_LEVELS),
        "channels": ("36.64V", "36.64H", "89.0V", "89.0H"),
        "shards": 20,
        "held_out": 2,
        "pixel_steps": 2500,
        "pixel_rate": 3e-3,
        "steps": 4000,
        "batch": 4,
        "beside": 0.5,
    },
    "gpu": {
        "config": UNetConfig(widths=(48, 96, 160, 256), blocks=2, hidden=96),
        "shards": 200,
        "held_out": 4,
        "size": 128,
        "steps": 30000,
        "batch": 64,
    },
}
"""Settings by name: a smoke test, two cores within an hour, real pixels mixed in, stores of an
archive, the published DRAIN (four channels of GMI, 99 quantiles), and one GPU in slices."""


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
