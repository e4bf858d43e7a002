"""Small pieces of the training loop: its files, and how fast it learns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from xrain.atomic import replacing
from xrain.errors import OutputError


def run_folder(folder: Path) -> Path:
    """Make the folder of a run; OutputError if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: no folder for a training run: {error.strerror}") from error
    return folder


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors whole or not at all; OutputError if they cannot be written."""
    stored = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    with replacing(path) as draft:
        draft.write_bytes(save(stored, dict(facts)))


def append_line(path: Path, facts: Mapping[str, Any]) -> None:
    """Add a line of JSON to a log; OutputError if it cannot be written."""
    try:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(facts) + "\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def facts_of(path: Path) -> dict[str, str]:
    """Read what a file of tensors says of itself."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        found: dict[str, str] = file.metadata()
    return found


def schedule(share: float) -> float:
    """Learning rate as a share of its peak: a short rise, then half a cosine."""
    if share < 0.05:
        return share / 0.05 + 1e-3
    return 0.5 * (1 + math.cos(math.pi * (share - 0.05) / 0.95)) + 1e-3


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
