"""Frame sampling beyond the plain kinds of `sigma/data/transforms.py`.

    name         transform        if the video is too short for the clip
    dense        SampleDense      frames 0, stride, ...; the last reachable one repeats (mmaction2's `repeat_last`)
    published    SamplePublished  floor(n / stride) frames spread over the video, then copies of its last frame
    dense_short  SampleStretched  the interval shrinks to cover the video: all frames differ if n >= T
    segments     SampleSegments   one frame from each of T segments; frames repeat
    published_segments            the same, placed as by the published SSv2 loader
    seconds      SampleSeconds    at a rate in frames per second, whatever the file's; loops, or repeats the last frame
    published_seconds  SamplePublishedSeconds  the same, placed as by SEVERE's loader; loops

`dense`, `dense_short`, `segments` and `seconds` are ours. The others take the frames of the published loaders, and are
held against them for every video of 1 to 499 frames (tests/sigma/data/test_samplers.py). The names are values of a
recipe's `sampling`. T: frames of a clip; n: frames of a video.
"""

import numpy as np
from mmcv.transforms import BaseTransform

from sigma.errors import DataError
from sigma.registry import TRANSFORMS
from sigma.video import FrameTimes, times_of

# --- frame numbers -------------------------------------------------------------------------------------------------


def published_training_indices(num_frames: int, clip_frames: int, stride_frames: int, end: int | None) -> np.ndarray:
    """(clip_frames,) frame numbers of a training clip, as in the published loaders of VideoMAE and SIGMA.

    Args:
        num_frames: n of the video.
        clip_frames, stride_frames: T and the nominal stride; the window is T * stride frames.
        end: One past the window, in [T * stride, n - 1]; not used if n <= T * stride.

    Source: `VideoClsDataset` of SIGMA (kinetics.py). Within the window, frames are (T * stride) / (T - 1) apart, not
    `stride`. On a short video, floor(n / stride) frames are spread over all of it, and copies of its last frame fill
    the clip. The spread ends with that frame too, so floor(n / stride) of the T frames differ.
    """
    window = clip_frames * stride_frames
    if num_frames <= window:
        spread = np.linspace(0, num_frames, num_frames // stride_frames)
        filled = np.concatenate([spread, np.full(clip_frames - len(spread), num_frames)])
        return np.clip(filled, 0, num_frames - 1).astype(np.int64)
    assert end is not None, 'videos longer than the window need `end`'
    indices = np.linspace(end - window, end, clip_frames)
    return np.clip(indices, end - window, end - 1).astype(np.int64)


def published_test_indices(num_frames: int, clip_frames: int, stride_frames: int, num_clips: int) -> np.ndarray:
    """(num_clips, clip_frames) frame numbers of the test clips, as in the same loaders.

    Takes every `stride`-th frame of the video, padded with the last of them. Clips are windows of T in that list,
    evenly spaced from its start to its end, rounded down. On a short video all clips are the same. The loaders do not
    define a single clip; we take the middle window.
    """
    strided = np.arange(0, num_frames, stride_frames)
    strided = np.concatenate([strided, np.full(max(clip_frames - len(strided), 0), strided[-1])])
    free = len(strided) - clip_frames
    starts = [free // 2] if num_clips == 1 else (np.arange(num_clips) * (free / (num_clips - 1))).astype(np.int64)
    return np.stack([strided[start : start + clip_frames] for start in starts])


def published_segment_training_indices(num_frames: int, clip_frames: int, draws: np.ndarray) -> np.ndarray:
    """(clip_frames,) one frame from each of T segments of floor(n / T) frames; the tail of the video is never used.

    Args:
        draws: (clip_frames,) in [0, 1): the place within each segment.

    Source: `SSVideoClsDataset` of SIGMA (ssv2.py). A video of fewer than T frames gives its first frame T times.
    """
    length = num_frames // clip_frames
    return np.arange(clip_frames) * length + (draws * length).astype(np.int64)


def published_segment_test_indices(num_frames: int, clip_frames: int) -> np.ndarray:
    """(2, clip_frames) frames at offsets 0 and 1/2 of each of T segments of n / T frames.

    Source: as above: starts and middles are rounded down and sorted together; clip j takes every second one, from j on.
    For n >= T, one clip has the starts and the other the middles; a shorter video repeats frames.
    """
    tick = num_frames / clip_frames
    starts = (tick * np.arange(clip_frames)).astype(np.int64)
    middles = (tick / 2 + tick * np.arange(clip_frames)).astype(np.int64)
    both = np.sort(np.concatenate([middles, starts]))
    return np.stack([both[0::2], both[1::2]])


def stretched_indices(num_frames: int, clip_frames: int, stride_frames: int, start: int) -> np.ndarray:
    """(clip_frames,) frame numbers from `start` by the stride, or over the whole video if that does not fit."""
    interval = min(stride_frames, (num_frames - 1) / max(clip_frames - 1, 1))
    indices = start + np.floor(interval * np.arange(clip_frames) + 1e-9)  # 1e-9: (n-1)/(T-1)*(T-1) may fall short
    return np.minimum(indices, num_frames - 1).astype(np.int64)


def rate_indices(times: FrameTimes, steps: np.ndarray, clip_fps: float, short: str) -> np.ndarray:
    """Frame numbers for steps on a time line of another rate: the frames on screen at those times.

    Args:
        times: When the frames of the video are shown.
        steps: Whole numbers from 0: places on that time line; they may be past its end.
        clip_fps: Steps per second.
        short: What follows the last step: `loop` (the first again) or `repeat_last`.
    """
    num_steps = num_steps_of(times, clip_fps)
    steps = steps % num_steps if short == 'loop' else np.minimum(steps, num_steps - 1)
    return times.frame_at(steps / clip_fps)


def published_seconds_indices(
    times: FrameTimes, clip_frames: int, clip_fps: float, start_seconds: float | None
) -> np.ndarray:
    """Frame numbers of a clip, or of the whole video, as SEVERE's loader takes them.

    Args:
        times: When the n frames of the video are shown.
        clip_frames, clip_fps: T and the rate of the clip.
        start_seconds: Start of the clip, any time in [0, duration - T / clip_fps]. None for the whole video.

    Returns:
        (T,), or for the whole video one number per 1 / clip_fps seconds that lies in it, rounded down; at least one.

    Source: `av_load_video` of SEVERE (ECCV 2022). It counts floor(seconds * clip_fps) frames, none of them in the last
    half frame of the file. For a video without any it takes another video; here its first frame stands. Where the file
    has no constant rate, half a frame is that of its mean rate.
    """
    start, seconds = start_seconds or 0.0, times.duration
    span = seconds if start_seconds is None else clip_frames / clip_fps
    most = np.floor(span * clip_fps + 1e-9)
    within = np.ceil((min(span - 0.5 / times.fps, seconds - start)) * clip_fps - 1e-9)
    return times.frame_at(start + np.arange(max(int(min(most, within)), 1)) / clip_fps)


def num_steps_of(times: FrameTimes, clip_fps: float) -> int:
    """Steps that start within the video; at least one."""
    return max(1, int(np.ceil(times.duration * clip_fps - 1e-6)))


def annotated_section(entry: dict) -> tuple[int, int]:
    """First and last frame of the annotated section of an entry of a card, within the file's frames.

    Raises:
        DataError: if the section begins after the end of the file.
    """
    first, last = entry['annotation']['section']
    if entry['total_frames'] and first >= entry['total_frames']:
        raise DataError(
            f'{entry["video"]} has {entry["total_frames"]} frames, but its annotated section begins at frame {first}: '
            'the file is another cut of this video; get the original.'
        )
    return first, min(last, entry['total_frames'] - 1) if entry['total_frames'] else last


# --- transforms ----------------------------------------------------------------------------------------------------


class _Shifted:
    """Reads a video as if it began at a later frame."""

    def __init__(self, reader, first: int) -> None:
        self.reader, self.first = reader, first

    def frames(self, indices: np.ndarray) -> np.ndarray:
        return self.reader.frames(np.asarray(indices) + self.first)


@TRANSFORMS.register_module()
class AnnotatedSection(BaseTransform):
    """The video becomes its annotated section: what follows sees that many frames, counted from its first.

    It belongs after `OpenVideo`. A video that cannot be decoded stays as it is.

    Raises:
        DataError: as `annotated_section`.
    """

    def transform(self, results: dict) -> dict:
        """Replaces `total_frames`, `open_reader`, and `times` if they are known."""
        if results['decode_error'] is not None:
            return results
        first, last = annotated_section(results)
        open_reader, times = results['open_reader'], results.get('times')
        return results | {
            'total_frames': last - first + 1,
            'times': None if times is None else times.section(first, last),
            'open_reader': lambda: _Shifted(open_reader(), first),
        }


def sampled(results: dict, clips: list[np.ndarray]) -> dict:
    """The sample with `frame_inds` (num_clips * T,), `clip_len` and `num_clips`."""
    return results | {'frame_inds': np.concatenate(clips), 'clip_len': len(clips[0]), 'num_clips': len(clips)}


def clip_starts(last_start: int, num_clips: int, test_mode: bool, rng) -> np.ndarray:
    """Random starts, or evenly spaced ones from the first to the last possible (the middle if there is one clip)."""
    if not test_mode:
        return rng.integers(0, last_start + 1, num_clips)
    if num_clips == 1:
        return np.array([last_start // 2])
    return np.linspace(0, last_start, num_clips).astype(np.int64)


@TRANSFORMS.register_module()
class SamplePublished(BaseTransform):
    """Clips as in the loaders of VideoMAE and SIGMA for Kinetics, UCF101, FineGym and Diving48.

    Args:
        num_frames: T. Published: 16.
        stride_frames: Published: 4.
        num_clips: Clips per video.
        test_mode: Fixed clips (`published_test_indices`) or random ones (`published_training_indices`).
    """

    def __init__(self, num_frames: int, stride_frames: int, num_clips: int = 1, test_mode: bool = False) -> None:
        self.num_frames, self.stride_frames = num_frames, stride_frames
        self.num_clips, self.test_mode = num_clips, test_mode

    def transform(self, results: dict) -> dict:
        """Adds `frame_inds`, `clip_len`, `num_clips`."""
        total, window = results['total_frames'], self.num_frames * self.stride_frames
        if self.test_mode:
            return sampled(
                results, [*published_test_indices(total, self.num_frames, self.stride_frames, self.num_clips)]
            )
        ends = results['rng'].integers(window, total, self.num_clips) if total > window else [None] * self.num_clips
        return sampled(
            results, [published_training_indices(total, self.num_frames, self.stride_frames, end) for end in ends]
        )


@TRANSFORMS.register_module()
class SampleStretched(BaseTransform):
    """Dense clips whose interval shrinks on short videos, so that the clip covers the video instead of freezing.

    Args: as `SamplePublished`. This is ours: the published loaders pad with copies of the last frame.
    """

    def __init__(self, num_frames: int, stride_frames: int, num_clips: int = 1, test_mode: bool = False) -> None:
        self.num_frames, self.stride_frames = num_frames, stride_frames
        self.num_clips, self.test_mode = num_clips, test_mode

    def transform(self, results: dict) -> dict:
        """Adds `frame_inds`, `clip_len`, `num_clips`."""
        total = results['total_frames']
        last_start = max(total - 1 - (self.num_frames - 1) * self.stride_frames, 0)
        starts = clip_starts(last_start, self.num_clips, self.test_mode, results['rng'])
        return sampled(
            results, [stretched_indices(total, self.num_frames, self.stride_frames, int(start)) for start in starts]
        )


@TRANSFORMS.register_module()
class SampleSeconds(BaseTransform):
    """Clips at a rate in frames per second, whatever the file's own rate, constant or not.

    `SamplePublishedSeconds` is SEVERE's.

    Args:
        num_frames: T.
        clip_fps: Sampled frames per second. Charades: 24 / 8.
        num_clips, test_mode: As `SamplePublished`; starts are on the time line of `clip_fps`.
        short: `loop` or `repeat_last` (as SlowFast's Charades loader, whose clips start at any frame, though).

    Raises:
        ValueError: for another `short`, or a rate that is not positive.
        DataError: if the index does not know the file's rate.
    """

    def __init__(
        self, num_frames: int, clip_fps: float, num_clips: int = 1, test_mode: bool = False, short: str = 'loop'
    ) -> None:
        if short not in ('loop', 'repeat_last'):
            raise ValueError(f"SampleSeconds has short={short!r}; it must be 'loop' or 'repeat_last'.")
        if not clip_fps > 0:
            raise ValueError(f'SampleSeconds has clip_fps={clip_fps}; it must be positive.')
        self.num_frames, self.clip_fps, self.short = num_frames, clip_fps, short
        self.num_clips, self.test_mode = num_clips, test_mode

    def transform(self, results: dict) -> dict:
        """Adds `frame_inds`, `clip_len`, `num_clips`."""
        times = frame_times_of(results, self.clip_fps)
        last_start = max(num_steps_of(times, self.clip_fps) - self.num_frames, 0)
        starts = clip_starts(last_start, self.num_clips, self.test_mode, results['rng'])
        steps = np.arange(self.num_frames)
        return sampled(results, [rate_indices(times, start + steps, self.clip_fps, self.short) for start in starts])


@TRANSFORMS.register_module()
class SamplePublishedSeconds(BaseTransform):
    """Clips at a rate in frames per second as in SEVERE's R(2+1)D loader (`published_seconds_indices`).

    In training, clips start at any time. In testing, the whole video is sampled, and windows of T of its frames lie
    from its start to its end, rounded down; a single one is at the start. A video of fewer frames than T loops.

    Args:
        num_frames: T. Published: 32.
        clip_fps: Sampled frames per second. Published: 16.
        num_clips, test_mode: As `SamplePublished`.

    Raises:
        ValueError: for a rate that is not positive.
        DataError: if the index does not know the file's rate.

    Source: SEVERE (ECCV 2022), action_recognition/datasets/video_db.py.
    """

    def __init__(self, num_frames: int, clip_fps: float, num_clips: int = 1, test_mode: bool = False) -> None:
        if not clip_fps > 0:
            raise ValueError(f'SamplePublishedSeconds has clip_fps={clip_fps}; it must be positive.')
        self.num_frames, self.clip_fps = num_frames, clip_fps
        self.num_clips, self.test_mode = num_clips, test_mode

    def transform(self, results: dict) -> dict:
        """Adds `frame_inds`, `clip_len`, `num_clips`."""
        times = frame_times_of(results, self.clip_fps)
        spare = times.duration - self.num_frames / self.clip_fps  # seconds
        whole = published_seconds_indices(times, self.num_frames, self.clip_fps, None)
        if self.test_mode or spare < 0:
            places = self._windows(len(whole)) if self.test_mode else [0] * self.num_clips
            clips = [np.resize(whole[place:], self.num_frames) for place in places]
            return sampled(results, clips)
        starts = results['rng'].uniform(0, spare, self.num_clips)
        clips = [published_seconds_indices(times, self.num_frames, self.clip_fps, start) for start in starts]
        return sampled(results, [np.resize(clip, self.num_frames) for clip in clips])

    def _windows(self, num_sampled: int) -> list[int]:
        free = max(num_sampled - self.num_frames, 0)
        return np.linspace(0, free, self.num_clips).astype(np.int64).tolist()


def frame_times_of(results: dict, blank_fps: float) -> FrameTimes:
    """When the frames of a sample are shown.

    A video that cannot be decoded has black frames and may know no rate; they get `blank_fps`.

    Raises:
        DataError: if the index does not know the rate of a video that can be decoded.
    """
    times, total = times_of(results), results['total_frames']
    if times is None and results.get('decode_error') is not None:
        return FrameTimes.constant(total, blank_fps)
    if times is None:
        raise DataError(
            f'{results["filename"]} has no frame rate in its index, but sampling by seconds needs it; '
            'run tools/prepare.py again.'
        )
    return times if times.num_frames == total else FrameTimes.constant(total, times.fps)
