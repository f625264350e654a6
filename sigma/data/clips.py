"""The dataset that turns list files into samples, and how clips are sampled from a video.

A sample's randomness depends only on (seed, epoch, position in the list), not on the number of workers or processes or
on where a run was interrupted.
"""

import logging
import random
from collections.abc import Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.logging import print_log
from torch.utils.data import Dataset

from sigma.data.cards import load_dataset_card
from sigma.data.loading import reading
from sigma.errors import DataError, DecodeError
from sigma.registry import DATASETS, TRANSFORMS

MOST_FAILURES = 20  # in a row, before a sample gives up


# --- sampling ------------------------------------------------------------------------------------------------------


def dense_indices(
    num_frames: int, clip_frames: int, stride_frames: int, start: int, short: str = 'repeat_last'
) -> np.ndarray:
    """(clip_frames,) frame numbers from `start` by `stride_frames`; past the end, the last reachable one repeats.

    Args:
        num_frames: Frames of the video.
        clip_frames, stride_frames, start: As above.
        short: `repeat_last`: every frame can be reached; ours, and mmaction2's if it is to repeat. `published`: no
            step reaches the last frame of the video, as in the pretraining loader of VideoMAE and SIGMA
            (kinetics.py), which compares a number counted from 1 with the number of frames.
    """
    indices = start + stride_frames * np.arange(clip_frames)
    end = num_frames - 1 if short == 'published' else num_frames
    reachable = indices[:1] if end <= start else indices[indices < end]
    return np.minimum(indices, reachable[-1])


def segment_indices(num_frames: int, clip_frames: int, offsets: np.ndarray) -> np.ndarray:
    """(clip_frames,) frame numbers, one in each of as many equal segments of the video.

    Args:
        num_frames: Frames of the video; short videos repeat frames.
        clip_frames: Number of segments.
        offsets: (clip_frames,) place within each segment, in [0, 1).

    Source: TSN (arXiv:1608.00859).
    """
    return np.minimum((np.arange(clip_frames) + offsets) * num_frames / clip_frames, num_frames - 1).astype(np.int64)


# --- the dataset ---------------------------------------------------------------------------------------------------


@contextmanager
def seeded(*key: int):
    """Seed numpy, random and torch from a key inside the block; restore the process's own states afterwards.

    Transforms of any library then draw the same numbers for the same key, in a worker or in the main process.
    """
    states = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    words = np.random.SeedSequence(key).generate_state(3)
    np.random.seed(words[0])  # noqa: NPY002 - the generator that other libraries' transforms draw from
    random.seed(int(words[1]))
    torch.default_generator.manual_seed(int(words[2]))  # torch.manual_seed would seed the GPUs too
    try:
        yield np.random.default_rng(np.random.SeedSequence(key))
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
        torch.set_rng_state(states[2])


@DATASETS.register_module()
class VideoClips(Dataset):
    """The videos of a split of one or more dataset cards, as samples made by a pipeline.

    Args:
        card: Name of a card in `mmaction_configs/datasets`, path of a card (`tools/prepare.py` writes one), or several
            of them for a joint pool.
        split: `train`, `test`, or another split of the card.
        pipeline: Transforms of any scope.
        seed: For everything random in a sample.
        test_mode: Training skips what the index calls unreadable, and takes the next readable video if one fails to
            decode; both are counted and named. Testing keeps every video and never takes another.
        subset: Positions in the list to keep (few-shot), or None for all.

    Raises:
        DataError: if a card, list or index is missing, a list differs from its card's hash or names a video that is
            not in the index, or nothing is readable.
    """

    def __init__(
        self,
        card: str | Sequence[str],
        pipeline: Sequence[dict],
        split: str = 'train',
        seed: int = 0,
        test_mode: bool = False,
        subset: Sequence[int] | None = None,
    ) -> None:
        self.seed, self.test_mode = seed, test_mode
        self.skipped: list[tuple[str, str]] = []
        cards = [card] if isinstance(card, str) else list(card)
        self.entries = [entry for name in cards for entry in load_dataset_card(name).entries(split)]
        if subset is not None:
            self.entries = [self.entries[i] for i in subset]
        self.num_listed = len(self.entries)
        if not test_mode:
            self._drop_unreadable(cards)
        if not self.entries:
            raise DataError(f'{", ".join(cards)}, split {split}, name no readable video; run tools/prepare.py again.')
        self.pipeline = Compose([TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline])
        self.metainfo = {'num_listed': self.num_listed}

    def _drop_unreadable(self, cards: list[str]) -> None:
        self.skipped = [(e['video'], e['reason']) for e in self.entries if e['reason']]
        self.entries = [e for e in self.entries if not e['reason']]
        if self.skipped:
            print_log(
                f'{", ".join(cards)}: {len(self.skipped)} of {self.num_listed} videos are unreadable and skipped: '
                + '; '.join(f'{video} ({reason})' for video, reason in self.skipped[:20]),
                logger='current',
                level=logging.WARNING,
            )

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        """Sample at a position, or at (pass, position); `failures` names undecodable videos, one per line."""
        epoch, position = key if isinstance(key, tuple) else (0, key)
        failures = []
        for step in range(len(self.entries)):
            number = (position + step) % len(self.entries)
            try:
                with seeded(self.seed, epoch, number) as rng, reading(self.entries[number]['filename']):
                    sample = self.pipeline(dict(self.entries[number]) | {'rng': rng, 'position': number})
            except DecodeError as error:
                if self.test_mode:
                    raise
                failures.append(str(error))
                if len(failures) >= MOST_FAILURES:
                    break
                continue
            return sample | {'failures': '\n'.join(failures)}
        raise DataError(
            f'{len(failures)} videos in a row could not be decoded, first {failures[0]}; run tools/prepare.py again.'
        )
