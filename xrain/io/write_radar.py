"""Write radar granules in the layout of 2A-DPR and 2A-PR, swath group FS.

After the *GPM 2A DPR file specification* of NASA's Precipitation Processing System and granules
of version V07A; of its many fields those are written that say where, when and how hard it rains.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike

from xrain.atomic import replacing
from xrain.errors import InputError
from xrain.io.l1c_layout import AnyArray, GranuleFacts, headers, pvl
from xrain.io.reference_layout import NO_PHASE, NO_RAIN, PHASE_STEP, TYPE_STEP
from xrain.io.write_l1c import scan_time, stamped
from xrain.sensors import Sensor

__all__ = ["RadarSwath", "write_2a_radar"]

_FILLS = {"f4": -9999.9, "f8": -9999.9, "i4": -9999, "i2": -9999, "i1": -99, "u1": 255}

# name: type, dimensions, units; nfreq stands for Ku and Ka and is missing for PR
_LAYOUT: dict[str, tuple[str, str, str | None]] = {
    "Latitude": ("f4", "nscan,nray", "degrees"),
    "Longitude": ("f4", "nscan,nray", "degrees"),
    "sunLocalTime": ("f4", "nscan,nray", "hours"),
    "CSF/typePrecip": ("i4", "nscan,nray", None),
    "CSF/qualityTypePrecip": ("i4", "nscan,nray", None),
    "FLG/qualityData": ("i4", "nscan,nray", None),
    "FLG/qualityFlag": ("i1", "nscan,nray,nfreq", None),
    "PRE/flagPrecip": ("i4", "nscan,nray", None),
    "PRE/landSurfaceType": ("i4", "nscan,nray", None),
    "PRE/localZenithAngle": ("f4", "nscan,nray,nfreq", "degree"),
    "SLV/phaseNearSurface": ("u1", "nscan,nray", None),
    "SLV/precipRateESurface": ("f4", "nscan,nray", "mm/hr"),
    "SLV/precipRateNearSurface": ("f4", "nscan,nray", "mm/hr"),
    "SLV/qualitySLV": ("i4", "nscan,nray", None),
    "VER/heightZeroDeg": ("f4", "nscan,nray", "m"),
    "scanStatus/dataQuality": ("i1", "nscan,nfreq", None),
    "ScanTime/DayOfMonth": ("i1", "nscan", "days"),
    "ScanTime/DayOfYear": ("i2", "nscan", "days"),
    "ScanTime/Hour": ("i1", "nscan", "hours"),
    "ScanTime/MilliSecond": ("i2", "nscan", "ms"),
    "ScanTime/Minute": ("i1", "nscan", "minutes"),
    "ScanTime/Month": ("i1", "nscan", "months"),
    "ScanTime/Second": ("i1", "nscan", "s"),
    "ScanTime/SecondOfDay": ("f8", "nscan", "s"),
    "ScanTime/Year": ("i2", "nscan", "years"),
}


@dataclass(frozen=True)
class RadarSwath:
    """What a radar saw; (scan, ray) unless said otherwise, NaN is missing.

    Attributes
    ----------
    time : array_like of datetime64
        (scan,) UTC.
    latitude, longitude : array_like
        Degrees.
    rate : array_like
        Rain rate at the surface in mm/h.
    convective : array_like
        Share of the rate that is convective.
    freezing_level : array_like
        Height of 0 °C in km.
    land : array_like
        Share of land.
    zenith_angle : array_like
        Local zenith angle in degrees.
    sun_local_time : array_like
        Local solar time in hours.
    """

    time: ArrayLike
    latitude: ArrayLike
    longitude: ArrayLike
    rate: ArrayLike
    convective: ArrayLike
    freezing_level: ArrayLike
    land: ArrayLike
    zenith_angle: ArrayLike
    sun_local_time: ArrayLike


def write_2a_radar(
    path: str | os.PathLike[str],
    swath: RadarSwath,
    *,
    radar: Sensor,
    platform: str,
    orbit: int,
    version: str = "V07A",
    algorithm: str = "9",
    simulation: Mapping[str, str] | None = None,
) -> Path:
    """Write a radar granule.

    Parameters
    ----------
    path : path-like
        File to write, HDF5.
    swath : RadarSwath
        What the radar saw.
    radar : Sensor
        The radar, named ``"DPR"`` (two frequencies) or ``"PR"``.
    platform : str
        ``"GPM"`` or ``"TRMM"``.
    orbit : int
        Granule number.
    version, algorithm : str
        Product and algorithm version.
    simulation : mapping of str to str, optional
        How the granule was made, if it is not an observation (as in `write_l1c`).

    Returns
    -------
    Path
        The file written. It appears complete or not at all.

    Raises
    ------
    InputError
        If the radar is unknown, or no scan has a time.
    OutputError
        If the file cannot be written.
    """
    if radar.name not in {"DPR", "PR"}:
        raise InputError(f"unknown radar {radar.name!r}: use DPR or PR")
    time = np.asarray(swath.time, "datetime64[ns]")
    if time.size == 0 or np.isnat(time).all():
        raise InputError("no scan of the radar granule has a time")
    target = Path(path)
    facts = GranuleFacts(
        radar, platform, target.name, version, algorithm, orbit,
        np.nanmin(time), np.nanmax(time), int(np.isnan(np.asarray(swath.rate)).all(axis=1).sum()),
    )  # fmt: skip
    root = {k: v.replace("=1C", "=2A") for k, v in headers(facts).items() if k != "XCALinfo"}
    root["FileHeader"] = root["FileHeader"].replace("/1C/", "/2A/")
    arrays = _arrays(swath, time, frequencies=2 if radar.name == "DPR" else 0)
    image = io.BytesIO()
    _write(image, stamped(root, simulation), arrays, prefix="FS_" if radar.name == "DPR" else "")
    with replacing(target) as draft:
        draft.write_bytes(image.getbuffer())
    return target


def _arrays(swath: RadarSwath, time: AnyArray, frequencies: int) -> dict[str, AnyArray]:
    rate = np.asarray(swath.rate, np.float64)
    seen, wet = np.isfinite(rate), np.nan_to_num(rate) > 0
    kind = TYPE_STEP * np.where(np.asarray(swath.convective) >= 0.5, 2, 1)
    quality = np.where(seen, 0, 2)
    values: dict[str, ArrayLike] = {
        "Latitude": swath.latitude,
        "Longitude": swath.longitude,
        "sunLocalTime": swath.sun_local_time,
        "CSF/typePrecip": np.where(wet, kind, np.where(seen, NO_RAIN, _FILLS["i4"])),
        "CSF/qualityTypePrecip": np.where(wet, 1, np.where(seen, NO_RAIN, _FILLS["i4"])),
        "FLG/qualityData": np.where(seen, 0, 1),
        "FLG/qualityFlag": _per_frequency(quality, frequencies),
        "PRE/flagPrecip": np.where(seen, wet, _FILLS["i4"]),
        "PRE/landSurfaceType": np.where(np.asarray(swath.land) > 0.5, 100, 0),
        "PRE/localZenithAngle": _per_frequency(np.asarray(swath.zenith_angle), frequencies),
        "SLV/phaseNearSurface": np.where(
            wet, PHASE_STEP * np.where(np.asarray(swath.freezing_level) > 0, 2, 1), NO_PHASE
        ),
        "SLV/precipRateESurface": rate,
        "SLV/precipRateNearSurface": rate,
        "SLV/qualitySLV": np.where(seen, 0, _FILLS["i4"]),
        "VER/heightZeroDeg": np.asarray(swath.freezing_level) * 1e3,
        "scanStatus/dataQuality": _per_frequency(np.where(seen.any(axis=1), 0, 2), frequencies),
        **scan_time(time),
    }
    return {name: _typed(values[name], kind) for name, (kind, _, _) in _LAYOUT.items()}


def _per_frequency(values: AnyArray, frequencies: int) -> AnyArray:
    return np.repeat(values[..., None], frequencies, axis=-1) if frequencies else values


def _typed(value: ArrayLike, kind: str) -> AnyArray:
    array = np.asarray(value)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), _FILLS[kind], array)
    return np.ascontiguousarray(array, dtype=kind)


def _write(
    image: io.BytesIO, root: Mapping[str, str], arrays: Mapping[str, AnyArray], prefix: str
) -> None:
    scans, rays = arrays["Latitude"].shape
    header = {
        "NumberScansInSet": 1,
        "MaximumNumberScansTotal": 10000,
        "NumberScansBeforeGranule": 0,
        "NumberScansGranule": scans,
        "NumberScansAfterGranule": 0,
        "NumberPixels": rays,
        "ScanType": "CROSSTRACK",
    }
    with h5py.File(image, "w") as file:
        for key, text in root.items():
            file.attrs[key] = np.bytes_(text.encode())
        group = file.create_group("FS")
        group.attrs[f"{prefix}SwathHeader"] = np.bytes_(pvl(header).encode())
        for name, array in arrays.items():
            kind, dims, units = _LAYOUT[name]
            dataset = group.create_dataset(name, data=array, compression="gzip", shuffle=True)
            names = dims.split(",")[: array.ndim]
            texts = {"CodeMissingValue": f"{_FILLS[kind]:g}", "DimensionNames": ",".join(names)}
            if units is not None:
                texts |= {"Units": units, "units": units}
            for key, text in texts.items():
                dataset.attrs[key] = np.bytes_(text.encode())
            dataset.attrs["_FillValue"] = array.dtype.type(_FILLS[kind])
