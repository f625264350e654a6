"""Transforms of a pipeline. They mix with mmaction2's: `imgs` is a list of uint8 RGB frames (H, W, 3)."""

import math
from collections.abc import Callable
from typing import ClassVar

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from sigma.data.clips import dense_indices, segment_indices
from sigma.data.masking import tube_mask
from sigma.data.sampling import published_segment_test_indices, published_segment_training_indices, sampled
from sigma.errors import DecodeError
from sigma.registry import TRANSFORMS
from sigma.video import PROVED, known_reader, open_reader


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Open the file; sets `reader` and `total_frames`.

    Args:
        decoder: `proved` (default): the fastest reader that the index saw return the right frames of the file.
            Otherwise a name in `sigma.video.READERS`; a file that it was not proved for counts as undecodable.
        on_error: `raise`, or `blank` for testing: the sample becomes black frames with the reason in `decode_error`, so
            that the video is reported as not scored and never replaced by another.
    """

    def __init__(self, decoder: str = PROVED, on_error: str = 'raise') -> None:
        self.decoder, self.on_error = known_reader(decoder), on_error

    def transform(self, results: dict) -> dict:
        """Adds `open_reader`, `total_frames`, `decode_error` (None or the reason).

        If the index knows the number of frames, the file is opened only when its frames are read.
        """
        results |= {'decode_error': results.get('reason'), 'on_error': self.on_error}
        results['open_reader'] = lambda: open_reader(results['filename'], self.decoder, results.get('proof'))
        if results['decode_error'] is None and not results.get('total_frames'):
            try:
                reader = results['open_reader']()
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
        stride_frames: From one sampled frame to the next. Published: 2 (SSv2), 4 (Kinetics).
        num_clips: Clips per video: random starts in training, evenly spaced ones in testing (a single one: the middle).
        test_mode: Whether this is testing.
        short: `repeat_last`, or `published` as in the pretraining of VideoMAE and SIGMA (`dense_indices`). They differ
            by a frame if the last sampled one would be the last of a video no longer than the clip.

    Raises:
        ValueError: for another `short`.
    """

    def __init__(
        self,
        num_frames: int,
        stride_frames: int,
        num_clips: int = 1,
        test_mode: bool = False,
        short: str = 'repeat_last',
    ) -> None:
        if short not in ('repeat_last', 'published'):
            raise ValueError(f"SampleDense has short={short!r}; it must be 'repeat_last' or 'published'.")
        self.num_frames, self.stride_frames, self.short = num_frames, stride_frames, short
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
        clips = [dense_indices(total, self.num_frames, self.stride_frames, int(start), self.short) for start in starts]
        return results | {
            'frame_inds': np.concatenate(clips),
            'clip_len': self.num_frames,
            'frame_interval': self.stride_frames,
            'num_clips': self.num_clips,
        }


@TRANSFORMS.register_module()
class SampleSegments(BaseTransform):
    """One frame from each of T equal segments: at random in training, at fixed offsets in testing.

    Args:
        num_frames: T.
        num_clips: Clips per video in testing, at offsets (i + 1/2) / num_clips of each segment.
        test_mode: Whether offsets are fixed.
        offsets: `centred` (as above, over the whole video), or `published`: as the SSv2 loader of VideoMAE and SIGMA,
            which tests at offsets 0 and 1/2, and trains on segments of floor(n / T) frames (`sigma.data.sampling`).

    Raises:
        ValueError: for other offsets, or if the published test gets another number of clips than two.
    """

    def __init__(self, num_frames: int, num_clips: int = 1, test_mode: bool = False, offsets: str = 'centred') -> None:
        if offsets not in ('centred', 'published'):
            raise ValueError(f"SampleSegments has offsets={offsets!r}; it must be 'centred' or 'published'.")
        if offsets == 'published' and test_mode and num_clips != 2:
            raise ValueError(
                f'The published offsets 0 and 1/2 make two test clips, not {num_clips}. Use views with '
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
    """Frames spread evenly over the whole video, as clips that adjoin or overlap.

    Args:
        num_frames: F frames over the video; shorter videos repeat frames.
        clip_frames: T.
        clip_step_frames: From one clip's start to the next, counted in the F frames; with T, clips adjoin. The last
            clip must end at F.
        test_mode: Take the middle of each of the F segments instead of a random frame.

    Raises:
        ValueError: if clips of this length and step do not end at F.
    """

    def __init__(self, num_frames: int, clip_frames: int, clip_step_frames: int, test_mode: bool = False) -> None:
        if num_frames < clip_frames or clip_step_frames < 1 or (num_frames - clip_frames) % clip_step_frames:
            raise ValueError(
                f'{num_frames} frames cannot be covered by clips of {clip_frames} frames that start every '
                f'{clip_step_frames}; (num_frames - clip_frames) must be a multiple of the step.'
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
        blank_size: Side in pixels of the black frames for an undecodable video, if `OpenVideo` has
            `on_error='blank'`.
        cache_megabytes: Memory per loader process for decoded clips, for datasets that fit into memory and always
            use the same frames. 0 keeps none.
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
    """A control: remove order or motion from a clip, to see what appearance alone tells.

    Args:
        mode: `shuffled` (the frames of each clip in random order) or `single` (one random frame of it, repeated).
    """

    def __init__(self, mode: str) -> None:
        if mode not in ('shuffled', 'single'):
            raise ValueError(f"FrameOrder has mode={mode!r}; it must be 'shuffled' or 'single'.")
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
        size: Side of the result in pixels.
        scales: Shares of the short side. The scales of width and height are at most one step apart.
        resampling: See `resize_frames`.

    Source: the published pretraining of VideoMAE and SIGMA: shares 1, .875, .75, .66 at one of 13 fixed places
    (corners, middles of sides, centre, and the four quarter points), in steps of floor(free / 4) pixels, which leaves
    up to three pixels unused. No flip, no colour jitter.

    They resize with PIL, which averages when it shrinks: `resampling='antialias'` here. The default is OpenCV's
    bilinear resize, which does not, so crops of large videos are sharper. Measured against PIL on photos and videos,
    168 to 60 crops to 224 pixels each:

        lines of the source     240     320     480     1080
        mean difference         0.23    0.51    0.80    0.92    of 255
        Laplacian               1.01    1.11    1.31    1.54    times PIL's

    Re-encode large videos to a short side of 240 to 320 (`tools/prepare.py reencode`), or set the resampling.
    """

    departures = (
        {
            'what': 'Pretraining: resizing of crops',
            'published': 'PIL, bilinear, which averages when it shrinks (SIGMA, VideoMAE)',
            'ours': "OpenCV, bilinear, which does not; resampling='antialias' does",
            'effect': (
                'mean difference 0.23, 0.51, 0.80, 0.92 of 255 and Laplacian 1.01, 1.11, 1.31, 1.54 times as large on '
                'sources of 240, 320, 480 and 1080 lines; on scores not measured'
            ),
        },
    )

    def __init__(
        self, size: int, scales: tuple[float, ...] = (1, 0.875, 0.75, 0.66), resampling: str = 'opencv'
    ) -> None:
        self.size, self.scales, self.resampling = size, tuple(scales), known_resampling(resampling)

    def transform(self, results: dict) -> dict:
        """Replaces `imgs` by an array (n, size, size, 3); adds `crop_box` (top, left, height, width) in pixels of the
        decoded frame, whatever resize, crop or flip came before."""
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
            'imgs': resize_frames(crops, self.size, resampling=self.resampling),
            'img_shape': (self.size, self.size),
            'crop_box': crop_of_decoded(results, top, left, crop_h, crop_w),
        }


def crop_of_decoded(results: dict, top: int, left: int, crop_h: int, crop_w: int) -> tuple[float, float, float, float]:
    """A crop of the current frames, as (top, left, height, width) in pixels of the decoded frame."""
    height, width = results['img_shape']
    above, before, of_height, of_width = results.get(
        'crop_box', (0, 0, *results.get('original_shape', (height, width)))
    )
    if results.get('flipped', False):
        left = width - left - crop_w
    down, right = of_height / height, of_width / width
    return above + top * down, before + left * right, crop_h * down, crop_w * right


# (row, column) in quarters of the free height and width, rounded down.
FIXED_PLACES = (
    *((row, column) for row in (0, 2, 4) for column in (0, 2, 4)),
    *((row, column) for row in (1, 3) for column in (1, 3)),
)


@TRANSFORMS.register_module()
class ResizeSquare(BaseTransform):
    """Resize every frame to a square, whatever its shape (the published alternative, `resize`).

    Args:
        size: Side in pixels.
        resampling: See `resize_frames`. Published: PIL's, that is `antialias`.
    """

    def __init__(self, size: int, resampling: str = 'opencv') -> None:
        self.size, self.resampling = size, known_resampling(resampling)

    def transform(self, results: dict) -> dict:
        """Replaces `imgs` by an array (n, size, size, 3)."""
        return results | {
            'imgs': resize_frames(results['imgs'], self.size, resampling=self.resampling),
            'img_shape': (self.size, self.size),
        }


@TRANSFORMS.register_module()
class ResizeShortSide(BaseTransform):
    """Resize to a short side; the long side is rounded down, as in the published test loaders (mmaction2 rounds).

    Args:
        side: Of the short side in pixels.
        resampling: See `resize_frames`.

    Source: the test loaders of SIGMA and VideoMAE (`opencv`), SEVERE for R(2+1)D-18 (`antialias`, by PIL) and SlowFast
    (`opencv`, by torch).
    """

    def __init__(self, side: int, resampling: str) -> None:
        self.side, self.resampling = side, known_resampling(resampling)

    def transform(self, results: dict) -> dict:
        """Replaces `imgs` and `img_shape`."""
        height, width = results['img_shape']
        shape = (self.side, int(self.side * width / height))
        if width < height:
            shape = (int(self.side * height / width), self.side)
        return results | {'imgs': list(resize_frames(results['imgs'], *shape, self.resampling)), 'img_shape': shape}


@TRANSFORMS.register_module()
class FixedCrops(BaseTransform):
    """One square from the middle, or three along the longer side, of every frame.

    Args:
        size: Side of a square in pixels; not more than the short side.
        num_crops: 1, or 3: the beginning, the middle and the end of the longer side, and the middle of the shorter.
        middle: How half a pixel is rounded: `down` (SIGMA, VideoMAE), `up` (SlowFast) or `even` (SEVERE).

    Raises:
        ValueError: for another number of crops or another rounding, and for frames smaller than a crop.

    mmaction2's three crops end up to one pixel before the end of the longer side.
    """

    ROUNDING: ClassVar[dict[str, Callable[[float], int]]] = {'down': math.floor, 'up': math.ceil, 'even': round}

    def __init__(self, size: int, num_crops: int = 1, middle: str = 'down') -> None:
        if num_crops not in (1, 3):
            raise ValueError(f'FixedCrops has num_crops={num_crops}; it must be 1 or 3.')
        if middle not in self.ROUNDING:
            raise ValueError(f'FixedCrops has middle={middle!r}; it must be one of {", ".join(self.ROUNDING)}.')
        self.size, self.num_crops, self.rounded = size, num_crops, self.ROUNDING[middle]

    def transform(self, results: dict) -> dict:
        """Replaces `imgs` by all frames of one crop after the other; sets `img_shape`."""
        free = [side - self.size for side in results['img_shape']]
        if min(free) < 0:
            raise ValueError(f'FixedCrops cannot take {self.size} pixels from frames of {results["img_shape"]}.')
        top, left = (self.rounded(room / 2) for room in free)
        places = [(top, left)]
        if self.num_crops == 3:
            places = [(top, 0), (top, left), (top, free[1])]
            if free[0] > free[1]:
                places = [(0, left), (top, left), (free[0], left)]
        frames = [
            frame[top : top + self.size, left : left + self.size] for top, left in places for frame in results['imgs']
        ]
        return results | {'imgs': frames, 'img_shape': (self.size, self.size)}


RESAMPLINGS = ('opencv', 'antialias')


def known_resampling(name: str) -> str:
    """The name itself.

    Raises:
        ValueError: if it is not one of `RESAMPLINGS`.
    """
    if name not in RESAMPLINGS:
        raise ValueError(f'Unknown resampling {name!r}; known: {", ".join(RESAMPLINGS)}.')
    return name


def resize_frames(
    frames: list[np.ndarray], height: int, width: int | None = None, resampling: str = 'opencv'
) -> np.ndarray:
    """Frames of another size, bilinear.

    Args:
        frames: n frames (H, W, 3) uint8.
        height, width: In pixels; without a width, a square.
        resampling: `opencv` looks at the four nearest pixels, whatever the factor, as OpenCV and torch's `interpolate`
            do. `antialias` averages over as many pixels as become one, as PIL does: equal to PIL but for rounding (at
            most 1 of 255 when shrinking), at a tenth of PIL's time.

    Returns:
        (n, height, width, 3) uint8.
    """
    width = height if width is None else width
    if frames[0].shape[:2] == (height, width):
        return np.stack(frames)
    if resampling == 'opencv':
        return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in frames])
    stacked = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)  # (n, 3, H, W), channels last in memory
    small = torch.nn.functional.interpolate(stacked, (height, width), mode='bilinear', antialias=True)
    return small.permute(0, 2, 3, 1).contiguous().numpy()


@TRANSFORMS.register_module()
class TubeMask(BaseTransform):
    """Draw tube masks for the clip.

    Args:
        grid: (H', W') of the encoder's tokens.
        mask_ratio: Share masked. Published: 0.9.
        num_masks: R masks per clip, which share its decoding and the projector's pass. Published: 1; more is a
            departure (as in V-JEPA, arXiv:2404.08471).
    """

    def __init__(self, grid: tuple[int, int], mask_ratio: float = 0.9, num_masks: int = 1) -> None:
        self.grid, self.mask_ratio, self.num_masks = grid, mask_ratio, num_masks

    def transform(self, results: dict) -> dict:
        """Adds `visible_tubes` int64: (V',), or (R, V') for several masks."""
        masks = [tube_mask(*self.grid, self.mask_ratio, results['rng']) for _ in range(self.num_masks)]
        return results | {'visible_tubes': masks[0] if self.num_masks == 1 else np.stack(masks)}


@TRANSFORMS.register_module()
class PackPretraining(BaseTransform):
    """Keep what `sigma.ClipPreprocessor` takes: a uint8 clip (3, T, H, W), its mask, and the decoder's phase."""

    MASKS = ('visible_tubes', 'visible_tokens', 'decode_phase')

    def transform(self, results: dict) -> dict:
        """Returns `inputs` uint8 (3, T, H, W) those of `MASKS` that were drawn (int64), and `without_motion` if set."""
        frames = np.ascontiguousarray(np.asarray(results['imgs']).transpose(3, 0, 1, 2))
        masks = {name: torch.as_tensor(results[name]) for name in self.MASKS if name in results}
        said = {'without_motion': results['without_motion']} if 'without_motion' in results else {}
        return {'inputs': torch.from_numpy(frames)} | masks | said
