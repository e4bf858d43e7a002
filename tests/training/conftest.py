"""A small archive of granules over known rain, and what the real command makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrain.collocation import Split, collocate
from xrain.simulate.granule import radar_path, simulate_granule
from xrain.training.store import list_pieces

DAYS = {"2019-03-01": 5, "2019-03-02": 3, "2019-04-01": 4, "2019-05-01": 6}
"""Days of the granules, and the seed of each."""


@pytest.fixture(scope="session")
def granules() -> Callable[[str, Path], list[Path]]:
    """Write small granules of an instrument over the same storms, GMI's with the radar's."""

    def write(sensor: str, folder: Path) -> list[Path]:
        return [
            simulate_granule(
                sensor, folder / f"{sensor}-{day}.HDF5", seed=seed, scans=24, place=(25.0, -88.0),
                spacing=10.0, start=np.datetime64(f"{day}T12:00", "ns"),
                with_radar=sensor == "gmi",
            )
            for day, seed in DAYS.items()
        ]  # fmt: skip

    return write


@pytest.fixture(scope="session")
def cutting() -> dict[str, Any]:
    """Settings of the collocation: two days to learn from, one to judge by, one for the test."""
    return {"size": 16, "least": 1, "split": Split(("2019-05",), ("2019-04",))}


@pytest.fixture(scope="session")
def archive(
    granules: Callable[[str, Path], list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Granules of GMI, each with the radar's beside it."""
    return granules("gmi", tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def store(
    archive: list[Path], cutting: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the collocation makes of them."""
    path = tmp_path_factory.mktemp("store") / "gmi-dpr.zarr"
    collocate(archive, [radar_path(g) for g in archive], path, cutting, workers=1)
    assert [p.split for p in list_pieces(path)] == ["train", "train", "validation", "test"]
    return path
