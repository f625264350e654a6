"""Nearest neighbours on cached features of a frozen encoder: nothing is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eval.cells.cell import ResolvedCell
from eval.protocols.base import Departure, Outcome
from eval.protocols.cached import Cached, pooled
from eval.settings.frozen import FROZEN_KNN, FROZEN_KNN_SWEPT
from sigma.errors import DataError


class FrozenKNN(Cached):
    """Votes of the nearest training clips, with the published number of neighbours and temperature.

    Features are averaged over all tokens and views. A bank that is smaller than `k` votes as a whole, which the record
    says.
    """

    name = 'frozen_knn'
    version = 1
    settings = FROZEN_KNN
    source = "SIGMA's kNN script (k 200, temperature 0.07), corrected: the bank is the train split"
    departures = (
        Departure(
            'Bank',
            'features of the test clips, so each query finds itself (the released script of SIGMA)',
            'features of the training clips',
            'the published script gives no usable number',
        ),
    )

    def config(self, resolved: ResolvedCell) -> dict:
        """The view, and the published settings."""
        recipe = resolved.recipe
        return self.view(resolved) | {
            'k': recipe['k'],
            'temperature': recipe['temperature'],
            'pooling': recipe['pooling'],
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Read features, vote."""
        from eval.probes.neighbours import NeighbourProbe

        train, test = self.features(resolved, work_dir)
        config = resolved.config
        k, notes = min(config['k'], len(train.videos)), []
        if k < config['k']:
            notes.append(f'k is {config["k"]}, but the bank has {k} clips, which all vote')
        probe = NeighbourProbe(pooled(train, config['pooling']), train.labels, resolved.dataset.num_classes)
        scores = probe.scores(pooled(test, config['pooling']), k, config['temperature'])
        return self.outcome(resolved, train, test, scores, 'nothing is trained or chosen', notes)


class FrozenKNNSwept(Cached):
    """Votes of the nearest training clips; number, temperature and pooling are chosen on held-out training clips.

    The settings with the best held-out accuracy count; among equals the first of the recipe. Then the bank is all of
    train. What the best settings on test would have scored is noted, to show how much that flatters; it is no result.
    """

    name = 'frozen_knn_swept'
    version = 1
    settings = FROZEN_KNN_SWEPT
    source = 'ours'

    def config(self, resolved: ResolvedCell) -> dict:
        """The view, and the settings to choose from."""
        recipe = resolved.recipe
        return self.view(resolved) | {
            'ks': list(recipe['ks']),
            'temperatures': list(recipe['temperatures']),
            'poolings': list(recipe['poolings']),
            'held_out': recipe['held_out'],
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Read features, choose, vote."""
        from eval.probes.held_out import held_out

        train, test = self.features(resolved, work_dir)
        config, classes = resolved.config, resolved.dataset.num_classes
        try:
            held = held_out(train.labels, config['held_out'], resolved.cell.seed)
        except ValueError as error:
            raise DataError(f'{resolved.dataset.name}: {error}.') from None
        tried: dict[tuple, tuple[float, float, np.ndarray]] = {}  # settings -> held-out and test accuracy, test scores
        for pooling in config['poolings']:
            bank, queries = pooled(train, pooling), pooled(test, pooling)
            ks = [k for k in config['ks'] if k <= (~held).sum()] or [int((~held).sum())]
            grid = [(k, temperature) for k in ks for temperature in config['temperatures']]
            inside = _all_scores(bank[~held], train.labels[~held], bank[held], classes, grid)
            outside = _all_scores(bank, train.labels, queries, classes, grid)
            for setting, own, scores in zip(grid, inside, outside):
                accuracies = _accuracy(own, train.labels[held]), _accuracy(scores, test.labels)
                tried[(pooling, *setting)] = (*accuracies, scores)
        best = max(tried, key=lambda setting: tried[setting][0])  # the first of equals
        flattered = max(tried, key=lambda setting: tried[setting][1])
        notes = [
            f'chosen: {_words(best)}, held-out accuracy {tried[best][0]:.1f} on {held.sum()} clips',
            f'not a result: the best setting on test, {_words(flattered)}, has {tried[flattered][1]:.1f} there instead '
            f'of {tried[best][1]:.1f}',
        ]
        return self.outcome(resolved, train, test, tried[best][2], 'settings chosen on held-out training clips', notes)


def _all_scores(bank, labels, queries, classes: int, grid: list[tuple[int, float]]) -> list[np.ndarray]:
    from eval.probes.neighbours import NeighbourProbe

    return NeighbourProbe(bank, labels, classes).all_scores(queries, grid)


def _accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    return 100 * float((scores.argmax(axis=1) == labels).mean())


def _words(setting: tuple) -> str:
    pooling, k, temperature = setting
    return f'k {k}, temperature {temperature:g}, pooling {pooling}'
