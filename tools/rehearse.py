"""Rehearse the way from an archive to better weights, where the gain is known.

``python tools/rehearse.py FOLDER [--small]`` simulates an archive whose physics the shipped weights
never saw: GMI granules with radar granules beside them, and granules of a second radiometer over
the same storms minutes later. It then runs the commands that a user would run on it, scores what
comes of them against the true rain, and prints a table; ``report.json`` in the folder holds the
same. What is in the folder already is not made again. ``--small`` runs the same chain in a minute,
too small to teach anything.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xrain.simulate.parameters import Parameters, default_parameters, differences

SECOND = "ssmis"
"""The second radiometer: wide footprints and high frequencies, and no radar ever beside it."""

MINUTES = 12
"""Minutes after GMI at which the second radiometer looks at a storm."""

FACTORS = {
    "particles__ice_content": 1.7,
    "particles__ice_content_convective": 1.7,
    "particles__snow_density": 1.35,
    "particles__ice_diameter": 1.15,
    "particles__rain_diameter": 1.15,
    "cloud__liquid_scale": 1.5,
    "particles__cloud_content": 1.7,
    "atmosphere__humidity_aloft": 1.25,
    "particles__melting_content": 0.65,
    "ocean__foam": 1.5,
}
"""What the foreign physics changes: more, denser and coarser ice, larger drops, moister air aloft,
thicker clouds, each by 2.0 to 2.7 of the standard deviations by which training moves them."""

EXTENT, GRID = 2200.0, 5.0  # km


def _steps(pixel: int, near: int) -> tuple[str, ...]:
    return "--pixel-steps", str(pixel), "--steps", str(near)


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes
    ----------
    orbits : int
        Granules with a radar beside them.
    more : int
        Further granules, of which only the ceiling sees the truth.
    test : int
        Granules that only scores see.
    scans : int
        Scans of a GMI granule.
    training : tuple of str
        Options of every training but those of the ceilings.
    ceiling : tuple of str
        Options of the ceilings' training, which is longer: what they lack shall not be steps.
    """

    orbits: int = 50
    more: int = 50
    test: int = 16
    scans: int = 160
    training: tuple[str, ...] = ("--preset", "finetune", *_steps(400, 400))
    ceiling: tuple[str, ...] = ("--preset", "finetune", *_steps(1000, 1000))


TINY = ("--preset", "tiny", "--samples", "16", *_steps(2, 2))
SMALL = Size(6, 1, 1, 40, TINY, TINY)


def foreign_physics() -> Parameters:
    """Physics of the rehearsal's archive."""
    usual = default_parameters()
    changes: dict[str, Any] = {k: usual.get(k) * f for k, f in FACTORS.items()}  # type: ignore[operator]
    return usual.replace(**changes)


# ---- the archive


@dataclass(frozen=True)
class Event:
    """A storm, and when and where it is seen."""

    number: int
    year: int
    day: int


def events(size: Size) -> dict[str, list[Event]]:
    """Storms by purpose: spread over one year to learn from, over the next for the test."""
    kinds = {"orbits": (size.orbits, 2020), "more": (size.more, 2020), "test": (size.test, 2021)}
    out, number = {}, 0
    for kind, (count, year) in kinds.items():
        days = np.floor(np.arange(count) * 366 / max(count, 1) + (kind == "more") * 3)
        out[kind] = [Event(number + k, year, int(d)) for k, d in enumerate(days)]
        number += count
    return out


def simulate_event(folder: Path, event: Event, scans: int, radar: bool) -> None:
    """Write the granules of a storm that are not there yet."""
    import torch

    from xrain.io.truth import truth_path
    from xrain.sensors import get_sensor
    from xrain.simulate.granule import simulate_granule

    torch.set_num_threads(1)
    start, place, storm = _storm(event)
    period = {s: get_sensor(s).swath(get_sensor(s).reference_swath).scan_period for s in _SENSORS}
    for sensor in _SENSORS:
        path = granule(folder, sensor, event)
        if truth_path(path).exists() and (not radar or sensor != "gmi" or _radar(path).exists()):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        simulate_granule(
            sensor,
            path,
            rain=storm,
            place=place,
            start=start + np.timedelta64(MINUTES * (sensor != "gmi"), "m"),
            seed=event.number,
            scans=round(scans * period["gmi"] / period[sensor]),
            orbit_number=1000 + 15 * event.day,
            with_radar=radar and sensor == "gmi",
            parameters=foreign_physics(),
        )


_SENSORS = ("gmi", SECOND)


def granule(folder: Path, sensor: str, event: Event) -> Path:
    """Where the granule of a sensor over a storm lies."""
    return folder / f"{sensor}-{event.number:03d}.HDF5"


def _radar(path: Path) -> Path:
    from xrain.io.truth import radar_path

    return radar_path(path)


def _storm(event: Event) -> tuple[np.datetime64, tuple[float, float], Any]:
    """Time, place and rain of an event."""
    from xrain.simulate.rain import StormParameters, stochastic_rain, storm_warmth
    from xrain.simulate.rain_maps import RainMap
    from xrain.simulate.scenes import draw_place

    rng = np.random.default_rng((2020, event.number))
    start = np.datetime64(f"{event.year}-01-01T00:00", "ns") + np.timedelta64(event.day, "D")
    start = start + np.timedelta64(int(rng.integers(120, 1300)), "m")
    while abs((place := draw_place(rng)).latitude) > 58:
        pass
    drawn = StormParameters.draw(rng, storm_warmth(place.latitude))
    few = replace(drawn, wet_fraction=0.6 * drawn.wet_fraction)
    count = round(EXTENT / GRID)
    rain = stochastic_rain((count, count), (GRID, GRID), seed=rng, parameters=few)
    axis = (np.arange(count) - 0.5 * (count - 1)) * GRID
    storm = RainMap(rain.rate, axis, axis, (GRID, GRID))
    return start, (place.latitude, place.longitude), storm


def make_archive(folder: Path, size: Size) -> None:
    """Simulate all granules."""
    for kind, some in events(size).items():
        for event in some:
            simulate_event(folder / kind, event, size.scans, kind == "orbits")


# ---- the commands


def xrain(*arguments: object) -> None:
    """Run a command of xrain in this process."""
    from xrain.cli import app

    words = [str(a) for a in arguments]
    print("xrain", *words, flush=True)
    if code := app(words, standalone_mode=False):
        raise SystemExit(code)


@dataclass(frozen=True)
class Rehearsal:
    """The chain of commands in a folder.

    Attributes
    ----------
    folder : Path
        Where everything lies.
    size : Size
        How much is done.
    init : str
        The shipped weights: a name or a folder.
    """

    folder: Path
    size: Size
    init: str

    def seen(self, sensor: str, *kinds: str, suffix: str = "HDF5") -> list[str]:
        """Patterns of the granules of a sensor, or of what lies beside them."""
        return [str(self.folder / "granules" / kind / f"{sensor}-???.{suffix}") for kind in kinds]

    def store(self, name: str, radiometer: list[str], reference: list[str]) -> Path:
        """Collocate, unless that is done."""
        path = self.folder / f"{name}.zarr"
        done = self.folder / f"{name}.json"
        if not done.exists():
            given = [w for p in radiometer for w in ("--radiometer", p)]
            given += [w for p in reference for w in ("--reference", p)]
            held_out = ("--validation", "2020-11/2020-12", "--test", "2021")
            xrain("collocate", *given, *held_out, "--workers", 1, "-o", path)
            done.write_text(json.dumps(store_facts(path)), "utf-8")
        return path

    def train(self, name: str, init: str | Path, *options: object) -> Path:
        """Train, unless that is done; gives the network for all channels."""
        out = self.folder / "runs" / name
        model = out / "models" / "constellation-unet-1"
        if not model.exists():
            effort = self.size.ceiling if name.endswith("truth") else self.size.training
            cache = ("--cache", self.folder / "samples")
            xrain("train", "--init", init, *options, *effort, *cache, "-o", out)
        return model

    def retrieve(self, model: Path) -> list[str]:
        """Retrieve rain from the GMI granules over which the second radiometer flies."""
        out = self.folder / "rain"
        files = sorted(Path(self.folder, "granules", "orbits").glob("gmi-???.HDF5"))
        left = [f for f in files if not (out / f"{f.stem}.rain.nc").exists()]
        if left:
            xrain("retrieve", *left, "-m", model, "-o", out)
        return [str(out / "*.rain.nc")]

    def score(self, name: str, sensor: str, model: str | Path) -> dict[str, float]:
        """Score a model on the test granules against the truth of the whole swath."""
        from xrain.evaluation.swaths import score_granules

        path = self.folder / "scores" / f"{sensor}-{name}.json"
        if not path.exists():
            granules = sorted(Path(self.folder, "granules", "test").glob(f"{sensor}-???.HDF5"))
            print("scoring", sensor, name, flush=True)
            path.parent.mkdir(exist_ok=True)
            found = score_granules(granules, str(model), bootstrap=0)
            path.write_text(json.dumps(found, default=float), "utf-8")
        return told(json.loads(path.read_text("utf-8"))["all"])

    def networks(self) -> dict[str, dict[str, str | Path]]:
        """Make every network, by sensor and by what it learned from."""
        gmi, second = (self.seen(s, "orbits") for s in _SENSORS)
        more = [self.seen(s, "orbits", "more") for s in _SENSORS]
        truth = [self.seen(s, "orbits", "more", suffix="truth.nc") for s in _SENSORS]
        alone = ("--simulated", 0)
        radar = self.store("gmi-radar", gmi, self.seen("gmi", "orbits", suffix="radar.HDF5"))
        tuned = self.train("gmi-radar", self.init, "--data", radar, *alone)
        perfect = self.store("gmi-truth", more[0], truth[0])
        ceiling = self.train("gmi-truth", self.init, "--data", perfect, *alone)
        perfect = self.store(f"{SECOND}-truth", more[1], truth[1])
        best = self.train(f"{SECOND}-truth", self.init, "--data", perfect, *alone)
        taught = self.store(f"{SECOND}-teacher", second, self.retrieve(tuned))
        teacher = self.train(f"{SECOND}-teacher", tuned, "--data", taught, *alone)
        align = ("--sensors", SECOND, *(w for p in more[1] for w in ("--align", p)))
        moved = self.train(f"{SECOND}-aligned", self.init, *align)
        some = ("--data", taught, "--simulated", 0.3)
        both = self.train(f"{SECOND}-both", tuned, *some, *align)
        return {
            "gmi": {"shipped": self.init, "radar": tuned, "ceiling": ceiling},
            SECOND: {
                "shipped": self.init, "shared": tuned, "teacher": teacher, "aligned": moved,
                "both": both, "ceiling": best,
            },
        }  # fmt: skip

    def run(self) -> dict[str, Any]:
        """Do all that is not done yet, and report."""
        make_archive(self.folder / "granules", self.size)
        scores = {
            sensor: {name: self.score(name, sensor, model) for name, model in found.items()}
            for sensor, found in self.networks().items()
        }
        report = {
            "weights": self.init,
            "physics": differences(foreign_physics(), default_parameters()),
            "orbits": self.size.orbits,
            "scans": self.size.scans,
            "stores": {p.stem: json.loads(p.read_text("utf-8")) for p in self._told()},
            "scores": scores,
            "closed": {sensor: closed(found) for sensor, found in scores.items()},
        }
        (self.folder / "report.json").write_text(json.dumps(report, indent=1), "utf-8")
        return report

    def _told(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("*-*.json"))


# ---- the result


def store_facts(path: Path) -> dict[str, int]:
    """Count what a store holds to learn from and to judge by."""
    from xrain.collocation.store import list_groups

    groups = list_groups(path)
    names = ("patches", "matched_pixels", "raining_pixels")
    return {"granules": len(groups), **{n: sum(p.attrs[n] for p in groups) for n in names}}


def told(scores: dict[str, Any]) -> dict[str, float]:
    """Correlation, error in mm/h, and the share of the variance that stays unexplained."""
    r = float(scores["correlation"]) if scores.get("correlation") is not None else math.nan
    return {"correlation": r, "rmse": float(scores["rmse"]), "unexplained": 1 - r * r}


def closed(scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Share of the gap between the shipped weights and the ceiling that each network closes."""
    first, last = scores["shipped"], scores["ceiling"]

    def share(own: dict[str, float], key: str) -> float | None:
        gap = first[key] - last[key]
        return (first[key] - own[key]) / gap if gap else None

    return {
        name: {k: share(own, k) for k in ("unexplained", "rmse")}
        for name, own in scores.items()
        if name not in ("shipped", "ceiling")
    }


def table(report: dict[str, Any]) -> str:
    """Lay the report out for reading."""
    lines = ["physics: " + " ".join(report["physics"]), ""]
    head = ("correlation", "RMSE, mm/h", "1 - r2", "closed, 1 - r2", "closed, RMSE")
    lines.append(f"{'':<16}" + "".join(f"{h:>16}" for h in head))
    for sensor, found in report["scores"].items():
        for name, s in found.items():
            gap = report["closed"][sensor].get(name)
            cells = [f"{s[k]:.3f}" for k in ("correlation", "rmse", "unexplained")]
            shares = [gap[k] for k in ("unexplained", "rmse")] if gap else [None, None]
            cells += ["" if x is None else f"{x:.0%}" for x in shares]
            lines.append(f"{sensor + ' ' + name:<16}" + "".join(f"{c:>16}" for c in cells))
    return "\n".join(lines)


def main() -> None:
    """Rehearse, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="the same chain in a minute")
    parser.add_argument("--init", default="constellation-unet", help="the shipped weights")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    report = Rehearsal(args.folder, SMALL if args.small else Size(), args.init).run()
    print(table(report))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
