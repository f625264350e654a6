"""Which way up frames are shown, and in which colours: as FFmpeg shows them."""

import struct

import numpy as np
import pytest

from sigma.video import Colour, ToRGB, Turn, open_video

from .video_files import media, numbered, picture, real, written


class Framed:
    """A frame with a display matrix, and nothing else."""

    def __init__(self, a: float, b: float, c: float, d: float) -> None:
        values = [a, b, 0, c, d, 0, 0, 0]
        self.side_data = {'DISPLAYMATRIX': struct.pack('=9i', *(round(v * 65536) for v in values), 1 << 30)}


CLIP = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    ('matrix', 'shown', 'rotation', 'mirrors'),
    [
        ((1, 0, 0, 1), [[0, 1, 2], [3, 4, 5]], 0, False),
        ((0, 1, -1, 0), [[3, 0], [4, 1], [5, 2]], 270, False),  # a phone held upright: a step to the right goes down
        ((-1, 0, 0, -1), [[5, 4, 3], [2, 1, 0]], 180, False),
        ((0, -1, 1, 0), [[2, 5], [1, 4], [0, 3]], 90, False),
        ((-1, 0, 0, 1), [[2, 1, 0], [5, 4, 3]], 0, True),
        ((1, 0, 0, -1), [[3, 4, 5], [0, 1, 2]], 180, True),
        ((0, 1, 1, 0), [[0, 3], [1, 4], [2, 5]], 270, True),
        ((0.999, 0.04, -0.04, 0.999), [[0, 1, 2], [3, 4, 5]], 0, False),
    ],
)
def test_display_matrices(matrix, shown, rotation, mirrors):
    turn = Turn.of(Framed(*matrix))
    assert turn.apply(CLIP).tolist() == shown
    assert (turn.rotation, turn.mirrors, bool(turn)) == (rotation, mirrors, shown != CLIP.tolist())
    assert turn.size(3, 2) == np.array(shown).shape[::-1]


@pytest.mark.parametrize('degrees', [0, 90, 180, 270])
def test_written_rotations(tmp_path, degrees):
    path = written(tmp_path / 'turned.mp4', rotation=degrees)
    with open_video(path) as video:
        assert video.rotation == degrees
        to_rgb = ToRGB()
        frames = [to_rgb(frame) for frame in video.frames()]
    assert len(frames) == 20
    for number, frame in enumerate(frames):
        wanted = np.rot90(picture(number), degrees // 90)
        assert frame.shape == wanted.shape
        assert frame.flags.c_contiguous
        assert np.abs(frame.astype(int) - wanted).mean() < 3


def test_a_phone_video_stands_upright():
    told = numbered()
    with open_video(media('phone_rotated.mp4')) as video:
        assert video.rotation == 90
        frames = list(map(ToRGB(), video.frames()))
    assert {frame.shape for frame in frames} == {(96, 160, 3)}
    assert [told.number(frame) for frame in frames] == list(range(50))
    assert {told.corner(frame) for frame in frames} == {'tl'}


@pytest.mark.parametrize('name', ['cut_copy.mp4', 'trimmed_by_edit_list.mp4'])
def test_what_an_edit_list_leaves_out_is_not_shown(name):
    told = numbered()
    shown = {
        'cut_copy.mp4': [*range(33, 234), 236],  # cut in coding order, so two of the last frames are gone
        'trimmed_by_edit_list.mp4': list(range(50, 150)),
    }[name]
    for threads in (1, None):
        with open_video(media(name), threads=threads) as video:
            numbers = [told.number(frame) for frame in map(ToRGB(), video.frames())]
        assert numbers == shown


@pytest.mark.parametrize(
    ('matrix', 'full_range'), [(1, False), (1, True), (5, False), (5, True), (9, False), (2, False)]
)
@pytest.mark.parametrize('pixel_format', ['yuv420p', 'yuv420p10le'])
def test_matrix_and_range_are_honoured(tmp_path, matrix, full_range, pixel_format):
    path = written(tmp_path / 'a.mp4', matrix=matrix, full_range=full_range, pixel_format=pixel_format, num_frames=2)
    with open_video(path) as video:
        colour = video.colour
        shown = ToRGB()(next(video.frames()))
    assert colour.matrix == matrix
    assert colour.range == (2 if full_range else 1 if matrix != 2 else 0)
    wanted = picture(0)
    for row in (8, 36):
        for column in (8, 50):
            assert np.abs(shown[row, column].astype(int) - wanted[row, column]).max() <= 3


def test_tags_of_the_cases():
    for path, colour in (
        (media('bt709.mp4'), Colour(1, 1, 1, 1)),
        (media('rec.webm'), Colour(5, 1, 2, 2)),
        (real('torchcodec__bt709_full_range.mp4'), Colour(1, 2, 1, 1)),
        (real('torchcodec__h264_10bits.mp4'), Colour()),
    ):
        with open_video(path) as video:
            assert video.colour == colour
    with open_video(media('bt709.mp4')) as video:
        assert ToRGB()(video.first)[10, 10].tolist() == [229, 19, 20]
