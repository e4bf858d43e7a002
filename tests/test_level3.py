"""Many overpasses on one grid: sums that are right, in any order, and files that say so."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.special import ndtri
from typer.testing import CliRunner

import xrain
from xrain.cli import app
from xrain.conventions import ATTRIBUTES, QUALITY_FLAGS
from xrain.errors import InputError, OutputError
from xrain.level3 import Gridder, grid_rain, gridder
from xrain.models.export import save_model
from xrain.output import write_rain
from xrain.testing import fake_swath, tiny_model, write_fake_l1c

START = np.datetime64("2020-07-01T10:00:00", "ns")


def make_rain(
    rate: float | np.ndarray,
    *,
    box: tuple[float, float, float, float] = (10.0, 14.0, 20.0, 24.0),
    start: np.datetime64 = START,
    seconds: float = 2.0,
    width: float = 1.0,
    sensor: str = "GMI",
) -> xr.Dataset:
    """Make rain over a box (west, east, south, north) with pixels of 0.1 degrees."""
    west, east, south, north = box
    lat, lon = np.meshgrid(np.arange(south + 0.05, north, 0.1), np.arange(west + 0.05, east, 0.1),
                           indexing="ij")  # fmt: skip
    rate = np.broadcast_to(np.asarray(rate, "f4"), lat.shape)
    dims = ("scan", "pixel")
    data = {
        "surface_precip": (dims, rate),
        "surface_precip_quantile": (
            ("quantile", *dims),
            np.stack([rate - width, rate, rate + width]),
        ),
        "probability_of_precip": (dims, np.clip(rate / 10, 0, 1)),
        "retrieval_quality": (dims, np.zeros(lat.shape, "i2")),
    }
    time = start + (np.arange(lat.shape[0]) * seconds * 1e9).astype("timedelta64[ns]")
    return xr.Dataset(
        {k: (*v, ATTRIBUTES[k]) for k, v in data.items()},
        {
            "latitude": (dims, lat.astype("f4")),
            "longitude": (dims, ((lon + 180) % 360 - 180).astype("f4")),
            "time": ("scan", time),
            "quantile": [0.05, 0.5, 0.95],
        },
        {"sensor": sensor, "platform": "X"},
    )


def gridded(*rains: xr.Dataset, **options: object) -> xr.Dataset:
    with Gridder(**{"resolution": 0.5, **options}) as sums:
        for rain in rains:
            sums.add(rain)
        return sums.to_dataset().load()


def test_mean_count_spread_and_uncertainty_follow_their_formulas() -> None:
    rates, widths = (1.0, 2.0, 6.0), (0.5, 1.0, 3.0)
    later = START + np.timedelta64(3, "h")
    rains = [make_rain(r, width=w, start=s)
             for r, w, s in zip(rates, widths, (START, later, START), strict=True)]  # fmt: skip
    made = gridded(*rains)
    assert dict(made.sizes) == {"time": 1, "latitude": 360, "longitude": 720, "bnds": 2}
    inside = made.sel(latitude=slice(20.3, 23.7), longitude=slice(10.3, 13.7)).isel(time=0)
    assert (inside.overpass_count == 3).all()
    np.testing.assert_allclose(inside.surface_precip, 3.0, rtol=1e-3)
    np.testing.assert_allclose(inside.surface_precip_spread, np.std(rates, ddof=1), rtol=2e-3)
    sigma = 2 * np.array(widths) / (ndtri(0.95) - ndtri(0.05))
    expected = np.sqrt((sigma**2).sum()) / 3
    np.testing.assert_allclose(inside.surface_precip_uncertainty, expected, rtol=2e-3)
    np.testing.assert_allclose(inside.probability_of_precip, 0.3, rtol=1e-3)
    away = made.sel(latitude=-40, longitude=100, method="nearest").isel(time=0)
    assert int(away.overpass_count) == 0
    assert all(np.isnan(away[n]) for n in made.data_vars if made[n].dtype == "f4" and n != "crs")


def test_an_overpass_counts_by_the_share_of_the_cell_that_it_covers() -> None:
    whole, part = make_rain(1.0), make_rain(5.0, box=(10.0, 12.1, 20.0, 24.0))
    made = gridded(whole, part).isel(time=0)
    cell = made.sel(latitude=22.25, longitude=12.25)
    assert int(cell.overpass_count) == 2
    assert float(cell.surface_precip) == pytest.approx((1 + 0.2 * 5) / 1.2, rel=0.02)
    lone = gridded(whole).isel(time=0).sel(latitude=22.25, longitude=12.25)
    assert np.isnan(lone.surface_precip_spread)
    assert np.isfinite(lone.surface_precip_uncertainty)


def test_totals_are_kept() -> None:
    rng = np.random.default_rng(0)
    rain = make_rain(rng.gamma(0.5, 3, (40, 40)))
    made = gridded(rain).isel(time=0)
    area = np.cos(np.deg2rad(made.latitude)) * 0.25
    pixels = np.cos(np.deg2rad(rain.latitude)) * 0.01
    total = float((made.surface_precip.fillna(0) * area).sum())
    assert total == pytest.approx(float((rain.surface_precip * pixels).sum()), rel=0.01)


def test_the_order_of_overpasses_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gridder, "KEPT", 1)  # and sums go to disk and back
    rng = np.random.default_rng(1)
    rains = [
        make_rain(rng.gamma(0.5, 3, (40, 40)), start=START + np.timedelta64(h, "h"), seconds=90)
        for h in (0, 5, 1, 5)
    ]
    first = gridded(*rains, freq="1h", extent=(8, 16, 18, 26))
    again = gridded(*rains[::-1], freq="1h", extent=(8, 16, 18, 26))
    assert first.sizes["time"] == 3
    xr.testing.assert_allclose(first, again, rtol=1e-6)


def test_intervals_begin_on_the_clock_and_a_granule_may_cross_them() -> None:
    rain = make_rain(2.0, start=START + np.timedelta64(29, "m"), seconds=4.0)
    made = gridded(rain, freq="30min", extent=(8, 16, 18, 26))
    expected = np.array(["2020-07-01T10:00", "2020-07-01T10:30", "2020-07-01T11:00"], "M8[ns]")
    np.testing.assert_array_equal(made.time_bnds[:, 0], expected[:2])
    np.testing.assert_array_equal(made.time_bnds[:, 1], expected[1:])
    south, north = (made.surface_precip.sel(latitude=v, method="nearest") for v in (20.7, 23.7))
    assert np.isfinite(south[0]).any()
    assert np.isnan(south[1]).all()
    assert np.isnan(north[0]).all()
    assert np.isfinite(north[1]).any()


def test_across_the_date_line_and_over_a_pole() -> None:
    rain = make_rain(3.0, box=(178.0, 183.0, -2.0, 2.0))
    globe = gridded(rain).isel(time=0).surface_precip
    seen = globe.notnull().any("latitude")
    assert seen.longitude[seen].values.tolist() == [
        *np.arange(-179.75, -177), *np.arange(-179.25, -177), *np.arange(178.25, 180),
        *np.arange(178.75, 180),
    ] or int(seen.sum()) == 10  # fmt: skip
    cut = gridded(rain, extent=(177.0, -176.0, -3.0, 3.0)).isel(time=0)
    assert cut.sizes["longitude"] == 14
    np.testing.assert_allclose(
        np.sort(cut.surface_precip.values[np.isfinite(cut.surface_precip)]), 3.0, rtol=1e-5
    )
    assert int(cut.overpass_count.sum()) == int(globe.notnull().sum())

    x, y = np.meshgrid(np.arange(-300, 300, 10.0), np.arange(-300, 300, 10.0), indexing="ij")
    dims = ("scan", "pixel")
    polar = make_rain(4.0, box=(0, 6, 0, 6)).assign_coords(
        latitude=(dims, 90 - np.hypot(x, y) / 111.2), longitude=(dims, np.rad2deg(np.arctan2(y, x)))
    )
    cap = gridded(polar, resolution=1.0).isel(time=0).sel(latitude=slice(88.0, 90))
    np.testing.assert_allclose(cap.surface_precip, 4.0, rtol=1e-5)


def test_pixels_are_left_out_by_flag_and_where_missing() -> None:
    rain = make_rain(1.0)
    rain["surface_precip"] = rain.surface_precip.copy()
    rain["surface_precip"][:, 20:] = 9.0
    rain["retrieval_quality"][:, 20:] = QUALITY_FLAGS["suspect_radiance"]
    made = gridded(rain, exclude=["suspect_radiance"]).isel(time=0)
    assert float(made.surface_precip.max()) == pytest.approx(1.0)
    assert float(gridded(rain).surface_precip.max()) == pytest.approx(9.0)
    rain["surface_precip"][:, 20:] = np.nan
    assert float(gridded(rain).surface_precip.max()) == pytest.approx(1.0)
    bare = rain.drop_vars(["surface_precip_quantile", "probability_of_precip", "quantile"])
    alone = gridded(bare)
    assert alone.surface_precip_uncertainty.isnull().all()
    assert alone.surface_precip.notnull().any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 0.7}, "divide 180"),
        ({"resolution": -1}, "divide 180"),
        ({"freq": "1M"}, "fixed time"),
        ({"freq": "0h"}, "longer than nothing"),
        ({"freq": "soon"}, "fixed time"),
        ({"extent": (0, 10, 20, 10)}, "west, east, south, north"),
        ({"exclude": ["bad"]}, "no flag bad; there are missing_channel"),
    ],
)
def test_senseless_parameters_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Gridder(**options)


def test_what_is_no_rain_is_refused() -> None:
    with Gridder() as sums:
        with pytest.raises(InputError, match="surface_precip missing"):
            sums.add(fake_swath("GMI", 4, 8))
        with pytest.raises(InputError, match="time missing"):
            sums.add(make_rain(1.0).drop_vars("time"))
        assert sums.add(make_rain(np.nan)) == 0
        with pytest.raises(InputError, match="nothing to grid"):
            sums.to_dataset()


# ---- files


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Rain files of two sensors and a granule of a third."""
    folder = tmp_path_factory.mktemp("sources")
    tiny = tiny_model(seed=1)
    save_model(folder / "tiny", tiny.card, tiny.network.state_dict())
    paths = []
    for name in ("gmi", "ssmis"):
        rain = xrain.retrieve(fake_swath(name, 40), tiny)
        paths.append(write_rain(rain, folder / f"{name}.rain.nc"))
    return [*paths, write_fake_l1c(folder / "mhs.HDF5", "mhs", scans=40)]


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_files_of_many_sensors_become_one(sources: list[Path], suffix: str, tmp_path: Path) -> None:
    path = grid_rain(sources, tmp_path / f"out{suffix}", resolution=1.0,
                model=str(sources[0].parent / "tiny"))  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    engine = {".nc": "h5netcdf", ".zarr": "zarr"}[suffix]
    options = {"consolidated": False} if suffix == ".zarr" else {}
    with xr.open_dataset(path, engine=engine, decode_coords="all", **options) as ds:
        ds.load()
    assert ds.attrs["granules"] == 3
    assert "MHS NOAA18" in ds.attrs["source"]
    assert ds.attrs["Conventions"].startswith("CF-")
    assert {"time_bnds", "latitude_bnds", "longitude_bnds", "crs"} <= set(ds.coords)
    np.testing.assert_array_equal(ds.latitude_bnds[:, 1] - ds.latitude_bnds[:, 0], 1.0)
    assert ds.surface_precip.attrs["cell_methods"] == "time: mean area: mean"
    assert ds.overpass_count.dtype == np.int32
    assert int(ds.overpass_count.max()) >= 1
    assert (ds.surface_precip.notnull() == (ds.overpass_count > 0)).all()
    again = grid_rain(sources, path, resolution=1.0, model=str(sources[0].parent / "tiny"))
    assert again == path
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_memory_holds_few_intervals_and_nothing_stays_on_disk(
    sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Gridder(resolution=1.0, freq="10s") as sums, xr.open_dataset(sources[0]) as rain:
        sums.add(rain)
        assert len(sums._sums) == gridder.KEPT
        assert len(list(tmp_path.rglob("*.npy"))) > 2
        assert sums.to_dataset().sizes["time"] > 4
    assert not list(tmp_path.rglob("*"))


def test_the_command_goes_on_after_a_bad_file(sources: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.nc"
    bad.write_text("text")
    out = tmp_path / "out.nc"
    args = ["grid", *map(str, sources[:2]), str(bad), "-o", str(out), "--resolution", "1",
            "--freq", "30min", "--extent", "-180", "180", "-90", "0"]  # fmt: skip
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 2
    assert result.stdout.strip() == str(out)
    assert "bad.nc" in result.stderr
    assert "2 of 3 files used" in result.stderr
    with xr.open_dataset(out, engine="h5netcdf") as ds:
        assert ds.sizes["latitude"] == 90
    out.unlink()
    result = CliRunner().invoke(app, ["grid", str(bad), "-o", str(out)])
    assert result.exit_code == 2
    assert "nothing to grid" in result.stderr
    assert not out.exists()
    with pytest.raises(xrain.XrainError, match=r"bad\.nc"):
        grid_rain([bad], out)


def test_an_output_that_cannot_be_written_is_told(sources: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("out.nc", "out.zarr"):
        with pytest.raises(OutputError, match="cannot be written"):
            grid_rain(sources[:1], tmp_path / "file" / name, resolution=2.0)


def test_without_zarr_the_remedy_is_told(
    sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InputError, match=r"pip install 'xrain\[zarr\]'"):
        grid_rain(sources[:1], tmp_path / "a.zarr", resolution=2.0)
