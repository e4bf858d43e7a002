"""The demonstration: a granule with known rain, and what is retrieved from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr

from xrain.atomic import replacing
from xrain.conventions import SURFACE_PRECIP
from xrain.files import save_picture
from xrain.io.open import open_l1c
from xrain.output import write_rain
from xrain.retrieval import retrieve

__all__ = ["demo_granule", "make_demo_granule", "run_demo"]

PACKAGED: Final = Path(__file__).with_name("data") / "demo.HDF5"

SCANS: Final = 240
PLACE: Final = (26.5, -82.0)  # Florida: a coast that everybody knows, and rain on both sides
SEED: Final = 2


def demo_granule() -> Path:
    """Path of the packaged granule: simulated, in the archive's layout, its truth beside it."""
    return PACKAGED


def make_demo_granule(path: str | Path, *, sensor: str = "gmi", seed: int = SEED) -> Path:
    """Simulate a granule such as the packaged one, with its truth beside it.

    Parameters
    ----------
    path : path
        HDF5 file to write; its folder is made.
    sensor : str
        Instrument.
    seed : int
        Seed of the storm.
    """
    from xrain.simulate.granule import simulate_granule

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return simulate_granule(sensor, path, seed=seed, scans=SCANS, place=PLACE)


def run_demo(
    folder: str | Path, *, sensor: str | None = None, seed: int | None = None
) -> Iterator[str]:
    """Retrieve rain from a simulated granule, with a picture, and compare it with the truth.

    Parameters
    ----------
    folder : path
        Where ``granule.HDF5``, its truth, ``rain.nc`` and ``rain.png`` are written.
    sensor : str, optional
        Instrument to simulate; by default the packaged granule of GMI is taken.
    seed : int, optional
        Seed of the storm to simulate; by default the packaged granule's.

    Yields
    ------
    str
        What is being done and where the files lie, line by line.
    """
    folder = Path(folder)
    granule = folder / "granule.HDF5"
    if sensor is None and seed is None:
        _copy_packaged(granule)
    else:
        yield "simulating a granule …"
        make_demo_granule(granule, sensor=sensor or "gmi", seed=SEED if seed is None else seed)
    truth_file = _truth_of(granule)
    yield f"granule  {granule} (simulated: no satellite ever saw this rain)"
    yield f"truth    {truth_file}"

    with open_l1c(granule) as ds:
        rain = retrieve(ds).load()
    yield f"rain     {write_rain(rain, folder / 'rain.nc')}"
    if util.find_spec("matplotlib"):
        from xrain.plotting import plot_rain

        picture = save_picture(lambda: plot_rain(rain), folder / "rain.png")
        yield f"picture  {picture}"
    else:
        yield "picture  none, since matplotlib is absent: pip install 'xrain[plot]'"
    with xr.open_dataset(truth_file, engine="h5netcdf") as truth:
        yield compare(rain[SURFACE_PRECIP], truth[SURFACE_PRECIP])


def compare(rain: xr.DataArray, truth: xr.DataArray) -> str:
    """Say how a retrieved rain rate and the true one agree; both mm/h on the same pixels."""
    got, true = rain.values.ravel(), truth.values.ravel()
    both = np.isfinite(got) & np.isfinite(true)
    if both.sum() < 2:
        return "no pixel has both a retrieved and a true rain rate"
    correlation = np.corrcoef(got[both], true[both])[0, 1]
    bias = float((got[both] - true[both]).mean())
    return (
        f"against the simulated truth: correlation {correlation:.2f}, bias {bias:+.2f} mm/h, "
        f"mean rain {true[both].mean():.2f} mm/h, over {both.sum()} pixels"
    )


def _truth_of(granule: Path) -> Path:
    return granule.with_suffix(".truth.nc")


def _copy_packaged(granule: Path) -> None:
    pairs = ((PACKAGED, granule), (_truth_of(PACKAGED), _truth_of(granule)))
    for source, target in pairs:
        with replacing(target) as draft:
            shutil.copyfile(source, draft)
