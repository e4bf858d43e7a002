"""Tasks side by side: results, errors, and processes that are killed."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from xrain.errors import WorkerError
from xrain.workers import Workers, results_in_order, run_tasks

TWO = Workers(processes=2, lanes=2)


class UnreadableError(Exception):
    """An error that can be packed but not unpacked."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def work(task: str) -> object:
    """Do what a task says."""
    name, _, rest = task.partition(" ")
    if name == "fail":
        raise ValueError(rest)
    if name == "unreadable":
        raise UnreadableError("a", "b")
    if name == "lock":
        return threading.Lock()
    if name == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "once":  # dies when it is done first
        mark = Path(rest)
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if name == "pid":
        return os.getpid()
    return rest


def results(tasks: list[str], workers: Workers) -> dict[str, object]:
    done = run_tasks(work, tasks, workers)
    return {d.task: d.result if d.error is None else d.error for d in done}


@pytest.mark.parametrize("workers", [Workers(), Workers(lanes=3), TWO], ids=str)
def test_every_task_is_done_and_errors_stop_nothing(workers: Workers) -> None:
    tasks = [f"say {k}" for k in range(7)] + ["fail now"]
    found = results(tasks, workers)
    error = found.pop("fail now")
    assert isinstance(error, ValueError)
    assert str(error) == "now"
    assert found == {f"say {k}": str(k) for k in range(7)}


def test_in_this_process_the_order_is_kept_and_tasks_are_taken_one_by_one() -> None:
    taken = []

    def tasks():
        for k in range(6):
            taken.append(k)
            yield f"say {k}"

    run = run_tasks(work, tasks(), Workers(lanes=2))
    assert next(run).result == "0"
    assert len(taken) == 2
    assert [d.result for d in run] == ["1", "2", "3", "4", "5"]


@pytest.mark.slow
def test_what_was_lost_with_a_process_is_done_again(tmp_path: Path) -> None:
    tasks = [f"say {k}" for k in range(5)]
    tasks.insert(2, f"once {tmp_path / 'mark'}")
    found = results(tasks, TWO)
    assert found.pop(tasks[2]) == str(tmp_path / "mark")
    assert found == {f"say {k}": str(k) for k in range(5)}


@pytest.mark.slow
def test_only_what_kills_is_given_up() -> None:
    found = results(["say 1", "die", "say 2", "unreadable", "lock"], TWO)
    assert (found["say 1"], found["say 2"]) == ("1", "2")
    assert isinstance(found["die"], WorkerError)
    assert "killed" in str(found["die"])
    assert "UnreadableError" in str(found["unreadable"])
    assert "cannot be sent" in str(found["lock"])


def gone(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_processes_end_with_the_generator() -> None:
    run = run_tasks(work, ["pid 1", "pid 2", "pid 3"], TWO)
    pid = next(run).result
    run.close()  # type: ignore[attr-defined]
    assert pid != os.getpid()
    assert gone(pid)


def test_results_come_in_the_order_of_the_tasks() -> None:
    done = list(results_in_order(work, ["say 1", "fail 2", "say 3"]))
    assert [d.result for d in done] == ["1", None, "3"]
    with pytest.raises(ValueError, match="2"):
        done[1].value()


FAULTS = """
import resource
import numpy as np
from xrain.workers import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        np.ones(1 << 18)  # 2 MB, 512 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
many = faults()
keep_memory()
faults()
print(many, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the GNU C library")
def test_memory_is_kept_where_dask_has_it_given_back() -> None:
    if not platform.libc_ver()[0].startswith("glibc"):
        pytest.skip("another C library")
    run = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True,
        env={**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"},
    )  # fmt: skip
    before, after = map(int, run.stdout.split())
    assert before > 10_000
    assert after < before / 10
