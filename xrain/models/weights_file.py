"""Read the weights of a model, which may come from others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from xrain.errors import ModelError
from xrain.models.whole_files import read_bounded

__all__ = ["read_tensors"]

_MOST_WEIGHTS: Final = 4 << 30  # bytes of one file


def read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read weights from the very bytes whose hash was taken, floating-point numbers as float32.

    Raises
    ------
    ModelError
        If the file cannot be read, has another hash, or holds numbers that are not finite.
    """
    try:
        content = read_bounded(path, _MOST_WEIGHTS)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ModelError(f"{path} is not the file that its card names: its SHA-256 differs")
        tensors: dict[str, Tensor] = load(content)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(f"{path} holds no readable weights: {error}") from error
    for name, tensor in tensors.items():
        if tensor.is_complex() or not tensor.isfinite().all():
            raise ModelError(f"{path}: the weights {name!r} hold numbers that are not finite")
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
