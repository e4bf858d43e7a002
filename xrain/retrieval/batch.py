"""Granules in, rain files out: resumable, in several processes or on a cluster."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from xrain.atomic import sweep
from xrain.errors import InputError, XrainError
from xrain.geo.extent import Extent
from xrain.models.store import load_card
from xrain.retrieval.batch_granule import (
    BatchOptions,
    Draw,
    FileFormat,
    Granule,
    Outcome,
    is_complete,
    output_path,
    retrieve_granule,
)
from xrain.retrieval.batch_inputs import Time, find_granules
from xrain.retrieval.dataset import QUANTILES
from xrain.retrieval.devices import share_cores
from xrain.workers import Done, Workers, run_tasks

__all__ = ["BatchOptions", "Outcome", "find_granules", "retrieve_files"]

LANES: Final = 2
"""Granules that a process has in hand: while one is computed, another one is read or written."""

Tell = Callable[[Outcome], object]


def retrieve_files(
    files: str | Path | Iterable[str | Path],
    folder: str | Path,
    *,
    model: str | None = None,
    device: str | None = None,
    quantiles: Sequence[float] = QUANTILES,
    precision: str = "float32",
    given_rain: bool = False,
    prior: float | None = None,
    ancillary: str | Path | None = None,
    extent: Extent | None = None,
    start: Time | None = None,
    end: Time | None = None,
    format: FileFormat = "netcdf",
    draw: Draw | None = None,
    overwrite: bool = False,
    jobs: int = 1,
    client: Any = None,
    tell: Tell | None = None,
) -> list[Outcome]:
    """Retrieve rain from any number of granules of any sensors into files.

    What is complete already is skipped, so a run that was interrupted goes on where it stopped,
    and a granule that cannot be used stops nothing. Reading, computing and writing of different
    granules overlap; a process has no more than two granules in memory.

    Parameters
    ----------
    files : path, or iterable of them
        L1C granules; folders, of which all granules are taken; patterns; ``@list.txt``, a file
        with a name on each line.
    folder : path
        Where ``<name>.rain.nc`` is written for each granule, or ``<day>.zarr`` for each day.
    model, device, quantiles, precision, given_rain
        As for :func:`xrain.retrieve`; the model by its name or folder.
    prior : float, optional
        Frequency of rain of at least 0.1 mm/h to be expected before the measurement.
    ancillary : path, optional
        netCDF file with fields of a model for the times of all granules, which sharpen the phase;
        see :func:`xrain.add_ancillary`.
    extent : tuple of float, optional
        West, east, south and north in degrees: only scans of which a pixel lies inside are
        written, with the result that they have within the whole granule.
    start, end : str or datetime, optional
        Only granules with scans at or after the one and before the other, in UTC. An end that
        names a year, a month or a day includes all of it.
    format : {"netcdf", "zarr"}
        One netCDF file for each granule, or one Zarr store for each day, with a group for each
        granule.
    draw : callable, optional
        Draws the rain (xarray.Dataset, Path of an image) into an image, and returns its path.
    overwrite : bool
        Also retrieve granules that are complete.
    jobs : int
        Processes that work at the same time, each on granules of its own.
    client : distributed.Client, optional
        A cluster whose workers do it, one granule a task, in place of processes; they read and
        write the files themselves, so the paths must be good where they are.
    tell : callable, optional
        Called with the outcome of each granule as soon as it is known.

    Returns
    -------
    list of Outcome
        One for each granule: what was written, or what went wrong.

    Raises
    ------
    InputError
        If no granule is found, two outputs would have the same name, or an option makes no sense.
    ModelError
        If the model cannot be had at all.

    See Also
    --------
    xrain.retrieve : One dataset in memory.
    xrain.grid_rain : Merge the files on a grid.

    Examples
    --------
    >>> import xrain
    >>> from xrain.testing import write_fake_l1c
    >>> granule = write_fake_l1c("granule.HDF5", "gmi", scans=16)
    >>> [outcome.status for outcome in xrain.retrieve_files([granule], "out")]
    ['done']
    >>> [outcome.status for outcome in xrain.retrieve_files([granule], "out")]
    ['skipped']
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; at least one process is needed")
    options = BatchOptions(
        model, device, tuple(quantiles), precision, given_rain, prior,
        None if ancillary is None else Path(ancillary).absolute(), extent, format, draw,
    )  # fmt: skip
    sources = find_granules(files, start=start, end=end)
    if model is not None:
        load_card(model)
    run = _Run(Path(folder), options, overwrite, tell or (lambda outcome: None))
    plan = run.plan(sources)
    prepare = functools.partial(share_cores, jobs)
    run.go(plan, Workers(min(jobs, max(len(plan), 1)), LANES, client, prepare))
    return run.outcomes


@dataclasses.dataclass
class _Run:
    """One batch: where it writes, how, and what became of the granules so far."""

    folder: Path
    options: BatchOptions
    overwrite: bool
    tell: Tell
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)

    def report(self, outcome: Outcome) -> None:
        """Keep and tell what became of a granule."""
        self.outcomes.append(outcome)
        self.tell(outcome)

    def plan(self, sources: Sequence[Path]) -> list[Granule]:
        """Pair each granule with its output; InputError if two would write the same."""
        granules = []
        for source in sources:
            try:
                target = output_path(source, self.folder, self.options.format)
            except XrainError as error:  # its day is unknown
                self.report(Outcome(source, error=error))
            else:
                granules.append(Granule(source, target, self.options))
        counts = Counter(g.target for g in granules)
        shared = [path for path, count in counts.items() if count > 1]
        if shared:
            who = ", ".join(str(g.source) for g in granules if g.target == shared[0])
            raise InputError(f"{who} would all be written to {shared[0]}: retrieve them separately")
        return granules

    def go(self, granules: Sequence[Granule], workers: Workers) -> None:
        """Retrieve what is not complete."""
        given: dict[Path, Granule] = {}
        if len(granules) == 1 and workers.client is None:
            workers = Workers()
        try:
            for done in run_tasks(retrieve_granule, self._left(granules, given), workers):
                self.report(_outcome(done, given.pop(done.task.source)))
        finally:
            for place in {g.target.parent for g in granules}:
                sweep(place)  # drafts of processes that were ended

    def _left(self, granules: Iterable[Granule], given: dict[Path, Granule]) -> Iterator[Granule]:
        """Yield what is not complete, with paths that hold in every process."""
        for granule in granules:
            if not self.overwrite and is_complete(granule):
                self.report(Outcome(granule.source, (granule.target,), skipped=True))
                continue
            source, target = (Path(os.path.abspath(p)) for p in (granule.source, granule.target))
            given[source] = granule
            yield dataclasses.replace(granule, source=source, target=target)


def _outcome(done: Done[Granule], granule: Granule) -> Outcome:
    """Tell what became of a granule, with the paths as the user gave them."""
    if done.error is not None:
        return Outcome(granule.source, error=done.error)
    outcome: Outcome = done.result
    written = (granule.target, granule.picture)[: len(outcome.written)]
    return dataclasses.replace(outcome, source=granule.source, written=written)
