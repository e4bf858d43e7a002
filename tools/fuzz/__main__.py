"""Run a campaign: ``python -m tools.fuzz --mutants 5000``, or ``make fuzz``.

Each mutant goes through the doors of the package in a child process of limited memory, which the
parent replaces where it dies or hangs. The table of outcomes is printed, and written where asked.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

ALLOWED: Final = ("result", "error")
FORBIDDEN: Final = ("other", "wrong", "slow", "memory", "crash", "hang")
HANG: Final = 60.0
"""Seconds of processor time after which a mutant is said to hang; a busy machine is no fault."""

SILENCE: Final = 900.0
"""Seconds of wall time after which it is said to hang in any case, such as on a pipe."""


def main() -> None:
    """Run as many mutants as asked for; exit status 1 if an outcome is forbidden."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--mutants", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--json", type=Path, help="write every outcome there")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="xrain-fuzz-") as folder:
        outcomes = run(options.seed, options.first, options.mutants, Path(folder), options.json)
    print(table(outcomes))
    print(f"{len(outcomes)} mutants in {(time.monotonic() - started) / 60:.1f} minutes")
    bad = [o for o in outcomes if o["outcome"] in FORBIDDEN]
    for one in bad[:40]:
        print(f"mutant {one['number']} ({one['kind']}, {one['source']}): {one['outcome']}: "
              f"{one['told']}")  # fmt: skip
    sys.exit(bool(bad))


def run(
    seed: int, first: int, count: int, folder: Path, log: Path | None = None
) -> list[dict[str, Any]]:
    """Try some mutants in child processes.

    Parameters
    ----------
    seed, first, count : int
        The campaign, its first mutant, and how many.
    folder : Path
        Where granules are written.
    log : Path, optional
        Where each outcome is written as it comes.

    Returns
    -------
    list of dict
        Number, kind, source, outcome and what was told, of each.
    """
    outcomes: list[dict[str, Any]] = []
    number, end = first, first + count
    while number < end:
        for outcome in _child(seed, number, end, folder):
            outcomes.append(outcome)
            if log is not None:
                with log.open("a") as stream:
                    stream.write(f"{json.dumps(outcome)}\n")
            number = outcome["number"] + 1
    return outcomes


def _child(seed: int, first: int, end: int, folder: Path) -> Any:
    """Outcomes of one child process, until it is done or dies."""
    command = [sys.executable, "-m", "tools.fuzz.child", *map(str, (seed, first, end, folder))]
    log = (folder / "child.log").open("w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, bufsize=0)
    assert process.stdout is not None
    begun: dict[str, Any] = {"number": first, "kind": "start", "source": "", "told": ""}
    while line := _next_line(process):
        begun = json.loads(line)
        if "outcome" in begun:
            yield begun
    if line is None:
        process.kill()
        process.wait()
        yield {**begun, "outcome": "hang", "told": f"no answer after {HANG:g} s of work"}
    elif process.wait() != 0 or "outcome" not in begun:
        if begun["kind"] == "start":
            sys.exit(f"the child does not start: {(folder / 'child.log').read_text()[-2000:]}")
        yield {**begun, "outcome": "crash", "told": f"exit status {process.returncode}"}


def _next_line(process: subprocess.Popen[bytes]) -> bytes | None:
    """Wait for a line of a child; empty where it ended, None where it hangs."""
    assert process.stdout is not None
    began, used = time.monotonic(), _processor_time(process.pid)
    while not select.select([process.stdout], [], [], 2.0)[0]:
        worked = _processor_time(process.pid) - used
        if worked > HANG or time.monotonic() - began > SILENCE:
            return None
    return process.stdout.readline()


def _processor_time(pid: int) -> float:
    """Seconds of processor time that a process has used so far; 0 where that cannot be told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(outcomes: list[dict[str, Any]]) -> str:
    """Count the outcomes of each kind of mutation, as text."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in outcomes:
        counts[one["kind"]][one["outcome"]] += 1
        counts["all"][one["outcome"]] += 1
    names = [*ALLOWED, *FORBIDDEN]
    lines = [f"{'kind':28}{'tried':>7}" + "".join(f"{n:>8}" for n in names)]
    for kind in (*sorted(k for k in counts if k != "all"), "all"):
        row = counts[kind]
        lines.append(f"{kind:28}{row.total():7}" + "".join(f"{row[n]:8}" for n in names))
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("XRAIN_OFFLINE", "1")
    main()
