"""The headers of a granule of the archive: parameters and values as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import h5py

from xrain.io.hdf5 import text_attribute

__all__ = ["granule_number", "parse_pvl", "read_header"]

HEADERS: Final = ("FileHeader", "FileInfo", "InputRecord", "NavigationRecord", "XCALinfo")
SIMULATION: Final = "SimulationRecord"

_KEY: Final = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def parse_pvl(content: str) -> dict[str, str]:
    r"""Read ``key=value;`` lines of a PVL header.

    Parameters
    ----------
    content : str
        The header.

    Returns
    -------
    dict of str to str
        Values without control characters, which could command a terminal; lines whose key is no
        name are left out.

    Examples
    --------
    >>> parse_pvl("SatelliteName=GPM;\nGranuleNumber=000079;\n")
    {'SatelliteName': 'GPM', 'GranuleNumber': '000079'}
    """
    pairs = (line.split("=", 1) for line in content.replace("\r", "").split(";\n"))
    found = ((p[0].strip(), p[1].strip().rstrip(";")) for p in pairs if len(p) == 2)
    return {key: _CONTROL.sub(" ", value) for key, value in found if _KEY.fullmatch(key)}


def read_header(file: h5py.File) -> dict[str, str]:
    """Read all PVL headers of a file into one dictionary, empty if there are none."""
    out: dict[str, str] = {}
    for name in HEADERS:
        out |= parse_pvl(text_attribute(file, name))
    if SIMULATION in file.attrs:
        record = parse_pvl(text_attribute(file, SIMULATION))
        out["simulated"] = ", ".join(f"{k} {v}" for k, v in record.items() if k != "Simulated")
    return out


def granule_number(header: Mapping[str, str]) -> int:
    """Return the orbit that a header names, −1 where it names none."""
    number = header.get("GranuleNumber", "")
    return int(number) if re.fullmatch(r"-?[0-9]{1,9}", number) else -1
