"""Granules that arrive while a real process watches."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from xrain.errors import InputError
from xrain.models.export import save_model
from xrain.retrieval.batch_granule import BatchOptions, Outcome
from xrain.retrieval.watch import Watch, only_watcher
from xrain.testing import tiny_model, write_fake_l1c

PIECE = "1C.GPM.GMI.XCAL2016-C.20200701-S00{}000-E00{}458.V07A.RT-NC"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and pieces of five minutes as they are made elsewhere."""
    folder = tmp_path_factory.mktemp("made")
    tiny = tiny_model("GMI", seed=1)
    save_model(folder / "model", tiny.card, tiny.network.state_dict(), half=False)
    for k in range(4):
        path = write_fake_l1c(folder / f"{k}.HDF5", "GMI", scans=30, seed=k)
        path.rename(folder / PIECE.format(k, k))
    return folder


def piece(folder: Path, k: int) -> Path:
    return folder / PIECE.format(k, k)


def arrive(granule: Path, folder: Path) -> Path:
    """Let a granule arrive as most tools do it: whole, under its name, at once."""
    draft = folder / f".{granule.name}"
    shutil.copy(granule, draft)
    return draft.rename(folder / granule.name)


# ---- look by look


@pytest.fixture
def watch(made: Path, tmp_path: Path) -> tuple[Watch, list[Outcome]]:
    told: list[Outcome] = []
    (tmp_path / "in").mkdir()
    options = BatchOptions(str(made / "model"))
    return Watch(tmp_path / "in", tmp_path / "out", options, patience=0.0, tell=told.append), told


def test_a_granule_is_retrieved_once_and_again_if_it_changes(watch, made) -> None:
    watching, told = watch
    path = arrive(piece(made, 0), watching.folder)
    watching.look()
    assert told == []  # it may still be growing
    for _ in range(3):
        watching.look()
    assert [o.status for o in told] == ["done"]
    assert told[0].written[0].name == f"{path.name.removesuffix('.RT-NC')}.rain.nc"
    shutil.copy(piece(made, 1), path)
    os.utime(path, (1e9, 1e9))
    for _ in range(3):
        watching.look()
    assert [o.status for o in told] == ["done", "done"]


def test_what_grows_is_waited_for(watch, made) -> None:
    watching, told = watch
    watching.patience = 1e9
    content = piece(made, 0).read_bytes()
    path = watching.folder / "a.nc"
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        for _ in range(3):
            watching.look()
    assert told == []
    path.write_bytes(content)
    watching.look()
    watching.look()
    assert [o.status for o in told] == ["done"]


def test_what_cannot_be_used_is_told_once(watch) -> None:
    watching, told = watch
    (watching.folder / "text.nc").write_text("no granule")
    for _ in range(4):
        watching.look()
    assert [o.status for o in told] == ["failed"]


def test_what_cannot_be_written_is_tried_again(watch, made) -> None:
    watching, told = watch
    watching.output.write_text("a file in the way")
    arrive(piece(made, 0), watching.folder)
    for _ in range(3):
        watching.look()
    assert [o.status for o in told] == ["failed", "failed"]
    watching.output.unlink()
    watching.look()
    watching.look()
    assert [o.status for o in told] == ["failed", "failed", "done"]


def test_nothing_to_watch_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        Watch(tmp_path / "none", tmp_path, BatchOptions())
    with pytest.raises(InputError, match="interval"):
        Watch(tmp_path, tmp_path, BatchOptions(), interval=0)
    one, two = only_watcher(tmp_path), only_watcher(tmp_path)
    with one, pytest.raises(InputError, match="another watch"), two:
        pass


# ---- a process


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if true():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def start(folder: Path, out: Path, model: Path) -> subprocess.Popen[str]:
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    args = ["watch", folder, "-o", out, "-m", model, "--interval", "0.2", "-v"]
    return subprocess.Popen(
        [sys.executable, "-c", heard + "from xrain.cli import main; main()", *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def beat(out: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((out / "watch.json").read_text()))
    except OSError:
        return {}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_process_retrieves_what_arrives_and_ends_when_it_is_told(made, tmp_path) -> None:
    folder, out, model = tmp_path / "in", tmp_path / "out", made / "model"
    (folder / "deep").mkdir(parents=True)
    arrive(piece(made, 0), folder)
    process = start(folder, out, model)
    try:
        wait_until(lambda: beat(out).get("done") == 1, process)
        whole = piece(made, 1).read_bytes()
        growing = folder / piece(made, 1).name
        growing.write_bytes(whole[: len(whole) // 2])
        arrive(piece(made, 2), folder / "deep")
        wait_until(lambda: beat(out).get("done") == 2, process)
        wait_until(lambda: beat(out).get("waiting") == 1, process)
        with growing.open("ab") as file:
            file.write(whole[len(whole) // 2 :])
        wait_until(lambda: beat(out).get("done") == 3, process)
        assert beat(out)["process"] == process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    names = [f"{piece(made, k).name.removesuffix('.RT-NC')}.rain.nc" for k in range(3)]
    assert [Path(line).name for line in said.split()] == [names[0], names[2], names[1]]
    assert beat(out)["state"] == "stopped"
    assert sorted(p.name for p in out.iterdir() if p.suffix == ".nc") == names
    assert not [p for p in out.iterdir() if "draft" in p.name]
    with xr.open_dataset(out / names[1]) as rain, xr.open_dataset(
        piece(made, 1), engine="gpm-l1c"
    ) as ds:  # fmt: skip
        direct = ds.rain.retrieve(str(model))
        np.testing.assert_allclose(rain.surface_precip, direct.surface_precip, atol=1e-5)
    again = start(folder, out, model)
    try:
        wait_until(lambda: beat(out).get("process") == again.pid, again)
        arrive(piece(made, 3), folder)
        wait_until(lambda: beat(out).get("done") == 1, again)
    finally:
        again.send_signal(signal.SIGINT)
        said, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert len(said.split()) == 1
