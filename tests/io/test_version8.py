"""Granules of version 8: GPROF-NN as netCDF-4, pieces of an orbit, and the names they have."""

from __future__ import annotations

import shutil
from pathlib import Path

import dask
import h5netcdf
import h5py
import numpy as np
import pytest
import xarray as xr
from satpy import DataQuery, Scene, find_files_and_readers

import xrain
from xrain.errors import FileFormatError
from xrain.io.write_l1c import scan_time
from xrain.testing import fake_swath, write_fake_l1c

SCANS, LAYERS = 12, 28
TOPS = np.r_[np.arange(0.5, 10.5, 0.5), np.arange(11.0, 19.0)].astype("f4")
NAME = "2A.METOPB.MHS.GPROFNNv1.20260228-S233156-E011316.069788.V08A.nc"
FILLS = {"f4": -9999.9, "f8": -9999.9, "i2": -9999, "i1": -99}

# name: type, units; as the header of a granule of METOPB gives them
PLANES = {
    "pixelStatus": ("i1", ""), "qualityFlag": ("i1", ""), "L1CqualityFlag": ("i2", ""),
    "sunLocalTime": ("f4", "hours"), "totalColumnWaterVapor": ("f4", "kg/m2"),
    "temp2m": ("f4", "K"), "convectiveFraction": ("f4", ""), "moistureConvergence": ("f4", ""),
    "leafAreaIndex": ("f4", ""), "snowDepth": ("f4", "m"), "orographicWind": ("f4", ""),
    "windSpeed10m": ("f4", "m/s"), "mountainIndex": ("i2", ""), "landFraction": ("i2", ""),
    "iceFraction": ("i2", ""), "elevation": ("i2", "m"), "snowFlag": ("i1", ""),
    "sunGlintAngle": ("i1", "degrees"), "probabilityOfPrecip": ("i1", "percent"),
    "precipitationYesNoFlag": ("i2", ""), "surfacePrecipitation": ("f4", "mm/hr"),
    "frozenPrecipitation": ("f4", "mm/hr"), "convectivePrecipitation": ("f4", "mm/hr"),
    "rainWaterPath": ("f4", "kg/m^2"), "cloudWaterPath": ("f4", "kg/m^2"),
    "iceWaterPath": ("f4", "kg/m^2"), "mostLikelyPrecipitation": ("f4", "mm/hr"),
    "precip1stTertial": ("f4", "mm/hr"), "precip2ndTertial": ("f4", ""),
}  # fmt: skip
PROFILES = {"rainWaterContent": "g/m3", "cloudWaterContent": "g/m3", "iceWaterContent": "g/m3",
            "latentHeating": "K/hr"}  # fmt: skip


def plane(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    whole = rng.integers(0, 100, (SCANS, 90))
    values = (whole if kind[0] == "i" else whole / 8).astype(kind)
    values[2, 3] = FILLS[kind]
    return values


def written_fields() -> dict[str, np.ndarray]:
    out = {n: plane(k, i) for i, (n, (k, _)) in enumerate(PLANES.items())}
    for i, name in enumerate(PROFILES):
        out[name] = np.repeat(plane("f4", 90 + i)[..., None], LAYERS, -1) + TOPS / 64
        out[name][2, 3] = FILLS["f4"]
    out["latentHeating"] -= 4
    out["latentHeating"][2, 3] = FILLS["f4"]
    return out


def write_gprof(path: Path, minute: int = 0, orbit: str = "069788") -> Path:
    """Write a granule of GPROF-NN as netCDF-4 in the layout of V08."""
    swath = fake_swath("MHS", SCANS)
    header = {
        "AlgorithmID": "2AGPROFMHS", "AlgorithmVersion": "NN0.8.14.dev", "FileName": path.name,
        "SatelliteName": "METOPB", "InstrumentName": "MHS", "GranuleNumber": orbit,
        "ProductVersion": "V08A", "EmptyGranule": "NOT_EMPTY",
    }  # fmt: skip
    time = swath.time.values + np.timedelta64(minute, "m")
    with h5netcdf.File(path, "w") as file:
        file.attrs["FileHeader"] = "".join(f"{k}={v};\n" for k, v in header.items())
        file.attrs["GprofInfo"] = "Satellite=METOPB;\nSensor=MHS;\n"
        tops = file.create_group("GprofDHeadr")
        tops.dimensions["nlyrs"] = LAYERS
        tops.create_variable("hgtTopLayer", ("nlyrs",), data=TOPS)
        group = file.create_group("S1")
        group.dimensions = {"nscan": SCANS, "npixel": 90, "nlyrs": LAYERS}
        fields = {"Latitude": swath.latitude.values, "Longitude": swath.longitude.values}
        units = {n: u for n, (_, u) in PLANES.items()} | PROFILES
        for name, values in (fields | written_fields()).items():
            dims = ("nscan", "npixel", "nlyrs")[: values.ndim]
            kind = values.dtype.str[1:]
            item = group.create_variable(name, dims, data=values,
                                         fillvalue=values.dtype.type(FILLS[kind]))  # fmt: skip
            item.attrs["DimensionNames"] = ",".join(dims)
            if units.get(name):
                item.attrs["Units"] = units[name]
        clock = group.create_group("ScanTime")
        for name, values in scan_time(time).items():
            clock.create_variable(name.partition("/")[2], ("nscan",), data=values.astype("i4"))
    return path


def test_every_field_of_gprof_nn_is_read_in_its_unit(tmp_path):
    path, fields = write_gprof(tmp_path / NAME), written_fields()
    ds = xrain.open_reference(path).load()
    read = {v.attrs["file_field"].partition("/")[2]: v for v in ds.variables.values()
            if "file_field" in v.attrs}  # fmt: skip
    assert set(read) == set(PLANES) | set(PROFILES)
    percent = {"probabilityOfPrecip", "landFraction", "iceFraction"}
    for name, values in fields.items():
        expected = values.astype("f8")
        if read[name].dtype.kind == "f":
            expected[2, 3] = np.nan
        if name == "precipitationYesNoFlag":
            expected = np.where(values < 0, -1, values > 0)
        np.testing.assert_allclose(read[name], expected / (100 if name in percent else 1), 1e-6)
    assert ds.rain_water_content.dims == ("scan", "pixel", "layer")
    np.testing.assert_array_equal(ds.layer_top, TOPS)
    assert ds.layer_top.units == "km"
    assert ds.attrs["sensor"] == "MHS"
    assert ds.attrs["product_version"] == "V08A"
    assert float(ds.probability_of_precip.max()) <= 1


def test_profiles_are_read_when_they_are_asked_for(tmp_path):
    def refuse(*args, **kwargs):
        raise AssertionError("something was computed")

    path = write_gprof(tmp_path / NAME)
    with dask.config.set(scheduler=refuse):
        lazy = xrain.open_reference(path, chunks={})
    assert lazy.latent_heating.chunks
    plain = xr.open_dataset(path, engine="gpm-l2")
    assert not plain.latent_heating.variable._in_memory
    np.testing.assert_array_equal(
        lazy.latent_heating[3:7, 5, 2:20:3], plain.latent_heating.values[3:7, 5, 2:20:3]
    )


def test_profiles_of_another_depth_are_left_out_with_a_warning(tmp_path):
    path = write_gprof(tmp_path / NAME)
    with h5py.File(path, "r+") as file:
        del file["S1/latentHeating"]
        item = file.create_dataset("S1/latentHeating", data=np.ones((SCANS, 90, 5), "f4"))
        item.attrs["DimensionNames"] = "nscan,npixel,nlyrs"
        del file["GprofDHeadr/hgtTopLayer"]
    with pytest.warns(UserWarning, match=r"latentHeating has shape \(12, 90, 5\).*left out"):
        ds = xrain.open_reference(path)
    assert "latent_heating" not in ds
    assert "layer_top" not in ds.variables
    assert ds.sizes["layer"] == LAYERS


@pytest.mark.parametrize(
    "name",
    [
        NAME,
        "2A.METOPB.MHS.GPROFNNv1.20260228-S233156-E233655.V08A.RT-NC",
        "2A-CLIM-PA.METOPB.MHS.GPROFNNv1.20260228-S233156-E011316.069788.V08A.nc",
        "rain of last night",
    ],
)
def test_satpy_reads_rain_of_version_8_whatever_its_name(tmp_path, name):
    path = write_gprof(tmp_path / name)
    scene = Scene([str(path)], reader="gpm_l2")
    scene.load(["surface_precip", "rain_water_content", "air_temperature_2m"])
    ds = xrain.open_reference(path)
    for field in ("surface_precip", "air_temperature_2m", "rain_water_content"):
        np.testing.assert_array_equal(scene[field], ds[field])
    assert scene["rain_water_content"].dims == ("y", "x", "layer")
    np.testing.assert_array_equal(scene["rain_water_content"].layer_top, TOPS)


def test_pieces_of_rain_are_joined_once_each(tmp_path):
    names = [f"2A.METOPB.MHS.GPROFNNv1.20260228-S23{m:02d}00-E23{m + 1:02d}59.V08A.RT-NC"
             for m in (0, 1)]  # fmt: skip
    paths = [write_gprof(tmp_path / n, m, "") for m, n in enumerate(names)]
    # pieces of 12 scans of 8/3 s, a minute apart: none is shared
    joined = xrain.open_reference(reversed(paths))
    assert joined.sizes["scan"] == 2 * SCANS
    assert (np.diff(joined.time.values) > np.timedelta64(0)).all()
    scene = Scene([str(p) for p in paths], reader="gpm_l2")
    scene.load(["surface_precip", "latent_heating"])
    np.testing.assert_array_equal(scene["surface_precip"], joined.surface_precip)
    np.testing.assert_array_equal(scene["latent_heating"], joined.latent_heating)


@pytest.mark.parametrize(
    ("sensor", "name"),
    [
        ("GMI", "1C.GPM.GMI.XCAL2016-C.20260617-S055200-E055658.V08A.RT-NC"),
        ("GMI", "1C-R.GPM.GMI.XCAL2016-C.20260617-S055200-E055658.V07A.RT-NC"),
        ("SSMIS", "1C.F17.SSMIS.XCAL2021-V.20260401-S120000-E134159.V08A.RT-NC"),
        ("MHS", "1C.METOPB.MHS.XCAL2016-V.20260228-S233156-E011316.069788.V08A.nc"),
        ("ATMS", "1C.NPP.ATMS.XCAL2019-V.20260228-S233156-E011316.069788.PAR702.HDF5"),
        ("ATMS", "1C.NPP.ATMS.XCAL2019-V.20260228-S233156-E011316.parv804.HDF5"),
        ("MHS", "granule of version 8"),
    ],
)
def test_temperatures_of_version_8_open_at_every_door(tmp_path, sensor, name):
    made = write_fake_l1c(tmp_path / "made.nc", sensor, scans=12, version="V08A")
    path = Path(shutil.move(made, tmp_path / name))
    ds = xrain.open_l1c(path)
    np.testing.assert_array_equal(ds.tb, xr.open_dataset(path, engine="gpm-l1c").tb)
    assert set(xr.open_datatree(path, engine="gpm-l1c")) >= {"S1"}
    if "." in name:
        found = find_files_and_readers(base_dir=str(tmp_path), reader="gpm_l1c")
        assert found["gpm_l1c"] == [str(path)]
    scene = Scene([str(path)], reader="gpm_l1c")
    scene.load([DataQuery(name="all_tb")])
    np.testing.assert_array_equal(scene["all_tb"], ds.tb)


def test_a_piece_that_holds_no_scan_is_told(tmp_path):
    path = write_fake_l1c(tmp_path / "a.nc", "MHS", scans=12)
    with h5py.File(path, "r+") as file:
        group = file["S1"]
        for name in ("Latitude", "Longitude", "Tc"):
            shape = (0, *group[name].shape[1:])
            del group[name]
            group.create_dataset(name, data=np.empty(shape, "f4"))
    with pytest.warns(UserWarning, match="what does not fit is left out"):
        empty = xrain.open_l1c(path)
    assert empty.sizes["scan"] == 0
    assert empty.rain.retrieve().surface_precip.shape == (0, 90)
    (tmp_path / "b.nc").touch()
    with pytest.raises(FileFormatError, match="empty"):
        xrain.open_l1c(tmp_path / "b.nc")
