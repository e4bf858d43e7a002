"""Directives that write the tables of "How good is it?" from the model cards, at build time.

``quality-scores DATA``
    A row for each model and estimate: totals, correlation, detection, probabilities.
``quality-by-rate DATA``
    Ratio and correlation by class of the true rate.
``quality-reliability DATA``
    How often it rained where a probability was told.
``quality-facts DATA``
    How the scores were made.
``quality-model MODEL``
    A row for each score of one model, beside those of other methods on the same pixels.
``quality-simulated MODEL``
    Simulated swaths that training did not see: pixels alone and with their neighbours.
``quality-sensors``
    A row for each model judged through GMI's nearest channels, in brackets boosting with the same.

``DATA`` is a name under ``kept_apart`` of a card's scores; ``:surface:`` is all, ocean or land.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from xrain_pages import Written, list_table, literal

ESTIMATES = {
    "table": "each pixel alone",
    "swath": "with neighbours",
    "boosting": "gradient boosting, same pixels",
    "process": "Gaussian process, same pixels",
}

NONE = "*No model of this version has such scores.*"


def kept_apart() -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of models, and their scores on pixels that they did not learn from."""
    from xrain.models.store import list_models, load_card

    for name in sorted(list_models(), key=lambda name: (not name.endswith("unet"), name)):
        card = load_card(name)
        if found := card.scores.get("kept_apart"):
            yield card.name, found


def estimates(data: str, surface: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Model, estimate and scores; the baselines once for all models of the same pixels."""
    told = set()
    for name, scores in kept_apart():
        group = scores.get(data, {})
        for key, words in ESTIMATES.items():
            found = group.get(key, {}).get(surface)
            if not found:
                continue
            once = key in ("boosting", "process")
            mark = (key, found.get("n"), found.get("correlation"))
            if once and mark in told:
                continue
            told.add(mark)
            yield (f"channels of {literal(name)}" if once else literal(name)), words, found


def number(value: Any, form: str = ".2f") -> str:
    """A score, or a dash where it is unknown."""
    return "–" if value is None else f"{value:{form}}".replace("-", "−")


def scored(scores: dict[str, Any], name: str) -> str:
    """A score with its interval."""
    low, high = scores.get(f"{name}_interval") or (None, None)
    if scores.get(name) is None or low is None or high is None:
        return number(scores.get(name))
    return f"{number(scores[name])} [{number(low)}, {number(high)}]"


class Quality(Written):
    """A table from the cards."""

    required_arguments = 1
    option_spec: ClassVar[Any] = {"surface": directives.unchanged}

    @property
    def data(self) -> str:
        return str(self.arguments[0])

    @property
    def surface(self) -> str:
        return str(self.options.get("surface", "all"))

    def lines(self) -> Iterable[str]:
        rows = list(self.rows())
        if not rows:
            return [NONE]
        head = self.head()
        return list_table(head, rows, "16 18" + " 12" * (len(head) - 2))

    def head(self) -> tuple[str, ...]:
        raise NotImplementedError

    def rows(self) -> Iterator[tuple[str, ...]]:
        raise NotImplementedError


class QualityScores(Quality):
    """A row for each model and estimate."""

    SHOWN: ClassVar[dict[str, str]] = {
        "Total / true": "rain_ratio",
        "Correlation": "correlation",
        "Corr., log, raining": "correlation_log_given_rain",
        "RMSE mm/h": "rmse",
        "HSS of the flag": "hss_flag",
        "POD ≥ 10": "pod_10",
        "FAR ≥ 10": "far_10",
        "AUC": "auc",
        "Brier skill": "brier_skill",
    }

    def _found(self) -> list[tuple[str, str, dict[str, Any]]]:
        return list(estimates(self.data, self.surface))

    def _shown(self) -> dict[str, str]:
        found = self._found()
        return {k: v for k, v in self.SHOWN.items() if any(s.get(v) is not None for *_, s in found)}

    def head(self) -> tuple[str, ...]:
        return ("Model", "Estimate", "Pixels", *self._shown())

    def rows(self) -> Iterator[tuple[str, ...]]:
        shown = self._shown().values()
        for name, words, scores in self._found():
            yield (name, words, f"{scores['n']:,}", *(scored(scores, key) for key in shown))


class QualityByRate(Quality):
    """Ratio and correlation by class of the true rate."""

    def head(self) -> tuple[str, ...]:
        return ("Model", "Estimate", *("0–1", "1–5", "5–10", "10–20", "> 20"))

    def rows(self) -> Iterator[tuple[str, ...]]:
        for name, words, scores in estimates(self.data, self.surface):
            classes = {row["low"]: row for row in scores.get("by_rate", ())}
            if classes:
                yield (name, words, *(self._cell(classes.get(low)) for low in (0, 1, 5, 10, 20)))

    @staticmethod
    def _cell(row: dict[str, Any] | None) -> str:
        if row is None or not row.get("n"):
            return "–"
        return f"{number(row.get('ratio'))} ({number(row.get('correlation'))})"


class QualityReliability(Quality):
    """How often it rained where a probability was told."""

    def head(self) -> tuple[str, ...]:
        bins = self._bins()
        return ("Model", "Estimate", *(f"{low:g}–{high:g}" for low, high in bins))

    def _bins(self) -> list[tuple[float, float]]:
        found = [s.get("reliability", ()) for *_, s in estimates(self.data, self.surface)]
        return sorted({(row["low"], row["high"]) for rows in found for row in rows})

    def rows(self) -> Iterator[tuple[str, ...]]:
        for name, words, scores in estimates(self.data, self.surface):
            told = {(r["low"], r["high"]): r for r in scores.get("reliability", ())}
            if told:
                yield (name, words, *(self._cell(told.get(b)) for b in self._bins()))

    @staticmethod
    def _cell(row: dict[str, Any] | None) -> str:
        if row is None:
            return "–"
        return f"{number(row['probability'])} → {number(row['frequency'])}"


class QualityModel(Written):
    """A row for each score of one model."""

    required_arguments = 1
    SHOWN: ClassVar[dict[str, dict[str, str]]] = {
        "transects": {
            "rain_ratio": "Transects: total rain over the radar's",
            "correlation": "correlation",
            "correlation_smooth": "correlation with the mean of five pixels",
            "hss_0.1": "HSS of the mean, at 0.1 mm/h",
            "hss_flag": "HSS of the flag, at 0.1 mm/h",
            "hss_1": "HSS of the mean, at 1 mm/h",
            "pod_10": "POD at 10 mm/h",
            "far_10": "its false alarm ratio",
            "hss_10_smooth": "HSS at 10 mm/h of the mean of five pixels",
            "heavy_share": "share of the amount at 10 mm/h and more",
            "heavy_share_reference": "the radar's share",
            "correlation_log_given_rain": "correlation of logarithms given rain",
            "brier": "Brier score",
            "worst_reliability": "largest error of a probability, in bins",
        },
        "rates": {"correlation": "Matched rates: correlation", "rmse": "error, mm/h"},
        "phases": {"hss": "Phases: HSS", "auc": "AUC", "brier": "Brier score"},
    }

    def lines(self) -> Iterable[str]:
        scores = dict(kept_apart())[str(self.arguments[0])]
        keys = ("table", "boosting", "process")
        rows = []
        for data, shown in self.SHOWN.items():
            told = [scores[data].get(k, {}).get("all", {}) for k in keys]
            rows += [(w, *(fine(t, n) for t in told)) for n, w in shown.items()]
            if data == "rates":
                for surface in ("ocean", "land"):
                    told = [scores[data].get(k, {}).get(surface, {}) for k in keys]
                    rows.append(
                        (f"correlation, {surface}", *(fine(t, "correlation") for t in told))
                    )
        return list_table(("", "Network", "Boosting", "Process"), rows, "40 22 22 22")


def fine(scores: dict[str, Any], name: str) -> str:
    """A score to three digits with its interval."""
    told = number(scores.get(name), ".3f")
    bounds = scores.get(f"{name}_interval")
    if not bounds or scores.get(name) is None:
        return told
    return f"{told} [{number(bounds[0])}, {number(bounds[1])}]"


class QualitySensors(Written):
    """A row for each model judged through the nearest channels."""

    SHOWN: ClassVar[dict[str, tuple[str, str]]] = {
        "Transects: ratio": ("transects", "rain_ratio"),
        "correlation": ("transects", "correlation"),
        "HSS of the flag": ("transects", "hss_flag"),
        "Brier score": ("transects", "brier"),
        "Matched rates: correlation": ("rates", "correlation"),
        "Phases: HSS": ("phases", "hss"),
    }

    def lines(self) -> Iterable[str]:
        names = [n for n, _ in kept_apart() if n.endswith(("-unet", "-drain"))]
        scores = dict(kept_apart())
        rows = []
        for name in names:
            if name not in ("constellation-unet", "gmi-unet"):
                rows.append(
                    (literal(name), *(self._cell(scores[name], *k) for k in self.SHOWN.values()))
                )
        return list_table(("Channels of", *self.SHOWN), rows, "22" + " 13" * len(self.SHOWN))

    @staticmethod
    def _cell(scores: dict[str, Any], data: str, name: str) -> str:
        form = ".3f" if name == "brier" else ".2f"
        ours, theirs = (
            scores.get(data, {}).get(k, {}).get("all", {}).get(name) for k in ("table", "boosting")
        )
        return f"{number(ours, form)} ({number(theirs, form)})"


class QualitySimulated(Written):
    """A row for each instrument whose simulated swaths a model was judged by."""

    required_arguments = 1
    SHOWN: ClassVar[dict[str, str]] = {
        "Ocean: alone": "correlation_ocean_lone",
        "with neighbours": "correlation_ocean",
        "All: alone": "correlation_lone",
        "with neighbours ": "correlation",
    }

    def lines(self) -> Iterable[str]:
        from xrain.models.store import load_card

        rows = []
        for sensor, told in load_card(str(self.arguments[0])).scores["simulated"].items():
            cells = (number(told.get(key)) for key in self.SHOWN.values())
            bias = f"{100 * told['relative_bias']:+.0f} %".replace("-", "−")
            rows.append((sensor, *cells, bias))
        return list_table(("Instrument", *self.SHOWN, "Bias"), rows, "18 14 14 14 14 12")


class QualityFacts(Written):
    """How the scores were made, once for all models that were judged alike."""

    required_arguments = 1
    TOLD = ("data", "split", "event", "groups", "interval", "prior", "command")

    def lines(self) -> Iterator[str]:
        told: dict[tuple[str, ...], list[str]] = {}
        for name, scores in kept_apart():
            facts = scores.get(self.arguments[0], {}).get("facts")
            if facts:
                said = tuple(f"{k}: {facts[k]}" for k in self.TOLD if facts.get(k) is not None)
                told.setdefault(said, []).append(literal(name))
        for said, names in told.items():
            yield from ("", f"* {', '.join(names)} – {'; '.join(said)}.")
        yield ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("quality-scores", QualityScores)
    app.add_directive("quality-by-rate", QualityByRate)
    app.add_directive("quality-reliability", QualityReliability)
    app.add_directive("quality-facts", QualityFacts)
    app.add_directive("quality-model", QualityModel)
    app.add_directive("quality-sensors", QualitySensors)
    app.add_directive("quality-simulated", QualitySimulated)
    return {"version": "1", "parallel_read_safe": True}
