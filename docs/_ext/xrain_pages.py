"""Directives that write reference pages from the package itself, at build time.

``sensors-overview``, ``sensor-channels``
    Tables of the instruments, from the TOML files.
``products-fields``
    Tables of the fields that are read of rain products.
``models-overview``
    Table of the published models, from their cards.
``scores-overview``, ``strata-overview``
    Tables of the scores of a comparison and of what they are told apart by.
``comparison-tables``
    Scores of a stored comparison, from the file that ``tools/keep_comparison.py`` writes.
``rehearsal-table``
    What a rehearsal of the training on an archive gained, from the report of ``tools/rehearse.py``.
``phase-tables``
    Skill in telling rain from snow, from the file that ``tools/measure_phase.py`` writes.
``cli-reference``
    Every command with its arguments and options, from the command line's own definitions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from xrain.sensors import Channel, Sensor, get_sensor, list_sensors

if TYPE_CHECKING:
    from xrain.models.card import ModelCard


class Written(SphinxDirective):
    """A directive that is replaced by lines of reStructuredText."""

    def lines(self) -> Iterable[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        self.state_machine.insert_input([*self.lines(), ""], f"<{self.name}>")
        return []


def list_table(head: Sequence[str], rows: Iterable[Sequence[str]], widths: str) -> Iterator[str]:
    """Write a list-table."""
    yield from ("", ".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", "")
    for row in (head, *rows):
        for i, cell in enumerate(row):
            yield f"   {'* -' if i == 0 else '  -'} {cell}"
    yield ""


def literal(text: str) -> str:
    return f"``{text}``"


class SensorsOverview(Written):
    """One line for each instrument."""

    def lines(self) -> Iterable[str]:
        head = ("Sensor", "Name", "Scan", "Channels", "Grid", "Satellites (name in the file)")
        rows = [self._row(get_sensor(name)) for name in list_sensors()]
        return list_table(head, rows, "10 26 12 8 14 30")

    @staticmethod
    def _row(sensor: Sensor) -> tuple[str, ...]:
        group = sensor.swath(sensor.reference_swath)
        on = ", ".join(sensor.platforms)
        grid = f"{group.name}, {group.pixels} pixels"
        return (
            f":ref:`{sensor.name} <sensor-{sensor.name.lower()}>`",
            sensor.long_name,
            sensor.scan_type,
            str(len(sensor.channels)),
            grid,
            on,
        )


class SensorChannels(Written):
    """A section with the channel table and its sources for each instrument."""

    def lines(self) -> Iterator[str]:
        for name in list_sensors():
            yield from self._section(get_sensor(name))

    def _section(self, sensor: Sensor) -> Iterator[str]:
        title = f"{sensor.name} – {sensor.long_name}"
        yield from ("", f".. _sensor-{sensor.name.lower()}:", "", title, "-" * len(title), "")
        yield f"{sensor.scan_type.capitalize()} scan from {sensor.altitude:g} km."
        if sensor.assumed:
            yield from ("", f"No source tells: {', '.join(sensor.assumed).replace('_', ' ')}.")
        head = ("Channel", "Centre GHz", "± GHz", "Pol.", "Band MHz", "Footprint km", "NEDT K",
                "Angle °", "Group")  # fmt: skip
        yield from list_table(head, map(self._row, sensor.channels), "18 10 12 8 10 14 8 8 8")
        yield from self._degraded(sensor)
        yield from self._measured(sensor)
        yield from ("", ".. rubric:: Sources of the numbers", "")
        for source in sensor.sources:
            yield f"* {source}"
        yield ""

    @staticmethod
    def _row(channel: Channel) -> tuple[str, ...]:
        offsets = ", ".join(f"{x:g}" for x in channel.sideband_offsets) or "–"
        along, across = channel.footprint

        def star(quantity: str) -> str:
            return " (assumed)" if quantity in channel.assumed else ""

        return (
            literal(channel.name),
            f"{channel.frequency:g}",
            offsets,
            channel.polarization + star("polarization"),
            f"{channel.bandwidth:g}" + star("bandwidth"),
            f"{along:g} × {across:g}" + star("footprint"),
            f"{channel.nedt:g}" + star("nedt"),
            f"{channel.incidence_angle:g}" + star("incidence_angle"),
            channel.swath,
        )

    SHOWN = (
        ("Mean, model / reference", "rain_ratio"),
        ("Correlation", "correlation"),
        ("HSS of the flag", "hss_flag"),
        ("Brier score", "brier"),
        ("AUC", "auc"),
    )

    @classmethod
    def _measured(cls, sensor: Sensor) -> Iterator[str]:
        """Scores of real pixels that the card of its network tells, each pixel by itself."""
        from xrain.models.store import list_models, load_card

        name = f"{sensor.name.lower()}-unet"
        found = load_card(name).scores.get("kept_apart", {}) if name in list_models() else {}
        rows = []
        for kind in found.values():
            facts = kind["facts"]
            for estimate in (e for e in ("table", "swath", "boosting") if e in kind):
                scores = kind[estimate]["all"]
                row = (f"{scores[s]:.3f}" if s in scores else "–" for _, s in cls.SHOWN)
                rows.append((f"{literal(facts['data'])}, {facts['seen_as']}", estimate, *row))
        if rows:
            yield from ("", f".. rubric:: Real pixels that {name} never saw", "")
            head = ("Data", "Estimate", *(title for title, _ in cls.SHOWN))
            yield from list_table(head, rows, "34 12 12 12 12 10 8")

    @staticmethod
    def _degraded(sensor: Sensor) -> Iterator[str]:
        if sensor.degraded:
            yield from ("", "Known to be bad:", "")
        for item in sensor.degraded:
            names = ", ".join(literal(name) for name in item.channels)
            yield f"* {item.platform}, {names}, since {item.since}: {item.note}"


class ProductsFields(Written):
    """A section with the fields of each rain product."""

    def lines(self) -> Iterator[str]:
        from xrain.conventions import ATTRIBUTES
        from xrain.io.reference_layout import PRODUCTS

        for product in PRODUCTS:
            groups = ", ".join(map(literal, product.groups))
            yield from ("", product.name, "-" * len(product.name), "", f"Groups: {groups}.")
            rows = []
            for field in product.fields:
                about = ATTRIBUTES[field.name] | dict(field.attrs)
                said = "; ".join(str(about[k]) for k in ("long_name", "comment") if k in about)
                unit = about.get("units", "1")
                said += f" ({unit})" if unit != "1" else ""
                paths = " or ".join(map(literal, field.paths))
                rows.append((literal(field.name), paths, said))
            yield from list_table(("Variable", "Field", "What it is"), rows, "25 28 47")


class ModelsOverview(Written):
    """One line for each published model."""

    def lines(self) -> Iterable[str]:
        from xrain.models.store import list_models, load_card

        cards = [load_card(name) for name in list_models()]
        rows = [self._row(card) for card in cards]
        if not rows:
            return ["*None in this version.*"]
        head = ("Model", "Sensor", "Judged on", "Total / true", "Correlation", "HSS", "POD ≥ 10")
        return list_table(head, rows, "24 12 20 11 11 11 11")

    @classmethod
    def _row(cls, card: ModelCard) -> tuple[str, ...]:
        data, scores = cls._judged(card)
        values = (scores.get(k) for k in ("rain_ratio", "correlation", "hss_flag", "pod_10"))
        told = ("–" if value is None else f"{value:.2f}" for value in values)
        return (literal(f"{card.name}@{card.version}"), card.sensor or "any", data, *told)

    @staticmethod
    def _judged(card: ModelCard) -> tuple[str, dict[str, Any]]:
        """Name the best real data that a card has scores of, and the scores on all surfaces."""
        for data in ("transects", "translated"):
            group = card.scores.get("kept_apart", {}).get(data, {})
            for estimate in ("table", "swath"):
                if scores := group.get(estimate, {}).get("all"):
                    words = "with neighbours" if estimate == "swath" else "each pixel alone"
                    return f"{data}, {words}", scores
        return "no real pixels", {}


class ScoresOverview(Written):
    """One line for each score."""

    def lines(self) -> Iterable[str]:
        from xrain.evaluation.scores import SCORE_NAMES

        rows = [(literal(n), text, unit) for n, (text, unit) in SCORE_NAMES.items()]
        return list_table(("Variable", "What it is", "Unit"), rows, "25 60 15")


class StrataOverview(Written):
    """One line for each kind of stratum."""

    def lines(self) -> Iterable[str]:
        from xrain.evaluation.strata import STRATA, strata_names, stratum_label

        names, rows = iter(strata_names()), []
        for kind, members in STRATA.items():
            labels = [next(names) for _ in members]
            said = ", ".join(f"{literal(n)} ({stratum_label(n)})" for n in labels)
            rows.append((kind, said))
        return list_table(("By", "Strata"), rows, "15 85")


class ComparisonTables(Written):
    """One table for each surface of a stored comparison; a sentence where none is stored."""

    required_arguments = 1

    SHOWN = (
        ("Correlation", "correlation", ".3f"),
        ("Bias, share", "relative_bias", "+.1%"),
        ("MAE, mm/h", "mae", ".3f"),
        ("RMSE, mm/h", "rmse", ".3f"),
        ("POD", "pod_flag", ".3f"),
        ("FAR", "far_flag", ".3f"),
        ("CSI", "csi_flag", ".3f"),
        ("HSS", "hss_flag", ".3f"),
        ("AUC", "auc", ".3f"),
        ("CRPS, mm/h", "crps", ".3f"),
        ("Effective resolution, km", "effective_resolution", ".0f"),
    )

    def lines(self) -> Iterable[str]:
        path = Path(self.env.srcdir, Path(self.env.docname).parent, self.arguments[0])
        self.env.note_dependency(str(path))
        if not path.is_file():
            yield "*No comparison is stored with this version.*"
            return
        kept = json.loads(path.read_text(encoding="utf-8"))
        first = next(iter(kept["estimates"].values()))["scores"]
        count = len(kept["granules"])
        yield f"{count} granules against {kept['reference']}; in brackets, 95 % intervals."
        for note in kept["notes"]:
            yield from ("", f"* {plain(note)}")
        for stratum in ("all", "ocean", "land"):
            count = int(first[stratum]["n"] or 0)
            yield from ("", f".. rubric:: {stratum.capitalize()}, {count:,} pixels")
            head = ("Score", *(literal(n) for n in kept["estimates"]))
            rows = [
                (
                    title,
                    *(self.cell(e["scores"][stratum], s, form) for e in kept["estimates"].values()),
                )
                for title, s, form in self.SHOWN
            ]
            yield from list_table(head, rows, " ".join(["25"] * len(head)))

    @staticmethod
    def cell(scores: dict[str, Any], name: str, form: str) -> str:
        if scores.get(name) is None:
            return "–"
        low, high = scores.get(f"{name}_interval") or (None, None)
        span = "" if low is None or high is None else f" [{low:{form}}, {high:{form}}]"
        return f"{scores[name]:{form}}{span}".replace("-", "−")


class RehearsalTable(Written):
    """Scores of a stored rehearsal by radiometer; a sentence where none is stored."""

    required_arguments = 1

    NAMES: ClassVar[dict[str, str]] = {
        "shipped": "shipped weights",
        "radar": "learned from the radar's swath",
        "shared": "the weights that GMI learned from the radar",
        "teacher": "learned from GMI's retrieval",
        "aligned": "learned from aligned simulations, no radar anywhere",
        "both": "learned from GMI's retrieval and aligned simulations",
        "ceiling": "reference run: trained on the truth of every swath",
    }

    def lines(self) -> Iterable[str]:
        path = Path(self.env.srcdir, Path(self.env.docname).parent, self.arguments[0])
        self.env.note_dependency(str(path))
        if not path.is_file():
            yield "*No rehearsal is stored with this version.*"
            return
        report = json.loads(path.read_text(encoding="utf-8"))
        yield f"Begun from {literal(report['weights'])}; {report['orbits']} orbits with a radar."
        head = ("Weights", "Correlation", "RMSE, mm/h", "1 − r²", "Closed, 1 − r²", "Closed, RMSE")
        for sensor, scores in report["scores"].items():
            yield from ("", f".. rubric:: {get_sensor(sensor).name}")
            rows = [self._row(name, s, report["closed"][sensor]) for name, s in scores.items()]
            yield from list_table(head, rows, "40 12 12 12 12 12")

    def _row(self, name: str, scores: dict[str, float], closed: dict[str, Any]) -> tuple[str, ...]:
        shares = [closed.get(name, {}).get(k) for k in ("unexplained", "rmse")]
        return (
            self.NAMES[name],
            *(f"{scores[k]:.3f}" for k in ("correlation", "rmse", "unexplained")),
            *("" if x is None else f"{x:.0%}".replace("-", "−") for x in shares),
        )


class PhaseTables(Written):
    """Skill of the network that tells rain from snow, beside that of boosting."""

    required_arguments = 1
    SCORES: ClassVar = {
        "right": "three classes right",
        "snow_hss": "snow against all else, HSS",
        "given": "rain or snow right, where there is one",
        "snow_found": "snow that is the likeliest class",
    }
    TABLES: ClassVar = {
        "gmi_dpr_phase": "the DPR, at whose word it is taken",
        "gmi_cpr_phase": "CloudSat",
        "gmi_era5_phase": "ERA5, not learned from",
    }

    def lines(self) -> Iterator[str]:
        page = Path(self.env.doc2path(self.env.docname)).parent
        found = json.loads((page / self.arguments[0]).read_text("utf-8"))
        for table, words in self.TABLES.items():
            yield from self._table(found["phases"][table], words)
        yield from self._snow(found["snow"])
        yield from self._sensors(found["sensors"])

    def _table(self, part: dict[str, Any], words: str) -> Iterator[str]:
        yield from ("", f".. rubric:: Matched with {words}", "")
        kinds = [(air, who) for air in ("alone", "with air") for who in ("network", "boosting")]
        head = ("", *(f"{who}, {self._named(air)}" for air, who in kinds))
        rows = [
            (text, *(self._score(part[air][who][name]) for air, who in kinds))
            for name, text in self.SCORES.items()
        ]
        yield from list_table(head, rows, "28 18 18 18 18")
        rule = part["rule"]
        yield (
            f"Snow below {rule['below']:g} K at 2 m, the best such rule here, is right in "
            f"{rule['right']:.3f} where there is precipitation."
        )

    def _snow(self, part: dict[str, Any]) -> Iterator[str]:
        yield from (
            "",
            ".. rubric:: Snowfall of CloudSat: rates, and how much is detected",
            "",
        )
        head = ("", "alone", "with ancillary fields")
        airs = ("alone", "with air")
        rows = [
            ("correlation of logarithms, network", *(self._score(part[a]["network"]["log_r"])
                                                     for a in airs)),
            ("the same, boosting", *(self._score(part[a]["boosting"]["log_r"]) for a in airs)),
            ("total of the rates over CloudSat's", *(f"{part[a]['total']:.2f}" for a in airs)),
        ]  # fmt: skip
        for level in part["alone"]["flagged"]:
            cells = (part[a]["flagged"][level] for a in airs)
            text = f"detected at {level} (dry pixels below 274 K)"
            rows.append((text, *(f"{hit:.0%} ({false:.0%})" for hit, false in cells)))
        yield from list_table(head, rows, "46 27 27")

    def _sensors(self, part: dict[str, Any]) -> Iterator[str]:
        yield from ("", ".. rubric:: GMI's channels nearest to those of others, DPR", "")
        head = ("Channels of", "number", "three classes right", "boosting", "snow, HSS", "boosting",
                "rain or snow right", "boosting", "with ancillary fields")  # fmt: skip
        rows = []
        for sensor, one in part.items():
            pairs = [
                f"{one[who][name][0]:.3f}"
                for name in ("right", "snow_hss", "given") for who in ("alone", "boosting")
            ]  # fmt: skip
            air = one["with air"]["given"][0]
            rows.append((sensor, str(one["channels"]), *pairs, f"{air:.3f}"))
        yield from list_table(head, rows, "14 8 12 12 10 10 12 10 12")

    @staticmethod
    def _named(air: str) -> str:
        return "alone" if air == "alone" else "with ancillary fields"

    @staticmethod
    def _score(values: Sequence[float]) -> str:
        value, low, high = values
        return f"{value:.3f} ({low:.3f}–{high:.3f})"


class CommandLine(Written):
    """Every command, from the definitions that the command line itself uses."""

    def lines(self) -> Iterator[str]:
        import click
        from typer.main import get_command

        from xrain.cli import app

        context = click.Context(get_command(app), info_name="xrain")
        yield from self._command(context, top=True)

    def _command(self, context: Any, *, top: bool = False) -> Iterator[str]:
        command = context.command
        if not top:
            title = context.command_path
            yield from ("", title, "-" * len(title), "")
        yield from (plain(command.help or command.short_help or ""), "")
        pieces = " ".join(command.collect_usage_pieces(context))
        pieces = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), pieces)
        yield from ("", ".. code-block:: text", "", f"   {context.command_path} {pieces}", "")
        yield from self._parameters(command)
        for name in getattr(command, "commands", {}):
            child = command.commands[name]
            if not child.hidden:
                yield from self._command(type(context)(child, info_name=name, parent=context))

    @staticmethod
    def _parameters(command: Any) -> Iterator[str]:
        rows = []
        for item in command.params:
            if getattr(item, "hidden", False) or item.name == "help":
                continue
            is_option = item.param_type_name == "option"
            names = ", ".join(map(literal, [*item.opts, *item.secondary_opts]))
            name = names if is_option else literal((item.metavar or item.name).upper())
            text = plain(getattr(item, "help", None) or "")
            rows.append((name, f"{text}{remark(item)}" if is_option else text))
        if rows:
            yield from list_table(("Argument or option", "Meaning"), rows, "35 65")


def remark(option: Any) -> str:
    """Say whether an option must be given, or what it is by default."""
    if option.required:
        return " *Required.*"
    if option.is_flag or option.default in (None, "", (), []) or callable(option.default):
        return ""
    return f" Default: {literal(str(option.default))}."


def plain(text: str) -> str:
    """Help text without the markup of the terminal, on one line for each paragraph."""
    text = re.sub(r"\[/?[a-z ]+\]", "", text).replace("\b", "")
    return re.sub(r"[ \t]*\n[ \t]*", " ", text.strip()).replace("*", r"\*")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("sensors-overview", SensorsOverview)
    app.add_directive("sensor-channels", SensorChannels)
    app.add_directive("products-fields", ProductsFields)
    app.add_directive("models-overview", ModelsOverview)
    app.add_directive("scores-overview", ScoresOverview)
    app.add_directive("strata-overview", StrataOverview)
    app.add_directive("comparison-tables", ComparisonTables)
    app.add_directive("rehearsal-table", RehearsalTable)
    app.add_directive("phase-tables", PhaseTables)
    app.add_directive("cli-reference", CommandLine)
    return {"version": "1", "parallel_read_safe": True}
