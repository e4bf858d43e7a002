"""Many overpasses on one grid: sums that are right, in any order, and files that say so."""

from __future__ import annotations

import os
import subprocess
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
from xrain.errors import InputError, MissingPackageError, OutputError
from xrain.io.write_rain import write_rain
from xrain.level3 import Gridder, grid_rain, sums, write_grid
from xrain.level3.patient_file import PatientFile
from xrain.models.export import save_model
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
    monkeypatch.setattr(sums, "KEPT", 1)  # and sums go to disk and back
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
        ({"resolution": np.nan}, "divide 180"),
        ({"resolution": np.inf}, "divide 180"),
        ({"resolution": 0.01}, "18000 × 36000 cells, more than 30,000,000"),
        ({"resolution": 0.0125}, "more than 30,000,000"),
        ({"resolution": 1e-6}, "more than 30,000,000"),
        ({"freq": "1M"}, "fixed time"),
        ({"freq": "0h"}, "at least a second"),
        ({"freq": "-1h"}, "at least a second"),
        ({"freq": "5"}, "at least a second"),
        ({"freq": "soon"}, "fixed time"),
        ({"freq": "nat"}, "fixed time"),
        ({"freq": ""}, "at least a second"),
        ({"extent": (0, 10, 20, 10)}, "west, east, south, north"),
        ({"extent": (np.nan, 10, 0, 10)}, "west, east, south, north"),
        ({"extent": (0, 10, 0, np.nan)}, "west, east, south, north"),
        ({"extent": (0, np.inf, 0, 10)}, "west, east, south, north"),
        ({"extent": (1e300, 10, 0, 10)}, "west, east, south, north"),
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
    with Gridder(resolution=1.0, freq="10s") as level, xr.open_dataset(sources[0]) as rain:
        level.add(rain)
        assert len(level._sums._held) == sums.KEPT
        assert len(list(tmp_path.rglob("*.npy"))) > 2
        late = level.to_dataset()
        assert late.sizes["time"] > 4
    assert not list(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="before the Gridder is closed"):
        late.load()


def test_a_fine_grid_of_a_part_is_no_large_grid() -> None:
    made = gridded(make_rain(2.0), resolution=0.01, extent=(10, 14, 20, 24))
    assert dict(made.sizes)["latitude"] == 400
    assert float(made.surface_precip.max()) == pytest.approx(2.0)


# ---- scans that come again


def piece(rain: xr.Dataset, scans: slice, **attrs: object) -> xr.Dataset:
    return rain.isel(scan=scans).assign_attrs(granule=f"piece {scans.start}", **attrs)


def test_no_scan_of_files_that_overlap_counts_twice() -> None:
    rain = make_rain(np.arange(40.0)[:, None] * np.ones(40))
    whole = gridded(piece(rain, slice(0, 40)))
    parts = [piece(rain, s, orbit=k) for k, s in enumerate((slice(0, 25), slice(15, 40)))]
    for pieces in (parts, parts[::-1], [*parts, piece(rain, slice(5, 30))]):
        made = gridded(*pieces)
        assert int(made.overpass_count.max()) <= 2  # a cell on the cut has two parts
        assert float(made.overpass_count.sum()) < 1.15 * float(whole.overpass_count.sum())
        np.testing.assert_allclose(made.surface_precip, whole.surface_precip, rtol=2e-3)


def test_a_piece_fills_the_gap_of_another() -> None:
    rain = make_rain(3.0)
    holed = rain.isel(scan=[*range(10), *range(20, 40)]).assign_attrs(granule="holed")
    with Gridder(resolution=0.5) as level:
        assert level.add(holed) == 30 * 40
        assert level.add(piece(rain, slice(0, 40))) == 10 * 40
        assert level.add(piece(rain, slice(0, 40))) == 0


def test_other_radiometers_at_the_same_time_are_others() -> None:
    rain = piece(make_rain(3.0), slice(0, 40))
    other = rain.assign_attrs(platform="Y")
    assert int(gridded(rain, other).overpass_count.max()) == 2


@pytest.mark.parametrize("order", [[19, 19], [18, 19], [10, 11, 12, 13]])
def test_repeated_scans_within_a_file_count_once(order: list[int]) -> None:
    rain = make_rain(np.arange(40.0)[:, None] * np.ones(40))
    twice = rain.isel(scan=[*range(20), *order, *range(20, 40)])
    xr.testing.assert_identical(gridded(rain), gridded(twice))


def test_positions_that_are_fill_values_are_left_out() -> None:
    rain = make_rain(2.0)
    lat, lon = (rain[n].values.copy() for n in ("latitude", "longitude"))
    lat[:3], lon[5] = -9999.9, 9.97e36
    lost = rain.assign_coords(latitude=(("scan", "pixel"), lat),
                              longitude=(("scan", "pixel"), lon))  # fmt: skip
    with Gridder(resolution=0.5) as level:
        assert level.add(lost) == 36 * 40


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
    with pytest.raises(MissingPackageError, match=r"extra 'zarr': pip install 'zarr>="):
        grid_rain(sources[:1], tmp_path / "a.zarr", resolution=2.0)


# ---- what is there already, and disks that are full


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", ["notes", "archive", "store and notes", "netCDF"])
def test_no_folder_of_others_is_touched(sources: list[Path], kind: str, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    folder = tmp_path / ("out.nc" if kind == "netCDF" else "out.zarr")
    if kind == "archive":  # a Zarr store of another kind
        zarr.open_group(folder, mode="w").create_array("tb", shape=(3,), dtype="f4")
    elif kind == "store and notes":
        grid_rain(sources[:1], folder, resolution=2.0)
    folder.mkdir(exist_ok=True)
    if kind != "archive":
        (folder / "notes.txt").write_text("of mine")
    before = listing(folder)
    calls: list[object] = []
    with pytest.raises(OutputError, match="is a folder"):
        grid_rain(sources[:1], folder, resolution=2.0, tell=calls.append)
    assert listing(folder) == before
    assert not calls  # told before the work
    result = CliRunner().invoke(app, ["grid", str(sources[0]), "-o", str(folder)])
    assert result.exit_code == 2
    assert listing(folder) == before
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_an_empty_folder_and_an_older_grid_are_replaced(
    sources: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("zarr")
    path = tmp_path / "out.zarr"
    path.mkdir()
    for resolution in (2.0, 5.0):
        grid_rain(sources[:1], path, resolution=resolution)
        with xr.open_zarr(path, consolidated=False) as ds:
            assert ds.sizes["latitude"] == 180 / resolution
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


FULL = """
import resource, sys
limit = int(sys.argv[1])
from xrain.level3 import grid_rain
import xrain
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    grid_rain(sys.argv[4:], sys.argv[3], resolution=0.5, freq=sys.argv[2])
except xrain.XrainError as error:
    sys.exit(f"{type(error).__name__}: {error}"[:200])
"""


@pytest.mark.parametrize(
    ("limit", "freq"), [(4_000, "1D"), (30_000, "1D"), (30_000, "10s"), (1_000_000_000, "10s")]
)
def test_a_disk_that_fills_up_is_told_and_the_old_file_stays(
    sources: list[Path], limit: int, freq: str, tmp_path: Path
) -> None:
    """The limit on the size of a file makes writes fail as those on a full disk do."""
    path = tmp_path / "out.nc"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL, str(limit), freq, str(path), str(sources[0])],
        capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if limit > 100_000_000:
        assert (done.returncode, done.stderr) == (0, "")
        with xr.open_dataset(path, engine="h5netcdf") as ds:
            assert float(ds.surface_precip.max()) > 0
    else:
        assert done.returncode == 1, done.stderr
        assert "OutputError: " in done.stderr
        assert ("cannot hold sums" in done.stderr) == (freq == "10s")
        assert "File too large" in done.stderr or "requested and" in done.stderr
        assert path.read_text() == "old"


def test_a_patient_file_reads_back_what_the_disk_did_not_take(tmp_path: Path) -> None:
    with PatientFile(tmp_path / "a") as file:
        file.write(b"0123456789")
        file._file.close()  # from here on nothing can be written
        file._file = open(os.devnull, "rb", buffering=0)  # noqa: SIM115
        file.seek(5)
        file.write(b"ABCDEFGHIJ")
        file.seek(7)
        file.write(b"xy")
        assert file.seek(0, 2) == 15
        file.seek(4)
        assert file.read(8) == b"\0ABxyEFG"  # the first five are gone with the file
        with pytest.raises(OSError, match="not open for writing"):
            file.raise_error()


def test_a_cluster_of_processes_changes_nothing(sources: list[Path], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("zarr")
    expected = grid_rain(sources[:2], tmp_path / "alone.nc", resolution=1.0)
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True}
    with (
        distributed.LocalCluster(**options, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        for name in ("many.nc", "many.zarr"):
            with Gridder(resolution=1.0) as level:
                for source in sources[:2]:
                    with xr.open_dataset(source, chunks={"scan": 20}) as rain:
                        level.add(rain)
                write_grid(level.to_dataset(), tmp_path / name)
    with xr.open_dataset(expected) as alone, xr.open_dataset(tmp_path / "many.nc") as many:
        xr.testing.assert_equal(alone, many)
    with xr.open_dataset(expected) as alone:
        store = xr.open_zarr(tmp_path / "many.zarr", consolidated=False)
        np.testing.assert_array_equal(store.surface_precip, alone.surface_precip)


def test_gdal_places_a_grid(sources: list[Path], tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = grid_rain(sources[:1], tmp_path / "out.nc", resolution=2.0, extent=(0, 20, -80, -40))
    with rasterio.open(f"netcdf:{path}:surface_precip") as picture:
        assert picture.crs.is_geographic
        assert tuple(picture.bounds) == (0, -80, 20, -40)
