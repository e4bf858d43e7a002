"""What the values of a model card may be: cards come from others too."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

__all__ = ["MOST_TEXT", "find_faults", "parse_json"]

MOST_TEXT: Final = 4 << 20
"""Bytes of a card."""

NAME: Final = re.compile(r"[\w.-]{1,100}", re.ASCII)
_FILE: Final = re.compile(r"(\.\./)?\w[\w.+-]{0,149}(/\w[\w.+-]{0,149}){0,3}", re.ASCII)
_SHA256: Final = re.compile("[0-9a-f]{64}")

_HIGHEST_VERSION: Final = 999_999
_MOST: Final = 1000  # channels, classes, files
_WIDEST: Final = 4096  # any whole number of an architecture
_DEEPEST: Final = 64  # blocks of an architecture
_LARGEST: Final = 1e9  # any other number of it
_TEXTS: Final = ("name", "summary", "task", "licence", "precision")


def parse_json(text: str) -> dict[str, Any]:
    """Parse the text of a card.

    Raises
    ------
    ValueError
        If it is too large, too deep, no JSON object, or has a number that is not finite.
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"it is larger than {MOST_TEXT} characters")
    try:
        values = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("its objects are nested too deep") from error
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    return values


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def find_faults(values: Mapping[str, Any]) -> list[str]:
    """Say everything that is wrong with the values of a card, which have the right types.

    Parameters
    ----------
    values : mapping
        Values by field of :class:`xrain.models.card.ModelCard`; fields may be absent.

    Returns
    -------
    list of str
        One clause for each fault.
    """
    faults = [fault for name, check in _CHECKS.items() if name in values
              for fault in check(values[name])]  # fmt: skip
    faults += [f"{n} must be text" for n in _TEXTS if not isinstance(values.get(n, ""), str)]
    if not isinstance(values.get("sensor"), str | None):
        faults.append("sensor must be text or null")
    prior = values.get("prior")
    if prior is not None and len(prior) != len(values["rates"]):
        faults.append("prior must have a share for every class")
    return faults


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))


def _name(value: Any) -> list[str]:
    good = isinstance(value, str) and NAME.fullmatch(value)
    return [] if good else ["name must be letters, digits, '-', '_' and '.'"]


def _version(value: int) -> list[str]:
    return [] if 1 <= value <= _HIGHEST_VERSION else ["version must be 1 or more"]


def _rates(value: Sequence[float]) -> list[str]:
    rises = all(b > a for a, b in itertools.pairwise(value))
    if not rises or not _finite(value) or not 2 <= len(value) <= _MOST or value[0] <= 0:
        return ["rates must rise, be positive and finite, and be two at least"]
    return []


def _inputs(value: Sequence[Any]) -> list[str]:
    if len(value) > _MOST:
        return [f"{len(value)} channels are too many"]
    return [
        f"channel {c.name} has a number that is out of bounds"
        for c in value
        if not _finite([c.frequency, *c.sideband_offsets, c.incidence_angle, *c.footprint, c.nedt])
        or not 0 < c.frequency < _WIDEST
        or len(c.footprint) != 2
    ]


def _ranges(value: Mapping[str, tuple[float, float]]) -> list[str]:
    good = all(low < high and _finite((low, high)) for low, high in value.values())
    return [] if good else ["ranges must be finite, the lower bound first"]


def _frequency_range(value: Sequence[float]) -> list[str]:
    good = len(value) == 2 and _finite(value) and 0 <= value[0] < value[1]
    return [] if good else ["frequency_range must be two frequencies, the lower one first"]


def _prior(value: Sequence[float] | None) -> list[str]:
    if value is None or (_finite(value) and min(value) >= 0 and abs(sum(value) - 1) < 0.01):
        return []
    return ["prior must be shares that add up to 1"]


def _share(name: str) -> Callable[[float], list[str]]:
    return lambda value: [] if 0 <= value <= 1 else [f"{name} must lie between 0 and 1"]


def _bounds(name: str, lowest: int) -> Callable[[int], list[str]]:
    text = f"{name} must be {lowest} or more, and {_WIDEST} at most"
    return lambda value: [] if lowest <= value <= _WIDEST else [text]


def _files(value: Mapping[str, str]) -> list[str]:
    faults = [f"{file!r:.100} leaves its folder, or has odd characters"
              for file in value if not _FILE.fullmatch(file)]  # fmt: skip
    if len(value) > _MOST or not all(_SHA256.fullmatch(str(v)) for v in value.values()):
        faults.append("sha256s must be 64 hexadecimal digits each")
    return faults


def _architecture(value: Mapping[str, Any]) -> list[str]:
    wrong = sorted({key for key, number in _numbers(value) if not _is_bounded(key, number)})
    return [f"architecture: {key} is out of bounds" for key in wrong]


def _numbers(value: Any, key: str = "", depth: int = 0) -> list[tuple[str, float]]:
    """All numbers of nested values, each with the name under which it stands."""
    if depth > 8:
        return [(key, math.nan)]
    if isinstance(value, Mapping):
        return [n for k, v in value.items() for n in _numbers(v, str(k), depth + 1)]
    if isinstance(value, list | tuple):
        return [n for v in value for n in _numbers(v, key, depth + 1)]
    return [(key, value)] if isinstance(value, int | float) else []


def _is_bounded(key: str, number: float) -> bool:
    if isinstance(number, int):
        return 0 <= number <= (_DEEPEST if "blocks" in key else _WIDEST)
    return math.isfinite(number) and abs(number) <= _LARGEST


def _outliers(value: Mapping[str, Any]) -> list[str]:
    return [f"outliers of {name!r:.50} cannot be used" for name, test in value.items()
            if not _is_test(test)]  # fmt: skip


def _is_test(values: Any) -> bool:
    """Whether values describe a mixture as :mod:`xrain.models.outliers` takes it."""
    try:
        count = len(values["channels"])
        good = all(isinstance(name, str) for name in values["channels"])
        for part in values["components"]:
            mean = np.array(part["mean"], np.float64)
            covariance = np.array(part["covariance"], np.float64)
            good &= mean.shape == (count,) and covariance.shape == (count, count)
            good &= bool(np.isfinite(mean).all()) and 0 < float(part["limit"]) < math.inf
            np.linalg.cholesky(covariance)
            good &= bool(np.isfinite(covariance).all())
        return good and 0 < count <= _MOST and 0 < len(values["components"]) <= _MOST
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError):
        return False


_CHECKS: Final[dict[str, Callable[[Any], list[str]]]] = {
    "name": _name,
    "version": _version,
    "rates": _rates,
    "inputs": _inputs,
    "ranges": _ranges,
    "frequency_range": _frequency_range,
    "prior": _prior,
    "event_frequency": _share("event_frequency"),
    "threshold": _share("threshold"),
    "stride": _bounds("stride", 1),
    "halo": _bounds("halo", 0),
    "sha256s": _files,
    "architecture": _architecture,
    "outliers": _outliers,
}
