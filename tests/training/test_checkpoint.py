"""Files of a training run on a disk that is full or closed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xrain.errors import OutputError
from xrain.training.checkpoint import append_line, facts_of, run_folder, write_tensors

FULL = Path("/dev/full")


def test_tensors_and_lines_are_kept(tmp_path):
    folder = run_folder(tmp_path / "a" / "run")
    write_tensors(folder / "x.safetensors", {"w": torch.arange(6).reshape(2, 3).T}, {"step": "3"})
    assert load_file(folder / "x.safetensors")["w"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert facts_of(folder / "x.safetensors") == {"step": "3"}
    for step in (1, 2):
        append_line(folder / "log.jsonl", {"step": step})
    lines = (folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_under_the_log_is_told(tmp_path):
    os.symlink(FULL, tmp_path / "log.jsonl")
    with pytest.raises(OutputError, match=r"log\.jsonl.*No space left"):
        append_line(tmp_path / "log.jsonl", {"step": 1})


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="run"):
        run_folder(tmp_path / "run" / "inner")
    with pytest.raises(OutputError):
        write_tensors(tmp_path / "run" / "x.safetensors", {"w": torch.zeros(1)}, {})
