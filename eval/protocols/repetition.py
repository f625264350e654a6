"""Repetition counting by self-similarity and density. SEVERE's own head is in eval/protocols/repetition_cycles.py.

Shape letters: N videos, B videos of a batch, V clips of a video, T frames of a clip, T' time steps of a clip, S time
steps of a video, D feature width, K cycles.

Versions: 1 (2026-11-22). Since 2026-11-30 only the annotated section of a video counts. The version stands, as no
number of data without sections moves, and cells of UCFRep have a new identity by their annotations.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import DataLoader

from eval.cells.cell import ResolvedCell
from eval.cells.machine import num_workers
from eval.features.clips import build_encoder, extract
from eval.features.views import evaluation_pipeline
from eval.models.repetition import (
    DensityHead,
    cycle_density,
    density_loss,
    join_clips,
    resample,
    step_times,
)
from eval.protocols.base import Outcome, Protocol
from eval.protocols.training import discard, epoch_seeds, epochs_done, state_path, train_network, warmup_cosine
from eval.settings.repetition import REPETITION, REPETITION_FROZEN
from sigma.data.clips import VideoClips
from sigma.data.sampling import annotated_section
from sigma.errors import DataError

NOT_SEVERE = 'head: self-similarity and density, ours; not the cycle localisation of SEVERE'
WARMUP_START = 1e-3  # head start of the warm-up, as a share of the training
BLOCK = 100  # steps between two kept states, for a head on features


class Repetition(Protocol):
    """The count is the sum of a density over time, predicted from the self-similarity of the encoder's time steps.

    `num_frames` frames are spread over the annotated section (the whole video, where none is annotated), cut into clips
    of the encoder's length, encoded, averaged over space, and joined to one row of time steps.
    `eval.models.repetition.DensityHead` learns the density of the annotated cycles (`cycle_density`, `density_loss`) on
    random parts of the videos, stretched to full length. The predicted count is the sum, rounded to a whole number as
    in SEVERE.

    The encoder is trained together with the head; `repetition_frozen` keeps it fixed and reads cached features. The
    notes give two baselines on the same test videos: always predicting the mean or the median training count.
    """

    name = 'repetition'
    version = 1
    source = 'ours, after TransRAC (CVPR 2022) and RepNet (CVPR 2020); data and error as SEVERE (ECCV 2022), head not'
    settings = REPETITION
    trains_encoder = True

    def config(self, resolved: ResolvedCell) -> dict:
        """Encoder, sampling, head and training.

        Raises:
            DataError: if the recipe does not fit the protocol or the encoder, or the dataset cannot be counted on.
        """
        check_counting(resolved)
        recipe, clip = resolved.recipe, resolved.encoder.info['clip']
        if recipe['finetune'] != self.trains_encoder:
            raise DataError(
                f'Recipe {resolved.cell.recipe} says finetune={recipe["finetune"]}; the protocol {self.name} '
                f'{"trains" if self.trains_encoder else "freezes"} the encoder.'
            )
        if recipe['views']['crops'] != 1:
            raise DataError(f'Recipe {resolved.cell.recipe} asks for {recipe["views"]["crops"]} crops; counting has 1.')
        step = recipe['clip_step_frames'] or clip['num_frames']
        if recipe['num_frames'] < clip['num_frames'] or (recipe['num_frames'] - clip['num_frames']) % step:
            raise DataError(
                f'Recipe {resolved.cell.recipe} spreads {recipe["num_frames"]} frames over a video, which clips of '
                f'{clip["num_frames"]} frames (encoder {resolved.encoder.name}) that start every {step} do not fill.'
            )
        spread = {
            'type': 'sigma.SampleSpread',
            'num_frames': recipe['num_frames'],
            'clip_frames': clip['num_frames'],
            'clip_step_frames': step,
        }
        steps = evaluation_pipeline(clip, recipe['views'], 1, recipe['decoder'], recipe.get('frames'))
        if has_sections(resolved):
            steps = [steps[0], {'type': 'sigma.AnnotatedSection'}, *steps[1:]]  # after OpenVideo
        pipelines = {'pipeline': _changed(steps, {'sigma.SampleDense': spread | {'test_mode': True}})}
        if recipe['finetune']:  # in training, a video that cannot be decoded is replaced, not shown black
            opened = {'type': 'sigma.OpenVideo', 'decoder': recipe['decoder']}
            pipelines['train_pipeline'] = _changed(steps, {'sigma.SampleDense': spread, 'sigma.OpenVideo': opened})
        return {
            'head': dict(recipe['head']),
            'label': NOT_SEVERE,
            'backbone': resolved.encoder.backbone(),
            'normalisation': {'mean': list(resolved.encoder.mean), 'std': list(resolved.encoder.std)},
            **pipelines,
            'finetune': recipe['finetune'],
            'training': dict(recipe['training']),
        }

    def run(self, resolved: ResolvedCell, work_dir: Path) -> Outcome:
        """Train the head, alone or together with the encoder, and count in the test videos."""
        counted = self._finetuned if resolved.config['finetune'] else self._frozen
        (videos, labels, counts, unscored), (train_videos, num_skipped, failures) = counted(resolved, work_dir)
        return Outcome(
            videos=videos,
            labels=np.asarray(labels, dtype=np.int64),
            scores=whole_counts(counts)[:, None],
            unscored=unscored,
            num_listed=len(videos) + len(unscored),
            num_train=len(train_videos),
            num_train_skipped=num_skipped + len(failures),
            selection={'epoch': resolved.config['training'].get('epochs'), 'how': 'last'},
            batch_size=resolved.config['training']['batch_size'],
            sampling={
                'name': 'spread',
                'num_frames': resolved.recipe['num_frames'],
                'stride_frames': None,
                'views': '1x1',
            },
            notes=[
                NOT_SEVERE,
                *constant_answers(counts_of(resolved, train_videos), labels),
                *[f'not decoded in training, next video taken: {failure}' for failure in failures],
            ],
        )

    def _frozen(self, resolved: ResolvedCell, work_dir: Path) -> tuple:
        """Train a head on stored features.

        Returns:
            (videos, labels, counts, unscored) of the test videos; (videos, number skipped, failures) of training.
        """
        train, test = (extract(resolved, split, work_dir) for split in ('train', 'test'))
        some_readable(resolved, train.videos, test.videos)
        centres, places = self._steps(resolved, *train.values.shape[1:3])
        values = join_clips(torch.from_numpy(train.values), places)
        head = self._head(resolved, values.shape, train.labels)
        cycles = cycle_times(resolved, train.videos)
        state = state_path(resolved, work_dir)
        fit_density_head(head, values, centres, cycles, resolved.config['training'], resolved.cell.seed, state)
        counts = count_with(head, join_clips(torch.from_numpy(test.values), places))
        discard(state)
        return (test.videos, test.labels, counts, test.unscored), (train.videos, len(train.unscored), [])

    @staticmethod
    def _steps(resolved: ResolvedCell, num_clips: int, steps_per_clip: int) -> tuple[Tensor, Tensor]:
        """Centres and places of the time steps, from `step_times`."""
        clip_frames = resolved.encoder.info['clip']['num_frames']
        step = resolved.recipe['clip_step_frames'] or clip_frames
        return step_times(num_clips, steps_per_clip, clip_frames, step)

    @staticmethod
    def _head(resolved: ResolvedCell, shape: tuple, labels: ArrayLike) -> DensityHead:
        """A head for features of shape (.., S, D). Untrained, it predicts the mean training count."""
        torch.manual_seed(resolved.cell.seed)
        *_, num_steps, width = shape
        initial = max(float(np.asarray(labels).mean()), 1.0) / num_steps
        return DensityHead(width, num_steps, initial_density=initial, **resolved.config['head'])

    # --- together with the encoder --------------------------------------------------------------------------------

    def _finetuned(self, resolved: ResolvedCell, work_dir: Path) -> tuple:
        """Train encoder and head together; returns as `_frozen`."""
        config, settings = resolved.config, resolved.config['training']
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        seed, card = resolved.cell.seed, resolved.cell.dataset
        clips = VideoClips(card, config['train_pipeline'], split='train', seed=seed)
        tests = VideoClips(card, config['pipeline'], split='test', test_mode=True)
        train_videos = [entry['video'] for entry in clips.entries]
        some_readable(resolved, train_videos, [e['video'] for e in tests.entries if e['reason'] is None])
        cycles = cycle_times(resolved, train_videos).to(device)
        model = _EncoderAndHead(resolved, self).to(device)
        memory: dict[str, list[str]] = {'failures': []}
        num_batches = -(-len(clips) // settings['batch_size'])

        def losses(epoch: int) -> Iterator[Tensor]:
            for positions in torch.randperm(len(clips)).split(settings['batch_size']):
                samples = [clips[epoch, int(position)] for position in positions]
                failed = {line for sample in samples for line in sample['failures'].splitlines()}
                memory['failures'] = sorted(failed.union(memory['failures']))
                # A video that fails to decode is replaced by the next one, so cycles are looked up by what was read.
                taken = torch.tensor([sample['data_samples'].position for sample in samples], device=device)
                values = model(torch.stack([sample['inputs'] for sample in samples]).to(device))
                yield head_loss(model.head, values, model.centres, cycles[taken], settings)

        def rate(step: int) -> float:
            share = epochs_done(step, num_batches) / settings['epochs']
            return warmup_cosine(share, settings['warmup_share'], 1, WARMUP_START)

        groups = [
            {'params': model.encoder.parameters(), 'lr': settings['encoder_lr']},
            {'params': model.head.parameters(), 'lr': settings['lr']},
        ]
        state = state_path(resolved, work_dir)
        train_network(
            model,
            torch.optim.AdamW(groups, weight_decay=settings['weight_decay']),
            losses,
            settings['epochs'],
            seed_of=epoch_seeds(seed),
            what='the encoder and the head',
            rate=rate,
            state=state,
            memory=memory,
        )
        tested = self._test(model, tests, settings['batch_size'], device)
        discard(state)
        return tested, (train_videos, len(clips.skipped), memory['failures'])

    @staticmethod
    @torch.no_grad()
    def _test(model: '_EncoderAndHead', tests: VideoClips, batch_size: int, device: torch.device) -> tuple:
        """Videos, labels, counts and unscored videos of the test split."""
        videos, labels, counts, unscored = [], [], [], []
        for batch in DataLoader(tests, batch_size, num_workers=num_workers(), collate_fn=pseudo_collate):
            answers = model.head(model(torch.stack(batch['inputs']).to(device))).sum(dim=1)
            for sample, count in zip(batch['data_samples'], answers.tolist()):
                if sample.decode_error is not None:
                    unscored.append({'video': sample.video, 'reason': sample.decode_error})
                    continue
                videos.append(sample.video)
                labels.append(int(sample.gt_label))
                counts.append(count)
        return videos, np.array(labels), np.array(counts), unscored


def _changed(steps: list[dict], others: dict[str, dict]) -> list[dict]:
    """A pipeline in which steps of some types are replaced."""
    return [others.get(step['type'], step) for step in steps]


class RepetitionFrozen(Repetition):
    """`repetition` with a frozen encoder: features are made once, and only the head is trained."""

    name = 'repetition_frozen'
    version = 1
    settings = REPETITION_FROZEN
    trains_encoder = False


class _EncoderAndHead(torch.nn.Module):
    """The encoder from clips to joined time steps, with the head beside it for the optimizer and the state."""

    mean: Tensor
    std: Tensor
    centres: Tensor
    places: Tensor

    def __init__(self, resolved: ResolvedCell, protocol: Repetition) -> None:
        super().__init__()
        self.encoder = build_encoder(resolved)
        for name, values in (('mean', resolved.encoder.mean), ('std', resolved.encoder.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1, 1), persistent=False)
        clip = resolved.encoder.info['clip']
        step = resolved.recipe['clip_step_frames'] or clip['num_frames']
        num_clips = (resolved.recipe['num_frames'] - clip['num_frames']) // step + 1
        with torch.no_grad():
            tokens = self.encoder(torch.zeros(1, 3, clip['num_frames'], clip['size'], clip['size']))
        centres, places = protocol._steps(resolved, num_clips, tokens.shape[1])
        self.register_buffer('centres', centres, persistent=False)
        self.register_buffer('places', places, persistent=False)
        labels = [label for _, label in resolved.dataset.pairs('train')]
        self.head = protocol._head(resolved, (len(centres), tokens.shape[-1]), labels)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, V, 3, T, H, W) uint8 -> (B, S, D)."""
        tokens = self.encoder((clips.flatten(0, 1).float() - self.mean) / self.std)  # (B * V, T', H', W', D)
        return join_clips(tokens.float().mean(dim=(2, 3)).unflatten(0, clips.shape[:2]), self.places)


# --- training on features ---------------------------------------------------------------------------------------


def fit_density_head(
    head: DensityHead,
    values: Tensor,
    centres: Tensor,
    boundaries: Tensor,
    settings: dict,
    seed: int,
    state: Path | None = None,
) -> list[float]:
    """Train a head in place on features, with AdamW, linear warm-up and cosine decay.

    Args:
        head: Untrained.
        values: (N, S, D) features.
        centres: (S,) times of the steps, from 0 to 1.
        boundaries: (N, K + 1) times at which one cycle ends and the next starts; NaN pads short rows.
        settings: `num_steps`, `batch_size`, `lr`, `weight_decay`, `warmup_share` (of the training), `least_share` (of a
            video, for random parts), `count_weight` (`density_loss`).
        seed: Seed of the order of videos, the random parts and dropout.
        state: File of the training state, written every `BLOCK` steps. None keeps nothing.

    Returns:
        The loss of each step that this process took.

    Raises:
        TrainingError: if the loss is no longer finite.
    """
    memory = {'order': torch.empty(0, dtype=torch.long)}  # videos drawn but not used yet

    def losses(block: int) -> Iterator[Tensor]:
        for _ in range(BLOCK * block, min(BLOCK * (block + 1), settings['num_steps'])):
            if len(memory['order']) < settings['batch_size']:
                memory['order'] = torch.cat([memory['order'], torch.randperm(len(values))])
            batch, memory['order'] = memory['order'].tensor_split([settings['batch_size']])
            yield head_loss(head, values[batch], centres, boundaries[batch], settings)

    _, taken = train_network(
        head,
        torch.optim.AdamW(head.parameters(), lr=settings['lr'], weight_decay=settings['weight_decay']),
        losses,
        -(-settings['num_steps'] // BLOCK),
        seed_of=lambda block: seed if block == 0 else None,
        rate=lambda step: warmup_cosine(step / settings['num_steps'], settings['warmup_share'], 1, WARMUP_START),
        clip_norm=1.0,
        state=state,
        memory=memory,
    )
    return taken


def head_loss(head: DensityHead, values: Tensor, centres: Tensor, boundaries: Tensor, settings: dict) -> Tensor:
    """`density_loss` on a random part of each video, stretched to all time steps.

    Args:
        head: The head.
        values, centres, boundaries: As `fit_density_head`, of a batch.
        settings: `least_share`, the smallest part as a share of the video, and `count_weight`.

    Returns:
        A scalar.
    """
    num_videos, num_steps = values.shape[:2]
    share = settings['least_share'] + (1 - settings['least_share']) * torch.rand(num_videos, device=values.device)
    begin = (1 - share) * torch.rand(num_videos, device=values.device)
    part, edges = resample(values, centres, begin, begin + share, num_steps)
    return density_loss(head(part), cycle_density(boundaries, edges), settings['count_weight'])


@torch.no_grad()
def count_with(head: DensityHead, values: Tensor) -> np.ndarray:
    """Predicted counts (N,) of features (N, S, D), not rounded."""
    return torch.cat([head(part).sum(dim=1) for part in values.split(64)]).numpy()


# --- counts and cycles of a dataset -----------------------------------------------------------------------------


def check_counting(resolved: ResolvedCell) -> None:
    """Check that a cell can be counted.

    Raises:
        DataError: if the dataset is for another task, a count is 0, the cell asks for shots or examples, or a section
            is missing that the card promises.
    """
    dataset, cell = resolved.dataset, resolved.cell
    if dataset.task != 'repetition':
        raise DataError(
            f"{dataset.name} is a dataset for {dataset.task}; {resolved.protocol.name} needs one for 'repetition'."
        )
    if cell.shots or cell.examples:
        raise DataError(
            f'{resolved.protocol.name} has no classes to draw few clips from; leave out shots and examples.'
        )
    for split in ('train', 'test'):
        empty = [video for video, count in dataset.pairs(split) if cast(int, count) < 1]
        if empty:
            raise DataError(
                f'{dataset.name} ({split}): {len(empty)} videos have count 0, first {empty[0]}; an error relative to '
                'the count needs at least one cycle.'
            )
        if has_sections(resolved):
            entries = dataset.entries(split)
            whole = [entry['video'] for entry in entries if 'section' not in (entry['annotation'] or {})]
            if whole:
                raise DataError(
                    f'{dataset.name} ({split}): {len(whole)} of {len(entries)} videos have no annotated section, first '
                    f'{whole[0]}; the folder was prepared before sections were kept. Prepare it again: '
                    f'{dataset.info["prepare"]}'
                )


def has_sections(resolved: ResolvedCell) -> bool:
    """Whether the dataset's videos are counted in a section: its card says so, or an annotation has one."""
    dataset = resolved.dataset
    entries = [entry for split in ('train', 'test') for entry in dataset.entries(split)]
    return bool(dataset.info.get('sections')) or any('section' in (entry['annotation'] or {}) for entry in entries)


def section_of(entry: dict) -> tuple[int, int]:
    """First and last frame of the annotated section of a video; all of it if none is annotated."""
    if 'section' not in (entry['annotation'] or {}):
        return 0, entry['total_frames'] - 1
    return annotated_section(entry)


def some_readable(resolved: ResolvedCell, train: Sequence, test: Sequence) -> None:
    """Raise DataError if a split has no readable video."""
    if not train or not test:
        raise DataError(f'{resolved.dataset.name}: no readable video in {"test" if train else "train"}.')


def boundaries_of(resolved: ResolvedCell, videos: list[str], split: str = 'train') -> list[np.ndarray]:
    """Frame numbers (K + 1,) at which one cycle ends and the next starts, for each video.

    Raises:
        DataError: if a video has none, they do not increase, or there are not one more than its count.
    """
    entries = {entry['video']: entry for entry in resolved.dataset.entries(split)}
    found = []
    for video in videos:
        entry = entries[video]
        cycles = np.asarray((entry['annotation'] or {}).get('cycles', ()), dtype=np.float64)
        if len(cycles) != entry['label'] + 1 or np.any(np.diff(cycles) <= 0):
            raise DataError(
                f'{resolved.dataset.name} ({split}): {video} has count {entry["label"]} and {len(cycles)} cycle '
                'boundaries; training needs increasing boundaries, one more than the count.'
            )
        found.append(cycles)
    return found


def cycle_times(resolved: ResolvedCell, videos: list[str]) -> Tensor:
    """(N, K + 1) boundaries of training videos, in time from 0 to 1 of a section. NaN pads rows with fewer cycles."""
    sections = {entry['video']: section_of(entry) for entry in resolved.dataset.entries('train')}
    rows = []
    for video, cycles in zip(videos, boundaries_of(resolved, videos)):
        first, last = sections[video]
        rows.append((cycles - first) / (last - first + 1))
    times = np.full((len(rows), max(map(len, rows))), np.nan, dtype=np.float32)
    for number, row in enumerate(rows):
        times[number, : len(row)] = row
    return torch.from_numpy(times)


def counts_of(resolved: ResolvedCell, videos: list[str]) -> np.ndarray:
    """(N,) counts of training videos."""
    labels = dict(resolved.dataset.pairs('train'))
    return np.array([labels[video] for video in videos])


def whole_counts(counts: ArrayLike) -> np.ndarray:
    """(N,) float32: counts rounded to whole numbers (halves up), at least 0."""
    return np.floor(np.maximum(np.asarray(counts, dtype=np.float64), 0) + 0.5).astype(np.float32)


def constant_answers(train_counts: np.ndarray, labels: ArrayLike) -> list[str]:
    """Notes on two baselines: always predicting the mean or the median training count.

    The error is the mean of abs(prediction - count) / count over the test videos.
    """
    counts, said = np.asarray(labels), []
    for name, value in (('mean', np.mean(train_counts)), ('median', np.median(train_counts))):
        answer = whole_counts([value])[0]
        error = np.mean(np.abs(answer - counts) / counts)
        within = np.mean(np.abs(answer - counts) <= 1)
        said.append(
            f'always the {name} training count ({value:.2f}, answered as {answer:.0f}): '
            f'error {error:.4f}, within one {within:.4f}'
        )
    return said
