from __future__ import annotations

import numpy as np
import pytest

from xrain.evaluation.resolution import (
    Spectra,
    coherence,
    effective_resolution,
    swath_spectra,
)

STEP = 5.0  # km
DEGREE = np.degrees(STEP / 6371.0)


def place(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Grid of 5 km at the equator."""
    rows, columns = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return (rows - shape[0] / 2) * DEGREE, columns * DEGREE


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(512, 256))


def test_a_field_resolves_itself_down_to_the_sampling(truth: np.ndarray) -> None:
    spectra = swath_spectra(truth, truth, *place(truth.shape))
    wavelength, value = coherence(spectra)
    assert value == pytest.approx(np.ones(value.size))
    assert wavelength[0] == pytest.approx(2 * STEP, rel=0.15)
    assert effective_resolution(spectra) == wavelength[0]


def test_noise_resolves_nothing(truth: np.ndarray) -> None:
    other = np.random.default_rng(1).normal(size=truth.shape)
    assert np.isnan(effective_resolution(swath_spectra(other, truth, *place(truth.shape))))


@pytest.mark.parametrize("cut", [30.0, 60.0])
def test_noise_below_a_scale_is_found_there(truth: np.ndarray, cut: float) -> None:
    """A field that is true above a wavelength, and another one below it."""
    ky, kx = (np.fft.fftfreq(n, STEP) for n in truth.shape)
    low = np.hypot(ky[:, None], kx[None, :]) < 1 / cut
    other = np.random.default_rng(2).normal(size=truth.shape)
    mixed = np.fft.ifft2(np.where(low, np.fft.fft2(truth), np.fft.fft2(other))).real
    # The truth is smooth, so that the lines' spectra hold little of the other directions.
    weight = 1 / (1e-3 + np.hypot(ky[:, None], kx[None, :])) ** 1.5
    smooth, rough = (np.fft.ifft2(np.fft.fft2(f) * weight).real for f in (truth, mixed))
    found = effective_resolution(swath_spectra(rough, smooth, *place(truth.shape)))
    assert cut / 1.6 < found < cut * 1.6


def test_coherence_by_hand_and_blind_to_a_factor(truth: np.ndarray) -> None:
    """Truth plus independent noise of the same power has a coherence of √½ everywhere."""
    noise = np.random.default_rng(3).normal(size=truth.shape)
    where = place(truth.shape)
    _, plain = coherence(swath_spectra(truth + noise, truth, *where))
    _, scaled = coherence(swath_spectra(4 * (truth + noise), truth, *where))
    assert plain == pytest.approx(np.full(plain.size, np.sqrt(0.5)), abs=0.05)
    assert scaled == pytest.approx(plain)


def test_stretches_with_gaps_or_beyond_the_mask_do_not_count(truth: np.ndarray) -> None:
    noise = np.random.default_rng(5).normal(size=truth.shape)
    left = np.zeros(truth.shape, bool)
    left[:, :128] = True
    estimate = np.where(left, truth, noise)
    where = place(truth.shape)
    _, inside = coherence(swath_spectra(estimate, truth, *where, left))
    assert inside.min() > 0.9
    holed = np.where(left, truth, np.nan)
    _, value = coherence(swath_spectra(holed, truth, *where))
    assert value == pytest.approx(np.ones(value.size))
    assert Spectra.join([]).wavelength.size == 0
    assert np.isnan(effective_resolution(Spectra.join([])))


def test_wavelengths_follow_the_spacing_of_the_pixels(truth: np.ndarray) -> None:
    latitude, longitude = place(truth.shape)
    near = swath_spectra(truth, truth, latitude, longitude)
    far = swath_spectra(truth, truth, latitude / 2, longitude / 2)
    np.testing.assert_allclose(far.wavelength, near.wavelength / 2, rtol=0.02)  # cos(latitude)


def test_a_piece_too_small_for_a_spectrum_gives_none() -> None:
    small = np.ones((10, 10))
    assert np.isnan(effective_resolution(swath_spectra(small, small, *place((10, 10)))))
