"""The package ``scores``, imported when it is needed: it is an optional dependency."""

from __future__ import annotations

import importlib
from typing import Any

from xrain.extras import require

__all__ = ["library"]


def library(module: str) -> Any:
    """Import a module of ``scores``.

    Raises
    ------
    MissingPackageError
        If the package is not installed.
    """
    require("scores", "evaluate", "scores")
    return importlib.import_module(f"scores.{module}")
