"""What the pages print: their blocks of code, in order, and the commands in them."""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"

_BLOCK = re.compile(
    r"^\.\. code-block:: (console|python)\n(?: +:.*\n)*\n((?: {3,}.*\n|\n)+)", re.MULTILINE
)

_SETTING = re.compile(r"^(?:[A-Z_]+=\S+ )+")


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    kind: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command of xrain, after ``xrain``."""
        if self.kind != "console":
            return []
        joined = re.sub(r" \\\n\s*(?:> )?", " ", self.text)
        lines = [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
        split = [shlex.split(_SETTING.sub("", line), comments=True) for line in lines]
        return [words[1:] for words in split if words and words[0] == "xrain"]

    @property
    def imports(self) -> str:
        """The import statements of a block of Python."""
        tree = ast.parse(self.text)
        found = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
        return "\n".join(map(ast.unparse, found))


def blocks_of(page: str) -> list[Block]:
    """Blocks of a page, such as ``howto/points``, in order."""
    text = (DOCS / f"{page}.rst").read_text("utf-8")
    return [Block(kind, textwrap.dedent(body).strip()) for kind, body in _BLOCK.findall(text)]


def pages() -> Iterator[str]:
    """Pages whose code has to run: tutorial, how-to and the page on installing."""
    for path in sorted([*DOCS.glob("tutorial/*.rst"), *DOCS.glob("howto/*.rst")]):
        yield path.relative_to(DOCS).with_suffix("").as_posix()
    yield "install"
