"""Optional dependencies: an error that names what is missing and how to get it."""

from __future__ import annotations

import shlex
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec

from packaging.requirements import InvalidRequirement, Requirement

from xrain.errors import MissingPackageError

__all__ = ["require"]


def require(module: str, extra: str, purpose: str) -> None:
    """Raise an error where an optional dependency is not installed.

    Parameters
    ----------
    module : str
        Name of the module, such as ``"matplotlib"``.
    extra : str
        Extra of xrain that brings it, such as ``"plot"``.
    purpose : str
        What needs it, in the plural, such as ``"pictures"``.

    Raises
    ------
    MissingPackageError
        If the module cannot be found. The message names the packages of the extra themselves, so
        that the command works whether xrain comes from an index, a wheel or a checkout.
    """
    if find_spec(module) is not None:
        return
    packages = " ".join(shlex.quote(p) for p in _packages(extra)) or module
    raise MissingPackageError(
        f"{purpose} need the package {module}, which is not installed. It is in xrain's extra "
        f"'{extra}': pip install {packages}",
        name=module,
    )


def _packages(extra: str) -> list[str]:
    """List the requirements of an extra, those of the extras that it includes among them."""
    try:
        lines = requires("xrain") or []
    except PackageNotFoundError:
        return []
    found: dict[str, None] = {}
    for line in lines:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        if wanted.marker is None or not wanted.marker.evaluate({"extra": extra}):
            continue
        if wanted.name == "xrain":
            found |= dict.fromkeys(p for inner in sorted(wanted.extras) for p in _packages(inner))
        else:
            found[f"{wanted.name}{wanted.specifier}"] = None
    return list(found)
