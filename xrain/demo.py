"""The demonstration: a granule with known rain, and what is retrieved from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.atomic import replacing
from xrain.conventions import SURFACE_PRECIP
from xrain.evaluation.formulas import correlation
from xrain.io.open import open_l1c
from xrain.io.write_rain import write_rain
from xrain.plotting.save import save_picture
from xrain.retrieval.dataset import retrieve

__all__ = ["demo_granule", "demo_radar", "make_demo_granule", "run_demo"]

PACKAGED: Final = Path(__file__).with_name("data") / "demo.HDF5"

RADAR: Final = PACKAGED.with_name("mrms_20190610.nc")

SCANS: Final = 240
PLACE: Final = (26.5, -82.0)  # Florida: a coast that everybody knows, and rain on both sides
SEED: Final = 2


def demo_granule() -> Path:
    """Path of the packaged granule: simulated, in the archive's layout, its truth beside it."""
    return PACKAGED


def demo_radar() -> Path:
    """Path of the packaged radar field: observed storms, to simulate what radiometers see of them.

    Returns
    -------
    Path
        netCDF file with ``rain_rate(time, latitude, longitude)`` in mm/h at three times of
        10 June 2019, 0.04 degrees apart, over the south-east of the United States: from the
        Multi-Radar/Multi-Sensor System (MRMS) of NOAA, in the public domain. The packaged
        networks saw this day in their training.

    Examples
    --------
    >>> import xarray as xr
    >>> from xrain.demo import demo_radar
    >>> storms = xr.open_dataset(demo_radar(), engine="h5netcdf").rain_rate
    >>> dict(storms.sizes)
    {'time': 3, 'latitude': 275, 'longitude': 350}
    """
    return RADAR


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
        picture = save_picture(lambda: _draw(rain, truth_file), folder / "rain.png")
        yield f"picture  {picture}"
    else:
        yield "picture  none: matplotlib, of xrain's extra 'plot', is not installed"
    with xr.open_dataset(truth_file, engine="h5netcdf") as truth:
        yield compare(rain[SURFACE_PRECIP], truth[SURFACE_PRECIP])


def _draw(rain: xr.Dataset, truth_file: Path) -> Any:
    """Draw the rain that was put in, and beside it the rain that is retrieved."""
    from xrain.plotting import plot_side_by_side
    from xrain.plotting.panels import heading

    with xr.open_dataset(truth_file, engine="h5netcdf") as truth:
        maps = {"true, averaged over the footprint": truth, "retrieved, posterior mean": rain}
        return plot_side_by_side(maps, title=heading(rain))


def compare(rain: xr.DataArray, truth: xr.DataArray) -> str:
    """Say how a retrieved rain rate and the true one agree; both mm/h on the same pixels."""
    got, true = rain.values.ravel(), truth.values.ravel()
    both = np.isfinite(got) & np.isfinite(true)
    if both.sum() < 2:
        return "no pixel has both a retrieved and a true rain rate"
    x, y = got[both].astype(np.float64), true[both].astype(np.float64)
    r = float(correlation([x.size, *(v.sum() for v in (x, y, x * x, y * y, x * y))]))
    return (
        f"against the simulated truth: correlation {r:.2f}, bias {(x - y).mean():+.2f} mm/h, "
        f"mean rain {y.mean():.2f} mm/h, over {x.size} pixels"
    )


def _truth_of(granule: Path) -> Path:
    return granule.with_suffix(".truth.nc")


def _copy_packaged(granule: Path) -> None:
    pairs = ((PACKAGED, granule), (_truth_of(PACKAGED), _truth_of(granule)))
    for source, target in pairs:
        with replacing(target) as draft:
            shutil.copyfile(source, draft)
