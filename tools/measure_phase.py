"""Measure what the network that tells rain from snow is worth, on days that it has not seen.

usage: python tools/measure_phase.py DATA FOLDER [RESULT]

Every fourth day is kept apart in turn; the networks of the four folds are kept in FOLDER, so that
a second run only scores. Gradient boosting learns and is scored on the same pixels. Intervals are
those of 90 % over 500 draws of days. The result is JSON, by default
docs/explanation/phase.json, and beside it or in docs/_static a picture of the reliability; the page
on the phase shows both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from xrain.evaluation.channel_subset import nearest_channels
from xrain.models.export import save_model
from xrain.models.phase import PhaseNetwork, load_phase
from xrain.sensors import get_sensor
from xrain.training.phase import PhaseRecipe, make_card, read_table, train_phase
from xrain.training.phase_teacher import Table

FOLDS, DRAWS = 4, 500
CHANNELS = 13
SENSORS = ("TMI", "AMSR2", "SSMIS", "ATMS", "MHS", "SAPHIR")
RESULT = Path(__file__).parent.parent / "docs" / "explanation" / "phase.json"
PICTURE = RESULT.parents[1] / "_static" / "phase_reliability.svg"

Array = NDArray[Any]


@dataclass
class Judged:
    """Pixels of all folds, each judged by what has not seen its day."""

    label: Array
    day: Array
    shares: Array

    def scores(self, names: dict[str, Callable[[Array, Array], float]]) -> dict[str, Any]:
        """Scores with their intervals over draws of days."""
        rng = np.random.default_rng(1)
        _, which = np.unique(self.day, return_inverse=True)
        rows = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
        draws = []
        for _ in range(DRAWS):
            picked = np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])
            draws.append([f(self.shares[picked], self.label[picked]) for f in names.values()])
        low, high = np.nanpercentile(draws, (5, 95), axis=0)
        return {
            n: [round(float(f(self.shares, self.label)), 4), round(low[k], 4), round(high[k], 4)]
            for k, (n, f) in enumerate(names.items())
        }


def hss(said: Array, seen: Array) -> float:
    """Heidke skill score of an event."""
    a, b, c = (said & seen).sum(), (said & ~seen).sum(), (~said & seen).sum()
    d = len(seen) - a - b - c
    return float(2 * (a * d - b * c) / ((a + c) * (c + d) + (a + b) * (b + d)))


def right(p: Array, y: Array) -> float:
    """Share of the three classes that are right."""
    return float((p.argmax(1) == y).mean())


def snow_hss(p: Array, y: Array) -> float:
    """Snow against all else."""
    return hss(p.argmax(1) == 2, y == 2)


def given(p: Array, y: Array) -> float:
    """Share right of rain or snow where there is one of them."""
    wet = y > 0
    return float(((p[:, 2] > p[:, 1]) == (y == 2))[wet].mean())


def found(p: Array, y: Array) -> float:
    """Share of the snow that is the likeliest class."""
    return float((p.argmax(1) == 2)[y == 2].mean())


PHASES = {"right": right, "snow_hss": snow_hss, "given": given, "snow_found": found}
RATES = {"log_r": lambda p, y: float(np.corrcoef(p, np.log(y))[0, 1])}


def apart(table: Table, fold: int) -> Array:
    """Pixels of the days kept apart."""
    return table.day % FOLDS == fold


def networks(recipe: PhaseRecipe, tables: dict[str, Table], folder: Path) -> list[PhaseNetwork]:
    """Train the networks of all folds, or load them."""
    out = []
    for fold in range(FOLDS):
        place = folder / f"fold-{fold}"
        if not (place / "card.json").exists():
            kept = {n: t.select(~apart(t, fold)) for n, t in tables.items()}
            phases = [kept[n] for n in recipe.phases]
            others = [kept[n] for n in recipe.unlabelled]
            network = train_phase(phases, others, kept[recipe.snow], recipe)
            card = make_card(phases[0], recipe, 1, 1, network.config)
            save_model(place, card, network.state_dict())
        out.append(load_phase(str(place)).network)
    return out


def shown(table: Table, air: bool, channels: list[int] | None = None) -> Array:
    """Columns without what shall not be known."""
    out = table.columns.copy()
    if not air:
        out[:, CHANNELS + 1 :] = np.nan
    if channels is not None:
        out[:, [k for k in range(CHANNELS) if k not in channels]] = np.nan
    return out


def judged(
    nets: list[PhaseNetwork], table: Table, air: bool, channels: list[int] | None = None
) -> tuple[Judged, Judged]:
    """Judge a table: classes, and logarithms of snowfall."""
    shares, rates = np.zeros((len(table), 3)), np.zeros(len(table))
    columns = shown(table, air, channels)
    for fold, net in enumerate(nets):
        rows = apart(table, fold)
        odds = net(torch.as_tensor(columns[rows]))
        shares[rows] = torch.softmax(odds.logits, 1).numpy()
        rates[rows] = odds.log_snowfall.numpy()
    return Judged(table.label, table.day, shares), Judged(table.label, table.day, rates)


def boosted(table: Table, columns: Array) -> Judged:
    """Judge a table by gradient boosting that learns from its other days."""
    rate = table.label.dtype.kind == "f"
    kind = HistGradientBoostingRegressor if rate else HistGradientBoostingClassifier
    out = np.zeros(len(table) if rate else (len(table), 3))
    for fold in range(FOLDS):
        rows = apart(table, fold)
        model = kind(max_iter=200, learning_rate=0.06, max_leaf_nodes=15, l2_regularization=1.0)
        label = np.log(table.label) if rate else table.label
        model.fit(columns[~rows], label[~rows])
        out[rows] = model.predict(columns[rows]) if rate else model.predict_proba(columns[rows])
    return Judged(table.label, table.day, out)


def best_rule(table: Table) -> dict[str, Any]:
    """Snow below a temperature at 2 m, the best one for the table."""
    warm = table.columns[:, CHANNELS + 1]
    known = table.select(np.isfinite(warm) & (table.label > 0))
    t2m = known.columns[:, CHANNELS + 1]
    bounds = np.arange(272.0, 277.1, 0.25)
    scores = [float(((t2m < b) == (known.label == 2)).mean()) for b in bounds]
    return {"below": float(bounds[np.argmax(scores)]), "right": round(max(scores), 4)}


def reliability(p: Array, seen: Array) -> list[list[float]]:
    """Said and seen probability, and pixels, by tenths of what is said."""
    bins = np.minimum((p * 10).astype(int), 9)
    return [
        [round(float(p[bins == k].mean()), 4), round(float(seen[bins == k].mean()), 4),
         int((bins == k).sum())]
        for k in range(10) if (bins == k).any()
    ]  # fmt: skip


def given_snow(shares: Array) -> Array:
    """Probability of snow if there is precipitation."""
    return np.asarray(shares[:, 2] / (shares[:, 1] + shares[:, 2]))


def measure(data: Path, folder: Path) -> dict[str, Any]:
    """Train, judge and score."""
    recipe = PhaseRecipe()
    names = (*recipe.phases, *recipe.unlabelled, recipe.snow)
    tables = {n: read_table(data / n) for n in names}
    nets = networks(recipe, tables, folder)
    result: dict[str, Any] = {"phases": {}, "sensors": {}, "reliability": {}}
    for name in (*recipe.phases, *recipe.unlabelled):
        table, part = tables[name], {}
        for air in (False, True):
            classes, _ = judged(nets, table, air)
            columns = table.columns[:, : CHANNELS + (3 if air else 0)]
            if air:
                columns = np.delete(columns, CHANNELS, axis=1)
            part["with air" if air else "alone"] = {
                "network": classes.scores(PHASES),
                "boosting": boosted(table, columns).scores(PHASES),
            }
            wet = table.label > 0
            result["reliability"][f"{Path(name).stem} {'with air' if air else 'alone'}"] = (
                reliability(given_snow(classes.shares)[wet], (table.label == 2)[wet])
            )
        part["rule"] = best_rule(table)
        result["phases"][Path(name).stem] = part
    result["snow"] = snowfall(nets, tables[recipe.snow], tables[recipe.phases[1]])
    first = tables[recipe.phases[0]]
    gmi = [c.name for c in get_sensor("GMI").channels]
    for sensor in SENSORS:
        near = [gmi.index(n) for n in nearest_channels(sensor, gmi)]
        result["sensors"][sensor] = {
            "channels": len(near),
            "alone": judged(nets, first, False, near)[0].scores(PHASES),
            "with air": judged(nets, first, True, near)[0].scores(PHASES),
            "boosting": boosted(first, first.columns[:, near]).scores(PHASES),
        }
    return result


def snowfall(nets: list[PhaseNetwork], snow: Table, seen: Table) -> dict[str, Any]:
    """Score the rates of snowfall, and tell how much of CloudSat's snow is flagged."""
    out: dict[str, Any] = {}
    for air in (False, True):
        classes, rates = judged(nets, snow, air)
        columns = snow.columns if air else snow.columns[:, :CHANNELS]
        other = judged(nets, seen, air)[0]
        cold = (seen.label == 0) & (seen.columns[:, CHANNELS + 1] < 274.0)
        out["with air" if air else "alone"] = {
            "network": rates.scores(RATES),
            "boosting": boosted(snow, np.delete(columns, CHANNELS, axis=1)).scores(RATES)
            if air
            else boosted(snow, columns).scores(RATES),
            "total": round(float(np.exp(rates.shares).mean() / snow.label.mean()), 3),
            "flagged": {
                str(t): [
                    round(float((classes.shares[:, 2] > t).mean()), 3),
                    round(float((other.shares[cold, 2] > t).mean()), 3),
                ]
                for t in (0.5, 0.6, 0.7, 0.8)
            },
        }
    return out


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw said against seen probability of snow."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "xrain"
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="#7f7f7f", linewidth=1)
    looks = (("alone", "brightness temperatures alone", "#0072b2", "o"),
             ("with air", "with ancillary fields", "#d55e00", "s"))  # fmt: skip
    for key, label, color, marker in looks:
        said, seen, count = np.transpose(found["reliability"][f"gmi_dpr_phase {key}"])
        axes.plot(said, seen, color=color, marker=marker, label=label)
        if key != "alone":
            for x, y, n in zip(said, seen, count, strict=True):
                axes.annotate(f"{n:.0f}", (x, y), (6, -10), textcoords="offset points", size=7)
    axes.set(xlabel="probability of snow, said", ylabel="frequency of snow, seen",
             xlim=(0, 1), ylim=(0, 1), aspect="equal")  # fmt: skip
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure and write."""
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    torch.set_num_threads(1)
    target = Path(sys.argv[3]) if len(sys.argv) > 3 else RESULT
    found = measure(Path(sys.argv[1]), Path(sys.argv[2]))
    target.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    draw(found, PICTURE if target == RESULT else target.with_suffix(".svg"))


if __name__ == "__main__":
    main()
