"""Features of long videos: which clips, each frame once, and a store that survives what happens to files."""

import json
import shutil

import numpy as np
import pytest

from eval import features_dense
from eval.features_dense import (
    DamagedFile,
    DenseView,
    dense_key,
    export_features,
    extract_dense,
    frames_of,
    read_dense,
    sliding_clips,
)
from sigma.data.clips import DecodeError, PyAVReader
from sigma.data.index import DataError
from tests.eval.tiny_localization import resolve, write_long

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
    encode = features_dense._encoder(resolved)
    entry = resolved.dataset.entries('test')[0]
    assert found[0].values.shape == (12, 128)  # (60 - 15) // 4 + 1
    assert found[0].values.dtype == np.float16
    for step in (0, 5, 11):
        frames = PyAVReader(entry['filename']).frames(4 * step + 2 * np.arange(8))
        clip = np.stack([features_dense._resized(frame, VIEW) for frame in frames])
        alone = encode(clip[None]).mean(axis=(1, 2, 3))[0]
        assert found[0].values[step] == pytest.approx(alone, abs=3e-3)
    whole, _ = extract_dense(resolved, 'test', DenseView(**{**vars(VIEW), 'pooling': 'all'}), tmp_path, progress=False)
    assert whole[0].values.shape == (12, 4, 2, 2, 128)
    assert whole[0].values.astype(float).mean(axis=(1, 2, 3)) == pytest.approx(found[0].values, abs=3e-3)
    assert VIEW.centres(2, 25.0) == pytest.approx([8 / 25, 12 / 25])


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
    assert 'not whole, made again' in caplog.text
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
    with pytest.raises(DataError, match='another file of the name test_1.mp4'):
        read_dense(file, dense_key(resolved, VIEW), 'another')
    extract_dense(other, 'test', VIEW, tmp_path, progress=False)  # lies elsewhere
    theirs = next(f for f in (tmp_path / 'features').rglob('dense-*') if f != folder)
    shutil.copy(file, theirs / file.name)
    with pytest.raises(DataError, match='holds features of another weights; remove it'):
        extract_dense(other, 'test', VIEW, tmp_path, progress=False)


def test_a_video_that_cannot_be_decoded_is_named(tmp_path):
    folder = write_long(tmp_path / 'data')
    (folder / 'test_1.mp4').write_bytes(b'no video')  # after the index was made
    found, unscored = extract_dense(resolve(folder, tmp_path), 'test', VIEW, tmp_path, progress=False)
    assert [one.video for one in found] == ['test_0.mp4', 'test_2.mp4']
    assert [one['video'] for one in unscored] == ['test_1.mp4']
    assert 'cannot decode' in unscored[0]['reason']
    with pytest.raises(DecodeError):
        list(frames_of(str(folder / 'test_1.mp4')))


def test_other_programs_get_their_layout(long, tmp_path):
    resolved = resolve(long, tmp_path)
    for split, subset in (('train', 'training'), ('test', 'validation')):
        found, _ = extract_dense(resolved, split, VIEW, tmp_path, progress=False)
        file = export_features(found, resolved.dataset.entries(split), subset, ['bright', 'striped'], tmp_path / 'out')
    database = json.loads(file.read_text())['database']
    assert len(database) == 7
    assert database['train_0']['annotations'][1] == {'segment': [1.6, 2.2], 'label': 'striped', 'label_id': 1}
    assert (database['test_0']['subset'], database['test_0']['duration']) == ('validation', 2.4)
    values = np.load(tmp_path / 'out' / 'features' / 'test_0.npy')
    assert (values.shape, values.dtype) == ((12, 128), np.float32)
    with pytest.raises(DataError, match='test_0, which is another video already'):
        export_features(found, resolved.dataset.entries('test'), 'training', ['a', 'b'], tmp_path / 'out')


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
