"""The tool that puts scores of pixels kept apart on the cards."""

import argparse
import json

import numpy as np
import pytest
import xarray as xr
from safetensors.torch import save_file

from tools.score_cards import __main__ as score_cards
from tools.score_cards.estimates import boosting, estimate, process, with_branch
from tools.score_cards.truths import PARTS, Truth
from xrain.evaluation.card_scores import card_scores
from xrain.evaluation.scorecard import Settings
from xrain.models.store import load_card, load_model
from xrain.training import rate_process

CHANNELS = ["36.64V", "89.0V", "89.0H"]


@pytest.fixture(scope="module")
def truth():
    """Pixels of 40 days whose rain follows from their temperatures but for some noise."""
    rng = np.random.default_rng(3)
    count = 600
    tb = rng.uniform(200, 280, (count, 3)).astype(np.float32)
    rate = 0.06 * np.exp((280 - tb[:, 1]) / 20) * np.exp(rng.normal(0, 0.2, count))
    days = np.repeat(np.arange(40), count // 40)
    place = {n: ("sample", np.full(count, v)) for n, v in (("latitude", 5.0), ("longitude", -140))}
    table = xr.Dataset(
        {"tb": (("sample", "channel"), tb)}, {"channel": CHANNELS, **place}, {"sensor": "GMI"}
    )
    event = (rate >= 0.1).astype(float)
    return Truth(
        "some.nc",
        table,
        rate,
        event,
        days,
        days,
        {"ocean": np.ones(count, bool), "land": np.zeros(count, bool)},
    )


def test_every_day_is_judged_once(truth):
    parts = truth.parts()
    assert len(parts) == PARTS
    assert (np.sum(parts, axis=0) == 1).all()
    for part in parts:
        assert not set(truth.units[part]) & set(truth.units[~part])


@pytest.mark.parametrize("machine", [boosting, process])
def test_what_stands_beside_a_model_learns_from_the_other_parts(truth, machine, monkeypatch):
    monkeypatch.setattr(rate_process, "STEPS", 8)
    first = truth.parts()[0]
    found = machine(truth.tb, truth, [first])
    assert found.mean.size == first.sum()
    assert np.corrcoef(found.mean, found.rate)[0, 1] > 0.8
    rate = np.where(first, np.random.default_rng(0).permutation(truth.rate), truth.rate)
    other = Truth("", truth.table, rate, truth.event, truth.units, truth.groups, truth.surfaces)
    # What it is judged by may be anything.
    np.testing.assert_allclose(machine(truth.tb, other, [first]).mean, found.mean)


def test_a_network_is_judged_with_the_branch_that_is_given(truth, tmp_path):
    model = load_model("gmi-unet")
    state = model.network.pixel.state_dict()
    state["trunk.head.bias"] = state["trunk.head.bias"].clone()
    state["trunk.head.bias"][10:] += 3.0
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "branch.safetensors")
    part = truth.parts()[1]
    usual = estimate(model, truth.table, truth, part)
    wetter = estimate(with_branch(model, tmp_path / "branch.safetensors"), truth.table, truth, part)
    assert usual.rate.size == part.sum()
    assert wetter.mean.mean() > 1.5 * usual.mean.mean()
    assert estimate(model, truth.table, truth, part).mean.tolist() == usual.mean.tolist()


def test_scores_are_written_on_a_card_and_entered(truth, tmp_path, monkeypatch):
    weights = tmp_path / "weights"
    card = load_card("gmi-drain")
    folder = weights / f"gmi-drain-{card.version}"
    folder.mkdir(parents=True)
    (weights / "constellation-unet-2.safetensors").write_bytes(b"some")
    card.write(folder / "card.json")
    monkeypatch.setattr(score_cards, "PACKAGED", weights)
    monkeypatch.setattr(score_cards, "REGISTRY_FILE", tmp_path / "registry.json")
    scores = {"transects": {"facts": {}, "table": card_scores(
        boosting(truth.tb, truth, truth.parts()[:1]), Settings(5))}}  # fmt: skip
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "gmi-drain.json").write_text(json.dumps(scores))
    score_cards.write(argparse.Namespace(scores=tmp_path / "scores"))
    written = json.loads((folder / "card.json").read_text())
    assert written["scores"]["kept_apart"] == scores
    entry = json.loads((tmp_path / "registry.json").read_text())["models"]["gmi-drain"]
    assert entry[str(card.version)]["card"]["size"] == (folder / "card.json").stat().st_size
