"""Temporal action localization on frozen features: which action, from when to when.

Shape letters: S steps of a video, D feature width, G true segments of a video, n predicted segments, C classes, B
videos.

Versions: 1 (2026-11-22); 2 (2026-11-22): features of a fixed length lie at their exact times, also near both ends;
3 (2026-11-30): head, loss, schedule and suppression as published. Biases start at 0, padding has no effect, the
learning rate follows OpenTAD's schedule, and segments are clipped to their video after suppression.
Evaluator versions: 2 (2026-11-30): average recall leaves out test videos without a true segment, and does not depend on
the order of proposals of equal score.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

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
from eval.protocols.base import Departure, Outcome, Protocol
from eval.protocols.training import discard, epoch_seeds, save_head, state_path, train_network
from eval.settings.localization import LOCALIZATION
from sigma.errors import DataError
from sigma.files import sha256_file

HEAD = 'head.safetensors'  # the trained head, in a cell's folder
LEAST_RATE = 1e-8  # learning rate at the end of the schedule
TRIALS = 200  # crops drawn until one holds a segment
FEATURES = (
    Departure(
        'Features of a clip',
        'Features of the network that the config names, in single precision (OpenTAD: I3D on THUMOS-14, TSP on '
        'ActivityNet-1.3)',
        'The mean over all tokens of the encoder that is measured, stored in half precision',
        'It is what is measured; half precision was not measured apart',
    ),
    Departure(
        'Resizing to a fixed length',
        'roi_align over the whole sequence, and step n lies at n / length of the video (OpenTAD, '
        'datasets/transforms/formatting.py: ResizeFeat; post_processing/utils.py: convert_to_seconds)',
        'Linear interpolation at exact times: step n lies at (n + 0.5) / length, and clips lie at their middles',
        'At both ends features are shifted by up to half the difference between clip and step there: a third of an '
        'action on toy_localization, hardly anything in videos of minutes',
    ),
)


@dataclass(frozen=True)
class Grid:
    """Where the steps of a video lie in time: step n is at `offset` + n x `step` seconds."""

    offset: float
    step: float

    def to_steps(self, seconds: np.ndarray) -> np.ndarray:
        """Fractional steps at these times."""
        return (seconds - self.offset) / self.step

    def to_seconds(self, steps: np.ndarray) -> np.ndarray:
        """Times of these steps, which may be fractional."""
        return steps * self.step + self.offset


@dataclass
class FeatureSequence:
    """Features of a video as the head takes them.

    Attributes:
        video: Its name in the list.
        values: (D, S) float16.
        grid: Where the steps lie in time.
        duration: Length of the video in seconds.
    """

    video: str
    values: Tensor
    grid: Grid
    duration: float


class Localization(Protocol):
    """An ActionFormer-type head on features of sliding clips. It names the classes itself; no other model does.

    Features are the mean over all tokens of each clip (`eval.features.dense`), stored as float16. Datasets like THUMOS
    keep their length and are cropped at random in training; datasets like ActivityNet are resized to a fixed length.
    The moving average of the weights after the last epoch is scored. Detections go through soft-NMS, and what lies
    outside the video is cut off after it. Whether segments vote is the recipe's `suppression`
    (`eval.models.segments.suppress`); what the head learns from is its `targets`:

        whole_frames    round ends down to whole frames
        least_share     leave out segments of at most this share of their video
        empty_videos    learn from videos without a segment too

    The notes of the record state the evaluator's rules and count the flaws of the ground truth.
    """

    name = 'localization'
    version = 3
    evaluator_version = 2
    source = 'ActionFormer (ECCV 2022) on frozen features, class-aware; settings as in OpenTAD'
    settings = LOCALIZATION
    external = False
    from_recipe: tuple[str, ...] = ('length', 'longest', 'standardise', 'head', 'training', 'suppression', 'targets')
    named_by = 'by the head itself'
    departures: tuple[Departure, ...] = (
        *FEATURES,
        Departure(
            'Padding',
            'Biases of norms leak from the padding into the last steps of a video, and how far depends on the length '
            'to which it is padded (ActionFormer, blocks.py; OpenTAD, bricks/transformer.py, necks/fpn.py)',
            'Every norm is masked, so outputs of real steps are the same to 1e-5 whatever the padding',
            'None before training, when these biases are 0. In our head before it was masked, with random biases, 320 '
            'steps padded to 576 moved 18 of 630 points by more than 0.01 logits, 0.12 at most',
        ),
        Departure(
            'Bias of the last convolution of the regressor',
            "Random in OpenTAD (torch's default), 0 in ActionFormer",
            '0',
        ),
        Departure(
            'Rounding of detections',
            'Times are rounded to 0.01 s and scores to 0.0001 before they are scored (OpenTAD, '
            'detectors/single_stage.py: post_processing)',
            'Single precision',
        ),
        Departure(
            'Epoch that is scored',
            'Every epoch from workflow.val_start_epoch on is scored on the test videos (OpenTAD, tools/train.py); '
            'which of them a published number is, is not said',
            'The last',
        ),
    )

    def config(self, resolved: ResolvedCell) -> dict:
        """Encoder, view, head, training, suppression and rules.

        Raises:
            DataError: if the dataset is of another task, shots or examples are asked for, or the recipe and the
            protocol
                disagree about external scores.
        """
        recipe, dataset = resolved.recipe, resolved.dataset
        if dataset.task != 'localization':
            raise DataError(
                f"{dataset.name} is a dataset for {dataset.task}; {self.name} needs one for 'localization'."
            )
        if resolved.cell.shots or resolved.cell.examples:
            raise DataError(f'{self.name} takes all training videos; leave out shots and examples.')
        if bool(recipe.get('external')) != self.external:
            has = 'has' if recipe.get('external') else 'lacks'
            other = self.name.removesuffix('_external') + ('' if self.external else '_external')
            raise DataError(
                f'Recipe {resolved.cell.recipe} {has} `external` video-level scores; use the protocol {other}.'
            )
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
                raise DataError(f"External video-level scores: '{file}' is not there; correct its path in the recipe.")
            config['external'] = {'sha256': sha256_file(file), 'top': recipe['external']['top']}
        return config

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Make or read the features, train the head, and detect actions in the test videos."""
        config, rules = resolved.config, resolved.config['rules']
        view, batch, blocked = view_of(resolved), resolved.recipe['batch_size'], set(rules['blocked'])
        truths = {
            split: read_truth(resolved.dataset.entries(split), resolved.dataset.num_classes, rules)
            for split in ('train', 'test')
        }
        check_actions(truths, blocked, resolved.dataset.name)  # before the features, which take minutes
        train, skipped = with_times(*extract_dense(resolved, 'train', view, work_dir, batch))
        test, unscored = with_times(*extract_dense(resolved, 'test', view, work_dir, batch))
        test = [one for one in test if one.video not in blocked]
        unscored = [one for one in unscored if one['video'] not in blocked]
        if not train or not test:
            raise DataError(f'{resolved.dataset.name}: no readable video in {"test" if train else "train"}.')
        state = state_path(resolved, work_dir)
        lessons = [(one, rows) for one in train if (rows := self._lesson(one, truths['train'], config)) is not None]
        head = self._fit(resolved, lessons, state)
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
        num_left_out = len(train) - len(lessons)
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

    def _external(self, resolved: ResolvedCell) -> Callable[[str], np.ndarray | None]:
        """A function from a video to its (C,) class scores: empty if the head names the classes, None if unknown."""
        if not self.external:
            return lambda video: np.empty(0)
        scores = read_video_scores(resolved.recipe['external']['scores'], resolved.dataset.info['classes'])
        return lambda video: scores.get(Path(video).stem.removeprefix('v_'))

    def _lesson(self, one: DenseFeatures, truth: Truth, config: dict) -> np.ndarray | None:
        """(G, 3) rows in seconds that the head learns from a training video; None to leave the video out.

        As in OpenTAD, segments are not cut at the ends of the video.
        """
        rows, settings, duration = truth.segments[one.video].copy(), config['targets'], one.num_frames / one.fps
        if settings['whole_frames']:
            rows[:, :2] = np.trunc(rows[:, :2] / duration * one.num_frames) / one.fps
        if settings['least_share']:
            rows = rows[(rows[:, 1] - rows[:, 0]) / duration > settings['least_share']]
        return rows if len(rows) or settings['empty_videos'] else None

    def _fit(self, resolved: ResolvedCell, lessons: list[tuple[DenseFeatures, np.ndarray]], state: Path) -> Any:
        """The trained head. Segments become steps of the features, and class 0 if external scores name the classes."""
        config, view = resolved.config, view_of(resolved)
        sequences, targets = [], []
        for one, rows in lessons:
            sequence = sequence_of(one, view, config['length'], config['standardise'])
            rows = rows.copy()
            rows[:, :2] = sequence.grid.to_steps(rows[:, :2])
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
    ) -> Any:
        """A trained head, of any type that `_detect` takes."""
        num_classes = 1 if self.external else resolved.dataset.num_classes
        head = ActionFormer(len(sequences[0].values), num_classes, **resolved.config['head'])
        return fit_actionformer(head, sequences, targets, resolved.config, resolved.cell.seed, state)

    def _detect(self, head: Any, sequence: FeatureSequence, config: dict, external: np.ndarray) -> np.ndarray:
        """(n, 4) rows [start, end in seconds, class, score] of a video, highest score first."""
        return detect(head, sequence, config, external)


class LocalizationExternal(Localization):
    """`localization` with class-free proposals, whose classes come from another model's video-level scores.

    Do not compare its numbers with `localization`: on ActivityNet, CUHK's classifier (2017) adds several points to any
    encoder.
    """

    name = 'localization_external'
    version = 3
    source = 'ActionFormer (ECCV 2022) on frozen features, times external video-level scores'
    external = True


def rules_told(rules: dict) -> list[str]:
    """Notes for the record on how predictions and ground truth are compared."""
    told = '; '.join(f'{key} {rules[key]}' for key in ('duplicates', 'shortest_seconds', 'ambiguous'))
    return [METRIC_RULES, f'rules: {told}', f'rules: {len(rules["blocked"])} videos blocked']


def check_actions(truths: dict[str, Truth], blocked: set[str], name: str) -> None:
    """Check that there is something to learn and something to find.

    Raises:
        DataError: if no training video has an action, or no test video outside `blocked` has one.
    """
    for split, left_out, reason in (
        ('train', set(), 'no training video has an action; there is nothing to learn.'),
        ('test', blocked, 'no test video has an action; there is nothing to find.'),
    ):
        if not any(len(rows) for video, rows in truths[split].segments.items() if video not in left_out):
            raise DataError(f'{name}: {reason}')


def with_times(features: list[DenseFeatures], unread: list[dict]) -> tuple[list[DenseFeatures], list[dict]]:
    """Move videos of unknown frame rate to those that could not be read: their times in seconds are unknown."""
    timeless = [{'video': one.video, 'reason': 'its frame rate is unknown'} for one in features if not one.fps > 0]
    return [one for one in features if one.fps > 0], unread + timeless


def view_of(resolved: ResolvedCell) -> DenseView:
    """Which clips are cut: from the recipe's `view`, else the dataset card's `sampling`, else the encoder's clip.

    Raises:
        DataError: if neither recipe nor dataset card gives `step_frames`.
    """
    view, clip = resolved.recipe['view'], resolved.encoder.info['clip']
    sampling = resolved.dataset.info.get('sampling') or {}
    step = view.get('step_frames') or sampling.get('step_frames')
    if not step:
        raise DataError(
            f'Neither the view of recipe {resolved.cell.recipe} nor the sampling of {resolved.dataset.name} says '
            'step_frames; add it to one of them.'
        )
    return DenseView(
        num_frames=clip['num_frames'],
        stride_frames=view.get('stride_frames') or sampling.get('stride_frames') or clip['stride_frames'],
        step_frames=step,
        size=clip['size'],
        resize=view.get('resize', 'short_side'),
    )


def sequence_of(one: DenseFeatures, view: DenseView, length: int | None, standardise: bool = False) -> FeatureSequence:
    """Prepare the features of a video for the head, at their own length or resized.

    Resized features lie in the middles of `length` equal parts of the video. They are interpolated linearly between the
    middles of the clips; beyond the first and the last middle the nearest value is used.

    Departure: ActionFormer and OpenTAD stretch the features over the whole video. At both ends that shifts them by up
    to half the difference between clip and step, which matters for videos of seconds but hardly for minutes.

    Args:
        one: Features (S, D).
        view: How they were cut.
        length: Steps to resize to. None keeps their number.
        standardise: Subtract the mean over the video and divide by the root mean square over all steps and dimensions.
            What never changes in a video, such as its scene, then has no effect. Published runs do not do this. It
            helps encoders whose features differ far more between videos than within one, and short trainings.
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
    """Interpolate values (D, S) linearly at fractional steps (L,) -> (D, L); constant beyond both ends."""
    places = places.clamp(0, values.shape[1] - 1)
    before = places.floor().long()
    after = (before + 1).clamp(max=values.shape[1] - 1)
    return torch.lerp(values[:, before], values[:, after], (places - before).to(values))


def fit_actionformer(
    head: ActionFormer,
    sequences: list[FeatureSequence],
    targets: list[Tensor],
    config: dict,
    seed: int,
    state: Path | None = None,
) -> ActionFormer:
    """Train a head with AdamW and OpenTAD's schedule.

    Args:
        head: Untrained; it is moved to the GPU if there is one.
        sequences: Features of the training videos.
        targets: (G, 3) rows for each video: start and end in steps, class.
        config: `longest` (steps of a crop; None for all) and `training`, a dict of `epochs`, `warmup_epochs`,
            `batch_size`, `lr`, `weight_decay`, `ema_decay`, `clip_norm`, `crop` (least and most share of a video) and
            `drop_last` (leave out the last batch of an epoch if it is not full; default: False).
        seed: Seed of the order, the crops and dropout.
        state: File of the training state. None keeps nothing, so a killed training starts again.

    Returns:
        The moving average of the weights, in eval mode. With `state`, it is also written beside it as `HEAD`.

    Raises:
        TrainingError: if the loss is no longer finite.
    """
    settings = config['training']
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    head = head.to(device)
    full = settings.get('drop_last', False) and len(sequences) >= settings['batch_size']
    num_batches = len(sequences) // settings['batch_size'] if full else -(-len(sequences) // settings['batch_size'])

    def losses(epoch: int) -> Iterator[Tensor]:
        for batch in torch.randperm(len(sequences)).split(settings['batch_size'])[:num_batches]:
            cut = [
                cut_out(sequences[i].values, targets[i], config['longest'], settings['crop']) for i in batch.tolist()
            ]
            features, mask = pad([values for values, _ in cut], head.divisor)
            yield head.loss(features.to(device), mask.to(device), [rows.to(device) for _, rows in cut])

    def rate(step: int) -> float:
        warmup, total = settings['warmup_epochs'] * num_batches, settings['epochs'] * num_batches
        return published_rate(step, warmup, total, LEAST_RATE / settings['lr'])

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
        save_head(state.with_name(HEAD), average)  # for protocols that test it further
    return cast(ActionFormer, average)


def published_rate(step: int, warmup: int, total: int, least: float) -> float:
    """Factor of the learning rate at a step, counted from 0: linear from 0 to 1, then half a cosine.

    Args:
        step: Steps taken so far.
        warmup: Steps of the linear part; its last one has the peak rate.
        total: All steps.
        least: Factor that the cosine ends at.

    Source: LinearWarmupCosineAnnealingLR of ActionFormer and OpenTAD. The very first step has rate 0.
    """
    if step < warmup:
        return step / max(warmup - 1, 1)
    share = (step - warmup) / max(total - warmup, 1)
    return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * share))


def detect(
    head: ActionFormer, sequence: FeatureSequence, config: dict, external: Sequence[float] | np.ndarray = ()
) -> np.ndarray:
    """Detect actions in a video: suppression, and only then clipping to the video, as published.

    Args:
        head: Trained.
        sequence: Features of the video.
        config: `suppression`, and with external scores `external.top`. Suppression has the settings of
            `eval.models.segments.suppress`, and of the segments that enter it: `before` (best segments over all
            levels), `least_before` (least score; default: 0.001) and `shortest_steps` (segments of at most so many
            steps of the features are left out; default: None, none is).
        external: (C,) scores of the video's classes from another model; empty if the head names the classes.

    Returns:
        (n, 4) rows [start, end in seconds, class, score], highest score first.
    """
    features, mask = pad([sequence.values], head.divisor)
    device = next(head.parameters()).device
    settings = config['suppression']
    entering = settings['before'], settings.get('least_before', 1e-3)
    found = head.detect(features.to(device), mask.to(device), *entering)[0].cpu().double().numpy()
    if (shortest := settings.get('shortest_steps')) is not None:
        found = found[found[:, 1] - found[:, 0] > shortest]
    found[:, :2] = sequence.grid.to_seconds(found[:, :2])
    found = suppress(found, settings)
    found[:, :2] = np.clip(found[:, :2], 0, sequence.duration)
    return fuse(found, np.asarray(external), config['external']['top']) if len(external) else found


def cut_out(
    values: Tensor, rows: Tensor, longest: int | None, crop: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """Crop a video at random.

    A segment stays if at least half of it lies in the crop, and is cut to the crop. Up to 200 crops are drawn until one
    holds a segment. A video that keeps its whole length keeps its segments as they are.

    Args:
        values: (D, S) features.
        rows: (G, 3) start and end in steps, class.
        longest: Longer videos are cropped to this many steps. None: no limit.
        crop: Other videos are cropped to a random share of their steps between these two. None: not cropped.

    Returns:
        (D, S') features and (G', 3) segments, in steps of the crop.
    """
    num_steps = values.shape[1]
    length = min(longest or num_steps, num_steps)
    if length == num_steps:
        if crop is None:
            return values, rows
        low, high = max(1, round(crop[0] * num_steps)), min(num_steps, round(crop[1] * num_steps))
        length = int(torch.randint(low, high + 1, ()))
        if length == num_steps:
            return values, rows
    for _ in range(TRIALS):
        start = int(torch.randint(0, num_steps - length + 1, ()))
        begin, end = rows[:, 0].clamp(min=start), rows[:, 1].clamp(max=start + length)
        inside = (end - begin) >= 0.5 * (rows[:, 1] - rows[:, 0])
        if inside.any() or len(rows) == 0:
            break
    part = torch.stack([begin - start, end - start, rows[:, 2]], dim=1)[inside]
    return values[:, start : start + length], part


def pad(values: list[Tensor], divisor: int) -> tuple[Tensor, Tensor]:
    """Pad B tensors (D, S') to a batch (B, D, S) float32 with its mask (B, S) bool; S is a multiple of `divisor`."""
    longest = -(-max(v.shape[1] for v in values) // divisor) * divisor
    features = torch.zeros(len(values), values[0].shape[0], longest)
    mask = torch.zeros(len(values), longest, dtype=torch.bool)
    for number, one in enumerate(values):
        features[number, :, : one.shape[1]] = one
        mask[number, : one.shape[1]] = True
    return features, mask


def read_video_scores(file: str | Path, classes: list[str]) -> dict[str, np.ndarray]:
    """Read video-level scores in the layout of CUHK's classifier.

    Args:
        file: JSON {"results": {video: [score, ...]}, "class": [name, ...]}; names of videos with or without `v_`.
        classes: Classes of the dataset.

    Returns:
        video without `v_` -> (C,) scores in the order of `classes`.

    Raises:
        DataError: if the file has another layout or lacks a class.
    """
    try:
        content = json.loads(Path(file).read_text(encoding='utf-8'))
        names, results = list(content['class']), dict(content['results'])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{file}' is not a file of video-level scores (`results`, `class`): {error!r}") from error
    lacking = [name for name in classes if name not in names]
    if lacking:
        raise DataError(f"'{file}' lacks {len(lacking)} of {len(classes)} classes, first {lacking[0]!r}.")
    places = [names.index(name) for name in classes]
    return {video.removeprefix('v_'): np.asarray(row, dtype=np.float64)[places] for video, row in results.items()}


def _groups(head: ActionFormer, weight_decay: float) -> list[dict]:
    """Parameter groups: weight decay for the weights of convolutions only."""
    decayed = [p for p in head.parameters() if p.ndim == 3]
    others = [p for p in head.parameters() if p.ndim != 3]
    return [{'params': decayed, 'weight_decay': weight_decay}, {'params': others, 'weight_decay': 0.0}]
