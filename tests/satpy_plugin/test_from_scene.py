"""Scenes of Satpy's own radiometer readers, from files in their own formats, turned into rain."""

from __future__ import annotations

from pathlib import Path

import dask
import h5py
import netCDF4
import numpy as np
import pytest
import satpy
import xarray as xr
from satpy import Scene
from satpy.readers.aapp_mhs_amsub_l1c import _HEADERTYPE, _SCANTYPE, HEADER_LENGTH
from satpy.tests.utils import CustomScheduler

import xrain
from xrain.errors import InputError
from xrain.geometry import unit_vectors
from xrain.testing import fake_swath, tiny_model, tiny_rate, write_fake_l1c

SCANS = 20

IN_THE_FAKES = (*"123456789", "btemp", "sat_zen", "satellite_zenith", "sensor_zenith")
"""What the files below hold of the datasets that Satpy's readers offer."""


@pytest.fixture(autouse=True)
def _one_thread():
    """Read in one thread: Satpy's readers share netCDF4 handles, which no two threads may use."""
    with dask.config.set(scheduler="synchronous"):
        yield


def positions(pixels: int, swath: xr.Dataset | None = None) -> tuple[np.ndarray, np.ndarray]:
    swath = fake_swath("ATMS", SCANS, pixels) if swath is None else swath
    return swath["latitude"].values.astype(float), swath["longitude"].values.astype(float)


def write_amsr2(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """AMSR2 L1B: low frequencies on every second pixel of the 89 GHz A horn."""
    source = fake_swath("AMSR2", SCANS)
    latitude, longitude = positions(486, source)
    path = folder / "GW1AM2_201607010148_174A_L1DLBTBR_1110110.h5"
    written = {}
    with h5py.File(path, "w") as file:
        file.attrs["PlatformShortName"] = np.array([b"GCOM-W1"])
        file.attrs["SensorShortName"] = np.array([b"AMSR2"])
        file.attrs["StartOrbitNumber"] = np.array([b"22210"])
        file.attrs["StopOrbitNumber"] = np.array([b"22210"])
        frequencies = ["6.9", "7.3", "10.7", "18.7", "23.8", "36.5", "89.0"]
        names = {f"{f}GHz{horn},{p}": (f"{f}{p}", horn) for f in frequencies for p in "VH"
                 for horn in (("-A", "-B") if f == "89.0" else ("",))}  # fmt: skip
        for k, (key, (name, horn)) in enumerate(names.items()):
            pixels = 486 if horn else 243
            tb = np.round(20000 + 100 * k + 10 * np.arange(SCANS * pixels) % 900)
            counts = tb.reshape(SCANS, pixels).astype("u2")
            counts[3, 5] = 65535
            data = file.create_dataset(f"Brightness Temperature ({key})", data=counts)
            data.attrs["SCALE FACTOR"] = np.array([0.01], "f4")
            data.attrs["UNIT"] = np.array([b"K"])
            written[name + horn] = np.where(counts == 65535, np.nan, counts * 0.01)
        for horn, shift in (("A", 0.0), ("B", 0.1)):
            for word, values in (("Latitude", latitude + shift), ("Longitude", longitude)):
                name = f"{word} of Observation Point for 89{horn}"
                data = file.create_dataset(name, data=values.astype("f4"))
                data.attrs["SCALE FACTOR"] = np.array([1.0], "f4")
                data.attrs["UNIT"] = np.array([b"deg"])
    return path, written


def write_atms(folder: Path) -> tuple[Path, xr.Dataset]:
    """ATMS L1B of NASA's sounder archive."""
    latitude, longitude = positions(96)
    tb = 200 + np.arange(22.0) + np.arange(SCANS * 96).reshape(SCANS, 96, 1) % 50
    grid = ("atrack", "xtrack")
    ds = xr.Dataset(
        {
            "antenna_temp": ((*grid, "channel"), tb),
            "lat": (grid, latitude),
            "lon": (grid, longitude),
            "sat_zen": (grid, np.abs(np.linspace(-60, 60, 96)) + np.zeros((SCANS, 1))),
        },
        attrs={
            "time_coverage_start": "2021-01-01T00:00:00Z",
            "time_coverage_end": "2021-01-01T00:06:00Z",
            "platform": "JPSS-1",
            "instrument": "ATMS",
        },
    )
    path = folder / "SNDR.J1.ATMS.20210101T0000.m06.g001.L1B.std.v03_15.G.210101000000.nc"
    ds.to_netcdf(path, engine="netcdf4")
    return path, ds


def write_mws(folder: Path) -> tuple[Path, np.ndarray]:
    """MWS L1B of EPS-SG."""
    latitude, longitude = positions(95)
    tb = 200 + np.arange(24) + np.arange(SCANS * 95).reshape(SCANS, 95, 1) % 50
    path = folder / (
        "W_XX-EUMETSAT-Darmstadt,SAT,SGA1-MWS-1B-RAD_C_EUMT_20210609095009_G_D_20070912084321_"
        "20070912102225_T_N____.nc"
    )
    with netCDF4.Dataset(path, "w") as file:
        file.sensing_start_time_utc = "2007-09-12 08:43:21.000"
        file.sensing_end_time_utc = "2007-09-12 10:22:25.000"
        file.instrument, file.spacecraft = "MWS", "SGA1"
        status = file.createGroup("/status/satellite")
        for name in ("latitude_start", "longitude_start", "latitude_end", "longitude_end"):
            status.createVariable(f"subsat_{name}", "f4")[:] = 1.0
        file.createGroup("quality").overall_quality_flag = 0
        data = file.createGroup("data")
        for name, size in (("n_scans", SCANS), ("n_fovs", 95), ("n_channels", 24)):
            data.createDimension(name, size)
        group = data.createGroup("calibration")
        variable = group.createVariable(
            "mws_toa_brightness_temperature", "f4", ("n_scans", "n_fovs", "n_channels")
        )
        variable[:] = tb
        group = data.createGroup("navigation")
        angle = np.abs(np.linspace(-55, 55, 95)) + np.zeros((SCANS, 1))
        fields = {"lat": latitude, "lon": longitude, "satellite_zenith_angle": angle}
        for name, values in fields.items():
            group.createVariable(f"mws_{name}", "f4", ("n_scans", "n_fovs"))[:] = values
    return path, tb


def write_mhs(folder: Path) -> tuple[Path, np.ndarray]:
    """MHS L1C as AAPP writes it."""
    latitude, longitude = positions(90)
    tb = 200 + np.arange(5) + np.arange(SCANS * 90).reshape(SCANS, 90, 1) % 50
    header = np.zeros(1, _HEADERTYPE)
    header["satid"], header["instrument"] = 1, 12
    scans = np.zeros(SCANS, _SCANTYPE)
    scans["scnlinyr"], scans["scnlindy"] = 2020, 1
    scans["latlon"] = np.round(1e4 * np.stack([latitude, longitude], -1))
    scans["angles"][..., 0] = np.round(100 * np.abs(np.linspace(-55, 55, 90)))
    scans["btemps"] = 100 * tb
    path = folder / "mhsl1c_metopb_20200101_0000_12345.l1c"
    path.write_bytes(header.tobytes().ljust(HEADER_LENGTH, b"\0") + scans.tobytes())
    return path, tb


def write_aws(folder: Path) -> tuple[Path, np.ndarray]:
    """MWR L1B of the Arctic Weather Satellite: four feed horns that look at different places."""
    latitude, longitude = positions(96)
    tb = 200 + np.arange(19) + np.arange(SCANS * 96).reshape(SCANS, 96, 1) % 50
    path = folder / (
        "W_NO-KSAT-Tromso,SAT,AWS1-MWR-1B-RAD_C_OHB__20250110134851_G_O_20250110114708_"
        "20250110132329_C_N____.nc"
    )
    with netCDF4.Dataset(path, "w") as file:
        file.instrument, file.orbit_start, file.orbit_end = "MWR", 9991, 9992
        status = file.createGroup("/status/satellite")
        for name in ("latitude_start", "longitude_start", "latitude_end", "longitude_end"):
            status.createVariable(f"subsat_{name}", "f4")[:] = 1.0
        data = file.createGroup("data")
        sizes = {"n_scans": SCANS, "n_fovs": 96, "n_channels": 19, "n_geo_groups": 4}
        for name, size in sizes.items():
            data.createDimension(name, size)
        group = data.createGroup("calibration")
        dims = ("n_scans", "n_fovs", "n_channels")
        group.createVariable("aws_toa_brightness_temperature", "f4", dims)[:] = tb
        group = data.createGroup("navigation")
        horns = np.arange(4)
        fields = {
            "lat": latitude[..., None] + 0.3 * horns,
            "lon": longitude[..., None] + 0 * horns,
            "satellite_zenith_angle": (10 + horns) + np.zeros((SCANS, 96, 1)),
        }
        for name, values in fields.items():
            dims = ("n_scans", "n_fovs", "n_geo_groups")
            group.createVariable(f"aws_{name}", "f4", dims)[:] = values
    return path, tb


def load(path: Path, reader: str, *names: str) -> Scene:
    scene = Scene(filenames=[str(path)], reader=reader)
    every = [n for n in scene.available_dataset_names() if n.startswith(IN_THE_FAKES)]
    scene.load(names or every)
    return scene


def retrieve(ds: xr.Dataset) -> xr.Dataset:
    """Retrieve with a model whose answer is known."""
    return ds.rain.retrieve(tiny_model()).compute()


def test_amsr2_l1b(tmp_path):
    path, written = write_amsr2(tmp_path)
    scene = load(path, "amsr2_l1b")
    with dask.config.set(scheduler=CustomScheduler(max_computes=0)):
        ds = xrain.from_scene(scene)
    names = ["10.65V", "10.65H", "18.7V", "18.7H", "23.8V", "23.8H", "36.5V", "36.5H",
             "89.0V-A", "89.0H-A", "89.0V-B", "89.0H-B"]  # fmt: skip
    assert list(ds["channel"].values) == names  # 6.9 and 7.3 GHz are unlike any
    assert (ds.attrs["sensor"], ds.attrs["platform"]) == ("AMSR2", "GCOMW1")
    assert ds["tb"].shape == (SCANS, 486, 12)
    tb = ds["tb"].compute()
    np.testing.assert_allclose(tb.sel(channel="89.0V-A"), written["89.0V-A"], rtol=1e-6)
    low = tb.sel(channel="36.5H").values
    np.testing.assert_allclose(low[:, ::2], written["36.5H"], rtol=1e-6)
    assert not np.isnan(low[:, 1:-1:2][:, 10:]).all(axis=0).any()
    # the B horn looks 0.1 degrees, some two scans, further
    assert not np.array_equal(tb.sel(channel="89.0V-B"), written["89.0V-B"], equal_nan=True)
    rain = retrieve(ds)
    np.testing.assert_allclose(rain["surface_precip"], tiny_rate(tb.values), rtol=1e-4)
    assert (rain["retrieval_quality"].values & 16).all()  # the angle is assumed


def test_atms_l1b_nc(tmp_path):
    path, written = write_atms(tmp_path)
    scene = load(path, "atms_l1b_nc")
    ds = xrain.from_scene(scene)
    own = [c.name for c in xrain.get_sensor("ATMS").channels]
    assert list(ds["channel"].values) == own
    numbers = [1, 2, 16, 17, 18, 19, 20, 21, 22]
    for name, number in zip(own, numbers, strict=True):
        expected = written["antenna_temp"][..., number - 1]
        np.testing.assert_allclose(ds["tb"].sel(channel=name), expected, rtol=1e-6)
    np.testing.assert_allclose(ds["earth_incidence_angle"], written["sat_zen"], rtol=1e-6)
    rain = ds.rain.retrieve()
    assert rain.attrs["model"] == "atms-unet"
    assert not (rain["retrieval_quality"].values & 16).any()


def test_mws_l1b_nc_of_an_unknown_sensor(tmp_path):
    path, written = write_mws(tmp_path)
    scene = load(path, "mws_l1b_nc")
    ds = xrain.from_scene(scene)
    assert ds.attrs["sensor"] == "MWS"
    names = ["23.8QH", "31.4QH", "89QV", "183.311+-7QV", "183.311+-1QV"]
    assert set(names) <= set(ds["channel"].values)
    assert not [n for n in ds["channel"].values if n.startswith(("5", "229"))]
    np.testing.assert_allclose(ds["tb"].sel(channel="31.4QH"), written[..., 1])
    assert float(ds["earth_incidence_angle"].max()) == pytest.approx(55.0)
    rain = ds.rain.retrieve()
    assert rain.attrs["model"] == "constellation-unet"
    assert np.isfinite(rain["surface_precip"]).all()


def test_aapp_mhs_l1c(tmp_path):
    path, written = write_mhs(tmp_path)
    scene = load(path, "mhs_l1c_aapp")
    ds = xrain.from_scene(scene)
    assert list(ds["channel"].values) == [c.name for c in xrain.get_sensor("MHS").channels]
    np.testing.assert_allclose(ds["tb"], written)
    assert ds.attrs["platform"] == "METOPB"
    np.testing.assert_allclose(retrieve(ds)["surface_precip"], tiny_rate(written), rtol=1e-4)


def test_aws_horns_are_brought_together(tmp_path):
    path, written = write_aws(tmp_path)
    scene = load(path, "aws1_mwr_l1b_nc")
    ds = xrain.from_scene(scene)
    names = list(ds["channel"].values)
    assert names[0] == "89QV"
    assert sum(n.startswith("183.31+-") for n in names) == 5
    assert not [n for n in names if n.startswith(("5", "325"))]
    tb = ds["tb"].compute()
    third = [n for n in names if n.startswith("165.5")]
    np.testing.assert_allclose(tb.sel(channel=third[0]), written[..., 9])
    latitude, longitude = positions(96)
    here, there = (unit_vectors(latitude + 0.3 * horn, longitude) for horn in (2, 1))
    nearest = np.einsum("k,ijk->ij", here[8, 40], there).argmax()
    window = tb.sel(channel="89QV").values[8, 40]  # of another horn, 0.3 degrees away
    assert window == pytest.approx(written[..., 8].ravel()[nearest])
    assert window != pytest.approx(written[8, 40, 8])
    angle = ds["earth_incidence_angle"].isel(scan=8, pixel=40).values
    np.testing.assert_allclose(angle[[0, names.index(third[0])]], [11, 12])


@pytest.mark.filterwarnings("ignore:Coordinate .* does not exist:UserWarning")
@pytest.mark.parametrize("make", ["to_xarray", "to_xarray_dataset"])
def test_exported_scene(tmp_path, make):
    """A dataset that Satpy exports says as much as the Scene."""
    path, _ = write_atms(tmp_path)
    scene = load(path, "atms_l1b_nc", *map(str, range(1, 23)))
    exported = xrain.from_scene(getattr(scene, make)())
    expected = xrain.from_scene(scene)
    xr.testing.assert_allclose(exported["tb"].compute(), expected["tb"].compute())
    assert exported.attrs["sensor"] == "ATMS"


def test_computed_scene_gives_arrays_in_memory(tmp_path):
    path, written = write_mhs(tmp_path)
    scene = load(path, "mhs_l1c_aapp").compute()
    ds = xrain.from_scene(scene)
    assert ds["tb"].chunks is None
    np.testing.assert_allclose(ds["tb"], written)


@pytest.mark.parametrize("sensor", ["GMI", "TMI", "AMSR2", "SSMI", "SSMIS", "ATMS"])
def test_own_reader_agrees_with_the_engine(tmp_path, sensor):
    path = write_fake_l1c(tmp_path, sensor, scans=70, missing=0.1)
    names = [c.name for c in xrain.get_sensor(sensor).channels]
    scene = load(path, "gpm_l1c", *names)
    ds = xrain.from_scene(scene)
    expected = xrain.open_l1c(path)
    assert list(ds["channel"].values) == list(expected["channel"].values)
    for name in ("tb", "latitude", "longitude"):
        np.testing.assert_array_equal(ds[name].values, expected[name].values)


@pytest.mark.parametrize(
    ("write", "reader", "pixels"),
    [(write_mws, "mws_l1b_nc", 95), (write_mhs, "mhs_l1c_aapp", 90),
     (write_atms, "atms_l1b_nc", 96), (write_amsr2, "amsr2_l1b", 486),
     (write_aws, "aws1_mwr_l1b_nc", 96)],
)  # fmt: skip
def test_composites_in_scenes_of_other_readers(tmp_path, write, reader, pixels):
    path, _ = write(tmp_path)
    with satpy.config.set({"xrain.model": "constellation-unet"}):
        scene = load(path, reader, "surface_precip")
    assert scene["surface_precip"].shape == (SCANS, pixels)
    every = Scene(filenames=[str(path)], reader=reader)
    every.load([n for n in every.available_dataset_names() if n.startswith(IN_THE_FAKES)])
    expected = xrain.from_scene(every).rain.retrieve("constellation-unet")
    np.testing.assert_array_equal(scene["surface_precip"].values, expected["surface_precip"].values)


@pytest.mark.parametrize("sensor", ["TMI", "SSMI"])
def test_everything_that_the_own_reader_offers(tmp_path, sensor):
    path = write_fake_l1c(tmp_path, sensor, scans=30)
    scene = Scene(filenames=[str(path)], reader="gpm_l1c")
    scene.load(scene.available_dataset_names())
    ds = xrain.from_scene(scene)
    expected = xrain.open_l1c(path)
    for name in ("tb", "latitude", "longitude", "earth_incidence_angle", "quality"):
        np.testing.assert_array_equal(ds[name].values, expected[name].values)
    assert {k: ds.attrs[k] for k in ds.attrs} == {k: expected.attrs[k] for k in ds.attrs}
    assert ds.rain.check() == []
    if sensor == "TMI":  # all groups have the same scans
        np.testing.assert_array_equal(ds["time"].values, expected["time"].values)


def test_scene_without_channels(tmp_path):
    path, _ = write_mhs(tmp_path)
    scene = load(path, "mhs_l1c_aapp", "sensor_zenith_angle")
    with pytest.raises(InputError, match=r"no brightness temperature.*sensor_zenith_angle"):
        xrain.from_scene(scene)
    with pytest.raises(InputError, match="It holds nothing"):
        xrain.from_scene(Scene())
    with pytest.raises(InputError, match="neither a Satpy Scene"):
        xrain.from_scene([1, 2])


def test_only_channels_that_no_model_knows(tmp_path):
    path, _ = write_mws(tmp_path)
    scene = load(path, "mws_l1b_nc", "5", "6")
    with pytest.raises(InputError, match=r"no channel is like one that models know.*53"):
        xrain.from_scene(scene)


def test_channels_on_a_map(tmp_path):
    path, _ = write_mhs(tmp_path)
    scene = load(path, "mhs_l1c_aapp", "1", "2").resample("euro4", radius_of_influence=20_000)
    with pytest.raises(InputError, match=r"map grid 'euro4'.*retrieve first"):
        xrain.from_scene(scene)
