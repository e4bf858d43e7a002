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

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from xrain.conventions import SURFACE_PRECIP
from xrain.errors import InputError, OutputError
from xrain.files import Outcome, open_any
from xrain.level3.gridder import Extent, Gridder
from xrain.level3.write import write_grid
from xrain.retrieval import retrieve

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
    """
    with Gridder(resolution=resolution, freq=freq, extent=extent, exclude=exclude) as gridder:
        for source in map(Path, files):
            try:
                _add_file(gridder, source, model, device)
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


def _add_file(gridder: Gridder, source: Path, model: str | None, device: str | None) -> None:
    with open_any(source) as ds:
        rain = ds if SURFACE_PRECIP in ds.variables else retrieve(ds, model, device=device)
        try:
            used = gridder.add(rain)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
    if not used:
        raise InputError(f"{source}: no pixel has rain, position and time")
