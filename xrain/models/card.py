"""Model cards: what a model was made from, what it needs, and what it is worth.

A card is a JSON file beside the weights. It also does the handshake: before anything is
computed, :meth:`ModelCard.check` says all that keeps the model from working on a dataset, and
:meth:`ModelCard.remarks` all that will make the result worse.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import xarray as xr

from xrain.conventions import match_channels, parse_channel_name
from xrain.errors import ModelError
from xrain.models.card_values import MOST_TEXT, find_faults, parse_json
from xrain.models.event import event_shares
from xrain.models.handshake import find_problems, find_remarks
from xrain.models.whole_files import read_bounded
from xrain.sensors import Channel
from xrain.sensors.describe import is_near_known

__all__ = ["CardChannel", "ModelCard"]

_ANY: Final = "any"
_FIELDS: Final = {"channels": "inputs", "detector": "outliers"}
"""Keys of JSON whose field has another name."""


@dataclass(frozen=True)
class CardChannel:
    """A channel that a model was trained on.

    Attributes
    ----------
    name : str
        Canonical channel name.
    frequency : float
        Centre frequency in GHz.
    sideband_offsets : tuple of float
        Offsets of the pass bands in GHz, empty for a single band.
    polarization : str
        ``"V"``, ``"H"``, ``"QV"`` or ``"QH"``.
    incidence_angle : float
        Nominal earth incidence angle in degrees.
    footprint : tuple of float
        Half-power footprint in km, along and across.
    nedt : float
        Noise in K.

    See Also
    --------
    xrain.models.card.ModelCard : The card.
    xrain.sensors.Channel : A channel of an instrument.
    """

    name: str
    frequency: float
    sideband_offsets: tuple[float, ...] = ()
    polarization: str = "V"
    incidence_angle: float = 0.0
    footprint: tuple[float, float] = (0.0, 0.0)
    nedt: float = 0.0

    @classmethod
    def from_channel(cls, channel: Channel) -> CardChannel:
        """Describe a sensor's channel as a card does."""
        return cls(
            channel.name,
            channel.frequency,
            channel.sideband_offsets,
            channel.polarization,
            channel.incidence_angle,
            channel.footprint,
            channel.nedt,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CardChannel:
        """Make a channel from its JSON form."""
        values = {f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values}
        for name in ("sideband_offsets", "footprint"):
            if name in values:
                values[name] = tuple(float(x) for x in values[name])
        numbers = ("frequency", "incidence_angle", "nedt")
        values |= {name: float(values[name]) for name in numbers if name in values}
        return cls(**{**values, "name": str(values["name"])})


@dataclass(frozen=True)
class ModelCard:
    """What a model is, where it comes from and what it needs.

    Attributes
    ----------
    name : str
        Name such as ``"gmi-unet"``.
    version : int
        Version, counted from 1. A published version never changes.
    summary : str
        One sentence.
    architecture : dict
        What the network needs to be built; ``architecture["kind"]`` names its module.
    rates : tuple of float
        Edges of the rain classes in mm/h, rising.
    inputs : tuple of CardChannel
        Channels in the network's order; empty means any channel. In JSON ``"channels"``, a list
        or ``"any"``.
    ranges : dict of str to tuple of float
        Brightness temperatures in K, by channel name, between which the model was trained.
    outliers : dict
        By instrument, what tells inputs unlike the training data; see
        :mod:`xrain.models.outliers`. In the JSON of version 1 ``"detector"``.
    frequency_range : tuple of float
        Lowest and highest frequency in GHz that a model for any channel accepts.
    sensor : str or None
        Instrument that the model was made for, None for the whole constellation.
    task : str
        What the model estimates.
    training : dict
        Data, seconds, samples, seed, credits.
    scores : dict
        Scores by data set.
    limits : tuple of str
        What the model cannot do, one sentence each.
    licence : str
        SPDX name.
    halo, stride : int
        Pixels of context around a tile, and the grid that tiles must start on.
    precision : str
        Number format of the stored weights.
    event_frequency : float
        Share of raining pixels in training.
    prior : tuple of float or None
        Share of each rain class in training, the dry class first.
    threshold : float
        Probability of precipitation above which a pixel counts as raining.
    sha256s : dict of str to str
        Weight files, relative to the card, in loading order, with their hashes.
    extra : dict
        Keys that this version does not know, kept as they are.

    See Also
    --------
    xrain.load_model : A model with its card.
    xrain.models.card.CardChannel : One channel.

    References
    ----------
    Mitchell, M., et al., 2019: Model cards for model reporting, doi 10.1145/3287560.3287596.
    """

    name: str
    version: int
    summary: str
    architecture: dict[str, Any]
    rates: tuple[float, ...]
    inputs: tuple[CardChannel, ...] = ()
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    outliers: dict[str, Any] = field(default_factory=dict)
    frequency_range: tuple[float, float] = (6.0, 200.0)
    sensor: str | None = None
    task: str = "surface precipitation rate"
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    licence: str = "BSD-3-Clause"
    halo: int = 0
    stride: int = 1
    precision: str = "float32"
    event_frequency: float = 0.0
    prior: tuple[float, ...] | None = None
    threshold: float = 0.5
    sha256s: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name and version, as in ``"gmi-unet@1"``."""
        return f"{self.name}@{self.version}"

    @property
    def accepts_any(self) -> bool:
        """Whether the model takes any channel, told only by its description."""
        return not self.inputs

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels in the network's order; empty if it takes any."""
        return tuple(c.name for c in self.inputs)

    @property
    def sha256(self) -> str:
        """One hash for the model: that of its weight file, or of all their hashes joined."""
        hashes = list(self.sha256s.values())
        if len(hashes) == 1:
            return hashes[0]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()

    @property
    def prevalence(self) -> float:
        """Share of pixels with at least 0.1 mm/h for which the model's probabilities hold."""
        if self.prior is None:
            return self.event_frequency
        shares = event_shares(self.rates)
        return sum(p * s for p, s in zip(self.prior, shares, strict=True)) / sum(self.prior)

    # ---- JSON

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain values, ready for JSON."""
        values = dataclasses.asdict(self)
        values["channels"] = values.pop("inputs") or _ANY
        return {**values.pop("extra"), **values}

    def to_json(self) -> str:
        """Return the card as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, path: str | Path) -> None:
        """Write the card as JSON."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make a card from its JSON form; ModelError names every missing or bad key."""
        values = {_FIELDS.get(k, k): v for k, v in values.items()}
        fields = {f.name: f for f in dataclasses.fields(cls) if f.name != "extra"}
        needed = [n for n, f in fields.items() if _is_required(f) and n not in values]
        if needed:
            raise ModelError(f"the model card lacks {', '.join(needed)}")
        known = {n: values[n] for n in fields if n in values}
        try:
            known |= _typed(known)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise ModelError(
                f"the model card has a value of a wrong kind: {error!r:.300}"
            ) from error
        if bad := find_faults(known):
            raise ModelError(f"the model card of {known['name']!r:.100} is wrong: {'; '.join(bad)}")
        return cls(**known, extra={k: v for k, v in values.items() if k not in fields})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Make a card from JSON text."""
        try:
            values = parse_json(text)
        except ValueError as error:
            raise ModelError(f"the model card is no JSON that can be used: {error}") from error
        return cls.from_dict(values)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a card; ModelError names the file that is absent or wrong."""
        try:
            return cls.from_json(read_bounded(Path(path), MOST_TEXT).decode("utf-8"))
        except (OSError, ValueError, ModelError) as error:
            raise ModelError(f"{path}: {error}") from error

    # ---- the handshake

    def match(self, names: list[str]) -> list[int | None]:
        """Find the model's channels among a dataset's.

        Parameters
        ----------
        names : list of str
            Channel names of the dataset, in any spelling.

        Returns
        -------
        list of int or None
            For each channel of the model its position in `names`, or None. A model for any
            channel takes every name whose frequency it can read and was trained near.
        """
        if not self.accepts_any:
            return match_channels(names, self.channels)
        return [i for i, name in enumerate(names) if self._in_range(name)]

    def _in_range(self, name: str) -> bool:
        parsed = parse_channel_name(name)
        if parsed is None:
            return False
        low, high = self.frequency_range
        learned = [c.frequency for c in map(parse_channel_name, self.ranges) if c is not None]
        near = not learned or is_near_known(parsed.frequency, learned)
        return near and low <= parsed.frequency <= high

    def check(self, ds: xr.Dataset) -> list[str]:
        """Say everything that keeps the model from working on a dataset.

        Parameters
        ----------
        ds : xarray.Dataset
            A swath with ``tb(scan, pixel, channel)`` or a table with ``tb(sample, channel)``.

        Returns
        -------
        list of str
            One sentence for each problem; empty if the model can run.
        """
        return find_problems(self, ds)

    def require(self, ds: xr.Dataset) -> None:
        """Raise ModelError with every problem that :meth:`check` finds."""
        if problems := self.check(ds):
            text = "\n".join(f"- {p}" for p in problems)
            raise ModelError(f"{self.id} cannot work on this dataset:\n{text}")

    def remarks(self, ds: xr.Dataset) -> list[str]:
        """Say everything that lets the model run but makes its result worse.

        Parameters
        ----------
        ds : xarray.Dataset
            A dataset that passes :meth:`check`.
        """
        return find_remarks(self, ds)


def _is_required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    """Card values with JSON's lists and numbers as the types that a card holds."""
    return {n: _CASTS[n](v) for n, v in values.items() if n in _CASTS}


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(x) for x in values)


def _inputs(values: Any) -> tuple[CardChannel, ...]:
    return () if values == _ANY else tuple(CardChannel.from_dict(c) for c in values)


def _ranges(values: Any) -> dict[str, tuple[float, float]]:
    return {str(name): (float(low), float(high)) for name, (low, high) in values.items()}


_CASTS: Final[dict[str, Callable[[Any], Any]]] = {
    "version": int,
    "halo": int,
    "stride": int,
    "event_frequency": float,
    "threshold": float,
    "rates": _floats,
    "frequency_range": _floats,
    "prior": lambda values: None if values is None else _floats(values),
    "limits": lambda values: tuple(str(x) for x in values),
    "inputs": _inputs,
    "ranges": _ranges,
    "architecture": dict,
    "training": dict,
    "scores": dict,
    "outliers": dict,
    "sha256s": dict,
}
