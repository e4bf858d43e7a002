"""Names for channels, held against every radiometer reader that Satpy has."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import xarray as xr
import yaml
from satpy.readers import pmw_channels_definitions as pmw

from xrain.io.channel_names import channel_label, name_channels
from xrain.sensors import find_sensor, get_sensor

BANDS = {
    "frequency_range": pmw.FrequencyRange,
    "frequency_double_sideband": pmw.FrequencyDoubleSideBand,
    "frequency_quadruple_sideband": pmw.FrequencyQuadrupleSideBand,
}


class Loader(yaml.SafeLoader):
    """Reads the configuration of readers whose optional packages are not there."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda _, suffix, node: suffix)


def label(**attrs: Any) -> str | None:
    return channel_label(xr.DataArray(0.0, attrs=attrs))


def labels_of(reader: str) -> tuple[str, list[str]]:
    """Sensor of one of Satpy's readers, and the labels of its channels."""
    text = (resources.files("satpy") / "etc" / "readers" / f"{reader}.yaml").read_text()
    config = yaml.load(text, Loader)
    found = []
    for info in config["datasets"].values():
        info.pop("calibration", None)
        attrs = {k: BANDS[k].convert(v) if k in BANDS else v for k, v in info.items()}
        found.append(label(**attrs))
    return config["reader"]["sensors"][0], [name for name in found if name]


@pytest.mark.parametrize(
    ("reader", "channels"),
    [("amsr2_l1b", 16), ("atms_l1b_nc", 22), ("atms_sdr_hdf5", 22), ("mhs_l1c_aapp", 5),
     ("amsub_l1c_aapp", 5)],
)  # fmt: skip
def test_known_sensors_have_all_their_channels(reader, channels):
    sensor, labels = labels_of(reader)
    assert len(labels) == channels
    own = [c.name for c in get_sensor(sensor).channels]
    assert list(name_channels(labels, find_sensor(sensor))) == own


@pytest.mark.parametrize(
    ("reader", "channels", "expected"),
    [("mws_l1b_nc", 24, {"23.8", "31.4", "89", "166", "183.311+-1", "183.311+-1.8", "183.311+-3",
                         "183.311+-4.5", "183.311+-7"}),
     ("ici_l1b_nc", 13, {"183.31+-2", "183.31+-3.4", "183.31+-7"}),
     ("mwi_l1b_nc", 26, {"18.7", "23.8", "31.4", "89", "165.5+-0.75", "183.31+-2", "183.31+-3.4",
                         "183.31+-4.9", "183.31+-6.1", "183.31+-7"}),
     ("aws1_mwr_l1b_nc", 19, {"89", "165.5", "183.31+-1", "183.31+-1.8", "183.31+-3",
                              "183.31+-4.5", "183.31+-7"}),
     ("aws1_mwr_l1c_nc", 19, {"89", "165.5", "183.31+-1", "183.31+-1.8", "183.31+-3",
                              "183.31+-4.5", "183.31+-7"})],
)  # fmt: skip
def test_unknown_sensors_keep_what_models_know(reader, channels, expected):
    _, labels = labels_of(reader)
    assert len(labels) == channels
    found = name_channels(labels, None)
    assert {name.rstrip("QVH") for name in found} == expected
    assert all(labels[i] == name for name, i in found.items())


def test_thermal_channels_are_no_microwave():
    assert labels_of("avhrr_l1b_aapp") == ("avhrr-3", [])


@pytest.mark.parametrize(
    ("attrs", "name"),
    [({"name": "36.64V"}, "36.64V"),
     ({"name": "CHANNEL_89.0V-A", "original_name": "89.0V-A"}, "89.0V-A"),
     ({"name": "btemp_89.0bh"}, "89.0H-B"),
     ({"name": "1", "frequency_range": [89.0, 2.8, "GHz"], "polarization": "V"}, "89V"),
     ({"name": "4", "frequency_double_sideband": [183.31, 3.0, 2.0, "GHz"]}, "183.31+-3"),
     ({"name": "1"}, None),
     ({"name": "36.64V", "units": "1"}, None),
     ({"name": "36.64V", "calibration": "counts"}, None)],
)  # fmt: skip
def test_label(attrs, name):
    assert label(**attrs) == name


def test_a_rough_frequency_needs_a_sensor():
    assert name_channels(["90V"], get_sensor("TMI")) == {"90V": 0}
    assert name_channels(["88.0QH"], get_sensor("MHS")) == {"89.0QV": 0}
    assert name_channels(["88.0QH"], None) == {"88.0QH": 0}
    assert name_channels(["88.0V"], get_sensor("GMI")) == {"88.0V": 0}  # V or H, who knows


@pytest.mark.parametrize("unit", ["kelvin", "Kelvin", "degK", "deg_K", "degrees Kelvin"])
def test_kelvin_in_any_spelling_is_a_channel(unit):
    assert label(name="36.64V", units=unit) == "36.64V"
    assert label(name="36.64V", units="degC") is None


def test_whole_frequencies_of_mirs_are_told_by_their_order():
    names = ["23v", "31v", "50h", "88v", "165h", *(f"183h{k}" for k in range(1, 6))]
    labels = [str(label(name=f"btemp_{n}", units="K")) for n in names]
    found = name_channels(labels, get_sensor("ATMS"))
    own = [c.name for c in get_sensor("ATMS").channels]
    assert {n: names[i] for n, i in found.items()} == dict(
        zip(own, [n for n in names if n != "50h"], strict=True)
    )


def test_one_counter_too_few_is_not_guessed():
    labels = [f"183H#{k}" for k in range(1, 5)]
    assert not [n for n in name_channels(labels, get_sensor("ATMS")) if n.startswith("183.31+-")]
