"""Test videos under corruptions. Each is decoded once and corrupted in every way asked for.

The pipeline is that of the trained cell. Its sampling chooses the frames, from the corrupted order if the corruption
acts on the order. The steps after its `sigma.DecodeFrames` resize and crop the frames after the corruption. Shape
letters: T frames, H and W pixels, V views.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import Compose
from torch.utils.data import IterableDataset, get_worker_info

from eval.corruptions import check_frames, get_corruption, reencode, to_working_size
from eval.corruptions.codec import VERSION as CODEC_VERSION
from eval.corruptions.corruption import CLEAN, REENCODED  # noqa: F401 - names of variants
from sigma.data.clips import seeded
from sigma.data.loading import reading
from sigma.errors import DataError, DecodeError
from sigma.files import write_atomic
from sigma.registry import TRANSFORMS
from sigma.video import PROVED, FrameTimes, known_reader, open_reader, times_of

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variant:
    """One way to show the videos: clean, re-encoded without damage, or under a corruption at a severity."""

    corruption: str
    severity: int = 0
    suite: str | None = None  # published suite whose levels are used; None for the default levels

    @property
    def name(self) -> str:
        """`clean`, `reencoded`, `fog-3`."""
        return f'{self.corruption}-{self.severity}' if self.severity else self.corruption

    @property
    def level(self):
        """The constant of the severity; None without a corruption."""
        return get_corruption(self.corruption).level(self.severity, self.suite) if self.severity else None

    @property
    def version(self) -> int:
        """Version of the corruption's code; clean videos have 1, re-encoded ones that of the codecs."""
        if not self.severity:
            return CODEC_VERSION if self.corruption == REENCODED else 1
        return get_corruption(self.corruption).version

    @property
    def acts_on(self) -> str:
        """See `eval.corruptions.Corruption`; `frame` for clean videos, `video` for re-encoded ones."""
        if not self.severity:
            return 'video' if self.corruption == REENCODED else 'frame'
        return get_corruption(self.corruption).acts_on


def why_not_shown(entry: dict, variants: Sequence[Variant]) -> str | None:
    """Reason why the video of this dataset entry cannot be shown under the variants, or None."""
    rated = [variant.name for variant in variants if variant.corruption == 'frame_rate']
    if entry['reason'] is None and rated and not (entry['fps'] or 0) > 0:
        return f'its frame rate is unknown, which {rated[0]} changes'
    return entry['reason']


class CorruptedClips(IterableDataset):
    """Yields (position, variant name, packed sample, None), or (position, None, None, reason) for an unreadable video.

    A video that cannot be shown under one of the variants counts as unreadable, so that every column is scored on the
    same videos. Reasons: it is too small, or its frame rate is unknown and a variant changes that.

    A sample holds `inputs` (V, 3, T, H, W) uint8 and `data_samples`. It does not depend on the number of workers or on
    the other variants.

    Args:
        entries: All entries of a split of a dataset card.
        positions: Indices of the entries to show, in order.
        pipeline: Evaluation pipeline of the trained cell.
        variants: What to show of each video.
        short_side: Short side in pixels to resize to before the corruption; None keeps the size of the file.
        seed: Seed of random steps in the pipeline (a control that shuffles frames).

    Raises:
        DataError: if the pipeline does not open, sample and decode, in this order, before anything else. Only then
            are there uint8 frames to corrupt before they are resized.
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
        self.decoder = known_reader(pipeline[0].get('decoder', PROVED))
        self.sample = Compose([TRANSFORMS.build(dict(step)) for step in pipeline[1:middle]])
        self.finish = Compose([TRANSFORMS.build(dict(step)) for step in pipeline[middle + 1 :]])
        self.entries, self.positions, self.variants = entries, list(positions), list(variants)
        self.short_side, self.seed = short_side, seed

    def __iter__(self) -> Iterator[tuple]:
        worker = get_worker_info()
        if worker is not None:
            cv2.setNumThreads(1)  # one thread per worker
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for position in self.positions[first::step]:
            yield from self.of(position)

    def of(self, position: int) -> Iterator[tuple]:
        """Samples of one video under all variants."""
        entry = self.entries[position]
        try:
            if (reason := why_not_shown(entry, self.variants)) is not None:
                raise DecodeError(reason)
            with reading(entry['filename']):
                shown = self._decode(entry, position)
        except DecodeError as error:
            yield position, None, None, str(error)
            return
        for variant, sampled in shown.sampled.items():
            frames = shown.frames(variant)
            if len(frames) != len(sampled['frame_inds']) or frames.dtype != np.uint8:
                raise DataError(f'{variant.name} changed the number of frames of {entry["video"]}, or their type.')
            shape = frames.shape[1:3]
            results = sampled | {'imgs': list(frames), 'original_shape': shape, 'img_shape': shape}
            with seeded(self.seed, 0, position) as rng:
                yield position, variant.name, self.finish(results | {'rng': rng}), None

    def _decode(self, entry: dict, position: int) -> _Shown:
        reader = open_reader(entry['filename'], self.decoder, entry.get('proof'))
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
        """(n,) source frames in the order in which they are shown, or None if the order is unchanged."""
        if variant.acts_on != 'order':
            return None
        corruption, times = get_corruption(variant.corruption), _times(entry, total)
        return corruption.order(
            total, variant.severity, entry['video'], suite=variant.suite, fps=entry['fps'], times=times
        )

    def _sample(self, variant: Variant, entry: dict, position: int, shown: int, total: int) -> dict:
        """Let the sampling of the cell choose among `shown` frames for its views."""
        fps, times = entry['fps'], _times(entry, total)
        if variant.corruption == 'frame_rate' and shown != total:  # fewer frames in the same time, evenly spread
            fps, times = fps * shown / total, None
        elif times is not None and shown < total:  # other orders keep the frame rate
            times = times.section(0, shown - 1)
        results = dict(entry) | {'position': position, 'decode_error': None, 'on_error': 'raise'}
        with seeded(self.seed, 0, position) as rng:
            return self.sample(results | {'total_frames': shown, 'fps': fps, 'times': times, 'rng': rng})


def _times(entry: dict, total: int) -> FrameTimes | None:
    """When the frames are shown; None if the entry does not say, or not for that many frames."""
    times = times_of(entry)
    return times if times is not None and times.num_frames == total else None


@dataclass
class _Shown:
    """A decoded video, and which frames each variant shows."""

    video: str
    pictures: np.ndarray  # (n, H, W, 3) uint8 at the working size
    numbers: np.ndarray  # (n,) their numbers in the source, rising
    source: dict[Variant, np.ndarray]  # source numbers of the frames that each variant samples
    sampled: dict[Variant, dict]

    def frames(self, variant: Variant) -> np.ndarray:
        """The sampled frames of a variant, corrupted; (n, H, W, 3) uint8."""
        wanted = self.source[variant]
        if variant.corruption == REENCODED:
            return reencode(self.pictures)[wanted]
        if not variant.severity or variant.acts_on == 'order':
            return self._at(wanted)
        corruption = get_corruption(variant.corruption)
        corrupt = partial(corruption, severity=variant.severity, video=self.video, suite=variant.suite)
        if variant.acts_on == 'video':  # then all frames were decoded
            return corrupt(self.pictures)[wanted]
        if variant.acts_on == 'clip':
            length = self.sampled[variant]['clip_len']
            clips = [self._at(wanted[start : start + length]) for start in range(0, len(wanted), length)]
            return np.concatenate([corrupt(clip) for clip in clips])
        once, places = np.unique(wanted, return_inverse=True)  # a frame in two views is corrupted once
        return corrupt(self._at(once), frame_numbers=once)[places]

    def _at(self, wanted: np.ndarray) -> np.ndarray:
        return self.pictures[np.searchsorted(self.numbers, wanted)]


# --- what is kept -----


class Store:
    """Stored scores of a sweep: one file per variant and block of the list, written whole or not at all.

    <folder>/<variant>-<hash of its level and, above 1, its version>/<first position>.npz
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, variant: Variant, start: int) -> Path:
        made = variant.level if variant.version == 1 else [variant.level, variant.version]
        key = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:8]
        return self.folder / f'{variant.name}-{key}' / f'{start:07d}.npz'

    def has(self, variant: Variant, start: int) -> bool:
        """Whether the file is there and whole. A damaged file is logged and counts as missing."""
        path = self.path(variant, start)
        if not path.is_file():
            return False
        broken: object
        try:
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
        except (zipfile.BadZipFile, OSError) as error:
            broken = error
        if broken is not None:
            LOG.warning('not whole, made again: %s: %s', path, broken)
        return broken is None

    def write(self, variant: Variant, start: int, positions: Sequence[int], scores: np.ndarray) -> None:
        """Store positions in the list and their scores (n, C)."""
        buffer = io.BytesIO()
        np.savez(buffer, positions=np.array(positions, dtype=np.int64), scores=scores)
        write_atomic(self.path(variant, start), buffer.getvalue())

    def read(self, variant: Variant, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Stored positions (n,) and scores (n, C)."""
        with np.load(self.path(variant, start), allow_pickle=False) as file:
            return file['positions'], file['scores']


def one(batch: list):
    """Collate function for batches of one sample."""
    return batch[0]


def as_batch(sample: dict) -> dict[str, list]:
    """Turn a packed sample into a batch of one for a recognizer."""
    inputs: torch.Tensor = sample['inputs']
    return {'inputs': [inputs], 'data_samples': [sample['data_samples']]}
