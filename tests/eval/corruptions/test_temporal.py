"""Orders of frames: known orders, damage by severity, forms that are kept apart."""

import numpy as np
import pytest

from eval.corruptions import CORRUPTIONS
from eval.corruptions.temporal import clip_order
from sigma.video import FrameTimes

ORDERS = [c for c in CORRUPTIONS.values() if c.acts_on == 'order']


def order(name: str, num_frames: int, severity: int, video: str = 'v', **options) -> np.ndarray:
    return CORRUPTIONS[name].order(num_frames, severity, video, **options)


def displacement(name: str, severity: int, num_frames: int = 128) -> float:
    """Mean over videos of how far frames lie from their place."""
    found = [order(name, num_frames, severity, str(i)) for i in range(20)]
    return float(np.mean([np.abs(o - np.arange(num_frames)).mean() for o in found]))


@pytest.mark.parametrize('corruption', ORDERS, ids=lambda c: c.name)
@pytest.mark.parametrize('num_frames', [1, 2, 7, 100])
def test_orders_hold_frames_of_the_source(corruption, num_frames):
    for severity in range(1, len(corruption.levels) + 1):
        found = corruption.order(num_frames, severity, 'v', fps=25)
        assert 1 <= len(found) <= num_frames
        assert found.min() >= 0
        assert found.max() < num_frames
        assert np.array_equal(found, corruption.order(num_frames, severity, 'v', fps=25))


def test_known_orders():
    assert order('sampling', 10, 2).tolist() == [0, 4, 8]
    assert order('reverse_sampling', 10, 2).tolist() == [8, 4, 0]
    assert order('reverse', 4, 1).tolist() == [3, 2, 1, 0]
    assert order('frame_rate', 6, 1, fps=30).tolist() == [0, 1, 3, 4]  # 30 -> 20 frames a second
    assert order('frame_rate', 6, 1, fps=20).tolist() == [0, 1, 2, 3, 4, 5]
    assert order('frame_rate', 24, 5, fps=12, suite='ssv2-c').tolist() == [0, 6, 12, 18]  # 12 -> 2
    uneven = FrameTimes.listed([0, 0.02, 0.04, 0.06, 0.3, 0.32], 0.4)  # 15 a second on average
    shown = order('frame_rate', 6, 4, fps=uneven.fps, times=uneven)  # 15 -> 9
    assert shown.tolist() == [0, 3, 3, 5]  # at 0, 0.11, 0.22 and 0.33 s
    assert order('frame_rate', 6, 3, fps=12, times=FrameTimes.constant(6, 12)).tolist() == [0, 1, 2, 3, 4, 5]
    assert len(order('frame_drop', 100, 4)) == 25
    assert sorted(order('shuffle', 50, 1)) == list(range(50)) != order('shuffle', 50, 1).tolist()


@pytest.mark.parametrize('name, lengths', [('p-jumble', (32, 16, 8, 4, 2)), ('jumble', (2, 4, 8, 16, 32))])
def test_jumble_stays_within_segments(name, lengths):
    for severity, length in enumerate(lengths, 1):
        found = order(name, 100, severity)
        assert sorted(found) == list(range(100))
        assert np.array_equal(found // length, np.arange(100) // length)
        assert found.tolist() != list(range(100))


@pytest.mark.parametrize('name, lengths', [('p-box_jumble', (4, 9, 16, 25, 36)), ('box_jumble', (36, 25, 16, 9, 4))])
def test_box_jumble_keeps_blocks_whole(name, lengths):
    for severity, length in enumerate(lengths, 1):
        found = order(name, 128, severity)
        assert sorted(found) == list(range(128))
        starts = [0, *(np.flatnonzero(np.diff(found) != 1) + 1)]
        assert all(found[start] % length == 0 for start in starts)


@pytest.mark.parametrize('severity, kept', [(1, 40), (2, 20), (3, 10), (4, 5), (5, 1)])
def test_freeze_holds_the_published_number_of_frames(severity, kept):
    found = order('freeze', 100, severity)
    assert len(found) == 100
    assert len(np.unique(found)) == kept
    assert np.all(np.diff(found) >= 0)
    later = found >= found[0] + 1
    assert np.all(found[later] <= np.flatnonzero(later))  # held until the next, never shown before its time
    assert len(np.unique(order('freeze', 20, 4))) == 2  # 5 % of 20 is one, but at least two


def test_displacement_grows_with_severity():
    for name in ('jumble', 'freeze'):
        assert np.all(np.diff([displacement(name, s) for s in range(1, 6)]) > 0), name
    assert np.all(np.diff([displacement('p-jumble', s) for s in range(1, 6)]) < 0)  # the published scale falls
    marked = {c.name for c in ORDERS if not c.monotone}
    assert marked == {'p-jumble', 'p-box_jumble', 'mixed_temporal'}


def parted(name: str, severity: int) -> float:
    return float(np.mean([(np.diff(order(name, 128, severity, str(i))) != 1).mean() for i in range(20)]))


def test_box_jumble_parts_ever_more_neighbours():
    assert np.all(np.diff([parted('box_jumble', s) for s in range(1, 6)]) > 0)
    assert np.all(np.diff([parted('p-box_jumble', s) for s in range(1, 6)]) < 0)


@pytest.mark.parametrize('name', ['frame_rate', 'sampling', 'reverse_sampling', 'frame_drop'])
def test_fewer_frames_are_kept_with_severity(name):
    assert np.all(np.diff([len(order(name, 128, s, fps=30)) for s in range(1, 6)]) < 0)


def test_diagnostic_form_keeps_the_length_and_is_named_apart():
    frames = np.zeros((16, 32, 32, 3), np.uint8) + np.arange(16, dtype=np.uint8)[:, None, None, None]

    def shown(name: str, severity: int) -> list[int]:
        return CORRUPTIONS[name](frames, severity, 'v')[:, 0, 0, 0].tolist()

    assert shown('clip_sampling', 3) == [0] * 8 + [8] * 8
    assert shown('clip_reverse', 1) == list(range(15, -1, -1))
    assert len(set(shown('clip_freeze', 5))) == 1
    assert sorted(shown('clip_shuffle', 1)) == list(range(16))
    expected = {f'clip_{c.name}' for c in ORDERS} - {'clip_frame_rate'}
    assert {c.name for c in CORRUPTIONS.values() if c.acts_on == 'clip'} == expected
    assert not any(CORRUPTIONS[name].suites for name in expected)
    assert clip_order(np.array([3, 1]), 5).tolist() == [3, 3, 3, 1, 1]


def test_forms_are_not_mixed_up():
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match='jumble acts on the order of source frames: use order.*clip_jumble'):
        CORRUPTIONS['jumble'](frames, 1, 'v')
    with pytest.raises(ValueError, match='fog acts on pictures and has no order'):
        order('fog', 4, 1)
    with pytest.raises(ValueError, match='jumble was given 0 frames'):
        order('jumble', 0, 1)
    with pytest.raises(ValueError, match='frame_rate needs .* found fps=None'):
        order('frame_rate', 4, 1)
    with pytest.raises(ValueError, match='reverse has no severity 2; .*from 1 to 1'):
        order('reverse', 4, 2)
