"""Model cards in words and tables, for ``xrain models``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from xrain.models.card import ModelCard

__all__ = ["METRICS", "card_facts", "correlation", "method", "score_tables", "used_metrics"]

METRICS = {
    "n": "pixels",
    "correlation": "correlation of the rain rate",
    "correlation_lone": "correlation, single-pixel branch alone",
    "correlation_ocean": "correlation over ocean",
    "correlation_ocean_lone": "correlation over ocean, single-pixel branch alone",
    "rmse": "root mean square error, mm/h",
    "mae": "mean absolute error, mm/h",
    "bias": "mean error, mm/h",
    "relative_bias": "mean error divided by the mean of the reference",
    "ratio_heavy": "retrieved over reference amount where the reference is 20 mm/h or more",
    "coverage50": "fraction of references inside the interval from 25 % to 75 %",
    "coverage90": "fraction of references inside the interval from 5 % to 95 %",
    "expectation": "rate and probability with neighbours over those without, by classes "
    "of the rate without neighbours (mm/h)",
    "coverage90_rain": "the same where it rains",
    "wet_fraction": "fraction of raining pixels in the reference",
    "pod": "probability of detection by the probability of precipitation",
    "far": "false alarm ratio",
    "csi": "critical success index",
    "hss": "Heidke skill score of the probability of precipitation",
    "hss_flag": "Heidke skill score of precip_flag",
    "auc": "area under the ROC curve of the probability of precipitation",
    "brier": "Brier score of the probability of precipitation",
    "brier_skill": "its gain over climatology, 1 for a perfect probability",
    "worst_reliability": "largest difference of stated and seen probability in a class of many",
    "rain_ratio": "total retrieved over total reference amount",
    "correlation_smooth": "correlation with the reference averaged over five pixels along track",
    "correlation_log": "correlation of logarithms where it rains",
    "correlation_log_given_rain": "the same of the mean on the condition that it rains",
    "crps": "continuous ranked probability score, mm/h",
    "heavy_share": "share of the retrieved amount at 10 mm/h or more",
    "heavy_share_reference": "the same of the reference",
    "pod_flag": "probability of detection by precip_flag",
    "far_flag": "false alarm ratio of precip_flag",
    "pod_0.1": "probability of detection by the mean, of 0.1 mm/h or more; so pod_1 and pod_10",
    "far_0.1": "its false alarm ratio; so far_1 and far_10",
    "hss_0.1": "its Heidke skill score; so hss_1 and hss_10",
    "hss_10_smooth": "the same at 10 mm/h of the reference averaged over five pixels",
    "by_rate": "total over reference, and correlation, by classes of the reference in mm/h",
    "reliability": "stated probability and how often it came true, by classes of the former",
}
"""What the scores on a card are."""

_METHODS = {
    "constellation-unet": "network",
    "bayesian-inversion": "Bayesian",
}

_INTERVAL = "_interval"

_SURFACES = ("all", "ocean", "land", "coast", "mixed", "ice")


def method(card: ModelCard) -> str:
    """Name the kind of model."""
    kind = str(card.architecture.get("kind", ""))
    return _METHODS.get(kind, kind)


def correlation(card: ModelCard, *sources: str) -> float | None:
    """Find the first correlation of kinds of scores, that after training and for all surfaces."""
    found = (_first_correlation(card.scores.get(source)) for source in sources)
    return next((value for value in found if value is not None), None)


def _first_correlation(scores: Any) -> float | None:
    if not isinstance(scores, dict):
        return None
    value = scores.get("correlation")
    if isinstance(value, int | float):
        return float(value)
    keys = [k for k in ("after", "all") if k in scores] or list(scores)
    found = (_first_correlation(scores[k]) for k in keys)
    return next((value for value in found if value is not None), None)


def card_facts(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Yield what a card says of the model itself, as pairs of a name and a text."""
    low, high = card.frequency_range
    yield "method", method(card)
    yield "sensor", card.sensor or "any"
    yield "channels", ", ".join(card.channels) or f"any from {low:g} to {high:g} GHz"
    yield "estimates", card.task
    yield "event frequency", f"{card.event_frequency:.3f} of the training pixels rain"
    yield "threshold", f"precip_flag is 1 where the probability reaches {card.threshold:g}"
    yield "licence", card.licence
    for key, value in card.training.items():
        if text := _text(value):
            yield f"training, {key.replace('_', ' ')}", text


def _text(value: Any) -> str:
    """Write a value of a card on one line."""
    if isinstance(value, dict):
        return "; ".join(f"{k}: {_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{round(value, 4):.4g}"
    return f"{value:,}" if type(value) is int and abs(value) >= 10_000 else str(value)


def score_tables(card: ModelCard) -> Iterator[Table]:
    """Yield one table for each data set that a card has scores of."""
    for path, group in _groups(card.scores, ()):
        columns = [s for s in _SURFACES if isinstance(group.get(s), dict)]
        table = Table(", ".join(path), *columns or [""], box=None, padding=(0, 2, 0, 0))
        table.columns[0].no_wrap = True
        for column in table.columns[1:]:
            column.justify = "right"
        parts = [group[c] for c in columns] or [group]
        for name in dict.fromkeys(key for part in parts for key in part):
            if not name.endswith(_INTERVAL):
                for row in _rows(name, parts):
                    table.add_row(*row)
        yield table


def _rows(name: str, parts: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield the row of a score, or one row for each class of rates or probabilities."""
    if not isinstance(parts[0].get(name), list):
        yield (f"  {name}", *(_with_interval(name, part) for part in parts))
        return
    rows = [{_start(c): c for c in part.get(name, [])} for part in parts]
    for start in dict.fromkeys(start for found in rows for start in found):
        yield (f"  {name} from {start:g}", *(_class(found.get(start)) for found in rows))


def _start(row: dict[str, float]) -> float:
    return row["from"] if "from" in row else row["low"]


def _class(row: dict[str, float] | None) -> str:
    """Write the two numbers of a class."""
    pairs = (("mean", "probability"), ("ratio", "correlation"), ("probability", "frequency"))
    for pair in pairs:
        if row is not None and pair[0] in row and not {*pair} - {*row}:
            return " ".join(f"{row[k]:.2f}" for k in pair)
    return "–"


def _with_interval(name: str, scores: dict[str, Any]) -> str:
    """Write a score, with its interval if it has one."""
    text = _number(name, scores.get(name))
    bounds = scores.get(f"{name}{_INTERVAL}")
    return f"{text} [{', '.join(_number(name, b) for b in bounds)}]" if bounds else text


def _groups(scores: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Walk down to the dicts that hold numbers, or numbers by surface."""
    if not isinstance(scores, dict) or not scores:
        return
    inner = [v for k, v in scores.items() if isinstance(v, dict)]
    if len(inner) < len(scores) or any(isinstance(scores.get(s), dict) for s in _SURFACES):
        yield path, scores
        return
    for key, value in scores.items():
        yield from _groups(value, (*path, key))


def _number(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, dict | list | tuple | str):
        return _text(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def used_metrics(card: ModelCard) -> dict[str, str]:
    """Return what the scores on a card mean, in the order of :data:`METRICS`."""
    used = {name for _, group in _groups(card.scores, ()) for name in _names(group)}
    return {name: text for name, text in METRICS.items() if name in used}


def _names(group: dict[str, Any]) -> Iterator[str]:
    for key, value in group.items():
        if isinstance(value, dict):
            yield from _names(value)
        else:
            yield key
