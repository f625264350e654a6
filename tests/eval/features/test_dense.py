"""Features of long videos: which clips, each frame once, and a store that survives what happens to files."""

import fcntl
import shutil
import threading
import time
import tracemalloc
import weakref
from collections import namedtuple

import numpy as np
import pytest

from eval.features import dense as features_dense
from eval.features.dense import (
    DamagedFile,
    DenseFeatures,
    DenseView,
    clip_batches,
    dense_key,
    dense_path,
    encode_video,
    evenly_spaced,
    extract_dense,
    frames_of,
    read_dense,
    sliding_clips,
    store_folder,
    write_dense,
)
from sigma.data.index import build_index
from sigma.errors import DataError, DecodeError
from sigma.video import FrameTimes, PyAVReader
from tests.conftest import believe
from tests.eval.tiny_localization import resolve, write_long
from tests.sigma.video_files import written

VIEW = DenseView(num_frames=8, stride_frames=2, step_frames=4, size=32)


@pytest.fixture(scope='module')
def long(tmp_path_factory):
    return write_long(tmp_path_factory.mktemp('long'))


class Picture:
    """A frame that shows its own number, and counts how often it was converted."""

    converted = 0

    def __init__(self, number):
        self.number = number

    def to_ndarray(self, format):
        Picture.converted += 1
        return np.full((4, 4, 3), self.number, np.uint8)


@pytest.fixture
def frames_convert_themselves(monkeypatch):
    """The converter takes PyAV's frames alone; those of these tests say themselves what they show."""
    monkeypatch.setattr(features_dense, 'ToRGB', lambda: lambda frame: frame.to_ndarray('rgb24'))


@pytest.mark.usefixtures('frames_convert_themselves')
@pytest.mark.parametrize(
    ('stride', 'step', 'needed'),
    [(1, 4, 60), (4, 8, 15), (4, 2, 30), (2, 3, 60), (1, 40, 46)],  # of 60 frames, in clips of 16
)
def test_clips_are_those_of_their_starts_and_no_frame_is_converted_twice(stride, step, needed):
    view, Picture.converted = DenseView(16, stride, step, 4), 0
    total = 60
    clips = list(sliding_clips(map(Picture, range(total)), view))
    assert clips.pop() == (None, total)
    starts = view.starts(total)
    if view.span > total:  # one clip, whose last reachable frame repeats
        assert clips[0][0][:, 0, 0, 0].tolist() == [min(n * stride, (total - 1) // stride * stride) for n in range(16)]
    else:
        shown = [clip[:, 0, 0, 0].tolist() for clip, _ in clips]
        assert shown == [[start + n * stride for n in range(16)] for start in starts.tolist()]
    assert Picture.converted <= needed


def test_a_video_is_decoded_once_whatever_the_overlap(long, monkeypatch, tmp_path):
    resolved, decoded = resolve(long, tmp_path), []
    monkeypatch.setattr(
        features_dense, 'frames_of', lambda path: (decoded.append(path) or frame for frame in frames_of(path))
    )
    view = DenseView(num_frames=8, stride_frames=1, step_frames=2, size=32)
    found, unscored = extract_dense(resolved, 'train', view, tmp_path, progress=False)
    assert [len(one.values) for one in found] == [27, 22, 17, 1]
    needed = 60 + 50 + 40 + 9  # every frame is in a clip
    assert len(decoded) / needed <= 1.1
    assert len(decoded) == sum(one.num_frames for one in found)
    assert unscored == []


def test_features_are_those_of_each_clip_decoded_on_its_own(long, tmp_path):
    resolved = resolve(long, tmp_path)
    found, _ = extract_dense(resolved, 'test', VIEW, tmp_path, batch_size=3, progress=False)
    encode = features_dense.encoder_of(resolved)
    entry = resolved.dataset.entries('test')[0]
    assert found[0].values.shape == (12, 128)  # (60 - 15) // 4 + 1
    assert found[0].values.dtype == np.float16
    for step in (0, 5, 11):
        frames = PyAVReader(entry['filename']).frames(4 * step + 2 * np.arange(8))
        clip = np.stack([features_dense.resized(frame, VIEW) for frame in frames])
        alone = encode(clip[None]).mean(axis=(1, 2, 3))[0]
        assert found[0].values[step] == pytest.approx(alone, abs=3e-3)
    whole, _ = extract_dense(resolved, 'test', DenseView(**{**vars(VIEW), 'pooling': 'all'}), tmp_path, progress=False)
    assert whole[0].values.shape == (12, 4, 2, 2, 128)
    assert whole[0].values.astype(float).mean(axis=(1, 2, 3)) == pytest.approx(found[0].values, abs=3e-3)
    assert VIEW.centres(2, FrameTimes.constant(60, 25)) == pytest.approx([8 / 25, 12 / 25])


def test_what_is_there_is_not_made_again_and_what_is_not_whole_is(long, tmp_path, monkeypatch, caplog):
    resolved = resolve(long, tmp_path)
    first, _ = extract_dense(resolved, 'train', VIEW, tmp_path, progress=False)
    files = sorted((tmp_path / 'features').rglob('*.npz'))
    assert [file.name for file in files] == [f'train_{n}.mp4.npz' for n in range(4)]
    made, encode_video = [], features_dense.encode_video
    monkeypatch.setattr(
        features_dense, 'encode_video', lambda entry, *rest: made.append(entry['video']) or encode_video(entry, *rest)
    )
    extract_dense(resolved, 'train', VIEW, tmp_path, progress=False)
    assert made == []
    files[1].write_bytes(files[1].read_bytes()[:-300])  # half written
    damaged = bytearray(files[2].read_bytes())
    damaged[len(damaged) // 3] ^= 255  # a flipped bit
    files[2].write_bytes(damaged)
    files[3].unlink()
    again, _ = extract_dense(resolved, 'train', VIEW, tmp_path, progress=False)
    assert made == ['train_1.mp4', 'train_2.mp4', 'train_3.mp4']
    assert 'made again' in caplog.text
    assert all(np.array_equal(a.values, b.values) for a, b in zip(first, again))
    files[1].write_bytes(b'')
    with pytest.raises(DamagedFile):
        read_dense(files[1], dense_key(resolved, VIEW), None)


def test_a_run_that_was_stopped_goes_on(long, tmp_path, monkeypatch):
    resolved, encode_video, made = resolve(long, tmp_path), features_dense.encode_video, []

    def stopped(entry, *rest):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(entry['video'])
        return encode_video(entry, *rest)

    monkeypatch.setattr(features_dense, 'encode_video', stopped)
    with pytest.raises(KeyboardInterrupt):
        extract_dense(resolved, 'train', VIEW, tmp_path, progress=False)
    monkeypatch.setattr(
        features_dense, 'encode_video', lambda entry, *rest: made.append(entry['video']) or encode_video(entry, *rest)
    )
    found, _ = extract_dense(resolved, 'train', VIEW, tmp_path, progress=False)
    assert made == [f'train_{n}.mp4' for n in range(4)]
    assert len(found) == 4


def test_features_of_another_encoder_view_or_video_are_refused(long, tmp_path):
    resolved, other = resolve(long, tmp_path), resolve(long, tmp_path, seed=1)
    extract_dense(resolved, 'test', VIEW, tmp_path, progress=False)
    folder = next((tmp_path / 'features').rglob('dense-*'))
    _, file, *_ = sorted(folder.glob('*.npz'))
    with pytest.raises(DataError, match='holds features of another weights'):
        read_dense(file, dense_key(other, VIEW), None)
    with pytest.raises(DataError, match='holds features of another view'):
        read_dense(file, dense_key(resolved, DenseView(8, 2, 8, 32)), None)
    with pytest.raises(DataError, match='another file named test_1.mp4'):
        read_dense(file, dense_key(resolved, VIEW), 'another')
    extract_dense(other, 'test', VIEW, tmp_path, progress=False)  # lies elsewhere
    theirs = next(f for f in (tmp_path / 'features').rglob('dense-*') if f != folder)
    shutil.copy(file, theirs / file.name)
    with pytest.raises(DataError, match='holds features of another weights; remove it'):
        extract_dense(other, 'test', VIEW, tmp_path, progress=False)


def test_a_video_that_cannot_be_decoded_is_named(tmp_path):
    folder = write_long(tmp_path / 'data')
    (folder / 'test_1.mp4').write_bytes(b'no video')  # after the index was made
    believe(folder)
    found, unscored = extract_dense(resolve(folder, tmp_path), 'test', VIEW, tmp_path, progress=False)
    assert [one.video for one in found] == ['test_0.mp4', 'test_2.mp4']
    assert [one['video'] for one in unscored] == ['test_1.mp4']
    assert 'test_1.mp4: PyAV cannot' in unscored[0]['reason']
    with pytest.raises(DecodeError):
        list(frames_of(str(folder / 'test_1.mp4')))


# --- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures('frames_convert_themselves')
@pytest.mark.parametrize(('stride', 'step'), [(1, 4), (4, 8), (2, 50)])
def test_pictures_are_kept_no_longer_than_a_clip_needs_them(stride, step, monkeypatch):
    """Counts pictures alive: those of a clip, whatever the length of the video."""
    view, alive, most = DenseView(16, stride, step, 4), {}, 0

    class Frame:
        def to_ndarray(self, format):
            nonlocal most
            picture, number = np.zeros((4, 4, 3), np.uint8), object()
            alive[number] = weakref.ref(picture, lambda _: alive.pop(number))
            most = max(most, len(alive))
            return picture

    monkeypatch.setattr(features_dense, 'resized', lambda picture, view: picture)
    num_clips = sum(len(clips) for clips, _ in clip_batches((Frame() for _ in range(3000)), view, 8))
    assert num_clips == len(view.starts(3000))
    assert most in (16, 17)
    assert not alive


@pytest.mark.usefixtures('frames_convert_themselves')
@pytest.mark.parametrize('pooling', ['mean', 'all'])
def test_memory_does_not_grow_with_the_length_of_a_video(pooling, tmp_path, monkeypatch):
    """A video of four times the length takes as much: all of its tokens never lie in memory."""
    view = DenseView(num_frames=8, stride_frames=1, step_frames=2, size=16, pooling=pooling)

    def encode(clips):
        return np.zeros((len(clips), 4, 8, 8, 32), np.float32)  # 32 KB a clip

    peaks = []
    for num_frames in (400, 1600):
        monkeypatch.setattr(
            features_dense, 'frames_of', lambda path, n=num_frames: (Picture(i % 256) for i in range(n))
        )
        entry = {'video': 'long.mp4', 'filename': 'long.mp4', 'sha256': None, 'fps': 25}
        path = tmp_path / f'{num_frames}.npz'
        tracemalloc.start()
        write_dense(path, entry, encode_video(entry, view, encode, 4), {})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        found = read_dense(path, {}, None)
        assert found.num_frames == num_frames
        assert len(found.values) == len(view.starts(num_frames))
    assert peaks[1] < 1.2 * peaks[0]
    if pooling == 'all':
        assert path.stat().st_size > 5 * peaks[1]


def test_features_are_read_when_they_are_asked_for(long, tmp_path):
    found, _ = extract_dense(resolve(long, tmp_path), 'train', VIEW, tmp_path, progress=False)
    assert not any(isinstance(value, np.ndarray) for one in found for value in vars(one).values())
    assert found[0].values is not found[0].values
    assert np.array_equal(found[0].values, found[0].values)


# --- what goes wrong, and who shares the work -------------------------------------------------------------------------


def test_all_tokens_say_first_what_they_take_and_refuse_a_disk_that_is_too_small(long, tmp_path, monkeypatch, caplog):
    resolved, view = resolve(long, tmp_path), DenseView(**{**vars(VIEW), 'pooling': 'all'})
    Usage = namedtuple('Usage', 'total used free')
    monkeypatch.setattr(features_dense.shutil, 'disk_usage', lambda folder: Usage(9, 9, 10_000))
    with pytest.raises(DataError, match='All tokens of .* clips take 0.0 GB; .* has 0.0 GB free. Keep the mean'):
        extract_dense(resolved, 'test', view, tmp_path, progress=False)
    assert list((tmp_path / 'features').rglob('*.npz')) == []
    monkeypatch.setattr(features_dense.shutil, 'disk_usage', lambda folder: Usage(9, 9, 5e9))
    found, _ = extract_dense(resolved, 'test', view, tmp_path, progress=False)
    # (60 - 15) // 4 + 1 and (44 - 15) // 4 + 1 clips, and one of a short video
    assert 'all tokens of 21 clips will take 0.0 GB of disk; 5.0 GB are free' in caplog.text
    assert sum(one.values.nbytes for one in found) == 21 * 4 * 2 * 2 * 128 * 2


def test_features_that_half_precision_cannot_hold_are_refused(long, tmp_path, monkeypatch):
    monkeypatch.setattr(
        features_dense, 'encoder_of', lambda resolved: lambda clips: np.full((len(clips), 1, 1, 1, 8), 7e4, np.float32)
    )
    with pytest.raises(DataError, match='train_0.mp4: its features are not finite in half precision'):
        extract_dense(resolve(long, tmp_path), 'train', VIEW, tmp_path, progress=False)
    assert list((tmp_path / 'features').rglob('*.npz')) == []


def test_what_another_process_works_at_comes_last_and_is_not_made_twice(long, tmp_path, monkeypatch):
    resolved, made = resolve(long, tmp_path), []
    folder = store_folder(resolved, VIEW, tmp_path)
    folder.mkdir(parents=True)
    entries = {entry['video']: entry for entry in resolved.dataset.entries('train')}
    original, encode = features_dense.encode_video, features_dense.encoder_of(resolved)
    monkeypatch.setattr(
        features_dense, 'encode_video', lambda entry, *rest: made.append(entry['video']) or original(entry, *rest)
    )
    locks = [open(f'{dense_path(folder, name)}.lock', 'w') for name in ('train_0.mp4', 'train_1.mp4')]  # noqa: SIM115
    for lock in locks:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another process holds it; filelock refuses to wait for its own

    def other():  # makes the first and dies at the second, when this process has made the rest
        while len(made) < 2:
            time.sleep(0.01)
        entry = entries['train_0.mp4']
        write_dense(
            dense_path(folder, 'train_0.mp4'), entry, original(entry, VIEW, encode, 4), dense_key(resolved, VIEW)
        )
        for lock in locks:
            lock.close()

    thread = threading.Thread(target=other)
    thread.start()
    found, _ = extract_dense(resolved, 'train', VIEW, tmp_path, progress=False)
    thread.join()
    assert made == ['train_2.mp4', 'train_3.mp4', 'train_1.mp4']
    assert [one.video for one in found] == list(entries)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'step_frames': 0}, 'step_frames of a sliding clip is 0'),
        ({'resize': 'crop'}, "Unknown resize 'crop'"),
        ({'pooling': 'max'}, "Unknown pooling 'max'"),
    ],
)
def test_views_that_make_no_sense_end_in_a_sentence(change, words):
    with pytest.raises(DataError, match=words):
        DenseView(**vars(VIEW) | change)


def test_starts_count_what_fits():
    assert DenseView(16, 1, 4, 32).starts(16).tolist() == [0]
    assert DenseView(16, 1, 4, 32).starts(24).tolist() == [0, 4, 8]
    assert DenseView(16, 4, 8, 32).starts(69).tolist() == [0, 8]
    assert DenseView(16, 4, 8, 32).starts(5).tolist() == [0]


def test_features_of_a_rotated_video_that_lies_on_its_side_are_made_again(tmp_path, monkeypatch, caplog):
    folder = write_long(tmp_path / 'data')
    written(folder / 'test_1.mp4', rotation=90, num_frames=44)
    names = [path.name for path in folder.glob('*.mp4')]
    build_index(folder, names, folder / 'index.jsonl', workers=1, progress=False)
    resolved = resolve(folder, tmp_path)
    entries, key = resolved.dataset.entries('test'), dense_key(resolved, VIEW)
    store = store_folder(resolved, VIEW, tmp_path)
    dumps = features_dense.json.dumps
    for entry in entries:  # as they were stored before, without the mark
        monkeypatch.setattr(
            features_dense.json,
            'dumps',
            lambda value, **how: dumps(
                {k: v for k, v in value.items() if k != 'upright'} if isinstance(value, dict) else value, **how
            ),
        )
        blank = np.zeros((2, 128), np.float16)
        write_dense(dense_path(store, entry['video']), entry, iter([(blank, entry['total_frames'])]), key)
    monkeypatch.undo()
    found, _ = extract_dense(resolved, 'test', VIEW, tmp_path, progress=False)
    assert [bool(one.values.any()) for one in found] == [False, True, False]
    assert 'test_1.mp4.npz shows a rotated video on its side' in caplog.text
    caplog.clear()
    again, _ = extract_dense(resolved, 'test', VIEW, tmp_path, progress=False)
    assert np.array_equal(again[1].values, found[1].values)
    assert caplog.text == ''


def test_features_take_their_times_from_the_index(tmp_path):
    folder = write_long(tmp_path / 'data')
    milliseconds = [40 * n + 1000 * (n >= 20) for n in range(44)]
    written(tmp_path / 'uneven.mkv', milliseconds=milliseconds)
    shutil.move(tmp_path / 'uneven.mkv', folder / 'test_1.mp4')  # FFmpeg looks at the bytes
    names = [path.name for path in folder.glob('*.mp4')]
    build_index(folder, names, folder / 'index.jsonl', workers=1, progress=False)
    for _ in range(2):  # made, and read from the store
        found, _ = extract_dense(resolve(folder, tmp_path), 'test', VIEW, tmp_path, progress=False)
        assert found[0].shown is None
        assert found[1].shown == FrameTimes.listed(np.array(milliseconds) / 1000)
        assert found[1].times.duration == 2.76
        assert found[1].fps == pytest.approx(44 / 2.76)
    # Steps of 4 frames of clips that span 16: the middles of the first ones lie before the pause.
    assert VIEW.centres(8, found[1].times)[[0, 1, 3, 4]] == pytest.approx([0.32, 0.48, 1.8, 1.96])


def test_features_are_spread_evenly_for_programs_that_know_one_rate():
    times = FrameTimes.listed([0.04 * n + (n >= 20) for n in range(44)])
    places = np.arange(8) * 4 + 8  # the middle of each clip, in frames; its feature tells it
    one = DenseFeatures('v', np.stack([places, -places], 1).astype(np.float16), 44, times.fps, times)
    spread = evenly_spaced(one, VIEW)
    wanted = np.clip(times.places_at(VIEW.centres(8, FrameTimes.constant(44, times.fps))), 8, 36)
    assert spread.dtype == np.float16
    # 0.50, 0.75, 1.00, 1.25 s; frame 19 is shown from 0.76 to 1.80 s
    assert wanted[:4] == pytest.approx([12.545, 18.818, 19.234, 19.476], abs=1e-3)
    assert spread[:, 0] == pytest.approx(wanted, abs=2e-2)
    assert spread[:, 1] == pytest.approx(-wanted, abs=2e-2)
    even = DenseFeatures('v', one.kept, 44, 25.0)
    assert np.array_equal(evenly_spaced(even, VIEW), one.kept)
