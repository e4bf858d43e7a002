"""Rain from any passive-microwave radiometer of the GPM constellation.

>>> import xarray as xr
>>> ds = xr.open_dataset("1C.GPM.GMI….HDF5", engine="gpm-l1c", chunks={})  # doctest: +SKIP
>>> rain = ds.rain.retrieve()  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from xrain import accessor as _accessor  # noqa: F401  registers ds.rain
from xrain.errors import XrainError
from xrain.sensors import get_sensor, list_sensors

if TYPE_CHECKING:
    from xrain.io.open import open_l1c, open_reference
    from xrain.io.scene import from_scene
    from xrain.level3 import grid_rain
    from xrain.models.store import fetch_model, list_models, load_model
    from xrain.output import write_rain
    from xrain.regrid import resample
    from xrain.retrieval import check, retrieve

__version__ = version("xrain")

# Names whose modules are imported when they are first used, so that importing xrain stays fast.
_LAZY = {
    "check": "xrain.retrieval",
    "fetch_model": "xrain.models.store",
    "from_scene": "xrain.io.scene",
    "grid_rain": "xrain.level3",
    "list_models": "xrain.models.store",
    "load_model": "xrain.models.store",
    "open_l1c": "xrain.io.open",
    "open_reference": "xrain.io.open",
    "resample": "xrain.regrid",
    "retrieve": "xrain.retrieval",
    "write_rain": "xrain.output",
}

__all__ = [
    "XrainError",
    "check",
    "fetch_model",
    "from_scene",
    "get_sensor",
    "grid_rain",
    "list_models",
    "list_sensors",
    "load_model",
    "open_l1c",
    "open_reference",
    "resample",
    "retrieve",
    "write_rain",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'xrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
