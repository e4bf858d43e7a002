"""Spell out acronyms: the first of each on a page, and all of them in a list.

``acronyms``
    The list, for the page of the reference.

A page that spells an acronym out itself is left as it is. Names of instruments come from the
sensor tables. A pointer shows the words; telephones and paper get them behind the acronym.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from xrain_pages import Written

from xrain.sensors import get_sensor, list_sensors

ACRONYMS = {
    "AUC": "area under the curve of the receiver operating characteristic",
    "BRAIN": "Bayesian Rain retrieval Algorithm Including Neural network",
    "CF": "Climate and Forecast conventions",
    "CORRA": "combined radar-radiometer algorithm of GPM",
    "CRPS": "continuous ranked probability score",
    "CSI": "critical success index",
    "DPR": "Dual-frequency Precipitation Radar",
    "ERA5": "fifth reanalysis of the European Centre for Medium-Range Weather Forecasts",
    "EUMETNET": "network of the European national meteorological services",
    "FAR": "false alarm ratio",
    "FSS": "fractions skill score",
    "GES DISC": "Goddard Earth Sciences Data and Information Services Center",
    "GPM": "Global Precipitation Measurement",
    "GPROF": "Goddard Profiling Algorithm",
    "H SAF": "facility of EUMETSAT for hydrology",
    "HSS": "Heidke skill score",
    "IMERG": "Integrated Multi-satellitE Retrievals for GPM",
    "MAE": "mean absolute error",
    "MRMS": "Multi-Radar Multi-Sensor system",
    "NEDT": "noise-equivalent difference of temperature",
    "NOAA": "National Oceanic and Atmospheric Administration",
    "ONNX": "Open Neural Network Exchange",
    "OPERA": "programme of EUMETNET for weather radars",
    "POD": "probability of detection",
    "RMSE": "root-mean-square error",
    "TRMM": "Tropical Rainfall Measuring Mission",
    "UTC": "Coordinated Universal Time",
}


def acronyms() -> dict[str, str]:
    """Acronyms and their words, instruments included."""
    sensors = [get_sensor(name) for name in list_sensors()]
    names = {name: s.long_name for s in sensors for name in {s.name, *written(s.aliases)}}
    return dict(sorted((ACRONYMS | names).items()))


def written(aliases: Iterable[str]) -> Iterator[str]:
    """Names such as SSM/I: aliases in capitals with a mark between."""
    return (alias for alias in aliases if alias.isupper() and re.search(r"[-/]", alias))


class Acronyms(Written):
    """The list of all."""

    def lines(self) -> Iterable[str]:
        for name, words in acronyms().items():
            yield from (name, f"   {words}")


class SpellOut(SphinxPostTransform):
    """Put the words of each acronym behind its first occurrence in running text."""

    default_priority = 900
    builders = ("html",)
    SKIPPED: ClassVar = (
        nodes.literal, nodes.literal_block, nodes.title, nodes.reference, nodes.math, nodes.term,
        nodes.raw, nodes.comment, nodes.image, nodes.FixedTextElement, nodes.abbreviation,
    )  # fmt: skip

    def run(self, **_: Any) -> None:
        if self.env.docname == "changelog" or self.env.docname.startswith("generated/"):
            return
        text = " ".join(self.document.astext().lower().split())
        left = {name: words for name, words in acronyms().items() if words.lower() not in text}
        if not left:
            return
        pattern = re.compile(r"(?<![\w.-])(" + "|".join(map(re.escape, left)) + r")(?![\w-])")
        for node in list(self._running_text()):
            self._replace(node, pattern, left)

    def _running_text(self) -> Iterator[nodes.Text]:
        for paragraph in self.document.findall(nodes.paragraph):
            for node in paragraph.findall(nodes.Text):
                if not self._skipped(node):
                    yield node

    def _skipped(self, node: nodes.Node) -> bool:
        while node is not None:
            if isinstance(node, self.SKIPPED):
                return True
            node = node.parent
        return False

    @staticmethod
    def _replace(node: nodes.Text, pattern: re.Pattern[str], left: dict[str, str]) -> None:
        """Replace what has not been met before in one piece of text."""
        parts = pattern.split(str(node))
        new: list[nodes.Node] = []
        for part in parts:
            words = left.pop(part, None)
            new.append(
                nodes.abbreviation(part, part, explanation=words) if words else nodes.Text(part)
            )
        if len(new) > 1:
            node.parent.replace(node, [n for n in new if n.astext()])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive and the transform."""
    app.add_directive("acronyms", Acronyms)
    app.add_post_transform(SpellOut)
    return {"version": "1", "parallel_read_safe": True}
