from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Built:
    sdist: Path
    wheel: Path


def call(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The source archive, and the wheel made from it."""
    out = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return Built(sdist, wheel)


@dataclass(frozen=True)
class Environment:
    """An environment outside the checkout that holds the wheel."""

    folder: Path
    xrain: Path

    def run(self, *command: object) -> str:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "XRAIN_"))}
        settings = {"XRAIN_OFFLINE": "1", "HOME": str(self.folder), "PYTHONSAFEPATH": "1"}
        return call(*command, cwd=self.folder, env=clean | settings).stdout

    def ask(self, code: str) -> object:
        """Run code that prints JSON."""
        return json.loads(
            self.run(
                self.folder / "env" / "bin" / "python", "-W", "error::UserWarning:xrain", "-c", code
            )
        )


@pytest.fixture(scope="module")
def environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A new environment. Its dependencies are links to those here, all but xrain itself."""
    folder = tmp_path_factory.mktemp("elsewhere")
    call(sys.executable, "-m", "venv", "--without-pip", folder / "env")
    python = folder / "env" / "bin" / "python"
    links = folder / "dependencies"
    links.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "xrain" not in entry.name and entry.suffix != ".pth":
            (links / entry.name).symlink_to(entry)
    site = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout
    Path(site.strip(), "dependencies.pth").write_text(f"{links}\n")
    call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        built.wheel,
    )
    return Environment(folder, folder / "env" / "bin" / "xrain")


def package_files() -> set[str]:
    paths = (p for p in (ROOT / "xrain").rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(ROOT).as_posix() for p in paths}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {n for n in wheel.namelist() if ".dist-info/" not in n}
    assert names == package_files()
    assert {"xrain/py.typed", "xrain/models/registry.json", "xrain/data/demo.HDF5"} <= names


def test_the_source_archive_holds_what_is_needed_to_build_and_test(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    needed = {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "Makefile",
        "constraints.txt",
        "tests/conftest.py",
    }
    assert package_files() | needed <= names


def test_the_environment_does_not_see_the_checkout(environment: Environment) -> None:
    found = environment.ask(
        "import json, sys, xrain; print(json.dumps([xrain.__file__, *sys.path]))"
    )
    assert isinstance(found, list)
    assert found[0].startswith(str(environment.folder / "env"))
    assert str(ROOT) not in found[1:]


def test_every_room_of_the_installed_package_is_furnished(environment: Environment) -> None:
    code = """
import json, pathlib, xarray as xr, xrain
from satpy import available_readers
from xrain.demo import demo_granule
from xrain.models.store import find_model, is_at_hand, list_models, load_model
root = pathlib.Path(xrain.__file__).parent
granule = demo_granule()
print(json.dumps({
    "sensors": xrain.list_sensors(),
    "models": [n for n in list_models() if is_at_hand(find_model(n)) and load_model(n).card.limits],
    "listed": list_models(),
    "coastline": [p.name for p in root.rglob("*.shp")],
    "yaml": [p.name for p in root.rglob("*.yaml")],
    "reader": "gpm_l1c" in available_readers(),
    "channels": xr.open_dataset(granule, engine="gpm-l1c").sizes["channel"],
}))
"""
    found = environment.ask(code)
    assert isinstance(found, dict)
    assert len(found["sensors"]) == len(list((ROOT / "xrain" / "sensors").glob("*.toml"))) > 10
    assert found["models"] == found["listed"]
    own = ("amsr2", "atms", "gmi", "mhs", "mwi", "ssmis", "tms")
    names = {f"{sensor}-unet" for sensor in own} | {"constellation-unet"}
    assert names <= set(found["models"])
    assert found["coastline"]
    assert "gpm_l1c.yaml" in found["yaml"]
    assert found["reader"]
    assert found["channels"] == 13


def test_the_demo_runs_from_the_wheel_offline(environment: Environment) -> None:
    said = environment.run(environment.xrain, "demo", "-o", "out")
    assert "simulated" in said
    for name in ("granule.HDF5", "rain.nc", "rain.png"):
        assert (environment.folder / "out" / name).stat().st_size > 1000
