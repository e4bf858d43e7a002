"""Make the picture of the packaged demo granule for the landing page: truth beside retrieval.

    python tools/make_picture.py docs/_static/rain.png

To be run again whenever the granule or the default weights change.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from xrain.demo import run_demo


def main(path: str) -> None:
    """Run the demonstration and keep its picture."""
    with tempfile.TemporaryDirectory() as folder:
        print(*run_demo(folder), sep="\n")
        shutil.copy(Path(folder, "rain.png"), path)


if __name__ == "__main__":
    main(sys.argv[1])
