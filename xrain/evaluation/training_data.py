"""Tell whether a model was trained on what it is scored on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from xrain.collocation.store import is_store, list_groups
from xrain.io.truth import RAIN_FIELD, open_truth, truth_path
from xrain.models.card import ModelCard

__all__ = ["seen_in_training", "source_names", "training_note"]


def seen_in_training(card: ModelCard, names: Iterable[str]) -> list[str]:
    """List the files that a model's card names among its training data.

    Parameters
    ----------
    card : ModelCard
        Card of the model.
    names : iterable of str
        Names of files, without folders.

    Examples
    --------
    >>> import xrain
    >>> seen_in_training(xrain.load_model("gmi-unet").card, ["mine.nc"])
    []
    """
    told = list(_texts(card.training))
    return [n for n in dict.fromkeys(names) if n and any(n in text for text in told)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def source_names(path: str | os.PathLike[str]) -> list[str]:
    """Name what a file of scores rests on: itself, the files of a store, the simulated rain."""
    path = Path(path)
    if is_store(path):
        files = (str(n) for p in list_groups(path) for n in p.attrs["references"])
        return [path.name, *dict.fromkeys(files)]
    if truth_path(path).is_file():
        truth = open_truth(path)
        return [path.name, str(truth.attrs.get(RAIN_FIELD, ""))]
    return [path.name]


def training_note(card: ModelCard, names: Iterable[str]) -> str | None:
    """Say for people that a model learned from the data it is scored on; None if it did not."""
    seen = seen_in_training(card, names)
    if not seen:
        return None
    return (
        f"{card.id} was trained on {', '.join(seen)}: these scores say how well it fits, not how "
        "well it does on other data"
    )
