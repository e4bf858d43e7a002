"""The commands that retrieve rain: from an archive, and from granules as they arrive."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrain.cli.cluster import Scheduler, cluster
from xrain.cli.console import echo, say, say_plainly
from xrain.cli.follow import Follower, details, exit_status, tell_failure, write_report
from xrain.cli.options import Device, Model
from xrain.errors import InputError

if TYPE_CHECKING:
    from xrain.retrieval.batch import Outcome

__all__ = ["retrieve", "watch"]

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the results; created if needed.")
]
Plot = Annotated[bool, typer.Option("--plot", help="Also draw a map of each granule.")]
Quantiles = Annotated[str, typer.Option(help="Quantiles of the rate, separated by commas.")]
Precision = Annotated[
    str, typer.Option(help="Arithmetic of the network: float32, or bfloat16 for a GPU.")
]
GivenRain = Annotated[
    bool,
    typer.Option(
        "--given-rain", help="Mean and quantiles on the condition that it rains 0.1 mm/h or more."
    ),
]
Prior = Annotated[
    float | None,
    typer.Option(help="Expected frequency of rain, between 0 and 1. Default: the model's own."),
]
Ancillary = Annotated[
    Path | None,
    typer.Option(
        help="netCDF file of ERA5 or another model with t2m, tcwv or skt, which sharpen the phase."
    ),
]
Extent = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(
        help="West, east, south and north in degrees: only scans that see this area. Default: all."
    ),
]
Format = Annotated[
    str,
    typer.Option("--format", help="netcdf: a file per granule; zarr: a store per day."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print size and duration for each granule.")
]


def retrieve(
    files: Annotated[
        list[str],
        typer.Argument(
            help="L1C granules: files, folders, patterns, @LIST with one name per line, or - for "
            "names from standard input.",
            show_default=False,
        ),
    ],
    output: Output = Path(),
    model: Model = None,
    device: Device = None,
    plot: Plot = False,
    quantiles: Quantiles = "0.05,0.5,0.95",
    precision: Precision = "float32",
    given_rain: GivenRain = False,
    prior: Prior = None,
    ancillary: Ancillary = None,
    extent: Extent = None,
    start: Annotated[
        str | None, typer.Option(help="Only granules with scans at or after this time in UTC.")
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(help="Only granules with scans before this time, or up to this day."),
    ] = None,
    format_: Format = "netcdf",
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Number of processes.", min=1)] = 1,
    scheduler: Scheduler = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also retrieve granules that are complete.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="JSON file for the outcome of each granule.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Retrieve rain from granules: one CF netCDF file for each, or one Zarr store for each day.

    Granules that are complete, from the same model and options, are skipped, so that the same
    command continues an interrupted run. If a granule cannot be read the others are still
    processed, and the exit status is 2.
    """
    from xrain.cli.pictures import draw_rain
    from xrain.retrieval.batch import find_granules, retrieve_files

    sources = find_granules(files, start=start, end=end)
    options: dict[str, Any] = {
        "model": model, "device": device, "quantiles": levels(quantiles), "precision": precision,
        "given_rain": given_rain, "prior": prior, "ancillary": ancillary, "extent": extent,
        "format": format_,
        "draw": draw_rain if plot else None, "jobs": jobs, "overwrite": overwrite,
    }  # fmt: skip
    follower = Follower(len(sources), quiet=quiet, verbose=verbose)
    try:
        with cluster(scheduler) as client, follower, _prompt_interrupt():
            retrieve_files(sources, output, **options, client=client, tell=follower)
    except (KeyboardInterrupt, SystemExit):
        follower.interrupted()
        raise
    finally:
        if report is not None:
            write_report(follower.outcomes, report)
    follower.summary()
    failures = [o.error for o in follower.outcomes if o.error is not None]
    if failures:
        raise typer.Exit(exit_status(failures))


def watch(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder in which granules arrive, also in folders below it.", show_default=False
        ),
    ],
    output: Output = Path(),
    model: Model = None,
    device: Device = None,
    plot: Plot = False,
    quantiles: Quantiles = "0.05,0.5,0.95",
    precision: Precision = "float32",
    given_rain: GivenRain = False,
    prior: Prior = None,
    ancillary: Ancillary = None,
    extent: Extent = None,
    format_: Format = "netcdf",
    interval: Annotated[
        float, typer.Option(help="Seconds from one look into the folder to the next.")
    ] = 5.0,
    patience: Annotated[
        float,
        typer.Option(
            help="Seconds after which a file that cannot be opened and does not change is an error."
        ),
    ] = 600.0,
    heartbeat: Annotated[
        Path | None,
        typer.Option(help="JSON file written at every look. Default: watch.json in the output."),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Retrieve rain from granules as they arrive in a folder, once each, until it is stopped.

    A granule has arrived when it does not change any more and can be opened. A granule that cannot
    be used is told and stops nothing. SIGTERM or Ctrl-C ends the watch after the granule in hand,
    with exit status 0; a second one ends it at once.
    """
    from xrain.cli.pictures import draw_rain
    from xrain.models.store import load_card
    from xrain.retrieval.batch_granule import BatchOptions
    from xrain.retrieval.watch import Watch, only_watcher

    if model is not None:
        load_card(model)
    options: dict[str, Any] = {
        "model": model, "device": device, "quantiles": levels(quantiles), "precision": precision,
        "given_rain": given_rain, "prior": prior, "ancillary": ancillary, "extent": extent,
        "format": format_,
        "draw": draw_rain if plot else None,
    }  # fmt: skip

    def tell(outcome: Outcome) -> None:
        if outcome.error is not None:
            tell_failure(outcome.source, outcome.error)
        elif not quiet:
            for path in outcome.written:
                echo(path)
        if verbose:
            say(details(outcome))

    with _polite_end() as stopped, only_watcher(output):
        Watch(
            folder, output, BatchOptions(**options), interval=interval, patience=patience,
            heartbeat=heartbeat or output / "watch.json", tell=tell, stopped=stopped,
        ).run()  # fmt: skip


@contextmanager
def _polite_end() -> Iterator[Callable[[], bool]]:
    """Take SIGTERM and Ctrl-C as a wish to end; a second one ends the process at once."""
    heard: list[int] = []
    before = {}

    def hear(number: int, frame: object) -> None:
        heard.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, hear)
    try:
        yield lambda: bool(heard)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def levels(text: str) -> tuple[float, ...]:
    """Read quantiles from an option."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InputError(f"--quantiles {text}: numbers separated by commas are needed") from error


@contextmanager
def _prompt_interrupt() -> Iterator[None]:
    """Answer Ctrl-C at once, for what is in hand may take seconds; a second one ends it all."""
    heard = signal.getsignal(signal.SIGINT)
    if heard is not signal.default_int_handler:  # ignored, as under nohup, or not in the shell
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        say_plainly("ending as soon as what is in hand is done; Ctrl-C again ends at once")
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)
