"""Damaged granules end in a right result or a clear error; `make fuzz` tries thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.fuzz.__main__ import table

ROOT = Path(__file__).resolve().parent.parent


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.fuzz", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_no_mutant_ends_as_none_may():
    done = fuzz("--mutants", "300", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 mutants" in done.stdout


def test_a_campaign_tells_what_may_not_be():
    text = table([{"kind": "bytes: flip", "outcome": "crash"}, {"kind": "a", "outcome": "error"}])
    assert text.splitlines()[-1].split() == ["all", "2", "0", "1", "0", "0", "0", "0", "1", "0"]
