"""Orbits and scans against what is known of real ones."""

import numpy as np
import pytest

from xrain.errors import InputError
from xrain.io.hdf5 import open_file, text
from xrain.io.header import parse_pvl
from xrain.io.l1c import read_granule
from xrain.sensors import get_sensor
from xrain.simulate.instrument import cross_track_incidence, ground_distance, slant_angles
from xrain.simulate.orbit import (
    inclination_of,
    local_solar_time,
    orbit_over,
    scan_geometry,
    southernmost_orbit,
)
from xrain.simulate.track import swath_plane, to_earth, to_track

START = np.datetime64("2020-03-20T12:00", "ns")


def _km(lat1, lon1, lat2, lon2):
    a, b, c, d = map(np.radians, (lat1, lon1, lat2, lon2))
    h = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    return 2 * 6371 * np.arcsin(np.sqrt(h))


def test_periods_and_inclinations():
    assert southernmost_orbit(get_sensor("gmi"), "GPM", START).period == pytest.approx(
        92.6 * 60, 5e-3
    )
    assert southernmost_orbit(get_sensor("atms"), "NPP", START).period == pytest.approx(
        101.4 * 60, 5e-3
    )
    assert inclination_of("TRMM", 350) == 35
    assert inclination_of("NPP", 824) == pytest.approx(98.7, abs=0.1)
    assert inclination_of("METOPA", 817) == pytest.approx(98.7, abs=0.1)


def test_orbits_have_as_many_scans_as_real_ones(l1c_granule):
    granule = read_granule(l1c_granule)
    orbit = southernmost_orbit(granule.sensor, granule.platform, START)
    with open_file(l1c_granule) as file:
        for name in granule.groups:
            header = parse_pvl(text(file[name].attrs[f"{name}_SwathHeader"]))
            scans = orbit.period / granule.sensor.swath(name).scan_period
            assert scans == pytest.approx(int(header["NumberScansGranule"]), rel=0.02)


def test_a_whole_orbit_reaches_its_inclination():
    sensor = get_sensor("gmi")
    group = sensor.swath("S1")
    orbit = southernmost_orbit(sensor, "GPM", START, longitude=-100.0)
    geometry = scan_geometry(sensor, group, orbit, round(orbit.period / group.scan_period))
    assert geometry.spacecraft_latitude[0] == pytest.approx(-65.1, abs=0.2)
    assert geometry.spacecraft_longitude[0] == pytest.approx(-100.0, abs=0.1)
    assert geometry.spacecraft_latitude.max() == pytest.approx(65.1, abs=0.2)
    # The earth turns by 23 degrees under one orbit.
    shift = geometry.spacecraft_longitude[0] - geometry.spacecraft_longitude[-1]
    assert shift % 360 == pytest.approx(23.2, abs=0.4)
    assert np.abs(geometry.incidence_angle - 52.8).max() < 0.4
    assert np.abs(geometry.latitude).max() == pytest.approx(69.5, abs=0.6)


@pytest.mark.parametrize("name", ["gmi", "tmi", "amsr2", "ssmis", "mhs", "saphir"])
@pytest.mark.parametrize("ascending", [True, False])
def test_the_middle_of_the_swath_goes_over_the_place(name, ascending):
    sensor = get_sensor(name)
    platform = next(iter(sensor.platforms))
    group = sensor.swath(sensor.reference_swath)
    orbit = orbit_over(sensor, platform, START, 41, 12.0, 170.0, ascending=ascending)
    geometry = scan_geometry(sensor, group, orbit, 41)
    middle = slice(group.pixels // 2 - 1, group.pixels // 2 + 1)
    at = geometry.latitude[20, middle].mean(), geometry.longitude[20, middle].mean()
    assert _km(*at, 12.0, 170.0) < 20
    assert (np.diff(geometry.spacecraft_latitude)[20] > 0) == ascending


def test_places_out_of_reach_are_told():
    with pytest.raises(InputError, match=r"TMI on TRMM .* never looks at latitude 60"):
        orbit_over(get_sensor("tmi"), "TRMM", START, 10, 60.0, 0.0)


def test_scans_of_conical_and_cross_track_instruments():
    gmi, mhs = get_sensor("gmi"), get_sensor("mhs")
    orbit = southernmost_orbit(gmi, "GPM", START)
    cone = scan_geometry(gmi, gmi.swath("S1"), orbit, 5)
    reach = _km(
        cone.spacecraft_latitude[2],
        cone.spacecraft_longitude[2],
        cone.latitude[2],
        cone.longitude[2],
    )
    assert reach == pytest.approx(ground_distance(52.8, 407.0), rel=0.03)
    orbit = southernmost_orbit(mhs, "METOPA", START)
    line = scan_geometry(mhs, mhs.swath("S1"), orbit, 5)
    angle, _ = slant_angles(line.scan_angle, mhs.altitude)
    assert np.abs(line.incidence_angle - angle).max() < 0.5
    edges = _km(
        line.latitude[2, 0], line.longitude[2, 0], line.latitude[2, -1], line.longitude[2, -1]
    )
    assert edges == pytest.approx(2180, rel=0.05)  # EUMETSAT: swath of MHS


def test_incidence_from_distance_inverts_the_slant():
    scan = np.linspace(-50, 50, 11)
    angle, distance = slant_angles(scan, 824.0)
    assert cross_track_incidence(distance, 824.0) == pytest.approx(angle, abs=1e-6)


def test_the_sun_stands_overhead_at_noon_of_the_equinox():
    sensor = get_sensor("mhs")
    group = sensor.swath("S1")
    orbit = orbit_over(sensor, "METOPA", START, 3, 0.0, 1.8)
    geometry = scan_geometry(sensor, group, orbit, 3)
    nadir = slice(44, 46)
    assert geometry.sun_glint_angle[1, nadir].max() < 4
    hours = local_solar_time(geometry.time, geometry.longitude)
    assert hours[1, nadir].mean() == pytest.approx(12.0, abs=0.05)
    night = orbit_over(sensor, "METOPA", START, 3, 0.0, -170.0)
    assert (scan_geometry(sensor, group, night, 3).sun_glint_angle == -88).all()


@pytest.mark.parametrize("name", ["gmi", "atms"])
def test_the_plane_of_the_track_keeps_positions_and_distances(name):
    sensor = get_sensor(name)
    platform = next(iter(sensor.platforms))
    group = sensor.swath(sensor.reference_swath)
    orbit = southernmost_orbit(sensor, platform, START)
    geometry = scan_geometry(sensor, group, orbit, 1200)
    plane = swath_plane(sensor, orbit, geometry)
    lat, lon = to_earth(orbit, plane.x, plane.y)
    assert _km(lat, lon, geometry.latitude, geometry.longitude).max() < 0.01
    x, y = to_track(orbit, lat[700], lon[700], plane.y[700])
    assert x == pytest.approx(plane.x[700], abs=1e-3)
    assert y == pytest.approx(plane.y[700], abs=1e-3)
    step = _km(lat[:, 1:], lon[:, 1:], lat[:, :-1], lon[:, :-1])
    flat = np.hypot(np.diff(plane.x, axis=1), np.diff(plane.y, axis=1))
    assert np.abs(flat / step - 1).max() < 0.08
