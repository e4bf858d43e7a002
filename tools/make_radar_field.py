"""Cut the radar field that ships with the package out of an MRMS composite.

    python tools/make_radar_field.py mrms_conus_20190610.nc

Multi-Radar/Multi-Sensor System (MRMS) of NOAA's National Severe Storms Laboratory, public domain:
the surface rain rate at three times over the south-east of the United States, averaged from
0.01 to 0.04 degrees.
"""

from __future__ import annotations

import sys

import numpy as np
import xarray as xr

from xrain.atomic import replacing
from xrain.demo import demo_radar

BOX = {"latitude": slice(38.0, 27.0), "longitude": slice(-91.0, -77.0)}
STEP = 4
LIMIT = 1e6
"""Bytes that the field may take in the package."""
SOURCE = "NOAA/NSSL Multi-Radar/Multi-Sensor System (MRMS), surface rain rate; public domain"


def main(path: str) -> None:
    """Average, round to 0.02 mm/h, write, and say how large the file is."""
    with xr.open_dataset(path) as ds:
        rate = ds.rain_rate.sel(BOX).load()
    steps = {"latitude": STEP, "longitude": STEP}
    seen = rate.notnull().coarsen(steps, boundary="trim").mean()
    rate = rate.coarsen(steps, boundary="trim").mean().where(seen > 0.5)
    field = rate.round(2).assign_attrs(units="mm h-1", long_name="rain rate").to_dataset()
    field = field.assign_coords({k: field[k].round(3) for k in steps})
    field.latitude.attrs = {"units": "degrees_north", "standard_name": "latitude"}
    field.longitude.attrs = {"units": "degrees_east", "standard_name": "longitude"}
    field.attrs = {"source": SOURCE, "comment": "averaged from 0.01 to 0.04 degrees"}
    packed = {"dtype": "i2", "scale_factor": 0.02, "_FillValue": np.int16(-1), "zlib": True}
    with replacing(demo_radar()) as draft:
        encoding = {"rain_rate": packed | {"complevel": 9, "shuffle": True}}
        field.to_netcdf(draft, engine="h5netcdf", encoding=encoding)
    size = demo_radar().stat().st_size
    print(f"{demo_radar()}: {size / 1e6:.2f} MB, at most {float(field.rain_rate.max()):.0f} mm/h")
    if size > LIMIT:
        raise SystemExit("too large for the package: cut a smaller box")


if __name__ == "__main__":
    main(sys.argv[1])
