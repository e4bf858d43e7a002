from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xrain import atomic
from xrain.atomic import replacing, replacing_folder
from xrain.errors import OutputError


def test_the_file_appears_whole_with_the_usual_rights(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as draft:
        draft.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    (plain := tmp_path / "plain").write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as draft:
            draft.write_text("half")
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"

    def fill() -> None:
        with replacing(path) as draft, open("/dev/full", "w") as full:
            draft.write_text("half")
            full.write("x" * 100_000)

    with pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), replacing(tmp_path / "file" / "x"):
        pass


# ---- folders, and what killed runs left


def is_own(folder: Path) -> bool:
    return (folder / "mine").exists()


def write_folder(path: Path, text: str) -> None:
    with replacing_folder(path, is_own) as draft:
        (draft / "mine").write_text(text)


def test_a_folder_appears_whole_and_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.zarr"
    for text in ("one", "two"):
        write_folder(path, text)
        assert (path / "mine").read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.zarr"
    path.mkdir()
    (path / "theirs").write_text("precious")
    with pytest.raises(OutputError, match="something else"):
        write_folder(path, "one")
    assert (path / "theirs").read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "store.zarr"
    write_folder(path, "old")

    def fail() -> None:
        with replacing_folder(path, is_own) as draft:
            (draft / "mine").write_text("half")
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert (path / "mine").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def run_and_die(code: str) -> None:
    """Run code in a process that ends in the middle."""
    whole = f"import os, signal; from pathlib import Path; from xrain import atomic\n{code}"
    run = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True)
    assert run.returncode == -signal.SIGKILL, run.stderr


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def test_what_a_killed_run_left_is_swept_by_the_next(tmp_path: Path) -> None:
    path, store = tmp_path / "a.nc", tmp_path / "b.zarr"
    path.write_text("old")
    run_and_die(f"with atomic.replacing({str(path)!r}) as d: d.write_text('half'); {KILL}")
    run_and_die(
        f"with atomic.replacing_folder({str(store)!r}, bool) as d: (d / 'x').touch(); {KILL}"
    )
    assert len(list(tmp_path.iterdir())) == 2  # the second run has swept after the first
    (tmp_path / ".hidden.draft-of-a-letter").write_text("mine")
    atomic._sweep_once.cache_clear()
    with replacing(tmp_path / "c.nc") as draft:
        draft.write_text("new")
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [".hidden.draft-of-a-letter", "a.nc", "c.nc"]
    assert path.read_text() == "old"


@pytest.mark.skipif(sys.platform != "linux", reason="where the system tells of zombies")
def test_what_a_process_left_that_ended_unnoticed_is_swept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "print()"], stdout=subprocess.PIPE)
    assert ended.stdout is not None
    assert ended.stdout.read() == b"\n"  # until its end; nobody has waited for it
    while b") Z " not in Path(f"/proc/{ended.pid}/stat").read_bytes():
        time.sleep(0.01)
    (tmp_path / f".a.draft-{atomic._host()}-{ended.pid}-00000000.nc").touch()
    atomic.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    ended.wait()


def test_a_folder_whose_replacement_was_interrupted_comes_back(tmp_path: Path) -> None:
    store = tmp_path / "b.zarr"
    store.mkdir()
    (store / "mine").write_text("old")
    run_and_die(f"store = Path({str(store)!r}); store.rename(atomic._hidden(store, 'old')); {KILL}")
    assert not store.exists()
    atomic._sweep_once.cache_clear()
    with replacing(tmp_path / "c.nc"):
        pass
    assert (store / "mine").read_text() == "old"


def test_drafts_of_living_runs_are_left_alone(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.nc") as draft:
        atomic._sweep_once.cache_clear()
        with replacing(tmp_path / "b.nc"):
            assert draft.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nc", "b.nc"]


def test_drafts_of_other_machines_are_left_for_a_week(tmp_path: Path) -> None:
    other = tmp_path / ".a.draft-00000000-1-00000000.nc"
    other.write_text("half")
    for age, there in ((0, True), (8 * 86400, False)):
        then = time.time() - age
        os.utime(other, (then, then))
        atomic._sweep_once.cache_clear()
        with replacing(tmp_path / "b.nc"):
            pass
        assert other.exists() is there


@pytest.mark.parametrize("name", ["x" * 250 + ".nc", "ä" * 120 + ".nc", ".nc", "a.b.c"])
def test_names_of_every_kind(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as draft:
        draft.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == [name]
