"""Frozen encoders: features once, then a linear probe on them.

Versions: 1 (2026-11-21). 2 (2026-11-30): the strength is chosen by cross-validation. Before, on one held-out fifth of
the training clips: with 45 of them, two clips less moved a score by 10 points.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.cells.cell import ResolvedCell
from eval.features.views import describe_sampling, notes_on_stills
from eval.protocols.base import Departure, Outcome
from eval.protocols.cached import Cached, pooled
from eval.settings.frozen import FROZEN_LINEAR
from sigma.errors import DataError

if TYPE_CHECKING:  # a plan needs neither torch nor scikit-learn
    from eval.features.clips import Features
    from eval.probes.linear import LinearProbe


@dataclass(frozen=True)
class Fitted:
    """A fitted probe, its training features, and the held-out accuracy of every strength that was tried."""

    probe: LinearProbe
    train: Features
    tried: str


class FrozenLinear(Cached):
    """Logistic regression on features pooled over space, with time steps kept apart and concatenated.

    Features are standardised with the mean and deviation of the training clips. The regularisation strength is chosen
    by cross-validation on the training clips (stratified folds, drawn with the cell's seed, repeated where clips are
    few). Then the probe is fitted on all of them.
    The features are cached and come from clips without augmentation, so these numbers differ from published linear
    probes that train with augmentation.
    """

    name = 'frozen_linear'
    version = 2
    settings = FROZEN_LINEAR
    source = 'ours; SIGMA (arXiv:2407.15447) reports linear probes trained with augmentation'
    departures = (
        Departure(
            'Linear probe',
            'a linear layer trained by gradient steps on augmented clips (SIGMA)',
            'logistic regression on cached features without augmentation, time steps concatenated',
            'another number: published ones stand in columns of the protocol `linear`',
        ),
        Departure(
            'Choice of the regularisation',
            'not published',
            "cross-validation on the training clips; folds drawn with the cell's seed",
        ),
    )

    def config(self, resolved: ResolvedCell) -> dict:
        """Encoder, view, and the strengths to choose from."""
        recipe = resolved.recipe
        return self.view(resolved) | {
            'strengths': list(recipe['strengths']),
            'folds': recipe['folds'],
            'least_predictions': recipe['least_predictions'],
            'max_iterations': recipe['max_iterations'],
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Extract or read features, choose the strength, fit, score."""
        from eval.features.clips import extract

        fitted = self.fitted(resolved, work_dir)
        test = extract(resolved, 'test', work_dir)
        if not test.videos:
            raise DataError(f'{resolved.dataset.name}: no readable video in test.')
        return Outcome(
            videos=test.videos,
            labels=test.labels,
            scores=fitted.probe.probabilities(flat(test), resolved.dataset.num_classes),
            unscored=test.unscored,
            num_listed=len(test.videos) + len(test.unscored),
            num_train=len(fitted.train.videos),
            num_train_skipped=len(fitted.train.unscored),
            selection={'epoch': None, 'how': 'regularisation chosen by cross-validation on train'},
            sampling=describe_sampling(resolved),
            notes=[
                f'inverse strength {fitted.probe.strength:g}; held-out accuracy {fitted.tried}',
                *notes_on_stills(resolved),
            ],
        )

    def fitted(self, resolved: ResolvedCell, work_dir: Path) -> Fitted:
        """The probe of this cell. The same cell always gives the same probe.

        Raises:
            DataError: if no training video is readable, or no class has two training clips.
        """
        from eval.features.clips import extract

        train = extract(resolved, 'train', work_dir)
        if not train.videos:
            raise DataError(f'{resolved.dataset.name}: no readable video in train.')
        strength, tried = self._choose(resolved, train)
        return Fitted(self._fit(flat(train), train.labels, strength, resolved), train, tried)

    def _choose(self, resolved: ResolvedCell, train: Features) -> tuple[float, str]:
        """The strength with the best held-out accuracy, and the accuracy of each in words."""
        from eval.probes.choice import cross_validated

        config = resolved.config
        try:
            accuracy = cross_validated(
                flat(train),
                train.labels,
                config['strengths'],
                config['folds'],
                config['least_predictions'],
                config['max_iterations'],
                resolved.cell.seed,
            )
        except ValueError as error:
            raise DataError(f'{resolved.dataset.name}: {error}.') from None
        best = max(accuracy, key=lambda strength: (accuracy[strength], -strength))  # ties: the stronger regularisation
        return best, ', '.join(f'{strength:g}: {value:.1f}' for strength, value in accuracy.items())

    @staticmethod
    def _fit(values: np.ndarray, labels: np.ndarray, strength: float, resolved: ResolvedCell) -> LinearProbe:
        from eval.probes.linear import LinearProbe

        return LinearProbe(strength, resolved.config['max_iterations']).fit(values, labels)


def flat(features: Features) -> np.ndarray:
    """(N, V, T', D) -> (N, T' * D): mean over views, time steps side by side."""
    return pooled(features, 'time')
