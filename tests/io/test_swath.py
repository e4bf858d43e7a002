"""One lazy swath from the groups of a granule, whatever way the file is laid out."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from xrain.conventions import ATTRIBUTES
from xrain.errors import FileFormatError, InputError
from xrain.geo.sphere import unit_vectors
from xrain.io import l1c
from xrain.io.swath import open_group, open_swath
from xrain.sensors import get_sensor, list_sensors
from xrain.testing import write_fake_l1c


def rechunk(path: Path, scans: int | None) -> None:
    """Write every array of a granule anew in chunks of so many scans; None: the whole array."""

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(name)

    names: list[str] = []
    with h5py.File(path, "r+") as file:
        file.visititems(visit)
        for name in names:
            values, attrs = file[name][:], dict(file[name].attrs)
            del file[name]
            chunks = (min(scans or len(values), len(values)), *values.shape[1:])
            new = file.create_dataset(name, data=values, chunks=chunks, compression="gzip")
            new.attrs.update(attrs)


def drop(path: Path, *names: str) -> Path:
    with h5py.File(path, "r+") as file:
        for name in names:
            del file[name]
    return path


@pytest.fixture
def gmi(tmp_path):
    return write_fake_l1c(tmp_path / "gmi.HDF5", "GMI", scans=150, missing=0.05)


@pytest.fixture(scope="module")
def ssmi(tmp_path_factory):
    path = tmp_path_factory.mktemp("swath") / "ssmi.HDF5"
    return write_fake_l1c(path, "SSMI", scans=140, missing=0.03)


# ---- what is in a swath


@pytest.mark.parametrize("name", list_sensors())
def test_every_sensor_follows_the_data_model(name, tmp_path):
    sensor = get_sensor(name)
    group = sensor.swath(sensor.reference_swath)
    ds = open_swath(write_fake_l1c(tmp_path / "a.HDF5", sensor, scans=64))
    assert ds.tb.dims == ("scan", "pixel", "channel")
    assert ds.tb.shape == (64, group.pixels, len(sensor.channels))
    assert ds.channel.values.tolist() == [c.name for c in sensor.channels]
    assert ds.frequency.values == pytest.approx([c.frequency for c in sensor.channels])
    assert ds.polarization.values.tolist() == [c.polarization for c in sensor.channels]
    assert ds.quality.dims == ("scan", "pixel", "swath")
    assert ds.swath.values.tolist() == [s.name for s in sensor.swaths]
    assert ds.time.dtype == np.dtype("datetime64[ns]")
    for variable, dtype in {"tb": "f4", "latitude": "f4", "earth_incidence_angle": "f4",
                            "quality": "i1", "sun_glint_angle": "f4"}.items():  # fmt: skip
        assert ds[variable].dtype == dtype
        assert ds[variable].values.dtype == dtype
    for variable in ds.variables:
        assert ds[variable].attrs == ATTRIBUTES[variable]
    assert ds.attrs["sensor"] == name
    assert ds.attrs["reference_swath"] == sensor.reference_swath
    assert set(ds.attrs) >= {"platform", "granule", "orbit", "product_version", "AlgorithmID"}
    assert np.isfinite(ds.tb.sel(channel=sensor.swath_channels(group.name)[0].name)).all()


def test_channels_of_the_reference_are_the_files_own(gmi):
    ds = open_swath(gmi)
    with h5py.File(gmi) as file:
        raw = file["S1/Tc"][:]
    own = ds.tb.isel(channel=slice(0, 9)).values
    np.testing.assert_array_equal(own, np.where(raw < -9000, np.float32(np.nan), raw))
    assert np.isnan(own).any()


@pytest.mark.parametrize("name", list_sensors())
def test_channels_of_other_groups_come_from_the_nearest_pixel(name, tmp_path):
    sensor = get_sensor(name)
    path = write_fake_l1c(tmp_path / "a.HDF5", sensor, scans=40)
    ds = open_swath(path).load()
    for group in sensor.swaths:
        if group.name == sensor.reference_swath:
            continue
        own = open_group(path, group.name).load()
        tree = cKDTree(unit_vectors(own.latitude.values, own.longitude.values).reshape(-1, 3))
        here = unit_vectors(ds.latitude.values, ds.longitude.values)
        distance, nearest = tree.query(here, k=2)
        channel = sensor.swath_channels(group.name)[0].name
        got = ds.tb.sel(channel=channel).values
        clear = np.isfinite(got) & (distance[..., 0] < 0.9 * distance[..., 1])
        expected = own.tb.sel(channel=channel).values.flat[nearest[..., 0]]
        assert clear.mean() > 0.2
        assert (got[clear] == expected[clear]).mean() > 0.995
        lost = ~np.isfinite(got)
        lost[:10] = lost[30:] = False  # the ends of the granule
        assert lost[10:30].mean() < 0.25
        assert (distance[lost, 0] * 6371 > 4.0).all()


def test_amsr2_horns_have_names_of_their_own(tmp_path):
    ds = open_swath(write_fake_l1c(tmp_path / "a.HDF5", "AMSR2", scans=20))
    names = ds.channel.values.tolist()
    assert len(set(names)) == len(names)
    assert {"89.0V-A", "89.0V-B", "89.0H-A", "89.0H-B"} <= set(names)
    assert not np.array_equal(ds.tb.sel(channel="89.0V-A"), ds.tb.sel(channel="89.0V-B"))


def test_the_grid_can_be_another_group(gmi):
    ds = open_swath(gmi, swath="S2")
    with h5py.File(gmi) as file:
        lat, tc = file["S2/Latitude"][:], file["S2/Tc"][:]
    np.testing.assert_array_equal(ds.latitude, np.where(lat < -9000, np.nan, lat))
    np.testing.assert_array_equal(
        ds.tb.isel(channel=slice(9, 13)), np.where(tc < -9000, np.float32(np.nan), tc)
    )
    assert ds.attrs["reference_swath"] == "S2"
    with pytest.raises(FileFormatError, match="'S7' is missing; the file has S1, S2"):
        open_swath(gmi, swath="S7")


def test_gaussian_matching_keeps_what_is_constant_and_reduces_noise(tmp_path):
    path = write_fake_l1c(tmp_path / "a.HDF5", "GMI", scans=60)
    rng = np.random.default_rng(0)
    with h5py.File(path, "r+") as file:
        file["S2/Tc"][..., 0] = 250.0
        file["S2/Tc"][..., 1] = 250 + rng.normal(size=(60, 221))
    near, smooth = open_swath(path).tb, open_swath(path, coregistration="gaussian").tb
    found = np.isfinite(near.values[..., 9])
    np.testing.assert_array_equal(np.isfinite(smooth.values[..., 9]), found)
    assert smooth.values[found, 9] == pytest.approx(250.0, abs=1e-3)
    assert np.std(smooth.values[found, 10]) < 0.8 * np.std(near.values[found, 10])
    np.testing.assert_array_equal(smooth[..., :9], near[..., :9])
    with pytest.raises(InputError, match="'nearest' or 'gaussian'"):
        open_swath(path, coregistration="linear")


# ---- laziness


def test_opening_reads_only_scan_times(gmi, monkeypatch):
    read = []
    original = l1c.read_field
    monkeypatch.setattr(l1c, "read_field", lambda *a: (read.append(a[1:]), original(*a))[1])
    ds = open_swath(gmi)
    part = ds.isel(scan=slice(100, 120), pixel=slice(3, 9))
    assert read == []
    _ = part.tb.isel(channel=slice(0, 9)).values
    assert read == [("S1", "Tc", slice(100, 120))]
    _ = part.latitude.values
    assert read[1:] == [("S1", "Latitude", slice(100, 120))]


def test_a_swath_is_matched_once_for_all_that_is_read_of_it(gmi, monkeypatch):
    read = []
    original = l1c.read_field
    monkeypatch.setattr(l1c, "read_field", lambda *a: (read.append(a[1:3]), original(*a))[1])
    ds = open_swath(gmi)
    for name in ("tb", "earth_incidence_angle", "quality"):
        _ = ds[name].values
    assert read.count(("S2", "Latitude")) == 1


def test_a_swath_travels_between_processes(gmi):
    ds = open_swath(gmi)
    there = pickle.loads(pickle.dumps(ds))
    assert there.identical(ds)
    assert pickle.loads(pickle.dumps(ds.chunk({"scan": 32}))).identical(ds)


def test_closing_closes_the_file(gmi):
    ds = open_swath(gmi)
    ds.tb.isel(scan=0).load()
    ds.close()
    with h5py.File(gmi, "r+") as file:  # fails while somebody reads
        file.attrs["free"] = 1


def index_of(size: int) -> st.SearchStrategy:
    """Every kind of index; but slices with a negative step that pick nothing fail in xarray."""
    return st.one_of(
        st.integers(-size, size - 1),
        st.slices(size).filter(lambda s: len(range(size)[s]) > 0),
        st.just(slice(0, 0)),
        st.lists(st.integers(-size, size - 1), max_size=4).map(lambda x: np.array(x, int)),
    )


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(scan=index_of(20), pixel=index_of(20), channel=index_of(7))
def test_any_index_reads_what_it_says(ssmi, scan, pixel, channel):
    lazy = open_swath(ssmi).isel(scan=slice(60, 80), pixel=slice(50, 70))
    whole = WHOLE.setdefault(ssmi, open_swath(ssmi).load()).isel(
        scan=slice(60, 80), pixel=slice(50, 70)
    )
    at = {"scan": scan, "pixel": pixel, "channel": channel}
    for name in ("tb", "latitude", "earth_incidence_angle"):
        here = {d: at[d] for d in lazy[name].dims}
        np.testing.assert_array_equal(lazy[name].isel(here), whole[name].isel(here))


WHOLE: dict[Path, xr.Dataset] = {}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(
    rows=st.tuples(st.integers(0, 139), st.integers(1, 140))
    .map(sorted)
    .filter(lambda x: x[1] > x[0])
)
def test_cutting_a_granule_does_not_change_it(ssmi, rows):
    whole = WHOLE.setdefault(ssmi, open_swath(ssmi).load())
    part = open_swath(ssmi).isel(scan=slice(*rows)).load()
    assert part.identical(whole.isel(scan=slice(*rows)))


# ---- layouts


@pytest.mark.parametrize("scans", [None, 64, 1], ids=["whole", "64 scans", "one scan"])
def test_chunks_of_the_file_do_not_show(scans, gmi):
    before = open_swath(gmi).load()
    before.close()
    rechunk(gmi, scans)
    ds = open_swath(gmi)
    assert ds.load().identical(before)
    stored = scans or 150
    preferred = open_swath(gmi).tb.encoding["preferred_chunks"]["scan"]
    assert preferred % stored == 0 or preferred == 150


def test_dask_chunks_are_whole_chunks_of_the_file(tmp_path):
    path = write_fake_l1c(tmp_path / "a.HDF5", "MHS", scans=1300)
    rechunk(path, 200)
    ds = xr.open_dataset(path, engine="gpm-l1c", chunks={})
    for name in ("tb", "latitude", "quality", "earth_incidence_angle"):
        assert ds[name].chunks[0] == (600, 600, 100), name
        assert all(len(c) == 1 for c in ds[name].chunks[1:])


def test_netcdf4_twin_is_equal(tmp_path):
    one = open_swath(write_fake_l1c(tmp_path / "a.HDF5", "TMI", scans=30, missing=0.1))
    two = open_swath(write_fake_l1c(tmp_path / "a.nc", "TMI", scans=30, missing=0.1))
    one.attrs.clear()
    two.attrs.clear()
    assert one.load().identical(two.load())


# ---- what is missing


@pytest.mark.parametrize(
    ("field", "variable"),
    [
        ("sunGlintAngle", "sun_glint_angle"),
        ("sunLocalTime", "sun_local_time"),
        ("SCstatus", "spacecraft_altitude"),
        ("incidenceAngle", "earth_incidence_angle"),
        ("Quality", "quality"),
    ],
)
def test_a_field_that_the_file_lacks_is_absent(field, variable, gmi):
    before = open_swath(gmi).load()
    before.close()
    ds = open_swath(drop(gmi, f"S1/{field}", f"S2/{field}"))
    assert variable in before
    assert variable not in ds
    gone = [n for n in before.variables if n not in ds.variables]
    if field == "Quality":
        assert set(gone) == {"quality", "swath"}
    assert ds.load().identical(before.drop_vars(gone))


def test_quality_of_one_group_alone_is_kept(gmi):
    before = open_swath(gmi).quality.load()
    ds = open_swath(drop(gmi, "S2/Quality"))
    np.testing.assert_array_equal(ds.quality.isel(swath=0), before.isel(swath=0))
    assert (ds.quality.isel(swath=1) == -99).all()


def test_another_group_may_be_missing(gmi):
    before = open_swath(gmi).load()
    before.close()
    drop(gmi, "S2")
    with pytest.warns(UserWarning, match=r"swath group S2 is missing; its channels are left out"):
        ds = open_swath(gmi)
    assert ds.channel.values.tolist() == before.channel.values[:9].tolist()
    np.testing.assert_array_equal(ds.tb, before.tb[..., :9])
    assert ds.swath.values.tolist() == ["S1"]


def test_the_reference_group_may_not_be_missing(gmi):
    drop(gmi, "S1")
    with (
        pytest.warns(UserWarning, match="S1 is missing"),
        pytest.raises(FileFormatError, match=r"'S1' is missing; the file has S2.*swath="),
    ):
        open_swath(gmi)
    with pytest.warns(UserWarning, match="S1 is missing"):
        assert open_swath(gmi, swath="S2").sizes["channel"] == 4


@pytest.mark.parametrize("missing", ["tb", "all"])
@pytest.mark.parametrize("name", list_sensors())
def test_all_values_missing_is_a_valid_swath(name, missing, tmp_path):
    ds = open_swath(write_fake_l1c(tmp_path / "a.HDF5", name, scans=20, missing=missing)).load()
    assert np.isnan(ds.tb).all()
    assert (ds.quality == -99).all()
    assert np.isnan(ds.latitude).all() == (missing == "all")
    assert not np.isnat(ds.time).any()


def test_no_scan_at_all(gmi):
    for group in ("S1", "S2"):
        with h5py.File(gmi, "r+") as file:
            for key in list(file[group]):
                item = file[group][key]
                for name in (
                    [key] if isinstance(item, h5py.Dataset) else [f"{key}/{k}" for k in item]
                ):
                    values = file[group][name][:0]
                    del file[group][name]
                    file[group][name] = values
    ds = open_swath(gmi).load()
    assert ds.tb.shape == (0, 221, 13)


def test_a_damaged_chunk_is_told(gmi):
    with h5py.File(gmi, "r+") as file:
        file["S1/Tc"].id.write_direct_chunk((0, 0, 0), b"not deflated")
    with pytest.raises(FileFormatError, match=r"gmi\.HDF5: S1 cannot be read, the file is damaged"):
        open_swath(gmi).tb.load()


def test_a_file_that_goes_away_is_told(gmi):
    ds = open_swath(gmi)
    ds.close()
    gmi.unlink()
    with pytest.raises(FileFormatError, match=r"gmi\.HDF5: S1 cannot be read.*gone"):
        ds.tb.load()
