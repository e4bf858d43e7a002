"""Write L1C granules in the archive's layout, as HDF5 or netCDF-4.

Layout (groups, datasets, types, attributes, PVL headers) after the *GPM L1C file specification*
of NASA's Precipitation Processing System and after granules of version V07A.
"""

from __future__ import annotations

import datetime as dt
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrain.atomic import replacing
from xrain.errors import InputError
from xrain.io.l1c_layout import (
    FILLS,
    LAYOUT,
    GranuleFacts,
    attributes,
    group_headers,
    headers,
    pvl,
)
from xrain.sensors import Sensor

__all__ = ["L1CGroup", "archive_name", "granule_path", "write_l1c"]

AnyArray = NDArray[Any]


@dataclass(frozen=True)
class L1CGroup:
    """What one swath group of a granule holds; NaN and NaT mean missing.

    Attributes
    ----------
    tc : array_like
        (scan, pixel, channel) brightness temperature in K, channels in the sensor's order.
    latitude, longitude : array_like
        (scan, pixel) position in degrees.
    time : array_like of datetime64
        (scan,) UTC.
    incidence_angle : array_like
        (scan, pixel) or (scan, pixel, angle) earth incidence angle in degrees.
    incidence_angle_index : sequence of int
        For each channel which of the angles is its own, counted from 1; all 1 by default.
    quality : array_like of int, optional
        (scan, pixel) quality; by default 0, and −99 where every channel is missing.
    sun_glint_angle : array_like, optional
        (scan, pixel) or (scan, pixel, angle) sun glint angle in degrees.
    sun_local_time : array_like, optional
        (scan, pixel) local solar time in hours.
    spacecraft_latitude, spacecraft_longitude, spacecraft_altitude : array_like, optional
        (scan,) sub-satellite point in degrees, height in km.
    spacecraft_orientation : int
        Yaw in degrees.
    """

    tc: ArrayLike
    latitude: ArrayLike
    longitude: ArrayLike
    time: ArrayLike
    incidence_angle: ArrayLike
    incidence_angle_index: tuple[int, ...] | None = None
    quality: ArrayLike | None = None
    sun_glint_angle: ArrayLike | None = None
    sun_local_time: ArrayLike | None = None
    spacecraft_latitude: ArrayLike | None = None
    spacecraft_longitude: ArrayLike | None = None
    spacecraft_altitude: ArrayLike | None = None
    spacecraft_orientation: int = 0


_CHUNK_BYTES = 1 << 19


def archive_name(
    sensor: Sensor,
    platform: str,
    start: np.datetime64,
    end: np.datetime64,
    orbit: int,
    version: str = "V07A",
    *,
    calibration: str = "XCAL2016-C",
    extension: str = "HDF5",
) -> str:
    """Name that the archive gives to a granule.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    platform : str
        Satellite as in L1C headers, such as ``"GPM"``.
    start, end : numpy.datetime64
        Start and stop of the granule; the archive's names stop one second early.
    orbit : int
        Granule number.
    version : str
        Product version.
    calibration : str
        Calibration table, the fourth field of the name.
    extension : str
        ``"HDF5"`` or ``"nc4"``.

    Returns
    -------
    str
        Such as ``1C.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.HDF5``.
    """
    first, last = _datetime(start), _datetime(end - np.timedelta64(1, "s"))
    last = max(first, last)
    return (
        f"1C.{platform}.{sensor.name}.{calibration}.{first:%Y%m%d-S%H%M%S}-E{last:%H%M%S}"
        f".{orbit:06d}.{version}.{extension}"
    )


def write_l1c(
    path: str | os.PathLike[str],
    *,
    sensor: Sensor,
    platform: str,
    orbit: int,
    groups: Mapping[str, L1CGroup],
    version: str = "V07A",
    calibration: str = "XCAL2016-C",
    simulation: Mapping[str, str] | None = None,
) -> Path:
    """Write an L1C granule in the archive's layout.

    Parameters
    ----------
    path : path-like
        File to write: netCDF-4 if it ends in ``.nc`` or ``.nc4``, HDF5 otherwise. An existing
        directory gets a file with the archive's own name.
    sensor : Sensor
        The instrument; it fixes groups and channel order.
    platform : str
        Satellite as in L1C headers.
    orbit : int
        Granule number.
    groups : mapping of str to L1CGroup
        Swath groups by name; all groups of the sensor must be there.
    version, calibration : str
        As in `archive_name`.
    simulation : mapping of str to str, optional
        How the granule was made, if it is not an observation. The header then says so:
        ``ProcessingSystem=XRAIN-SIMULATION`` and a root attribute ``SimulationRecord``.

    Returns
    -------
    Path
        The file written. It appears complete or not at all.

    Raises
    ------
    InputError
        If a group is missing or an array has a shape that does not fit the sensor.
    OutputError
        If the file cannot be written.

    See Also
    --------
    xrain.testing.write_fake_l1c : Plausible values of any sensor.
    xrain.simulate_granule : What a sensor would have seen.

    References
    ----------
    Berg, W., et al., 2016: Intercalibration of the GPM microwave radiometer constellation.
    *J. Atmos. Oceanic Technol.* 33, 2639-2654, doi 10.1175/JTECH-D-16-0100.1.
    """
    _check_groups(sensor, groups)
    start, end = _span(groups)
    target = granule_path(path, sensor, platform, orbit, groups, version, calibration)
    arrays = {name: _arrays(sensor, name, group, orbit) for name, group in groups.items()}
    missing = _missing_scans(arrays[sensor.reference_swath]["Tc"])
    facts = GranuleFacts(
        sensor, platform, target.name, version, calibration, orbit, start, end, missing
    )
    root = stamped(headers(facts), simulation)
    write = _write_netcdf if target.suffix in {".nc", ".nc4"} else _write_hdf5
    # HDF5 crashes when the disk fills up under it, so the file is made in memory first.
    image = io.BytesIO()
    write(image, sensor, root, arrays)
    with replacing(target) as draft:
        draft.write_bytes(image.getbuffer())
    return target


def granule_path(
    path: str | os.PathLike[str],
    sensor: Sensor,
    platform: str,
    orbit: int,
    groups: Mapping[str, L1CGroup],
    version: str = "V07A",
    calibration: str = "XCAL2016-C",
) -> Path:
    """Tell which file :func:`write_l1c` writes: in a folder that with the archive's own name."""
    target = Path(path)
    if not target.is_dir():
        return target
    return target / archive_name(
        sensor, platform, *_span(groups), orbit, version, calibration=calibration
    )


def stamped(root: Mapping[str, str], simulation: Mapping[str, str] | None) -> dict[str, str]:
    """Make root headers say that a granule is simulated, if it is."""
    if simulation is None:
        return dict(root)
    header = root["FileHeader"].replace("=PPS;", "=XRAIN-SIMULATION;")
    record = pvl({"Simulated": "TRUE", **simulation})
    return {**root, "FileHeader": header, "SimulationRecord": record}


def _check_groups(sensor: Sensor, groups: Mapping[str, L1CGroup]) -> None:
    names = [s.name for s in sensor.swaths]
    if set(names) != set(groups):
        raise InputError(
            f"{sensor.name} granule needs the swath groups {', '.join(names)}; "
            f"given are {', '.join(groups) or 'none'}"
        )
    for name, group in groups.items():
        scans = np.shape(group.time)
        channels = len(sensor.swath_channels(name))
        pixels = np.shape(group.latitude)[1:]
        if np.shape(group.tc) != scans + pixels + (channels,):
            raise InputError(
                f"{sensor.name} {name}: tc has shape {np.shape(group.tc)}, but time and latitude "
                f"say {scans + pixels} and the sensor has {channels} channels there"
            )


def _span(groups: Mapping[str, L1CGroup]) -> tuple[np.datetime64, np.datetime64]:
    times = np.concatenate([np.asarray(g.time, "datetime64[ns]") for g in groups.values()])
    valid = times[~np.isnat(times)]
    if valid.size == 0:
        raise InputError("no scan of the granule has a time; give at least one")
    return valid.min(), valid.max()


def _missing_scans(tc: AnyArray) -> int:
    return int(np.sum(np.all(tc == np.float32(FILLS["f4"]), axis=(1, 2))))


def _arrays(sensor: Sensor, name: str, group: L1CGroup, orbit: int) -> dict[str, AnyArray]:
    """Every dataset of one group, filled and typed as the layout says."""
    time = np.asarray(group.time, "datetime64[ns]")
    scans, pixels, channels = np.shape(group.tc)
    angles = np.atleast_3d(np.asarray(group.incidence_angle))
    index = group.incidence_angle_index or (1,) * channels
    values: dict[str, ArrayLike | None] = {
        "Latitude": group.latitude,
        "Longitude": group.longitude,
        "Quality": _quality(group),
        "SCstatus/FractionalGranuleNumber": orbit + np.arange(scans) / scans,
        "SCstatus/SCaltitude": group.spacecraft_altitude,
        "SCstatus/SClatitude": group.spacecraft_latitude,
        "SCstatus/SClongitude": group.spacecraft_longitude,
        "SCstatus/SCorientation": np.full(scans, float(group.spacecraft_orientation)),
        "Tc": group.tc,
        "incidenceAngle": angles,
        "incidenceAngleIndex": np.broadcast_to(np.asarray(index, float), (scans, channels)),
        "sunGlintAngle": _glint(group, angles.shape[-1]),
        "sunLocalTime": group.sun_local_time,
        **scan_time(time),
    }
    sizes = {
        "nscan": scans, "npixel": pixels, "nchannel": channels, "nchUIA": angles.shape[-1]
    }  # fmt: skip
    return {
        key: _typed(f"{sensor.name} {name}/{key}", values[key], kind, dims, sizes)
        for key, (kind, dims, _) in LAYOUT.items()
    }


def _typed(
    where: str, value: ArrayLike | None, kind: str, dims: str, sizes: Mapping[str, int]
) -> AnyArray:
    shape = tuple(sizes[d] for d in dims.split(","))
    if value is None:
        return np.full(shape, FILLS[kind], kind)
    array = np.asarray(value)
    if array.shape != shape:
        raise InputError(f"{where}: shape {array.shape}, expected {shape} ({dims})")
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), FILLS[kind], array)
        if kind[0] == "i":
            array = np.round(array)
    return np.ascontiguousarray(array, dtype=kind)


def _quality(group: L1CGroup) -> AnyArray:
    if group.quality is not None:
        return np.asarray(group.quality)
    return np.where(np.isnan(np.asarray(group.tc)).all(axis=-1), FILLS["i1"], 0)


def _glint(group: L1CGroup, angles: int) -> AnyArray | None:
    if group.sun_glint_angle is None:
        return None
    glint = np.atleast_3d(np.asarray(group.sun_glint_angle, float))
    # The archive stores a signed byte and cuts larger angles off.
    glint = np.broadcast_to(glint, (*glint.shape[:2], angles))
    return np.asarray(np.minimum(glint, 127.0))


def scan_time(time: NDArray[np.datetime64]) -> dict[str, AnyArray]:
    """Make the archive's nine time fields, NaN where the time is missing."""

    def part(unit: str, of: str) -> AnyArray:
        count = time.astype(f"M8[{unit}]") - time.astype(f"M8[{of}]").astype(f"M8[{unit}]")
        return np.where(np.isnat(time), np.nan, count.astype(float))

    year = time.astype("M8[Y]").astype(float) + 1970
    return {
        "ScanTime/Year": np.where(np.isnat(time), np.nan, year),
        "ScanTime/Month": part("M", "Y") + 1,
        "ScanTime/DayOfMonth": part("D", "M") + 1,
        "ScanTime/DayOfYear": part("D", "Y") + 1,
        "ScanTime/Hour": part("h", "D"),
        "ScanTime/Minute": part("m", "h"),
        "ScanTime/Second": part("s", "m"),
        "ScanTime/MilliSecond": part("ms", "s"),
        "ScanTime/SecondOfDay": part("ms", "D") / 1e3,
    }


def _datetime(time: np.datetime64) -> dt.datetime:
    seconds: dt.datetime = time.astype("datetime64[us]").item()
    return seconds


def _chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    row = max(1, int(np.prod(shape[1:])) * itemsize)
    return (max(1, min(shape[0], _CHUNK_BYTES // row)), *shape[1:])


def _write_hdf5(
    image: io.BytesIO,
    sensor: Sensor,
    root: Mapping[str, str],
    arrays: Mapping[str, Mapping[str, AnyArray]],
) -> None:
    with h5py.File(image, "w") as file:
        for key, text in root.items():
            file.attrs[key] = np.bytes_(text.encode())
        for name, group in arrays.items():
            swath = file.create_group(name)
            for key, text in group_headers(sensor, name, group).items():
                swath.attrs[key] = np.bytes_(text.encode())
            for key, array in group.items():
                dataset = swath.create_dataset(
                    key,
                    data=array,
                    chunks=_chunks(array.shape, array.itemsize),
                    compression="gzip",
                    compression_opts=4,
                    shuffle=True,
                )
                for attr, text in attributes(sensor, name, key).items():
                    dataset.attrs[attr] = np.bytes_(text.encode())
                dataset.attrs["_FillValue"] = array.dtype.type(FILLS[LAYOUT[key][0]])


def _write_netcdf(
    image: io.BytesIO,
    sensor: Sensor,
    root: Mapping[str, str],
    arrays: Mapping[str, Mapping[str, AnyArray]],
) -> None:
    import h5netcdf

    with h5netcdf.File(image, "w") as file:
        file.attrs.update(root)
        for name, group in arrays.items():
            swath = file.create_group(name)
            swath.attrs.update(group_headers(sensor, name, group))
            for key, array in group.items():
                attrs = attributes(sensor, name, key)
                dims = attrs["DimensionNames"].split(",")
                for dim, size in zip(dims, array.shape, strict=True):
                    if dim not in swath.dimensions:
                        swath.dimensions[dim] = size
                parent, _, leaf = key.rpartition("/")
                owner = _subgroup(swath, parent)
                variable = owner.create_variable(
                    leaf,
                    tuple(dims),
                    data=array,
                    chunks=_chunks(array.shape, array.itemsize),
                    compression="gzip",
                    compression_opts=4,
                    shuffle=True,
                    fillvalue=array.dtype.type(FILLS[LAYOUT[key][0]]),
                )
                variable.attrs.update(attrs)


def _subgroup(swath: Any, name: str) -> Any:
    if not name:
        return swath
    return swath[name] if name in swath.groups else swath.create_group(name)
