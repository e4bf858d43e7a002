"""Commands that run the simulator."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from xrain.cli.console import echo, out, progress, say
from xrain.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["demo", "simulate", "validate_simulator"]


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; created if needed.")
    ] = Path("demo"),
    sensor: Annotated[
        str | None, typer.Option(help="Simulate this instrument instead of the packaged granule.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed: simulate another storm.")] = None,
) -> None:
    """Retrieve rain from a simulated granule, draw it, and compare it with the truth."""
    from xrain.demo import run_demo

    for line in run_demo(output, sensor=sensor, seed=seed):
        echo(line)


def simulate(
    sensor: Annotated[str, typer.Option(help="Instrument, such as gmi.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Granule to write, HDF5 or netCDF-4 (.nc); in a folder it gets a file name of "
            "the archive, as the Satpy reader needs it.",
            show_default=False,
        ),
    ],
    rain: Annotated[
        Path | None,
        typer.Option(help="File with rain_rate in mm/h. Default: a random storm."),
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Time in the rain file, or its index. Default: the first.")
    ] = None,
    surface: Annotated[
        str | None, typer.Option(help="ocean or land everywhere. Default: from the land mask.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    scans: Annotated[
        int | None, typer.Option(min=1, help="Number of scans. Default: as many as the rain needs.")
    ] = None,
    platform: Annotated[str | None, typer.Option(help="Satellite as named in L1C headers.")] = None,
    place: Annotated[
        tuple[float, float] | None, typer.Option(help="Latitude and longitude of the centre.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="UTC of the middle scan, such as 2020-07-01T12:00. Default: the time of the rain."
        ),
    ] = None,
    orbit: Annotated[
        int | None, typer.Option(min=1, help="Orbit number. Default: 1 more than the seed.")
    ] = None,
    ascending: Annotated[
        bool,
        typer.Option(
            "--ascending/--descending", help="The satellite flies towards the north or the south."
        ),
    ] = True,
    with_radar: Annotated[
        bool, typer.Option("--with-radar", help="Also write a radar granule (gmi and tmi).")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda and so on.")] = "cpu",
) -> None:
    """Simulate a granule over known rain in the layout of the archive, with its truth.

    A file of another seed, or an observed granule, is never replaced.
    """
    from xrain.io.truth import radar_path, truth_path
    from xrain.simulate.granule import simulate_granule

    if time is not None and rain is None:
        raise InputError("--time selects a time of --rain; use --start for that of the granule")
    if output.suffix:
        output.parent.mkdir(parents=True, exist_ok=True)
    else:
        output.mkdir(parents=True, exist_ok=True)
    when = int(time) if time is not None and time.isdigit() and len(time) < 4 else time
    path = simulate_granule(
        sensor,
        output,
        rain=rain,
        time=when,
        surface=surface,
        seed=seed,
        scans=scans,
        platform=platform,
        place=place,
        start=_time(start),
        ascending=ascending,
        orbit_number=orbit,
        with_radar=with_radar,
        device=device,
    )
    for written in (path, truth_path(path), *([radar_path(path)] if with_radar else [])):
        echo(written)


def _time(text: str | None) -> np.datetime64 | None:
    """Read a time in ISO 8601."""
    if text is None:
        return None
    try:
        return np.datetime64(text.removesuffix("Z"), "ms")
    except ValueError as error:
        raise InputError(f"--start {text}: write the time as 2020-07-01T12:00") from error


def validate_simulator(
    matchups: Annotated[
        Path,
        typer.Argument(
            help="netCDF of matched pixels, or of transects with a radar's columns.",
            show_default=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Image file for histograms of observed and simulated values."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Random draws of the unknown variables.")] = 16,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Simulate matched pixels or a radar's columns and compare with the observations.

    Matched pixels are simulated from their environment and rain rate. Columns of a radar are
    simulated from their own profiles, and from profiles that the simulator generates given rate,
    rain type and freezing level.
    """
    from xrain.plotting.histograms import plot_histograms
    from xrain.plotting.save import save_picture
    from xrain.simulate.radar_columns import has_columns
    from xrain.simulate.validate import run
    from xrain.simulate.validate_columns import run_columns

    if not matchups.exists():
        raise InputError(f"{matchups}: no such file")
    with progress(draws) as bar:
        task = bar.add_task("simulating", total=draws)
        result = (run_columns if has_columns(matchups) else run)(
            matchups, seed, draws, progress=lambda done: bar.update(task, completed=done)
        )
    say(f"{result.skipped} pixels with missing inputs were skipped")
    if as_json:
        echo(json.dumps(_finite(result.statistics), indent=2))
    else:
        for name, statistics in result.statistics.items():
            out().print(_as_table(name, statistics))
            for kind, part in _by_type(statistics).items():
                out().print(_as_table(f"{name}, {kind}", part))
    if plot is not None:
        draw = functools.partial(
            plot_histograms, result.observed, result.simulated, result.channels
        )
        say(str(save_picture(draw, plot)))


def _finite(value: Any) -> Any:
    """Replace NaN, which JSON does not have, by null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _as_table(name: str, statistics: dict[str, dict[str, Any]]) -> Table:
    """Render the statistics of one class of pixels."""
    from rich.table import Table

    from xrain.simulate.validate import QUANTILES

    first = next(iter(statistics.values()))
    theirs = ("corra_bias", "corra_std") if "corra_bias" in first else ()
    table = Table(title=f"{name.replace('_', ' ')}, {first['n']} pixels (K)")
    for head in ("channel", "bias", "std", "correlation", *theirs):
        table.add_column(head.replace("_", " "), justify="left" if head == "channel" else "right")
    for q in QUANTILES:
        table.add_column(f"{q} % obs / sim", justify="right")
    for channel, s in statistics.items():
        pairs = zip(s["quantiles_observed"], s["quantiles_simulated"], strict=True)
        table.add_row(
            channel,
            f"{s['bias']:.2f}",
            f"{s['std']:.2f}",
            f"{s['correlation']:.3f}",
            *(f"{s[k]:.2f}" for k in theirs),
            *(f"{a:.0f} / {b:.0f}" for a, b in pairs),
        )
    return table


def _by_type(statistics: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Turn the figures of one class around: by rain type, then channel."""
    kinds = next(iter(statistics.values())).get("types", {})
    return {k: {c: s["types"][k] for c, s in statistics.items()} for k in kinds}
