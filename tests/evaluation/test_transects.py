from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from xrain.cli import app
from xrain.collocation import collocate, collocate_transects
from xrain.collocation.store import list_groups, open_store
from xrain.collocation.transects import open_store_transects
from xrain.demo import demo_granule
from xrain.errors import FileFormatError, InputError
from xrain.evaluation.compare import compare
from xrain.evaluation.report import write_comparison
from xrain.evaluation.scorecard import to_json
from xrain.evaluation.stores import score_store
from xrain.evaluation.transects import score_transects
from xrain.io.transects import is_transects, open_transects, smooth_along_track, transect_swath
from xrain.io.truth import truth_path
from xrain.models.export import save_model
from xrain.models.store import Model, load_model
from xrain.sensors import get_sensor
from xrain.testing import tiny_model
from xrain.training.archive import open_archive
from xrain.training.batches import draw_batch

NAMES = [c.name for c in get_sensor("GMI").channels]
SEA = np.array([170, 90, 195, 125, 222, 215, 152, 252, 215, 272, 265, 255, 268.0])
SIGNAL = np.array([22, 36, 28, 50, 14, 14, 42, -8, 8, -30, -28, -10, -20.0])
"""Temperatures of a calm sea, and how rain changes them."""
CLASSES = (0.05, 0.1, 0.3, 0.5, 1, 2, 5, 10)
BINS = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9)


def transects(path: Path, overpasses: int = 12, length: int = 90, seed: int = 0) -> Path:
    """Overpasses in a jumbled order, with rain that the Tb show, and some lost pixels."""
    rng = np.random.default_rng(seed)
    count = overpasses * length
    overpass = np.repeat(np.arange(overpasses) + 40, length)
    number = np.tile(np.arange(length) + 300, overpasses)
    wave = np.sin(np.arange(count) / 7.0) + rng.normal(0, 0.3, count)
    rain = np.where(wave > 0.4, np.exp(3.0 * wave - 1.0), 0.0)
    tb = SEA + SIGNAL * wave[:, None] + rng.normal(0, 1, (count, len(NAMES)))
    tb[rng.random(count) < 0.02, 3] = np.nan
    ds = xr.Dataset(
        {
            "tb": (("scan", "channel"), tb),
            "overpass": ("scan", overpass.astype("i2")),
            "scan_number": ("scan", number.astype("i2")),
            "surface_precip": ("scan", rain.astype("f4")),
            "latitude": ("scan", (30 + number / 60).astype("f4")),
            "longitude": ("scan", (-95 + overpass / 9).astype("f4")),
            "column_scan": ("column", np.arange(5)),
        },
        {"channel": NAMES},
    )
    ds.isel(scan=rng.permutation(count)).to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return transects(tmp_path_factory.mktemp("transects") / "transects.nc")


def hits(p: np.ndarray, r: np.ndarray, t: float) -> tuple[float, float, float]:
    """POD, FAR and HSS by their definition."""
    a, b = ((p >= t) & (r >= t)).sum(), ((p >= t) & (r < t)).sum()
    c, e = ((p < t) & (r >= t)).sum(), ((p < t) & (r < t)).sum()
    n = a + b + c + e
    chance = ((a + b) * (a + c) + (e + b) * (e + c)) / n
    return a / max(a + c, 1), b / max(a + b, 1), (a + e - chance) / (n - chance)


def check_all(found: dict, p: np.ndarray, q: np.ndarray, flag: np.ndarray, ds: xr.Dataset) -> None:
    """Work the scores of all pixels out anew, one by one."""
    r, over = ds["surface_precip"].values.astype(float), ds["overpass"].values
    smooth = np.array([r[max(k - 2, 0) : k + 3][over[max(k - 2, 0) : k + 3] == over[k]].mean()
                       for k in range(r.size)])  # fmt: skip
    g = np.isfinite(ds["tb"].values).all(axis=1)
    p, q, flag, r, smooth = p[g], q[g], flag[g], r[g], smooth[g]
    cut, wet, y = r.clip(0, 50), r > 0.05, r >= 0.1
    log = np.log(np.clip([p[wet], r[wet]], 0.05, None))
    expected = {
        "n": g.sum(),
        "rain_ratio": p.sum() / r.sum(),
        "correlation": np.corrcoef(p, cut)[0, 1],
        "correlation_smooth": np.corrcoef(p, smooth.clip(0, 50))[0, 1],
        "correlation_raining": np.corrcoef(p[wet], cut[wet])[0, 1],
        "correlation_log": np.corrcoef(*log)[0, 1],
        "rmse": np.sqrt(((p - cut) ** 2).mean()),
        "heavy_share": p[p >= 10].sum() / p.sum(),
        "heavy_share_reference": r[r >= 10].sum() / r.sum(),
        "heavy_share_smooth": smooth[smooth >= 10].sum() / smooth.sum(),
        "dry_with_rain": (p[r == 0] >= 0.1).mean(),
        "max_rate": p.max(),
        "brier": ((q - y) ** 2).mean(),
        "brier_climatology": y.mean() * (1 - y.mean()),
        "brier_skill": 1 - ((q - y) ** 2).mean() / (y.mean() * (1 - y.mean())),
    }
    for t in (0.1, 1, 10):
        expected |= dict(zip((f"pod_{t}", f"far_{t}", f"hss_{t}"), hits(p, r, t), strict=True))
    names = ("pod_10_smooth", "far_10_smooth", "hss_10_smooth")
    expected |= dict(zip(names, hits(p, smooth, 10), strict=True))
    told = hits(flag, y.astype(float), 0.5)
    expected |= dict(zip(("pod_flag", "far_flag", "hss_flag"), told, strict=True))
    for name, value in expected.items():
        if found[name] is not None or "far" not in name:  # no alarm: no ratio of false ones
            assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    bins = np.digitize(q, BINS)
    for row in found["reliability"]:
        k = bins == np.searchsorted(BINS, row["low"] + 1e-9)
        assert row["n"] == k.sum()
        assert row["probability"] == pytest.approx(q[k].mean())
        assert row["frequency"] == pytest.approx(y[k].mean())
    for by, values in (("reference", r), ("estimate", p)):
        for row in found[f"by_{by}"]:
            k = np.digitize(values, CLASSES) == np.searchsorted(CLASSES, row["low"] + 1e-9)
            assert row["n"] == k.sum()
            assert row["estimate"] == pytest.approx(p[k].mean())
            assert row["reference"] == pytest.approx(r[k].mean(), abs=1e-9)
            assert row["rain_share"] == pytest.approx(r[k].sum() / r.sum())


def judge(path: Path, model: object, overpasses: int | None = None) -> None:
    """Score a file, and compare with overpass by overpass retrieved and scored by hand."""
    ds = open_transects(path)
    if overpasses is not None:  # enough for some pixels of 10 mm/h
        ds = ds.isel(scan=np.isin(ds["overpass"], np.unique(ds["overpass"])[:overpasses]))
    found = score_transects(ds, model, bootstrap=20)
    assert json.loads(to_json(found)) == found
    assert found["event"] == "rain >= 0.1 mm/h"
    names = ("surface_precip", "probability_of_precip", "precip_flag")
    here = ds[["tb"]].rename(scan="sample")
    here.attrs["sensor"] = "GMI"
    import xrain

    alone = xrain.retrieve(here, model)
    table = [alone[n].values.astype(float) for n in names]
    check_all(found["table"]["all"], *table, ds)
    parts = []
    for _, own in ds.groupby("overpass"):
        line = own[["tb"]].expand_dims(pixel=1).transpose("scan", "pixel", "channel")
        line = line.drop_vars(["latitude", "longitude"]).assign_coords(
            {n: (("scan", "pixel"), own[n].values[:, None]) for n in ("latitude", "longitude")}
        )
        line.attrs["sensor"] = "GMI"
        rain = xrain.retrieve(line, model)
        parts.append([rain[n].values[:, 0].astype(float) for n in names])
    swath = [np.concatenate(x) for x in zip(*parts, strict=True)]
    check_all(found["swath"]["all"], *swath, ds)
    good = np.isfinite(ds["tb"].values).all(axis=1)
    kinds = np.where(good, np.digitize(table[0], CLASSES), -1)
    for row in found["by_table_mean"]:
        k = kinds == np.searchsorted(CLASSES, row["low"] + 1e-9)
        assert row["n"] == k.sum()
        for name, values in (
            ("table", table[0]),
            ("swath", swath[0]),
            ("reference", ds["surface_precip"].values),
            ("probability_swath", swath[1]),
        ):
            assert row[name] == pytest.approx(values[k].mean(), rel=1e-5, abs=1e-9), name
        assert row["swath_over_table"] == pytest.approx(row["swath"] / row["table"])
    low, high = found["table"]["all"]["correlation_interval"]
    assert low < found["table"]["all"]["correlation"] < high


def test_scores_of_transects_are_those_worked_out_by_hand(file: Path) -> None:
    judge(file, load_model("gmi-unet"))


def test_real_transects_give_the_same_scores_as_by_hand(data_dir: Path) -> None:
    judge(data_dir / "transects" / "gmi_corra_conus.nc", load_model("gmi-unet"), overpasses=20)


def test_overpasses_are_sorted_and_laid_out_days_apart(file: Path) -> None:
    ds = open_transects(file)
    assert ds.attrs["sensor"] == "GMI"
    assert "column_scan" not in ds
    assert (np.diff(ds["overpass"]) >= 0).all()
    swath = transect_swath(ds)
    assert swath["tb"].dims == ("scan", "pixel", "channel")
    assert swath.sizes["pixel"] == 1
    step = np.diff(swath["time"].values) / np.timedelta64(1, "s")
    new = np.diff(ds["overpass"].values) > 0
    assert (step[~new] == 1).all()
    assert (step[new] > 80_000).all()


def test_the_smooth_rate_stays_within_an_overpass() -> None:
    rate, over = np.arange(8.0), np.array([0, 0, 0, 1, 1, 1, 1, 2])
    expected = [1.0, 1.0, 1.0, 4.0, 4.5, 4.5, 5.0, 7.0]
    assert smooth_along_track(rate, over) == pytest.approx(expected)
    alone = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 5.5, 6.0]  # the end of an overpass is not its beginning
    assert smooth_along_track(rate, np.zeros(8, int)) == pytest.approx(alone)


def test_other_files_are_no_transects(file: Path, tmp_path: Path) -> None:
    assert is_transects(file)
    (tmp_path / "text.nc").write_text("no netCDF")
    assert not is_transects(tmp_path / "text.nc")
    assert not is_transects(tmp_path / "absent.nc")
    with pytest.raises(FileFormatError, match=r"text\.nc"):
        open_transects(tmp_path / "text.nc")
    ds = xr.load_dataset(file, engine="h5netcdf").drop_vars("overpass")
    ds.to_netcdf(tmp_path / "lone.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="transects need overpass"):
        open_transects(tmp_path / "lone.nc")


def test_the_command_tells_table_swath_and_classes(file: Path, tmp_path: Path) -> None:
    tiny = tiny_model()
    save_model(tmp_path / "tiny-1", tiny.card, tiny.network.state_dict(), half=False)
    arguments = ["score", str(file), "-m", str(tmp_path / "tiny-1"), "--bootstrap", "3"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "tiny@1 on transects.nc; an event is rain >= 0.1 mm/h"
    for heading in ("each pixel alone", "with neighbours"):
        assert heading in lines
    assert lines[-1].split()[0]
    classes = lines.index("mean rates in mm/h by classes of the rate of each pixel alone")
    head = lines[classes + 1].split()
    assert head == ["low", "high", "n", "rain_share", "table", "swath", "reference"]


# ---- as a store


@pytest.fixture(scope="module")
def store(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "transects.zarr"
    done = CliRunner().invoke(app, ["collocate", "--transects", str(file), "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("train: ")
    return path


def renumbered(file: Path, path: Path, first: int) -> Path:
    ds = xr.load_dataset(file, engine="h5netcdf")
    number = ds["overpass"] - ds["overpass"].min() + first
    ds.assign(overpass=number.astype("i2")).to_netcdf(path, engine="h5netcdf")
    return path


def test_blocks_of_overpasses_serve_one_purpose(file: Path, tmp_path: Path) -> None:
    """Overpasses 85 to 96: five for validation, six for the test, whatever the file's order."""
    path = renumbered(file, tmp_path / "r.nc", 85)
    groups = collocate_transects([path], tmp_path / "s.zarr")
    assert [p.split for p in groups] == ["validation"] * 5 + ["test"] * 7
    assert len({p.name for p in groups}) == 12
    again = collocate_transects([path], tmp_path / "s.zarr")
    assert [p.attrs for p in again] == [p.attrs for p in groups]
    with pytest.raises(InputError, match="its patch_size differ"):
        collocate_transects([path], tmp_path / "s.zarr", size=32)
    with pytest.raises(InputError, match="store holds transects"):
        collocate([demo_granule()], [truth_path(demo_granule())], tmp_path / "s.zarr", workers=1)


def test_a_store_holds_what_the_file_holds(file: Path, store: Path) -> None:
    ds, kept = open_transects(file), open_store_transects(store, "train")
    assert list(kept["overpass"].values) == list(ds["overpass"].values - 40)
    for name in ("scan_number", "surface_precip", "latitude", "longitude"):
        np.testing.assert_array_equal(kept[name].values, ds[name].values)
    np.testing.assert_allclose(kept["tb"].values, ds["tb"].values, atol=0.006)
    patches = open_store(store)
    assert patches["tb"].shape[1:] == (64, 1, 13)
    assert sum(p.attrs["matched_pixels"] for p in list_groups(store)) == ds.sizes["scan"]


def test_a_store_scores_like_its_file(file: Path, tmp_path: Path) -> None:
    path = renumbered(file, tmp_path / "r.nc", 90)  # ten of them for the test
    collocate_transects([path], tmp_path / "s.zarr")
    ds = open_transects(path)
    ds = ds.isel(scan=ds["overpass"].values < 100)
    stored = score_store(tmp_path / "s.zarr", "gmi-unet", bootstrap=0)
    filed = score_transects(ds, "gmi-unet", bootstrap=0)
    for kind in ("table", "swath"):
        for name, value in filed[kind]["all"].items():
            if isinstance(value, float):  # brightness temperatures are kept to 0.01 K
                assert stored[kind]["all"][name] == pytest.approx(value, abs=0.01, rel=2e-3), name


@pytest.mark.parametrize("kind", ["file", "store"])
def test_models_are_compared_on_transects(
    file: Path, tmp_path: Path, kind: str, models: list[Model]
) -> None:
    path = renumbered(file, tmp_path / "r.nc", 90)
    if kind == "store":
        collocate_transects([path], tmp_path / "s.zarr")
        path = tmp_path / "s.zarr"
    found = compare([path], models, bootstrap=5)
    ds = open_transects(tmp_path / "r.nc")
    if kind == "store":
        ds = ds.isel(scan=ds["overpass"].values < 100)
    known = np.isfinite(ds["tb"].values).any(axis=1) & np.isfinite(ds["surface_precip"].values)
    first = found.scores["first"]
    assert first["n"].sel(stratum="all") == known.sum()
    assert first["events"].sel(stratum="all") == (ds["surface_precip"].values >= 0.1).sum()
    assert first["n"].sel(stratum="DJF") == 0  # nobody knows when it was
    assert first.attrs["group"] == "granule"
    page, _ = write_comparison(found, tmp_path / "out")
    assert found.reference == ("radar of r.nc" if kind == "file" else "radar along the track")
    assert page.stat().st_size > 10_000
    with pytest.raises(InputError, match="hold their reference"):
        compare([path], models, "truth")
    with pytest.raises(InputError, match="mixed with granules"):
        compare([path, demo_granule()], models)


def test_a_network_trains_on_transects(file: Path, tmp_path: Path) -> None:
    path = renumbered(file, tmp_path / "r.nc", 78)
    collocate_transects([path], tmp_path / "s.zarr")
    archive = open_archive(tmp_path / "s.zarr", "train", tmp_path / "cache", NAMES)
    assert archive.shard.tb.shape == (4, 64, 1, 13)
    channels = {"GMI": get_sensor("GMI").channels}
    batch = draw_batch([archive.source(1.0)], channels, 4, (0, 1))
    assert batch.rain.shape[1:] in {(32, 1), (64, 1)}
    assert batch.planes.shape[-1] == 1
    wanted = archive.shard.rain[np.isfinite(archive.shard.rain)].mean()
    means = []
    for k in range(60):
        batch = draw_batch([archive.source(1.0)], channels, 8, (0, k))
        means.append(float((batch.weight * batch.rain.nan_to_num()).sum()))
    assert np.mean(means) == pytest.approx(wanted, rel=0.15)
