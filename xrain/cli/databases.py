"""Databases for Bayesian inversion, built by ``xrain train --brain``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xrain.cli.cluster import cluster
from xrain.cli.console import say

__all__ = ["Databases", "build"]


@dataclass(frozen=True)
class Databases:
    """Options of the building of databases."""

    output: Path
    sensors: tuple[str, ...]
    preset: str
    samples: int | None
    seed: int
    version: int
    cache: Path | None
    scheduler: str | None


def build(job: Databases, stores: tuple[str, ...], tables: tuple[str, ...]) -> list[Any]:
    """Build databases from matched pixels, or else from simulated samples."""
    from xrain.errors import InputError

    if stores:
        raise InputError("--brain needs tables of matched pixels, not stores")
    if tables:
        return _from_real(job, [Path(p) for p in tables])
    return _from_samples(job)


def _from_samples(job: Databases) -> list[Any]:
    import dataclasses

    from xrain.training.databases import simulation, train_on_samples

    how = simulation(job.preset)
    if job.samples is not None:
        how = dataclasses.replace(how, shards=math.ceil(job.samples / how.per_shard))
    with cluster(job.scheduler) as client:
        return train_on_samples(
            job.output, job.sensors, how, seed=job.seed, version=job.version, cache=job.cache,
            client=client, report=say,
        )  # fmt: skip


def _from_real(job: Databases, files: list[Path]) -> list[Any]:
    from xrain.errors import InputError
    from xrain.evaluation.matchups import model_inputs
    from xrain.io.matchups import matched_days, open_matchups
    from xrain.sensors import get_sensor
    from xrain.training.databases import train_on_real
    from xrain.training.vectors import Vectors, table_vectors

    tables = [open_matchups(path) for path in files]
    owners = {str(model_inputs(ds).attrs.get("sensor", "unknown")) for ds in tables}
    if len(owners) != 1 or owners == {"unknown"}:
        raise InputError(
            f"the files must hold pixels of one known instrument; they hold {', '.join(owners)}"
        )
    sensor = get_sensor(owners.pop())
    rows = [table_vectors(sensor, ds, matched_days(ds)) for ds in tables]
    names = [path.name for path in files]
    card = train_on_real(
        job.output, sensor, Vectors.join(rows), data=names, version=job.version, report=say
    )
    return [card]
