"""Bring a swath onto a map grid or onto another swath."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from xrain.conventions import (
    LATITUDE,
    LONGITUDE,
    PRECIP_FLAG,
    PRECIP_FLAG_FILL,
    PRECIP_PHASE,
    PRECIP_PHASE_FILL,
    QUALITY,
    QUALITY_FILL,
    QUALITY_FLAGS,
    RETRIEVAL_QUALITY,
    TIME,
)
from xrain.errors import InputError
from xrain.geo.cells import Array, IntArray, Swath, swath_of, unrepeated_scans
from xrain.geo.footprint import footprint_widths, pixel_incidence
from xrain.naming import known_names
from xrain.regrid.areas import area_of
from xrain.regrid.average import average_operator
from xrain.regrid.describe import GRID_MAPPING, grid_coords
from xrain.regrid.ewa import LEAST_PIXELS, ewa_operator
from xrain.regrid.locate import candidates, locate
from xrain.regrid.operators import (
    Operator,
    bilinear_operator,
    gaussian_operator,
    nearest_operator,
)
from xrain.regrid.target import Target, cell_size, require_swath, target_of
from xrain.sensors import find_sensor

__all__ = ["METHODS", "area_of", "resample"]

METHODS: Final = ("nearest", "bilinear", "ewa", "average", "gaussian")

_FILL = {
    RETRIEVAL_QUALITY: QUALITY_FLAGS["no_usable_channel"],
    PRECIP_FLAG: PRECIP_FLAG_FILL,
    PRECIP_PHASE: PRECIP_PHASE_FILL,
    QUALITY: QUALITY_FILL,
}


@dataclass(frozen=True)
class _Plan:
    """How to resample: what is known at once, and the choices made."""

    swath: Swath
    target: Target
    cells: IntArray
    method: str
    radius: float | None
    footprint: Array | None
    coverage: float

    def operator(self) -> Operator:
        """Compute the weights; InputError if no cell lies in the swath."""
        made = self._make()
        if not made.cell.size:
            small = (
                f"no cell is covered by the share min_coverage={self.coverage:g}"
                if self.method == "average"
                else "no cell has its centre in it"
            )
            raise InputError(f"{_apart(self.target)}; {small}, so perhaps finer cells are needed")
        return made

    def _make(self) -> Operator:
        if self.method == "average":
            return average_operator(self.swath, self.target, self.coverage)
        places = locate(self.swath, self.target, self.cells, self.radius)
        if self.method == "bilinear":
            return bilinear_operator(self.swath, places)
        if self.method == "ewa" and self.swath.points.shape[1] >= LEAST_PIXELS:
            return ewa_operator(self.swath, self.target, places)
        if self.method == "gaussian":
            # no narrower than the sampling or the cells, so that no pixel is left out
            widths = np.maximum(self.swath.spacing, np.float32(cell_size(self.target)))
            if self.footprint is not None:
                widths = np.maximum(widths, self.footprint)
            return gaussian_operator(self.swath, places, widths)
        return nearest_operator(places)


def resample(
    ds: xr.Dataset,
    area: Any,
    method: str = "nearest",
    *,
    radius_of_influence: float | None = None,
    footprint: float | None = None,
    min_coverage: float = 0.5,
) -> xr.Dataset:
    """Bring a swath onto a map grid, or onto another swath.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath with ``latitude`` and ``longitude``. Its positions are read at once; everything
        else stays lazy if it is.
    area : AreaDefinition, DynamicAreaDefinition, str, xarray.Dataset or SwathDefinition
        A pyresample area, also one that fits itself to the swath; the name of a Satpy area, or
        of one of your own in ``$SATPY_CONFIG_PATH/areas.yaml``; a resolution such as
        ``"0.1deg"`` (a grid in degrees) or ``"5km"`` (equal areas) over the swath's box; or
        another swath.
    method : {"nearest", "bilinear", "ewa", "average", "gaussian"}
        ``"nearest"``: the nearest pixel. ``"bilinear"``: between the four pixels around.
        ``"average"``: the mean over the cell, every pixel weighted by the area it shares with
        it; this keeps totals, also where cells are large. ``"gaussian"``: weighted by the
        footprint that the sensor sees with, taken as a Gaussian. ``"ewa"``: elliptical weighted
        averaging; a swath of one or two pixels a scan has no ellipses and takes the nearest
        pixel. Integers, flags and masks take the nearest pixel whatever the method.
    radius_of_influence : float, optional
        Fill cells up to so many m from a pixel's centre. By default those that lie in the cell
        of a pixel, whose size follows from the local sampling. ``"average"`` does not use it.
    footprint : float, optional
        Half-power width in km for ``"gaussian"``; by default that of the sensor's channel next
        to 37 GHz (89 GHz for sounders). Towards the ends of a sounder's scan it grows as the
        geometry of the view says (:func:`xrain.geo.footprint.footprint_widths`; an ellipse
        counts as the circle of its area). It is never less than the local sampling or a cell of
        the grid.
    min_coverage : float
        Share of a cell that ``"average"`` wants covered by pixels with a value.

    Returns
    -------
    xarray.Dataset
        Every variable that lies on the swath, on dimensions (y, x), or those of the other
        swath; NaN, or the flag for no observation, where the swath does not reach (0 in integers
        that xrain does not know). ``time`` is that of the nearest pixel; another swath keeps its
        own. The axes ``y`` and ``x`` and the grid mapping ``crs`` describe a grid as CF asks, so
        that GDAL and other software can place it.

    Raises
    ------
    InputError
        If area or method is unknown, the dataset is no swath with positions, the area does not
        meet the swath, or has more than 400 million cells.

    See Also
    --------
    xrain.grid_rain : Many granules on one grid, with means over time.
    xrain.extract_points : Single places.

    Notes
    -----
    A cell is observed where the pixel that holds its centre has a value, except with
    ``"average"``. Averaged quantiles are means of quantiles: the interval of a mean over many
    pixels is narrower.

    Examples
    --------
    >>> import xrain
    >>> from xrain.testing import fake_swath
    >>> rain = xrain.retrieve(fake_swath("GMI", 24, 24))
    >>> grid = xrain.resample(rain, "0.25deg")
    >>> grid["surface_precip"].dims
    ('y', 'x')
    """
    ds = swath_dataset(ds)
    _require_choice(method, footprint, min_coverage)
    target = target_of(ds, area)
    if method == "ewa" and target.area is None:
        raise InputError("the method 'ewa' needs an area: another swath is no regular grid")
    lat, lon = ds[LATITUDE], ds[LONGITUDE]
    radius = None if radius_of_influence is None else radius_of_influence / 1000
    swath = swath_of(lat.values, lon.transpose(*lat.dims).values)
    plan = _Plan(
        swath, target, _cells(swath, target, radius), method, radius,
        _footprints(ds, footprint), min_coverage,
    )  # fmt: skip
    dims = (str(lat.dims[0]), str(lat.dims[1]))
    kept = {n: v for n, v in ds.data_vars.items() if set(dims) <= set(v.dims)}
    lazy = any(v.chunks for v in kept.values())
    operator = _delayed(plan.operator)() if lazy else plan.operator()
    made = {name: _bring(name, v, dims, operator, target) for name, v in kept.items()}
    present = {d for v in made.values() for d in v.dims} - set(target.dims)
    old = {v.attrs.get("grid_mapping") for v in kept.values()}
    coords = {n: c.variable for n, c in ds.coords.items()
              if set(c.dims) <= present - set(dims) and n not in old}  # fmt: skip
    seen = {n: _bring(n, c.broadcast_like(lat), dims, operator, target, nearest=True)
            for n, c in ds.coords.items() if _is_seen(c, dims)}  # fmt: skip
    attrs = {**ds.attrs, "area": target.name, "resampling": method}
    return xr.Dataset(made, {**coords, **seen, **grid_coords(target)}, attrs)


def swath_dataset(ds: xr.Dataset) -> xr.Dataset:
    """Make a dataset ready to be put on a map.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath. Its positions and times may have other names, or be plain variables.

    Returns
    -------
    xarray.Dataset
        With ``latitude`` and ``longitude`` as coordinates, and each scan once: where files that
        overlap were joined, the repeated scans would count twice.

    Raises
    ------
    InputError
        If there are no positions over two dimensions.
    """
    named = known_names(ds)
    require_swath(named)
    places = {LATITUDE, LONGITUDE, TIME} & set(named.variables)
    fields = (set(named.coords) & set(ds.data_vars)) - places
    ds = named.reset_coords(fields).set_coords(places)
    dims = ds[LATITUDE].dims
    time = ds[TIME].variable if TIME in ds.variables else None
    when = None
    if time is not None and time.dtype.kind == "M" and time.dims in ((dims[0],), dims):
        when = time.values
    lat, lon = ds[LATITUDE].values, ds[LONGITUDE].transpose(*dims).values
    once = unrepeated_scans(lat, lon, when)
    return ds if once.size == lat.shape[0] else ds.isel({dims[0]: once})


def _is_seen(coordinate: xr.DataArray, dims: tuple[str, str]) -> bool:
    """Whether a coordinate tells of scans or pixels what their cells can keep, above all time."""
    if coordinate.name in (LATITUDE, LONGITUDE, *coordinate.dims):
        return False
    return bool(set(coordinate.dims) & set(dims)) and coordinate.dtype.kind in "Mf"


def _delayed(call: Callable[..., Any]) -> Any:
    from dask import delayed

    return delayed(call, pure=False)


def _require_choice(method: str, footprint: float | None, coverage: float) -> None:
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; there are {', '.join(METHODS)}")
    if footprint is not None and not footprint > 0:
        raise InputError(f"footprint={footprint}: a width in km greater than 0 is needed")
    if not 0 <= coverage <= 1:
        raise InputError(f"min_coverage={coverage}: a share between 0 and 1 is needed")


def _footprints(ds: xr.Dataset, width: float | None) -> Array | None:
    """Half-power width in km of each pixel, as that of a circle; None where nothing is known."""
    sensor = find_sensor(str(ds.attrs.get("sensor", "")))
    if sensor is None:
        return None if width is None else np.full(ds[LATITUDE].shape, width, np.float32)
    channel = sensor.rain_channel
    if width is not None:
        channel = replace(channel, footprint=(width, width))
    along, across = footprint_widths(sensor, channel, pixel_incidence(ds, sensor))
    round_width: Array = np.sqrt(along * across).astype(np.float32)
    return round_width


def _cells(swath: Swath, target: Target, radius: float | None) -> IntArray:
    """Cells that may lie in the swath; InputError if there are none."""
    if not np.isfinite(swath.points).any():
        raise InputError("the swath has no valid position")
    cells = candidates(swath, target, radius or 0.0)
    if not cells.size:
        raise InputError(_apart(target))
    return cells


def _apart(target: Target) -> str:
    return (
        f"the area {target.name!r} ({_box(target.latitude, target.longitude)}) does not meet the "
        "swath: choose another, or a resolution such as '0.1deg' over the swath's own box"
    )


def _box(latitude: npt.NDArray[Any], longitude: npt.NDArray[Any]) -> str:
    lat, lon = latitude[np.isfinite(latitude)], longitude[np.isfinite(longitude)]
    if not (lat.size and lon.size):
        return "nowhere on earth"
    return f"{lat.min():.1f} to {lat.max():.1f}° N, {lon.min():.1f} to {lon.max():.1f}° E"


def _bring(
    name: Hashable, values: xr.DataArray, dims: tuple[str, str], operator: Any, target: Target,
    *, nearest: bool = False,
) -> xr.Variable:  # fmt: skip
    """Resample one variable; the target's dimensions take the place of the swath's."""
    last = values.variable.transpose(..., *dims)
    fill = _fill_of(name, values)
    shape = (*last.shape[:-2], *target.shape)
    lazy = hasattr(operator, "dask")
    work = _delayed(_apply) if lazy else _apply
    block = work(operator, last.data, shape, fill, nearest or values.dtype.kind != "f")
    if lazy:
        from dask.array import from_delayed

        block = from_delayed(block, shape, values.dtype)
    at = min(values.dims.index(d) for d in dims)
    order = [d for d in values.dims if d not in dims]
    order[at:at] = target.dims
    attrs = {k: v for k, v in values.attrs.items() if k not in ("grid_mapping", "coordinates")}
    if target.area is not None:
        attrs["grid_mapping"] = GRID_MAPPING
    made = xr.Variable((*last.dims[:-2], *target.dims), block, attrs)
    return made.transpose(*order)


def _fill_of(name: Hashable, values: xr.DataArray) -> Any:
    if values.dtype.kind == "f":
        return np.nan
    if values.dtype.kind == "M":
        return np.datetime64("NaT")
    return _FILL.get(str(name), 0)


def _apply(
    operator: Operator, values: npt.NDArray[Any], shape: tuple[int, ...], fill: Any, nearest: bool
) -> npt.NDArray[Any]:
    """Bring values (..., scan, pixel) to (..., row, column)."""
    layers = values.reshape(-1, values.shape[-2] * values.shape[-1])
    out = np.full((layers.shape[0], shape[-2] * shape[-1]), fill, values.dtype)
    if nearest:
        out[:, operator.cell] = layers[:, operator.nearest]
    else:
        out[:, operator.cell] = operator(layers.T).T
    return out.reshape(shape)
