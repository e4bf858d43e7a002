"""Layout of an L1C granule: its datasets, their attributes and the PVL headers.

After the *GPM L1C file specification* of NASA's Precipitation Processing System and granules of
version V07A; kept apart from the writer because it is data rather than work.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xrain.sensors import Channel, Sensor

AnyArray = NDArray[Any]

FILLS = {"f4": -9999.9, "f8": -9999.9, "i2": -9999, "i1": -99}
CODES = {"f4": "-9999.9", "f8": "-9999.9", "i2": "-9999", "i1": "-99"}

# name: type, dimensions, units; in the order of the archive
LAYOUT: dict[str, tuple[str, str, str | None]] = {
    "Latitude": ("f4", "nscan,npixel", "degrees"),
    "Longitude": ("f4", "nscan,npixel", "degrees"),
    "Quality": ("i1", "nscan,npixel", None),
    "SCstatus/FractionalGranuleNumber": ("f8", "nscan", None),
    "SCstatus/SCaltitude": ("f4", "nscan", "km"),
    "SCstatus/SClatitude": ("f4", "nscan", "degrees"),
    "SCstatus/SClongitude": ("f4", "nscan", "degrees"),
    "SCstatus/SCorientation": ("i2", "nscan", "degrees"),
    "ScanTime/DayOfMonth": ("i1", "nscan", "days"),
    "ScanTime/DayOfYear": ("i2", "nscan", "days"),
    "ScanTime/Hour": ("i1", "nscan", "hours"),
    "ScanTime/MilliSecond": ("i2", "nscan", "ms"),
    "ScanTime/Minute": ("i1", "nscan", "minutes"),
    "ScanTime/Month": ("i1", "nscan", "months"),
    "ScanTime/Second": ("i1", "nscan", "s"),
    "ScanTime/SecondOfDay": ("f8", "nscan", "s"),
    "ScanTime/Year": ("i2", "nscan", "years"),
    "Tc": ("f4", "nscan,npixel,nchannel", "K"),
    "incidenceAngle": ("f4", "nscan,npixel,nchUIA", "degrees"),
    "incidenceAngleIndex": ("i1", "nscan,nchannel", None),
    "sunGlintAngle": ("i1", "nscan,npixel,nchUIA", "degrees"),
    "sunLocalTime": ("f4", "nscan,npixel", "hours"),
}

_MOST_SCANS = 4300  # header value only, as for MHS


def pvl(values: Mapping[str, object]) -> str:
    """Format a header in the archive's parameter-value language."""
    return "".join(f"{key}={value};\n" for key, value in values.items())


def _stamp(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, unit='ms')}Z"


@dataclass(frozen=True)
class GranuleFacts:
    """What the headers say of a granule.

    Attributes
    ----------
    sensor : Sensor
        The instrument.
    platform, filename, version, calibration : str
        As in the archive's file name.
    orbit : int
        Granule number.
    start, end : numpy.datetime64
        Times of first and last scan.
    missing : int
        Scans of the reference swath without any brightness temperature.
    """

    sensor: Sensor
    platform: str
    filename: str
    version: str
    calibration: str
    orbit: int
    start: np.datetime64
    end: np.datetime64
    missing: int


def headers(facts: GranuleFacts) -> dict[str, str]:
    """Make the PVL headers of the root group."""
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    sensor, platform = facts.sensor, facts.platform
    digits = facts.version.lstrip("V")[:2]
    number = digits.lstrip("0")
    level = "C (Consensus)" if facts.calibration.endswith("C") else "V (Verified)"
    file_header = {
        "DOI": f"10.5067/GPM/{sensor.name}/{platform}/1C/{digits}",
        "DOIauthority": "http://dx.doi.org/",
        "DOIshortName": f"1C{platform}{sensor.name}",
        "AlgorithmID": f"1C{sensor.name}",
        "AlgorithmVersion": facts.calibration.removeprefix("XCAL"),
        "FileName": facts.filename,
        "SatelliteName": platform,
        "InstrumentName": sensor.name,
        "GenerationDateTime": now,
        "StartGranuleDateTime": _stamp(facts.start),
        "StopGranuleDateTime": _stamp(facts.end),
        "GranuleNumber": f"{facts.orbit:06d}",
        "NumberOfSwaths": len(sensor.swaths),
        "NumberOfGrids": 0,
        "GranuleStart": "SOUTHERNMOST_LATITUDE",
        "TimeInterval": "ORBIT",
        "ProcessingSystem": "PPS",
        "ProductVersion": facts.version,
        "EmptyGranule": "NOT_EMPTY",
        "MissingData": facts.missing,
    }
    file_info = {
        "DataFormatVersion": f"{number}e",
        "TKCodeBuildVersion": 0,
        "MetadataVersion": f"{number}e",
        "FormatPackage": f"HDF5-{h5py.version.hdf5_version}",
        "BlueprintFilename": f"GPM.V{number}.1C{sensor.name}.blueprint.xml",
        "BlueprintVersion": "BV_69",
        "TKIOVersion": "3.99",
        "MetadataStyle": "PVL",
        "EndianType": "LITTLE_ENDIAN",
    }
    return {
        "FileHeader": pvl(file_header),
        "FileInfo": pvl(file_info),
        "InputRecord": pvl(
            {"InputFileNames": "", "InputAlgorithmVersions": "", "InputGenerationDateTimes": ""}
        ),
        "NavigationRecord": pvl({"EphemerisFileName": "", "AttitudeFileName": ""}),
        "XCALinfo": pvl(
            {
                "CalibrationStandard": "GPM GMI V05 Tb",
                "CalibrationTable": f"1C.{platform}.{sensor.name}.{facts.calibration}.tbl",
                "CalibrationLevel": level,
            }
        ),
    }


def group_headers(sensor: Sensor, name: str, arrays: Mapping[str, AnyArray]) -> dict[str, str]:
    """Make the PVL headers of one swath group."""
    scans, pixels, _ = arrays["Tc"].shape
    index = arrays["incidenceAngleIndex"][0]
    swath = sensor.swath(name)
    period = max(s.scan_period for s in sensor.swaths)
    header = {
        "NumberScansInSet": max(1, round(period / swath.scan_period)),
        "MaximumNumberScansTotal": max(_MOST_SCANS, scans),
        "NumberScansBeforeGranule": 0,
        "NumberScansGranule": scans,
        "NumberScansAfterGranule": 0,
        "NumberPixels": pixels,
        "ScanType": sensor.scan_type.replace("-", "").upper(),
    }
    return {
        f"{name}_IncidenceAngleIndex": pvl({"IncidenceAngleIndex": ",".join(map(str, index))}),
        f"{name}_SwathHeader": pvl(header),
    }


def _channel_text(sensor: Sensor, channel: Channel) -> str:
    """Name a channel in the archive's own words, which leave mixed polarisations out or plain."""
    text = f"{channel.frequency:g}"
    text += ".0" if "." not in text else ""
    for offset in channel.sideband_offsets[:1]:
        text += f" +/-{offset:g}"
    plain = {"MHS": channel.polarization.lstrip("Q"), "AMSUB": "", "SAPHIR": ""}
    polarization = plain.get(sensor.name, channel.polarization)
    scan = f" {channel.name[-1]}-Scan" if channel.name[-2:] in {"-A", "-B"} else ""
    return f"{text} GHz" + (f" {polarization}-Pol" if polarization else "") + scan


def _long_name(sensor: Sensor, name: str) -> str:
    texts = [
        f"{i}) {_channel_text(sensor, c)}" for i, c in enumerate(sensor.swath_channels(name), 1)
    ]
    return "\nIntercalibrated Tb for channels \n" + "\n".join(texts) + "\n"


def attributes(sensor: Sensor, group: str, key: str) -> dict[str, str]:
    """Make the text attributes of one dataset of a swath group."""
    kind, dims, units = LAYOUT[key]
    number = group.removeprefix("S")
    attrs = {
        "CodeMissingValue": CODES[kind],
        "DimensionNames": ",".join(f"{d}{number}" for d in dims.split(",")),
    }
    if key == "Tc":
        attrs["LongName"] = _long_name(sensor, group)
    if units is not None:
        attrs |= {"Units": units, "units": units}
    return attrs
