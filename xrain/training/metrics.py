"""What a training run tells of itself while it learns: lines of JSON, CSV, TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from xrain.errors import OutputError
from xrain.extras import require
from xrain.training.checkpoint import append_line

__all__ = ["Metrics"]

COLUMNS: Final = ("step", "of", "seconds", "loss", "held_out", "learning_rate")
"""Columns of the table; what a line does not have is left empty."""

_NAMES: Final = {
    "loss": "loss/training", "held_out": "loss/validation", "learning_rate": "learning_rate",
}  # fmt: skip


class Metrics:
    """Logs of a run.

    Parameters
    ----------
    folder : Path
        Of the run: ``log.jsonl``, ``metrics.csv`` and, if asked for, ``tensorboard`` in it.
    tensorboard : bool
        Whether to write for TensorBoard too.

    Raises
    ------
    MissingPackageError
        If it is asked for and not installed.
    """

    def __init__(self, folder: Path, tensorboard: bool = False) -> None:
        self.folder = folder
        self._board: Any = None
        if tensorboard:
            require("tensorboard", "tensorboard", "metrics for TensorBoard")
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, facts: Mapping[str, Any]) -> None:
        """Add what is known at a step.

        Parameters
        ----------
        facts : mapping
            ``step``, and numbers by name.

        Raises
        ------
        OutputError
            If a log cannot be written.
        """
        append_line(self.folder / "log.jsonl", facts)
        self._add_row(facts)
        if self._board is not None:
            for key, name in _NAMES.items():
                if key in facts:
                    self._board.add_scalar(name, facts[key], facts["step"])
            self._board.flush()

    def _add_row(self, facts: Mapping[str, Any]) -> None:
        path = self.folder / "metrics.csv"
        text = io.StringIO()
        rows = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
        if not path.exists():
            rows.writeheader()
        rows.writerow(facts)
        try:
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(text.getvalue())
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
