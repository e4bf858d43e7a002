"""Training patches: from fields straight to what a swath would hold, without a file.

Scan geometry is laid on a flat scene: the spacecraft flies along y, a conical scan looks along
arcs, a cross-track scan along x. Every channel is observed where its own swath group has the
sample nearest to the reference pixel, as the reader brings groups together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from xrain.errors import InputError
from xrain.sensors import Channel, Sensor, SwathGroup, get_sensor
from xrain.simulate.block_columns import scene_columns
from xrain.simulate.forward import ForwardModel
from xrain.simulate.instrument import (
    SwathPlane,
    add_noise,
    cells_near,
    cross_track_incidence,
    footprint_average,
    footprint_widths,
    ground_distance,
    receive,
    slant_angles,
    truth_channel,
)
from xrain.simulate.orbit import Orbit, scan_angles
from xrain.simulate.rain import RainGrid, StormParameters, stochastic_rain, storm_warmth
from xrain.simulate.scenes import Place, Scene, draw_place, draw_scene
from xrain.simulate.track import moved

__all__ = ["Patch", "RainSource", "observe_scene", "patch_at", "training_patches"]

Array = NDArray[np.float64]
RainSource = Callable[[tuple[int, int], tuple[float, float], np.random.Generator], RainGrid]
"""Makes a rain field of a shape and spacing (km) from a source of chance."""

_COARSEST, _FINEST = 8.0, 4.0  # km, grid on which columns are simulated
_REACH = 1.5  # half-power widths beyond which a footprint sees next to nothing (0.2 %)


@dataclass(frozen=True)
class Patch:
    """A piece of a simulated swath with its truth.

    Attributes
    ----------
    tb : array
        (scan, pixel, channel) float32 in K.
    rain : array
        (scan, pixel) float32 mm/h, averaged over the footprint of `truth_channel`; NaN where
        less than 90 % of it was observed, and beyond the edge of a narrower swath.
    incidence_angle : array
        (scan, pixel, channel) float32 in degrees.
    land_fraction : array
        (scan, pixel) float32, averaged like the rain.
    channels : tuple of Channel
        The channels of `tb`.
    surface : str
        What prevails: ``"ocean"``, ``"land"``, ``"snow"`` or ``"ice"``.
    """

    tb: NDArray[np.float32]
    rain: NDArray[np.float32]
    incidence_angle: NDArray[np.float32]
    land_fraction: NDArray[np.float32]
    channels: tuple[Channel, ...]
    surface: str


@dataclass(frozen=True)
class _Window:
    """Reference pixels of a patch, and for each channel's group its own nearest samples."""

    reference: SwathPlane
    groups: dict[str, SwathPlane]
    shape: tuple[int, int]
    spacing: tuple[float, float]
    first_x: float
    widest: float  # km, width of the widest footprint

    def needed(self) -> NDArray[np.bool_]:
        """Cells of the grid that any pixel sees; the arcs of a scan leave corners unseen."""
        reach = _REACH * self.widest
        return cells_near(self.groups.values(), self.shape, self.spacing, reach)


def training_patches(
    sensor: str | Sensor,
    size: int = 128,
    n: int | None = None,
    *,
    seed: int = 0,
    channels: Sequence[str] | None = None,
    rain: RainSource | None = None,
    model: ForwardModel | None = None,
    spacing: float | None = None,
    calibration: float = 0.5,
    device: torch.device | str = "cpu",
) -> Iterator[Patch]:
    """Simulate patches of a sensor's swath one after the other.

    Parameters
    ----------
    sensor : str or Sensor
        The instrument.
    size : int
        Scans and pixels of a patch; a narrower swath is padded with NaN.
    n : int, optional
        How many; endless by default.
    seed : int
        Patch number i depends on ``(seed, i)`` alone, so work can be shared out.
    channels : sequence of str, optional
        Channels wanted; all of the sensor by default.
    rain : callable, optional
        Source of rain fields; the stochastic generator by default.
    model : ForwardModel, optional
        A model of exactly these channels, to share between calls.
    spacing : float, optional
        Grid spacing in km; by default the sensor's sampling, 4 to 8 km.
    calibration : float
        Standard deviation in K of a calibration bias that a patch shares.
    device : torch.device or str
        Where columns are simulated.

    Yields
    ------
    Patch

    See Also
    --------
    xrain.simulate_granule : A whole granule.
    xrain.collocate : Samples of real granules.
    """
    sensor = get_sensor(sensor) if isinstance(sensor, str) else sensor
    wanted = tuple(sensor.channel(c) for c in channels) if channels else sensor.channels
    model = model or ForwardModel(wanted, device=device)
    if model.channels != wanted:
        raise InputError("the forward model was made for other channels than the patches want")
    index = 0
    while n is None or index < n:
        yield patch_at(
            (seed, index), sensor, size, model, rain=rain, spacing=spacing, calibration=calibration
        )
        index += 1


def patch_at(
    key: tuple[int, int],
    sensor: Sensor,
    size: int,
    model: ForwardModel,
    *,
    rain: RainSource | None = None,
    spacing: float | None = None,
    calibration: float = 0.5,
    place: Place | None = None,
) -> Patch:
    """Simulate the one patch that belongs to a seed and a number; see `training_patches`.

    It lies at the `place`, which is drawn by default.
    """
    rng = np.random.default_rng(key)
    window = _window(sensor, size, model.channels, spacing, rng)
    place = place or draw_place(rng)
    field = (rain or _climatic_rain(place.latitude))(window.shape, window.spacing, rng)
    scene = draw_scene(field, rng, place=place)
    patch = observe_scene(scene, sensor, model, window, rng, calibration)
    return _padded(patch, size, place.surface)


def _climatic_rain(latitude: float) -> RainSource:
    """Stochastic rain, heavier and more convective towards the equator."""
    warmth = storm_warmth(latitude)

    def source(
        shape: tuple[int, int], spacing: tuple[float, float], rng: np.random.Generator
    ) -> RainGrid:
        return stochastic_rain(
            shape, spacing, seed=rng, parameters=StormParameters.draw(rng, warmth)
        )

    return source


def _window(
    sensor: Sensor,
    size: int,
    channels: Sequence[Channel],
    spacing: float | None,
    rng: np.random.Generator,
) -> _Window:
    """Choose a stretch of the scan at random and lay it on a grid with a margin."""
    group = sensor.swath(sensor.reference_swath)
    width = min(size, group.pixels)
    first = int(rng.integers(0, group.pixels - width + 1))
    reference = _group_plane(sensor, group, np.arange(size), np.arange(first, first + width))
    names = sorted({c.swath for c in channels})
    planes = {name: _nearest(sensor, sensor.swath(name), reference) for name in names}
    widest = max(
        float(np.max(footprint_widths(sensor, c, reference.incidence_angle))) for c in channels
    )
    margin = 1.1 * widest
    step = spacing or _spacing(reference)
    x0 = min(float(p.x.min()) for p in planes.values()) - margin
    y0 = min(float(p.y.min()) for p in planes.values()) - margin
    x1 = max(float(p.x.max()) for p in planes.values()) + margin
    y1 = max(float(p.y.max()) for p in planes.values()) + margin
    shape = (_fast_length((y1 - y0) / step), _fast_length((x1 - x0) / step))
    shifted = {name: moved(p, x0, y0) for name, p in planes.items()}
    return _Window(moved(reference, x0, y0), shifted, shape, (step, step), x0, widest)


def _spacing(plane: SwathPlane) -> float:
    step = np.hypot(np.diff(plane.x, axis=1), np.diff(plane.y, axis=1))
    return float(np.clip(np.median(step), _FINEST, _COARSEST))


def _fast_length(cells: float) -> int:
    from scipy.fft import next_fast_len

    return int(next_fast_len(int(np.ceil(cells)) + 1, real=True))


def _group_plane(
    sensor: Sensor, group: SwathGroup, scans: NDArray[np.intp], pixels: NDArray[np.intp]
) -> SwathPlane:
    """Lay scans and pixels of a group on the plane: x to the right of the flight, y along it."""
    angle = scan_angles(sensor, group)[pixels]
    track = _speed(sensor) * group.scan_period * scans[:, None].astype(np.float64)
    return _looking(sensor, group, track, np.broadcast_to(angle, (scans.size, angle.size)))


def _speed(sensor: Sensor) -> float:
    return Orbit(sensor.altitude, 0.0, 0.0, 0.0, np.datetime64(0, "ns")).ground_speed


def _looking(sensor: Sensor, group: SwathGroup, track: Array, angle: Array) -> SwathPlane:
    """Pixels seen from positions along the track (km) at angles along the scan (degrees)."""
    if sensor.scan_type == "cross-track":
        incidence, x = slant_angles(angle, sensor.altitude)
        y = track + np.zeros_like(x)
        side = np.where(x < 0, -1.0, 1.0)
        return SwathPlane(x, y, side, np.zeros_like(x), incidence, angle)
    reach, nominal = _reach(sensor, group)
    alpha = np.radians(angle)
    sine, cosine = np.sin(alpha), np.cos(alpha)
    return SwathPlane(
        reach * sine, track + reach * cosine, sine, cosine, np.full_like(angle, nominal), angle
    )


def _reach(sensor: Sensor, group: SwathGroup) -> tuple[float, float]:
    """Ground distance of a conical group's pixels from nadir in km, and its incidence angle."""
    nominal = sensor.swath_channels(group.name)[0].incidence_angle
    return ground_distance(nominal, sensor.altitude), nominal


def _nearest(sensor: Sensor, group: SwathGroup, reference: SwathPlane) -> SwathPlane:
    """For each reference pixel the nearest sample of a group, found along its own arcs."""
    angles = scan_angles(sensor, group)
    conical = sensor.scan_type == "conical"
    reach = _reach(sensor, group)[0] if conical else 0.0
    wanted = (
        np.degrees(np.arcsin(np.clip(reference.x / reach, -1, 1)))
        if conical
        else reference.scan_angle
    )
    step = angles[1] - angles[0]
    index = np.clip(np.round((wanted - angles[0]) / step), 0, angles.size - 1).astype(int)
    ahead = reach * np.cos(np.radians(angles[index]))
    line = _speed(sensor) * group.scan_period
    offset = group.along_track_offset if _same_cone(sensor, group) else 0.0
    track = np.round((reference.y - ahead - offset) / line) * line + offset
    return _looking(sensor, group, track, angles[index])


def _same_cone(sensor: Sensor, group: SwathGroup) -> bool:
    own = sensor.swath_channels(group.name)[0].incidence_angle
    other = sensor.swath_channels(sensor.reference_swath)[0].incidence_angle
    return abs(own - other) <= 0.05


def _grid_incidence(
    sensor: Sensor, channels: Sequence[Channel], window: _Window, rng: np.random.Generator
) -> torch.Tensor:
    """Incidence angle of columns and channels; the orbit's height makes it vary a little."""
    if sensor.scan_type == "conical":
        nominal = np.array([c.incidence_angle for c in channels]) + rng.normal(0, 0.15)
        return torch.from_numpy(nominal.astype(np.float32))[None, None]
    x = window.first_x + np.arange(window.shape[1], dtype=np.float64) * window.spacing[1]
    theta = np.minimum(cross_track_incidence(x, sensor.altitude), 72.0)
    return torch.from_numpy(theta.astype(np.float32))[None, :, None]


def observe_scene(
    scene: Scene,
    sensor: Sensor,
    model: ForwardModel,
    window: _Window,
    rng: np.random.Generator,
    calibration: float = 0.0,
) -> Patch:
    """Look at a scene through a window of the sensor's swath."""
    channels = model.channels
    angle = _grid_incidence(sensor, channels, window, rng)
    tb = scene_columns(scene, model, angle, chosen=window.needed())
    planes = [window.groups[c.swath] for c in channels]
    seen = receive(tb, window.spacing, sensor, channels, planes).cpu().numpy()
    rain, land = _truth(scene, sensor, window)
    incidence = np.stack([p.incidence_angle for p in planes], axis=-1)
    if sensor.scan_type == "conical":
        incidence = incidence + float(angle[0, 0, 0]) - channels[0].incidence_angle
    return Patch(
        add_noise(seen, channels, rng, calibration=calibration),
        rain,
        incidence.astype(np.float32),
        land,
        channels,
        "",
    )


def _truth(
    scene: Scene, sensor: Sensor, window: _Window
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    widths = footprint_widths(sensor, truth_channel(sensor), window.reference.incidence_angle)
    rate = scene.rain.rate
    fields = np.stack([np.nan_to_num(rate), np.isfinite(rate), scene.variables["land_fraction"]])
    mean = footprint_average(
        torch.from_numpy(fields.astype(np.float32)), window.spacing, window.reference, widths
    ).numpy()
    rain = np.where(mean[1] >= 0.9, np.maximum(mean[0], 0) / np.maximum(mean[1], 0.9), np.nan)
    # The Fourier transform leaves traces of rain far from any: below any radar's threshold.
    rain[rain < 1e-3] = 0.0
    return rain.astype(np.float32), np.clip(mean[2], 0, 1).astype(np.float32)


def _padded(patch: Patch, size: int, surface: str) -> Patch:
    lacking = size - patch.rain.shape[1]

    def pad(array: NDArray[np.float32]) -> NDArray[np.float32]:
        width = [(0, 0), (0, lacking)] + [(0, 0)] * (array.ndim - 2)
        return np.pad(array, width, constant_values=np.nan)

    return Patch(
        pad(patch.tb), pad(patch.rain), pad(patch.incidence_angle), pad(patch.land_fraction),
        patch.channels, surface,
    )  # fmt: skip
