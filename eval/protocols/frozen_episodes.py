"""Few-shot episodes on cached features of a frozen encoder: nothing is trained.

Versions: 1 (2026-12-01).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from eval.cells.cell import ResolvedCell
from eval.features.views import describe_sampling, notes_on_stills
from eval.protocols.base import Departure, Outcome
from eval.protocols.cached import Cached, pooled
from eval.settings.frozen import FROZEN_EPISODES
from sigma.errors import DataError


class FrozenEpisodes(Cached):
    """Mean accuracy over episodes; each learns a few classes from a few clips of the test split.

    An episode draws classes, clips to learn from and clips to classify (queries), all from the test split, with the
    cell's seed. Each query gets the class whose mean feature is the most similar, by cosine. The 95 % interval over
    episodes is noted; tables show none, since episodes share clips. Encoders with one seed get the same episodes.
    """

    version = 1
    settings = FROZEN_EPISODES
    metric = 'episode_accuracy'
    source = 'episodes of matching networks (arXiv:1606.04080), class means of prototypical networks (arXiv:1703.05175)'
    instances: ClassVar = {
        'frozen_episodes_5way_1shot': (5, 1),
        'frozen_episodes_5way_5shot': (5, 5),
        'frozen_episodes_5way_10shot': (5, 10),
        'frozen_episodes_20way_1shot': (20, 1),
        'frozen_episodes_20way_5shot': (20, 5),
        'frozen_episodes_20way_10shot': (20, 10),
    }
    told = 'Mean accuracy over few-shot episodes on cached features: {ways} classes, {shots} clip(s) of each.'
    departures = (
        Departure(
            'Classes of the episodes',
            'classes that the encoder was not trained on (few-shot learning)',
            'all classes of the test split with enough clips: a frozen encoder was trained without labels',
            'an encoder that was trained on these classes with labels has an advantage',
        ),
        Departure(
            'Similarity',
            'squared Euclidean distance to the mean (prototypical networks)',
            'cosine similarity to the mean of unit features',
        ),
    )

    def __init__(self, ways: int = 5, shots: int = 1) -> None:
        self.ways, self.shots = ways, shots
        self.name = self.name or f'frozen_episodes_{ways}way_{shots}shot'

    def num_classes(self, resolved: ResolvedCell) -> int:
        """Classes of an episode."""
        return self.ways

    def config(self, resolved: ResolvedCell) -> dict:
        """The view, and what an episode holds."""
        recipe = resolved.recipe
        return self.view(resolved) | {
            'ways': self.ways,
            'shots': self.shots,
            'queries': recipe['queries'],
            'episodes': recipe['episodes'],
            'pooling': recipe['pooling'],
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Read features of test, draw episodes, classify.

        Raises:
            DataError: if no test video is readable, or too few classes have enough clips.
        """
        from eval.features.clips import extract
        from eval.probes.episodes import draw_episodes, episode_accuracy, large_enough

        test, config = extract(resolved, 'test', work_dir), resolved.config
        dataset, queries = resolved.dataset, config['queries']
        if not test.videos:
            raise DataError(f'{dataset.name}: no readable video in test.')
        values = pooled(test, config['pooling'])
        try:
            drawn = list(
                draw_episodes(test.labels, self.ways, self.shots, queries, config['episodes'], resolved.cell.seed)
            )
        except ValueError as error:
            raise DataError(
                f'{dataset.name}, split test: {error}. Fewer queries (--recipe queries=...), ways or shots would work.'
            ) from None
        shares = np.array([episode_accuracy(values, one) for one in drawn])
        kept = set(large_enough(test.labels, self.shots + queries).tolist())
        classes = dataset.info.get('classes') or []
        small = [str(classes[n]) if n < len(classes) else str(n) for n in range(dataset.num_classes) if n not in kept]
        half = 100 * 1.96 * float(shares.std(ddof=1)) / len(shares) ** 0.5
        notes = [
            f'listed and scored are {len(drawn)} episodes, from {len(test.videos)} clips of {len(kept)} classes',
            f'95 % interval over episodes: {100 * shares.mean():.2f} +- {half:.2f}; episodes share clips, so it says '
            'how well these draws fix the mean, not what other videos would give',
        ]
        if small:
            few = ', '.join(small[:5]) + (', ...' if len(small) > 5 else '')
            notes.append(f'{len(small)} classes have fewer than {self.shots + queries} clips in test: {few}')
        return Outcome(
            videos=[f'episode {n:06d}' for n in range(len(drawn))],
            labels=np.zeros(len(drawn), np.int64),  # an episode has no class
            scores=shares[:, None],
            unscored=test.unscored,
            num_listed=len(drawn) + len(test.unscored),
            num_train=0,
            num_train_skipped=0,
            selection={'epoch': None, 'how': 'nothing is trained or chosen'},
            sampling=describe_sampling(resolved),
            notes=[*notes, *notes_on_stills(resolved)],
        )
