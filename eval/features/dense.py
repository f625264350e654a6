"""Features of long videos: clips that slide over a video, each frame decoded once, one file a video.

Memory grows neither with the length of a video nor with their number: frames are kept while a clip needs them, tokens
go to the disk a batch at a time, and features are read from the store when they are asked for.

S steps (clips of a video), T frames of a clip, D feature width, B clips of a batch.
"""

import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from filelock import FileLock, Timeout

from eval.cells.cell import ResolvedCell
from eval.features.clips import build_encoder
from eval.records import identity_hash
from sigma.errors import DataError, DecodeError
from sigma.files import open_atomic
from sigma.processes import progress_bar
from sigma.video import Frame, ToRGB, frames_of

LOG = logging.getLogger(__name__)
FORMAT_VERSION = 1
POOLINGS = ('mean', 'all')


@dataclass(frozen=True)
class DenseView:
    """Which clips are taken of a video, and what is kept of each.

    Attributes:
        num_frames, stride_frames: T of a clip, and frames of the video from one to the next.
        step_frames: From the start of a clip to that of the next.
        size: Pixels a side.
        resize: `square`, or `short_side` and then the centre.
        pooling: `mean` over all tokens of a clip, (S, D), or `all` tokens, (S, T', H', W', D).

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
        """Frames of the video from the first of a clip to its last, both included."""
        return (self.num_frames - 1) * self.stride_frames + 1

    def starts(self, total_frames: int) -> np.ndarray:
        """(S,) first frames of the clips that fit; one at 0 for a video shorter than a clip."""
        return np.arange(0, max(total_frames - self.span, 0) + 1, self.step_frames)

    def centres(self, num_steps: int, fps: float) -> np.ndarray:
        """(S,) seconds: the middle of each clip, start + T x stride / 2 frames, as ActionFormer places its features."""
        return (np.arange(num_steps) * self.step_frames + self.num_frames * self.stride_frames / 2) / fps


@dataclass(frozen=True)
class DenseFeatures:
    """Features of one video.

    Attributes:
        kept: The file of the store, or the values themselves.
        num_frames: That were decoded.
        fps: Of the video, as the index has it; 0 where it is unknown.
    """

    video: str
    kept: Path | np.ndarray
    num_frames: int
    fps: float

    @property
    def values(self) -> np.ndarray:
        """float16, (S, D), or (S, T', H', W', D) where all tokens are kept; read from the file each time."""
        if isinstance(self.kept, np.ndarray):
            return self.kept
        with np.load(self.kept, allow_pickle=False) as file:
            return file['values']


class DamagedFile(Exception):
    """A feature file that is not whole."""


def dense_key(resolved: ResolvedCell, view: DenseView) -> dict:
    """What all features of an encoder and view depend on."""
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
    """Features of every readable video of a split, from the store or by reading what is not there yet.

    The store is `<work_dir>/features/<encoder>/dense-<hash>/<video>.npz`. Files are written whole; one that is not
    (a full disk, an interrupted copy) is made again. Processes on other devices that want the same features share the
    work, a video each.

    Returns:
        Features in the order of the list; and [{video, reason}] of those that could not be read.

    Raises:
        DataError: if a file of the store is of another encoder, view or video, features are not finite, or all tokens
            would not fit on the disk.
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
            _tell_disk(encode, view, absent, folder)
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
    """Features of one video, read once from start to end, a batch at a time.

    Args:
        entry: Of `DatasetCard.entries`.
        encode: From clips (B, T, size, size, 3) uint8 to tokens (B, T', H', W', D).

    Yields:
        (B, D) or (B, T', H', W', D) float16; and the frames decoded so far, with the last batch all of them.

    Raises:
        DecodeError: if it cannot be decoded.
        DataError: if a feature is not finite in half precision.
    """
    # The next batch is decoded while the device has this one.
    for clips, num_frames in ahead(clip_batches(frames_of(entry['filename']), view, batch_size)):
        tokens = encode(clips)
        with np.errstate(over='ignore'):  # what does not fit becomes infinite, and is refused below
            values = (tokens.mean(axis=(1, 2, 3)) if view.pooling == 'mean' else tokens).astype(np.float16)
        if not np.isfinite(values).all():
            raise DataError(f'{entry["video"]}: its features are not finite in half precision, in which they are kept.')
        yield values, num_frames


def clip_batches(frames: Iterator, view: DenseView, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """(B, T, size, size, 3) clips, B <= `batch_size`, and the frames so far; with the last batch all of them."""
    clips, num_frames = [], 0
    for clip, num_frames in sliding_clips(frames, view):  # noqa: B007 - the last is wanted
        if clip is None:
            break
        if len(clips) == batch_size:
            yield np.stack(clips), num_frames
            clips = []
        clips.append(clip)
    if clips:
        yield np.stack(clips), num_frames


def ahead(items: Iterator) -> Iterator:
    """The items of an iterator, of which the next is made in a thread while one is used."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def sliding_clips(frames: Iterator[Frame], view: DenseView) -> Iterator[tuple[np.ndarray | None, int]]:
    """(clip (T, size, size, 3) uint8, frames so far) for every clip that is complete, in order; at last (None, frames).

    A frame is converted and resized once, and kept only while a clip needs it; one that no clip needs is passed over.
    A video shorter than a clip gives one, whose last frame repeats.
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
        last = (number - 1) // view.stride_frames * view.stride_frames  # as sigma.data.clips.dense_indices
        places = np.arange(view.num_frames) * view.stride_frames
        yield np.stack([kept[place] for place in np.minimum(places, last).tolist()]), number
    yield None, number


def _is_needed(place: int, start: int, view: DenseView) -> bool:
    """Whether a clip that starts at `start` or later holds this frame."""
    if place < start:
        return False
    first = max(0, -(-(place - start - view.span + 1) // view.step_frames))
    last = (place - start) // view.step_frames
    return any((place - start - n * view.step_frames) % view.stride_frames == 0 for n in range(first, last + 1))


def resized(picture: np.ndarray, view: DenseView) -> np.ndarray:
    """(size, size, 3) of a picture (H, W, 3)."""
    height, width = picture.shape[:2]
    if view.resize == 'square':
        return cv2.resize(picture, (view.size, view.size), interpolation=cv2.INTER_LINEAR)
    scale = view.size / min(height, width)
    height, width = max(view.size, round(height * scale)), max(view.size, round(width * scale))
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    top, left = (height - view.size) // 2, (width - view.size) // 2
    return picture[top : top + view.size, left : left + view.size]


def encoder_of(resolved: ResolvedCell) -> Callable[[np.ndarray], np.ndarray]:
    """From clips (B, T, size, size, 3) uint8 to tokens (B, T', H', W', D) float32, by the cell's encoder."""
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


def _tell_disk(encode: Callable, view: DenseView, entries: Sequence[dict], folder: Path) -> None:
    """Say what all tokens will take before any is made.

    Raises:
        DataError: if the disk has less.
    """
    tokens = encode(np.zeros((1, view.num_frames, view.size, view.size, 3), dtype=np.uint8))
    num_steps = sum(len(view.starts(entry['total_frames'])) for entry in entries)
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = num_steps * tokens.size * 2 / 1e9, shutil.disk_usage(folder).free / 1e9
    LOG.warning('all tokens of %d clips will take %.1f GB of disk, of which %.1f GB are free', num_steps, needed, free)
    if needed > free:
        raise DataError(
            f'All tokens of {num_steps} clips take {needed:.1f} GB; {folder} has {free:.1f} GB free. Keep the mean of '
            'each clip, or name another work directory.'
        )


# --- the store ---------------------------------------------------------------------------------------------------


def store_folder(resolved: ResolvedCell, view: DenseView, work_dir: Path) -> Path:
    """Where the features of an encoder and view lie."""
    return (
        Path(work_dir) / 'features' / resolved.encoder.name / f'dense-{identity_hash(dense_key(resolved, view))[:32]}'
    )


def dense_path(folder: Path, video: str) -> Path:
    """Where the features of a video lie; folders of its name become folders of the store."""
    return folder / f'{video}.npz'


def write_dense(path: Path, entry: dict, parts: Iterator[tuple[np.ndarray, int]], key: dict) -> None:
    """Store the features of a video, whole or not at all, with what they depend on in the header.

    The file is as `numpy.savez` writes it. How many steps there are is known at the end only, and stands before the
    values: they go through a nameless file beside it first.

    Args:
        entry: Of `DatasetCard.entries`.
        parts: Of `encode_video`.
    """
    num_steps, shape, num_frames = 0, None, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        for values, num_frames in parts:  # noqa: B007 - the last is wanted
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
    """What `write_dense` stored, found whole; `values` are read later.

    Raises:
        DamagedFile: if the file is not whole (each part has a check sum).
        DataError: if the features are of another encoder, view or video.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f'check sum of {broken}')
            archive.getinfo('values.npy')
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file['header']))
        theirs, found = header['key'], DenseFeatures(header['video'], path, header['num_frames'], header['fps'])
        same = header['sha256'] == identity_hash(key)
    except (ValueError, KeyError, EOFError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise DamagedFile(f'{path}: {error}') from error
    if not same:
        other = [name for name in key if json.loads(json.dumps(key[name])) != theirs.get(name)]
        raise DataError(f'{path} holds features of another {" and ".join(other)}; remove it, or name another folder.')
    if header['video_sha256'] != video_sha256:
        raise DataError(f'{path} holds features of another file of the name {header["video"]}; remove it.')
    return found


def _stored(folder: Path, entry: dict, key: dict) -> DenseFeatures | None:
    path = dense_path(folder, entry['video'])
    if not path.is_file():
        return None
    try:
        return read_dense(path, key, entry['sha256'])
    except DamagedFile as error:
        LOG.warning('not whole, made again: %s', error)
        return None


def _share(folder: Path, entries: list[dict], key: dict, encode: Callable) -> Iterator[tuple]:
    """(entry, features or the reason of failure) of all entries; those that another process works at come last."""
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
            try:
                found = _stored(folder, entry, key)
                if found is None:
                    write_dense(path, entry, encode(entry), key)
                    found = read_dense(path, key, entry['sha256'])
            except DecodeError as error:
                found = str(error)
            finally:
                lock.release()
            yield entry, found
        waiting = later
