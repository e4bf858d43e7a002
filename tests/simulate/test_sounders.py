"""Channels that GMI lacks, beside real pixels of SSMIS and ATMS."""

from __future__ import annotations

import numpy as np
import pytest

from tools import compare_sounders as tool


@pytest.fixture
def pieces(data_dir, monkeypatch):
    monkeypatch.setattr(tool, "DRAWS", 60)
    return data_dir / "pieces"


def test_real_pixels_are_dry_sea_or_land(pieces):
    sea = tool.read(pieces / "ioda_ssmis_100px.npz", tool.SSMIS, ocean=True)
    land = tool.read(pieces / "ioda_atms_100px.npz", tool.ATMS, ocean=False)
    assert len(sea.tb) == 60
    assert len(land.tb) == 94
    by_number = {b.number: k for k, b in enumerate(tool.SSMIS)}
    horizontal, vertical = (sea.tb[:, by_number[n]] for n in (12, 13))
    assert ((vertical - horizontal) > 30).all()
    assert np.ptp(land.incidence) > 40
    assert (land.scan <= land.incidence).all()


@pytest.mark.parametrize(
    ("name", "bands", "surface"), [("ssmis", tool.SSMIS, "ocean"), ("atms", tool.ATMS, "snow")]
)
def test_sounding_channels_come_near_real_ones(pieces, name, bands, surface):
    found = tool.compare(pieces / f"ioda_{name}_100px.npz", bands, surface)
    assert len(found) == len(bands)
    sounding = {k: f for k, f in found.items() if not f["window"]}
    assert all(abs(f["bias"]) < 15 for f in sounding.values())
    oxygen = [
        f["bias"] for k, f in sounding.items() if k.startswith(("50", "51", "52", "53", "54"))
    ]
    assert np.abs(oxygen).max() < 8
    lines = tool.table(found).splitlines()
    assert len(lines) == len(bands) + 2
    assert all(line.count("|") == lines[0].count("|") for line in lines)


def test_the_columns_kept_are_those_nearest_in_the_windows_alone():
    rng = np.random.default_rng(0)
    simulated = rng.normal(250, 10, (3, 50, 4)).astype(np.float32)
    observed = simulated[:, 7].copy()
    observed[:, 3] += 100.0
    window = np.array([True, True, True, False])
    kept = tool.resembling(observed, simulated, window)
    assert kept.shape == (tool.KEPT, 3, 4)
    np.testing.assert_array_equal(kept[0], simulated[:, 7])
