"""Copies of videos: their size, key frames and content, and that nothing of the user's is overwritten."""

import av
import numpy as np
import pytest

from sigma.data.index import load_index
from sigma.datasets.reencode import Encoding, copy_name, reencode, reencode_video, small_size
from sigma.errors import DataError
from tests.conftest import assert_one_sentence, call_main
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
