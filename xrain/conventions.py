"""The vocabulary of xrain: dimensions, variables, CF attributes, channel names.

Every name that more than one module uses stands here, and only here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

SCAN: Final = "scan"
PIXEL: Final = "pixel"
CHANNEL: Final = "channel"
SWATH: Final = "swath"
SAMPLE: Final = "sample"
BAND: Final = "band"
LAYER: Final = "layer"
QUANTILE: Final = "quantile"

TB: Final = "tb"
LATITUDE: Final = "latitude"
LONGITUDE: Final = "longitude"
TIME: Final = "time"
INCIDENCE: Final = "earth_incidence_angle"
QUALITY: Final = "quality"

SURFACE_PRECIP: Final = "surface_precip"
SURFACE_PRECIP_QUANTILE: Final = "surface_precip_quantile"
PROBABILITY_OF_PRECIP: Final = "probability_of_precip"
PRECIP_FLAG: Final = "precip_flag"
RETRIEVAL_QUALITY: Final = "retrieval_quality"

PRECIP_PHASE: Final = "precip_phase"
PROBABILITY_OF_SNOW: Final = "probability_of_snow"
SNOWFALL_RATE: Final = "snowfall_rate"

AIR_TEMPERATURE: Final = "air_temperature_2m"
WATER_VAPOR: Final = "total_column_water_vapor"
SKIN_TEMPERATURE: Final = "skin_temperature"
ANCILLARY: Final = (AIR_TEMPERATURE, WATER_VAPOR, SKIN_TEMPERATURE)
"""Fields of a model or reanalysis that sharpen the phase, in the order of its network's inputs."""

REFERENCE_PRECIP: Final = "reference_precip"
REFERENCE_PROBABILITY: Final = "reference_probability"
REFERENCE_FRACTION: Final = "reference_fraction"
REFERENCE_COUNT: Final = "reference_count"
REFERENCE_DISTANCE: Final = "reference_distance"
REFERENCE_LAG: Final = "reference_time_difference"

COVERED: Final = 0.9
"""Share of a footprint that must be observed for its mean rain to count as known."""

EVENT_RATE: Final = 0.1
"""Rate in mm/h from which on a pixel counts as precipitating, in products and in scores alike."""

CERTAIN_RATE: Final = 1.0
"""Mean rate in mm/h from which on precipitation is reported whatever its probability, so that a
high rate never stands beside a flag that denies it."""

QUALITY_FILL: Final = -99
PRECIP_FLAG_FILL: Final = -1
PRECIP_PHASE_FILL: Final = -1

PHASES: Final[dict[str, int]] = {"solid": 0, "mixed": 1, "liquid": 2, "no_precipitation": 3}
"""Values of ``precip_phase``; a retrieval gives no mixed phase, some references no value without
precipitation."""

QUALITY_FLAGS: Final[dict[str, int]] = {
    "missing_channel": 1,
    "outside_training_range": 2,
    "bad_geolocation": 4,
    "swath_edge": 8,
    "assumed_input": 16,
    "no_usable_channel": 32,
    "suspect_radiance": 64,
}
"""Bits of ``retrieval_quality``; 0 means good."""

ATTRIBUTES: Final[dict[str, dict[str, Any]]] = {
    TB: {
        "standard_name": "brightness_temperature",
        "long_name": "intercalibrated brightness temperature",
        "units": "K",
    },
    LATITUDE: {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"},
    LONGITUDE: {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"},
    TIME: {"standard_name": "time", "long_name": "scan time"},
    CHANNEL: {"long_name": "channel name"},
    SWATH: {"long_name": "swath group of the file"},
    "frequency": {
        "standard_name": "sensor_band_central_radiation_frequency",
        "long_name": "centre frequency",
        "units": "GHz",
    },
    "sideband_offset": {
        "long_name": "offset of the pass bands from the centre frequency",
        "units": "GHz",
    },
    "polarization": {
        "long_name": "polarization; QV and QH rotate with the scan angle",
    },
    INCIDENCE: {
        "standard_name": "sensor_zenith_angle",
        "long_name": "earth incidence angle",
        "units": "degree",
    },
    QUALITY: {
        "standard_name": "quality_flag",
        "long_name": "quality of the brightness temperatures as the file gives it; "
        "0 is good, negative is missing or bad",
    },
    "sun_glint_angle": {"long_name": "sun glint angle", "units": "degree"},
    "sun_local_time": {"long_name": "local solar time", "units": "hour"},
    "spacecraft_latitude": {"long_name": "latitude of the satellite", "units": "degrees_north"},
    "spacecraft_longitude": {"long_name": "longitude of the satellite", "units": "degrees_east"},
    "spacecraft_altitude": {"long_name": "altitude of the satellite", "units": "km"},
    "spacecraft_orientation": {"long_name": "yaw of the satellite", "units": "degree"},
    SURFACE_PRECIP: {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "surface precipitation rate, posterior mean",
        "units": "mm h-1",
    },
    SURFACE_PRECIP_QUANTILE: {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "quantiles of the surface precipitation rate",
        "units": "mm h-1",
    },
    QUANTILE: {"long_name": "cumulative probability", "units": "1"},
    PROBABILITY_OF_PRECIP: {
        "long_name": "probability of precipitation of at least 0.1 mm h-1",
        "units": "1",
        "valid_min": 0.0,
        "valid_max": 1.0,
    },
    PRECIP_FLAG: {
        "long_name": "precipitation detected",
        "flag_values": [0, 1],
        "flag_meanings": "no_precipitation precipitation",
    },
    "most_likely_precip": {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "most likely surface precipitation rate",
        "units": "mm h-1",
    },
    "precip_first_tercile": {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "first tercile of the surface precipitation rate",
        "units": "mm h-1",
    },
    "precip_second_tercile": {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "second tercile of the surface precipitation rate",
        "units": "mm h-1",
    },
    "convective_precip": {
        "standard_name": "lwe_convective_precipitation_rate",
        "long_name": "convective surface precipitation rate",
        "units": "mm h-1",
    },
    "frozen_precip": {
        "standard_name": "lwe_snowfall_rate",
        "long_name": "frozen surface precipitation rate",
        "units": "mm h-1",
    },
    "liquid_precip": {
        "standard_name": "rainfall_rate",
        "long_name": "liquid surface precipitation rate",
        "units": "mm h-1",
    },
    "liquid_fraction": {"long_name": "liquid share of the surface precipitation", "units": "1"},
    "estimated_surface_precip": {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "precipitation rate extrapolated to the surface",
        "units": "mm h-1",
    },
    "near_surface_precip": {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "precipitation rate at the lowest level free of clutter",
        "units": "mm h-1",
    },
    "surface_precip_uncertainty": {
        "standard_name": "lwe_precipitation_rate standard_error",
        "long_name": "standard error of the surface precipitation rate",
        "units": "mm h-1",
    },
    "rain_water_path": {
        "standard_name": "atmosphere_mass_content_of_liquid_precipitation",
        "long_name": "rain water path",
        "units": "kg m-2",
    },
    "cloud_water_path": {
        "standard_name": "atmosphere_mass_content_of_cloud_liquid_water",
        "long_name": "cloud liquid water path",
        "units": "kg m-2",
    },
    "ice_water_path": {
        "standard_name": "atmosphere_mass_content_of_cloud_ice",
        "long_name": "ice water path",
        "units": "kg m-2",
    },
    "rain_water_content": {
        "standard_name": "mass_concentration_of_rain_water_in_air",
        "long_name": "rain water content",
        "units": "g m-3",
    },
    "cloud_water_content": {
        "standard_name": "mass_concentration_of_cloud_liquid_water_in_air",
        "long_name": "cloud liquid water content",
        "units": "g m-3",
    },
    "ice_water_content": {"long_name": "content of frozen water", "units": "g m-3"},
    "latent_heating": {"long_name": "latent heating rate", "units": "K h-1"},
    "layer_top": {
        "long_name": "height of the top of a layer above the surface",
        "units": "km",
        "positive": "up",
    },
    "total_column_water_vapor": {
        "standard_name": "atmosphere_mass_content_of_water_vapor",
        "long_name": "total column water vapour",
        "units": "kg m-2",
    },
    "air_temperature_2m": {
        "standard_name": "air_temperature",
        "long_name": "air temperature at 2 m",
        "units": "K",
    },
    "wind_speed_10m": {
        "standard_name": "wind_speed",
        "long_name": "wind speed at 10 m",
        "units": "m s-1",
    },
    "orographic_wind": {"long_name": "orographic wind as the product has it"},
    "moisture_convergence": {"long_name": "moisture convergence as the product has it"},
    "convective_fraction": {"long_name": "convective fraction as the product has it"},
    "leaf_area_index": {"standard_name": "leaf_area_index", "long_name": "leaf area index"},
    "snow_depth": {
        "standard_name": "surface_snow_thickness",
        "long_name": "depth of snow on the ground",
        "units": "m",
    },
    "land_fraction": {
        "standard_name": "land_area_fraction",
        "long_name": "share of land",
        "units": "1",
    },
    "sea_ice_fraction": {
        "standard_name": "sea_ice_area_fraction",
        "long_name": "share of sea ice",
        "units": "1",
    },
    "surface_altitude": {
        "standard_name": "surface_altitude",
        "long_name": "height of the surface",
        "units": "m",
    },
    "mountain_index": {"long_name": "mountain index as the product has it; negative is missing"},
    "snow_flag": {"long_name": "snow flag as the product has it; negative is missing"},
    "l1c_quality": {
        "long_name": "quality of the brightness temperatures as the product has it; "
        "negative is missing or bad",
    },
    "precip_type": {
        "long_name": "type of the precipitation; -1 is unknown",
        "flag_values": [0, 1, 2, 3],
        "flag_meanings": "no_precipitation stratiform convective other",
    },
    PRECIP_PHASE: {
        "long_name": "phase of the precipitation near the surface; -1 is unknown",
        "flag_values": list(PHASES.values()),
        "flag_meanings": " ".join(PHASES),
    },
    PROBABILITY_OF_SNOW: {
        "long_name": "probability that precipitation, if there is any, is snow",
        "units": "1",
        "valid_min": 0.0,
        "valid_max": 1.0,
    },
    SNOWFALL_RATE: {
        "standard_name": "lwe_snowfall_rate",
        "long_name": "mean snowfall rate on the condition that it snows, liquid equivalent",
        "units": "mm h-1",
    },
    AIR_TEMPERATURE: {
        "standard_name": "air_temperature",
        "long_name": "air temperature at 2 m",
        "units": "K",
    },
    WATER_VAPOR: {
        "standard_name": "atmosphere_mass_content_of_water_vapor",
        "long_name": "total column water vapour",
        "units": "kg m-2",
    },
    SKIN_TEMPERATURE: {
        "standard_name": "surface_temperature",
        "long_name": "skin temperature",
        "units": "K",
    },
    "surface_type": {"long_name": "surface type as the product has it; negative is missing"},
    "pixel_status": {"long_name": "status of the retrieval as the product has it"},
    "scan_quality": {"long_name": "quality of the scan; 0 is good"},
    "freezing_level": {
        "standard_name": "freezing_level_altitude",
        "long_name": "height of 0 degrees Celsius",
        "units": "m",
    },
    "quality_index": {"long_name": "quality index of the product", "units": "1"},
    "probability_of_liquid": {
        "long_name": "probability that precipitation is liquid",
        "units": "1",
    },
    "band": {"long_name": "radar band"},
    REFERENCE_PRECIP: {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "precipitation rate of the reference",
        "units": "mm h-1",
    },
    REFERENCE_PROBABILITY: {
        "long_name": "probability of precipitation of the reference",
        "units": "1",
    },
    REFERENCE_FRACTION: {
        "long_name": "share of the footprint that the reference covers",
        "units": "1",
    },
    REFERENCE_COUNT: {"long_name": "pixels of the reference in the footprint", "units": "1"},
    REFERENCE_DISTANCE: {"long_name": "distance to the pixel of the reference", "units": "km"},
    REFERENCE_LAG: {"long_name": "time of the reference less that of the scan", "units": "s"},
    RETRIEVAL_QUALITY: {
        "standard_name": "quality_flag",
        "long_name": "quality of the retrieval; 0 is good",
        "flag_masks": list(QUALITY_FLAGS.values()),
        "flag_meanings": " ".join(QUALITY_FLAGS),
    },
}
"""CF attributes of every variable that xrain makes."""

_CHANNEL_NAME = re.compile(
    r"^(?:CHANNEL_|TB_)?"
    r"(?P<frequency>\d+(?:\.\d+)?)(?:GHZ)?"
    r"(?:(?:±|\+/-|\+-)(?P<offset>\d+(?:\.\d+)?)(?:GHZ)?)?"
    r"(?:[_-]?(?P<polarization>QV|QH|V|H))?(?:-?POL)?"
    r"(?:-?(?P<suffix>[AB]))?$"
)

FREQUENCY_TOLERANCE: Final = 0.006
"""Two names mean the same channel if their centre frequencies agree to this share (36.5 and
36.64 GHz do, 36.64 and 37 GHz do not)."""

OFFSET_TOLERANCE: Final = 0.15
"""The same for the sideband offsets, in GHz."""

WINDOW_OFFSET_TOLERANCE: Final = 1.5
"""The same away from absorption lines, where 89 ± 0.9 GHz sees what 89 GHz sees."""

_LINES: Final = ((48.0, 72.0), (115.0, 122.5), (174.0, 193.0))


@dataclass(frozen=True)
class ChannelName:
    """What a channel name says.

    Attributes
    ----------
    frequency : float
        Centre frequency in GHz.
    offset : float
        Sideband offset in GHz, 0 for a single band.
    polarization : str
        ``"V"``, ``"H"``, ``"QV"``, ``"QH"``, or ``""`` where the name does not say.
    suffix : str
        ``"A"`` or ``"B"`` for channels that a sensor has twice, else ``""``.
    """

    frequency: float
    offset: float
    polarization: str
    suffix: str


def parse_channel_name(name: str) -> ChannelName | None:
    """Read a channel name such as ``36.64V``, ``183±3V`` or ``89.0V-A``; None if it is none.

    See Also
    --------
    xrain.conventions.match_channels : Find channels among names.
    xrain.sensors.Channel : What is known of a channel.
    """
    found = _CHANNEL_NAME.match(re.sub(r"\s+", "", str(name)).upper())
    if found is None:
        return None
    return ChannelName(
        float(found["frequency"]),
        float(found["offset"] or 0.0),
        found["polarization"] or "",
        found["suffix"] or "",
    )


def _distance(a: ChannelName, b: ChannelName) -> float | None:
    """How unlike two channels are; None if they cannot be the same channel."""
    shift = abs(a.frequency - b.frequency) / b.frequency
    in_line = any(low < b.frequency < high for low, high in _LINES)
    tolerance = OFFSET_TOLERANCE if in_line else WINDOW_OFFSET_TOLERANCE
    if shift > FREQUENCY_TOLERANCE or abs(a.offset - b.offset) > tolerance:
        return None
    cost = shift + abs(a.offset - b.offset)
    if a.polarization != b.polarization:
        if a.polarization.lstrip("Q") != b.polarization.lstrip("Q") and a.polarization:
            return None
        cost += 1.0
    if a.suffix != b.suffix:
        if a.suffix and b.suffix:
            return None
        cost += 1.0
    return cost


def _candidates(names: Sequence[str], wanted: Sequence[str]) -> list[tuple[float, int, int]]:
    parsed = [parse_channel_name(n) for n in names]
    pairs = []
    for j, want in enumerate(wanted):
        target = parse_channel_name(want)
        for i, name in enumerate(names):
            if name == want:
                pairs.append((-1.0, i, j))
            elif target is not None and (this := parsed[i]) is not None:
                cost = _distance(this, target)
                if cost is not None:
                    pairs.append((cost, i, j))
    # of names that fit equally well the first in the alphabet: their order must not matter
    return sorted(pairs, key=lambda pair: (pair[0], names[pair[1]], pair[2]))


def match_channels(names: Sequence[str], wanted: Sequence[str]) -> list[int | None]:
    """Find each wanted channel among the given names.

    Parameters
    ----------
    names : sequence of str
        The channels that are there, in any spelling: ``36.5V``, ``183±3V``, ``89V`` …
    wanted : sequence of str
        The channels looked for.

    Returns
    -------
    list of int or None
        For each wanted channel its position in `names`, or None. A name serves at most one
        wanted channel; exact names win over aliases and nearer frequencies over farther ones.

    See Also
    --------
    xrain.conventions.parse_channel_name : Read one name.
    """
    found: dict[int, int] = {}
    used: set[int] = set()
    for _, i, j in _candidates(names, wanted):
        if j not in found and i not in used:
            found[j] = i
            used.add(i)
    return [found.get(j) for j in range(len(wanted))]
