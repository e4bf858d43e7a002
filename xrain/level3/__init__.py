"""Level 3: rain of many granules and many sensors, on one grid in space and time.

For a cell and an interval of time, overpass i (one granule) gives the mean mᵢ over the pixels
that the cell shares with it, weighted by the shared area, and the share aᵢ of the cell that they
cover. Then, with n the number of overpasses:

* the mean is M = Σ aᵢ mᵢ / Σ aᵢ;
* the spread between overpasses is s, with s² = n / (n − 1) · (Σ aᵢ mᵢ² / Σ aᵢ − M²), for n ≥ 2;
* the uncertainty of the retrieval is U, with U² = Σ (aᵢ uᵢ)² / (Σ aᵢ)², where uᵢ is the mean over
  the cell of (q₊ − q₋) / (Φ⁻¹(p₊) − Φ⁻¹(p₋)): the width of a pixel's interval between its
  outermost quantiles, as the standard deviation of a normal distribution of that width. So the
  errors of one overpass are taken to be the same all over a cell, those of several to be
  independent.

U says nothing of the rain that fell between the overpasses; s tells something of it where n is
not small.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from xrain.conventions import SURFACE_PRECIP
from xrain.errors import InputError, OutputError
from xrain.geo.extent import Extent
from xrain.io.open import open_any
from xrain.level3.gridder import FIELDS, Gridder
from xrain.level3.write import require_free, write_grid
from xrain.retrieval.batch_granule import Outcome
from xrain.retrieval.dataset import retrieve
from xrain.workers import Done, results_in_order

__all__ = ["Gridder", "grid_rain", "write_grid"]


def grid_rain(
    files: Iterable[str | Path],
    output: str | Path,
    *,
    resolution: float = 0.1,
    freq: str = "1D",
    extent: Extent | None = None,
    model: str | None = None,
    device: str | None = None,
    exclude: Sequence[str] = (),
    client: Any = None,
    tell: Callable[[Outcome], object] | None = None,
) -> Path:
    """Merge rain files and granules of any sensors into means on one grid.

    Parameters
    ----------
    files : iterable of path
        Rain files of :func:`xrain.write_rain`; granules of level 1C are retrieved on the way.
    output : path
        netCDF file, or Zarr store if the name ends in ``.zarr``.
    resolution, freq, extent, exclude
        As for :class:`Gridder`.
    model, device : str, optional
        For granules, as for :func:`xrain.retrieve`.
    client : distributed.Client, optional
        A cluster whose workers read the files and retrieve the granules, some ahead of what is
        gridded here; the paths must be good where they are.
    tell : callable, optional
        Called with the outcome of each file as soon as it is known. Without it the first file
        that cannot be used ends everything; with it the others go on.

    Returns
    -------
    Path
        The output.

    Raises
    ------
    InputError
        If a parameter makes no sense, or no file could be used.
    OutputError
        If the output cannot be written.

    See Also
    --------
    xrain.resample : One swath on a map, without means over time.
    xrain.level3.Gridder : The same step by step.

    References
    ----------
    Eaton et al., *NetCDF Climate and Forecast (CF) Metadata Conventions* 1.11,
    https://cfconventions.org

    Examples
    --------
    >>> import xarray as xr
    >>> import xrain
    >>> from xrain.testing import write_fake_l1c
    >>> granule = write_fake_l1c("granule.HDF5", "gmi", scans=16)
    >>> path = xrain.grid_rain([granule], "day.nc", resolution=1.0)
    >>> with xr.open_dataset(path, engine="h5netcdf") as day:
    ...     day.sizes["latitude"], day.sizes["longitude"]
    (180, 360)
    """
    require_free(output)
    tasks = (_File(Path(f), model, device) for f in files)
    if client is not None:
        tasks = (_File(Path(os.path.abspath(t.source)), model, device) for t in tasks)
    with Gridder(resolution=resolution, freq=freq, extent=extent, exclude=exclude) as gridder:
        for done in results_in_order(_rain_of, tasks, client):
            source = done.task.source
            try:
                _add_rain(gridder, done)
            except OutputError:
                raise
            except Exception as error:  # whatever it is, the other files go on
                if tell is None:
                    raise
                tell(Outcome(source, error=error))
            else:
                if tell is not None:
                    tell(Outcome(source, (Path(output),)))
        return write_grid(gridder.to_dataset(), output)


@dataclass(frozen=True)
class _File:
    """A file to be gridded, and how it is retrieved if it is a granule."""

    source: Path
    model: str | None
    device: str | None


def _rain_of(file: _File) -> xr.Dataset:
    """Read a rain file, or retrieve a granule; only what is gridded."""
    with open_any(file.source) as ds:
        held = SURFACE_PRECIP in ds.variables
        rain = ds if held else retrieve(ds, file.model, device=file.device)
        return rain[[n for n in FIELDS if n in rain.variables]].load()


def _add_rain(gridder: Gridder, done: Done[_File]) -> None:
    rain, source = done.value(), done.task.source
    try:
        used = gridder.add(rain)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    if not used:
        raise InputError(
            f"{source}: no pixel has rain, position and time, or all were in files before it"
        )
