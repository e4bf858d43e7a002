"""Commands that simulate."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from xrain.cli.console import out, progress, say
from xrain.errors import InputError

__all__ = ["demo", "simulate", "validate_simulator"]


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder; made if absent.")] = Path(
        "demo"
    ),
    sensor: Annotated[
        str | None, typer.Option(help="Simulate this instrument instead of the packaged granule.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Simulate another storm; each number has its own.")
    ] = None,
) -> None:
    """Retrieve rain from a simulated granule, draw it, and hold it against the truth."""
    from xrain.demo import run_demo

    for line in run_demo(output, sensor=sensor, seed=seed):
        typer.echo(line)


def simulate(
    sensor: Annotated[str, typer.Option(help="Instrument, such as gmi.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Granule to write: HDF5, or netCDF-4 if it ends in .nc; a folder gets a file "
            "with the archive's own name.",
            show_default=False,
        ),
    ],
    rain: Annotated[
        Path | None,
        typer.Option(help="Field of rain_rate in mm/h; by default a storm drawn from the seed."),
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Time in the field, or its number; by default the first.")
    ] = None,
    surface: Annotated[
        str | None, typer.Option(help="ocean or land everywhere; by default as on a map.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Source of chance.")] = 0,
    scans: Annotated[
        int | None, typer.Option(min=1, help="Scans; by default enough for the field.")
    ] = None,
    platform: Annotated[str | None, typer.Option(help="Satellite, as in L1C headers.")] = None,
    place: Annotated[
        tuple[float, float] | None, typer.Option(help="Latitude and longitude of the middle.")
    ] = None,
    with_radar: Annotated[
        bool, typer.Option("--with-radar", help="Also write a radar granule, for gmi and tmi.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda …")] = "cpu",
) -> None:
    """Write a granule over known rain, in the archive's layout, with the truth beside it."""
    from xrain.simulate.granule import radar_path, simulate_granule, truth_path

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
        with_radar=with_radar,
        device=device,
    )
    for written in (path, truth_path(path), *([radar_path(path)] if with_radar else [])):
        typer.echo(str(written))


def validate_simulator(
    matchups: Annotated[Path, typer.Argument(help="netCDF of matched pixels.", show_default=False)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON alone on standard output.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw histograms of observed and simulated values here.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the unknowns.")] = 16,
    seed: Annotated[int, typer.Option(help="Source of chance.")] = 0,
) -> None:
    """Simulate real pixels from their environment, and compare with what was observed."""
    from xrain.files import save_picture
    from xrain.simulate.validate import as_table, plot_histograms, run

    if not matchups.exists():
        raise InputError(f"{matchups}: no such file")
    with progress(draws) as bar:
        task = bar.add_task("simulating", total=draws)
        result = run(matchups, seed, draws, progress=lambda done: bar.update(task, completed=done))
    say(f"{result.skipped} pixels with missing inputs were skipped")
    if as_json:
        typer.echo(json.dumps(_finite(result.statistics), indent=2))
    else:
        for name, statistics in result.statistics.items():
            out().print(as_table(name, statistics))
    if plot is not None:
        say(str(save_picture(lambda: plot_histograms(result), plot)))


def _finite(value: Any) -> Any:
    """JSON knows no NaN: null stands for it."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
