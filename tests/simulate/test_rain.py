"""Rain fields, made and read, against real radar composites."""

import numpy as np
import pytest
import xarray as xr

from xrain.errors import FileFormatError, InputError
from xrain.io.radar_qc import despike
from xrain.simulate.rain import (
    StormParameters,
    convective_share,
    field_statistics,
    gaussian_field,
    stochastic_rain,
    storm_warmth,
)
from xrain.simulate.rain_maps import open_rain_map, place_map, radar_source, sample_map

RADAR = ("mrms_conus_20190610.nc", "opera_europe_20180824.nc")


@pytest.fixture(scope="module")
def composites(data_dir):
    return [open_rain_map(data_dir / "radar" / name, spacing=2.0) for name in RADAR]


@pytest.fixture(scope="module")
def radar_statistics(composites):
    """Statistics of all tiles of 512 km that were observed and where it rained."""
    out = []
    for rain in composites:
        rate = rain.rate
        for i in range(0, rate.shape[0] - 255, 128):
            for j in range(0, rate.shape[1] - 255, 128):
                tile = rate[i : i + 256, j : j + 256]
                if np.isfinite(tile).mean() > 0.97 and (tile >= 0.1).mean() > 0.02:
                    out.append(field_statistics(np.nan_to_num(tile), 2.0))
    return out


def _made(count=40):
    fields = (stochastic_rain((256, 256), (2.0, 2.0), seed=s).rate for s in range(count))
    return [field_statistics(f, 2.0) for f in fields if (f >= 0.1).any()]


@pytest.mark.parametrize(
    "name", ["wet_fraction", "median", "mean", "p90", "p99", "heavy_share", "slope"]
)
def test_made_rain_lies_within_the_spread_of_radar_rain(radar_statistics, made, name):
    real = np.array([s[name] for s in radar_statistics])
    ours = np.array([s[name] for s in made])
    low, high = np.quantile(real, [0.25, 0.75])
    assert low < np.median(ours) < high
    low, high = np.quantile(real, [0.02, 0.98])
    assert np.mean((ours >= 0.9 * low) & (ours <= 1.1 * high)) > 0.85
    assert np.ptp(np.quantile(ours, [0.1, 0.9])) > 0.5 * np.ptp(np.quantile(real, [0.1, 0.9]))


def test_the_spectrum_of_made_rain_falls_like_that_of_radar_down_to_two_kilometres(data_dir):
    rate = open_rain_map(data_dir / "radar" / RADAR[0], spacing=1.0).rate
    tiles = [
        rate[i : i + 512, j : j + 512]
        for i in range(0, rate.shape[0] - 511, 512)
        for j in range(0, rate.shape[1] - 511, 512)
    ]
    wet = [t for t in tiles if np.isfinite(t).mean() > 0.97 and (t >= 0.1).mean() > 0.02]
    real = [field_statistics(np.nan_to_num(t), 1.0)["slope"] for t in wet]
    fields = (stochastic_rain((512, 512), (1.0, 1.0), seed=s).rate for s in range(12))
    ours = [field_statistics(f, 1.0)["slope"] for f in fields if (f >= 0.1).any()]
    low, high = np.quantile(real, [0.1, 0.9])
    assert low < np.median(ours) < high


@pytest.fixture(scope="module")
def made():
    return _made()


def test_the_seed_decides_and_parameters_are_obeyed():
    one, same, other = (stochastic_rain((128, 160), seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.rate, same.rate)
    assert not np.array_equal(one.rate, other.rate)
    storm = StormParameters(0.25, 200.0, 0.3, 0.6, 1.0, 0.05, 10.0, 30.0, 1.0, 0.0)
    rate = stochastic_rain((256, 256), (4.0, 4.0), seed=5, parameters=storm).rate
    assert (rate >= 0.1).mean() == pytest.approx(0.25, abs=0.08)
    assert np.median(rate[rate >= 0.1]) == pytest.approx(0.6, rel=0.4)
    with pytest.raises(InputError, match="between 1 and 10 km"):
        stochastic_rain((64, 64), (20.0, 20.0))


def test_warm_storms_rain_harder():
    def mean(warmth):
        rng = np.random.default_rng(3)
        storms = [StormParameters.draw(rng, warmth) for _ in range(20)]
        fields = (stochastic_rain((128, 128), seed=9, parameters=p).rate for p in storms)
        return np.mean([f[f > 0].mean() for f in fields if (f > 0).any()])

    assert mean(1.0) > 1.3 * mean(0.0) > 1.3 * mean(-1.0)


def test_storms_of_all_latitudes_rain_like_the_radar_in_space_says(data_dir):
    with xr.open_dataset(data_dir / "matchups" / "gmi_dpr_rain.nc") as d:
        real = d.surface_precip.values
    rng = np.random.default_rng(0)
    ours = []
    for latitude in rng.uniform(-65, 65, 60):
        storm = StormParameters.draw(rng, storm_warmth(latitude))
        ours.append(stochastic_rain((128, 128), (5.0, 5.0), seed=rng, parameters=storm).rate)
    ours = np.concatenate([f.ravel() for f in ours])
    levels = [0.5, 0.75, 0.9]
    ratio = np.quantile(ours[ours > 0.2], levels) / np.quantile(real[real > 0.2], levels)
    assert ratio == pytest.approx(1, abs=0.4)


def test_convective_cells_carry_the_heavy_rain():
    storm = StormParameters(0.3, 200.0, 0.3, 0.5, 0.9, 0.06, 15.0, 30.0, 1.0, 0.0)
    rain = stochastic_rain((256, 256), (4.0, 4.0), seed=2, parameters=storm)
    assert rain.convective[rain.rate > 10].mean() > 0.8
    assert rain.convective[(rain.rate > 0) & (rain.rate < 1)].mean() < 0.1
    # The estimate from rates alone, used for radar fields, tells the same cells.
    guess = convective_share(rain.rate, rain.spacing)
    heavy, light = rain.rate > 15, (rain.rate > 0.1) & (rain.rate < 2)
    assert guess[heavy].mean() > 0.7 > 0.35 > guess[light].mean()


@pytest.mark.parametrize("exponent", [2.5, 4.0])
def test_gaussian_fields_have_the_spectrum_asked_for(exponent):
    rng = np.random.default_rng(0)
    fields = [gaussian_field((256, 256), (2, 2), 1000.0, exponent, rng) for _ in range(4)]
    power = np.mean([np.abs(np.fft.fft2(f)) ** 2 for f in fields], axis=0)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(256, 2.0), np.fft.fftfreq(256, 2.0)))
    band = (k > 1 / 128) & (k < 1 / 5)
    slope = -np.polyfit(np.log(k[band]), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(exponent, abs=0.1)
    assert fields[0].std() == pytest.approx(1, abs=1e-3)


def test_stretched_fields_are_longer_along_their_angle():
    rng = np.random.default_rng(0)
    field = gaussian_field((256, 256), (2, 2), 100.0, 4.0, rng, stretch=4.0, angle=0.0)
    along = np.mean(field[:, 10:] * field[:, :-10])
    across = np.mean(field[10:] * field[:-10])
    assert along > across + 0.1


def test_isolated_spikes_go_and_storms_stay():
    rate = np.zeros((40, 40), np.float32)
    rate[5, 5] = 120.0
    rate[20:23, 20:23] = 60.0
    rate[30, 30], rate[30, 31] = 80.0, 30.0
    rate[35, :] = np.nan
    clean = despike(rate)
    assert clean[5, 5] == 0
    assert (clean[20:23, 20:23] == 60).all()
    assert clean[30, 30] == 80
    assert np.isnan(clean[35]).all()
    assert rate[5, 5] == 120


def test_real_composites_lose_only_a_few_spikes(data_dir):
    with xr.open_dataset(data_dir / "radar" / RADAR[1]) as file:
        raw = file.rain_rate[0].values.astype(np.float32)
    clean = despike(raw)
    changed = np.nan_to_num(raw) != np.nan_to_num(clean)
    assert 5 < changed.sum() < 100
    assert np.nanmax(clean[changed]) < np.nanmax(raw[changed]) / 5


@pytest.mark.parametrize("name", RADAR)
def test_composites_keep_their_rain_and_positions(data_dir, name):
    rain = open_rain_map(data_dir / "radar" / name, 1, spacing=4.0)
    fine = open_rain_map(data_dir / "radar" / name, 1, spacing=1.0)
    assert rain.time == fine.time
    assert max(rain.spacing) == pytest.approx(4.0, rel=0.2)
    assert np.nanmean(rain.rate) == pytest.approx(np.nanmean(fine.rate), rel=0.03)
    y, x = np.meshgrid(rain.y[100:400:50], rain.x[100:400:50], indexing="ij")
    lat, lon = rain.to_earth(y, x)
    back = rain.to_map(lat, lon)
    assert back[0] == pytest.approx(y, rel=1e-6)
    assert back[1] == pytest.approx(x, rel=1e-6)
    got = sample_map(rain, lat, lon)
    want = rain.rate[100:400:50, 100:400:50]
    assert got == pytest.approx(want, abs=1e-3, nan_ok=True)
    assert np.isnan(sample_map(rain, np.array([-60.0]), np.array([0.0])))


def test_mrms_lies_over_the_conterminous_states(data_dir):
    rain = open_rain_map(data_dir / "radar" / RADAR[0])
    seen = sample_map(rain, np.array([40.0, 40.0, 22.0]), np.array([-95.0, 265.0, -128.0]))
    assert np.isfinite(seen[:2]).all()
    assert seen[0] == seen[1]
    assert np.isnan(seen[2])


def test_times_can_be_chosen(data_dir):
    path = data_dir / "radar" / RADAR[1]
    assert open_rain_map(path, "2018-08-24T19:00").time == np.datetime64("2018-08-24T19:00")
    with pytest.raises(InputError, match=r"no time 99; there are 2018-08-24T18:00"):
        open_rain_map(path, 99)


def _field(**attrs):
    rate = np.random.default_rng(0).gamma(0.3, 2.0, (50, 60)).astype(np.float32)
    return xr.DataArray(
        rate, dims=("y", "x"), name="rain_rate",
        coords={"y": np.arange(50) * 3.0, "x": np.arange(60) * 3.0}, attrs=attrs,
    )  # fmt: skip


def test_a_plain_grid_with_spacing_is_enough_and_can_be_placed():
    field = _field(units="mm/h")
    for axis in ("y", "x"):
        field[axis].attrs["units"] = "km"
    rain = open_rain_map(field)
    assert rain.spacing == pytest.approx((3.0, 3.0))
    assert rain.to_map is None
    with pytest.raises(InputError, match="no positions"):
        sample_map(rain, np.zeros(1), np.zeros(1))
    placed = place_map(rain, -30.0, 170.0)
    lat, lon = placed.to_earth(*np.meshgrid(rain.y, rain.x, indexing="ij"))
    assert sample_map(placed, lat, lon) == pytest.approx(rain.rate, abs=1e-2)
    assert lat[-1, 30] - lat[0, 30] == pytest.approx(49 * 3 / 111.2, rel=0.01)
    assert lat.mean() == pytest.approx(-30, abs=0.05)


def test_fields_that_cannot_be_used_are_told(tmp_path):
    field = _field()
    with pytest.raises(InputError, match=r"rain_rate must lie within 0–500 mm h-1, got -5"):
        open_rain_map(field.where(field.y > 0, -5.0))
    with pytest.raises(InputError, match=r"no spacing: dimension y, x lacks a coordinate"):
        open_rain_map(field.drop_vars(["y", "x"]))
    with pytest.raises(InputError, match=r"is in 'mm', which is no rain rate; convert it"):
        open_rain_map(field.assign_attrs(units="mm"))
    with pytest.raises(InputError, match="NaN everywhere"):
        open_rain_map(field * np.nan)
    with pytest.raises(InputError, match="coordinate x is not evenly spaced"):
        open_rain_map(field.assign_coords(x=np.arange(60.0) ** 2))
    with pytest.raises(InputError, match="projection 'nonsense' is not understood"):
        open_rain_map(field.assign_attrs(projection="nonsense"))
    both = xr.Dataset({"a": field, "b": field})
    with pytest.raises(InputError, match="no variable rain_rate; there are a, b"):
        open_rain_map(both)
    (tmp_path / "no.nc").write_text("nothing")
    with pytest.raises(FileFormatError, match=r"no\.nc: cannot be read"):
        open_rain_map(tmp_path / "no.nc")


def test_windows_of_composites_are_rain_of_any_size(composites):
    source = radar_source(composites)
    rng = np.random.default_rng(1)
    windows = [source((150, 120), (5.0, 5.0), rng) for _ in range(6)]
    assert all(w.rate.shape == (150, 120) for w in windows)
    assert np.mean([np.isfinite(w.rate).mean() for w in windows]) > 0.7
    wet = [np.nanmean(w.rate >= 0.1) for w in windows]
    assert 0.02 < np.mean(wet) < 0.5
    assert len({round(float(np.nansum(w.rate)), 2) for w in windows}) == 6
