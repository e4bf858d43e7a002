"""Training data from an archive: where a radiometer and a reference saw the same rain.

Granules are paired by time, then by place; the reference is averaged over the radiometer's
footprints; and the shared part of the swath is cut into patches, which are kept in a store that
:mod:`xrain.collocation.store` reads.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xrain.atomic import replacing
from xrain.collocation.granule_group import Job, Settings, make_group, require_same
from xrain.collocation.splits import Split
from xrain.collocation.store import FORMAT, GranuleGroup, list_groups, read_attrs
from xrain.collocation.transects import TRANSECTS, collocate_transects
from xrain.collocation.writing import writing
from xrain.conventions import CHANNEL
from xrain.errors import FileFormatError, InputError, OutputError, WorkerError, XrainError
from xrain.io.open import open_l1c
from xrain.io.storable import CF_VERSION
from xrain.io.zarr_store import METADATA, group_metadata
from xrain.reference.files import Identity, Span, identify, open_source, span_of
from xrain.workers import Workers, run_tasks

__all__ = ["Result", "Settings", "Split", "collocate", "collocate_transects"]

Paths = Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class Result:
    """What became of one radiometer granule.

    Attributes
    ----------
    source : Path
        The granule.
    attrs : dict
        Attributes of its group, with ``patches``, ``matched_pixels``, ``split``; empty after an
        error, or if there was nothing to do.
    error : Exception or None
        What went wrong.
    """

    source: Path
    attrs: dict[str, Any]
    error: Exception | None = None


def collocate(
    radiometer: Paths,
    reference: Paths,
    output: str | os.PathLike[str],
    settings: Mapping[str, Any] | None = None,
    *,
    workers: int | None = None,
    client: Any = None,
    tell: Callable[[Result], object] | None = None,
) -> list[GranuleGroup]:
    """Make samples for training of radiometer granules and a reference.

    What the store has already is not made again: an interrupted run goes on, and later granules
    are added. A granule is in the store with all its patches or not at all.

    Parameters
    ----------
    radiometer : iterable of path
        L1C granules of one instrument.
    reference : iterable of path
        Files of one product: 2A radar, 2A GPROF, 2B CORRA, half-hourly IMERG, rain files of
        xrain, or netCDF with ``rain_rate`` in mm h-1 on a grid.
    output : path
        The store, by custom called ``….zarr``; made if absent.
    settings : mapping, optional
        Attributes of :class:`Settings` by name. The others are those of the store that is there,
        or by default.
    workers : int, optional
        Processes; by default one per core. One works in this process.
    client : distributed.Client, optional
        A cluster that works in place of processes, one granule a task; the workers read and write
        the files themselves, so the paths must be good where they are.
    tell : callable, optional
        Called with the result of each granule. Without it the first granule that cannot be used
        ends everything; with it the others go on.

    Returns
    -------
    list of GranuleGroup
        All that the store holds now.

    Raises
    ------
    InputError
        If no granule meets a reference, the settings are not those of the store, or another
        process writes to it.
    OutputError
        If the store cannot be written; what is in it stays complete.

    See Also
    --------
    xrain.match_reference : One granule, in memory.
    xrain.collocation.store.open_store : Read the samples.

    Examples
    --------
    >>> import xrain
    >>> from xrain.io.truth import radar_path
    >>> granule = xrain.simulate_granule("gmi", "orbit.HDF5", scans=96, with_radar=True)
    >>> groups = xrain.collocate([granule], [radar_path(granule)], "gmi-dpr.zarr", workers=1)
    >>> sum(group.patches for group in groups) > 0
    True
    """
    output = Path(output)
    if client is not None:
        radiometer, reference = (map(os.path.abspath, f) for f in (radiometer, reference))
        output = Path(os.path.abspath(output))
    ours = _spans(radiometer, True, tell)
    theirs = _spans(reference, False, tell)
    with writing(output) as drafts:
        facts = _root(output)
        made = _agreed(settings or {}, facts)
        plan = _pairs(ours, theirs, made)
        if facts is None:
            facts = _new_root(output, plan, made, tell)
        jobs = _missing(output, plan, facts, made, tell)
        for result in _run(
            jobs, output, drafts, Workers(_count(workers, len(jobs)), client=client)
        ):
            _report(result, tell)
    return list_groups(output)


# ---- which granules belong together


def _spans(files: Paths, radiometer: bool, tell: Any) -> list[Span]:
    kind = "radiometer granule" if radiometer else "reference"
    paths = [Path(f) for f in files]
    if not paths:
        raise InputError(f"there is no {kind}")
    found = []
    for path in paths:
        try:
            found.append(span_of(path, radiometer))
        except XrainError as error:
            _report(Result(path, {}, error), tell)
    if not found:
        raise InputError(f"no {kind} can be read")
    return sorted(found, key=lambda s: s.first)


def _pairs(
    ours: Sequence[Span], theirs: Sequence[Span], settings: Settings
) -> list[tuple[Span, list[Span]]]:
    """Pair each radiometer granule with the references that overlap it in time."""
    starts = np.array([s.first for s in theirs])
    longest = max(s.last - s.first for s in theirs)
    found = []
    for span in ours:
        first = int(np.searchsorted(starts, span.first - settings.time - longest))
        end = int(np.searchsorted(starts, span.last + settings.time, side="right"))
        near = [s for s in theirs[first:end] if s.last >= span.first - settings.time]
        if near:
            found.append((span, near))
    if not found:
        raise InputError(
            f"no granule meets a reference within {settings.window:g} minutes: the radiometer has "
            f"{_extent(ours)}, the reference {_extent(theirs)}"
        )
    return found


def _extent(spans: Sequence[Span]) -> str:
    first, last = min(s.first for s in spans), max(s.last for s in spans)
    return f"{first.astype('datetime64[s]')} to {last.astype('datetime64[s]')}"


def _name(span: Span) -> str:
    """Name of a granule's group: its time, then its file."""
    stamp = str(span.first.astype("datetime64[s]")).replace("-", "").replace(":", "")
    return f"{stamp}_{span.path.stem}"


# ---- the store


def _root(output: Path) -> dict[str, Any] | None:
    """Facts of a store that is there; None if there is none."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    return read_attrs(output)


def _plain(settings: Settings) -> dict[str, Any]:
    """Return the settings as a store keeps them."""
    values = asdict(replace(settings, split=Split()))
    values["patch_size"] = values.pop("size")
    return {k: v for k, v in values.items() if k != "split"} | settings.split.to_dict()


def _agreed(wanted: Mapping[str, Any], facts: dict[str, Any] | None) -> Settings:
    """Take the settings of the store; InputError if others are asked for."""
    if facts is None:
        return Settings(**wanted)
    if facts.get("kind") == TRANSECTS:
        raise InputError("the store holds transects: collocate granules into another store")
    split = Split(tuple(facts["test"]), tuple(facts["validation"]))
    names = ("window", "fraction", "variable", "least")
    kept = Settings(size=facts["patch_size"], split=split, **{n: facts[n] for n in names})
    asked = replace(kept, **wanted)
    if asked != kept:
        old, new = _plain(kept), _plain(asked)
        told = ", ".join(f"{n} {old[n]!r}, not {new[n]!r}" for n in old if old[n] != new[n])
        raise InputError(f"the store was made with {told}: use the same, or another store")
    return kept


def _new_root(output: Path, plan: Any, settings: Settings, tell: Any) -> dict[str, Any]:
    """Begin a store for the instrument and the product of the first pair that can be read."""
    for span, near in plan:
        try:
            with open_l1c(span.path) as ds, open_source(near[0].path) as reference:
                ours, theirs = identify(ds), identify(reference)
                channels = [str(c) for c in ds[CHANNEL].values]
        except XrainError as error:
            if tell is None:
                raise
            first_error = error
            continue
        facts = {
            "xrain_store": FORMAT,
            "Conventions": CF_VERSION,
            "title": f"{ours.product} beside {theirs.product}, collocated for training",
            "sensor": ours.product,
            "radiometer_version": ours.version,
            "channels": channels,
            "reference": theirs.product,
            "reference_version": theirs.version,
            **_plain(settings),
        }
        with replacing(output / METADATA) as draft:
            draft.write_text(group_metadata(facts), encoding="utf-8")
        return facts
    raise InputError(f"no pair of granules can be read: {first_error}")


def _missing(
    output: Path, plan: Any, facts: dict[str, Any], settings: Settings, tell: Any
) -> list[Job]:
    """List what the store does not have yet, or only with fewer references."""
    done = {p.name: set(p.attrs["references"]) for p in list_groups(output)}
    expected = (
        Identity(facts["sensor"], facts["radiometer_version"]),
        Identity(facts["reference"], facts["reference_version"]),
    )
    jobs = {}
    if done:  # another product is told of before another file of the same
        _require_product(plan[0][1][0].path, expected[1])
    for span, near in plan:
        name, names = _name(span), {s.path.name for s in near}
        if names <= done.get(name, set()):
            _report(Result(span.path, {}), tell)
        elif done.get(name, set()) <= names:
            channels = tuple(facts["channels"])
            jobs[name] = Job(name, span.path, tuple(near), expected, channels, settings)
        else:
            lost = ", ".join(sorted(done[name] - names))
            error = InputError(
                f"{span.path.name} is in the store with {lost}; to add other references, give "
                "these too"
            )
            _report(Result(span.path, {}, error), tell)
    return list(jobs.values())


def _require_product(path: Path, expected: Identity) -> None:
    with suppress(FileFormatError), open_source(path) as reference:
        require_same(identify(reference), expected, path)


# ---- the work


def _count(workers: int | None, jobs: int) -> int:
    return max(min(workers or os.cpu_count() or 1, jobs), 1)


def _run(jobs: Sequence[Job], output: Path, drafts: Path, workers: Workers) -> Iterator[Result]:
    """Make the groups; a full disk ends it all."""
    make = functools.partial(_one, output=output, drafts=drafts)
    for done in run_tasks(make, jobs, workers):
        if isinstance(done.error, WorkerError):
            yield Result(done.task.radiometer, {}, done.error)
        else:
            yield done.value()


def _one(job: Job, output: Path, drafts: Path) -> Result:
    try:
        return Result(job.radiometer, make_group(job, output, drafts))
    except OutputError:
        raise
    except Exception as error:  # whatever it is, the other granules go on
        return Result(job.radiometer, {}, error)


def _report(result: Result, tell: Any) -> None:
    if tell is not None:
        tell(result)
    elif result.error is not None:
        raise result.error
