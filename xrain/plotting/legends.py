"""Colour bars, and the key to dry and unseen pixels."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from xrain.plotting.style import DRY_COLOR, RAIN_EDGES, UNSEEN_COLOR, Style


def draw_legends(figure: Any, axes: list[Any], drawn: list[Any], styles: list[Style]) -> None:
    """Draw one colour bar for all maps of one style, and the key to dry and unseen."""
    groups: dict[int, list[int]] = {}
    for i, style in enumerate(styles):
        groups.setdefault(id(style), []).append(i)
    for members in groups.values():
        style = styles[members[0]]
        own = [axes[i] for i in members]
        bar = figure.colorbar(
            drawn[members[0]], ax=own, extend=style.extend, shrink=0.95, pad=0.02, aspect=28,
            location="right" if len(axes) == 1 or len(members) > 1 else "bottom",
        )  # fmt: skip
        bar.set_label(textwrap.fill(style.label, _letters_beside(bar, own)), fontsize=9)
        if style.ticks is not None:
            bar.set_ticks(style.ticks, labels=style.tick_labels)
        bar.ax.tick_params(labelsize=8)
        if style.dry:
            _dry_key(axes[members[0]])


def _letters_beside(bar: Any, own: Sequence[Any]) -> int:
    """Count the letters that fit along a colour bar."""
    figure, place = own[0].figure, own[0].get_subplotspec()
    columns = place.get_gridspec().ncols if place is not None else 1
    across = bar.orientation == "horizontal"
    length = figure.get_figwidth() / columns if across else figure.get_figheight()
    return max(int(11.5 * length), 20)


def _dry_key(axes: Any) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=DRY_COLOR, edgecolor="0.4", label=f"dry (< {RAIN_EDGES[0]:g} mm/h)"),
        Patch(facecolor=UNSEEN_COLOR, edgecolor="0.4", label="not observed"),
    ]
    axes.legend(handles=handles, loc="lower left", fontsize=7, framealpha=0.9).set_zorder(6)
