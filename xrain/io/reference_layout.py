"""Where the rain products of the archive keep what xrain reads of them, and what their codes mean.

After the *File Specification for GPM Products* of NASA's Precipitation Processing System, V05 to
V07, granules of these versions, and the header of a granule of V08 (GPROF-NN). A field that a
version lacks is absent from the dataset too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xrain.conventions import (
    BAND,
    INCIDENCE,
    LATITUDE,
    LAYER,
    LONGITUDE,
    PIXEL,
    PRECIP_FLAG,
    PRECIP_FLAG_FILL,
    PROBABILITY_OF_PRECIP,
    QUALITY,
    SCAN,
    SURFACE_PRECIP,
    TIME,
)
from xrain.io.l1c import (
    INCIDENCE_FIELD,
    LATITUDE_FIELD,
    LIMITS,
    LONGITUDE_FIELD,
    PIXEL_FIELDS,
    SCAN_FIELDS,
)

Array = npt.NDArray[Any]

NO_RAIN: Final = -1111
"""The radar products' code for a rain type where it does not rain."""

TYPE_STEP: Final = 10_000_000
"""The leading digit of an eight-digit rain type: 1 stratiform, 2 convective, 3 other."""

PHASE_STEP: Final = 100
"""Phase near the surface, in these steps: solid, mixed, liquid."""

NO_PHASE: Final = 255
"""Phase where it does not rain or nothing is known."""

BANDS: Final = ("Ku", "Ka")


@dataclass(frozen=True)
class Kind:
    """How a stored field becomes values.

    Attributes
    ----------
    decode : callable
        Takes what the file holds, returns what the dataset holds.
    dtype : str or None
        Type of the result; None keeps that of the file.
    fill : int or None
        What stands for missing in integers; None is the file's own, or NaN in floats.
    """

    decode: Callable[[Array], Array]
    dtype: str | None
    fill: int | None = None


@dataclass(frozen=True)
class Field:
    """One variable and where it lies in a swath group.

    Attributes
    ----------
    name : str
        Name in the dataset; its attributes are in :data:`xrain.conventions.ATTRIBUTES`.
    kind : Kind
        How it is decoded.
    paths : tuple of str
        Where the versions keep it; the first that is there is read.
    attrs : tuple of (str, value)
        Attributes that differ from product to product.
    """

    name: str
    kind: Kind
    paths: tuple[str, ...]
    attrs: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Product:
    """A family of granules with one layout.

    Attributes
    ----------
    name : str
        In words, for messages.
    algorithm : str
        Regular expression for ``AlgorithmID`` of the header.
    groups : tuple of str
        Swath groups, the default first.
    fields : tuple of Field
        What is read.
    gridded : bool
        Whether it is a map grid (time, longitude, latitude) rather than a swath.
    """

    name: str
    algorithm: str
    groups: tuple[str, ...]
    fields: tuple[Field, ...]
    gridded: bool = False


def _between(low: float, high: float, raw: Array) -> Array:
    """Values as float32, NaN where they are none; fills lie far outside."""
    values = raw.astype(np.float32, copy=False)
    good = (values >= np.float32(low)) & (values <= np.float32(high))
    return values if good.all() else np.where(good, values, np.float32(np.nan))


def _share(raw: Array) -> Array:
    return _between(0.0, 100.0, raw) / np.float32(100)


def _whole_share(raw: Array) -> Array:
    """Shares: whole numbers are percent, which their files do not say, others are of 1."""
    return _share(raw) if raw.dtype.kind in "iu" else _between(0.0, 1.0, raw)


def _same(raw: Array) -> Array:
    return raw


def _detected(raw: Array) -> Array:
    return np.where(raw >= 0, raw > 0, PRECIP_FLAG_FILL).astype(np.int8)


def _rain_type(raw: Array) -> Array:
    known = (raw >= TYPE_STEP) & (raw < 4 * TYPE_STEP)
    found = np.where(known, raw, 0) // TYPE_STEP
    return np.where(known, found, np.where(raw == NO_RAIN, 0, -1)).astype(np.int8)


def _phase(raw: Array) -> Array:
    known = (raw >= 0) & (raw < NO_PHASE)
    found = np.where(known, raw, 0).astype(np.int16) // PHASE_STEP
    return np.where(known, found, -1).astype(np.int8)


RATE: Final = Kind(partial(_between, 0.0, 10_000.0), "f4")
LATITUDES: Final = Kind(partial(_between, *LIMITS[LATITUDE_FIELD]), "f4")
LONGITUDES: Final = Kind(partial(_between, *LIMITS[LONGITUDE_FIELD]), "f4")
ANGLE: Final = Kind(partial(_between, *LIMITS[INCIDENCE_FIELD]), "f4")
HEIGHT: Final = Kind(partial(_between, -1000.0, 30_000.0), "f4")
SHARE: Final = Kind(_share, "f4")
WHOLE_SHARE: Final = Kind(_whole_share, "f4")
SIGNED: Final = Kind(partial(_between, -1000.0, 1000.0), "f4")
CODE: Final = Kind(_same, None)
DETECTED: Final = Kind(_detected, "i1", PRECIP_FLAG_FILL)
RAIN_TYPE: Final = Kind(_rain_type, "i1", -1)
PHASE: Final = Kind(_phase, "i1", -1)

_POSITION = (
    Field(LATITUDE, LATITUDES, (LATITUDE_FIELD,)),
    Field(LONGITUDE, LONGITUDES, (LONGITUDE_FIELD,)),
    *(Field(name, ANGLE, (path,)) for name, path in PIXEL_FIELDS.items()),
)

_GPROF_SURFACES = (
    "1 ocean, 2 sea ice, 3-7 land with less and less vegetation, 8-11 less and less snow, "
    "12 standing water and rivers, 13 coast; for the rest see the product's specification"
)
_GPROF_QUALITY = "0 good, 1 use with caution, 2 with extreme care over snow, 3 with extreme caution"
_GPROF_STATUS = (
    "0 valid, 1 position invalid, 2 brightness temperature out of range, 3 surface without "
    "database, 4 environment missing, 5 no solution"
)
_GPROF = (
    *_POSITION,
    *(
        Field(name, Kind(partial(_between, *LIMITS[path]), "f4"), (path,))
        for name, path in SCAN_FIELDS.items()
    ),
    Field(SURFACE_PRECIP, RATE, ("surfacePrecipitation",), (
        ("long_name", "surface precipitation rate"),)),
    Field(PROBABILITY_OF_PRECIP, SHARE, ("probabilityOfPrecip",)),
    Field("most_likely_precip", RATE, ("mostLikelyPrecipitation",)),
    Field("precip_first_tercile", RATE, ("precip1stTertial",)),
    Field("precip_second_tercile", RATE, ("precip2ndTertial",)),
    Field("convective_precip", RATE, ("convectivePrecipitation",)),
    Field("frozen_precip", RATE, ("frozenPrecipitation",)),
    Field("rain_water_path", RATE, ("rainWaterPath",)),
    Field("cloud_water_path", RATE, ("cloudWaterPath",)),
    Field("ice_water_path", RATE, ("iceWaterPath",)),
    Field(PRECIP_FLAG, DETECTED, ("precipitationYesNoFlag",)),
    Field("surface_type", CODE, ("surfaceTypeIndex",), (
        ("comment", _GPROF_SURFACES),)),
    Field(QUALITY, CODE, ("qualityFlag",), (
        ("long_name", "quality of the retrieval"), ("comment", _GPROF_QUALITY))),
    Field("pixel_status", CODE, ("pixelStatus",), (("comment", _GPROF_STATUS),)),
    Field("sun_glint_angle", ANGLE, ("sunGlintAngle",)),
    Field("l1c_quality", CODE, ("L1CqualityFlag",)),
    Field("total_column_water_vapor", RATE, ("totalColumnWaterVapor",)),
    Field("air_temperature_2m", RATE, ("temp2m",)),
    Field("wind_speed_10m", RATE, ("windSpeed10m",)),
    Field("orographic_wind", SIGNED, ("orographicWind",)),
    Field("moisture_convergence", SIGNED, ("moistureConvergence",)),
    Field("convective_fraction", SIGNED, ("convectiveFraction",)),
    Field("leaf_area_index", RATE, ("leafAreaIndex",)),
    Field("snow_depth", RATE, ("snowDepth",)),
    Field("land_fraction", WHOLE_SHARE, ("landFraction",)),
    Field("sea_ice_fraction", WHOLE_SHARE, ("iceFraction",)),
    Field("surface_altitude", HEIGHT, ("elevation",)),
    Field("mountain_index", CODE, ("mountainIndex",)),
    Field("snow_flag", CODE, ("snowFlag",)),
    Field("rain_water_content", RATE, ("rainWaterContent",)),
    Field("cloud_water_content", RATE, ("cloudWaterContent",)),
    Field("ice_water_content", RATE, ("iceWaterContent",)),
    Field("latent_heating", SIGNED, ("latentHeating",)),
)  # fmt: skip

LAYER_TOPS: Final = "GprofDHeadr/hgtTopLayer"
"""Where 2A GPROF keeps the heights of its layers."""

_RADAR_SURFACES: tuple[tuple[str, Any], ...] = (
    ("comment", "0-99 ocean, 100-199 land, 200-299 coast, 300-399 inland water"),
)
_RADAR = (
    *_POSITION,
    Field(SURFACE_PRECIP, RATE, ("SLV/precipRateNearSurface",), (
        ("long_name", "precipitation rate at the lowest level free of clutter"),)),
    Field("estimated_surface_precip", RATE, ("SLV/precipRateESurface",)),
    Field("precip_type", RAIN_TYPE, ("CSF/typePrecip",)),
    Field("precip_phase", PHASE, ("SLV/phaseNearSurface",)),
    Field(PRECIP_FLAG, DETECTED, ("PRE/flagPrecip",)),
    Field("surface_type", CODE, ("PRE/landSurfaceType",), _RADAR_SURFACES),
    Field(QUALITY, CODE, ("FLG/qualityFlag",), (
        ("long_name", "quality of the retrieval; 0 is good, 1 low, 2 bad"),
        ("flag_values", [0, 1, 2]), ("flag_meanings", "good low bad"))),
    Field("scan_quality", CODE, ("scanStatus/dataQuality",)),
    Field(INCIDENCE, ANGLE, ("PRE/localZenithAngle",)),
    Field("freezing_level", HEIGHT, ("VER/heightZeroDeg",)),
)  # fmt: skip

_COMBINED = (
    *_POSITION,
    Field(SURFACE_PRECIP, RATE, ("estimSurfPrecipTotRate", "surfPrecipTotRate"), (
        ("long_name", "surface precipitation rate of the combined retrieval"),)),
    Field("near_surface_precip", RATE, ("nearSurfPrecipTotRate",)),
    Field("surface_precip_uncertainty", RATE, (
        "estimSurfPrecipTotRateSigma", "surfPrecipTotRateSigma")),
    Field("liquid_precip", RATE, ("estimSurfPrecipLiqRate",)),
    Field("liquid_fraction", RATE, ("surfLiqRateFrac",)),
    Field("precip_type", RAIN_TYPE, ("Input/precipitationType",)),
    Field(PRECIP_FLAG, DETECTED, ("Input/precipitationFlag",)),
    Field("surface_type", CODE, ("Input/surfaceType",), _RADAR_SURFACES),
    Field(QUALITY, CODE, ("FLG/ioQuality",), (
        ("long_name", "quality of input and output, in decimal digits"),)),
    Field("scan_quality", CODE, ("scanStatus/dataQuality",)),
    Field(INCIDENCE, ANGLE, ("Input/localZenithAngle",)),
    Field("freezing_level", HEIGHT, ("Input/zeroDegAltitude",)),
)  # fmt: skip

_IMERG = (
    Field(SURFACE_PRECIP, RATE, ("precipitation", "precipitationCal"), (
        ("long_name", "surface precipitation rate, microwave and infrared with gauges"),
        ("cell_methods", "time: mean"))),
    Field("surface_precip_uncertainty", RATE, ("randomError",)),
    Field("quality_index", RATE, ("precipitationQualityIndex",)),
    Field("probability_of_liquid", SHARE, ("probabilityLiquidPrecipitation",)),
)  # fmt: skip

PRODUCTS: Final = (
    Product("2A GPROF", r"2A(GPROF|PRPS)", ("S1",), _GPROF),
    Product("2A radar", r"2A(DPR|Ku|Ka|PR)$", ("FS", "NS", "MS", "HS"), _RADAR),
    Product(
        "2B CORRA", r"2BCMB", ("KuGMI", "KuTMI", "NS", "KuKaGMI", "MS"), _COMBINED,
    ),
    Product("IMERG half-hourly", r"3IMERGHH", ("Grid",), _IMERG, gridded=True),
)  # fmt: skip
"""Every product that is read."""

_DIMENSIONS = (
    (re.compile(r"nscan"), SCAN),
    (re.compile(r"npixel|nray"), PIXEL),
    (re.compile(r"nfreq|nKuKa"), BAND),
    (re.compile(r"nlyrs|nlayer"), LAYER),
    (re.compile(r"time$"), TIME),
    (re.compile(r"lon$"), LONGITUDE),
    (re.compile(r"lat$"), LATITUDE),
)


def find_product(algorithm: str) -> Product | None:
    """Tell the product from the ``AlgorithmID`` of a header; None if it is none of them."""
    return next((p for p in PRODUCTS if re.match(p.algorithm, algorithm)), None)


def dimensions(names: str, ndim: int, gridded: bool) -> tuple[str, ...] | None:
    """Name the axes of a field after the archive's ``DimensionNames``.

    Parameters
    ----------
    names : str
        Such as ``"nscan,nray,nfreq"``; where empty the order of the archive is taken.
    ndim : int
        Number of axes.
    gridded : bool
        Whether the field lies on a map grid.

    Returns
    -------
    tuple of str or None
        None if an axis is unknown.
    """
    if not names:
        order = (TIME, LONGITUDE, LATITUDE) if gridded else (SCAN, PIXEL, BAND)
        return order[:ndim] if ndim <= len(order) else None
    found = [
        next((ours for pattern, ours in _DIMENSIONS if pattern.match(n)), None)
        for n in names.split(",")
    ]
    known = tuple(n for n in found if n is not None)
    return known if len(known) == len(found) == ndim else None
