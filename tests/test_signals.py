"""A batch system that ends a command finds nothing half written behind it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

WRITING = """
import time
from xrain import cli
from xrain.atomic import replacing, replacing_folder

def write():
    with replacing({folder!r} + "/a.nc") as one, replacing_folder({folder!r} + "/b.zarr", bool):
        one.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

cli.app = write
cli.main()
"""


HEARD = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""
"""As at a terminal, though the tests themselves may run in the background or under nohup."""


def end(folder: Path, number: signal.Signals) -> int:
    """Send a signal to a process that is writing, and return how it ended."""
    code = HEARD + WRITING.format(folder=str(folder))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    assert len(list(folder.iterdir())) == 2
    process.send_signal(number)
    try:
        return process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_ends_a_command_cleanly(tmp_path: Path, name: str) -> None:
    number = signal.Signals[name]
    status = end(tmp_path, number)
    # without Typer around it, Python itself ends by the interrupt
    assert status == (-number if name == "SIGINT" else 128 + number)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_hangup_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    ignored = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    short = ignored + WRITING.replace("sleep(60)", "sleep(1)").format(folder=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", short], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 0
    assert (tmp_path / "a.nc").read_text() == "half"
