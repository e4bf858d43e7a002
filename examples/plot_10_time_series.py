"""
A time series at stations
=========================

What do all overpasses of a day say at a place? Here two towns lie in the way
of a storm that moves east, and four radiometers pass by.
"""

# %%
# A day of granules
# -----------------
# A real archive would be a folder of files. These are simulated over a radar
# field that ships with the package.

# sphinx_gallery_thumbnail_number = 1
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import xrain
from xrain.demo import demo_radar
from xrain.plotting import plot_rain
from xrain.points import point_table

composite = xr.open_dataset(demo_radar(), engine="h5netcdf").rain_rate[0]
observed = composite.sel(
    latitude=slice(35, 27.5), longitude=slice(-88, -80)
).load()


def storm_after(hours):
    """Rain rate in mm/h some hours after midnight."""
    return observed.assign_coords(
        latitude=observed.latitude - 8,
        longitude=observed.longitude + 24 + 0.1 * hours,
    )


folder = Path(tempfile.mkdtemp())
midnight = np.datetime64("2020-07-01T00:00", "ns")
files = []
for sensor, hours in {"gmi": 1, "mhs": 3, "amsr2": 6, "atms": 9}.items():
    granule = xrain.simulate_granule(
        sensor,
        folder / f"{sensor}.HDF5",
        rain=storm_after(hours),
        start=midnight + np.timedelta64(hours, "h"),
        seed=hours,
    )
    rain = xrain.open_l1c(granule).rain.retrieve()
    files.append(xrain.write_rain(rain, folder / f"{sensor}.rain.nc"))

# %%
# From files to series
# --------------------
# A station is seen where it lies in the cell of a pixel. Names and positions
# may also come from a CSV file; rain granules of the archive, grids and
# granules of level 1C are read as well.

stations = {"West": (25.1, -62.4), "East": (20.4, -57.3)}
figure = plot_rain(rain, extent=(-66.5, -53.5, 18.5, 28.5), borders=False)
for name, (latitude, longitude) in stations.items():
    figure.axes[0].plot(longitude, latitude, "k^", markersize=9)
    figure.axes[0].text(longitude + 0.3, latitude + 0.2, name, weight="bold")

# %%
# The map is the last of the four overpasses. The series of all of them:

series = xrain.extract_points(files, stations)
series

# %%
# The same as a table, which ``to_csv`` writes:

table = point_table(series)
table[["station", "time", "sensor", "surface_precip", "distance"]]

# %%
# A picture
# ---------
# The bars are the interval between the 5 % and the 95 % quantile of each
# overpass.

low, high = "surface_precip_quantile_0.05", "surface_precip_quantile_0.95"
figure, axes = plt.subplots(
    2, figsize=(7, 5), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, rows) in zip(axes, table.groupby("station"), strict=True):
    ax.vlines(rows.time, rows[low], rows[high], color="0.6", linewidth=4)
    ax.plot(rows.time, rows.surface_precip, "o-", color="tab:blue")
    for row in rows.itertuples():
        ax.annotate(
            row.sensor,
            (row.time, row.surface_precip),
            xytext=(6, 4),
            textcoords="offset points",
        )
    ax.set(title=name, ylabel="mm/h")
figure.autofmt_xdate()

# %%
# For a box instead of a place there is :func:`xrain.geo.extent.crop`, for a
# map :func:`xrain.resample`.
#
# An overpass lasts a second; between two of them hours are unknown, so the
# line is a guide to the eye. A pixel is as wide as the footprint: a rain gauge
# under it sees a point, see :doc:`/limits`.
#
# On the command line the table is made by ``xrain extract *.rain.nc
# --at West=25.1,-62.4 --at East=20.4,-57.3 -o series.csv``.
