"""Map axes, the packaged coastline, and the cells of a swath."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xrain.extras import require
from xrain.geo.extent import Extent
from xrain.geo.land import land_fraction
from xrain.plotting.style import COAST_COLOR, LAND_COLOR, UNSEEN_COLOR

Array = NDArray[np.float64]

REGIONAL: Final = 45.0
"""Maps narrower than this, in degrees, take their coast from the land mask of 0.1 degrees: the
coastline at 1:110 million is too coarse there."""

_COAST: Final = "physical/ne_110m_coastline.shp"
_LAND: Final = "physical/ne_110m_land.shp"
_BORDERS: Final = "cultural/ne_110m_admin_0_boundary_lines_land.shp"


def packaged_map_dir() -> Path:
    """Folder of the packaged coastline, in the layout of cartopy's data folder."""
    return Path(str(resources.files("xrain.data").joinpath("natural_earth")))


def use_packaged_coastline() -> None:
    """Let cartopy's own features find the packaged coastline, so that they need no download.

    Afterwards ``ax.coastlines("110m")`` and cartopy's 1:110 million land, coastline and
    ``admin_0_boundary_lines_land`` features work offline. xrain's own maps do not need it.

    See Also
    --------
    xrain.plotting.plot_rain : Draws the coastline by itself.

    References
    ----------
    Natural Earth, https://www.naturalearthdata.com
    """
    require("cartopy", "plot", "coastlines of cartopy")
    import cartopy

    cartopy.config["pre_existing_data_dir"] = packaged_map_dir()


@dataclass(frozen=True)
class View:
    """The piece of the earth that a map shows.

    Attributes
    ----------
    center : float
        Longitude in the middle, degrees east.
    extent : tuple of float
        West, east, south, north in degrees, the longitudes relative to `center`.
    pole : int
        1 or −1 for a map around the north or the south pole, else 0.
    """

    center: float
    extent: Extent
    pole: int = 0

    @property
    def aspect(self) -> float:
        """Length of a degree of latitude over that of a degree of longitude."""
        middle = np.clip((self.extent[2] + self.extent[3]) / 2, -70, 70)
        return 1.0 if self.is_wide else float(1 / np.cos(np.deg2rad(middle)))

    @property
    def is_wide(self) -> bool:
        """Whether the map shows a large part of the globe."""
        return self.extent[1] - self.extent[0] > 120

    @property
    def shape(self) -> float:
        """Height of the map over its width."""
        if self.pole:
            return 1.0
        west, east, south, north = self.extent
        return (north - south) * self.aspect / (east - west)


def wrap(longitude: Any, center: float = 0.0) -> Array:
    """Longitudes relative to `center`, in −180 to 180 degrees."""
    out: Array = (np.asarray(longitude, np.float64) - center + 180.0) % 360.0 - 180.0
    return out


def view_of(latitude: Array, longitude: Array) -> View:
    """Choose the map that holds all given positions; the whole globe if there is none."""
    good = np.isfinite(latitude) & np.isfinite(longitude)
    if not good.any():
        return View(0.0, (-180.0, 180.0, -90.0, 90.0))
    lat, lon = latitude[good], longitude[good]
    center, width = _smallest_arc(lon)
    south, north = float(lat.min()), float(lat.max())
    if width > 150 and max(-south, north) > 75 and (south > 20 or north < -20):
        return View(0.0, (-180.0, 180.0, south, north), 1 if south > 0 else -1)
    margin = max(0.06 * max(north - south, width), 0.5)
    half = 180.0 if width > 300 else min(width / 2 + margin, 180.0)
    center = 0.0 if half == 180.0 else center
    south, north = max(south - margin, -90.0), min(north + margin, 90.0)
    return View(center, (-half, half, south, north))


def view_of_extent(extent: Extent) -> View:
    """Turn west, east, south, north into a view; west > east crosses the date line."""
    west, east, south, north = extent
    width = (east - west) % 360.0 or 360.0
    return View(float(wrap(west + width / 2)), (-width / 2, width / 2, south, north))


def _smallest_arc(longitude: Array) -> tuple[float, float]:
    """Middle and width, in degrees, of the smallest arc that holds all longitudes."""
    ordered = np.unique(np.round(longitude % 360.0, 2))
    gaps = np.diff(np.append(ordered, ordered[0] + 360.0))
    widest = int(np.argmax(gaps))
    width = 360.0 - float(gaps[widest])
    start = float(ordered[(widest + 1) % ordered.size])
    return float(wrap(start + width / 2)), width


def projection_of(view: View) -> Any:
    """Choose the cartopy projection of a view, None where cartopy is not installed."""
    try:
        import cartopy.crs as ccrs
    except ImportError:
        return None
    if view.pole:
        name = "NorthPolarStereo" if view.pole > 0 else "SouthPolarStereo"
        return getattr(ccrs, name)(central_longitude=view.center)
    return ccrs.PlateCarree(central_longitude=view.center)


def project(axes: Any, view: View, latitude: Any, longitude: Any) -> tuple[Array, Array]:
    """Bring positions into the axes' own coordinates, NaN or infinite where there is none."""
    lat = np.asarray(latitude, np.float64)
    crs = getattr(axes, "projection", None)
    if crs is None:
        return wrap(longitude, view.center), lat
    import cartopy.crs as ccrs

    if isinstance(crs, ccrs.PlateCarree):
        return wrap(longitude, _central_longitude(crs)), lat
    points = crs.transform_points(ccrs.PlateCarree(), wrap(longitude), lat)
    return points[..., 0], points[..., 1]


def _central_longitude(crs: Any) -> float:
    """Return the middle meridian of a PlateCarree, whose parameters vary with cartopy."""
    known = crs.proj4_params
    return float(known.get("lon_0", known.get("pm", 0.0)))


def draw_background(axes: Any, view: View, *, borders: bool = True) -> None:
    """Draw land, coast and borders, set the extent and label the meridians and parallels."""
    axes.set_facecolor(UNSEEN_COLOR)
    if hasattr(axes, "projection"):
        _cartopy_background(axes, view, borders)
    else:
        _plain_background(axes, view, borders)
    if _is_detailed(axes, view):
        _detailed_coast(axes, view)


def _is_detailed(axes: Any, view: View) -> bool:
    """Whether the coast comes from the land mask: on small maps that are a box of degrees."""
    west, east, south, north = view.extent
    crs = getattr(axes, "projection", None)
    if crs is not None:
        import cartopy.crs as ccrs

        if not isinstance(crs, ccrs.PlateCarree):
            return False
    return not view.pole and max(east - west, north - south) <= REGIONAL


def _cartopy_background(axes: Any, view: View, borders: bool) -> None:
    import cartopy.crs as ccrs

    if view.pole:
        axes.set_extent((-180, 180, *view.extent[2:]), ccrs.PlateCarree())
    else:
        axes.set_extent(view.extent, ccrs.PlateCarree(central_longitude=view.center))
    if isinstance(axes.projection, ccrs.PlateCarree):
        axes.set_aspect(view.aspect)
    if not _is_detailed(axes, view):
        axes.add_feature(_feature(_LAND), facecolor=LAND_COLOR, edgecolor="none", zorder=0.5)
        axes.add_feature(
            _feature(_COAST), facecolor="none", edgecolor=COAST_COLOR, linewidth=0.7, zorder=3
        )
    if borders:
        axes.add_feature(
            _feature(_BORDERS), facecolor="none", edgecolor=COAST_COLOR, linewidth=0.4,
            linestyle=(0, (4, 2)), alpha=0.7, zorder=3,
        )  # fmt: skip
    _cartopy_grid(axes, view)


def _cartopy_grid(axes: Any, view: View) -> None:
    from matplotlib.ticker import FixedLocator

    grid = axes.gridlines(draw_labels=True, linewidth=0.3, color="0.35", alpha=0.5, zorder=4)
    grid.top_labels = grid.right_labels = False
    grid.xlabel_style = grid.ylabel_style = {"size": 8, "color": "0.25"}
    if not view.pole:
        grid.xlocator = FixedLocator(wrap(meridians(view)).tolist())


def meridians(view: View) -> Array:
    """Meridians to draw, in degrees east: round numbers, also where the date line is near."""
    west, east = view.center + view.extent[0], view.center + view.extent[1]
    steps = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
    step = next((s for s in steps if (east - west) / s <= 6), steps[-1])
    out: Array = np.arange(np.ceil(west / step), np.floor(east / step) + 1) * step
    return out


def frame(axes: Any, x: Array, y: Array) -> None:
    """Cut a map around a pole to a square that holds the given positions."""
    known = np.isfinite(x) & np.isfinite(y)
    middle = [(float(v[known].max()) + float(v[known].min())) / 2 for v in (x, y)]
    half = 0.53 * max(float(np.ptp(x[known])), float(np.ptp(y[known])))
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))


@functools.cache
def _feature(name: str) -> Any:
    import cartopy.crs as ccrs
    from cartopy.feature import ShapelyFeature
    from cartopy.io.shapereader import Reader

    return ShapelyFeature(Reader(str(_shapefile(name))).geometries(), ccrs.PlateCarree())


def _shapefile(name: str) -> Path:
    return packaged_map_dir() / "shapefiles" / "natural_earth" / name


def _plain_background(axes: Any, view: View, borders: bool) -> None:
    from matplotlib.collections import LineCollection

    drawn = [] if _is_detailed(axes, view) else [(_COAST, 0.7, 1.0)]
    drawn += [(_BORDERS, 0.4, 0.7)] if borders else []
    for name, width, alpha in drawn:
        lines = LineCollection(_lines(name, view.center), colors=COAST_COLOR, zorder=3)
        lines.set(linewidth=width, alpha=alpha)
        axes.add_collection(lines, autolim=False)
    axes.set(xlim=view.extent[:2], ylim=view.extent[2:])
    axes.set_aspect(view.aspect)
    axes.set_xticks(np.sort(wrap(meridians(view), view.center)))
    axes.grid(linewidth=0.3, color="0.35", alpha=0.5)
    axes.tick_params(labelsize=8, colors="0.25", length=0)
    axes.xaxis.set_major_formatter(lambda x, _: _degrees(float(wrap(x + view.center)), "EW"))
    axes.yaxis.set_major_formatter(lambda y, _: _degrees(y, "NS"))


def _degrees(value: float, sides: str) -> str:
    side = "" if value in (0, 180, -180) else sides[0] if value > 0 else sides[1]
    return f"{abs(value):g}°{side}"


def _lines(name: str, center: float) -> list[Array]:
    """Lines of a packaged shapefile, relative to a meridian, cut where they leave the map."""
    out = []
    for line in read_lines(_shapefile(name)):
        shifted = np.column_stack((wrap(line[:, 0], center), line[:, 1]))
        cuts = np.flatnonzero(np.abs(np.diff(shifted[:, 0])) > 180) + 1
        out += [piece for piece in np.split(shifted, cuts) if len(piece) > 1]
    return out


@functools.cache
def read_lines(path: Path) -> tuple[Array, ...]:
    """Read the lines of an ESRI shapefile of polylines or polygons.

    Parameters
    ----------
    path : Path
        The ``.shp`` file.

    Returns
    -------
    tuple of array
        Lines of shape (points, 2): longitude and latitude in degrees.

    Raises
    ------
    MissingPackageError
        Without pyshp, which comes with cartopy.
    """
    require("shapefile", "plot", "coastlines")
    import shapefile

    out = []
    with shapefile.Reader(shp=str(path)) as reader:
        for shape in reader.iterShapes():
            out += np.split(np.asarray(shape.points, np.float64), shape.parts[1:])
    return tuple(out)


def _detailed_coast(axes: Any, view: View) -> None:
    """Land and coast of a small map, from the land mask."""
    west, east, south, north = view.extent
    lon = np.arange(west - 0.1, east + 0.2, 0.1)
    lat = np.arange(max(south - 0.1, -90.0), min(north + 0.2, 90.0), 0.1)
    lon, lat = np.meshgrid(lon, lat)
    land = land_fraction(lat, wrap(lon + view.center))
    if not 0 < float(np.mean(land >= 0.5)) < 1:
        axes.set_facecolor(LAND_COLOR if land[0, 0] >= 0.5 else UNSEEN_COLOR)
        return
    x, y = project(axes, view, lat, lon + view.center)
    axes.contourf(x, y, land, [0.5, 1.01], colors=[LAND_COLOR], zorder=0.5)
    axes.contour(x, y, land, [0.5], colors=[COAST_COLOR], linewidths=0.7, zorder=3)


def corners(latitude: Array, longitude: Array) -> tuple[Array, Array]:
    """Corners of the cells around pixel centres.

    Parameters
    ----------
    latitude, longitude : array of shape (scan, pixel)
        Centres in degrees; NaN where unknown.

    Returns
    -------
    latitude, longitude : array of shape (scan + 1, pixel + 1)
        Corners in degrees, averaged on the sphere so that neither the date line nor a pole
        matters; NaN where no neighbour is known.
    """
    lat, lon = np.deg2rad(latitude), np.deg2rad(longitude)
    xyz = np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))
    padded = _extrapolate(_extrapolate(xyz, 1), 2)
    around = np.stack((
        padded[:, :-1, :-1], padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, 1:, 1:],
    ))  # fmt: skip
    known = np.isfinite(around)
    count = np.maximum(known.sum(0), 1)
    x, y, z = np.where(known.any(0), np.where(known, around, 0.0).sum(0) / count, np.nan)
    return np.rad2deg(np.arctan2(z, np.hypot(x, y))), np.rad2deg(np.arctan2(y, x))


def _extrapolate(values: Array, axis: int) -> Array:
    """Add one row or column on both sides, continuing the outermost step."""
    first = values.take([0], axis)
    last = values.take([-1], axis)
    if values.shape[axis] == 1:
        return np.concatenate((first, values, last), axis)
    before = 2 * first - values.take([1], axis)
    after = 2 * last - values.take([-2], axis)
    return np.concatenate((before, values, after), axis)
