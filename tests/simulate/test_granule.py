"""Simulated granules open like real ones, with their truth beside them."""

import h5py
import numpy as np
import pytest
import xarray as xr
from scipy.spatial import cKDTree

from xrain.errors import InputError, OutputError
from xrain.io.hdf5 import open_file
from xrain.io.header import parse_pvl
from xrain.io.l1c import read_granule
from xrain.io.truth import radar_path, truth_path
from xrain.sensors import get_sensor, list_sensors
from xrain.simulate.fields import simulate_scene
from xrain.simulate.granule import simulate_granule
from xrain.simulate.parameters import default_parameters
from xrain.simulate.rain_maps import open_rain_map

GULF = (27.5, -89.0)
SEED = 2


@pytest.fixture(scope="module")
def gmi(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gmi")
    return simulate_granule(
        "gmi", folder / "gmi.HDF5", seed=SEED, scans=36, place=GULF, spacing=8.0, with_radar=True
    )


@pytest.fixture(scope="module")
def field():
    """A storm of known rain on a grid of 6 km, with a part that was not observed."""
    y, x = np.meshgrid(np.arange(-50, 50) * 6.0, np.arange(-60, 60) * 6.0, indexing="ij")
    rate = 12.0 * np.exp(-0.5 * (x**2 + y**2) / 60.0**2)
    rate[rate < 0.1] = 0.0
    rate[:, :20] = np.nan
    return xr.DataArray(
        rate.astype(np.float32), dims=("y", "x"), name="rain_rate",
        coords={"y": ("y", y[:, 0], {"units": "km"}), "x": ("x", x[0], {"units": "km"})},
        attrs={"units": "mm h-1", "projection": "+proj=aeqd +lat_0=15 +lon_0=-40 +units=km"},
    )  # fmt: skip


def test_the_reader_opens_it_like_a_real_one(gmi):
    swath = xr.open_dataset(gmi, engine="gpm-l1c")
    assert swath.sizes["scan"] == 36
    assert swath.sizes["channel"] == 13
    assert swath.attrs["platform"] == "GPM"
    assert float(swath.tb.min()) > 50
    assert float(swath.tb.max()) < 330
    assert float(swath.tb.isel(channel=slice(0, 9)).isnull().mean()) == 0
    assert float(swath.latitude[18, 110]) == pytest.approx(GULF[0], abs=0.2)
    assert float(swath.longitude[18, 110]) == pytest.approx(GULF[1], abs=0.2)
    truth = xr.open_dataset(truth_path(gmi))
    assert np.array_equal(truth.latitude, swath.latitude)
    assert np.array_equal(truth.time, swath.time)
    assert truth.surface_precip.dims == ("scan", "pixel")


@pytest.mark.parametrize("name", list_sensors())
def test_every_sensor_flies(name, tmp_path):
    path = simulate_granule(name, tmp_path / "g.HDF5", scans=4, place=(12.0, 100.0), spacing=10.0)
    swath = xr.open_dataset(path, engine="gpm-l1c")
    sensor = get_sensor(name)
    assert list(swath.channel.values) == [c.name for c in sensor.channels]
    assert swath.sizes["scan"] == 4
    tb = swath.tb.values
    assert 60 < np.nanmin(tb) < np.nanmax(tb) < 330
    assert xr.open_dataset(truth_path(path)).sizes["pixel"] == swath.sizes["pixel"]


def test_it_says_that_it_is_simulated(gmi):
    with h5py.File(gmi) as file:
        record = parse_pvl(file.attrs["SimulationRecord"].decode())
        assert b"ProcessingSystem=XRAIN-SIMULATION;" in file.attrs["FileHeader"]
    assert record["Simulated"] == "TRUE"
    assert record["Seed"] == str(SEED)
    assert xr.open_dataset(truth_path(gmi)).attrs["granule"] == gmi.name


def test_groups_look_at_their_own_angle(gmi):
    with open_file(gmi) as file:
        near = file["S2/Latitude"][18, 110] - file["S2/SCstatus/SClatitude"][18]
        far = file["S1/Latitude"][18, 110] - file["S1/SCstatus/SClatitude"][18]
        assert 0 < near < far
        assert file["S1/incidenceAngle"][:].mean() == pytest.approx(52.8, abs=0.4)
        assert file["S2/incidenceAngle"][:].mean() == pytest.approx(49.2, abs=0.4)


def test_the_coast_is_where_the_mask_has_it(gmi):
    swath = xr.open_dataset(gmi, engine="gpm-l1c")
    truth = xr.open_dataset(truth_path(gmi))
    dry = truth.surface_precip == 0
    low = swath.tb.sel(channel="10.65H")
    sea = float(low.where(dry & (truth.land_fraction == 0)).mean())
    land = float(low.where(dry & (truth.land_fraction == 1)).mean())
    assert sea < 110
    assert land > 220


def test_the_storm_is_seen_where_it_rains(gmi):
    swath = xr.open_dataset(gmi, engine="gpm-l1c")
    truth = xr.open_dataset(truth_path(gmi))
    sea = truth.land_fraction == 0
    rain = truth.surface_precip.where(sea)
    assert float(rain.max()) > 1
    tb = swath.tb.sel(channel="18.7H").where(sea)
    warm = np.corrcoef(
        np.log(rain.values[sea.values] + 0.1), tb.values[sea.values]
    )[0, 1]  # fmt: skip
    assert warm > 0.6


def test_noise_and_seed(gmi, tmp_path):
    where = {"scans": 4, "place": GULF, "spacing": 10.0}
    a = simulate_granule("gmi", tmp_path / "a.HDF5", seed=1, **where)
    b = simulate_granule("gmi", tmp_path / "b.nc", seed=1, **where)
    c = simulate_granule("gmi", tmp_path / "c.HDF5", seed=1, noise=False, **where)
    ta, tb, tc = (xr.open_dataset(p, engine="gpm-l1c").tb.values for p in (a, b, c))
    assert np.array_equal(ta, tb, equal_nan=True)
    nedt = np.array([x.nedt for x in get_sensor("gmi").channels])[:9]
    assert np.std((ta - tc)[..., :9], axis=(0, 1)) == pytest.approx(nedt, rel=0.15)


def test_the_radar_sees_the_same_rain_in_the_archive_layout(gmi, data_dir):
    (real,) = (data_dir / "granules" / "V7").glob("2A.GPM.DPR*")
    truth = xr.open_dataset(truth_path(gmi))
    with h5py.File(radar_path(gmi)) as ours, h5py.File(real) as theirs:
        names = []
        ours.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
        for name in names:
            mine, other = ours[name], theirs[name]
            assert mine.dtype == other.dtype, name
            assert mine.shape[2:] == other.shape[2:], name
            keys = set(mine.attrs)
            assert keys == set(other.attrs), name
            for key in keys - {"DimensionNames"}:
                assert mine.attrs[key] == other.attrs[key], (name, key)
            assert mine.attrs["DimensionNames"] == other.attrs["DimensionNames"], name
        assert list(ours["FS"].attrs) == list(theirs["FS"].attrs)
        header = parse_pvl(ours.attrs["FileHeader"].decode())
        assert (header["AlgorithmID"], header["InstrumentName"]) == ("2ADPR", "DPR")
        lat, lon = ours["FS/Latitude"][:], ours["FS/Longitude"][:]
        rate = ours["FS/SLV/precipRateNearSurface"][:]
        kind = ours["FS/CSF/typePrecip"][:]
        assert ((rate > 0) == (kind > 0)).all()
    assert rate.shape[1] == 49
    # Ground width of a scan of 34 degrees from 407 km.
    width = np.hypot(
        (lon[5, -1] - lon[5, 0]) * np.cos(np.radians(lat[5, 0])), lat[5, -1] - lat[5, 0]
    )
    assert width * 111.2 == pytest.approx(251, rel=0.04)
    seen = rate >= 0
    tree = cKDTree(np.column_stack([truth.latitude.values.ravel(), truth.longitude.values.ravel()]))
    gap, index = tree.query(np.column_stack([lat[seen], lon[seen]]))
    beside = gap < 0.025
    assert beside.sum() > 200
    true = truth.surface_precip_5km.values.ravel()[index[beside]]
    assert (true > 1).sum() > 10
    assert np.corrcoef(rate[seen][beside], true)[0, 1] > 0.9


def test_a_field_of_known_rain(field, tmp_path):
    path = simulate_granule(
        "tmi", tmp_path / "tmi.HDF5", rain=field, scans=40, spacing=8.0, surface="ocean",
        with_radar=True,
    )  # fmt: skip
    truth = xr.open_dataset(truth_path(path))
    seen = truth.observed_fraction
    assert float(seen.max()) > 0.99
    assert float(seen.min()) < 0.05
    best = truth.surface_precip.where(seen > 0.9)
    assert float(best.max()) == pytest.approx(12.0, rel=0.08)
    peak = best.argmax(...)
    at = {k: int(v) for k, v in peak.items()}
    assert float(truth.latitude[at]) == pytest.approx(15.0, abs=0.15)
    assert float(truth.longitude[at]) == pytest.approx(-40.0, abs=0.15)
    swath = xr.open_dataset(path, engine="gpm-l1c")
    assert swath.attrs["sensor"] == "TMI"
    warmest = swath.tb.sel(channel="10.65H").argmax(...)
    assert abs(int(warmest["scan"]) - at["scan"]) <= 3
    assert float(truth.land_fraction.max()) == pytest.approx(0, abs=1e-4)
    with h5py.File(radar_path(path)) as file:
        assert parse_pvl(file.attrs["FileHeader"].decode())["InstrumentName"] == "PR"
        assert file["FS/SLV/precipRateNearSurface"][:].max() == pytest.approx(12.0, rel=0.08)
        assert file["FS/PRE/localZenithAngle"].ndim == 2


def test_a_field_beyond_the_orbit_raises_the_inclination(field, tmp_path):
    north = field.assign_attrs(projection="+proj=aeqd +lat_0=55 +lon_0=10 +units=km")
    path = simulate_granule("tmi", tmp_path / "n.HDF5", rain=north, scans=6, spacing=10.0)
    truth = xr.open_dataset(truth_path(path))
    assert float(truth.latitude[3, 104]) == pytest.approx(55, abs=0.5)
    with h5py.File(path) as file:
        record = parse_pvl(file.attrs["SimulationRecord"].decode())
    assert float(record["OrbitInclination"]) == pytest.approx(60, abs=0.5)


def test_a_field_without_positions_needs_a_surface_or_a_place(field, tmp_path):
    bare = field.copy()
    del bare.attrs["projection"]
    with pytest.raises(InputError, match="no positions, so its surface is unknown"):
        simulate_granule("gmi", tmp_path / "x.HDF5", rain=bare)
    path = simulate_granule(
        "gmi", tmp_path / "x.HDF5", rain=bare, surface="land", scans=20, spacing=10.0
    )
    truth = xr.open_dataset(truth_path(path))
    assert float(truth.surface_precip.max()) > 8
    assert float(truth.land_fraction.min()) == pytest.approx(1, abs=1e-4)


def test_time_of_a_composite_is_that_of_the_granule(data_dir, tmp_path):
    path = simulate_granule(
        "mhs", tmp_path / "mhs.HDF5", scans=10, spacing=10.0, time="2018-08-24T19:00",
        rain=data_dir / "radar" / "opera_europe_20180824.nc",
    )  # fmt: skip
    granule = read_granule(path)
    swath = xr.open_dataset(path, engine="gpm-l1c")
    middle = swath.time.values[5]
    assert abs(middle - np.datetime64("2018-08-24T19:00")) < np.timedelta64(5, "s")
    assert granule.sensor.name == "MHS"
    truth = xr.open_dataset(truth_path(path))
    assert 0.02 < float((truth.surface_precip > 0.1).mean()) < 0.8


def test_bad_arguments_are_told(field, tmp_path):
    out = tmp_path / "x.HDF5"
    with pytest.raises(InputError, match="surface='moon': use 'ocean' or 'land'"):
        simulate_granule("gmi", out, surface="moon")
    with pytest.raises(InputError, match="MHS never flew beside a radar"):
        simulate_granule("mhs", out, with_radar=True)
    with pytest.raises(InputError, match="at least 2 are needed"):
        simulate_granule("gmi", out, scans=1)
    with pytest.raises(InputError, match="never looks at latitude 50"):
        simulate_granule("saphir", out, place=(50.0, 0.0))
    with pytest.raises(InputError, match="rain_rate must lie within"):
        simulate_granule("gmi", out, rain=-field)
    with pytest.raises(InputError, match="misses the rain field"):
        simulate_granule("gmi", out, rain=field, place=(15.0, 140.0), scans=4, spacing=10.0)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        simulate_granule("gmi", tmp_path / "file" / "x.HDF5", scans=2, place=GULF, spacing=10.0)


def test_fields_on_their_own_grid(field):
    small = field.isel(y=slice(30, 60), x=slice(40, 70))
    got = simulate_scene(small, None, "gmi", surface="ocean", spacing=6.0)
    assert got.tb.dims == ("y", "x", "channel")
    assert got.tb.shape == (30, 30, 13)
    assert np.array_equal(got.rain_rate, small.values)
    warm = got.tb.sel(channel="10.65H").where(got.rain_rate > 8).mean()
    assert float(warm) > float(got.tb.sel(channel="10.65H").where(got.rain_rate < 3).mean()) + 10
    still = xr.Dataset({"t2m": 280.0, "wind_speed": 5.0})
    cold = simulate_scene(small, still, "gmi", surface="ocean", spacing=6.0)
    assert (cold.t2m == 280).all()
    assert float(cold.freezing_level.max()) < 1.5
    with pytest.raises(InputError, match="unknown variable of the environment: colour"):
        simulate_scene(small, xr.Dataset({"colour": 1.0}), "gmi", spacing=6.0)
    with pytest.raises(InputError, match=r"t2m must lie within 180–340 K"):
        simulate_scene(small, xr.Dataset({"t2m": 400.0}), "gmi", spacing=6.0)


def test_other_physics_changes_the_view_and_not_the_truth(tmp_path):
    more_ice = default_parameters().replace(particles__ice_content=3.0)
    facts = {"scans": 12, "place": GULF, "spacing": 10.0, "seed": SEED}
    usual = simulate_granule("mhs", tmp_path / "a.HDF5", **facts)
    foreign = simulate_granule("mhs", tmp_path / "b.HDF5", **facts, parameters=more_ice)
    before, after = (xr.open_dataset(p, engine="gpm-l1c") for p in (usual, foreign))
    rain, same = (xr.open_dataset(truth_path(p)).surface_precip for p in (usual, foreign))
    assert np.array_equal(rain, same, equal_nan=True)
    raining = (rain > 1).values
    colder = (before.tb - after.tb).isel(channel=0).values  # 89 GHz
    assert colder[raining].mean() > 1
    # some dry pixels have ice aloft, near rain; the others are as they were
    dry = colder[~raining & (rain < 0.01).values]
    assert abs(np.median(dry)) < 0.1
    assert dry.mean() < 0.5 * colder[raining].mean()
    assert read_granule(usual).header["simulated"].endswith("Physics fitted")
    assert read_granule(foreign).header["simulated"].endswith("Physics particles__ice_content=3")


def test_two_radiometers_see_one_storm(field, tmp_path):
    storm, start = open_rain_map(field), np.datetime64("2020-03-01T10:00", "ns")
    facts = {"rain": storm, "scans": 24, "place": (15.0, -40.0), "spacing": 8.0, "seed": SEED}
    facts["surface"] = "ocean"
    first = simulate_granule("gmi", tmp_path / "a.HDF5", **facts, start=start)
    later = start + np.timedelta64(10, "m")
    second = simulate_granule("ssmis", tmp_path / "b.HDF5", **facts, start=later)
    there, here = (xr.open_dataset(truth_path(p)) for p in (first, second))
    wet = [float(t.surface_precip.where(t.observed_fraction > 0.9).max()) for t in (there, here)]
    assert wet[0] == pytest.approx(12.0, rel=0.05)
    assert wet[1] == pytest.approx(12.0, rel=0.15)  # a wider footprint
    gap = here.time.mean() - there.time.mean()
    assert abs(gap - np.timedelta64(10, "m")) < np.timedelta64(30, "s")
    line = ((first, "23.8V"), (second, "22.235V"))
    seen = [xr.open_dataset(p, engine="gpm-l1c").tb.sel(channel=c) for p, c in line]
    vapour = [float(tb.median()) for tb in seen]
    assert abs(vapour[0] - vapour[1]) < 12
