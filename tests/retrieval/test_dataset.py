"""From tb to rain: the least input, every chunking, the flags, the provenance."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xrain
from xrain.conventions import ATTRIBUTES, QUALITY_FLAGS
from xrain.errors import InputError, ModelError
from xrain.models.export import save_model
from xrain.models.store import load_model
from xrain.retrieval.dataset import check, default_model, retrieve
from xrain.retrieval.tiles import plan
from xrain.sensors import get_sensor, list_sensors
from xrain.testing import fake_swath, tiny_model, tiny_rate, write_fake_l1c

MISSING, RANGE, LOST, EDGE, ASSUMED, NONE, SUSPECT = QUALITY_FLAGS.values()


@functools.cache
def model(sensor: str | None = None, **options):
    return tiny_model(sensor, **options)


@pytest.fixture
def gmi() -> xr.Dataset:
    return fake_swath("GMI", 24, 18)


def flags_at(rain: xr.Dataset, scan: int, pixel: int) -> int:
    return int(rain.retrieval_quality[scan, pixel])


def refuse(*args, **kwargs):
    raise AssertionError("something was computed")


# ---- the answer


@pytest.mark.parametrize("name", list_sensors())
@pytest.mark.parametrize("own", [True, False], ids=["own model", "model for any channel"])
def test_every_sensor_gives_the_analytic_answer(name, own):
    ds = fake_swath(name, 12, 14)
    rain = retrieve(ds, model(name if own else None))
    np.testing.assert_allclose(rain.surface_precip, tiny_rate(ds.tb.values), atol=1e-4)
    assert (rain.precip_flag == (rain.probability_of_precip > 0.5)).all()
    told = QUALITY_FLAGS["assumed_input"] * any(c.assumed for c in get_sensor(name).channels)
    assert (rain.retrieval_quality[2:-2, 2:-2] == told).all()


def test_the_result_is_described(gmi):
    rain = retrieve(gmi, model("GMI"))
    for name in rain.data_vars:
        assert rain[name].attrs == ATTRIBUTES[name]
    assert {n: v.dtype.str for n, v in rain.data_vars.items()} == {
        "surface_precip": "<f4",
        "surface_precip_quantile": "<f4",
        "probability_of_precip": "<f4",
        "precip_flag": "|i1",
        "precip_phase": "|i1",
        "probability_of_snow": "<f4",
        "snowfall_rate": "<f4",
        "retrieval_quality": "|u1",
    }
    assert rain.surface_precip.dims == ("scan", "pixel")
    assert rain.surface_precip_quantile.dims == ("quantile", "scan", "pixel")
    for name in ("latitude", "longitude", "time"):
        xr.testing.assert_identical(rain[name].variable, gmi[name].variable)
    assert "channel" not in rain.variables
    assert "rain" not in rain.variables
    attrs = rain.attrs
    assert attrs["Conventions"].startswith("CF-1.")
    assert (attrs["model"], attrs["model_version"]) == ("tiny", 1)
    assert attrs["model_sha256"] == model("GMI").card.sha256
    assert (attrs["sensor"], attrs["platform"], attrs["orbit"]) == ("GMI", "GPM", 1)
    assert xrain.__version__ in attrs["source"]
    assert "retrieve(model=tiny@1)" in attrs["history"]


def test_history_is_kept(gmi):
    rain = retrieve(gmi.assign_attrs(history="made by hand"), model("GMI"))
    first, second = rain.attrs["history"].splitlines()
    assert first == "made by hand"
    assert "retrieve" in second


def test_the_input_is_left_alone(gmi):
    before = gmi.copy(deep=True)
    gmi.tb[3, 3, 0] = before.tb[3, 3, 0] = np.inf
    retrieve(gmi, model("GMI", seed=1))
    xr.testing.assert_identical(gmi, before)


def test_quantiles(gmi):
    levels = (0.9, 0.1, 0.55)
    rain = retrieve(gmi, model("GMI", seed=1), quantiles=levels)
    assert rain["quantile"].values.tolist() == list(levels)
    high, low, middle = rain.surface_precip_quantile.values
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert "surface_precip_quantile" not in retrieve(gmi, model("GMI"), quantiles=())
    for wrong in (0, 1, 1.5, np.nan):
        with pytest.raises(InputError, match="quantiles must lie between 0 and 1"):
            retrieve(gmi, model("GMI"), quantiles=(0.5, wrong))


# ---- the least valid input


def bare(ds: xr.Dataset) -> xr.Dataset:
    """Only tb and the names of its channels."""
    return xr.Dataset({"tb": (ds.tb.dims, ds.tb.values)}, {"channel": ds.channel.values})


def test_tb_and_channel_names_are_enough(gmi):
    rain = retrieve(bare(gmi), model("GMI"))
    np.testing.assert_allclose(rain.surface_precip, tiny_rate(gmi.tb.values), atol=1e-4)
    assert (rain.retrieval_quality[2:-2, 2:-2] == ASSUMED).all()
    assert "latitude" not in rain


@pytest.mark.parametrize("name", ["latitude", "longitude", "earth_incidence_angle"])
def test_what_is_assumed_is_flagged(gmi, name):
    rain = retrieve(gmi.drop_vars(name), model("GMI", seed=1))
    assert np.isfinite(rain.surface_precip).all()
    assert (rain.retrieval_quality & ASSUMED == ASSUMED).all()


@pytest.mark.parametrize("name", ["time", "quality", "sun_glint_angle", "frequency"])
def test_what_is_not_needed_is_not_missed(gmi, name):
    rain = retrieve(gmi.drop_vars(name), model("GMI", seed=1))
    whole = retrieve(gmi, model("GMI", seed=1))
    np.testing.assert_array_equal(rain.retrieval_quality, whole.retrieval_quality)
    np.testing.assert_array_equal(rain.surface_precip, whole.surface_precip)


def test_a_nominal_incidence_angle_takes_the_place_of_a_missing_one(gmi):
    nominal = gmi.assign_coords(
        earth_incidence_angle=(("scan", "pixel"), np.full((24, 18), 52.8, "f4"))
    )
    without = retrieve(gmi.drop_vars("earth_incidence_angle"), model("GMI", seed=1))
    given_one = retrieve(nominal, model("GMI", seed=1))
    np.testing.assert_allclose(without.surface_precip, given_one.surface_precip, atol=1e-5)


def test_two_channels_and_aliases(gmi):
    two = bare(gmi).sel(channel=["36.64V", "183.31+-3V"])
    other = two.assign_coords(channel=["36.5V", "183±3V"])
    for sensor in ("GMI", None):
        one = retrieve(two, model(sensor))
        np.testing.assert_allclose(one.surface_precip, tiny_rate(two.tb.values), atol=1e-4)
        np.testing.assert_allclose(
            retrieve(other, model(sensor)).surface_precip, one.surface_precip, atol=1e-5
        )
    assert (retrieve(two, model("GMI")).retrieval_quality & MISSING == MISSING).all()
    assert not (retrieve(two, model()).retrieval_quality & MISSING).any()


def test_absent_channels_are_as_missing_ones(gmi):
    kept = [0, 3, 8, 11]
    part = retrieve(gmi.isel(channel=kept), model("GMI", seed=1))
    holes = gmi.copy()
    holes["tb"] = gmi.tb.where(gmi.channel.isin(gmi.channel[kept]))
    whole = retrieve(holes, model("GMI", seed=1))
    np.testing.assert_allclose(part.surface_precip, whole.surface_precip, atol=1e-5)
    np.testing.assert_array_equal(part.retrieval_quality, whole.retrieval_quality)


@pytest.mark.parametrize("sensor", ["GMI", None])
def test_order_of_channels_and_dimensions_does_not_matter(gmi, sensor):
    this = model(sensor, seed=1)
    expected = retrieve(gmi, this)
    order = np.random.default_rng(0).permutation(13)
    for other in (gmi.isel(channel=order), gmi.transpose("channel", "pixel", "scan")):
        rain = retrieve(other, this)
        np.testing.assert_allclose(rain.surface_precip, expected.surface_precip, atol=1e-5)
        assert rain.surface_precip.dims == ("scan", "pixel")


def test_channels_that_the_model_does_not_know_are_left_out(gmi):
    extra = gmi.isel(channel=[0]).assign_coords(channel=["50.3V"])
    both = xr.concat(
        [extra, gmi], "channel", data_vars="minimal", coords="minimal", compat="override"
    )
    rain = retrieve(both, model("GMI", seed=1))
    expected = retrieve(gmi, model("GMI", seed=1))
    np.testing.assert_allclose(rain.surface_precip, expected.surface_precip, atol=1e-5)


@pytest.mark.parametrize("lost", ["50.3QV", "57.3QV", "118.75V"])
def test_oxygen_channels_change_nothing_and_are_told(lost):
    every = load_model("constellation-unet")
    atms = bare(fake_swath("ATMS", 6, 6))
    extra = atms.isel(channel=[0]).assign_coords(channel=[lost])
    both = xr.concat([atms, extra], "channel")
    expected, rain = retrieve(atms, every), retrieve(both, every)
    np.testing.assert_array_equal(rain.surface_precip, expected.surface_precip)
    assert any(lost in said and "not use" in said for said in check(both, every))


@pytest.mark.parametrize("dtype", ["f8", "f2", "i2"])
def test_other_number_formats(gmi, dtype):
    ds = gmi.assign(tb=gmi.tb.round().astype(dtype))
    rain = retrieve(ds, model("GMI"))
    np.testing.assert_allclose(rain.surface_precip, tiny_rate(ds.tb.values), rtol=1e-4)


@pytest.mark.parametrize("shape", [(0, 18), (24, 0), (1, 1), (1, 18), (24, 1), (3, 2)])
def test_swaths_of_any_size(gmi, shape):
    ds = gmi.isel(scan=slice(0, shape[0]), pixel=slice(0, shape[1]))
    for this in (ds, ds.chunk()):
        rain = retrieve(this, model("GMI", seed=1)).compute()
        assert rain.surface_precip.shape == shape
        assert np.isfinite(rain.surface_precip).all()


# ---- tables


def test_each_sample_is_a_pixel_without_neighbours(gmi):
    table = (
        gmi.stack(sample=("scan", "pixel"))
        .reset_index("sample")
        .transpose("sample", "channel", ...)
    )
    rain = retrieve(table, model("GMI", seed=1))
    assert rain.surface_precip.dims == ("sample",)
    order = np.random.default_rng(1).permutation(table.sizes["sample"])
    mixed = retrieve(table.isel(sample=order), model("GMI", seed=1))
    np.testing.assert_allclose(mixed.surface_precip, rain.surface_precip[order], atol=1e-5)
    assert not (rain.retrieval_quality & EDGE).any()
    lazy = retrieve(table.chunk(sample=50), model("GMI", seed=1))
    assert lazy.surface_precip.chunks
    np.testing.assert_allclose(lazy.surface_precip, rain.surface_precip, atol=1e-5)
    assert retrieve(table.isel(sample=slice(0)), model("GMI")).sizes["sample"] == 0


def test_real_pixels(data_dir):
    path = data_dir / "matchups" / "gmi_era5_rain.nc"
    files = [path] if path.exists() else sorted((data_dir / "matchups").glob("*.nc"))
    if not files:
        pytest.skip("no matchups are there")
    with xr.open_dataset(files[0]) as ds:
        table = ds.isel(sample=slice(0, 500)).load()
    rain = retrieve(table, model("GMI"))
    assert np.isfinite(rain.surface_precip).all()
    np.testing.assert_allclose(rain.surface_precip, tiny_rate(table.tb.values), atol=1e-4)


# ---- what is missing, and the flags


def test_the_rate_is_missing_only_where_nothing_or_no_position_is_there(gmi):
    gmi.tb[5, 5] = np.nan
    gmi.tb[6, 6, :12] = np.nan
    gmi.tb[7, 7, 0] = np.inf
    gmi.latitude[8, 8] = np.nan
    gmi.longitude[9, 9] = np.nan
    gmi.latitude[10, 10] = -9999
    gmi.earth_incidence_angle[11, 11] = np.nan
    rain = retrieve(gmi, model("GMI", seed=1))
    gone = np.argwhere(np.isnan(rain.surface_precip.values)).tolist()
    assert gone == [[5, 5], [8, 8], [9, 9], [10, 10]]
    for name in ("probability_of_precip", "surface_precip_quantile"):
        assert np.isnan(rain[name].values[..., 5, 5]).all()
        assert np.isfinite(rain[name].values[..., 6, 6]).all()
    assert rain.precip_flag.values[5, 5] == -1
    assert flags_at(rain, 5, 5) == MISSING | NONE
    assert flags_at(rain, 6, 6) == MISSING
    assert flags_at(rain, 7, 7) == MISSING
    assert flags_at(rain, 8, 8) == LOST
    assert flags_at(rain, 10, 10) == LOST
    assert flags_at(rain, 12, 12) == 0


def test_edges_of_the_swath_are_flagged(gmi):
    edge = retrieve(gmi, model("GMI")).retrieval_quality.values == EDGE
    assert edge[:2].all()
    assert edge[-2:].all()
    assert edge[:, :2].all()
    assert edge[:, -2:].all()
    assert not edge[2:-2, 2:-2].any()


def test_strange_input_keeps_its_value_and_widens_its_interval(gmi):
    prior = (0.05, 0.05, 0.9)
    this = model("GMI", prior=prior)
    plain = retrieve(gmi, model("GMI"))
    gmi.tb[8, 8, 2] = 340.0
    rain, calm = retrieve(gmi, this), retrieve(gmi, model("GMI"))
    assert flags_at(rain, 8, 8) == RANGE
    assert rain.surface_precip[8, 8] == calm.surface_precip[8, 8]
    low, _, high = rain.surface_precip_quantile.values[:, 8, 8]
    calm_low, _, calm_high = calm.surface_precip_quantile.values[:, 8, 8]
    assert (low <= calm_low, high >= calm_high) == (True, True)
    others = np.ones((24, 18), bool)
    others[8, 8] = False
    np.testing.assert_array_equal(
        rain.surface_precip_quantile.values[:, others],
        plain.surface_precip_quantile.values[:, others],
    )


def test_quality_of_the_file_is_handed_on(gmi):
    gmi.quality[8, 8] = 2
    gmi.quality[9, 9] = -99
    gmi.tb[9, 9, 0] = np.nan
    rain = retrieve(gmi, model("GMI"))
    assert flags_at(rain, 8, 8) == SUSPECT
    assert flags_at(rain, 9, 9) == MISSING
    by_swath = gmi.assign(quality=gmi.quality.expand_dims(swath=["S1", "S2"], axis=2))
    np.testing.assert_array_equal(
        retrieve(by_swath, model("GMI")).retrieval_quality, rain.retrieval_quality
    )


@pytest.mark.parametrize("name", list_sensors())
def test_all_missing_is_a_valid_result(name, tmp_path):
    ds = xrain.open_l1c(write_fake_l1c(tmp_path / "a.HDF5", name, scans=20, missing="tb"))
    rain = retrieve(ds, model(name))
    assert np.isnan(rain.surface_precip).all()
    assert (rain.retrieval_quality & NONE == NONE).all()
    assert (rain.precip_flag == -1).all()


def test_every_granule(archive_granule):
    ds = xrain.open_l1c(archive_granule).load()
    rain = retrieve(ds, model(ds.attrs["sensor"]))
    usable = np.isfinite(ds.tb.values).any(axis=-1) & np.isfinite(ds.latitude.values)
    np.testing.assert_array_equal(np.isfinite(rain.surface_precip), usable)
    np.testing.assert_allclose(
        rain.surface_precip.values[usable], tiny_rate(ds.tb.values[usable]), atol=2e-4
    )


# ---- gaps in time


def test_nothing_looks_across_a_gap_in_time():
    ds = fake_swath("GMI", 60, 18)
    time = ds.time.values.copy()
    time[30:] += np.timedelta64(3, "h")
    gap = ds.assign_coords(time=("scan", time))
    parts = [
        retrieve(gap.isel(scan=s), model("GMI", seed=1)) for s in (slice(0, 30), slice(30, 60))
    ]
    for this in (gap, gap.chunk(scan=13)):
        rain = retrieve(this, model("GMI", seed=1))
        for name in ("surface_precip", "retrieval_quality"):
            expected = np.concatenate([p[name].values for p in parts])
            np.testing.assert_allclose(rain[name], expected, atol=1e-5)
    whole = retrieve(ds, model("GMI", seed=1))
    assert np.abs(whole.surface_precip - rain.surface_precip).max() > 1e-3


@pytest.mark.parametrize("unit", ["s", "m", "h"])
def test_coarse_or_missing_times_are_no_gaps(unit):
    ds = fake_swath("GMI", 60, 18)
    coarse = ds.time.values.astype(f"M8[{unit}]").astype("M8[ns]")
    holes = ds.time.values.copy()
    holes[10:40] = np.datetime64("NaT")
    expected = retrieve(ds.drop_vars("time"), model("GMI", seed=1)).surface_precip
    for time in (coarse, holes, np.full(60, "NaT", "M8[ns]"), np.arange(60.0)):
        rain = retrieve(ds.assign_coords(time=("scan", time)), model("GMI", seed=1))
        np.testing.assert_array_equal(rain.surface_precip, expected)


# ---- lazily


@functools.cache
def lazy_case() -> tuple[xr.Dataset, xr.Dataset]:
    ds = fake_swath("TMI", 130, 23, seed=4)
    rng = np.random.default_rng(0)
    ds["tb"] = ds.tb.where(xr.DataArray(rng.random(ds.tb.shape) > 0.03, dims=ds.tb.dims))
    ds.latitude.values[rng.random(ds.latitude.shape) < 0.01] = np.nan
    return ds, retrieve(ds, model("TMI", seed=2, prior=(0.9, 0.08, 0.02)))


@settings(deadline=None, max_examples=10)
@given(
    scan=st.lists(st.integers(3, 90), min_size=1, max_size=4),
    pixel=st.sampled_from([7, 10, 23]),
    channel=st.sampled_from([2, 5, 9]),
    rows=st.sampled_from([8, 24, 512]),
)
def test_any_chunking_gives_the_same(scan, pixel, channel, rows):
    ds, expected = lazy_case()
    cuts = np.minimum(np.cumsum([*scan, 1000]), 130)
    sizes = tuple(int(n) for n in np.diff(cuts, prepend=0) if n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xrain.retrieval.lazy.LAZY_ROWS", rows)
        chunked = ds.chunk(scan=sizes, pixel=pixel, channel=channel)
        rain = retrieve(chunked, model("TMI", seed=2, prior=(0.9, 0.08, 0.02)))
        assert rain.surface_precip.chunks
    assert rain.sizes == expected.sizes
    for name in expected.data_vars:
        # quantiles magnify rounding near the edge of a rain class
        close = 1e-3 if "quantile" in name else 1e-4
        np.testing.assert_allclose(rain[name].values, expected[name].values, atol=close)
        assert rain[name].dtype == expected[name].dtype


def test_retrieving_lazily_reads_nothing(tmp_path, monkeypatch):
    path = write_fake_l1c(tmp_path / "a.HDF5", "GMI", scans=60)
    with monkeypatch.context() as patch:
        patch.setattr("xrain.io.l1c.read_field", refuse)
        rain = retrieve(xrain.open_l1c(path, chunks={}), model("GMI"))
        assert all(v.chunks for v in rain.data_vars.values())
        with pytest.raises(AssertionError, match="was computed"):
            rain.surface_precip.compute()
    eager = retrieve(xrain.open_l1c(path), model("GMI"))
    assert not any(v.chunks for v in eager.data_vars.values())
    np.testing.assert_allclose(rain.surface_precip, eager.surface_precip, atol=1e-4)


def test_only_what_is_wanted_is_computed(tmp_path, monkeypatch):
    from xrain.io import l1c

    path = write_fake_l1c(tmp_path / "a.HDF5", "MHS", scans=4400)
    rain = retrieve(xrain.open_l1c(path, chunks={}), model("MHS"))
    read = []
    original = l1c.read_field
    monkeypatch.setattr(l1c, "read_field", lambda *a: (read.append(a[-1]), original(*a))[1])
    rain.surface_precip[:10].compute()
    assert max(rows.stop for rows in read) < 2400


@pytest.mark.slow
def test_processes_give_what_threads_give(tmp_path):
    from distributed import Client, LocalCluster

    path = write_fake_l1c(tmp_path / "a.HDF5", "SSMI", scans=2200)
    this = model("SSMI", seed=1)
    save_model(tmp_path / "model", this.card, this.network.state_dict(), half=False)
    reference = str(tmp_path / "model")
    eager = retrieve(xrain.open_l1c(path), reference)
    lazy = retrieve(xrain.open_l1c(path, chunks={}), reference)
    threads = lazy.compute(scheduler="threads")
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster),
    ):
        processes = lazy.compute()
    for name in eager.data_vars:
        # Another number of threads sums in another order: equal but for float32's rounding.
        np.testing.assert_allclose(threads[name], eager[name], atol=1e-4, rtol=1e-5)
        np.testing.assert_allclose(processes[name], threads[name], atol=1e-4, rtol=1e-5)


def test_tiles_of_a_lazy_retrieval_are_those_of_the_plan(gmi):
    config = model("GMI", seed=1).network.config
    tall = fake_swath("MHS", 2500, 5)
    rain = retrieve(tall.chunk(scan=100), model("MHS", seed=1))
    tiles = plan(2500, 1024, config.halo)
    assert rain.surface_precip.chunks[0] == tuple(t.stop - t.start for t in tiles)


# ---- the handshake


def test_every_problem_is_said_at_once(gmi):
    bad = gmi.rename(pixel="beam")
    bad["tb"].attrs["units"] = "degC"
    problems = check(bad, model("GMI"))
    assert all(p.startswith("error: ") for p in problems)
    assert any("beam" in p for p in problems)
    assert any("degC" in p for p in problems)
    with pytest.raises(ModelError) as error:
        retrieve(bad, model("GMI"))
    assert all(p.removeprefix("error: ") in str(error.value) for p in problems)


def test_remarks_do_not_keep_it_from_running(gmi):
    part = gmi.isel(channel=slice(0, 5)).drop_vars("latitude")
    remarks = check(part, model("GMI"))
    assert not any(r.startswith("error") for r in remarks)
    assert any("missing channels" in r for r in remarks)
    assert any("latitude" in r for r in remarks)
    assert check(gmi, model("GMI")) == []
    assert np.isfinite(retrieve(part, model("GMI")).surface_precip).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda ds: ds.drop_vars("tb"), "no variable 'tb'"),
        (lambda ds: ds.drop_vars("channel"), "no coordinate 'channel'"),
        (lambda ds: ds.assign_coords(channel=[f"c{i}" for i in range(13)]), "no usable channel"),
        (lambda ds: ds.isel(channel=slice(0)), "no usable channel"),
    ],
)
def test_what_cannot_work_is_told(gmi, spoil, message):
    with pytest.raises(ModelError, match=message):
        retrieve(spoil(gmi), model("GMI"))
    with pytest.raises(ModelError, match=message):
        retrieve(spoil(gmi), model())


def test_an_unknown_model_is_told(gmi):
    with pytest.raises(ModelError, match="no-such-model"):
        retrieve(gmi, "no-such-model")
    with pytest.raises(InputError, match="device 'abacus'"):
        retrieve(gmi, model("GMI"), device="abacus")


def test_the_model_of_the_sensor_is_the_default(gmi, monkeypatch):
    monkeypatch.setattr(
        "xrain.retrieval.dataset.list_models", lambda: ["constellation-unet", "gmi-unet"]
    )
    assert default_model(gmi) == "gmi-unet"
    assert default_model(fake_swath("MHS", 4, 4)) == "constellation-unet"
    assert default_model(bare(gmi)) == "constellation-unet"
    assert default_model(gmi.assign_attrs(sensor="something")) == "constellation-unet"
    assert default_model(gmi.assign_attrs(sensor={"gmi"})) == "gmi-unet"


def test_a_model_from_a_folder(gmi, tmp_path):
    this = model("GMI", seed=1)
    card = save_model(tmp_path / "mine", this.card, this.network.state_dict(), half=False)
    rain = retrieve(gmi, tmp_path / "mine")
    np.testing.assert_allclose(rain.surface_precip, retrieve(gmi, this).surface_precip, atol=1e-5)
    assert rain.attrs["model_sha256"] == card.sha256


def test_a_sensor_by_another_name(gmi):
    other = fake_swath("SSMI", 12, 10).assign_attrs(sensor="SSM/I")
    assert not (retrieve(other, model("SSMI")).retrieval_quality & ASSUMED).any()
    assert get_sensor("SSM/I") is other.rain.sensor
