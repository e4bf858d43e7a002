"""Patches read from a store as they are drawn are those of the unpacked copy."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from typer.testing import CliRunner

from xrain.cli import app
from xrain.models.trunk import UNetConfig
from xrain.sensors import get_sensor
from xrain.training.archive import open_archive
from xrain.training.fit import Run
from xrain.training.settings import settings
from xrain.training.streaming import GroupReader

SMALL = UNetConfig(8, (1, 2), hidden=16, pixel=16, pixel_hidden=16, pixel_blocks=1)
NAMES = [c.name for c in get_sensor("GMI").channels]
FIELDS = ("tb", "rain", "incidence", "land")


def test_streamed_patches_are_the_unpacked_ones(store: Path, tmp_path: Path) -> None:
    whole = open_archive(store, "train", tmp_path / "a", NAMES[2:5])
    streamed = open_archive(store, "train", tmp_path / "b", NAMES[2:5], stream=True)
    assert np.array_equal(whole.known, streamed.known)
    assert np.array_equal(whole.wetness, streamed.wetness)
    count = len(whole.known)
    some = np.array([count - 1, 0, count // 2, 0])
    for name in FIELDS:
        ours, theirs = (getattr(x.shard, name) for x in (streamed, whole))
        assert ours.shape == theirs.shape
        for key in (
            0,
            count - 1,
            (1, slice(3, 9), slice(0, 4)),
            some,
            (some, some * 0 + 3, some * 0),
        ):
            np.testing.assert_array_equal(ours[key], theirs[key])
            assert ours[key].dtype == theirs.dtype
        np.testing.assert_array_equal(getattr(streamed.some(3), name), getattr(whole.some(3), name))
    kept = {p.name for p in (tmp_path / "b").rglob("*.npy")}
    assert kept == {"known.npy", "wetness.npy"}


def test_a_streamed_run_learns_the_same(store: Path, tmp_path: Path) -> None:
    chosen = settings(
        "archive", ("GMI",), config=SMALL, simulated=0.0, pixel_steps=4, steps=6, batch=1,
        judge_every=3, stores=(str(store),),
    )  # fmt: skip
    runs = [Run(tmp_path / "whole", chosen),
            Run(tmp_path / "streamed", dataclasses.replace(chosen, stream=True))]  # fmt: skip
    assert all(run.train() for run in runs)
    ours, theirs = (run.learner.state_dict() for run in runs)
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key


def test_no_more_is_kept_than_there_is_memory_for() -> None:
    read: list[int] = []

    def reading(k: int) -> dict[str, np.ndarray]:
        read.append(k)
        return {"x": np.full((2, 10), k, np.float32)}

    readers = [lambda k=k: reading(k) for k in range(5)]
    reader = GroupReader(readers, [2] * 5, memory=2 * 80)
    (values,) = reader.arrays({"x": (10,)}, ["x"])
    assert values.shape == (10, 10)
    for patch in (0, 1, 2, 0, 4, 0, 2):
        assert values[patch][0] == patch // 2
    assert read == [0, 1, 2, 1]  # the first stays, for it was asked for last
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda p: values[p][0], list(range(10)) * 20)
        assert list(found) == [p // 2 for p in range(10)] * 20


def test_streaming_needs_a_store(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "-o", str(tmp_path / "run"), "--stream"])
    assert done.exit_code == 2
    assert "--stream needs --data" in done.output
