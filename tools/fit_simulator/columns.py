"""Fit the particles of the simulator to the columns of a radar along transects.

    python tools/fit_simulator/columns.py TRANSECTS.nc [--iterations 8] [--write]

Blocks of five overpasses in a row are fitted or, every third of them, kept apart; the figures
printed at the end are of those alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from least_squares import fit_parameters, write_toml
from numpy.typing import NDArray

from xrain.sensors import get_sensor
from xrain.simulate.column_forward import simulate_columns
from xrain.simulate.parameters import Parameters, default_parameters
from xrain.simulate.radar_columns import RadarColumns, read_columns
from xrain.training.matched_pixels import kept_apart
from xrain.training.observed import BLOCK_OF_OVERPASSES

TOML = Path(__file__).parents[2] / "xrain" / "simulate" / "parameters.toml"
EXPECTED = (4.0, 7.0, 6.0, 10.0, 5.0, 8.0, 14.0, 9.0, 11.0, 14.0, 15.0, 10.0, 12.0)
"""Size of the residuals in K by channel, those of CORRA's own simulation."""
BIAS = 1.0
"""Weight of the mean residuals of a surface and channel beside that of its columns."""
STEPS = {
    "particles__rain_content": 0.1,
    "particles__rain_diameter": 0.1,
    "particles__melting_content": 0.3,
    "particles__cloud_content": 0.1,
    "particles__cloud_content_convective": 0.2,
    "particles__cloud_around": 0.1,
    "particles__ice_content": 0.15,
    "particles__ice_content_convective": 0.15,
    "particles__ice_diameter": 0.1,
    "particles__ice_diameter_exponent": 0.1,
    "particles__snow_density": 0.05,
    "particles__graupel_density": 0.08,
    "particles__density_exponent": 0.1,
    "particles__hidden_content": 0.03,
    "particles__hidden_exponent": 0.1,
    "particles__hidden_depth": 0.4,
    "particles__hidden_diameter": 0.05,
    "ice__polarization_ratio": 0.04,
}
BOUNDS = {
    "particles__rain_diameter": (0.6, 1.6),
    "particles__melting_content": (0.5, 4.0),
    "particles__cloud_content": (0.1, 2.0),
    "particles__cloud_content_convective": (0.1, 3.0),
    "particles__cloud_around": (0.0, 1.0),
    "particles__ice_content": (0.2, 4.0),
    "particles__ice_content_convective": (0.2, 4.0),
    "particles__ice_diameter": (0.3, 2.0),
    "particles__ice_diameter_exponent": (0.2, 2.0),
    "particles__snow_density": (0.06, 0.6),
    "particles__graupel_density": (0.08, 0.9),
    "particles__density_exponent": (-1.0, 1.5),
    "particles__hidden_content": (0.0, 0.6),
    "particles__hidden_exponent": (0.1, 1.5),
    "particles__hidden_depth": (0.7, 6.0),
    "particles__hidden_diameter": (0.12, 1.0),
    "ice__polarization_ratio": (1.0, 1.6),
}
CHANNELS = get_sensor("gmi").channels
Array = NDArray[np.float64]


def split(columns: RadarColumns) -> tuple[RadarColumns, RadarColumns]:
    """Columns to fit, and those of the overpasses kept apart."""
    apart = kept_apart((columns.overpass - 1) // BLOCK_OF_OVERPASSES, 2, 3)
    return columns.select(~apart), columns.select(apart)


def thin(columns: RadarColumns) -> RadarColumns:
    """Keep overpasses that see the sea, and every third of the others."""
    at_sea = np.unique(columns.overpass[columns.ocean])
    kept = np.isin(columns.overpass, at_sea) | (columns.overpass % 3 == 0)
    return columns.select(kept)


def residuals(columns: RadarColumns, parameters: Parameters) -> Array:
    """Differences by their expected size, with the mean of each surface and channel."""
    expected = np.array(EXPECTED)
    difference = (simulate_columns(columns, CHANNELS, parameters) - columns.tb) / expected
    parts = []
    for member in (columns.ocean, ~columns.ocean):
        own = difference[member] / np.sqrt(member.mean())
        mean = BIAS * expected / 2.0 * own.mean(0) * np.sqrt(member.sum())
        parts += [own.ravel(), mean]
    return np.concatenate(parts)


def show(columns: RadarColumns, parameters: Parameters) -> None:
    """Print bias and standard deviation, and CORRA's own, over sea and land."""
    simulated = simulate_columns(columns, CHANNELS, parameters) - columns.tb
    theirs = columns.corra_tb - columns.tb
    known = np.isfinite(theirs).all(1)
    for name, member in (("ocean", columns.ocean), ("land", ~columns.ocean)):
        print(f"{name}: {member.sum()} columns\n{'channel':12}  bias    std   CORRA: bias  std")
        for i, channel in enumerate(CHANNELS):
            own, other = simulated[member, i], theirs[member & known, i]
            print(
                f"{channel.name:12}{own.mean():6.1f} {own.std():6.1f}"
                f"       {other.mean():6.1f} {other.std():6.1f}"
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transects", type=Path)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="Write the numbers to the package.")
    args = parser.parse_args()
    fitted, apart = split(read_columns(args.transects))
    chosen = thin(fitted)
    start = default_parameters()
    found = start
    if args.iterations:
        found = fit_parameters(
            lambda p: residuals(chosen, p),
            start,
            STEPS,
            BOUNDS,
            iterations=args.iterations,
            prior=1e-4,
            report=lambda line: print(line, flush=True),
        )
    print("\non the overpasses kept apart")
    show(apart, found)
    if args.write:
        TOML.write_text(write_toml(TOML.read_text("utf-8"), found), "utf-8")


if __name__ == "__main__":
    main()
