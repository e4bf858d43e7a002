"""What Satpy's composite files say of each instrument, made from the sensor tables.

A picture of two polarizations requires a channel of each, so that Satpy offers it where the
instrument has them. Where it has none it requires a field called ``89_GHz_V`` or the like, which
the reader ``gpm_l1c`` knows and never has: then Satpy does not offer the picture, and loading it
all the same leaves the rest of a Scene as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from xrain.satpy_plugin.composites import (
    MOST_APART,
    PolarizationCorrectedTemperature,
    RainRetrieval,
    TropicalCycloneColor,
    WaterVapour,
    retrieval_inputs,
)
from xrain.sensors import get_sensor

__all__ = ["composites_of"]


@dataclass(frozen=True)
class _Picture:
    """A picture of two polarizations of one band."""

    compositor: Any
    band: str
    frequencies: tuple[float, float]
    options: tuple[tuple[str, Any], ...]


# Polarization-corrected temperatures with the coefficients of Cecil and Chronis, 2018:
# Polarization-corrected temperatures for 10-, 19-, 37-, and 89-GHz passive microwave frequencies,
# J. Appl. Meteor. Climatol. 57, 2249-2265, doi:10.1175/JAMC-D-18-0022.1
#
# The colour pictures are those of the Naval Research Laboratory's tropical cyclone pages, as its
# GeoIPS makes them (github.com/NRLMMD-GEOIPS/geoips, algorithms pmw_color37 and pmw_color89),
# after Lee et al., 2002: Interpretation of TRMM TMI images of tropical cyclones, Earth
# Interactions 6(3). They keep the older coefficients of the corrected temperature.
_PICTURES: Final = {
    "pct37": _Picture(
        PolarizationCorrectedTemperature, "37_GHz", (35.0, 40.0), (("coefficient", 1.15),)
    ),
    "pct89": _Picture(
        PolarizationCorrectedTemperature, "89_GHz", (85.0, 92.0), (("coefficient", 0.7),)
    ),
    "color37": _Picture(
        TropicalCycloneColor, "37_GHz", (35.0, 40.0),
        (("coefficient", 1.181), ("green", "V"), ("standard_name", "tropical_cyclone_color37")),
    ),
    "color89": _Picture(
        TropicalCycloneColor, "89_GHz", (85.0, 92.0),
        (("coefficient", 0.818), ("green", "H"), ("standard_name", "tropical_cyclone_color89")),
    ),
}  # fmt: skip


def composites_of(
    sensor: str | None, names: Sequence[str] = (), vapour: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Make the composites of one instrument.

    Parameters
    ----------
    sensor : str or None
        The instrument, where the reader ``gpm_l1c`` knows it.
    names : sequence of str
        Channels and angles as Satpy's own readers of the instrument call them.
    vapour : sequence of str
        The channel nearest to 183.31 ± 3 GHz, as these readers call it.

    Returns
    -------
    dict
        What stands under ``composites`` in a file of Satpy's.
    """
    out = {name: _picture(picture, sensor, names) for name, picture in _PICTURES.items()}
    out["wv183"] = {"compositor": WaterVapour, **_either(_vapour_of(sensor), vapour, ["183_GHz"])}
    out["rain_retrieval"] = {
        "compositor": RainRetrieval,
        "optional_prerequisites": retrieval_inputs(sensor, names),
    }
    return out


def _picture(picture: _Picture, sensor: str | None, names: Sequence[str]) -> dict[str, Any]:
    low, high = picture.frequencies
    own, theirs = [], []
    for polarization in "VH":
        here = [
            c.name
            for c in (get_sensor(sensor).channels if sensor else ())
            if low <= c.frequency <= high and c.polarization == polarization
        ]
        own += here[:1]
        pattern = re.compile(rf"btemp_([\d.]+)a?{polarization}", re.IGNORECASE)
        found = (pattern.fullmatch(n) for n in names)
        theirs += [f[0] for f in found if f and low <= float(f[1]) <= high]
    none = [f"{picture.band}_{p}" for p in "VH"]
    needed = _either(own if len(own) == 2 else [], theirs, none)
    band = picture.band.replace("_", " ")
    return {"compositor": picture.compositor, "band": band, **dict(picture.options), **needed}


def _vapour_of(sensor: str | None) -> list[str]:
    channels = get_sensor(sensor).channels if sensor else ()
    offsets = {c.name: c.sideband_offset for c in channels if 183.0 <= c.frequency <= 184.0}
    best = min(offsets, key=lambda name: abs(offsets[name] - 3.0), default=None)
    return [best] if best is not None and abs(offsets[best] - 3.0) <= MOST_APART else []


def _either(own: Sequence[str], theirs: Sequence[str], none: Sequence[str]) -> dict[str, Any]:
    """Prerequisites by the names of one reader, or optional ones by the names of both."""
    if own and theirs:
        return {"optional_prerequisites": [*own, *theirs]}
    return {"prerequisites": list(own or theirs or none)}
