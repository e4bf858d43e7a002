"""Short descriptions of objects, for terminals and notebooks.

Names and texts come from files and cards of others too: a terminal must not obey them, nor a
notebook run them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

__all__ = ["as_html", "as_text", "listed", "plain"]

_DIRECTIONS: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of what is shown."""

WIDTH: Final = 96
"""Characters of a line, the rest of it is left out."""


def plain(text: object) -> str:
    r"""Replace what a terminal would obey by what can be read, such as ``\x1b`` for escape.

    Parameters
    ----------
    text : object
        Anything.

    Returns
    -------
    str

    Examples
    --------
    >>> print(plain("red: \x1b[31m"))
    red: \x1b[31m
    """
    return "".join(map(_shown, str(text)))


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    obeyed = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    if obeyed or character in _DIRECTIONS:
        return character.encode("unicode_escape").decode()
    return character


def listed(names: Iterable[object], most: int = 13) -> str:
    """Join names, with how many more there are.

    Parameters
    ----------
    names : iterable
        The names.
    most : int
        How many to show.

    Returns
    -------
    str

    Examples
    --------
    >>> listed("abcd", 2)
    'a, b and 2 more'
    """
    texts = [str(n) for n in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def as_text(title: str, facts: Mapping[str, str]) -> str:
    """Write a title and facts for a terminal, a line each.

    Parameters
    ----------
    title : str
        What it is.
    facts : mapping of str to str
        What one needs to know of it; empty ones are left out.

    Returns
    -------
    str
    """
    known = {k: v for k, v in facts.items() if v}
    width = max(map(len, known), default=0)
    lines = [title, *(f"  {k:<{width}}  {v}" for k, v in known.items())]
    return "\n".join(_cut(plain(line).replace("\n", " ")) for line in lines)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def as_html(title: str, facts: Mapping[str, str]) -> str:
    """Write a title and facts for a notebook, as a table.

    Parameters
    ----------
    title : str
        What it is.
    facts : mapping of str to str
        What one needs to know of it; empty ones are left out.

    Returns
    -------
    str
        HTML in which all text is escaped.
    """
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(plain(k))}</th>'
        f'<td style="text-align:left">{escape(plain(v))}</td></tr>'
        for k, v in facts.items()
        if v
    )
    return f"<div><b>{escape(plain(title))}</b><table>{rows}</table></div>"
