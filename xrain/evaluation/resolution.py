"""Effective resolution: down to which scale estimated rain follows the true rain.

Coherence at a wavelength is the correlation of the two fields' Fourier components there,
|Σ X* Y| / √(Σ|X|² Σ|Y|²) over many stretches of the swath. The effective resolution is the
shortest wavelength down to which it stays at √½ or more, so that half of the variance is
explained at every longer one; after Guilloteau et al. 2017 (doi 10.1175/JHM-D-17-0087.1), who
measure it on maps. Here stretches lie along the scan and along the track, with Hann windows
(Welch 1967, doi 10.1109/TAU.1967.1161901), at their own pixel spacing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrain.geo.cells import step_lengths
from xrain.geo.sphere import unit_vectors

__all__ = [
    "WAVELENGTHS",
    "Spectra",
    "coherence",
    "coherence_of_sums",
    "effective_resolution",
    "resolved_wavelength",
    "spectral_sums",
    "swath_spectra",
]

Array = NDArray[np.float64]

LENGTH = 64
SHORTEST = 16
"""Pixels of a stretch, and the fewest of which it may consist in a narrow swath."""

INSIDE = 0.9
"""Share of a stretch that must lie within the mask."""

BINS_PER_OCTAVE = 3
WAVELENGTHS: Array = 2.0 ** (np.arange(3, 37) / BINS_PER_OCTAVE)
"""Middles of the classes of wavelength in km, 2 to 4096."""

COHERENT = float(np.sqrt(0.5))


@dataclass(frozen=True)
class Spectra:
    """Components of many stretches, shape (component,).

    Attributes
    ----------
    wavelength : ndarray
        In km.
    estimate, truth : ndarray
        Power of the two fields.
    cross : ndarray of complex
        Cross power.
    """

    wavelength: Array
    estimate: Array
    truth: Array
    cross: NDArray[np.complex128]

    @classmethod
    def join(cls, parts: list[Spectra]) -> Spectra:
        """Put the stretches of several swaths together."""
        empty = np.zeros(0)
        parts = parts or [cls(empty, empty, empty, empty.astype(complex))]
        return cls(
            np.concatenate([p.wavelength for p in parts]),
            np.concatenate([p.estimate for p in parts]),
            np.concatenate([p.truth for p in parts]),
            np.concatenate([p.cross for p in parts]),
        )


def swath_spectra(
    estimate: Array,
    truth: Array,
    latitude: Array,
    longitude: Array,
    mask: NDArray[np.bool_] | None = None,
) -> Spectra:
    """Spectra of a swath's stretches along the scan and along the track.

    Parameters
    ----------
    estimate, truth : ndarray, shape (scan, pixel)
        Rates in mm/h; a stretch with a NaN is left out.
    latitude, longitude : ndarray, shape (scan, pixel)
        In degrees.
    mask : ndarray of bool, shape (scan, pixel)
        Where to look; everywhere by default.
    """
    lat, lon = np.asarray(latitude, float), np.asarray(longitude, float)
    inside = np.ones(lat.shape) if mask is None else np.asarray(mask, float)
    fields = [np.asarray(estimate, float), np.asarray(truth, float), lat, lon, inside]
    parts = [_lines(*fields), _lines(*(f.T for f in fields))]
    return Spectra.join([p for p in parts if p is not None])


def _lines(*fields: Array) -> Spectra | None:
    """Spectra of the stretches along the last axis."""
    length = min(LENGTH, fields[0].shape[1])
    if length < SHORTEST:
        return None
    x, y, lat, lon, inside = (_stretches(f, length) for f in fields)
    spacing = step_lengths(unit_vectors(lat, lon, float), 1).mean(axis=-1)
    good = np.isfinite(x + y).all(axis=-1) & np.isfinite(spacing) & (spacing > 0)
    good &= inside.mean(axis=-1) >= INSIDE
    fx, fy = (_transform(v[good]) for v in (x, y))
    wavelength = spacing[good][:, None] * length / np.arange(1, length // 2 + 1)
    return Spectra(
        wavelength.ravel(),
        (np.abs(fx) ** 2).ravel(),
        (np.abs(fy) ** 2).ravel(),
        (fx.conj() * fy).ravel(),
    )


def _stretches(field: Array, length: int) -> Array:
    """Overlap stretches by half, shape (stretch, pixel)."""
    windows = np.lib.stride_tricks.sliding_window_view(field, length, axis=1)
    return windows[:, :: length // 2].reshape(-1, length)


def _transform(lines: Array) -> NDArray[np.complex128]:
    centred = (lines - lines.mean(axis=-1, keepdims=True)) * np.hanning(lines.shape[-1])
    return np.asarray(np.fft.rfft(centred, axis=-1)[:, 1:])


def spectral_sums(spectra: Spectra) -> Array:
    """Add components up by wavelength, so that the spectra of many swaths add up.

    Parameters
    ----------
    spectra : Spectra
        From :func:`swath_spectra`.

    Returns
    -------
    ndarray, shape (5, wavelength)
        Power of the estimate and of the truth, real and imaginary part of the cross power, and
        the number of components, at :data:`WAVELENGTHS`.
    """
    first = round(np.log2(WAVELENGTHS[0]) * BINS_PER_OCTAVE)
    octave = np.round(np.log2(np.maximum(spectra.wavelength, 1e-6)) * BINS_PER_OCTAVE) - first
    index = np.clip(octave, 0, WAVELENGTHS.size - 1).astype(np.intp)
    parts = (
        spectra.estimate, spectra.truth, spectra.cross.real, spectra.cross.imag,
        np.ones(index.size),
    )  # fmt: skip
    return np.stack([np.bincount(index, w, WAVELENGTHS.size) for w in parts])


def coherence_of_sums(sums: Array) -> Array:
    """Coherence at :data:`WAVELENGTHS`, 0 to 1; NaN where there is no power.

    Parameters
    ----------
    sums : ndarray, shape (..., 5, wavelength)
        From :func:`spectral_sums`.
    """
    estimate, truth, real, imaginary, _ = np.moveaxis(sums, -2, 0)
    known = (estimate > 0) & (truth > 0)
    power = np.sqrt(np.where(known, estimate * truth, 1.0))
    return np.asarray(np.where(known, np.hypot(real, imaginary) / power, np.nan))


def coherence(spectra: Spectra) -> tuple[Array, Array]:
    """Coherence by wavelength.

    Parameters
    ----------
    spectra : Spectra
        From :func:`swath_spectra`.

    Returns
    -------
    wavelength, coherence : ndarray
        Rising wavelengths in km (three to the octave) that have any power, and the coherence
        there, 0 to 1.
    """
    value = coherence_of_sums(spectral_sums(spectra))
    known = np.isfinite(value)
    return WAVELENGTHS[known], value[known]


def effective_resolution(spectra: Spectra) -> float:
    """Shortest wavelength in km down to which the coherence stays at √½ or more.

    NaN where there is no such wavelength or nothing to measure; the shortest wavelength that the
    sampling carries where the coherence never falls so low.
    """
    return resolved_wavelength(coherence_of_sums(spectral_sums(spectra)))


def resolved_wavelength(coherence: Array) -> float:
    """Effective resolution in km from the coherence at :data:`WAVELENGTHS`, NaN where unknown."""
    known = np.isfinite(coherence)
    wavelength, value = WAVELENGTHS[known], coherence[known]
    low = np.flatnonzero(value < COHERENT)
    if not wavelength.size or (low.size and low[-1] == wavelength.size - 1):
        return float("nan")
    if not low.size:
        return float(wavelength[0])
    k = int(low[-1])
    share = (COHERENT - value[k]) / (value[k + 1] - value[k])
    return float(wavelength[k] * (wavelength[k + 1] / wavelength[k]) ** share)
