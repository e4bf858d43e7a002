"""Make xrain/data/environment.npz: joint statistics of the states in which rain falls or does not.

From the ERA5 columns of the TLP-R2S matchups (University of Minnesota; ERA5: Copernicus) a
Gaussian mixture of a few transformed variables is fitted for each class of columns; from the
ocean fields of Remote Sensing Systems (SSMIS F16, doi 10.5067/MEASURES/DMSP-F16/SSMIS/DATA301)
come the spread of wind, vapour and cloud within 700 km. No pixel of either is stored.

    python tools/make_environment_table.py ../shared/data
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr
from sklearn.mixture import GaussianMixture

OUT = Path(__file__).resolve().parent.parent / "xrain" / "data" / "environment.npz"
COMPONENTS = 8
NAMES = (
    "latitude", "season", "t2m", "skin_excess", "log_humidity", "log_cloud_liquid",
    "log_cloud_ice", "sqrt_wind", "log_elevation",
)  # fmt: skip
BOX = 28  # cells of 0.25 degrees: 700 km at the equator


def saturated_column(t2m: np.ndarray) -> np.ndarray:
    """Vapour column in kg m-2 that counts as humidity 1 (as xrain.simulate.climate has it)."""
    return 10.0 * np.exp(0.066 * (t2m - 273.15))


def transform(d: xr.Dataset) -> np.ndarray:
    """Rows of the variables in NAMES; rows with missing or impossible values are left out."""
    t2m = d.t2m.values
    wind = np.hypot(d.u10.values, d.v10.values)
    season = np.cos(2 * np.pi * (d.month.values - 7) / 12)
    rows = np.column_stack(
        [
            d.latitude.values,
            season,
            t2m,
            d.skin_temperature.values - t2m,
            np.log(d.total_column_water_vapour.values / saturated_column(t2m)),
            np.log(d.total_column_cloud_liquid.values + 1e-3),
            np.log(d.total_column_cloud_ice.values + 1e-3),
            np.sqrt(wind),
            np.log(np.clip(d.elevation.values, 0, 6000) / 1e3 + 0.02),
        ]
    )
    return rows


def classes(folder: Path) -> dict[str, np.ndarray]:
    """Rows of each class of columns."""
    dry, wet = [], []
    for name in ("gmi_dpr_phase", "gmi_era5_phase", "gmi_cpr_phase"):
        d = xr.open_dataset(folder / f"{name}.nc")
        dry.append(d.isel(sample=d.phase.values == 0).drop_vars("phase"))
    wet.append(xr.open_dataset(folder / "gmi_dpr_rain.nc").drop_vars("surface_precip"))
    out = {}
    for state, parts in (("dry", dry), ("rain", wet)):
        d = xr.concat(parts, "sample")
        rows = transform(d)
        good = np.isfinite(rows).all(axis=1)
        ice = np.nan_to_num(d.sea_ice_fraction.values) >= 0.01
        snow = np.nan_to_num(d.snow_depth.values) > 0.005
        land = d.land_fraction.values
        surfaces = {
            "ocean": (land < 0.01) & ~ice,
            "land": (land > 0.99) & ~snow,
            "snow": (land > 0.99) & snow,
            "ice": (land < 0.5) & ice,
        }
        for surface, chosen in surfaces.items():
            if (good & chosen).sum() >= 40 * len(NAMES):
                out[f"{surface}_{state}"] = rows[good & chosen]
    return out


def ocean_spread(path: Path) -> dict[str, float]:
    """Measure standard deviations within boxes of 700 km over open water."""
    d = xr.open_dataset(path)
    out = {}
    for name, change in (("wind", None), ("vapor", np.log), ("lwp", None)):
        values = d[name].values
        if change is not None:
            values = change(np.maximum(values, 0.5))
        spreads = []
        for i in range(200, 520 - BOX, BOX):
            for j in range(0, 1440 - BOX, BOX):
                box = values[:, i : i + BOX, j : j + BOX].reshape(2, -1)
                spreads += [np.nanstd(b) for b in box if np.isfinite(b).mean() > 0.7]
        out[f"spread_{name}"] = float(np.median(spreads))
    return out


def main(data: str) -> None:
    """Fit and write."""
    folder = Path(data)
    table: dict[str, np.ndarray] = {"names": np.array(NAMES)}
    for name, rows in classes(folder / "matchups").items():
        mixture = GaussianMixture(COMPONENTS, reg_covar=1e-3, random_state=0).fit(rows)
        table[f"{name}_weight"] = mixture.weights_.astype(np.float32)
        table[f"{name}_mean"] = mixture.means_.astype(np.float32)
        table[f"{name}_covariance"] = mixture.covariances_.astype(np.float32)
        print(f"{name}: {len(rows)} columns")
    for name, value in ocean_spread(folder / "ocean" / "ssmis_f16_rss_20200102.nc").items():
        table[name] = np.float32(value)
        print(name, round(value, 3))
    np.savez_compressed(OUT, **table)
    print(f"{OUT}: {OUT.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main(sys.argv[1])
