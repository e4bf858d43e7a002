from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from xrain.atomic import replacing
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
