"""A comparison of retrievals on paper: a table, a JSON file and a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xrain.atomic import replacing
from xrain.evaluation.compare import Comparison
from xrain.evaluation.report.page import render_page
from xrain.evaluation.report.tables import score_table
from xrain.evaluation.scorecard import to_json

__all__ = ["comparison_dict", "score_table", "write_comparison"]


def write_comparison(comparison: Comparison, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write a comparison as ``report.html`` and ``scores.json``, each whole or not at all.

    Parameters
    ----------
    comparison : Comparison
        From :func:`xrain.evaluation.compare.compare`.
    folder : path
        Where to write; made if absent.

    Returns
    -------
    page, numbers : Path
        The two files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    XrainError
        If matplotlib or jinja2 is not installed.

    See Also
    --------
    xrain.compare : Makes the comparison.
    """
    page, numbers = Path(folder) / "report.html", Path(folder) / "scores.json"
    with replacing(numbers) as draft:
        draft.write_text(to_json(comparison_dict(comparison)), encoding="utf-8")
    with replacing(page) as draft:
        draft.write_text(render_page(comparison), encoding="utf-8")
    return page, numbers


def comparison_dict(comparison: Comparison) -> dict[str, Any]:
    """Give a comparison as plain numbers and words for JSON.

    Returns
    -------
    dict
        ``reference``, ``granules``, ``notes``, ``estimates`` (facts of each and its ``scores``) and
        ``differences``. Scores are nested: stratum, then score; those with other dimensions lie in
        ``diagrams`` as lists beside their coordinates. What is undefined is None.
    """
    return {
        "reference": comparison.reference,
        "notes": comparison.notes,
        "granules": comparison.granules,
        "estimates": {
            name: {**comparison.competitors[name], **_plain(scores)}
            for name, scores in comparison.scores.items()
        },
        "differences": {n: _plain(d)["scores"] for n, d in comparison.differences.items()},
    }


def _plain(scores: xr.Dataset) -> dict[str, Any]:
    by_stratum: dict[str, dict[str, Any]] = {}
    for stratum in scores["stratum"].values:
        here = scores.sel(stratum=stratum)
        by_stratum[str(stratum)] = {
            str(name): _numbers(here[name].values)
            for name in here.data_vars
            if "stratum" in scores[name].dims and set(here[name].dims) <= {"bound"}
        }
    rest = [n for n in scores.data_vars if not set(scores[n].dims) <= {"stratum", "bound"}]
    diagrams: dict[str, Any] = {str(c): scores[c].values.tolist() for c in scores.coords}
    diagrams |= {str(n): _numbers(scores[n].values) for n in rest}
    return {"scores": by_stratum, "diagrams": diagrams}


def _numbers(values: Any) -> Any:
    """Numbers for JSON: None where not finite, whole where whole."""
    if isinstance(values, np.ndarray) and values.ndim:
        return [_numbers(v) for v in values]
    number = float(values)
    return number if np.isfinite(number) else None
