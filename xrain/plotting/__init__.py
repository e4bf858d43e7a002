"""Pictures of swaths; matplotlib and cartopy are imported when something is drawn."""

from xrain.plotting.animation import animate
from xrain.plotting.figures import plot, plot_rain, plot_side_by_side, plot_tb
from xrain.plotting.maps import packaged_map_dir, use_packaged_coastline

__all__ = [
    "animate",
    "packaged_map_dir",
    "plot",
    "plot_rain",
    "plot_side_by_side",
    "plot_tb",
    "use_packaged_coastline",
]
