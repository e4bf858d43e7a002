"""What the numbers of a database for Bayesian inversion may be: models come from others too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from xrain.models.bayes import STAGES, SURFACES, InversionConfig

__all__ = ["config_problems", "database_problems"]

_LARGEST = 1e4  # K; a database with more holds no brightness temperatures


def config_problems(config: InversionConfig) -> list[str]:
    """Name what is wrong with errors, limits and classes."""
    bad = [f"near of {stage}" for stage, near in config.near.items() if not 0 < near < math.inf]
    edges = np.array(config.edges)
    if len(edges) < 2 or not (np.diff(edges) > 0).all() or not edges[0] > 0:
        bad.append("edges")
    width = len(config.coordinates)
    for stage, errors in config.errors.items():
        for surface, error in errors.items():
            if not _is_covariance(error.covariance, width) or not 0 <= error.other_surface <= 1:
                bad.append(f"covariance of {stage} over {surface}")
    return bad


def _is_covariance(rows: Sequence[Sequence[float]], width: int) -> bool:
    if not len(rows) == width == min(map(len, rows), default=0) == max(map(len, rows), default=0):
        return False
    matrix = np.array(rows)
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=1e-3):
        return False
    return bool((np.linalg.eigvalsh(matrix) > 0).all())


def database_problems(config: InversionConfig, parts: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors of a database that have a wrong shape, type or value."""
    count = len(parts["rate"]) if parts["rate"].ndim else 0
    shapes = {
        "vectors": (count, len(config.coordinates)), "rate": (count,), "surface": (count,),
        "population": (count, len(STAGES)),
    }  # fmt: skip
    bad = [name for name, shape in shapes.items() if not count or tuple(parts[name].shape) != shape]
    bad += [n for n, t in parts.items() if t.is_floating_point() == (n == "surface")]
    if bad:
        return bad
    surface, rate, population = parts["surface"], parts["rate"], parts["population"]
    counted = population > 0
    checks = {
        "surface": bool(((surface >= 0) & (surface < len(SURFACES))).all()),
        "rate": bool((rate >= 0).all()) and not (counted[:, 1] & (rate == 0)).any(),
        "population": bool((population >= 0).all()) and bool(counted.any(dim=0).all()),
        "vectors": bool((parts["vectors"].abs() < _LARGEST).all()),
    }
    return [name for name, good in checks.items() if not good]
