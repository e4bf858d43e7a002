"""Channels that are known by name alone."""

from __future__ import annotations

import pytest

from xrain.errors import UnknownChannelError
from xrain.sensors import get_sensor, list_sensors
from xrain.sensors.describe import describe_channel, describe_channels, is_near_known


@pytest.mark.parametrize("name", list_sensors())
def test_a_sensor_describes_its_own(name):
    sensor = get_sensor(name)
    assert describe_channels([c.name for c in sensor.channels], sensor) == list(sensor.channels)


def test_aliases_are_the_sensors_own_channels():
    gmi = get_sensor("GMI")
    names = ["183±3V", "36.5V", "10.65 GHz H"]
    assert [c.name for c in describe_channels(names, gmi)] == ["183.31+-3V", "36.64V", "10.65H"]


def test_without_a_sensor_the_nearest_channel_lends_what_the_name_does_not_say():
    channel = describe_channel("36.5V")
    assert (channel.name, channel.frequency, channel.polarization) == ("36.5V", 36.5, "V")
    near = get_sensor("AMSR2").channel("36.5V")
    assert channel.footprint == near.footprint
    assert channel.sideband_offsets == ()
    wide = describe_channel("183.31+-5.5QH")
    assert wide.sideband_offsets == (5.5,)
    assert wide.polarization == "QH"


def test_a_channel_that_the_sensor_lacks_is_described_all_the_same():
    gmi = get_sensor("GMI")
    first, second = describe_channels(["10.65V", "50.3V"], gmi)
    assert first == gmi.channel("10.65V")
    assert second.frequency == 50.3
    assert second.swath == ""


def test_a_name_without_polarization_takes_the_nearest_channels():
    assert describe_channel("157").polarization == get_sensor("MHS").channel("157.0QV").polarization


def test_a_name_without_frequency_is_told():
    with pytest.raises(UnknownChannelError, match=r"'elevation' says no frequency.*36\.64V"):
        describe_channels(["10.65V", "elevation"], get_sensor("GMI"))


@pytest.mark.parametrize(("frequency", "near"), [(91.655, True), (176.3, True), (54.4, False)])
def test_a_channel_is_known_within_five_hundredths_of_its_frequency(frequency, near):
    assert is_near_known(frequency, (89.0, 183.31)) is near
