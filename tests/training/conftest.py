"""A small archive of granules over known rain, and what the real command makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from xrain.collocation import Split, collocate
from xrain.collocation.store import list_groups
from xrain.io.truth import radar_path
from xrain.simulate.granule import simulate_granule

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
    assert [p.split for p in list_groups(path)] == ["train", "train", "validation", "test"]
    return path


@pytest.fixture(scope="session")
def write_matchups():
    """Write GMI's pixels with their environment, simulated, so that temperatures tell of rain."""
    import torch

    from xrain.sensors import get_sensor
    from xrain.simulate.environment import Environment
    from xrain.simulate.validate import simulate_matchups

    def write(path, *, count=240, kind="phase", cold=False, seed=0):
        rng = np.random.default_rng(seed)
        rate = np.exp(rng.normal(0.0, 1.2, count)).clip(0.06, 19.0)
        event = np.arange(count) % 2 == 0 if kind == "phase" else np.ones(count, bool)
        t2m = rng.uniform(262, 272, count) if cold else rng.uniform(285, 302, count)
        land = (rng.uniform(size=count) < 0.4).astype(float)
        columns = {
            "t2m": t2m,
            "skin_temperature": t2m,
            "total_column_water_vapour": (7.0 * np.exp(0.066 * (t2m - 273))).clip(1, 60),
            "total_column_cloud_liquid": rng.exponential(0.05, count),
            "u10": rng.normal(0, 5, count),
            "v10": rng.normal(0, 5, count),
            "land_fraction": land,
        }
        names = ("t2m", "skin_temperature")
        given = {n: torch.as_tensor(columns[n], dtype=torch.float32) for n in names}
        environment = Environment.derive(
            rain_rate=torch.as_tensor(np.where(event, rate, 0.0), dtype=torch.float32),
            land_fraction=torch.as_tensor(land, dtype=torch.float32), **given,
        )  # fmt: skip
        channels = get_sensor("GMI").channels
        tb = simulate_matchups(environment, channels, draws=1, seed=seed)[0]
        label = {"phase": event.astype(int)} if kind == "phase" else {"surface_precip": rate}
        xr.Dataset(
            {"tb": (("sample", "channel"), tb)}
            | {k: ("sample", np.asarray(v, "f4")) for k, v in (columns | label).items()},
            coords={
                "channel": [c.name for c in channels],
                "latitude": ("sample", np.where(land > 0, 45.0, 10.0)),
                "longitude": ("sample", np.where(land > 0, -100.0, -150.0)),
                "month": ("sample", np.arange(count) // 20 % 12 + 1),
                "day": ("sample", np.arange(count) % 20 + 1),
            },
        ).to_netcdf(path, engine="h5netcdf")
        return path

    return write


@pytest.fixture(scope="session")
def write_transects(write_matchups):
    """Write transects of the same kind of pixels, one in ten raining."""

    def write(path, *, overpasses=10, length=40, seed=1):
        count = overpasses * length
        wet = write_matchups(path.with_suffix(".wet"), count=count, kind="rate", seed=seed)
        dry = write_matchups(path.with_suffix(".dry"), count=2 * count, seed=seed + 1)
        with xr.open_dataset(wet) as a, xr.open_dataset(dry) as b:
            rain = np.random.default_rng(seed).uniform(size=count) < 0.1
            dry_tb = b["tb"].values[b["phase"].values == 0]
            tb = np.where(rain[:, None], a["tb"].values, dry_tb)
            rate = np.where(rain, a["surface_precip"].values.clip(0.13), 0.0)
            channels = a["channel"].values
        xr.Dataset(
            {
                "tb": (("scan", "channel"), tb.astype("f4")),
                "surface_precip": ("scan", rate.astype("f4")),
                "overpass": ("scan", np.repeat(np.arange(overpasses), length)),
                "scan_number": ("scan", np.tile(np.arange(length), overpasses)),
                "latitude": ("scan", np.full(count, 10.0)),
                "longitude": ("scan", np.full(count, -150.0)),
            },
            coords={"channel": channels},
        ).to_netcdf(path, engine="h5netcdf")
        return path

    return write
