"""A comparison as one HTML page that opens from the disk: no script, no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata, resources
from typing import Any

import numpy as np

from xrain.conventions import SURFACE_PRECIP
from xrain.evaluation.compare import Comparison
from xrain.evaluation.report.pictures import Picture, draw_picture
from xrain.evaluation.report.tables import (
    Cell,
    Table,
    difference_table,
    rate_table,
    score_table,
    used_strata,
)
from xrain.evaluation.strata import stratum_label
from xrain.extras import require

__all__ = ["render_page"]

MANY = 12
"""Granules that are listed openly."""


@dataclass(frozen=True)
class Section:
    """A part of the page, with a heading."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Picture, ...] = ()
    hidden: tuple[dict[str, Any], ...] = field(default_factory=tuple)


def render_page(comparison: Comparison) -> str:
    """Write a comparison as a page.

    Parameters
    ----------
    comparison : Comparison
        From :func:`xrain.evaluation.compare.compare`.

    Returns
    -------
    str
        HTML with its style and its pictures inside.

    Raises
    ------
    MissingPackageError
        If jinja2 or matplotlib is not installed.
    """
    require("matplotlib", "plot", "reports")
    require("jinja2", "evaluate", "reports")
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("xrain.evaluation.report").joinpath("template.html").read_text("utf-8")
    return environment.from_string(source).render(
        title=f"Rain retrievals against {comparison.reference}",
        lead=_lead(comparison),
        notes=comparison.notes,
        sections=_sections(comparison),
        footer=f"Made by xrain {metadata.version('xrain')}; scores by scores "
        f"{metadata.version('scores')}.",
    )


def _lead(comparison: Comparison) -> str:
    names = ", ".join(comparison.scores)
    whole = next(iter(comparison.scores.values())).sel(stratum="all")
    count = len(comparison.granules)
    sensors = ", ".join(dict.fromkeys(g["sensor"] for g in comparison.granules))
    return (
        f"{names} on {count} {sensors} granule{'s' if count > 1 else ''}: "
        f"{int(whole['n']):,} pixels, {int(whole['events']):,} of them with rain of at least "
        "0.1 mm/h in the reference."
    )


def _sections(comparison: Comparison) -> list[Section]:
    parts = [_scores(comparison)]
    if any(np.isfinite(ds[SURFACE_PRECIP]).any() for ds in comparison.scene.values()):
        parts.append(_maps(comparison))
    if int(next(iter(comparison.scores.values()))["n"].sel(stratum="all")):
        parts += [_rates(comparison), _scales(comparison), _strata(comparison)]
        parts += [_uncertainty(comparison)] if _uncertain(comparison) else []
    return [*parts, _inputs(comparison), _method(comparison)]


def _scores(comparison: Comparison) -> Section:
    scores = comparison.scores
    first = next(iter(scores))
    whole = score_table(
        scores, "all", "All pixels. Bold: best of its row. Small: 95 % interval, if any."
    )
    tables = [whole]
    if comparison.differences:
        tables.append(
            difference_table(
                comparison.differences,
                first,
                "all",
                "Differences, all pixels. Both are drawn from the same weather, so these are known "
                "better than the scores themselves. Bold: the interval leaves zero out.",
            )
        )
    counts = scores[first]["n"]
    surfaces = [s for s in ("ocean", "land", "rest") if float(counts.sel(stratum=s)) > 0]
    by_surface = [
        score_table(
            scores, s, f"{stratum_label(s).capitalize()}, {int(counts.sel(stratum=s)):,} pixels."
        )
        for s in surfaces
    ]
    hidden = (
        {"summary": "By surface", "tables": by_surface},
        {
            "summary": "By rate",
            "tables": [rate_table(scores, "By rate of the reference, all surfaces.")],
        },
    )
    return Section("scores", "Scores", tables=tuple(tables), hidden=hidden)


def _picture(draw: Callable[[], Any], alt: str, caption: str) -> tuple[Picture, ...]:
    return (draw_picture(draw, alt, caption),)


def _maps(comparison: Comparison) -> Section:
    from xrain.plotting import plot_side_by_side

    names = ", ".join(comparison.scene)
    rates = {n: ds[SURFACE_PRECIP].values for n, ds in comparison.scene.items()}
    top = "; ".join(
        f"{n} up to {np.nanmax(v):.1f} mm/h" for n, v in rates.items() if np.isfinite(v).any()
    )
    return Section(
        "maps",
        "Maps",
        figures=_picture(
            lambda: plot_side_by_side(comparison.scene),
            f"Maps of the rain rate side by side: {names}. Highest rates: {top}.",
            "The stretch of scans with most rain in the reference, each estimate on the same "
            "pixels and with the same colours.",
        ),
    )


def _rates(comparison: Comparison) -> Section:
    from xrain.plotting import comparison as draw

    scores, reference = comparison.scores, comparison.reference
    if not any(
        s["joint_count"].isel(estimate_bin=slice(1, None)).any()
        or s["joint_count"].isel(reference_bin=slice(1, None)).any()
        for s in scores.values()
    ):
        return Section("rates", "Rates", text=("No rate reaches 0.05 mm/h anywhere.",))
    r = _said(comparison, "correlation", ".2f")
    shares = _said(comparison, "relative_bias", "+.0%")
    return Section(
        "rates",
        "Rates",
        figures=_picture(
            lambda: draw.plot_scatter(scores, reference=reference),
            f"Scatter densities of estimated against reference rates. Correlations: {r}.",
            "Joint distribution of estimate and reference. The outermost row and column hold "
            "rates under 0.05 mm/h; pixels that are dry in both are left out.",
        )
        + _picture(
            lambda: draw.plot_rate_distribution(scores, reference=reference),
            f"Distributions of rates. Bias as share of the mean reference: {shares}.",
            "Left: how often each rate occurs. Right: how much of all rain falls at it. A "
            "posterior mean is smoother than rain itself, so its high rates are too rare.",
        ),
    )


def _scales(comparison: Comparison) -> Section:
    from xrain.plotting import comparison as draw

    scores, reference = comparison.scores, comparison.reference
    resolved = _said(comparison, "effective_resolution", ".0f", " km")
    figures: tuple[Picture, ...] = ()
    if any(np.isfinite(s["coherence"]).any() for s in scores.values()):
        figures += _picture(
            lambda: draw.plot_spectra(scores, reference=reference),
            f"Power spectra and coherence by wavelength. Effective resolution: {resolved}.",
            "Left: variance at each wavelength. Right: coherence with the reference; dotted, the "
            "effective resolution, the shortest wavelength down to which it stays at √½ or more.",
        )
    if any(np.isfinite(s["fss"]).any() for s in scores.values()):
        at = scores[next(iter(scores))]["scale"].values[1]
        fss = "; ".join(
            f"{n} {float(s['fss'].sel(threshold=1.0, scale=at)):.2f}" for n, s in scores.items()
        )
        figures += _picture(
            lambda: draw.plot_fractions(scores),
            f"Fractions skill score by the side of the window for three thresholds. At 1 mm/h and "
            f"{at:g} km: {fss}.",
            "Fractions skill score: 1 where the share of raining pixels is right in every window "
            "of this size, wherever in it they lie.",
        )
    text = () if figures else ("There are too few pixels in a row for spectra.",)
    return Section("scales", "Scales", text=text, figures=figures)


def _strata(comparison: Comparison) -> Section:
    from xrain.plotting import comparison as draw

    scores = comparison.scores
    strata = used_strata(next(iter(scores.values()))) or ["all"]
    labels = [stratum_label(s) for s in strata]
    return Section(
        "strata",
        "Surface, latitude and season",
        figures=_picture(
            lambda: draw.plot_strata(scores, strata, labels),
            f"Correlation, bias, RMSE and HSS with intervals for {', '.join(labels)}.",
            "Bars are 95 % intervals. A stratum is there if it has at least 100 pixels.",
        ),
    )


def _uncertain(comparison: Comparison) -> list[str]:
    named = ("event_frequency", "quantile_coverage")
    scores = comparison.scores.values()
    return [k for k in named if any(k in s and np.isfinite(s[k]).any() for s in scores)]


def _uncertainty(comparison: Comparison) -> Section:
    from xrain.plotting import comparison as draw

    scores, there = comparison.scores, _uncertain(comparison)
    figures: tuple[Picture, ...] = ()
    if "event_frequency" in there:
        figures += _picture(
            lambda: draw.plot_reliability(scores),
            f"Reliability diagram. Brier scores: {_said(comparison, 'brier', '.3f')}.",
            "Left: on the diagonal, rain is as frequent as the probability says. Right: how often "
            "each probability is given.",
        )
    if "quantile_coverage" in there:
        figures += _picture(
            lambda: draw.plot_coverage(scores),
            "Share of references at or under each quantile against its level. "
            f"CRPS: {_said(comparison, 'crps', '.3f', ' mm/h')}.",
            "On the diagonal, quantiles hold what they say. Only quantiles of at least 0.1 mm/h "
            "count, since a dry one lies at a dry reference whatever its level.",
        )
    silent = [n for n, s in scores.items() if not any(k in s for k in there)]
    text = (f"Without probability or quantiles: {', '.join(silent)}.",) if silent else ()
    return Section("uncertainty", "Probabilities and quantiles", text=text, figures=figures)


def _said(comparison: Comparison, score: str, form: str, unit: str = "") -> str:
    """Numbers of all estimates in words, for the text beside a figure."""
    words = []
    for name, one in comparison.scores.items():
        if score in one:
            value = float(one[score].sel(stratum="all"))
            words.append(f"{name} {value:{form}}{unit}" if np.isfinite(value) else f"{name} none")
    return "; ".join(words)


def _inputs(comparison: Comparison) -> Section:
    head = ("Granule", "Sensor", "Satellite", "Start, UTC", "Pixels", "With rain")
    rows = tuple(
        (
            g["granule"],
            Cell(g["sensor"], css="text"),
            Cell(g["platform"], css="text"),
            Cell(g["start"].replace("T", " "), css="text"),
            Cell(f"{g['pixels']:,}"),
            Cell(f"{g['raining']:,}"),
        )
        for g in comparison.granules
    )
    granules = Table("Granules, and the pixels that count.", head, rows)
    estimates = Table(
        "Estimates.",
        ("Name", "What it is", "SHA-256"),
        tuple(_facts(name, facts) for name, facts in comparison.competitors.items()),
    )
    if len(rows) <= MANY:
        return Section("inputs", "What was compared", tables=(estimates, granules))
    hidden = ({"summary": f"{len(rows)} granules", "tables": [granules]},)
    return Section("inputs", "What was compared", tables=(estimates,), hidden=hidden)


def _facts(name: str, facts: dict[str, Any]) -> tuple[Any, ...]:
    if "product" in facts:
        files = ", ".join(facts["files"])
        return name, Cell(f"{facts['product']}: {files}", css="text wrap"), Cell("–", css="text")
    words = f"{facts['model']} version {facts['version']}. {facts['summary']}"
    return name, Cell(words, css="text wrap"), Cell(str(facts["sha256"])[:12], css="text")


def _method(comparison: Comparison) -> Section:
    first = next(iter(comparison.scores.values()))
    group = f"{first.attrs['groups']} groups ({first.attrs['group']})"
    return Section(
        "method",
        "How to read this",
        text=(
            "Only pixels that have a reference and every estimate count, so all columns speak of "
            "the same pixels. Ocean has less than 1 % of land and of sea ice, land more than 99 % "
            "of land.",
            "POD, FAR, CSI and HSS are those of the rain flag as each estimate delivers it, "
            "against 0.1 mm/h in the reference; a product without a flag has one at a probability "
            "over one half.",
            "CRPS is twice the integral of the quantile loss over the levels; for a single value "
            "it would be the MAE. The smaller the better.",
            f"Intervals come from {group} drawn with replacement, since pixels of one storm are "
            "no independent draws.",
        ),
    )
