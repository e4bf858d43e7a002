"""What a radiometer makes of a field: footprints, mixed polarisation, noise.

A footprint is an elliptical Gaussian whose half-power widths stand in the sensor's table, with
its long axis along the line of sight. It is applied exactly for every pixel's own direction: an
isotropic Gaussian of the short axis by fast Fourier transform, then Gauss-Hermite quadrature of
the rest along the long axis. Integration along the scan is part of the tabled widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from xrain.geo.footprint import footprint_widths
from xrain.geo.sphere import EARTH_RADIUS
from xrain.sensors import Channel, Sensor
from xrain.simulate.forward import mix_polarization

__all__ = [
    "SwathPlane",
    "add_noise",
    "cells_near",
    "cross_track_incidence",
    "footprint_average",
    "footprint_widths",
    "ground_distance",
    "receive",
    "slant_angles",
    "truth_channel",
]

Array = NDArray[np.float64]

_PURE = {"V": 0, "H": 1}  # feeds that receive one of them alone
_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # half-power width of a Gaussian in standard deviations
_ROUND, _FEW, _MANY = 1.75, 5, 9  # elongation up to which few quadrature points are enough
_LEVELS = 4  # footprint sizes between nadir and edge of a cross-track scan


@dataclass(frozen=True)
class SwathPlane:
    """Pixels on a scene's plane, arrays of (scan, pixel).

    Attributes
    ----------
    x, y : array
        Distance in km from the centre of the grid's first column and row.
    view_x, view_y : array
        Unit vector along which the instrument looks.
    incidence_angle : array
        Earth incidence angle in degrees.
    scan_angle : array
        Angle along the scan in degrees, for the mixing of polarisations.
    """

    x: Array
    y: Array
    view_x: Array
    view_y: Array
    incidence_angle: Array
    scan_angle: Array


def slant_angles(scan_angle: Array, altitude: float) -> tuple[Array, Array]:
    """Incidence angle and ground distance of a view away from nadir, on a sphere.

    Parameters
    ----------
    scan_angle : array
        Signed angle from nadir in degrees.
    altitude : float
        Height in km.

    Returns
    -------
    incidence : array
        Earth incidence angle in degrees.
    distance : array
        Signed distance from the sub-satellite point along the ground in km.
    """
    phi = np.radians(scan_angle)
    theta = np.arcsin(np.clip((1 + altitude / EARTH_RADIUS) * np.sin(phi), -1, 1))
    return np.abs(np.degrees(theta)), EARTH_RADIUS * (theta - phi)


def cross_track_incidence(distance: Array, altitude: float) -> Array:
    """Incidence angle in degrees of a cross-track view, from its distance to the track.

    Parameters
    ----------
    distance : array
        Kilometres from the sub-satellite point along the ground.
    altitude : float
        Height in km.
    """
    arc = np.abs(distance) / EARTH_RADIUS
    ratio = EARTH_RADIUS / (EARTH_RADIUS + altitude)
    view = np.arctan2(ratio * np.sin(arc), 1 - ratio * np.cos(arc))
    return np.asarray(np.degrees(view + arc))


def ground_distance(incidence: float, altitude: float) -> float:
    """Distance in km along the ground from nadir to where a view has an incidence angle."""
    theta = np.radians(incidence)
    view = np.arcsin(np.sin(theta) / (1 + altitude / EARTH_RADIUS))
    return float(EARTH_RADIUS * (theta - view))


def footprint_average(
    fields: Tensor,
    spacing: tuple[float, float],
    plane: SwathPlane,
    widths: tuple[Array, Array],
) -> Tensor:
    """Average fields over the footprint of every pixel.

    Parameters
    ----------
    fields : Tensor, (field, y, x)
        Values on the grid. The Fourier transform wraps around: leave a margin of a footprint.
    spacing : tuple of float
        Distance of rows and columns in km.
    plane : SwathPlane
        The pixels.
    widths : tuple of array
        (scan, pixel) half-power widths in km along and across the line of sight.

    Returns
    -------
    Tensor, (field, scan, pixel)
    """
    along, across = (w / _FWHM for w in widths)
    # A grid value already is the mean of its cell, whose variance is spacing²/12.
    cell = spacing[0] * spacing[1] / 12.0
    minor = np.sqrt(np.maximum(np.minimum(along, across) ** 2 - cell, 0.0))
    rest = np.sqrt(np.abs(along**2 - across**2))
    turned = along < across
    step_x = np.where(turned, -plane.view_y, plane.view_x) * rest
    step_y = np.where(turned, plane.view_x, plane.view_y) * rest
    nodes = _nodes(float(np.max(np.maximum(along, across) / np.minimum(along, across))))
    levels = _levels(minor)
    smooth = _smoothed(fields, spacing, levels)
    out = torch.zeros((fields.shape[0], *plane.x.shape), device=fields.device)
    for level, share in zip(smooth, _level_shares(minor, levels), strict=True):
        mean = torch.zeros_like(out)
        for node, weight in nodes:
            x, y = plane.x + node * step_x, plane.y + node * step_y
            mean += weight * _sample(level, spacing, x, y)
        out += mean * torch.as_tensor(share, dtype=torch.float32, device=fields.device)
    return out


def cells_near(
    planes: Iterable[SwathPlane],
    shape: tuple[int, int],
    spacing: tuple[float, float],
    margin: float,
) -> NDArray[np.bool_]:
    """Tell which cells of a grid lie within a margin in km of any pixel, along both axes."""
    hit = np.zeros(shape, bool)
    for plane in planes:
        row = np.round(plane.y / spacing[0]).astype(int)
        column = np.round(plane.x / spacing[1]).astype(int)
        hit[np.clip(row, 0, shape[0] - 1), np.clip(column, 0, shape[1] - 1)] = True
    size = [2 * int(np.ceil(margin / d)) + 1 for d in spacing]
    return np.asarray(ndimage.maximum_filter(hit, size=size))


def _nodes(elongation: float) -> list[tuple[float, float]]:
    """Points and weights of the Gauss-Hermite quadrature along the long axis."""
    if elongation < 1.01:
        return [(0.0, 1.0)]
    count = _FEW if elongation <= _ROUND else _MANY
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    share = weights / weights.sum()
    return [(float(p), float(w)) for p, w in zip(points, share, strict=True)]


def _levels(minor: Array) -> Array:
    low, high = float(minor.min()), float(minor.max())
    if high - low < 0.05 * max(high, 1e-6):
        return np.array([np.sqrt(float(np.mean(minor**2)))])
    return np.sqrt(np.linspace(low**2, high**2, _LEVELS))


def _level_shares(minor: Array, levels: Array) -> list[Array]:
    """Weights that interpolate between the levels, linear in variance."""
    if levels.size == 1:
        return [np.ones_like(minor)]
    step = levels[1] ** 2 - levels[0] ** 2
    position = (minor**2 - levels[0] ** 2) / step
    return [np.clip(1 - np.abs(position - i), 0, 1) for i in range(levels.size)]


def _smoothed(fields: Tensor, spacing: tuple[float, float], levels: Array) -> list[Tensor]:
    ny, nx = fields.shape[-2:]
    ky = torch.fft.fftfreq(ny, spacing[0], device=fields.device)[:, None]
    kx = torch.fft.rfftfreq(nx, spacing[1], device=fields.device)[None, :]
    k2 = 2 * np.pi**2 * (kx**2 + ky**2)
    spectrum = torch.fft.rfft2(fields)
    return [torch.fft.irfft2(spectrum * torch.exp(-k2 * float(s) ** 2), s=(ny, nx)) for s in levels]


def _sample(fields: Tensor, spacing: tuple[float, float], x: Array, y: Array) -> Tensor:
    """Interpolate (field, y, x) bilinearly at positions in km."""
    ny, nx = fields.shape[-2:]
    grid = np.stack(
        [2 * x / (spacing[1] * max(nx - 1, 1)) - 1, 2 * y / (spacing[0] * max(ny - 1, 1)) - 1], -1
    )
    where = torch.as_tensor(grid, dtype=torch.float32, device=fields.device)
    return torch.nn.functional.grid_sample(
        fields[None], where[None], mode="bilinear", padding_mode="border", align_corners=True
    )[0]


def receive(
    tb: Tensor,
    spacing: tuple[float, float],
    sensor: Sensor,
    channels: Sequence[Channel],
    planes: Sequence[SwathPlane],
) -> Tensor:
    """Average brightness temperatures over footprints and mix their polarisations.

    Parameters
    ----------
    tb : Tensor, (y, x, channel, 2)
        V and H on the grid in K.
    spacing : tuple of float
        Distance of rows and columns in km.
    sensor : Sensor
        For the growth of footprints.
    channels : sequence of Channel
        The channels of `tb`.
    planes : sequence of SwathPlane
        The pixels of each channel, of one shape; the same object for channels that share them.

    Returns
    -------
    Tensor, (scan, pixel, channel)
        Without noise.
    """
    out: dict[int, Tensor] = {}
    for indices in _alike(channels, planes):
        first = indices[0]
        plane = planes[first]
        widths = footprint_widths(sensor, channels[first], plane.incidence_angle)
        angle = torch.from_numpy(plane.scan_angle.astype(np.float32)).to(tb.device)
        pure = [i for i in indices if channels[i].polarization in _PURE]
        mixed = [i for i in indices if i not in pure]
        fields = [tb[:, :, i, _PURE[channels[i].polarization]] for i in pure]
        fields += [tb[:, :, i, k] for i in mixed for k in (0, 1)]
        seen = footprint_average(torch.stack(fields), spacing, plane, widths)
        out.update(zip(pure, seen, strict=False))
        pairs = seen[len(pure) :].reshape(len(mixed), 2, *plane.x.shape)
        for i, pair in zip(mixed, pairs, strict=True):
            feed = [channels[i].polarization]
            out[i] = mix_polarization(pair.permute(1, 2, 0)[..., None, :], feed, angle)[..., 0]
    return torch.stack([out[i] for i in range(len(channels))], dim=-1)


def _alike(channels: Sequence[Channel], planes: Sequence[SwathPlane]) -> list[list[int]]:
    """Group channels that share pixels and footprint."""
    groups: dict[tuple[int, tuple[float, float]], list[int]] = {}
    for i, (channel, plane) in enumerate(zip(channels, planes, strict=True)):
        groups.setdefault((id(plane), channel.footprint), []).append(i)
    return list(groups.values())


def add_noise(
    tb: NDArray[np.float32],
    channels: Sequence[Channel],
    rng: np.random.Generator,
    *,
    calibration: float = 0.0,
) -> NDArray[np.float32]:
    """Add each channel's noise, and a calibration bias that a whole scene shares.

    Parameters
    ----------
    tb : array, (..., channel)
        Brightness temperatures in K.
    channels : sequence of Channel
        For their noise-equivalent temperature differences.
    rng : numpy.random.Generator
        Source of chance.
    calibration : float
        Standard deviation of the bias in K.
    """
    noise = rng.standard_normal(tb.shape, dtype=np.float32)
    nedt = np.array([c.nedt for c in channels], np.float32)
    bias = calibration * rng.standard_normal(len(channels), dtype=np.float32)
    return np.asarray(tb + noise * nedt + bias, dtype=np.float32)


def truth_channel(sensor: Sensor) -> Channel:
    """Return the channel over whose footprint the true rain is averaged."""
    return sensor.rain_channel
