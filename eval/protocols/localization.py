"""Actions found in time on frozen features: what, from when, until when.

Versions: 1 (2026-11-22); 2 (2026-11-22): features of a fixed length lie at their exact times, also near both ends.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from eval.cells.cell import ResolvedCell
from eval.features.dense import DenseFeatures, DenseView, extract_dense
from eval.metrics.localization import RULES as METRIC_RULES
from eval.metrics.localization import pack_segments
from eval.models.actionformer import ActionFormer
from eval.models.segments import fuse, suppress
from eval.models.truth import Truth, check_rules, read_truth
from eval.protocols.base import Outcome, Protocol
from eval.protocols.training import (
    discard,
    epoch_seeds,
    epochs_done,
    save_head,
    state_path,
    train_network,
    warmup_cosine,
)
from sigma.errors import DataError
from sigma.files import sha256_file

HEAD = 'head.safetensors'  # in a cell's folder: the trained head


@dataclass(frozen=True)
class Grid:
    """Where the steps of a video lie in time: step n at `offset` + n x `step` seconds."""

    offset: float
    step: float

    def to_steps(self, seconds: np.ndarray) -> np.ndarray:
        return (seconds - self.offset) / self.step

    def to_seconds(self, steps: np.ndarray) -> np.ndarray:
        return steps * self.step + self.offset


@dataclass
class FeatureSequence:
    """Features of a video as the head takes them: (D, S) float16, and where its steps lie."""

    video: str
    values: Tensor
    grid: Grid
    duration: float  # seconds


class Localization(Protocol):
    """An ActionFormer-type head on features of sliding clips, class-aware: no other model says what is in a video.

    Features are the mean over all tokens of each clip (`eval.features.dense`), kept as float16. THUMOS-type data keep
    their length and are cut at random in training; ActivityNet-type data are resized to a fixed length. The last epoch
    is scored, with a moving average of the weights. Soft-NMS a class, then voting.

    Notes of the record name the evaluator's rules, and count what was odd in the ground truth.
    """

    name = 'localization'
    version = 2
    source = 'ActionFormer (ECCV 2022) on frozen features, class-aware; settings as in OpenTAD'
    external = False
    from_recipe = ('length', 'longest', 'standardise', 'head', 'training', 'suppression', 'shortest_seconds')
    named_by = 'by the head itself'
    learns_from_empty = True  # whether a training video without an action teaches the head something

    def config(self, resolved: ResolvedCell) -> dict:
        """Encoder, view, head, training, suppression and rules."""
        recipe, dataset = resolved.recipe, resolved.dataset
        if dataset.task != 'localization':
            raise DataError(
                f"{dataset.name} is a data set for {dataset.task}; {self.name} needs one for 'localization'."
            )
        if resolved.cell.shots or resolved.cell.examples:
            raise DataError(f'{self.name} takes all training videos; leave out shots and examples.')
        if bool(recipe.get('external')) != self.external:
            has = 'has' if recipe.get('external') else 'lacks'
            raise DataError(f'Recipe {resolved.cell.recipe} {has} `external` video-level scores; see {self.name}.')
        config = {
            'backbone': resolved.encoder.backbone(),
            'normalisation': {'mean': list(resolved.encoder.mean), 'std': list(resolved.encoder.std)},
            'view': vars(view_of(resolved)),
            'rules': check_rules(dataset.info.get('rules') or {}),
            **{key: recipe[key] for key in self.from_recipe},
        }
        if self.external:
            file = Path(recipe['external']['scores'])
            if not file.is_file():
                raise DataError(f"External video-level scores: '{file}' is not there; the recipe names it.")
            config['external'] = {'sha256': sha256_file(file), 'top': recipe['external']['top']}
        return config

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Extract or read features, train the head, detect."""
        config, rules = resolved.config, resolved.config['rules']
        view, batch, blocked = view_of(resolved), resolved.recipe['batch_size'], set(rules['blocked'])
        truths = {
            split: read_truth(resolved.dataset.entries(split), resolved.dataset.num_classes, rules)
            for split in ('train', 'test')
        }
        check_actions(truths, blocked, resolved.dataset.name)  # before the minutes that features take
        train, skipped = with_times(*extract_dense(resolved, 'train', view, work_dir, batch))
        test, unscored = with_times(*extract_dense(resolved, 'test', view, work_dir, batch))
        test = [one for one in test if one.video not in blocked]
        unscored = [one for one in unscored if one['video'] not in blocked]
        if not train or not test:
            raise DataError(f'{resolved.dataset.name}: no readable video in {"test" if train else "train"}.')
        state = state_path(resolved, work_dir)
        head = self._fit(resolved, train, truths['train'].segments, state)
        classify = self._external(resolved)
        videos, found = [], []
        for one in test:
            scores = classify(one.video)
            if scores is None:
                unscored.append({'video': one.video, 'reason': 'no external video-level scores'})
                continue
            videos.append(one.video)
            sequence = sequence_of(one, view, config['length'], config['standardise'])
            found.append(self._detect(head, sequence, config, scores))
        discard(state)
        num_empty = sum(len(truths['train'].segments[one.video]) == 0 for one in train)
        num_left_out = 0 if self.learns_from_empty else num_empty
        num_short = sum(len(view.starts(one.num_frames)) == 1 and one.num_frames < view.span for one in train + test)
        return Outcome(
            videos=videos,
            labels=pack_segments([truths['test'].segments[video] for video in videos], 3),
            scores=pack_segments(found, 4, np.float32),
            unscored=unscored,
            num_listed=len(videos) + len(unscored),
            num_train=len(train) - num_left_out,
            num_train_skipped=len(skipped) + num_left_out,
            selection={'epoch': config['training']['epochs'], 'how': 'last'},
            batch_size=config['training']['batch_size'],
            sampling={
                'name': 'sliding',
                'num_frames': view.num_frames,
                'stride_frames': view.stride_frames,
                'step_frames': view.step_frames,
                'views': '1x1',
            },
            notes=[
                *([f'dataset: {note}'] if (note := resolved.dataset.info.get('note')) else []),
                *rules_told(rules),
                'classes: ' + ('external video-level scores' if self.external else self.named_by),
                *([f'{num_left_out} training videos without an action are left out'] if num_left_out else []),
                *truths['train'].notes('train'),
                *truths['test'].notes('test'),
                *([f'{num_short} videos are shorter than a clip; their last frame repeats'] if num_short else []),
            ],
        )

    def _external(self, resolved: ResolvedCell):
        """From a video to its class scores, or to () where the head names the classes."""
        if not self.external:
            return lambda video: ()
        scores = read_video_scores(resolved.recipe['external']['scores'], resolved.dataset.info['classes'])
        return lambda video: scores.get(Path(video).stem.removeprefix('v_'))

    def _fit(self, resolved: ResolvedCell, features: list[DenseFeatures], truth: dict, state: Path):
        """The trained head; segments in steps of the features, and of class 0 where others name them."""
        config, view = resolved.config, view_of(resolved)
        sequences, targets = [], []
        for one in features:
            sequence = sequence_of(one, view, config['length'], config['standardise'])
            rows = truth[one.video].copy()
            rows[:, :2] = sequence.grid.to_steps(np.clip(rows[:, :2], 0, sequence.duration))
            rows = rows[rows[:, 1] > rows[:, 0]]  # what lies beyond the end cannot be learnt; `read_truth` counts it
            if self.external:
                rows[:, 2] = 0
            sequences.append(sequence)
            targets.append(torch.from_numpy(rows).float())
        if not any(map(len, targets)):
            raise DataError(f'{resolved.dataset.name}: no training video has an action; there is nothing to learn.')
        torch.manual_seed(resolved.cell.seed)
        return self._train(resolved, sequences, targets, state)

    def _train(
        self, resolved: ResolvedCell, sequences: list[FeatureSequence], targets: list[Tensor], state: Path
    ) -> ActionFormer:
        num_classes = 1 if self.external else resolved.dataset.num_classes
        head = ActionFormer(len(sequences[0].values), num_classes, **resolved.config['head'])
        return fit_head(head, sequences, targets, resolved.config, resolved.cell.seed, state)

    def _detect(self, head: ActionFormer, sequence: FeatureSequence, config: dict, external) -> np.ndarray:
        return detect(head, sequence, config, external)


class LocalizationExternal(Localization):
    """As `localization`, but the head finds class-free proposals and another model's video-level scores name them.

    A different number: on ActivityNet the classifier of CUHK (2017) adds several points, whatever the encoder.
    """

    name = 'localization_external'
    version = 2
    source = 'ActionFormer (ECCV 2022) on frozen features, times external video-level scores'
    external = True


def rules_told(rules: dict) -> list[str]:
    """What a record says of how predictions and truth are compared."""
    told = '; '.join(f'{key} {rules[key]}' for key in ('duplicates', 'shortest_seconds', 'ambiguous'))
    return [METRIC_RULES, f'rules: {told}', f'rules: {len(rules["blocked"])} videos blocked']


def check_actions(truths: dict[str, Truth], blocked: set[str], name: str) -> None:
    """Raise a DataError where no training video has an action, or no test video that is not blocked."""
    for split, left_out, reason in (
        ('train', set(), 'no training video has an action; there is nothing to learn.'),
        ('test', blocked, 'no test video has an action; there is nothing to find.'),
    ):
        if not any(len(rows) for video, rows in truths[split].segments.items() if video not in left_out):
            raise DataError(f'{name}: {reason}')


def with_times(features: list[DenseFeatures], unread: list[dict]) -> tuple[list[DenseFeatures], list[dict]]:
    """Videos of unknown frame rate join those that could not be read: nothing in them has a time in seconds."""
    timeless = [{'video': one.video, 'reason': 'its frame rate is unknown'} for one in features if not one.fps > 0]
    return [one for one in features if one.fps > 0], unread + timeless


def view_of(resolved: ResolvedCell) -> DenseView:
    """The recipe's `view` where it says, else the dataset card's `sampling`, else the encoder's clip."""
    view, clip = resolved.recipe['view'], resolved.encoder.info['clip']
    sampling = resolved.dataset.info.get('sampling') or {}
    step = view.get('step_frames') or sampling.get('step_frames')
    if not step:
        raise DataError(f'Neither recipe {resolved.cell.recipe} nor {resolved.dataset.name} says step_frames.')
    return DenseView(
        num_frames=clip['num_frames'],
        stride_frames=view.get('stride_frames') or sampling.get('stride_frames') or clip['stride_frames'],
        step_frames=step,
        size=clip['size'],
        resize=view.get('resize', 'short_side'),
    )


def sequence_of(one: DenseFeatures, view: DenseView, length: int | None, standardise: bool = False) -> FeatureSequence:
    """Features in their own length, or `length` of them in the middles of as many equal parts of the video.

    The latter are read off linearly between the middles of the clips around them; before the first and after the last
    middle the value there stands. ActionFormer and OpenTAD stretch the features over the video instead, so that theirs
    are off by up to half of what a clip is longer than a step, at both ends: little in minutes, much in seconds.

    With `standardise` the mean over the video is subtracted and the rest divided by its root mean square over all steps
    and dimensions: what stays the same in a video, its scene, then says nothing. Published runs do not; it is for
    encoders whose features differ far more from video to video than within one, and for short trainings.
    """
    values, duration = torch.from_numpy(one.values.T.copy()), one.num_frames / one.fps
    if standardise:
        away = values.float() - values.float().mean(dim=1, keepdim=True)
        values = (away / away.square().mean().sqrt().clamp(min=1e-6)).half()
    clip_frames = min(view.num_frames * view.stride_frames, one.num_frames)  # a video may be shorter than a clip
    own = Grid(clip_frames / 2 / one.fps, view.step_frames / one.fps)
    if length is None:
        return FeatureSequence(one.video, values, own, duration)
    parts = Grid(duration / length / 2, duration / length)
    places = torch.from_numpy(own.to_steps(parts.to_seconds(np.arange(length))))
    return FeatureSequence(one.video, read_off(values.float(), places).half(), parts, duration)


def read_off(values: Tensor, places: Tensor) -> Tensor:
    """(D, L) values (D, S) at places (L,) between their steps, linearly; beyond an end the value there."""
    places = places.clamp(0, values.shape[1] - 1)
    before = places.floor().long()
    after = (before + 1).clamp(max=values.shape[1] - 1)
    return torch.lerp(values[:, before], values[:, after], (places - before).to(values))


def fit_head(
    head: ActionFormer,
    sequences: list[FeatureSequence],
    targets: list[Tensor],
    config: dict,
    seed: int,
    state: Path | None = None,
) -> ActionFormer:
    """Train a head; the moving average of its weights is returned, in eval mode.

    Args:
        targets: A (G, 3) tensor a video: start and end in steps, class.
        config: `longest` (steps; None for all) and `training`: `epochs`, `warmup_epochs`, `batch_size`, `lr`,
            `weight_decay`, `ema_decay`, `clip_norm`, `crop` (least and most share of a video).
        state: Where the state of an epoch is kept, from which a killed training goes on.
    """
    settings = config['training']
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    head = head.to(device)
    num_batches = -(-len(sequences) // settings['batch_size'])

    def losses(epoch: int) -> Iterator[Tensor]:
        for batch in torch.randperm(len(sequences)).split(settings['batch_size']):
            cut = [
                cut_out(sequences[i].values, targets[i], config['longest'], settings['crop']) for i in batch.tolist()
            ]
            features, mask = pad([values for values, _ in cut], head.divisor)
            yield head.loss(features.to(device), mask.to(device), [rows.to(device) for _, rows in cut])

    def rate(step: int) -> float:
        done = epochs_done(step, num_batches)
        return warmup_cosine(done, settings['warmup_epochs'], settings['epochs'], 0.01)

    average, _ = train_network(
        head,
        torch.optim.AdamW(_groups(head, settings['weight_decay']), lr=settings['lr']),
        losses,
        settings['epochs'],
        seed_of=epoch_seeds(seed),
        rate=rate,
        clip_norm=settings['clip_norm'],
        average_decay=settings['ema_decay'],
        state=state,
    )
    if state:
        save_head(state.with_name(HEAD), average)  # for protocols that measure it further
    return cast(ActionFormer, average)


def detect(head: ActionFormer, sequence: FeatureSequence, config: dict, external=()) -> np.ndarray:
    """(n, 4) rows [start, end in seconds, class, score] of a video, suppressed, in falling score.

    Args:
        external: (C,) scores of the video's classes; empty where the head names them.
    """
    features, mask = pad([sequence.values], head.divisor)
    device = next(head.parameters()).device
    settings = config['suppression']
    found = head.detect(features.to(device), mask.to(device), settings['before'])[0].cpu().double().numpy()
    found[:, :2] = np.clip(sequence.grid.to_seconds(found[:, :2]), 0, sequence.duration)
    found = found[found[:, 1] - found[:, 0] > config['shortest_seconds']]
    found = suppress(found, settings)
    found[:, :2] = np.clip(found[:, :2], 0, sequence.duration)
    return fuse(found, np.asarray(external), config['external']['top']) if len(external) else found


def cut_out(values: Tensor, rows: Tensor, longest: int | None, crop: tuple | None) -> tuple[Tensor, Tensor]:
    """A random part of a video, (D, S') and its segments, in steps of the part.

    Of a video that is longer than `longest` steps, so many; of another a share between those of `crop`. A segment stays
    where half of it lies inside, cut to what does. Of up to 50 draws the first that holds a segment is taken.
    """
    num_steps = values.shape[1]
    length = min(longest or num_steps, num_steps)
    if length == num_steps:
        if crop is None:
            return values, rows
        low, high = max(1, round(crop[0] * num_steps)), min(num_steps, round(crop[1] * num_steps))
        length = int(torch.randint(low, high + 1, ()))
    for _ in range(50):
        start = int(torch.randint(0, num_steps - length + 1, ()))
        begin, end = rows[:, 0].clamp(min=start), rows[:, 1].clamp(max=start + length)
        inside = (end - begin) >= 0.5 * (rows[:, 1] - rows[:, 0])
        if inside.any() or len(rows) == 0:
            break
    part = torch.stack([begin - start, end - start, rows[:, 2]], dim=1)[inside]
    return values[:, start : start + length], part


def pad(values: list[Tensor], divisor: int) -> tuple[Tensor, Tensor]:
    """(B, D, S) float32 and (B, S) bool of B tensors (D, S'), S a multiple of `divisor`."""
    longest = -(-max(v.shape[1] for v in values) // divisor) * divisor
    features = torch.zeros(len(values), values[0].shape[0], longest)
    mask = torch.zeros(len(values), longest, dtype=torch.bool)
    for number, one in enumerate(values):
        features[number, :, : one.shape[1]] = one
        mask[number, : one.shape[1]] = True
    return features, mask


def read_video_scores(file: str | Path, classes: list[str]) -> dict[str, np.ndarray]:
    """video -> (C,) scores in the order of `classes`, from a file in the layout of CUHK's classifier.

    {"results": {video: [score, ...]}, "class": [name, ...]}; the names of videos are without `v_`.

    Raises:
        DataError: if it is no such file, or lacks a class.
    """
    try:
        content = json.loads(Path(file).read_text(encoding='utf-8'))
        names, results = list(content['class']), dict(content['results'])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{file}' has not the layout of video-level scores (`results`, `class`): {error!r}") from error
    lacking = [name for name in classes if name not in names]
    if lacking:
        raise DataError(f"'{file}' lacks {len(lacking)} of {len(classes)} classes, first {lacking[0]!r}.")
    places = [names.index(name) for name in classes]
    return {video.removeprefix('v_'): np.asarray(row, dtype=np.float64)[places] for video, row in results.items()}


def _groups(head: ActionFormer, weight_decay: float) -> list[dict]:
    """Decay for weights of convolutions alone."""
    decayed = [p for p in head.parameters() if p.ndim == 3]
    others = [p for p in head.parameters() if p.ndim != 3]
    return [{'params': decayed, 'weight_decay': weight_decay}, {'params': others, 'weight_decay': 0.0}]
