"""Run an xrain model in SatRain's own evaluator, in an environment of its own.

SatRain's data are not needed: small files in its format are written from a simulated granule, in
``FOLDER/data``, and the package is installed in ``FOLDER/venv``. Its scores are compared with those
that xrain finds on the same pixels.

    python tools/check_satrain.py FOLDER [--model gmi-unet]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import xarray as xr

import xrain
from xrain.demo import demo_granule
from xrain.evaluation.metrics import event_scores, rate_scores
from xrain.evaluation.satrain import CHANNELS
from xrain.io.truth import open_truth

ROOT = Path(__file__).resolve().parent.parent
STAMP = "20200701115740"
PLACE = "satrain/gmi/testing/conus"

THERE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from satrain_client import RemoteRetrieval
from satrain.evaluation import Evaluator
from importlib.metadata import version
import numpy
out = {"satrain": version("satrain"), "numpy": numpy.__version__}
retrieval = RemoteRetrieval(sys.argv[2], sys.argv[3])
for geometry in ("on_swath", "gridded"):
    for form, tile in (("spatial", None), ("spatial", 96), ("tabular", None)):
        evaluator = Evaluator("gmi", geometry, retrieval_input=["gmi"], data_path=sys.argv[4],
                              download=False)
        evaluator.evaluate(retrieval, input_data_format=form, tile_size=tile,
                           output_path=f"{sys.argv[4]}/results_{geometry}_{form}_{tile}")
        found = evaluator.get_results()
        out[f"{geometry} {form} {tile or 'whole'}"] = {
            n: float(found[n]) for n in found.data_vars if found[n].ndim == 0}
retrieval.close()
print(json.dumps(out))
"""


def write_files(folder: Path) -> None:
    """Write observations and targets of one scene; the grid is the swath's own."""
    ds = xrain.open_l1c(demo_granule()).load()
    truth = open_truth(demo_granule())
    names = [str(n) for n in ds["channel"].values]
    picked = [i for i in xrain.conventions.match_channels(names, CHANNELS["gmi"]) if i is not None]
    tb = ds["tb"].values[..., picked]
    angle = ds["earth_incidence_angle"].values[..., picked]
    rate = truth["surface_precip"].values
    scans, pixels = rate.shape
    time = np.broadcast_to(ds["time"].values[:, None], rate.shape)
    for geometry, dims in (("on_swath", ("scan", "pixel")), ("gridded", ("latitude", "longitude"))):
        place = folder / PLACE / geometry
        place.mkdir(parents=True, exist_ok=True)
        if geometry == "on_swath":
            coords = {n: (dims, ds[n].values) for n in ("latitude", "longitude")}
        else:
            coords = {"latitude": 25 + 0.036 * np.arange(scans),
                      "longitude": -85 + 0.036 * np.arange(pixels)}  # fmt: skip
        xr.Dataset(
            {"observations": ((*dims, "channel"), tb),
             "earth_incidence_angle": ((*dims, "channel"), angle),
             "scan_time": (dims, time)},
            coords,
        ).to_netcdf(place / f"gmi_{STAMP}.nc", engine="h5netcdf")  # fmt: skip
        rows, columns = np.indices(rate.shape)
        xr.Dataset(
            {"surface_precip": (dims, rate), "time": (dims, time),
             "radar_quality_index": (dims, np.ones(rate.shape, np.float32)),
             "valid_fraction": (dims, np.ones(rate.shape, np.float32)),
             "scan_index": (dims, rows), "pixel_index": (dims, columns)},
            coords,
        ).to_netcdf(place / f"target_{STAMP}.nc", engine="h5netcdf")  # fmt: skip


def expected(model: str) -> dict[str, float]:
    """Scores that xrain finds on the pixels of the swath."""
    ds = xrain.open_l1c(demo_granule()).load()
    rain = xrain.retrieve(ds, model)
    f, o = rain["surface_precip"].values.ravel(), open_truth(demo_granule())["surface_precip"]
    o = o.values.ravel()
    found = rate_scores(f, o)
    flag = np.where(np.isfinite(o), rain["precip_flag"].values.ravel() == 1, np.nan)
    found |= event_scores(flag, np.where(np.isfinite(o), o >= 0.1, np.nan))
    return {n: float(v) for n, v in found.items()}


def environment(folder: Path) -> Path:
    """Make an environment with satrain, once."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "satrain==1.2.*"], check=True)
    return python


def main() -> None:
    """Run the check and print both sets of scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="gmi-unet")
    given = parser.parse_args()
    write_files(given.folder / "data")
    python = environment(given.folder)
    arguments = [ROOT / "docs" / "howto", sys.executable, given.model, given.folder / "data"]
    done = subprocess.run(
        [python, "-c", THERE, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    print(done.stderr[-2000:], file=sys.stderr)
    print(json.dumps({"xrain on the swath": expected(given.model), **told}, indent=2))


if __name__ == "__main__":
    main()
