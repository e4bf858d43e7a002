"""Series at stations: the right pixels, times and flags of every overpass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import xrain
from xrain.cli import app
from xrain.conventions import QUALITY_FLAGS
from xrain.errors import FileFormatError, InputError
from xrain.geo.sphere import EARTH_RADIUS
from xrain.points import extract_points, point_table
from xrain.points.stations import stations_of
from xrain.testing import fake_swath, tiny_model, write_fake_l1c


@pytest.fixture(scope="module")
def rain() -> xr.Dataset:
    ds = xrain.retrieve(fake_swath("GMI", 60, 120), tiny_model("GMI", seed=1))
    return ds.assign_attrs(granule="first")


def place(ds: xr.Dataset, scan: int, pixel: int) -> tuple[float, float]:
    return float(ds["latitude"][scan, pixel]), float(ds["longitude"][scan, pixel])


def later(ds: xr.Dataset, hours: int) -> xr.Dataset:
    return ds.assign_coords(time=ds["time"] + np.timedelta64(hours, "h"))


def test_value_time_distance_and_flags_are_those_of_the_pixel(rain: xr.Dataset) -> None:
    lat, lon = place(rain, 20, 30)
    series = extract_points(rain, {"A": (lat + 0.01, lon), "B": place(rain, 40, 100)})
    assert series["station"].values.tolist() == ["A", "B"]
    assert series["station_index"].values.tolist() == [0, 1]
    pixel = rain.isel(scan=xr.DataArray([20, 40]), pixel=xr.DataArray([30, 100]))
    for name in ("surface_precip", "retrieval_quality", "precip_flag", "probability_of_precip"):
        assert np.array_equal(series[name].values, pixel[name].values), name
        assert series[name].dtype == rain[name].dtype
        assert series[name].attrs == rain[name].attrs
    assert np.array_equal(series["time"].values, pixel["time"].values)
    assert series["surface_precip_quantile"].sizes == {"quantile": 3, "observation": 2}
    wanted = [np.deg2rad(0.01) * EARTH_RADIUS, 0.0]
    assert np.allclose(series["distance"], wanted, atol=1e-3)
    assert series["sensor"].values.tolist() == ["GMI", "GMI"]


def test_a_station_outside_the_swath_is_seen_only_within_a_reach(rain: xr.Dataset) -> None:
    lat, lon = place(rain, 30, 0)
    step = place(rain, 30, 1)
    beyond = (lat - 3 * (step[0] - lat), lon - 3 * (step[1] - lon))
    assert extract_points(rain, [beyond]).sizes["observation"] == 0
    near = extract_points(rain, [beyond], reach=60.0)
    assert near.sizes["observation"] == 1
    assert 5 < near["distance"].item() < 60
    assert extract_points(rain, [beyond], reach=2.0).sizes["observation"] == 0


def test_every_place_inside_a_swath_is_seen_once(rain: xr.Dataset) -> None:
    rng = np.random.default_rng(0)
    scan, pixel = rng.uniform(5, 54, 60), rng.uniform(5, 114, 60)
    low = scan.astype(int), pixel.astype(int)
    places = [
        rain[n].values[low] * (1 - scan % 1) + rain[n].values[low[0] + 1, low[1]] * (scan % 1)
        for n in ("latitude", "longitude")
    ]
    series = extract_points(rain, list(zip(*places, strict=True)))
    assert series["station_index"].values.tolist() == list(range(60))


def test_two_overpasses_in_one_file_and_files_in_any_order(rain: xr.Dataset) -> None:
    joined = xr.concat([rain, later(rain, 12)], "scan")
    gap = rain.assign_coords(latitude=rain["latitude"] * 0 + 80, time=later(rain, 6)["time"])
    day = xr.concat([rain, gap, later(rain, 12)], "scan")
    here = {"A": place(rain, 20, 30)}
    assert extract_points(day, here).sizes["observation"] == 2
    series = extract_points([later(rain, 12), rain], here)
    assert (np.diff(series["time"]) == np.timedelta64(12, "h")).all()
    assert extract_points([rain, rain, joined], here).sizes["observation"] == 2


def test_files_of_every_kind(tmp_path: Path, rain: xr.Dataset) -> None:
    granule = write_fake_l1c(tmp_path / "a.HDF5", "gmi", scans=300)
    model = tiny_model("GMI", seed=1)
    whole = xrain.retrieve(xrain.open_l1c(granule), model)
    path = xrain.write_rain(whole, tmp_path / "a.rain.nc")
    here = {"A": place(whole, 20, 30), "B": place(whole, 290, 200)}
    lazily = extract_points([granule], here, model=model)
    stored = extract_points(path, here)
    assert lazily["surface_precip"].values == pytest.approx(
        stored["surface_precip"].values, abs=1e-5
    )
    assert np.array_equal(lazily["retrieval_quality"], stored["retrieval_quality"])
    assert lazily["source"].values.tolist() == ["a.HDF5"] * 2
    grid = xrain.grid_rain([path], tmp_path / "day.nc", resolution=0.5)
    daily = extract_points(grid, here)
    assert daily.sizes["observation"] == 2
    with xr.open_dataset(grid, engine="h5netcdf") as day:
        cell = day["surface_precip"].isel(time=0).sel(
            latitude=here["A"][0], longitude=here["A"][1], method="nearest")  # fmt: skip
        assert daily["surface_precip"].values[0] == cell.item()
        assert daily["time"].values[0] == day["time"].values[0]
    both = extract_points([path, grid], here)
    assert both.sizes["observation"] == 4
    assert both["surface_precip_quantile"].isnull().any()


def test_a_rain_granule_of_the_archive(tmp_path: Path) -> None:
    from xrain.io.truth import radar_path

    granule = xrain.simulate_granule("gmi", tmp_path / "o.HDF5", scans=40, with_radar=True)
    with xrain.open_reference(radar_path(granule)) as radar:
        here = {"A": place(radar, 60, 20)}
        series = extract_points(radar_path(granule), here)
        assert series["surface_precip"].item() == radar["surface_precip"].values[60, 20]
    assert "2A" in series["product"].item() or "DPR" in series["product"].item()


def test_a_table_and_what_is_written(tmp_path: Path, rain: xr.Dataset) -> None:
    path = xrain.write_rain(rain, tmp_path / "a.rain.nc")
    stations = tmp_path / "stations.csv"
    lat, lon = place(rain, 20, 30)
    stations.write_text(f"name,lat,lon\n007,{lat},{lon}\n")
    csv, nc = tmp_path / "out" / "s.csv", tmp_path / "s.nc"
    for target in (csv, nc):
        done = CliRunner().invoke(
            app, ["extract", str(path), "--points", str(stations), "-o", str(target)]
        )
        assert done.exit_code == 0, done.output
    table = pd.read_csv(csv, parse_dates=["time"], dtype={"station": str})
    assert table["station"].tolist() == ["007"]
    assert table["surface_precip"].item() == pytest.approx(
        float(rain["surface_precip"][20, 30]), rel=1e-5
    )
    middle = float(rain["surface_precip_quantile"].sel(quantile=0.5)[20, 30])
    assert table["surface_precip_quantile_0.5"].item() == pytest.approx(middle, rel=1e-5)
    assert abs(
        table["time"].item().tz_localize(None) - pd.Timestamp(rain["time"].values[20])
    ) < pd.Timedelta("1s")
    with xr.open_dataset(nc, engine="h5netcdf") as back:
        assert back.attrs["featureType"] == "timeSeries"
        assert back["station_index"].attrs["instance_dimension"] == "station"
        assert point_table(back)["station"].tolist() == ["007"]


def test_the_command_goes_on_after_a_bad_file(tmp_path: Path, rain: xr.Dataset) -> None:
    path = xrain.write_rain(rain, tmp_path / "a.rain.nc")
    (tmp_path / "bad.nc").write_text("nothing")
    lat, lon = place(rain, 20, 30)
    command = ["extract", str(tmp_path / "bad.nc"), str(path), "-o", str(tmp_path / "s.csv")]
    done = CliRunner().invoke(app, [*command, "--at", f"A={lat},{lon}"])
    assert done.exit_code == 2
    assert "1 of 2 files used" in done.output
    assert len(pd.read_csv(tmp_path / "s.csv")) == 1
    for wrong in ([], ["--at", "A=5"], ["--at", "A=1,2", "--points", "x.csv"]):
        assert CliRunner().invoke(app, [*command, *wrong]).exit_code == 2
    done = CliRunner().invoke(app, [*command[:-1], "s.txt", "--at", "A=1,2"])
    assert ".csv, .nc or .zarr" in done.output


def test_pixels_without_rain_are_no_observations(rain: xr.Dataset) -> None:
    lost = rain.copy(deep=True)
    lost["surface_precip"][20, 30] = np.nan
    lost["retrieval_quality"][20, 30] = QUALITY_FLAGS["no_usable_channel"]
    assert extract_points(lost, [place(rain, 20, 30)]).sizes["observation"] == 0


@pytest.mark.parametrize(("points", "message"), [
    ([], "no points"), ([(91.0, 0.0)], "is no position"), ([(1.0,)], "a point is a pair"),
    (pd.DataFrame({"latitude": [1.0]}), "one column longitude"), (5, "are a table or pairs"),
    (pd.DataFrame({"station": ["a", "a"], "lat": [1, 2], "lon": [1, 2]}), "have the name 'a'"),
    ("absent.csv", "no table of points"),
])  # fmt: skip
def test_points_that_make_no_sense_are_told(points: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stations_of(points)


def test_other_mistakes_are_told(tmp_path: Path, rain: xr.Dataset) -> None:
    here = [place(rain, 20, 30)]
    with pytest.raises(InputError, match="reach"):
        extract_points(rain, here, reach=0)
    with pytest.raises(InputError, match="no files"):
        extract_points([], here)
    with pytest.raises(InputError, match="no snow"):
        extract_points(rain, here, variables=["snow"])
    with pytest.raises(InputError, match="latitude is missing"):
        extract_points(rain.drop_vars("latitude"), here)
    (tmp_path / "x.nc").write_text("no")
    with pytest.raises(FileFormatError):
        extract_points(tmp_path / "x.nc", here)


def test_stations_from_a_dataset() -> None:
    ds = xr.Dataset({"lat": ("station", [1.0, 2.0]), "lon": ("station", [3.0, 4.0])},
                    {"station": ["x", "y"]})  # fmt: skip
    assert stations_of(ds)["station"].values.tolist() == ["x", "y"]
    assert stations_of([(1, 2), (3, 4)])["station"].values.tolist() == ["1", "2"]
