"""Which days are for training, which for validation, which for the test."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from xrain.errors import InputError

__all__ = ["Split"]

_PERIOD: Final = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_CYCLE: Final = 10


@dataclass(frozen=True)
class Split:
    """Days by purpose. All granules that begin on one day serve the same one.

    Attributes
    ----------
    test, validation : tuple of str
        Periods held out: a year ``"2019"``, a month ``"2019-06"``, a day ``"2019-06-15"``, or
        from one to another of them ``"2019-06/2019-08"``, the last included. Where no period is
        given, every tenth day since 1970 is held out for the test, and the day before it for
        validation; where only one is given, the other takes its tenth day of what is left.
    """

    test: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    _periods: dict[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        periods = {
            "test": [_parse(p) for p in self.test],
            "validation": [_parse(p) for p in self.validation],
        }
        object.__setattr__(self, "_periods", periods)

    def of(self, time: np.datetime64) -> str:
        """Purpose of a granule that begins at a time."""
        day = time.astype("datetime64[D]")
        for name, periods in self._periods.items():
            if any(first <= day < end for first, end in periods):
                return str(name)
        place = int(day.astype(int)) % _CYCLE
        for name, tenth in (("test", _CYCLE - 1), ("validation", _CYCLE - 2)):
            if place == tenth and not self._periods[name]:
                return name
        return "train"

    def to_dict(self) -> dict[str, list[str]]:
        """Return the periods as plain values."""
        return {"test": list(self.test), "validation": list(self.validation)}


def _parse(text: str) -> tuple[np.datetime64, np.datetime64]:
    """First day of a period and the day after its last."""
    first, _, last = text.partition("/")
    last = last or first
    if not (_PERIOD.fullmatch(first) and _PERIOD.fullmatch(last)):
        raise InputError(f"{text!r}: give a year, a month, a day, or two of them as first/last")
    try:
        start, end = np.datetime64(first), np.datetime64(last) + 1
    except ValueError as error:
        raise InputError(f"{text!r} is no date: {error}") from error
    days = start.astype("datetime64[D]"), end.astype("datetime64[D]")
    if days[1] <= days[0]:
        raise InputError(f"{text!r} ends before it begins")
    return days
