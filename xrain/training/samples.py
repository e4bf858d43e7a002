"""Simulated training samples: made once, in parallel, kept on disk in half precision.

Each shard holds patches of one sensor and depends on its seed and number alone, so an
interrupted run goes on where it stopped and two runs with one seed are the same.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xrain.atomic import replacing
from xrain.retrieval.devices import share_cores
from xrain.sensors import Channel, get_sensor
from xrain.workers import Workers, run_tasks

if TYPE_CHECKING:
    from xrain.simulate.patches import RainSource

DRY_SHARE, SPARSE_SHARE = 0.35, 0.25
"""Share of patches without rain, and with a quarter of the usual rain area. Together with the
rest some tenth of the pixels rain, near to what a radiometer meets on the globe."""


@dataclass(frozen=True)
class Shard:
    """Patches of one sensor.

    Attributes
    ----------
    tb : ndarray of float16, shape (patch, scan, pixel, channel)
        Brightness temperature in K.
    rain : ndarray of float32, shape (patch, scan, pixel)
        Rain averaged over the footprint, mm/h; NaN where it is not known.
    incidence : ndarray of float16, shape (patch, scan, pixel)
        Earth incidence angle of the first channel in degrees.
    land : ndarray of float16, shape (patch, scan, pixel)
        Land fraction.
    """

    tb: npt.NDArray[np.float16]
    rain: npt.NDArray[np.float32]
    incidence: npt.NDArray[np.float16]
    land: npt.NDArray[np.float16]


@dataclass(frozen=True)
class Plan:
    """Which samples to make.

    Attributes
    ----------
    sensors : tuple of str
        Instruments.
    shards : int
        Shards of each.
    size : int
        Scans and pixels of a patch.
    seed : int
        Source of chance; held-out samples use another.
    per_shard : int
        Patches in one shard.
    physics : float
        How far the simulator's parameters are moved about from patch to patch; see
        :func:`xrain.simulate.perturb.perturbed`.
    radar : tuple of str
        Files of radar composites to take rain from; by default it is stochastic.
    """

    sensors: tuple[str, ...]
    shards: int
    size: int
    seed: int
    per_shard: int = 16
    physics: float = 1.0
    radar: tuple[str, ...] = ()

    @property
    def numbers(self) -> list[tuple[str, int]]:
        """Every shard, as sensor and number; sensors take turns."""
        return [(s, k * n + j) for k in range(self.shards) for s in self.sensors
                for n in (RICH.get(s, 1),) for j in range(n)]  # fmt: skip


RICH = {"GMI": 3}
"""Shards per shard of the others: GMI has nearly every band that the others have."""


def shard_path(folder: Path, plan: Plan, sensor: str, number: int) -> Path:
    """File of a shard."""
    kind = "storms"
    if plan.radar:
        names = ",".join(Path(p).name for p in plan.radar)
        kind = f"radar-{zlib.crc32(names.encode()):08x}"
    name = f"{sensor.lower()}-{kind}-{plan.size}-{plan.physics:g}-{plan.seed}-{number:04d}.npz"
    return folder / name


def make_samples(
    folder: Path,
    *plans: Plan,
    workers: int | None = None,
    client: Any = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make every shard of some plans that is not there yet.

    Parameters
    ----------
    folder : Path
        Where shards are kept; made if absent.
    *plans : Plan
        What to make.
    workers : int, optional
        Processes; by default one per core.
    client : distributed.Client, optional
        A cluster that makes them in place of processes; its workers must see the folder, and the
        files of radar composites.
    progress : callable, optional
        Called with the number of shards that are done and of all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Within a plan sensors take turns: a run cut short has some of each.
    wanted = [(plan, s, k) for plan in plans for s, k in plan.numbers]
    missing = [job for job in wanted if not shard_path(folder, *job).exists()]
    done = len(wanted) - len(missing)
    if progress is not None:
        progress(done, len(wanted))
    if not missing:
        return
    count = min(workers or os.cpu_count() or 1, len(missing))
    team = Workers(count, client=client, prepare=functools.partial(share_cores, count))
    tasks = [(Path(os.path.abspath(folder)), _at_home(plan), s, k) for plan, s, k in missing]
    for made in run_tasks(_make_shard, tasks, team):
        made.value()
        done += 1
        if progress is not None:
            progress(done, len(wanted))


def _at_home(plan: Plan) -> Plan:
    """Name files in a way that holds in every process."""
    return dataclasses.replace(plan, radar=tuple(map(os.path.abspath, plan.radar)))


def _make_shard(task: tuple[Path, Plan, str, int]) -> None:
    from xrain.simulate.forward import ForwardModel
    from xrain.simulate.parameters import default_parameters
    from xrain.simulate.patches import patch_at
    from xrain.simulate.perturb import perturbed

    folder, plan, name, number = task
    sensor, rain = get_sensor(name), _rain_source(plan.radar)
    patches = []
    for k in range(number * plan.per_shard, (number + 1) * plan.per_shard):
        chance = np.random.default_rng((plan.seed, k, 7))
        physics = perturbed(default_parameters(), chance, plan.physics)
        model = ForwardModel(sensor.channels, parameters=physics)
        patches.append(patch_at((plan.seed, k), sensor, plan.size, model, rain=rain))
    path = shard_path(folder, plan, name, number)
    with replacing(path) as draft, open(draft, "wb") as stream:
        np.savez(
            stream,
            tb=np.stack([p.tb for p in patches]).astype(np.float16),
            rain=np.stack([p.rain for p in patches]),
            incidence=np.stack([p.incidence_angle[..., 0] for p in patches]).astype(np.float16),
            land=np.stack([p.land_fraction for p in patches]).astype(np.float16),
        )


@functools.cache
def _rain_source(radar: tuple[str, ...]) -> RainSource:
    """Where the rain of a patch comes from."""
    if not radar:
        return _mixed_rain
    from xrain.simulate.rain_maps import open_rain_maps, radar_source

    return radar_source([m for path in radar for m in open_rain_maps(path)])


def _mixed_rain(
    shape: tuple[int, int], spacing: tuple[float, float], rng: np.random.Generator
) -> Any:
    """Rain as often as it is met: many patches dry, some with little, the rest as in storms."""
    import dataclasses

    from xrain.simulate.rain import RainGrid, StormParameters, stochastic_rain

    kind = rng.uniform()
    if kind < DRY_SHARE:
        none = np.zeros(shape, np.float32)
        return RainGrid(none, none.copy(), spacing)
    storm = StormParameters.draw(rng, rng.normal(0.0, 0.7))
    if kind < DRY_SHARE + SPARSE_SHARE:
        storm = dataclasses.replace(storm, wet_fraction=storm.wet_fraction / 4)
    return stochastic_rain(shape, spacing, seed=rng, parameters=storm)


def load_samples(folder: Path, *plans: Plan, channels: Sequence[str] = ()) -> dict[str, Shard]:
    """Read all shards of some plans that exist, joined by sensor; of some channels, if named."""
    out = {}
    wanted = [(plan, s, k) for plan in plans for s, k in plan.numbers]
    for sensor in dict.fromkeys(s for _, s, _ in wanted):
        paths = [shard_path(folder, *job) for job in wanted if job[1] == sensor]
        names = [c.name for c in get_sensor(sensor).channels]
        kept = [k for k, n in enumerate(names) if not channels or n in channels]
        parts = list(_read((p for p in paths if p.exists()), kept))
        if parts:
            columns = [np.concatenate([getattr(p, f) for p in parts]) for f in _FIELDS]
            out[sensor] = Shard(*columns)
    return out


_FIELDS = ("tb", "rain", "incidence", "land")


def _read(paths: Iterator[Path], channels: list[int]) -> Iterator[Shard]:
    for path in paths:
        with np.load(path) as stored:
            tb, *others = (stored[f] for f in _FIELDS)
            yield Shard(tb[..., channels], *others)


def valid_ranges(
    samples: Mapping[str, Shard], channels: Mapping[str, Sequence[Channel]]
) -> dict[str, Any]:
    """Range of every channel over all samples with a margin of 5 K: what training covers."""
    out: dict[str, Any] = {}
    for sensor, shard in samples.items():
        for k, channel in enumerate(channels[sensor]):
            tb = shard.tb[..., k].astype(np.float32)
            low, high = np.nanquantile(tb, [0.0001, 0.9999])
            old = out.get(channel.name, (np.inf, -np.inf))
            out[channel.name] = (
                round(min(float(low) - 5.0, old[0]), 1),
                round(max(float(high) + 5.0, old[1]), 1),
            )
    return out
