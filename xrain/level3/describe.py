"""Names, attributes and types of what level 3 holds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from xrain.conventions import ATTRIBUTES, PROBABILITY_OF_PRECIP, SURFACE_PRECIP

TITLE: Final = "Surface precipitation of passive-microwave radiometers on a grid"
COUNT: Final = "overpass_count"
SPREAD: Final = "surface_precip_spread"
UNCERTAINTY: Final = "surface_precip_uncertainty"
FROZEN: Final = "frozen_precip"

_RATE = {"units": "mm h-1", "cell_methods": "time: mean area: mean"}
TIME_ATTRIBUTES: Final = {
    "standard_name": "time", "long_name": "middle of the interval", "bounds": "time_bnds",
    "axis": "T",
}  # fmt: skip
GRID_ATTRIBUTES: Final[dict[str, dict[str, Any]]] = {
    SURFACE_PRECIP: {
        "standard_name": "lwe_precipitation_rate",
        "long_name": "mean surface precipitation rate of the overpasses",
        "ancillary_variables": f"{COUNT} {SPREAD} {UNCERTAINTY}",
        **_RATE,
    },
    COUNT: {
        "standard_name": "number_of_observations",
        "long_name": "number of overpasses",
        "units": "1",
        "cell_methods": "time: sum area: sum",
    },
    SPREAD: {
        "long_name": "standard deviation of the rate between overpasses",
        "units": "mm h-1",
        "cell_methods": "area: mean time: standard_deviation",
    },
    UNCERTAINTY: {
        "standard_name": "lwe_precipitation_rate standard_error",
        "long_name": "standard error of the mean rate due to the retrieval",
        "units": "mm h-1",
        "comment": "from the width between the outermost quantiles as if normal; the same error "
        "all over a cell, independent ones between overpasses",
    },
    PROBABILITY_OF_PRECIP: {
        **ATTRIBUTES[PROBABILITY_OF_PRECIP],
        "long_name": "mean probability of precipitation of the overpasses",
        "cell_methods": "time: mean area: mean",
    },
    FROZEN: {
        **ATTRIBUTES[FROZEN],
        "long_name": "mean frozen part of the surface precipitation rate, liquid equivalent",
        "comment": "the rate times the probability that precipitation is snow",
        **_RATE,
    },
}
"""CF attributes of the variables of level 3."""

TYPES: Final[dict[str, Any]] = {
    SURFACE_PRECIP: np.float32,
    COUNT: np.int32,
    SPREAD: np.float32,
    UNCERTAINTY: np.float32,
    PROBABILITY_OF_PRECIP: np.float32,
    FROZEN: np.float32,
}
