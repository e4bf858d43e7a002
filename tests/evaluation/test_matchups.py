from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from xrain.errors import FileFormatError, InputError, UnknownChannelError
from xrain.evaluation.channel_subset import choose_channels, nearest_channels
from xrain.evaluation.matchups import model_inputs, score_matchups
from xrain.evaluation.scorecard import to_json
from xrain.geo.surfaces import surface_masks
from xrain.io.matchups import matched_days, open_matchups
from xrain.models.store import Model
from xrain.retrieval.dataset import retrieve
from xrain.sensors import get_sensor
from xrain.testing import tiny_model

NAMES = [c.name for c in get_sensor("GMI").channels]
MIDDLE, WETTEST = 0.9 / np.log(10), 9 / np.log(10)  # mean rates of the tiny model's two classes


def odds(tb: np.ndarray) -> np.ndarray:
    """Weight of the tiny model's wettest class; the two others have one each."""
    return np.exp(((tb.astype(float) - 230) / 40).sum(axis=-1))


def table(n: int = 600, *, channels: list[str] | None = None, seed: int = 0) -> xr.Dataset:
    """Pixels over sea and land, as many of each, in thirty days."""
    rng = np.random.default_rng(seed)
    names = channels or NAMES
    land = rng.integers(0, 2, n).astype(np.float32)
    return xr.Dataset(
        {
            "tb": (("sample", "channel"), rng.uniform(210, 250, (n, len(names))).astype("f4")),
            "land_fraction": ("sample", land),
            "latitude": ("sample", np.where(land, 25.0, 0.0).astype("f4")),
            "longitude": ("sample", np.where(land, 15.0, -140.0).astype("f4")),
            "month": ("sample", np.ones(n, "i2")),
            "day": ("sample", (np.arange(n) % 30 + 1).astype("i2")),
        },
        coords={"channel": names},
    )


@pytest.fixture(scope="module")
def model() -> Model:
    tiny = tiny_model()
    return Model(dataclasses.replace(tiny.card, event_frequency=0.2), tiny.network)


def test_given_rain_the_dry_class_is_left_out_and_the_rest_made_one(model: Model) -> None:
    ds = table(50)
    z = odds(ds["tb"].values)
    free = retrieve(ds, model)
    wet = retrieve(ds, model, given_rain=True)
    assert free["surface_precip"].values == pytest.approx(
        (MIDDLE + z * WETTEST) / (2 + z), rel=1e-4
    )
    assert wet["surface_precip"].values == pytest.approx((MIDDLE + z * WETTEST) / (1 + z), rel=1e-4)
    for name in ("probability_of_precip", "precip_flag", "retrieval_quality"):
        assert wet[name].equals(free[name])
    assert free["probability_of_precip"].values == pytest.approx((1 + z) / (2 + z), rel=1e-4)
    assert "it rains" in wet["surface_precip"].attrs["long_name"]
    assert "it rains" not in free["surface_precip"].attrs["long_name"]


def test_quantiles_given_rain_invert_the_conditional_distribution(model: Model) -> None:
    """Two classes even in the logarithm: F(r) is known in closed form."""
    ds = table(50)
    levels = (0.05, 0.3, 0.7, 0.95)
    found = retrieve(ds, model, quantiles=levels, given_rain=True)["surface_precip_quantile"]
    share = 1 / (1 + odds(ds["tb"].values))  # of the class 0.1 to 1 mm/h
    for level, rate in zip(levels, found.values, strict=True):
        low = 0.1 * 10 ** (level / share)
        high = 10 ** ((level - share) / (1 - share))
        assert rate == pytest.approx(np.where(level <= share, low, high), rel=1e-3)


def test_a_strange_input_given_rain_is_mixed_with_the_raining_prior() -> None:
    tiny = tiny_model(prior=(0.9, 0.06, 0.04))
    ds = table(20)
    ds["tb"][:, 0] = 330.0  # out of the range that the card tells
    z = odds(ds["tb"].values)
    share = 0.5 / (1 + z) + 0.5 * 0.6
    level = 0.2
    found = retrieve(ds, tiny, quantiles=(level,), given_rain=True)
    assert (found["retrieval_quality"].values & 2 > 0).all()
    assert found["surface_precip_quantile"].values[0] == pytest.approx(
        0.1 * 10 ** (level / share), rel=1e-3
    )


def test_scores_of_raining_pixels_are_those_of_the_conditional_mean(model: Model) -> None:
    ds = table()
    z = odds(ds["tb"].values)
    mean = (MIDDLE + z * WETTEST) / (1 + z)
    rain = mean * np.random.default_rng(1).gamma(4.0, 0.25, mean.size)
    ds["surface_precip"] = "sample", rain.astype("f4")
    found = score_matchups(ds, model, bootstrap=50)
    assert found["given_rain"]
    assert found["n"] == found["all"]["n"] == found["ocean"]["n"] + found["land"]["n"] == 600
    sea = ds["land_fraction"].values < 0.5
    for name, mask in (("all", slice(None)), ("ocean", sea), ("land", ~sea)):
        r = np.corrcoef(mean[mask], rain[mask])[0, 1]
        assert found[name]["correlation"] == pytest.approx(r, abs=1e-4)
        assert found[name]["bias"] == pytest.approx((mean - rain)[mask].mean(), abs=1e-4)
        low, high = found[name]["correlation_interval"]
        assert low < found[name]["correlation"] < high
    assert "pod" not in found["all"]


def test_a_phase_file_is_scored_after_the_shift_of_the_prior(model: Model) -> None:
    ds = table()
    z = odds(ds["tb"].values)
    p = (1 + z) / (2 + z)
    phase = np.random.default_rng(2).binomial(2, np.clip(p - 0.3, 0, 1))
    ds["phase"] = "sample", phase.astype("i1")
    found = score_matchups(ds, model, bootstrap=0)
    event = phase >= 1
    assert found["model_prevalence"] == 0.2
    assert found["prior"] == found["event_frequency"] == pytest.approx(event.mean())
    moved = p / (1 - p) * event.mean() / (1 - event.mean()) * 0.8 / 0.2
    shifted = moved > 1
    hits = (shifted & event).sum()
    assert found["all"]["pod"] == pytest.approx(hits / event.sum())
    assert found["all"]["far"] == pytest.approx(1 - hits / shifted.sum())
    assert found["all"]["csi"] == pytest.approx(hits / (shifted | event).sum())
    plain = shifted  # the flag of the tiny model has the threshold one half
    n, chance = event.size, event.mean() * plain.mean() + (~event).mean() * (~plain).mean()
    accuracy = (plain == event).sum() / n
    assert found["all"]["hss_flag"] == pytest.approx((accuracy - chance) / (1 - chance))
    assert 0.5 < found["all"]["auc"] <= 1
    assert not [k for k in found["all"] if k.endswith("_interval")]
    assert "correlation" not in found["all"]


def test_at_the_prior_of_the_model_a_file_is_scored_as_delivered(model: Model) -> None:
    ds = table()
    z = odds(ds["tb"].values)
    rng = np.random.default_rng(3)
    rain = np.where(rng.random(600) < 1 / (2 + z), 0.0, rng.uniform(0.1, 8, 600))
    ds["surface_precip"] = "sample", rain.astype("f4")
    found = score_matchups(ds, model, bootstrap=0, prior=0.2)
    mean = (MIDDLE + z * WETTEST) / (2 + z)
    assert not found["given_rain"]
    assert found["all"]["rmse"] == pytest.approx(np.sqrt(((mean - rain) ** 2).mean()), rel=1e-4)
    assert found["event_frequency"] == pytest.approx((rain >= 0.1).mean())
    assert {"correlation", "pod", "hss_flag", "auc", "quantile_coverage"} <= set(found["all"])


def test_pixels_without_truth_or_estimate_are_left_out_and_counted(model: Model) -> None:
    ds = table()
    rain = np.full(600, 2.0, "f4")
    rain[:40] = np.nan
    ds["surface_precip"] = "sample", rain
    ds["tb"][40:50] = np.nan
    found = score_matchups(ds, model, bootstrap=0)
    assert (found["n"], found["n_without_value"]) == (550, 10)
    assert found["all"]["correlation"] is None  # of a constant truth
    json.loads(to_json(found))


def test_only_tb_channels_and_positions_are_shown_to_the_model(model: Model) -> None:
    ds = table()
    ds["surface_precip"] = "sample", np.random.default_rng(0).uniform(0.2, 9, 600).astype("f4")
    ds["earth_incidence_angle"] = "sample", np.full(600, 10.0, "f4")
    ds["quality"] = "sample", np.full(600, 3, "i1")
    shown = model_inputs(ds)
    assert set(shown.variables) == {"tb", "channel", "latitude", "longitude"}
    assert shown.attrs == {"sensor": "GMI"}


def test_channels_that_are_not_chosen_cannot_matter(model: Model) -> None:
    ds = table()
    ds["surface_precip"] = "sample", np.random.default_rng(0).uniform(0.2, 9, 600).astype("f4")
    other = ds.copy(deep=True)
    other["tb"][:, 2:] += 20.0
    chosen = ["10.65V", "10.7 GHz H"]
    found = [score_matchups(d, model, channels=chosen, bootstrap=0) for d in (ds, other)]
    assert found[0] == found[1]
    assert found[0]["channels"] == ["10.65V", "10.65H"]
    z = odds(ds["tb"].values[:, :2])
    r = np.corrcoef((MIDDLE + z * WETTEST) / (1 + z), ds["surface_precip"].values)[0, 1]
    assert found[0]["all"]["correlation"] == pytest.approx(r, abs=1e-4)
    with pytest.raises(UnknownChannelError, match=r"no channel 50\.3V"):
        score_matchups(ds, model, channels=["10.65V", "50.3V"])


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [
        ("AMSR2", NAMES[:9]),
        ("SSMI", NAMES[2:9]),
        ("ATMS", ["23.8V", "36.64V", "89.0V", "166.0H", "183.31+-3V", "183.31+-7V"]),
        ("MHS", ["89.0V", "166.0V", "183.31+-3V", "183.31+-7V"]),
        ("SAPHIR", ["183.31+-3V", "183.31+-7V"]),
        ("GMI", NAMES),
    ],
)
def test_an_instrument_stands_for_the_nearest_channels(sensor: str, expected: list[str]) -> None:
    assert nearest_channels(sensor, NAMES) == expected
    assert [NAMES[i] for i in choose_channels([sensor.lower()], NAMES)] == expected


def test_surfaces_follow_their_definition() -> None:
    masks = surface_masks(
        [0.0, 0.009, 0.0, 0.0, 0.5, 0.99, 1.0], [np.nan, 0.0, 0.01, 0.009, 0, 0, 0]
    )
    assert masks["ocean"].tolist() == [True, True, False, True, False, False, False]
    assert masks["land"].tolist() == [False] * 6 + [True]
    assert (masks["ocean"] | masks["land"] | masks["rest"]).all()


def test_bad_files_are_told_apart(tmp_path: Path, model: Model) -> None:
    with pytest.raises(FileFormatError, match=r"absent\.nc"):
        open_matchups(tmp_path / "absent.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(FileFormatError, match=r"text\.nc"):
        open_matchups(tmp_path / "text.nc")
    with pytest.raises(InputError, match="there is no truth"):
        score_matchups(table(), model)
    with pytest.raises(InputError, match="latitude"):
        score_matchups(table().drop_vars("latitude").assign(phase=("sample", np.ones(600))), model)


@pytest.mark.parametrize("name", ["gmi_dpr_rain", "gmi_dpr_phase", "gmi_cpr_snow"])
def test_real_pixels_are_scored_whole(data_dir: Path, name: str, model: Model) -> None:
    ds = open_matchups(data_dir / "matchups" / f"{name}.nc")
    found = score_matchups(data_dir / "matchups" / f"{name}.nc", model, bootstrap=10)
    assert found["n"] + found["n_without_value"] == ds.sizes["sample"]
    assert found["source"] == f"{name}.nc"
    assert set(found) >= {"model", "n", "all", "ocean", "land"}
    assert 0 < found["ocean"]["n"] + found["land"]["n"] < found["n"]
    assert len(np.unique(matched_days(ds))) > 50
    expected = {"auc", "hss", "hss_flag"} if "phase" in name else {"correlation", "coverage90"}
    assert expected <= set(found["all"])
    assert json.loads(to_json(found)) == found
