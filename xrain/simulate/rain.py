"""Rain fields: real radar composites, and a stochastic generator with the same statistics.

The generator draws two Gaussian fields with power-law spectra and maps their upper tails to
truncated lognormal rates: wide stratiform areas, and convective cells that cluster in them. Its
ranges were set so that wet fraction, rate distribution and spectral slope (2 to 128 km) of its
fields lie within the spread of MRMS and OPERA composites (`field_statistics` measures both).
The idea of a thresholded, transformed Gaussian field is that of Bell (1987,
doi 10.1029/JD092iD08p09631); the two populations follow Churchill and Houze (1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage, special

from xrain.errors import InputError

__all__ = [
    "RainGrid",
    "StormParameters",
    "field_statistics",
    "gaussian_field",
    "stochastic_rain",
    "storm_warmth",
]

Field = NDArray[np.float32]

WET = 0.1  # mm/h, the least rate that counts as rain in radar composites
_EARTH_KM_PER_DEGREE = 111.195


@dataclass(frozen=True)
class RainGrid:
    """Rain on a grid of known spacing.

    Attributes
    ----------
    rate : array
        (y, x) rain rate in mm/h, NaN where nothing was observed. Row 0 is the southernmost.
    convective : array
        (y, x) share of the rate that falls from convective cells, 0 to 1.
    spacing : tuple of float
        Distance of rows and columns in km.
    latitude, longitude : array or None
        (y, x) positions in degrees where the grid has any.
    """

    rate: Field
    convective: Field
    spacing: tuple[float, float]
    latitude: Field | None = None
    longitude: Field | None = None


@dataclass(frozen=True)
class StormParameters:
    """What one stochastic field is drawn from.

    Attributes
    ----------
    wet_fraction : float
        Share of the area with at least 0.1 mm/h.
    outer_scale : float
        Largest scale of the rain areas in km.
    texture : float
        Share of small-scale texture in the rain areas, 0 to 1.
    median_rate, spread : float
        Median in mm/h and standard deviation of the logarithm of stratiform rates.
    convective_share : float
        Share of the wet area that is convective.
    convective_rate : float
        Median rate of the cells in mm/h.
    cell_scale : float
        Largest scale of the cells in km.
    stretch, angle : float
        Elongation of the rain areas and its direction in radians (lines and fronts).
    """

    wet_fraction: float
    outer_scale: float
    texture: float
    median_rate: float
    spread: float
    convective_share: float
    convective_rate: float
    cell_scale: float
    stretch: float
    angle: float

    @classmethod
    def draw(cls, rng: np.random.Generator, warmth: float = 0.0) -> StormParameters:
        """Draw from ranges that give the spread of the radar composites.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of chance.
        warmth : float
            Shift of the intensity in its own standard deviations: the composites are of summer
            in the mid-latitudes, where it is 0; the tropics rain harder, winter less.
        """
        intensity = rng.normal() + warmth  # heavy rain comes with many and strong cells
        return cls(
            wet_fraction=float(np.clip(np.exp(rng.normal(np.log(0.13), 0.75)), 0.02, 0.6)),
            outer_scale=float(np.exp(rng.uniform(np.log(60.0), np.log(350.0)))),
            texture=float(rng.uniform(0.15, 0.6)),
            median_rate=float(np.exp(np.log(0.42) + 0.6 * intensity + 0.25 * rng.normal())),
            spread=float(np.clip(rng.normal(1.0, 0.15), 0.6, 1.4)),
            convective_share=float(
                np.clip(np.exp(np.log(0.025) + 0.9 * intensity + 0.5 * rng.normal()), 0.0, 0.4)
            ),
            convective_rate=float(
                np.clip(np.exp(np.log(6.0) + 0.35 * intensity + 0.3 * rng.normal()), 2.0, 30.0)
            ),
            cell_scale=float(np.exp(rng.uniform(np.log(20.0), np.log(80.0)))),
            stretch=float(np.exp(np.abs(rng.normal(0.0, 0.45)))),
            angle=float(rng.uniform(0.0, np.pi)),
        )


def storm_warmth(latitude: float) -> float:
    """Shift of the storms' intensity with latitude (degrees), for `StormParameters.draw`.

    Set so that rates over 5 km in patches of all latitudes are distributed like those of the
    radar in space (DPR in the matchups, above 0.2 mm/h: median 1.0, 90 % 4.4 mm/h).
    """
    return float(1.5 * np.cos(np.radians(latitude)) ** 2 - 0.15)


def gaussian_field(
    shape: tuple[int, int],
    spacing: tuple[float, float],
    outer_scale: float,
    exponent: float,
    rng: np.random.Generator,
    *,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> Field:
    """Draw a periodic Gaussian field with a power-law spectrum, mean 0 and variance 1.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    spacing : tuple of float
        Distance of rows and columns in km.
    outer_scale : float
        Wavelength in km above which the spectrum is flat.
    exponent : float
        The two-dimensional spectrum falls as wavenumber to this negative power.
    rng : numpy.random.Generator
        Source of chance.
    stretch, angle : float
        The field is this much longer along `angle` (radians from the x axis) than across.

    Returns
    -------
    array of float32
    """
    ky = fft.fftfreq(shape[0], spacing[0])[:, None]
    kx = fft.rfftfreq(shape[1], spacing[1])[None, :]
    along = (kx * np.cos(angle) + ky * np.sin(angle)) * np.sqrt(stretch)
    across = (-kx * np.sin(angle) + ky * np.cos(angle)) / np.sqrt(stretch)
    power = (along**2 + across**2 + outer_scale**-2) ** (-exponent / 2)
    power[0, 0] = 0.0
    white = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    field = fft.irfft2(white * np.sqrt(power).astype(np.float32), s=shape)
    return np.asarray(field / max(float(field.std()), 1e-12), dtype=np.float32)


HEAVIEST = 200.0
"""Rate in mm/h that no part of a storm exceeds over the kilometres of a grid cell."""


def stochastic_rain(
    shape: tuple[int, int],
    spacing: tuple[float, float] = (4.0, 4.0),
    *,
    seed: int | np.random.Generator = 0,
    parameters: StormParameters | None = None,
) -> RainGrid:
    """Draw a rain field.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    spacing : tuple of float
        Distance of rows and columns in km, 1 to 10.
    seed : int or numpy.random.Generator
        Source of chance.
    parameters : StormParameters, optional
        What to draw from; drawn as well by default.

    Returns
    -------
    RainGrid

    Raises
    ------
    InputError
        If the spacing is outside 1 to 10 km.
    """
    if not all(1.0 <= d <= 10.0 for d in spacing):
        raise InputError(f"spacing {spacing} km: the generator works between 1 and 10 km")
    rng = np.random.default_rng(seed)
    p = parameters or StormParameters.draw(rng)
    shared = {"stretch": p.stretch, "angle": p.angle}
    area = gaussian_field(shape, spacing, p.outer_scale, 3.8, rng, **shared)
    texture = gaussian_field(shape, spacing, p.outer_scale / 3, 3.0, rng, **shared)
    cells = gaussian_field(shape, spacing, p.cell_scale, 4.4, rng)
    occurrence = np.float32(np.sqrt(1 - p.texture**2)) * area + np.float32(p.texture) * texture
    stratiform = _tail_rates(occurrence, p.wet_fraction, p.median_rate, p.spread, WET)
    core = 0.75 * cells + 0.66 * occurrence
    convective = _tail_rates(core, p.wet_fraction * p.convective_share, p.convective_rate, 0.7, 1.0)
    total = stratiform + convective
    share = convective / np.maximum(total, np.float32(1e-6))
    return RainGrid(total, share, spacing)


def _tail_rates(
    field: NDArray[np.floating], fraction: float, median: float, spread: float, least: float
) -> Field:
    """Map the upper tail of a field to lognormal rates cut off below `least`, zero elsewhere."""
    if fraction * field.size < 1:
        return np.zeros(field.shape, np.float32)
    rank = _gaussian_rank(field)
    inside = rank > 1 - fraction
    below = special.ndtr(np.log(least / median) / spread)
    level = below + (1 - below) * (rank[inside] - (1 - fraction)) / fraction
    rates = np.zeros(field.shape, np.float32)
    tail = np.exp(np.log(median) + spread * special.ndtri(np.minimum(level, 1 - 2e-5)))
    rates[inside] = np.minimum(tail, HEAVIEST)
    return rates


def _gaussian_rank(field: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the share of the field below each value, from its own mean and spread."""
    deviation = max(float(field.std()), 1e-12)
    return np.asarray(special.ndtr((field - float(field.mean())) / deviation), np.float64)


def convective_share(rate: Field, spacing: tuple[float, float]) -> Field:
    """Estimate which share of a rain field is convective, from its peakedness.

    After Steiner et al. (1995, doi 10.1175/1520-0450(1995)034<1978:CCOTDR>2.0.CO;2), in rates
    instead of reflectivity: certain above 20 mm/h, or where the rate stands above the mean
    within 11 km by a factor that falls from 4 in weak to 1.5 in strong surroundings.
    """
    known = np.nan_to_num(rate)
    sigma = [5.5 / d for d in spacing]
    around = ndimage.gaussian_filter(known, sigma, mode="nearest")
    factor = 1.5 + 2.5 * np.exp(-around / 3.0)
    excess = (known / np.maximum(factor * around, 0.5) - 0.8) / 0.4
    absolute = (known - 8.0) / 12.0
    return np.asarray(np.clip(np.maximum(excess, absolute), 0.0, 1.0), np.float32)


def field_statistics(rate: ArrayLike, spacing: float) -> dict[str, float]:
    """Measure what the generator must share with radar composites.

    Parameters
    ----------
    rate : array_like
        (n, n) rain rate in mm/h without gaps.
    spacing : float
        Grid spacing in km.

    Returns
    -------
    dict of str to float
        ``wet_fraction`` (at least 0.1 mm/h), ``median``, ``mean``, ``p90``, ``p99`` of the wet
        rates in mm/h, ``heavy_share`` (share of the rain that falls at more than 10 mm/h), and
        ``slope`` (negative exponent of the radial mean power spectrum, from 2 km or twice the
        spacing to 128 km).
    """
    field = np.asarray(rate, np.float64)
    wet = field[field >= WET]
    if wet.size == 0:
        raise InputError("the field is dry; its statistics mean nothing")
    p90, p99 = np.quantile(wet, [0.9, 0.99])
    return {
        "wet_fraction": wet.size / field.size,
        "median": float(np.median(wet)),
        "mean": float(wet.mean()),
        "p90": float(p90),
        "p99": float(p99),
        "heavy_share": float(wet[wet > 10].sum() / wet.sum()),
        "slope": _spectral_slope(field, spacing),
    }


def _spectral_slope(field: NDArray[np.float64], spacing: float) -> float:
    window = np.hanning(field.shape[0])[:, None] * np.hanning(field.shape[1])[None, :]
    power = np.abs(fft.fft2((field - field.mean()) * window)) ** 2
    wavenumber = np.hypot(
        fft.fftfreq(field.shape[0], spacing)[:, None], fft.fftfreq(field.shape[1], spacing)
    )
    edges = np.geomspace(1 / 128.0, 1 / max(2.0, 2 * spacing), 13)
    ring = np.digitize(wavenumber, edges)
    used = [i for i in range(1, len(edges)) if (ring == i).any()]
    x = [np.log(wavenumber[ring == i].mean()) for i in used]
    y = [np.log(power[ring == i].mean()) for i in used]
    return float(-np.polyfit(x, y, 1)[0])
