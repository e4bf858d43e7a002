"""The documentation as a reader sees it: built, and drawn by a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

pytest.importorskip("sphinx_gallery", reason="the docs extra is not installed")
from matplotlib.image import imread

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("plot_*.py"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="no documentation beside the tests"),
]


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the pages with warnings as errors; the gallery runs only its first example."""
    source = tmp_path_factory.mktemp("docs")
    for name in ("docs", "examples", "xrain"):
        ignore = shutil.ignore_patterns("_build", "gallery", "generated", "__pycache__", "sg_*")
        if name == "xrain":
            (source / name).symlink_to(ROOT / name)
        else:
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
    shutil.copy(ROOT / "CHANGELOG.md", source)
    out = source / "html"
    options = ["-W", "--keep-going", "-q", "-b", "html"]
    options += ["-D", "sphinx_gallery_conf.filename_pattern=plot_01_"]
    command = [sys.executable, "-m", "sphinx", *options, str(source / "docs"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def colors(image: np.ndarray) -> int:
    """Count the distinct colours, coarsely."""
    return len(np.unique((image // 16).reshape(-1, 3), axis=0))


def test_every_sensor_and_command_is_on_its_page(pages: Path) -> None:
    from typer.main import get_command

    from xrain.cli import app
    from xrain.sensors import get_sensor, list_sensors

    sensors = (pages / "reference" / "sensors.html").read_text()
    for name in list_sensors():
        missing = [c.name for c in get_sensor(name).channels if c.name not in sensors]
        assert not missing, name
    commands = (pages / "reference" / "cli.html").read_text()
    for name in get_command(app).commands:
        assert f">xrain {name}<" in commands


def test_every_public_name_is_in_the_reference(pages: Path) -> None:
    import xrain

    page = (pages / "reference" / "api.html").read_text()
    missing = [name for name in xrain.__all__ if f"xrain.{name}" not in page]
    assert not missing


def test_the_accessor_has_its_pages_examples_and_links(pages: Path) -> None:
    page = (pages / "generated" / "xarray.Dataset.rain.retrieve.html").read_text()
    assert "<h1>ds.rain.retrieve" in page
    assert "sphx_glr_plot_01_first_swath_thumb" in page
    assert 'href="https://docs.xarray.dev/en/stable/generated/xarray.Dataset.html' in page


def test_no_page_fetches_anything(pages: Path) -> None:
    for page in pages.rglob("*.html"):
        found = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text()
        )
        assert not found, page


def test_every_link_within_the_pages_leads_somewhere(pages: Path) -> None:
    texts = {page: page.read_text() for page in pages.rglob("*.html")}
    anchors = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in texts.items()}
    dead = []
    for page, text in texts.items():
        if "_modules" in page.parts:
            continue  # source of the package, linked by the tool that shows it
        body = text[text.find("<main") : text.find("</main")]
        for link in re.findall(r'href="([^"]+)"', body):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (page.parent / unquote(path)).resolve() if path else page
            named = anchors.get(target)
            if not target.exists() or (anchor and named is not None and anchor not in named):
                dead.append(f"{page.relative_to(pages)}: {link}")
    assert not dead, "\n".join(dead)


def test_every_page_describes_itself(pages: Path) -> None:
    for name in ("index", "quality", "howto/points"):
        assert '<meta property="og:description"' in (pages / f"{name}.html").read_text()


def test_the_first_of_each_acronym_on_a_page_is_spelt_out(pages: Path) -> None:
    page = (pages / "howto" / "archive.html").read_text()
    assert page.count('<abbr title="Dual-frequency Precipitation Radar">DPR</abbr>') == 1
    assert page.count("DPR") > page.count(">DPR</abbr>") == 1
    spelt_by_hand = " ".join((pages / "explanation" / "brain.html").read_text().split())
    assert "Goddard Profiling Algorithm" in spelt_by_hand
    assert ">GPROF</abbr>" not in spelt_by_hand


def test_scores_of_the_cards_are_on_their_page(pages: Path) -> None:
    from xrain.models.store import load_card

    scores = load_card("gmi-unet").scores["kept_apart"]["transects"]["table"]["all"]
    page = (pages / "quality.html").read_text()
    low, high = scores["correlation_interval"]
    assert f"{scores['correlation']:.2f} [{low:.2f}, {high:.2f}]" in page
    assert f"{scores['n']:,}" in page


def test_formulas_are_drawn_by_the_browser(pages: Path) -> None:
    page = (pages / "explanation" / "brain.html").read_text()
    assert "<mfrac" in page
    assert "MathJax" not in page


def test_gallery_page_holds_its_pictures(pages: Path) -> None:
    page = (pages / "gallery" / "plot_01_first_swath.html").read_text()
    names = re.findall(r'src="\.\./_images/(sphx_glr_plot_01[^"]+\.png)"', page)
    assert len(names) >= 4
    for name in names:
        assert colors((imread(pages / "_images" / name)[..., :3] * 255).astype(int)) > 8


@pytest.mark.parametrize("name", ["index", f"gallery/{EXAMPLES[0]}"])
def test_page_is_drawn(pages: Path, photograph: Callable[[Path], np.ndarray], name: str) -> None:
    image = photograph(pages / f"{name}.html")
    assert image.shape == (1600, 1200, 3)
    assert colors(image) > 40
    paper = (image > 240).all(-1).mean()
    assert 0.3 < paper < 0.97
