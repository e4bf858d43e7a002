"""Measure speed and memory as ratios within one run: ``make bench``.

Times are the best of several turns taken in alternation, so that a busy machine disturbs both
sides of a ratio alike. Nothing here is a test: the figures depend on the machine.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from bench_batch import GRANULES, bench_batch
from bench_figures import SCANS, Figure, best_times, run_apart

METHODS = ("nearest", "bilinear", "average", "gaussian", "ewa")


def read_raw(path: Path, names: dict[str, list[str]]) -> list[Any]:
    """Read arrays with h5py alone."""
    import h5py

    with h5py.File(path) as file:
        return [file[group][name][()] for group, found in names.items() for name in found]


def array_names(path: Path) -> dict[str, list[str]]:
    """Names of all arrays in each group of a file."""
    import h5py

    names: dict[str, list[str]] = {}
    with h5py.File(path) as file:
        for group in file:
            found: list[str] = []
            file[group].visititems(
                lambda name, item, found=found: (
                    found.append(name) if isinstance(item, h5py.Dataset) else None
                )
            )
            names[group] = found
    return names


def bench_reading(path: Path) -> list[Figure]:
    """Time opening and loading a granule against h5py reading the same arrays."""
    import xarray as xr

    names = array_names(path)

    def tree() -> None:
        with xr.open_datatree(path, engine="gpm-l1c") as opened:
            opened.load()

    def grid() -> None:
        with xr.open_dataset(path, engine="gpm-l1c") as opened:
            opened.load()

    raw, as_tree, as_grid = best_times(lambda: read_raw(path, names), tree, grid)
    return [
        Figure("h5py reads a full GMI granule", raw, "s"),
        Figure("open_datatree and load / h5py", as_tree / raw, "×", "≤ 1.2"),
        Figure(
            "open_dataset and load, groups brought together / h5py", as_grid / raw, "×", "≤ 1.0"
        ),
    ]


def any_model() -> Any:
    """Load the packaged model for GMI, or else make a small random one."""
    from xrain.models.store import list_models, load_model
    from xrain.testing import tiny_model

    return load_model("gmi-unet") if "gmi-unet" in list_models() else tiny_model("gmi", seed=1)


def physical_swath() -> Any:
    """Swath of full size that looks like nature: the packaged granule over and over.

    The test of unusual input works hardest where everything is unusual, as in a fake.
    """
    import xarray as xr

    import xrain
    from xrain.demo import demo_granule

    with xrain.open_l1c(demo_granule()) as opened:
        piece = opened.load()
    count = -(-SCANS // piece.sizes["scan"])
    whole = xr.concat([piece] * count, "scan", data_vars="minimal", coords="minimal",
                      compat="override").isel(scan=slice(SCANS))  # fmt: skip
    time = piece["time"].values[0] + np.arange(SCANS) * np.timedelta64(1875, "ms")
    return whole.assign_coords(time=("scan", time))


def matmul_rate() -> float:
    """Float32 operations per second that a product of large matrices reaches on one core."""
    import torch

    size = 1536
    one, two = torch.rand(size, size), torch.rand(size, size)
    (taken,) = best_times(lambda: one @ two, clock=time.process_time)
    return 2 * size**3 / taken


def operations(network: Any, planes: Any) -> float:
    """Float operations of a network on some input."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(planes)
    return float(counter.get_total_flops())


def bench_retrieval() -> list[Figure]:
    """Time `retrieve` on loaded data against the bare network on the same pixels."""
    import torch

    import xrain
    from xrain.models.unet import stack_planes
    from xrain.sensors import get_sensor

    model = any_model()
    ds = physical_swath()
    network = model.network.fold(get_sensor("gmi").channels).to(memory_format=torch.channels_last)
    tb = torch.from_numpy(ds["tb"].values)[None]
    angle, land = torch.full(tb.shape[:3], 52.8), torch.zeros(tb.shape[:3])

    def bare(rows: int) -> None:
        with torch.inference_mode():
            for start in range(0, tb.shape[1], rows):
                part = slice(start, start + rows)
                network(stack_planes(tb[:, part], angle[:, part], land[:, part]))

    lazily = ds.chunk(scan=1024)
    whole, tiled, ours, dask = best_times(
        lambda: bare(tb.shape[1]), lambda: bare(64), lambda: xrain.retrieve(ds, model),
        lambda: xrain.retrieve(lazily, model).compute(), clock=time.process_time,
    )  # fmt: skip
    count = operations(network, stack_planes(tb[:, :64], angle[:, :64], land[:, :64]))
    floor = count * tb.shape[1] / 64 / matmul_rate()
    return [
        Figure(f"bare network, {model.card.name}, whole GMI granule", whole, "s"),
        Figure("bare network in pieces of 64 scans without halo / that", tiled / whole, "×"),
        Figure("retrieve / bare network", ours / whole, "×", "≤ 1.10"),
        Figure("retrieve / arithmetic of the network at the speed of a matrix product",
               ours / floor, "×", "≤ 2.0"),
        Figure("retrieve of chunks / retrieve", dask / ours, "×", "≤ 1.10"),
    ]  # fmt: skip


def bench_scene(path: Path) -> list[Figure]:
    """Time rain as a composite of a Satpy Scene against the accessor, both from the file."""
    import satpy

    import xrain

    model = any_model().card.id

    def accessor() -> None:
        with xrain.open_l1c(path, chunks={}) as opened:
            opened.rain.retrieve(model)["surface_precip"].compute()

    def scene() -> None:
        with satpy.config.set({"xrain.model": model}):
            scn = satpy.Scene(filenames=[str(path)], reader="gpm_l1c")
            scn.load(["surface_precip"])
            scn["surface_precip"].compute()

    alone, inside = best_times(accessor, scene, turns=3)
    return [
        Figure("rain of a full GMI granule from its file", alone, "s"),
        Figure("Scene load and composite / accessor", inside / alone, "×", "≤ 1.25"),
    ]


def bench_resampling() -> list[Figure]:
    """Time resampling the rain of a GMI orbit to 0.1 degrees against pyresample by hand."""
    from pyresample import SwathDefinition, create_area_def, kd_tree

    import xrain
    from xrain.testing import write_fake_l1c

    with tempfile.TemporaryDirectory() as folder:
        granule = write_fake_l1c(folder, "gmi", scans=SCANS)
        with xrain.open_l1c(granule) as opened:
            ds = opened[["latitude", "longitude"]].load()
    rate = np.random.default_rng(0).gamma(0.5, 2.0, ds["latitude"].shape).astype(np.float32)
    dims = ("scan", "pixel")
    ds = ds.assign(
        surface_precip=(dims, rate), probability_of_precip=(dims, rate / rate.max()),
        surface_precip_quantile=(("quantile", *dims), np.stack([rate / 2, rate, rate * 2])),
        precip_flag=(dims, (rate > 0.1).astype(np.int8)),
        retrieval_quality=(dims, np.zeros(rate.shape, np.int16)),
    )  # fmt: skip
    area = create_area_def(
        "globe", "EPSG:4326", area_extent=(-180, -70, 180, 70), shape=(1400, 3600)
    )
    fills = {"precip_flag": -1, "retrieval_quality": 32}

    def by_hand() -> dict[Any, list[Any]]:
        swath = SwathDefinition(ds["longitude"].values, ds["latitude"].values)
        found = kd_tree.get_neighbour_info(swath, area, 11_000, neighbours=1)[:3]
        return {
            name: [
                kd_tree.get_sample_from_neighbour_info(
                    "nn", area.shape, layer, *found, fill_value=fills.get(name, np.nan)
                )
                for layer in np.reshape(values.values, (-1, *rate.shape))
            ]
            for name, values in ds.data_vars.items()
        }

    hand, *ours = best_times(
        by_hand, *(functools.partial(xrain.resample, ds, area, m) for m in METHODS), turns=3
    )
    return [
        Figure("nearest pixel of a GMI orbit at 0.1° with pyresample by hand", hand, "s"),
        *(
            Figure(f"resample, {m} / that", taken / hand, "×", "≤ 1.2" if m == "nearest" else "")
            for m, taken in zip(METHODS, ours, strict=True)
        ),
    ]


def bench_grid(folder: Path) -> list[Figure]:
    """Measure peak memory of merging one and four orbits on a global grid of 0.1 degrees."""
    figures = []
    for count in (1, 4):
        code = f"""
import resource, numpy as np, xarray as xr
from xrain.level3 import Gridder, write_grid
from xrain.testing import fake_swath
ds = fake_swath("gmi", {SCANS})[["latitude", "longitude", "time"]].load()
rate = np.random.default_rng(0).gamma(0.5, 2.0, ds.latitude.shape).astype("f4")
with Gridder(resolution=0.1) as sums:
    for k in range({count}):
        turned = (ds.longitude + 25 * k + 180) % 360 - 180
        rain = ds.assign(surface_precip=(("scan", "pixel"), rate))
        sums.add(rain.assign_coords(longitude=turned))
    write_grid(sums.to_dataset(), {str(folder / "grid.nc")!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""
        peak = float(run_apart(code))
        figures.append(Figure(f"peak memory, global grid of 0.1°, granules: {count}", peak, "GB"))
    return figures


def bench_inversion() -> list[Figure]:
    """Time Bayesian inversion against a plain loop over pixels with all entries, in numpy."""
    import xrain
    from xrain.models.store import load_model

    model = load_model("gmi-brain")
    ds = physical_swath().isel(scan=slice(80))
    entries = model.network.vectors.numpy()
    weight = model.network.population.numpy()[:, 0]
    error = model.card.architecture["errors"]["detection"]["ocean"]["covariance"]
    lower = np.linalg.cholesky(np.array(error))
    white = np.linalg.solve(lower, entries.T).T.astype(np.float32)
    pixels = np.linalg.solve(lower, ds["tb"].values.reshape(-1, entries.shape[1])[::353].T).T

    def plain() -> None:
        for pixel in pixels.astype(np.float32):
            distance = ((white - pixel) ** 2).sum(axis=1)
            (np.exp(-0.5 * (distance - distance.min())) * weight).sum()

    ours, loop = best_times(lambda: xrain.retrieve(ds, model), plain, turns=1)
    count = ds.sizes["scan"] * ds.sizes["pixel"]
    return [
        Figure("gmi-brain, full GMI granule", ours * SCANS / ds.sizes["scan"], "s", "≤ 60"),
        Figure("gmi-brain, two stages / numpy, one stage, by pixel",
               ours / count / (loop / len(pixels)), "×"),
    ]  # fmt: skip


def write_radar_beside(path: Path, target: Path, scans: int = 7936) -> Path:
    """Write a radar granule of full size, 49 rays in the middle of a GMI granule's swath."""
    import xrain
    from xrain.io.write_radar import RadarSwath, write_2a_radar
    from xrain.sensors import get_sensor
    from xrain.simulate.radar import radar_of

    with xrain.open_l1c(path) as opened:
        ds = opened[["latitude", "longitude", "time"]].isel(pixel=slice(86, 135)).load()
    row = np.linspace(0, ds.sizes["scan"] - 1, scans)
    low = np.minimum(row.astype(int), ds.sizes["scan"] - 2)

    def between(values: Any) -> Any:
        part = (row - low).reshape(-1, *[1] * (values.ndim - 1))
        return values[low] * (1 - part) + values[low + 1] * part

    longitude = between(np.unwrap(ds["longitude"].values.astype(float), axis=0, period=360))
    start = ds["time"].values[0]
    time = start + between((ds["time"].values - start).astype(float)).astype("m8[ns]")
    chance = np.random.default_rng(0)
    rate = chance.gamma(0.5, 4.0, (scans, 49)) * (chance.random((scans, 49)) < 0.1)
    none = np.zeros(rate.shape)
    swath = RadarSwath(
        time, between(ds["latitude"].values), (longitude + 180) % 360 - 180, rate, none, none + 4,
        none, none, none,
    )  # fmt: skip
    radar = radar_of(get_sensor("gmi"))
    return write_2a_radar(target, swath, radar=radar, platform="GPM", orbit=1)


def bench_collocation(path: Path) -> list[Figure]:
    """Time the samples of a pair of full granules, one process, against h5py reading both."""
    import shutil

    from xrain.collocation import collocate

    radar = write_radar_beside(path, path.with_name("radar.HDF5"))
    names = [(file, array_names(file)) for file in (path, radar)]
    store = path.with_name("store.zarr")

    def samples() -> None:
        shutil.rmtree(store, ignore_errors=True)
        collocate([path], [radar], store, workers=1)

    raw, whole = best_times(lambda: [read_raw(*n) for n in names], samples, turns=3)
    return [
        Figure("samples of a GMI and a DPR granule, one process", whole, "s", "≤ 10"),
        Figure("that / h5py reading both granules", whole / raw, "×"),
    ]


def store_of_copies(path: Path, store: Path, train: int) -> Path:
    """Make a store of one pair of full granules, so many times over, and a day to judge by."""
    import shutil

    from xrain.collocation import Split, collocate

    radar = write_radar_beside(path, path.with_name("copied.HDF5"))
    judged = {"split": Split(validation=("2020-07-01",))}
    (piece,) = collocate([path], [radar], store, judged, workers=1)
    for k in range(train):
        copy = Path(shutil.copytree(piece.path, store / f"copy-{k:03d}")) / "zarr.json"
        facts = json.loads(copy.read_text())
        facts["attributes"]["split"] = "train"
        copy.write_text(json.dumps(facts))
    return store


def bench_training(path: Path) -> list[Figure]:
    """Measure how long training on a store waits for data, and how busy it keeps the processor.

    The latter needs a machine that does nothing else.
    """
    import torch

    from xrain.training.fit import Run
    from xrain.training.settings import settings

    store, count = store_of_copies(path, path.with_name("copies.zarr"), 20), 30
    chosen = settings("archive", ("GMI",), stores=(str(store),), simulated=0.0, pixel_steps=0)
    run = Run(path.with_name("run"), chosen)
    batches = run.batches(run.inputs.learned().sources())
    run.advance(next(batches))
    start, waited = (time.perf_counter(), time.process_time()), 0.0
    for _ in range(count):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        run.advance(batch)
    wall, busy = time.perf_counter() - start[0], time.process_time() - start[1]
    batches.close()
    return [
        Figure("step of training on a store, eight patches of GMI", wall / count, "s"),
        Figure("time that it waits for data", 100 * waited / wall, "%", "≤ 10"),
        Figure(
            "processor time / (time × threads)", busy / wall / torch.get_num_threads(), "", "≥ 0.9"
        ),
    ]


def bench_matching(path: Path) -> list[Figure]:
    """Time averaging a full DPR granule over a full GMI one's footprints against a k-d tree."""
    from scipy.spatial import cKDTree

    import xrain
    from xrain.geo.sphere import unit_vectors
    from xrain.reference import match_footprints

    radar = xrain.open_reference(write_radar_beside(path, path.with_name("beside.HDF5"))).load()
    swath = xrain.open_l1c(path).load()
    ours, theirs = (
        unit_vectors(d["latitude"].values, d["longitude"].values).reshape(-1, 3)
        for d in (swath, radar)
    )
    ours, theirs = (p[np.isfinite(p[:, 0])] for p in (ours, theirs))

    def query() -> None:
        tree = cKDTree(theirs)
        near, _ = tree.query(ours, distance_upper_bound=30 / 6371)
        tree.query(ours[np.isfinite(near)], k=64, distance_upper_bound=25 / 6371)

    plain, whole = best_times(query, lambda: match_footprints(swath, radar), turns=3)
    return [
        Figure("DPR over the footprints of GMI, full granules", whole, "s"),
        Figure("that / k-d tree finding the same pixels", whole / plain, "×"),
    ]


def bench_memory(folder: Path) -> list[Figure]:
    """Measure peak memory of a lazy retrieval of one granule and of four joined."""
    from xrain.testing import write_fake_l1c

    step = np.timedelta64(SCANS * 1875, "ms")
    first = np.datetime64("2020-07-01T00:00:00", "ms")
    for k in range(4):
        write_fake_l1c(folder / f"m{k}.HDF5", "gmi", scans=SCANS, start=first + k * step)
    figures = []
    for count in (1, 4):
        paths = [str(folder / f"m{k}.HDF5") for k in range(count)]
        code = f"""
import resource, sys, xrain
sys.path.insert(0, {str(Path(__file__).parent)!r})
import bench
ds = xrain.open_l1c({paths!r}, chunks={{}})
mean = xrain.retrieve(ds, bench.any_model())["surface_precip"].mean().compute()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""
        peak = float(run_apart(code))
        figures.append(
            Figure(f"peak memory, lazy retrieval, granules: {count}", peak, "GB", "≤ 1.5")
        )
    return figures


def bench_import() -> list[Figure]:
    """Time what importing the package adds to importing xarray."""
    code = """
import time, xarray
start = time.perf_counter()
import xrain
print(time.perf_counter() - start)
"""
    return [
        Figure(
            "import xrain after xarray", min(float(run_apart(code)) for _ in range(3)), "s", "≤ 0.5"
        )
    ]


def bench_simulator() -> list[Figure]:
    """Count columns and scenes per second on this machine's CPU, and columns on its GPU."""
    import torch

    from xrain.sensors import get_sensor
    from xrain.simulate.forward import Environment, ForwardModel
    from xrain.simulate.patches import training_patches

    channels = get_sensor("gmi").channels
    figures = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        count = 1 << (13 if device == "cpu" else 20)
        rate = torch.linspace(0.1, 30, count, device=device)
        columns = Environment.derive(rain_rate=rate, t2m=295.0, device=device)
        model = ForwardModel(channels, device=device)

        def simulate(model: Any = model, columns: Any = columns) -> None:
            model(columns)
            if torch.cuda.is_available():
                torch.cuda.synchronize()

        (taken,) = best_times(simulate, turns=3)
        speed = count * len(channels) / taken / 1e6
        name = f"raining columns × channels on {device}"
        figures.append(
            Figure(name, speed, "million/s", "≥ 28.6 on a GPU" if device == "cuda" else "")
        )
    start = time.perf_counter()
    scenes = sum(1 for _ in training_patches("gmi", 128, 8, seed=1))
    figures.append(
        Figure("128 × 128 GMI scenes", scenes / (time.perf_counter() - start), "/s", "≥ 5")
    )
    return figures


def main() -> None:
    """Run everything, or what is named, and print a table or JSON."""
    parts = ("reading", "retrieval", "inversion", "scene", "resampling", "grid", "matching",
             "collocation", "training", "memory", "import", "simulator", "batch")  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="by default all")
    parser.add_argument("--granules", type=int, default=GRANULES, help="full granules of the batch")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    wanted = options.parts or parts
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        from xrain.testing import write_fake_l1c

        folder = Path(name)
        if {"reading", "scene", "matching", "collocation", "training", "batch"} & set(wanted):
            path = write_fake_l1c(folder, "gmi", scans=SCANS)  # the archive's name tells Satpy
        calls: dict[str, Callable[[], list[Figure]]] = {
            "reading": lambda: bench_reading(path),
            "retrieval": bench_retrieval,
            "inversion": bench_inversion,
            "scene": lambda: bench_scene(path),
            "resampling": bench_resampling,
            "grid": lambda: bench_grid(folder),
            "matching": lambda: bench_matching(path),
            "collocation": lambda: bench_collocation(path),
            "training": lambda: bench_training(path),
            "memory": lambda: bench_memory(folder),
            "import": bench_import,
            "simulator": bench_simulator,
            "batch": lambda: bench_batch(path, options.granules),
        }
        for part in wanted:
            for figure in calls[part]():
                figures.append(figure)
                if not options.json:
                    aim = f"  (aim {figure.target})" if figure.target else ""
                    print(f"{figure.name:<58} {figure.value:8.2f} {figure.unit}{aim}", flush=True)
    if options.json:
        print(json.dumps([asdict(f) for f in figures], indent=2))


if __name__ == "__main__":
    main()
