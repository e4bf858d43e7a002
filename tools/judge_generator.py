"""Judge on real pixels what is learned from simulation alone, beside what real pixels teach.

* A Gaussian process with one fixed kernel on the cube root of the rate learns from simulated
  pixels (environments and rates of matched pixels of other days) and is judged on what GMI saw
  over raining ocean.
* Gradient boosting of the occurrence of rain and of its rate learns from simulated patches at the
  latitudes of the transects, and is judged on the transects' pixels at natural prevalence.
* Correlations between channels, and of channels with the logarithm of the rate, over rain.

Run as ``python tools/judge_generator.py DATA [--patches 240] [--json]``. Days and blocks of
overpasses are learned from or judged, never both.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from xrain.evaluation.metrics import (
    bootstrap_intervals,
    event_scores,
    probability_scores,
    rate_scores,
)
from xrain.geo.surfaces import dataset_surfaces
from xrain.io.matchups import matched_days
from xrain.io.transects import OVERPASS, open_transects
from xrain.sensors import get_sensor
from xrain.simulate.forward import ForwardModel
from xrain.simulate.matchups import matchup_environment, read_matchups
from xrain.simulate.patches import patch_at
from xrain.simulate.scenes import Place, draw_place
from xrain.simulate.validate import simulate_matchups
from xrain.training.matched_pixels import kept_apart
from xrain.training.observed import BLOCK_OF_OVERPASSES

Array = NDArray[np.float64]
CHANNELS = get_sensor("gmi").channels
SETS = {"all": slice(0, 13), "10-36 GHz": slice(0, 7), "89-183 GHz": slice(7, 13)}
PAIRS = {"10V 183±7": (0, 12), "37H 89V": (6, 7), "89V 166V": (7, 9), "10V 37V": (0, 5)}
BOOSTING = {"max_iter": 200, "learning_rate": 0.06, "max_leaf_nodes": 15, "random_state": 0}
NOISE = 0.7
"""Standard deviation in K of the noise of simulated pixels."""
LATITUDES = (22.0, 52.0)
SHARE = 0.25
"""Share of the pixels of simulated patches that are learned from."""


def process_rate(tb: Array, rate: Array, seen: Array) -> Array:
    """Mean rate over `seen` of a process that learned from `tb`; no data change its kernel."""
    mean, spread = tb.mean(0), tb.std(0)
    length = np.sqrt(tb.shape[1])
    kernel = ConstantKernel(1.0) * RBF(length) + WhiteKernel(0.4)
    kernel += ConstantKernel(0.1) * Matern(length / 3, nu=2.5)
    process = GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True)
    process.fit((tb - mean) / spread, np.cbrt(rate))
    root, deviation = process.predict((seen - mean) / spread, return_std=True)
    return np.asarray(root**3 + 3.0 * root * deviation**2)


def correlation(found: Array, truth: Array, groups: NDArray[Any]) -> dict[str, float]:
    """Correlation with half of its 68 % interval over drawn groups, and the ratio of sums."""
    low, high = bootstrap_intervals(rate_scores, [found, truth], groups, level=0.68)["correlation"]
    r = float(np.corrcoef(found, truth)[0, 1])
    return {"r": r, "error": (high - low) / 2, "ratio": float(found.sum() / truth.sum())}


def raining_pixels(folder: Path, surface: str) -> dict[str, Any]:
    """Raining matched pixels as seen and as simulated."""
    data = read_matchups(folder / "matchups" / "gmi_dpr_rain.nc")
    data = data.isel(sample=np.flatnonzero(dataset_surfaces(data)[surface]))
    rate = data["surface_precip"].values.astype(np.float32)
    environment, index = matchup_environment(data, rate)
    simulated = simulate_matchups(environment, CHANNELS, draws=2, seed=1).astype(float)
    noise = np.random.default_rng(0).normal(0.0, NOISE, simulated.shape)
    return {
        "observed": data["tb"].values[index].astype(float),
        "simulated": simulated + noise,
        "rate": rate[index].astype(float),
        "day": matched_days(data)[index],
    }


def judge_process(pixels: dict[str, Any]) -> dict[str, Any]:
    """Skill of the process from simulated and from real pixels, half of the days each."""
    out: dict[str, Any] = {}
    late = pixels["day"] % 2 == 1
    for name, chosen in SETS.items():
        seen, rate = pixels["observed"][:, chosen], pixels["rate"]
        sources = {"simulated": pixels["simulated"][0][:, chosen], "real": seen}
        for source, tb in sources.items():
            found = np.empty(rate.size)
            for test in (late, ~late):
                found[test] = process_rate(tb[~test], rate[~test], seen[test])
            out[f"{name}, {source}"] = correlation(found, rate, pixels["day"])
    return out


def channel_laws(tb: Array, rate: Array) -> dict[str, float]:
    """Correlations between channels and with the logarithm of the rate."""
    out = {k: float(np.corrcoef(tb[:, i], tb[:, j])[0, 1]) for k, (i, j) in PAIRS.items()}
    for name, i in (("89V", 7), ("166V", 9)):
        out[f"{name} log rate"] = float(np.corrcoef(tb[:, i], np.log(rate))[0, 1])
    return out


def places(count: int, seed: int) -> Iterator[Place]:
    """Draw places over sea and land at the latitudes of the transects."""
    rng = np.random.default_rng(seed)
    low, high = LATITUDES
    while count:
        place = draw_place(rng)
        if low < place.latitude < high:
            count -= 1
            yield place


def simulated_patches(count: int, seed: int) -> tuple[Array, Array]:
    """Pixels of patches at the latitudes of the transects."""
    model = ForwardModel(CHANNELS)
    rng = np.random.default_rng(seed)
    parts: list[tuple[Array, Array]] = []
    for number, place in enumerate(places(count, seed)):
        patch = patch_at((seed, number), get_sensor("gmi"), 48, model, place=place)
        known = np.isfinite(patch.rain) & (rng.random(patch.rain.shape) < SHARE)
        parts.append((patch.tb[known].astype(float), patch.rain[known].astype(float)))
    tb, rate = zip(*parts, strict=True)
    return np.concatenate(tb), np.concatenate(rate)


def boosted(tb: Array, rate: Array, seen: Array) -> tuple[Array, Array]:
    """Probability of 0.1 mm/h and mean rate by boosting."""
    occurs = HistGradientBoostingClassifier(**BOOSTING).fit(tb, rate >= 0.1)
    mean = HistGradientBoostingRegressor(**BOOSTING).fit(tb, rate.clip(0, 50))
    return occurs.predict_proba(seen)[:, 1], mean.predict(seen)


def boosting_scores(probability: Array, mean: Array, rate: Array) -> dict[str, float]:
    """Scores of occurrence and of the mean."""
    rain = (rate >= 0.1).astype(float)
    return {
        "auc": float(probability_scores(probability, rain)["auc"]),
        "hss_flag": float(event_scores((probability > 0.5).astype(float), rain)["hss"]),
        "hss_1": float(event_scores((mean >= 1).astype(float), (rate >= 1).astype(float))["hss"]),
        "r": float(np.corrcoef(mean, rate.clip(0, 50))[0, 1]),
        "ratio": float(mean.sum() / rate.sum()),
    }


def judge_boosting(folder: Path, patches: int) -> dict[str, Any]:
    """Skill on the blocks kept apart, learned from patches and from the other blocks."""
    ds = open_transects(folder / "transects" / "gmi_corra_conus.nc")
    tb, rate = ds["tb"].values.astype(float), ds["surface_precip"].values.astype(float)
    known = np.isfinite(tb).all(1) & np.isfinite(rate)
    apart = kept_apart((ds[OVERPASS].values - 1) // BLOCK_OF_OVERPASSES, 2, 3)
    learn, judge = known & ~apart, known & apart
    seen, truth = tb[judge], rate[judge]
    return {
        "simulated": boosting_scores(*boosted(*simulated_patches(patches, 7), seen), truth),
        "real": boosting_scores(*boosted(tb[learn], rate[learn], seen), truth),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patches", type=int, default=240)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    result: dict[str, Any] = {}
    for surface in ("ocean", "land"):
        pixels = raining_pixels(options.folder, surface)
        result[f"process {surface}"] = judge_process(pixels)
        result[f"laws {surface}"] = {
            "simulated": channel_laws(pixels["simulated"][0], pixels["rate"]),
            "real": channel_laws(pixels["observed"], pixels["rate"]),
        }
    result["boosting"] = judge_boosting(options.folder, options.patches)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for title, rows in result.items():
        print(title)
        for name, row in rows.items():
            print(f"  {name:24s}", "  ".join(f"{k} {v:.3f}" for k, v in row.items()))


if __name__ == "__main__":
    main()
