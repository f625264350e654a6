"""Features of long videos: clips that slide over a video, each frame decoded once, one file a video.

S steps (clips of a video), T frames of a clip, D feature width.
"""

import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from filelock import FileLock, Timeout

from eval.features import build_encoder
from eval.records import identity_hash, write_atomic
from sigma.data.clips import DecodeError
from sigma.data.index import DataError, progress_bar

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


@dataclass
class DenseFeatures:
    """Features of one video.

    Attributes:
        values: float16, (S, D), or (S, T', H', W', D) where all tokens are kept.
        num_frames: That were decoded.
        fps: Of the video, as the index has it.
    """

    video: str
    values: np.ndarray
    num_frames: int
    fps: float


class DamagedFile(Exception):
    """A feature file that is not whole."""


def dense_key(resolved, view: DenseView) -> dict:
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
    resolved, split: str, view: DenseView, work_dir: Path, batch_size: int = 16, progress: bool = True
) -> tuple[list[DenseFeatures], list[dict]]:
    """Features of every readable video of a split, from the store or by reading what is not there yet.

    The store is `<work_dir>/features/<encoder>/dense-<hash>/<video>.npz`. Files are written whole; one that is not
    (a full disk, an interrupted copy) is made again. Processes on other devices that want the same features share the
    work, a video each.

    Returns:
        Features in the order of the list; and [{video, reason}] of those that could not be read.

    Raises:
        DataError: if a file of the store is of another encoder, view or video.
    """
    key = dense_key(resolved, view)
    folder = Path(work_dir) / 'features' / resolved.encoder.name / f'dense-{identity_hash(key)[:32]}'
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
        encode = _encoder(resolved)
        if view.pooling == 'all':
            _tell_disk(encode, view, absent)
        with progress_bar(f'features of {resolved.dataset.name} ({split})', len(absent), progress) as advance:
            for entry, found in _share(folder, absent, key, lambda e: encode_video(e, view, encode, batch_size)):
                if isinstance(found, DenseFeatures):
                    done[entry['video']] = found
                else:
                    unscored[entry['video']] = found
                advance()
    features = [done[e['video']] for e in readable if e['video'] in done]
    return features, [{'video': e['video'], 'reason': unscored[e['video']]} for e in entries if e['video'] in unscored]


def encode_video(entry: dict, view: DenseView, encode: Callable, batch_size: int) -> DenseFeatures:
    """Features of one video, read once from start to end.

    Args:
        entry: Of `DatasetCard.entries`.
        encode: From clips (B, T, size, size, 3) uint8 to tokens (B, T', H', W', D).

    Raises:
        DecodeError: if it cannot be decoded.
    """
    values, clips, num_frames = [], [], 0

    def flush() -> None:
        tokens = encode(np.stack(clips))
        values.append(tokens.mean(axis=(1, 2, 3)) if view.pooling == 'mean' else tokens)
        clips.clear()

    for clip, num_frames in sliding_clips(frames_of(entry['filename']), view):  # noqa: B007 - the last is wanted
        if clip is None:
            continue
        clips.append(clip)
        if len(clips) == batch_size:
            flush()
    if clips:
        flush()
    if not values:
        raise DecodeError(f'{entry["filename"]}: no frame')
    return DenseFeatures(entry['video'], np.concatenate(values).astype(np.float16), num_frames, float(entry['fps']))


def frames_of(path: str) -> Iterator[av.VideoFrame]:
    """All frames of a video, each decoded once; raises DecodeError on damage, as the index's strict reading does."""
    try:
        with av.open(path, options={'err_detect': 'explode'}) as container:
            stream = container.streams.best('video')
            if stream is None:
                raise DecodeError(f'{path}: no video stream')
            stream.codec_context.options = {'err_detect': 'explode'}
            yield from container.decode(stream)
    except av.FFmpegError as error:
        raise DecodeError(f'{path}: PyAV cannot decode it ({error})') from None


def sliding_clips(frames: Iterator, view: DenseView) -> Iterator[tuple[np.ndarray | None, int]]:
    """(clip (T, size, size, 3) uint8, frames so far) for every clip that is complete, in order; at last (None, frames).

    A frame is converted and resized once, and kept only while a clip needs it; one that no clip needs is passed over.
    A video shorter than a clip gives one, whose last frame repeats.
    """
    kept: dict[int, np.ndarray] = {}
    start = number = 0
    for number, frame in enumerate(frames, start=1):
        place = number - 1
        if _is_needed(place, start, view):
            kept[place] = _resized(frame.to_ndarray(format='rgb24'), view)
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


def _resized(picture: np.ndarray, view: DenseView) -> np.ndarray:
    height, width = picture.shape[:2]
    if view.resize == 'square':
        return cv2.resize(picture, (view.size, view.size), interpolation=cv2.INTER_LINEAR)
    scale = view.size / min(height, width)
    height, width = max(view.size, round(height * scale)), max(view.size, round(width * scale))
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    top, left = (height - view.size) // 2, (width - view.size) // 2
    return picture[top : top + view.size, left : left + view.size]


def _encoder(resolved) -> Callable[[np.ndarray], np.ndarray]:
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


def _tell_disk(encode: Callable, view: DenseView, entries: Sequence[dict]) -> None:
    tokens = encode(np.zeros((1, view.num_frames, view.size, view.size, 3), dtype=np.uint8))
    num_steps = sum(len(view.starts(entry['total_frames'])) for entry in entries)
    LOG.warning('all tokens of %d clips will take %.1f GB of disk', num_steps, num_steps * tokens.size * 2 / 1e9)


# --- the store ---------------------------------------------------------------------------------------------------


def dense_path(folder: Path, video: str) -> Path:
    """Where the features of a video lie; folders of its name become folders of the store."""
    return folder / f'{video}.npz'


def write_dense(path: Path, features: DenseFeatures, key: dict, video_sha256: str | None) -> None:
    """Store the features of a video, whole or not at all, with what they depend on in the header."""
    buffer = io.BytesIO()
    header = {
        'sha256': identity_hash(key),
        'video': features.video,
        'video_sha256': video_sha256,
        'num_frames': features.num_frames,
        'fps': features.fps,
        'key': key,
    }
    np.savez(buffer, values=features.values, header=np.array(json.dumps(header)))
    write_atomic(path, buffer.getvalue())


def read_dense(path: Path, key: dict, video_sha256: str | None) -> DenseFeatures:
    """What `write_dense` stored.

    Raises:
        DamagedFile: if the file is not whole (each part has a check sum).
        DataError: if the features are of another encoder, view or video.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header, values = json.loads(str(file['header'])), file['values']
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DamagedFile(f'{path}: {error}') from error
    if header['sha256'] != identity_hash(key):
        theirs = header['key']
        other = [name for name in key if json.loads(json.dumps(key[name])) != theirs.get(name)]
        raise DataError(f'{path} holds features of another {" and ".join(other)}; remove it, or name another folder.')
    if header['video_sha256'] != video_sha256:
        raise DataError(f'{path} holds features of another file of the name {header["video"]}; remove it.')
    return DenseFeatures(header['video'], values, header['num_frames'], header['fps'])


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
                    found = encode(entry)
                    write_dense(path, found, key, entry['sha256'])
            except DecodeError as error:
                found = str(error)
            finally:
                lock.release()
            yield entry, found
        waiting = later


# --- for other programs ------------------------------------------------------------------------------------------


def export_features(
    features: Sequence[DenseFeatures], entries: Sequence[dict], subset: str, classes: Sequence[str], out: Path
) -> Path:
    """Write features and ground truth as ActionFormer and OpenTAD read them.

    `<out>/features/<name>.npy`, (S, D) float32; `<out>/annotations.json`, {database: {name: {subset, duration, frame,
    fps, annotations [{segment, label, label_id}]}}}, to which further subsets are added. The name is the video's,
    folders and ending left out.

    Raises:
        DataError: if all tokens were kept, or two videos have the same name.
    """
    file, known = out / 'annotations.json', {entry['video']: entry for entry in entries}
    database = json.loads(file.read_text())['database'] if file.is_file() else {}
    (out / 'features').mkdir(parents=True, exist_ok=True)
    written: dict[str, str] = {}
    for one in features:
        if one.values.ndim != 2:
            raise DataError('All tokens of a clip were kept; ActionFormer and OpenTAD read one vector a clip.')
        name = Path(one.video).stem
        if name in written or database.get(name, {}).get('subset', subset) != subset:
            raise DataError(f'{one.video} would be written as {name}, which is another video already.')
        written[name] = one.video
        buffer = io.BytesIO()
        np.save(buffer, one.values.astype(np.float32))
        write_atomic(out / 'features' / f'{name}.npy', buffer.getvalue())
        actions = (known[one.video]['annotation'] or {}).get('actions', [])
        database[name] = {
            'subset': subset,
            'duration': one.num_frames / one.fps,
            'frame': one.num_frames,
            'fps': one.fps,
            'annotations': [
                {'segment': [start, end], 'label': classes[int(label)], 'label_id': int(label)}
                for start, end, label in actions
            ],
        }
    write_atomic(file, json.dumps({'database': database}).encode())
    return file
