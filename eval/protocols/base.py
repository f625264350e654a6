"""What every protocol says of itself, and what its run gives back."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from eval.cells.cell import ResolvedCell


@dataclass
class Outcome:
    """Predictions of a cell and what the record needs besides."""

    videos: list[str]
    labels: np.ndarray  # (N,) int64 classes or counts, or (N, C) bool of a multi-label dataset
    scores: np.ndarray  # (N, C) float; (N, 1) for counts
    unscored: list[dict]
    num_listed: int
    num_train: int
    num_train_skipped: int
    selection: dict
    subset: dict | None = None
    batch_size: int | None = None
    num_processes: int = 1
    notes: list[str] = field(default_factory=list)
    # name, num_frames, stride_frames, views (CLIPSxCROPS): which frames were seen
    sampling: dict | None = None
    others: dict[str, float] = field(default_factory=dict)  # further numbers for the record, by name


class Protocol:
    """A way of measuring an encoder on a dataset.

    Attributes:
        name, version: `version` is raised, with a dated line in the protocol's file, when its numbers would change.
        evaluator_version: Of the code that turns outputs into scores.
        source: Where the protocol is described.
        metric: Name in `eval.metrics.METRICS`; empty where the dataset's card says it.
        uses_torch: False where nothing of it does, which spares its cells the seconds that importing torch takes.
    """

    name: str = ''
    version: int = 1
    evaluator_version: int = 1
    source: str = ''
    metric: str = ''
    uses_torch: bool = True

    def metric_of(self, resolved: ResolvedCell) -> str:
        """The primary metric of a cell."""
        return self.metric or resolved.dataset.info['metric']

    def num_classes(self, resolved: ResolvedCell) -> int:
        """Classes that the encoder is asked to tell apart."""
        return resolved.dataset.num_classes

    def config(self, resolved: ResolvedCell) -> dict:
        """All settings of the cell, joined from its cards; part of its identity."""
        raise AssertionError('a protocol says what its config is')

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Measure."""
        raise AssertionError('a protocol says how it runs')
