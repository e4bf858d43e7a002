"""Whole files in, whole files out: what the command line does with granules and rain files."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xrain.atomic import replacing
from xrain.conventions import (
    CHANNEL,
    LATITUDE,
    LONGITUDE,
    PRECIP_FLAG,
    QUALITY_FLAGS,
    RETRIEVAL_QUALITY,
    SURFACE_PRECIP,
    TB,
    TIME,
)
from xrain.errors import InputError
from xrain.io.open import open_l1c
from xrain.models.store import load_card
from xrain.output import rain_path, write_rain
from xrain.retrieval import retrieve

__all__ = [
    "Outcome",
    "Summary",
    "animate_files",
    "draw_file",
    "open_any",
    "plan_outputs",
    "retrieve_file",
    "retrieve_files",
    "save_picture",
    "summarize",
]


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes
    ----------
    source : Path
        The granule.
    written : tuple of Path
        What was made from it: netCDF, and picture if asked for.
    error : Exception or None
        What went wrong.
    """

    source: Path
    written: tuple[Path, ...] = ()
    error: Exception | None = None


@dataclass(frozen=True)
class Summary:
    """What a file holds, in words.

    Attributes
    ----------
    facts : dict of str to str
        Instrument, platform, time and so on.
    columns : tuple of str
        Head of the table.
    rows : tuple of tuple of str
        One row for each channel or variable.
    """

    facts: dict[str, str]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


# ---- granules to rain


def plan_outputs(sources: Iterable[str | Path], folder: str | Path) -> dict[Path, Path]:
    """Pair each granule with its output; InputError if two would write the same file."""
    plan = {Path(source): rain_path(source, folder) for source in sources}
    shared = [path for path, count in Counter(plan.values()).items() if count > 1]
    if shared:
        who = ", ".join(str(s) for s, path in plan.items() if path == shared[0])
        raise InputError(f"{who} would all be written to {shared[0]}: retrieve them apart")
    return plan


def retrieve_file(
    source: Path,
    target: Path,
    *,
    model: str | None = None,
    device: str | None = None,
    picture: bool = False,
) -> tuple[Path, ...]:
    """Retrieve rain from one granule.

    Parameters
    ----------
    source : Path
        L1C granule.
    target : Path
        netCDF file to write.
    model : str, optional
        Name or folder of a model; by default the one of the granule's sensor.
    device : str, optional
        Such as ``"cpu"`` or ``"cuda"``; by default a GPU where there is one.
    picture : bool
        Also draw a map beside the netCDF file.

    Returns
    -------
    tuple of Path
        The files written.
    """
    with open_l1c(source) as ds:
        rain = retrieve(ds, model, device=device).load()
    write_rain(rain, target)
    if not picture:
        return (target,)
    return (target, save_picture(lambda: _draw(rain), target.with_suffix(".png")))


def retrieve_files(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    model: str | None = None,
    device: str | None = None,
    pictures: bool = False,
) -> Iterator[Outcome]:
    """Retrieve rain from granules, one after the other; a bad one does not stop the others.

    Parameters are as for :func:`retrieve_file`.

    Yields
    ------
    Outcome
        One for each file, in the order given, as soon as it is done.

    Raises
    ------
    InputError
        If two outputs would have the same name.
    ModelError
        If the model cannot be had at all.
    """
    plan = plan_outputs(sources, folder)
    if model is not None:
        load_card(model)
    for source, target in plan.items():
        try:
            done = retrieve_file(source, target, model=model, device=device, picture=pictures)
        except Exception as error:  # whatever it is, the other files go on
            yield Outcome(source, error=error)
        else:
            yield Outcome(source, done)


# ---- files to pictures and words


def open_any(path: str | Path) -> xr.Dataset:
    """Open a rain file of :func:`xrain.write_rain`, or else an L1C granule."""
    try:
        ds = xr.open_dataset(path, engine="h5netcdf", phony_dims="access")
    except (OSError, ValueError):
        return open_l1c(path)
    if SURFACE_PRECIP in ds.variables:
        return ds
    ds.close()
    return open_l1c(path)


def draw_file(
    source: str | Path,
    target: Path,
    *,
    variable: str | None = None,
    panels: bool = False,
    channels: Sequence[str] = (),
) -> Path:
    """Draw a map of a rain file, or of a granule's brightness temperatures.

    Parameters
    ----------
    source : path
        Rain file or L1C granule.
    target : Path
        Image to write.
    variable : str, optional
        What to draw of a rain file, by default the rain rate.
    panels : bool
        Draw rain, probability and interval side by side.
    channels : sequence of str
        Which channels of a granule to draw, by default all.
    """
    with open_any(source) as ds:
        options: dict[str, Any] = {"panels": True} if panels else {}
        if variable is not None:
            options["variable"] = variable
        return save_picture(lambda: _draw(ds, channels, **options), target)


def _draw(ds: xr.Dataset, channels: Sequence[str] = (), **options: Any) -> Any:
    from xrain.plotting import plot

    if channels:
        options["channels"] = list(channels)
    return plot(ds, **options)


def animate_files(
    sources: Sequence[str | Path],
    target: Path,
    *,
    variable: str | None = None,
    fps: float = 2.0,
) -> Path:
    """Draw rain files, or the intervals of gridded ones, one after the other into a film.

    Parameters
    ----------
    sources : sequence of path
        Rain files in the order of the film.
    target : Path
        ``.gif`` or ``.mp4`` file to write.
    variable : str, optional
        What to draw, by default the rain rate.
    fps : float
        Frames per second.
    """
    from xrain.plotting import animate

    options: dict[str, Any] = {} if variable is None else {"variable": variable}
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(open_any(source)) for source in sources]
        frames: list[xr.Dataset] = []
        for ds in opened:
            whole = TIME in ds.dims
            frames += [ds.isel({TIME: k}) for k in range(ds.sizes[TIME])] if whole else [ds]
        return animate(frames, target, fps=fps, **options)


def save_picture(draw: Callable[[], Any], path: Path) -> Path:
    """Draw a figure and save it, whole or not at all.

    Parameters
    ----------
    draw : callable
        Makes a matplotlib figure.
    path : Path
        Image file; its suffix tells the format.

    Raises
    ------
    InputError
        If matplotlib is not installed, or does not know the format.
    OutputError
        If the file cannot be written.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise InputError("pictures need matplotlib: pip install 'xrain[plot]'") from error
    known = plt.figure().canvas.get_supported_filetypes()
    plt.close()
    if path.suffix[1:].lower() not in known:
        raise InputError(f"{path}: unknown kind of picture; known are {', '.join(sorted(known))}")
    with replacing(path) as draft:
        figure = draw()
        figure.savefig(draft, dpi=150)
        plt.close(figure)
    return path


def summarize(ds: xr.Dataset) -> Summary:
    """Say what a granule or a rain dataset holds.

    Parameters
    ----------
    ds : xarray.Dataset
        What :func:`open_any` gives. It is read once, whole.
    """
    facts = {
        k: str(ds.attrs[k]) for k in ("sensor", "platform", "orbit", "granule") if k in ds.attrs
    }
    if ds.attrs.get("simulated") not in (None, False, "false"):
        facts["simulated"] = str(ds.attrs["simulated"])
    if "model" in ds.attrs:
        facts["model"] = f"{ds.attrs['model']}@{ds.attrs.get('model_version', '?')}"
    facts["size"] = " × ".join(f"{n} {d}" for d, n in ds.sizes.items())
    facts |= _extent(ds)
    if SURFACE_PRECIP in ds.variables:
        return _summarize_rain(ds, facts)
    return _summarize_tb(ds, facts)


def _extent(ds: xr.Dataset) -> dict[str, str]:
    facts = {}
    if TIME in ds.variables:
        time = ds[TIME].values
        known = time[~np.isnat(time)]
        ends = (
            (np.datetime_as_string(t, "s") for t in (known.min(), known.max()))
            if known.size
            else ()
        )
        facts["time"] = " to ".join(ends) or "missing"
    for name in (LATITUDE, LONGITUDE):
        if name in ds.variables:
            low, _, high = _spread(ds[name].values)
            facts[name] = "missing" if np.isnan(low) else f"{low:.2f} to {high:.2f}"
    return facts


def _spread(values: Any) -> tuple[float, float, float]:
    """Lowest, median and highest of the known values; NaN if there are none."""
    known = values[np.isfinite(values)]
    if not known.size:
        return (np.nan, np.nan, np.nan)
    return (float(known.min()), float(np.median(known)), float(known.max()))


def _summarize_tb(ds: xr.Dataset, facts: dict[str, str]) -> Summary:
    rows = []
    for k, name in enumerate(ds[CHANNEL].values):
        tb = ds[TB].isel({CHANNEL: k}).values
        frequency = f"{ds['frequency'].values[k]:g}" if "frequency" in ds.variables else ""
        spread = ("–" if np.isnan(x) else f"{x:.1f}" for x in _spread(tb))
        rows.append((str(name), frequency, f"{np.isfinite(tb).mean():.1%}", *spread))
    columns = ("channel", "GHz", "present", "lowest K", "median K", "highest K")
    return Summary(facts, columns, tuple(rows))


def _summarize_rain(ds: xr.Dataset, facts: dict[str, str]) -> Summary:
    rows = []
    for name, array in ds.data_vars.items():
        if array.dtype.kind != "f" or name in (PRECIP_FLAG, RETRIEVAL_QUALITY):
            continue
        values = array.values
        spread = ("–" if np.isnan(x) else f"{x:.3g}" for x in _spread(values))
        units = str(array.attrs.get("units", ""))
        rows.append((str(name), units, f"{np.isfinite(values).mean():.1%}", *spread))
    if PRECIP_FLAG in ds.variables:
        facts["raining"] = f"{(ds[PRECIP_FLAG].values == 1).mean():.1%} of the pixels"
    if RETRIEVAL_QUALITY in ds.variables:
        quality = ds[RETRIEVAL_QUALITY].fillna(0).values.astype("uint8")
        shares = {n: float(((quality & bit) > 0).mean()) for n, bit in QUALITY_FLAGS.items()}
        facts["flags"] = ", ".join(f"{n} {s:.1%}" for n, s in shares.items() if s) or "none"
    columns = ("variable", "units", "present", "lowest", "median", "highest")
    return Summary(facts, columns, tuple(rows))
