"""Columns of a radar along transects: reading, slant paths, footprints, and the comparison."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from xrain.cli import app
from xrain.errors import FileFormatError, InputError
from xrain.sensors import get_sensor
from xrain.simulate.column_forward import ring_weights, simulate_columns, slant_profiles
from xrain.simulate.parameters import default_parameters
from xrain.simulate.particles import hidden_ice, ice_particles, rain_particles
from xrain.simulate.radar_columns import DEPTH, has_columns, read_columns
from xrain.simulate.validate_columns import validate_columns

GMI = get_sensor("gmi").channels
NAMES = [c.name for c in GMI]
COUNT = 24
SURFACE_BIN = 86
FREEZING_BIN = 70  # 4 km above the surface


def transects() -> xr.Dataset:
    """24 columns in a row over sea, then land: rain below 4 km, and ice to 9 km in every third."""
    bins = np.arange(88)
    height = (SURFACE_BIN - bins) * 0.25
    tall = np.arange(COUNT) % 3 == 0
    top = np.where(tall, 9.0, 5.0)[:, None]
    water = np.where((height > 0) & (height < top), 0.4, 0.0)
    water[:, 84:] = np.nan  # clutter
    diameter = np.where(water > 0, 1.2, np.nan)
    nodes = np.linspace(15, 87, 10).astype("i2")
    km = (SURFACE_BIN - nodes) * 0.25
    temperature = 273.15 - 6.0 * (km - 4.0)

    def repeat(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.asarray(values)[None], COUNT, 0)

    phase = [70 - 16, FREEZING_BIN, FREEZING_BIN + 1, FREEZING_BIN + 2, 83]
    sea = np.array([0.6, 0.35, 0.62, 0.36, 0.65, 0.7, 0.45, 0.75, 0.6, 0.8, 0.7, 0.8, 0.8])
    emissivity = repeat(sea)
    emissivity[COUNT // 2 :] = 0.93
    data = {
        "tb": (("scan", "channel"), np.full((COUNT, 13), 250.0)),
        "overpass": ("scan", np.where(np.arange(COUNT) < 12, 1, 2).astype("i2")),
        "scan_number": ("scan", np.arange(COUNT).astype("i2")),
        "surface_precip": ("scan", np.linspace(0.5, 12, COUNT).astype("f4")),
        "surface_type": ("scan", np.where(np.arange(COUNT) < 12, 0, 101).astype("i2")),
        "column_scan": ("column", np.arange(COUNT, dtype="i4")),
        "precip_type": ("column", (np.arange(COUNT) % 2 + 1).astype("i1")),
        "water_content": (("column", "bin"), water.astype("f4")),
        "mass_diameter": (("column", "bin"), diameter),
        "cloud_water": (("column", "bin"), 0.1 * np.nan_to_num(water).astype("f4")),
        "surface_bin": ("column", np.full(COUNT, SURFACE_BIN, "i2")),
        "phase_bins": (("column", "phase_node"), repeat(phase).astype("i2")),
        "environment_bins": (("column", "node"), repeat(nodes)),
        "air_temperature": (("column", "node"), repeat(np.maximum(temperature, 205.0))),
        "pressure": (("column", "node"), repeat(1013.0 * np.exp(-km / 8.0))),
        "water_vapor_density": (("column", "node"), repeat(15.0 * np.exp(-km.clip(0) / 2.0))),
        "skin_temperature": ("column", np.full(COUNT, 298.0)),
        "emissivity": (("column", "channel"), emissivity),
        "simulated_tb": (("column", "channel"), np.full((COUNT, 13), 252.0)),
        "spacecraft_yaw": ("column", np.zeros(COUNT, "i2")),
    }
    return xr.Dataset(data, coords={"channel": NAMES})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file whose brightness temperatures the simulator itself made of its columns."""
    target = tmp_path_factory.mktemp("transects") / "columns.nc"
    data = transects()
    data.to_netcdf(target, engine="h5netcdf")
    data["tb"].values[:] = simulate_columns(read_columns(target), GMI)
    target.unlink()
    data.to_netcdf(target, engine="h5netcdf")
    return target


def test_profiles_rise_from_the_surface(path):
    columns = read_columns(path)
    assert len(columns) == COUNT
    middle = DEPTH * (np.arange(columns.water.shape[0]) + 0.5)
    # clutter takes the value above it, the column ends at its top
    np.testing.assert_allclose(columns.water[middle < 4.5, 1], 0.4)
    assert (columns.water[middle > 5.5, 1] == 0).all()
    np.testing.assert_allclose(columns.water[(middle > 5.5) & (middle < 8.5), 0], 0.4)
    np.testing.assert_allclose(columns.freezing_level, 4.0, atol=0.05)
    assert (columns.liquid[middle < 3, 0] == 1).all()
    assert (columns.liquid[middle > 4.5, 0] == 0).all()
    assert columns.ocean.tolist() == [True] * 12 + [False] * 12


def test_the_path_leans_over_the_columns_behind_one_that_looks_ahead(path):
    columns = read_columns(path)
    scans = 7.25 * np.tan(np.deg2rad(52.8)) / 5.1  # of the layer at 7.25 km
    slant = slant_profiles(columns, 52.8)["water"][14]
    before = 1.0 * columns.water[14]
    first = int(scans)
    for n in range(first + 1, 12):  # within the first overpass
        share = scans - first
        expected = (1 - share) * before[n - first] + share * before[n - first - 1]
        assert slant[n] == pytest.approx(expected, rel=1e-4)
    assert slant[0] == 0  # nothing before the first scan: no wrap from elsewhere
    other = slant_profiles(dataclasses.replace(columns, forward=~columns.forward), 52.8)["water"]
    assert other[14, 11] == 0
    assert other[14, 0] == pytest.approx((1 - share) * before[first] + share * before[first + 1])


def test_footprints_are_whole_and_widest_at_10_ghz():
    weights = ring_weights(GMI)
    np.testing.assert_allclose(weights.sum(0), 1.0, rtol=1e-5)
    assert weights[0, 0] < 0.2 < 0.4 < weights[0, 12]
    assert (np.diff(weights[0]) >= -1e-6).all()


def test_ice_aloft_cools_and_rain_over_sea_warms(path):
    columns = read_columns(path)
    nothing = simulate_columns(dataclasses.replace(columns, water=0 * columns.water), GMI)
    rain = simulate_columns(columns, GMI)
    assert (rain[:12, 1] > nothing[:12, 1] + 3).all()
    twice = default_parameters().replace(particles__ice_content=3.0, particles__snow_density=0.3)
    assert rain[:, 9].mean() > simulate_columns(columns, GMI, twice)[:, 9].mean() + 3


def test_own_columns_are_recognised(path):
    found = validate_columns(read_columns(path), draws=1)
    assert list(found.statistics) == [
        "column_ocean",
        "column_land",
        "generated_ocean",
        "generated_land",
    ]
    for s in found.statistics["column_ocean"].values():
        assert s["n"] == 12
        assert s["bias"] == pytest.approx(0, abs=1e-3)
        assert s["std"] == pytest.approx(0, abs=1e-3)
        assert set(s["types"]) == {"stratiform", "convective"}


def test_cli_prints_tables_and_json(path):
    run = CliRunner().invoke
    done = run(app, ["validate-simulator", str(path), "--json", "--draws", "1"])
    assert done.exit_code == 0, done.stderr
    values = json.loads(done.stdout)
    assert set(values) == {"column_ocean", "column_land", "generated_ocean", "generated_land"}
    for channels in values.values():
        assert list(channels) == NAMES
        for s in channels.values():
            assert {"n", "bias", "std", "correlation", "corra_bias", "corra_std"} <= set(s)
            assert len(s["quantiles_observed"]) == len(s["quantiles_simulated"]) == 5
    shown = run(app, ["validate-simulator", str(path), "--draws", "1"], env={"COLUMNS": "200"})
    assert "column ocean, 12 pixels" in shown.stdout
    assert "column ocean, stratiform, 6 pixels" in shown.stdout
    assert "corra std" in shown.stdout


def test_bad_files_are_told(path, tmp_path):
    assert has_columns(path)
    assert not has_columns(tmp_path / "absent.nc")
    with pytest.raises(FileFormatError, match=r"absent\.nc"):
        read_columns(tmp_path / "absent.nc")
    transects().drop_vars("phase_bins").to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="phase_bins"):
        read_columns(tmp_path / "a.nc")
    data = transects()
    data["tb"].values[:, 3] = np.nan
    data.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="no column has every"):
        read_columns(tmp_path / "b.nc")
    data = transects().assign_coords(channel=[f"{n}?" for n in NAMES])
    data.to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="no instrument has the channels"):
        validate_columns(read_columns(tmp_path / "c.nc"), draws=1)


def test_particles_follow_their_parameters():
    p = default_parameters().replace(
        particles__rain_content=2.0,
        particles__melting_content=3.0,
        particles__ice_content=0.5,
        particles__ice_content_convective=2.0,
        particles__snow_density=0.2,
        particles__graupel_density=0.4,
        particles__hidden_content=0.2,
        particles__hidden_exponent=0.5,
    )
    content = torch.tensor([[1.0, 1.0], [0.25, 0.0]])
    kelvin = torch.tensor([[270.0, 270.0], [250.0, 250.0]])
    melting = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    drops = rain_particles(content, content, kelvin, melting, p)
    assert drops.content[0].tolist() == pytest.approx([2.0, 6.0])
    snow = ice_particles(content, content, kelvin, torch.tensor([0.0, 1.0]), p)
    assert snow.content[0].tolist() == pytest.approx([0.5, 2.0])
    assert snow.density[0, 0] < snow.density[0, 1]
    height = torch.tensor([[1.0], [9.0]])
    small = hidden_ice(content[:, :1] * 0.25, height, kelvin[:, :1], p)
    assert 0 < float(small[1, 0]) < float(small[0, 0]) <= 0.2 * 0.25**0.5 + 1e-6
    assert float(hidden_ice(content, height, kelvin + 10, p)[0].max()) == 0
