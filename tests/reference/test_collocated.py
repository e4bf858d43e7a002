"""One way from a reference to a radiometer's pixels, whichever door is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.collocation import collocate
from xrain.collocation.store import open_store
from xrain.evaluation.scenes import scene_source
from xrain.io.truth import radar_path
from xrain.reference.collocated import ReferenceFiles
from xrain.simulate.granule import simulate_granule


@pytest.fixture(scope="module")
def granule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("collocated") / "a.HDF5"
    return simulate_granule(
        "gmi", path, seed=3, scans=24, place=(25.0, -88.0), spacing=10.0, with_radar=True
    )


def composite(granule: Path, path: Path) -> Path:
    """Rain on a grid under the granule, with holes of every size, spikes, and two times."""
    swath = xrain.open_l1c(granule)
    rng = np.random.default_rng(5)
    lat, lon = np.arange(20, 30, 0.04), np.arange(-95, -81, 0.04)
    rate = np.broadcast_to(rng.gamma(0.3, 2.0, (lat.size, lon.size)), (2, lat.size, lon.size))
    rate = rate.copy()
    holes = np.abs(np.sin(lat[:, None] * 3) * np.sin(lon * 2)) > 0.75
    rate[:, holes] = np.nan
    rate[:, ::31, ::37] = 400.0
    rate[1] *= 0.5
    time = swath.time.values[12] + np.array([-6, 4]) * np.timedelta64(1, "m")
    ds = xr.Dataset(
        {"rain_rate": (("time", "latitude", "longitude"), rate, {"units": "mm h-1"})},
        {"time": time, "latitude": lat, "longitude": lon},
    )
    ds.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("kind", ["radar", "composite"])
def test_a_store_and_a_comparison_know_the_same_pixels(
    granule: Path, tmp_path: Path, kind: str
) -> None:
    reference = radar_path(granule)
    if kind == "composite":
        reference = composite(granule, tmp_path / "rain.nc")
    collocate([granule], [reference], tmp_path / "s.zarr", {"size": 16, "least": 1}, workers=1)
    swath = xrain.open_l1c(granule).load()
    stored = np.full((swath.sizes["scan"], swath.sizes["pixel"]), np.nan, np.float32)
    for _, one in open_store(tmp_path / "s.zarr").load().groupby("patch"):
        one = one.squeeze("patch")
        here = np.s_[int(one.first_scan) : int(one.first_scan) + 16,
                     int(one.first_pixel) : int(one.first_pixel) + 16]  # fmt: skip
        values = one.surface_precip.values
        stored[here] = np.where(np.isfinite(values), values, stored[here])
    (scene,) = scene_source([reference], [granule]).scenes(granule)
    compared = scene.reference["surface_precip"].values
    direct = ReferenceFiles([reference]).on(granule.name, swath)["surface_precip"].values
    assert np.isfinite(compared).sum() > 1000
    np.testing.assert_array_equal(stored, compared)
    np.testing.assert_array_equal(direct, compared)


def test_spikes_of_a_composite_do_not_count(granule: Path, tmp_path: Path) -> None:
    path = composite(granule, tmp_path / "rain.nc")
    found = ReferenceFiles([path]).on(granule.name, xrain.open_l1c(granule).load())
    assert np.nanmax(found["surface_precip"]) < 10  # a spike alone makes it 40 in a footprint
    assert (found["reference_fraction"].values[np.isfinite(found["surface_precip"])] >= 0.9).all()


def test_a_grid_of_fill_values_is_refused(granule: Path, tmp_path: Path) -> None:
    path = composite(granule, tmp_path / "rain.nc")
    ds = xr.load_dataset(path)
    ds["rain_rate"] = ds["rain_rate"].fillna(-3.0).assign_attrs(units="mm h-1")
    ds.to_netcdf(tmp_path / "fill.nc", engine="h5netcdf")
    with pytest.raises(xrain.XrainError, match="mark missing values as NaN"):
        ReferenceFiles([tmp_path / "fill.nc"]).on("a", xrain.open_l1c(granule).load())
