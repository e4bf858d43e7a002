"""Make the granule of the demonstration and its truth, which ship with the package.

Run it again when the simulator has changed: ``python tools/make_demo.py``.
"""

from __future__ import annotations

from xrain.demo import demo_granule, make_demo_granule

LIMIT = 3e6
"""Bytes that granule and truth may take together in the package."""


def main() -> None:
    """Simulate, write, and say how large the files are."""
    path = make_demo_granule(demo_granule())
    size = sum(f.stat().st_size for f in path.parent.glob(f"{path.stem}.*"))
    print(f"{path} and its truth: {size / 1e6:.2f} MB")
    if size > LIMIT:
        raise SystemExit(f"more than {LIMIT / 1e6:.0f} MB: simulate fewer scans")


if __name__ == "__main__":
    main()
