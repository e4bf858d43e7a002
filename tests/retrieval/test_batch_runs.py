"""Batches that are disturbed: interrupted, killed, on a cluster that loses a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.errors import InputError
from xrain.models.export import save_model
from xrain.testing import tiny_model, write_fake_l1c

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix"),
]

COUNT = 6


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Path]:
    """Granules, a model, and their rain as an undisturbed run in this process gives it."""
    folder = tmp_path_factory.mktemp("archive")
    tiny = tiny_model("GMI", seed=1)
    save_model(folder / "model", tiny.card, tiny.network.state_dict(), half=False)
    for k in range(COUNT):
        write_fake_l1c(folder / "in" / f"{k}.HDF5", "GMI", scans=60, seed=k)
    model = str(folder / "model")
    xrain.retrieve_files(folder / "in", folder / "rain", model=model)
    return folder / "in", model, folder / "rain"


def assert_whole(folder: Path, expected: Path) -> None:
    """Every file is there and the same, and nothing half written beside it."""
    names = [f"{k}.rain.nc" for k in range(COUNT)]
    assert sorted(p.name for p in folder.iterdir()) == names
    for name in names:
        with xr.open_dataset(folder / name) as a, xr.open_dataset(expected / name) as b:
            np.testing.assert_allclose(a.surface_precip, b.surface_precip, atol=1e-5)
            np.testing.assert_array_equal(a.retrieval_quality, b.retrieval_quality)


HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""As at a terminal, though the tests themselves may run in the background."""

COMMAND = HEARD + "from xrain.cli import main\nif __name__ == '__main__': main()\n"


def start(script: Path, *args: Any) -> subprocess.Popen[str]:
    script.write_text(COMMAND)
    return subprocess.Popen(
        [sys.executable, script, *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_an_interrupted_run_says_how_to_go_on_and_does(archive, tmp_path, name) -> None:
    granules, model, expected = archive
    out, report = tmp_path / "out", tmp_path / "report.json"
    args = ("retrieve", granules, "-o", out, "-m", model, "--jobs", "2", "--report", report)
    process = start(tmp_path / "run.py", *args)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(str(out))
    process.send_signal(signal.Signals[name])
    said = process.communicate(timeout=120)[1]
    assert process.returncode != 0
    if name != "SIGKILL":
        assert f"of {COUNT} granules are done; repeat the same command" in said, said
        assert not [p for p in out.iterdir() if p.name.startswith(".")]
        assert json.loads(report.read_text())[0]["status"] == "done"
    before = {p.name for p in out.iterdir() if p.name.endswith(".rain.nc")}
    again = xrain.retrieve_files(granules, out, model=model)
    assert sorted(o.status for o in again) == sorted(
        ["skipped"] * len(before) + ["done"] * (COUNT - len(before))
    )
    assert_whole(out, expected)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as made:
        yield made


def kill_one(cluster: Any) -> int:
    """Kill the process of a worker, which its nanny replaces."""
    pid = int(cluster.workers[0].pid)
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_cluster_that_loses_a_worker_gives_what_an_undisturbed_run_gives(
    archive, tmp_path, cluster
) -> None:
    from distributed import Client

    granules, model, expected = archive
    killed: list[int] = []

    def tell(outcome: Any) -> None:
        if not killed:
            killed.append(kill_one(cluster))

    with Client(cluster) as client:
        outcomes = xrain.retrieve_files(
            granules, tmp_path / "out", model=model, client=client, tell=tell
        )
    assert killed
    assert [o.error for o in outcomes] == [None] * COUNT
    assert {o.source.parent for o in outcomes} == {granules}
    assert_whole(tmp_path / "out", expected)


def test_the_command_takes_an_address_or_a_scheduler_file(archive, tmp_path, cluster) -> None:
    from typer.testing import CliRunner

    from xrain.cli import app

    granules, model, expected = archive
    facts = tmp_path / "scheduler.json"
    facts.write_text(json.dumps({"address": cluster.scheduler_address}))
    for place in (cluster.scheduler_address, facts):
        args = ("retrieve", granules, "-o", tmp_path / "out", "-m", model, "--scheduler", place)
        result = CliRunner().invoke(app, [str(a) for a in args])
        assert result.exit_code == 0, result.stderr
    assert f"{COUNT} of {COUNT} files were complete already" in result.stderr
    assert_whole(tmp_path / "out", expected)


def test_a_file_that_names_no_scheduler_is_told(tmp_path: Path) -> None:
    from xrain.cli.cluster import cluster

    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match="no file of a Dask scheduler"), cluster(
        str(tmp_path / "a.json")
    ):  # fmt: skip
        pass
