"""Gauss-Newton fit of named parameters, with finite differences and Huber weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from xrain.simulate.parameters import Parameters

__all__ = ["fit_parameters", "read_vector", "with_vector", "write_toml"]

Array = NDArray[np.float64]


def _split(name: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\w+)\[(\d+)\]", name)
    return (found[1], int(found[2])) if found else (name, None)


def read_vector(parameters: Parameters, names: list[str]) -> Array:
    """Values of the parameters named ``part__name`` or ``part__name[i]``."""
    values = []
    for name in names:
        key, index = _split(name)
        value = parameters.get(key)
        values.append(value if index is None else cast("tuple[float, ...]", value)[index])
    return np.array(values, dtype=np.float64)


def with_vector(parameters: Parameters, names: list[str], vector: Array) -> Parameters:
    """Copy of the parameters with the named ones set."""
    for name, number in zip(names, vector, strict=True):
        key, index = _split(name)
        value: float | tuple[float, ...] = float(number)
        if index is not None:
            items = list(cast("tuple[float, ...]", parameters.get(key)))
            items[index] = float(number)
            value = tuple(items)
        parameters = parameters.replace(**{key: value})
    return parameters


def _huber(residual: Array, limit: float = 2.0) -> Array:
    size = np.abs(residual)
    return np.sqrt(np.where(size <= limit, 1.0, limit / np.maximum(size, limit)))


def fit_parameters(
    residuals: Callable[[Parameters], Array],
    start: Parameters,
    steps: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]] | None = None,
    *,
    iterations: int = 6,
    prior: float = 1e-2,
    report: Callable[[str], None] = print,
) -> Parameters:
    """Minimise the Huber-weighted sum of squared residuals.

    Parameters
    ----------
    residuals : callable
        Takes parameters, returns residuals divided by their expected size, in any shape;
        the same random draws at every call, so that differences are smooth.
    start : Parameters
        First guess, and the mean of a weak prior.
    steps : mapping of str to float
        Names to fit, with the size of a meaningful step (used for differences and the prior).
    bounds : mapping, optional
        Limits of some of them.
    iterations : int
        Gauss-Newton steps, each halved until the loss falls.
    prior : float
        Weight of the prior per residual: the loss of one step away from `start`.
    report : callable
        Receives a line per iteration.
    """
    names = list(steps)
    scale = np.array([steps[n] for n in names])
    low, high = (
        np.array([(bounds or {}).get(n, (-np.inf, np.inf))[k] for n in names]) for k in (0, 1)
    )
    origin = current = read_vector(start, names)

    def evaluate(vector: Array) -> Array:
        return residuals(with_vector(start, names, vector)).ravel()

    def loss(r: Array, vector: Array) -> float:
        w = _huber(r)
        robust = np.mean(np.where(w < 1, 2 * np.abs(r) * w**2 * np.abs(r) - (w**2 * r) ** 2, r * r))
        return float(robust + prior * np.sum(((vector - origin) / scale) ** 2))

    value = evaluate(current)
    best = loss(value, current)
    for iteration in range(iterations):
        weight = _huber(value)
        jacobian = np.stack(
            [(evaluate(current + 0.5 * d) - value) / 0.5 for d in np.diag(scale)], axis=-1
        )
        a = jacobian * weight[:, None] / np.sqrt(value.size)
        b = value * weight / np.sqrt(value.size)
        normal = a.T @ a + prior * np.eye(len(names))
        gradient = a.T @ b + prior * (current - origin) / scale
        move = -np.linalg.solve(normal, gradient) * scale
        length = 1.0
        while length > 0.05:
            trial = np.clip(current + length * move, low, high)
            r = evaluate(trial)
            if loss(r, trial) < best:
                break
            length *= 0.5
        else:
            break
        gained, best = best - loss(r, trial), loss(r, trial)
        current, value = trial, r
        report(f"iteration {iteration + 1}: loss {best:.4f}")
        if gained < 1e-4 * best:
            break
    for n, v in zip(names, current, strict=True):
        report(f"  {n} = {v:.5g}")
    return with_vector(start, names, current)


def write_toml(text: str, parameters: Parameters) -> str:
    """Return the TOML text with its numbers replaced, comments and order kept."""
    part = ""
    lines = []
    for line in text.splitlines():
        if header := re.match(r"\[(\w+)\]", line):
            part = header[1]
        found = re.match(r"(\w+) = ([^#]*?)(\s*)(#.*)?$", line)
        if found and part:
            value = parameters.get(f"{part}__{found[1]}")
            shown = (
                "[" + ", ".join(f"{v:.4g}" for v in value) + "]"
                if isinstance(value, tuple)
                else _number(value)
            )
            body = f"{found[1]} = {shown}"
            line = f"{body:<30}{found[4]}" if found[4] else body
        lines.append(line)
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    text = f"{value:.4g}"
    return text if any(c in text for c in ".e") else text + ".0"
