"""The public fakes look like the instruments that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xrain.errors import InputError
from xrain.io.hdf5 import open_file
from xrain.io.l1c import decode, read_granule
from xrain.io.scan_time import read_time
from xrain.sensors import get_sensor, list_sensors
from xrain.testing import fake_swath, write_fake_l1c


def _read(file, group, field):
    return decode(file[f"{group}/{field}"][:], field)


def _km(lat1, lon1, lat2, lon2):
    lat1, lon1, lat2, lon2 = map(np.radians, (lat1, lon1, lat2, lon2))
    h = (
        np.sin((lat2 - lat1) / 2) ** 2
        + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * 6371 * np.arcsin(np.sqrt(h))


@pytest.mark.parametrize("name", list_sensors())
def test_every_sensor_has_a_plausible_fake(name, tmp_path):
    sensor = get_sensor(name)
    granule = read_granule(write_fake_l1c(tmp_path / "fake.HDF5", name, scans=20, seed=3))
    assert granule.sensor is sensor
    with open_file(granule.path) as file:
        for group in sensor.swaths:
            layout = granule.groups[group.name]
            assert layout.pixels == group.pixels
            reference = sensor.swath(sensor.reference_swath)
            assert layout.scans == round(20 * reference.scan_period / group.scan_period)
            tb = _read(file, group.name, "Tc")
            assert 60 < tb.min() < tb.max() < 320
            assert tb.std(axis=(0, 1)).max() > 1
            angle = _read(file, group.name, "incidenceAngle")
            nominal = sensor.swath_channels(group.name)[0].incidence_angle
            if sensor.scan_type == "conical":
                assert np.abs(angle[..., 0] - nominal).max() < 1.0
            else:
                middle = angle[:, group.pixels // 2 - 1 : group.pixels // 2 + 1]
                assert middle.max() < 2.0
                assert angle.max() > sensor.scan_angle
            gaps = np.diff(read_time(file, group.name, slice(0, layout.scans))) / np.timedelta64(
                1, "s"
            )
            assert gaps == pytest.approx(group.scan_period, abs=2e-3)


@pytest.mark.parametrize("name", list_sensors())
def test_groups_see_the_same_ground(name, tmp_path):
    sensor = get_sensor(name)
    path = write_fake_l1c(tmp_path / "fake.HDF5", sensor, scans=80)
    with open_file(path) as file:
        lat, lon = (
            {s.name: _read(file, s.name, k) for s in sensor.swaths}
            for k in ("Latitude", "Longitude")
        )
    reference = sensor.reference_swath
    middle = (40, lat[reference].shape[1] // 2)
    for group in sensor.swaths:
        distance = _km(
            lat[reference][middle], lon[reference][middle], lat[group.name], lon[group.name]
        )
        assert distance.min() < 12.0, group.name


def test_geometry_is_that_of_the_real_imager(data_dir, tmp_path):
    real = next(iter((data_dir / "granules" / "V7").glob("1C.GPM.GMI*")))
    with open_file(real) as file:
        start = np.datetime64("2014-03-04T17:59:32.154")
        fake = write_fake_l1c(
            tmp_path / "fake.HDF5", "gmi", scans=10, start=start,
            longitude=float(file["S1/SCstatus/SClongitude"][0]),
        )  # fmt: skip
        with open_file(fake) as ours:
            for group in ("S1", "S2"):
                assert ours[group]["SCstatus/SClatitude"][0] == pytest.approx(
                    file[group]["SCstatus/SClatitude"][0], abs=0.1
                )
                for field, tolerance in (
                    ("Latitude", 0.3), ("Longitude", 0.8), ("incidenceAngle", 0.3),
                    ("sunLocalTime", 0.06), ("sunGlintAngle", 3),
                ):  # fmt: skip
                    got = ours[group][field][:10, :10].astype(float)
                    want = file[group][field][:10, :10].astype(float)
                    assert np.abs(got - want).max() < tolerance, (group, field)


def test_missing_scans_pixels_and_whole_granules(tmp_path):
    some = write_fake_l1c(tmp_path / "a.HDF5", "gmi", scans=200, missing=0.3)
    none = write_fake_l1c(tmp_path / "b.HDF5", "gmi", scans=10, missing="tb")
    gone = write_fake_l1c(tmp_path / "c.HDF5", "gmi", scans=10, missing="all")
    with open_file(some) as file:
        tb = _read(file, "S1", "Tc")
        lost = np.isnan(tb).any(axis=(1, 2))
        assert 0.15 < lost.mean() < 0.45
        assert np.isnan(tb[lost]).all()
        assert (file["S1/Quality"][:][lost] == -99).all()
    with open_file(none) as file:
        assert np.isnan(_read(file, "S1", "Tc")).all()
        assert np.isfinite(_read(file, "S1", "Latitude")).all()
    with open_file(gone) as file:
        assert np.isnan(_read(file, "S2", "Latitude")).all()
    with pytest.raises(InputError, match=r"missing=1\.5: give a share"):
        write_fake_l1c(tmp_path / "d.HDF5", "gmi", missing=1.5)


def test_the_seed_decides(tmp_path):
    values = []
    for i, seed in enumerate((4, 4, 5)):
        with open_file(write_fake_l1c(tmp_path / f"{i}.HDF5", "gmi", seed=seed)) as file:
            values.append(_read(file, "S1", "Tc"))
    assert np.array_equal(values[0], values[1])
    assert np.abs(values[0] - values[2]).mean() > 1


@pytest.mark.parametrize("name", list_sensors())
def test_swath_in_memory_follows_the_data_model(name):
    sensor = get_sensor(name)
    swath = fake_swath(name, scans=6, pixels=11)
    assert swath.tb.dims == ("scan", "pixel", "channel")
    assert swath.tb.shape == (6, 11, len(sensor.channels))
    assert swath.tb.dtype == np.float32
    assert swath.tb.attrs["units"] == "K"
    assert swath.channel.values.tolist() == [c.name for c in sensor.channels]
    assert swath.latitude.dtype == np.float32
    assert swath.time.dtype == np.dtype("datetime64[ns]")
    angle = swath.earth_incidence_angle.isel(pixel=5).mean("scan")
    assert np.abs(angle - [c.incidence_angle for c in sensor.channels]).max() < 1.5
    assert set(swath.attrs) >= {"sensor", "platform", "granule", "orbit"}


def test_swath_in_memory_is_laid_out_as_the_reader_does(tmp_path):
    read = xr.open_dataset(write_fake_l1c(tmp_path / "f.HDF5", "gmi", scans=4), engine="gpm-l1c")
    made = fake_swath("gmi", scans=4)
    assert set(made.coords) == set(read.coords) - {"swath"}
    assert set(made.data_vars) <= set(read.data_vars)
    for name in made.variables:
        assert made[name].dims == read[name].isel(swath=0, missing_dims="ignore").dims, name
        assert made[name].dtype == read[name].dtype, name
    assert made.latitude.values == pytest.approx(read.latitude.values, abs=1e-3)


def test_too_many_pixels_are_told():
    with pytest.raises(InputError, match="GMI has 1 to 221 pixels"):
        fake_swath("gmi", pixels=300)
