"""Quality of the features during pretraining: nearest neighbours on a small labelled dataset.

N clips of the bank, Q queries, D feature width, C classes.
"""

import copy
import logging
import math
import sys

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sigma.data.cards import load_dataset_card
from sigma.data.clips import VideoClips
from sigma.data.loading import watched
from sigma.errors import DataError, DecodeError
from sigma.registry import HOOKS, MODELS


def knn_scores(
    queries: Tensor, bank: Tensor, labels: Tensor, num_classes: int, k: int | None = None, temperature: float = 0.07
) -> Tensor:
    """Votes of the k nearest clips of the bank, weighted by exp(cosine / temperature).

    Args:
        queries: (Q, D), compared by cosine similarity.
        bank: (N, D) features of the training split.
        labels: (N,) int64 classes of the bank.
        num_classes: C.
        k: Number of neighbours, or N if the bank is smaller; None as `neighbours` says.
        temperature: > 0.

    Returns:
        (Q, C) shares of the vote; each row sums to 1.

    Source: SIGMA's evaluation settings (k 200, temperature 0.07) with a bank of training clips. The released script
    took its bank from the test clips, so every query found itself.
    """
    similarity = F.normalize(queries.float(), dim=1) @ F.normalize(bank.float(), dim=1).T
    nearest, index = similarity.topk(min(k or neighbours(len(bank)), len(bank)), dim=1)
    weights = torch.softmax(nearest / temperature, dim=1)  # a common factor cancels in the shares
    votes = torch.zeros(len(queries), num_classes, dtype=weights.dtype, device=weights.device)
    return votes.scatter_add_(1, labels.to(index.device)[index], weights)


def neighbours(num_bank: int) -> int:
    """How many neighbours vote where nobody says: the root of the bank's size (a rule of thumb), at most SIGMA's 200.

    The nearest 200 of a bank of 224 are nearly all of it: the largest class would win, not the closest.
    """
    return max(1, min(MOST_NEIGHBOURS, round(math.sqrt(num_bank))))


def interval(num_right: int, num_clips: int) -> tuple[float, float]:
    """95 % interval of an accuracy, in percent (Wilson)."""
    from scipy.stats import binomtest  # takes a second to import

    found = binomtest(num_right, num_clips).proportion_ci(0.95, method='wilson')
    return 100 * float(found.low), 100 * float(found.high)


def online_knn(cfg, card: str, every_epochs: int = 10, k: int | None = None) -> dict:
    """Settings of `OnlineKNN` for a pretraining config: sampled as in training, resized to the encoder's image size.

    Args:
        cfg: Config with `model.encoder`, and with `sigma.OpenVideo` and a step that samples (`SAMPLERS`) in
            `train_dataloader.dataset.pipeline`.
        card: Labelled dataset card.
        every_epochs: Epochs between evaluations.
        k: Number of neighbours; None as in `OnlineKNN`.

    Raises:
        DataError: if the config lacks these; then write the hook into the config yourself.
    """
    encoder = cfg.model.get('encoder')
    steps = {step['type']: step for step in cfg.train_dataloader.dataset.get('pipeline', [])}
    sampler = next((name for name in SAMPLERS if name in steps), None)
    lacking = [] if 'sigma.OpenVideo' in steps else ['sigma.OpenVideo']
    lacking += [] if sampler else [' or '.join(SAMPLERS)]
    if not encoder or lacking:
        raise DataError(
            'Nearest neighbours were requested for a config '
            + (f'whose pipeline has no {" and no ".join(lacking)}' if encoder else 'without model.encoder')
            + '; add sigma.OnlineKNN with its own pipeline to custom_hooks.'
        )
    pipeline = [
        dict(steps['sigma.OpenVideo']),
        {k: v for k, v in steps[sampler].items() if k != 'offsets'} | {'num_clips': 1, 'test_mode': True},
        {'type': 'sigma.DecodeFrames'},
        {'type': 'sigma.ResizeSquare', 'size': encoder.get('image_size', 224)},
    ]
    return {'type': 'sigma.OnlineKNN', 'card': card, 'every_epochs': every_epochs, 'k': k, 'pipeline': pipeline}


SAMPLERS = ('sigma.SampleDense', 'sigma.SampleSegments', 'sigma.SampleSeconds')
MOST_NEIGHBOURS = 200


@HOOKS.register_module()
class OnlineKNN(Hook):
    """Top-1 accuracy of nearest neighbours on the mean token of the encoder, every few epochs.

    Args:
        card: Dataset card with one class per video. Keep it small: both splits are encoded again each time.
        pipeline: Transforms that give `imgs` of the encoder's size, one clip per video in test mode, for example
            `sigma.OpenVideo`, `sigma.SampleDense(test_mode=True)`, `sigma.DecodeFrames`, `sigma.ResizeSquare`.
        every_epochs: Epochs between evaluations; the last epoch always has one.
        k: Number of neighbours; by default the root of the bank's size, at most 200 (`neighbours`).
        temperature: As in `knn_scores`.
        bank_split, query_split: Two different splits of the card.
        batch_size: Clips per forward pass.
        num_workers: Processes of the loader.

    Logs `knn/top1` in percent, `knn/random_top1` of random weights (drawn with the seed of the run) and the number of
    clips scored, and prints both scores with a 95 % interval over the clips. Unreadable videos are counted and named,
    never replaced. The random states of the training are not touched.

    Raises:
        DataError: if both splits are the same, the card has no classes, or a split has no readable video.
    """

    priority = 'LOW'

    def __init__(
        self,
        card: str,
        pipeline: list,
        every_epochs: int = 10,
        k: int | None = None,
        temperature: float = 0.07,
        bank_split: str = 'train',
        query_split: str = 'test',
        batch_size: int = 32,
        num_workers: int = 0,
    ) -> None:
        if bank_split == query_split:
            raise DataError(f'OnlineKNN was given {bank_split!r} as bank and as queries: each clip would find itself.')
        if every_epochs < 1 or (k is not None and k < 1) or temperature <= 0:
            raise DataError(
                f'OnlineKNN was given every_epochs {every_epochs}, k {k} and temperature {temperature}; the first two '
                'must be at least 1, the last positive.'
            )
        self.card, self.pipeline, self.every_epochs = card, list(pipeline), every_epochs
        self.k, self.temperature = k, temperature
        self.splits = {'bank': bank_split, 'queries': query_split}
        self.batch_size, self.num_workers = batch_size, num_workers
        self._clips: dict[str, _Clips] = {}
        self._named: set[str] = set()
        self._random: float | None = None  # top-1 of random weights

    def before_train(self, runner) -> None:
        """Find the videos now, so that a mistake shows up before hours of training."""
        card = load_dataset_card(self.card)
        if card.task != 'action_recognition':
            raise DataError(f'OnlineKNN needs one class per video; {card.name} has the task {card.task}.')
        self.num_classes = card.num_classes
        self._clips = {role: _Clips(self.card, split, self.pipeline) for role, split in self.splits.items()}
        for role, clips in self._clips.items():
            if not len(clips):
                raise DataError(f'OnlineKNN: {card.name}, split {self.splits[role]}, has no readable video.')

    def after_train_epoch(self, runner) -> None:
        """Encode both splits, vote, log."""
        epochs = runner.epoch + 1
        if epochs % self.every_epochs and epochs != runner.max_epochs:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if self._random is None:
            device = next(model.parameters()).device
            self._random = self._score(model, _random_encoder(runner.cfg.model.encoder, runner.seed, device))[0]
        top1, num_right, num_scored, num_bank = self._score(model, model.encoder)
        scalars = {'knn/top1': top1, 'knn/random_top1': self._random, 'knn/clips_scored': num_scored}
        runner.visualizer.add_scalars(scalars, step=runner.iter)
        low, high = interval(num_right, num_scored)
        said = (
            f'kNN after epoch {epochs}: top-1 {top1:.2f} % (95 % interval {low:.1f} to {high:.1f}; random weights '
            f'{self._random:.2f} %, chance {100 / self.num_classes:.2f} %) of {num_scored} clips of '
            f'{self._clips["queries"].listed} listed, bank of {num_bank} of {self._clips["bank"].listed}, '
            f'k {self._k(num_bank)}'
        )
        runner.logger.info(said)
        if is_main_process():
            print(said, file=sys.stderr, flush=True)

    def _k(self, num_bank: int) -> int:
        return min(self.k or neighbours(num_bank), num_bank)

    def _score(self, model, encoder: nn.Module) -> tuple[float, int, int, int]:
        """Top-1 in percent, clips right, clips scored, clips of the bank."""
        bank, labels = self._features(model, encoder, 'bank')
        queries, truth = self._features(model, encoder, 'queries')
        if not len(bank) or not len(queries):
            raise DataError(f'OnlineKNN: no clip of {self.card} could be decoded; run tools/prepare.py again.')
        votes = knn_scores(queries, bank, labels, self.num_classes, self._k(len(bank)), self.temperature)
        num_right = int((votes.argmax(dim=1) == truth).sum())
        return 100 * num_right / len(truth), num_right, len(truth), len(bank)

    @torch.no_grad()
    def _features(self, model, encoder: nn.Module, role: str) -> tuple[Tensor, Tensor]:
        """Mean tokens (n, D) and classes (n,) of a split, from all processes, in the order of its list."""
        clips, was_training = self._clips[role], encoder.training
        rank, world_size = get_dist_info()
        share = torch.utils.data.Subset(clips, range(rank, len(clips), world_size))
        # Its own generator: starting a loader draws from the default one, which belongs to the training.
        loader = watched(
            DataLoader(
                share, self.batch_size, num_workers=self.num_workers, collate_fn=list, generator=torch.Generator()
            )
        )
        preprocessor, device = model.data_preprocessor, next(model.parameters()).device
        found = []
        encoder.eval()
        try:
            for batch in loader:
                readable = [sample for sample in batch if 'inputs' in sample]
                for sample in batch:
                    if 'failure' in sample and sample['failure'] not in self._named:
                        self._named.add(sample['failure'])
                        print_log(f'kNN skips: {sample["failure"]}', 'current', logging.WARNING)
                if not readable:
                    continue
                pixels = torch.stack([sample['inputs'] for sample in readable]).to(device).float() / 255
                tokens = encoder((pixels - preprocessor.mean) / preprocessor.std)  # (B, T', H', W', D)
                features = tokens.float().mean(dim=(1, 2, 3)).cpu()
                found += [(s['position'], s['label'], f) for s, f in zip(readable, features)]
        finally:
            encoder.train(was_training)
        everyone = sorted((entry for part in all_gather_object(found) for entry in part), key=lambda entry: entry[0])
        if not everyone:
            return torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64)
        return torch.stack([entry[2] for entry in everyone]), torch.tensor([entry[1] for entry in everyone])


def _random_encoder(settings: dict, seed: int | None, device: torch.device) -> nn.Module:
    """An encoder with random weights: those that the run began with, unless it loaded others.

    The random states of the training stay as they are.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed or 0)
        return MODELS.build(copy.deepcopy(settings)).to(device)


class _Clips(Dataset):
    """Readable videos of a split: uint8 clip, class and position in the list, or the reason for a failure."""

    def __init__(self, card: str, split: str, pipeline: list) -> None:
        self.clips = VideoClips(card, pipeline, split=split, test_mode=True)
        self.listed = len(self.clips)
        self.positions = [i for i, entry in enumerate(self.clips.entries) if entry['reason'] is None]
        skipped = [e['video'] for e in self.clips.entries if e['reason'] is not None]
        if skipped:
            print_log(
                f'kNN skips {len(skipped)} unreadable of {self.listed} videos of {split}: {", ".join(skipped[:20])}',
                'current',
                logging.WARNING,
            )

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: int) -> dict:
        position = self.positions[number]
        try:
            frames = torch.as_tensor(self.clips[position]['imgs'])  # (T, H, W, 3)
        except DecodeError as error:
            return {'failure': str(error)}
        return {
            'inputs': frames.permute(3, 0, 1, 2).contiguous(),
            'label': int(self.clips.entries[position]['label']),
            'position': position,
        }
