"""Make the packaged coastline, land and borders from the countries of Natural Earth.

Natural Earth (naturalearthdata.com) is in the public domain. The 1:110 million countries come
with the pyogrio wheel as test data, so nothing beside the package index is needed:

    python -m venv /tmp/coast && /tmp/coast/bin/pip install pyogrio pyshp shapely
    /tmp/coast/bin/python tools/make_coastline.py xrain/data/natural_earth

The folder then has the layout that cartopy expects below ``pre_existing_data_dir``.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import shapefile
import shapely
from shapely.geometry import LineString, MultiPolygon, Polygon, mapping, shape

Point = tuple[float, float]
Edge = tuple[Point, Point]

WGS84 = (
    'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]'
)


def read_countries() -> list[MultiPolygon | Polygon]:
    """Country polygons, with coordinates rounded so that neighbours share their vertices."""
    folder = files("pyogrio") / "tests" / "fixtures" / "naturalearth_lowres"
    with shapefile.Reader(str(folder / "naturalearth_lowres.shp")) as reader:
        raw = [shape(record.__geo_interface__) for record in reader.shapes()]
    return [shapely.set_precision(geometry, 1e-3) for geometry in raw]


def rings(geometries: Iterable[MultiPolygon | Polygon]) -> Iterator[list[Point]]:
    """Every ring of the polygons."""
    for polygon in shapely.get_parts(list(geometries)):
        for ring in (polygon.exterior, *polygon.interiors):
            yield [(x, y) for x, y in ring.coords]


def edges(geometries: Iterable[MultiPolygon | Polygon]) -> Counter[Edge]:
    """Count how many polygons share each edge, whatever its direction."""
    count: Counter[Edge] = Counter()
    for ring in rings(geometries):
        pairs = pairwise(ring)
        count.update((min(a, b), max(a, b)) for a, b in pairs)
    return count


def is_seam(edge: Edge) -> bool:
    """Whether an edge only closes a polygon at the date line or at the pole."""
    (x0, y0), (x1, y1) = edge
    at_date_line = abs(x0) >= 179.999 and abs(x1) >= 179.999
    return at_date_line or max(y0, y1) <= -89.99


def lines(pieces: Iterable[Edge]) -> list[LineString]:
    """Join edges end to end."""
    joined = shapely.line_merge(shapely.multilinestrings([LineString(e) for e in pieces]))
    return list(shapely.get_parts(joined))


def write(path: Path, kind: str, geometries: Iterable[LineString | Polygon]) -> None:
    """Write one shapefile, with the one attribute that the format demands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with shapefile.Writer(str(path)) as writer:
        writer.field("featurecla", "C", size=24)
        for geometry in geometries:
            writer.shape(mapping(geometry))
            writer.record(kind)
    path.with_suffix(".prj").write_text(WGS84)


def main(root: Path) -> None:
    """Write coastline, land and borders below `root`."""
    countries = read_countries()
    land = shapely.unary_union(countries)
    shared = edges(countries)
    coast = [e for e in edges([land]) if not is_seam(e)]
    borders = [e for e, n in shared.items() if n > 1 and not is_seam(e)]
    folder = root / "shapefiles" / "natural_earth"
    write(folder / "physical" / "ne_110m_coastline.shp", "Coastline", lines(coast))
    write(folder / "physical" / "ne_110m_land.shp", "Land", shapely.get_parts(land))
    write(
        folder / "cultural" / "ne_110m_admin_0_boundary_lines_land.shp",
        "International boundary",
        lines(borders),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
