"""What the measurements of ``make bench`` share: figures, and fair ways to take a time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TURNS = 5
SCANS = 2963
"""Scans of a full GMI granule."""


@dataclass(frozen=True)
class Figure:
    """One measured number and what it should be."""

    name: str
    value: float
    unit: str
    target: str = ""


def best_times(
    *calls: Callable[[], Any], turns: int = TURNS, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Shortest time in seconds of each call, taken in turns after one warm-up."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(turns + 1):
        for call, taken in zip(calls, times, strict=True):
            start = clock()
            call()
            if turn:
                taken.append(clock() - start)
    return [min(taken) for taken in times]


def run_apart(code: str, *args: str) -> str:
    """Run code in a new process; return the last line that it prints."""
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]
