"""Temporal action localization by mmaction2's BMN on frozen features.

Versions: 1 (2026-11-22); 2 (2026-11-22): features lie at their exact times (eval/protocols/localization.py).
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from eval.cells.cell import ResolvedCell
from eval.features.dense import DenseFeatures
from eval.models.segments import fuse
from eval.models.truth import Truth
from eval.protocols.base import Departure
from eval.protocols.localization import FeatureSequence, Localization
from eval.protocols.training import epoch_seeds, train_network
from eval.settings.localization import LOCALIZATION_BMN
from sigma.errors import DataError
from sigma.registry import MODELS


class LocalizationBMN(Localization):
    """BMN proposes class-free segments; a linear classifier on the frozen features gives each its classes.

    BMN is mmaction2's, with its losses and its soft-NMS. Every video is resized to `temporal_dim` steps. The classifier
    is a logistic regression on the mean features inside the true segments of the training videos. Training videos
    without an action are left out, because BMN's labels are undefined for them.
    """

    name = 'localization_bmn'
    version = 2
    source = 'BMN (ICCV 2019) in mmaction2 1.2.0; classes by a linear classifier on each proposal, ours'
    settings = LOCALIZATION_BMN
    from_recipe = ('length', 'standardise', 'head', 'training', 'naming')
    named_by = 'a linear classifier on the mean features of each proposal'
    departures = (
        Departure(
            'Features of a video',
            "TSN features of two streams, resized to 100 steps by BSN's code (mmaction2, "
            'configs/localization/bmn/bmn_2xb8-400x100-9e_activitynet-feature.py)',
            'The mean over all tokens of clips of the encoder that is measured, in half precision, interpolated '
            'linearly at exact times',
            'It is what is measured',
        ),
        Departure(
            'Names of proposals',
            "The two best classes of CUHK's video-level scores of 2017 (mmaction2, its report_map.py: the best one)",
            "`localization_bmn`: a linear classifier on the mean features of each proposal, which names the encoder's "
            'own knowledge; `localization_bmn_external`: the published scores',
        ),
    )

    def config(self, resolved: ResolvedCell) -> dict:
        """See `localization`.

        Raises:
            DataError: also if the recipe's `length` is not BMN's `temporal_dim`.
        """
        recipe = resolved.recipe
        if recipe['length'] != recipe['head']['temporal_dim']:
            raise DataError(
                f'Recipe {resolved.cell.recipe} resizes videos to {recipe["length"]} steps; its BMN takes '
                f'{recipe["head"]["temporal_dim"]}. Give both the same number.'
            )
        return super().config(resolved)

    def _lesson(self, one: DenseFeatures, truth: Truth, config: dict) -> np.ndarray | None:
        """Segments of a training video in seconds, cut to the video; None if nothing is left of them."""
        rows = truth.segments[one.video].copy()
        rows[:, :2] = np.clip(rows[:, :2], 0, one.num_frames / one.fps)
        rows = rows[rows[:, 1] > rows[:, 0]]
        return rows if len(rows) else None

    def _train(
        self, resolved: ResolvedCell, sequences: list[FeatureSequence], targets: list[Tensor], state: Path
    ) -> 'Proposer':
        config = resolved.config
        network = MODELS.build(
            config['head'] | {'feat_dim': len(sequences[0].values), 'feature_extraction_interval': 1}
        )
        fit_bmn(network, sequences, targets, config['training'], resolved.cell.seed, state)
        namer = None if self.external else fit_namer(sequences, targets, config['naming']['strength'])
        return Proposer(network.eval(), namer, resolved.dataset.num_classes)

    def _detect(self, head: 'Proposer', sequence: FeatureSequence, config: dict, external: np.ndarray) -> np.ndarray:
        rows = head.proposals(sequence)
        if self.external:
            return fuse(rows, np.asarray(external), config['external']['top'])
        return head.named(rows, sequence, config['naming']['top'])


class LocalizationBMNExternal(LocalizationBMN):
    """`localization_bmn` with classes from another model's video-level scores, as published."""

    name = 'localization_bmn_external'
    version = 2
    source = 'BMN (ICCV 2019) in mmaction2 1.2.0, times external video-level scores'
    external = True


class Proposer:
    """A trained BMN and the classifier of its proposals.

    Args:
        network: mmaction2's BMN in eval mode.
        namer: From `fit_namer`; None if external scores give the classes.
        num_classes: C.
    """

    def __init__(self, network: nn.Module, namer: Pipeline | None, num_classes: int) -> None:
        self.network, self.namer, self.num_classes = network, namer, num_classes

    @torch.no_grad()
    def proposals(self, sequence: FeatureSequence) -> np.ndarray:
        """(n, 4) rows [start, end in seconds, 0, score] after BMN's own soft-NMS."""
        device = next(self.network.parameters()).device
        # feature_extraction_interval is 1, so with any number of frames BMN's times cover the whole video.
        info = {'video_name': sequence.video, 'duration_frame': 1000, 'duration_second': sequence.duration}
        inputs = [sequence.values.float().to(device)]
        (answer,) = self.network(inputs, [SimpleNamespace(metainfo=info)], mode='predict')
        found = [[*one['segment'], 0, one['score']] for one in answer['proposal_list']]
        rows = np.array(found).reshape(-1, 4)
        rows[:, :2] = np.clip(rows[:, :2], 0, sequence.duration)
        return rows[rows[:, 1] > rows[:, 0]]

    def named(self, rows: np.ndarray, sequence: FeatureSequence, top: int) -> np.ndarray:
        """(n x top, 4) rows: each proposal under its `top` most likely classes, its score times their probability."""
        if len(rows) == 0 or self.namer is None:
            return rows
        chance = np.zeros((len(rows), self.num_classes))
        chance[:, self.namer[-1].classes_] = self.namer.predict_proba(
            np.stack([mean_within(sequence, *sequence.grid.to_steps(row[:2])) for row in rows])
        )
        found = np.concatenate([fuse(row[None], scores, top) for row, scores in zip(rows, chance)])
        return found[np.argsort(-found[:, 3], kind='stable')]


def fit_bmn(
    network: nn.Module,
    sequences: list[FeatureSequence],
    targets: list[Tensor],
    settings: dict,
    seed: int,
    state: Path | None = None,
) -> None:
    """Train BMN in place as mmaction2's config does: Adam, with one step down of the learning rate.

    Args:
        network: Untrained; it is moved to the GPU if there is one.
        sequences: Features of the training videos, all with `temporal_dim` steps.
        targets: (G, 3) rows for each video, G >= 1: start and end in steps, class (ignored).
        settings: `epochs`, `batch_size`, `lr`, `weight_decay`, `milestone` (epoch from which the rate is a tenth),
            `clip_norm`.
        seed: Seed of the order of videos.
        state: File of the training state. None keeps nothing, so a killed training starts again.

    Raises:
        TrainingError: if the loss is no longer finite.
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


def fit_namer(sequences: list[FeatureSequence], targets: list[Tensor], strength: float) -> Pipeline:
    """Fit a classifier of segments on their mean features.

    Args:
        sequences, targets: As for `fit_bmn`; here classes count.
        strength: Inverse of the regularisation, scikit-learn's C.

    Raises:
        DataError: if all segments have the same class.
    """
    values = [mean_within(s, *row[:2].tolist()) for s, rows in zip(sequences, targets) for row in rows]
    labels = torch.cat(targets)[:, 2].long().numpy()
    if len(np.unique(labels)) < 2:
        raise DataError('All training actions are of one class; a classifier of proposals needs two.')
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000)).fit(np.stack(values), labels)


def mean_within(sequence: FeatureSequence, start: float, end: float) -> np.ndarray:
    """(D,) mean of the features at steps within [start, end]; the nearest step if none lies within."""
    last = sequence.values.shape[1] - 1
    first, stop = max(0, int(np.ceil(start))), min(last, int(np.floor(end)))
    if stop < first:
        first = stop = int(np.clip(round((start + end) / 2), 0, last))
    return sequence.values[:, first : stop + 1].float().mean(dim=1).numpy()
