"""Where to compute, on how many cores, and how exactly."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from typing import Any

from xrain.errors import InputError

__all__ = ["choose_device", "exact", "share_cores", "slots"]


def choose_device(device: str | None) -> str:
    """Name of the device to compute on: the given one, else a GPU where there is one.

    Raises
    ------
    InputError
        If the device does not exist here.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used here: {error}") from error
    return device


_sharing = 1
"""Processes that share the cores with this one, itself included."""


def share_cores(processes: int) -> None:
    """Leave the other cores to other processes that retrieve: compute in one thread.

    Parameters
    ----------
    processes : int
        How many there are, with this one.
    """
    import torch

    global _sharing
    _sharing = processes
    torch.set_num_threads(1)
    slots.cache_clear()


@functools.cache
def slots() -> threading.Semaphore:
    """Tiles computed at once in this process: as many as there are cores for Torch's threads."""
    import torch

    threads = max(torch.get_num_threads(), 1) * _sharing
    return threading.Semaphore(max((os.cpu_count() or 1) // threads, 1))


def _start_anew() -> None:
    """Make a forked process able to compute: OpenMP's threads stay behind, locks may be held."""
    slots.cache_clear()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def exact(device: str) -> Any:
    """Keep float32 convolutions on a GPU in float32: TF32 would cost three digits."""
    import torch

    if device.startswith("cuda"):
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return contextlib.nullcontext()
