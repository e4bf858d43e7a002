"""The command that makes training data of an archive."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrain.cli.console import progress, say
from xrain.cli.granules import tell_failure
from xrain.errors import InputError, XrainError

if TYPE_CHECKING:
    from xrain.training.store import Piece

__all__ = ["collocate", "find_files"]

_PERIOD = "a year, a month, a day, or first/last; may be repeated"


def collocate(
    radiometer: Annotated[
        list[str],
        typer.Option(help="L1C granules: a file or a quoted pattern; may be repeated."),
    ],
    reference: Annotated[
        list[str],
        typer.Option(
            help="2A, 2B or IMERG granules, rain files, or rain on a grid: a file or a quoted "
            "pattern; may be repeated."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Store; made, or added to.")],
    size: Annotated[
        int | None, typer.Option(help="Scans and pixels of a patch; 64 by default.")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="Longest time between the two in minutes; 15 by default.")
    ] = None,
    fraction: Annotated[
        float | None,
        typer.Option(help="Share of a footprint that must be covered; 0.8 by default."),
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Rate to take; surface_precip by default.")
    ] = None,
    least: Annotated[
        int | None, typer.Option(help="Matched pixels that a patch needs; 32 by default.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help=f"Days held out for the test: {_PERIOD}.")
    ] = None,
    validation: Annotated[
        list[str] | None, typer.Option(help=f"Days held out for validation: {_PERIOD}.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one per core.")
    ] = None,
) -> None:
    """Make training data where a radiometer and a reference saw the same rain.

    Repeat the command to go on after an interruption, or to add granules. Settings that are not
    given are those of the store. A granule that cannot be used does not stop the others; the exit
    status is then 2.
    """
    from xrain.collocation import Result, Split
    from xrain.collocation import collocate as run

    given: dict[str, Any] = {
        "size": size, "window": window, "fraction": fraction, "variable": variable, "least": least
    }  # fmt: skip
    given = {k: v for k, v in given.items() if v is not None}
    if test or validation:
        given["split"] = Split(tuple(test or ()), tuple(validation or ()))
    ours, theirs = find_files(radiometer), find_files(reference)
    failures: list[Exception] = []
    with progress(len(ours)) as bar:
        task = bar.add_task("collocating", total=len(ours))

        def tell(result: Result) -> None:
            if result.error is not None:
                tell_failure(result.source, result.error)
                failures.append(result.error)
            bar.advance(task)

        pieces = run(ours, theirs, output, given, workers=workers, tell=tell)
    for line in _table(pieces):
        typer.echo(line)
    if alone := sum(not p.patches for p in pieces):
        say(f"{alone} granules share too few pixels with a reference that has values there")
    if failures:
        say(f"{len(failures)} files could not be used")
        raise typer.Exit(2 if all(isinstance(e, XrainError) for e in failures) else 1)


def find_files(patterns: Sequence[str]) -> list[str]:
    """Find the files that patterns mean; InputError names those that mean none."""
    found: dict[str, None] = {}
    empty = []
    for pattern in patterns:
        names = sorted(glob.glob(pattern, recursive=True)) or (
            [pattern] if Path(pattern).is_file() else []
        )
        empty += [] if names else [pattern]
        found |= dict.fromkeys(names)
    if empty:
        raise InputError(f"no file is called {', '.join(empty)}")
    return list(found)


def _table(pieces: Sequence[Piece]) -> list[str]:
    """Count granules, patches and pixels by purpose."""
    from xrain.training.store import SPLITS

    lines = []
    for split in SPLITS:
        own = [p for p in pieces if p.split == split]
        sums = {k: sum(p.facts[k] for p in own) for k in ("matched_pixels", "raining_pixels")}
        lines.append(
            f"{split}: {sum(p.patches > 0 for p in own)} granules, "
            f"{sum(p.patches for p in own)} patches, {sums['matched_pixels']} matched pixels, "
            f"{sums['raining_pixels']} with rain"
        )
    return lines
