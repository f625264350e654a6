"""Frozen encoders: features once, then a small classifier on them.

Versions: 1 (2026-11-21).
"""

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eval.cells.cell import ResolvedCell
from eval.features.clips import Features, extract
from eval.features.views import describe_sampling, evaluation_pipeline, stride_of
from eval.protocols.base import Outcome, Protocol
from sigma.errors import DataError


class FrozenLinear(Protocol):
    """Logistic regression on features pooled over space, time steps kept apart and joined.

    Features are standardised with the training clips' mean and deviation. The strength of regularisation is chosen
    on a fifth of the training clips (stratified, drawn with the cell's seed), then the classifier is fitted on all.
    These are cached features without augmentation; published linear probes that train with augmentation are other
    numbers.
    """

    name = 'frozen_linear'
    version = 1
    source = 'ours; SIGMA (arXiv:2407.15447) reports linear probes trained with augmentation'

    def config(self, resolved: ResolvedCell) -> dict:
        """Encoder, view and the strengths to choose from."""
        recipe, clip = resolved.recipe, resolved.encoder.info['clip']
        return {
            'backbone': resolved.encoder.backbone(),
            'normalisation': {'mean': list(resolved.encoder.mean), 'std': list(resolved.encoder.std)},
            'pipeline': evaluation_pipeline(
                clip, recipe['views'], stride_of(resolved), recipe['decoder'], recipe.get('frames')
            ),
            'strengths': list(recipe['strengths']),
            'held_out_share': recipe['held_out_share'],
            'max_iterations': recipe['max_iterations'],
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Extract or read features, choose, fit, score."""
        probe, train, strength, tried = self.fitted(resolved, work_dir)
        test = extract(resolved, 'test', work_dir)
        if not test.videos:
            raise DataError(f'{resolved.dataset.name}: no readable video in test.')
        scores = probabilities(probe, _flat(test), resolved.dataset.num_classes)
        return Outcome(
            videos=test.videos,
            labels=test.labels,
            scores=scores,
            unscored=test.unscored,
            num_listed=len(test.videos) + len(test.unscored),
            num_train=len(train.videos),
            num_train_skipped=len(train.unscored),
            selection={'epoch': None, 'how': 'regularisation chosen on a held-out part of train'},
            sampling=describe_sampling(resolved),
            notes=[f'inverse strength {strength:g}; held-out accuracy {tried}'],
        )

    def fitted(self, resolved: ResolvedCell, work_dir: Path) -> tuple:
        """The probe, its training features, its strength and what was tried; the same cell gives the same probe."""
        train = extract(resolved, 'train', work_dir)
        if not train.videos:
            raise DataError(f'{resolved.dataset.name}: no readable video in train.')
        strength, tried = self._choose(resolved, train)
        return self._fit(_flat(train), train.labels, strength, resolved), train, strength, tried

    def _choose(self, resolved: ResolvedCell, train: Features) -> tuple[float, str]:
        config, values = resolved.config, _flat(train)
        counts = np.bincount(train.labels)
        single = np.flatnonzero(counts == 1)
        if len(single):
            raise DataError(
                f'{resolved.dataset.name}: class {resolved.dataset.info["classes"][single[0]]!r} has one training '
                'clip; choosing the regularisation holds a part of each class out and needs two.'
            )
        share = max(config['held_out_share'], np.count_nonzero(counts) / len(values))  # at least one of each class
        splitter = StratifiedShuffleSplit(1, test_size=share, random_state=resolved.cell.seed)
        fit, held = next(splitter.split(values, train.labels))
        accuracy = {}
        for strength in config['strengths']:
            probe = self._fit(values[fit], train.labels[fit], strength, resolved)
            accuracy[strength] = 100 * float((probe.predict(values[held]) == train.labels[held]).mean())
        best = max(accuracy, key=lambda strength: (accuracy[strength], -strength))  # ties: the stronger regularisation
        return best, ', '.join(f'{strength:g}: {value:.1f}' for strength, value in accuracy.items())

    @staticmethod
    def _fit(values: np.ndarray, labels: np.ndarray, strength: float, resolved: ResolvedCell):
        classifier = LogisticRegression(C=strength, max_iter=resolved.config['max_iterations'])
        return make_pipeline(StandardScaler(), classifier).fit(values, labels)


def _flat(features: Features) -> np.ndarray:
    """(N, V, T', D) -> (N, T' * D): mean over views, time steps side by side."""
    return features.values.mean(axis=1).reshape(len(features.values), -1)


def probabilities(probe, values: np.ndarray, num_classes: int) -> np.ndarray:
    """(N, C) class probabilities; 0 for classes without a training clip."""
    scores = np.zeros((len(values), num_classes))
    scores[:, probe[-1].classes_] = probe.predict_proba(values)
    return scores
