"""The Gaussian process that teaches rates."""

import numpy as np
import pytest

from xrain.training.rate_process import RateProcess, make_lessons

EDGES = tuple(0.05 * 2.0 ** (k / 3) for k in range(27))


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(0)
    tb = rng.normal(230.0, 20.0, (500, 4)).astype("f4")
    root = 1.0 + 0.02 * (tb[:, 0] - 230) + 0.3 * np.sin(0.06 * (tb[:, 1] - 230))
    rate = np.clip(root + rng.normal(0, 0.15, 500), 0.4, 2.6) ** 3
    return tb, rate.astype("f4")


@pytest.fixture(scope="module")
def process(pixels):
    tb, rate = pixels
    return RateProcess(tb[:350], rate[:350], seed=1)


def test_rates_are_predicted_with_their_spread(process, pixels):
    tb, rate = pixels[0][350:], pixels[1][350:]
    mean, deviation = process.predict(tb)
    roots = np.cbrt(rate)
    assert np.corrcoef(mean, roots)[0, 1] > 0.9
    inside = np.abs(roots - mean) < 1.645 * deviation
    assert 0.8 < inside.mean() < 0.97
    # Far from all pixels it knows less.
    assert process.predict(tb[:5] + 300.0)[1].min() > 1.5 * deviation.mean()


def test_shares_are_those_of_the_predicted_distribution(process, pixels):
    tb, rate = pixels[0][350:], pixels[1][350:]
    shares = process.class_shares(tb, EDGES)
    assert shares.shape == (150, 26)
    np.testing.assert_allclose(shares.sum(1), 1.0, rtol=1e-5)
    centres = np.sqrt(np.array(EDGES[1:]) * np.array(EDGES[:-1]))
    assert np.corrcoef(np.log(shares @ centres), np.log(rate))[0, 1] > 0.85


def test_lessons_lie_between_and_beside_the_pixels(process, pixels):
    tb = pixels[0][:350]
    lessons = make_lessons(process, tb, EDGES, 2000, seed=2)
    away = np.sqrt(((lessons.tb - tb[lessons.source]) ** 2).sum(1))
    nearest = np.sqrt(((tb[:, None] - tb[None]) ** 2).sum(2))
    np.fill_diagonal(nearest, np.inf)
    assert away.min() < 2.0
    assert away.max() < nearest[nearest < np.inf].max()
    np.testing.assert_allclose(lessons.shares, process.class_shares(lessons.tb, EDGES), atol=1e-5)
    again = make_lessons(process, tb, EDGES, 2000, seed=2)
    np.testing.assert_array_equal(again.tb, lessons.tb)
