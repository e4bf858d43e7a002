"""What a resampled dataset says of its grid: CF coordinates and grid mapping."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.conventions import ATTRIBUTES, LATITUDE, LONGITUDE
from xrain.regrid.areas import is_plain
from xrain.regrid.target import Target

__all__ = ["GRID_MAPPING", "grid_coords"]

GRID_MAPPING: Final = "crs"
"""Name of the variable that holds the coordinate reference system."""

_UNITS: Final = {"metre": "m", "kilometre": "km", "degree": "degrees"}
_PLAIN: Final = {"y": (LATITUDE, "degrees_north"), "x": (LONGITUDE, "degrees_east")}


def grid_coords(target: Target) -> dict[str, Any]:
    """Coordinates of what is brought to a target.

    Parameters
    ----------
    target : Target
        An area, or another swath.

    Returns
    -------
    dict
        ``latitude`` and ``longitude`` of every cell in float32. For an area also the axes ``y``
        and ``x``, in degrees for a grid of latitude and longitude and in the unit of the map
        (metres as a rule) else, and ``crs``, which the attribute ``grid_mapping`` of the
        variables is to name. With them GDAL, QGIS and other CF software place the grid.

    References
    ----------
    Eaton et al., *NetCDF Climate and Forecast (CF) Metadata Conventions* 1.11, sections 4 and 5.6
    and appendix F, https://cfconventions.org
    """
    coords = dict(target.coords)
    if target.area is not None:
        crs = target.area.crs
        for axis in ("y", "x"):
            coords[axis] = (axis, coords[axis], _axis_attributes(axis, crs))
        coords[GRID_MAPPING] = xr.Variable((), np.int32(0), _mapping_attributes(crs))
    for name, values in ((LATITUDE, target.latitude), (LONGITUDE, target.longitude)):
        coords[name] = (target.dims, np.asarray(values, np.float32), ATTRIBUTES[name])
    return coords


def _axis_attributes(axis: str, crs: Any) -> dict[str, str]:
    if is_plain(crs):
        name, units = _PLAIN[axis]
        return {"standard_name": name, "long_name": name, "units": units, "axis": axis.upper()}
    if crs.is_geographic:
        name, long_name = f"grid_{_PLAIN[axis][0]}", f"{_PLAIN[axis][0]} in the rotated grid"
    else:
        name, long_name = f"projection_{axis}_coordinate", f"{axis} coordinate of projection"
    unit = str(crs.axis_info[0].unit_name) if crs.axis_info else "metre"
    units = _UNITS.get(unit, unit)
    return {"standard_name": name, "long_name": long_name, "units": units, "axis": axis.upper()}


def _mapping_attributes(crs: Any) -> dict[str, Any]:
    attrs = crs.to_cf()
    attrs.setdefault("grid_mapping_name", "unknown")  # CF has no name for every projection
    return {"long_name": "coordinate reference system", **attrs}
