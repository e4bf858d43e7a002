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
from xrain.geo.sphere import unit_vectors
from xrain.retrieval.dataset import default_model_name
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


HORNS = {
    "1B_ESA": ("AWS1-MWR-1B-RAD_C_OHB__20250110134851_G_O", "n_geo_groups", "aws_", "lat", "lon"),
    "1B_STERNA": ("AWS1-MWR-1B-RAD_C_OHB__20250110134851_G_D", "n_feedhorns", "", "latitude",
                  "longitude"),
    "1C": ("AWS1-MWR-1C-RAD_C_OHB__20250110134851_G_O", None, "aws_", "lat", "lon"),
}  # fmt: skip
"""File name, dimension of the horns, and what names begin with and call positions."""


def write_aws(folder: Path, kind: str = "1B_ESA") -> tuple[Path, np.ndarray]:
    """MWR L1B of the Arctic Weather Satellite: four feed horns that look at different places.

    In L1C all channels lie on the places of the third horn, and the order of axes is turned.
    """
    name, geo, prefix, lat, lon = HORNS[kind]
    latitude, longitude = positions(96)
    tb = 200 + np.arange(19) + np.arange(SCANS * 96).reshape(SCANS, 96, 1) % 50
    path = folder / f"W_NO-KSAT-Tromso,SAT,{name}_20250110114708_20250110132329_C_N____.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.instrument, file.orbit_start, file.orbit_end = "MWR", 9991, 9992
        status = file.createGroup("/status/satellite")
        for where in ("latitude_start", "longitude_start", "latitude_end", "longitude_end"):
            status.createVariable(f"subsat_{where}", "f4")[:] = 1.0
        data = file.createGroup("data")
        sizes = {"n_scans": SCANS, "n_fovs": 96, "n_channels": 19} | ({geo: 4} if geo else {})
        for dim, size in sizes.items():
            data.createDimension(dim, size)
        group = data.createGroup("calibration")
        dims = ("n_scans", "n_fovs", "n_channels") if geo else ("n_channels", "n_fovs", "n_scans")
        variable = group.createVariable(f"{prefix}toa_brightness_temperature", "f4", dims)
        variable[:] = tb if geo else tb.T
        group = data.createGroup("navigation")
        horns = np.arange(4) if geo else np.array([2])
        fields = {
            lat: latitude[..., None] + 0.3 * horns,
            lon: longitude[..., None] + 0 * horns,
            "satellite_zenith_angle": (10 + horns) + np.zeros((SCANS, 96, 1)),
        }
        for field, values in fields.items():
            dims = ("n_scans", "n_fovs", geo) if geo else ("n_fovs", "n_scans")
            shaped = values if geo else values[..., 0].T
            group.createVariable(f"{prefix}{field}", "f4", dims)[:] = shaped
    return path, tb


def write_sdr(folder: Path) -> tuple[list[Path], np.ndarray]:
    """ATMS SDR: temperatures and positions in files of their own."""
    latitude, longitude = positions(96)
    tb = 200 + np.arange(22.0) + np.arange(SCANS * 96).reshape(SCANS, 96, 1) % 50
    stamp = "j01_d20221220_t0910240_e0921356_b26361_c20221220100456348770_cspp_dev.h5"
    contents = {
        "SATMS": ("ATMS-SDR", {"BrightnessTemperature": np.round(tb * 100).astype("u2"),
                               "BrightnessTemperatureFactors": np.float32([0.01, 0])}),
        "GATMO": ("ATMS-SDR-GEO", {"Latitude": latitude.astype("f4"),
                                   "Longitude": longitude.astype("f4")}),
    }  # fmt: skip
    paths = []
    for short, (long, fields) in contents.items():
        paths.append(folder / f"{short}_{stamp}")
        with h5py.File(paths[-1], "w") as file:
            file.attrs["Platform_Short_Name"] = np.bytes_("J01")
            for name, values in fields.items():
                file[f"All_Data/{long}_All/{name}"] = values
            file[f"All_Data/{long}_All/NumberOfScans"] = np.int32([SCANS])
            product = file.create_group(f"Data_Products/{long}")
            product.attrs["Instrument_Short_Name"] = np.bytes_("ATMS")
            whole = product.create_dataset(f"{long}_Aggr", data=np.zeros(1))
            facts = {"AggregateNumberGranules": 1, "AggregateBeginningOrbitNumber": 26361,
                     "AggregateEndingOrbitNumber": 26361}  # fmt: skip
            for key, fact in facts.items():
                whole.attrs[key] = np.int64(fact)
            for end, clock in (("Beginning", "091024"), ("Ending", "092135")):
                whole.attrs[f"Aggregate{end}Date"] = np.bytes_("20221220")
                whole.attrs[f"Aggregate{end}Time"] = np.bytes_(f"{clock}.000000Z")
            part = product.create_dataset(f"{long}_Gran_0", data=np.zeros(1))
            part.attrs["N_Number_Of_Scans"] = np.int64(SCANS)
    return paths, tb


def write_mirs(folder: Path) -> tuple[Path, np.ndarray]:
    """Temperatures of ATMS as MiRS writes them beside its retrieval."""
    latitude, longitude = positions(96)
    tb = 200 + np.arange(22.0) + np.arange(SCANS * 96).reshape(SCANS, 96, 1) % 50
    frequency = [23.8, 31.4, 50.3, 51.76, 52.8, 53.596, 54.4, 54.94, 55.5, *[57.29] * 6, 88.2,
                 165.5, *[183.31] * 5]  # fmt: skip
    polarization = [2, 2, *[3] * 13, 2, *[3] * 6]
    grid = ("Scanline", "Field_of_view")
    path = folder / ("NPR-MIRS-IMG_v11r9_n20_s202007011200000_e202007011210000_c202007011300000.nc")
    attrs = {"units": "Kelvin", "scale_factor": 0.01, "_FillValue": np.int16(-999)}
    xr.Dataset(
        {
            "BT": ((*grid, "Channel"), np.round(tb * 100).astype("i2"), attrs),
            "Sfc_type": (grid, np.zeros((SCANS, 96), "i2")),
            "Polo": ("Channel", np.array(polarization, "i2")),
        },
        coords={
            "Freq": ("Channel", np.array(frequency, "f4")),
            "Latitude": (grid, latitude),
            "Longitude": (grid, longitude),
        },
        attrs={"missing_value": -999},
    ).to_netcdf(path, engine="h5netcdf")
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


def test_mws_l1b_nc(tmp_path):
    path, written = write_mws(tmp_path)
    scene = load(path, "mws_l1b_nc")
    ds = xrain.from_scene(scene)
    assert ds.attrs["sensor"] == "MWS"
    own = [c.name for c in xrain.get_sensor("MWS").channels]
    assert list(ds["channel"].values) == own  # neither 5x nor 229 GHz
    numbers = [1, 2, 17, 18, 19, 20, 21, 22, 23]
    for name, number in zip(own, numbers, strict=True):
        np.testing.assert_allclose(ds["tb"].sel(channel=name), written[..., number - 1])
    np.testing.assert_allclose(ds["tb"].sel(channel="31.4QH"), written[..., 1])
    assert float(ds["earth_incidence_angle"].max()) == pytest.approx(55.0)
    rain = ds.rain.retrieve()
    assert rain.attrs["model"] == default_model_name(xrain.get_sensor("MWS"))
    assert np.isfinite(rain["surface_precip"]).all()


def test_aapp_mhs_l1c(tmp_path):
    path, written = write_mhs(tmp_path)
    scene = load(path, "mhs_l1c_aapp")
    ds = xrain.from_scene(scene)
    assert list(ds["channel"].values) == [c.name for c in xrain.get_sensor("MHS").channels]
    np.testing.assert_allclose(ds["tb"], written)
    assert ds.attrs["platform"] == "METOPB"
    np.testing.assert_allclose(retrieve(ds)["surface_precip"], tiny_rate(written), rtol=1e-4)


def test_atms_sdr_hdf5(tmp_path):
    paths, written = write_sdr(tmp_path)
    scene = Scene(filenames=[str(p) for p in paths], reader="atms_sdr_hdf5")
    scene.load([str(n) for n in range(1, 23)])
    ds = xrain.from_scene(scene)
    own = [c.name for c in xrain.get_sensor("ATMS").channels]
    assert list(ds["channel"].values) == own
    numbers = [0, 1, 15, 16, 17, 18, 19, 20, 21]
    np.testing.assert_allclose(ds["tb"], written[..., numbers], rtol=1e-5)
    assert ds.attrs["platform"] == "NOAA20"
    assert np.isfinite(ds.rain.retrieve()["surface_precip"]).all()


def test_mirs(tmp_path):
    path, written = write_mirs(tmp_path)
    scene = Scene([str(path)], reader="mirs", reader_kwargs={"limb_correction": False})
    scene.load([n for n in scene.available_dataset_names() if n.startswith("btemp")])
    ds = xrain.from_scene(scene)
    assert list(ds["channel"].values) == [c.name for c in xrain.get_sensor("ATMS").channels]
    numbers = [0, 1, 15, 16, 17, 18, 19, 20, 21]
    np.testing.assert_allclose(ds["tb"], written[..., numbers], atol=0.006)


def test_all_channels_of_aws_level_1c_lie_on_one_grid(tmp_path):
    path, written = write_aws(tmp_path, "1C")
    scene = Scene([str(path)], reader="aws1_mwr_l1c_nc")
    scene.load([*map(str, range(1, 20)), "satellite_zenith_angle"])
    ds = xrain.from_scene(scene)
    assert list(ds["channel"].values) == [c.name for c in xrain.get_sensor("AWS").channels]
    tb = ds["tb"].transpose("scan", "pixel", "channel")
    sizes = (SCANS, 96) if ds.sizes["scan"] == SCANS else (96, SCANS)
    assert tb.shape[:2] == sizes
    expected = written[..., 8:15] if sizes[0] == SCANS else written[..., 8:15].swapaxes(0, 1)
    np.testing.assert_allclose(tb, expected)


@pytest.mark.parametrize(
    ("kind", "reader"),
    [("1B_ESA", "aws1_mwr_l1b_nc"), ("1B_STERNA", "eps_sterna_mwr_l1b_nc")],
)
def test_aws_horns_are_brought_together(tmp_path, kind, reader):
    path, written = write_aws(tmp_path, kind)
    scene = load(path, reader)
    ds = xrain.from_scene(scene)
    names = list(ds["channel"].values)
    assert names == [c.name for c in xrain.get_sensor("AWS").channels]  # neither 5x nor 325 GHz
    tb = ds["tb"].compute()
    third = [n for n in names if n.startswith("165.5")]
    np.testing.assert_allclose(tb.sel(channel=third[0]), written[..., 9])
    latitude, longitude = positions(96)
    here, there = (unit_vectors(latitude + 0.3 * horn, longitude) for horn in (2, 1))
    nearest = np.einsum("k,ijk->ij", here[8, 40], there).argmax()
    window = tb.sel(channel="89.0QV").values[8, 40]  # of another horn, 0.3 degrees away
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


@pytest.mark.parametrize("names", [("lat", "lon", "scan_time"), ("latitude", "longitude", "time")])
def test_positions_and_times_that_are_plain_variables(names):
    swath = fake_swath("GMI", 8, 10).rename(scan="y", pixel="x")
    units = {"sensor": "gmi", "units": "kelvin"}
    flat = xr.Dataset(
        {str(c): (("y", "x"), swath.tb.sel(channel=c).values, units) for c in swath.channel.values}
    )
    for name, own in zip(names, ("latitude", "longitude", "time"), strict=True):
        flat[name] = (swath[own].dims, swath[own].values)
    out = xrain.from_scene(flat)
    for own in ("latitude", "longitude", "time"):
        np.testing.assert_array_equal(out[own], swath[own])
    assert out.sizes["channel"] == 13
