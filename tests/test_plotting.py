"""Maps of rain and brightness temperatures: what is really drawn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import matplotlib as mpl
import matplotlib.animation
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_rgb
from PIL import Image, ImageSequence

from xrain import plotting
from xrain.conventions import ATTRIBUTES
from xrain.errors import InputError
from xrain.plotting import maps, style


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def make_rain(
    center: tuple[float, float] = (33.0, 125.0), shape: tuple[int, int] = (40, 50)
) -> xr.Dataset:
    """Make a rain Dataset on a tilted grid: rate 0 in the west, growing towards the east."""
    start = np.datetime64("2020-07-01T23:50", "ns")
    i, j = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    latitude = center[0] + 0.1 * (i - shape[0] / 2) + 0.02 * j
    longitude = center[1] + 0.1 * (j - shape[1] / 2) - 0.02 * i
    rate = np.where(j < 10, 0.0, 0.05 * np.exp(0.2 * (j - 10.0)))
    dims = ("scan", "pixel")
    data = {
        "surface_precip": (dims, rate),
        "surface_precip_quantile": (("quantile", *dims), np.stack((rate / 2, rate, 3 * rate))),
        "probability_of_precip": (dims, (j / shape[1])),
        "precip_flag": (dims, (j >= 10).astype("i1")),
        "retrieval_quality": (dims, np.where(i < 20, 0, 9).astype("i2")),
    }
    variables = {k: (*v, ATTRIBUTES[k]) for k, v in data.items()}
    coords = {
        "latitude": (dims, latitude),
        "longitude": (dims, (longitude + 180) % 360 - 180),
        "quantile": [0.05, 0.5, 0.95],
        "time": ("scan", start + i[:, 0] * np.timedelta64(60, "s")),
    }
    attrs = {"sensor": "GMI", "platform": "GPM", "model": "gmi-unet", "model_version": "1"}
    return xr.Dataset(variables, coords, attrs)


def to_table(ds: xr.Dataset) -> xr.Dataset:
    return ds.stack(sample=("scan", "pixel")).reset_index("sample", drop=True)


def pixels(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def share(figure: Any, color: Any) -> float:
    """Share of the figure's pixels that have a colour."""
    wanted = np.round(np.array(to_rgb(color)) * 255)
    return float((np.abs(pixels(figure) - wanted).max(-1) <= 2).mean())


def mesh(figure: Any, panel: int = 0) -> QuadMesh:
    return next(c for c in figure.axes[panel].collections if isinstance(c, QuadMesh))


def test_each_rain_class_appears_in_its_colour_and_at_its_place() -> None:
    ds = make_rain()
    figure = plotting.plot_rain(ds, legend=False, borders=False)
    figure.set_dpi(60)
    image = pixels(figure)
    ax = figure.axes[0]
    edges = np.array(style.RAIN_EDGES)
    for j in (4, 20, 30, 45):
        place = ds.isel(scan=20, pixel=j)
        lon = float(place.longitude) - ax.projection.proj4_params.get("lon_0", _prime(ax))
        x, y = ax.transData.transform((lon, float(place.latitude)))
        rate = float(place.surface_precip)
        index = int(np.searchsorted(edges, rate, side="right")) - 1
        expected = style.DRY_COLOR if index < 0 else style.RAIN_COLORS[index]
        found = image[image.shape[0] - 1 - int(y), int(x)] / 255
        assert found == pytest.approx(to_rgb(expected), abs=0.02), (j, rate)


def _prime(ax: Any) -> float:
    return float(ax.projection.proj4_params.get("pm", 0.0))


def test_values_drawn_are_those_of_the_dataset() -> None:
    ds = make_rain()
    drawn = mesh(plotting.plot_rain(ds)).get_array()
    np.testing.assert_array_equal(np.ma.filled(drawn, np.nan), ds.surface_precip.values)


def test_colours_keep_their_order_for_every_kind_of_colour_vision() -> None:
    rgb = np.array([to_rgb(c) for c in (style.DRY_COLOR, *style.RAIN_COLORS)])
    for matrix in COLOUR_VISION.values():
        lab = _lab(np.clip(_linear(rgb) @ np.array(matrix).T, 0, 1))
        assert (np.diff(lab[:, 0]) < -2).all()
        assert np.linalg.norm(np.diff(lab, axis=0), axis=1).min() > 7


COLOUR_VISION = {
    # Machado, Oliveira, Fernandes 2009, doi 10.1109/TVCG.2009.113, severity 1, linear RGB
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def _linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    t = linear @ to_xyz.T / (0.9505, 1.0, 1.089)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        (116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])), axis=1
    )


@pytest.mark.parametrize("center", [(10.0, 180.0), (-45.0, -179.0), (5.0, 0.0), (60.0, 359.0)])
def test_swath_across_a_seam_of_longitudes_stays_in_one_piece(center: tuple[float, float]) -> None:
    figure = plotting.plot_rain(make_rain(center))
    here = plotting.plot_rain(make_rain((center[0], 40.0)))
    west, east = figure.axes[0].get_xlim()
    assert east - west < 10
    assert not np.ma.getmaskarray(mesh(figure).get_array()).any()
    assert share(figure, style.RAIN_COLORS[4]) == pytest.approx(
        share(here, style.RAIN_COLORS[4]), rel=0.1
    )


def test_swath_over_the_pole_gets_a_polar_map() -> None:
    ds = make_rain((0.0, 0.0), (40, 40))
    y, x = (ds.latitude.values * 8, ds.longitude.values * 8)
    ds = ds.assign_coords(
        latitude=(("scan", "pixel"), 90 - np.hypot(x, y)),
        longitude=(("scan", "pixel"), np.rad2deg(np.arctan2(y, x))),
    )
    figure = plotting.plot_rain(ds)
    assert "Stereo" in type(figure.axes[0].projection).__name__
    assert not np.ma.getmaskarray(mesh(figure).get_array()).any()
    assert share(figure, style.RAIN_COLORS[3]) > 0.01


def test_cells_torn_by_the_edge_of_a_global_map_are_left_out() -> None:
    longitude = np.linspace(-180, 178, 180)[None, :].repeat(4, 0)
    latitude = np.array([0.0, 2.0, 4.0, 6.0])[:, None].repeat(180, 1)
    dims = ("scan", "pixel")
    ds = xr.Dataset(
        {"surface_precip": (dims, np.full((4, 180), 3.0), ATTRIBUTES["surface_precip"])},
        {"latitude": (dims, latitude), "longitude": (dims, longitude + 90)},
    )
    figure = plotting.plot_rain(ds, borders=False, legend=False)
    boxes = [p.get_extents() for p in mesh(figure).get_paths()]
    masked = np.ma.getmaskarray(mesh(figure).get_array()).ravel()
    assert masked.sum() <= 4
    assert all(b.width < 5 for b, m in zip(boxes, masked, strict=True) if not m)


def test_granules_that_do_not_adjoin_are_not_joined_by_long_cells() -> None:
    far = make_rain((33.0, 165.0))
    ds = xr.concat([make_rain(), far.assign_coords(time=far.time + np.timedelta64(1, "D"))], "scan")
    figure = plotting.plot_rain(ds, borders=False, legend=False)
    drawn = mesh(figure)
    masked = np.ma.getmaskarray(drawn.get_array()).ravel()
    widths = np.array([p.get_extents().width for p in drawn.get_paths()])
    assert masked.sum() == 50
    assert widths[masked].max() > 30
    assert widths[~masked].max() < 0.5


def test_missing_values_and_positions_are_not_drawn() -> None:
    ds = make_rain()
    ds["surface_precip"][5:10] = np.nan
    ds["latitude"][20:25] = np.nan
    ds["longitude"][30, 3] = -9999.0
    masked = np.ma.getmaskarray(mesh(plotting.plot_rain(ds)).get_array())
    expected = np.zeros(masked.shape, bool)
    expected[5:10] = expected[20:25] = expected[30, 3] = True
    np.testing.assert_array_equal(masked, expected)


@pytest.mark.parametrize("lost", ["surface_precip", "latitude"])
def test_nothing_valid_gives_a_map_that_says_so(lost: str) -> None:
    ds = make_rain()
    ds[lost][:] = np.nan
    figure = plotting.plot_rain(ds)
    figure.canvas.draw()
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert "no valid value" in texts


def test_lazy_dataset_is_read_once_and_only_what_is_drawn() -> None:
    ds = make_rain()
    reads: list[str] = []

    def lazy(name: str) -> da.Array:
        values = ds[name].values

        def block(block_info: Any = None) -> np.ndarray:
            reads.append(name)
            return values

        return da.map_blocks(block, chunks=tuple((n,) for n in values.shape), dtype=values.dtype)

    chunked = ds.copy()
    for name in ("surface_precip", "probability_of_precip", "latitude", "longitude"):
        chunked[name] = (ds[name].dims, lazy(name), ds[name].attrs)
    reads.clear()
    figure = plotting.plot_rain(chunked)
    assert sorted(reads) == ["latitude", "longitude", "surface_precip"]
    np.testing.assert_array_equal(mesh(figure).get_array(), ds.surface_precip.values)


def test_table_is_drawn_as_points_at_their_places() -> None:
    ds = to_table(make_rain())
    figure = plotting.plot_rain(ds)
    points = next(c for c in figure.axes[0].collections if isinstance(c, PathCollection))
    np.testing.assert_allclose(np.asarray(points.get_offsets())[:, 1], ds.latitude.values)
    np.testing.assert_array_equal(points.get_array(), ds.surface_precip.values)
    assert share(figure, style.RAIN_COLORS[-2]) > 0.002


def test_single_scan_is_drawn() -> None:
    figure = plotting.plot_rain(make_rain().isel(scan=[7]))
    assert share(figure, style.RAIN_COLORS[5]) > 0


def test_swath_without_positions_is_drawn_over_scan_and_pixel() -> None:
    figure = plotting.plot_rain(make_rain().drop_vars(["latitude", "longitude"]))
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("pixel", "scan")
    assert share(figure, style.RAIN_COLORS[4]) > 0.02


def test_table_without_positions_is_refused() -> None:
    ds = to_table(make_rain()).drop_vars(["latitude", "longitude"])
    with pytest.raises(InputError, match="latitude"):
        plotting.plot_rain(ds)


def test_panels_show_rain_probability_and_interval() -> None:
    ds = make_rain()
    figure = plotting.plot_rain(ds, panels=True)
    titles = [ax.get_title() for ax in figure.axes[:3]]
    assert titles[0].startswith("Surface precipitation")
    assert titles[1:] == [
        "Probability of precipitation of at least 0.1 mm/h",
        "Width of the 5–95 % interval",
    ]
    width = ds.surface_precip_quantile.isel(quantile=2) - ds.surface_precip_quantile.isel(
        quantile=0
    )
    np.testing.assert_allclose(mesh(figure, 2).get_array(), width.values)
    np.testing.assert_array_equal(mesh(figure, 1).get_array(), ds.probability_of_precip.values)


def test_quantile_is_chosen_by_its_value() -> None:
    ds = make_rain()
    drawn = mesh(plotting.plot_rain(ds, variable="surface_precip_quantile", quantile=0.5))
    np.testing.assert_array_equal(drawn.get_array(), ds.surface_precip.values)
    with pytest.raises(InputError, match=r"no quantile 0\.7; there are 0\.05, 0\.5, 0\.95"):
        plotting.plot_rain(ds, variable="surface_precip_quantile", quantile=0.7)


def test_flags_are_spelt_out() -> None:
    figure = plotting.plot_rain(make_rain(), variable="retrieval_quality")
    labels = [t.get_text() for t in figure.axes[1].get_yticklabels()]
    assert labels == ["good", "missing channel\n+ swath edge"]
    assert share(figure, style.FLAG_COLORS[1]) > 0.05


def test_flag_fill_is_not_observed() -> None:
    ds = make_rain()
    ds["precip_flag"][:20] = -1
    figure = plotting.plot_rain(ds, variable="precip_flag", borders=False)
    whole = plotting.plot_rain(make_rain(), variable="precip_flag", borders=False)
    labels = [t.get_text() for t in figure.axes[1].get_yticklabels()]
    assert labels == ["no precipitation", "precipitation"]
    drawn, expected = (share(f, style.FLAG_COLORS[1]) for f in (figure, whole))
    assert drawn == pytest.approx(expected / 2, rel=0.15)


def test_title_says_that_a_granule_is_simulated() -> None:
    ds = make_rain().assign_attrs(simulated="true")
    assert "simulated" in plotting.plot_rain(ds).axes[0].get_title()


def test_title_names_sensor_time_and_model() -> None:
    title = plotting.plot_rain(make_rain()).axes[0].get_title().replace("\n", " · ")
    assert title == "GMI on GPM · 2020-07-01 23:50–2020-07-02 00:29 UTC · gmi-unet 1"


def test_draws_into_given_axes() -> None:
    figure, axes = plt.subplots(1, 2)
    assert plotting.plot_rain(make_rain(), ax=axes[1]) is figure
    assert not axes[0].collections
    assert mesh(figure, 1).get_array().size == 2000
    with pytest.raises(InputError, match="3 panels"):
        plotting.plot_rain(make_rain(), ax=axes[0], panels=True)


def test_extent_across_the_date_line() -> None:
    figure = plotting.plot_rain(make_rain((0.0, 180.0)), extent=(178.0, -179.0, -2.0, 2.0))
    assert np.ptp(figure.axes[0].get_xlim()) == pytest.approx(3.0)
    assert figure.axes[0].get_ylim() == pytest.approx((-2.0, 2.0))


def test_missing_variable_is_named_with_what_there_is() -> None:
    with pytest.raises(InputError, match="no variable 'snow'; it has surface_precip"):
        plotting.plot_rain(make_rain(), variable="snow")
    swath = make_rain()[["latitude"]].assign(tb=(("scan", "pixel"), np.zeros((40, 50))))
    with pytest.raises(InputError, match="retrieve"):
        plotting.plot_rain(swath)


def make_swath() -> xr.Dataset:
    ds = make_rain()
    tb = xr.concat([250 + ds.probability_of_precip, 180 + ds.latitude], "channel")
    tb = tb.transpose("scan", "pixel", "channel").drop_attrs()
    names = ["36.64V", "183.31+-3V"]
    return ds[["time"]].assign(tb=tb.assign_coords(channel=names)).assign_attrs(ds.attrs)


def test_tb_takes_channels_in_any_spelling() -> None:
    ds = make_swath()
    figure = plotting.plot_tb(ds, ["183±3V", "36.5V"])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["183.31 ± 3 GHz V", "36.64 GHz V"]
    np.testing.assert_array_equal(mesh(figure, 1).get_array(), ds.tb.isel(channel=0).values)
    with pytest.raises(InputError, match=r"no channel 10\.65H; there are 36\.64V"):
        plotting.plot_tb(ds, "10.65H")


def test_tb_of_a_table_and_of_nothing_valid() -> None:
    ds = make_swath()
    assert len(plotting.plot_tb(to_table(ds)).axes[:2]) == 2
    figure = plotting.plot_tb(ds.where(False), "36.5V")
    assert [t.get_text() for t in figure.axes[0].texts] == ["no valid value"]


def test_side_by_side_shares_extent_and_colour_bar() -> None:
    two = {"a": make_rain((30.0, 120.0)), "b": make_rain((36.0, 128.0))}
    figure = plotting.plot_side_by_side(two)
    first, second, *bars = figure.axes
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    assert len(bars) == 1
    two["b"].surface_precip.attrs["long_name"] = "true rain"
    *_, bar = plotting.plot_side_by_side(two).axes
    assert bar.get_ylabel() == "surface precip (mm/h)"
    two["c"] = make_rain().drop_vars(["latitude", "longitude"])
    with pytest.raises(InputError, match="others have not"):
        plotting.plot_side_by_side(two)
    with pytest.raises(InputError, match="empty"):
        plotting.plot_side_by_side({})


def test_coast_is_drawn_where_it_is() -> None:
    """The Korean peninsula is land and the Yellow Sea is not, with and without detail."""
    ds = make_rain((33.0, 150.0))
    for extent in [(115.0, 135.0, 30.0, 42.0), (60.0, 200.0, -10.0, 60.0)]:
        figure = plotting.plot_rain(ds, extent=extent, borders=False, legend=False)
        image = pixels(figure)
        ax = figure.axes[0]
        middle = (extent[0] + extent[1]) / 2
        for lon, lat, color in [
            (128.2, 36.4, style.LAND_COLOR),
            (123.5, 36.3, style.UNSEEN_COLOR),
        ]:
            x, y = ax.transData.transform((lon - middle, lat))
            found = image[image.shape[0] - 1 - int(y), int(x)] / 255
            assert found == pytest.approx(to_rgb(color), abs=0.02), (extent, lon, lat)
        assert share(figure, style.COAST_COLOR) > 0


def test_own_reader_agrees_with_the_shapefile_library() -> None:
    reader = pytest.importorskip("shapefile")
    for path in plotting.packaged_map_dir().rglob("*.shp"):
        with reader.Reader(str(path)) as shapes:
            expected = np.concatenate([np.asarray(s.points) for s in shapes.shapes()])
        np.testing.assert_array_equal(np.concatenate(maps.read_lines(path)), expected)


def test_cartopy_finds_the_packaged_coastline(monkeypatch: pytest.MonkeyPatch) -> None:
    cartopy = pytest.importorskip("cartopy")
    monkeypatch.setitem(cartopy.config, "pre_existing_data_dir", "")
    monkeypatch.setitem(cartopy.config, "data_dir", "/nowhere")
    plotting.use_packaged_coastline()
    ax = plt.figure().add_subplot(projection=cartopy.crs.PlateCarree())
    ax.set_global()
    ax.coastlines("110m", color=style.COAST_COLOR)
    ax.add_feature(
        cartopy.feature.NaturalEarthFeature("cultural", "admin_0_boundary_lines_land", "110m")
    )
    assert share(ax.figure, style.COAST_COLOR) > 0.001


def test_draws_without_cartopy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cartopy", "cartopy.crs", "cartopy.feature", "cartopy.io.shapereader"):
        monkeypatch.setitem(sys.modules, name, None)
    figure = plotting.plot_rain(make_rain((0.0, 179.0)), extent=(100.0, -100.0, -60.0, 70.0))
    ax = figure.axes[0]
    assert not hasattr(ax, "projection")
    assert share(figure, style.RAIN_COLORS[4]) > 0
    assert share(figure, style.COAST_COLOR) > 1e-4
    assert "180°" in [t.get_text() for t in ax.get_xticklabels()]


def test_importing_plotting_loads_no_matplotlib() -> None:
    code = (
        "import sys, xrain.plotting; print({'matplotlib', 'cartopy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_real_granule_can_be_drawn(l1c_granule: Path) -> None:
    with xr.open_dataset(l1c_granule, engine="gpm-l1c") as ds:
        swath = ds.isel(channel=[-1]).load()
    figure = plotting.plot_tb(swath)
    values = swath.tb.where(swath.latitude.notnull())
    empty = "no valid value" in [t.get_text() for t in figure.axes[0].texts]
    assert empty == bool(values.isnull().all())
    if not empty:
        drawn = mesh(figure).get_array()
        assert drawn.count() == int(values.notnull().sum())


# ---- one call for all, and films


def test_plot_takes_rain_where_there_is_some_and_tb_where_not() -> None:
    rain, swath = make_rain(), make_swath()
    assert mesh(rain.rain.plot()).get_array().size == rain.surface_precip.size
    titles = [ax.get_title() for ax in swath.rain.plot().axes[:2]]
    assert titles == ["36.64 GHz V", "183.31 ± 3 GHz V"]
    one = swath.rain.plot(channels="36.5V")
    assert "36.64 GHz V" in one.axes[0].get_title()
    with pytest.raises(InputError, match="panels: the dataset has no rain yet, only 'tb'"):
        swath.rain.plot(panels=True)
    with pytest.raises(InputError, match="no variable 'surface_precip'; it has none"):
        xr.Dataset().rain.plot()


def test_a_dimension_of_length_one_is_no_obstacle() -> None:
    rain = make_rain().drop_vars("time").expand_dims(time=[np.datetime64("2020-07-01", "ns")])
    drawn = mesh(plotting.plot_rain(rain)).get_array()
    np.testing.assert_array_equal(drawn, rain.surface_precip.values[0])


def test_counts_are_whole_and_none_is_not_observed() -> None:
    ds = make_rain()
    counts = np.zeros((40, 50), "i4")
    counts[:, 10:30], counts[:, 30:] = 1, 3
    ds["overpass_count"] = (("scan", "pixel"), counts, {"units": "1"})
    figure = plotting.plot_rain(ds, variable="overpass_count", borders=False)
    assert [t.get_text() for t in figure.axes[1].get_yticklabels()] == ["1", "2", "3"]
    first, last = (mpl.colormaps["YlGnBu"].resampled(3)(k) for k in (0, 2))
    assert share(figure, last) > share(figure, first) * 0.8 > 0.02
    middle = mpl.colormaps["YlGnBu"].resampled(3)(1)
    assert share(figure, middle) < 0.1  # in the colour bar alone
    one = plotting.plot_rain(ds.assign(overpass_count=ds.overpass_count // 3),
                             variable="overpass_count")  # fmt: skip
    assert [t.get_text() for t in one.axes[1].get_yticklabels()] == ["1"]
    ds["overpass_count"] = ds.overpass_count * 20
    ticks = plotting.plot_rain(ds, variable="overpass_count").axes[1].get_yticklabels()
    assert 5 <= len(ticks) <= 11


def test_an_interval_of_time_is_in_the_title() -> None:
    ds = make_rain().drop_vars("time").expand_dims(time=[np.datetime64("2020-07-01T12", "ns")])
    day = np.array([["2020-07-01", "2020-07-02"]], "M8[ns]")
    ds["time_bnds"] = (("time", "bnds"), day)
    title = plotting.plot_rain(ds).axes[0].get_title().replace("\n", " · ")
    assert "2020-07-01 00:00–2020-07-02 00:00 UTC" in title


def test_a_map_of_the_globe_is_cut_at_the_date_line() -> None:
    lat, lon = np.arange(-88.0, 90, 4), np.arange(-178.0, 180, 4)
    dims = ("latitude", "longitude")
    ds = xr.Dataset({"surface_precip": (dims, np.ones((45, 90)), {"units": "mm h-1"})},
                    {"latitude": lat, "longitude": lon})  # fmt: skip
    figure = plotting.plot_rain(ds)
    assert figure.axes[0].get_xlim() == pytest.approx((-180, 180))
    assert _prime(figure.axes[0]) == 0
    assert figure.axes[0].projection.proj4_params.get("lon_0", 0) == 0


def test_wide_maps_stand_in_few_columns() -> None:
    wide = make_rain((0.0, 0.0), (20, 50))
    figure = plotting.plot_side_by_side({str(k): wide for k in range(5)})
    assert figure.axes[0].get_subplotspec().get_gridspec().ncols == 3


def read_gif(path: Path) -> tuple[list[np.ndarray], int]:
    with Image.open(path) as film:
        return [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(film)], film.info[
            "duration"
        ]


def test_a_film_has_a_frame_for_each_dataset_on_one_extent(tmp_path: Path) -> None:
    frames = [make_rain((0.0, 176.0 + 4 * k)) for k in range(3)]
    path = plotting.animate(frames, tmp_path / "a.gif", fps=4, dpi=50)
    images, duration = read_gif(path)
    assert (len(images), duration) == (3, 250)
    assert len({i.shape for i in images}) == 1
    wanted = np.round(np.array(to_rgb(style.RAIN_COLORS[4])) * 255)
    middles = []
    for image in images:
        found = np.argwhere((np.abs(image[:, : image.shape[1] * 3 // 4] - wanted) < 8).all(-1))
        assert len(found) > 20
        middles.append(found[:, 1].mean())
    steps = np.diff(middles)
    assert steps[0] > 20
    assert steps[1] == pytest.approx(steps[0], rel=0.1)  # the date line is no jump
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]


def test_times_of_one_dataset_become_frames(tmp_path: Path) -> None:
    lat, lon = np.arange(20.0, 30), np.arange(100.0, 112)
    rate = np.stack([np.full((10, 12), r) for r in (0.3, 3.0)])
    ds = xr.Dataset(
        {"surface_precip": (("time", "latitude", "longitude"), rate, {"units": "mm h-1"})},
        {"time": np.array(["2020-07-01", "2020-07-02"], "M8[ns]"), "latitude": lat,
         "longitude": lon},
    )  # fmt: skip
    images, _ = read_gif(plotting.animate(ds, tmp_path / "a.gif", dpi=50))
    colors = [tuple(i[i.shape[0] // 2, i.shape[1] // 3]) for i in images]
    for color, k in zip(colors, (1, 4), strict=True):
        assert np.abs(np.array(color) / 255 - to_rgb(style.RAIN_COLORS[k])).max() < 0.03


def test_a_film_over_the_pole_keeps_its_frame(tmp_path: Path) -> None:
    y, x = np.meshgrid(np.arange(-20, 20) * 0.8, np.arange(-20, 20) * 0.8, indexing="ij")
    frames = []
    for shift in (-6.0, 6.0):
        ds = make_rain((0.0, 0.0), (40, 40))
        frames.append(ds.assign_coords(
            latitude=(("scan", "pixel"), 90 - np.hypot(x + shift, y)),
            longitude=(("scan", "pixel"), np.rad2deg(np.arctan2(y, x + shift))),
        ))  # fmt: skip
    images, _ = read_gif(plotting.animate(frames, tmp_path / "a.gif", dpi=50))
    land = [(np.abs(i - np.round(np.array(to_rgb(style.COAST_COLOR)) * 255)) < 8).all(-1)
            for i in images]  # fmt: skip
    assert land[0].any()
    corner = (slice(0, 60), slice(0, 60))
    np.testing.assert_array_equal(land[0][corner], land[1][corner])


def test_a_film_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = make_rain()
    for frames, name, message, options in [
        ([], "a.gif", "no frame", {}),
        ([ds], "a.avi", "unknown kind of film; known are .gif, .mp4", {}),
        ([ds], "a.gif", "2 titles for 1 frames", {"titles": ["a", "b"]}),
        ([ds], "a.gif", "fps=0", {"fps": 0}),
        ([ds.drop_vars("latitude")], "a.gif", "frame 0 has no 'latitude'", {}),
    ]:
        with pytest.raises(InputError, match=message):
            plotting.animate(frames, tmp_path / name, **options)
    with pytest.raises(InputError, match="no variable 'snow'"):
        plotting.animate([ds], tmp_path / "a.gif", variable="snow")
    monkeypatch.setitem(mpl.rcParams, "animation.ffmpeg_path", "/nowhere/ffmpeg")
    with pytest.raises(InputError, match=r"needs ffmpeg; install it or write a \.gif"):
        plotting.animate([ds], tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    not mpl.animation.writers.is_available("ffmpeg"), reason="ffmpeg is not installed"
)
def test_mp4_where_there_is_ffmpeg(tmp_path: Path) -> None:
    path = plotting.animate([make_rain(), make_rain()], tmp_path / "a.mp4", dpi=50)
    assert path.read_bytes()[4:8] == b"ftyp"
