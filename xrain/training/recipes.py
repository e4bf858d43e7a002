"""Recipes: all that remakes the packaged models from the files their cards name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xrain.collocation.transects import collocate_transects
from xrain.errors import InputError
from xrain.models.card import ModelCard
from xrain.sensors import packaged_sensors
from xrain.training.export import PixelFacts
from xrain.training.fit import Run
from xrain.training.observed_databases import make_databases
from xrain.training.pixel_stage import PixelSettings, PixelStage
from xrain.training.settings import settings

__all__ = ["RECIPES", "Recipe", "follow"]

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Recipe:
    """What models are made of.

    Attributes
    ----------
    transects, tables : tuple of str
        Files of real pixels, below the folder of data; see
        :func:`xrain.training.observed.read_observed`. Of the tables with ``phase`` the first is
        taken at its word.
    rain, validation_rain : tuple of str
        Files of radar composites whose rain is simulated, to learn from and to judge by.
    swaths : tuple of str
        Files of observed swaths without rain; see :mod:`xrain.training.unlabelled`.
    preset : str
        Settings of the second stage.
    pixels : dict
        Settings of the first stage that differ from the usual ones.
    neighbours : dict
        Settings of the second stage that differ from the preset's.
    threshold : float
        Probability above which precipitation is detected: the one of the greatest Heidke skill
        score on overpasses kept apart.
    sensors : tuple of str
        Instruments that the models are for; all packaged ones by default.
    databases : bool
        Whether databases for Bayesian inversion are made instead of a network, of transects and
        tables.
    """

    transects: tuple[str, ...]
    tables: tuple[str, ...]
    rain: tuple[str, ...] = ()
    validation_rain: tuple[str, ...] = ()
    swaths: tuple[str, ...] = ()
    preset: str = "cpu"
    pixels: dict[str, Any] = field(default_factory=dict)
    neighbours: dict[str, Any] = field(default_factory=dict)
    threshold: float = 0.4
    sensors: tuple[str, ...] = ()
    databases: bool = False


_TRANSECTS = ("transects/gmi_corra_conus.nc",)
_TABLES = (
    "matchups/gmi_dpr_phase.nc",
    "matchups/gmi_cpr_phase.nc",
    "matchups/gmi_era5_phase.nc",
    "matchups/gmi_dpr_rain.nc",
    "matchups/gmi_cpr_snow.nc",
)

_LEARNED = ("GMI", "TMI", "AMSR2", "AMSRE", "SSMI", "SSMIS", "ATMS", "MHS", "AMSUB", "SAPHIR")

RECIPES = {
    "brain": Recipe(_TRANSECTS, _TABLES, databases=True, sensors=_LEARNED),
    "constellation": Recipe(
        transects=_TRANSECTS,
        tables=_TABLES,
        rain=("radar/mrms_conus_20190610.nc",),
        validation_rain=("radar/opera_europe_20180824.nc",),
        swaths=(
            "swaths/mhs_metopb_20201012T15.nc",
            "swaths/mhs_metopb_20201026T21_antarctic.nc",
        ),
        pixels={"steps": 8000},
        sensors=_LEARNED,
        neighbours={"simulated": 0.75, "steps": 10000},
    ),
}
"""Recipes by name."""


def follow(
    recipe: Recipe,
    data: Path,
    output: Path,
    *,
    sensors: tuple[str, ...] = (),
    seed: int = 1,
    version: int = 1,
    device: str = "cpu",
    cache: Path | None = None,
    report: Report | None = None,
) -> list[ModelCard]:
    """Make a network or databases as a recipe says, and export them as models.

    A network's branch for single pixels learns from observations, then that for neighbours from
    simulated swaths and from the transects. What a run that was interrupted has done is not done
    again.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    data : Path
        Folder of the files that the recipe names.
    output : Path
        Folder of the run.
    sensors : tuple of str
        Instruments, by default those of the recipe.
    seed, version : int
        Random seed, and version of the models.
    device : str
        Where the neighbour branch is trained; all else stays on the CPU.
    cache : Path, optional
        Where simulated samples are kept.
    report : callable, optional
        Called with the facts of each stage.

    Returns
    -------
    list of ModelCard
        Cards of the models below ``output / "models"``.

    Raises
    ------
    InputError
        If a file is missing, or the folder holds a run with other settings.
    """
    sensors = sensors or recipe.sensors
    found = {
        name: _present(data, getattr(recipe, name))
        for name in ("transects", "tables", "rain", "validation_rain", "swaths")
    }
    if recipe.databases:
        return make_databases(
            output, found["transects"], found["tables"], sensors=sensors, seed=seed,
            version=version, cache=cache, report=report,
        )  # fmt: skip
    store = output / "transects.zarr"
    collocate_transects(found["transects"], store)
    chosen = settings(
        recipe.preset, sensors or _all(), seed=seed, rain=found["rain"],
        radar=found["validation_rain"], swaths=found["swaths"], stores=(str(store),),
        matchups=found["tables"],
        **{"pixel_steps": 0, **recipe.neighbours},
    )  # fmt: skip
    usual = PixelSettings(found["transects"], found["tables"], chosen.sensors, seed=seed)
    first = PixelStage(output / "pixel", replace(usual, **recipe.pixels), chosen.config)
    first.train(report)
    run = Run(output, chosen, device, cache)
    pixel = {f"pixel.{k}": v for k, v in first.result().state_dict().items()}
    run.start_from({**run.network.state_dict(), **pixel})
    run.train(report)
    return run.publish(version, pixels=_facts(first, recipe))


def _facts(stage: PixelStage, recipe: Recipe) -> PixelFacts:
    """Tell the cards what the single-pixel branch learned from."""
    s = stage.settings
    training = {
        "transects": [Path(p).name for p in s.transects],
        "matchups": [Path(p).name for p in s.tables],
        "pixel_steps": s.steps,
    }
    return PixelFacts(tuple(stage.frequencies), recipe.threshold, training)


def _all() -> tuple[str, ...]:
    return tuple(s.name for s in packaged_sensors().values())


def _present(data: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """Paths of files; all must be there."""
    paths = [data / name for name in names]
    if lost := [str(p) for p in paths if not p.is_file()]:
        raise InputError(f"the recipe needs {', '.join(lost)}")
    return tuple(map(str, paths))
