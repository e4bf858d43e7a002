from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import xrain
from xrain.cli import app
from xrain.collocation import Split, collocate
from xrain.collocation.patches import cut, find_patches
from xrain.collocation.store import list_groups, open_store, read_attrs
from xrain.conventions import QUALITY_FLAGS
from xrain.errors import FileFormatError, InputError
from xrain.io.truth import radar_path, truth_path
from xrain.reference.collocated import collocate_reference
from xrain.reference.overlap import near_scans
from xrain.simulate.granule import simulate_granule
from xrain.testing import fake_swath, write_fake_l1c

SIZE = 16
MINUTE = np.timedelta64(1, "m")


def run(granule: object, reference: object, store: Path, *options: object) -> Result:
    files = ["--radiometer", granule, "--reference", reference, "-o", store]
    usual = ["--size", SIZE, "--workers", 1] if "--workers" not in options else []
    return CliRunner().invoke(app, [str(a) for a in ("collocate", *files, *usual, *options)])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "a.HDF5"
    return simulate_granule(
        "gmi", path, seed=3, scans=24, place=(25.0, -88.0), spacing=10.0, with_radar=True
    )


@pytest.fixture
def archive(simulated: Path, tmp_path: Path) -> Path:
    """Two granules with the radar's; the second is a copy."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in ("a", "b"):
        shutil.copy(simulated, folder / f"{name}.HDF5")
    shutil.copy(radar_path(simulated), folder / "a.radar.HDF5")
    return folder


def change_header(path: Path, old: str, new: str) -> None:
    with h5py.File(path, "r+") as file:
        text = file.attrs["FileHeader"].decode()
        assert old in text
        file.attrs["FileHeader"] = np.bytes_(text.replace(old, new).encode())


def files_below(folder: Path) -> dict[str, bytes]:
    paths = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


# ---- the command, on simulated granules


def test_the_command_makes_samples_of_a_pair(
    archive: Path, simulated: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    result = run(archive / "a.HDF5", archive / "a.radar*", store)
    assert result.exit_code == 0, result.output
    (group,) = list_groups(store)
    assert f"1 granules, {group.patches} patches" in result.stdout
    assert group.attrs["references"] == ["a.radar.HDF5"]
    ds = open_store(store).load()
    granule = xrain.open_l1c(simulated).load()
    truth = xr.open_dataset(truth_path(simulated)).load()
    seen = np.zeros(truth.latitude.shape, int)
    pairs = []
    for k in range(group.patches):
        one = ds.isel(patch=k)
        scans = slice(int(one.first_scan), int(one.first_scan) + SIZE)
        here = {"scan": scans, "pixel": slice(int(one.first_pixel), int(one.first_pixel) + SIZE)}
        for name in ("tb", "latitude", "longitude"):
            np.testing.assert_allclose(one[name], granule[name].isel(here), atol=0.006)
        assert one.time == granule.time[scans][SIZE // 2]
        rain, known = one.surface_precip.values, np.isfinite(one.surface_precip.values)
        seen[scans, here["pixel"]] += known
        pairs.append(np.stack([rain, truth.surface_precip.isel(here).values])[:, known])
    rain, true = np.concatenate(pairs, axis=1)
    assert seen.max() == 1
    assert rain.size == group.attrs["matched_pixels"] > 500
    assert np.corrcoef(rain, true)[0, 1] > 0.99
    assert rain.mean() == pytest.approx(true.mean(), rel=0.03)
    columns = np.flatnonzero(seen.any(axis=0))
    assert 70 < columns[0] < columns[-1] < 150  # the radar sees the middle of the swath
    assert (ds.reference_fraction.values[np.isfinite(ds.surface_precip.values)] > 0.89).all()


def test_what_training_reads(archive: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    run(archive / "*[ab].HDF5", archive / "a.radar*", store, "--test", "2019")
    assert read_attrs(store)["sensor"] == "GMI"
    whole = open_store(store)
    assert whole.tb.dims == ("patch", "scan", "pixel", "channel")
    assert whole.tb.chunks is not None
    assert set(whole.month.values) == {7}
    assert set(whole.day.values) == {1}
    assert set(whole.split.values) == {"train"}
    assert 0 <= whole.land_fraction.min() <= whole.land_fraction.max() <= 1
    with pytest.raises(InputError, match="no samples for test"):
        open_store(store, "test")
    with pytest.raises(InputError, match="one of train, validation, test"):
        open_store(store, "tests")
    tree = xr.open_datatree(store, engine="zarr", consolidated=False)
    assert {*tree.children} == {p.name for p in list_groups(store)}


def test_a_repeated_command_adds_only_what_is_new(archive: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    run(archive / "a.HDF5", archive / "a.radar*", store)
    before = files_below(store)
    result = run(archive / "[ab].HDF5", archive / "a.radar*", store)
    assert "2 granules" in result.stdout
    after = files_below(store)
    assert {k: after[k] for k in before} == before
    stamps = {p: p.stat().st_mtime_ns for p in store.rglob("*")}
    assert run(archive / "[ab].HDF5", archive / "a.radar*", store).exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*")} == stamps


def test_a_granule_with_more_references_is_made_again(archive: Path, tmp_path: Path) -> None:
    store, radar = tmp_path / "store.zarr", archive / "a.radar.HDF5"
    run(archive / "a.HDF5", radar, store)
    shutil.copy(radar, archive / "c.radar.HDF5")
    assert run(archive / "a.HDF5", archive / "*.radar*", store).exit_code == 0
    (group,) = list_groups(store)
    assert group.attrs["references"] == ["a.radar.HDF5", "c.radar.HDF5"]
    shutil.copy(radar, archive / "d.radar.HDF5")
    result = run(archive / "a.HDF5", archive / "d.radar*", store)
    assert result.exit_code == 2
    assert "in the store with a.radar.HDF5, c.radar.HDF5" in result.stderr


def test_several_processes_make_the_same(archive: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.zarr", tmp_path / "two.zarr"
    run(archive / "[ab].HDF5", archive / "a.radar*", one)
    options = ("--workers", 2, "--size", SIZE)
    assert run(archive / "[ab].HDF5", archive / "a.radar*", two, *options).exit_code == 0
    assert files_below(one) == files_below(two)


# ---- faults


def test_an_interrupted_run_loses_nothing_and_goes_on(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, store = tmp_path / "whole.zarr", tmp_path / "store.zarr"
    run(archive / "[ab].HDF5", archive / "a.radar*", whole)
    real, calls = xr.Dataset.to_zarr, []

    def to_zarr(self: xr.Dataset, *args: object, **options: object) -> object:
        written = real(self, *args, **options)
        calls.append(args[0])
        if len(calls) == 2:  # everything is written, and not yet in its place
            raise KeyboardInterrupt
        return written

    monkeypatch.setattr(xr.Dataset, "to_zarr", to_zarr)
    with pytest.raises(KeyboardInterrupt):
        collocate([archive / "a.HDF5", archive / "b.HDF5"], [archive / "a.radar.HDF5"], store,
                  {"size": SIZE}, workers=1)  # fmt: skip
    monkeypatch.undo()
    assert len(list_groups(store)) == 1
    drafts = tmp_path / ".store.zarr.drafts"
    assert not drafts.exists()
    shutil.copytree(list_groups(store)[0].path, drafts / "left by a process that was killed")
    run(archive / "[ab].HDF5", archive / "a.radar*", store)
    assert files_below(store) == files_below(whole)
    assert not drafts.exists()


def test_a_full_disk_is_told_and_the_rest_is_made_later(archive: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    for name in "cdefgh":
        shutil.copy(archive / "a.HDF5", archive / f"{name}.HDF5")
    try:
        result = run(archive / "?.HDF5", archive / "a.radar*", disk / "store.zarr")
        assert result.exit_code == 2
        assert os.strerror(errno.ENOSPC) in result.stderr
        assert "goes on from there" in " ".join(result.stderr.split())
        made = len(list_groups(disk / "store.zarr"))
        assert 0 < made < 8
        assert open_store(disk / "store.zarr").load().sizes["patch"] > 0
        subprocess.run([*mount[:4], "remount,size=10m", "tmpfs", str(disk)], check=True)
        assert run(archive / "?.HDF5", archive / "a.radar*", disk / "store.zarr").exit_code == 0
        assert len(list_groups(disk / "store.zarr")) == 8
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_granules_that_do_not_meet_are_told(archive: Path, tmp_path: Path) -> None:
    store, radar = tmp_path / "store.zarr", archive / "a.radar.HDF5"
    with h5py.File(radar, "r+") as file:
        file["FS/Longitude"][...] += 60
    result = run(archive / "a.HDF5", radar, store)
    assert result.exit_code == 0
    assert "1 granules have too few matched pixels" in result.stderr
    assert list_groups(store)[0].patches == 0
    with h5py.File(radar, "r+") as file:
        file["FS/ScanTime/Year"][...] -= 1
    shutil.rmtree(store)
    result = run(archive / "a.HDF5", radar, store)
    assert result.exit_code == 2
    assert "no granule meets a reference within 15 minutes" in result.stderr
    assert "2019-07-01" in result.stderr
    assert not store.exists()


def test_what_cannot_be_used_is_told_and_the_others_go_on(archive: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    change_header(archive / "b.HDF5", "ProductVersion=V07A", "ProductVersion=V05A")
    (archive / "c.HDF5").write_bytes(b"no granule")
    result = run(archive / "[abc].HDF5", archive / "a.radar*", store)
    assert result.exit_code == 2
    assert "b.HDF5 is GMI V05, the store holds GMI V07: these do not mix" in result.stderr
    assert "c.HDF5" in result.stderr
    assert "2 files could not be used" in result.stderr
    assert len(list_groups(store)) == 1
    change_header(archive / "a.radar.HDF5", "ProductVersion=V07A", "ProductVersion=V06A")
    result = run(archive / "a.HDF5", archive / "a.radar*", store)
    assert "a.radar.HDF5 is 2ADPR V06, the store holds 2ADPR V07" in result.stderr
    for granule, radar in (("x*.HDF5", "a.radar*"), ("a.HDF5", "x")):
        result = run(archive / granule, archive / radar, store)
        assert result.exit_code == 2
        assert "no file matches" in result.stderr


def test_a_store_keeps_its_settings(archive: Path, tmp_path: Path) -> None:
    store, files = tmp_path / "store.zarr", (archive / "a.HDF5", archive / "a.radar*")
    run(*files, store, "--test", "2020-07")
    assert list_groups(store, "test")[0].patches
    result = run(*files, store, "--fraction", 0.8, "--test", "2019")
    assert result.exit_code == 2
    assert "made with fraction 0.9, not 0.8, test ['2020-07'], not ['2019']" in result.stderr
    assert run(archive / "b.HDF5", files[1], store).exit_code == 0
    assert len(list_groups(store, "test")) == 2
    result = run(*files, tmp_path / "other.zarr", "--fraction", 1.5, "--window", 0)
    assert "fraction is 1.5" in result.stderr
    assert "window is 0 minutes" in result.stderr
    result = run(*files, tmp_path / "third.zarr", "--variable", "rain")
    assert "has no rain; there are" in result.stderr
    assert "estimated_surface_precip" in result.stderr


def test_two_runs_at_once_are_refused(archive: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    with FileLock(tmp_path / ".store.zarr.lock"):
        result = run(archive / "a.HDF5", archive / "a.radar*", store)
    assert result.exit_code == 2
    assert "another process is writing" in result.stderr


def test_what_is_no_store_is_told(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is no store of samples"):
        open_store(tmp_path)
    result = run(archive / "a.HDF5", archive / "a.radar*", archive)
    assert result.exit_code == 2
    assert "is no store of samples" in result.stderr
    store = tmp_path / "store.zarr"
    run(archive / "a.HDF5", archive / "a.radar*", store)
    shutil.rmtree(list_groups(store)[0].path / "surface_precip")
    with pytest.raises(FileFormatError, match="damaged"):
        open_store(store).load()


# ---- other references


def test_a_product_on_the_own_pixels_is_taken_as_it_is(
    archive: Path, simulated: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    result = run(archive / "a.HDF5", truth_path(simulated), store, "--least", 1)
    assert result.exit_code == 0, result.output
    truth = xr.open_dataset(truth_path(simulated)).surface_precip.values
    rain = open_store(store).surface_precip.values
    assert np.isfinite(rain).sum() == np.isfinite(truth).sum()
    assert np.nansum(rain) == pytest.approx(np.nansum(truth))


def test_a_retrieval_of_another_radiometer_is_a_reference(tmp_path: Path) -> None:
    granule = write_fake_l1c(tmp_path / "a.HDF5", "gmi", scans=24)
    with xrain.open_l1c(granule) as ds:
        rain = radar_like(ds.load(), 2.0, minutes=9).assign_attrs(model="x-unet", model_version=1)
    flags = np.zeros(rain.latitude.shape, np.uint8)
    flags[:, :20] = QUALITY_FLAGS["missing_channel"]
    flags[:, 80:] = QUALITY_FLAGS["bad_geolocation"]
    rain["retrieval_quality"] = (("scan", "pixel"), flags)
    xrain.write_rain(rain, tmp_path / "other.rain.nc")
    store = tmp_path / "store.zarr"
    assert run(granule, tmp_path / "other.rain.nc", store).exit_code == 0
    assert read_attrs(store)["reference"] == "x-unet"
    ds = open_store(store).load()
    known = np.isfinite(ds.surface_precip)
    assert ds.surface_precip.values[known.values] == pytest.approx(2.0)
    columns = (ds.first_pixel.values[:, None] + np.arange(SIZE))[known.any("scan").values]
    assert 60 <= columns.min() <= 61
    assert 136 <= columns.max() < 140  # pixels from 140 on are flagged
    result = run(granule, tmp_path / "other.rain.nc", tmp_path / "near.zarr", "--window", 2)
    assert "no granule meets a reference within 2 minutes" in result.stderr


def test_a_gridded_radar_is_a_reference(archive: Path, simulated: Path, tmp_path: Path) -> None:
    granule = xrain.open_l1c(simulated)
    lat, lon = np.arange(18, 32, 0.05), np.arange(-96, -80, 0.05)
    time = granule.time.values[12] + np.array([-40, -4, 3]) * MINUTE
    rate = np.broadcast_to(lat[:, None] - 10, (3, lat.size, lon.size)) * [[[2]], [[3]], [[1]]]
    grid = xr.Dataset(
        {"rain_rate": (("time", "latitude", "longitude"), rate.astype("f4"), {"units": "mm h-1"})},
        {"time": time, "latitude": lat, "longitude": lon},
    )
    grid.to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    store = tmp_path / "store.zarr"
    result = run(archive / "a.HDF5", tmp_path / "grid.nc", store)
    assert result.exit_code == 0, result.output
    ds = open_store(store).load()
    known = np.isfinite(ds.surface_precip.values)
    assert known.sum() > 2000
    expected = ds.latitude.values[known] - 10
    np.testing.assert_allclose(ds.surface_precip.values[known], expected, atol=0.03)


def test_real_granules_of_gprof_teach_and_those_apart_do_not(
    data_dir: Path, tmp_path: Path
) -> None:
    folder = data_dir / "granules" / "V7"
    (tmi,) = folder.glob("1C.TRMM*")
    store = tmp_path / "gprof.zarr"
    result = run(tmi, folder / "2A-CLIM.TRMM.TMI.GPROF*", store, "--least", 1)
    assert result.exit_code == 0, result.output
    ds = open_store(store).load()
    (gprof,) = (xrain.open_reference(p).load() for p in folder.glob("2A-CLIM.TRMM.TMI.GPROF*"))
    good = (gprof.quality >= 0) & (gprof.quality < 2)
    expected = gprof.surface_precip.where(good).values
    np.testing.assert_array_equal(ds.surface_precip.values[0, :10, :10], expected)
    assert np.isnan(ds.tb.values[0, 10:]).all()
    for k, product in enumerate(("2A.TRMM.PR*", "2B.TRMM*")):  # cut 474 km from the radiometer's
        result = run(tmi, folder / product, tmp_path / f"{k}.zarr", "--least", 1)
        assert result.exit_code == 0, result.output
        assert "1 granules have too few matched pixels" in result.stderr


# ---- matching


def radar_like(swath: xr.Dataset, rate: object = 1.0, minutes: int = 0) -> xr.Dataset:
    """Pixels in the middle of a swath, as close as those of a radar, with a rate."""
    middle = swath.isel(pixel=slice(60, 160))
    fine = middle.interp(scan=np.arange(0, middle.sizes["scan"] - 1, 0.4))
    place = fine[["latitude", "longitude"]].drop_vars("time", errors="ignore")
    start = swath.time.values[0]
    time = start + (np.arange(fine.sizes["scan"]) * 0.75e9).astype("m8[ns]") + minutes * MINUTE
    shape = fine.latitude.shape
    return xr.Dataset(
        {"surface_precip": (("scan", "pixel"), np.broadcast_to(rate, shape).astype("f4"))},
        {"latitude": (("scan", "pixel"), place.latitude.values),
         "longitude": (("scan", "pixel"), place.longitude.values), "time": ("scan", time)},
    )  # fmt: skip


def test_of_two_passes_the_nearer_in_time_counts_and_far_ones_do_not() -> None:
    swath = fake_swath("gmi", 20)[["latitude", "longitude", "time"]].load()
    late, early = (radar_like(swath, r, m) for r, m in ((5.0, 10), (3.0, -4)))
    both = [
        collocate_reference(r, swath, "surface_precip", 15 * MINUTE, 0.8) for r in (late, early)
    ]
    for first, second in (both, both[::-1]):
        found = first.or_nearer(second)
        assert set(np.unique(found.rate[np.isfinite(found.rate)].round(4))) == {3.0}
        assert np.isfinite(found.rate).sum() == np.isfinite(both[1].rate).sum()
    assert near_scans(swath, late, 15 * MINUTE)
    assert not near_scans(swath, radar_like(swath, minutes=60), 15 * MINUTE)
    gone = collocate_reference(late, swath, "surface_precip", MINUTE, 0.8)
    assert not (gone.fraction > 0).any()


def test_what_lacks_a_time_is_told() -> None:
    swath = fake_swath("gmi", 20)[["latitude", "longitude", "time"]].load()
    grid = xr.Dataset(
        {"rain_rate": (("latitude", "longitude"), np.ones((180, 360), "f4"))},
        {"latitude": np.arange(-89.5, 90), "longitude": np.arange(-179.5, 180)},
    )
    with pytest.raises(InputError, match="needs the coordinate time"):
        collocate_reference(grid, swath, "surface_precip", MINUTE, 0.8)


# ---- patches and days


@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.integers(3, 30), st.integers(2, 12))
def test_patches_hold_every_pixel_once(seed: int, rows: int, columns: int, size: int) -> None:
    known = np.random.default_rng(seed).random((rows, columns)) < 0.2
    seen = np.zeros((rows + size, columns + size), int)
    for p in find_patches(known, size, 1):
        assert p.row <= max(rows - size, 0)
        assert p.column <= max(columns - size, 0)
        assert p.mask.any()
        seen[p.row : p.row + size, p.column : p.column + size] += p.mask
    np.testing.assert_array_equal(seen[:rows, :columns], known)
    assert not seen[rows:].any()
    assert not seen[:, columns:].any()


def test_a_narrow_shared_swath_lies_in_the_middle_of_its_patches() -> None:
    known = np.zeros((40, 200), bool)
    known[:, 86:135] = True
    patches = find_patches(known, 64, 1)
    assert [(p.row, p.column) for p in patches] == [(0, 79)]
    assert find_patches(known, 64, 40 * 49 + 1) == []
    field = np.arange(40 * 200.0).reshape(40, 200)
    square = cut(field, patches[0], 64)
    np.testing.assert_array_equal(square[:40], field[:, 79:143])
    assert np.isnan(square[40:]).all()


def test_days_are_held_out() -> None:
    def days(split: Split, year: str) -> list[str]:
        first = np.datetime64(f"{year}-01-01")
        return [split.of(first + k) for k in range(365)]

    usual = days(Split(), "2015")
    assert {n: usual.count(n) for n in set(usual)}.keys() == {"train", "validation", "test"}
    assert 35 <= usual.count("test") <= 38
    drain = Split(test=("2019",))
    assert set(days(drain, "2019")) == {"test"}
    assert set(days(drain, "2018")) == {"train", "validation"}
    both = Split(("2019-06",), ("2019-07-01/2019-08",))
    assert [both.of(np.datetime64(d)) for d in ("2019-06-30T23", "2019-07-01", "2019-08-31",
            "2019-09-01")] == ["test", "validation", "validation", "train"]  # fmt: skip
    for bad in ("19", "2019-13", "2019/2018", "summer"):
        with pytest.raises(InputError, match=bad):
            Split(test=(bad,))
