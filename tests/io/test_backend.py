"""Every door to a granule gives the same numbers, and they are those of the file."""

from __future__ import annotations

import subprocess
import sys

import dask
import h5py
import numpy as np
import pytest
import xarray as xr

import xrain
from xrain.errors import FileFormatError
from xrain.io.backend import L1CBackendEntrypoint
from xrain.sensors import get_sensor, list_sensors
from xrain.testing import write_fake_l1c


def raw(file: h5py.File, path: str) -> np.ndarray:
    """A field straight from the file, its fill values as NaN."""
    item = file[path]
    values = item[:].astype(np.float32)
    return np.where(values == np.float32(item.attrs["_FillValue"]), np.float32(np.nan), values)


def refuse(*args, **kwargs):
    raise AssertionError("something was computed")


def check_doors(path):
    """Compare all doors with the file, and with each other."""
    one = xr.open_dataset(path, engine="gpm-l1c")
    sensor = get_sensor(one.attrs["sensor"])
    tree = xr.open_datatree(path, engine="gpm-l1c")
    assert list(tree) == [s.name for s in sensor.swaths]
    with h5py.File(path) as file:
        for swath in sensor.swaths:
            group = tree[swath.name]
            tc = raw(file, f"{swath.name}/Tc")
            np.testing.assert_array_equal(group["tb"].values, tc, strict=True)
            for name, field in (("latitude", "Latitude"), ("longitude", "Longitude"),
                                ("sun_local_time", "sunLocalTime")):  # fmt: skip
                expected = raw(file, f"{swath.name}/{field}")
                np.testing.assert_array_equal(group[name].values, expected, strict=True)
            quality = file[f"{swath.name}/Quality"][:]
            np.testing.assert_array_equal(group["quality"].values[..., 0], quality, strict=True)
            glint = raw(file, f"{swath.name}/sunGlintAngle")[..., 0]
            np.testing.assert_array_equal(group["sun_glint_angle"].values, glint)
            names = [c.name for c in sensor.swath_channels(swath.name)]
            assert group["channel"].values.tolist() == names
            if swath.name == sensor.reference_swath:
                np.testing.assert_array_equal(one.tb.sel(channel=names).values, tc, strict=True)
                for name in ("latitude", "longitude", "time", "sun_local_time", "sun_glint_angle"):
                    np.testing.assert_array_equal(one[name].values, group[name].values)
    assert one.channel.values.tolist() == [c.name for c in sensor.channels]
    loaded = one.load()
    assert xrain.open_l1c(path).load().identical(loaded)
    chunked = xr.open_dataset(path, engine="gpm-l1c", chunks={})
    assert chunked.tb.chunks is not None
    assert chunked.load().identical(loaded)
    for ds in (one, tree, chunked):
        ds.close()
    return sensor, loaded


def test_every_granule_through_every_door(archive_granule):
    from satpy import Scene

    sensor, loaded = check_doors(archive_granule)
    scene = Scene(filenames=[str(archive_granule)], reader="gpm_l1c")
    names = [c.name for c in sensor.swath_channels(sensor.reference_swath)]
    scene.load(names)
    for name in names:
        np.testing.assert_array_equal(scene[name].values, loaded.tb.sel(channel=name).values)


@pytest.mark.parametrize("name", list_sensors())
def test_every_sensor_through_every_door(name, tmp_path):
    check_doors(write_fake_l1c(tmp_path, name, scans=30, missing=0.1))


def test_channels_of_granules_on_other_grids_are_pixels_of_theirs(archive_granule):
    ds = xr.open_dataset(archive_granule, engine="gpm-l1c").load()
    tree = xr.open_datatree(archive_granule, engine="gpm-l1c")
    for group in tree:
        own = tree[group]["tb"]
        for channel in own.channel.values:
            got = ds.tb.sel(channel=channel).values
            there = own.sel(channel=channel).values
            assert np.isin(got[np.isfinite(got)], there).all()


def test_incidence_of_tmi_follows_its_index(data_dir):
    paths = list((data_dir / "granules" / "V7").glob("1C.TRMM.TMI*"))
    if not paths:
        pytest.skip("the TMI granule is not there")
    ds = xr.open_datatree(paths[0], engine="gpm-l1c")["S1"].load()
    with h5py.File(paths[0]) as file:
        angles, index = file["S1/incidenceAngle"][:], file["S1/incidenceAngleIndex"][:]
    assert set(index.ravel()) == {1, 2}
    for i in range(2):
        expected = np.stack([a[:, k - 1] for a, k in zip(angles, index[:, i], strict=True)])
        np.testing.assert_array_equal(ds.earth_incidence_angle[..., i], expected)
    assert (ds.earth_incidence_angle[..., 0] != ds.earth_incidence_angle[..., 1]).any()


def test_opening_computes_nothing(tmp_path):
    path = write_fake_l1c(tmp_path, "GMI", scans=50)
    with dask.config.set(scheduler=refuse):
        ds = xr.open_dataset(path, engine="gpm-l1c", chunks={})
        tree = xr.open_datatree(path, engine="gpm-l1c", chunks={})
        part = ds.isel(scan=slice(3, 9)).tb - 1
    assert part.chunks
    assert tree["S2"]["tb"].chunks
    with dask.config.set(scheduler=refuse), pytest.raises(AssertionError, match="was computed"):
        part.compute()


def test_options_reach_the_reader(tmp_path):
    path = write_fake_l1c(tmp_path, "GMI", scans=30)
    ds = xr.open_dataset(path, engine="gpm-l1c", swath="S2", drop_variables=["quality", "nothing"])
    assert ds.attrs["reference_swath"] == "S2"
    assert "quality" not in ds
    tree = xr.open_datatree(path, engine="gpm-l1c", drop_variables="sun_glint_angle")
    assert "sun_glint_angle" not in tree["S1"]
    smooth = xr.open_dataset(path, engine="gpm-l1c", coregistration="gaussian")
    assert not smooth.tb[..., 9:].load().equals(ds.tb[..., 9:].load())


def test_one_group_of_a_tree(tmp_path):
    path = write_fake_l1c(tmp_path, "SSMI", scans=30)
    one = xr.open_groups(path, engine="gpm-l1c")
    assert set(one) == {"/", "/S1", "/S2"}
    assert one["/S1"].sizes["scan"] * 2 == one["/S2"].sizes["scan"]
    assert one["/"].attrs == {"sensor": "SSMI", "platform": "F08"}


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("1C.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.HDF5", True),
        ("/data/1C-R.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.nc4", True),
        ("1C.NPP.ATMS.XCAL2019-V.20111108-S200411-E214535.000162.V08A.nc", True),
        ("2A.GPM.GMI.GPROF2021v1.20140304-S175932-E193159.000079.V07A.HDF5", False),
        ("1C.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.HDF5.rain.nc.txt", False),
        ("something.nc", False),
        (b"\x89HDF\r\n", False),
        (42, False),
    ],
)
def test_what_it_takes_for_its_own(name, ours):
    assert L1CBackendEntrypoint().guess_can_open(name) is ours


def test_the_engine_is_registered():
    engine = xr.backends.list_engines()["gpm-l1c"]
    assert isinstance(engine, L1CBackendEntrypoint)
    assert engine.supports_groups


@pytest.mark.parametrize("engine", [xr.open_dataset, xr.open_datatree])
def test_bad_input_is_told_by_every_door(engine, tmp_path):
    bad = tmp_path / "bad.HDF5"
    bad.write_bytes(b"nonsense")
    with pytest.raises(FileFormatError, match=r"bad\.HDF5: the file is not an HDF5 file"):
        engine(bad, engine="gpm-l1c")


def test_the_engine_works_where_xrain_is_not_imported(tmp_path):
    path = write_fake_l1c(tmp_path, "MHS", scans=9)
    code = (
        "import sys, xarray as xr; "
        f"ds = xr.open_dataset({str(path)!r}, engine='gpm-l1c'); ds.load(); "
        "print(dict(ds.sizes)['scan'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["9", "False"]
