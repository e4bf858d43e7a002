"""Scores as rows of text, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.evaluation.strata import strata_names, stratum_label

__all__ = [
    "ROWS",
    "Cell",
    "Table",
    "difference_table",
    "rate_table",
    "score_table",
    "used_strata",
]


@dataclass(frozen=True)
class Row:
    """A score in a table.

    Attributes
    ----------
    head : str
        Its name for people, with the unit.
    score : str
        Its name in the Dataset.
    form : str
        How numbers are written.
    better : int
        1 if more is better, −1 if less is, 0 if nearer to zero is.
    """

    head: str
    score: str
    form: str
    better: int


ROWS: Final = (
    Row("Correlation", "correlation", ".3f", 1),
    Row("Bias, mm/h", "bias", "+.3f", 0),
    Row("Bias, share", "relative_bias", "+.1%", 0),
    Row("MAE, mm/h", "mae", ".3f", -1),
    Row("RMSE, mm/h", "rmse", ".3f", -1),
    Row("POD", "pod_flag", ".3f", 1),
    Row("FAR", "far_flag", ".3f", -1),
    Row("CSI", "csi_flag", ".3f", 1),
    Row("HSS", "hss_flag", ".3f", 1),
    Row("AUC", "auc", ".3f", 1),
    Row("CRPS, mm/h", "crps", ".3f", -1),
    Row("Effective resolution, km", "effective_resolution", ".0f", -1),
)
"""Scores of the tables, in their order; detection is that of the flag as delivered."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a number, its interval below, and how it is set."""

    text: str
    small: str = ""
    css: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first cell of each row is its head."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def score_table(scores: Mapping[str, xr.Dataset], stratum: str, caption: str) -> Table:
    """Tabulate the scores of one stratum, one column an estimate, the best of each row marked."""
    rows = []
    for row in ROWS:
        if _any(scores, row.score, stratum):
            best = _best(scores, row, stratum)
            cells = (_cell(one, row, stratum, best == name) for name, one in scores.items())
            rows.append((row.head, *cells))
    return Table(caption, ("Score", *scores), tuple(rows))


def rate_table(scores: Mapping[str, xr.Dataset], caption: str) -> Table:
    """Tabulate bias and error by class of the reference rate."""
    shown = (
        Row("mean, mm/h", "mean_estimate", ".2f", 0),
        Row("RMSE, mm/h", "rmse", ".2f", -1),
    )
    strata = [s for s in strata_names() if s.startswith("rate ")]
    first = next(iter(scores.values()))
    head = ["Reference rate", "Pixels", "Mean reference, mm/h"]
    head += [f"{name}: {c.head}" for name in scores for c in shown]
    rows = []
    for stratum in strata:
        here = first.sel(stratum=stratum)
        row: list[Any] = [
            stratum_label(stratum),
            Cell(f"{int(here['n'])}"),
            Cell(_text(here["mean_reference"], ".2f")),
        ]
        row += [_cell(one, c, stratum, False) for one in scores.values() for c in shown]
        rows.append(tuple(row))
    return Table(caption, tuple(head), tuple(rows))


def difference_table(
    differences: Mapping[str, xr.Dataset], first: str, stratum: str, caption: str
) -> Table:
    """Tabulate differences to the first estimate; bold where the interval leaves zero out."""
    rows = []
    for row in ROWS:
        if not _any(differences, row.score, stratum):
            continue
        signed = Row(row.head, row.score, "+" + row.form.lstrip("+"), 0)
        cells = []
        for one in differences.values():
            bounds = _bounds(one, row.score, stratum)
            sure = bounds is not None and bounds[0] * bounds[1] > 0
            cells.append(_cell(one, signed, stratum, sure))
        rows.append((row.head, *cells))
    return Table(caption, ("Score", *(f"{n} − {first}" for n in differences)), tuple(rows))


def used_strata(scores: xr.Dataset, fewest: int = 100) -> list[str]:
    """List the strata but rate classes that have enough pixels, and kinds with one of them once."""
    names = [s for s in strata_names() if not s.startswith("rate ")]
    kept = [s for s in names if float(scores["n"].sel(stratum=s)) >= fewest]
    seasons = [s for s in kept if s in ("DJF", "MAM", "JJA", "SON")]
    bands = [s for s in kept if s.startswith("latitude ")]
    lone = [k[0] for k in (seasons, bands) if len(k) == 1]
    return [s for s in kept if s not in lone]


def _any(scores: Mapping[str, xr.Dataset], score: str, stratum: str) -> bool:
    return any(
        score in one and np.isfinite(one[score].sel(stratum=stratum)) for one in scores.values()
    )


def _best(scores: Mapping[str, xr.Dataset], row: Row, stratum: str) -> str | None:
    there = {
        name: float(one[row.score].sel(stratum=stratum))
        for name, one in scores.items()
        if row.score in one and np.isfinite(one[row.score].sel(stratum=stratum))
    }
    if len(there) < 2:
        return None
    merit = {n: row.better * v if row.better else -abs(v) for n, v in there.items()}
    top = sorted(merit, key=lambda n: -merit[n])
    return top[0] if merit[top[0]] > merit[top[1]] else None


def _cell(one: xr.Dataset, row: Row, stratum: str, best: bool) -> Cell:
    if row.score not in one:
        return Cell("–")
    text = _text(one[row.score].sel(stratum=stratum), row.form)
    bounds = _bounds(one, row.score, stratum)
    small = "" if bounds is None else " to ".join(_number(b, row.form) for b in bounds)
    return Cell(text, small, "best" if best else "")


def _bounds(one: xr.Dataset, score: str, stratum: str) -> Sequence[float] | None:
    if f"{score}_interval" not in one:
        return None
    low, high = one[f"{score}_interval"].sel(stratum=stratum).values
    return None if np.isnan(low) or np.isnan(high) else (float(low), float(high))


def _text(value: xr.DataArray, form: str) -> str:
    return _number(float(value), form) if np.isfinite(value) else "–"


def _number(value: float, form: str) -> str:
    return f"{value:{form}}".replace("-", "−")
