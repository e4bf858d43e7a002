from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xrain.errors import ModelError
from xrain.models.card import CardChannel, ModelCard
from xrain.sensors import get_sensor

GMI = get_sensor("gmi")


def card(**changes: object) -> ModelCard:
    values: dict[str, object] = {
        "name": "gmi-test",
        "version": 3,
        "summary": "A card for tests.",
        "architecture": {"kind": "unet", "width": 8},
        "rates": (0.1, 1.0, 10.0),
        "inputs": tuple(CardChannel.from_channel(c) for c in GMI.channels),
        "ranges": {"10.65V": (60.0, 320.0)},
        "prior": (0.9, 0.06, 0.04),
        "sensor": "GMI",
        "limits": ("Knows no snow.",),
        "halo": 32,
        "stride": 16,
        "event_frequency": 0.07,
        "sha256s": {"weights.safetensors": "ab" * 32},
    }
    return ModelCard(**{**values, **changes})  # type: ignore[arg-type]


def swath(names: list[str], **attrs: str) -> xr.Dataset:
    rng = np.random.default_rng(5)
    tb = rng.uniform(150, 300, (6, 5, len(names))).astype("f4")
    return xr.Dataset(
        {"tb": (("scan", "pixel", "channel"), tb, {"units": "K"})},
        {"channel": names},
        attrs,
    )


def test_json_gives_the_same_card_back() -> None:
    this = card(extra={"colour": "blue"}, scores={"dry": {"bias": 0.25}})
    assert ModelCard.from_json(this.to_json()) == this


@given(st.floats(0.01, 1), st.integers(1, 99), st.lists(st.text(max_size=9)), st.text(max_size=20))
def test_json_keeps_any_text_and_number(
    rate: float, version: int, limits: list[str], summary: str
) -> None:
    this = card(
        rates=(rate, rate * 2), prior=(0.9, 0.1), version=version, limits=tuple(limits),
        summary=summary,
    )  # fmt: skip
    assert ModelCard.from_json(this.to_json()) == this


def test_a_model_for_any_channel_says_so_in_json() -> None:
    this = card(inputs=())
    assert json.loads(this.to_json())["channels"] == "any"
    assert ModelCard.from_json(this.to_json()).accepts_any


def test_unknown_keys_are_kept() -> None:
    values = {**card().to_dict(), "colour": "blue"}
    again = ModelCard.from_dict(values)
    assert again.extra == {"colour": "blue"}
    assert again.to_dict()["colour"] == "blue"


def test_all_missing_keys_are_named_at_once() -> None:
    with pytest.raises(ModelError, match=r"summary, architecture, rates"):
        ModelCard.from_dict({"name": "x", "version": 1})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rates", [1.0, 0.5], "rates must rise"),
        ("version", 0, "version"),
        ("version", "new", "wrong kind"),
        ("stride", 0, "stride"),
        ("event_frequency", 1.5, "event_frequency"),
        ("threshold", -0.1, "threshold"),
        ("ranges", {"10.65V": [60.0]}, "wrong kind"),
        ("channels", [{"name": "10.65V"}], "wrong kind"),
    ],
)
def test_a_bad_value_is_named(key: str, value: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ModelCard.from_dict({**card().to_dict(), key: value})


def test_a_broken_file_is_named(tmp_path) -> None:
    path = tmp_path / "card.json"
    path.write_text("{")
    with pytest.raises(ModelError, match=r"card\.json.*no JSON"):
        ModelCard.read(path)
    with pytest.raises(ModelError, match=r"other\.json"):
        ModelCard.read(tmp_path / "other.json")


def test_one_hash_for_one_file_and_another_for_several() -> None:
    one, two = "ab" * 32, "cd" * 32
    assert card(sha256s={"a": one}).sha256 == one
    both = card(sha256s={"a": one, "b": two}).sha256
    assert len(both) == 64
    assert both != card(sha256s={"a": two, "b": one}).sha256


def test_a_card_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        card().version = 2  # type: ignore[misc]


def test_a_complete_swath_passes_without_remark() -> None:
    ds = swath([c.name for c in GMI.channels], sensor="GMI").assign_coords(
        latitude=(("scan", "pixel"), np.zeros((6, 5))),
        longitude=(("scan", "pixel"), np.zeros((6, 5))),
        earth_incidence_angle=(("scan", "pixel"), np.full((6, 5), 52.8)),
    )
    assert card().check(ds) == []
    assert card().remarks(ds) == []


def test_channels_are_found_by_alias_and_in_any_order() -> None:
    names = ["183±3V", "36.5V", "10.65 V"]
    ds = swath(names)
    assert card().check(ds) == []
    match = card().match(names)
    found = {GMI.channels[j].name: names[i] for j, i in enumerate(match) if i is not None}
    assert found == {"183.31+-3V": "183±3V", "36.64V": "36.5V", "10.65V": "10.65 V"}


def test_remarks_name_what_is_missing_and_what_is_too_much() -> None:
    remarks = "\n".join(card().remarks(swath(["10.65V", "6.9V"], sensor="TMI")))
    assert "missing channels: 10.65H, 18.7V" in remarks
    assert "does not use: 6.9V" in remarks
    assert "made for GMI, not for TMI" in remarks
    assert "latitude" in remarks
    assert "earth_incidence_angle" in remarks


def test_a_model_for_any_channel_takes_what_it_was_trained_near() -> None:
    learned = {"36.64V": (100.0, 310.0), "89.0H": (100.0, 310.0)}
    model = card(inputs=(), sensor=None, ranges=learned)
    assert model.check(swath(["36.5V", "91.655H"])) == []
    assert model.match(["1.4V", "36.5V", "elevation", "50.3V"]) == [1]
    assert "6 to 200 GHz near those it learned from" in model.check(swath(["1.4V"]))[0]


def test_every_problem_is_told_at_once() -> None:
    ds = swath(["1.4V", "1.4V"]).rename(pixel="x")
    ds["tb"].attrs["units"] = "degC"
    problems = card().check(ds)
    for words in ("scan, x, channel", "'degC'", "several 1.4V"):
        assert any(words in p for p in problems)
    with pytest.raises(ModelError) as error:
        card().require(ds)
    assert all(p in str(error.value) for p in problems)


@pytest.mark.parametrize(
    ("ds", "message"),
    [
        (swath(["10.65V"]).rename(tb="Tc"), "has no variable 'tb'.*Tc"),
        (swath(["10.65V"]).drop_vars("channel"), "no coordinate 'channel'"),
        (swath(["1.4V"]), "no usable channel.*1.4V.*10.65V"),
        (swath(["10.65V"]) - 273.15, "brightness temperatures in K"),
        (swath(["10.65V"]).astype(str), "must hold numbers"),
    ],
)
def test_what_cannot_work_is_told(ds: xr.Dataset, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        card().require(ds)


def test_a_table_and_an_all_missing_swath_can_be_used() -> None:
    ds = swath(["10.65V", "10.65H"])
    table = ds.stack(sample=("scan", "pixel"), create_index=False).transpose("sample", "channel")
    assert card().check(table) == []
    assert card().check(ds.where(False)) == []


def test_the_handshake_computes_nothing_of_a_lazy_dataset() -> None:
    import dask.array as da

    def fail(*_: object) -> np.ndarray:
        raise AssertionError("computed")

    lazy = da.map_blocks(
        fail, chunks=((6,), (5,), (1,)), dtype="f4", meta=np.empty((0, 0, 0), "f4")
    )
    ds = swath(["10.65V"])
    ds["tb"] = (ds["tb"].dims, lazy)
    assert card().check(ds) == []
    remarks = "\n".join(card().remarks(ds))
    assert all(words in remarks for words in ("missing channels", "latitude", "'sensor'"))
