"""The ``ds.rain`` accessor: one line a method, all logic elsewhere.

``ds.rain`` gives way: where a dataset has a variable, a coordinate or an attribute of that name,
it means that, as in plain xarray. ``ds.xrain`` is the accessor in every case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import xarray as xr

if TYPE_CHECKING:
    from xrain.models.store import Model
    from xrain.sensors import Channel, Sensor


@xr.register_dataset_accessor("xrain")  # type: ignore[no-untyped-call]
class RainAccessor:
    """Rain from the brightness temperatures of a dataset.

    Parameters
    ----------
    ds : xarray.Dataset
        A swath ``tb(scan, pixel, channel)``, a table ``tb(sample, channel)``, or the result of
        a retrieval.

    Examples
    --------
    >>> import xrain
    >>> from xrain.testing import fake_swath
    >>> ds = fake_swath("GMI", 24, 24)
    >>> rain = ds.rain.retrieve()
    >>> rain["surface_precip"].dims
    ('scan', 'pixel')
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def __repr__(self) -> str:
        from xrain.display import as_text
        from xrain.retrieval.describe_input import described

        return as_text(*described(self._ds))

    def _repr_html_(self) -> str:
        from xrain.display import as_html
        from xrain.retrieval.describe_input import described

        return as_html(*described(self._ds))

    @property
    def sensor(self) -> Sensor | None:
        """The instrument's table, or None where the attributes name none that is known."""
        from xrain.retrieval.dataset import dataset_sensor

        return dataset_sensor(self._ds)

    @property
    def channels(self) -> list[Channel]:
        """What is known of each channel of ``tb``, in its order."""
        from xrain.retrieval.dataset import dataset_channels

        return dataset_channels(self._ds)

    def check(self, model: str | Model | None = None) -> list[str]:
        """Say every problem of a model with this dataset; see :func:`xrain.check`."""
        from xrain.retrieval.dataset import check

        return check(self._ds, model)

    def retrieve(
        self,
        model: str | Model | None = None,
        *,
        device: str | None = None,
        quantiles: Sequence[float] | None = None,
        precision: str = "float32",
        given_rain: bool = False,
        prior: Any = None,
    ) -> xr.Dataset:
        """Retrieve surface precipitation; see :func:`xrain.retrieve`."""
        from xrain.retrieval.dataset import QUANTILES, retrieve

        return retrieve(
            self._ds,
            model,
            device=device,
            quantiles=QUANTILES if quantiles is None else quantiles,
            precision=precision,
            given_rain=given_rain,
            prior=prior,
        )

    def crop(self, extent: tuple[float, float, float, float]) -> xr.Dataset:
        """Cut to a box: west, east, south, north; see :func:`xrain.geo.extent.crop`."""
        from xrain.geo.extent import crop

        return crop(self._ds, extent)

    def add_ancillary(self, source: Any) -> xr.Dataset:
        """Add fields of a model that sharpen the phase; see :func:`xrain.add_ancillary`."""
        from xrain.io.ancillary import add_ancillary

        return add_ancillary(self._ds, source)

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


class _Rain:
    """The attribute ``rain`` of every dataset.

    xarray imports every engine, and with it this module, at the first file that anybody opens.
    So the attribute must not hide what a dataset itself calls ``rain``; and it is not cached, for
    a variable may be added later.
    """

    name = "rain"

    @overload
    def __get__(self, ds: None, owner: type[xr.Dataset]) -> type[RainAccessor]: ...
    @overload
    def __get__(self, ds: xr.Dataset, owner: type[xr.Dataset]) -> Any: ...
    def __get__(self, ds: xr.Dataset | None, owner: type[xr.Dataset]) -> Any:
        if ds is None:
            return RainAccessor
        if self.name in ds.variables:
            return ds[self.name]
        return ds.attrs[self.name] if self.name in ds.attrs else RainAccessor(ds)


setattr(xr.Dataset, _Rain.name, _Rain())
