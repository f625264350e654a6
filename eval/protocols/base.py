"""The base class of every protocol, and what its run returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from eval.cells.cell import ResolvedCell
from sigma.configs import first_sentence
from sigma.settings import Settings

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Outcome:
    """Predictions of a cell, and what its record says besides.

    Attributes:
        videos: (N,) names of the scored videos.
        labels: (N,) int64 classes or counts; (N, C) bool for several labels per video.
        scores: (N, C) float; (N, 1) for counts.
        unscored: {video, reason} of every listed video without a score.
        num_listed: Videos of the test list: scored and unscored.
        num_train, num_train_skipped: Clips that were trained on, and those that could not be read.
        selection: `epoch` whose weights were scored, and `how` it was chosen.
        subset: `name`, `seed`, `sha256` of the training clips; None for all.
        batch_size: Clips per optimizer step over all processes; None where nothing is trained by steps.
        num_processes: Processes that trained together.
        notes: Sentences for the reader of the record.
        sampling: Which frames were seen: name, num_frames, stride_frames, views (CLIPSxCROPS).
        others: Further numbers for the record, by name.
    """

    videos: list[str]
    labels: np.ndarray
    scores: np.ndarray
    unscored: list[dict]
    num_listed: int
    num_train: int
    num_train_skipped: int
    selection: dict
    subset: dict | None = None
    batch_size: int | None = None
    num_processes: int = 1
    notes: list[str] = field(default_factory=list)
    sampling: dict | None = None
    others: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Departure:
    """One difference between how we compute a number and how the published code computes it.

    A protocol declares its own under `departures`; a recipe has a list of dicts with the same keys.
    `tools/departures.py` makes `docs/departures.md` from both.

    Attributes:
        what: The setting or step, in a few words.
        published: Its published value or behaviour, with the source.
        ours: Ours, and why.
        effect: What it changes in the score, with the number where it was measured.
    """

    what: str
    published: str
    ours: str
    effect: str = 'not measured'


class Protocol:
    """A way of measuring an encoder on a dataset.

    A class with a `name` is one protocol. A class with `instances` is several: one per entry. A protocol of this folder
    lies in the file with whose name its own begins (`repetition_frozen` in `repetition.py`), and is found by that.

    Attributes:
        name, version: Raise `version`, with a dated line in the protocol's file, when its numbers would change.
        evaluator_version: Version of the code that turns outputs into scores.
        source: Where the protocol is described.
        metric: Name in `eval.metrics.METRICS`; empty to take the one of the dataset's card.
        uses_torch: Set to False only if neither the protocol nor anything it calls uses torch. Its cells then start
            some seconds faster, and torch is not seeded. No protocol of this folder does; light protocols of users may.
        settings: The keys of its recipes (`eval/settings`). A recipe with any other key is refused before anything
            runs, and defaults are filled in. None, for protocols of users, checks nothing.
        instances: name -> arguments of the constructor, for a class that is several protocols. A literal, so that a
            listing reads it without running the file.
        told: What it measures, for listings, with arguments of the constructor in braces; by default the first sentence
            of the class.
        departures: From the published protocol; what is not among them is as published.
    """

    name: str = ''
    version: int = 1
    evaluator_version: int = 1
    source: str = ''
    metric: str = ''
    uses_torch: bool = True
    settings: Settings | None = None
    instances: ClassVar[Mapping[str, tuple]] = {}
    told: str = ''
    departures: tuple[Departure, ...] = ()

    def sentence(self) -> str:
        """What it measures, in a sentence for `--list protocols`."""
        return self.told.format(**vars(self)) if self.told else first_sentence(type(self).__doc__)

    def metric_of(self, resolved: ResolvedCell) -> str:
        """The primary metric of a cell."""
        return self.metric or resolved.dataset.needed('metric')

    def num_classes(self, resolved: ResolvedCell) -> int:
        """Classes that the encoder has to tell apart."""
        return resolved.dataset.num_classes

    def config(self, resolved: ResolvedCell) -> dict:
        """All settings of the cell, joined from its cards; part of its identity."""
        raise NotImplementedError(f'{type(self).__name__} has no config()')

    def needs(self, resolved: ResolvedCell) -> list[ResolvedCell]:
        """Cells whose trained weights this one measures; they run first. `config` must hold their ids.

        Resolve them with `resolved.cards.cell`, which does it once per plan.
        """
        return []

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Measure. The cells in `resolved.needs` have their record in `work_dir` (`eval.cells.trained`)."""
        raise NotImplementedError(f'{type(self).__name__} has no run()')
