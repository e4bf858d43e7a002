"""The sensor tables against real granules, and the loader."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from importlib import resources
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import xrain
from xrain import sensors
from xrain.conventions import match_channels, parse_channel_name
from xrain.errors import FileFormatError, InputError, UnknownChannelError, UnknownSensorError
from xrain.sensors.describe import describe_channel
from xrain.testing import write_fake_l1c

NAMES = sensors.list_sensors()

CHANNEL = re.compile(
    r"\d\)\s*(?P<frequency>[\d.]+)\s*(?:GHz)?\s*"
    r"(?:\+/?-\s*(?P<offset>[\d.]+)\s*(?:GHz)?)?\s*(?:GHz)?\s*"
    r"(?:(?P<polarization>Q?[VH])-Pol)?\s*(?:(?P<suffix>[AB])-Scan)?"
)


def header(granule: Path, field: str) -> str:
    with h5py.File(granule) as file:
        text = file.attrs["FileHeader"].decode()
    return re.search(rf"^{field}=(.*);", text, re.MULTILINE).group(1)


def described_channels(tc: h5py.Dataset) -> list[re.Match[str]]:
    """What a granule says of its channels, such as ``3) 183.31 +/-3 GHz V-Pol``."""
    text = " ".join(tc.attrs["LongName"].decode().split())
    found = list(CHANNEL.finditer(text))
    assert len(found) == tc.shape[-1], text
    return found


def test_the_constellation_is_complete():
    expected = {"GMI", "TMI", "AMSR2", "AMSRE", "SSMI", "SSMIS", "ATMS", "MHS", "AMSUB", "SAPHIR"}
    expected |= {"MWI", "AMSR3", "TMS", "MWS", "MWISG", "ICI", "AWS", "MWRI", "MWRI-RM", "MWHS"}
    expected |= {"MWTS-III", "COWVR", "TEMPEST", "MADRAS"}
    assert expected <= set(NAMES)


def test_granule_is_known(l1c_granule):
    sensor = sensors.get_sensor(header(l1c_granule, "InstrumentName"))
    assert header(l1c_granule, "SatelliteName") in sensor.platforms


def test_granule_agrees(l1c_granule):
    sensor = sensors.get_sensor(header(l1c_granule, "InstrumentName"))
    with h5py.File(l1c_granule) as file:
        assert [s.name for s in sensor.swaths] == sorted(file)
        for swath in sensor.swaths:
            group = file[swath.name]
            text = group.attrs[f"{swath.name}_SwathHeader"].decode()
            assert f"NumberPixels={swath.pixels};" in text
            assert f"ScanType={sensor.scan_type.replace('-', '').upper()};" in text
            described = described_channels(group["Tc"])
            channels = sensor.swath_channels(swath.name)
            assert len(channels) == len(described)
            for channel, said in zip(channels, described, strict=True):
                # SSMIS files print 91.665 for 91.655 GHz
                assert channel.frequency == pytest.approx(float(said["frequency"]), abs=0.02)
                assert channel.sideband_offset == float(said["offset"] or 0.0)
                if said["polarization"]:
                    # MHS files give the polarization at nadir without saying that it turns
                    assert channel.polarization.lstrip("Q") == said["polarization"].lstrip("Q")
                if said["suffix"]:
                    assert channel.name.endswith(f"-{said['suffix']}")


def test_scan_period_agrees(l1c_granule):
    sensor = sensors.get_sensor(header(l1c_granule, "InstrumentName"))
    with h5py.File(l1c_granule) as file:
        for swath in sensor.swaths:
            time = file[swath.name]["ScanTime"]
            stamp = [time[k][:] for k in ("Hour", "Minute", "Second", "MilliSecond")]
            seconds = np.array([3600.0, 60.0, 1.0, 0.001]) @ np.array(stamp, float)
            steps = np.diff(seconds)[np.diff(seconds) > 0]  # midnight apart
            assert np.median(steps) == pytest.approx(swath.scan_period, rel=2e-3)


def test_incidence_angle_agrees(l1c_granule):
    sensor = sensors.get_sensor(header(l1c_granule, "InstrumentName"))
    with h5py.File(l1c_granule) as file:
        for swath in sensor.swaths:
            angle = file[swath.name]["incidenceAngle"][:]
            if (angle > 0).any() and sensor.scan_type == "conical":
                nominal = sensor.swath_channels(swath.name)[0].incidence_angle
                assert angle[angle > 0].mean() == pytest.approx(nominal, abs=0.5)


def test_gmi_groups_lie_apart_as_described(data_dir):
    """The offset of S2 follows from the geolocation of a granule and the orbit's height."""
    gmi = sensors.get_sensor("GMI")
    granules = sorted(data_dir.glob("granules/V7/1C.GPM.GMI.*.000079.*.HDF5"))
    if not granules:
        pytest.skip("the granule that the table names is not there")

    def distance(file: h5py.File, swath: str) -> float:
        """Kilometres from the sub-satellite point to the first pixel of the first scan."""
        group = file[swath]
        lat, lon = group["Latitude"][0, 0], group["Longitude"][0, 0]
        lat0, lon0 = (group["SCstatus"][f"SC{k}"][0] for k in ("latitude", "longitude"))
        lat, lon, lat0, lon0 = np.deg2rad(np.array([lat, lon, lat0, lon0], float))
        cosine = np.sin(lat) * np.sin(lat0) + np.cos(lat) * np.cos(lat0) * np.cos(lon - lon0)
        return 6371.0 * float(np.arccos(cosine))

    with h5py.File(granules[0]) as file:
        offset = distance(file, "S2") - distance(file, "S1")
        height = file["S1/SCstatus/SCaltitude"][0]
    scaled = offset * gmi.altitude / height
    assert gmi.swath("S2").along_track_offset == pytest.approx(scaled, abs=1.0)


@pytest.mark.parametrize("name", NAMES)
def test_table_is_consistent(name):
    sensor = sensors.get_sensor(name)
    groups = [s.name for s in sensor.swaths]
    assert sensor.reference_swath in groups
    assert sensor.swath(sensor.reference_swath).along_track_offset == 0.0
    assert sensor.scan_type in ("conical", "cross-track")
    assert {c.swath for c in sensor.channels} == set(groups)
    assert len({c.name for c in sensor.channels}) == len(sensor.channels)
    assert sensor.platforms


def table_text(name: str) -> str:
    folder = resources.files("xrain.sensors")
    (text,) = (t for f in folder.iterdir() if f.name.endswith(".toml")
               and f'\nname = "{name}"\n' in (t := f.read_text("utf-8")))  # fmt: skip
    return text


@pytest.mark.parametrize("name", NAMES)
def test_sources_and_citations_agree(name):
    sensor = sensors.get_sensor(name)
    body = re.sub(r"sources = \[.*?\n\]", "", table_text(name), flags=re.DOTALL)
    cited = set(re.findall(r"\d+", " ".join(re.findall(r"\[(\d+(?:, \d+)*)\]", body))))
    assert cited == {s[1] for s in sensor.sources}


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_physical(name):
    sensor = sensors.get_sensor(name)
    assert 300 < sensor.altitude < 1000
    assert 40 < sensor.scan_angle < 80
    for swath in sensor.swaths:
        assert 1.0 < swath.scan_period < 4.0
        assert 60 <= swath.pixels <= 600
    for channel in sensor.channels:
        assert 6 < channel.frequency < 200
        assert all(0 < x < 12 for x in channel.sideband_offsets)
        assert 50 <= channel.bandwidth <= 6000
        along, across = channel.footprint
        assert 2 < across <= along < 90
        assert 0.1 < channel.nedt < 2.5
        if sensor.scan_type == "conical":
            assert 45 < channel.incidence_angle < 60
            assert channel.polarization in ("V", "H")
            assert along > across
        else:
            assert channel.incidence_angle == 0
            assert channel.polarization in ("QV", "QH")
        # both sides of a pair stay apart
        assert not channel.sideband_offset or channel.bandwidth <= 2e3 * channel.sideband_offset


@pytest.mark.parametrize("name", NAMES)
def test_names_say_what_the_channel_is(name):
    sensor = sensors.get_sensor(name)
    for channel in sensor.channels:
        parsed = parse_channel_name(channel.name)
        assert parsed is not None
        assert parsed.frequency == channel.frequency
        assert parsed.offset == channel.sideband_offset
        assert parsed.polarization == channel.polarization


@pytest.mark.parametrize("name", NAMES)
def test_names_match_themselves(name):
    names = [c.name for c in sensors.get_sensor(name).channels]
    assert match_channels(names, names) == list(range(len(names)))


def test_instruments_of_one_satellite_are_told_by_their_names():
    known = [sensors.get_sensor(n) for n in NAMES]
    for platform in {p for s in known for p in s.platforms}:
        names = [n for s in known if platform in s.platforms for n in (s.name, *s.shared_names)]
        assert len(names) == len(set(names))
        for sensor in (s for s in known if platform in s.platforms):
            for name in (sensor.name, *sensor.shared_names):
                assert sensors.find_sensor(name, platform) is sensor


def test_the_satellite_tells_instruments_of_one_name_apart():
    assert sensors.find_sensor("MWI").name == "MWI"
    assert sensors.find_sensor("mwi", "WSFM1").name == "MWI"
    for platform in ("METOPSGB1", "Metop-SG-B1", "SGB1"):
        assert sensors.find_sensor("mwi", platform).name == "MWISG"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("gmi", "GMI"),
        ("AMSR-E", "AMSRE"),
        ("ssm/i", "SSMI"),
        ("AMSU-B", "AMSUB"),
        ("Ssmi/s", "SSMIS"),
    ],
)
def test_aliases(spelling, name):
    assert sensors.get_sensor(spelling).name == name


def test_unknown_names():
    with pytest.raises(UnknownSensorError, match=r"'MODIS'.*GMI"):
        sensors.get_sensor("MODIS")
    assert sensors.find_sensor("MODIS") is None
    with pytest.raises(UnknownChannelError, match=r"TMI.*'183.31\+-3V'.*21.3V"):
        sensors.get_sensor("TMI").channel("183.31+-3V")
    with pytest.raises(UnknownSensorError, match=r"MHS.*'S2'.*S1"):
        sensors.get_sensor("MHS").swath("S2")


def test_degraded_channels_exist():
    known = [(s, d) for s in map(sensors.get_sensor, NAMES) for d in s.degraded]
    for sensor, degraded in known:
        assert degraded.platform in sensor.platforms
        assert all(sensor.channel(c) for c in degraded.channels)
        assert dt.date(1987, 1, 1) < degraded.since < dt.date(2030, 1, 1)
    lost = {(d.platform, c) for _, d in known for c in d.channels}
    assert {("F17", "37.0V"), ("F18", "150.0H"), ("F15", "22.235V"), ("AQUA", "89.0V-A")} <= lost


@pytest.fixture
def folder(tmp_path):
    """A copy of the package's tables that a test may change."""
    for name in NAMES:
        (tmp_path / f"{name.lower()}.toml").write_text(table_text(name), "utf-8")
    return tmp_path


def test_a_new_table_is_a_new_sensor(folder):
    text = table_text("GMI").replace('name = "GMI"', 'name = "GMI-2"').replace("GPM =", "GPM2 =")
    (folder / "gmi2.toml").write_text(text, "utf-8")
    (folder / "notes.txt").write_text("no table")
    found = sensors.load_sensors(folder)
    assert len(found) == len(NAMES) + 1
    assert found["gmi2"].channels == sensors.get_sensor("GMI").channels
    assert list(found["gmi2"].platforms) == ["GPM2"]


def test_broken_tables_say_what_is_wrong(folder):
    gmi = folder / "gmi.toml"
    text = gmi.read_text("utf-8")
    gmi.write_text(text.replace("altitude", "height"), "utf-8")
    with pytest.raises(FileFormatError, match=r"gmi\.toml lacks 'altitude'"):
        sensors.load_sensors(folder)
    gmi.write_text(text.replace("nedt = 0.77", "nedt = "), "utf-8")
    with pytest.raises(FileFormatError, match=r"gmi\.toml cannot be read"):
        sensors.load_sensors(folder)
    shutil.copy(folder / "tmi.toml", gmi)
    with pytest.raises(FileFormatError, match=r"tmi\.toml: a second table of TMI"):
        sensors.load_sensors(folder)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('scan_type = "conical"', 'scan_type = "round"', "scan_type must be one of"),
        ('reference_swath = "S1"', 'reference_swath = "S9"', "reference_swath is none"),
        ("altitude = 407.0", "altitude = 407e3", "altitude must be in km"),
        ("frequency = 10.65", "frequency = 10.65e9", r"10\.65V: frequency must be in GHz"),
        ('"10.65H"', '"10.65V"', "two channels have one name"),
        ('polarization = "V"', 'polarization = "vertical"', "polarization must be one of"),
        ("nedt = 0.77", "nedt = -0.77", "nedt"),
        ("[32.1, 19.4]", "[32.1, 0.0]", "footprint must be two widths in km"),
        ("pixels = 221", "pixels = 0", "pixels and scan_period"),
    ],
)
def test_tables_that_cannot_be_right_are_refused(folder, old, new, told):
    gmi = folder / "gmi.toml"
    text = gmi.read_text("utf-8")
    assert old in text
    gmi.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(FileFormatError, match=rf"gmi\.toml.*{told}"):
        sensors.load_sensors(folder)


@pytest.fixture
def unregister():
    """Forget after the test what it registered."""
    before = dict(sensors._registered)
    yield
    sensors._registered.clear()
    sensors._registered.update(before)


def second_gmi(folder: Path, name: str = "GMI-2") -> Path:
    """Write the table of an instrument that the package does not know."""
    path = folder / "second.toml"
    text = re.sub(r"aliases = \[.*?\]", "aliases = []", table_text("GMI"), flags=re.DOTALL)
    path.write_text(text.replace('name = "GMI"', f'name = "{name}"', 1), "utf-8")
    return path


@pytest.mark.usefixtures("unregister")
def test_a_registered_sensor_is_read_described_and_retrieved(tmp_path):
    path = second_gmi(tmp_path)
    (sensor,) = xrain.register_sensor(path)
    assert xrain.get_sensor("gmi2") is sensor
    assert "GMI-2" in xrain.list_sensors()
    granule = write_fake_l1c(tmp_path / "g.HDF5", sensor, scans=8)
    ds = xr.open_dataset(granule, engine="gpm-l1c")
    assert ds.attrs["sensor"] == "GMI-2"
    assert ds.xrain.sensor is sensor
    assert ds.rain.retrieve("constellation-unet").attrs["sensor"] == "GMI-2"
    path.write_text(path.read_text("utf-8").replace("nedt = 0.77", "nedt = 0.5", 1), "utf-8")
    assert xrain.register_sensor(tmp_path) != [sensor]
    assert xrain.get_sensor("GMI-2").channels[0].nedt == 0.5


@pytest.mark.usefixtures("unregister")
def test_a_registered_sensor_changes_nothing_of_others(tmp_path):
    before = describe_channel("10.6V")
    text = second_gmi(tmp_path).read_text("utf-8").replace("frequency = 10.65", "frequency = 10.6")
    (tmp_path / "second.toml").write_text(text, "utf-8")
    xrain.register_sensor(tmp_path)
    assert describe_channel("10.6V") == before
    with pytest.raises(InputError, match="GMI: GMI is known as gmi already"):
        xrain.register_sensor(second_gmi(tmp_path, "GMI"))
    with pytest.raises(InputError, match="AMSR-E: AMSRE is known as amsre"):
        xrain.register_sensor(second_gmi(tmp_path, "AMSR-E"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match="holds no sensor table"):
        xrain.register_sensor(tmp_path / "empty")
    with pytest.raises(FileFormatError, match="neither a sensor table nor a folder"):
        xrain.register_sensor(tmp_path / "absent.toml")


def test_folders_of_the_environment_are_read(tmp_path, monkeypatch):
    second_gmi(tmp_path)
    monkeypatch.setenv("XRAIN_SENSORS", str(tmp_path))
    assert xrain.get_sensor("GMI-2").name == "GMI-2"
    monkeypatch.delenv("XRAIN_SENSORS")
    assert sensors.find_sensor("GMI-2") is None
