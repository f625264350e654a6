"""Transforms of a pipeline; those of mmaction2 go between them (`imgs` is a list of uint8 RGB frames H x W x 3)."""

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from sigma.data.clips import dense_indices, segment_indices
from sigma.data.masking import tube_mask
from sigma.data.sampling import published_segment_test_indices, published_segment_training_indices, sampled
from sigma.errors import DecodeError
from sigma.registry import TRANSFORMS
from sigma.video import READERS


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Open the file; sets `reader` and `total_frames`.

    Args:
        decoder: `decord` (default) or `pyav`.
        on_error: `raise`, or `blank` for testing: the sample goes on as black frames with its reason under
            `decode_error`, so that a video is never swapped for another and is reported as not scored.
    """

    def __init__(self, decoder: str = 'decord', on_error: str = 'raise') -> None:
        if decoder not in READERS:
            raise ValueError(f'Unknown decoder {decoder!r}. Known: {", ".join(READERS)}.')
        self.reader, self.on_error = READERS[decoder], on_error

    def transform(self, results: dict) -> dict:
        """Adds `open_reader`, `total_frames`, `decode_error` (None or the reason).

        Where the index told the number of frames, the file is opened only when its frames are read.
        """
        results |= {'decode_error': results.get('reason'), 'on_error': self.on_error}
        results['open_reader'] = lambda: self.reader(results['filename'])
        if results['decode_error'] is None and not results.get('total_frames'):
            try:
                reader = self.reader(results['filename'])
                results |= {'total_frames': reader.num_frames, 'open_reader': lambda: reader}
                if results['total_frames'] < 1:
                    raise DecodeError(f'{results["filename"]}: no frames')
            except DecodeError as error:
                if self.on_error == 'raise':
                    raise
                results['decode_error'] = str(error)
        results['total_frames'] = results.get('total_frames') or 1
        return results


@TRANSFORMS.register_module()
class SampleDense(BaseTransform):
    """Clips of consecutive frames at a stride; short videos repeat their last reachable frame.

    Args:
        num_frames: T.
        stride_frames: Between sampled frames. Published: 2 (SSv2), 4 (Kinetics).
        num_clips: Clips of one video: random starts in training, evenly spaced ones in testing (one: the middle).
        test_mode: Which of these.
    """

    def __init__(self, num_frames: int, stride_frames: int, num_clips: int = 1, test_mode: bool = False) -> None:
        self.num_frames, self.stride_frames = num_frames, stride_frames
        self.num_clips, self.test_mode = num_clips, test_mode

    def transform(self, results: dict) -> dict:
        """Adds `frame_inds` (num_clips * T,), `clip_len`, `num_clips`."""
        total = results['total_frames']
        last_start = max(total - self.num_frames * self.stride_frames, 0)
        if not self.test_mode:
            starts = results['rng'].integers(0, last_start + 1, self.num_clips)
        elif self.num_clips == 1:
            starts = np.array([last_start // 2])
        else:
            starts = np.linspace(0, last_start, self.num_clips).astype(np.int64)
        clips = [dense_indices(total, self.num_frames, self.stride_frames, int(start)) for start in starts]
        return results | {
            'frame_inds': np.concatenate(clips),
            'clip_len': self.num_frames,
            'frame_interval': self.stride_frames,
            'num_clips': self.num_clips,
        }


@TRANSFORMS.register_module()
class SampleSegments(BaseTransform):
    """One frame from each of T equal segments: a random one in training, fixed offsets in testing.

    Args:
        num_frames: T.
        num_clips: Clips of one video in testing, at offsets (i + 1/2) / num_clips of each segment.
        test_mode: Whether offsets are fixed.
        offsets: `centred` (as above, over the whole video), or `published`: as the SSv2 loader of VideoMAE and SIGMA,
            which tests at offsets 0 and 1/2, and trains on segments of floor(n / T) frames (`sigma.data.sampling`).

    Raises:
        ValueError: on other offsets, or where the published test is asked for another number of clips than its two.
    """

    def __init__(self, num_frames: int, num_clips: int = 1, test_mode: bool = False, offsets: str = 'centred') -> None:
        if offsets not in ('centred', 'published'):
            raise ValueError(f"SampleSegments was asked for offsets {offsets!r}; it knows 'centred' and 'published'.")
        if offsets == 'published' and test_mode and num_clips != 2:
            raise ValueError(
                f'The published offsets 0 and 1/2 are two test clips; {num_clips} were asked. Take views with '
                "num_clips=2, or offsets='centred'."
            )
        self.num_frames, self.num_clips, self.test_mode = num_frames, num_clips, test_mode
        self.offsets = offsets

    def transform(self, results: dict) -> dict:
        """Adds `frame_inds` (num_clips * T,), `clip_len`, `num_clips`."""
        total = results['total_frames']
        if self.offsets == 'published':
            return sampled(results, self._published(total, results['rng']))
        clips = []
        for number in range(self.num_clips):
            if self.test_mode:
                offsets = np.full(self.num_frames, (number + 0.5) / self.num_clips)
            else:
                offsets = results['rng'].random(self.num_frames)
            clips.append(segment_indices(total, self.num_frames, offsets))
        return sampled(results, clips)

    def _published(self, total: int, rng) -> list[np.ndarray]:
        if self.test_mode:
            return [*published_segment_test_indices(total, self.num_frames)]
        draws = rng.random((self.num_clips, self.num_frames))
        return [published_segment_training_indices(total, self.num_frames, draw) for draw in draws]


@TRANSFORMS.register_module()
class SampleSpread(BaseTransform):
    """Frames spread evenly over the whole video, given as clips that adjoin or overlap.

    Args:
        num_frames: F, over the video; shorter videos repeat frames.
        clip_frames: T of a clip.
        clip_step_frames: Between the starts of two clips, counted in the F frames; T: they adjoin. Clips end with F.
        test_mode: The middle of each of the F segments, or a random frame of it.

    Raises:
        ValueError: if clips of this length and step do not end with F.
    """

    def __init__(self, num_frames: int, clip_frames: int, clip_step_frames: int, test_mode: bool = False) -> None:
        if num_frames < clip_frames or clip_step_frames < 1 or (num_frames - clip_frames) % clip_step_frames:
            raise ValueError(
                f'{num_frames} frames are no row of clips of {clip_frames} frames that start every '
                f'{clip_step_frames}; (frames - clip) must be a multiple of the step.'
            )
        self.num_frames, self.clip_frames, self.test_mode = num_frames, clip_frames, test_mode
        self.starts = np.arange(0, num_frames - clip_frames + 1, clip_step_frames)

    def transform(self, results: dict) -> dict:
        """Adds `frame_inds` (num_clips * T,), `clip_len`, `num_clips`."""
        offsets = np.full(self.num_frames, 0.5) if self.test_mode else results['rng'].random(self.num_frames)
        spread = segment_indices(results['total_frames'], self.num_frames, offsets)
        return results | {
            'frame_inds': np.concatenate([spread[start : start + self.clip_frames] for start in self.starts]),
            'clip_len': self.clip_frames,
            'num_clips': len(self.starts),
        }


@TRANSFORMS.register_module()
class DecodeFrames(BaseTransform):
    """Read the frames of `frame_inds`, each once.

    Args:
        blank_size: Side in pixels of the black frames that stand for a video that cannot be decoded, where
            `OpenVideo` says `on_error='blank'`.
        cache_megabytes: Decoded clips that each loader process keeps for the next epoch, for data sets that fit
            into memory and are sampled at the same frames every time. 0 keeps none.
    """

    def __init__(self, blank_size: int = 256, cache_megabytes: float = 0) -> None:
        self.blank_size, self.cache_bytes = blank_size, int(cache_megabytes * 2**20)
        self._cache: dict[tuple, np.ndarray] = {}
        self._held = 0

    def transform(self, results: dict) -> dict:
        """Adds `imgs` (list of H x W x 3 uint8 RGB), `original_shape`, `img_shape`; removes `open_reader`."""
        open_reader = results.pop('open_reader')
        frames = None
        if results['decode_error'] is None:
            try:
                frames = self._frames(results['filename'], results['frame_inds'], open_reader)
            except DecodeError as error:
                if results['on_error'] == 'raise':
                    raise
                results['decode_error'] = str(error)
        if frames is None:
            frames = np.zeros((len(results['frame_inds']), self.blank_size, self.blank_size, 3), np.uint8)
        shape = frames.shape[1:3]
        return results | {'imgs': list(frames), 'original_shape': shape, 'img_shape': shape}

    def _frames(self, filename: str, indices: np.ndarray, open_reader) -> np.ndarray:
        key = (filename, indices.tobytes())
        if key in self._cache:
            return self._cache[key].copy()  # later transforms may write into it
        frames = open_reader().frames(indices)
        if self._held + frames.nbytes <= self.cache_bytes:
            self._cache[key], self._held = frames.copy(), self._held + frames.nbytes
        return frames


@TRANSFORMS.register_module()
class FrameOrder(BaseTransform):
    """A control: take order or motion out of a clip, to see what appearance alone tells.

    Args:
        mode: `shuffled` (the frames of each clip in random order) or `single` (one random frame of it, repeated).
    """

    def __init__(self, mode: str) -> None:
        if mode not in ('shuffled', 'single'):
            raise ValueError(f"FrameOrder was asked for {mode!r}; it knows 'shuffled' and 'single'.")
        self.mode = mode

    def transform(self, results: dict) -> dict:
        """Reorders `imgs` within each clip."""
        rng, length = results['rng'], results['clip_len']
        order = []
        for begin in range(0, len(results['imgs']), length):
            drawn = rng.permutation(length) if self.mode == 'shuffled' else np.full(length, rng.integers(length))
            order += (begin + drawn).tolist()
        return results | {'imgs': [results['imgs'][i].copy() for i in order]}


@TRANSFORMS.register_module()
class MultiScaleCrop(BaseTransform):
    """Crop of random size, shape and place, the same in all frames, resized to a square.

    Args:
        size: Pixels of a side of the result.
        scales: Shares of the short side. Width and height take scales at most one step apart.

    Source: the published pretraining of VideoMAE and SIGMA: shares 1, .875, .75, .66, one of 13 fixed places
    (corners, middles of sides, centre, and the four quarter points) in steps of floor(free / 4) pixels, which leaves up
    to three of them unused; no flip, no colour jitter. There PIL resizes, which averages where it shrinks; OpenCV's
    bilinear here does not, so that crops of large videos come out sharper: re-encode them to a short side of 256 to 320
    (`tools/prepare.py reencode`).
    """

    def __init__(self, size: int, scales: tuple[float, ...] = (1, 0.875, 0.75, 0.66)) -> None:
        self.size, self.scales = size, tuple(scales)

    def transform(self, results: dict) -> dict:
        """Replaces `imgs` by an array (n, size, size, 3); adds `crop_box` (top, left, height, width) in pixels of the
        decoded frame, whatever resized, cropped or mirrored it before."""
        height, width = results['img_shape']
        rng = results['rng']
        sides = [int(min(height, width) * scale) for scale in self.scales]
        sides = [self.size if abs(side - self.size) < 3 else side for side in sides]
        sides = [min(side, height, width) for side in sides]
        pairs = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
        crop_h, crop_w = pairs[rng.integers(len(pairs))]
        row, column = FIXED_PLACES[rng.integers(len(FIXED_PLACES))]
        top, left = row * ((height - crop_h) // 4), column * ((width - crop_w) // 4)
        crops = [img[top : top + crop_h, left : left + crop_w] for img in results['imgs']]
        return results | {
            'imgs': resize_frames(crops, self.size),
            'img_shape': (self.size, self.size),
            'crop_box': crop_of_decoded(results, top, left, crop_h, crop_w),
        }


def crop_of_decoded(results: dict, top: int, left: int, crop_h: int, crop_w: int) -> tuple[float, float, float, float]:
    """A crop of the frames as they are now, as (top, left, height, width) in pixels of the decoded frame."""
    height, width = results['img_shape']
    above, before, of_height, of_width = results.get(
        'crop_box', (0, 0, *results.get('original_shape', (height, width)))
    )
    if results.get('flipped', False):
        left = width - left - crop_w
    down, right = of_height / height, of_width / width
    return above + top * down, before + left * right, crop_h * down, crop_w * right


# In steps of a quarter of the free height and width, rounded down.
FIXED_PLACES = (
    *((row, column) for row in (0, 2, 4) for column in (0, 2, 4)),
    *((row, column) for row in (1, 3) for column in (1, 3)),
)


@TRANSFORMS.register_module()
class ResizeSquare(BaseTransform):
    """Resize every frame to a square, whatever its shape (the published alternative, `resize`).

    Args:
        size: Pixels of a side.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def transform(self, results: dict) -> dict:
        """Replaces `imgs` by an array (n, size, size, 3)."""
        return results | {
            'imgs': resize_frames(results['imgs'], self.size),
            'img_shape': (self.size, self.size),
        }


def resize_frames(frames: list[np.ndarray], size: int) -> np.ndarray:
    """(n, size, size, 3) uint8, bilinear."""
    if frames[0].shape[:2] == (size, size):
        return np.stack(frames)
    return np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_LINEAR) for frame in frames])


@TRANSFORMS.register_module()
class TubeMask(BaseTransform):
    """Draw tube masks for the clip.

    Args:
        grid: (H', W') of the encoder's tokens.
        mask_ratio: Share masked. Published: 0.9.
        num_masks: R masks of the same clip, which share its decoding and the projector's pass. 1 as published; more
            is a departure (as V-JEPA's several masks, arXiv:2404.08471).
    """

    def __init__(self, grid: tuple[int, int], mask_ratio: float = 0.9, num_masks: int = 1) -> None:
        self.grid, self.mask_ratio, self.num_masks = grid, mask_ratio, num_masks

    def transform(self, results: dict) -> dict:
        """Adds `visible_tubes` int64: (V',), or (R, V') for several masks."""
        masks = [tube_mask(*self.grid, self.mask_ratio, results['rng']) for _ in range(self.num_masks)]
        return results | {'visible_tubes': masks[0] if self.num_masks == 1 else np.stack(masks)}


@TRANSFORMS.register_module()
class PackPretraining(BaseTransform):
    """Keep what `sigma.ClipPreprocessor` takes: a uint8 clip (3, T, H, W), its mask, and what is to be decoded."""

    MASKS = ('visible_tubes', 'visible_tokens', 'decode_phase')

    def transform(self, results: dict) -> dict:
        """Returns `inputs` uint8 (3, T, H, W) and those of `MASKS` that were drawn, int64; `without_motion` too."""
        frames = np.ascontiguousarray(np.asarray(results['imgs']).transpose(3, 0, 1, 2))
        masks = {name: torch.as_tensor(results[name]) for name in self.MASKS if name in results}
        said = {'without_motion': results['without_motion']} if 'without_motion' in results else {}
        return {'inputs': torch.from_numpy(frames)} | masks | said
