"""The channel of one instrument that comes nearest to a channel of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol

__all__ = ["Bands", "nearest_channel", "stand_ins"]


class Bands(Protocol):
    """What is asked of a channel, of an instrument or on a card."""

    @property
    def frequency(self) -> float:
        """Centre frequency, GHz."""

    @property
    def sideband_offsets(self) -> tuple[float, ...]:
        """Offsets of the pass bands from the centre, GHz."""

    @property
    def polarization(self) -> str:
        """V, H, QV or QH."""


FARTHEST: Final = 1.25
"""Ratio of two frequencies beyond which one channel cannot stand for the other."""


def nearest_channel(wanted: Bands, at_hand: Sequence[Bands]) -> int | None:
    """Position of the channel that comes nearest to a wanted one; None if all are far.

    Parameters
    ----------
    wanted : Bands
        The channel to be stood for.
    at_hand : sequence of Bands
        What there is.

    Returns
    -------
    int or None
        The channel whose pass bands are nearest in frequency, of two equally near ones that of
        the same polarization (Q left out).
    """
    ranks = [(*_unlike(c, wanted), i) for i, c in enumerate(at_hand)]
    near = [rank for rank in ranks if rank[0] < math.log(FARTHEST)]
    return min(near)[-1] if near else None


def stand_ins(channels: Sequence[Bands], wanted: Sequence[Bands]) -> list[int | None]:
    """Which channel of an instrument to put in the place of each channel of another.

    Parameters
    ----------
    channels : sequence of Bands
        Channels of the instrument that observed.
    wanted : sequence of Bands
        Channels of the one that is stood for.

    Returns
    -------
    list of int or None
        For each wanted channel a position in `channels`: of those to which no other wanted
        channel comes nearer, the nearest; None if there is none.
    """
    found: list[int | None] = [None] * len(wanted)
    best: dict[int, tuple[float, bool]] = {}
    for index, channel in enumerate(channels):
        place = nearest_channel(channel, wanted)
        if place is None:
            continue
        rank = _unlike(channel, wanted[place])
        if place not in best or rank < best[place]:
            found[place], best[place] = index, rank
    return found


def _unlike(c: Bands, wanted: Bands) -> tuple[float, bool]:
    shifts = [min(abs(math.log(a / b)) for a in _bands(c)) for b in _bands(wanted)]
    turned = c.polarization[-1:] != wanted.polarization[-1:]
    return round(sum(shifts) / len(shifts), 3), turned


def _bands(channel: Bands) -> list[float]:
    """Centres of the pass bands in GHz."""
    offset = channel.sideband_offsets[0] if channel.sideband_offsets else 0.0
    return [channel.frequency - offset, channel.frequency + offset]
