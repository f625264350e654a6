"""Readers: the frame asked for is the frame got, for every kind of file, or the reader is not taken."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import av
import numpy as np
import pytest

from sigma.data.cards import load_dataset_card
from sigma.data.clips import VideoClips
from sigma.data.index import VideoInfo, build_index, read_strictly
from sigma.data.lists import list_sha256, write_list
from sigma.errors import DataError, DecodeError
from sigma.processes import ProcessDied
from sigma.video import (
    FrameTimes,
    Proof,
    PyAVReader,
    SeekTable,
    ToRGB,
    UnreadableVideo,
    frames_of,
    open_reader,
    prove,
    read_whole,
    reader_of,
)
from sigma.video.proof import is_right, places_to_try
from sigma.video.seeking import runs_of, values_of
from tests.sigma.video_files import MEDIA, SHARED, media, numbered

NUM_FRAMES, WIDTH, HEIGHT = 130, 64, 48

# name -> (encoder, options, GOP, B-frames); the suffix says the container.
WRITTEN = {
    'x264.mp4': ('libx264', {}, 12, 2),
    'x264.mkv': ('libx264', {}, 25, 2),
    'x264_b.avi': ('libx264', {}, 25, 2),
    'x264_open_gop.mp4': ('libx264', {'x264-params': 'open-gop=1'}, 25, 2),
    'x264.ts': ('libx264', {}, 25, 2),
    'x264.mts': ('libx264', {}, 25, 2),
    'x264.mov': ('libx264', {}, 250, 2),
    'raw.h264': ('libx264', {}, 25, 2),
    'mpeg4_b.avi': ('mpeg4', {}, 25, 2),
    'mpeg4.avi': ('mpeg4', {}, 25, 0),
    'hevc.mp4': ('libx265', {'x265-params': 'log-level=none'}, 25, 3),
    'mpeg2.mpg': ('mpeg2video', {}, 12, 2),
    'vp8.webm': ('libvpx', {'deadline': 'realtime', 'cpu-used': '8'}, 25, 0),
    'vp9.webm': ('libvpx-vp9', {'deadline': 'realtime', 'cpu-used': '8'}, 25, 0),
    'theora.ogv': ('libtheora', {}, 25, 0),
    'av1.mp4': ('libsvtav1', {'preset': '12'}, 25, 0),
    'jpeg.mp4': ('mjpeg', {}, 1, 0),
    'picture.gif': ('gif', {}, 25, 0),
}
OF_MEDIA = (
    'bframes_h264.avi', 'bframes_mpeg4.avi', 'bt709.mp4', 'cut_copy.mp4', 'g0.gif', 'h264.ts', 'h264_open_gop.mp4',
    'phone_rotated.mp4', 'rec.webm', 'trimmed_by_edit_list.mp4', 'vfr.mkv', 'vfr.mp4',
)  # fmt: skip
REAL = SHARED / 'data/real/codecs'


def images(num_frames: int = NUM_FRAMES, width: int = WIDTH, height: int = HEIGHT) -> Iterator[np.ndarray]:
    """Frames that all differ: a ramp that drifts, and a square that jumps."""
    for number in range(num_frames):
        image = np.empty((height, width, 3), np.uint8)
        image[...] = ((np.arange(width) * 3 + number * 2) % 200)[:, None]
        top, left = (number * 7) % (height - 12), (number * 11) % (width - 12)
        image[top : top + 12, left : left + 12] = (number * 37 % 256, 255 - number, 20)
        yield image


def write(path: Path, encoder: str, options: dict, gop: int, b_frames: int, num_frames: int = NUM_FRAMES) -> Path:
    """One file of `images`; skips the test if PyAV's FFmpeg cannot write it."""
    formats = {'.mts': 'mpegts', '.h264': 'h264', '.ogv': 'ogg'}
    try:
        with av.open(path, 'w', format=formats.get(path.suffix)) as file:
            stream = file.add_stream(encoder, rate=25, options=options)
            stream.width, stream.height = WIDTH, HEIGHT
            stream.pix_fmt = {'mjpeg': 'yuvj420p', 'gif': 'rgb8'}.get(encoder, 'yuv420p')
            stream.codec_context.gop_size = gop
            if b_frames:
                stream.codec_context.max_b_frames = b_frames
            for image in images(num_frames):
                frame = av.VideoFrame.from_ndarray(image, format='rgb24').reformat(format=stream.pix_fmt)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"PyAV's FFmpeg cannot write {path.name}: {error}")
    return path


def dataset(folder: Path, video: Path) -> Path:
    """A card with this one video."""
    (folder / video.name).symlink_to(video)
    write_list(folder / 'train.txt', [(video.name, 0)])
    sha = list_sha256(folder / 'train.txt')
    info = read_strictly(video.name, folder)
    assert info.readable, info.reason
    line = json.dumps(vars(info))
    (folder / 'index.jsonl').write_text('{"version": 2, "root": "."}\n' + line + '\n')
    (folder / 'dataset.py').write_text(
        "data_root = '{{ fileDirname }}'\n"
        "dataset_info = dict(name='one', classes=['a'], index='index.jsonl', delimiter=' ',\n"
        f"    splits=dict(train=dict(list='train.txt', sha256='{sha}', num_videos=1)))\n"
    )
    return folder


def clips_of(folder: Path, num_clips: int, decoder: str = 'proved') -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """(frame numbers, frames) of random clips, drawn and read as in the recipes."""
    pipeline = [
        {'type': 'sigma.OpenVideo', 'decoder': decoder},
        {'type': 'sigma.SampleDense', 'num_frames': 16, 'stride_frames': 4},
        {'type': 'sigma.DecodeFrames'},
    ]
    clips = VideoClips(str(folder), pipeline)
    for epoch in range(num_clips):
        sample = clips[epoch, 0]
        assert sample['failures'] == ''
        yield sample['frame_inds'], sample['imgs']


def wrong_clips(folder: Path, video: Path, num_clips: int = 40) -> int:
    """How many random clips hold a frame that is not the one asked for, bit by bit."""
    to_rgb = ToRGB()
    truth = [to_rgb(frame) for frame in frames_of(video)]
    return sum(
        not all(np.array_equal(image, truth[number]) for number, image in zip(numbers, found, strict=True))
        for numbers, found in clips_of(folder, num_clips)
    )


# --- the frame asked for is the frame got -------------------------------------------------------------------------


@pytest.mark.parametrize('name', WRITTEN)
def test_clips_of_written_files_hold_the_frames_asked_for(name, tmp_path):
    (tmp_path / 'data').mkdir()
    video = write(tmp_path / name, *WRITTEN[name])
    assert sum(1 for _ in frames_of(video)) == NUM_FRAMES
    assert wrong_clips(dataset(tmp_path / 'data', video), video) == 0


@pytest.mark.parametrize('name', OF_MEDIA)
def test_clips_of_the_cases_hold_the_frames_asked_for(name, tmp_path):
    video = media(name)
    assert wrong_clips(dataset(tmp_path, video), video) == 0


# Large files, of kinds that others here have too.
LONG = ('mmaction2__S001C001P001R001A001_rgb.avi', 'mmaction2__demo_skeleton.mp4', 'mmaction2__test.mp4')
REAL_FILES = [
    pytest.param(path.name, marks=pytest.mark.slow if path.name in LONG else pytest.mark.integration)
    for path in sorted(REAL.glob('*.*'))
    if path.suffix != '.md'
]


@pytest.mark.parametrize('name', REAL_FILES)
def test_clips_of_real_files_hold_the_frames_asked_for(name, tmp_path):
    assert wrong_clips(dataset(tmp_path, REAL / name), REAL / name) == 0


@pytest.mark.parametrize(
    'name', ['bframes_h264.avi', 'bframes_mpeg4.avi', 'h264.ts', 'h264_open_gop.mp4', 'trimmed_by_edit_list.mp4']
)
def test_frames_show_the_number_asked_for(name, tmp_path):
    """Beyond equality with the strict pass: each frame of these files tells its number."""
    video, number = media(name), numbered().number
    for numbers, found in clips_of(dataset(tmp_path, video), 5):
        first = 50 if name == 'trimmed_by_edit_list.mp4' else 0  # its edit list begins there
        assert [number(image) for image in found] == (numbers + first).tolist()


# --- what the index says ------------------------------------------------------------------------------------------


def test_cuts_by_edit_list_have_the_frames_that_are_shown():
    cut, trimmed = (read_strictly(name, MEDIA) for name in (media('cut_copy.mp4').name, 'trimmed_by_edit_list.mp4'))
    assert (cut.readable, cut.frames, cut.key_frames) == (True, 202, '17x4+50')
    assert (trimmed.readable, trimmed.frames, trimmed.reason) == (True, 100, '')


def test_the_index_knows_times_rotation_and_colours():
    rec, phone, red = (
        read_strictly(media(name).name, MEDIA) for name in ('rec.webm', 'phone_rotated.mp4', 'bt709.mp4')
    )
    assert (rec.frames, round(rec.frame_times.duration, 1)) == (150, 10.2)
    assert not rec.frame_times.is_constant
    assert (phone.rotation, phone.width, phone.height) == (90, 160, 96)
    assert red.colour == [1, 1, 1, 1]
    assert (red.has_b_frames, rec.has_b_frames) == (True, False)


@pytest.mark.parametrize(
    'name, proved',
    [
        ('bframes_h264.avi', False),
        ('bframes_mpeg4.avi', False),
        ('h264.ts', False),
        ('h264_open_gop.mp4', False),
        ('cut_copy.mp4', False),
        ('trimmed_by_edit_list.mp4', False),
        ('g0.gif', False),
        ('rec.webm', False),
        ('vfr.mp4', True),
        ('phone_rotated.mp4', True),
    ],
)
def test_the_proof_refuses_readers_that_return_other_frames(name, proved):
    info = read_strictly(media(name).name, MEDIA, readers=('pyav', 'decord'))
    assert info.readers['decord'] == proved
    assert ('decord' in info.proof.readers) == proved


def test_a_reader_that_was_not_proved_is_refused(tmp_path):
    """decord returns frames 155 to 191 where 201 to 245 of this file are asked for."""
    path = str(media('bframes_h264.avi'))
    info = read_strictly('bframes_h264.avi', MEDIA)
    assert reader_of(info.proof) == 'pyav'
    assert reader_of(info.proof, 'decord') is None
    with pytest.raises(DecodeError, match='decord'):
        open_reader(path, 'decord', info.proof)
    with pytest.raises(DecodeError, match='decord'):
        open_reader(path, 'decord')
    with pytest.raises(ValueError, match='opencv'):
        open_reader(path, 'opencv', info.proof)


def test_without_an_index_pyav_reads_from_the_start():
    assert reader_of(None) == reader_of(None, 'pyav') == 'pyav_from_start'
    reader = open_reader(str(media('h264_open_gop.mp4')))
    assert (type(reader), reader.num_frames) == (PyAVReader, 300)


def test_frames_that_change_size_are_unreadable(tmp_path):
    """Two H.264 streams of different sizes, one after the other."""
    parts = [write(tmp_path / f'{n}.h264', 'libx264', {}, 25, 0, num_frames=10) for n in range(2)]
    with av.open(parts[1], 'w', format='h264') as file:
        stream = file.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, 'yuv420p'
        for image in images(10, 96, 64):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        file.mux(stream.encode(None))
    joined = tmp_path / 'joined.h264'
    joined.write_bytes(parts[0].read_bytes() + parts[1].read_bytes())
    with pytest.raises(UnreadableVideo, match='64x48 to 96x64'):
        read_whole(joined)
    assert '64x48 to 96x64' in read_strictly('joined.h264', tmp_path).reason


def test_an_old_index_is_rebuilt_with_a_sentence(tmp_path, caplog):
    write(tmp_path / 'a.mp4', 'libx264', {}, 12, 0, num_frames=5)
    out = tmp_path / 'index.jsonl'
    out.write_text('{"version": 1, "root": "."}\n{"path": "a.mp4", "readable": true, "frames": 999}\n')
    index = build_index(tmp_path, ['a.mp4'], out, workers=1, progress=False)
    assert (index['a.mp4'].frames, index['a.mp4'].readers) == (5, {'pyav': True})
    assert 'version 1' in caplog.text
    caplog.clear()
    build_index(tmp_path, ['a.mp4'], out, workers=1, progress=False)
    assert caplog.text == ''


def test_a_reader_that_kills_its_process_does_not_make_a_file_unreadable(tmp_path, monkeypatch):
    write(tmp_path / 'a.mp4', 'libx264', {}, 12, 0, num_frames=5)

    def in_processes(read, jobs, workers, **_):
        for job in jobs:  # a reader other than PyAV crashes
            yield job, read(job) if job[3] == ('pyav',) else ProcessDied(-11)

    monkeypatch.setattr('sigma.data.index.in_processes', in_processes)
    monkeypatch.setenv('SIGMA_PROVE', 'decord')
    index = build_index(tmp_path, ['a.mp4'], tmp_path / 'index.jsonl', workers=1, progress=False)
    assert (index['a.mp4'].readable, index['a.mp4'].readers) == (True, {'pyav': True})


def test_the_index_gives_datasets_times_and_proofs(tmp_path):
    (tmp_path / 'data').mkdir()
    folder = dataset(tmp_path / 'data', write(tmp_path / 'a.mp4', 'libx264', {}, 12, 2))
    (entry,) = load_dataset_card(str(folder)).entries('train')
    assert entry['times'] == FrameTimes.constant(NUM_FRAMES, 25)
    assert (entry['proof'].num_frames, entry['proof'].readers[0]) == (NUM_FRAMES, 'pyav')
    by_hand = VideoInfo('a.mp4')
    assert (by_hand.frame_times, by_hand.proof) == (None, None)


# --- seeking ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'values, text',
    [
        ((), ''),
        ((5,), '5'),
        ((0, 12, 24), '0x3+12'),
        ((0, 12, 24, 25), '0x3+12,25'),
        ((-1024, -512, 0, 512), '-1024x4+512'),
        ((None, None, 3, 4), '?x2,3x2+1'),
        ((7, 7, 7), '7x3+0'),
        ((9, 5, 1, None), '9x3-4,?x1'),
    ],
)
def test_numbers_are_written_as_runs(values, text):
    assert runs_of(values) == text
    assert values_of(text) == values


@pytest.mark.parametrize('text', ['x', '1x', '1,,2', '1x2', '?+1'])
def test_what_is_no_run_is_refused(text):
    if text == '1x2':
        assert values_of(text) == (1, 1)
        return
    with pytest.raises(ValueError):
        values_of(text)


def test_a_seek_table_round_trips_and_groups_frames():
    table = SeekTable((0, 50, 100), ((0, -2), (500, 498), (1000, None)), tuple(range(0, 1500, 10)), False)
    assert SeekTable.from_text(table.to_text()) == table
    assert SeekTable.from_text(SeekTable((0,), ((None, 0),), (), True).to_text()) == SeekTable(
        (0,), ((None, 0),), (), True
    )
    assert [table.start_of(number) for number in (0, 49, 50, 99, 149)] == [None, None, 1, 1, 2]
    # A seek is worth it only over more than 8 frames.
    assert list(table.groups([3, 45, 51, 120, 121])) == [(None, [3, 45, 51]), (2, [120, 121])]


def test_a_table_that_does_not_fit_the_file_still_gives_the_right_frames(tmp_path):
    """The key frame is not where the table says: PyAV reads from the start."""
    video = write(tmp_path / 'a.mp4', 'libx264', {}, 12, 2)
    whole = read_whole(video)
    shifted = tuple((pts + 7, dts + 7) for pts, dts in whole.seeking.stamps)
    table = SeekTable(whole.seeking.numbers, shifted, whole.seeking.frame_pts, False)
    asked = np.array([100, 20, 101])
    found = PyAVReader(str(video), Proof(NUM_FRAMES, ('pyav',), table.to_text())).frames(asked)
    np.testing.assert_array_equal(found, PyAVReader(str(video)).frames(asked))


# --- the proof itself ---------------------------------------------------------------------------------------------


def test_the_proof_sees_a_neighbour(tmp_path):
    """A reader that is one frame off at one place is refused; rounding of converters is not."""
    pictures = list(images(4))
    rounding = [np.clip(picture.astype(int) + [1, -1, 0], 0, 255).astype(np.uint8) for picture in pictures]
    assert [is_right(picture, 2, pictures) for picture in rounding] == [False, False, True, False]
    assert is_right(pictures[0], 1, [pictures[0], pictures[0].copy()])  # a still video
    assert not is_right(pictures[0][:, :32], 0, pictures)
    assert not is_right((pictures[0] // 2 + 100), 0, pictures)  # other colours


def test_the_proof_fails_for_wrong_signatures(tmp_path):
    """What PyAV finds must be what the strict pass decoded."""
    video = write(tmp_path / 'a.mp4', 'libx264', {}, 12, 2)
    whole = read_whole(video)
    assert prove(video, whole, 'seed', ['pyav']).readers == ('pyav',)
    shifted = dataclasses.replace(whole, signatures=dict.fromkeys(whole.signatures, 1))
    assert prove(video, shifted, 'seed', ['pyav']) == Proof(NUM_FRAMES)


@pytest.mark.parametrize('gop', [12, 250])
def test_places_are_few_and_cheap(gop):
    keys = tuple(range(0, 300, gop))
    whole = SimpleNamespace(frames=300, width=320, height=240, key_frames=keys, signatures=dict.fromkeys(range(300), 0))
    table = SeekTable(keys, tuple((key, key) for key in keys), tuple(range(300)))
    for seed in range(20):
        places = places_to_try(whole, table, Random(seed))
        assert places == sorted(set(places))
        assert any(place in keys and place > 0 for place in places)
        cost = sum(group[-1] + 1 - (0 if start is None else keys[start]) for start, group in table.groups(places))
        assert cost <= 15  # 5 % of the file


def test_further_readers_are_proved_on_request(tmp_path, monkeypatch):
    """What was indexed before is read again, since its entry does not tell of them."""
    write(tmp_path / 'a.mp4', 'libx264', {}, 12, 2)
    write(tmp_path / 'b.avi', 'mpeg4', {}, 25, 2)
    names, out = ['a.mp4', 'b.avi'], tmp_path / 'index.jsonl'
    index = build_index(tmp_path, names, out, workers=1, progress=False)
    assert [index[name].readers for name in names] == [{'pyav': True}] * 2
    monkeypatch.setenv('SIGMA_PROVE', 'decord')
    index = build_index(tmp_path, names, out, workers=1, progress=False)
    assert [index[name].readers for name in names] == [{'pyav': True, 'decord': proved} for proved in (True, False)]
    assert [reader_of(index[name].proof, 'decord') for name in names] == ['decord', None]
    monkeypatch.setenv('SIGMA_PROVE', 'opencv')
    with pytest.raises(DataError, match="'opencv'"):
        build_index(tmp_path, names, out, workers=1, progress=False)
