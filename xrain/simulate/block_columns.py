"""Brightness temperatures of a whole scene, with few columns where nothing happens.

Dry cells over one kind of surface differ little from their neighbours, so four of them share one
column and are interpolated; every raining or coastal cell has its own. Seen through footprints,
that changes dry cells by about 1 K (root mean square) in the finest channels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrain.simulate.forward import ForwardModel
from xrain.simulate.scenes import Scene

__all__ = ["scene_columns"]

_SAME_LAND = 0.02  # spread of the land fraction within a block


def scene_columns(
    scene: Scene,
    model: ForwardModel,
    incidence_angle: Tensor,
    *,
    chosen: NDArray[np.bool_] | None = None,
    block: int = 2,
) -> Tensor:
    """Simulate the columns of a scene.

    Parameters
    ----------
    scene : Scene
        The scene.
    model : ForwardModel
        Any channels.
    incidence_angle : Tensor, (y, x, channel) or broadcastable to it
        Degrees.
    chosen : array of bool, optional
        (y, x) cells wanted; the others get the mean. All by default.
    block : int
        Cells along a block; 1 simulates every cell.

    Returns
    -------
    Tensor, (y, x, channel, 2)
        V and H in K.
    """
    shape = scene.rain.rate.shape
    wanted = np.ones(shape, bool) if chosen is None else chosen
    plain, centres = _plain_blocks(scene, block)
    row, column = np.arange(shape[0]) // block, np.arange(shape[1]) // block
    shared = plain[row[:, None], column[None, :]]
    own = wanted & ~shared
    used = np.zeros(plain.shape, bool)
    np.logical_or.at(used, (row[:, None], column[None, :]), wanted & shared)
    rows, columns = (c[used] for c in centres)
    own[rows, columns] = True
    angle = incidence_angle.expand(*shape, len(model.channels))
    mask = torch.from_numpy(own)
    values = model(scene.environment(own, model.device), angle[mask].to(model.device))
    out = values.mean(dim=0).expand(*shape, -1, -1).clone()
    out[mask.to(model.device)] = values
    if block > 1 and used.any():
        _fill(out, centres, used, wanted & shared, block)
    return out


def _plain_blocks(
    scene: Scene, size: int
) -> tuple[NDArray[np.bool_], tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Find dry blocks of one surface, and the cell in the middle of every block."""
    ny, nx = scene.rain.rate.shape
    my, mx = -(-ny // size), -(-nx // size)
    v = scene.variables

    def blocks(name: str) -> NDArray[np.float32]:
        padded = np.pad(v[name], ((0, my * size - ny), (0, mx * size - nx)), mode="edge")
        return padded.reshape(my, size, mx, size).transpose(0, 2, 1, 3).reshape(my, mx, -1)

    dry = (blocks("rain_rate").max(axis=-1) <= 0) & (blocks("rain_aloft").max(axis=-1) <= 0)
    even = np.ptp(blocks("land_fraction"), axis=-1) < _SAME_LAND
    alike = np.ptp(blocks("surface"), axis=-1) == 0
    y = np.minimum(np.arange(my) * size + size // 2, ny - 1)
    x = np.minimum(np.arange(mx) * size + size // 2, nx - 1)
    centres = np.meshgrid(y, x, indexing="ij")
    return dry & even & alike & (size > 1), (centres[0], centres[1])


def _fill(
    out: Tensor,
    centres: tuple[NDArray[np.intp], NDArray[np.intp]],
    used: NDArray[np.bool_],
    cells: NDArray[np.bool_],
    size: int,
) -> None:
    """Interpolate cells of plain blocks between the middles of plain blocks alone."""
    device = out.device
    coarse = out[centres[0], centres[1]].flatten(2).permute(2, 0, 1)
    weight = torch.from_numpy(used.astype(np.float32)).to(device)
    stack = torch.cat([coarse * weight, weight[None]])
    rows, columns = np.nonzero(cells)
    y = (rows - size // 2) / size
    x = (columns - size // 2) / size
    my, mx = used.shape
    grid = np.stack([2 * x / max(mx - 1, 1) - 1, 2 * y / max(my - 1, 1) - 1], axis=-1)
    where = torch.from_numpy(grid.astype(np.float32)).to(device)[None, None]
    got = torch.nn.functional.grid_sample(
        stack[None], where, mode="bilinear", padding_mode="border", align_corners=True
    )[0, :, 0]
    mean = (got[:-1] / got[-1].clamp_min(1e-3)).T.reshape(-1, *out.shape[2:])
    out[torch.from_numpy(cells).to(device)] = mean
