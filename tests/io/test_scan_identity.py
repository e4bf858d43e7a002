"""Scans told apart by time and version."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrain.io.scan_identity import distinct_scans, filled_times, plausible_times, version_key

START = np.datetime64("2020-07-01T12:00:00", "ns")
NAT = np.datetime64("NaT", "ns")


def scans(first, stop, period=1.875):
    return START + np.rint(np.arange(first, stop) * period * 1e9).astype("timedelta64[ns]")


@pytest.mark.parametrize("row", [0, 1, 30, 58, 59])
@pytest.mark.parametrize("off", ["2040-01-01", "2019-07-01T12:00", "2020-07-01T14:00"])
def test_one_wrong_time_is_found(row, off):
    time = scans(0, 60)
    time[row] = np.datetime64(off)
    out, wrong = plausible_times(time)
    assert np.flatnonzero(wrong).tolist() == [row]
    assert np.isnat(out[row])
    assert np.abs(filled_times(time) - scans(0, 60)).max() < np.timedelta64(1, "us")


def test_a_third_of_the_scans_in_another_year_is_found():
    time = scans(0, 60)
    time[20:40] += np.timedelta64(365, "D")
    assert np.flatnonzero(plausible_times(time)[1]).tolist() == [*range(20, 40)]


@pytest.mark.parametrize(
    "time",
    [
        scans(0, 60)[::-1],
        np.concatenate([scans(0, 30), scans(2000, 2030)]),  # an hour is missing
        scans(0, 60).astype("datetime64[m]"),
        scans(0, 60).astype("datetime64[s]"),
        np.repeat(START, 20),
        scans(0, 2),
        scans(0, 0),
        np.full(5, NAT),
    ],
    ids=["turned", "gap", "minutes", "seconds", "equal", "two", "none", "missing"],
)
def test_times_that_are_right_stay(time):
    out, wrong = plausible_times(time)
    assert not wrong.any()
    np.testing.assert_array_equal(out, time.astype("datetime64[ns]"))


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_what_two_granules_share_comes_once(order):
    parts = [scans(0, 110), scans(90, 200)]
    kept = distinct_scans([parts[i] for i in order])
    rows = {i: kept[k] for k, i in enumerate(order)}
    assert rows[0].tolist() == [*range(110)]
    assert rows[1].tolist() == [*range(20, 110)]


def test_the_newer_version_of_a_scan_is_kept():
    kept = distinct_scans([scans(0, 60), scans(20, 40)], ["V07A", "V08A"])
    assert kept[0].tolist() == [*range(20), *range(40, 60)]
    assert kept[1].tolist() == [*range(20)]


def test_missing_times_in_an_overlap_are_told_by_their_neighbours():
    one, two = scans(0, 60), scans(40, 100)
    two[[5, 50]] = NAT
    one[30] = np.datetime64("2040-01-01")
    kept = distinct_scans([one, two])
    assert kept[0].size == 60
    assert kept[1].tolist() == [*range(20, 60)]


def test_scans_without_any_time_are_all_kept():
    kept = distinct_scans([np.full(4, NAT), np.full(5, NAT)])
    assert [k.size for k in kept] == [4, 5]


def test_versions_are_in_order():
    names = ["V10A", "V08A", "V07B", "V07A", "V06", ""]
    assert sorted(names, key=version_key, reverse=True) == names


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 60)), min_size=1, max_size=5))
def test_every_scan_is_there_and_none_twice(pieces):
    parts = [scans(first, first + count) for first, count in pieces]
    kept = distinct_scans(parts)
    together = np.concatenate([t[rows] for t, rows in zip(parts, kept, strict=True)])
    assert sorted(together) == sorted(set(np.concatenate(parts)))
