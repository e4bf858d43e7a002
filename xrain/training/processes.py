"""Several processes of one training run, as ``torchrun`` starts them: one for each GPU.

Every process holds the whole network and learns from its parts of each batch; PyTorch's
DistributedDataParallel averages what they learn. Only the first one writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from xrain.errors import InputError

__all__ = ["Processes", "joined"]


class _Call(nn.Module):
    """A module whose forward pass is what is asked for: one wrapper serves all losses."""

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, loss: Callable[[], Tensor]) -> Tensor:
        return loss()


@dataclass(frozen=True)
class Processes:
    """The processes of a run, one by default.

    Attributes
    ----------
    rank : int
        Number of this process.
    count : int
        How many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes what the run leaves behind."""
        return self.rank == 0

    def parts(self, total: int) -> range:
        """Return which parts of a batch this process learns from.

        Parameters
        ----------
        total : int
            Parts of a batch.

        Raises
        ------
        InputError
            If they cannot be shared out evenly.
        """
        if total % self.count:
            raise InputError(
                f"{total} parts of a batch cannot be shared out evenly to {self.count} processes: "
                f"give --parts a multiple of {self.count}"
            )
        return range(self.rank, total, self.count)

    def spread(self, learner: nn.Module) -> nn.Module:
        """Wrap what learns, so that gradients become the mean over all processes.

        Parameters
        ----------
        learner : Module
            What learns. The wrapper is called with a function that returns its loss.
        """
        call = _Call(learner)
        if self.count == 1:
            return call
        return nn.parallel.DistributedDataParallel(
            call, broadcast_buffers=False, find_unused_parameters=True
        )

    def apart(self, wrapper: nn.Module) -> Any:
        """Keep gradients to this process for now: there are more parts to come."""
        if isinstance(wrapper, nn.parallel.DistributedDataParallel):
            return wrapper.no_sync()
        return nullcontext()

    def sum(self, values: Tensor) -> Tensor:
        """Sum numbers over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def mean(self, value: float, device: str) -> float:
        """Mean of a number over all processes."""
        return float(self.sum(torch.tensor(value, device=device)) / self.count)

    def agree(self, value: float, device: str) -> float:
        """Take the number that the first process has."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=device)
        dist.broadcast(shared, 0)
        return float(shared)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process go ahead, as where files are made that all read."""
        if self.count > 1 and not self.is_first:
            dist.barrier()
        yield
        if self.count > 1 and self.is_first:
            dist.barrier()

    def wait(self) -> None:
        """Wait for all processes."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[tuple[Processes, str]]:
    """Join the processes that ``torchrun`` has started, if it has.

    Parameters
    ----------
    device : str
        ``"cpu"`` or ``"cuda"``; each process takes a GPU of its own.

    Yields
    ------
    Processes
        This process among the others.
    str
        Its device.

    Raises
    ------
    InputError
        If there are more processes than GPUs on a machine.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or dist.is_initialized():
        yield Processes(), device
        return
    if device.startswith("cuda"):
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise InputError(f"{torch.cuda.device_count()} GPUs are too few for all processes")
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Processes(dist.get_rank(), count), device
        dist.barrier()  # none leaves while another still talks to it
    finally:
        dist.destroy_process_group()
