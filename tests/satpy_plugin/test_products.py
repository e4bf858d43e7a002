"""The Satpy reader of rain products, on real granules and on written ones."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from pyresample import SwathDefinition
from satpy import DataQuery, Scene, available_readers, find_files_and_readers
from satpy.tests.utils import CustomScheduler

import xrain
from xrain.errors import FileFormatError, InputError
from xrain.io.write_radar import RadarSwath, write_2a_radar
from xrain.sensors import get_sensor
from xrain.simulate.radar import radar_of

READER = "gpm_l2"
NAME = "2A.GPM.DPR.V9-20211125.20141231-S235958-E000003.000144.V07A.HDF5"


def write(folder: Path, name: str = NAME, sensor: str = "gmi", shift: int = 0) -> Path:
    shape = (8, 5)
    rate = np.arange(40.0).reshape(shape) + shift
    rate[2, 2] = np.nan
    start = np.datetime64("2014-12-31T23:59:58", "ns") + np.timedelta64(shift, "s")
    swath = RadarSwath(
        time=start + np.arange(8) * np.timedelta64(700, "ms"),
        latitude=10 + 0.045 * (np.arange(8) + shift / 0.7)[:, None] + np.zeros(5),
        longitude=20 + 0.045 * np.arange(5) + np.zeros((8, 1)),
        rate=rate,
        convective=np.ones(shape),
        freezing_level=np.ones(shape),
        land=np.zeros(shape),
        zenith_angle=np.zeros(shape),
        sun_local_time=np.full(shape, 12.0),
    )
    imager = get_sensor(sensor)
    return write_2a_radar(folder / name, swath, radar=radar_of(imager),
                          platform=next(iter(imager.platforms)), orbit=144)  # fmt: skip


def open_scene(*paths: Path) -> Scene:
    return Scene(filenames=[str(p) for p in paths], reader=READER)


def test_every_real_product_loads_as_xarray_reads_it(rain_granule):
    if rain_granule.name.startswith("3B"):
        pytest.skip("it is gridded")
    scene = open_scene(rain_granule)
    groups = {i["swath"].name for i in scene.available_dataset_ids()}
    assert groups == set(xr.open_datatree(rain_granule, engine="gpm-l2"))
    for group in groups:
        ds = xrain.open_reference(rain_granule, swath=group)
        for name in ("surface_precip", "precip_flag", "time"):
            if name in ds and "band" not in ds[name].dims:
                query = DataQuery(name=name, swath=group)
                scene.load([query])
                np.testing.assert_array_equal(scene[query], ds[name])
        area = scene[DataQuery(name="surface_precip", swath=group)].attrs["area"]
        np.testing.assert_array_equal(area.lats, ds.latitude)
        np.testing.assert_array_equal(area.lons, ds.longitude)


def test_satpy_finds_the_products_and_nothing_else(data_dir):
    assert READER in available_readers()
    folder = data_dir / "granules" / "V7"
    found = find_files_and_readers(base_dir=str(folder), reader=READER)[READER]
    assert sorted(Path(f).name for f in found) == sorted(
        p.name for p in folder.glob("*.HDF5") if p.name.startswith(("2A", "2B"))
    )
    part = find_files_and_readers(base_dir=str(data_dir / "dpr"), reader=READER)
    assert len(part[READER]) == 1


def test_rain_in_a_scene(tmp_path):
    path = write(tmp_path)
    with dask.config.set(scheduler=CustomScheduler(max_computes=0)):
        scene = open_scene(path)
        scene.load(["surface_precip", "precip_type", "latitude"])
    rain = scene["surface_precip"]
    assert rain.dims == ("y", "x")
    np.testing.assert_array_equal(rain, xrain.open_reference(path).surface_precip)
    assert rain.attrs["units"] == "mm h-1"
    assert rain.attrs["standard_name"] == "lwe_precipitation_rate"
    assert rain.attrs["platform_name"] == "GPM"
    assert rain.attrs["sensor"] == "dpr"
    assert rain.attrs["product"] == "2ADPR"
    assert rain.attrs["orbit"] == 144
    assert rain.attrs["file_field"] == "FS/SLV/precipRateNearSurface"
    assert isinstance(rain.attrs["area"], SwathDefinition)
    assert rain.attrs["start_time"] == dt.datetime(2014, 12, 31, 23, 59, 58)
    assert rain.attrs["end_time"] == dt.datetime(2015, 1, 1, 0, 0, 2, 900000)
    assert scene["precip_type"].dtype == np.int8
    assert scene["precip_type"].attrs["_FillValue"] == -1


def test_bands_are_loaded_one_by_one(tmp_path):
    path = write(tmp_path)
    quality = xrain.open_reference(path).quality
    for band in ("Ku", "Ka"):
        scene = open_scene(path)
        scene.load([DataQuery(name="quality", band=band)])
        np.testing.assert_array_equal(scene["quality"], quality.sel(band=band))


def test_the_full_swath_comes_first(data_dir):
    path = next((data_dir / "granules" / "V7").glob("2A.GPM.DPR*"), None)
    if path is None:
        pytest.skip("the DPR granule is not there")
    scene = open_scene(path)
    scene.load(["surface_precip"])
    np.testing.assert_array_equal(
        scene["surface_precip"], xrain.open_reference(path, swath="FS").surface_precip
    )


def test_granules_are_joined_and_resampled(tmp_path):
    other = "2A.GPM.DPR.V9-20211125.20150101-S000004-E000009.000145.V07A.HDF5"
    scene = open_scene(write(tmp_path), write(tmp_path, other, shift=7))
    scene.load(["surface_precip", "precip_flag"])
    assert scene["surface_precip"].shape == (16, 5)
    grid = scene.resample(scene["surface_precip"].attrs["area"].compute_optimal_bb_area())
    values = grid["surface_precip"].values
    assert np.isfinite(values).mean() > 0.5
    assert np.isin(values[np.isfinite(values)], scene["surface_precip"].values).all()
    assert set(np.unique(grid["precip_flag"])) <= {-1, 0, 1}


def test_what_does_not_belong_together_is_told(tmp_path, data_dir):
    tmi = write(tmp_path, "2A.TRMM.PR.V9-20220125.20141231-S235958-E000003.000144.V07A.HDF5", "tmi")
    with pytest.raises(InputError, match="of 2ADPR on GPM and 2APR on TRMM: make a Scene for each"):
        open_scene(write(tmp_path), tmi)
    imerg = next((data_dir / "granules" / "V7").glob("3B-HHR*"), None)
    if imerg is None:
        pytest.skip("the IMERG granule is not there")
    disguised = tmp_path / "2B.MS.MRG.3IMERG.20000601-S000000-E002959.000000.V07A.HDF5"
    shutil.copy(imerg, disguised)
    with pytest.raises(FileFormatError, match="lies on a map grid; open it with Satpy's reader"):
        open_scene(disguised)
