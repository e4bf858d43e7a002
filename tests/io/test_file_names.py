"""Names of the archive, told in one place for every door."""

from __future__ import annotations

import pytest
from trollsift import parse

from xrain.io.backend import L1CBackendEntrypoint, L2BackendEntrypoint
from xrain.io.file_names import L1C_PREFIXES, L2_PREFIXES, product_of, satpy_patterns, with_content
from xrain.testing import write_fake_l1c

L1C = [
    "1C.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.HDF5",
    "1C-R.GPM.GMI.XCAL2016-C.20140304-S175932-E193159.000079.V07A.HDF5",
    "1C-R.GPM.GMI.XCAL2016-C.20260401-S120000-E120459.V07A.RT-NC",
    "1C.GPM.GMI.XCAL2016-C.20260617-S055200-E055658.V08A.RT-NC",
    "1C.GPM.GMI.XCAL2016-C.20250617-S055200-E055658.V07B.RT-H5",
    "1C.F17.SSMIS.XCAL2021-V.20260401-S120000-E134159.V08A.RT-NC",
    "1C.METOPB.MHS.XCAL2016-V.20260228-S233156-E011316.069788.V08A.nc",
    "1C.NPP.ATMS.XCAL2019-V.20111108-S200411-E214535.000162.V07A.HDF5.nc4",
    "1C.WSFM1.MWI.XCAL2026-V.20260814-S230958-E231956.V08A.RT-NC",
]
L2 = [
    "2A.METOPB.MHS.GPROFNNv1.20260228-S233156-E011316.069788.V08A.nc",
    "2A.METOPB.MHS.GPROFNNv1.20260228-S233156-E233655.V08A.RT-NC",
    "2A-CLIM.METOPB.MHS.GPROFNNv1.20260228-S233156-E011316.069788.V08A.nc",
    "2A-CLIM-PA.NPP.ATMS.GPROFNNv1.20260228-S233156-E011316.069788.V08A.nc",
    "2A.GPM.DPR.V10-20260310.20260401-S120000-E133159.068000.V08A.nc",
    "2A.GPM.DPR.V10-20260310.20260401-S120000-E122959.V08A.RT-NC",
    "2A-CS-151E24S154E30S.GPM.Ku.V7-20170308.20141206-S095002-E095137.004383.V05A.HDF5",
    "2B.GPM.DPRGMI.CORRA2022.20140308-S220950-E234217.000144.V07A.HDF5",
]


def matches(name, prefixes):
    from fnmatch import fnmatch

    from trollsift.parser import globify

    return [p for p in satpy_patterns(*prefixes) if fnmatch(name, globify(p)) and parse(p, name)]


@pytest.mark.parametrize("name", L1C)
def test_every_name_of_level_1c_is_known_at_every_door(name):
    assert L1CBackendEntrypoint().guess_can_open(f"/data/{name}")
    assert not L2BackendEntrypoint().guess_can_open(name)
    assert matches(name, L1C_PREFIXES)


@pytest.mark.parametrize("name", L2)
def test_every_name_of_level_2_is_known_at_every_door(name):
    assert L2BackendEntrypoint().guess_can_open(name)
    assert not L1CBackendEntrypoint().guess_can_open(name)
    assert matches(name, L2_PREFIXES)


@pytest.mark.parametrize("name", L1C[:2] + L2[:2])
@pytest.mark.parametrize("suffix", [".rain.nc", ".truth.nc", ".radar.HDF5", ".png"])
def test_what_lies_beside_a_granule_is_not_it(name, suffix):
    stem = name.rpartition(".")[0]
    assert not any(matches(f"{stem}{suffix}", p) for p in (L1C_PREFIXES, L2_PREFIXES)), name


def test_a_file_of_any_name_is_known_by_its_content(tmp_path):
    granule = write_fake_l1c(tmp_path / "mine.bin", "MHS", scans=3)
    other = tmp_path / "notes.txt"
    other.write_text("1C")
    assert product_of(granule) == "1CMHS"
    assert product_of(other) == product_of(tmp_path / "absent") == ""
    assert with_content([granule, other, tmp_path], "1C") == [granule]
    assert not with_content([granule], "2A")
