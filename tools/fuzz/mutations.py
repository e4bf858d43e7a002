"""Ways to damage a granule: its bytes, or its structure."""

from __future__ import annotations

import contextlib
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

Rng = np.random.Generator

FILLS: Final = (
    -9999.9, -9999.0, -999.0, -99.0, 0.0, 655.35, 65535.0, 1e20, 9.96921e36, -1e10, np.nan, np.inf,
)  # fmt: skip


# ---- bytes


def _place(data: bytearray, rng: Rng) -> int:
    """Choose where to strike: half of the time in the first kilobytes, where the headers lie."""
    most = min(len(data), 8192) if rng.random() < 0.5 else len(data)
    return int(rng.integers(max(most, 1)))


def flip(data: bytearray, rng: Rng) -> None:
    """Flip some bits."""
    for _ in range(int(rng.integers(1, 64))):
        if data:
            data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def truncate(data: bytearray, rng: Rng) -> None:
    """Cut off the end."""
    del data[_place(data, rng) :]


def splice(data: bytearray, rng: Rng) -> None:
    """Overwrite a part with another."""
    length = int(rng.integers(1, 512))
    source, target = _place(data, rng), _place(data, rng)
    data[target : target + length] = data[source : source + length]


def zero(data: bytearray, rng: Rng) -> None:
    """Overwrite a part with zeros."""
    start, length = _place(data, rng), int(rng.integers(1, 2048))
    data[start : start + length] = bytes(len(data[start : start + length]))


def ones(data: bytearray, rng: Rng) -> None:
    """Overwrite a part with ones."""
    start, length = _place(data, rng), int(rng.integers(1, 256))
    data[start : start + length] = b"\xff" * len(data[start : start + length])


def insert(data: bytearray, rng: Rng) -> None:
    """Insert random bytes."""
    start = _place(data, rng)
    data[start:start] = rng.bytes(int(rng.integers(1, 64)))


def delete(data: bytearray, rng: Rng) -> None:
    """Take bytes out."""
    start = _place(data, rng)
    del data[start : start + int(rng.integers(1, 64))]


def duplicate(data: bytearray, rng: Rng) -> None:
    """Repeat a part."""
    start = _place(data, rng)
    data[start:start] = data[start : start + int(rng.integers(1, 4096))]


BYTES: Final = (flip, truncate, splice, zero, ones, insert, delete, duplicate)


# ---- structure


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda n, o: found.append(n) if isinstance(o, h5py.Dataset) else None)
    return found


def _some(file: h5py.File, rng: Rng) -> str:
    """Choose a dataset: half of the time of temperatures, rain or positions."""
    names = _datasets(file)
    main = [n for n in names if n.endswith(("Tc", "tude", "recipitation", "NearSurface"))]
    return str(rng.choice(main if main and rng.random() < 0.5 else names))


def _replace(file: h5py.File, name: str, **options: Any) -> h5py.Dataset:
    attrs = dict(file[name].attrs)
    del file[name]
    made = file.create_dataset(name, **options)
    for key, value in attrs.items():
        if key not in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"):
            made.attrs[key] = value
    return made


def plant_fill(file: h5py.File, rng: Rng) -> None:
    """Put a fill value of this or that format into some scans."""
    item = file[_some(file, rng)]
    if item.ndim == 0 or item.dtype.kind not in "fiu" or not item.size:
        return
    values = item[:]
    rows = rng.random(item.shape[0]) < rng.choice([0.05, 0.5, 1.0])
    fill = float(rng.choice(FILLS))
    if item.dtype.kind != "f":
        info = np.iinfo(item.dtype)
        fill = info.min if not np.isfinite(fill) else np.clip(fill, info.min, info.max)
    with np.errstate(over="ignore"):
        values[rows] = np.asarray(fill).astype(item.dtype)
    item[:] = values


def shuffle_values(file: h5py.File, rng: Rng) -> None:
    """Replace a field by random bytes."""
    item = file[_some(file, rng)]
    if item.ndim and item.dtype.kind in "fiu":
        item[:] = np.frombuffer(rng.bytes(item.size * item.dtype.itemsize), item.dtype).reshape(
            item.shape
        )


def drop(file: h5py.File, rng: Rng) -> None:
    """Delete a field or a group."""
    names = [*_datasets(file), *file]
    del file[str(rng.choice(names))]


def drop_attributes(file: h5py.File, rng: Rng) -> None:
    """Delete attributes."""
    item = file if rng.random() < 0.5 else file[_some(file, rng)]
    for key in list(item.attrs):
        if rng.random() < 0.5:
            del item.attrs[key]


def odd_attribute(file: h5py.File, rng: Rng) -> None:
    """Give an attribute an unexpected type or value."""
    item = file if rng.random() < 0.5 else file[_some(file, rng)]
    key = str(rng.choice([*item.attrs, "_FillValue", "units", "DimensionNames", "FileHeader"]))
    header = b"InstrumentName=../../x;\nGranuleNumber=99999999999999999999;\n"
    values: list[Any] = [
        b"", b"\xff\xfe\x00", np.float32(np.nan), np.zeros(0), np.zeros((3, 3)), -1, "x" * 60_000,
        header, np.int8(5), h5py.Empty("f"),
    ]  # fmt: skip
    item.attrs[key] = values[int(rng.integers(len(values)))]


def header_word(file: h5py.File, rng: Rng) -> None:
    """Replace a value of the header by random bytes."""
    text = file.attrs.get("FileHeader", b"")
    text = text if isinstance(text, bytes) else str(text).encode()
    lines = text.split(b"\n")
    i = int(rng.integers(len(lines)))
    lines[i] = lines[i].partition(b"=")[0] + b"=" + rng.bytes(int(rng.integers(0, 40))) + b";"
    file.attrs["FileHeader"] = np.bytes_(b"\n".join(lines).replace(b"\0", b" "))


def odd_shape(file: h5py.File, rng: Rng) -> None:
    """Give a field another shape."""
    name = _some(file, rng)
    old = file[name]
    shapes = [
        old.shape[:-1], (*old.shape, 2), old.shape[::-1], tuple(n + 1 for n in old.shape),
        tuple(0 for _ in old.shape), (7,), (), (1,) * (old.ndim or 1),
    ]  # fmt: skip
    shape = shapes[int(rng.integers(len(shapes)))]
    _replace(file, name, data=np.ones(shape, old.dtype))


def odd_type(file: h5py.File, rng: Rng) -> None:
    """Give a field another type."""
    name = _some(file, rng)
    shape = file[name].shape
    kinds = ["f2", "f8", ">f4", "i8", "u1", "c8", "S4", "bool", [("a", "f4")]]
    _replace(file, name, shape=shape, dtype=kinds[int(rng.integers(len(kinds)))])


def huge(file: h5py.File, rng: Rng) -> None:
    """Give a field an absurd number of scans."""
    name = _some(file, rng)
    old = file[name]
    if old.ndim:
        scans = int(10 ** rng.uniform(4, 9.5))
        _replace(file, name, shape=(scans, *old.shape[1:]), dtype=old.dtype, chunks=True)


def huge_together(file: h5py.File, rng: Rng) -> None:
    """Give every field of the swath groups the same absurd number of scans."""
    scans = int(10 ** rng.uniform(4, 9))
    for name in _datasets(file):
        old = file[name]
        if old.ndim and old.dtype.kind in "fiu":
            _replace(file, name, shape=(scans, *old.shape[1:]), dtype=old.dtype, chunks=True)


def bomb(file: h5py.File, rng: Rng) -> None:
    """Let a chunk unpack to another length than it should."""
    names = [n for n in _datasets(file) if file[n].chunks and file[n].compression == "gzip"]
    if names:
        item = file[str(rng.choice(names))]
        size = int(rng.choice([1, 100, 10_000, 300_000_000]))
        item.id.write_direct_chunk((0,) * item.ndim, zlib.compress(bytes(size), 1))


def virtual(file: h5py.File, rng: Rng) -> None:
    """Store a field virtually, in itself or in a file that is absent."""
    name = _some(file, rng)
    shape, dtype = file[name].shape, file[name].dtype
    if not shape:
        return
    del file[name]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(str(rng.choice([".", "absent.h5"])), name, shape)
    file.create_virtual_dataset(name, layout)


def external(file: h5py.File, rng: Rng) -> None:
    """Store a field in a file of the system."""
    name = _some(file, rng)
    old = file[name]
    if old.shape and old.size:
        where = str(rng.choice(["/etc/passwd", "/proc/self/environ", "/dev/zero"]))
        size = old.size * old.dtype.itemsize
        _replace(file, name, shape=old.shape, dtype=old.dtype, external=[(where, 0, size)])


def link(file: h5py.File, rng: Rng) -> None:
    """Replace a field or a group by a link."""
    name = str(rng.choice([*_datasets(file), *file]))
    del file[name]
    links = [h5py.ExternalLink("/etc/passwd", "x"), h5py.SoftLink("/" + name), h5py.SoftLink("/")]
    file[name] = links[int(rng.integers(3))]


def odd_times(file: h5py.File, rng: Rng) -> None:
    """Spoil a part of the dates."""
    parts = [n for n in _datasets(file) if "ScanTime/" in n and file[n].size]
    if parts:
        item = file[str(rng.choice(parts))]
        values = item[:]
        rows = rng.random(item.shape[0]) < rng.choice([0.1, 1.0])
        info = np.iinfo(item.dtype) if item.dtype.kind in "iu" else np.iinfo("i2")
        values[rows] = int(rng.choice([info.min, -1, 0, 61, 99, info.max]))
        item[:] = values


def odd_positions(file: h5py.File, rng: Rng) -> None:
    """Move positions out of range, to zero, at random or backwards."""
    names = [n for n in _datasets(file) if n.endswith(("Latitude", "Longitude"))]
    if names:
        item = file[str(rng.choice(names))]
        values = item[:]
        kind = int(rng.integers(4))
        values = (values * 3, values * 0, rng.permutation(values), values[::-1])[kind]
        item[:] = values


STRUCTURE: Final[tuple[Callable[[h5py.File, Rng], None], ...]] = (
    plant_fill, plant_fill, shuffle_values, drop, drop_attributes, odd_attribute, header_word,
    odd_shape, odd_type, huge, huge_together, bomb, virtual, external, link, odd_times,
    odd_positions,
)  # fmt: skip


# ---- plausible damage, which is counted but allowed


def noise(file: h5py.File, rng: Rng) -> None:
    """Add noise to the temperatures."""
    for name in (n for n in _datasets(file) if n.endswith("/Tc")):
        values = file[name][:]
        file[name][:] = values + rng.normal(0, 20, values.shape).astype(values.dtype)


def swap_channels(file: h5py.File, rng: Rng) -> None:
    """Change the order of the channels."""
    for name in (n for n in _datasets(file) if n.endswith("/Tc")):
        file[name][:] = file[name][:][..., rng.permutation(file[name].shape[-1])]


def stuck(file: h5py.File, rng: Rng) -> None:
    """Let one channel hold one plausible number."""
    names = [n for n in _datasets(file) if n.endswith("/Tc") and file[n].size]
    if names:
        item = file[str(rng.choice(names))]
        values = item[:]
        values[..., int(rng.integers(item.shape[-1]))] = rng.uniform(150, 280)
        item[:] = values


PLAUSIBLE: Final = (noise, swap_channels, stuck)

KINDS: Final = {
    **{f"bytes: {f.__name__}": f for f in BYTES},
    **{f"structure: {f.__name__}": f for f in STRUCTURE},
    **{f"plausible: {f.__name__}": f for f in PLAUSIBLE},
}


def mutate(source: Path, target: Path, kind: str, rng: Rng) -> None:
    """Write a damaged copy of a granule.

    Parameters
    ----------
    source, target : Path
        A granule, and where the copy goes.
    kind : str
        One of `KINDS`.
    rng : numpy.random.Generator
        Source of chance.
    """
    change: Any = KINDS[kind]
    target.unlink(missing_ok=True)
    if kind.startswith("bytes"):
        data = bytearray(source.read_bytes())
        change(data, rng)
        target.write_bytes(bytes(data))
        return
    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file, contextlib.suppress(OSError, RuntimeError, ValueError):
        change(file, rng)  # what HDF5 refuses to write stays as it was
