"""One granule of a batch: read, retrieved, written, and known again when it is complete."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import xarray as xr

from xrain.errors import InputError, XrainError
from xrain.geo.extent import Extent, require_extent
from xrain.io.ancillary import add_ancillary
from xrain.io.open import open_l1c
from xrain.io.write_rain import granule_stem, rain_path, write_rain, write_rain_group
from xrain.io.zarr_store import METADATA
from xrain.models.store import PHASE_MODEL, load_card
from xrain.reference.files import span_of
from xrain.retrieval.area import retrieve_area
from xrain.retrieval.dataset import QUANTILES, default_model, retrieve

__all__ = [
    "BatchOptions", "Draw", "FileFormat", "Granule", "Outcome", "is_complete", "output_path",
    "retrieve_granule",
]  # fmt: skip

Draw = Callable[[xr.Dataset, Path], Path]
FileFormat = Literal["netcdf", "zarr"]

_SOURCE, _SIZE, _OPTIONS = "source_file", "source_bytes", "retrieval_options"
_MODEL: Final = "model_sha256"

_drawing = threading.Lock()
"""Pictures are drawn one at a time."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes
    ----------
    source : Path
        The granule.
    written : tuple of Path
        What was made from it: netCDF file or Zarr group, and picture if asked for; empty if no
        scan sees the extent asked for.
    error : Exception or None
        What went wrong.
    skipped : bool
        Whether it was complete already, from the same granule, model and options.
    pixels : int
        Number of pixels retrieved.
    seconds : dict
        Time taken by ``read``, ``retrieve`` and ``write``.
    """

    source: Path
    written: tuple[Path, ...] = ()
    error: Exception | None = None
    skipped: bool = False
    pixels: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """One of ``"done"``, ``"skipped"``, ``"outside"`` (of the extent) and ``"failed"``."""
        if self.error is not None:
            return "failed"
        if self.skipped:
            return "skipped"
        return "done" if self.written else "outside"


@dataclass(frozen=True)
class BatchOptions:
    """How granules are retrieved.

    Attributes
    ----------
    model : str or None
        Name or folder of a model; None for the one of each granule's sensor.
    device : str or None
        Such as ``"cpu"`` or ``"cuda"``; None for a GPU where there is one.
    quantiles : tuple of float
        Quantiles of the rate.
    precision : {"float32", "bfloat16"}
        Arithmetic of the network.
    given_rain : bool
        Whether mean and quantiles hold on the condition that it rains.
    prior : float or None
        Frequency of rain to be expected before the measurement; None for the model's own.
    ancillary : Path or None
        netCDF file with fields of a model that sharpen the phase; see
        :func:`xrain.add_ancillary`.
    extent : tuple of float or None
        West, east, south and north in degrees: only scans that see it.
    format : {"netcdf", "zarr"}
        One netCDF file for each granule, or one Zarr store for each day.
    draw : callable or None
        Draws the rain into an image, and returns its path.

    Raises
    ------
    InputError
        If the format or the extent makes no sense.
    """

    model: str | None = None
    device: str | None = None
    quantiles: tuple[float, ...] = QUANTILES
    precision: str = "float32"
    given_rain: bool = False
    prior: float | None = None
    ancillary: Path | None = None
    extent: Extent | None = None
    format: FileFormat = "netcdf"
    draw: Draw | None = None

    def __post_init__(self) -> None:
        if self.format not in ("netcdf", "zarr"):
            raise InputError(f"format is {self.format!r}; it is 'netcdf' or 'zarr'")
        if self.extent is not None:
            require_extent(self.extent)

    @property
    def text(self) -> str:
        """What of them shows in the result, as it stands in a file."""
        levels = ", ".join(f"{q:g}" for q in self.quantiles)
        parts = [f"quantiles {levels or 'none'}", f"precision {self.precision}"]
        if self.given_rain:
            parts.append("given rain")
        if self.prior is not None:
            parts.append(f"prior {self.prior:g}")
        parts.append(f"phase {load_card(PHASE_MODEL).id}")
        if self.ancillary is not None:
            parts.append(f"ancillary {self.ancillary.name}")
        if self.extent is not None:
            parts.append("extent " + ", ".join(f"{v:g}" for v in self.extent))
        return "; ".join(parts)


@dataclass(frozen=True)
class Granule:
    """A granule, where its rain goes, and how it is retrieved: one task of a batch.

    Attributes
    ----------
    source, target : Path
        L1C granule; netCDF file, or group of a Zarr store.
    options : BatchOptions
        How.
    """

    source: Path
    target: Path
    options: BatchOptions

    @property
    def picture(self) -> Path:
        """Where its picture goes, if there is to be one: never into a Zarr store."""
        if self.options.format == "netcdf":
            return self.target.with_suffix(".png")
        return self.target.parent.with_suffix("") / f"{self.target.name}.png"


def output_path(source: Path, folder: Path, format: FileFormat) -> Path:
    """Name the output for a granule.

    Parameters
    ----------
    source : Path
        The granule.
    folder : Path
        Folder of the outputs.
    format : {"netcdf", "zarr"}
        ``<name>.rain.nc``, or the group ``<name>`` of the store ``<day of its first scan>.zarr``.

    Returns
    -------
    Path

    Raises
    ------
    XrainError
        If the day is needed, and neither name nor content of the granule tells it.
    """
    if format == "netcdf":
        return rain_path(source, folder)
    day = str(span_of(source, True).first.astype("datetime64[D]"))
    return folder / f"{day}.zarr" / granule_stem(source)


def retrieve_granule(granule: Granule) -> Outcome:
    """Retrieve rain from one granule; whatever goes wrong stands in the outcome.

    Parameters
    ----------
    granule : Granule
        What to do. The output tells name and size of the granule, model and options, by which
        :func:`is_complete` knows it again.

    Returns
    -------
    Outcome
    """
    try:
        return _retrieve_granule(granule)
    except Exception as error:
        return Outcome(granule.source, error=error)


def _retrieve_granule(granule: Granule) -> Outcome:
    options, clock = granule.options, [time.perf_counter()]
    with open_l1c(granule.source) as ds:
        ds.load()
        clock.append(time.perf_counter())
        rain = _rain(ds, options)
    clock.append(time.perf_counter())
    if rain is None:
        return Outcome(granule.source, seconds=_stages(clock))
    rain.attrs |= _stamp(granule)
    write = write_rain if options.format == "netcdf" else write_rain_group
    written = [write(rain, granule.target)]
    if options.draw is not None:
        with _drawing:
            written.append(options.draw(rain, granule.picture))
    clock.append(time.perf_counter())
    pixels = int(rain["surface_precip"].size)
    return Outcome(granule.source, tuple(written), pixels=pixels, seconds=_stages(clock))


def _stages(clock: list[float]) -> dict[str, float]:
    names = ("read", "retrieve", "write")
    return {n: b - a for n, a, b in zip(names, clock, clock[1:], strict=False)}


def _rain(ds: xr.Dataset, options: BatchOptions) -> xr.Dataset | None:
    """Rain of the granule, or of the scans that see the extent; None if none does."""
    how: dict[str, Any] = {
        "device": options.device, "quantiles": options.quantiles, "precision": options.precision,
        "given_rain": options.given_rain, "prior": options.prior,
    }  # fmt: skip
    if options.ancillary is not None:
        ds = add_ancillary(ds, options.ancillary)
    if options.extent is None:
        return retrieve(ds, options.model, **how)
    return retrieve_area(ds, options.extent, options.model, **how)


# ---- what is complete


def _stamp(granule: Granule) -> dict[str, Any]:
    size = granule.source.stat().st_size
    return {_SOURCE: granule.source.name, _SIZE: size, _OPTIONS: granule.options.text}


def is_complete(granule: Granule) -> bool:
    """Whether a granule has been retrieved already, by the same model with the same options.

    Parameters
    ----------
    granule : Granule
        As for :func:`retrieve_granule`.

    Returns
    -------
    bool
        Outputs are written whole or not at all, so one that has the right attributes is complete.
    """
    if granule.options.draw is not None and not granule.picture.is_file():
        return False
    try:
        attrs = _attributes(granule.target, (_SOURCE, _SIZE, _OPTIONS, _MODEL, "sensor"))
        wanted = _stamp(granule)
        model = granule.options.model or _model_of(str(attrs.get("sensor", "")))
        return attrs.get(_MODEL) == _sha256(model) and all(
            attrs.get(k) == v for k, v in wanted.items()
        )
    except (OSError, XrainError):
        return False


def _attributes(path: Path, names: tuple[str, ...]) -> Mapping[str, Any]:
    """Read some attributes of an output, text as str; none if it is damaged."""
    import h5py

    if path.parent.suffix == ".zarr":
        try:
            facts = json.loads((path / METADATA).read_text("utf-8"))["attributes"]
        except (ValueError, KeyError):
            return {}
        return facts if isinstance(facts, dict) else {}
    with h5py.File(path) as file:
        found = {name: file.attrs[name] for name in names if name in file.attrs}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


@functools.lru_cache(maxsize=64)
def _model_of(sensor: str) -> str:
    return default_model(xr.Dataset(attrs={"sensor": sensor}))


@functools.lru_cache(maxsize=64)
def _sha256(model: str) -> str:
    return load_card(model).sha256
