"""Colours: what each variable is drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from xrain.conventions import PRECIP_PHASE, PROBABILITY_OF_PRECIP, PROBABILITY_OF_SNOW, TB

RAIN_EDGES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Edges of the rain classes in mm/h, the last class being open."""

RAIN_COLORS: Final = (
    "#c5ede9",
    "#92d6db",
    "#5abdd2",
    "#08a3cb",
    "#0f85c4",
    "#2f66b8",
    "#61479f",
    "#7d1f78",
    "#52092f",
)
"""One colour for each class. Lightness falls all the way in CIELAB, so that the order survives
every kind of colour blindness and a black-and-white print."""

PROBABILITY_EDGES: Final = tuple(k / 10 for k in range(11))
"""Edges of the classes of a probability."""

PROBABILITY_COLORS: Final = (
    "#ffffd9", "#eff9b5", "#cfecb3", "#97d6b9", "#5dc0c0",
    "#31a6c2", "#1f80b8", "#2355a4", "#22318d", "#081d58",
)  # fmt: skip
"""Ten steps of YlGnBu (Cynthia Brewer, colorbrewer2.org)."""

MOST_COUNTS: Final = 10
"""Most colours that counts are drawn with."""

DRY_COLOR: Final = "#ffffff"
"""Observed and below the first class."""

UNSEEN_COLOR: Final = "#dcdcda"
LAND_COLOR: Final = "#c6c3b9"
COAST_COLOR: Final = "#3c3c3c"

FLAG_COLORS: Final = (
    "#f2f0ea", "#0072b2", "#e69f00", "#009e73", "#cc79a7",
    "#56b4e9", "#d55e00", "#f0e442", "#000000", "#7f7f7f",
)  # fmt: skip
"""Okabe and Ito's palette (jfly.uni-koeln.de/color, 2008) after a pale colour for "good"."""


PHASE_COLORS: Final = ("#56b4e9", "#cc79a7", "#009e73", FLAG_COLORS[0])
"""Solid, mixed, liquid, and no precipitation: the order of the values of ``precip_phase``."""


@dataclass(frozen=True)
class Style:
    """How the values of one variable become colours.

    Attributes
    ----------
    cmap, norm : matplotlib objects
        Colour map and normalisation.
    label : str
        Text beside the colour bar.
    ticks : tuple of float or None
        Positions of the ticks; None leaves them to matplotlib.
    tick_labels : tuple of str or None
        Text at the ticks.
    extend : str
        Which ends of the colour bar are open.
    dry : bool
        Whether values below the first class are a class of their own, "dry".
    """

    cmap: Any
    norm: Any
    label: str
    ticks: tuple[float, ...] | None = None
    tick_labels: tuple[str, ...] | None = None
    extend: str = "neither"
    dry: bool = False


def style_of(values: xr.DataArray) -> Style:
    """Choose colours by the variable's name, flags and units."""
    if "flag_meanings" in values.attrs:
        return flag_style(values)
    if values.name in (PROBABILITY_OF_PRECIP, PROBABILITY_OF_SNOW):
        return probability_style(_label(values))
    if values.name == TB:
        return continuous_style(values, "viridis")
    if values.attrs.get("units") in ("mm h-1", "mm/h", "mm hr-1"):
        return rain_style(_label(values))
    if values.dtype.kind in "iu":
        return count_style(values)
    return continuous_style(values, "cividis")


def count_style(values: xr.DataArray) -> Style:
    """One colour for each number from 1 on, or for few classes of them; 0 is not observed."""
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm

    top = max(int(values.max()) if values.size else 1, 1)
    step = -(-top // MOST_COUNTS)
    edges = np.arange(1, top + step + 1, step) - 0.5
    clear = (0, 0, 0, 0)
    colors = mpl.colormaps["YlGnBu"].resampled(edges.size - 1)
    cmap = colors.with_extremes(bad=clear, under=clear)
    starts = tuple(float(edge) for edge in edges[:-1] + 0.5)
    middles = starts if step == 1 else tuple(float(edge) for edge in edges[:-1])
    labels = tuple(f"{start:g}" for start in starts)
    norm = BoundaryNorm(edges, edges.size - 1)
    return Style(cmap, norm, _label(values), middles, labels)


def rain_style(label: str) -> Style:
    """Logarithmic rain classes for values in mm/h."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    colors = ListedColormap(RAIN_COLORS[:-1], name="xrain_rain")
    cmap = colors.with_extremes(under=DRY_COLOR, over=RAIN_COLORS[-1], bad=(0, 0, 0, 0))
    norm = BoundaryNorm(RAIN_EDGES, len(RAIN_EDGES) - 1)
    labels = tuple(f"{edge:g}" for edge in RAIN_EDGES)
    return Style(cmap, norm, label, RAIN_EDGES, labels, "max", dry=True)


def probability_style(label: str) -> Style:
    """Ten classes of probability."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    colors = ListedColormap(PROBABILITY_COLORS, name="xrain_probability")
    cmap = colors.with_extremes(bad=(0, 0, 0, 0))
    return Style(cmap, BoundaryNorm(PROBABILITY_EDGES, 10), label, PROBABILITY_EDGES[::2])


def continuous_style(values: xr.DataArray, name: str) -> Style:
    """Spread a continuous colour map over the central 98 % of the values."""
    import matplotlib as mpl
    from matplotlib.colors import Normalize

    numbers = np.asarray(values.values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    low, high = np.percentile(numbers, (1, 99)) if numbers.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    cmap = mpl.colormaps[name].with_extremes(bad=(0, 0, 0, 0))
    return Style(cmap, Normalize(low, high), _label(values), extend="both")


def flag_style(values: xr.DataArray) -> Style:
    """One colour for each flag, or combination of flags, that occurs."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    found = np.unique(np.asarray(values.values)[np.isfinite(values.values)]).astype(int)
    if "flag_masks" not in values.attrs and "flag_values" in values.attrs:
        found = found[np.isin(found, values.attrs["flag_values"])]
    found = found[: len(FLAG_COLORS)]
    if found.size == 0:
        found = np.array([0])
    edges = np.append(found - 0.5, found[-1] + 0.5)
    colors = [FLAG_COLORS[i] for i in range(found.size)]
    if values.name == PRECIP_PHASE and found.max() < len(PHASE_COLORS):
        colors = [PHASE_COLORS[i] for i in found]
    clear = (0, 0, 0, 0)
    cmap = ListedColormap(colors, name="xrain_flags").with_extremes(
        bad=clear, under=clear, over=clear
    )
    labels = tuple(flag_text(int(code), values.attrs) for code in found)
    middles = tuple(float(m) for m in (edges[1:] + edges[:-1]) / 2)
    return Style(cmap, BoundaryNorm(edges, found.size), _label(values), middles, labels)


def flag_text(code: int, attrs: dict[str, Any]) -> str:
    """Spell out a CF flag value or a combination of CF flag masks."""
    meanings = [m.replace("_", " ") for m in str(attrs["flag_meanings"]).split()]
    if "flag_masks" in attrs:
        bits = [int(bit) for bit in np.atleast_1d(attrs["flag_masks"])]
        names = [m for bit, m in zip(bits, meanings, strict=False) if code & bit]
        return "\n+ ".join(names) or "good"
    codes = [int(v) for v in np.atleast_1d(attrs.get("flag_values", range(len(meanings))))]
    return dict(zip(codes, meanings, strict=False)).get(code, str(code))


def long_name(values: xr.DataArray) -> str:
    """Return the long name, or else the name, in words."""
    return _pretty(str(values.attrs.get("long_name", values.name)).replace("_", " "))


def _label(values: xr.DataArray) -> str:
    text = long_name(values)
    if values.name == TB:
        text = "brightness temperature"
    units = values.attrs.get("units", "1")
    return text if units == "1" else f"{text} ({_pretty(units)})"


def _pretty(units: str) -> str:
    return units.replace("mm h-1", "mm/h")
