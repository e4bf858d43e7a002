"""Every error that xrain raises on purpose.

A message says what is wrong, where, and what to do about it; the command line prints it
without a traceback and exits with status 2.
"""

from __future__ import annotations


class XrainError(Exception):
    """Base of every error raised on purpose by xrain.

    See Also
    --------
    xrain.check : Lists problems instead of raising them.
    """


class FileFormatError(XrainError):
    """A file cannot be read: not HDF5, truncated, another product, a wrong shape."""


class UnknownSensorError(XrainError):
    """An instrument that no sensor table describes."""


class UnknownChannelError(XrainError):
    """A channel name that a sensor, a model or the simulator does not know."""


class InputError(XrainError):
    """A dataset or an argument that a function cannot work with."""


class MissingPackageError(XrainError, ImportError):
    """An optional dependency that is not installed."""


class NoOverlapError(InputError):
    """Two datasets that have no place and time in common."""


class ModelError(XrainError):
    """A model that is unknown, broken, or unfit for the dataset at hand."""


class FetchError(ModelError):
    """Weights that cannot be fetched: no server, wrong hash, cut-off body, offline."""


class OutputError(XrainError):
    """A result that cannot be written: no right to write, a full disk."""


class WorkerError(XrainError):
    """Work that was lost with the processes or the cluster that did it."""
