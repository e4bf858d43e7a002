"""Hypothesis strategies: swaths of any radiometer with every kind of fault in their values."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr
from hypothesis import strategies as st

from xrain.sensors import list_sensors
from xrain.testing import fake_swath

__all__ = ["IMPOSSIBLE", "sensors", "swaths"]

IMPOSSIBLE: Final = (np.nan, np.inf, -np.inf, 0.0, -9999.9, 19.9, 65535.0, 9.96921e36)
"""Values that files hold in place of a temperature; from the fourth on no position either."""

OPTIONAL: Final = ("time", "quality", "earth_incidence_angle")


def sensors() -> st.SearchStrategy[str]:
    """Names of radiometers that have a table."""
    return st.sampled_from(list_sensors())


@st.composite
def swaths(
    draw: st.DrawFn, names: st.SearchStrategy[str] | None = None, rows: int = 30, columns: int = 24
) -> xr.Dataset:
    """Swaths of any radiometer: fills, noise, lost positions, lost variables, lost channels.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    names : strategy, optional
        What radiometers to draw from; all by default.
    rows, columns : int
        Most scans and pixels.

    Returns
    -------
    xarray.Dataset
        As the reader gives them, (scan, pixel, channel), with at least one of each.
    """
    name = draw(names or sensors())
    scans, pixels = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    ds = fake_swath(name, max(scans, 3), max(pixels, 3), seed=draw(st.integers(0, 5)))
    ds = ds.isel(scan=slice(0, scans), pixel=slice(0, pixels)).copy(deep=True)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    _spoil_temperatures(draw, rng, ds)
    if draw(st.booleans()):
        lost = rng.random(ds["latitude"].shape) < 0.2
        ds["latitude"].values[lost] = rng.choice((*IMPOSSIBLE[3:], np.nan), lost.sum())
    for gone in draw(st.sets(st.sampled_from(OPTIONAL))):
        ds = ds.drop_vars(gone)
    channels = draw(st.integers(1, ds.sizes["channel"]))
    return ds.isel(channel=np.sort(rng.permutation(ds.sizes["channel"])[:channels]))


def _spoil_temperatures(draw: st.DrawFn, rng: np.random.Generator, ds: xr.Dataset) -> None:
    """Put fills, noise and numbers that do not move into the temperatures."""
    tb: npt.NDArray[Any] = ds["tb"].values
    hit = rng.random(tb.shape) < draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    tb[hit] = rng.choice(IMPOSSIBLE, hit.sum())
    if draw(st.booleans()):
        tb += rng.normal(0, draw(st.sampled_from([1, 30, 100])), tb.shape)
    if draw(st.booleans()):
        tb[..., rng.integers(0, tb.shape[-1])] = draw(st.sampled_from([20.0, 180.0, 250.0, 400.0]))
