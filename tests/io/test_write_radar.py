"""Radar granules in the archive's layout."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from xrain.errors import InputError, OutputError
from xrain.io.header import parse_pvl
from xrain.io.write_radar import RadarSwath, write_2a_radar
from xrain.sensors import get_sensor
from xrain.simulate.radar import radar_of


def _swath():
    rate = np.array([[0.0, 2.5, 12.0], [np.nan, 0.5, 0.0]])
    even = np.ones_like(rate)
    return RadarSwath(
        time=np.array(["2014-12-31T23:59:59.400", "2015-01-01T00:00:00.100"], "datetime64[ns]"),
        latitude=10 * even,
        longitude=20 * even,
        rate=rate,
        convective=np.array([[0.0, 0.1, 0.9], [0.0, 0.0, 0.0]]),
        freezing_level=4.5 * even,
        land=np.array([[0, 0, 1], [0, 0, 1]]),
        zenith_angle=even,
        sun_local_time=even,
    )


def _write(path, name="gmi", swath=None, **kwargs):
    sensor = get_sensor(name)
    return write_2a_radar(
        path,
        swath or _swath(),
        radar=radar_of(sensor),
        platform=next(iter(sensor.platforms)),
        orbit=144,
        **kwargs,
    )


def test_rates_types_and_what_is_missing(tmp_path):
    with h5py.File(_write(tmp_path / "r.HDF5")) as file:
        fs = file["FS"]
        missing = np.float32(-9999.9)
        want = np.array([[0, 2.5, 12], [missing, 0.5, 0]], "f4")
        assert np.array_equal(fs["SLV/precipRateNearSurface"][:], want)
        assert (fs["CSF/typePrecip"][:] // 10_000_000).tolist() == [[-1, 1, 2], [-1, 1, -1]]
        assert fs["CSF/typePrecip"][1, 0] == -9999
        assert fs["CSF/typePrecip"][0, 0] == -1111
        assert fs["PRE/flagPrecip"][:].tolist() == [[0, 1, 1], [-9999, 1, 0]]
        assert fs["FLG/qualityFlag"].shape == (2, 3, 2)
        assert fs["FLG/qualityFlag"][:, :, 0].tolist() == [[0, 0, 0], [2, 0, 0]]
        assert fs["VER/heightZeroDeg"][0, 0] == 4500
        assert fs["ScanTime/Year"][:].tolist() == [2014, 2015]
        assert fs["ScanTime/MilliSecond"][:].tolist() == [400, 100]
        header = parse_pvl(file.attrs["FileHeader"].decode())
    assert header["GranuleNumber"] == "000144"
    assert header["DOI"] == "10.5067/GPM/DPR/GPM/2A/07"
    assert header["ProcessingSystem"] == "PPS"


def test_the_radar_of_trmm_has_one_frequency(tmp_path, data_dir):
    (real,) = (data_dir / "granules" / "V7").glob("2A.TRMM.PR*")
    with h5py.File(_write(tmp_path / "r.HDF5", "tmi")) as ours, h5py.File(real) as theirs:
        names = []
        ours.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
        for name in names:
            assert ours[name].dtype == theirs[name].dtype, name
            assert ours[name].ndim == theirs[name].ndim, name
            assert ours[name].attrs["DimensionNames"] == theirs[name].attrs["DimensionNames"]
        assert list(ours["FS"].attrs) == list(theirs["FS"].attrs)


def test_what_cannot_be_written_is_told(tmp_path):
    swath = _swath()
    with pytest.raises(InputError, match="unknown radar 'GMI'"):
        write_2a_radar(tmp_path / "r.HDF5", swath, radar=get_sensor("gmi"), platform="GPM", orbit=1)
    never = replace(swath, time=np.full(2, np.datetime64("NaT", "ns")))
    with pytest.raises(InputError, match="no scan of the radar granule has a time"):
        _write(tmp_path / "r.HDF5", swath=never)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        _write(tmp_path / "file" / "r.HDF5")
