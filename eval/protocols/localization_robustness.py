"""Localization under corruption: a trained head on videos whose actions are damaged in the middle.

THUMOS14-C and ActivityNet-v1.3-C: a contiguous block of 1, 5 or 10 percent of each true action, around its middle, is
black, blurred, over-exposed, occluded or broken by packet loss. Nothing is trained here: encoder and head are those of
a `localization` cell of the same dataset, encoder and seed. It is needed, so a matrix runs it first.

The keys of a recipe (`mmaction_configs/recipes/localization_robustness_*.py`) are declared in
`eval/settings/applied.py`.

Each video is read once, and only clips that see a damaged frame pass the encoder again
(`eval/corruptions/shown_dense.py`). Features are kept in `<work_dir>/robustness/<encoder>/<hash>/`, one file per video,
so a sweep that was killed goes on.

The record: predicted segments, each with the number of its column; the names of the columns are under `columns` in the
config (`eval/metrics/corrupted_localization.py`). `score` is the mean mAP over corruptions and severities.

Versions: 1 (2026-11-22); 2 (2026-11-30): the head is that of `localization` 3, which trains and suppresses as
published, and over-exposure stretches a frame first, as published.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch

from eval.cells.cell import ResolvedCell
from eval.cells.trained import load_trained
from eval.corruptions import get_corruption, suite_corruptions
from eval.corruptions.shown import CLEAN, Variant
from eval.corruptions.shown_dense import (
    DamagedFeatures,
    action_frames,
    encode_damaged,
    mean_encoder,
    read_damaged,
    write_damaged,
)
from eval.features.dense import DenseFeatures, DenseView, dense_key, dense_path
from eval.metrics import get_metric
from eval.metrics.corrupted_localization import column_scores, pack_columns
from eval.metrics.localization import ACTIVITYNET_TIOU, THUMOS_TIOU, pack_segments
from eval.models.actionformer import ActionFormer
from eval.models.truth import read_truth
from eval.protocols.applied import trained_cell
from eval.protocols.base import Departure, Outcome, Protocol
from eval.protocols.localization import HEAD, Localization, detect, rules_told, sequence_of, view_of
from eval.protocols.robustness import working_size
from eval.protocols.training import load_head
from eval.records import identity_hash
from eval.settings.applied import LOCALIZATION_ROBUSTNESS
from sigma.errors import DataError, DecodeError
from sigma.processes import progress_bar

SUITE = 'tal-c'
TIOU = {'map_30_70': THUMOS_TIOU, 'map_50_95': ACTIVITYNET_TIOU}


class LocalizationRobustness(Protocol):
    """Mean mAP over corruptions and lengths, with the clean one and that of every column beside it."""

    name = 'localization_robustness'
    version = 2
    source = 'THUMOS14-C and ActivityNet-v1.3-C (CVPR 2024)'
    settings = LOCALIZATION_ROBUSTNESS
    trained_protocol = 'localization'
    departures = (
        *Localization.departures,
        Departure(
            'Occlusion',
            'A picture of a hand is pasted over the frames (THUMOS14-C and ActivityNet-v1.3-C)',
            'A shape is drawn (eval/corruptions/block.py), since the picture may not be shipped',
        ),
    )

    def metric_of(self, resolved: ResolvedCell) -> str:
        """The dataset's own mAP, as a mean over the damaged columns."""
        return f'corrupted_{resolved.dataset.info["metric"]}'

    def trained(self, resolved: ResolvedCell) -> ResolvedCell:
        """The cell whose head is measured."""
        return trained_cell(resolved, self.trained_protocol)

    def needs(self, resolved: ResolvedCell) -> list[ResolvedCell]:
        """The trained cell."""
        return [self.trained(resolved)]

    def config(self, resolved: ResolvedCell) -> dict:
        """What is damaged, for how long, and which trained cell sees it.

        Raises:
            DataError: on a dataset of another task, or a corruption or severity that tal-c does not have.
        """
        dataset, recipe = resolved.dataset, resolved.recipe
        if dataset.task != 'localization':
            raise DataError(
                f"{dataset.name} is a dataset for {dataset.task}; {self.name} needs one for 'localization'."
            )
        if dataset.info['metric'] not in TIOU:
            raise DataError(f'{dataset.name} is scored by {dataset.info["metric"]}; known here: {", ".join(TIOU)}.')
        trained = self.trained(resolved)
        names = list(recipe['corruptions'] or [corruption.name for corruption in suite_corruptions(SUITE)])
        severities = list(recipe['severities'])
        try:
            levels = {name: [get_corruption(name).level(s, SUITE) for s in severities] for name in names}
        except ValueError as error:
            raise DataError(str(error)) from None
        if not names or not severities:
            raise DataError(f'{resolved.cell.recipe}: no corruption to measure; it names none.')
        return {
            'trained': {'name': trained.name, 'id': trained.id},
            'suite': SUITE,
            'corruptions': levels,
            'severities': severities,
            'unavailable': {},
            'working_short_side': working_size(resolved),
            'columns': [CLEAN, *(Variant(*pair).name for pair in product(names, severities))],
        }

    def variants(self, resolved: ResolvedCell) -> list[Variant]:
        """Variants in the order of the columns, without the clean one."""
        config = resolved.config
        return [Variant(name, s, SUITE) for name, s in product(config['corruptions'], config['severities'])]

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Damage every test video in every way, and detect in each with the trained head."""
        trained, columns = self.trained(resolved), resolved.config['columns']
        training = load_trained(trained, work_dir)
        head = head_of(trained, work_dir)
        view, rules = view_of(trained), trained.config['rules']
        blocked = set(rules['blocked'])
        entries = [entry for entry in resolved.dataset.entries('test') if entry['video'] not in blocked]
        truth = read_truth(entries, resolved.dataset.num_classes, rules)
        videos, found, unscored = [], [], []
        with progress_bar(f'damaged videos of {resolved.dataset.name}', len(entries), True) as advance:
            for entry, features in self._features(resolved, trained, view, entries, truth.segments, work_dir):
                advance()
                if isinstance(features, str):
                    unscored.append({'video': entry['video'], 'reason': features})
                    continue
                videos.append(entry['video'])
                found.append([detections(head, entry, features.of(name), view, trained.config) for name in columns])
        scores = pack_columns(found)
        labels = pack_segments([truth.segments[video] for video in videos], 3)
        others = {}
        if videos:
            values = column_scores(scores, labels, TIOU[resolved.dataset.info['metric']])
            others = dict(zip(['clean_map', *columns[1:]], values.tolist()))
        own = training.record.score
        return Outcome(
            videos=videos,
            labels=labels,
            scores=scores,
            unscored=unscored,
            num_listed=len(entries),
            num_train=training.num_train,
            num_train_skipped=training.num_train_skipped,
            selection=training.selection | {'how': self._how(resolved, training.selection['how'])},
            sampling=training.sampling,
            notes=[
                training.note,
                f'{get_metric(own["metric"]).label} in its own record, without a working size: {own["value"]:.1f}',
                'blocks are placed by the true actions, from and to the nearest frame',
                *rules_told(rules),
                *truth.notes('test'),
            ],
            others=others,
        )

    def _how(self, resolved: ResolvedCell, trained: str) -> str:
        """How the number came about. Records of one column must agree on it."""
        config = resolved.config
        names, severities = list(config['corruptions']), config['severities']
        side = config['working_short_side']
        text = f'{trained}; mean over {len(names)} corruptions x {len(severities)} lengths'
        text += f', working size {side or "of the file"}'
        standard = names == [corruption.name for corruption in suite_corruptions(SUITE)] and severities == [1, 2, 3]
        return text if standard else f'{text}: {", ".join(names)} at {", ".join(map(str, severities))}'

    def _features(
        self,
        resolved: ResolvedCell,
        trained: ResolvedCell,
        view: DenseView,
        entries: list[dict],
        truth: dict,
        work_dir: Path,
    ) -> Iterator[tuple[dict, DamagedFeatures | str]]:
        """(entry, its features or the reason why there are none) of every video, stored or computed."""
        variants, side = self.variants(resolved), resolved.config['working_short_side']
        damage = {'version': self.version, **{v.name: v.level for v in variants}}
        key = dense_key(trained, view) | {'damage': damage, 'short_side': side}
        folder = Path(work_dir) / 'robustness' / resolved.encoder.name / f'dense-{identity_hash(key)[:32]}'
        batch, encode = resolved.recipe['batch_size'], None
        for entry in entries:
            if entry['reason'] is not None:
                yield entry, entry['reason']
                continue
            if not (entry['fps'] or 0) > 0:  # as `eval.protocols.localization.with_times`
                yield entry, 'its frame rate is unknown'
                continue
            actions = action_frames(truth[entry['video']], entry['fps'], entry['total_frames'])
            header = {'key': identity_hash(key), 'video': [entry['video'], entry['sha256']], 'actions': actions}
            path = dense_path(folder, entry['video'])
            features = read_damaged(path, header)
            if features is None:
                encode = encode or mean_encoder(trained)
                try:
                    features = encode_damaged(entry, view, encode, batch, actions, variants, side)
                except DecodeError as error:
                    yield entry, str(error)
                    continue
                write_damaged(path, features, header)
            yield entry, features


def detections(head: ActionFormer, entry: dict, values: np.ndarray, view: DenseView, config: dict) -> np.ndarray:
    """Segments that a trained head finds in the features (S, D) of a video: (n, 4) [start s, end s, class, score]."""
    one = DenseFeatures(entry['video'], values, entry['total_frames'], float(entry['fps']))
    return detect(head, sequence_of(one, view, config['length'], config['standardise']), config)


def head_of(trained: ResolvedCell, work_dir: str | Path) -> ActionFormer:
    """The head in the folder of a `localization` cell, in eval mode.

    Raises:
        DataError: if it is missing: the cell ran before heads were kept, or its folder was cleared.
    """
    path = trained.folder(work_dir) / HEAD
    if not path.is_file():
        raise DataError(
            f'{trained.name} has its record but no head ({path} is absent); take {trained.record_path(work_dir)} away '
            'and run the command again to train it again.'
        )
    head = ActionFormer(trained.encoder.info['embed_dims'], trained.dataset.num_classes, **trained.config['head'])
    load_head(path, head)
    return head.to('cuda' if torch.cuda.is_available() else 'cpu').eval()
