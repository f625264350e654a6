"""Test videos under corruptions: each decoded once, corrupted in every way asked for, seen in the views of a cell.

The pipeline is that of the cell which trained: its sampling chooses the frames (of the corrupted order, where a
corruption acts on the order of the source), and what follows its `sigma.DecodeFrames` resizes and crops them after
the corruption. Shape letters: T frames, H and W pixels, V views.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import Compose
from torch.utils.data import IterableDataset, get_worker_info

from eval.corruptions import check_frames, get_corruption, reencode, to_working_size
from sigma.data.clips import seeded
from sigma.errors import DataError, DecodeError
from sigma.files import write_atomic
from sigma.registry import TRANSFORMS
from sigma.video import READERS

LOG = logging.getLogger(__name__)
CLEAN, REENCODED = 'clean', 'reencoded'


@dataclass(frozen=True)
class Variant:
    """One way in which the videos are shown: clean, coded and decoded without damage, or a corruption at a severity."""

    corruption: str
    severity: int = 0
    suite: str | None = None  # whose levels hold

    @property
    def name(self) -> str:
        """`clean`, `reencoded`, `fog-3`."""
        return f'{self.corruption}-{self.severity}' if self.severity else self.corruption

    @property
    def level(self):
        """The constant behind the severity; None without corruption."""
        return get_corruption(self.corruption).level(self.severity, self.suite) if self.severity else None

    @property
    def acts_on(self) -> str:
        """As `eval.corruptions.Corruption.acts_on`; `frame` without corruption."""
        if not self.severity:
            return 'video' if self.corruption == REENCODED else 'frame'
        return get_corruption(self.corruption).acts_on


def why_not_shown(entry: dict, variants: Sequence[Variant]) -> str | None:
    """What is known beforehand to be in the way of showing a video, of an entry of a dataset card; None: nothing."""
    rated = [variant.name for variant in variants if variant.corruption == 'frame_rate']
    if entry['reason'] is None and rated and not (entry['fps'] or 0) > 0:
        return f'its frame rate is unknown, which {rated[0]} changes'
    return entry['reason']


class CorruptedClips(IterableDataset):
    """Yields (position, variant name, packed sample, None), or (position, None, None, reason) for an unreadable video.

    One that a variant cannot be shown of (smaller than corruptions take, of unknown rate where the rate is changed)
    counts as unreadable: what was scored is the same in every column.

    A sample holds `inputs` (V, 3, T, H, W) uint8 and `data_samples`. What comes for a position does not depend on the
    number of workers, nor on which other variants are asked for.

    Args:
        entries: Of a dataset card's split, all of them.
        positions: Which of these, in order.
        pipeline: Of the evaluation of the cell that trained.
        variants: What to show of each video.
        short_side: Working size in pixels, before the corruption; None for the size of the file.
        seed: Of what is random in the pipeline (a control that shuffles frames).

    Raises:
        DataError: if the pipeline does not open a video, sample it and decode frames, in this order: then there are
            no uint8 frames to corrupt before it resizes them.
    """

    def __init__(
        self,
        entries: Sequence[dict],
        positions: Sequence[int],
        pipeline: Sequence[dict],
        variants: Sequence[Variant],
        short_side: int | None = None,
        seed: int = 0,
    ) -> None:
        kinds = [step['type'] for step in pipeline]
        if kinds[:1] != ['sigma.OpenVideo'] or 'sigma.DecodeFrames' not in kinds:
            raise DataError(
                f'The evaluation pipeline ({", ".join(kinds) or "empty"}) gives no uint8 frames at the working size: '
                'it must begin with sigma.OpenVideo, and have sigma.DecodeFrames before anything that changes pixels.'
            )
        middle = kinds.index('sigma.DecodeFrames')
        self.reader = READERS[pipeline[0]['decoder']]
        self.sample = Compose([TRANSFORMS.build(dict(step)) for step in pipeline[1:middle]])
        self.finish = Compose([TRANSFORMS.build(dict(step)) for step in pipeline[middle + 1 :]])
        self.entries, self.positions, self.variants = entries, list(positions), list(variants)
        self.short_side, self.seed = short_side, seed

    def __iter__(self) -> Iterator[tuple]:
        worker = get_worker_info()
        if worker is not None:
            cv2.setNumThreads(1)  # the workers are the threads
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for position in self.positions[first::step]:
            yield from self.of(position)

    def of(self, position: int) -> Iterator[tuple]:
        """All variants of one video."""
        entry = self.entries[position]
        try:
            if (reason := why_not_shown(entry, self.variants)) is not None:
                raise DecodeError(reason)
            shown = self._decode(entry, position)
        except DecodeError as error:
            yield position, None, None, str(error)
            return
        for variant, sampled in shown.sampled.items():
            frames = shown.frames(variant)
            if len(frames) != len(sampled['frame_inds']) or frames.dtype != np.uint8:
                raise ValueError(f'{variant.name} changed the number of frames of {entry["video"]}, or their type.')
            shape = frames.shape[1:3]
            results = sampled | {'imgs': list(frames), 'original_shape': shape, 'img_shape': shape}
            with seeded(self.seed, 0, position) as rng:
                yield position, variant.name, self.finish(results | {'rng': rng}), None

    def _decode(self, entry: dict, position: int) -> _Shown:
        reader = self.reader(entry['filename'])
        total = entry['total_frames'] or reader.num_frames
        orders = {variant: self._order(variant, entry, total) for variant in self.variants}
        sampled = {
            variant: self._sample(variant, entry, position, total if order is None else len(order), total)
            for variant, order in orders.items()
        }
        source = {
            variant: sampled[variant]['frame_inds'] if order is None else order[sampled[variant]['frame_inds']]
            for variant, order in orders.items()
        }
        whole = any(variant.acts_on == 'video' for variant in self.variants)
        needed = np.arange(total) if whole else np.unique(np.concatenate(list(source.values())))
        pictures = reader.frames(needed)
        try:
            check_frames(pictures)
        except ValueError as error:
            raise DecodeError(f'{entry["filename"]}: {error}') from None
        if self.short_side is not None:
            pictures = to_working_size(pictures, self.short_side)
        return _Shown(entry['video'], pictures, needed, source, sampled)

    @staticmethod
    def _order(variant: Variant, entry: dict, total: int) -> np.ndarray | None:
        """(n,) source frames in the order in which they are shown; None where that is their own."""
        if variant.acts_on != 'order':
            return None
        corruption = get_corruption(variant.corruption)
        return corruption.order(total, variant.severity, entry['video'], suite=variant.suite, fps=entry['fps'])

    def _sample(self, variant: Variant, entry: dict, position: int, shown: int, total: int) -> dict:
        """Which of the `shown` frames the views take, as the cell's own sampling says."""
        fps = entry['fps']
        if variant.corruption == 'frame_rate':  # fewer frames of the same seconds; other orders play on at their rate
            fps = fps * shown / total
        results = dict(entry) | {'position': position, 'decode_error': None, 'on_error': 'raise'}
        with seeded(self.seed, 0, position) as rng:
            return self.sample(results | {'total_frames': shown, 'fps': fps, 'rng': rng})


@dataclass
class _Shown:
    """A decoded video and what each variant shows of it."""

    video: str
    pictures: np.ndarray  # (n, H, W, 3) uint8 at the working size
    numbers: np.ndarray  # (n,) of these frames in the source, rising
    source: dict[Variant, np.ndarray]  # numbers of the frames that each variant samples
    sampled: dict[Variant, dict]

    def frames(self, variant: Variant) -> np.ndarray:
        """Sampled frames of a variant, corrupted."""
        wanted = self.source[variant]
        if variant.corruption == REENCODED:
            return reencode(self.pictures)[wanted]
        if not variant.severity or variant.acts_on == 'order':
            return self._at(wanted)
        corruption = get_corruption(variant.corruption)
        how = {'severity': variant.severity, 'video': self.video, 'suite': variant.suite}
        if variant.acts_on == 'video':  # then all frames are here
            return corruption(self.pictures, **how)[wanted]
        if variant.acts_on == 'clip':
            length = self.sampled[variant]['clip_len']
            clips = [self._at(wanted[start : start + length]) for start in range(0, len(wanted), length)]
            return np.concatenate([corruption(clip, **how) for clip in clips])
        once, places = np.unique(wanted, return_inverse=True)  # a frame in two views is corrupted once
        return corruption(self._at(once), frame_numbers=once, **how)[places]

    def _at(self, wanted: np.ndarray) -> np.ndarray:
        return self.pictures[np.searchsorted(self.numbers, wanted)]


# --- what is kept -----


class Store:
    """Scores of a sweep: a file for each variant and block of the list, whole or not there.

    <folder>/<variant>-<hash of its level>/<first position>.npz
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, variant: Variant, start: int) -> Path:
        level = hashlib.sha256(json.dumps(variant.level).encode()).hexdigest()[:8]
        return self.folder / f'{variant.name}-{level}' / f'{start:07d}.npz'

    def has(self, variant: Variant, start: int) -> bool:
        """Whether its file is there and whole; one that is not is told, and to be made again."""
        path = self.path(variant, start)
        if not path.is_file():
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
        except (zipfile.BadZipFile, OSError) as error:
            broken = error
        if broken is not None:
            LOG.warning('not whole, made again: %s: %s', path, broken)
        return broken is None

    def write(self, variant: Variant, start: int, positions: Sequence[int], scores: np.ndarray) -> None:
        """Positions in the list, and their scores (n, C)."""
        buffer = io.BytesIO()
        np.savez(buffer, positions=np.array(positions, dtype=np.int64), scores=scores)
        write_atomic(self.path(variant, start), buffer.getvalue())

    def read(self, variant: Variant, start: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) positions and (n, C) scores."""
        with np.load(self.path(variant, start), allow_pickle=False) as file:
            return file['positions'], file['scores']


def one(batch: list):
    """Collates nothing: a batch is one sample."""
    return batch[0]


def as_batch(sample: dict) -> dict[str, list]:
    """A packed sample as the batch of one that a recognizer takes."""
    inputs: torch.Tensor = sample['inputs']
    return {'inputs': [inputs], 'data_samples': [sample['data_samples']]}
