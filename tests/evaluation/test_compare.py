from __future__ import annotations

import dataclasses
import json
import shutil
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

import xrain
from xrain.cli import app
from xrain.errors import FileFormatError, InputError
from xrain.evaluation.compare import Comparison, compare
from xrain.evaluation.evaluate import evaluate, sum_retrieval
from xrain.evaluation.metrics import bootstrap_intervals, rate_scores
from xrain.evaluation.pixels import LEVELS
from xrain.evaluation.report import write_comparison
from xrain.evaluation.scores import paired_differences
from xrain.io.truth import open_truth, radar_path, truth_path
from xrain.models.store import Model
from xrain.reference.collocated import ReferenceFiles
from xrain.simulate.granule import simulate_granule
from xrain.testing import tiny_model, write_fake_l1c


@pytest.fixture(scope="module")
def found(models: list[Model], granules: list[Path]) -> Comparison:
    return compare(granules, models, "truth", bootstrap=20)


def test_granules_together_score_as_one_retrieval_of_them_all(
    found: Comparison, models: list[Model], granules: list[Path]
) -> None:
    truth = xr.concat([open_truth(g) for g in granules], "scan")
    rain = xr.concat(
        [xrain.retrieve(xrain.open_l1c(g).load(), models[0], quantiles=LEVELS) for g in granules],
        "scan",
    )
    whole = evaluate(rain, truth, bootstrap=0)
    for name in ("n", "correlation", "rmse", "bias", "hss_flag", "auc", "crps"):
        xr.testing.assert_allclose(
            found.scores["first"][name].drop_attrs(), whole[name].drop_attrs()
        )
    assert list(found.scores) == ["first", "second"]
    assert [g["granule"] for g in found.granules] == [g.name for g in granules]
    assert sum(g["pixels"] for g in found.granules) == whole["n"].sel(stratum="all")


def test_every_estimate_is_scored_on_the_same_pixels(
    found: Comparison,
) -> None:
    first, second = (found.scores[n]["n"] for n in ("first", "second"))
    assert first.equals(second)


def test_differences_come_from_the_same_draws(found: Comparison) -> None:
    gap = found.differences["second"]
    for name in ("correlation", "rmse", "hss_flag"):
        expected = found.scores["second"][name] - found.scores["first"][name]
        np.testing.assert_allclose(gap[name], expected)
    low, high = gap["rmse_interval"].sel(stratum="all").values
    assert low <= gap["rmse"].sel(stratum="all") <= high
    wide = [np.ptp(s["rmse_interval"].sel(stratum="all").values) for s in found.scores.values()]
    assert high - low < sum(wide)


def test_an_estimate_differs_from_itself_by_nothing(granules: list[Path]) -> None:
    truth = open_truth(granules[0])
    noisy = truth.assign(surface_precip=truth["surface_precip"] * 1.3 + 0.1)
    sums = sum_retrieval(noisy, truth)
    gap = paired_differences(sums, sums, bootstrap=10)
    assert float(abs(gap["rmse_interval"]).max()) == 0
    with pytest.raises(ValueError, match="same groups"):
        paired_differences(sums, sum_retrieval(noisy, truth, name="other"))


def test_intervals_agree_with_draws_of_the_pixels_themselves(granules: list[Path]) -> None:
    """Stretches of scans drawn as sums and as pixels."""
    truth = xr.concat([open_truth(g) for g in granules] * 3, "scan")
    rng = np.random.default_rng(0)
    noise = rng.gamma(1.0, 0.4, truth["surface_precip"].shape)
    rain = truth.assign(surface_precip=truth["surface_precip"] * 0.8 + noise)
    found = evaluate(rain, truth, bootstrap=400)["bias_interval"].sel(stratum="all").values
    f, o = (d["surface_precip"].values for d in (rain, truth))
    groups = np.broadcast_to((np.arange(len(f)) // 32)[:, None], f.shape)
    expected = bootstrap_intervals(rate_scores, [f.ravel(), o.ravel()], groups.ravel(), 200)
    width = np.ptp(expected["bias"])
    np.testing.assert_allclose(found, expected["bias"], atol=0.25 * width)


def test_the_scene_is_the_stretch_with_most_rain(found: Comparison, granules: list[Path]) -> None:
    assert list(found.scene) == ["simulated truth", "first", "second"]
    truth = found.scene["simulated truth"]["surface_precip"]
    assert truth.shape == found.scene["first"]["surface_precip"].shape
    totals = [float(open_truth(g)["surface_precip"].sum()) for g in granules]
    assert float(truth.sum()) == pytest.approx(max(totals))


def test_the_notes_say_what_the_figures_are_worth(
    found: Comparison, models: list[Model], granules: list[Path], tmp_path: Path
) -> None:
    text = " ".join(found.notes)
    assert "simulated" in text
    assert "proves the path" not in text
    granule = tmp_path / "1C.TEST.HDF5"
    shutil.copy(granules[0], granule)
    truth = xr.load_dataset(truth_path(granules[0]), engine="h5netcdf")
    some = truth.where(truth["surface_precip"].notnull() & (np.arange(96) < 2)[:, None])
    some.to_netcdf(truth_path(granule), engine="h5netcdf")
    few = " ".join(compare([granule], models[:1], "truth", bootstrap=5).notes)
    assert "Only 180 pixels" in few
    assert "not the skill" in few
    assert "Intervals" not in few
    (truth * np.nan).to_netcdf(truth_path(granule), engine="h5netcdf")
    none = compare([granule], models, "truth", bootstrap=5)
    assert "nothing to score" in " ".join(none.notes)
    assert none.scores["first"]["correlation"].isnull().all()


def test_memory_does_not_grow_with_the_granules(models: list[Model], granules: list[Path]) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        compare([granules[0]] * count, models[:1], "truth", bootstrap=0)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(1)  # what is loaded once
    assert peak(4) < 1.2 * peak(1)


def test_models_of_one_name_are_told_apart_or_refused(granules: list[Path]) -> None:
    one, other = (
        Model(dataclasses.replace(m.card, name="tiny"), m.network)
        for m in (tiny_model(), tiny_model(seed=3))
    )
    newer = Model(dataclasses.replace(other.card, version=2), other.network)
    both = compare(granules[:1], [one, newer], "truth", bootstrap=0)
    assert list(both.scores) == ["tiny@1", "tiny@2"]
    with pytest.raises(InputError, match="named twice"):
        compare(granules[:1], [one, other], "truth")


def test_what_cannot_be_compared_is_refused(models: list[Model], granules: list[Path]) -> None:
    with pytest.raises(InputError, match="at least one granule"):
        compare([], models, "truth")
    with pytest.raises(InputError, match="one model or product"):
        compare(granules, [], "truth")
    with pytest.raises(InputError, match="need a reference to be compared with"):
        compare(granules, models, [])
    with pytest.raises(FileFormatError):
        compare(granules, models, [granules[0]])


# ---- real files: one TMI orbit, cut to 10 × 10 nearly dry pixels


@pytest.fixture(scope="module")
def orbit(data_dir: Path) -> dict[str, Path]:
    names = {"l1c": "1C.TRMM.TMI", "gprof": "2A-CLIM.TRMM.TMI", "pr": "2A.TRMM.PR"}
    files = {k: next(data_dir.glob(f"granules/V7/{n}*.000160.*"), None) for k, n in names.items()}
    if None in files.values():
        pytest.skip("TMI orbit 160 is not there")
    return {k: f for k, f in files.items() if f is not None}


def test_gprof_of_the_same_orbit_takes_part(
    orbit: dict[str, Path], models: list[Model], tmp_path: Path
) -> None:
    found = compare([orbit["l1c"]], models[:1], [orbit["gprof"]], also=[orbit["gprof"]])
    page, _ = write_comparison(found, tmp_path)
    assert "proves the path" in page.read_text(encoding="utf-8")
    assert list(found.scores) == ["first", "GPROF V07A"]
    mirror = found.scores["GPROF V07A"].sel(stratum="all")
    assert (mirror["n"], mirror["rmse"]) == (100, 0.0)
    assert "auc" in mirror
    text = " ".join(found.notes)
    assert "Only 100 pixels" in text
    assert "is itself a retrieval" in text


def test_a_dry_orbit_against_itself_still_gives_a_page(
    orbit: dict[str, Path], tmp_path: Path
) -> None:
    found = compare([orbit["l1c"]], [], [orbit["gprof"]], also=[orbit["gprof"]])
    page, _ = write_comparison(found, tmp_path)
    assert "No rate reaches" in page.read_text(encoding="utf-8")


def test_a_radar_that_looks_elsewhere_leaves_nothing_to_score(
    orbit: dict[str, Path], models: list[Model], tmp_path: Path
) -> None:
    """As cut, the radar's pixels of the orbit lie 500 km away from the radiometer's."""
    found = compare([orbit["l1c"]], models, [orbit["pr"]], also=[orbit["gprof"]])
    assert found.scores["first"]["n"].sum() == 0
    assert "nothing to score" in found.notes[0]
    arguments = [
        "compare",
        str(orbit["l1c"]),
        "-r",
        str(orbit["pr"]),
        "--also",
        str(orbit["gprof"]),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "nothing to score" in done.stderr
    page, _ = write_comparison(found, tmp_path)
    assert "nothing to score" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_radar_over_the_same_rain_is_averaged_over_footprints(tmp_path: Path) -> None:
    start = np.datetime64("2010-07-01T12:00", "ns")
    granule = simulate_granule(
        "tmi", tmp_path / "1C.TEST.HDF5", seed=5, scans=40, with_radar=True, start=start
    )
    swath = xrain.open_l1c(granule).load()
    radar, truth = (
        ds["surface_precip"].values
        for ds in (
            ReferenceFiles([radar_path(granule)]).on(granule.name, swath),
            open_truth(granule),
        )
    )
    both = np.isfinite(radar) & np.isfinite(truth)
    assert 0.1 < both.mean() < 0.6  # the radar's swath is narrower
    assert np.corrcoef(radar[both], truth[both])[0, 1] > 0.98
    assert radar[both].mean() == pytest.approx(truth[both].mean(), rel=0.15)


def test_a_product_of_another_time_is_refused(orbit: dict[str, Path], models: list[Model]) -> None:
    other = next(orbit["gprof"].parent.glob("2A-CLIM.GPM.GMI*"))
    with pytest.raises(InputError, match="overlaps it in time"):
        compare([orbit["l1c"]], models, [other])


def test_a_gridded_product_is_averaged_over_footprints(data_dir: Path, tmp_path: Path) -> None:
    path = next(data_dir.glob("granules/V7/3B-HHR*"), None)
    if path is None:
        pytest.skip("there is no IMERG granule")
    start = np.datetime64("2000-06-01T00:05", "ns")
    granule = write_fake_l1c(tmp_path / "1C.TEST.HDF5", "mhs", scans=8, start=start)
    swath = xrain.open_l1c(granule).load()
    assert np.isnan(ReferenceFiles([path]).on(granule.name, swath)["surface_precip"]).all()
    moved = tmp_path / path.name  # from the south pole to under the swath
    moved.write_bytes(path.read_bytes())
    with h5py.File(moved, "a") as file:
        for name, place, step in (("lat", swath.latitude, 0.1), ("lon", swath.longitude, 1.0)):
            file[f"Grid/{name}"][:] = float(place[4, 45]) + step * (np.arange(10) - 5)
        file["Grid/precipitation"][:] = 2.5
    found = ReferenceFiles([moved]).on(granule.name, swath)["surface_precip"]
    assert found.dims == ("scan", "pixel")
    assert 4 < np.isfinite(found).sum() < 100
    assert np.nanmax(np.abs(found - 2.5)) < 1e-5


# ---- the command


def test_the_command_prints_a_table_and_writes_two_files(
    written: tuple[Path, Result], found: Comparison
) -> None:
    out, done = written
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    count = int(found.scores["first"]["n"].sel(stratum="all"))
    event = "an event is rain >= 0.1 mm/h"
    assert lines[0] == f"all, against simulated truth: {count} pixels; {event}"
    assert lines[1].split() == ["first", "second"]
    row = next(line for line in lines if line.startswith("Correlation"))
    assert row.split()[1] == f"{float(found.scores['first']['correlation'][0]):.3f}"
    assert lines[-2:] == [str(out / n) for n in ("report.html", "scores.json")]
    assert "simulated" in done.stderr
    numbers = json.loads((out / "scores.json").read_text())
    assert set(numbers["estimates"]) == {"first", "second"}
    ocean = numbers["estimates"]["second"]["scores"]["ocean"]
    assert ocean["rmse"] == pytest.approx(
        float(found.scores["second"]["rmse"].sel(stratum="ocean"))
    )
    assert len(ocean["rmse_interval"]) == 2
    assert numbers["estimates"]["first"]["sha256"]


def test_the_command_tells_what_is_wrong_in_one_message(
    folders: list[Path], granules: list[Path]
) -> None:
    options = ["--models", str(folders[0]), "--reference", "/nowhere/2A.HDF5"]
    done = CliRunner().invoke(app, ["compare", str(granules[0]), *options])
    assert done.exit_code == 2
    assert "/nowhere/2A.HDF5" in done.stderr
    assert not done.stdout
