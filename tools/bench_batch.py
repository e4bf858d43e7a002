"""Measure a batch: from file to file, several processes, a cluster, what is complete, memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_figures import SCANS, Figure, best_times, run_apart

GRANULES = 12
"""Full GMI granules of a batch; with more of them the start of the processes counts less."""

COMPLETE = 1000
"""Granules whose files are complete."""

BATCH = """
import json, os, resource, sys, time
import xrain
source, out, jobs, cores, count = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
allowed = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, set(allowed[:cores]))
files = sorted(os.path.join(source, name) for name in os.listdir(source))[:count]
begin = time.perf_counter()
done = xrain.retrieve_files(files, out, jobs=jobs)
assert not [o.error for o in done if o.error], done
whole = time.perf_counter() - begin
usage = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({
    "whole": whole,
    "cpu": sum(u.ru_utime + u.ru_stime for u in usage),
    "peak": max(u.ru_maxrss for u in usage[jobs > 1:]) / 1e6,
}))
"""

CLUSTER = """
import json, os, sys, time
import xrain
from distributed import Client, LocalCluster
source, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
files = sorted(os.path.join(source, name) for name in os.listdir(source))[:count]
def clock(client):
    return time.process_time() + (sum(client.run(time.process_time).values()) if client else 0)
def run(client):
    xrain.retrieve_files(files[:1], out + "/warm", client=client, overwrite=True)
    begin = clock(client)
    xrain.retrieve_files(files, out, client=client, overwrite=True)
    return (clock(client) - begin) / count
if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            there = run(client)
    print(json.dumps({"here": run(None), "there": there}))
"""


def bench_batch(path: Path, granules: int = GRANULES) -> list[Figure]:
    """Measure the batch with copies of a full GMI granule."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = folder / "in"
        archive.mkdir()
        for k in range(granules):
            shutil.copy(path, archive / f"{k:04d}.HDF5")
        return [
            *_one_granule(path, folder),
            *_jobs(archive, folder, granules),
            *_cluster(archive, folder, min(granules, 4)),
            *_skipping(folder),
        ]


def _one_granule(path: Path, folder: Path) -> list[Figure]:
    """Time a granule from file to file, after the first one."""
    import xrain

    def whole() -> None:
        xrain.retrieve_files(path, folder / "one", overwrite=True)

    (taken,) = best_times(whole, turns=3, clock=time.process_time)
    return [Figure("file to rain to netCDF, full GMI granule", taken, "CPU s", "≤ 5")]


def _jobs(archive: Path, folder: Path, count: int) -> list[Figure]:
    """Time one process on one core against two on two, from start to end."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return []

    def run(jobs: int, granules: int) -> dict[str, Any]:
        out = folder / f"jobs-{jobs}-{granules}"
        numbers = (jobs, jobs, granules)
        return dict(json.loads(run_apart(BATCH, str(archive), str(out), *map(str, numbers))))

    few, one, two = run(2, min(4, count)), run(1, count), run(2, count)
    scans = f"{SCANS} scans"
    return [
        Figure(f"granules of {scans} in the batch", count, ""),
        Figure("one job on one core", one["whole"], "s"),
        Figure("one job on one core / two jobs on two", one["whole"] / two["whole"], "×", "≥ 1.7"),
        Figure("one job, processor time of a granule", one["cpu"] / count, "CPU s"),
        Figure("two jobs, processor time of a granule", two["cpu"] / count, "CPU s"),
        Figure("peak memory of one job", one["peak"], "GB", "< 1.5"),
        Figure(f"peak memory of one of two jobs, {min(4, count)} granules", few["peak"], "GB"),
        Figure(f"peak memory of one of two jobs, {count} granules", two["peak"], "GB", "< 1.5"),
    ]


def _cluster(archive: Path, folder: Path, count: int) -> list[Figure]:
    """Measure the processor time of a granule on a cluster of one worker, scheduler included."""
    found = json.loads(run_apart(CLUSTER, str(archive), str(folder / "cluster"), str(count)))
    ratio = found["there"] / found["here"]
    return [Figure("granule on a cluster / in this process, CPU", ratio, "×", "≤ 1.10")]


def _skipping(folder: Path) -> list[Figure]:
    """Time the command over files that are all complete, from its start to its end."""
    import h5py

    import xrain
    from xrain.testing import write_fake_l1c

    source, out = folder / "complete", folder / "rain"
    first = write_fake_l1c(source / "0000.HDF5", "gmi", scans=16)
    (done,) = xrain.retrieve_files(first, out)
    for k in range(1, COMPLETE):
        os.link(first, source / f"{k:04d}.HDF5")
        copy = shutil.copy(done.written[0], out / f"{k:04d}.rain.nc")
        with h5py.File(copy, "r+") as file:
            file.attrs["source_file"] = np.bytes_(f"{k:04d}.HDF5")
    before = os.times()
    start = time.perf_counter()
    command = "from xrain.cli import main; main()"
    said = subprocess.run(
        [sys.executable, "-c", command, "retrieve", str(source), "-o", str(out)],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    wall, after = time.perf_counter() - start, os.times()
    assert f"{COMPLETE} of {COMPLETE} files were complete" in said, said
    cpu = sum(after[2:4]) - sum(before[2:4])
    return [
        Figure(f"command that skips {COMPLETE} complete granules", wall, "s", "< 5"),
        Figure("its processor time", cpu, "CPU s"),
    ]
