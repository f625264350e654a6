"""Linear heads on cached features of a frozen encoder, trained by gradient steps, chosen on held-out train.

Versions: 1 (2026-12-01).
"""

from __future__ import annotations

from pathlib import Path

from eval.cells.cell import ResolvedCell
from eval.protocols.base import Departure, Outcome
from eval.protocols.cached import Cached, pooled
from eval.settings.frozen import FROZEN_SWEEP
from sigma.errors import DataError


class FrozenSweep(Cached):
    """A linear layer trained by SGD; learning rate, weight decay and pooling are chosen on held-out training clips.

    All heads are trained as one model. The head with the best held-out accuracy counts; among equals the first of the
    recipe. Then all heads are trained again on all of train. What the best head on test would have scored is noted, to
    show how much that flatters; it is no result.
    """

    name = 'frozen_sweep'
    version = 1
    settings = FROZEN_SWEEP
    source = 'ours; heads trained together as in DINOv2 (arXiv:2304.07193) and V-JEPA 2 (arXiv:2506.09985)'
    departures = (
        Departure(
            'Choice of the head',
            'the best head on the reported split (V-JEPA 2)',
            "the best on held-out training clips, drawn with the cell's seed",
            'the notes of each record say how much choosing on test would have added',
        ),
        Departure(
            'Training clips',
            'augmented, encoded in every epoch (DINOv2, V-JEPA 2)',
            'cached features of clips without augmentation',
        ),
    )

    def config(self, resolved: ResolvedCell) -> dict:
        """The view, the training, and the heads to choose from."""
        recipe = resolved.recipe
        return self.view(resolved) | {
            'learning_rates': list(recipe['learning_rates']),
            'weight_decays': list(recipe['weight_decays']),
            'poolings': list(recipe['poolings']),
            'epochs': recipe['epochs'],
            'step_clips': recipe['step_clips'],
            'held_out': recipe['held_out'],
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Read features, choose a head, train on all clips, score."""
        from eval.probes.held_out import held_out
        from eval.probes.sweep import SweptProbe, grid

        train, test = self.features(resolved, work_dir)
        config, classes = resolved.config, resolved.dataset.num_classes
        heads = grid(config['poolings'], config['learning_rates'], config['weight_decays'])
        try:
            held = held_out(train.labels, config['held_out'], resolved.cell.seed)
        except ValueError as error:
            raise DataError(f'{resolved.dataset.name}: {error}.') from None
        values, queries = ({p: pooled(split, p) for p in config['poolings']} for split in (train, test))

        def fitted(kept):
            probe = SweptProbe(heads, config['epochs'], config['step_clips'], resolved.cell.seed)
            return probe.fit({p: v[kept] for p, v in values.items()}, train.labels[kept], classes)

        inside = fitted(~held).accuracies({p: v[held] for p, v in values.items()}, train.labels[held])
        whole = fitted(held | ~held)
        outside = whole.accuracies(queries, test.labels)
        usable = [number for number, score in enumerate(outside) if score >= 0 and inside[number] >= 0]
        if not usable:
            raise DataError(
                f'{resolved.dataset.name}: all {len(heads)} heads diverged; the smallest learning rate is '
                f'{min(config["learning_rates"]):g}. Put smaller ones into learning_rates.'
            )
        best = max(usable, key=lambda number: inside[number])  # the first of equals
        flattered = max(usable, key=lambda number: outside[number])
        notes = [
            f'chosen of {len(heads)}: {heads[best]}, held-out accuracy {inside[best]:.1f} on {held.sum()} clips',
            f'not a result: the best head on test, {heads[flattered]}, has {outside[flattered]:.1f} there instead of '
            f'{outside[best]:.1f}',
        ]
        if len(usable) < len(heads):
            notes.append(f'{len(heads) - len(usable)} of {len(heads)} heads diverged and were left out')
        scores = whole.probabilities(queries, heads[best])
        return self.outcome(resolved, train, test, scores, 'head chosen on held-out training clips', notes)
