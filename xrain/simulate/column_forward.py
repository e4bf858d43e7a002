"""What a radiometer sees of a radar's columns: slant paths and footprints along the track."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrain.sensors import Channel
from xrain.simulate import radar_columns as rc
from xrain.simulate.columns import LevelOptics
from xrain.simulate.environment import Environment
from xrain.simulate.forward import ForwardModel
from xrain.simulate.hydrometeors import Optics
from xrain.simulate.parameters import Parameters
from xrain.simulate.particles import cloud_liquid, hidden_ice, ice_particles, rain_particles
from xrain.simulate.radar_columns import RadarColumns

__all__ = ["SPACING", "column_environment", "simulate_columns"]

SPACING = 5.1  # km between the scans of a radar along the track
_REACH = 6  # scans before and after that a footprint sees
_ALIKE = 15.0  # km, over which columns are alike
_OWN = 0.2  # variance of a column's own, relative to that which it shares
_BLOCK = 512
Array = NDArray[np.float32]
Index = NDArray[np.intp]


def column_environment(columns: RadarColumns, **more: Tensor | float | int) -> Environment:
    """State of the columns as far as it is not precipitation; `more` completes or replaces it."""
    depth = rc.DEPTH * 0.5 * (columns.vapour[1:] + columns.vapour[:-1])
    state: dict[str, Any] = {
        "rain_rate": torch.zeros(len(columns)),
        "t2m": torch.from_numpy(columns.temperature[0]),
        "skin_temperature": torch.from_numpy(columns.skin_temperature),
        "water_vapour": torch.from_numpy(depth.sum(0)),
        "freezing_level": torch.from_numpy(columns.freezing_level),
        "surface": torch.from_numpy((~columns.ocean).astype(np.int64)),
    }
    return Environment.derive(**{**state, **more})


def simulate_columns(
    columns: RadarColumns,
    channels: Sequence[Channel],
    parameters: Parameters | None = None,
) -> Array:
    """Simulate what a conical radiometer sees above columns along the track.

    The path to the radiometer leans along the track, so it meets the precipitation of the next
    columns aloft; a footprint averages the columns before and after it. Scans without a column
    are dry, in the air of the column that is simulated.

    Parameters
    ----------
    columns : RadarColumns
        In the order of overpasses and scans, as from `read_columns`.
    channels : sequence of Channel
        Those of the columns, in their order.
    parameters : Parameters, optional
        Defaults to the fitted ones.

    Returns
    -------
    ndarray, (N, channel)
        Brightness temperature in K in each channel's polarisation.
    """
    out = np.empty((len(columns), len(channels)), np.float32)
    angles = np.array([c.incidence_angle for c in channels])
    for angle in np.unique(angles):
        chosen = np.flatnonzero(angles == angle).tolist()
        part = [channels[i] for i in chosen]
        model = ForwardModel(part, parameters=parameters)
        surface = _both_polarizations(columns, channels)[:, chosen]
        polarization = np.array([c.polarization == "H" for c in part]).astype(int)
        wet, dry = (
            _radiances(columns, model, surface, profile)[:, range(len(part)), polarization]
            for profile in (slant_profiles(columns, float(angle)), _dry(columns, model.parameters))
        )
        out[:, chosen] = _footprints(columns, part, wet, dry)
    return out


def _dry(columns: RadarColumns, parameters: Parameters) -> dict[str, Array]:
    """Profiles of air with the clouds that stand beside precipitation."""
    nothing = np.zeros_like(columns.water)
    cloud = parameters.particles.cloud_around * columns.cloud
    return {"water": nothing, "diameter": nothing, "cloud": cloud, "liquid": columns.liquid}


def neighbours(columns: RadarColumns, shift: int) -> tuple[Index, NDArray[np.bool_]]:
    """Find the column `shift` scans ahead of each; the flag is False where there is none."""
    key = columns.overpass * 1_000_000 + columns.scan
    wanted = key + shift
    place = np.searchsorted(key, wanted).clip(0, key.size - 1)
    return place, key[place] == wanted


def slant_profiles(columns: RadarColumns, angle: float) -> dict[str, Array]:
    """Precipitation and cloud along the path to the radiometer, as profiles over each column.

    A radiometer that looks ahead sees a pixel from behind: its path lies over earlier scans.
    """
    height = rc.DEPTH * (np.arange(rc.LEVELS) + 0.5)
    away = height * np.tan(np.deg2rad(angle)) / SPACING  # in scans
    names = ("water", "diameter", "cloud", "liquid")
    mass = {n: getattr(columns, n) * (1.0 if n == "cloud" else columns.water) for n in names[:3]}
    mass["water"] = columns.water
    mass["liquid"] = columns.liquid * columns.water
    out: dict[str, Array] = {n: np.zeros_like(columns.water) for n in names}
    for layer in range(rc.LEVELS):
        first = int(np.floor(away[layer]))
        for step, share in ((first, first + 1 - away[layer]), (first + 1, away[layer] - first)):
            ahead, behind = neighbours(columns, step), neighbours(columns, -step)
            place = np.where(columns.forward, behind[0], ahead[0])
            there = np.where(columns.forward, behind[1], ahead[1])
            for n in names:
                out[n][layer] += share * np.where(there, mass[n][layer, place], 0.0)
    some = np.maximum(out["water"], np.float32(1e-9))
    for n in ("diameter", "liquid"):
        out[n] = (out[n] / some).astype(np.float32)
    return out


def _both_polarizations(columns: RadarColumns, channels: Sequence[Channel]) -> Tensor:
    """Emissivity in V and H for every channel, (N, channel, 2), from the nearest channel."""
    frequency = np.log([c.frequency for c in channels])
    pair = []
    for polarization in "VH":
        have = np.array([i for i, c in enumerate(channels) if c.polarization == polarization])
        nearest = have[np.abs(frequency[:, None] - frequency[have]).argmin(1)]
        pair.append(columns.emissivity[:, nearest])
    return torch.from_numpy(np.stack(pair, axis=-1).clip(0.02, 1.0))


def _radiances(
    columns: RadarColumns, model: ForwardModel, emissivity: Tensor, profile: dict[str, Array]
) -> Array:
    """Brightness temperature of every column alone, (N, channel, 2)."""
    environment = column_environment(columns)
    convective = torch.from_numpy((columns.rain_type == 2).astype(np.float32))
    parts = []
    with torch.no_grad():
        for start in range(0, len(columns), _BLOCK):
            rows = slice(start, start + _BLOCK)
            air = {
                n: torch.from_numpy(getattr(columns, n)[:, rows])
                for n in ("temperature", "pressure", "vapour")
            }
            fall = {n: torch.from_numpy(v[:, rows]) for n, v in profile.items()}
            optics = column_optics(model, air, fall, convective[rows])
            part = environment.select(rows)
            parts.append(model.from_optics(optics, part, emissivity=emissivity[rows]))
    return np.asarray(torch.cat(parts).numpy())


def column_optics(
    model: ForwardModel, air: dict[str, Tensor], fall: dict[str, Tensor], convective: Tensor
) -> LevelOptics:
    """Optics of layers that may hold rain, melting snow, ice and cloud.

    Parameters
    ----------
    model : ForwardModel
        Channels and parameters.
    air : dict of Tensor, (layer + 1, N)
        ``temperature`` (K), ``pressure`` (hPa) and ``vapour`` (g m-3) at the boundaries.
    fall : dict of Tensor, (layer, N)
        ``water`` (g m-3), its mass-weighted ``diameter`` (mm) and ``liquid`` share, and ``cloud``
        (g m-3).
    convective : Tensor, (N,)
        Share of convective rain.
    """
    p = model.parameters
    temperature, vapour = (0.5 * (air[n][1:] + air[n][:-1]) for n in ("temperature", "vapour"))
    pressure = torch.sqrt(air["pressure"][1:] * air["pressure"][:-1]).clamp_min(40.0)
    clear = model.gases(pressure, temperature, vapour)
    clear = clear + model.liquid(cloud_liquid(fall["cloud"], convective, p), temperature)
    liquid = fall["liquid"]
    melting = ((liquid > 0) & (liquid < 1)).float()
    rain = rain_particles(fall["water"] * liquid, fall["diameter"], temperature, melting, p)
    seen = fall["water"] * (1.0 - liquid)
    snow = ice_particles(seen, fall["diameter"], temperature, convective, p)
    height = rc.DEPTH * (torch.arange(seen.shape[0]) + 0.5)[:, None]
    small = hidden_ice(seen, height, temperature, p)
    density = torch.full_like(small, p.particles.snow_density)
    size = torch.full_like(small, p.particles.hidden_diameter)
    ice = model.ice(snow.content, snow.diameter, snow.temperature, snow.density)
    fine = model.ice(small, size, temperature, density)
    return LevelOptics(
        air["temperature"][..., None],
        clear * rc.DEPTH,
        _scaled(model.rain(rain.content, rain.diameter, rain.temperature)),
        _scaled(_sum(ice, fine)),
    )


def _scaled(optics: Optics) -> Optics:
    return Optics(optics.extinction * rc.DEPTH, optics.albedo, optics.asymmetry)


def _sum(one: Optics, other: Optics) -> Optics:
    """Optics of two kinds of particles together."""
    extinction = one.extinction + other.extinction
    scattered = one.extinction * one.albedo, other.extinction * other.albedo
    total = (scattered[0] + scattered[1]).clamp_min(1e-12)
    forward = scattered[0] * one.asymmetry + scattered[1] * other.asymmetry
    return Optics(extinction, total / extinction.clamp_min(1e-12), forward / total)


def ring_weights(channels: Sequence[Channel]) -> Array:
    """Weights of the columns along the track in each channel's footprint, (distance, channel).

    Ordinary kriging of the footprint's average from columns 0, 5, 10 … km away on both sides,
    whose weights of one distance are summed: the rain beside the track is known only as far as it
    resembles that along it.
    """
    axis = np.arange(-45.0, 45.1, 2.5)
    x, y = np.meshgrid(axis, axis)
    place = SPACING * np.arange(-_REACH, _REACH + 1)
    count = place.size
    system = np.ones((count + 1, count + 1))
    system[-1, -1] = 0.0
    alike = _correlation(np.abs(place[:, None] - place))
    system[:-1, :-1] = alike + _OWN * np.eye(count)
    near = np.stack([_correlation(np.hypot(x - p, y)) for p in place])
    columns = []
    for channel in channels:
        along, across = channel.footprint
        gain = np.exp(-4.0 * np.log(2.0) * ((x / along) ** 2 + (y / across) ** 2))
        seen = (near * gain).sum(axis=(1, 2)) / gain.sum()
        weight = np.linalg.solve(system, np.append(seen, 1.0))[:-1]
        columns.append(np.bincount(np.abs(np.arange(count) - _REACH), weight))
    return np.stack(columns, axis=1).astype(np.float32)


def _correlation(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of columns at a distance in km."""
    return np.asarray(np.exp(-((distance / _ALIKE) ** 0.7)))


def _footprints(
    columns: RadarColumns, channels: Sequence[Channel], wet: Array, dry: Array
) -> Array:
    """Average over the columns along the track, (N, channel)."""
    weights = ring_weights(channels)
    total = weights[0] * wet
    for distance in range(1, weights.shape[0]):
        for shift in (-distance, distance):
            place, there = neighbours(columns, shift)
            total += 0.5 * weights[distance] * np.where(there[:, None], wet[place], dry)
    return np.asarray(total, np.float32)
