"""How the archive names its granules: the one list of prefixes and endings.

Names only help to find files; what a file is tells its content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = [
    "ALL_PREFIXES", "ENDINGS", "L1C_PREFIXES", "L2_PREFIXES", "MAP_PREFIXES", "is_archive_name",
    "product_of", "satpy_patterns", "with_content",
]  # fmt: skip

ENDINGS: Final = ("HDF5", "h5", "nc", "nc4", "HDF5.nc4", "RT-H5", "RT-NC")
"""HDF5 of versions 5 to 7, netCDF-4 since version 8, copies by OPeNDAP, and near real time."""

L1C_PREFIXES: Final = ("1C", "1C-R")
"""In the geometry of the instrument, and on the pixels of its first swath."""

L2_PREFIXES: Final = ("2A", "2A-CLIM", "2A-CLIM-PA", "2A-PA", "2A-CS-*", "2B", "2B-CS-*")
"""Rain on a swath: with other ancillary data (CLIM), partial (PA), cut to a box (CS)."""

MAP_PREFIXES: Final = ("3B-HHR", "3B-HHR-E", "3B-HHR-L")
"""Half-hourly IMERG: final, early and late run."""

ALL_PREFIXES: Final = (*L1C_PREFIXES, *L2_PREFIXES, *MAP_PREFIXES)

VERSIONS: Final = ("{version:4s}", "{version:6s}", "{version:7s}")
"""Of public products (V08A), and of those to partners and for tests (PAR702, parv804). The widths
keep files that lie beside a granule, such as ``.rain.nc``, from being taken for one."""

_FIELDS: Final = (
    "{platform_shortname}.{instrument}.{algorithm}.{start_time:%Y%m%d-S%H%M%S}-E{end_clock:%H%M%S}"
)


def is_archive_name(name: Any, prefixes: Sequence[str]) -> bool:
    """Whether a path has the name of a granule with one of some prefixes.

    Parameters
    ----------
    name : object
        What was given to be opened.
    prefixes : sequence of str
        Such as :data:`L1C_PREFIXES`.

    Returns
    -------
    bool
        False for what is no path.

    Examples
    --------
    >>> is_archive_name("1C.GPM.GMI.XCAL2016-C.20260617-S055200-E055658.V08A.RT-NC", ["1C"])
    True
    """
    if not isinstance(name, str | os.PathLike):
        return False
    starts = "|".join(re.escape(p).replace(r"\*", r"[^.]+") for p in prefixes)
    ends = "|".join(map(re.escape, ENDINGS))
    base = os.path.basename(os.fsdecode(name))
    return re.fullmatch(rf"({starts})\..+\.({ends})", base, re.IGNORECASE) is not None


def satpy_patterns(*prefixes: str) -> list[str]:
    """List file patterns of a Satpy reader: with and without an orbit, in every ending.

    Near-real-time pieces of some minutes have no orbit in their names.

    Parameters
    ----------
    *prefixes : str
        Such as ``"1C"``; an asterisk becomes a field called ``box``.

    Returns
    -------
    list of str
    """
    return [
        f"{prefix.replace('*', '{box}')}.{_FIELDS}.{orbit}{version}.{ending}"
        for prefix in prefixes
        for orbit in ("{orbit:06d}.", "")
        for version in VERSIONS
        for ending in ENDINGS
    ]


def product_of(path: Any) -> str:
    """Return what a granule says that it is, empty if it says nothing.

    Parameters
    ----------
    path : path-like
        Any file.

    Returns
    -------
    str
        The ``AlgorithmID`` of its header, such as ``"1CGMI"`` or ``"2AGPROFMHS"``, with ``1C-R``
        instead of ``1C`` where the channels were brought to one grid.
    """
    from xrain.errors import FileFormatError
    from xrain.io.hdf5 import open_file
    from xrain.io.header import read_header

    try:
        with open_file(path) as file:
            header = read_header(file)
    except FileFormatError:
        return ""
    product = header.get("AlgorithmID", "")
    if header.get("FileName", "").startswith("1C-R."):
        product = re.sub(r"^1C(-?R)?", "1C-R", product)
    return product


def with_content(paths: Iterable[Any], product: str) -> list[Any]:
    """Choose the files that hold a product, whatever their names.

    Parameters
    ----------
    paths : iterable of path-like
        Any files.
    product : str
        Regular expression for the beginning of what :func:`product_of` says.

    Returns
    -------
    list
        Sorted by name.
    """
    return sorted((p for p in paths if re.match(product, product_of(p))), key=str)
