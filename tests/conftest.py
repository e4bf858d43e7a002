"""What every test shares: the real data, a private cache, and no network but the loopback."""

from __future__ import annotations

import errno
import ipaddress
import os
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("xrain", deadline=None)  # a busy machine is no error
settings.load_profile("xrain")

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("XRAIN_TEST_DATA", ROOT.parent / "shared" / "data"))
GRANULES = {
    "l1c_granule": ["granules/*/1C*.HDF5"],
    "rain_granule": ["granules/*/2*.HDF5", "granules/*/3B*.HDF5", "dpr/*.HDF5"],
}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
NO_DATA = f"no real data in {DATA}: set XRAIN_TEST_DATA to the folder that holds it"


class NetworkForbiddenError(RuntimeError):
    """A test tried to leave this machine."""


def _is_loopback(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(name).partition("%")[0]).is_loopback
    except ValueError:
        return False


class _LoopbackSocket(socket.socket):
    """A socket that connects to this machine alone."""

    def _check(self, address: Any) -> None:
        if self.family not in (socket.AF_INET, socket.AF_INET6) or _is_loopback(address[0]):
            return
        if self.type == socket.SOCK_DGRAM:  # asking for the own address: answered "no network"
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        raise NetworkForbiddenError(f"a test wants to connect to {address}")

    def connect(self, address: Any) -> None:
        self._check(address)
        super().connect(address)

    def connect_ex(self, address: Any) -> int:
        self._check(address)
        return super().connect_ex(address)


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse every connection and every look-up of a name outside this machine."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_loopback(host):
            try:
                ipaddress.ip_address(host)  # a number needs no server
            except ValueError:
                raise NetworkForbiddenError(f"a test looks up {host!r}") from None
        return look_up(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", _LoopbackSocket)
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(autouse=True)
def private_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    """Keep the tester's own cache and settings out of the tests."""
    for name in ("XRAIN_WEIGHTS_URL", "XRAIN_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path_factory.getbasetemp() / "xrain-cache"
    monkeypatch.setenv("XRAIN_CACHE_DIR", str(cache))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data; the test is skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(NO_DATA)
    return DATA


@pytest.fixture
def photograph(tmp_path: Path) -> Callable[..., Any]:
    """Draw a page in a browser, from disk and without a network."""
    if BROWSER is None:
        pytest.skip("no chromium: install it to see the pages drawn")
    from matplotlib.image import imread

    def draw(page: Path, *flags: str, height: int = 1600) -> Any:
        shot = tmp_path / f"{page.stem}.png"
        usual = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
            f"--window-size=1200,{height}", f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={shot}",
        ]  # fmt: skip
        subprocess.run(
            [str(BROWSER), *usual, *flags, page.as_uri()],
            capture_output=True, check=True, timeout=120,
        )  # fmt: skip
        return (imread(shot)[..., :3] * 255).round().astype(int)

    return draw


@pytest.fixture
def archive_granule(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Path:
    """A real L1C granule; where there are none, one of each sensor in the archive's layout."""
    if isinstance(request.param, Path):
        return request.param
    from xrain.testing import write_fake_l1c

    folder = tmp_path_factory.getbasetemp() / "archive"
    folder.mkdir(exist_ok=True)
    found = list(folder.glob(f"1C.*.{request.param}.*"))
    return found[0] if found else write_fake_l1c(folder, request.param, scans=24, missing=0.1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `l1c_granule` or `rain_granule` once for each real one."""
    _generate_archive(metafunc)
    for name, patterns in GRANULES.items():
        if name not in metafunc.fixturenames:
            continue
        granules = sorted(g for pattern in patterns for g in DATA.glob(pattern))
        cases = [
            pytest.param(g, id=f"{g.parent.name}-{g.name.partition('-S')[0]}") for g in granules
        ]
        skipped = pytest.param(None, marks=pytest.mark.skip(reason=NO_DATA), id="no-data")
        metafunc.parametrize(name, cases or [skipped])


def _generate_archive(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `archive_granule` on all real ones, else on those written."""
    if "archive_granule" not in metafunc.fixturenames:
        return
    from xrain.sensors import list_sensors

    real = sorted(g for pattern in GRANULES["l1c_granule"] for g in DATA.glob(pattern))
    names = [f"{g.parent.name}-{g.name.partition('-S')[0]}" for g in real]
    cases = real or list_sensors()
    metafunc.parametrize("archive_granule", cases, ids=names or None, indirect=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say once for each reason how many tests were skipped, instead of once for each test."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")
