"""The Satpy reader of rain, on files that were retrieved and written."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from pyresample import AreaDefinition, SwathDefinition
from satpy import Scene, available_readers, find_files_and_readers
from satpy.tests.utils import CustomScheduler

from xrain.conventions import PRECIP_FLAG_FILL, QUALITY_FLAGS
from xrain.errors import FileFormatError, InputError
from xrain.io.open import open_l1c
from xrain.io.write_rain import rain_path, write_rain
from xrain.retrieval.dataset import retrieve
from xrain.testing import fake_swath, tiny_model, write_fake_l1c

READER = "xrain_rain"
PLANES = ("surface_precip", "probability_of_precip", "latitude", "longitude")
FLAGS = {"precip_flag": np.int8, "retrieval_quality": np.uint8}


def write(folder: Path, sensor: str = "GMI", *, quantiles=(0.05, 0.5, 0.95), **options) -> Path:
    """Retrieve a fake granule and write its rain under the name that the command gives it."""
    granule = write_fake_l1c(folder, sensor, **{"scans": 24, **options})
    rain = retrieve(open_l1c(granule), tiny_model(), quantiles=quantiles)
    return write_rain(rain, rain_path(granule, folder))


def open_scene(*paths: Path) -> Scene:
    return Scene(filenames=[str(p) for p in paths], reader=READER)


def raw(path: Path) -> xr.Dataset:
    """The file with nothing decoded but its times."""
    return xr.load_dataset(path, engine="h5netcdf", mask_and_scale=False)


@pytest.fixture(scope="module")
def rain_file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("rain"), missing=0.2)


def test_satpy_finds_reader_and_file(rain_file):
    assert READER in available_readers()
    folder = str(rain_file.parent)  # the granule lies there too
    assert find_files_and_readers(base_dir=folder, reader=READER) == {READER: [str(rain_file)]}
    both = find_files_and_readers(base_dir=folder, reader=[READER, "gpm_l1c"])
    assert {r: [Path(f).suffix for f in files] for r, files in both.items()} == {
        READER: [".nc"],
        "gpm_l1c": [".HDF5"],
    }


@pytest.mark.parametrize("name", ["mine.rain.nc", "rain.nc"])
def test_any_granule_and_the_demonstration_are_found(tmp_path, rain_file, name):
    (tmp_path / name).write_bytes(rain_file.read_bytes())
    scene = Scene(filenames=find_files_and_readers(base_dir=str(tmp_path), reader=READER))
    assert "surface_precip" in scene.available_dataset_names()


@pytest.mark.parametrize(("hours", "found"), [((0, 1), True), ((2, 3), False)])
def test_files_are_chosen_by_time_past_midnight(tmp_path, hours, found):
    name = "1C.TRMM.TMI.XCAL2021-V.19971207-S235717-E012836.000160.V07A.rain.nc"
    (tmp_path / name).touch()
    start, end = (dt.datetime(1997, 12, 8, h) for h in hours)
    files = find_files_and_readers(
        start, end, base_dir=str(tmp_path), reader=READER, sensor="tmi", missing_ok=True
    )
    assert bool(files) is found


def test_values_equal_the_file(rain_file):
    scene, file = open_scene(rain_file), raw(rain_file)
    quantiles = {
        f"surface_precip_q{100 * q:02.0f}": i for i, q in enumerate(file["quantile"].values)
    }
    assert set(scene.available_dataset_names()) >= {*PLANES, *FLAGS, *quantiles, "time"}
    scene.load([*PLANES, *FLAGS, *quantiles, "time"])
    assert np.isnan(scene["surface_precip"].values).any()
    for name in PLANES:
        expected = file[name].where(file[name] != file[name].attrs["_FillValue"])
        np.testing.assert_array_equal(scene[name].values, expected, strict=True)
    for name, index in quantiles.items():
        plane = file["surface_precip_quantile"].isel(quantile=index)
        expected = plane.where(plane != plane.attrs["_FillValue"])
        np.testing.assert_array_equal(scene[name].values, expected, strict=True)
        assert scene[name].attrs["quantile"] == file["quantile"].values[index]
    for name, dtype in FLAGS.items():
        assert scene[name].dtype == dtype
        np.testing.assert_array_equal(scene[name].values, file[name].values, strict=True)
    np.testing.assert_array_equal(scene["time"].values, file["time"].values)
    assert all(scene[n].dims == ("y", "x") for n in (*PLANES, *FLAGS, *quantiles))


def test_metadata(rain_file):
    scene, file = open_scene(rain_file), raw(rain_file)
    scene.load([*PLANES, *FLAGS, "surface_precip_q95"])
    for name in (*PLANES, *FLAGS):
        attrs = scene[name].attrs
        kept = {k: v for k, v in file[name].attrs.items() if k not in ("_FillValue", "coordinates")}
        assert {k: str(attrs.get(k)) for k in kept} == {k: str(v) for k, v in kept.items()}
        assert (attrs["platform_name"], attrs["sensor"]) == ("GPM-core", "gmi")
        for key in ("model", "model_version", "model_sha256", "orbit"):
            assert attrs[key] == file.attrs[key]
    assert scene["surface_precip_q95"].attrs["units"] == file["surface_precip"].attrs["units"]
    assert scene["precip_flag"].attrs["_FillValue"] == PRECIP_FLAG_FILL
    assert scene["retrieval_quality"].attrs["_FillValue"] > sum(QUALITY_FLAGS.values())
    assert scene.sensor_names == {"gmi"}
    known = np.sort(file["time"].values[~np.isnat(file["time"].values)]).astype("datetime64[us]")
    assert (scene.start_time, scene.end_time) == (known[0].item(), known[-1].item())


def test_loading_reads_nothing(rain_file):
    with dask.config.set(scheduler=CustomScheduler(max_computes=0)):
        scene = open_scene(rain_file)
        scene.load(["surface_precip", "surface_precip_q05", *FLAGS])
    assert all(array.chunks for array in scene)
    assert isinstance(scene["surface_precip"].attrs["area"], SwathDefinition)
    assert scene["surface_precip"].attrs["area"] == scene["precip_flag"].attrs["area"]


def test_resampling(tmp_path):
    """A grid half on the swath: values of the nearest pixel there, fill values beyond."""
    path = write(tmp_path)
    file = raw(path)
    lon, lat = file["longitude"].values.astype(float), file["latitude"].values.astype(float)
    west, south = lon[12, 0], lat[12, 0]
    extent = (west - 3, south - 0.5, west + 3, south + 0.5)
    area = AreaDefinition("edge", "edge of the swath", "", "EPSG:4326", 60, 10, extent)
    scene = open_scene(path)
    names = ["surface_precip", "surface_precip_q95", *FLAGS]
    scene.load(names)
    local = scene.resample(area, resampler="nearest", radius_of_influence=20_000)
    grid_lon, grid_lat = area.get_lonlats()
    east = (lon - grid_lon[..., None, None]) * np.cos(np.deg2rad(grid_lat))[..., None, None]
    distance = np.hypot(east, lat - grid_lat[..., None, None]).reshape(*area.shape, -1)
    near = distance.min(axis=-1) < 0.1
    far = distance.min(axis=-1) > 0.3
    assert near.any()
    assert far.any()
    index = distance.argmin(axis=-1)
    for name in names:
        plane = file["surface_precip_quantile"][-1] if name.endswith("q95") else file[name]
        agree = local[name].values[near] == plane.values.ravel()[index[near]]
        assert agree.mean() > 0.95  # the ellipsoid decides a few ties otherwise
    assert np.isnan(local["surface_precip"].values[far]).all()
    for name, dtype in FLAGS.items():
        assert local[name].dtype == dtype
        assert (local[name].values[far] == scene[name].attrs["_FillValue"]).all()


def test_granule_without_anything(tmp_path):
    scene = open_scene(write(tmp_path, missing="all"))
    scene.load(["surface_precip", *FLAGS])
    assert np.isnan(scene["surface_precip"].values).all()
    assert (scene["precip_flag"].values == PRECIP_FLAG_FILL).all()
    assert (scene["retrieval_quality"].values & QUALITY_FLAGS["no_usable_channel"]).all()
    assert np.isnan(scene["surface_precip"].attrs["area"].get_lonlats()[0]).all()


def test_granules_follow_one_another(tmp_path):
    late = np.datetime64("2020-07-01T13:40:00.000", "ns")
    paths = [write(tmp_path, "MHS", orbit=7), write(tmp_path, "MHS", orbit=8, start=late)]
    scene = open_scene(*reversed(paths))
    scene.load(["surface_precip"])
    rain = scene["surface_precip"]
    expected = np.concatenate([raw(p)["surface_precip"].values for p in paths])
    np.testing.assert_array_equal(rain.values, expected)
    assert rain.attrs["area"].shape == expected.shape
    assert (rain.attrs["start_orbit"], rain.attrs["end_orbit"]) == (7, 8)


@pytest.mark.parametrize("other", [{"sensor": "MHS"}, {"orbit": 2, "quantiles": (0.975,)}])
def test_files_that_cannot_be_joined_are_refused(tmp_path, rain_file, other):
    with pytest.raises(InputError, match=r"GMI on GPM with quantiles 0\.05, 0\.5, 0\.95"):
        open_scene(rain_file, write(tmp_path, **other))


def test_quantiles_between_whole_percents(tmp_path):
    scene = open_scene(write(tmp_path, quantiles=(0.025, 0.975)))
    assert {"surface_precip_q02.5", "surface_precip_q97.5"} <= set(scene.available_dataset_names())


def test_rain_without_any_quantile_or_position(tmp_path):
    swath = fake_swath("GMI", 8, 12).drop_vars(["latitude", "longitude"])
    path = write_rain(retrieve(swath, tiny_model(), quantiles=()), tmp_path / "a.rain.nc")
    scene = open_scene(path)
    assert not [n for n in scene.available_dataset_names() if n.startswith("surface_precip_q")]
    scene.load(["surface_precip"])
    assert "area" not in scene["surface_precip"].attrs


def test_times_from_the_name_where_none_is_known(tmp_path, rain_file):
    name = "1C.TRMM.TMI.XCAL2021-V.19971207-S235717-E012836.000160.V07A.rain.nc"
    rain = xr.load_dataset(rain_file, engine="h5netcdf")
    rain["time"] = ("scan", np.full(rain.sizes["scan"], np.datetime64("NaT", "ns")))
    scene = open_scene(write_rain(rain, tmp_path / name))
    assert scene.start_time == dt.datetime(1997, 12, 7, 23, 57, 17)
    assert scene.end_time == dt.datetime(1997, 12, 8, 1, 28, 36)
    nameless = write_rain(rain, tmp_path / "a.rain.nc")
    with pytest.raises(InputError, match="no scan has a time"):
        open_scene(nameless)


def test_what_is_no_rain_on_a_swath_is_refused(tmp_path, rain_file):
    broken = tmp_path / "broken.rain.nc"
    broken.write_bytes(rain_file.read_bytes()[:500])
    with pytest.raises(FileFormatError, match="cannot be read"):
        open_scene(broken)
    other = tmp_path / "other.rain.nc"
    xr.Dataset({"snow": ("scan", [1.0])}).to_netcdf(other, engine="h5netcdf")
    with pytest.raises(FileFormatError, match="holds no surface_precip"):
        open_scene(other)
    table = fake_swath("GMI", 4, 6).stack(sample=("scan", "pixel")).reset_index("sample")
    pixels = retrieve(table.transpose("sample", ...), tiny_model())
    with pytest.raises(InputError, match="separate pixels"):
        open_scene(write_rain(pixels, tmp_path / "table.rain.nc"))
