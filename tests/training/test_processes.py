"""A run shared by processes ends like that of one; how runs are watched, resumed and computed."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from xrain.cli import app
from xrain.errors import InputError
from xrain.models.trunk import UNetConfig
from xrain.training.fit import Run
from xrain.training.processes import Processes
from xrain.training.samples import make_samples
from xrain.training.settings import Settings, read_settings, settings

SMALL = UNetConfig(8, (1, 2), hidden=16, pixel=16, pixel_hidden=16, pixel_blocks=1)

SCRIPT = """
import sys
from pathlib import Path

from xrain.training.fit import Run
from xrain.training.processes import joined
from xrain.training.settings import read_settings

folder, cache, chosen = map(Path, sys.argv[1:4])
with joined("cpu") as (processes, device):
    assert processes.count == 2
    run = Run(folder, read_settings(chosen), device, cache, processes=processes)
    assert run.train()
"""


LOOPBACK = next(n for _, n in socket.if_nameindex() if n.startswith("lo"))


def small(**changes: object) -> Settings:
    steps = {"simulated_steps": 3, "pixel_steps": 0, "steps": 5, "judge_every": 3, "parts": 2}
    return settings("tiny", ("MHS",), config=SMALL, size=16, **steps | changes)


def apart(one: Run, other: Run) -> float:
    """Mean difference of what two runs have learned."""
    pairs = zip(one.learner.parameters(), other.learner.parameters(), strict=True)
    return float(torch.cat([(a - b).detach().abs().flatten() for a, b in pairs]).mean())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder, *small().training_plans, small().judging_plan, workers=1)
    return folder


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one process, in which it learns from both parts of each batch."""
    run = Run(tmp_path_factory.mktemp("one"), small(), cache=cache)
    assert run.train()
    return run


@pytest.fixture(scope="module")
def half(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same with one part of each batch."""
    run = Run(tmp_path_factory.mktemp("half"), small(parts=1), cache=cache)
    assert run.train()
    return run


@pytest.mark.slow
def test_two_processes_learn_what_one_does(
    run: Run, half: Run, cache: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--local-addr", "127.0.0.1", "--nproc-per-node",
    ]  # fmt: skip
    arguments = [tmp_path / "two", cache, run.folder / "settings.json"]
    done = subprocess.run(
        [*command, "2", str(script), *map(str, arguments)], check=False, capture_output=True,
        text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": LOOPBACK},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    two = Run(tmp_path / "two", small(), cache=cache)
    assert two.complete
    # The optimiser divides by the size of a gradient, so where it is all but zero rounding decides.
    assert apart(two, run) < 0.05 * apart(half, run)
    logs = [(f / "log.jsonl").read_text().splitlines() for f in (run.folder, two.folder)]
    assert len(logs[0]) == len(logs[1])
    for ours, theirs in zip(*(map(json.loads, log) for log in logs), strict=True):
        for name in {"loss", "held_out"} & set(ours):
            assert theirs[name] == pytest.approx(ours[name], rel=1e-3)


def test_parts_change_what_a_batch_holds(run: Run, half: Run) -> None:
    assert apart(half, run) > 1e-5


def test_parts_are_shared_out_evenly_or_refused() -> None:
    assert [list(Processes(r, 2).parts(4)) for r in (0, 1)] == [[0, 2], [1, 3]]
    with pytest.raises(InputError, match="multiple of 2"):
        Processes(0, 2).parts(3)


def test_metrics_are_a_table(run: Run) -> None:
    with open(run.folder / "metrics.csv") as stream:
        rows = list(csv.DictReader(stream))
    lines = [json.loads(x) for x in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [int(r["step"]) for r in rows] == [x["step"] for x in lines]
    losses = [float(r["loss"]) for r in rows if r["loss"]]
    assert losses == pytest.approx([x["loss"] for x in lines if "loss" in x])
    assert any(r["held_out"] for r in rows)
    assert all(float(r["learning_rate"]) > 0 for r in rows if r["loss"])


def test_metrics_for_tensorboard(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert Run(tmp_path, small(), cache=cache, tensorboard=True).train()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"loss/training", "loss/validation"} <= set(events.Tags()["scalars"])


def test_tensorboard_that_is_missing_is_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xrain.extras.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="extra 'tensorboard'"):
        Run(tmp_path, small(), cache=cache, tensorboard=True)


def test_bfloat16_learns_nearly_the_same(run: Run, cache: Path, tmp_path: Path) -> None:
    coarse = Run(tmp_path, dataclasses.replace(run.settings, precision="bfloat16"), cache=cache)
    assert coarse.train()
    losses = [r.best["held_out"] for r in (run, coarse)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    for value in coarse.learner.state_dict().values():
        assert value.dtype != torch.bfloat16


def test_settings_come_back_from_a_run(run: Run, tmp_path: Path) -> None:
    assert read_settings(run.folder / "settings.json") == run.settings
    with pytest.raises(InputError, match="no run that can be resumed"):
        read_settings(tmp_path / "settings.json")


def test_a_run_of_before_parts_were_known_goes_on(cache: Path, tmp_path: Path) -> None:
    chosen = small(parts=1)
    Run(tmp_path, chosen, cache=cache)
    path = tmp_path / "settings.json"
    kept = json.loads(path.read_text())
    del kept["parts"], kept["precision"]
    path.write_text(json.dumps(kept))
    Run(tmp_path, chosen, cache=cache)
    with pytest.raises(InputError, match="other settings"):
        Run(tmp_path, small(), cache=cache)


def test_a_run_is_resumed_with_the_options_that_it_had(tmp_path: Path) -> None:
    def train(*words: object) -> str:
        done = CliRunner().invoke(app, ["train", "-o", str(tmp_path), *map(str, words)])
        assert done.exit_code == 0, done.output
        return done.output

    options = ("--preset", "tiny", "--sensors", "mhs", "--seed", 3, "--version", 4)
    told = train(*options, "--steps", 2, "--stop-after", 0)
    if "stopped at step" in told:
        told = train("--resume")
    assert "mhs-unet@4" in told
    assert json.loads((tmp_path / "settings.json").read_text())["seed"] == 3
    refused = CliRunner().invoke(app, ["train", "-o", str(tmp_path), "--resume", "--seed", "4"])
    assert refused.exit_code == 2
    assert "--seed" in refused.output
    nothing = CliRunner().invoke(app, ["train", "-o", str(tmp_path / "no"), "--resume"])
    assert nothing.exit_code == 2
    assert "no run that can be resumed" in nothing.output
    assert np.isfinite(json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["seconds"])
