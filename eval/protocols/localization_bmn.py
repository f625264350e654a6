"""Actions found in time by mmaction2's BMN on frozen features.

Versions: 1 (2026-11-22); 2 (2026-11-22): features lie at their exact times (eval/protocols/localization.py).
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from eval.cells.cell import ResolvedCell
from eval.models.segments import fuse
from eval.protocols.localization import FeatureSequence, Localization
from eval.protocols.training import epoch_seeds, train_network
from sigma.errors import DataError
from sigma.registry import MODELS


class LocalizationBMN(Localization):
    """BMN proposes segments, which know no classes; a linear classifier on the frozen features names each.

    BMN is mmaction2's, with its losses and its soft-NMS. Every video is resized to `temporal_dim` steps. The classifier
    is a logistic regression on the mean of the features within true segments of the training videos. Training videos
    without an action are left out: BMN's labels are not defined for them.
    """

    name = 'localization_bmn'
    version = 2
    source = 'BMN (ICCV 2019) in mmaction2 1.2.0; classes by a linear classifier on each proposal, ours'
    from_recipe = ('length', 'standardise', 'head', 'training', 'naming')
    named_by = 'a linear classifier on the mean features of each proposal'
    learns_from_empty = False

    def config(self, resolved: ResolvedCell) -> dict:
        """As `localization`; the length is BMN's."""
        recipe = resolved.recipe
        if recipe['length'] != recipe['head']['temporal_dim']:
            raise DataError(
                f'Recipe {resolved.cell.recipe} resizes videos to {recipe["length"]} steps; its BMN takes '
                f'{recipe["head"]["temporal_dim"]}.'
            )
        return super().config(resolved)

    def _train(
        self, resolved: ResolvedCell, sequences: list[FeatureSequence], targets: list[Tensor], state: Path
    ) -> 'Proposer':
        config = resolved.config
        full = [(s, t) for s, t in zip(sequences, targets) if len(t)]
        sequences, targets = [s for s, _ in full], [t for _, t in full]
        network = MODELS.build(
            config['head'] | {'feat_dim': len(sequences[0].values), 'feature_extraction_interval': 1}
        )
        fit_bmn(network, sequences, targets, config['training'], resolved.cell.seed, state)
        namer = None if self.external else fit_namer(sequences, targets, config['naming']['strength'])
        return Proposer(network.eval(), namer, resolved.dataset.num_classes)

    def _detect(self, head: 'Proposer', sequence: FeatureSequence, config: dict, external) -> np.ndarray:
        rows = head.proposals(sequence)
        if self.external:
            return fuse(rows, np.asarray(external), config['external']['top'])
        return head.named(rows, sequence, config['naming']['top'])


class LocalizationBMNExternal(LocalizationBMN):
    """As `localization_bmn`, but another model's video-level scores name the proposals: the published way."""

    name = 'localization_bmn_external'
    version = 2
    source = 'BMN (ICCV 2019) in mmaction2 1.2.0, times external video-level scores'
    external = True


class Proposer:
    """A trained BMN, and what names its proposals (None: something else does)."""

    def __init__(self, network, namer, num_classes: int) -> None:
        self.network, self.namer, self.num_classes = network, namer, num_classes

    @torch.no_grad()
    def proposals(self, sequence: FeatureSequence) -> np.ndarray:
        """(n, 4) rows [start, end in seconds, 0, score], suppressed by BMN's own soft-NMS."""
        device = next(self.network.parameters()).device
        # One frame a step: BMN then speaks of the whole video.
        info = {'video_name': sequence.video, 'duration_frame': 1000, 'duration_second': sequence.duration}
        inputs = [sequence.values.float().to(device)]
        (answer,) = self.network(inputs, [SimpleNamespace(metainfo=info)], mode='predict')
        rows = [[*one['segment'], 0, one['score']] for one in answer['proposal_list']]
        rows = np.array(rows).reshape(-1, 4)
        rows[:, :2] = np.clip(rows[:, :2], 0, sequence.duration)
        return rows[rows[:, 1] > rows[:, 0]]

    def named(self, rows: np.ndarray, sequence: FeatureSequence, top: int) -> np.ndarray:
        """Each proposal under its `top` likeliest classes, its score times their probability."""
        if len(rows) == 0:
            return rows
        chance = np.zeros((len(rows), self.num_classes))
        chance[:, self.namer[-1].classes_] = self.namer.predict_proba(
            np.stack([mean_within(sequence, *sequence.grid.to_steps(row[:2])) for row in rows])
        )
        found = np.concatenate([fuse(row[None], scores, top) for row, scores in zip(rows, chance)])
        return found[np.argsort(-found[:, 3], kind='stable')]


def fit_bmn(
    network,
    sequences: list[FeatureSequence],
    targets: list[Tensor],
    settings: dict,
    seed: int,
    state: Path | None = None,
) -> None:
    """Train BMN as mmaction2's config does: Adam, a step down; the last epoch stays.

    Args:
        targets: A (G, 3) tensor a video, G >= 1: start and end in steps, class (not looked at).
        settings: `epochs`, `batch_size`, `lr`, `weight_decay`, `milestone` (epoch from which a tenth of the rate),
            `clip_norm`.
        state: Where the state of an epoch is kept, from which a killed training goes on.
    """
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    network.to(device)
    parameters = [p for p in network.parameters() if p.requires_grad]
    num_batches = -(-len(sequences) // settings['batch_size'])

    def losses(epoch: int) -> Iterator[Tensor]:
        for batch in torch.randperm(len(sequences)).split(settings['batch_size']):
            inputs = [sequences[i].values.float().to(device) for i in batch.tolist()]
            # A step is a bin, and its middle is its place: bin n covers n / S to (n + 1) / S of the video.
            samples = [
                SimpleNamespace(gt_instances={'gt_bbox': (targets[i][:, :2] + 0.5) / sequences[i].values.shape[1]})
                for i in batch.tolist()
            ]
            yield network(inputs, samples, mode='loss')['loss']

    train_network(
        network,
        torch.optim.Adam(parameters, lr=settings['lr'], weight_decay=settings['weight_decay']),
        losses,
        settings['epochs'],
        seed_of=epoch_seeds(seed),
        what='BMN',
        rate=lambda step: 0.1 if step // num_batches >= settings['milestone'] else 1.0,
        clip_norm=settings['clip_norm'],
        state=state,
    )


def fit_namer(sequences: list[FeatureSequence], targets: list[Tensor], strength: float):
    """A classifier of segments by their mean features.

    Raises:
        DataError: if all segments are of one class.
    """
    values = [mean_within(s, *row[:2].tolist()) for s, rows in zip(sequences, targets) for row in rows]
    labels = torch.cat(targets)[:, 2].long().numpy()
    if len(np.unique(labels)) < 2:
        raise DataError('All training actions are of one class; a classifier of proposals needs two.')
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000)).fit(np.stack(values), labels)


def mean_within(sequence: FeatureSequence, start: float, end: float) -> np.ndarray:
    """(D,) mean of the features of the steps within [start, end]; of the nearest one where there is none."""
    last = sequence.values.shape[1] - 1
    first, stop = max(0, int(np.ceil(start))), min(last, int(np.floor(end)))
    if stop < first:
        first = stop = int(np.clip(round((start + end) / 2), 0, last))
    return sequence.values[:, first : stop + 1].float().mean(dim=1).numpy()
