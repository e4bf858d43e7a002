"""Rain from any passive-microwave radiometer of the GPM constellation.

>>> import xarray as xr
>>> from xrain.testing import write_fake_l1c
>>> granule = write_fake_l1c("granule.HDF5", "gmi", scans=16)
>>> ds = xr.open_dataset(granule, engine="gpm-l1c", chunks={})
>>> rain = ds.rain.retrieve()
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from xrain import accessor as _accessor  # noqa: F401  registers ds.rain
from xrain.errors import XrainError
from xrain.sensors import get_sensor, list_sensors, register_sensor

if TYPE_CHECKING:
    from xrain.collocation import collocate
    from xrain.evaluation.compare import compare
    from xrain.io.ancillary import add_ancillary
    from xrain.io.open import open_l1c, open_reference
    from xrain.io.scene import from_scene
    from xrain.io.write_rain import write_rain
    from xrain.level3 import grid_rain
    from xrain.models.store import fetch_model, list_models, load_model
    from xrain.plotting import plot
    from xrain.points import extract_points
    from xrain.reference import match_reference
    from xrain.regrid import resample
    from xrain.retrieval.batch import retrieve_files
    from xrain.retrieval.dataset import check, retrieve
    from xrain.simulate.granule import simulate_granule

__version__ = version("xrain")

# Names whose modules are imported when they are first used, so that importing xrain stays fast.
_LAZY = {
    "add_ancillary": "xrain.io.ancillary",
    "check": "xrain.retrieval.dataset",
    "collocate": "xrain.collocation",
    "compare": "xrain.evaluation.compare",
    "extract_points": "xrain.points",
    "fetch_model": "xrain.models.store",
    "from_scene": "xrain.io.scene",
    "grid_rain": "xrain.level3",
    "list_models": "xrain.models.store",
    "load_model": "xrain.models.store",
    "match_reference": "xrain.reference",
    "open_l1c": "xrain.io.open",
    "open_reference": "xrain.io.open",
    "plot": "xrain.plotting",
    "resample": "xrain.regrid",
    "retrieve": "xrain.retrieval.dataset",
    "retrieve_files": "xrain.retrieval.batch",
    "simulate_granule": "xrain.simulate.granule",
    "write_rain": "xrain.io.write_rain",
}

__all__ = [
    "XrainError",
    "add_ancillary",
    "check",
    "collocate",
    "compare",
    "extract_points",
    "fetch_model",
    "from_scene",
    "get_sensor",
    "grid_rain",
    "list_models",
    "list_sensors",
    "load_model",
    "match_reference",
    "open_l1c",
    "open_reference",
    "plot",
    "register_sensor",
    "resample",
    "retrieve",
    "retrieve_files",
    "simulate_granule",
    "write_rain",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'xrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
