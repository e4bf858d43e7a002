"""What objects say of themselves in a terminal and in a notebook."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.display import as_html, as_text
from xrain.sensors import get_sensor, list_sensors
from xrain.testing import fake_swath, tiny_model, write_fake_l1c

FOREIGN = "<script>alert(1)</script>\x1b[31m\u202e\nnext"


class Tags(HTMLParser):
    """Collects the tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def require_short(shown: object) -> str:
    text, page = repr(shown), Tags(shown._repr_html_())
    assert 2 <= len(text.splitlines()) <= 10
    assert max(map(len, text.splitlines())) <= 96
    assert set(page.tags) == {"div", "b", "table", "tr", "th", "td"}
    assert page.words[0].startswith(text.splitlines()[0][:60])
    return text


@pytest.mark.parametrize("name", list_sensors())
def test_a_sensor_says_what_it_is(name: str) -> None:
    sensor = get_sensor(name)
    text = require_short(sensor)
    for word in (sensor.name, sensor.long_name, sensor.scan_type, sensor.channels[0].name):
        assert word in text
    assert str(len(sensor.channels)) in text


def test_a_model_says_what_it_needs() -> None:
    text = require_short(xrain.load_model("gmi-unet"))
    assert text.startswith("<Model gmi-unet@")
    assert "10.65V" in text
    assert "any from 6 to" in require_short(xrain.load_model("constellation-unet"))


def test_temperatures_say_with_which_model_they_can_be_retrieved() -> None:
    ds = fake_swath("GMI", 20, 30)
    text = require_short(ds.rain)
    assert "temperatures of GMI" in text
    assert "20 scan × 30 pixel" in text
    assert "gmi-unet@" in text
    lost = require_short(ds.sel(channel=ds["channel"] != "36.64V").rain)
    assert "absent    36.64V" in lost
    assert "problem" in require_short(ds.drop_vars("tb").rain)
    celsius = ds.assign(tb=(ds["tb"] - 273.15).assign_attrs(units="degC"))
    assert "problem" in require_short(celsius.rain)
    other = require_short(ds.assign_attrs(sensor="abacus").rain)
    assert "unknown sensor" in other
    assert "constellation-unet@" in other


def test_rain_says_where_it_comes_from() -> None:
    rain = fake_swath("GMI", 20, 30).rain.retrieve(tiny_model("GMI"))
    text = require_short(rain.rain)
    assert "rain of GMI" in text
    assert "tiny@1" in text
    assert "surface_precip" in text


def test_nothing_is_computed_to_be_shown(tmp_path) -> None:
    def never(*_: object) -> np.ndarray:
        raise AssertionError("it was computed")

    ds = fake_swath("GMI", 20, 30).chunk()
    lazy = ds.assign(tb=ds["tb"].copy(data=ds["tb"].data.map_blocks(never, dtype="f4", meta=1)))
    require_short(lazy.rain)
    path = write_fake_l1c(tmp_path / "a.HDF5", "gmi", scans=20)
    with xr.open_dataset(path, engine="gpm-l1c") as opened:
        require_short(opened.rain)


def test_foreign_text_is_neither_obeyed_nor_run() -> None:
    facts = {"evil " + FOREIGN: FOREIGN}
    text, page = as_text(FOREIGN, facts), as_html(FOREIGN, facts)
    assert "\x1b" not in text
    assert "\u202e" not in text + page
    assert len(text.splitlines()) == 2
    assert "script" not in Tags(page).tags
    model = tiny_model("GMI")
    evil = replace(model, card=replace(model.card, summary=FOREIGN, limits=(FOREIGN,)))
    assert "script" not in Tags(evil._repr_html_()).tags
    assert "\x1b" not in repr(evil)
    ds = fake_swath("GMI", 4, 4).assign_attrs(platform=FOREIGN)
    assert "script" not in Tags(ds.rain._repr_html_()).tags
    assert "\x1b" not in repr(ds.rain)
