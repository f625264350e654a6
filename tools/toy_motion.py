"""How well frozen features predict motion on `toy`: where the mover is, and how it moves.

    python eval/run_severe.py --suite frozen_toy --encoders random mine@FILE --work-dir W
    python tools/toy_motion.py W

Takes every encoder with features of `toy` in W/features (the first command leaves them there). Fits a ridge regression
from the features of a time step, averaged over space, to the true place of the mover, to its movement within the two
frames of the step, and to its movement to the next step. Prints the share of variance explained on the test clips (R2:
1 is perfect, 0 is a constant prediction). This is a diagnosis, not a benchmark: it helps explain the result of a probe
or of fine-tuning.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sigma.commands import Parser
from sigma.datasets.toy import SETS, mover_places, toy_card
from sigma.errors import DataError

if TYPE_CHECKING:
    import numpy as np

TARGETS = ('place', 'movement in the step', 'movement to the next')


class Row(NamedTuple):
    """An encoder and its R2 for each target."""

    encoder: str
    weights: str
    scores: tuple[float, ...]


def main(arguments: list[str] | None = None) -> int:
    """Print one line per encoder; return the exit status."""
    parser = Parser(description=__doc__)
    parser.add_argument('work_dir', help='work directory of eval/run_severe.py')
    try:
        rows = list(motion_table(Path(parser.parse_args(arguments).work_dir)))
    except DataError as error:
        print(f'toy_motion: {error}', file=sys.stderr)
        return 2
    width = max(len(row.encoder) for row in rows)
    print('encoder'.ljust(width), 'weights     ', *TARGETS, sep='  ')
    for row in rows:
        scores = [f'{score:.3f}'.ljust(len(target)) for score, target in zip(row.scores, TARGETS)]
        print(row.encoder.ljust(width), row.weights[:12].ljust(12), *scores, sep='  ')
    return 0


def motion_table(work_dir: Path) -> Iterator[Row]:
    """One row per encoder (and seed of random weights) with features of both splits of `toy`.

    Raises:
        DataError: if there is none.
    """
    import numpy as np

    found: dict[tuple, dict] = {}
    for path in sorted((work_dir / 'features').glob('*/*.npz')):
        with np.load(path, allow_pickle=False) as file:
            videos, key = file['videos'].tolist(), json.loads(str(file['key']))
            if key['dataset'] == 'toy':
                split = videos[0].split('/')[0]
                found.setdefault((path.parent.name, key['weights']), {})[split] = (file['values'][:, 0], videos)
    whole = {name: splits for name, splits in found.items() if set(splits) == {'train', 'test'}}
    if not whole:
        raise DataError(
            f'{work_dir} holds no features of toy; run a frozen protocol on toy with this --work-dir first.'
        )
    places: dict[str, np.ndarray] = {}
    for (encoder, weights), splits in whole.items():
        samples = {split: _samples(*splits[split], places) for split in ('train', 'test')}
        scores = tuple(_explained(samples['train'][i], samples['test'][i]) for i in range(len(TARGETS)))
        yield Row(encoder, weights.removeprefix('random, '), scores)


def _samples(features: np.ndarray, videos: list[str], places: dict[str, np.ndarray]) -> list[tuple]:
    """(features, target) for each target; features (N, T', D) of 16 frames, so T' steps of 16 / T' frames."""
    import numpy as np

    spec = SETS['toy']
    stride = toy_card(spec)['sampling']['stride_frames']
    for video in videos:
        if video not in places:
            places[video] = mover_places(spec, video)[::stride]
    steps = np.stack([places[video] for video in videos])  # (N, 16, 2)
    steps = steps.reshape(len(videos), features.shape[1], -1, 2)  # (N, T', frames, 2)
    middle = steps.mean(axis=2)
    flat = features.reshape(-1, features.shape[-1])
    return [
        (flat, middle.reshape(-1, 2)),
        (flat, (steps[:, :, -1] - steps[:, :, 0]).reshape(-1, 2)),
        (features[:, :-1].reshape(-1, features.shape[-1]), np.diff(middle, axis=1).reshape(-1, 2)),
    ]


def _explained(train: tuple, test: tuple) -> float:
    import numpy as np
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    ridge = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-1, 4, 6)))
    return float(ridge.fit(*train).score(*test))


if __name__ == '__main__':
    sys.exit(main())
