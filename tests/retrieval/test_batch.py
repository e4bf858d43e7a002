from __future__ import annotations

import dataclasses
import datetime
import functools
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
import xarray as xr

from xrain.cli.summary import summarize
from xrain.errors import FileFormatError, InputError, OutputError
from xrain.io.open import open_any
from xrain.io.write_rain import write_rain
from xrain.models.export import save_model
from xrain.plotting.save import save_picture
from xrain.retrieval.batch import find_granules, retrieve_files
from xrain.retrieval.batch_granule import BatchOptions, Granule, is_complete
from xrain.retrieval.batch_inputs import moment
from xrain.testing import fake_swath, tiny_model, write_fake_l1c


def picture() -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure()
    figure.subplots().plot([0, 1])
    return figure


def test_two_granules_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a/x.HDF5", "b/x.nc"):
        write_fake_l1c(tmp_path / name, "GMI", scans=4)
    with pytest.raises(InputError, match=r"a/x\.HDF5, .*b/x\.nc .*out/x\.rain\.nc"):
        retrieve_files([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- what is found


def test_files_folders_patterns_and_lists_name_granules(tmp_path, monkeypatch) -> None:
    names = ["a.HDF5", "b.nc", "deep/c.HDF5", "a.rain.nc", ".hidden.nc", "notes.txt",
             "2A.GPM.DPR.V9-20211125.20200701-S000000-E013000.035000.V07A.HDF5"]  # fmt: skip
    (tmp_path / "deep").mkdir()
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text(f"# mine\n\n{tmp_path / 'b.nc'}\n{tmp_path / 'no.nc'}\n")
    granules = [tmp_path / n for n in ("a.HDF5", "b.nc", "deep/c.HDF5")]
    assert find_granules([tmp_path]) == granules
    assert find_granules([tmp_path / "b.nc", tmp_path]) == [granules[1], granules[0], granules[2]]
    assert find_granules([f"{tmp_path}/**/[ac].HDF5"]) == [granules[0], granules[2]]
    listed = [granules[1], tmp_path / "no.nc"]
    assert find_granules([f"@{tmp_path}/list.txt"]) == listed
    monkeypatch.setattr("sys.stdin", (tmp_path / "list.txt").open())
    assert find_granules(["-"]) == listed
    for nothing in ([f"{tmp_path}/*.xyz"], [f"@{tmp_path}/none"], []):
        with pytest.raises(InputError, match=r"no granules|cannot be read"):
            find_granules(nothing)


def name_at(start: str, end: str, ending: str = "HDF5") -> str:
    return f"1C.GPM.GMI.XCAL2016-C.{start}-E{end}.V07A.{ending}"


def test_granules_are_chosen_by_time(tmp_path: Path) -> None:
    names = [
        name_at("20200630-S233000", "010000"),
        name_at("20200701-S120000", "120458", "RT-NC"),
        name_at("20200702-S000000", "013000"),
    ]
    for name in names:
        (tmp_path / name).touch()
    unnamed = write_fake_l1c(
        tmp_path / "z.HDF5", "GMI", scans=4, start=np.datetime64("2020-07-01T20:00:00")
    )

    def chosen(start, end) -> list[str]:
        return [p.name for p in find_granules(tmp_path, start=start, end=end)]

    assert chosen(None, None) == [*names, unnamed.name]
    assert chosen("2020-07-01", "2020-07-01") == [*names[:2], unnamed.name]
    assert chosen("2020-07-01T12:04:58", "2020-07-01T20:00") == [names[1]]
    assert chosen(datetime.datetime(2020, 7, 2), None) == [names[2]]
    assert chosen(None, "2020-06") == [names[0]]
    with pytest.raises(InputError, match="none of 4 granules"):
        chosen("2021", None)
    with pytest.raises(InputError, match="no time"):
        chosen("today or so", None)


def test_a_time_with_a_zone_is_moved_to_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    local = datetime.datetime(2020, 7, 1, 1, 0, tzinfo=zone)
    assert moment(local) == np.datetime64("2020-06-30T23:00")


# ---- what is done, and what need not be


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[str]:
    """Two models in folders."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        tiny = tiny_model("GMI", seed=seed)
        save_model(folder / str(seed), tiny.card, tiny.network.state_dict(), half=False)
    return [str(folder / "1"), str(folder / "2")]


@pytest.fixture
def granules(tmp_path: Path) -> list[Path]:
    (tmp_path / "in").mkdir()
    good = [write_fake_l1c(tmp_path / "in" / f"{k}.HDF5", "GMI", scans=20, seed=k) for k in (0, 1)]
    (tmp_path / "in" / "bad.HDF5").write_text("no granule")
    return [*good, tmp_path / "in" / "bad.HDF5"]


def statuses(outcomes) -> list[str]:
    return [o.status for o in outcomes]


def assert_same_rain(one: Path, two: Path) -> None:
    with xr.open_dataset(one) as a, xr.open_dataset(two) as b:
        np.testing.assert_allclose(a.surface_precip, b.surface_precip, atol=1e-5)


def test_a_second_run_skips_what_is_complete(tmp_path, granules, models) -> None:
    out = tmp_path / "out"
    run = functools.partial(retrieve_files, granules, out)
    assert statuses(run(model=models[0])) == ["done", "done", "failed"]
    assert statuses(run(model=models[0])) == ["skipped", "skipped", "failed"]
    assert statuses(run(model=models[0], overwrite=True)) == ["done", "done", "failed"]
    assert statuses(run(model=models[0], quantiles=(0.1,))) == ["done", "done", "failed"]
    assert statuses(run(model=models[1], quantiles=(0.1,))) == ["done", "done", "failed"]
    write_fake_l1c(granules[0], "GMI", scans=24)
    (out / "1.rain.nc").write_bytes(b"damaged")
    assert statuses(run(model=models[1], quantiles=(0.1,))) == ["done", "done", "failed"]
    with xr.open_dataset(out / "0.rain.nc") as ds:
        assert ds.sizes["scan"] == 24
        assert ds.attrs["source_file"] == "0.HDF5"


def test_a_picture_that_is_missing_is_not_complete(tmp_path, granules, models) -> None:
    retrieve_files(granules[:1], tmp_path, model=models[0])
    plain = Granule(granules[0], tmp_path / "0.rain.nc", BatchOptions(models[0]))
    assert is_complete(plain)
    options = BatchOptions(models[0], draw=lambda rain, path: path)
    drawn = dataclasses.replace(plain, options=options)
    assert not is_complete(drawn)
    (tmp_path / "0.rain.png").touch()
    assert is_complete(drawn)


def test_options_that_change_the_rain_are_told_apart(tmp_path, granules) -> None:
    run = functools.partial(retrieve_files, granules[:1], tmp_path)
    with xr.open_dataset(granules[0], engine="gpm-l1c") as ds:
        box = (float(ds.longitude.min()), float(ds.longitude.max()), -90.0, 90.0)
    changes = [
        {}, {"given_rain": True}, {"prior": 0.2}, {"precision": "bfloat16"}, {"extent": box}
    ]  # fmt: skip
    for options in changes:
        assert statuses(run(**options)) == ["done"]
        assert statuses(run(**options)) == ["skipped"]
    for options in changes[:-1]:
        assert statuses(run(**options)) == ["done"]


def test_given_rain_and_prior_reach_the_retrieval(tmp_path, granules) -> None:
    options = {"given_rain": True, "prior": 0.3, "quantiles": (0.25, 0.75)}
    retrieve_files(granules[:1], tmp_path, **options)
    with (
        xr.open_dataset(granules[0], engine="gpm-l1c") as ds,
        xr.open_dataset(tmp_path / "0.rain.nc") as rain,
    ):
        direct = ds.rain.retrieve(**options)
        for name in ("surface_precip", "surface_precip_quantile", "probability_of_precip"):
            np.testing.assert_allclose(rain[name], direct[name], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "grib"}, "'netcdf' or 'zarr'"),
        ({"extent": (0, 10, 20, 10)}, "west, east, south, north"),
        ({"prior": 1.5}, "between 0 and 1"),
        ({"jobs": 0}, "jobs"),
    ],
)
def test_options_that_make_no_sense_are_told(tmp_path, granules, models, options, message) -> None:
    try:
        (outcome,) = retrieve_files(granules[:1], tmp_path, model=models[0], **options)
        error = outcome.error
    except InputError as raised:
        error = raised
    assert isinstance(error, InputError)
    assert message in str(error)


# ---- an area


def test_scans_that_see_an_area_have_the_rain_of_the_whole(tmp_path, models) -> None:
    granule = write_fake_l1c(tmp_path / "g.HDF5", "GMI", scans=400, missing=0.02)
    retrieve_files(granule, tmp_path / "all", model=models[0])
    with xr.open_dataset(tmp_path / "all" / "g.rain.nc") as whole:
        middle = whole.isel(scan=slice(180, 220), pixel=110)
        south, north = np.sort(middle.latitude.values[[0, -1]])
        east = float(middle.longitude.max()) + 0.5
        west = float(middle.longitude.min()) - 0.5
        (outcome,) = retrieve_files(
            granule, tmp_path / "some", model=models[0], extent=(west, east, south, north)
        )
        inside = (whole.latitude >= south) & (whole.latitude <= north)
        inside &= (whole.longitude - west) % 360 <= (east - west) % 360
        wanted = whole.isel(scan=np.flatnonzero(inside.any("pixel")))
        assert 0 < wanted.sizes["scan"] < 400
        with xr.open_dataset(outcome.written[0]) as some:
            assert outcome.pixels == some.surface_precip.size
            np.testing.assert_array_equal(some.time, wanted.time)
            np.testing.assert_array_equal(some.retrieval_quality, wanted.retrieval_quality)
            np.testing.assert_allclose(some.surface_precip, wanted.surface_precip, atol=1e-5)
    far = (west + 100, east + 100, south, north)
    (outcome,) = retrieve_files(granule, tmp_path / "far", model=models[0], extent=far)
    assert (outcome.status, outcome.written) == ("outside", ())


# ---- one store a day


def test_a_day_of_several_sensors_is_one_store(tmp_path, models) -> None:
    starts = ("2020-07-01T10:00:00", "2020-07-01T20:00:00", "2020-07-02T01:00:00")
    sensors = ("GMI", "MHS", "GMI")
    for k, (start, sensor) in enumerate(zip(starts, sensors, strict=True)):
        write_fake_l1c(
            tmp_path / "in" / f"{k}.HDF5", sensor, scans=12, start=np.datetime64(start)
        )  # fmt: skip
    out = tmp_path / "out"
    run = functools.partial(retrieve_files, tmp_path / "in", out, model=models[0], format="zarr")
    first = run()
    assert statuses(first[::2]) == ["done", "done"]  # the model is that of GMI
    written = [o.written[0].relative_to(out).as_posix() for o in first if o.written]
    assert {"2020-07-01.zarr/0", "2020-07-02.zarr/2"} <= set(written)
    assert statuses(run()[::2]) == ["skipped", "skipped"]
    assert statuses(run(overwrite=True)[::2]) == ["done", "done"]
    retrieve_files(tmp_path / "in", tmp_path / "nc", model=models[0])
    with (
        xr.open_datatree(out / "2020-07-01.zarr", engine="zarr", consolidated=False) as day,
        xr.open_dataset(tmp_path / "nc" / "0.rain.nc") as file,
    ):
        assert sorted(day.children) == [Path(w).name for w in sorted(written) if "-01" in w]
        np.testing.assert_array_equal(day["0"].surface_precip, file.surface_precip)
        np.testing.assert_array_equal(day["0"].time, file.time)


def test_a_store_of_others_is_left_alone(tmp_path, granules, models) -> None:
    with xr.open_dataset(granules[0], engine="gpm-l1c") as ds:
        day = str(ds.time.values[0].astype("M8[D]"))
    (tmp_path / f"{day}.zarr").mkdir()
    (tmp_path / f"{day}.zarr" / "mine.txt").write_text("mine")
    (outcome,) = retrieve_files(granules[0], tmp_path, model=models[0], format="zarr")
    assert isinstance(outcome.error, OutputError)
    assert (tmp_path / f"{day}.zarr" / "mine.txt").read_text() == "mine"


@pytest.mark.slow
def test_processes_give_what_one_gives(tmp_path, granules, models) -> None:
    one = retrieve_files(granules, tmp_path / "one", model=models[0])
    two = retrieve_files(granules, tmp_path / "two", model=models[0], jobs=2)
    assert sorted(statuses(two)) == sorted(statuses(one)) == ["done", "done", "failed"]
    (error,) = [o.error for o in two if o.error]
    assert isinstance(error, FileFormatError)
    for name in ("0.rain.nc", "1.rain.nc"):
        with (
            xr.open_dataset(tmp_path / "one" / name) as a,
            xr.open_dataset(tmp_path / "two" / name) as b,
        ):
            np.testing.assert_allclose(a.surface_precip, b.surface_precip, atol=1e-5)
    assert statuses(retrieve_files(granules, tmp_path / "two", model=models[0], jobs=2)) == [
        "skipped", "skipped", "failed",
    ]  # fmt: skip


def test_rain_files_and_granules_of_both_kinds_open(tmp_path: Path) -> None:
    rain = xr.Dataset({"surface_precip": (("scan", "pixel"), np.ones((2, 3), "f4"))})
    with open_any(write_rain(rain, tmp_path / "a.nc")) as ds:
        assert "surface_precip" in ds
    for name in ("g.HDF5", "g.nc"):
        with open_any(write_fake_l1c(tmp_path / name, "gmi", scans=4)) as ds:
            assert ds.attrs["sensor"] == "GMI"
    (tmp_path / "text").write_text("text")
    with pytest.raises(FileFormatError, match="text"):
        open_any(tmp_path / "text")


def test_a_summary_counts_what_is_there() -> None:
    ds = fake_swath("gmi", 6, 5)
    ds["tb"] = ds["tb"].copy()
    ds["tb"][:3, :, 0] = np.nan
    ds["tb"][:, :, 1] = np.nan
    rows = {row[0]: row for row in summarize(ds).rows}
    assert rows["10.65V"][2] == "50.0%"
    assert rows["10.65H"][2:] == ("0.0%", "–", "–", "–")
    assert rows["18.7V"][2] == "100.0%"


def test_a_bare_dataset_has_a_summary() -> None:
    tb = np.full((2, 3, 1), 200, "f4")
    ds = xr.Dataset({"tb": (("scan", "pixel", "channel"), tb)}, {"channel": ["36.5V"]})
    assert summarize(ds).rows == (("36.5V", "", "100.0%", "200.0", "200.0", "200.0"),)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".SVG"])
def test_a_picture_is_saved_in_the_format_of_its_name(tmp_path: Path, suffix: str) -> None:
    path = save_picture(picture, tmp_path / f"a{suffix}")
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".SVG": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(start)


def test_a_picture_that_cannot_be_saved_is_told_before_it_is_drawn(tmp_path: Path) -> None:
    def never() -> None:
        raise AssertionError("drawn")

    with pytest.raises(InputError, match="unknown kind of picture"):
        save_picture(never, tmp_path / "a.abc")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_picture(never, tmp_path / "file" / "a.png")
