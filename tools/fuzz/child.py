"""The child process of a campaign: makes mutants, tries the doors, says what happened.

Before each mutant it prints a line that names it, afterwards one with its outcome, so that the
parent knows which one killed it.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

import xrain
from tools.fuzz.mutations import KINDS, mutate
from xrain.conventions import QUALITY_FLAGS
from xrain.errors import XrainError
from xrain.io.open import open_any
from xrain.io.write_radar import RadarSwath, write_2a_radar
from xrain.retrieval.sampling import fill_between_samples
from xrain.sensors import get_sensor, list_sensors
from xrain.simulate.radar import radar_of
from xrain.testing import tiny_model, write_fake_l1c

ADDRESS_SPACE: Final = 6 << 30
MOST_MEMORY: Final = 2 << 30
MOST_SECONDS: Final = 10.0
REAL: Final = 0.3
"""Share of mutants made from real granules, where there are any."""


def main(seed: int, first: int, end: int, folder: Path) -> None:
    """Try mutants `first` to `end` of a campaign."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    written, real = _written(folder), _real()
    for number in range(first, end):
        rng = np.random.default_rng([seed, number])
        pool = real if real and rng.random() < REAL else written
        source = pool[int(rng.integers(len(pool)))]
        kind = str(rng.choice(list(KINDS)))
        target = folder / f"mutant-{number}{source.suffix}"
        said: dict[str, Any] = {"number": number, "kind": kind, "source": source.name}
        print(json.dumps(said), flush=True)
        said["outcome"], said["told"] = _judge(source, target, kind, rng)
        target.unlink(missing_ok=True)
        print(json.dumps(said), flush=True)


def _written(folder: Path) -> list[Path]:
    """Granules in the archive's layout: of each sensor, in both formats, and of a radar."""
    made = []
    for k, name in enumerate(list_sensors()):
        for suffix in ("HDF5", "nc"):
            path = folder / f"1C.X.{name}.{suffix}"
            made.append(path if path.exists() else write_fake_l1c(path, name, scans=6 + k, seed=k))
    path = folder / "2A.X.HDF5"
    return [*made, path if path.exists() else _radar(path)]


def _radar(path: Path) -> Path:
    shape = (12, 9)
    rate = np.random.default_rng(0).gamma(0.3, 3.0, shape)
    swath = RadarSwath(
        time=np.datetime64("2020-07-01", "ns") + np.arange(12) * np.timedelta64(700, "ms"),
        latitude=np.full(shape, 10.0) + 0.045 * np.arange(12)[:, None],
        longitude=np.full(shape, 20.0) + 0.045 * np.arange(9), rate=rate, convective=rate > 5,
        freezing_level=np.full(shape, 4.0), land=np.zeros(shape, int),
        zenith_angle=np.full(shape, 7.0), sun_local_time=np.full(shape, 12.0),
    )  # fmt: skip
    sensor = get_sensor("gmi")
    return write_2a_radar(path, swath, radar=radar_of(sensor), platform="GPM", orbit=1)


def _real() -> list[Path]:
    here = Path(__file__).resolve().parents[2]
    data = Path(os.environ.get("XRAIN_TEST_DATA", here.parent / "shared" / "data"))
    return sorted(data.glob("granules/*/*.HDF5"))


# ---- one mutant


def _judge(source: Path, target: Path, kind: str, rng: np.random.Generator) -> tuple[str, str]:
    mutate(source, target, kind, rng)
    doors = int(rng.integers(1 << 30))
    _reset_peak()
    started = time.process_time()
    outcome = _try(target, source.name, doors)
    seconds, memory = time.process_time() - started, _peak()
    if memory > MOST_MEMORY:
        return "memory", f"{memory >> 20} MiB; {outcome[1]}"
    if seconds > MOST_SECONDS:
        return "slow", f"{seconds:.1f} s of processor time; {outcome[1]}"
    return outcome


def _try(path: Path, name: str, doors: int) -> tuple[str, str]:
    """Go through the doors: a result only if all of them give one."""
    told = ""
    for door in _doors(name, doors):
        try:
            door(path)
        except XrainError as error:
            told = told or str(error)[:200]
        except AssertionError as error:
            return "wrong", f"{door.__name__}: {str(error)[:300]}"
        except Exception as error:
            return "other", f"{door.__name__}: {type(error).__name__}: {str(error)[:300]}"
    return ("error", told) if told else ("result", "")


def _doors(name: str, chance: int) -> Iterator[Any]:
    if not name.startswith("1C"):
        yield reference
        yield reference_tree
        return
    yield swath
    if chance % 3 == 0:
        yield tree
    if chance % 5 == 0:
        yield retrieval
    if chance % 11 == 0:
        yield any_file
    if chance % 13 == 0:
        yield scene


def _same(one: xr.Dataset, other: xr.Dataset) -> None:
    for name, variable in one.variables.items():
        assert variable.equals(other[name].variable), f"{name} differs if it is read lazily"


def _require_possible(ds: xr.Dataset) -> None:
    tb = ds["tb"].values
    known = tb[np.isfinite(tb)]
    assert not known.size or (known.min() >= 20 and known.max() <= 400), "impossible temperature"
    assert not np.isinf(tb).any(), "infinite temperature"
    for name, most in (("latitude", 90), ("longitude", 360)):
        values = ds[name].values
        assert not (np.abs(values[np.isfinite(values)]) > most).any(), f"impossible {name}"


def swath(path: Path) -> None:
    """Open a granule eagerly and lazily, and look at the values."""
    with xrain.open_l1c(path) as ds:
        loaded = ds.load()
    _require_possible(loaded)
    with xrain.open_l1c(path, chunks={}) as lazy:
        _same(loaded, lazy.load(scheduler="synchronous"))
    _require_safe(loaded, loaded.rain.retrieve(_tiny()))


def tree(path: Path) -> None:
    """Open every swath group as it is."""
    with xr.open_datatree(path, engine="gpm-l1c") as groups:
        for group in groups.children.values():
            _require_possible(group.to_dataset().load())


def retrieval(path: Path) -> None:
    """Retrieve rain with the sensor's own model."""
    with xrain.open_l1c(path) as ds:
        loaded = ds.load()
    _require_safe(loaded, xrain.retrieve(loaded))


def _require_safe(ds: xr.Dataset, rain: xr.Dataset) -> None:
    """No rate where no temperature is, a flag where one is missing, all in its bounds."""
    tb, rate = ds["tb"].values, rain["surface_precip"].values
    flags = rain["retrieval_quality"].values
    nothing, some = np.isnan(tb).all(-1), np.isnan(fill_between_samples(tb)).any(-1)
    assert np.isnan(rate[nothing]).all(), "a rate without any temperature"
    assert (flags[nothing] & QUALITY_FLAGS["no_usable_channel"]).all(), "no flag without channels"
    assert (flags[some] & QUALITY_FLAGS["missing_channel"]).all(), "a missing channel not flagged"
    lost = np.isnan(ds["latitude"].values) | np.isnan(ds["longitude"].values)
    assert np.isnan(rate[lost]).all(), "a rate without a position"
    known = rate[np.isfinite(rate)]
    assert not known.size or known.min() >= 0, "a negative rate"
    probability = rain["probability_of_precip"].values
    probability = probability[np.isfinite(probability)]
    assert ((probability >= 0) & (probability <= 1)).all(), "no probability"
    if "surface_precip_quantile" in rain:
        steps = np.diff(rain["surface_precip_quantile"].values, axis=0)
        assert not (steps < -1e-4).any(), "quantiles out of order"


@cache
def _tiny() -> Any:
    return tiny_model()


def any_file(path: Path) -> None:
    """Open as the commands ``info`` and ``plot`` do."""
    with open_any(path) as ds:
        ds.load()


def scene(path: Path) -> None:
    """Load channels in a Satpy Scene."""
    from satpy import Scene

    try:
        scn = Scene([str(path)], reader="gpm_l1c")
    except ValueError as error:  # Satpy's own word for files that it cannot place
        if "No supported files" in str(error) or "No dataset could" in str(error):
            return
        raise
    wanted = [n for n in scn.available_dataset_names() if n[0].isdigit()][:2]
    scn.load(wanted)
    for name in wanted:
        if name in scn:
            scn[name].compute(scheduler="synchronous")


def reference(path: Path) -> None:
    """Open a rain granule eagerly and lazily."""
    with xrain.open_reference(path) as ds:
        loaded = ds.load()
    rate = loaded["surface_precip"].values
    known = rate[np.isfinite(rate)]
    assert not np.isinf(rate).any(), "infinite rate"
    assert not known.size or (known.min() >= 0 and known.max() <= 10_000), "impossible rate"
    with xrain.open_reference(path, chunks={}) as lazy:
        _same(loaded, lazy.load(scheduler="synchronous"))


def reference_tree(path: Path) -> None:
    """Open every group of a rain granule."""
    with xr.open_datatree(path, engine="gpm-l2") as groups:
        for group in groups.children.values():
            group.to_dataset().load()


# ---- memory


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not on this system: the peak of all mutants so far counts
        return


def _peak() -> int:
    """Largest resident memory in bytes since the last reset."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(x for x in status.splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
