"""Nearest class mean on cached features of a frozen encoder: nothing is trained."""

from __future__ import annotations

from pathlib import Path

from eval.cells.cell import ResolvedCell
from eval.protocols.base import Outcome
from eval.protocols.cached import Cached, pooled
from eval.settings.frozen import FROZEN_CENTROID


class FrozenCentroid(Cached):
    """The class whose mean training feature is the most similar, by cosine."""

    name = 'frozen_centroid'
    version = 1
    settings = FROZEN_CENTROID
    source = 'ours; nearest class mean as in prototypical networks (arXiv:1703.05175), with cosine similarity'

    def config(self, resolved: ResolvedCell) -> dict:
        """The view and the pooling."""
        return self.view(resolved) | {'pooling': resolved.recipe['pooling']}

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Read features, average, compare."""
        from eval.probes.neighbours import CentroidProbe

        train, test = self.features(resolved, work_dir)
        pooling = resolved.config['pooling']
        probe = CentroidProbe(pooled(train, pooling), train.labels, resolved.dataset.num_classes)
        scores = probe.scores(pooled(test, pooling))
        return self.outcome(resolved, train, test, scores, 'nothing is trained or chosen', [])
