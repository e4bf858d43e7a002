"""Stores made ready for training: arrays on disk from which squares are cut at random.

The compressed pieces of a store are unpacked once into plain arrays, which are mapped into memory:
training reads what it draws, and the system keeps what it has room for.
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

from xrain.conventions import INCIDENCE, SURFACE_PRECIP, TB
from xrain.errors import FileFormatError, InputError, OutputError
from xrain.sensors import get_sensor
from xrain.training.batches import Source, tally
from xrain.training.samples import Shard
from xrain.training.store import LAND, Piece, list_pieces, read_arrays, read_facts

__all__ = ["Archive", "is_store", "open_archive", "require_store"]

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


def is_store(path: str | os.PathLike[str]) -> bool:
    """Tell a store from a file; FileFormatError if it is a folder that is no store."""
    return Path(path).is_dir() and bool(read_facts(path))


def require_store(path: str | os.PathLike[str], sensors: Sequence[str], stride: int) -> str:
    """Refuse a store from which a network cannot learn, before any work.

    Parameters
    ----------
    path : path
        The store.
    sensors : sequence of str
        Instruments of the run.
    stride : int
        Grid of the network, of which a patch must be a multiple.

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
    facts = read_facts(path)
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
            (facts["patch_size"] % stride, f"its patches are {facts['patch_size']} pixels wide, "
             f"the network needs a multiple of {stride}: collocate with another --size"),
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

    Raises
    ------
    FileFormatError
        If a piece of the store is damaged.
    InputError
        If the store holds no patches for that purpose.
    OutputError
        If the arrays cannot be written, such as on a full disk.
    """
    path, facts = Path(path), read_facts(path)
    pieces = _pieces(path, split)
    if not pieces:
        raise InputError(f"{path} holds no samples for {split}")
    kept = [k for k, n in enumerate(facts["channels"]) if n in channels]
    place = f"{path.stem}-{split}-{_digest([str(path.resolve()), kept])}"
    folder = cache / place / _digest([facts, *([p.name, p.facts] for p in pieces)])
    with _locked(folder.parent):
        if not folder.exists():
            with _drafted(folder) as draft:
                _unpack(pieces, kept, facts["patch_size"], draft, progress)
    tb, *others = (_mapped(folder / f"{name}.npy") for name in ARRAYS)
    known, wetness = (np.load(folder / f"{name}.npy") for name in COUNTS)
    told = _told(path.name, facts, pieces, known)
    return Archive(path.name, facts["sensor"], Shard(tb, *others), known, wetness, told)


def _pieces(path: str | os.PathLike[str], split: str) -> list[Piece]:
    return [p for p in list_pieces(path, split) if p.patches]


def _told(
    name: str, facts: Mapping[str, Any], pieces: Sequence[Piece], known: Array
) -> dict[str, Any]:
    """Say on a card what was learned from."""
    starts = sorted(str(p.facts["time_coverage_start"]) for p in pieces)
    return {
        "name": name,
        "sensor": facts["sensor"],
        "reference": facts["reference"],
        "reference_version": facts["reference_version"],
        "granules": len(pieces),
        "patches": len(known),
        "pixels": int(known.sum()),
        "first": starts[0],
        "last": starts[-1],
        "observed": all(p.facts["simulated"] == "false" for p in pieces),
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
    pieces: Sequence[Piece], kept: Sequence[int], size: int, folder: Path, progress: Progress | None
) -> None:
    """Write the arrays of all pieces one behind the other.

    They are written as plain files: writing to mapped ones on a full disk kills the process.
    """
    count, grid = sum(p.patches for p in pieces), (size, size)
    shapes = {TB: (*grid, len(kept))} | dict.fromkeys(ARRAYS[1:], grid) | dict.fromkeys(COUNTS, ())
    with ExitStack() as files:
        streams = {n: files.enter_context(open(folder / f"{n}.npy", "wb")) for n in shapes}
        for name, shape in shapes.items():
            _write_header(streams[name], (count, *shape), _TYPES[name])
        for done, piece in enumerate(pieces):
            if progress is not None:
                progress(done, len(pieces))
            tb, *others = read_arrays(piece, *ARRAYS)
            values = dict(zip(ARRAYS, (tb[..., kept], *others), strict=True))
            values |= dict(zip(COUNTS, tally(values[SURFACE_PRECIP]), strict=True))
            _require_whole(piece, values, shapes)
            for name, array in values.items():
                streams[name].write(np.ascontiguousarray(array, _TYPES[name]).data)


def _require_whole(
    piece: Piece, values: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse a piece that is not what its attributes say: Zarr reads a lost chunk as one number."""
    wrong = [n for n, v in values.items() if v.shape != (piece.patches, *shapes[n])]
    seen = values[TB][np.isfinite(values[TB])]
    if not seen.size or seen.min() == seen.max():
        wrong.append(TB)
    if values["known"].sum() != piece.facts["matched_pixels"]:
        wrong.append(SURFACE_PRECIP)
    if wrong:
        raise FileFormatError(
            f"{piece.path} is damaged: {', '.join(wrong)}; delete it and repeat 'xrain collocate'"
        )


_TYPES: Final = {
    TB: np.float16, SURFACE_PRECIP: np.float32, INCIDENCE: np.float16, LAND: np.float16,
    "known": np.int64, "wetness": np.float64,
}  # fmt: skip


def _write_header(stream: BinaryIO, shape: tuple[int, ...], dtype: Any) -> None:
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
