"""
Many sensors on one grid
========================

Outside the polar regions a single radiometer sees a place about twice a day;
the constellation sees it more often.
Here five of them pass over one travelling storm, and their rain is merged on
one grid.
"""

# %%
# A storm that moves
# ------------------
# A radar field that ships with the package, storms of 10 June 2019 as the
# composite MRMS of the United States saw them. Here it lies over the sea and
# moves east by half a degree an hour, and satellites come by when they come
# by.

# sphinx_gallery_thumbnail_number = 2
import tempfile
from base64 import b64encode
from pathlib import Path

import numpy as np
import xarray as xr

import xrain
from xrain.demo import demo_radar
from xrain.plotting import animate, plot_rain, plot_side_by_side

observed = xr.open_dataset(demo_radar(), engine="h5netcdf").rain_rate[0].load()


def storm_after(hours):
    """Rain rate in mm/h some hours after midnight."""
    return observed.assign_coords(
        latitude=observed.latitude - 8,
        longitude=observed.longitude + 22 + 0.5 * hours,
    )


passes = {"gmi": 1.0, "amsr2": 3.5, "ssmis": 5.0, "mhs": 7.5, "atms": 10.0}
midnight = np.datetime64("2020-07-01T00:00", "ns")
folder = Path(tempfile.mkdtemp())
granules = []
for number, (sensor, hours) in enumerate(passes.items()):
    granules.append(
        xrain.simulate_granule(
            sensor,
            folder / f"{number}_{sensor}.HDF5",
            rain=storm_after(hours),
            start=midnight + np.timedelta64(int(60 * hours), "m"),
            seed=number,
        )
    )

# %%
# Each on its own
# ---------------
# What ``xrain retrieve *.HDF5 -o out`` and :func:`xrain.retrieve_files` do:

files, rain = [], {}
for path in granules:
    retrieved = xrain.open_l1c(path).rain.retrieve().load()
    files.append(xrain.write_rain(retrieved, path.with_suffix(".rain.nc")))
    start = str(retrieved.time.values[0])[11:16]
    rain[f"{retrieved.attrs['sensor']}, {start} UTC"] = retrieved

extent = (-70.0, -49.0, 19.0, 30.0)
figure = plot_side_by_side(rain, extent=extent, borders=False)

# %%
# All together
# ------------
# ``xrain grid *.rain.nc --resolution 0.25 --freq 1D -o day.nc`` on the command
# line. Every pixel is shared out to the cells by area, so that totals are kept
# whatever the footprint. Granules of level 1C may be given as well; their rain
# is then retrieved on the way.

path = xrain.grid_rain(
    files, folder / "day.nc", resolution=0.25, freq="1D", extent=extent
)
day = xr.open_dataset(path)
day

# %%
# The mean of the day:

figure = plot_rain(day, extent=extent, borders=False)

# %%
# The same, how many passes it rests on, how far they differ, and the part of
# its error that comes from the retrievals:

figure = plot_rain(
    day,
    panels=[
        "surface_precip",
        "overpass_count",
        "surface_precip_spread",
        "surface_precip_uncertainty",
    ],
    borders=False,
)

# %%
# The passes differ because the storm has moved, and because sensors differ.
# Five looks a day are few, and a mean over them is no daily total; see
# :doc:`/limits`.
#
# Every few hours
# ---------------
# A finer interval keeps the passes apart. A film of them needs no more than a
# line:

parts = xr.open_dataset(
    xrain.grid_rain(
        files, folder / "hours.nc", resolution=0.25, freq="3h", extent=extent
    )
)


class Film:
    """A film that a notebook, and this page, shows."""

    def __init__(self, path):
        self.data = b64encode(path.read_bytes()).decode()

    def _repr_html_(self):
        source = f"data:image/gif;base64,{self.data}"
        return f'<img class="xrain-picture" alt="Storm" src="{source}">'


film = animate(parts, folder / "storm.gif", extent=extent, fps=1)
Film(film)

# %%
# Its frames side by side:

figure = plot_side_by_side(
    {str(t.values)[11:16]: parts.sel(time=t) for t in parts.time},
    extent=extent,
    borders=False,
    title="Means over three hours, by their middle",
)
