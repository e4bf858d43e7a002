"""What a granule sees of a scene: every group's pixels on one plane, and a grid under them all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len

import xrain.simulate.track as tr
from xrain.sensors import Sensor
from xrain.simulate.instrument import (
    SwathPlane,
    cells_near,
    cross_track_incidence,
    footprint_widths,
)
from xrain.simulate.orbit import Orbit, ScanGeometry, group_scans, scan_geometry

__all__ = ["View", "lay_out"]

Array = NDArray[np.float64]

_MARGIN = 1.3  # footprints of the widest channel around the pixels


@dataclass(frozen=True)
class View:
    """A granule's geometry: the orbit, every group's pixels, and the scene's grid.

    Attributes
    ----------
    sensor : Sensor
        The instrument.
    platform : str
        Satellite as in L1C headers.
    orbit : Orbit
        The orbit; it starts with the first scan.
    geometries : dict of str to ScanGeometry
        Where each group looks on the earth.
    planes : dict of str to SwathPlane
        The same on the plane of the track, its origin in the grid's first cell.
    x, y : array
        (column,) and (row,) position of the grid's cells to the right of the track and along it
        in km.
    spacing : (float, float)
        Grid spacing in km, along the track and across.
    margin : float
        Width in km around the pixels from which they receive.
    """

    sensor: Sensor
    platform: str
    orbit: Orbit
    geometries: dict[str, ScanGeometry]
    planes: dict[str, SwathPlane]
    x: Array
    y: Array
    spacing: tuple[float, float]
    margin: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.y.size, self.x.size

    def needed(self) -> NDArray[np.bool_]:
        """Cells within the margin of any pixel, of the grid's shape."""
        return cells_near(self.planes.values(), self.shape, self.spacing, self.margin)

    def incidence_angle(self) -> torch.Tensor:
        """Incidence angle in degrees; broadcasts to (row, column, channel)."""
        sensor = self.sensor
        if sensor.scan_type == "cross-track":
            angle = np.minimum(cross_track_incidence(self.x, sensor.altitude), 72.0)
            return torch.from_numpy(angle.astype(np.float32))[None, :, None]
        out = np.empty((self.y.size, 1, len(sensor.channels)), np.float32)
        for i, channel in enumerate(sensor.channels):
            plane = self.planes[channel.swath]
            first = sensor.swath_channels(channel.swath)[0].incidence_angle
            middle, mean = plane.y.mean(axis=1), plane.incidence_angle.mean(axis=1)
            along = np.interp(self.y - self.y[0], middle, mean)
            out[:, 0, i] = along + channel.incidence_angle - first
        return torch.from_numpy(out)


def lay_out(
    sensor: Sensor, platform: str, orbit: Orbit, scans: int, spacing: float | None = None
) -> View:
    """Lay every group's pixels on the plane of the track, and a grid under them.

    Parameters
    ----------
    sensor : Sensor
        The instrument.
    platform : str
        Satellite as in L1C headers.
    orbit : Orbit
        The orbit; its start is the time of the first scan.
    scans : int
        Scans of the reference swath.
    spacing : float, optional
        Grid spacing in km; by default that of the pixels along the scan, within 4 to 8 km.

    Returns
    -------
    View
    """
    geometries = {
        g.name: scan_geometry(sensor, g, orbit, group_scans(sensor, g, scans))
        for g in sensor.swaths
    }
    planes = {n: tr.swath_plane(sensor, orbit, g) for n, g in geometries.items()}
    widest = max(
        float(np.max(footprint_widths(sensor, c, planes[c.swath].incidence_angle)))
        for c in sensor.channels
    )
    margin = _MARGIN * widest
    step = spacing or _grid_spacing(planes[sensor.reference_swath])
    x = _axis([p.x for p in planes.values()], margin, step)
    y = _axis([p.y for p in planes.values()], margin, step)
    moved = {n: tr.moved(p, float(x[0]), float(y[0])) for n, p in planes.items()}
    return View(sensor, platform, orbit, geometries, moved, x, y, (step, step), margin)


def _grid_spacing(plane: SwathPlane) -> float:
    step = np.hypot(np.diff(plane.x, axis=1), np.diff(plane.y, axis=1))
    return float(np.clip(np.median(step), 4.0, 8.0))


def _axis(values: list[Array], margin: float, step: float) -> Array:
    low = min(float(v.min()) for v in values) - margin
    high = max(float(v.max()) for v in values) + margin
    count = int(next_fast_len(int(np.ceil((high - low) / step)) + 1, real=True))
    return np.asarray(low + step * np.arange(count), np.float64)
