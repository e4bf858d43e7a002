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

    See Also
    --------
    xrain.retrieve, xrain.open_l1c, xrain.from_scene

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
        """The instrument's table, or None where the attributes name none that is known.

        See Also
        --------
        xrain.get_sensor : The same by name.

        Examples
        --------
        >>> from xrain.testing import fake_swath
        >>> fake_swath("MHS", 8, 8).rain.sensor.long_name
        'Microwave Humidity Sounder'
        """
        from xrain.retrieval.dataset import dataset_sensor

        return dataset_sensor(self._ds)

    @property
    def channels(self) -> list[Channel]:
        """What is known of each channel of ``tb``, in its order.

        Raises
        ------
        InputError
            If there are no channel names.

        See Also
        --------
        xrain.sensors.Channel : What is known of a channel.

        Examples
        --------
        >>> from xrain.testing import fake_swath
        >>> [channel.frequency for channel in fake_swath("MHS", 8, 8).rain.channels]
        [89.0, 157.0, 183.31, 183.31, 190.31]
        """
        from xrain.retrieval.dataset import dataset_channels

        return dataset_channels(self._ds)

    def check(self, model: str | Model | None = None) -> list[str]:
        """List what keeps a model from working, or from working well, on this dataset.

        Parameters
        ----------
        model : str, path or Model, optional
            By default the model of the dataset's sensor.

        Returns
        -------
        list of str
            One sentence per problem, as of :func:`xrain.check`; empty if there is none.

        See Also
        --------
        xrain.check : The same as a function.

        Examples
        --------
        >>> from xrain.testing import fake_swath
        >>> ds = fake_swath("GMI", 24, 16)
        >>> ds.where(ds.channel != "36.64V").rain.check()
        ['channels without any value: 36.64V']
        """
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
        """Retrieve surface precipitation from brightness temperatures.

        Parameters
        ----------
        model : str, path or Model, optional
            By default the model of the dataset's sensor.
        device : str, optional
            ``"cpu"``, ``"cuda"`` …; by default a GPU where there is one.
        quantiles : sequence of float, optional
            Quantiles of the rate, each in (0, 1); by default 0.05, 0.5 and 0.95.
        precision : {"float32", "bfloat16"}
            Arithmetic of the network.
        given_rain : bool
            Give mean and quantiles on the condition that it rains at least 0.1 mm/h.
        prior : float or array_like, optional
            Frequency of rain of at least 0.1 mm/h before the measurement, in (0, 1).

        Returns
        -------
        xarray.Dataset
            Rate (mm h-1), quantiles, probability, phase and flags on the pixels of ``tb``; every
            variable is described at :func:`xrain.retrieve`.

        Raises
        ------
        ModelError
            If the model is unknown, or cannot work on the dataset.
        InputError
            If an argument is out of range, or a Dask array does not know its shape.

        See Also
        --------
        xrain.retrieve : The same as a function, with all that it returns.
        xrain.retrieve_files : Many granules, from files to files.

        Examples
        --------
        >>> from xrain.testing import fake_swath
        >>> rain = fake_swath("GMI", 24, 16).rain.retrieve(quantiles=(0.5, 0.99))
        >>> rain["surface_precip_quantile"].sizes["quantile"]
        2
        """
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
        """Cut the dataset to the part that lies in a box.

        Parameters
        ----------
        extent : tuple of float
            West, east, south and north in degrees; west > east crosses the date line.

        Returns
        -------
        xarray.Dataset
            As of :func:`xrain.geo.extent.crop`.

        Raises
        ------
        InputError
            If the extent is no box.
        NoOverlapError
            If nothing lies in it.

        See Also
        --------
        xrain.geo.extent.crop : The same as a function.

        Examples
        --------
        >>> from xrain.testing import fake_swath
        >>> ds = fake_swath("GMI", 24, 16)
        >>> south, north = float(ds.latitude.min()), float(ds.latitude[12].min())
        >>> ds.rain.crop((-180, 180, south, north)).sizes["scan"] < 24
        True
        """
        from xrain.geo.extent import crop

        return crop(self._ds, extent)

    def add_ancillary(self, source: Any) -> xr.Dataset:
        """Add air temperature, water vapour and skin temperature of a model to the pixels.

        Parameters
        ----------
        source : xarray.Dataset or path
            Fields of ERA5 or another model, as for :func:`xrain.add_ancillary`.

        Returns
        -------
        xarray.Dataset
            The dataset with the fields, by which :meth:`retrieve` tells rain from snow better.

        Raises
        ------
        InputError
            If the source has none of the fields, or they do not fit the pixels.
        FileFormatError
            If the file cannot be read.

        See Also
        --------
        xrain.add_ancillary : The same as a function, with an example.
        """
        from xrain.io.ancillary import add_ancillary

        return add_ancillary(self._ds, source)

    def resample(self, area: Any, method: str = "nearest", **options: Any) -> xr.Dataset:
        """Bring the dataset onto a map grid, or onto another swath.

        Parameters
        ----------
        area : AreaDefinition, DynamicAreaDefinition, str, xarray.Dataset or SwathDefinition
            An area of pyresample or its name, a resolution such as ``"0.1deg"`` or ``"5km"``, or
            another swath.
        method : {"nearest", "bilinear", "ewa", "average", "gaussian"}
            How the value of a cell is found.
        **options
            As for :func:`xrain.resample`.

        Returns
        -------
        xarray.Dataset
            On dimensions (y, x), or those of the other swath.

        Raises
        ------
        InputError
            If area or method is unknown, or the area does not meet the swath.

        See Also
        --------
        xrain.resample : The same as a function, with all methods explained.
        xrain.grid_rain : Means of many granules on one grid.

        Examples
        --------
        >>> from xrain.testing import fake_swath
        >>> rain = fake_swath("GMI", 24, 24).rain.retrieve()
        >>> rain.rain.resample("0.25deg")["surface_precip"].dims
        ('y', 'x')
        """
        from xrain.regrid import resample

        return resample(self._ds, area, method, **options)

    def evaluate(self, reference: xr.Dataset, **options: Any) -> xr.Dataset:
        """Score the retrieval against a reference on the same pixels.

        Parameters
        ----------
        reference : xarray.Dataset
            ``surface_precip`` in mm h-1 on the same pixels, such as the truth of a simulated
            granule or the result of :func:`xrain.match_reference`.
        **options
            As for :func:`xrain.evaluation.evaluate.evaluate`.

        Returns
        -------
        xarray.Dataset
            One variable per score, by stratum.

        Raises
        ------
        InputError
            If there is no rain, or the pixels of both are not the same.
        XrainError
            If the extra ``evaluate`` is not installed.

        See Also
        --------
        xrain.evaluation.evaluate.evaluate : The same as a function.
        xrain.compare : Several retrievals beside each other.

        Examples
        --------
        >>> from xrain.testing import fake_swath
        >>> rain = fake_swath("GMI", 24, 16).rain.retrieve()
        >>> scores = rain.rain.evaluate(rain[["surface_precip"]] * 0.5)
        >>> float(scores["correlation"].sel(stratum="all").round(3))
        1.0
        """
        from xrain.evaluation.evaluate import evaluate

        return evaluate(self._ds, reference, **options)

    def plot(self, **options: Any) -> Any:
        """Draw a map of the rain, or of ``tb`` where there is no rain yet.

        Parameters
        ----------
        **options
            As for :func:`xrain.plotting.plot_rain` or :func:`xrain.plotting.plot_tb`.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        InputError
            If an option is for rain and there is none, or nothing can be drawn.
        XrainError
            If the extra ``plot`` is not installed.

        See Also
        --------
        xrain.plot : The same as a function.
        xrain.plotting.plot_side_by_side : Several datasets.

        Examples
        --------
        >>> from xrain.testing import fake_swath
        >>> rain = fake_swath("GMI", 24, 16).rain.retrieve()
        >>> rain.rain.plot(panels=True).savefig("rain.png")
        """
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
