"""Stores made ready for training: arrays on disk from which squares are cut at random.

The compressed groups of a store are unpacked once into plain arrays, which are mapped into memory:
training reads what it draws, and the system keeps what it has room for. Where there is no room for
a second copy, groups are read from the store as they are drawn.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from xrain.collocation.store import (
    LAND,
    GranuleGroup,
    list_groups,
    patch_shape,
    read_arrays,
    read_attrs,
)
from xrain.conventions import INCIDENCE, SURFACE_PRECIP, TB
from xrain.errors import FileFormatError, InputError, OutputError
from xrain.sensors import get_sensor
from xrain.training.batches import Source, tally
from xrain.training.samples import Shard
from xrain.training.streaming import GroupReader

__all__ = ["Archive", "open_archive", "require_store"]

Array = npt.NDArray[Any]

ARRAYS: Final = (TB, SURFACE_PRECIP, INCIDENCE, LAND)
COUNTS: Final = ("known", "wetness")
DRAFT: Final = "draft"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Archive:
    """What a store holds for one purpose.

    Attributes
    ----------
    name : str
        Name of the store.
    sensor : str
        The instrument.
    shard : Shard
        All patches, mapped into memory.
    known : ndarray of int64, shape (patch,)
        Pixels of each patch that have a reference.
    wetness : ndarray of float64, shape (patch,)
        Share of these in which it rains at 0.1 mm/h and more.
    facts : dict
        Where it comes from, for cards.
    """

    name: str
    sensor: str
    shard: Shard
    known: npt.NDArray[np.int64]
    wetness: npt.NDArray[np.float64]
    facts: dict[str, Any]

    def some(self, count: int) -> Shard:
        """Read so many patches into memory at most, evenly spread over the time."""
        total = len(self.known)
        chosen = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
        fields = (self.shard.tb, self.shard.rain, self.shard.incidence, self.shard.land)
        return Shard(*(f[chosen] for f in fields))

    def source(self, share: float) -> Source:
        """Draw batches from it, with this chance."""
        return Source(self.sensor, self.shard, self.known, self.wetness, share, simulated=False)


def require_store(path: str | os.PathLike[str], sensors: Sequence[str]) -> str:
    """Refuse a store from which a network cannot learn, before any work.

    Parameters
    ----------
    path : path
        The store.
    sensors : sequence of str
        Instruments of the run.

    Returns
    -------
    str
        Its instrument.

    Raises
    ------
    FileFormatError, UnknownSensorError
        If it cannot be read, or its instrument is unknown.
    InputError
        If it holds another instrument or other channels, or has no patches to learn from or to
        judge by.
    """
    facts = read_attrs(path)
    sensor = get_sensor(facts["sensor"])
    names = [c.name for c in sensor.channels]
    lacking = [s for s in ("train", "validation") if not _pieces(path, s)]
    problems = [
        text
        for wrong, text in (
            (sensor.name not in sensors, f"it holds {sensor.name}, the run is for "
             f"{', '.join(sensors)}"),
            (list(facts["channels"]) != names, f"it holds channels {', '.join(facts['channels'])}; "
             f"{sensor.name} has {', '.join(names)}"),
            (lacking, f"it has no patches for {' and for '.join(lacking)}: collocate more days, or "
             "name others with --validation"),
        )
        if wrong
    ]  # fmt: skip
    if problems:
        raise InputError(f"{path} cannot be trained on: {'; '.join(problems)}")
    return sensor.name


def open_archive(
    path: str | os.PathLike[str],
    split: str,
    cache: Path,
    channels: Sequence[str],
    progress: Progress | None = None,
    *,
    stream: bool = False,
) -> Archive:
    """Map the patches of a store into memory, unpacked first if that is not done yet.

    Parameters
    ----------
    path : path
        The store.
    split : {"train", "validation", "test"}
        Which patches.
    cache : Path
        Folder of unpacked arrays. What it holds of an earlier state of the store is replaced.
    channels : sequence of str
        Channels to keep, in the order of the store.
    progress : callable, optional
        Called with the number of granules that are unpacked and of all.
    stream : bool
        Leave the patches in the store and read them as they are drawn; only what has to be
        counted is kept in the cache.

    Raises
    ------
    FileFormatError
        If a group of the store is damaged.
    InputError
        If the store holds no patches for that purpose.
    OutputError
        If the arrays cannot be written, such as on a full disk.
    """
    path, facts = Path(path), read_attrs(path)
    groups = _pieces(path, split)
    if not groups:
        raise InputError(f"{path} holds no samples for {split}")
    kept = [k for k, n in enumerate(facts["channels"]) if n in channels]
    place = f"{path.stem}-{split}-{_digest([str(path.resolve()), kept])}"
    place += "-counts" if stream else ""
    folder = cache / place / _digest([facts, *([p.name, p.attrs] for p in groups)])
    with _locked(folder.parent):
        if not folder.exists():
            with _drafted(folder) as draft:
                names = COUNTS if stream else (*ARRAYS, *COUNTS)
                _unpack(groups, kept, patch_shape(facts), draft, progress, names)
    if stream:
        reader = GroupReader([_reading(g, kept) for g in groups], [g.patches for g in groups])
        arrays: list[Any] = reader.arrays(_shapes(patch_shape(facts), kept), ARRAYS)
    else:
        arrays = [_mapped(folder / f"{name}.npy") for name in ARRAYS]
    known, wetness = (np.load(folder / f"{name}.npy") for name in COUNTS)
    told = _told(path.name, facts, groups, known)
    return Archive(path.name, facts["sensor"], Shard(*arrays), known, wetness, told)


def _pieces(path: str | os.PathLike[str], split: str) -> list[GranuleGroup]:
    return [p for p in list_groups(path, split) if p.patches]


def _told(
    name: str, facts: Mapping[str, Any], groups: Sequence[GranuleGroup], known: Array
) -> dict[str, Any]:
    """Say on a card what was learned from."""
    starts = sorted(str(p.attrs["time_coverage_start"]) for p in groups)
    return {
        "name": name,
        "sensor": facts["sensor"],
        "reference": facts["reference"],
        "reference_version": facts["reference_version"],
        "granules": len(groups),
        "patches": len(known),
        "pixels": int(known.sum()),
        "first": starts[0],
        "last": starts[-1],
        "observed": all(p.attrs["simulated"] == "false" for p in groups),
    }


# ---- unpacking


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _mapped(path: Path) -> Array:
    mapped: Array = np.load(path, mmap_mode="r")
    return mapped.view(np.ndarray)


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Let one run at a time unpack a store; the others wait for it and share the result."""
    from filelock import FileLock

    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{place.name}.lock")):
            yield
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(
            f"{place} cannot be written: {why}; make room, or give another --cache"
        ) from error


@contextmanager
def _drafted(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which becomes `folder` at the end and replaces all beside it."""
    draft, old = folder.with_name(DRAFT), list(folder.parent.iterdir())
    for place in old:
        shutil.rmtree(place)
    try:
        draft.mkdir()
        yield draft
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unpack(
    groups: Sequence[GranuleGroup],
    kept: Sequence[int],
    grid: tuple[int, int],
    folder: Path,
    progress: Progress | None,
    names: Sequence[str],
) -> None:
    """Write some arrays of all groups one behind the other.

    They are written as plain files: writing to mapped ones on a full disk kills the process.
    """
    count = sum(p.patches for p in groups)
    shapes = _shapes(grid, kept)
    with ExitStack() as files:
        streams = {n: files.enter_context(open(folder / f"{n}.npy", "wb")) for n in names}
        for name, stream in streams.items():
            _write_header(stream, (count, *shapes[name]), _TYPES[name])
        for done, group in enumerate(groups):
            if progress is not None:
                progress(done, len(groups))
            tb, *others = read_arrays(group, *ARRAYS)
            values = dict(zip(ARRAYS, (tb[..., kept], *others), strict=True))
            values |= dict(zip(COUNTS, tally(values[SURFACE_PRECIP]), strict=True))
            _require_whole(group, values, shapes)
            for name, stream in streams.items():
                stream.write(np.ascontiguousarray(values[name], _TYPES[name]).data)


def _shapes(grid: tuple[int, int], kept: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Shape of a patch in each array."""
    return {TB: (*grid, len(kept))} | dict.fromkeys(ARRAYS[1:], grid) | dict.fromkeys(COUNTS, ())


def _reading(group: GranuleGroup, kept: Sequence[int]) -> Callable[[], dict[str, Array]]:
    """Make what reads the arrays of a group."""

    def read() -> dict[str, Array]:
        tb, *others = read_arrays(group, *ARRAYS)
        values = dict(zip(ARRAYS, (tb[..., kept], *others), strict=True))
        return {n: np.ascontiguousarray(v, _TYPES[n]) for n, v in values.items()}

    return read


def _require_whole(
    group: GranuleGroup, values: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse a group that is not what its attributes say: Zarr reads a lost chunk as one number."""
    wrong = [n for n, v in values.items() if v.shape != (group.patches, *shapes[n])]
    seen = values[TB][np.isfinite(values[TB])]
    if not seen.size or seen.min() == seen.max():
        wrong.append(TB)
    if values["known"].sum() != group.attrs["matched_pixels"]:
        wrong.append(SURFACE_PRECIP)
    if wrong:
        raise FileFormatError(
            f"{group.path} is damaged: {', '.join(wrong)}; delete it and repeat 'xrain collocate'"
        )


_TYPES: Final = {
    TB: np.float16, SURFACE_PRECIP: np.float32, INCIDENCE: np.float16, LAND: np.float16,
    "known": np.int64, "wetness": np.float64,
}  # fmt: skip


def _write_header(stream: BinaryIO, shape: tuple[int, ...], dtype: Any) -> None:
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
