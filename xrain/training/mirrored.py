"""Rain that does not depend on the direction in which scans run: weights tied to their mirror.

Each feature of the branch for neighbours has a partner that sees the scans in reverse order, the
first feature the last and so on. Kernels from a feature to another, reversed along the scans, equal
those between their partners; what is made of partners together is then the same either way. The
network computes as much as without, and learns half as many numbers of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from xrain.models.unet import NeighbourBranch

__all__ = ["mirrored", "tie_mirrored"]

Change = Callable[[Tensor], Tensor]


def mirrored(branch: NeighbourBranch) -> dict[str, Change]:
    """Return what turns each parameter into the one that sees the scans in reverse order.

    Parameters
    ----------
    branch : NeighbourBranch
        Whose parameters.

    Returns
    -------
    dict of str to callable
        By the parameter's name; those that have no direction are left out. Each change undoes
        itself, and takes a tensor of the parameter's shape.
    """
    out: dict[str, Change] = {}
    last = f"maker.{len(branch.maker) - 1}."
    for name, value in branch.named_parameters():
        if name.startswith(last):
            out[name] = lambda x: _mirrored_kernels(x, branch.width)
        elif name.startswith("maker."):
            continue
        elif name == "trunk.head.weight":
            out[name] = lambda x: x.flip(1)
        elif name in ("auxiliary", "trunk.mix.weight"):
            out[name] = lambda x: x.flip(0, 2)
        elif value.ndim == 4:
            out[name] = lambda x: x.flip(0, 1, 2)
        elif name != "trunk.head.bias":
            out[name] = lambda x: x.flip(0)
    return out


def _mirrored_kernels(made: Tensor, width: int) -> Tensor:
    """Mirror the layer that makes kernels: its rows are (2, width, scan, pixel)."""
    return made.view(2, width, 3, 3, -1).flip(1, 2).reshape(made.shape)


def tie_mirrored(branch: NeighbourBranch) -> None:
    """Tie a branch that is about to learn to its mirror, from its present weights on.

    The weights become the mean of themselves and their mirror, of the variance they had, and so do
    the gradients of every step to come.

    Parameters
    ----------
    branch : NeighbourBranch
        Changed in place. Weights loaded later keep what they lack of symmetry.
    """
    changes = mirrored(branch)
    for name, value in branch.named_parameters():
        if (change := changes.get(name)) is None:
            continue
        scale = math.sqrt(2) if value.ndim > 1 else 1.0
        with torch.no_grad():
            value.copy_((value + change(value)) * (scale / 2))
        if value.requires_grad:
            value.register_hook(  # type: ignore[no-untyped-call]
                lambda grad, change=change: (grad + change(grad)) / 2
            )
