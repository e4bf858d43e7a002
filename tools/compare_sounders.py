"""Compare simulated sounding channels with real pixels of SSMIS and ATMS.

usage: python tools/compare_sounders.py PIECES

PIECES is a folder with `ioda_ssmis_100px.npz` and `ioda_atms_100px.npz`, pixels as operational
centres exchange them. Nothing is known of their columns but place, month and surface, so for each
pixel columns are drawn from the climate at its latitude, season and angle, and those are kept
whose *window* channels resemble the pixel's. The sounding channels of these are compared with the
pixel's: they had no part in the choice.

Channels that peak above the top of the simulator's columns (18 km) are left out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xrain.sensors import Channel
from xrain.simulate.climate import draw_state, saturated_column, season_of
from xrain.simulate.environment import OCEAN, SNOW, Environment, draw_unknowns
from xrain.simulate.forward import ForwardModel, mix_polarization
from xrain.simulate.validate import QUANTILES, statistics

DRAWS, KEPT = 400, 10
Array = NDArray[Any]


@dataclass(frozen=True)
class Band:
    """A channel by its number in the files: GHz, sidebands, polarisation, width in MHz."""

    number: int
    frequency: float
    offsets: tuple[float, ...]
    polarization: str
    bandwidth: float
    window: bool = False

    def channel(self, angle: float) -> Channel:
        """Describe it to the simulator."""
        sides = "".join(f"+-{o:g}" for o in self.offsets)
        name = f"{self.frequency:g}{sides}{self.polarization}"
        width = (30.0, 30.0)
        return Channel(name, self.frequency, self.offsets, self.polarization, self.bandwidth,
                       width, 0.5, angle, "S1")  # fmt: skip


SSMIS = (
    Band(12, 19.35, (), "H", 355, True),
    Band(13, 19.35, (), "V", 357, True),
    Band(14, 22.235, (), "V", 401, True),
    Band(15, 37.0, (), "H", 1616, True),
    Band(16, 37.0, (), "V", 1545, True),
    Band(17, 91.655, (0.9,), "V", 1418),
    Band(18, 91.655, (0.9,), "H", 1411),
    Band(8, 150.0, (1.25,), "H", 1642),
    Band(1, 50.3, (), "H", 380),
    Band(2, 52.8, (), "H", 389),
    Band(3, 53.596, (), "H", 380),
    Band(4, 54.4, (), "H", 383),
    Band(9, 183.31, (6.6,), "H", 1526),
    Band(10, 183.31, (3.0,), "H", 1019),
    Band(11, 183.31, (1.0,), "H", 513),
)
ATMS = (
    Band(1, 23.8, (), "QV", 270, True),
    Band(2, 31.4, (), "QV", 180, True),
    Band(16, 88.2, (), "QV", 2000, True),
    Band(17, 165.5, (), "QH", 3000, True),
    Band(3, 50.3, (), "QH", 180),
    Band(4, 51.76, (), "QH", 400),
    Band(5, 52.8, (), "QH", 400),
    Band(6, 53.596, (0.115,), "QH", 170),
    Band(7, 54.4, (), "QH", 400),
    Band(18, 183.31, (7.0,), "QH", 2000),
    Band(19, 183.31, (4.5,), "QH", 2000),
    Band(20, 183.31, (3.0,), "QH", 1000),
    Band(21, 183.31, (1.8,), "QH", 1000),
    Band(22, 183.31, (1.0,), "QH", 500),
)


@dataclass(frozen=True)
class Pixels:
    """Real pixels: temperatures (pixel, band), place and view, and the month's season."""

    tb: Array
    latitude: Array
    incidence: Array
    scan: Array
    season: float


def read(path: Path, bands: tuple[Band, ...], ocean: bool) -> Pixels:
    """Read dry pixels over the open sea (SSMIS), or all over land (ATMS)."""
    with np.load(path) as file:
        part = {k: file[k] for k in file.files}
    numbers = part["channel"].tolist()
    tb = part["tb"][:, [numbers.index(b.number) for b in bands]].astype(np.float32)
    keep = np.all((tb > 60) & (tb < 340), axis=1)
    if ocean:  # 5 is open sea, 6 its coast
        keep &= (part["rain_flag"] == 0) & (part["surface_flag"] == 5)
        incidence = np.full(len(tb), 53.1, np.float32)
        scan = np.zeros_like(incidence)
    else:
        keep &= part["landOrSeaQualifier"] == 0
        incidence = part["sensorZenithAngle"].astype(np.float32)
        scan = np.degrees(np.arcsin(np.sin(np.radians(incidence)) * 6371.0 / (6371.0 + 824.0)))
    season = season_of(np.datetime64(int(part["dateTime"][0]), "s"))
    return Pixels(tb[keep], part["latitude"][keep], incidence[keep], scan[keep], season)


def draw_columns(pixels: Pixels, surface: str, seed: int = 0) -> Environment:
    """Draw dry columns from the climate at each pixel's place, those of one pixel together."""
    rng = np.random.default_rng(seed)
    states = [
        draw_state(surface, False, rng, {"latitude": float(lat), "season": pixels.season})
        for lat in pixels.latitude
        for _ in range(DRAWS)
    ]

    def column(name: str) -> Array:
        return np.array([getattr(s, name) for s in states], np.float32)

    t2m = column("t2m")
    given = {
        "t2m": t2m,
        "skin_temperature": t2m + column("skin_excess"),
        "water_vapour": (np.exp(column("log_humidity")) * saturated_column(t2m)).clip(0.1, 75.0),
        "cloud_liquid": (np.exp(column("log_cloud_liquid")) - 1e-3).clip(0.0),
        "cloud_ice": (np.exp(column("log_cloud_ice")) - 1e-3).clip(0.0),
        "wind_speed": column("sqrt_wind") ** 2,
        "elevation": (np.exp(column("log_elevation")) - 0.02).clip(0.0),
    }
    if surface == "ocean":
        given["elevation"] = np.zeros_like(t2m)
    kind = OCEAN if surface == "ocean" else SNOW
    tensors: dict[str, Any] = {k: torch.as_tensor(v, dtype=torch.float32) for k, v in given.items()}
    environment = Environment.derive(surface=kind, **tensors)
    return draw_unknowns(environment, torch.Generator().manual_seed(seed))


def simulate(pixels: Pixels, channels: list[Channel], environment: Environment) -> Array:
    """Temperatures as the channels receive them, (pixel, draw, band)."""
    angle, phi = (
        torch.from_numpy(np.repeat(v, DRAWS).astype(np.float32))
        for v in (pixels.incidence, pixels.scan)
    )
    model = ForwardModel(channels)
    with torch.no_grad():
        tb = model(environment, angle)
        seen = mix_polarization(tb, [c.polarization for c in channels], phi)
    return seen.numpy().reshape(len(pixels.latitude), DRAWS, len(channels))


def resembling(observed: Array, simulated: Array, window: Array) -> Array:
    """Columns nearest to each pixel in its window channels, (kept, pixel, band)."""
    gap = ((simulated - observed[:, None])[..., window] ** 2).mean(-1)
    nearest = np.argsort(gap, axis=1)[:, :KEPT]
    kept: Array = np.take_along_axis(simulated, nearest[..., None], axis=1)
    return kept.transpose(1, 0, 2)


def compare(path: Path, bands: tuple[Band, ...], surface: str) -> dict[str, dict[str, Any]]:
    """Figures of every channel."""
    pixels = read(path, bands, surface == "ocean")
    channels = [b.channel(float(pixels.incidence.mean())) for b in bands]
    simulated = simulate(pixels, channels, draw_columns(pixels, surface))
    window = np.array([b.window for b in bands])
    kept = resembling(pixels.tb, simulated, window)
    found = statistics(pixels.tb, kept, [c.name for c in channels])
    for band, figures in zip(bands, found.values(), strict=True):
        figures["window"] = band.window
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown table: observed and simulated side by side."""
    head = ["channel", "bias", "std", "spread obs / sim", *(f"{q} %" for q in QUANTILES)]
    lines = [head, ["---"] * len(head)]
    for name, f in found.items():
        pairs = zip(f["quantiles_observed"], f["quantiles_simulated"], strict=True)
        spread = f"{f['spread_observed']:.1f} / {f['spread_simulated']:.1f}"
        label = name + (" (window)" if f["window"] else "")
        start = [label, f"{f['bias']:+.1f}", f"{f['std']:.1f}", spread]
        lines.append(start + [f"{o:.0f} / {s:.0f}" for o, s in pairs])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Print both tables."""
    folder = Path(sys.argv[1])
    for name, bands, surface in (("ssmis", SSMIS, "ocean"), ("atms", ATMS, "snow")):
        found = compare(folder / f"ioda_{name}_100px.npz", bands, surface)
        count = next(iter(found.values()))["n"]
        print(f"{name.upper()}, {surface}, {count} pixels\n\n{table(found)}\n")


if __name__ == "__main__":
    main()
