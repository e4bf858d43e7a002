"""The command that collocates an archive into training data."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrain.cli.cluster import Scheduler, cluster
from xrain.cli.console import echo, progress, say
from xrain.cli.follow import exit_status, tell_failure
from xrain.errors import InputError

if TYPE_CHECKING:
    from xrain.collocation.store import GranuleGroup

__all__ = ["collocate", "find_files"]

_PERIOD = "a year, a month, a day, or first/last. Repeatable"


def collocate(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Zarr store; created, or extended.")
    ],
    radiometer: Annotated[
        list[str] | None,
        typer.Option(help="L1C granules: a file or a quoted pattern. Repeatable."),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="2A, 2B or IMERG granules, rain files, or gridded rain: a file or a quoted "
            "pattern. Repeatable."
        ),
    ] = None,
    transects: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead of both: transects, pixels along the track of a radar with its rain: a "
            "file or a quoted pattern. Repeatable."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Scans and pixels of a patch. Default: 64.")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="Largest time difference in minutes. Default: 15.")
    ] = None,
    fraction: Annotated[
        float | None,
        typer.Option(help="Fraction of a footprint that the reference must cover. Default: 0.9."),
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Variable of the reference. Default: surface_precip.")
    ] = None,
    least: Annotated[
        int | None, typer.Option(help="Least number of matched pixels in a patch. Default: 32.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help=f"Days reserved for testing: {_PERIOD}.")
    ] = None,
    validation: Annotated[
        list[str] | None, typer.Option(help=f"Days reserved for validation: {_PERIOD}.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes. Default: one per core.")
    ] = None,
    scheduler: Scheduler = None,
) -> None:
    """Collocate radiometer granules with a reference into training data.

    Repeat the command to resume after an interruption, or to add granules. Options not given are
    taken from the store. If a granule cannot be used the others are still processed, and the exit
    status is 2. Of transects, every tenth block of ten overpasses is reserved for testing and the
    block before it for validation.
    """
    from xrain.collocation import Result, Split
    from xrain.collocation import collocate as run

    given: dict[str, Any] = {
        "size": size, "window": window, "fraction": fraction, "variable": variable, "least": least
    }  # fmt: skip
    given = {k: v for k, v in given.items() if v is not None}
    if transects:
        others = {**given, "radiometer": radiometer, "reference": reference, "test": test,
                  "validation": validation, "workers": workers, "scheduler": scheduler}  # fmt: skip
        _collocate_transects(transects, output, others)
        return
    if not (radiometer and reference):
        raise InputError("give --radiometer and --reference, or --transects")
    if test or validation:
        given["split"] = Split(tuple(test or ()), tuple(validation or ()))
    ours, theirs = find_files(radiometer), find_files(reference)
    failures: list[Exception] = []
    with cluster(scheduler) as client, progress(len(ours)) as bar:
        task = bar.add_task("collocating", total=len(ours))

        def tell(result: Result) -> None:
            if result.error is not None:
                tell_failure(result.source, result.error)
                failures.append(result.error)
            bar.advance(task)

        groups = run(ours, theirs, output, given, workers=workers, client=client, tell=tell)
    for line in _table(groups):
        echo(line)
    if alone := sum(not p.patches for p in groups):
        say(f"{alone} granules have too few matched pixels with any reference")
    if failures:
        say(f"{len(failures)} files could not be used")
        raise typer.Exit(exit_status(failures))


def _collocate_transects(patterns: Sequence[str], output: Path, others: dict[str, Any]) -> None:
    from xrain.collocation import collocate_transects

    size = others.pop("size", None)
    if useless := [f"--{name}" for name, value in others.items() if value]:
        raise InputError(f"with --transects there is no use for {', '.join(useless)}")
    options = {} if size is None else {"size": size}
    for line in _table(collocate_transects(find_files(patterns), output, **options)):
        echo(line)


def find_files(patterns: Sequence[str]) -> list[str]:
    """Expand file patterns; InputError names those without a match."""
    found: dict[str, None] = {}
    empty = []
    for pattern in patterns:
        names = sorted(glob.glob(pattern, recursive=True)) or (
            [pattern] if Path(pattern).is_file() else []
        )
        empty += [] if names else [pattern]
        found |= dict.fromkeys(names)
    if empty:
        raise InputError(f"no file matches {', '.join(empty)}")
    return list(found)


def _table(groups: Sequence[GranuleGroup]) -> list[str]:
    """Count granules, patches and pixels by purpose."""
    from xrain.collocation.store import SPLITS

    lines = []
    for split in SPLITS:
        own = [p for p in groups if p.split == split]
        sums = {k: sum(p.attrs[k] for p in own) for k in ("matched_pixels", "raining_pixels")}
        lines.append(
            f"{split}: {sum(p.patches > 0 for p in own)} granules, "
            f"{sum(p.patches for p in own)} patches, {sums['matched_pixels']} matched pixels, "
            f"{sums['raining_pixels']} with rain"
        )
    return lines
