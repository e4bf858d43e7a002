"""Collocating, gridding and simulating on a cluster of processes that loses a worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.io.truth import radar_path
from xrain.testing import write_fake_l1c
from xrain.training.samples import Plan, load_samples, make_samples

pytest.importorskip("zarr")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as made:
        yield made


@pytest.fixture(scope="module")
def client(cluster: Any) -> Iterator[Any]:
    from distributed import Client

    with Client(cluster) as made:
        yield made


@pytest.fixture
def killer(cluster: Any) -> Callable[..., None]:
    """Kill a worker when something is told of first."""
    killed: list[int] = []

    def kill(*_: object) -> None:
        if not killed:
            killed.append(int(cluster.workers[0].pid))
            os.kill(killed[0], signal.SIGKILL)

    return kill


def test_samples_of_a_cluster_are_those_of_processes(client, killer, tmp_path: Path) -> None:
    plan = Plan(("MHS",), shards=4, size=16, seed=3, per_shard=2)
    make_samples(tmp_path / "one", plan, workers=1)
    steps = iter((lambda *_: None,))

    def progress(done: int, total: int) -> None:
        next(steps, killer)(done, total)  # the first call tells of what is there already

    make_samples(tmp_path / "two", plan, client=client, progress=progress)
    one, two = (load_samples(tmp_path / n, plan)["MHS"] for n in ("one", "two"))
    np.testing.assert_array_equal(one.tb, two.tb)
    np.testing.assert_array_equal(one.rain, two.rain)


def facts_below(store: Path) -> dict[str, bytes]:
    return {
        p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()
    }


def test_a_store_collocated_on_a_cluster_is_that_of_processes(
    client, killer, tmp_path: Path
) -> None:
    first = xrain.simulate_granule(
        "gmi", tmp_path / "a.HDF5", seed=3, scans=24, place=(25.0, -88.0), spacing=10.0,
        with_radar=True,
    )  # fmt: skip
    granules = [first] + [Path(shutil.copy(first, tmp_path / f"{n}.HDF5")) for n in "bcd"]
    radar, how = [radar_path(first)], {"size": 16}
    one, two = tmp_path / "one.zarr", tmp_path / "two.zarr"
    xrain.collocate(granules, radar, one, how, workers=1)
    xrain.collocate(granules, radar, two, how, client=client, tell=killer)
    assert len(facts_below(one)) > 4
    assert facts_below(one) == facts_below(two)


def test_a_grid_made_on_a_cluster_is_that_of_one_process(cluster, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from xrain.cli import app

    starts = np.datetime64("2020-07-01T00:00") + np.arange(4) * np.timedelta64(3, "h")
    granules = [
        write_fake_l1c(tmp_path / f"{k}.HDF5", "MHS", scans=20, seed=k, start=start)
        for k, start in enumerate(starts)
    ]
    xrain.grid_rain(granules, tmp_path / "one.nc", resolution=1.0, freq="6h")
    (facts := tmp_path / "scheduler.json").write_text(
        json.dumps({"address": cluster.scheduler_address})
    )
    args = ("grid", *granules, "-o", tmp_path / "two.nc", "--resolution", "1", "--freq", "6h",
            "--scheduler", facts)  # fmt: skip
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 0, result.stderr
    with xr.open_dataset(tmp_path / "one.nc") as one, xr.open_dataset(tmp_path / "two.nc") as two:
        xr.testing.assert_allclose(one, two, atol=1e-5)
        assert int(one.overpass_count.max()) >= 1
