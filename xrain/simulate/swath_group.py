"""Join scan geometry and brightness temperatures into what the L1C writer wants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xrain.io.write_l1c import L1CGroup
from xrain.sensors import Channel
from xrain.simulate.orbit import ScanGeometry, local_solar_time

__all__ = ["geometry_group"]


def geometry_group(
    geometry: ScanGeometry, channels: Sequence[Channel], tc: NDArray[np.floating]
) -> L1CGroup:
    """Make a swath group of a granule.

    Parameters
    ----------
    geometry : ScanGeometry
        Geometry made for the first of `channels`; others with another nominal incidence angle
        get an angle of their own.
    channels : sequence of Channel
        Channels of the group.
    tc : array
        (scan, pixel, channel) brightness temperatures in K; stored to 0.01 K as in the archive.

    Returns
    -------
    L1CGroup
    """
    nominal = [c.incidence_angle for c in channels]
    angles = sorted(set(nominal), key=nominal.index)
    shifts = np.array(angles) - angles[0]
    return L1CGroup(
        tc=np.round(tc, 2),
        latitude=geometry.latitude,
        longitude=geometry.longitude,
        time=geometry.time,
        incidence_angle=np.round(geometry.incidence_angle[..., None] + shifts, 2),
        incidence_angle_index=tuple(angles.index(a) + 1 for a in nominal),
        sun_glint_angle=geometry.sun_glint_angle,
        sun_local_time=local_solar_time(geometry.time, geometry.longitude),
        spacecraft_latitude=geometry.spacecraft_latitude,
        spacecraft_longitude=geometry.spacecraft_longitude,
        spacecraft_altitude=geometry.spacecraft_altitude,
    )
