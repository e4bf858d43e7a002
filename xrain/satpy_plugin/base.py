"""What xrain's Satpy readers share: files of one radiometer each, named as the archive does."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
from satpy.readers.core.file_handlers import BaseFileHandler
from satpy.readers.core.yaml_reader import FileYAMLReader

from xrain.conventions import SURFACE_PRECIP
from xrain.errors import InputError
from xrain.io.file_names import ALL_PREFIXES, is_archive_name, with_content
from xrain.io.scan_identity import distinct_scans
from xrain.sensors import find_sensor, list_sensors

Info = dict[str, Any]

_LOG = logging.getLogger(__name__)

PROVENANCE: Final = ("model", "model_version", "model_sha256", "granule", "source", "simulated")
LACKING: Final = ("37_GHz_V", "37_GHz_H", "89_GHz_V", "89_GHz_H", "183_GHz")
"""Fields that no file has, which composites require of instruments without such channels."""

ANY_SENSOR: Final = "radiometer"
"""Name under which Satpy looks for the composites of an instrument without a table."""

QUALITY_FILL: Final = 255
"""What resampling puts beyond the swath; no flags add up to it, since no flag is 128."""


class GranuleHandler(BaseFileHandler):
    """One file on a swath, of which a Scene shows the scans that no other file shows.

    Attributes
    ----------
    rows : dict of str to slice or ndarray
        Scans to show by swath group; all of a group that is not in it.
    """

    def __init__(self, filename: Any, filename_info: Info, filetype_info: Info) -> None:
        super().__init__(filename, dated(filename_info), filetype_info)
        self.rows: dict[str, Any] = {}

    @property
    def kind(self) -> str:
        """What files that a Scene joins must share, in words."""
        raise NotImplementedError

    @property
    def version(self) -> str:
        """Version of the product."""
        return ""

    def scan_times(self) -> dict[str, npt.NDArray[np.datetime64]]:
        """Give the times of the scans of each swath group."""
        raise NotImplementedError

    def cut(self, data: Any, group: str) -> Any:
        """Keep the scans to show of an array whose first axis is the scans of a group."""
        return data[self.rows[group]] if group in self.rows else data


class GranuleReader(FileYAMLReader):
    """Reader of files that a Scene can join: those of one radiometer.

    Attributes
    ----------
    unlike : str
        Message where they do not, with ``{found}`` for the kinds.
    """

    unlike: ClassVar[str] = "a Scene holds files of one radiometer, these are of {found}"

    def __init__(self, config_dict: Info, *args: Any, **kwargs: Any) -> None:
        config_dict["reader"]["sensors"] = [
            *(name.lower() for name in list_sensors()),
            ANY_SENSOR,
        ]
        super().__init__(config_dict, *args, **kwargs)

    def select_files_from_pathnames(self, filenames: Iterable[Any]) -> list[Any]:
        """Select files by their names, and those with other names by their content."""
        given = set(filenames)
        kinds = [t["content"] for t in self.config["file_types"].values() if "content" in t]
        named = list(given) if not kinds else [f for f in given if is_archive_name(f, ALL_PREFIXES)]
        known: list[Any] = super().select_files_from_pathnames(named) if named else []
        rest = given.difference(known)
        known += [f for kind in kinds for f in with_content(rest, kind)]
        return known or super().select_files_from_pathnames([])  # which logs that there is none

    @staticmethod
    def filename_items_for_filetype(
        filenames: Iterable[Any], filetype_info: Info
    ) -> Iterator[tuple[Any, Info]]:
        """Tell what the names of files say, nothing where only the content is known."""
        rest = filenames if isinstance(filenames, set) else set(filenames)
        yield from FileYAMLReader.filename_items_for_filetype(rest, filetype_info)
        if "content" in filetype_info:
            known = with_content(rest, filetype_info["content"])
            rest.difference_update(known)
            yield from ((f, {}) for f in known)

    def filter_filenames_by_info(
        self, filename_items: Iterable[tuple[str, Info]]
    ) -> Iterator[tuple[str, Info]]:
        """Keep files that overlap the wanted times; past midnight they end on the next day."""
        yield from super().filter_filenames_by_info((f, dated(i)) for f, i in filename_items)

    def create_filehandlers(
        self, filenames: Iterable[str], fh_kwargs: Info | None = None
    ) -> dict[str, list[Any]]:
        """Open the files, and let each scan be shown once; InputError if they are not alike."""
        created: dict[str, list[Any]] = super().create_filehandlers(filenames, fh_kwargs)
        kinds = {h.kind for handlers in self.file_handlers.values() for h in handlers}
        if len(kinds) > 1:
            raise InputError(self.unlike.format(found=" and ".join(sorted(kinds))))
        for kind, handlers in self.file_handlers.items():
            if len(handlers) > 1:
                self.file_handlers[kind] = share_scans(handlers)
        return created


def share_scans(handlers: list[GranuleHandler]) -> list[GranuleHandler]:
    """Let each scan that several files hold be shown by one, the newest version.

    Parameters
    ----------
    handlers : list of GranuleHandler
        Files of one radiometer.

    Returns
    -------
    list of GranuleHandler
        Those that show a scan, with their `rows` set.
    """
    times = [h.scan_times() for h in handlers]
    shown = [False] * len(handlers)
    for group in dict.fromkeys(g for t in times for g in t):
        there = [i for i, t in enumerate(times) if group in t]
        kept = distinct_scans(
            [times[i][group] for i in there], [handlers[i].version for i in there]
        )
        for i, rows in zip(there, kept, strict=True):
            handlers[i].rows[group] = _as_slice(rows)
            shown[i] |= rows.size > 0 or not times[i][group].size
    for handler, any_row in zip(handlers, shown, strict=True):
        if not any_row:
            _LOG.warning(
                "%s: left out, its scans are in other files, of this version or a newer one",
                handler.filename,
            )
    return [h for h, any_row in zip(handlers, shown, strict=True) if any_row]


def _as_slice(rows: npt.NDArray[np.intp]) -> Any:
    """Rows that follow one another as a slice, which keeps the chunks of the file."""
    if rows.size == 0:
        return slice(0, 0)
    whole = rows[-1] - rows[0] == rows.size - 1
    return slice(int(rows[0]), int(rows[-1]) + 1) if whole else rows


def dated(info: Info) -> Info:
    """Add the end to what the name of an archive's granule tells."""
    return {**info, "end_time": end_from_name(info)} if "end_clock" in info else info


def end_from_name(info: Info) -> dt.datetime:
    """Tell the end of a granule from its name, which gives the clock time alone."""
    start: dt.datetime = info["start_time"]
    end = dt.datetime.combine(start.date(), info["end_clock"].time())
    return end if end >= start else end + dt.timedelta(days=1)


def platform_attributes(sensor: str | None, platform: str | None, orbit: int | None) -> Info:
    """Instrument, satellite and orbit in Satpy's words; what is None is left out."""
    out: Info = {"rows_per_scan": 0}  # each row is a scan: ewa takes the swath as one
    if sensor:
        out["sensor"] = sensor.lower()
    if platform:
        table = find_sensor(sensor, platform) if sensor else None
        out["platform_name"] = table.platforms.get(platform, platform) if table else platform
    if orbit is not None:
        out |= dict.fromkeys(("orbit", "start_orbit", "end_orbit"), orbit)
    return out


def quantile_name(level: float) -> str:
    """Name of a quantile: 0.05 is ``surface_precip_q05``, 0.975 is ``surface_precip_q97.5``."""
    whole, point, rest = f"{100 * level:.10g}".partition(".")
    return f"{SURFACE_PRECIP}_q{whole:0>2}{point}{rest}"


def to_datetime(time: npt.NDArray[np.datetime64]) -> dt.datetime:
    """Turn a time of NumPy's into one of Python's, as Satpy wants it."""
    out: dt.datetime = time.astype("datetime64[us]").item()
    return out
