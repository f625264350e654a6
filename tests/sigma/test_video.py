"""sigma/video: the one room that touches PyAV and decord; what it writes, it reads back."""

import ast
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sigma.errors import DecodeError
from sigma.video import (
    H264,
    READERS,
    Jpeg,
    UnreadableVideo,
    VideoWriter,
    exact_rate,
    frames_of,
    installed_readers,
    open_video,
    picture_type,
    read_whole,
    write_frames,
)

ROOT = Path(__file__).resolve().parents[2]
# It codes packets without a file around them, and damages them.
EXCEPTIONS = {'eval/corruptions/codec.py'}


@pytest.fixture(scope='module')
def frames() -> np.ndarray:
    """(30, 48, 64, 3): a bright square that moves to the right."""
    clip = np.full((30, 48, 64, 3), 40, np.uint8)
    for number, frame in enumerate(clip):
        frame[16:32, number : number + 16] = 200
    return clip


@pytest.fixture(scope='module')
def video(frames, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('video') / 'square.mp4'
    write_frames(path, frames, Fraction(30000, 1001), H264(gop=10, quantiser=4))
    return path


def test_only_this_room_touches_the_video_libraries():
    users = set()
    for folder in ('sigma', 'eval', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ''] if isinstance(node, ast.ImportFrom) else []
                touches = {name.split('.')[0] for name in names} & {'av', 'decord', 'torchcodec', 'imageio'}
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ''
                if touches or called in {'cv2.VideoCapture', 'cv2.VideoWriter'} or 'torchvision.io' in names:
                    users.add(path.relative_to(ROOT).as_posix())
    assert {user for user in users if not user.startswith('sigma/video/')} == EXCEPTIONS


def test_what_is_written_is_read_back(video, frames):
    whole = read_whole(video)
    assert (whole.frames, whole.width, whole.height) == (30, 64, 48)
    assert whole.fps == pytest.approx(30000 / 1001, abs=1e-5)
    with open_video(video) as opened:
        assert (opened.codec, opened.stated_frames) == ('h264', 30)
        kinds = [picture_type(frame) for frame in opened.frames()]
    assert [number for number, kind in enumerate(kinds) if kind == 'I'] == [0, 10, 20]
    assert 'B' not in kinds
    for name in installed_readers():
        opened = READERS[name](str(video))
        assert opened.num_frames == 30
        asked = np.array([29, 3, 3, 12])
        assert np.abs(opened.frames(asked).astype(int) - frames[asked]).mean() < 2


def test_equal_frames_give_equal_bytes_and_decoded_frames_are_resized(video, frames):
    first, second = io.BytesIO(), io.BytesIO()
    write_frames(first, frames, 25, H264(bitexact=True))
    write_frames(second, frames, 25, H264(bitexact=True))
    assert first.getvalue() == second.getvalue()
    small = video.with_name('small.mp4')
    with VideoWriter(small, (32, 24), 25, Jpeg()) as writer:
        for frame in frames_of(video):
            writer.write(frame)
    assert writer.num_sent == writer.num_written == 30
    assert (read_whole(small).width, read_whole(small).height, read_whole(small).fps) == (32, 24, 25)
    assert {picture_type(frame) for frame in frames_of(small)} == {'I'}


def test_rates_are_exact_fractions():
    assert exact_rate(30000 / 1001) == Fraction(30000, 1001)
    assert exact_rate(25) == 25


def test_faults_name_the_file_and_the_reason(video, tmp_path):
    absent, broken, playlist = tmp_path / 'absent.mp4', tmp_path / 'broken.mp4', tmp_path / 'list.mp4'
    with pytest.raises(DecodeError, match=r'absent\.mp4: .*No such file'), open_video(absent):
        pass
    broken.write_bytes(video.read_bytes()[:200])
    with pytest.raises(DecodeError, match=r'broken\.mp4'), open_video(broken):
        pass
    with pytest.raises(UnreadableVideo):
        read_whole(broken)
    playlist.write_text('#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://localhost:9/x.ts\n#EXT-X-ENDLIST\n')
    with pytest.raises(DecodeError), open_video(playlist):  # refused, or a list of nothing; never a connection
        pass


def test_damage_raises_when_strict(tmp_path):
    damaged = tmp_path / 'damaged.mp4'
    noise = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), dtype=np.uint8)
    write_frames(damaged, noise, 25, H264())
    data = bytearray(damaged.read_bytes())
    middle = data.find(b'mdat') + 20_000
    data[middle : middle + 8000] = bytes(8000)
    assert middle + 8000 < data.find(b'moov')
    damaged.write_bytes(data)
    with pytest.raises(DecodeError, match='damaged.mp4: PyAV cannot decode it'):
        list(frames_of(damaged))
    with pytest.raises(UnreadableVideo, match=r'after \d+ frames'):
        read_whole(damaged)
