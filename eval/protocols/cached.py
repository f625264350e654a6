"""What the protocols share that read cached features of a frozen encoder: the view, one pass, the record.

Their features are those of `frozen_linear` under the same recipe settings, so several of them cost one encoder pass.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eval.cells.cell import ResolvedCell
from eval.features.views import describe_sampling, evaluation_pipeline, notes_on_stills, stride_of
from eval.protocols.base import Outcome, Protocol
from sigma.errors import DataError

if TYPE_CHECKING:  # a plan needs no torch
    import numpy as np

    from eval.features.clips import Features


class Cached(Protocol):
    """Reads features of both splits; a subclass turns them into scores."""

    def view(self, resolved: ResolvedCell) -> dict:
        """The part of the config that decides the features."""
        recipe, clip = resolved.recipe, resolved.encoder.info['clip']
        return {
            'backbone': resolved.encoder.backbone(),
            'normalisation': {'mean': list(resolved.encoder.mean), 'std': list(resolved.encoder.std)},
            'pipeline': evaluation_pipeline(
                clip, recipe['views'], stride_of(resolved), recipe['decoder'], recipe.get('frames')
            ),
        }

    def features(self, resolved: ResolvedCell, work_dir: Path) -> tuple[Features, Features]:
        """Features of train and test: read from the store, or extracted in one pass.

        Raises:
            DataError: if a split has no readable video.
        """
        from eval.features.clips import extract

        train, test = (extract(resolved, split, work_dir) for split in ('train', 'test'))
        for split, found in (('train', train), ('test', test)):
            if not found.videos:
                raise DataError(f'{resolved.dataset.name}: no readable video in {split}.')
        return train, test

    def outcome(
        self, resolved: ResolvedCell, train: Features, test: Features, scores: np.ndarray, how: str, notes: list[str]
    ) -> Outcome:
        """The outcome, with notes on classes that only one of the splits has and on clips that are repeated images."""
        return Outcome(
            videos=test.videos,
            labels=test.labels,
            scores=scores,
            unscored=test.unscored,
            num_listed=len(test.videos) + len(test.unscored),
            num_train=len(train.videos),
            num_train_skipped=len(train.unscored),
            selection={'epoch': None, 'how': how},
            sampling=describe_sampling(resolved),
            notes=[*notes, *self._absent(resolved, train, test), *notes_on_stills(resolved)],
        )

    @staticmethod
    def _absent(resolved: ResolvedCell, train: Features, test: Features) -> list[str]:
        classes = resolved.dataset.info.get('classes') or []
        found = []
        for split, own, other in (('train', train, test), ('test', test, train)):
            names = [str(classes[n]) for n in sorted(set(other.labels.tolist()) - set(own.labels.tolist()))]
            if names:
                few = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
                found.append(f'{len(names)} of {len(classes)} classes have no clip in {split}: {few}')
        return found


def pooled(features: Features, pooling: str) -> np.ndarray:
    """(N, V, T', D) -> (N, D) with `mean`, or (N, T' * D) with `time`: time steps side by side."""
    views = features.values.mean(axis=1)
    return views.mean(axis=1) if pooling == 'mean' else views.reshape(len(views), -1)
