"""FrameTimes: answers worked out by hand, and the times of real and written files."""

import pickle
from fractions import Fraction

import numpy as np
import pytest

from sigma.errors import DecodeError
from sigma.video import FrameTimes, frame_times, open_video, times_of

from .video_files import media, written


def test_a_constant_rate():
    times = FrameTimes.constant(10, 25)
    assert (times.num_frames, times.fps, times.duration, times.is_constant) == (10, 25, 0.4, True)
    assert times.seconds(3) == 0.12
    assert times.seconds([0, 9, 10]).tolist() == [0, 0.36, 0.4]
    assert times.frame_at([-1, 0, 0.0399, 0.04, 0.36, 9]).tolist() == [0, 0, 0, 1, 9, 9]
    assert times.frame_at(0.12) == 3
    assert times.frames_between(0.04, 0.12) == range(1, 3)
    assert times.frames_between(0.05, 0.13) == range(1, 3)  # to the nearest borders: 0.04 and 0.12
    assert times.frames_between(0.07, 0.09) == range(2, 2)
    assert times.frames_between(-5, 50) == range(10)
    assert times.frames_between(0.29, 0.1) == range(7, 7)
    assert times.section(2, 4) == FrameTimes.constant(3, 25)


def test_listed_times():
    # Shown from:                 0    1    2    3    4    to the end
    times = FrameTimes.listed([2.0, 2.1, 2.2, 2.9, 3.0], 3.2)
    assert (times.num_frames, times.fps, times.duration, times.is_constant) == (5, 5 / 1.2, 1.2, False)
    assert times.seconds(range(6)).tolist() == [0, 0.1, 0.2, 0.9, 1.0, 1.2]
    assert times.frame_at([-1, 0.0, 0.0999, 0.1, 0.5, 0.9, 1.1, 7]).tolist() == [0, 0, 0, 1, 2, 3, 4, 4]
    assert times.frames_between(0.1, 0.9) == range(1, 3)
    assert times.frames_between(0.5, 0.6) == range(2, 3)  # the middle of frame 2 is 0.55
    assert times.frames_between(0.6, 0.8) == range(3, 3)
    assert times.section(1, 3).seconds(range(4)).tolist() == [0, 0.1, 0.8, 0.9]
    assert FrameTimes.listed([0, 0.1, 0.2, 0.8]).duration == 0.9  # the last one lasts as long as the middle one
    assert FrameTimes.listed([0, 0.5, 0.5, 0.6]).frame_at(0.5) == 2  # the later of two at once is what is seen
    assert FrameTimes.listed([4.0]).duration == 0.04


def test_places_between_frames():
    steady = FrameTimes.constant(10, 25)
    assert steady.seconds_at([-1, 2.5, 12]).tolist() == pytest.approx([-0.04, 0.1, 0.48])
    assert steady.places_at([-0.04, 0.1, 0.48]).tolist() == pytest.approx([-1, 2.5, 12])
    uneven = FrameTimes.listed([0, 0.1, 0.2, 0.9, 1.0], 1.2)  # 5 frames in 1.2 s
    assert uneven.seconds_at([0, 0.5, 2.5, 5, -5, 10]).tolist() == pytest.approx([0, 0.05, 0.55, 1.2, -1.2, 2.4])
    assert uneven.places_at([0, 0.05, 0.55, 1.2, -1.2, 2.4]).tolist() == pytest.approx([0, 0.5, 2.5, 5, -5, 10])


def test_times_of_an_entry():
    times = FrameTimes.listed([0, 0.1, 0.5])
    assert times_of({'times': times, 'fps': 3.0, 'total_frames': 3}) is times
    assert times_of({'times': times, 'fps': 0.0, 'total_frames': 3}) is None
    assert times_of({'times': None, 'fps': 25.0, 'total_frames': 3}) == FrameTimes.constant(3, 25)
    assert times_of({'fps': 25.0, 'total_frames': 3}) == FrameTimes.constant(3, 25)
    assert (
        times_of({'fps': None, 'total_frames': 3}) is times_of({'fps': 0.0, 'total_frames': 3}) is times_of({}) is None
    )


def test_wrong_numbers_are_refused():
    for bad in (lambda: FrameTimes.constant(0, 25), lambda: FrameTimes.constant(5, 0), lambda: FrameTimes.listed([])):
        with pytest.raises(ValueError, match='at least one'):
            bad()
    with pytest.raises(ValueError, match='decrease'):
        FrameTimes.listed([0, 0.2, 0.1])
    times = FrameTimes.constant(10, 25)
    for wrong in (-1, 11, [0, 11]):
        with pytest.raises(IndexError, match='10'):
            times.seconds(wrong)
    with pytest.raises(IndexError):
        times.section(3, 10)
    for value in ([0, 1], 0, [5] * 11):
        with pytest.raises(ValueError):
            FrameTimes.from_json(value, 10)


def test_stored_and_sent():
    for times, value in (
        (FrameTimes.constant(300, 30000 / 1001), 29.97003),
        (FrameTimes.listed([0, 0.04, 0.2], 0.25), [0, 40, 200, 250]),
    ):
        assert times.to_json() == value
        assert FrameTimes.from_json(value, times.num_frames) == times
        assert pickle.loads(pickle.dumps(times)) == times
    assert FrameTimes.constant(3, 25) != FrameTimes.constant(4, 25)
    assert FrameTimes.constant(3, 25) != FrameTimes.listed([0, 0.04, 0.09])


def test_timestamps_decide_over_the_stated_rate():
    def measured(pts, dts=None, base=Fraction(1, 1000), stated=25.0, last=0):
        return FrameTimes.measured(pts, dts or [None] * len(pts), base, stated, last)

    assert measured([100, 140, 180, 220]) == FrameTimes.constant(4, 25)
    assert measured([0, 33, 67, 100, 133, 167], stated=30000 / 1001).fps == 29.97003  # rounded to a millisecond
    assert measured([0, 33, 67, 100, 133, 167], stated=1000).fps == pytest.approx(29.94, abs=0.01)
    assert measured([0, 40, 80, 240]).to_json() == [0, 40, 80, 240, 280]  # a frame was dropped
    assert measured([0, 40, 80, 240], last=100).to_json() == [0, 40, 80, 240, 340]
    assert measured([0, 40, 80, 240], last=1).to_json() == [0, 40, 80, 240, 280]  # shorter than any: not believed
    assert measured([0, None, 80, None]) == FrameTimes.constant(4, 25)
    assert measured([0, 40, 40, 80], stated=0).to_json() == [0, 40, 40, 80, 120]
    # AVI: only decoding times, the last of which are unknown.
    ticks = Fraction(1, 25)
    assert measured([1, 2, 4, 3], [2, 3, None, None], ticks) == FrameTimes.constant(4, 25)
    assert measured([1, 2, 4, 3, 7], [2, 3, 4, 7, None], ticks).to_json() == [0, 40, 80, 200, 240, 280]
    # Nothing at all.
    assert measured([None] * 4, base=Fraction(1, 1200000), stated=50) == FrameTimes.constant(4, 50)
    assert measured([None] * 4, stated=0) == FrameTimes.constant(4, 25)
    assert measured([7], stated=30) == FrameTimes.constant(1, 30)


def test_times_of_written_files(tmp_path):
    steady = written(tmp_path / 'steady.mkv', rate=Fraction(30000, 1001), num_frames=40)
    assert frame_times(steady) == FrameTimes.constant(40, 30000 / 1001)
    ticks = [0, 40, 80, 120, 400, 440, 700]
    uneven = written(tmp_path / 'uneven.mkv', milliseconds=ticks)
    assert frame_times(uneven).seconds(range(7)).tolist() == [tick / 1000 for tick in ticks]
    with open_video(uneven) as video:
        assert [video.seconds(frame) for frame in video.frames()] == [tick / 1000 for tick in ticks]
    avi = written(tmp_path / 'b.avi', encoder='mpeg4', b_frames=2, num_frames=40)
    assert frame_times(avi) == FrameTimes.constant(40, 25)
    (tmp_path / 'none.mp4').write_bytes(b'no video')
    with pytest.raises(DecodeError, match='none.mp4'):
        frame_times(tmp_path / 'none.mp4')


@pytest.mark.parametrize(
    ('name', 'num_frames', 'fps', 'duration'),
    [
        ('rec.webm', 150, 14.726, 10.186),
        ('vfr.mp4', 80, 16.667, 4.8),
        ('vfr.mkv', 80, 16.667, 4.8),
        ('bframes_h264.avi', 300, 25, 12),
        ('bframes_mpeg4.avi', 300, 25, 12),
        ('h264.ts', 300, 25, 12),
        ('g0.gif', 30, 25, 1.2),
        ('cut_copy.mp4', 202, 24.755, 8.16),  # as FFmpeg: two frames near the end of its last group are missing
        ('trimmed_by_edit_list.mp4', 100, 25, 4),
    ],
)
def test_times_of_the_cases(name, num_frames, fps, duration):
    times = frame_times(media(name))
    assert (times.num_frames, round(times.fps, 3), times.duration) == (num_frames, fps, duration)


def test_the_two_recordings_of_one_scene_have_the_same_times():
    mp4, mkv = frame_times(media('vfr.mp4')), frame_times(media('vfr.mkv'))
    assert mp4 == mkv
    assert mp4.seconds([38, 40, 41, 49, 50]).tolist() == [1.52, 1.6, 1.8, 3.4, 3.6]
    assert mp4.frames_between(1.7, 2.2) == range(40, 43)  # 40 is shown from 1.6 to 1.8
    assert np.array_equal(mp4.frame_at(mp4.seconds(np.arange(80))), np.arange(80))
