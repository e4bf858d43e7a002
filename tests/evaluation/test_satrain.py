"""Files in SatRain's format, written here, and a retrieval called as its evaluator calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import xrain
from xrain.errors import FileFormatError, InputError
from xrain.evaluation.matchups import score_matchups
from xrain.evaluation.satrain import (
    CHANNELS,
    LEVELS,
    SatRainRetrieval,
    _exceedance,
    open_satrain,
    satrain_matchups,
)
from xrain.io.matchups import open_matchups
from xrain.testing import fake_swath, tiny_model, tiny_rate

SHAPE = (40, 32)
STAMP = "20200701120000"
GEOMETRIES = {"on_swath": ("scan", "pixel"), "gridded": ("latitude", "longitude")}
CLIENT = Path(__file__).resolve().parents[2] / "docs" / "howto" / "satrain_client.py"


def observations(sensor: str) -> xr.Dataset:
    return fake_swath(sensor.upper(), *SHAPE, seed=4)


def picked(sensor: str) -> list[int]:
    """Positions of SatRain's channels among the sensor's."""
    names = [str(n) for n in observations(sensor)["channel"].values]
    found = xrain.conventions.match_channels(names, CHANNELS[sensor])
    return [i for i in found if i is not None]


def write(folder: Path, sensor: str, geometry: str, *, with_time: bool = True) -> tuple[Path, Path]:
    """Write observations and target of one scene as SatRain lays them out."""
    ds, dims = observations(sensor), GEOMETRIES[geometry]
    tb = ds["tb"].values[..., picked(sensor)].copy()
    tb[5, 6] = np.nan
    time = np.broadcast_to(ds["time"].values[:, None], SHAPE)
    coords = {n: (dims, ds[n].values) for n in ("latitude", "longitude")}
    if geometry == "gridded":
        coords = {"latitude": 30 + 0.036 * np.arange(40), "longitude": -90 + 0.036 * np.arange(32)}
    rate = np.linspace(0, 5, tb[..., 0].size).reshape(SHAPE).astype(np.float32)
    quality, valid = np.ones(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    quality[:, 0], valid[:, 1] = 0.4, 0.2
    observed = xr.Dataset({"observations": ((*dims, "channel"), tb)}, coords)
    angle = ds["earth_incidence_angle"].values[..., picked(sensor)]
    observed["earth_incidence_angle"] = ((*dims, "channel"), angle)
    if with_time:
        observed["scan_time"] = (dims, time)
    target = xr.Dataset(
        {
            "surface_precip": (dims, rate),
            "surface_precip_fpavg": (dims, rate + 1),
            "radar_quality_index": (dims, quality),
            "valid_fraction": (dims, valid),
            "time": (dims, time),
        },
        coords,
    )
    paths = folder / f"{sensor}_{STAMP}.nc", folder / f"target_{STAMP}.nc"
    observed.transpose("channel", ...).to_netcdf(paths[0], engine="h5netcdf")
    target.to_netcdf(paths[1], engine="h5netcdf")
    return paths


def evaluator_input(path: Path, sensor: str, geometry: str) -> xr.Dataset:
    """What satrain.evaluation.load_retrieval_input_data makes of a file."""
    dims = GEOMETRIES[geometry]
    ds = xr.load_dataset(path, engine="h5netcdf").transpose("channel", *dims)
    out = xr.Dataset({n: ds[n] for n in ("latitude", "longitude")})
    for short, name in (("obs", "observations"), ("eia", "earth_incidence_angle")):
        out[f"{short}_{sensor}"] = ((f"features_{sensor}", *dims), ds[name].values)
    return out


@pytest.fixture(params=["gmi", "atms"])
def sensor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(GEOMETRIES))
def geometry(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_file_becomes_a_swath_with_masked_reference(
    tmp_path: Path, sensor: str, geometry: str
) -> None:
    swath = open_satrain(*write(tmp_path, sensor, geometry))
    assert swath["tb"].dims == ("scan", "pixel", "channel")
    assert swath["tb"].shape == (*SHAPE, len(CHANNELS[sensor]))
    expected = observations(sensor)["tb"].values[..., picked(sensor)]
    expected[5, 6] = np.nan
    np.testing.assert_array_equal(swath["tb"], expected)
    assert swath["latitude"].shape == swath["longitude"].shape == SHAPE
    assert swath.attrs["sensor"] == sensor.upper()
    rate = swath["surface_precip"]
    assert rate[:, :2].isnull().all()
    assert rate[:, 2:].notnull().all()
    assert rate[-1, -1] == pytest.approx(5.0)
    assert swath["time"].dtype.kind == "M"
    (lost,) = xrain.check(swath, tiny_model(sensor))  # the one pixel that was taken away
    assert lost.startswith("missing brightness temperatures: ")
    assert lost.count("under 1 %") == len(CHANNELS[sensor])


def test_channels_are_told_by_their_order(tmp_path: Path, sensor: str) -> None:
    """The model of the sensor finds every channel under SatRain's name for it."""
    swath = open_satrain(write(tmp_path, sensor, "on_swath")[0])
    names = [str(n) for n in swath["channel"].values]
    real = [c.name for c in xrain.get_sensor(sensor).channels]
    found = xrain.conventions.match_channels(names, real)
    assert sum(f is not None for f in found) == len(names)
    assert "surface_precip" not in swath


def test_a_grid_whose_rows_go_back_in_time_is_one_piece(tmp_path: Path) -> None:
    observed, target = write(tmp_path, "gmi", "gridded")
    model = tiny_model("gmi", seed=2)
    ds = xr.load_dataset(observed, engine="h5netcdf")
    forward = xrain.retrieve(open_satrain(observed, target), model)
    ds["scan_time"] = ds["scan_time"].copy(data=ds["scan_time"].values[::-1])
    ds.to_netcdf(observed, engine="h5netcdf")
    back = xrain.retrieve(open_satrain(observed, target), model)
    np.testing.assert_array_equal(back["surface_precip"], forward["surface_precip"])


def test_the_retrieval_gives_what_the_evaluator_asks_for(
    tmp_path: Path, sensor: str, geometry: str
) -> None:
    path, _ = write(tmp_path, sensor, geometry)
    data = evaluator_input(path, sensor, geometry)
    found = SatRainRetrieval(tiny_model(), sensor)(data)
    assert set(found.data_vars) == {
        "surface_precip", "probability_of_precip", "precip_flag",
        "probability_of_heavy_precip", "heavy_precip_flag",
    }  # fmt: skip
    assert all(set(v.dims) == set(GEOMETRIES[geometry]) for v in found.data_vars.values())
    assert dict(found.sizes) == dict(zip(GEOMETRIES[geometry], SHAPE, strict=True))
    tb = open_satrain(path)["tb"].values
    expected = np.where(np.isnan(tb).all(-1), np.nan, tiny_rate(tb))
    np.testing.assert_allclose(found["surface_precip"], expected, rtol=1e-3, atol=1e-3)
    for name in ("precip_flag", "heavy_precip_flag"):
        assert found[name].dtype == bool
        assert not found[name][5, 6]
    assert np.isnan(found["probability_of_heavy_precip"][5, 6])


def test_batches_of_tiles_and_tables_of_pixels(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "gmi", "on_swath")
    data = evaluator_input(path, "gmi", "on_swath")
    retrieval = SatRainRetrieval(tiny_model(), "gmi")
    whole = retrieval(data)
    tiles = xr.concat([data.isel(scan=slice(0, 20)), data.isel(scan=slice(20, 40))], "batch")
    batched = retrieval(tiles)
    assert batched["surface_precip"].dims == ("batch", "scan", "pixel")
    np.testing.assert_allclose(
        batched["surface_precip"].values.reshape(SHAPE), whole["surface_precip"], rtol=1e-5
    )
    table = data.stack({"batch": ["scan", "pixel"]})
    for flat in (table, table.reset_index("batch")):
        found = retrieval(flat)
        assert found["surface_precip"].dims == ("batch",)
        np.testing.assert_allclose(
            found["surface_precip"], whole["surface_precip"].values.ravel(), rtol=1e-5
        )


def test_some_channels_only(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "gmi", "on_swath")
    data = evaluator_input(path, "gmi", "on_swath").isel(features_gmi=[5, 6, 7, 8])
    found = SatRainRetrieval(tiny_model(), channels=[5, 6, 7, 8])(data)
    tb = open_satrain(path)["tb"].values[..., 5:9]
    expected = np.where(np.isnan(tb).all(-1), np.nan, tiny_rate(tb))
    np.testing.assert_allclose(found["surface_precip"], expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="needs obs_gmi with 13 channels"):
        SatRainRetrieval(tiny_model())(data)
    with pytest.raises(InputError, match="SatRain has gmi and atms"):
        SatRainRetrieval(tiny_model(), "tmi")


@pytest.mark.parametrize("scale", [0.5, 2.0, 5.0, 20.0, 200.0])
def test_probability_of_heavy_rain_is_that_of_the_distribution(scale: float) -> None:
    quantiles = stats.expon.ppf(np.array(LEVELS), scale=scale)[:, None]
    found = float(_exceedance(quantiles, 10.0)[0])
    assert found == pytest.approx(np.exp(-10 / scale), abs=0.02)


def test_a_table_of_matched_pixels_can_be_scored(tmp_path: Path) -> None:
    pairs = []
    for geometry in GEOMETRIES:
        (tmp_path / geometry).mkdir()
        pairs.append(write(tmp_path / geometry, "gmi", geometry))
    table = satrain_matchups(pairs)
    assert table.sizes["sample"] == 2 * (40 * 30 - 1)  # two bad columns, one bad pixel
    assert (table["month"] == 7).all()
    assert (table["day"] == 1).all()
    table.to_netcdf(tmp_path / "matchups.nc", engine="h5netcdf")
    stored = open_matchups(tmp_path / "matchups.nc")
    scores = score_matchups(stored, tiny_model(), bootstrap=0)
    assert scores["n"] == table.sizes["sample"]
    other = satrain_matchups(pairs[:1], reference="surface_precip_fpavg")
    np.testing.assert_allclose(
        other["surface_precip"], table["surface_precip"][: other.sizes["sample"]] + 1
    )
    with pytest.raises(InputError, match="no files"):
        satrain_matchups([])


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    observed, target = write(tmp_path, "gmi", "on_swath")
    (bad := tmp_path / "gmi_20200101000000.nc").write_text("no netCDF")
    with pytest.raises(FileFormatError, match="cannot be read as a netCDF"):
        open_satrain(bad)
    with pytest.raises(InputError, match="SatRain has gmi and atms"):
        open_satrain(target)
    xr.load_dataset(target, engine="h5netcdf").to_netcdf(bad, engine="h5netcdf")
    with pytest.raises(FileFormatError, match="hold observations"):
        open_satrain(bad)
    few = xr.load_dataset(observed, engine="h5netcdf").isel(channel=slice(5))
    few.to_netcdf(bad, engine="h5netcdf")
    with pytest.raises(FileFormatError, match="has 13 channels in SatRain, not 5"):
        open_satrain(bad)
    cut = xr.load_dataset(target, engine="h5netcdf").isel(scan=slice(7))
    cut.to_netcdf(other := tmp_path / "target_x.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="pixels, the observations"):
        open_satrain(observed, other)
    with pytest.raises(InputError, match="there is no rain"):
        open_satrain(observed, target, reference="rain")


def test_another_process_answers_as_this_one_does(tmp_path: Path, folders: list[Path]) -> None:
    """The client of the documentation, in a Python that imports nothing of xrain."""
    path, _ = write(tmp_path, "gmi", "on_swath")
    data = evaluator_input(path, "gmi", "on_swath").isel(scan=slice(8))
    data.to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    script = f"""
import runpy, sys, xarray as xr
client = runpy.run_path({str(CLIENT)!r})["RemoteRetrieval"]({sys.executable!r}, {str(folders[0])!r})
data = xr.load_dataset({str(tmp_path / "data.nc")!r}, engine="h5netcdf")
client(data).to_netcdf({str(tmp_path / "rain.nc")!r}, engine="h5netcdf")
client(data.stack(batch=["scan", "pixel"])).to_netcdf({str(tmp_path / "table.nc")!r},
                                                      engine="h5netcdf")
try:
    client(data.drop_vars("obs_gmi"))
except RuntimeError as error:
    print(error)
client.close()
assert "xrain" not in sys.modules and "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "needs obs_gmi with 13 channels" in done.stdout
    expected = SatRainRetrieval(str(folders[0]))(data)
    with xr.open_dataset(tmp_path / "rain.nc", engine="h5netcdf") as found:
        np.testing.assert_array_equal(found["surface_precip"], expected["surface_precip"])
        assert found["precip_flag"].dtype == bool
    with xr.open_dataset(tmp_path / "table.nc", engine="h5netcdf") as found:
        np.testing.assert_allclose(
            found["surface_precip"], expected["surface_precip"].values.ravel(), rtol=1e-5
        )
