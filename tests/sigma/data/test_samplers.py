"""Which frames a clip takes: those of the published loaders, for every video of 1 to 499 frames.

tests/data/peers/SOURCES.md says how the numbers were made.
"""

from pathlib import Path

import numpy as np
import pytest

from sigma.data.sampling import SamplePublished, SamplePublishedSeconds, published_training_indices
from sigma.data.transforms import SampleDense, SampleSegments

PEER = Path(__file__).resolve().parents[2] / 'data' / 'peers' / 'samplers.npz'


@pytest.fixture(scope='module')
def peer():
    """Frame numbers (lengths, clips, T) by loader, and the draws that they were made with."""
    with np.load(PEER) as found:
        plain = ('lengths', 'draws', 'seconds_fps', 'seconds_shares')
        return {key: found[key] if key in plain else found[key].cumsum(axis=-1) for key in found}


class Drawn:
    """A generator that draws the lowest, the middle or the highest value, or given shares of the range."""

    def __init__(self, where=None, shares=None):
        self.where, self.shares = where, shares

    def integers(self, low, high, number):
        return np.array([[low, (low + high - 1) // 2, high - 1][self.where]] * number)

    def uniform(self, low, high, number):
        return low + (high - low) * np.asarray(self.shares)

    def random(self, shape):
        return np.broadcast_to(self.shares, shape)


def taken(transform, num_frames, **entry):
    found = transform.transform({'total_frames': int(num_frames)} | entry)['frame_inds']
    return found.reshape(-1, transform.num_frames)


def differ(lengths, wanted, found) -> list[int]:
    """Lengths at which they are not the same frames."""
    return [int(n) for n, a, b in zip(lengths, wanted, found) if not np.array_equal(a, b)]


@pytest.mark.parametrize('stride', [1, 2, 4])
def test_pretraining_takes_the_frames_of_the_published_loader(stride, peer):
    """P6: VideoMAE's and SIGMA's pretraining never steps onto the last frame."""
    lengths, wanted = peer['lengths'], peer[f'pretrain_{stride}']
    sample, ours = SampleDense(16, stride, short='published'), SampleDense(16, stride)
    found = [[taken(sample, n, rng=Drawn(where))[0] for where in range(3)] for n in lengths]
    assert differ(lengths, wanted, found) == []
    repeating = differ(lengths, wanted, [[taken(ours, n, rng=Drawn(where))[0] for where in range(3)] for n in lengths])
    if stride == 1:
        assert repeating == [*range(2, 500)]
    else:
        assert repeating == [*range(1 + stride, 16 * stride, stride)]
        assert len(repeating) == 15


@pytest.mark.parametrize(('stride', 'num_clips'), [(4, 5), (2, 5), (4, 2), (4, 7)])
def test_test_clips_are_those_of_the_published_loader(stride, num_clips, peer):
    """P6: `VideoClsDataset` of VideoMAE and SIGMA in testing."""
    sample = SamplePublished(16, stride, num_clips, test_mode=True)
    found = [taken(sample, n) for n in peer['lengths']]
    assert differ(peer['lengths'], peer[f'test_{stride}_{num_clips}'], found) == []


@pytest.mark.parametrize('stride', [2, 4])
def test_training_clips_are_those_of_the_published_loader(stride, peer):
    """P6: `VideoClsDataset` in training, with the lowest, the middle and the highest end of the window."""
    sample = SamplePublished(16, stride)
    found = [[taken(sample, n, rng=Drawn(where))[0] for where in range(3)] for n in peer['lengths']]
    assert differ(peer['lengths'], peer[f'train_{stride}'], found) == []
    assert published_training_indices(16 * stride, 16, stride, None).max() == 16 * stride - 1


def test_segments_are_those_of_the_published_loader(peer):
    """P6: `SSVideoClsDataset` of VideoMAE and SIGMA, in testing and with two rows of draws in training."""
    sample = SampleSegments(16, num_clips=2, test_mode=True, offsets='published')
    found = [taken(sample, n, rng=None) for n in peer['lengths']]
    assert differ(peer['lengths'], peer['segments_test'], found) == []
    sample = SampleSegments(16, offsets='published')
    found = [[taken(sample, n, rng=Drawn(shares=draw))[0] for draw in peer['draws']] for n in peer['lengths']]
    assert differ(peer['lengths'], peer['segments_train'], found) == []


def test_clips_by_time_are_those_of_severes_loader(peer):
    """P7: eight rates; short videos loop after floor(seconds * 16) frames. SEVERE takes another video if that is 0."""
    test = SamplePublishedSeconds(32, 16, num_clips=5, test_mode=True)
    for (over, under), tested, trained in zip(peer['seconds_fps'], peer['seconds_test'], peer['seconds_train']):
        fps = over / under
        known = tested[:, 0, 0] >= 0
        lengths = peer['lengths'][known]
        assert lengths[0] == max(1, -(-fps // 16)), 'only videos of less than a step are refused'
        assert differ(lengths, tested[known], [taken(test, n, fps=fps) for n in lengths]) == [], fps
        train = SamplePublishedSeconds(32, 16, num_clips=len(peer['seconds_shares']))
        rng = Drawn(shares=peer['seconds_shares'])
        assert differ(lengths, trained[known], [taken(train, n, fps=fps, rng=rng) for n in lengths]) == [], fps
    assert taken(test, 1, fps=25.0).tolist() == [[0] * 32] * 5


def test_a_short_video_loops_with_the_frames_that_fit_into_it():
    """P7: 40 frames at 25 a second are 1.6 s, or 25.6 steps: a period of 25, not 26."""
    frames = taken(SamplePublishedSeconds(32, 16, test_mode=True), 40, fps=25.0)[0]
    assert frames[25:].tolist() == frames[:7].tolist()
    assert frames[24] == 37


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="short='loop'; it must be 'repeat_last' or 'published'"):
        SampleDense(16, 2, short='loop')
    with pytest.raises(ValueError, match='clip_fps=0; it must be positive'):
        SamplePublishedSeconds(32, 0)
