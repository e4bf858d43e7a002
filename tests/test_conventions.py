"""Channel names in every spelling, and the table of CF attributes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrain.conventions import (
    ATTRIBUTES,
    QUALITY_FLAGS,
    RETRIEVAL_QUALITY,
    ChannelName,
    match_channels,
    parse_channel_name,
)
from xrain.sensors import get_sensor, list_sensors

EVERY = [c for name in list_sensors() for c in get_sensor(name).channels]


@pytest.mark.parametrize("channel", EVERY, ids=lambda c: c.name)
def test_a_canonical_name_says_what_the_table_says(channel):
    name = parse_channel_name(channel.name)
    assert name.frequency == pytest.approx(channel.frequency, rel=1e-3)
    assert name.polarization == channel.polarization
    if name.offset:
        assert name.offset == pytest.approx(channel.sideband_offset)
    assert name.suffix == (channel.name[-1] if channel.name[-2] == "-" else "")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("36.5V", (36.5, 0.0, "V", "")),
        ("36.5 GHz V", (36.5, 0.0, "V", "")),
        ("36.5GHz V-pol", (36.5, 0.0, "V", "")),
        ("CHANNEL_89.0H", (89.0, 0.0, "H", "")),
        ("TB_89v", (89.0, 0.0, "V", "")),
        ("183±3V", (183.0, 3.0, "V", "")),
        ("183.31 +/- 7 V", (183.31, 7.0, "V", "")),
        ("183.31+-6.6H", (183.31, 6.6, "H", "")),
        ("89.0V-A", (89.0, 0.0, "V", "A")),
        ("88.2QV", (88.2, 0.0, "QV", "")),
        ("157", (157.0, 0.0, "", "")),
    ],
)
def test_spellings(text, meaning):
    assert parse_channel_name(text) == ChannelName(*meaning)


@pytest.mark.parametrize("text", ["", "rain", "V89", "89X", "89V-C", "89+-V", "-89V", "8.9.0V"])
def test_what_is_no_channel_name(text):
    assert parse_channel_name(text) is None


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text):
    name = parse_channel_name(text)
    assert name is None or name.frequency >= 0


@pytest.mark.parametrize("sensor", list_sensors())
def test_every_sensor_finds_its_own_channels(sensor):
    names = [c.name for c in get_sensor(sensor).channels]
    assert match_channels(names, names) == list(range(len(names)))
    assert match_channels(names[::-1], names) == list(range(len(names)))[::-1]


@pytest.mark.parametrize(
    ("there", "wanted", "found"),
    [
        ("36.5V", "36.64V", True),
        ("37.0V", "36.64V", False),
        ("36.5H", "36.64V", False),
        ("183±3V", "183.31+-3V", True),
        ("183±6.6V", "183.31+-7V", False),
        ("183.31V", "183.31+-3V", False),
        ("89.0", "89.0QV", True),
        ("89.0V", "89.0QV", True),
        ("89.0H", "89.0QV", False),
        ("89.0V", "89.0V-A", True),
        ("89.0V-B", "89.0V-A", False),
        ("something", "89.0V", False),
    ],
)
def test_aliases(there, wanted, found):
    assert match_channels([there], [wanted]) == [0 if found else None]


def test_exact_names_win_and_a_name_serves_once():
    assert match_channels(["89V", "89.0V"], ["89.0V"]) == [1]
    assert match_channels(["89.0V"], ["89.0V-A", "89.0V-B"]).count(0) == 1
    assert match_channels(["89.0V", "89.0V-A"], ["89.0V-A", "89.0V-B"]) == [1, 0]
    assert match_channels(["36.3V", "36.6V"], ["36.64V", "36.5V"]) == [1, 0]
    assert match_channels(["odd name"], ["odd name", "89.0V"]) == [0, None]
    assert match_channels([], ["89.0V"]) == [None]


@given(
    st.lists(st.sampled_from([c.name for c in EVERY]), max_size=8),
    st.lists(st.sampled_from([c.name for c in EVERY]), max_size=8, unique=True),
)
def test_no_channel_serves_twice(names, wanted):
    match = match_channels(names, wanted)
    used = [i for i in match if i is not None]
    assert len(match) == len(wanted)
    assert len(set(used)) == len(used)
    assert all(
        w not in names or names[i] == w for w, i in zip(wanted, match, strict=True) if w in names
    )


def test_quality_bits_are_apart_and_fit_a_byte():
    bits = list(QUALITY_FLAGS.values())
    assert sum(bits) == sum({1 << k for k in range(8)} & set(bits)) < 256
    attrs = ATTRIBUTES[RETRIEVAL_QUALITY]
    assert len(attrs["flag_masks"]) == len(attrs["flag_meanings"].split())


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_variable_is_described(name):
    attrs = ATTRIBUTES[name]
    assert attrs["long_name"]
    if "flag_values" in attrs:
        assert len(attrs["flag_values"]) == len(attrs["flag_meanings"].split())


def test_of_names_that_fit_equally_well_the_order_does_not_choose() -> None:
    names = ["89.0V-B", "36.5V", "89.0V-A"]
    for order in (names, names[::-1]):
        (found,) = match_channels(order, ["89.0V"])
        assert found is not None
        assert order[found] == "89.0V-A"
