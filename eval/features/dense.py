"""Dense features of long videos, from clips that slide over each video. Each frame is decoded once; one file per video.

Memory grows neither with the length of a video nor with the number of videos. Frames are kept only while a clip needs
them, tokens go to disk one batch at a time, and features are read from the store only when used.

Shape letters: S steps (clips of a video), T frames of a clip, T', H', W' token grid, D feature width, B clips of a
batch.
"""

import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from filelock import FileLock, Timeout

from eval.cells.cell import ResolvedCell
from eval.features.clips import build_encoder
from eval.records import identity_hash
from sigma.data.loading import each_read
from sigma.errors import DataError, DecodeError
from sigma.files import open_atomic
from sigma.processes import progress_bar
from sigma.video import Frame, FrameTimes, ToRGB, frames_of, open_video, times_of

LOG = logging.getLogger(__name__)
FORMAT_VERSION = 1
POOLINGS = ('mean', 'all')


@dataclass(frozen=True)
class DenseView:
    """Which clips are cut from a video, and what is kept of each.

    Attributes:
        num_frames: T, frames of a clip.
        stride_frames: Video frames from one frame of a clip to the next.
        step_frames: Video frames from the start of one clip to the start of the next.
        size: Height and width in pixels.
        resize: `square`, or `short_side` followed by a centre crop.
        pooling: `mean` over all tokens of a clip, giving (S, D); or `all` tokens, giving (S, T', H', W', D).

    Raises:
        DataError: if a number is below 1, or a name is unknown.
    """

    num_frames: int
    stride_frames: int
    step_frames: int
    size: int
    resize: str = 'square'
    pooling: str = 'mean'

    def __post_init__(self) -> None:
        for name in ('num_frames', 'stride_frames', 'step_frames', 'size'):
            if getattr(self, name) < 1:
                raise DataError(f'{name} of a sliding clip is {getattr(self, name)}; it must be 1 or more.')
        for name, known in (('resize', ('square', 'short_side')), ('pooling', POOLINGS)):
            if getattr(self, name) not in known:
                raise DataError(f'Unknown {name} {getattr(self, name)!r}. Known: {", ".join(known)}.')

    @property
    def span(self) -> int:
        """Video frames from the first to the last frame of a clip, both included."""
        return (self.num_frames - 1) * self.stride_frames + 1

    def starts(self, total_frames: int) -> np.ndarray:
        """(S,) first frame of each clip that fits; a single 0 for a video shorter than a clip."""
        return np.arange(0, max(total_frames - self.span, 0) + 1, self.step_frames)

    def centres(self, num_steps: int, times: FrameTimes) -> np.ndarray:
        """(S,) middle of each clip in seconds: start + T x stride / 2 frames, as ActionFormer places its features."""
        return times.seconds_at(np.arange(num_steps) * self.step_frames + self.num_frames * self.stride_frames / 2)


@dataclass(frozen=True)
class DenseFeatures:
    """Features of one video.

    Attributes:
        video: Its name in the list.
        kept: The file in the store, or the values themselves.
        num_frames: Frames decoded.
        fps: Mean frame rate from the index; 0 if unknown.
        shown: When the frames are shown, from the index; None if they have the constant rate `fps`.
    """

    video: str
    kept: Path | np.ndarray
    num_frames: int
    fps: float
    shown: FrameTimes | None = None

    @property
    def times(self) -> FrameTimes:
        """When the frames are shown.

        Raises:
            ValueError: if no frame rate is known.
        """
        return self.shown or FrameTimes.constant(self.num_frames, self.fps)

    @property
    def values(self) -> np.ndarray:
        """(S, D) float16, or (S, T', H', W', D) if all tokens are kept. Read from the file at every access."""
        if isinstance(self.kept, np.ndarray):
            return self.kept
        with np.load(self.kept, allow_pickle=False) as file:
            return file['values']


def evenly_spaced(one: DenseFeatures, view: DenseView) -> np.ndarray:
    """(S, D) float16 features of clips whose middles lie evenly in time, as other programs take them to lie.

    Step n is at n x step + T x stride / 2 frames of the mean rate, in seconds. Without a constant rate, values are
    interpolated linearly between the clips around the frame on screen then, and held beyond the first and the last.
    """
    values, half = one.values, view.num_frames * view.stride_frames / 2
    seconds = view.centres(len(values), FrameTimes.constant(one.num_frames, one.fps))
    steps = np.clip((one.times.places_at(seconds) - half) / view.step_frames, 0, len(values) - 1)
    before = steps.astype(np.int64)
    after, share = np.minimum(before + 1, len(values) - 1), (steps - before)[:, None]
    return (values[before] * (1 - share) + values[after] * share).astype(np.float16)


class DamagedFile(Exception):
    """A feature file that is damaged or incomplete."""


def dense_key(resolved: ResolvedCell, view: DenseView) -> dict:
    """Everything that the features of an encoder and view depend on, besides the video."""
    weights = resolved.weights_sha256
    return {
        'version': FORMAT_VERSION,
        'encoder': resolved.config['backbone'],
        'weights': weights or f'random, seed {resolved.cell.seed}',
        'normalisation': [list(resolved.encoder.mean), list(resolved.encoder.std)],
        'view': asdict(view),
    }


def extract_dense(
    resolved: ResolvedCell, split: str, view: DenseView, work_dir: Path, batch_size: int = 16, progress: bool = True
) -> tuple[list[DenseFeatures], list[dict]]:
    """Features of every readable video of a split: read from the store, or extracted if missing.

    The store is `<work_dir>/features/<encoder>/dense-<hash>/<video>.npz`. Files are written whole or not at all; a
    damaged one (an interrupted copy) is made again. Processes that want the same features share the videos between
    them.

    Args:
        resolved: The cell; its config has `backbone`.
        split: `train` or `test`.
        view: Which clips are cut.
        work_dir: Folder of the run.
        batch_size: Clips per encoder pass.
        progress: Whether to show a progress bar.

    Returns:
        Features in the order of the list, and {video, reason} of each video that could not be read.

    Raises:
        DataError: if a stored file belongs to another encoder, view or video; if features are not finite; or if
            `pooling` is `all` and the tokens would not fit on the disk.
    """
    key = dense_key(resolved, view)
    folder = store_folder(resolved, view, work_dir)
    entries = resolved.dataset.entries(split)
    unscored = {e['video']: e['reason'] for e in entries if e['reason'] is not None}
    readable = [e for e in entries if e['reason'] is None]
    done: dict[str, DenseFeatures] = {}
    absent = []
    for entry in readable:
        found = _stored(folder, entry, key)
        if found is None:
            absent.append(entry)
        else:
            done[entry['video']] = found
    if absent:
        encode = encoder_of(resolved)
        if view.pooling == 'all':
            _warn_of_disk_use(encode, view, absent, folder)
        with progress_bar(f'features of {resolved.dataset.name} ({split})', len(absent), progress) as advance:
            for entry, found in _share(folder, absent, key, lambda e: encode_video(e, view, encode, batch_size)):
                if isinstance(found, DenseFeatures):
                    done[entry['video']] = found
                else:
                    unscored[entry['video']] = found
                advance()
    features = [done[e['video']] for e in readable if e['video'] in done]
    return features, [{'video': e['video'], 'reason': unscored[e['video']]} for e in entries if e['video'] in unscored]


def encode_video(entry: dict, view: DenseView, encode: Callable, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Features of one video, which is read once from start to end.

    Args:
        entry: From `DatasetCard.entries`.
        view: Which clips are cut.
        encode: Clips (B, T, size, size, 3) uint8 -> tokens (B, T', H', W', D) float32.
        batch_size: Most clips per call of `encode`.

    Yields:
        (B, D) or (B, T', H', W', D) float16; and the number of frames decoded so far. With the last batch that is the
        number of frames of the video.

    Raises:
        DecodeError: if the video cannot be decoded.
        DataError: if a feature is not finite in half precision.
    """
    # The next batch is decoded while the device works on this one.
    batches = each_read(entry['filename'], clip_batches(frames_of(entry['filename']), view, batch_size))
    for clips, num_frames in ahead(batches):
        tokens = encode(clips)
        with np.errstate(over='ignore'):  # too large a value becomes infinite and is refused below
            values = (tokens.mean(axis=(1, 2, 3)) if view.pooling == 'mean' else tokens).astype(np.float16)
        if not np.isfinite(values).all():
            raise DataError(f'{entry["video"]}: its features are not finite in half precision; check the encoder.')
        yield values, num_frames


def clip_batches(frames: Iterator, view: DenseView, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield batches (B, T, size, size, 3), B <= `batch_size`, and the number of frames read so far."""
    clips: list[np.ndarray] = []
    num_frames = 0
    for clip, num_frames in sliding_clips(frames, view):  # noqa: B007 - the last number is used
        if clip is None:
            break
        if len(clips) == batch_size:
            yield np.stack(clips), num_frames
            clips = []
        clips.append(clip)
    if clips:
        yield np.stack(clips), num_frames


def ahead(items: Iterator) -> Iterator:
    """Yield the items of an iterator; a thread makes the next one while the caller uses this one."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def sliding_clips(frames: Iterator[Frame], view: DenseView) -> Iterator[tuple[np.ndarray | None, int]]:
    """Yield (clip (T, size, size, 3) uint8, frames read so far) for each complete clip; at the end (None, all frames).

    Each frame is converted and resized once and kept only while a clip needs it. Frames that no clip needs are skipped.
    A video shorter than a clip gives one clip, padded with its last frame.
    """
    kept: dict[int, np.ndarray] = {}
    start = number = 0
    to_rgb = ToRGB()
    for number, frame in enumerate(frames, start=1):
        place = number - 1
        if _is_needed(place, start, view):
            kept[place] = resized(to_rgb(frame), view)
        if place == start + view.span - 1:
            yield np.stack([kept[start + i * view.stride_frames] for i in range(view.num_frames)]), number
            start += view.step_frames
            kept = {old: picture for old, picture in kept.items() if _is_needed(old, start, view)}
    if number and start == 0:
        last = (number - 1) // view.stride_frames * view.stride_frames  # like sigma.data.clips.dense_indices
        places = np.arange(view.num_frames) * view.stride_frames
        yield np.stack([kept[place] for place in np.minimum(places, last).tolist()]), number
    yield None, number


def _is_needed(place: int, start: int, view: DenseView) -> bool:
    """Whether a clip that starts at `start` or later contains frame `place`."""
    if place < start:
        return False
    first = max(0, -(-(place - start - view.span + 1) // view.step_frames))
    last = (place - start) // view.step_frames
    return any((place - start - n * view.step_frames) % view.stride_frames == 0 for n in range(first, last + 1))


def resized(picture: np.ndarray, view: DenseView) -> np.ndarray:
    """A frame (H, W, 3) resized, and cropped if the view says so, to (size, size, 3)."""
    height, width = picture.shape[:2]
    if view.resize == 'square':
        return cv2.resize(picture, (view.size, view.size), interpolation=cv2.INTER_LINEAR)
    scale = view.size / min(height, width)
    height, width = max(view.size, round(height * scale)), max(view.size, round(width * scale))
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    top, left = (height - view.size) // 2, (width - view.size) // 2
    return picture[top : top + view.size, left : left + view.size]


def encoder_of(resolved: ResolvedCell) -> Callable[[np.ndarray], np.ndarray]:
    """The cell's encoder as a function: clips (B, T, size, size, 3) uint8 -> tokens (B, T', H', W', D) float32."""
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    encoder = build_encoder(resolved).to(device)
    mean, std = (
        torch.tensor(v, device=device).view(1, 3, 1, 1, 1) for v in (resolved.encoder.mean, resolved.encoder.std)
    )

    @torch.no_grad()
    def encode(clips: np.ndarray) -> np.ndarray:
        inputs = torch.from_numpy(clips).to(device).permute(0, 4, 1, 2, 3).float()  # (B, 3, T, size, size)
        return encoder((inputs - mean) / std).float().cpu().numpy()

    return encode


def _warn_of_disk_use(encode: Callable, view: DenseView, entries: Sequence[dict], folder: Path) -> None:
    """Log how much disk space all tokens will take, before extraction starts.

    Raises:
        DataError: if the disk has less space.
    """
    tokens = encode(np.zeros((1, view.num_frames, view.size, view.size, 3), dtype=np.uint8))
    num_steps = sum(len(view.starts(entry['total_frames'])) for entry in entries)
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = num_steps * tokens.size * 2 / 1e9, shutil.disk_usage(folder).free / 1e9
    LOG.warning('all tokens of %d clips will take %.1f GB of disk; %.1f GB are free', num_steps, needed, free)
    if needed > free:
        raise DataError(
            f'All tokens of {num_steps} clips take {needed:.1f} GB; {folder} has {free:.1f} GB free. Keep the mean of '
            'each clip (--pooling mean), or choose another work directory.'
        )


# --- the store ---------------------------------------------------------------------------------------------------


def store_folder(resolved: ResolvedCell, view: DenseView, work_dir: Path) -> Path:
    """Folder of the features of an encoder and view."""
    return (
        Path(work_dir) / 'features' / resolved.encoder.name / f'dense-{identity_hash(dense_key(resolved, view))[:32]}'
    )


def dense_path(folder: Path, video: str) -> Path:
    """File of the features of a video; folders in its name become folders in the store."""
    return folder / f'{video}.npz'


def write_dense(path: Path, entry: dict, parts: Iterator[tuple[np.ndarray, int]], key: dict) -> None:
    """Store the features of a video, whole or not at all, with their key in the header.

    The format is that of `numpy.savez`. It states the number of steps before the values, but that number is known only
    at the end; so the values first go to an unnamed temporary file in the same folder.

    Args:
        path: From `dense_path`.
        entry: From `DatasetCard.entries`.
        parts: From `encode_video`.
        key: From `dense_key`.

    Raises:
        DecodeError: if the video has no frame.
    """
    num_steps, num_frames = 0, 0
    shape: tuple[int, ...] | None = None
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        for values, num_frames in parts:  # noqa: B007 - the last number is used
            spool.write(np.ascontiguousarray(values).data)
            num_steps, shape = num_steps + len(values), values.shape[1:]
        if shape is None:
            raise DecodeError(f'{entry["filename"]}: no frame')
        spool.seek(0)
        header = {
            'sha256': identity_hash(key),
            'video': entry['video'],
            'video_sha256': entry['sha256'],
            'num_frames': num_frames,
            'fps': float(entry['fps'] or 0),
            'upright': True,
            'key': key,
        }
        with open_atomic(path) as file, zipfile.ZipFile(file, 'w') as archive:
            with archive.open('values.npy', 'w', force_zip64=True) as member:
                about = {'descr': '<f2', 'fortran_order': False, 'shape': (num_steps, *shape)}
                np.lib.format.write_array_header_1_0(member, about)
                shutil.copyfileobj(spool, member, 1 << 20)
            with archive.open('header.npy', 'w') as member:
                np.lib.format.write_array(member, np.array(json.dumps(header)))


def read_dense(path: Path, key: dict, video_sha256: str | None) -> DenseFeatures:
    """Check a file that `write_dense` stored. Its `values` are read only when used.

    Args:
        path: From `dense_path`.
        key: From `dense_key`; what the features must have been made with.
        video_sha256: Hash of the video from the index.

    Raises:
        DamagedFile: if a checksum in the file is wrong, or the file is incomplete.
        DataError: if the features come from another encoder, view or video.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f'wrong checksum of {broken}')
            archive.getinfo('values.npy')
        header = _header_of(path)
        theirs, found = header['key'], DenseFeatures(header['video'], path, header['num_frames'], header['fps'])
        same = header['sha256'] == identity_hash(key)
    except (ValueError, KeyError, EOFError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise DamagedFile(f'{path}: {error}') from error
    if not same:
        other = [name for name in key if json.loads(json.dumps(key[name])) != theirs.get(name)]
        raise DataError(f'{path} holds features of another {" and ".join(other)}; remove it, or choose another folder.')
    if header['video_sha256'] != video_sha256:
        raise DataError(f'{path} holds features of another file named {header["video"]}; remove it.')
    return found


def _header_of(path: Path) -> dict:
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file['header']))


def is_turned(entry: dict) -> bool:
    """Whether the coded frames of a video do not stand upright. False for one that cannot be opened."""
    try:
        with open_video(entry['filename'], strict=False) as video:
            return bool(video.turn)
    except DecodeError:
        return False


def _lies_on_its_side(path: Path, entry: dict) -> bool:
    """Whether stored features show a rotated video as its frames are coded, as this project once did."""
    return 'upright' not in _header_of(path) and is_turned(entry)


def timed(found: DenseFeatures, entry: dict) -> DenseFeatures:
    """Features with the times of their frames from the index, whatever was known when they were made."""
    times = times_of(entry)
    if times is None or times.num_frames != found.num_frames:
        return found
    return replace(found, fps=times.fps, shown=None if times.is_constant else times)


def _stored(folder: Path, entry: dict, key: dict) -> DenseFeatures | None:
    """Features in the store, or None if they are absent, damaged, or of frames that lie on their side."""
    path = dense_path(folder, entry['video'])
    if not path.is_file():
        return None
    try:
        found = read_dense(path, key, entry['sha256'])
        if not _lies_on_its_side(path, entry):
            return timed(found, entry)
        LOG.warning('made again: %s shows a rotated video on its side', path)
        return None
    except DamagedFile as error:
        LOG.warning('damaged, made again: %s', error)
        return None


def _share(folder: Path, entries: list[dict], key: dict, encode: Callable) -> Iterator[tuple]:
    """Yield (entry, features or reason for failure) for all entries. Those that another process works on come last."""
    waiting = list(entries)
    for timeout in (0, -1):
        later = []
        for entry in waiting:
            path = dense_path(folder, entry['video'])
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f'{path}.lock', timeout=timeout)
            try:
                lock.acquire()
            except Timeout:
                later.append(entry)
                continue
            found: DenseFeatures | str | None
            try:
                found = _stored(folder, entry, key)
                if found is None:
                    write_dense(path, entry, encode(entry), key)
                    found = timed(read_dense(path, key, entry['sha256']), entry)
            except DecodeError as error:
                found = str(error)
            finally:
                lock.release()
            yield entry, found
        waiting = later
