"""From brightness temperatures to rain: datasets, blocks, tiles, batches of files."""

from xrain.retrieval.dataset import check, retrieve
from xrain.retrieval.scans import find_breaks as _breaks

__all__ = ["_breaks", "check", "retrieve"]
