"""Satpy composites: rain, and the pictures that forecasters make of microwave channels.

``rain_retrieval`` runs the retrieval once for all; the others take their field from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import satpy
import xarray as xr
from satpy import DataQuery
from satpy.composites.core import CompositeBase, GenericCompositor, IncompatibleAreas

from xrain.conventions import (
    ATTRIBUTES,
    PRECIP_FLAG,
    PRECIP_FLAG_FILL,
    PRECIP_PHASE,
    PRECIP_PHASE_FILL,
    PROBABILITY_OF_PRECIP,
    PROBABILITY_OF_SNOW,
    QUANTILE,
    RETRIEVAL_QUALITY,
    SNOWFALL_RATE,
    SURFACE_PRECIP,
    SURFACE_PRECIP_QUANTILE,
    TIME,
    parse_channel_name,
)
from xrain.errors import InputError, XrainError
from xrain.io.ancillary import add_ancillary
from xrain.io.channel_names import channel_label
from xrain.io.hdf5 import warn
from xrain.io.scene import gather
from xrain.retrieval.dataset import QUANTILES, retrieve
from xrain.satpy_plugin.base import PROVENANCE, QUALITY_FILL, quantile_name
from xrain.satpy_plugin.reader import WHOLE
from xrain.sensors import get_sensor

Arrays = Sequence[xr.DataArray]

_PLANE: Final = "plane"
_PLANES: Final = (
    SURFACE_PRECIP, PROBABILITY_OF_PRECIP, PRECIP_FLAG, PRECIP_PHASE, PROBABILITY_OF_SNOW,
    SNOWFALL_RATE, RETRIEVAL_QUALITY,
)  # fmt: skip
_FLAGS: Final[dict[str, tuple[type, int]]] = {
    PRECIP_FLAG: (np.int8, PRECIP_FLAG_FILL),
    PRECIP_PHASE: (np.int8, PRECIP_PHASE_FILL),
    RETRIEVAL_QUALITY: (np.uint8, QUALITY_FILL),
}
"""Type of the flags, and what resampling puts beyond the swath."""

MOST_APART: Final = 1.5
"""GHz by which the channel shown as water vapour may differ from 183.31 ± 3 GHz."""

_OPTIONS: Final = ("model", "device", "precision")
_KEPT: Final = (
    "platform_name", "sensor", "start_time", "end_time", "orbit", "start_orbit", "end_orbit",
    "reader", "resolution", "area",
    "rows_per_scan",
)  # fmt: skip


def retrieval_inputs(sensor: str | None, names: Sequence[str] = ()) -> list[Any]:
    """List what a retrieval can use of a Scene: channels, quality, angles and scan times.

    Parameters
    ----------
    sensor : str or None
        Instrument, where the reader ``gpm_l1c`` knows it.
    names : sequence of str
        Names that other readers give, angles among them.
    """
    if sensor is None:
        return list(names)
    time = DataQuery(name=TIME, swath=get_sensor(sensor).reference_swath)
    return [*WHOLE.values(), time, *names]


class _NotMadeError(IncompatibleAreas):
    """Makes Satpy leave a composite out and go on with the others."""


class _Composite(CompositeBase):
    """A composite that cannot be made is warned of, and leaves the rest of a Scene as it is."""

    def __call__(
        self, datasets: Arrays, optional_datasets: Arrays | None = None, **info: Any
    ) -> xr.DataArray:
        """Make the composite from what is there of its prerequisites.

        Warns
        -----
        UserWarning
            If it cannot be made, with the reason.
        """
        arrays = [*datasets, *(optional_datasets or ())]
        try:
            return self.make(arrays, **info)
        except XrainError as error:
            warn(f"{self.attrs['name']} is left out: {error}")
            raise _NotMadeError(str(error)) from error

    def make(self, arrays: Arrays, **info: Any) -> xr.DataArray:
        """Make the composite; XrainError if that cannot be."""
        raise NotImplementedError


class RainRetrieval(_Composite):
    """All fields of a retrieval, one plane each; see :func:`xrain.retrieve`.

    The options `model`, `device`, `precision`, `quantiles` and `ancillary`, a netCDF file for
    :func:`xrain.add_ancillary`, are keywords of the class, or keys of the composite in YAML, or
    ``satpy.config`` under ``xrain.model`` and so on.

    See Also
    --------
    xrain.satpy_plugin.composites.RainField : One field.
    xrain.retrieve : What it calls.
    """

    def make(self, arrays: Arrays, **_: Any) -> xr.DataArray:
        """Retrieve rain; InputError if there are no channels, or they lie on a map."""
        swath, reference = gather(arrays)
        options = {k: v for k in _OPTIONS if (v := self._option(k)) is not None}
        levels, ancillary = self._option("quantiles"), self._option("ancillary")
        if ancillary is not None:
            swath = add_ancillary(swath, ancillary)
        rain = retrieve(swath, quantiles=QUANTILES if levels is None else levels, **options)
        planes = {name: rain[name].astype(np.float32) for name in _PLANES}
        for level in rain[QUANTILE].values if QUANTILE in rain else ():
            field = rain[SURFACE_PRECIP_QUANTILE].sel({QUANTILE: level}, drop=True)
            planes[quantile_name(float(level))] = field
        arrays = [xr.DataArray(p.data, dims=("y", "x")) for p in planes.values()]
        out = xr.concat(arrays, _PLANE).assign_coords({_PLANE: list(planes)})
        kept = {k: reference.attrs[k] for k in _KEPT if k in reference.attrs}
        provenance = {k: rain.attrs[k] for k in PROVENANCE if k in rain.attrs}
        out.attrs = {**kept, **provenance, "name": self.attrs["name"]}
        return out

    def _option(self, name: str) -> Any:
        own = self.attrs.get(name)
        return satpy.config.get(f"xrain.{name}", None) if own is None else own


class RainField(_Composite):
    """One field of a retrieval: the one that the composite is named after.

    See Also
    --------
    xrain.satpy_plugin.composites.RainRetrieval : All fields.
    """

    def make(self, arrays: Arrays, **_: Any) -> xr.DataArray:
        """Take the field; InputError if the retrieval has none of that name."""
        (planes,) = arrays
        name = self.attrs["name"]
        known = [str(p) for p in planes[_PLANE].values]
        if name not in known:
            raise InputError(
                f"the retrieval gives {', '.join(known)} but no {name}; add its level to the "
                "'quantiles' of the composite rain_retrieval"
            )
        field = planes.isel({_PLANE: known.index(name)}, drop=True).rename(name)
        quantile = name.startswith(f"{SURFACE_PRECIP}_q")
        attrs = ATTRIBUTES[SURFACE_PRECIP_QUANTILE if quantile else name]
        if name in _FLAGS:
            dtype, fill = _FLAGS[name]
            field, attrs = field.astype(dtype), {**attrs, "_FillValue": dtype(fill)}
        field.attrs = {**planes.attrs, **attrs, "name": name}
        return field


class _Polarizations(_Composite):
    """What needs a frequency in vertical and horizontal polarization."""

    def _pair(self, arrays: Arrays) -> tuple[xr.DataArray, xr.DataArray]:
        """Brightness temperatures in V and H, of the first horn where there are two."""
        found: dict[str, xr.DataArray] = {}
        labels = [channel_label(a) or "" for a in arrays]
        for label, array in sorted(zip(labels, arrays, strict=True), key=lambda pair: pair[0]):
            parsed = parse_channel_name(label)
            if parsed is not None:
                found.setdefault(parsed.polarization, array)
        missing = [p for p in ("V", "H") if p not in found]
        if missing:
            raise InputError(
                f"{self.attrs['name']} needs {self.attrs['band']} in vertical and horizontal "
                f"polarization, and there is no {' and no '.join(missing)}; the Scene has "
                f"{', '.join(labels) or 'no such channel'}"
            )
        vertical, horizontal = self.match_data_arrays([found["V"], found["H"]])
        return vertical, horizontal


class PolarizationCorrectedTemperature(_Polarizations):
    """Brightness temperature in which the sea surface looks like land, so that rain stands out.

    ``(1 + c) V − c H`` with the `coefficient` c of the composite.

    See Also
    --------
    xrain.satpy_plugin.composites.TropicalCycloneColor : Uses it.

    References
    ----------
    Spencer, R. W., H. M. Goodman and R. E. Hood, 1989: Precipitation retrieval over land and ocean
    with the SSM/I, *J. Atmos. Oceanic Technol.* 6, 254-273.
    """

    def make(self, arrays: Arrays, **_: Any) -> xr.DataArray:
        """Combine the polarizations; InputError if one is missing."""
        vertical, horizontal = self._pair(arrays)
        out = _corrected(vertical, horizontal, self.attrs["coefficient"])
        kept = {k: vertical.attrs[k] for k in _KEPT if k in vertical.attrs}
        out.attrs = {
            **kept,
            "name": self.attrs["name"],
            "long_name": f"polarization-corrected temperature, {self.attrs['band']}",
            "units": "K",
        }
        return out


class TropicalCycloneColor(_Polarizations, GenericCompositor):
    """Red, green and blue of two polarizations: corrected temperature, and one each.

    The `green` of the composite is the polarization shown as green, the other is blue.

    See Also
    --------
    xrain.satpy_plugin.composites.PolarizationCorrectedTemperature : One of its planes.
    """

    def make(self, arrays: Arrays, **info: Any) -> xr.DataArray:
        """Combine the polarizations; InputError if one is missing."""
        vertical, horizontal = self._pair(arrays)
        red = _corrected(vertical, horizontal, self.attrs["coefficient"])
        red.attrs = vertical.attrs
        rest = (vertical, horizontal) if self.attrs["green"] == "V" else (horizontal, vertical)
        out: xr.DataArray = GenericCompositor.__call__(self, [red, *rest], **info)
        return out


class WaterVapour(_Composite):
    """The channel nearest to 183.31 ± 3 GHz, which every humidity sounder has.

    See Also
    --------
    xrain.satpy_plugin.composites.TropicalCycloneColor : Of lower frequencies.
    """

    def make(self, arrays: Arrays, **_: Any) -> xr.DataArray:
        """Choose the channel; InputError if there is none."""
        best = min(arrays, key=_from_three, default=None)
        if best is None or _from_three(best) > MOST_APART:
            raise InputError(
                f"{self.attrs['name']} needs a channel at 183.31 ± 3 GHz, and the Scene has none"
            )
        out: xr.DataArray = best.copy(deep=False)
        kept = {k: best.attrs[k] for k in _KEPT if k in best.attrs}
        text = f"water vapour, brightness temperature at {channel_label(best)}"
        out.attrs = {**kept, "name": self.attrs["name"], "long_name": text, "units": "K"}
        return out


def _corrected(
    vertical: xr.DataArray, horizontal: xr.DataArray, coefficient: float
) -> xr.DataArray:
    return (1 + coefficient) * vertical - coefficient * horizontal


def _from_three(array: xr.DataArray) -> float:
    parsed = parse_channel_name(channel_label(array) or "")
    return np.inf if parsed is None else abs(parsed.offset - 3.0)
