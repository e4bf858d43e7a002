"""Diagrams of scores: several estimates against one reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.errors import InputError
from xrain.extras import require
from xrain.plotting.style import FLAG_COLORS

__all__ = [
    "plot_coverage",
    "plot_fractions",
    "plot_rate_distribution",
    "plot_reliability",
    "plot_scatter",
    "plot_spectra",
    "plot_strata",
]

Scores = Mapping[str, xr.Dataset]
Array = NDArray[np.float64]

REFERENCE_COLOR: Final = "#000000"
MARKERS: Final = "osD^vPX*"
DASHES: Final = ("-", (0, (6, 2)), (0, (2, 1.4)), (0, (6, 2, 1, 2)))

STRATA: Final = {
    "correlation": "correlation",
    "relative_bias": "bias / mean reference",
    "rmse": "RMSE (mm/h)",
    "hss_flag": "HSS of the rain flag",
}
"""Scores of :func:`plot_strata` and what stands beside their axis."""


def plot_scatter(scores: Scores, *, reference: str = "reference", surface: str = "all") -> Any:
    """Draw the joint distribution of each estimate and the reference, on logarithmic axes.

    Parameters
    ----------
    scores : mapping of str to xarray.Dataset
        Scores by the name of the estimate; see :func:`xrain.evaluation.scores.scores_from_sums`.
    reference : str
        What stands beside the axis of the reference.
    surface : str
        ``all``, ``ocean``, ``land`` or ``rest``.

    Returns
    -------
    matplotlib.figure.Figure
        One panel for each estimate; pixels dry in both are left out.
    """
    from matplotlib.colors import LogNorm

    counts = {n: s["joint_count"].sel(surface=surface).values.copy() for n, s in scores.items()}
    for count in counts.values():
        count[0, 0] = 0
    most = max([float(c.max()) for c in counts.values()], default=0.0)
    figure, axes = _panels(len(scores), 3.3, 3.4)
    edges = _edges(next(iter(scores.values())))
    drawn = None
    for axis, (name, count) in zip(axes, counts.items(), strict=True):
        shown = np.ma.masked_less_equal(count, 0)
        drawn = axis.pcolormesh(
            edges, edges, shown, cmap="YlGnBu", norm=LogNorm(1, max(most, 2)), rasterized=True
        )
        axis.plot(edges[[0, -1]], edges[[0, -1]], color="0.3", linewidth=0.8, linestyle="--")
        axis.set(xscale="log", yscale="log", aspect="equal", title=name)
        axis.set_xlabel(f"{reference} (mm/h)")
        _log_ticks(axis.xaxis)
        _log_ticks(axis.yaxis)
        axis.tick_params(labelsize=8)
        _corner(axis, _scatter_words(scores[name], surface))
    axes[0].set_ylabel("estimate (mm/h)")
    bar = figure.colorbar(drawn, ax=list(axes), shrink=0.85, pad=0.02)
    bar.set_label("pixels", fontsize=9)
    return figure


def _scatter_words(scores: xr.Dataset, surface: str) -> str:
    here = scores.sel(stratum=surface)
    return "\n".join((
        f"r = {_said(here['correlation'], '.2f')}",
        f"bias = {_said(here['bias'], '+.3f')} mm/h",
        f"RMSE = {_said(here['rmse'], '.2f')} mm/h",
    ))  # fmt: skip


def _said(value: xr.DataArray, form: str) -> str:
    return format(float(value), form).replace("-", "−") if np.isfinite(value) else "–"


def plot_rate_distribution(scores: Scores, *, reference: str = "reference") -> Any:
    """Draw how often each rate occurs, and how much of the rain falls at it.

    Parameters are as for :func:`plot_scatter`.
    """
    figure, (often, much) = _panels(2, 4.6, 3.5)
    first = next(iter(scores.values()))
    edges = _edges(first)
    middle = np.sqrt(edges[1:] * edges[:-1])
    width = np.log10(edges[1:] / edges[:-1])

    def curves(count: Array) -> tuple[Array, Array]:
        total = max(float(count.sum()), 1.0)
        share = count[1:] / total / width[1:]
        volume = count[1:] * middle[1:]
        return share, volume / max(float(volume.sum()), 1e-12) / width[1:]

    margins = {reference: first["joint_count"].sel(surface="all").sum("estimate_bin")}
    margins |= {
        n: s["joint_count"].sel(surface="all").sum("reference_bin") for n, s in scores.items()
    }
    for k, (name, count) in enumerate(margins.items()):
        look = _reference_look() if k == 0 else _look(k - 1, marker=False)
        for axis, values in zip((often, much), curves(count.values), strict=True):
            axis.plot(middle[1:], np.where(values > 0, values, np.nan), label=name, **look)
    often.set(xscale="log", yscale="log", xlabel="rate (mm/h)", ylabel="share of pixels per decade")
    much.set(xscale="log", xlabel="rate (mm/h)", ylabel="share of rain per decade", ylim=(0, None))
    for axis in (often, much):
        _log_ticks(axis.xaxis)
        _tidy(axis)
    often.legend(fontsize=8, frameon=False)
    return figure


def plot_spectra(scores: Scores, *, reference: str = "reference") -> Any:
    """Draw power and coherence by wavelength, with the effective resolution.

    Parameters are as for :func:`plot_scatter`.
    """
    figure, (power, coherence) = _panels(2, 4.6, 3.5)
    first = next(iter(scores.values()))
    _line(power, first["power_reference"], label=reference, **_reference_look())
    for k, (name, one) in enumerate(scores.items()):
        look = _look(k)
        _line(power, one["power_estimate"], label=name, **look)
        _line(coherence, one["coherence"], label=name, **look)
        resolved = float(one["effective_resolution"].sel(stratum="all"))
        if np.isfinite(resolved):
            coherence.axvline(resolved, color=look["color"], linewidth=0.9, linestyle=":")
    coherence.axhline(np.sqrt(0.5), color="0.4", linewidth=0.8, linestyle="--")
    coherence.annotate(
        "√½", (1, np.sqrt(0.5)), (4, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", fontsize=8, va="center", annotation_clip=False,
    )  # fmt: skip
    power.set(xscale="log", yscale="log", ylabel="power (mm² h⁻² per component)")
    coherence.set(xscale="log", ylim=(0, 1.02), ylabel="coherence with the reference")
    for axis in (power, coherence):
        axis.set_xlabel("wavelength (km)")
        _whole_ticks(axis, first["wavelength"].values, np.isfinite(first["coherence"].values))
        _tidy(axis)
    power.legend(fontsize=8, frameon=False)
    return figure


def plot_reliability(scores: Scores) -> Any:
    """Draw how often rain followed each probability, and how often that was given.

    Parameters are as for :func:`plot_scatter`; estimates without a probability are left out.
    """
    from matplotlib.ticker import NullFormatter

    told = {n: s for n, s in scores.items() if "event_frequency" in s}
    if not told:
        raise InputError("no estimate has a probability of precipitation to draw")
    figure, (curve, often) = _panels(2, 4.2, 3.6)
    curve.plot([0, 1], [0, 1], color="0.4", linewidth=0.8, linestyle="--")
    width = 0.09 / len(told)
    for name, one in told.items():
        k = list(scores).index(name)
        here = one.sel(stratum="all")
        look = _look(k)
        curve.plot(here["forecast_probability"], here["event_frequency"], label=name, **look)
        count = here["forecast_count"].values
        middle = here["probability_bin"].values - 0.045 + width * (list(told).index(name) + 0.5)
        often.bar(middle, count / max(count.sum(), 1), width, color=look["color"], label=name)
    curve.set(
        xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="probability of precipitation",
        ylabel="share of pixels with rain",
    )  # fmt: skip
    often.set(xlim=(0, 1), yscale="log", xlabel="probability of precipitation")
    often.set_ylabel("share of pixels")
    often.yaxis.set_minor_formatter(NullFormatter())
    for axis in (curve, often):
        _tidy(axis)
    curve.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


def plot_coverage(scores: Scores) -> Any:
    """Draw the share of references at or under each quantile, which should be its level.

    Parameters are as for :func:`plot_scatter`; estimates without quantiles are left out.
    """
    told = {n: s for n, s in scores.items() if "quantile_coverage" in s}
    if not told:
        raise InputError("no estimate has quantiles to draw")
    figure, (axis,) = _panels(1, 4.2, 3.6)
    axis.plot([0, 1], [0, 1], color="0.4", linewidth=0.8, linestyle="--")
    for name, one in told.items():
        covered = one["quantile_coverage"].sel(stratum="all")
        axis.plot(covered["quantile"], covered, label=name, **_look(list(scores).index(name)))
    axis.set(
        xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="level of the quantile",
        ylabel="share of references at or under it",
    )  # fmt: skip
    _tidy(axis)
    axis.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


def plot_fractions(scores: Scores) -> Any:
    """Draw the fractions skill score by the side of the window, one panel a threshold.

    Parameters are as for :func:`plot_scatter`.
    """
    thresholds = next(iter(scores.values()))["threshold"].values
    figure, axes = _panels(len(thresholds), 3.1, 3.0)
    for axis, threshold in zip(axes, thresholds, strict=True):
        for k, (name, one) in enumerate(scores.items()):
            fss = one["fss"].sel(threshold=threshold)
            axis.plot(fss["scale"], fss, label=name, **_look(k))
        axis.set(xscale="log", ylim=(0, 1.02), title=f"≥ {threshold:g} mm/h")
        axis.set_xlabel("side of the window (km)")
        _ticks(axis.xaxis, next(iter(scores.values()))["scale"].values)
        _tidy(axis)
    axes[0].set_ylabel("fractions skill score")
    axes[0].legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def plot_strata(scores: Scores, strata: Sequence[str], labels: Sequence[str]) -> Any:
    """Draw scores with their intervals, one row a stratum.

    Parameters
    ----------
    scores : mapping of str to xarray.Dataset
        As for :func:`plot_scatter`.
    strata, labels : sequence of str
        Strata from top to bottom, and what stands beside them.
    """
    figure, axes = _panels(len(STRATA), 2.7, 0.9 + 0.42 * len(strata), sharey=True)
    rows = np.arange(len(strata), 0.0, -1.0)
    for axis, (score, label) in zip(axes, STRATA.items(), strict=True):
        for k, (name, one) in enumerate(scores.items()):
            if score not in one:
                continue
            value = one[score].sel(stratum=list(strata)).values
            shift = 0.5 * ((len(scores) - 1) / 2 - k) / max(len(scores), 2)
            error = _errors(one, score, strata, value)
            axis.errorbar(
                value, rows + shift, xerr=error, fmt=MARKERS[k % len(MARKERS)], markersize=5,
                color=_color(k), elinewidth=1.2, label=name,
            )  # fmt: skip
        if score == "relative_bias":
            axis.axvline(0, color="0.4", linewidth=0.8, linestyle="--")
        axis.set(xlabel=label, ylim=(0.4, len(strata) + 0.6))
        axis.grid(axis="x", linewidth=0.4, alpha=0.6)
        _tidy(axis, grid=False)
    axes[0].set_yticks(rows, labels)
    axes[0].tick_params(labelsize=9)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=8, frameon=False, loc="outside upper center", ncols=6)
    return figure


def _errors(one: xr.Dataset, score: str, strata: Sequence[str], value: Array) -> Array | None:
    interval = f"{score}_interval"
    if interval not in one:
        return None
    bounds = one[interval].sel(stratum=list(strata)).values
    lengths = np.stack([value - bounds[0], bounds[1] - value])
    return np.asarray(np.clip(np.nan_to_num(lengths), 0, None))


# ---- common looks


def _panels(count: int, width: float, height: float, **options: Any) -> tuple[Any, Any]:
    require("matplotlib", "plot", "pictures")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, count, figsize=(max(width * count, 4.6), height), layout="constrained", squeeze=False,
        **options,
    )  # fmt: skip
    return figure, axes[0]


def _color(k: int) -> str:
    return FLAG_COLORS[1 + k % (len(FLAG_COLORS) - 3)]


def _look(k: int, *, marker: bool = True) -> dict[str, Any]:
    """Colour, dashes and marker of an estimate: no eye needs the colour alone."""
    look = {"color": _color(k), "linestyle": DASHES[k % len(DASHES)], "linewidth": 1.6}
    return look | ({"marker": MARKERS[k % len(MARKERS)], "markersize": 4} if marker else {})


def _reference_look() -> dict[str, Any]:
    return {"color": REFERENCE_COLOR, "linewidth": 2.0}


def _edges(scores: xr.Dataset) -> Array:
    """Edges of the classes of rate around their middles, the dry and the open class cut."""
    middle = scores["reference_bin"].values
    step = middle[2] / middle[1]
    inner = middle[1:-1] * np.sqrt(step)
    return np.concatenate(
        [[middle[1] / step**1.5, middle[1] / np.sqrt(step)], inner, [inner[-1] * step]]
    )


def _line(axis: Any, values: xr.DataArray, **look: Any) -> None:
    known = np.isfinite(values.values) & (values.values > 0)
    axis.plot(values["wavelength"].values[known], values.values[known], **look)


def _whole_ticks(axis: Any, wavelength: Array, known: NDArray[np.bool_]) -> None:
    if known.any():
        low, high = wavelength[known].min() / 1.1, wavelength[known].max() * 1.1
        axis.set_xlim(low, high)
        _ticks(axis.xaxis, [t for t in (10, 20, 50, 100, 200, 500, 1000) if low <= t <= high])


def _log_ticks(axis: Any) -> None:
    _ticks(axis, (0.1, 1, 10, 100))


def _ticks(axis: Any, values: Any) -> None:
    from matplotlib.ticker import NullLocator

    axis.set_ticks(list(values), labels=[f"{v:g}" for v in values])
    axis.set_minor_locator(NullLocator())


def _corner(axis: Any, text: str) -> None:
    axis.text(
        0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8},
    )  # fmt: skip


def _tidy(axis: Any, *, grid: bool = True) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    if grid:
        axis.grid(linewidth=0.4, alpha=0.5)
