"""What other radiometers would have seen where one did see.

Labels exist for the pixels of one radiometer. The simulator sees each of many columns with the
channels of all. To the temperatures that were observed the difference between two radiometers'
channels is added, as it is in simulated columns that look alike to the first one. Several such
columns are kept for each pixel: what the first radiometer cannot tell varies among them, and so it
does in what is learned.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from xrain.atomic import replacing
from xrain.sensors import Channel, get_sensor
from xrain.simulate.environment import SEA_ICE, SNOW, Environment, draw_unknowns
from xrain.simulate.forward import ForwardModel, mix_polarization
from xrain.simulate.matchups import matchup_environment, read_matchups
from xrain.simulate.neighbourhood import CONICAL, POINTS, beam_weights, surroundings

__all__ = ["NEAREST", "Library", "Translator", "make_library", "simulate_ice_sheets"]

Array = NDArray[np.float32]

NEAREST = 6
"""Simulated columns that are kept for each pixel."""

LIKENESS = (4.0, 5.0, 4.0, 5.0, 4.0, 4.0, 6.0, 4.0, 5.0, 5.0, 5.0, 4.0, 4.0)
"""Difference in K that counts as one in the search, from the lowest frequency to the highest; land
for sea counts as four."""

LAND = 4.0

STEEPEST = 59.0
"""Greatest incidence angle in degrees at which cross-track scanners are simulated."""

HEAVIER = 0.12
"""Share of the raining columns whose rain is multiplied, up to twentyfold: the radar's tables end
at 20 mm/h."""

_ALTITUDE, _EARTH = 833.0, 6371.0  # km
_BLOCK, _SEARCHED = 512, 1000


@dataclass(frozen=True)
class Library:
    """Simulated columns as every radiometer sees them.

    Attributes
    ----------
    sensors : tuple of str
        The radiometers.
    tb : ndarray of float32, shape (column, channel)
        Brightness temperature in K, the channels of one radiometer after those of the other.
    land : ndarray of float32, shape (column,)
        Land fraction.
    angle : ndarray of float32, shape (column,)
        Incidence angle of the cross-track scanners in degrees.
    """

    sensors: tuple[str, ...]
    tb: Array
    land: Array
    angle: Array

    def columns(self, sensor: str) -> slice:
        """Find the channels of a radiometer in `tb`."""
        counts = {s: len(get_sensor(s).channels) for s in self.sensors}
        before = sum(counts[s] for s in self.sensors[: self.sensors.index(sensor)])
        return slice(before, before + counts[sensor])

    def angles(self, rows: NDArray[np.integer], sensor: str) -> Array:
        """Incidence angle in degrees at which a radiometer sees some columns."""
        instrument = get_sensor(sensor)
        if instrument.scan_type == "cross-track":
            return np.asarray(self.angle[rows])
        return np.full(len(rows), instrument.channels[0].incidence_angle, np.float32)

    def save(self, path: Path) -> None:
        """Keep the columns in a file."""
        with replacing(path) as draft, open(draft, "wb") as stream:
            np.savez(stream, sensors=self.sensors, tb=self.tb, land=self.land, angle=self.angle)

    @classmethod
    def load(cls, path: Path) -> Library:
        """Read what :meth:`save` kept."""
        with np.load(path) as kept:
            names = tuple(str(s) for s in kept["sensors"])
            return cls(names, kept["tb"], kept["land"], kept["angle"])


def make_library(
    tables: Sequence[str | os.PathLike[str]], sensors: Sequence[str], seed: int = 0
) -> Library:
    """Simulate the columns of tables of matched pixels as every radiometer sees them.

    Parameters
    ----------
    tables : sequence of path
        Files of matched pixels with their environment; see
        :func:`xrain.simulate.matchups.read_matchups`. Precipitation of unknown rate gets a rate
        drawn from a lognormal distribution.
    sensors : sequence of str
        The radiometers, the one of the tables among them.
    seed : int
        Seed of all that is drawn: unknowns of the columns, rain around a pixel, angles.
    """
    rng = np.random.default_rng((seed, 11))
    parts = []
    for path in tables:
        data = read_matchups(Path(path))
        environment, _ = matchup_environment(data, _drawn_rates(data, rng))
        angle = _draw_angles(rng, len(environment))
        tb = _simulate(environment, sensors, angle, int(rng.integers(2**31)))
        parts.append((tb, environment.land_fraction.numpy(), angle))
    tb, land, angle = (np.concatenate(x) for x in zip(*parts, strict=True))
    return Library(tuple(sensors), tb, land, angle)


def simulate_ice_sheets(count: int, sensors: Sequence[str], seed: int = 0) -> Library:
    """Simulate dry columns over ice sheets and sea ice in deep cold.

    At 205 to 262 K at 2 m, half of them above 240 K, the air holds too little water for more than
    a trace of snow, but the ground scatters like rain aloft. Emissivities vary as they were
    inferred from real dry pixels.
    """
    rng = np.random.default_rng((seed, 12))
    t2m = np.where(np.arange(count) % 2, rng.uniform(240, 262, count), rng.uniform(205, 258, count))
    sheet = rng.uniform(size=count) < 0.85
    humidity = 10.0 * np.exp(0.066 * (t2m - 273.15)) * rng.uniform(0.4, 1.2, count)
    given = {
        "rain_rate": np.zeros(count),
        "t2m": t2m,
        "skin_temperature": (t2m + rng.normal(-1.5, 3.0, count)).clip(185.0, 270.0),
        "water_vapour": humidity.clip(0.2, 20.0),
        "cloud_liquid": np.zeros(count),
        "cloud_ice": rng.exponential(0.02, count),
        "wind_speed": rng.gamma(3.0, 2.0, count),
        "land_fraction": sheet.astype(float),
        "elevation": np.where(sheet, rng.uniform(0.0, 3.8, count), 0.0),
    }
    tensors = {k: torch.as_tensor(v, dtype=torch.float32) for k, v in given.items()}
    surface = torch.as_tensor(np.where(sheet, SNOW, SEA_ICE))
    environment = Environment.derive(surface=surface, **tensors)  # type: ignore[arg-type]
    angle = _draw_angles(rng, count)
    tb = _simulate(environment, sensors, angle, int(rng.integers(2**31)))
    return Library(tuple(sensors), tb, sheet.astype(np.float32), angle)


def _drawn_rates(data: xr.Dataset, rng: np.random.Generator) -> Array:
    """Rate of each pixel in mm/h: that of the radar, else drawn; a share of them made heavier."""
    count = data.sizes["sample"]
    if "surface_precip" in data:
        rate = data["surface_precip"].values.astype(np.float32)
    else:
        drawn = np.exp(rng.normal(-0.2, 1.2, count))
        rate = np.where(data["phase"].values == 0, 0.0, drawn).astype(np.float32)
    warm = data["t2m"].values > 283.0
    chosen = (rng.uniform(size=count) < HEAVIER) & (rate > 0.3) & warm
    factor = np.where(chosen, np.exp(rng.uniform(0.5, 3.0, count)), 1.0)
    return np.asarray((rate * factor).clip(0.0, 120.0), np.float32)


def _draw_angles(rng: np.random.Generator, count: int) -> Array:
    """Incidence angles of a cross-track scanner's pixels, more of them near the edges."""
    largest = math.sin(math.radians(STEEPEST))
    return np.degrees(np.arcsin(rng.uniform(0.0, largest, count))).astype(np.float32)


def _channels(sensors: Sequence[str]) -> list[tuple[bool, Channel]]:
    """Every channel, with whether its radiometer scans across the track."""
    return [
        (get_sensor(s).scan_type == "cross-track", c)
        for s in sensors
        for c in get_sensor(s).channels
    ]


def _simulate(environment: Environment, sensors: Sequence[str], angle: Array, seed: int) -> Array:
    """Brightness temperatures (column, channel) of the same columns for all radiometers."""
    across, channels = zip(*_channels(sensors), strict=True)
    model, weights = ForwardModel(channels), beam_weights(channels)
    turning = torch.tensor(across)
    nominal = torch.tensor([c.incidence_angle for c in channels])
    generator = torch.Generator().manual_seed(seed)
    out = []
    with torch.no_grad():
        for first in range(0, len(environment), _BLOCK):
            part = environment.select(slice(first, first + _BLOCK))
            drawn = draw_unknowns(part, generator, model.parameters)
            theta = torch.as_tensor(angle[first : first + _BLOCK])
            incidence = torch.where(turning, theta[:, None], nominal)
            tb = _columns(model, drawn, incidence, weights, generator)
            sine = torch.sin(torch.deg2rad(theta)) * _EARTH / (_EARTH + _ALTITUDE)
            scan = torch.rad2deg(torch.asin(sine))
            out.append(mix_polarization(tb, [c.polarization for c in channels], scan).numpy())
    return np.asarray(np.concatenate(out))


def _columns(
    model: ForwardModel,
    environment: Environment,
    incidence: Tensor,
    weights: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """V and H (column, channel, 2); raining columns are averages over drawn surroundings."""
    tb = torch.empty(*incidence.shape, 2)
    wet = environment.rain_rate > 0
    dry = torch.nonzero(~wet)[:, 0]
    if dry.numel():
        tb[dry] = model(environment.select(dry), incidence[dry])
    rows = torch.nonzero(wet)[:, 0]
    if rows.numel():
        part = environment.select(rows)
        slant = bool(incidence.median() > CONICAL)
        points = surroundings(part, generator, model.parameters.rain.softness, slant=slant)
        seen = model(points, incidence[rows].repeat_interleave(POINTS, 0))
        seen = seen.reshape(len(part), POINTS, -1, 2)
        tb[rows] = torch.einsum("npck,cp->nck", seen, weights)
    return tb


class Translator:
    """Observed pixels of one radiometer in the channels of others.

    Parameters
    ----------
    library : Library
        Simulated columns.
    source : str
        The radiometer that observed.
    """

    def __init__(self, library: Library, source: str) -> None:
        self.library, self.source = library, source
        own = library.tb[:, library.columns(source)]
        self._scale = torch.as_tensor(_likeness(get_sensor(source).channels))
        self._points = self._placed(own, library.land)
        self._squares = (self._points**2).sum(1)

    def _placed(self, tb: Array, land: Array) -> Tensor:
        """Place pixels where like ones are near each other."""
        scaled = torch.as_tensor(tb) / self._scale
        return torch.cat([scaled, LAND * torch.as_tensor(land)[:, None]], dim=1)

    def nearest(self, tb: Array, land: Array) -> NDArray[np.int32]:
        """Find the columns most like each pixel, (pixel, NEAREST).

        Parameters
        ----------
        tb : ndarray, shape (pixel, channel)
            Observed temperatures in K, all known.
        land : ndarray, shape (pixel,)
            Land fraction.
        """
        found = []
        for part in torch.split(self._placed(tb, land), _SEARCHED):
            distance = self._squares - 2.0 * part @ self._points.T
            found.append(distance.topk(NEAREST, largest=False).indices)
        return torch.cat(found).numpy().astype(np.int32)

    def translate(
        self, tb: Array, columns: NDArray[np.integer], sensor: str
    ) -> tuple[Array, Array]:
        """Brightness temperatures (pixel, channel) and angles (pixel,) of another radiometer.

        Parameters
        ----------
        tb : ndarray, shape (pixel, channel)
            What was observed, in K.
        columns : ndarray of int, shape (pixel,)
            A simulated column like each pixel.
        sensor : str
            The other radiometer; the source's own pixels come back as they are.
        """
        library = self.library
        angle = library.angles(columns, sensor)
        if sensor == self.source:
            return tb, angle
        near = _counterparts(sensor, self.source)
        own = library.tb[:, library.columns(self.source)][columns][:, near]
        shifted = tb[:, near] + library.tb[columns, library.columns(sensor)] - own
        return shifted, angle


def _likeness(channels: Sequence[Channel]) -> Array:
    """Scale of each channel in the search, in K, by its place among the frequencies."""
    place = np.linspace(0, len(LIKENESS) - 1, len(channels)).round().astype(int)
    return np.asarray(np.array(LIKENESS, np.float32)[place])


@functools.cache
def _counterparts(sensor: str, source: str) -> list[int]:
    """Find for each channel of a radiometer the nearest one of the source."""
    at_hand = get_sensor(source).channels
    return [
        min(range(len(at_hand)), key=lambda k: _unlike(at_hand[k], wanted))
        for wanted in get_sensor(sensor).channels
    ]


def _unlike(a: Channel, b: Channel) -> float:
    """Difference of two channels: mainly in frequency, at 183 GHz in the distance to the line."""
    turned = a.polarization[-1:] != b.polarization[-1:]
    shift = abs(_line_distance(a) - _line_distance(b))
    return abs(math.log(a.frequency / b.frequency)) + 0.02 * shift + 0.01 * turned


def _line_distance(channel: Channel) -> float:
    if channel.sideband_offset:
        return channel.sideband_offset
    return abs(channel.frequency - 183.31) if 175 < channel.frequency < 195 else 0.0
