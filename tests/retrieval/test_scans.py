"""Where a swath is interrupted, whatever tells it."""

from __future__ import annotations

import datetime

import cftime
import numpy as np
import pytest
import xarray as xr

from xrain.conventions import QUALITY_FLAGS
from xrain.retrieval.dataset import retrieve
from xrain.retrieval.scans import find_breaks
from xrain.testing import fake_swath, tiny_model

EDGE = QUALITY_FLAGS["swath_edge"]


def breaks(ds: xr.Dataset) -> list[int]:
    return find_breaks(ds, ds.tb.transpose("scan", "pixel", "channel")).tolist()


def swath_with_gap(rows: int = 40) -> xr.Dataset:
    """Ten scans, a gap of twenty and an hour, ten scans."""
    whole = fake_swath("GMI", rows, 30)
    ds = whole.isel(scan=np.r_[0:10, 30:40])
    time = ds.time.values.copy()
    time[10:] += np.timedelta64(1, "h")
    return ds.assign_coords(time=("scan", time))


def times_of_a_kind(ds: xr.Dataset, kind: str) -> xr.Dataset:
    time = ds.time.values
    seconds = (time - time[0]) / np.timedelta64(1, "s")
    start = cftime.DatetimeGregorian(2020, 7, 1, 12)
    dates = [start + datetime.timedelta(seconds=float(s)) for s in seconds]
    kinds = {
        "datetime64": ("scan", time),
        "timedelta64": ("scan", time - time[0]),
        "seconds": ("scan", seconds),
        "days": ("scan", seconds / 86400),
        "cftime": ("scan", np.array(dates)),
        "each pixel": (("pixel", "scan"), np.repeat(time[None], ds.sizes["pixel"], 0)),
    }
    if kind not in kinds:
        return ds.drop_vars("time")
    return ds.drop_vars("time").assign_coords(time=kinds[kind])


KINDS = ["datetime64", "timedelta64", "seconds", "days", "cftime", "each pixel", "none"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_gap_is_seen_in_times_of_any_kind_and_in_positions(kind):
    ds = times_of_a_kind(swath_with_gap(), kind)
    assert breaks(ds) == [10]
    flags = retrieve(ds, tiny_model("GMI")).retrieval_quality
    assert (flags[8:12] & EDGE > 0).all()
    assert (flags[5, 5:-5] & EDGE == 0).all()
    lazy = retrieve(ds.chunk(scan=7), tiny_model("GMI")).retrieval_quality
    np.testing.assert_array_equal(lazy, flags)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_swath_has_no_break(kind):
    assert breaks(times_of_a_kind(fake_swath("GMI", 60, 30), kind)) == []


def test_a_swath_that_runs_the_other_way_is_whole():
    ds = fake_swath("GMI", 60, 30).isel(scan=slice(None, None, -1))
    assert breaks(ds) == []
    time = ds.time.values.copy()
    time[[30, 31]] = time[[31, 30]]
    assert breaks(ds.assign_coords(time=("scan", time))) == []


def test_only_the_gap_between_a_pass_and_a_turned_one_is_a_break():
    ds = fake_swath("GMI", 60, 30)
    later = ds.assign_coords(time=ds.time + np.timedelta64(1, "h")).isel(scan=slice(None, None, -1))
    assert breaks(xr.concat([ds, later], "scan")) == [60]


def test_single_wrong_times_are_passed_over():
    ds = fake_swath("GMI", 60, 30)
    time = ds.time.values.copy()
    time[20], time[40] = np.datetime64("2040-01-01", "ns"), np.datetime64("1999-01-01", "ns")
    time[33:35] = np.datetime64("NaT")
    assert breaks(ds.assign_coords(time=("scan", time))) == []


@pytest.mark.parametrize("common", [2, 5, 30])
def test_scans_that_come_twice_are_a_break(common):
    ds = fake_swath("GMI", 80, 30)
    twice = xr.concat([ds.isel(scan=slice(0, 40)), ds.isel(scan=slice(40 - common, 80))], "scan")
    assert breaks(twice) == [40]


def test_positions_that_are_missing_break_nothing():
    ds = fake_swath("GMI", 60, 30).drop_vars("time")
    ds.latitude[20:25] = np.nan
    ds.longitude[40] = -9999.9
    assert breaks(ds) == []
    assert breaks(ds.isel(pixel=slice(0, 0))) == []
    assert breaks(ds.isel(scan=slice(0, 2))) == []


def test_times_that_are_text_tell_nothing_and_positions_do():
    ds = swath_with_gap()
    text = ds.assign_coords(time=("scan", ds.time.values.astype(str)))
    assert breaks(text) == [10]
