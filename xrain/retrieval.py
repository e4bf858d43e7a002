"""Dataset in, dataset out: from brightness temperatures to rain with its uncertainty."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.blocks import Job, run_block
from xrain.conventions import (
    ATTRIBUTES,
    CHANNEL,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    PRECIP_FLAG,
    PRECIP_FLAG_FILL,
    PROBABILITY_OF_PRECIP,
    QUALITY,
    QUALITY_FLAGS,
    QUANTILE,
    RETRIEVAL_QUALITY,
    SAMPLE,
    SCAN,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
    TB,
    TIME,
)
from xrain.errors import InputError
from xrain.inference import choose_device, plan, segments
from xrain.models.store import Model, list_models, load_model
from xrain.sensors import Channel, Sensor, find_sensor
from xrain.sensors.describe import describe_channels

QUANTILES = (0.05, 0.5, 0.95)
"""Quantiles of the rate that are given by default."""

LAZY_ROWS = 512
"""Scans of one Dask task, rounded to the network's stride."""


def default_model(ds: xr.Dataset) -> str:
    """Name of the model for a dataset: its sensor's own, else the one for any channels."""
    sensor = dataset_sensor(ds)
    own = f"{sensor.name.lower()}-unet" if sensor is not None else ""
    return own if own in list_models() else "constellation-unet"


def dataset_sensor(ds: xr.Dataset) -> Sensor | None:
    """Sensor that the attributes of a dataset name, or None."""
    name = ds.attrs.get("sensor")
    if isinstance(name, list | tuple | set | frozenset):
        name = next(iter(name), None)
    return find_sensor(str(name)) if name else None


def dataset_channels(ds: xr.Dataset) -> list[Channel]:
    """Describe each channel of ``tb``, in its order; InputError if there are no names."""
    if CHANNEL not in ds.coords:
        raise InputError("the dataset has no coordinate 'channel' with the names of its channels")
    return describe_channels([str(n) for n in ds[CHANNEL].values], dataset_sensor(ds))


def check(ds: xr.Dataset, model: str | Model | None = None) -> list[str]:
    """Say everything that keeps a model from working, or from working well, on a dataset.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath or a table of pixels.
    model : str, path or Model, optional
        By default the model of the dataset's sensor.

    Returns
    -------
    list of str
        One sentence per problem; empty if there is none. Sentences that begin with "error:"
        keep :func:`retrieve` from running; the others only cost quality and are flagged.
    """
    card = _resolve(ds, model).card
    problems = [f"error: {p}" for p in card.check(ds)]
    return problems or card.remarks(ds)


def _resolve(ds: xr.Dataset, model: str | Model | None) -> Model:
    if model is None:
        model = default_model(ds)
    return model if isinstance(model, Model) else load_model(model)


def retrieve(
    ds: xr.Dataset,
    model: str | Model | None = None,
    *,
    device: str | None = None,
    quantiles: Sequence[float] = QUANTILES,
    precision: str = "float32",
    given_rain: bool = False,
) -> xr.Dataset:
    """Retrieve surface precipitation from brightness temperatures.

    Parameters
    ----------
    ds : xarray.Dataset
        ``tb`` in K with a coordinate ``channel`` of names: a swath (scan, pixel, channel), or
        a table of separate pixels (sample, channel). Position, incidence angle, time and
        attributes that are missing take the sensor's nominal values and are flagged.
    model : str, path or Model, optional
        ``"gmi-unet"``, ``"gmi-unet@1"``, a folder with a card and weights, or a loaded model;
        by default the model of the dataset's sensor.
    device : str, optional
        ``"cpu"``, ``"cuda"`` …; by default a GPU where there is one.
    quantiles : sequence of float, default: (0.05, 0.5, 0.95)
        Quantiles of the rate to return, each in (0, 1); may be empty.
    precision : {"float32", "bfloat16"}
        Arithmetic of the network.
    given_rain : bool
        Give the mean and the quantiles on the condition that it rains, for a comparison with
        raining pixels alone; ``probability_of_precip`` and ``precip_flag`` stay as they are.

    Returns
    -------
    xarray.Dataset
        ``surface_precip`` (mm h-1, posterior mean), ``surface_precip_quantile`` (mm h-1),
        ``probability_of_precip`` (1), ``precip_flag`` and ``retrieval_quality``, with the
        dimensions of ``tb`` but ``channel``; Dask arrays if ``tb`` is one. The rate is NaN only
        where no usable channel remains or a position is given but is missing.

    Raises
    ------
    ModelError
        If the model is unknown, or cannot work on the dataset: no ``tb``, no channel names, none
        of its channels. The message holds every problem.
    InputError
        If an argument is out of range.
    """
    levels = _levels(quantiles)
    loaded = _resolve(ds, model)
    loaded.card.require(ds)
    job, picked = _prepare(ds, loaded, levels, choose_device(device), precision)
    job = dataclasses.replace(job, given_rain=given_rain)
    in_order = picked == list(range(ds.sizes[CHANNEL]))
    tb = ds[TB] if in_order else ds[TB].isel({CHANNEL: picked})
    tb = tb.transpose(*(d for d in (SCAN, PIXEL, SAMPLE) if d in tb.dims), CHANNEL)
    arrays = _arrays(ds, tb, picked[_leading(job.channels)])
    lazy = any(x is not None and hasattr(x.data, "dask") for x in arrays)
    data = [None if x is None else (x.data if lazy else x.values) for x in arrays]
    breaks = _breaks(ds, tb)
    if tb.shape[0] == 0:
        planes = np.zeros((3 + len(levels), *tb.shape[:-1]), np.float32)
    elif tb.ndim == 2:
        planes = _compute_table(job, data, lazy)
    elif lazy:
        planes = _compute_lazily(job, data, breaks, loaded)
    else:
        parts = [
            run_block(job, *_rows(data, a, b), place=(0, b - a, 0, b - a))
            for a, b in segments(breaks, tb.shape[0])
        ]
        planes = np.concatenate(parts, axis=1) if len(parts) != 1 else parts[0]
    out = _describe(planes, tb, ds, loaded, levels)
    return _say_given_rain(out) if given_rain else out


def _levels(quantiles: Sequence[float]) -> tuple[float, ...]:
    levels = tuple(float(q) for q in quantiles)
    wrong = [q for q in levels if not 0 < q < 1]
    if wrong:
        raise InputError(f"quantiles must lie between 0 and 1; {wrong[0]} does not")
    return levels


def _prepare(
    ds: xr.Dataset, model: Model, levels: tuple[float, ...], device: str, precision: str
) -> tuple[Job, list[int]]:
    """Choose the channels, and collect what every block needs."""
    names = [str(n) for n in ds[CHANNEL].values]
    card, sensor = model.card, dataset_sensor(ds)
    found = card.match(names)
    picked = [i for i in found if i is not None]
    if card.accepts_any:
        channels = describe_channels([names[i] for i in picked], sensor)
    else:
        kept = [n for n, i in zip(card.channels, found, strict=True) if i is not None]
        channels = describe_channels(kept, find_sensor(card.sensor) if card.sensor else sensor)
    assumed = [n for n in (LATITUDE, LONGITUDE, INCIDENCE) if n not in ds.variables]
    job = Job(
        model=model.reference or model,
        channels=tuple(channels),
        incomplete=len(picked) < len(found),
        flags=QUALITY_FLAGS["assumed_input"] if assumed or sensor is None else 0,
        incidence=channels[_leading(channels)].incidence_angle,
        quantiles=levels,
        device=device,
        precision=precision,
    )
    return job, picked


def _leading(channels: Sequence[Channel]) -> int:
    """Position of the channel whose incidence angle stands for all: the first of most sensors.

    It is told by what the channel is, so that the order in a dataset does not matter.
    """

    def rank(index: int) -> tuple[Any, ...]:
        c = channels[index]
        return c.frequency, c.sideband_offset, not c.polarization.endswith("V"), c.name

    return min(range(len(channels)), key=rank)


def _arrays(ds: xr.Dataset, tb: xr.DataArray, leading: int) -> list[xr.DataArray | None]:
    """Collect what a block reads: tb, incidence, latitude, longitude, quality; None if absent.

    The incidence angle is that of the channel `leading` where every channel has its own.
    """
    dims = tb.dims[:-1]
    out: list[xr.DataArray | None] = [tb]
    for name in (INCIDENCE, LATITUDE, LONGITUDE, QUALITY):
        array = ds.variables.get(name)
        if array is None:
            out.append(None)
            continue
        field = ds[name]
        if name == INCIDENCE and CHANNEL in field.dims:
            field = field.isel({CHANNEL: leading})
        missing = [d for d in dims if d not in field.dims]
        rest = [d for d in field.dims if d not in dims]
        if missing:
            field = field.broadcast_like(tb.isel({CHANNEL: 0}), exclude=rest)
        out.append(field.transpose(*dims, *rest))
    return out


def _breaks(ds: xr.Dataset, tb: xr.DataArray) -> npt.NDArray[np.intp]:
    """Find the scans at which the time jumps: what lies before is no neighbour of what follows."""
    none = np.zeros(0, np.intp)
    if tb.ndim == 2 or TIME not in ds.variables or ds[TIME].dims != (tb.dims[0],):
        return none
    time = ds[TIME].values
    if not np.issubdtype(time.dtype, np.datetime64):
        return none
    valid = np.flatnonzero(~np.isnat(time))
    if valid.size < 3:
        return none
    step = np.diff(time[valid]) / np.diff(valid)
    forward = step[step > np.timedelta64(0, "ns")]  # times may be given to the minute only
    if forward.size == 0:
        return none
    jump = (step > 10 * np.median(forward)) | (step < np.timedelta64(0, "ns"))
    out: npt.NDArray[np.intp] = valid[1:][jump]
    return out


def _rows(data: list[Any], start: int, stop: int) -> list[Any]:
    return [None if x is None else x[start:stop] for x in data]


def _compute_table(job: Job, data: list[Any], lazy: bool) -> Any:
    """Retrieve a table of separate pixels."""
    count = data[0].shape[0]
    if not lazy:
        return run_block(job, *data, place=(0, count, 0, count))
    return _delayed(job, data, (0, count, 0, count))


def _compute_lazily(job: Job, data: list[Any], breaks: npt.NDArray[np.intp], model: Model) -> Any:
    """Retrieve a chunked swath: one Dask task per tile, with the halo that makes it exact."""
    import dask.array as da

    config = model.network.config
    rows = max(data[0].chunks[0]) if hasattr(data[0], "chunks") else LAZY_ROWS
    step = min(max(rows, LAZY_ROWS), 4 * LAZY_ROWS)
    pieces = []
    for first, last in segments(breaks, data[0].shape[0]):
        for tile in plan(last - first, step, config.stride, config.halo):
            high = min(tile.high, last - first)
            here = _rows(data, first + tile.low, first + high)
            cut = (tile.start - tile.low, tile.stop - tile.low, tile.low, last - first)
            pieces.append(_delayed(job, here, cut))
    return da.concatenate(pieces, axis=1)


def _delayed(job: Job, data: list[Any], place: tuple[int, int, int, int]) -> Any:
    import dask
    import dask.array as da

    task = dask.delayed(run_block, pure=True)(job, *data, place=place)
    shape = (3 + len(job.quantiles), place[1] - place[0], *data[0].shape[1:-1])
    return da.from_delayed(task, shape, np.float32, meta=np.zeros((0,) * len(shape), np.float32))


def _describe(
    planes: Any, tb: xr.DataArray, ds: xr.Dataset, model: Model, levels: tuple[float, ...]
) -> xr.Dataset:
    """Name the planes and say where they come from."""
    dims = tb.dims[:-1]
    rate, probability, flags = planes[0], planes[1], planes[-1]
    rain = probability > model.card.threshold
    known = ~np.isnan(probability)
    detected = (rain.astype(np.int8) + (~known).astype(np.int8) * np.int8(PRECIP_FLAG_FILL)).astype(
        np.int8
    )
    data = {
        SURFACE_PRECIP: (dims, rate, ATTRIBUTES[SURFACE_PRECIP]),
        SURFACE_PRECIP_QUANTILE: (
            (QUANTILE, *dims),
            planes[2:-1],
            ATTRIBUTES[SURFACE_PRECIP_QUANTILE],
        ),
        PROBABILITY_OF_PRECIP: (dims, probability, ATTRIBUTES[PROBABILITY_OF_PRECIP]),
        PRECIP_FLAG: (dims, detected, ATTRIBUTES[PRECIP_FLAG]),
        RETRIEVAL_QUALITY: (dims, flags.astype(np.uint8), ATTRIBUTES[RETRIEVAL_QUALITY]),
    }
    if not levels:
        del data[SURFACE_PRECIP_QUANTILE]
    keep = [n for n, c in tb.coords.items() if CHANNEL not in c.dims and n != CHANNEL]
    out = xr.Dataset(data, {n: tb.coords[n] for n in keep}, _provenance(ds, model))
    if levels:
        out = out.assign_coords({QUANTILE: (QUANTILE, list(levels), ATTRIBUTES[QUANTILE])})
    return out


def _say_given_rain(rain: xr.Dataset) -> xr.Dataset:
    """Say in the names for people that rates hold where it rains."""
    for name in (SURFACE_PRECIP, SURFACE_PRECIP_QUANTILE):
        if name in rain:
            rain[name].attrs["long_name"] += " on the condition that it rains"
    return rain


def _provenance(ds: xr.Dataset, model: Model) -> dict[str, Any]:
    from importlib import metadata

    card = model.card
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = ("sensor", "platform", "granule", "orbit", "simulated")
    version = metadata.version("xrain")
    history = str(ds.attrs.get("history", ""))
    line = f"{now} xrain {version}: retrieve(model={card.name}@{card.version})"
    return {
        "Conventions": "CF-1.11",
        "title": "Surface precipitation from a passive-microwave radiometer",
        "source": f"xrain {version}, model {card.name} version {card.version}, from "
        f"{ds.attrs.get('granule', 'brightness temperatures')}",
        "history": f"{history}\n{line}".strip(),
        **{k: ds.attrs[k] for k in kept if k in ds.attrs},
        "model": card.name,
        "model_version": card.version,
        "model_sha256": card.sha256,
    }
