"""Keep of a comparison's scores.json what the documentation shows.

python tools/keep_comparison.py comparison/scores.json docs/explanation/comparison.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

STRATA = ("all", "ocean", "land")


def main(source: Path, target: Path) -> None:
    """Leave out diagrams, strata that no table shows, and folders of models."""
    found = json.loads(source.read_text(encoding="utf-8"))
    kept = {k: found[k] for k in ("reference", "notes", "granules")}
    kept["estimates"] = {
        name: {
            **{k: v for k, v in one.items() if k not in ("scores", "diagrams")},
            "scores": {s: one["scores"][s] for s in STRATA},
        }
        for name, one in found["estimates"].items()
    }
    target.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
