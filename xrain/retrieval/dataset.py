"""Dataset in, dataset out: from brightness temperatures to rain with its uncertainty."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    ANCILLARY,
    CHANNEL,
    INCIDENCE,
    LATITUDE,
    LONGITUDE,
    PIXEL,
    QUALITY,
    QUALITY_FLAGS,
    SAMPLE,
    SCAN,
    TB,
)
from xrain.errors import InputError
from xrain.io.ancillary import known_ancillary
from xrain.io.storable import evenly_chunked
from xrain.models.card import ModelCard
from xrain.models.store import Model, list_models, load_model
from xrain.retrieval.block import BlockArrays, Extent, Planes, RetrievalConfig, retrieve_block
from xrain.retrieval.describe import describe, empty_planes, join_planes
from xrain.retrieval.devices import choose_device
from xrain.retrieval.inputs import normalized, sensor_name
from xrain.retrieval.lazy import retrieve_lazily
from xrain.retrieval.scans import find_breaks
from xrain.retrieval.tiles import segments
from xrain.sensors import Channel, Sensor, find_sensor
from xrain.sensors.describe import describe_channels

QUANTILES = (0.05, 0.5, 0.95)
"""Quantiles of the rate that are given by default."""


def default_model(ds: xr.Dataset) -> str:
    """Name of the model for a dataset: its sensor's own, else the one for any channels."""
    return default_model_name(dataset_sensor(ds))


def default_model_name(sensor: Sensor | None) -> str:
    """Name of the model for an instrument, or for input of an unknown one."""
    own = f"{sensor.name.lower()}-unet" if sensor is not None else ""
    return own if own in list_models() else "constellation-unet"


def dataset_sensor(ds: xr.Dataset) -> Sensor | None:
    """Sensor that the attributes of a dataset name, or None."""
    name = sensor_name(ds.attrs)
    platform = ds.attrs.get("platform", ds.attrs.get("platform_name", ""))
    return find_sensor(name, str(platform)) if name else None


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
        keep :func:`retrieve` from running; the others only cost quality and are flagged. What is
        missing is told by the values. Of Dask arrays only the scan in the middle is looked at;
        :func:`retrieve`, which computes nothing beforehand, takes pixels that are not in kelvin
        as missing.

    See Also
    --------
    xrain.retrieve : Runs unless there is an error.
    xrain.list_models : Names of models.

    Examples
    --------
    >>> import xrain
    >>> from xrain.testing import fake_swath
    >>> ds = fake_swath("GMI", 24, 16)
    >>> xrain.check(ds)
    []
    >>> xrain.check(ds.where(ds.channel != "36.64V"))
    ['channels without any value: 36.64V']
    """
    ds = normalized(ds)
    card = _resolve(ds, model).card
    problems = card.check(ds)
    if not problems and ds[TB].chunks is not None and 0 not in ds[TB].shape:
        return _check_middle(ds, card)
    return [f"error: {p}" for p in problems] or card.remarks(ds)


def _check_middle(ds: xr.Dataset, card: ModelCard) -> list[str]:
    """Check a lazy dataset by the scan in its middle."""
    scan = SCAN if SCAN in ds[TB].dims else SAMPLE
    middle = ds.isel({scan: slice(ds.sizes[scan] // 2, ds.sizes[scan] // 2 + 1)}).load()
    if problems := card.check(middle):
        return [f"error: {p}" for p in problems]
    known = card.remarks(ds)
    where = f"in the {scan} in the middle, the only one looked at: "
    return [*known, *(where + r for r in card.remarks(middle) if r not in known)]


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
    prior: float | npt.ArrayLike | xr.DataArray | None = None,
) -> xr.Dataset:
    """Retrieve surface precipitation from brightness temperatures.

    Parameters
    ----------
    ds : xarray.Dataset
        ``tb`` in K with a coordinate ``channel`` of names: a swath (scan, pixel, channel), or
        a table of separate pixels (sample, channel). Position, incidence angle, time and
        attributes that are missing take the sensor's nominal values and are flagged. Values
        below 20 K or above 400 K are taken as missing. Where there are air temperature at 2 m,
        total column water vapour or skin temperature they sharpen the phase; see
        :func:`xrain.add_ancillary`.
    model : str, path or Model, optional
        ``"gmi-unet"``, ``"gmi-unet@2"``, a folder with a card and weights, or a loaded model;
        by default the model of the dataset's sensor.
    device : str, optional
        ``"cpu"``, ``"cuda"`` …; by default a GPU where there is one.
    quantiles : sequence of float, default: (0.05, 0.5, 0.95)
        Quantiles of the rate to return, each in (0, 1); may be empty. At levels of 0.9 and more
        they are never below the mean, at levels of 0.1 and less never above it.
    precision : {"float32", "bfloat16"}
        Arithmetic of the network.
    given_rain : bool
        Give the mean and the quantiles on the condition that it rains at least 0.1 mm/h, for a
        comparison with raining pixels alone; ``probability_of_precip`` and ``precip_flag`` stay
        as they are.
    prior : float or array_like, optional
        Frequency of rain of at least 0.1 mm/h to be expected before the measurement, in (0, 1):
        one number, or one for each pixel. By default that of the model's training, which its
        card tells as ``prevalence``. Probability, mean and quantiles move with it.

    Returns
    -------
    xarray.Dataset
        ``surface_precip`` (mm h-1, posterior mean), ``surface_precip_quantile`` (mm h-1),
        ``probability_of_precip`` (1, of at least 0.1 mm/h), ``precip_flag``, ``precip_phase``,
        ``probability_of_snow`` (1, if there is precipitation), ``snowfall_rate`` (mm h-1 of
        water, if it snows) and ``retrieval_quality``, with the dimensions of ``tb`` but
        ``channel``; Dask arrays if ``tb`` is one. ``precip_flag`` is 1 where the probability
        exceeds the threshold on the model's card, the mean is at least 1 mm/h, or snow is
        detected, which may fall at less than 0.1 mm/h. All rates are liquid equivalent. The rate
        is NaN only where no usable channel remains or a position is given but is missing.

    Raises
    ------
    ModelError
        If the model is unknown, or cannot work on the dataset: no ``tb``, no channel names, none
        of its channels. The message holds every problem.
    InputError
        If an argument is out of range, or a Dask array does not know its shape.

    See Also
    --------
    xrain.check : What would keep a model from working well.
    xrain.retrieve_files : Many granules, from files to files.
    xrain.write_rain : Keep the result.

    References
    ----------
    Viltard, N., et al., 2023: DRAIN, arXiv 2303.01220.

    Pfreundschuh, S., et al., 2022: GPROF-NN, doi 10.5194/amt-15-5033-2022.

    Viltard, N., C. Burlaud and C. D. Kummerow, 2006: Rain retrieval from TMI brightness temperature
    measurements using a TRMM PR-based database, doi 10.1175/JAM2346.1.

    Examples
    --------
    >>> import xrain
    >>> from xrain.testing import fake_swath
    >>> rain = xrain.retrieve(fake_swath("GMI", 24, 16))
    >>> rain["surface_precip"].dims
    ('scan', 'pixel')
    """
    options = Options(device, tuple(quantiles), precision, prior)
    return _retrieve(ds, model, options, (given_rain,))[0]


def retrieve_both(
    ds: xr.Dataset,
    model: str | Model | None = None,
    *,
    device: str | None = None,
    quantiles: Sequence[float] = QUANTILES,
    precision: str = "float32",
    prior: float | npt.ArrayLike | xr.DataArray | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Retrieve with one run of the network what :func:`retrieve` gives without and given rain.

    Parameters are those of :func:`retrieve`.

    Returns
    -------
    tuple of xarray.Dataset
        The results of ``given_rain=False`` and of ``given_rain=True``.
    """
    options = Options(device, tuple(quantiles), precision, prior)
    free, wet = _retrieve(ds, model, options, (False, True))
    return free, wet


class Options(NamedTuple):
    """Arguments of a retrieval besides the dataset and the model."""

    device: str | None
    quantiles: tuple[float, ...]
    precision: str
    prior: float | npt.ArrayLike | xr.DataArray | None


def _retrieve(
    ds: xr.Dataset, model: str | Model | None, options: Options, conditions: tuple[bool, ...]
) -> list[xr.Dataset]:
    """Retrieve once for each condition."""
    ds = known_ancillary(normalized(ds))
    loaded = _resolve(ds, model)
    loaded.card.require(ds)
    config, picked = _prepare(ds, loaded, options)
    in_order = picked == list(range(ds.sizes[CHANNEL]))
    tb = ds[TB] if in_order else ds[TB].isel({CHANNEL: picked})
    tb = tb.transpose(*(d for d in (SCAN, PIXEL, SAMPLE) if d in tb.dims), CHANNEL)
    scalar, prior = _prior(options.prior, tb)
    config = dataclasses.replace(config, conditions=conditions, prior=scalar)
    fields = _fields(ds, tb, picked[_leading(config.channels)], prior)
    lazy = any(x is not None and hasattr(x.data, "dask") for x in fields)
    if lazy:
        _require_shapes(fields)
    arrays = BlockArrays(*(None if x is None else (x.data if lazy else x.values) for x in fields))
    results = _compute(config, arrays, find_breaks(ds, tb), loaded, lazy)
    return [
        evenly_chunked(describe(planes, tb, ds, loaded.card, config.quantiles, given_rain))
        for planes, given_rain in zip(results, conditions, strict=True)
    ]


def _compute(
    config: RetrievalConfig,
    arrays: BlockArrays,
    breaks: npt.NDArray[np.intp],
    model: Model,
    lazy: bool,
) -> list[Planes]:
    shape = arrays.tb.shape[:-1]
    if shape[0] == 0:
        return [empty_planes(len(config.quantiles), shape) for _ in config.conditions]
    if lazy:
        return retrieve_lazily(config, arrays, breaks, model.network.config)
    parts = [
        retrieve_block(config, arrays.rows(a, b), Extent(0, b - a, 0, b - a))
        for a, b in segments(breaks, shape[0])
    ]
    return [join_planes(p, np.concatenate) for p in zip(*parts, strict=True)]


def _prior(
    prior: float | npt.ArrayLike | xr.DataArray | None, tb: xr.DataArray
) -> tuple[float | None, xr.DataArray | None]:
    """Prior as one number or as one for each pixel; InputError if it is no frequency."""
    if prior is None:
        return None, None
    pixels = tb.isel({CHANNEL: 0}, drop=True)
    if isinstance(prior, xr.DataArray):
        field = prior
    else:
        values = np.asarray(prior, np.float64)
        if values.ndim and values.shape != pixels.shape:
            raise InputError(f"prior has the shape {values.shape}, the pixels {pixels.shape}")
        field = xr.DataArray(values, dims=pixels.dims if values.ndim else ())
    if field.chunks is None:
        known = field.values[~np.isnan(field.values.astype(float))]
        if ((known <= 0) | (known >= 1)).any() or not (field.ndim or known.size):
            raise InputError("prior must lie between 0 and 1")
    if field.ndim == 0 and field.chunks is None:
        return float(field), None
    if not set(field.dims) <= set(pixels.dims):
        raise InputError(f"prior has the dimensions {field.dims}, the pixels {pixels.dims}")
    field = field.drop_vars(list(field.coords))
    return None, field.broadcast_like(pixels.drop_vars(list(pixels.coords))).transpose(*pixels.dims)


def _require_shapes(fields: Sequence[xr.DataArray | None]) -> None:
    """Refuse Dask arrays whose chunks have unknown lengths, as after a boolean mask."""
    for field in fields:
        chunks = getattr(field, "chunks", None) or ()
        if any(np.isnan(n) for sizes in chunks for n in sizes):
            raise InputError(
                "a Dask array of unknown shape cannot be cut into blocks: call its "
                "compute_chunk_sizes() first"
            )


def _levels(quantiles: Sequence[float]) -> tuple[float, ...]:
    levels = tuple(float(q) for q in quantiles)
    wrong = [q for q in levels if not 0 < q < 1]
    if wrong:
        raise InputError(f"quantiles must lie between 0 and 1; {wrong[0]} does not")
    return levels


def _prepare(ds: xr.Dataset, model: Model, options: Options) -> tuple[RetrievalConfig, list[int]]:
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
    guessed = any(c.assumed for c in channels)
    config = RetrievalConfig(
        model=model.reference or model,
        channels=tuple(channels),
        incomplete=len(picked) < len(found),
        flags=QUALITY_FLAGS["assumed_input"] if assumed or sensor is None or guessed else 0,
        incidence=channels[_leading(channels)].incidence_angle,
        quantiles=_levels(options.quantiles),
        device=choose_device(options.device),
        precision=options.precision,
    )
    return config, picked


def _leading(channels: Sequence[Channel]) -> int:
    """Position of the channel whose incidence angle stands for all: the first of most sensors.

    It is told by what the channel is, so that the order in a dataset does not matter.
    """

    def rank(index: int) -> tuple[Any, ...]:
        c = channels[index]
        return c.frequency, c.sideband_offset, not c.polarization.endswith("V"), c.name

    return min(range(len(channels)), key=rank)


def _fields(
    ds: xr.Dataset, tb: xr.DataArray, leading: int, prior: xr.DataArray | None
) -> list[xr.DataArray | None]:
    """Collect what a block reads, in the order of its arrays; None if absent.

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
    return [*out, prior, *(_on_pixels(ds, name, dims) for name in ANCILLARY)]


def _on_pixels(ds: xr.Dataset, name: str, dims: Sequence[Hashable]) -> xr.DataArray | None:
    """Return an ancillary field with one value for each pixel."""
    if name not in ds.variables:
        return None
    if set(ds[name].dims) != set(dims):
        raise InputError(
            f"{name} has the dimensions {ds[name].dims}, the pixels {tuple(dims)}; "
            "xrain.add_ancillary brings a field on a grid to the pixels"
        )
    return ds[name].transpose(*dims)
