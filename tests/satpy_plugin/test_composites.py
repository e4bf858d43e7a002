"""Rain and pictures made inside real Satpy Scenes, written by Satpy's writers and read back."""

from __future__ import annotations

from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
import rasterio
import satpy
import xarray as xr
from PIL import Image
from pyresample import create_area_def
from satpy import MultiScene, Scene
from satpy.composites.core import IncompatibleAreas
from satpy.tests.utils import CustomScheduler

import xrain
from xrain.errors import InputError
from xrain.models.export import save_model
from xrain.plotting.style import DRY_COLOR, RAIN_COLORS, RAIN_EDGES
from xrain.retrieval import lazy as retrieval
from xrain.satpy_plugin.composites import PolarizationCorrectedTemperature, RainRetrieval
from xrain.satpy_plugin.enhancements import PROBABILITY_COLORS
from xrain.testing import tiny_model, write_fake_l1c

PLANES = ["surface_precip", "probability_of_precip", "precip_flag", "precip_phase",
          "probability_of_snow", "snowfall_rate", "retrieval_quality"]  # fmt: skip
RAIN = [*PLANES, "surface_precip_q05", "surface_precip_q50", "surface_precip_q95"]
LATER = np.datetime64("2020-07-01T13:40:00.000", "ns")


@pytest.fixture(scope="module")
def gmi(tmp_path_factory):
    return write_fake_l1c(tmp_path_factory.mktemp("gmi"), "GMI", scans=60, missing=0.05)


@pytest.fixture
def tiny(tmp_path):
    """A folder with a model that knows any channel; rain from 0.5 to 10 mm/h."""
    model = tiny_model()
    save_model(tmp_path / "tiny", model.card, model.network.state_dict())
    with satpy.config.set({"xrain.model": str(tmp_path / "tiny")}):
        yield str(tmp_path / "tiny")


def load(path, *names: str) -> Scene:
    paths = [path] if isinstance(path, Path) else path
    scene = Scene(filenames=[str(p) for p in paths], reader="gpm_l1c")
    scene.load(list(names))
    return scene


def rgb(color: str) -> list[int]:
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]


# ---- rain


@pytest.mark.parametrize("sensor", ["GMI", "TMI", "AMSR2", "SSMI", "SSMIS", "MHS", "ATMS"])
def test_rain_equals_the_accessor(tmp_path, sensor):
    path = write_fake_l1c(tmp_path, sensor, scans=40, missing=0.1)
    with dask.config.set(scheduler=CustomScheduler(max_computes=0)):
        scene = load(path, *RAIN)
    expected = xrain.open_l1c(path).rain.retrieve()
    for name in PLANES:
        np.testing.assert_array_equal(scene[name].values, expected[name].values)
        assert scene[name].dtype == expected[name].dtype
    for level in (0.05, 0.5, 0.95):
        field = expected["surface_precip_quantile"].sel(quantile=level)
        found = scene[f"surface_precip_q{100 * level:02.0f}"]
        np.testing.assert_array_equal(found.values, field.values)
    area = scene["surface_precip"].attrs["area"]
    np.testing.assert_array_equal(area.lats.values, expected["latitude"].values)
    for name in ("model", "model_version", "model_sha256", "source", "granule"):
        assert scene["surface_precip"].attrs[name] == expected.attrs[name]
    assert scene["surface_precip"].attrs["units"] == "mm h-1"
    assert scene["surface_precip"].attrs["sensor"] == sensor.lower()


def test_rain_of_a_real_granule_equals_the_accessor(data_dir):
    (path,) = data_dir.glob("granules/V7/1C.TRMM.TMI.*.HDF5")
    expected = xrain.open_l1c(path).rain.retrieve()
    assert np.isfinite(expected["surface_precip"]).any()
    scene = load(path, "surface_precip", "retrieval_quality")
    for name in ("surface_precip", "retrieval_quality"):
        np.testing.assert_array_equal(scene[name].values, expected[name].values)


def test_one_retrieval_for_all(gmi, tiny, monkeypatch):
    runs = []
    retrieve_block = retrieval.retrieve_block

    def count(*args, **kwargs):
        runs.append(args)
        return retrieve_block(*args, **kwargs)

    monkeypatch.setattr(retrieval, "retrieve_block", count)
    scene = load(gmi, *RAIN)
    assert not runs
    dask.compute(*(scene[name].data for name in RAIN))
    assert len(runs) == 1


def test_only_what_was_asked_for_is_kept(gmi, tiny):
    scene = load(gmi, "surface_precip")
    assert [key["name"] for key in scene.keys()] == ["surface_precip"]  # noqa: SIM118
    assert {*RAIN, "pct37", "color89"} <= set(scene.available_composite_names())


def test_options_of_the_class(gmi, tiny):
    names = [c.name for c in xrain.get_sensor("GMI").channels]
    scene = load(gmi, *names)
    channels = [scene[n] for n in names]
    planes = RainRetrieval("mine", model=tiny_model("GMI"), device="cpu", quantiles=[0.9])(channels)
    assert list(planes["plane"].values) == [*PLANES, "surface_precip_q90"]
    expected = xrain.open_l1c(gmi).rain.retrieve(tiny_model("GMI"), quantiles=[0.9])
    np.testing.assert_array_equal(
        planes.sel(plane="surface_precip_q90").values,
        expected["surface_precip_quantile"].values[0],
    )


def test_options_in_yaml(gmi, tiny, tmp_path):
    folder = tmp_path / "etc" / "composites"
    folder.mkdir(parents=True)
    (folder / "gmi.yaml").write_text(
        "sensor_name: microwave/gmi\n"
        "composites:\n"
        f"  rain_retrieval: {{model: {tiny}, quantiles: [0.1, 0.99]}}\n"
        "  surface_precip_q99:\n"
        "    compositor: !!python/name:xrain.satpy_plugin.composites.RainField\n"
        "    prerequisites: [rain_retrieval]\n"
    )
    with satpy.config.set({"config_path": [str(tmp_path / "etc")], "xrain.model": "gmi-unet"}):
        scene = load(gmi, "surface_precip_q99")
        assert scene["surface_precip_q99"].attrs["model"] == "tiny"
        with pytest.warns(UserWarning, match=r"surface_precip_q10.*no surface_precip_q95"):
            load(gmi, "surface_precip_q95")


def test_several_granules_are_no_neighbours(tmp_path):
    """Two granules an hour apart give what each gives alone."""
    first = write_fake_l1c(tmp_path, "MHS", scans=40, orbit=7)
    second = write_fake_l1c(tmp_path, "MHS", scans=30, orbit=8, start=LATER, seed=5)
    scene = load([second, first], "surface_precip")
    alone = [load(p, "surface_precip")["surface_precip"].values for p in (first, second)]
    np.testing.assert_array_equal(scene["surface_precip"].values, np.concatenate(alone))
    assert scene["surface_precip"].attrs["end_orbit"] == 8


def test_multiscene(tmp_path, tiny):
    first = write_fake_l1c(tmp_path, "MHS", scans=20, orbit=7)
    second = write_fake_l1c(tmp_path, "GMI", scans=20)
    scenes = MultiScene([Scene([str(p)], reader="gpm_l1c") for p in (first, second)])
    scenes.load(["surface_precip"])
    shapes = [s["surface_precip"].shape for s in scenes.scenes]
    assert shapes == [(20, 90), (20, 221)]


# ---- resampling


def middle(path: Path, resolution: float = 0.1, half: float = 2.0):
    ds = xrain.open_l1c(path).isel(scan=30, pixel=110)
    lon, lat = (float(ds[n]) for n in ("longitude", "latitude"))
    extent = (lon - half, lat - half, lon + half, lat + half)
    return create_area_def("box", "EPSG:4326", area_extent=extent, resolution=resolution)


def test_resampling_after(gmi, tiny):
    area = middle(gmi)
    scene = load(gmi, *RAIN).resample(area, radius_of_influence=20_000)
    expected = (
        xrain.open_l1c(gmi)
        .rain.retrieve(tiny)
        .rain.resample(area, method="nearest", radius_of_influence=20_000)
    )
    for name in ("surface_precip", "precip_flag"):
        assert scene[name].dtype == expected[name].dtype
        known = (
            expected["surface_precip"].notnull().values & scene["surface_precip"].notnull().values
        )
        assert known.mean() > 0.5
        same = scene[name].values[known] == expected[name].values[known]
        assert same.mean() > 0.98  # ties
    outside = np.isnan(scene["surface_precip"].values)
    assert (scene["precip_flag"].values[outside] == -1).all()


def test_resampling_before_is_refused(gmi, tiny):
    channels = [c.name for c in xrain.get_sensor("GMI").channels]
    scene = Scene([str(gmi)], reader="gpm_l1c")
    scene.load([*channels, "surface_precip"], generate=False)
    local = scene.resample(middle(gmi), radius_of_influence=20_000, generate=False)
    with pytest.warns(UserWarning, match=r"rain_retrieval is left out.*map grid 'box'.*retrieve"):
        local.generate_possible_composites(unload=False)
    assert "surface_precip" not in local
    assert "89.0V" in local


def test_no_channels(gmi):
    told = pytest.warns(UserWarning, match="rain is left out: .* no brightness temperature")
    with told, pytest.raises(IncompatibleAreas, match="no brightness temperature"):
        RainRetrieval("rain")([])


def test_ewa_takes_the_swath_as_it_is(gmi, tiny):
    scene = load(gmi, "surface_precip", "89.0V")
    local = scene.resample(middle(gmi), resampler="ewa")
    for name in ("surface_precip", "89.0V"):
        assert scene[name].attrs["rows_per_scan"] == 0
        values = local[name].values
        assert np.isfinite(values).mean() > 0.5
        assert np.nanmin(scene[name]) <= np.nanmin(values)
        assert np.nanmax(values) <= np.nanmax(scene[name])


# ---- pictures of channels


def test_corrected_temperatures(gmi):
    scene = load(gmi, "pct37", "pct89", "36.64V", "36.64H", "89.0V", "89.0H")
    for name, band, c in (("pct37", "36.64", 1.15), ("pct89", "89.0", 0.7)):
        v, h = (scene[f"{band}{p}"].values for p in "VH")
        np.testing.assert_allclose(scene[name].values, (1 + c) * v - c * h, rtol=1e-5)
        assert scene[name].attrs["area"] == scene[f"{band}V"].attrs["area"]


@pytest.mark.parametrize("sensor", ["TMI", "AMSR2", "SSMI", "SSMIS"])
def test_corrected_temperatures_of_every_imager(tmp_path, sensor):
    path = write_fake_l1c(tmp_path, sensor, scans=10)
    scene = load(path, "pct37", "pct89", "color37", "color89")
    high = xrain.get_sensor(sensor).reference_swath
    pixels = xrain.get_sensor(sensor).swath(high).pixels
    assert scene["pct89"].shape == (10, pixels)
    assert np.isfinite(scene["pct37"].values).all()
    assert scene["color89"].shape == (3, 10, pixels)


def test_color_pictures_follow_the_recipe(gmi, tmp_path):
    scene = load(gmi, "color37", "color89", "36.64V", "36.64H", "89.0V", "89.0H")
    recipes = {
        "color37": ("36.64", 1.181, "VH", [(280, 260), (180, 300), (160, 300)]),
        "color89": ("89.0", 0.818, "HV", [(310, 220), (240, 300), (270, 290)]),
    }
    for name, (band, c, order, ranges) in recipes.items():
        scene.save_dataset(name, str(tmp_path / f"{name}.png"))
        tb = {p: scene[f"{band}{p}"].values for p in "VH"}
        planes = [(1 + c) * tb["V"] - c * tb["H"], *(tb[p] for p in order)]
        shares = [(p - a) / (b - a) for p, (a, b) in zip(planes, ranges, strict=True)]
        expected = 255 * np.clip(np.stack(shares, -1), 0, 1)
        picture = np.asarray(Image.open(tmp_path / f"{name}.png")).astype(float)
        seen = picture[..., 3] > 0
        np.testing.assert_array_equal(seen, np.isfinite(expected).all(-1))
        assert np.abs(picture[seen][:, :3] - expected[seen]).max() <= 1


PICTURES = {"pct37", "pct89", "color37", "color89", "wv183"}


@pytest.mark.parametrize(
    ("sensor", "offered"),
    [
        ("GMI", PICTURES), ("TMI", PICTURES - {"wv183"}), ("AMSR2", PICTURES - {"wv183"}),
        ("AMSRE", PICTURES - {"wv183"}), ("SSMI", PICTURES - {"wv183"}), ("SSMIS", PICTURES),
        ("ATMS", {"wv183"}), ("MHS", {"wv183"}), ("AMSUB", {"wv183"}), ("SAPHIR", {"wv183"}),
    ],
)  # fmt: skip
def test_only_pictures_whose_channels_exist_are_offered(tmp_path, sensor, offered):
    scene = Scene([str(write_fake_l1c(tmp_path, sensor, scans=5))], reader="gpm_l1c")
    assert PICTURES & set(scene.available_composite_names()) == offered
    assert set(RAIN) <= set(scene.available_composite_names())
    assert not {"37_GHz_V", "89_GHz_H", "183_GHz"} & set(scene.available_dataset_names())


def test_a_picture_of_a_group_that_the_file_lacks_is_not_offered(tmp_path):
    path = write_fake_l1c(tmp_path, "GMI", scans=5)
    with h5py.File(path, "r+") as file:
        del file["S2"]
    scene = Scene([str(path)], reader="gpm_l1c")
    assert PICTURES & set(scene.available_composite_names()) == PICTURES - {"wv183"}


@pytest.mark.parametrize("missing", ["pct89", "color37", "color89"])
def test_a_picture_that_cannot_be_made_leaves_the_scene_whole(tmp_path, tiny, missing):
    scene = Scene([str(write_fake_l1c(tmp_path, "MHS", scans=10))], reader="gpm_l1c")
    scene.load(["surface_precip", missing, "wv183", "89.0QV"])
    assert {k["name"] for k in scene.keys()} == {"surface_precip", "wv183", "89.0QV"}  # noqa: SIM118
    scene.load(["probability_of_precip"])
    assert "probability_of_precip" in scene
    assert missing not in scene


def test_a_channel_that_is_not_there_is_named(tmp_path):
    (array,) = (load(write_fake_l1c(tmp_path, "MHS", scans=5), "89.0QV")[n] for n in ["89.0QV"])
    picture = PolarizationCorrectedTemperature("pct89", band="89 GHz", coefficient=0.7)
    told = pytest.warns(UserWarning, match=r"pct89 .*89 GHz .*no V and no H; the Scene has 89\.0QV")
    with told, pytest.raises(IncompatibleAreas):
        picture([array])


@pytest.mark.parametrize(
    ("sensor", "channel"),
    [("GMI", "183.31+-3V"), ("ATMS", "183.31+-3QH"), ("SAPHIR", "183.31+-2.8QH")],
)
def test_water_vapour(tmp_path, sensor, channel):
    path = write_fake_l1c(tmp_path, sensor, scans=10)
    scene = load(path, "wv183", channel)
    np.testing.assert_array_equal(scene["wv183"].values, scene[channel].values)
    assert channel in scene["wv183"].attrs["long_name"]


def test_no_water_vapour(tmp_path):
    scene = load(write_fake_l1c(tmp_path, "TMI", scans=10), "wv183", "85.5V")
    assert "wv183" not in scene
    assert "85.5V" in scene


# ---- files


def test_png_has_the_colours_of_the_maps(gmi, tmp_path, tiny):
    scene = load(gmi, "surface_precip", "surface_precip_q95", "probability_of_precip")
    table = np.array([rgb(c) for c in (DRY_COLOR, *RAIN_COLORS)])
    for name in ("surface_precip", "surface_precip_q95"):
        scene.save_dataset(name, str(tmp_path / "rain.png"))
        picture = np.asarray(Image.open(tmp_path / "rain.png"))
        rate = scene[name].values
        seen = np.isfinite(rate)
        assert 0 < seen.mean() < 1
        np.testing.assert_array_equal(picture[..., 3], np.where(seen, 255, 0))
        expected = table[np.digitize(rate[seen], RAIN_EDGES)]
        assert np.abs(picture[seen][:, :3].astype(int) - expected).max() <= 1
    scene.save_dataset("probability_of_precip", str(tmp_path / "p.png"))
    picture = np.asarray(Image.open(tmp_path / "p.png"))[seen][:, :3].astype(int)
    table = np.array([rgb(c) for c in PROBABILITY_COLORS])
    expected = table[np.floor(scene["probability_of_precip"].values[seen] * 10).astype(int)]
    assert np.abs(picture - expected).max() <= 1


def test_flag_picture(gmi, tmp_path, tiny):
    scene = load(gmi, "precip_flag")
    scene.save_dataset("precip_flag", str(tmp_path / "flag.png"))
    picture = np.asarray(Image.open(tmp_path / "flag.png"))
    flag = scene["precip_flag"].values
    np.testing.assert_array_equal(picture[..., 3] > 0, flag != -1)
    colours = [np.unique(picture[flag == f], axis=0) for f in np.unique(flag[flag >= 0])]
    assert [len(c) for c in colours] == [1] * len(colours)
    assert len(np.unique(colours, axis=0)) == len(colours)


def test_quality_picture(gmi, tmp_path, tiny):
    scene = load(gmi, "retrieval_quality")
    scene.save_dataset("retrieval_quality", str(tmp_path / "q.png"))
    picture = np.asarray(Image.open(tmp_path / "q.png"))
    flags = scene["retrieval_quality"].values
    level = np.where(flags & 36, 2, np.minimum(flags, 1))
    assert set(np.unique(level)) == {0, 1, 2}
    colours = [np.unique(picture[level == k], axis=0) for k in (0, 1, 2)]
    assert [len(c) for c in colours] == [1, 1, 1]
    assert len(np.unique(colours, axis=0)) == 3
    assert (picture[..., 3] == 255).all()


def test_geotiff(gmi, tmp_path, tiny):
    """A coloured picture, and the values themselves."""
    area = middle(gmi)
    local = load(gmi, "surface_precip").resample(area, radius_of_influence=20_000)
    local.save_dataset("surface_precip", str(tmp_path / "picture.tif"))
    local.save_dataset(
        "surface_precip", str(tmp_path / "rain.tif"), enhance=False, dtype=np.float32,
        fill_value=np.nan,
    )  # fmt: skip
    with rasterio.open(tmp_path / "picture.tif") as file:
        assert file.count == 4
        assert file.crs.to_epsg() == 4326
        np.testing.assert_allclose(file.bounds, area.area_extent, atol=1e-9)
    with rasterio.open(tmp_path / "rain.tif") as file:
        np.testing.assert_array_equal(file.read(1), local["surface_precip"].values)


def test_cf_netcdf(gmi, tmp_path, tiny):
    scene = load(gmi, *RAIN)
    scene.save_datasets(writer="cf", filename=str(tmp_path / "rain.nc"))
    with xr.open_dataset(tmp_path / "rain.nc", mask_and_scale=False) as written:
        for name in RAIN:
            np.testing.assert_array_equal(written[name].values, scene[name].values)
        attrs = written["surface_precip"].attrs
        assert attrs["standard_name"] == "lwe_precipitation_rate"
        assert (attrs["units"], attrs["model"]) == ("mm h-1", "tiny")
        assert written["precip_flag"].dtype == np.int8
        assert written["precip_flag"].attrs["flag_meanings"] == "no_precipitation precipitation"
        assert {"latitude", "longitude"} <= set(written["surface_precip"].coords)


def test_legend_lies_in_the_corner(gmi, tmp_path, tiny):
    area = middle(gmi, resolution=0.01)
    local = load(gmi, "surface_precip").resample(area, radius_of_influence=20_000)
    local.save_dataset("surface_precip", str(tmp_path / "plain.png"))
    with satpy.config.set({"xrain.legend": True}):
        local.save_dataset("surface_precip", str(tmp_path / "legend.png"))
    plain, legend = (
        np.asarray(Image.open(tmp_path / f"{n}.png").convert("RGB")) for n in ("plain", "legend")
    )
    assert plain.shape == legend.shape == (400, 400, 3)
    changed = (plain != legend).any(-1)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 150
    assert columns.max() < 120
    corner = {tuple(c) for c in legend[150:, :120].reshape(-1, 3)}
    assert {tuple(rgb(c)) for c in RAIN_COLORS} <= corner


def test_no_room_for_a_legend(gmi, tmp_path, tiny):
    local = load(gmi, "surface_precip").resample(middle(gmi), radius_of_influence=20_000)
    with (
        satpy.config.set({"xrain.legend": True}),
        pytest.raises(InputError, match="40 rows and 40 columns has no room"),
    ):
        local.save_dataset("surface_precip", str(tmp_path / "legend.png"))
