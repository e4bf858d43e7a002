"""The true rain under a simulated granule, as a file beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from xrain.atomic import replacing
from xrain.conventions import ATTRIBUTES, COVERED
from xrain.io.truth import RAIN_FIELD
from xrain.io.write_rain import in_this_process
from xrain.simulate.instrument import footprint_average, footprint_widths, truth_channel
from xrain.simulate.scenes import Scene
from xrain.simulate.view import View

__all__ = ["write_truth"]


def write_truth(
    path: Path, view: View, scene: Scene, granule: str, seed: int, rain_field: str = ""
) -> None:
    """Write the true rain on the pixels of the reference swath.

    Parameters
    ----------
    path : Path
        File to write.
    view : View
        Geometry of the granule.
    scene : Scene
        The scene on the view's grid.
    granule : str
        Name of the granule that it belongs to.
    seed : int
        Seed of the simulation, kept as an attribute.
    rain_field : str
        Name of the file of the rain field, kept as an attribute if there is one.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    geometry = view.geometries[view.sensor.reference_swath]
    fields = _truth_fields(view, scene)
    pixel = ("scan", "pixel")
    truth = xr.Dataset(
        {name: (pixel, field) for name, field in fields.items()},
        coords={
            "latitude": (pixel, geometry.latitude.astype(np.float32)),
            "longitude": (pixel, geometry.longitude.astype(np.float32)),
            "time": ("scan", geometry.time),
        },
        attrs={
            "title": "true rain under a simulated granule",
            "granule": granule,
            "sensor": view.sensor.name,
            "platform": view.platform,
            "seed": seed,
            **({RAIN_FIELD: rain_field} if rain_field else {}),
            "comment": f"Footprints observed for less than {COVERED:.0%} stay out of scores.",
            "Conventions": "CF-1.11",
        },
    )
    channel = truth_channel(view.sensor)
    names = {
        "surface_precip": f"true rain rate over the {channel.frequency:g} GHz footprint",
        "surface_precip_5km": "true rain rate over 5 km",
        "observed_fraction": "share of the footprint in which rain was observed",
        "observed_fraction_5km": "share of 5 km in which rain was observed",
        "land_fraction": "share of land in the footprint",
    }
    for name, text in names.items():
        unit = "mm h-1" if name.startswith("surface") else "1"
        truth[name].attrs = {"long_name": text, "units": unit}
        truth[name].encoding = {"zlib": True, "complevel": 4}
    for name in ("latitude", "longitude", "time"):
        truth[name].attrs.update(ATTRIBUTES[name])
    truth["time"].encoding = {"units": "milliseconds since 1970-01-01", "dtype": "int64"}
    with replacing(path) as draft, in_this_process():
        draft.write_bytes(truth.to_netcdf(engine="h5netcdf"))


def _truth_fields(view: View, scene: Scene) -> dict[str, NDArray[np.float32]]:
    """Average rain, coverage and land over the truth's footprint and over 5 km."""
    plane = view.planes[view.sensor.reference_swath]
    rate = scene.rain.rate
    fields = torch.from_numpy(
        np.stack([np.nan_to_num(rate), np.isfinite(rate), scene.variables["land_fraction"]]).astype(
            np.float32
        )
    )
    widths = footprint_widths(view.sensor, truth_channel(view.sensor), plane.incidence_angle)
    five = (np.full_like(plane.x, 5.0), np.full_like(plane.x, 5.0))
    out = {}
    for suffix, size in (("", widths), ("_5km", five)):
        mean = footprint_average(fields, view.spacing, plane, size).numpy()
        seen = np.clip(mean[1], 0, 1)
        amount = np.where(seen > 0.05, np.maximum(mean[0], 0) / np.maximum(seen, 0.05), np.nan)
        amount[amount < 1e-3] = 0.0  # traces left by the Fourier transform
        out[f"surface_precip{suffix}"] = amount.astype(np.float32)
        out[f"observed_fraction{suffix}"] = seen.astype(np.float32)
        out["land_fraction"] = np.clip(mean[2], 0, 1).astype(np.float32)
    return out
