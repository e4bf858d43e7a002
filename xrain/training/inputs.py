"""What a run learns from and is judged by: simulated samples, stores, matched pixels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xrain.collocation.store import read_attrs
from xrain.sensors import Channel
from xrain.training.align import Alignment, align_samples
from xrain.training.archive import Archive, open_archive
from xrain.training.batches import Source, simulated_sources
from xrain.training.export import class_frequencies, describe_data
from xrain.training.matched_pixels import Reality, read_real
from xrain.training.samples import Plan, Shard, load_samples, make_samples
from xrain.training.settings import Settings
from xrain.training.unlabelled import Unlabelled, read_unlabelled
from xrain.training.validation import Judged

JUDGED = 256
"""Patches of a store by which a run is judged at most, spread over the validation days."""

TYPICAL = 1024
"""Patches of a store from which its ranges and frequencies are told at most."""

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Inputs:
    """Data of one run.

    Parameters
    ----------
    settings : Settings
        Which data.
    cache : Path
        Where simulated samples and unpacked stores are kept.
    report : callable, optional
        Called with ``samples`` and ``of`` while they are made.
    """

    settings: Settings
    cache: Path
    report: Report | None = None

    @property
    def channels(self) -> dict[str, Sequence[Channel]]:
        """Channels that are shown, by instrument."""
        return {s: self.settings.channels_of(s) for s in self.settings.sensors}

    def simulated(self, *plans: Plan) -> dict[str, Shard]:
        """Make and read simulated samples; none where only stores are learned from."""
        if not self.settings.simulated_share:
            return {}
        samples, alignments = self._made(*plans), self.alignments
        return {s: alignments[s].move(x) if s in alignments else x for s, x in samples.items()}

    def _made(self, *plans: Plan) -> dict[str, Shard]:
        make_samples(self.cache, *plans, progress=self._progress)
        return load_samples(self.cache, *plans, channels=self.settings.channels)

    @functools.cached_property
    def alignments(self) -> dict[str, Alignment]:
        """Where simulated samples go, by instrument, if there are granules to align with."""
        if not self.settings.align:
            return {}
        names = {s: [c.name for c in channels] for s, channels in self.channels.items()}
        samples = self._made(*self.settings.training_plans)
        return align_samples(samples, names, self.settings.align)

    @functools.cached_property
    def swaths(self) -> list[Unlabelled]:
        """Observed swaths without rain."""
        return [read_unlabelled(path) for path in self.settings.swaths]

    def archives(self, split: str) -> list[Archive]:
        """Open the stores, patches of one purpose."""
        names = {s: [c.name for c in channels] for s, channels in self.channels.items()}
        cache = self.cache / "stores"
        return [
            open_archive(
                path,
                split,
                cache,
                names[read_attrs(path)["sensor"]],
                self._progress,
                stream=self.settings.stream,
            )
            for path in self.settings.stores
        ]

    def held_out(self) -> list[Judged]:
        """Read what to judge by: days of the stores kept apart, or else simulated swaths."""
        channels = self.channels
        if self.settings.stores:
            return [(a.some(JUDGED), channels[a.sensor]) for a in self.archives("validation")]
        return [(x, channels[s]) for s, x in self.simulated(self.settings.judging_plan).items()]

    def learned(self) -> Learned:
        """Read what to learn from."""
        samples = self.simulated(*self.settings.training_plans)
        return Learned(samples, self.archives("train"), self.settings.simulated_share)

    def reality(self, samples: Mapping[str, Shard]) -> Reality | None:
        """Read the matched pixels; their prior is the frequency of rain in the samples."""
        s = self.settings
        if not s.matchups:
            return None
        tables = [read_real(path, s.channels) for path in s.matchups]
        if s.folds > 1:
            tables = [t.split(s.fold, s.folds)[0] for t in tables]
        prior = 1.0 - class_frequencies(samples, s.config.edges)[0]
        return Reality(tuple(tables), s.config.edges, prior, s.real, s.detection)

    def matched(self) -> dict[str, npt.NDArray[np.float32]]:
        """Brightness temperatures of the matched pixels by the instrument of their channels."""
        parts: dict[str, list[npt.NDArray[np.float32]]] = {}
        for path in self.settings.matchups:
            table = read_real(path, self.settings.channels)
            for sensor, channels in self.channels.items():
                if channels == table.channels:
                    parts.setdefault(sensor, []).append(table.tb)
        return {sensor: np.concatenate(tb) for sensor, tb in parts.items()}

    @property
    def _progress(self) -> Callable[[int, int], None] | None:
        report = self.report
        if report is None:
            return None
        return lambda done, total: report({"samples": done, "of": total})


@dataclass(frozen=True)
class Learned:
    """Samples to learn from.

    Attributes
    ----------
    samples : dict of str to Shard
        Simulated samples by instrument.
    archives : list of Archive
        Stores.
    share : float
        Share of the batches that are simulated.
    """

    samples: dict[str, Shard]
    archives: list[Archive]
    share: float

    def sources(self) -> list[Source]:
        """Draw from simulated samples and from stores, of each kind by number of patches."""
        total = sum(len(a.known) for a in self.archives)
        stored = [a.source((1 - self.share) * len(a.known) / total) for a in self.archives]
        return simulated_sources(self.samples, self.share) + stored

    def typical(self) -> dict[str, Shard]:
        """Pixels by instrument that stand for what models will meet: observed, if there are any.

        Those of stores are laid out as one row, since their patches may differ in size.
        """
        rows: dict[str, list[Shard]] = {}
        for archive in self.archives:
            rows.setdefault(archive.sensor, []).append(archive.some(TYPICAL))
        return self.samples | {sensor: _in_a_row(shards) for sensor, shards in rows.items()}

    def told(self) -> dict[str, Any]:
        """Say on cards what was learned from."""
        stored = [a.facts for a in self.archives]
        rain = [shard.rain for shard in self.samples.values()]
        patches = [len(r) for r in rain] + [f["patches"] for f in stored]
        pixels = [int(np.isfinite(r).sum()) for r in rain] + [f["pixels"] for f in stored]
        return {
            "data": describe_data(stored, self.share),
            "stores": stored,
            "simulated": self.share,
            "patches": sum(patches),
            "pixels": sum(pixels),
        }


def _in_a_row(shards: Sequence[Shard]) -> Shard:
    tb = np.concatenate([s.tb.reshape(1, 1, -1, s.tb.shape[-1]) for s in shards], axis=2)
    names = ("rain", "incidence", "land")
    rows = {n: [getattr(s, n).reshape(1, 1, -1) for s in shards] for n in names}
    return Shard(tb, **{n: np.concatenate(parts, axis=2) for n, parts in rows.items()})
