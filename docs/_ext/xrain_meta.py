"""Tell search engines and previews what a page is about, in its own first words."""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LONGEST = 200


def describe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add a description and Open Graph tags from the title and the first paragraph."""
    if doctree is None:
        return
    first = next(iter(doctree.findall(nodes.paragraph)), None)
    words = " ".join(first.astext().split())[:LONGEST] if first else str(app.config.project)
    title = nodes.Text(context.get("title", "")).astext()
    tags = {
        "og:title": title,
        "og:type": "website",
        "og:site_name": str(app.config.project),
        "og:description": words,
    }
    lines = [f'<meta property="{k}" content="{escape(v)}" />' for k, v in tags.items()]
    lines.append(f'<meta name="description" content="{escape(words)}" />')
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Run it for every page."""
    app.connect("html-page-context", describe)
    return {"version": "1", "parallel_read_safe": True}
