"""List the versions of the documentation that a site holds, for the switcher of its pages.

    python tools/list_docs_versions.py SITE https://example.org/xrain

``SITE`` holds one folder of html for each version, named after it, and writes ``versions.json``
beside them. The pages are built with ``XRAIN_DOCS_VERSIONS`` set to the address of that file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from packaging.version import InvalidVersion, Version


def key(name: str) -> tuple[bool, Version]:
    """Order versions by number; names that are none, such as latest, come last."""
    try:
        return False, Version(name)
    except InvalidVersion:
        return True, Version("0")


def entries(site: Path, address: str) -> list[dict[str, object]]:
    """Versions from the newest on; the newest release is the preferred one."""
    names = sorted((p.parent.name for p in site.glob("*/index.html")), key=key, reverse=True)
    releases = [n for n in names if not key(n)[0] and not key(n)[1].is_prerelease]
    preferred = releases[0] if releases else None
    return [
        {"name": name, "version": name, "url": f"{address.rstrip('/')}/{name}/"}
        | ({"preferred": True} if name == preferred else {})
        for name in names
    ]


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("address")
    args = parser.parse_args()
    text = json.dumps(entries(args.site, args.address), indent=1)
    (args.site / "versions.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
