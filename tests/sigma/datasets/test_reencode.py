"""Copies of videos: their size, key frames and content, and that nothing of the user's is overwritten."""

import av
import cv2
import numpy as np
import pytest

from sigma.data.index import load_index
from sigma.datasets.reencode import Encoding, copy_name, reencode, reencode_video, small_size
from sigma.errors import DataError
from sigma.video import FrameTimes, ToRGB, frame_times, frames_of, open_video
from tests.conftest import assert_one_sentence, call_main
from tests.sigma.video_files import media, numbered, picture, real, written
from tools import prepare

NUM_FRAMES = 40


def ramp(number: int) -> np.ndarray:
    """A frame (96, 160, 3) whose gray rises by 5 a frame, so that every frame can be told."""
    return np.full((96, 160, 3), 20 + 5 * number, np.uint8)


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Folder with two good videos and one that ends early."""
    root = tmp_path_factory.mktemp('src')
    for name in ('a.mp4', 'b/c d.mkv'):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        write(path, (ramp(i) for i in range(NUM_FRAMES)))
    (root / 'cut.mp4').write_bytes((root / 'a.mp4').read_bytes()[:-500])
    return root


def write(path, frames, gop=250) -> None:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 96, 'yuv420p'
        stream.codec_context.gop_size = gop
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def read(path) -> tuple[list[int], list[np.ndarray], float]:
    """Numbers of the key frames, frames, and frames a second."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        rate = float(container.streams.video[0].average_rate)
    return [i for i, f in enumerate(frames) if f.key_frame], [f.to_ndarray(format='rgb24') for f in frames], rate


@pytest.mark.parametrize(
    ('size', 'short_side', 'expected'),
    [
        ((1280, 720), 256, (456, 256)),
        ((720, 1280), 256, (256, 456)),
        ((340, 256), 256, (340, 256)),
        ((320, 240), 256, (320, 240)),  # never larger
        ((161, 97), 96, (160, 96)),
        ((101, 75), 256, (100, 76)),  # even
    ],
)
def test_sizes_known_by_hand(size, short_side, expected):
    assert small_size(*size, short_side) == expected


def test_a_copy_has_the_frames_of_its_source_small_and_with_key_frames(videos, tmp_path):
    assert reencode_video(videos / 'a.mp4', tmp_path / 'a.mp4', Encoding(64, gop=12)) == ''
    keys, frames, rate = read(tmp_path / 'a.mp4')
    assert keys == [0, 12, 24, 36]
    assert rate == 30
    assert [frame.shape for frame in frames] == [(64, 106, 3)] * NUM_FRAMES
    for number, frame in enumerate(frames):  # in order, each of its own gray
        assert abs(float(frame.mean()) - (20 + 5 * number)) < 2
    assert [path.name for path in tmp_path.iterdir()] == ['a.mp4']  # nothing temporary is left


@pytest.mark.parametrize('decoder', ['pyav', 'decord'])
def test_a_jpeg_cache_is_read_frame_by_frame_by_every_decoder(videos, tmp_path, decoder):
    from sigma.video import READERS

    line = ('reencode', videos / 'b', '--out', tmp_path / 'out', '--short-side', 64, '--codec', 'jpeg', '--workers', 1)
    assert prepare.main([str(part) for part in line]) == 0
    keys, frames, rate = read(tmp_path / 'out' / 'c d.mp4')
    assert (len(keys), rate) == (NUM_FRAMES, 30)  # every frame is a key frame
    for number, frame in enumerate(frames):
        # Conversions on the way darken by up to 2.4; a range taken for another would be 12 off at the last frame.
        assert abs(float(frame.mean()) - (20 + 5 * number)) < 2.5
    asked = np.array([37, 2, 2, 11])
    found = READERS[decoder](str(tmp_path / 'out' / 'c d.mp4')).frames(asked)
    assert [round((float(np.asarray(f).mean()) - 20) / 5) for f in found] == asked.tolist()
    assert '"codec": "jpeg"' in (tmp_path / 'out' / 'encoding.json').read_text()


def test_the_command_copies_indexes_and_names_what_is_bad(videos, tmp_path, capsys):
    out = tmp_path / 'small'
    before = {path: path.read_bytes() for path in videos.rglob('*.m*')}
    line = ('reencode', videos, '--out', out, '--short-side', 64, '--gop', 8, '--workers', 1)
    done = call_main(prepare.main, capsys, *line)
    assert done.returncode == 1
    assert 'not re-encoded: cut.mp4: ' in done.stdout
    assert '2 of 3 videos have a copy' in done.stdout
    assert f'tools/prepare.py folder {out} --out FOLDER' in done.stdout
    assert '1 of 3 videos could not be re-encoded' in done.stderr
    index = load_index(out / 'index.jsonl')
    assert {name: (v.readable, v.frames, v.width, v.height) for name, v in index.items()} == {
        'a.mp4': (True, NUM_FRAMES, 106, 64),
        'b/c d.mp4': (True, NUM_FRAMES, 106, 64),
    }
    assert {path: path.read_bytes() for path in videos.rglob('*.m*')} == before
    # Again: what is there stays, what is missing is made.
    (out / 'b' / 'c d.mp4').unlink()
    times = (out / 'a.mp4').stat().st_mtime_ns
    assert call_main(prepare.main, capsys, *line, '--allow-unreadable').returncode == 0
    assert (out / 'a.mp4').stat().st_mtime_ns == times
    assert (out / 'b' / 'c d.mp4').is_file()
    other = call_main(prepare.main, capsys, *line[:-3], 9)
    assert_one_sentence(other, 'encoding.json', '"gop": 8', 'a new folder')


def test_what_is_there_is_not_overwritten_and_a_torn_copy_is_made_anew(videos, tmp_path):
    (tmp_path / 'a.mp4').write_bytes(b'mine')
    (tmp_path / 'b').mkdir()
    (tmp_path / 'b' / '.c d.mp4.tmp').write_bytes(b'half of a killed run')
    assert reencode(videos, ['a.mp4', 'b/c d.mkv'], tmp_path, Encoding(64), workers=1, progress=False) == {}
    assert (tmp_path / 'a.mp4').read_bytes() == b'mine'
    assert [path.name for path in (tmp_path / 'b').iterdir()] == ['c d.mp4']
    assert (tmp_path / 'encoding.json').read_text() == '{"short_side": 64, "gop": 12, "quality": 20}'
    assert reencode_video(videos / 'a.mp4', tmp_path / 'a.mp4', Encoding(64)) == ''  # came to lie there meanwhile
    assert (tmp_path / 'a.mp4').read_bytes() == b'mine'


@pytest.mark.parametrize(
    'asked', [{'short_side': 10}, {'gop': 0}, {'quality': 60}, {'codec': 'vp9'}, {'gop': 12, 'codec': 'jpeg'}]
)
def test_settings_without_meaning_are_refused(asked):
    with pytest.raises(DataError, match=f'{next(iter(asked.values()))}'):
        Encoding(**asked)


def test_folders_in_one_another_and_two_sources_of_one_copy_are_refused(videos, tmp_path):
    for out in (videos, videos / 'small', videos.parent):
        with pytest.raises(DataError, match='contains the other'):
            reencode(videos, ['a.mp4'], out, Encoding())
    assert copy_name('x/y.webm') == 'x/y.mp4'
    with pytest.raises(DataError, match=r'a\.mp4 and a\.avi would have the same copy'):
        reencode(videos, ['a.mp4', 'a.avi'], tmp_path / 'out', Encoding())


@pytest.mark.parametrize(
    ('line', 'words'),
    [
        (('absent', '--out', 'out'), ("'absent'", 'not a folder')),
        (('EMPTY', '--out', 'out'), ('no video',)),
        (('SRC', '--out', 'out', '--short-side', 8), ('--short-side 8',)),
    ],
)
def test_bad_input_is_one_sentence(videos, tmp_path, capsys, monkeypatch, line, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    line = [{'SRC': videos, 'EMPTY': tmp_path / 'empty'}.get(word, word) for word in line]
    assert_one_sentence(call_main(prepare.main, capsys, 'reencode', *line), *words)


CORNERS = [(8, 8), (8, 56), (40, 8)]  # red, green, blue in `picture`; away from the edges between them


def corners_of(frame: np.ndarray, turns: int = 0) -> np.ndarray:
    """(3, 3) the colours of three corners of a frame of 64x48, which was turned by 90 degrees as often as said."""
    upright = np.rot90(frame, -turns)
    return np.array([upright[place] for place in CORNERS]).astype(int)


@pytest.mark.parametrize('codec', ['h264', 'jpeg'])
@pytest.mark.parametrize('degrees', [90, 180, 270])
def test_copies_of_turned_videos_stand_upright(tmp_path, degrees, codec):
    source = written(tmp_path / 'a.mp4', rotation=degrees, num_frames=6)
    assert reencode_video(source, tmp_path / 'copy.mp4', Encoding.of(codec, 64)) == ''
    with open_video(tmp_path / 'copy.mp4') as video:
        assert not video.turn
        frames = list(map(ToRGB(), video.frames()))
    assert {frame.shape for frame in frames} == {(48, 64, 3) if degrees == 180 else (64, 48, 3)}
    for number, frame in enumerate(frames):
        off = corners_of(frame, degrees // 90) - corners_of(picture(number))
        assert np.abs(off).max() <= (3 if codec == 'h264' else 5)
        lowest = np.rot90(frame, -degrees // 90)[40, 56].mean()  # the grey that tells the number
        assert round((lowest - 40) / 5) == number


@pytest.mark.parametrize('codec', ['h264', 'jpeg'])
@pytest.mark.parametrize('pixel_format', ['yuv420p', 'yuv444p', 'yuv420p10le'])
@pytest.mark.parametrize(('matrix', 'full_range'), [(2, False), (1, False), (1, True), (5, True), (9, False)])
def test_copies_have_the_colours_of_their_source_and_its_tags(tmp_path, matrix, full_range, pixel_format, codec):
    source = written(tmp_path / 'a.mp4', matrix=matrix, full_range=full_range, pixel_format=pixel_format, num_frames=3)
    assert reencode_video(source, tmp_path / 'copy.mp4', Encoding.of(codec, 64, quality=2)) == ''
    with open_video(source) as video, open_video(tmp_path / 'copy.mp4') as copy:
        if codec == 'h264':
            assert copy.colour == video.colour
        else:
            assert copy.colour.shown == (5, 2)
        shown, found = ToRGB()(video.first), ToRGB()(copy.first)
    assert np.abs(corners_of(shown) - corners_of(picture(0))).max() <= 3
    assert np.abs(corners_of(found) - corners_of(shown)).max() <= 3


def test_a_copy_keeps_the_time_of_every_frame(tmp_path):
    ticks = [0, 40, 80, 80, 400, 440, 1200]
    source = written(tmp_path / 'a.mkv', milliseconds=[tick + (n == 3) for n, tick in enumerate(ticks)])
    for codec in ('h264', 'jpeg'):
        copy = tmp_path / f'{codec}.mp4'
        assert reencode_video(source, copy, Encoding.of(codec, 64)) == ''
        assert frame_times(copy) == frame_times(source) == FrameTimes.listed([0, 0.04, 0.08, 0.081, 0.4, 0.44, 1.2])


@pytest.mark.parametrize(('name', 'num_frames', 'seconds'), [('rec.webm', 150, 10.2), ('vfr.mkv', 80, 4.8)])
def test_recordings_of_a_browser_and_a_phone_keep_their_length(tmp_path, name, num_frames, seconds):
    source, told = media(name), numbered()
    assert reencode_video(source, tmp_path / 'copy.mp4', Encoding(96, quality=4)) == ''
    times = frame_times(tmp_path / 'copy.mp4')
    assert (times.num_frames, round(times.duration, 1)) == (num_frames, seconds)
    assert times == frame_times(source)
    found, shown = (list(map(told.number, map(ToRGB(), frames_of(path)))) for path in (tmp_path / 'copy.mp4', source))
    assert found == shown


def test_a_copy_of_a_phone_video_stands_upright(tmp_path):
    told = numbered()
    assert reencode_video(media('phone_rotated.mp4'), tmp_path / 'copy.mp4', Encoding(96, quality=4)) == ''
    with open_video(tmp_path / 'copy.mp4') as video:
        frames = list(map(ToRGB(), video.frames()))
    assert {frame.shape for frame in frames} == {(96, 160, 3)}
    assert [told.number(frame) for frame in frames] == list(range(50))
    assert {told.corner(frame) for frame in frames} == {'tl'}


@pytest.mark.parametrize(
    ('path', 'place', 'colour'),
    [
        (media, 'bt709.mp4', [229, 19, 20]),
        (real, 'torchcodec__bt709_full_range.mp4', None),
        (real, 'torchcodec__h264_10bits.mp4', None),
        (real, 'torchcodec__h265_10bits.mp4', None),
    ],
)
def test_colours_of_real_files(tmp_path, path, place, colour):
    source = path(place)
    assert reencode_video(source, tmp_path / 'copy.mp4', Encoding(200, quality=4)) == ''
    with open_video(source) as video, open_video(tmp_path / 'copy.mp4') as copy:
        shown, found = ToRGB()(video.first).astype(int), ToRGB()(copy.first).astype(int)
        assert copy.colour.shown == video.colour.shown
    shown = cv2.resize(shown.astype(np.uint8), found.shape[1::-1], interpolation=cv2.INTER_AREA).astype(int)
    if colour:
        assert np.abs(found[10, 10] - colour).max() <= 3
    flat = np.ones(shown.shape[:2], bool)  # edges of colours differ by how chroma is interpolated
    for shift in (-2, -1, 1, 2):
        for axis in (0, 1):
            flat &= np.abs(np.roll(shown, shift, axis) - shown).max(axis=-1) <= 4
    assert flat.mean() > 0.02
    assert np.abs(found - shown).max(axis=-1)[flat].mean() <= 1.5
    assert np.abs((found - shown)[flat].mean(axis=0)).max() <= 1
