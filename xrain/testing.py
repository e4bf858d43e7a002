"""Fakes for tests: granules in the archive's layout, swaths in memory, and tiny models.

The geometry is that of the real instrument on a circular orbit; the brightness temperatures are
smooth and plausible but are no physics. For physics see `xrain.simulate`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xrain.conventions import ATTRIBUTES
from xrain.errors import InputError
from xrain.io.write_l1c import L1CGroup, write_l1c
from xrain.sensors import Channel, Sensor, SwathGroup, get_sensor, list_sensors
from xrain.simulate.orbit import (
    Orbit,
    ScanGeometry,
    group_scans,
    scan_geometry,
    southernmost_orbit,
)

if TYPE_CHECKING:
    from xrain.models.store import Model
    from xrain.models.trunk import UNetConfig
    from xrain.models.unet import ConstellationUNet
from xrain.simulate.swath_group import geometry_group

__all__ = ["fake_swath", "tiny_model", "tiny_rate", "write_fake_l1c"]

Array = NDArray[np.float64]

_START = np.datetime64("2020-07-01T12:00:00.000", "ns")

_TINY_EDGES = (0.1, 1.0, 10.0)


def write_fake_l1c(
    path: str | os.PathLike[str],
    sensor: str | Sensor,
    *,
    scans: int | None = 64,
    platform: str | None = None,
    version: str = "V07A",
    missing: float | Literal["tb", "all"] = 0.0,
    seed: int = 0,
    orbit: int = 1,
    start: np.datetime64 = _START,
    longitude: float = 0.0,
) -> Path:
    """Write a plausible L1C granule of any sensor in the archive's layout.

    Parameters
    ----------
    path : path-like
        File to write (``.nc``, ``.nc4``: netCDF-4, otherwise HDF5), or an existing directory.
    sensor : str or Sensor
        The instrument.
    scans : int or None
        Scans of the reference swath; None for a whole orbit.
    platform : str, optional
        Satellite as in L1C headers; the sensor's first by default.
    version : str
        Product version.
    missing : float or {"tb", "all"}
        Share of scans that hold nothing but fill values; ``"tb"``: positions without any
        brightness temperature, as before the instrument was switched on; ``"all"``: nothing but
        scan times.
    seed : int
        Seed of the random fields and of the missing scans.
    orbit : int
        Granule number.
    start : numpy.datetime64
        Time of the first scan.
    longitude : float
        Longitude of the southernmost point, where the granule starts, in degrees east.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If `missing` is neither a share between 0 and 1 nor one of the words above.

    See Also
    --------
    xrain.testing.fake_swath : Without a file.
    xrain.simulate_granule : With physics and a truth.
    """
    sensor = get_sensor(sensor) if isinstance(sensor, str) else sensor
    platform = platform or next(iter(sensor.platforms))
    track = southernmost_orbit(sensor, platform, start, longitude)
    if scans is None:
        reference = sensor.swath(sensor.reference_swath)
        scans = round(track.period / reference.scan_period)
    groups = {
        group.name: _blank(_fake_group(sensor, group, track, scans, seed), missing, seed)
        for group in sensor.swaths
    }
    return write_l1c(
        path,
        sensor=sensor,
        platform=platform,
        orbit=orbit,
        groups=groups,
        version=version,
        simulation={"Generator": "xrain.testing.write_fake_l1c", "Seed": str(seed)},
    )


def fake_swath(
    sensor: str | Sensor, scans: int = 32, pixels: int | None = None, *, seed: int = 0
) -> xr.Dataset:
    """Make a plausible swath in memory, every channel on the reference swath.

    Parameters
    ----------
    sensor : str or Sensor
        The instrument.
    scans : int
        Number of scans.
    pixels : int, optional
        Pixels of each scan, taken from the middle; all by default.
    seed : int
        Seed of the random fields.

    Returns
    -------
    xarray.Dataset
        ``tb`` (scan, pixel, channel) in K with coordinates, incidence angles and quality as the
        reader gives them.

    Raises
    ------
    InputError
        If `pixels` is not between 1 and what the instrument has.

    See Also
    --------
    xrain.testing.write_fake_l1c : As a granule.
    xrain.open_l1c : The same of a file.
    """
    sensor = get_sensor(sensor) if isinstance(sensor, str) else sensor
    group = sensor.swath(sensor.reference_swath)
    count = group.pixels if pixels is None else pixels
    if not 1 <= count <= group.pixels:
        raise InputError(f"pixels={count}: {sensor.name} has 1 to {group.pixels} pixels per scan")
    first = (group.pixels - count) // 2
    platform = next(iter(sensor.platforms))
    track = southernmost_orbit(sensor, platform, _START)
    geometry = scan_geometry(sensor, group, track, scans, slice(first, first + count))
    nominal = np.array([c.incidence_angle for c in sensor.channels])
    own = sensor.swath_channels(group.name)[0].incidence_angle
    tb = _fake_tb(sensor.channels, geometry, seed)
    angle = geometry.incidence_angle[..., None] + (nominal - own)
    pixel = ("scan", "pixel")
    swath = xr.Dataset(
        {
            "tb": ((*pixel, "channel"), tb.astype(np.float32)),
            "quality": (pixel, np.zeros(tb.shape[:2], np.int8)),
            "sun_glint_angle": (pixel, geometry.sun_glint_angle.astype(np.float32)),
        },
        coords={
            "latitude": (pixel, geometry.latitude.astype(np.float32)),
            "longitude": (pixel, geometry.longitude.astype(np.float32)),
            "time": ("scan", geometry.time),
            "channel": [c.name for c in sensor.channels],
            "earth_incidence_angle": ((*pixel, "channel"), angle.astype(np.float32)),
            "frequency": ("channel", [c.frequency for c in sensor.channels]),
            "sideband_offset": ("channel", [c.sideband_offset for c in sensor.channels]),
            "polarization": ("channel", [c.polarization for c in sensor.channels]),
        },
        attrs={"sensor": sensor.name, "platform": platform, "granule": "", "orbit": 1},
    )
    for name in swath.variables:
        swath[name].attrs.update(ATTRIBUTES.get(str(name), {}))
    return swath


def tiny_model(
    sensor: str | Sensor | None = None,
    *,
    seed: int | None = None,
    prior: Sequence[float] | None = None,
) -> Model:
    """Make a model that is small, quick, and known through and through.

    Parameters
    ----------
    sensor : str or Sensor, optional
        The instrument that its card names; by default it takes any channel.
    seed : int, optional
        Without one the model looks at each pixel alone and answers :func:`tiny_rate`. With one
        its weights are random, and it looks as far around as its shape allows.
    prior : sequence of float, optional
        Share of each of its three rain classes in training.

    Returns
    -------
    Model
        With rain classes below 0.1, 0.1 to 1, and 1 to 10 mm/h, and 100 to 310 K as the range
        of its training.
    """
    from xrain.models.card import CardChannel, ModelCard
    from xrain.models.store import Model
    from xrain.models.trunk import UNetConfig

    sensor = get_sensor(sensor) if isinstance(sensor, str) else sensor
    channels = sensor.channels if sensor is not None else ()
    width, pixel = (2, 2) if seed is None else (6, 6)
    config = UNetConfig(
        width, (1, 2), _TINY_EDGES, hidden=4, pixel=pixel, pixel_hidden=4, pixel_blocks=1
    )
    every = [c.name for name in list_sensors() for c in get_sensor(name).channels]
    card = ModelCard(
        name="tiny",
        version=1,
        summary="Fake model for tests.",
        architecture=config.to_dict(),
        rates=_TINY_EDGES,
        inputs=tuple(CardChannel.from_channel(c) for c in channels),
        ranges=dict.fromkeys(every, (100.0, 310.0)),
        sensor=sensor.name if sensor is not None else None,
        halo=config.halo,
        stride=config.stride,
        prior=None if prior is None else tuple(prior),
    )
    return Model(card, _known_network(config) if seed is None else _random_network(config, seed))


def tiny_rate(tb: NDArray[np.floating]) -> Array:
    """Mean rate that the model of :func:`tiny_model` finds, in closed form.

    The log-odds of its wettest class against the two others, which are equal, is
    z = Σ (tb − 230 K) / 40 K over the channels that are there.

    Parameters
    ----------
    tb : array, shape (..., channel)
        Brightness temperature in K; NaN where missing.

    Returns
    -------
    array
        Rate in mm/h, shape (...).
    """
    odds = np.exp(np.nansum((np.asarray(tb, np.float64) - 230.0) / 40.0, axis=-1))
    middle = (1.0 - 0.1) / math.log(1.0 / 0.1)
    wettest = (10.0 - 1.0) / math.log(10.0 / 1.0)
    return np.asarray((middle + odds * wettest) / (2.0 + odds))


def _known_network(config: UNetConfig) -> ConstellationUNet:
    """Network without context: its two features are z and −z, whose SiLUs differ by z."""
    import torch

    from xrain.models.unet import ACCENT, ConstellationUNet

    network = ConstellationUNet(config).eval().requires_grad_(False)
    weights = dict(network.named_parameters())
    for tensor in weights.values():
        tensor.zero_()
    halves = torch.tensor([1.0, -1.0])
    own = weights["pixel.maker.4.bias"].view(2, config.pixel)
    own[0] = halves * math.sqrt(13) / ACCENT
    weights["pixel.trunk.blocks.0.second.bias"].fill_(1.0)  # above nought, so that ReLU passes all
    weights["pixel.trunk.head.weight"][2] = halves
    return network


def _random_network(config: UNetConfig, seed: int) -> ConstellationUNet:
    """Network whose blocks are far from the identity that a new network has."""
    import torch

    from xrain.models.unet import ConstellationUNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ConstellationUNet(config).eval().requires_grad_(False)
        for name, tensor in network.named_parameters():
            if ".trunk." in name and tensor.ndim > 1:
                torch.nn.init.kaiming_normal_(tensor)
    return network


def _fake_group(sensor: Sensor, group: SwathGroup, track: Orbit, scans: int, seed: int) -> L1CGroup:
    count = group_scans(sensor, group, scans)
    geometry = scan_geometry(sensor, group, track, count)
    channels = sensor.swath_channels(group.name)
    return geometry_group(geometry, channels, _fake_tb(channels, geometry, seed))


def _waves(geometry: ScanGeometry, seed: int, scale: float) -> Array:
    """Return a smooth field between −1 and 1 that is the same for every group of one seed."""
    rng = np.random.default_rng(seed)
    phi, lam = np.radians(geometry.latitude), np.radians(geometry.longitude)
    point = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    total = np.zeros_like(phi)
    for _ in range(4):
        direction = rng.normal(size=3) * 6371.0 / scale
        total += np.sin(np.tensordot(direction, point, 1) + rng.uniform(0, 2 * np.pi))
    return np.asarray(total / 4)


def _fake_tb(channels: tuple[Channel, ...], geometry: ScanGeometry, seed: int) -> Array:
    """Ocean-like brightness temperatures with smooth vapour and a few cold and warm storms."""
    vapour = _waves(geometry, seed, 900.0)
    storm = np.clip(_waves(geometry, seed + 1, 60.0) * 2 - 0.8, 0, 1)
    warm = np.cos(np.radians(geometry.latitude))
    rng = np.random.default_rng(seed + 2)
    out = np.empty((*vapour.shape, len(channels)), np.float32)
    for i, channel in enumerate(channels):
        opacity = np.clip(channel.frequency / 190.0, 0.05, 1.0)
        polarized = 35.0 if channel.polarization.endswith("V") else -35.0
        clear = 180 + 90 * opacity + polarized * (1 - opacity) + 12 * warm + 8 * vapour
        rain = 70 * (0.45 - opacity) * 2 * storm
        out[..., i] = clear + rain + rng.normal(scale=channel.nedt, size=vapour.shape)
    return np.clip(out, 70.0, 310.0)


def _blank(group: L1CGroup, missing: float | str, seed: int) -> L1CGroup:
    """Put fill values where the granule shall lack data."""
    if missing == "tb":
        return _without(group, ["tc"], np.ones(np.shape(group.time), bool))
    everywhere = [
        "tc", "latitude", "longitude", "incidence_angle", "sun_glint_angle", "sun_local_time",
        "spacecraft_latitude", "spacecraft_longitude", "spacecraft_altitude",
    ]  # fmt: skip
    if missing == "all":
        return _without(group, everywhere, np.ones(np.shape(group.time), bool))
    if not isinstance(missing, (int, float)) or not 0 <= missing <= 1:
        raise InputError(f"missing={missing!r}: give a share between 0 and 1, 'tb' or 'all'")
    chosen = np.random.default_rng(seed + 3).random(np.shape(group.time)) < missing
    return _without(group, everywhere, chosen)


def _without(group: L1CGroup, names: list[str], scans: NDArray[np.bool_]) -> L1CGroup:
    values: dict[str, Any] = {}
    for name in names:
        array = np.array(getattr(group, name), np.float64)
        array[scans] = np.nan
        values[name] = array
    return replace(group, **values)
