"""The option that names a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from xrain.errors import InputError

__all__ = ["Scheduler", "cluster"]

Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Dask cluster that does the work: address of its scheduler, or its scheduler file."
    ),
]

_PATIENCE: Final = "30s"
"""How long a scheduler may take to answer."""


@contextmanager
def cluster(scheduler: str | None) -> Iterator[Any]:
    """Connect to a cluster; yields its client, None if none is named.

    Parameters
    ----------
    scheduler : str or None
        Such as ``"tcp://host:8786"``, or a file that ``dask scheduler --scheduler-file`` wrote.

    Raises
    ------
    InputError
        If no scheduler answers there.
    """
    if scheduler is None:
        yield None
        return
    from distributed import Client

    named: dict[str, Any] = {"address": scheduler}
    if Path(scheduler).is_file():
        named = {"scheduler_file": _scheduler_file(scheduler)}
    try:
        client = Client(**named, timeout=_PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"no scheduler answers at {scheduler}: {error}") from error
    with client:
        yield client


def _scheduler_file(name: str) -> str:
    """Refuse a file that names no scheduler: the client would wait for it for ever."""
    try:
        if json.loads(Path(name).read_text("utf-8"))["address"]:
            return name
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{name} is no file of a Dask scheduler")
