"""What xrain's Satpy readers share: files of one radiometer each, named as the archive does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
from satpy.readers.core.yaml_reader import FileYAMLReader

from xrain.conventions import SURFACE_PRECIP
from xrain.errors import InputError
from xrain.sensors import find_sensor, list_sensors

Info = dict[str, Any]

PROVENANCE: Final = ("model", "model_version", "model_sha256", "granule", "source", "simulated")
QUALITY_FILL: Final = 255
"""What resampling puts beyond the swath; no flags add up to it, since no flag is 128."""


class GranuleReader(FileYAMLReader):  # type: ignore[misc]
    """Reader of files that a Scene can join: those of one radiometer.

    Its file handlers have a property ``kind``, which says in words what files must share.

    Attributes
    ----------
    unlike : str
        Message where they do not, with ``{found}`` for the kinds.
    """

    unlike: ClassVar[str] = "a Scene holds files of one radiometer, these are of {found}"

    def __init__(self, config_dict: Info, *args: Any, **kwargs: Any) -> None:
        config_dict["reader"]["sensors"] = [name.lower() for name in list_sensors()]
        super().__init__(config_dict, *args, **kwargs)

    def filter_filenames_by_info(
        self, filename_items: Iterable[tuple[str, Info]]
    ) -> Iterator[tuple[str, Info]]:
        """Keep files that overlap the wanted times; past midnight they end on the next day."""
        yield from super().filter_filenames_by_info((f, dated(i)) for f, i in filename_items)

    def create_filehandlers(
        self, filenames: Iterable[str], fh_kwargs: Info | None = None
    ) -> dict[str, list[Any]]:
        """Open the files; InputError if they are not alike."""
        created: dict[str, list[Any]] = super().create_filehandlers(filenames, fh_kwargs)
        kinds = {h.kind for handlers in self.file_handlers.values() for h in handlers}
        if len(kinds) > 1:
            raise InputError(self.unlike.format(found=" and ".join(sorted(kinds))))
        return created


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
    out: Info = {}
    if sensor:
        out["sensor"] = sensor.lower()
    if platform:
        table = find_sensor(sensor) if sensor else None
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
