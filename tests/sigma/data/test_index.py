"""The index: what a strict reading finds, what survives a crash or a kill, and the list files beside it."""

import fcntl
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from sigma.data import index as index_module
from sigma.data.index import VideoInfo, build_index, load_index, read_strictly
from sigma.data.lists import list_sha256, read_list, write_list
from sigma.errors import DataError
from sigma.video import FrameTimes, SeekTable

NUM_FRAMES, FPS, WIDTH, HEIGHT = 30, 25, 96, 64


def write_video(path: Path, codec: str = 'libx264', num_frames: int = NUM_FRAMES, seed: int = 0) -> None:
    """Noise that drifts: plenty of bytes in every frame, so that damage hits something."""
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH + 4 * num_frames, 3), np.uint8)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        for step in range(num_frames):
            frame = np.ascontiguousarray(noise[:, 4 * step : 4 * step + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())


def write_sound(path: Path) -> None:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=16000, layout='mono')
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format='fltp', layout='mono')
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('videos')
    write_video(folder / 'h264.mp4')
    write_video(folder / 'mpeg4.avi', 'mpeg4')
    write_video(folder / 'h264.mkv')
    return folder


@pytest.mark.parametrize('name', ['h264.mp4', 'mpeg4.avi', 'h264.mkv'])
def test_a_whole_file_is_described(videos, name):
    info = read_strictly(name, videos)
    stat = (videos / name).stat()
    expected = VideoInfo(
        path=name,
        readable=True,
        frames=NUM_FRAMES,
        fps=FPS,
        width=WIDTH,
        height=HEIGHT,
        size_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        sha256=list_sha256(videos / name),
        times=FPS,
        rotation=0,
        colour=[2, 0, 2, 2],
        key_frames={'h264.mp4': '0', 'mpeg4.avi': '0x30+1', 'h264.mkv': '0'}[name],
        has_b_frames=name != 'mpeg4.avi',
        readers=info.readers,
        seeking=info.seeking,
    )
    assert info == expected
    assert info.readers == {'pyav': True}
    assert len(SeekTable.from_text(info.seeking).frame_pts) == (0 if name == 'mpeg4.avi' else NUM_FRAMES)
    assert info.frame_times == FrameTimes.constant(NUM_FRAMES, FPS)


def zeroed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(2000) + data[middle + 2000 :]


def flipped(data: bytes) -> bytes:
    spoilt = bytearray(data)
    for place in range(len(data) // 4, len(data) * 3 // 4, 97):
        spoilt[place] ^= 0xFF
    return bytes(spoilt)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 6 // 10]


@pytest.mark.parametrize('damage', [zeroed, flipped, cut])
@pytest.mark.parametrize('name', ['h264.mp4', 'mpeg4.avi', 'h264.mkv'])
def test_damage_is_unreadable_with_a_reason(videos, tmp_path, name, damage):
    (tmp_path / name).write_bytes(damage((videos / name).read_bytes()))
    info = read_strictly(name, tmp_path)
    assert not info.readable
    assert info.reason
    assert str(tmp_path) not in info.reason
    assert (info.frames, info.sha256) == (0, list_sha256(tmp_path / name))


def test_the_second_of_two_files_cut_alike_is_found_too(videos, tmp_path):
    """FFmpeg logs a repeated message once, and for Matroska the log is the only sign."""
    for name in ('a.mkv', 'b.mkv'):
        (tmp_path / name).write_bytes(cut((videos / 'h264.mkv').read_bytes()))
        assert not read_strictly(name, tmp_path).readable


@pytest.mark.parametrize(
    'name, content, reason',
    [
        ('empty.mp4', b'', 'the file is empty'),
        ('page.mp4', b'<!DOCTYPE html><html><body>404 Not Found</body></html>' * 20, 'moov atom not found'),
        ('noise.mp4', bytes(range(256)) * 20, 'Invalid data'),
        ('absent.mp4', None, 'no such file'),
    ],
)
def test_what_is_no_video_is_unreadable(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    info = read_strictly(name, tmp_path)
    assert not info.readable
    assert reason in info.reason


def test_sound_pictures_and_playlists_are_no_videos(videos, tmp_path):
    write_sound(tmp_path / 'sound.mp4')
    assert read_strictly('sound.mp4', tmp_path).reason == 'no video stream (streams found: audio)'
    with av.open(str(tmp_path / 'picture.jpg'), 'w', format='mjpeg') as container:
        stream = container.add_stream('mjpeg', rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuvj420p'
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format='rgb24')))
        container.mux(stream.encode())
    (tmp_path / 'picture.jpg').rename(tmp_path / 'picture.mp4')
    assert 'no video file' in read_strictly('picture.mp4', tmp_path).reason
    (tmp_path / 'h264.mp4').symlink_to(videos / 'h264.mp4')
    (tmp_path / 'list.mp4').write_text('ffconcat version 1.0\nfile h264.mp4\n')
    assert 'no video file' in read_strictly('list.mp4', tmp_path).reason


def test_the_index_round_trips_and_is_sorted(videos, tmp_path):
    (videos / 'broken.mp4').write_bytes(b'broken')
    names = ['h264.mp4', 'broken.mp4', 'mpeg4.avi']
    built = build_index(videos, names, tmp_path / 'index.jsonl', workers=2, progress=False)
    loaded = load_index(tmp_path / 'index.jsonl')
    assert list(loaded) == sorted(names)
    assert loaded.videos == built.videos
    assert loaded.root == videos.resolve()
    assert [video.path for video in loaded.unreadable] == ['broken.mp4']
    assert os.listdir(tmp_path) == ['index.jsonl']
    header, *lines = (tmp_path / 'index.jsonl').read_text().splitlines()
    assert json.loads(header) == {'version': 2, 'root': str(videos.resolve())}
    assert len(lines) == 3


def test_an_index_above_its_videos_moves_with_them(tmp_path):
    here = tmp_path / 'here'
    (here / 'videos').mkdir(parents=True)
    write_video(here / 'videos' / 'a.mp4')
    build_index(here / 'videos', ['a.mp4'], here / 'index.jsonl', workers=1, progress=False)
    here.rename(tmp_path / 'there')
    assert load_index(tmp_path / 'there' / 'index.jsonl').root == (tmp_path / 'there' / 'videos').resolve()


def forge(index_file: Path, **changes) -> None:
    """Mark every entry, so that a test sees which were kept and which were read anew."""
    header, *lines = index_file.read_text().splitlines()
    forged = [json.dumps({**json.loads(line), **changes}) for line in lines]
    index_file.write_text('\n'.join([header, *forged]) + '\n')


def test_videos_may_lie_elsewhere_or_nowhere(videos, tmp_path):
    """A listed name and its file are two things; what has no file is said not to be there."""
    places = {'run/a.avi': 'h264.mp4', 'mpeg4.avi': 'mpeg4.avi'}
    index = build_index(videos, ['run/a.avi', 'mpeg4.avi', 'b.avi'], tmp_path / 'index.jsonl', 1, files=places)
    assert {path: (info.readable, info.file, info.reason) for path, info in index.items()} == {
        'run/a.avi': (True, 'h264.mp4', ''),
        'mpeg4.avi': (True, '', ''),
        'b.avi': (False, '', 'no such file'),
    }
    assert index['run/a.avi'].sha256 == list_sha256(videos / 'h264.mp4')
    assert load_index(tmp_path / 'index.jsonl').videos == index.videos
    moved = build_index(videos, ['run/a.avi'], tmp_path / 'index.jsonl', 1, files={'run/a.avi': 'h264.mkv'})
    assert moved['run/a.avi'].sha256 == list_sha256(videos / 'h264.mkv')  # another file is read anew


def test_a_second_run_reads_only_what_changed(tmp_path):
    for seed, name in enumerate(('a.mp4', 'b.mp4', 'c.mp4')):
        write_video(tmp_path / name, num_frames=5, seed=seed)
    out = tmp_path / 'index.jsonl'
    build_index(tmp_path, ['a.mp4', 'b.mp4', 'c.mp4'], out, workers=1, progress=False)
    forge(out, frames=999)
    write_video(tmp_path / 'b.mp4', num_frames=7, seed=9)
    index = build_index(tmp_path, ['a.mp4', 'b.mp4'], out, workers=1, progress=False)
    assert {path: video.frames for path, video in index.items()} == {'a.mp4': 999, 'b.mp4': 7}


def test_a_second_run_beside_the_first_is_refused(tmp_path):
    (tmp_path / 'a.mp4').write_bytes(b'')
    with (tmp_path / 'index.jsonl.partial').open('a') as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(DataError, match=f'Another process is reading the videos for {tmp_path}; wait'):
            build_index(tmp_path, ['a.mp4'], tmp_path / 'index.jsonl', workers=1)
    build_index(tmp_path, ['a.mp4'], tmp_path / 'index.jsonl', workers=1)
    assert not (tmp_path / 'index.jsonl.partial').exists()


def test_an_interrupted_run_goes_on(tmp_path):
    for seed, name in enumerate(('a.mp4', 'b.mp4')):
        write_video(tmp_path / name, num_frames=5, seed=seed)
    out, partial = tmp_path / 'index.jsonl', tmp_path / 'index.jsonl.partial'
    build_index(tmp_path, ['a.mp4'], out, workers=1, progress=False)
    forge(out, frames=999)
    partial.write_text(out.read_text() + '{"path": "b.mp4", "fra')  # as a kill leaves it
    out.unlink()
    index = build_index(tmp_path, ['a.mp4', 'b.mp4'], out, workers=1, progress=False)
    assert {path: video.frames for path, video in index.items()} == {'a.mp4': 999, 'b.mp4': 5}
    assert not partial.exists()
    assert load_index(out).videos == index.videos


def read_but_hang(job):
    """Stands for a decoder that hangs on one file."""
    if 'hangs' in job[0]:
        time.sleep(10**6)
    return index_module._read_job(job)


def test_a_video_on_which_its_decoder_hangs_is_unreadable_and_the_others_are_read(tmp_path, monkeypatch):
    paths = ['a.mp4', 'hangs.mp4', 'z.mp4']
    for path in paths:
        write_video(tmp_path / path, num_frames=5)
    monkeypatch.setenv('SIGMA_STUCK_SECONDS', '2')
    with monkeypatch.context() as context:
        context.setattr(index_module, '_read_job', read_but_hang)
        found = build_index(tmp_path, paths, tmp_path / 'index.jsonl', workers=2, progress=False)
    assert [video.path for video in found.unreadable] == ['hangs.mp4']
    assert 'the decoder hangs on it: no progress for' in found['hangs.mp4'].reason
    again = build_index(tmp_path, paths, tmp_path / 'index.jsonl', workers=2, progress=False)
    assert again['hangs.mp4'].readable  # it is tried again


def test_a_video_that_killed_its_decoder_is_read_again_next_time(tmp_path):
    write_video(tmp_path / 'a.mp4', num_frames=5)
    out = tmp_path / 'index.jsonl'
    good = build_index(tmp_path, ['a.mp4'], out, workers=1, progress=False)['a.mp4']
    died = replace(good, readable=False, frames=0, reason='the decoder process died on it (-9)')
    forge(out, **vars(died))
    assert build_index(tmp_path, ['a.mp4'], out, workers=1, progress=False)['a.mp4'] == good


@pytest.mark.parametrize(
    'text, message',
    [
        (None, 'No index at'),
        ('', 'is not an index'),
        ('path label\n', 'is not an index'),
        ('{"version": 1, "root": "."}\n{"path": "a.mp4"}\n', 'version 1.*prepare|Prepare'),
        ('{"version": 99, "root": "."}\n', 'version 99'),
        ('{"version": 2, "root": "."}\n{"path": "a.mp4"}\n{"path": "b.mp4", "frames', 'line 3'),
        ('{"version": 2, "root": "."}\n{"path": "a.mp4", "sound": 3}\n', 'line 2'),
    ],
)
def test_a_bad_index_is_refused_in_a_sentence(tmp_path, text, message):
    if text is not None:
        (tmp_path / 'index.jsonl').write_text(text)
    with pytest.raises(DataError, match=message):
        load_index(tmp_path / 'index.jsonl')


def test_lists_are_those_of_mmaction2(tmp_path):
    pairs = [('jump/a.mp4', 0), ('run/b.mp4', 12)]
    assert write_list(tmp_path / 'train.txt', pairs) == ' '
    assert (tmp_path / 'train.txt').read_bytes() == b'jump/a.mp4 0\nrun/b.mp4 12\n'
    assert read_list(tmp_path / 'train.txt') == pairs
    assert list_sha256(tmp_path / 'train.txt') == '5df9a4dbe2e4ffbd4baec854d87557ba1f3dd772d44f6025f885dd69a0f13f76'


def test_paths_with_white_space_are_divided_from_their_label_by_a_tab(tmp_path):
    pairs = [('high jump/a b.mp4', 0), ('run/b.mp4', 1)]
    assert write_list(tmp_path / 'train.txt', pairs) == '\t'
    assert (tmp_path / 'train.txt').read_bytes() == b'high jump/a b.mp4\t0\nrun/b.mp4\t1\n'
    assert read_list(tmp_path / 'train.txt') == read_list(tmp_path / 'train.txt', '\t') == pairs


def test_a_path_that_no_list_can_hold_is_refused(tmp_path):
    with pytest.raises(DataError, match="a tab in its name: rename it to 'a_b.mp4'"):
        write_list(tmp_path / 'train.txt', [('a\tb.mp4', 0)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('line', ['a.mp4', 'a b.mp4 1', 'a.mp4 jump', 'a.mp4 -1'])
def test_a_malformed_list_names_its_line(tmp_path, line):
    (tmp_path / 'train.txt').write_text(f'ok.mp4 0\n{line}\n')
    with pytest.raises(DataError, match='line 2'):
        read_list(tmp_path / 'train.txt')
    with pytest.raises(DataError, match='No list file'):
        read_list(tmp_path / 'absent.txt')
