"""Retrieval of Dask arrays: one task for each tile, with the halo that makes it exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xrain.models.outliers import STUCK_SCANS
from xrain.retrieval.block import (
    DTYPES,
    BlockArrays,
    Extent,
    Planes,
    RetrievalConfig,
    retrieve_block,
)
from xrain.retrieval.describe import join_planes
from xrain.retrieval.tiles import plan, segments
from xrain.workers import keep_memory

if TYPE_CHECKING:
    from xrain.models.architecture import Shape

__all__ = ["LAZY_ROWS", "retrieve_lazily"]

LAZY_ROWS = 1024
"""Scans of one task, at least."""


def retrieve_lazily(
    config: RetrievalConfig,
    arrays: BlockArrays,
    breaks: npt.NDArray[np.intp],
    shape: Shape,
) -> list[Planes]:
    """Retrieve Dask arrays.

    Parameters
    ----------
    config : RetrievalConfig
        What every block knows.
    arrays : BlockArrays
        Whole swath, or a table of pixels.
    breaks : ndarray of int
        Scans that follow an interruption.
    shape : Shape
        Halo of the network.

    Returns
    -------
    list of Planes
        Dask arrays, one set for each of ``config.conditions``.
    """
    import dask.array as da

    tb = arrays.tb
    if tb.ndim == 2:
        return _delayed(config, arrays, Extent(0, len(tb), 0, len(tb)))
    halo = max(shape.halo, STUCK_SCANS - 1)
    rows = max(tb.chunks[0]) if hasattr(tb, "chunks") else LAZY_ROWS
    step = min(max(rows, LAZY_ROWS), 4 * LAZY_ROWS)
    parts = []
    for first, last in segments(breaks, len(tb)):
        for tile in plan(last - first, step, halo):
            here = arrays.rows(first + tile.low, first + tile.high)
            extent = Extent(tile.start - tile.low, tile.stop - tile.low, tile.low, last - first)
            parts.append(_delayed(config, here, extent))
    return [join_planes(p, da.concatenate) for p in zip(*parts, strict=True)]


def _run(config: RetrievalConfig, extent: Extent, *arrays: Any) -> list[Planes]:
    keep_memory()
    return retrieve_block(config, BlockArrays(*arrays), extent)


def _delayed(config: RetrievalConfig, arrays: BlockArrays, extent: Extent) -> list[Planes]:
    """Make one task, and its planes."""
    import dask
    import dask.array as da

    task = dask.delayed(_run, pure=True)(config, extent, *arrays)
    pixels = (extent.stop - extent.start, *arrays.tb.shape[1:-1])
    shapes = Planes.shapes(len(config.quantiles), pixels)
    return [
        Planes(
            *(
                da.from_delayed(task[k][i], shape, meta=np.zeros((0,) * len(shape), dtype))
                for i, (shape, dtype) in enumerate(zip(shapes, DTYPES, strict=True))
            )
        )
        for k in range(len(config.conditions))
    ]
