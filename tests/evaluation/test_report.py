"""The page of a comparison: whole in itself, readable without eyes, and drawn by a browser."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread
from typer.testing import Result

from xrain.errors import InputError, XrainError
from xrain.evaluation.compare import Comparison, compare
from xrain.evaluation.report import write_comparison
from xrain.evaluation.report.page import render_page
from xrain.evaluation.report.tables import difference_table, score_table, used_strata
from xrain.models.store import Model
from xrain.plotting.comparison import plot_coverage, plot_reliability


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def colors(image: np.ndarray) -> int:
    """Count the distinct colours, coarsely."""
    coarse = (image // 16).astype(np.int64)
    return int(np.unique(coarse[..., 0] * 256 + coarse[..., 1] * 16 + coarse[..., 2]).size)


@pytest.fixture(scope="module")
def text(written: tuple[Path, Result]) -> str:
    return (written[0] / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_fetches_nothing(page: Page, text: str) -> None:
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed"}
    sources = [a["src"] for a in page.all("img")]
    assert len(sources) >= 8
    assert all(str(s).startswith("data:image/png;base64,") for s in sources)
    assert not re.findall(r"""(?:url\(|https?:)""", text)
    inside = {a["id"] for _, a in page.tags if "id" in a}
    assert all(str(a["href"]).removeprefix("#") in inside for a in page.all("a"))


def test_every_picture_is_there_and_has_words(page: Page) -> None:
    for attrs in page.all("img"):
        image = imread(io.BytesIO(base64.b64decode(str(attrs["src"]).partition(",")[2])))
        height, width = image.shape[:2]
        assert width / height == pytest.approx(
            int(str(attrs["width"])) / int(str(attrs["height"])), rel=0.02
        )
        assert colors(image[..., :3] * 255) > 8
        assert len(str(attrs["alt"])) > 40
    assert len(page.all("figcaption")) == len(page.all("img"))


def test_headings_tables_and_language_are_marked(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("caption")) == len(page.all("table")) > 4
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))


def test_the_page_says_what_the_scores_say(
    text: str, models: list[Model], granules: list[Path]
) -> None:
    found = compare(granules, models, "truth", bootstrap=10)
    for name, one in found.scores.items():
        assert f'<th scope="col">{name}</th>' in text
        number = f"{float(one['correlation'].sel(stratum='all')):.3f}"
        assert number.replace("-", "−") in text
    assert all(note in text for note in found.notes)
    assert "second − first" in text


def test_names_cannot_smuggle_markup(models: list[Model], granules: list[Path]) -> None:
    found = compare(granules[:1], models[:1], "truth", bootstrap=0)
    found.scores["<script>x</script>"] = found.scores.pop("first")
    found.competitors["<script>x</script>"] = found.competitors.pop("first")
    assert "<script>" not in render_page(found)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_draws_the_page(
    written: tuple[Path, Result], photograph: Callable[..., Any], dark: bool
) -> None:
    flags = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    image = photograph(written[0] / "report.html", *flags, height=2600)
    assert image.shape == (2600, 1200, 3)
    ground = image[:, :20].reshape(-1, 3).mean(axis=0)
    assert (ground < 60).all() if dark else (ground > 240).all()
    assert colors(image) > 100
    words = image[20:90, 60:800]  # the title stands out from the ground
    assert np.abs(words - ground).max() > 150


# ---- tables


def table_scores(correlation: float, bias: float) -> xr.Dataset:
    from xrain.evaluation.strata import strata_names

    names = strata_names()
    full = {"correlation": correlation, "bias": bias, "rmse": 1.0, "n": 500.0}
    return xr.Dataset(
        {k: ("stratum", np.full(len(names), v)) for k, v in full.items()}, {"stratum": names}
    )


def test_the_best_of_a_row_is_marked_and_a_tie_is_not() -> None:
    scores = {"a": table_scores(0.8, -0.3), "b": table_scores(0.6, 0.1)}
    table = score_table(scores, "all", "")
    rows = {row[0]: row[1:] for row in table.rows}
    assert [c.css for c in rows["Correlation"]] == ["best", ""]
    assert [c.css for c in rows["Bias, mm/h"]] == ["", "best"]
    assert [c.css for c in rows["RMSE, mm/h"]] == ["", ""]
    assert rows["Bias, mm/h"][0].text == "−0.300"
    assert "AUC" not in rows


def test_only_a_sure_difference_is_marked() -> None:
    gap = table_scores(0.05, 0.0)[["correlation", "rmse"]]
    for name, bounds in (("correlation", (0.02, 0.08)), ("rmse", (-0.1, 2.0))):
        whole = np.repeat(np.array(bounds)[:, None], gap.sizes["stratum"], axis=1)
        gap[f"{name}_interval"] = (("bound", "stratum"), whole)
    rows = {r[0]: r[1] for r in difference_table({"b": gap}, "a", "all", "").rows}
    assert rows["Correlation"].css == "best"
    assert rows["Correlation"].small == "+0.020 to +0.080"
    assert rows["RMSE, mm/h"].css == ""


def test_a_lone_season_is_not_shown_twice() -> None:
    scores = table_scores(0.5, 0.0)
    empty = ~scores["stratum"].isin(["all", "ocean", "JJA", "latitude 0-20", "latitude 20-40"])
    scores["n"] = scores["n"].where(~empty, 0.0)
    assert used_strata(scores) == ["all", "ocean", "latitude 0-20", "latitude 20-40"]


def test_diagrams_of_nothing_are_refused() -> None:
    scores = {"a": table_scores(0.5, 0.0)}
    with pytest.raises(InputError, match="probability of precipitation to draw"):
        plot_reliability(scores)
    with pytest.raises(InputError, match="quantiles to draw"):
        plot_coverage(scores)


def test_without_the_packages_the_remedy_is_told(
    models: list[Model], granules: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Comparison("truth")
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(XrainError, match=r"extra 'evaluate': pip install 'jinja2>="):
        write_comparison(found, tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(XrainError, match=r"extra 'plot': pip install .*matplotlib>="):
        render_page(found)
