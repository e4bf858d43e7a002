"""The ``ds.rain`` accessor: one line a method, all logic elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    from xrain.models.store import Model
    from xrain.sensors import Channel, Sensor


@xr.register_dataset_accessor("rain")  # type: ignore[no-untyped-call]
class RainAccessor:
    """Rain from the brightness temperatures of a dataset.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath ``tb(scan, pixel, channel)``, a table ``tb(sample, channel)``, or the result of
        a retrieval.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    @property
    def sensor(self) -> Sensor | None:
        """The instrument's table, or None where the attributes name none that is known."""
        from xrain.retrieval import dataset_sensor

        return dataset_sensor(self._ds)

    @property
    def channels(self) -> list[Channel]:
        """What is known of each channel of ``tb``, in its order."""
        from xrain.retrieval import dataset_channels

        return dataset_channels(self._ds)

    def check(self, model: str | Model | None = None) -> list[str]:
        """Say every problem of a model with this dataset; see :func:`xrain.check`."""
        from xrain.retrieval import check

        return check(self._ds, model)

    def retrieve(
        self,
        model: str | Model | None = None,
        *,
        device: str | None = None,
        quantiles: Sequence[float] | None = None,
        precision: str = "float32",
    ) -> xr.Dataset:
        """Retrieve surface precipitation; see :func:`xrain.retrieve`."""
        from xrain.retrieval import QUANTILES, retrieve

        levels = QUANTILES if quantiles is None else quantiles
        return retrieve(self._ds, model, device=device, quantiles=levels, precision=precision)

    def resample(self, area: Any, method: str = "nearest", **options: Any) -> xr.Dataset:
        """Bring the dataset onto an area or another swath; see :func:`xrain.resample`."""
        from xrain.regrid import resample

        return resample(self._ds, area, method, **options)

    def evaluate(self, reference: xr.Dataset, **options: Any) -> xr.Dataset:
        """Score a retrieval; see :func:`xrain.evaluation.evaluate.evaluate`."""
        from xrain.evaluation.evaluate import evaluate

        return evaluate(self._ds, reference, **options)

    def plot(self, **options: Any) -> Any:
        """Draw a map, of ``tb`` where there is no rain; see :func:`xrain.plotting.plot`."""
        from xrain.plotting import plot

        return plot(self._ds, **options)
