"""Shows test videos to a trained cell in several variants, block by block, with the scores kept on disk.

Every video is decoded once for all variants. Scores are kept in `<work_dir>/robustness/<encoder>/<hash>/`, one file per
variant and block of videos, so a sweep that was killed goes on where it was. A forward pass holds one video in one
variant, with all its views. So no score depends on its neighbours in a batch, on workers, or on where a sweep stopped.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from eval.cells.cell import ResolvedCell
from eval.cells.machine import num_workers
from eval.corruptions.shown import CorruptedClips, Store, Variant, one, why_not_shown
from eval.protocols.applied import Applied
from eval.records import identity_hash
from sigma.data.loading import watched
from sigma.errors import DataError
from sigma.processes import progress_bar

LOG = logging.getLogger(__name__)


@dataclass
class Showing:
    """Test videos in several variants, and a trained cell that scores them.

    Attributes:
        resolved: The cell that measures; its config has `working_short_side`, its recipe `block_videos`.
        trained: The cell whose sampling and weights are used.
        applied: The weights.
        entries: Of the test list.
        failed: {position: reason} of videos that cannot be shown; filled by `scores`.
    """

    resolved: ResolvedCell
    trained: ResolvedCell
    applied: Applied
    entries: list[dict]
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def block_videos(self) -> int:
        """Videos whose scores are kept together."""
        return self.resolved.recipe['block_videos']

    def store(self, work_dir: str | Path, **settings) -> Store:
        """Where the scores are kept; `settings` is what they depend on besides weights, working size and blocks."""
        key = {
            'version': self.resolved.protocol.version,
            'trained': self.trained.id,
            'weights': self.applied.weights,
            'short_side': self.resolved.config['working_short_side'],
            'block': self.block_videos,
        } | settings
        return Store(Path(work_dir) / 'robustness' / self.resolved.encoder.name / identity_hash(key)[:32])

    def scores(self, variants: Sequence[Variant], store: Store) -> Iterator[tuple[Variant, np.ndarray, np.ndarray]]:
        """(variant, positions (n,), scores (n, C)) block by block, from the store or by showing the videos."""
        size = self.block_videos
        for position, entry in enumerate(self.entries):
            if (reason := why_not_shown(entry, variants)) is not None:
                self.failed[position] = reason
        for start in range(0, len(self.entries), size):
            positions = range(start, min(start + size, len(self.entries)))
            left = [variant for variant in variants if not store.has(variant, start)]
            found, errors = self.block(positions, left) if left else ({}, {})
            surprises = {position: reason for position, reason in errors.items() if position not in self.failed}
            self.failed |= surprises
            for variant in variants:
                if variant in left:
                    rows = found.get(variant.name, {})
                    where, scores = np.array([*rows], dtype=np.int64), np.array([*rows.values()], dtype=np.float32)
                    if not surprises:  # else the next run tries again: the index did not foresee this failure
                        store.write(variant, start, where.tolist(), scores)
                else:
                    where, scores = store.read(variant, start)
                if len(where):
                    yield variant, where, scores
            LOG.info(
                '%d of %d videos, %d of %d columns new', positions[-1] + 1, len(self.entries), len(left), len(variants)
            )

    def block(
        self, positions: range, variants: Sequence[Variant]
    ) -> tuple[dict[str, dict[int, np.ndarray]], dict[int, str]]:
        """{column: {position: scores (C,)}} in the order of the list, and {position: reason} of the failures."""
        clips = CorruptedClips(
            self.entries,
            positions,
            pipeline_of(self.trained.config),
            variants,
            self.resolved.config['working_short_side'],
            self.resolved.cell.seed,
        )
        found: dict[str, dict[int, np.ndarray]] = {variant.name: {} for variant in variants}
        errors = {}
        what = f'videos {positions[0] + 1} to {positions[-1] + 1} under {len(variants)} variants'
        loader = watched(DataLoader(clips, batch_size=1, num_workers=num_workers(), collate_fn=one))
        with progress_bar(what, len(positions) * len(variants)) as advance:
            for position, name, sample, error in loader:
                if error is not None:
                    errors[position] = error
                else:
                    found[name][position] = self.applied.scores(sample)
                advance()
        return {name: dict(sorted(rows.items())) for name, rows in found.items()}, errors

    def unscored(self) -> list[dict]:
        """{video, reason} of the videos that could not be shown, for the record."""
        return [
            {'video': self.entries[position]['video'], 'reason': self.failed[position]}
            for position in sorted(self.failed)
        ]

    def scored(self) -> list[int]:
        """Positions of the videos that were shown.

        Raises:
            DataError: if there is none, with the reason for the first.
        """
        scored = [position for position in range(len(self.entries)) if position not in self.failed]
        if not scored:
            first = min(self.failed)
            raise DataError(
                f'{self.resolved.dataset.name}: none of {len(self.entries)} test videos could be shown, first '
                f'{self.entries[first]["video"]}: {self.failed[first]}.'
            )
        return scored


def pipeline_of(config: dict) -> list[dict]:
    """Evaluation pipeline of a fine-tuned or frozen cell."""
    return config['pipeline'] if 'pipeline' in config else config['test_dataloader']['dataset']['pipeline']
