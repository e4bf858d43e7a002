"""The package ``scores``, imported when it is needed: it is an optional dependency."""

from __future__ import annotations

import importlib
from typing import Any

from xrain.errors import XrainError

__all__ = ["library"]


def library(module: str) -> Any:
    """Import a module of ``scores``.

    Raises
    ------
    XrainError
        If the package is not installed.
    """
    try:
        return importlib.import_module(f"scores.{module}")
    except ImportError as error:
        raise XrainError(
            "scores are computed by the package 'scores', which is not installed: "
            "pip install 'xrain[evaluate]'"
        ) from error
