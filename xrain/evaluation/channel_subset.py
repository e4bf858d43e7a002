"""One instrument seen through another: the nearest channels that real matched pixels offer."""

from __future__ import annotations

from collections.abc import Sequence

from xrain.conventions import match_channels
from xrain.errors import UnknownChannelError
from xrain.sensors import find_sensor, get_sensor
from xrain.sensors.describe import describe_channels
from xrain.sensors.nearest import nearest_channel

__all__ = ["choose_channels", "nearest_channels"]


def nearest_channels(sensor: str, names: Sequence[str]) -> list[str]:
    """Channels that come nearest to those of an instrument.

    Parameters
    ----------
    sensor : str
        The instrument to be stood for.
    names : sequence of str
        Names of the channels at hand.

    Returns
    -------
    list of str
        For each channel of the instrument the one at hand of the same polarization (Q left out),
        else of any, whose pass bands are nearest in frequency; in the order of `names`, each
        once. A channel of which the nearest is off by more than a quarter has none.

    Raises
    ------
    UnknownSensorError
        If no table describes the instrument.
    """
    at_hand = describe_channels(list(names))
    chosen = {nearest_channel(c, at_hand) for c in get_sensor(sensor).channels}
    return [name for i, name in enumerate(names) if i in chosen]


def choose_channels(wanted: Sequence[str], names: Sequence[str]) -> list[int]:
    """Find channels by name, or by the instrument that they shall stand for.

    Parameters
    ----------
    wanted : sequence of str
        Channel names in any spelling, and names of instruments, for each of which its
        :func:`nearest_channels` are taken.
    names : sequence of str
        Names of the channels at hand.

    Returns
    -------
    list of int
        Positions in `names`, rising.

    Raises
    ------
    UnknownChannelError
        If something wanted is not there; the message names it and what there is.
    """
    single = [w for w in wanted if find_sensor(w) is None]
    sensors = [w for w in wanted if find_sensor(w) is not None]
    found = match_channels(list(names), single)
    lost = [w for w, i in zip(single, found, strict=True) if i is None]
    picked = {i for i in found if i is not None}
    for sensor in sensors:
        near = nearest_channels(sensor, names)
        lost += [] if near else [sensor]
        picked |= {i for i, name in enumerate(names) if name in near}
    if lost or not picked:
        raise UnknownChannelError(
            f"no channel {', '.join(lost) or 'chosen'} in the file; it has {', '.join(names)}"
        )
    return sorted(picked)
