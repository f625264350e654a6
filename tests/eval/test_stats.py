"""Intervals and differences against closed forms and scipy."""

import numpy as np
import pytest
from scipy import stats

from eval.stats import interval, interval_from_scores, interval_over_seeds, paired_difference


def answers(num_right: int, num_videos: int) -> np.ndarray:
    return np.arange(num_videos) < num_right


@pytest.mark.parametrize('num_right, num_videos', [(37, 50), (0, 20), (20, 20), (1, 3), (500, 1000)])
@pytest.mark.parametrize('level', [0.9, 0.95])
def test_one_seed_is_wilsons_interval(num_right, num_videos, level):
    found = interval([answers(num_right, num_videos)], level)
    wanted = stats.binomtest(num_right, num_videos).proportion_ci(level, method='wilson')
    assert (found.low / 100, found.high / 100) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert found.mean == pytest.approx(100 * num_right / num_videos)
    assert (found.num_seeds, found.num_videos, found.how) == (1, num_videos, 'test videos only (one seed)')


def test_many_videos_leave_students_t_over_seeds():
    # Half a million videos: the sampling error is below 0.2 points, the seeds are at 40, 50 and 66 percent.
    found = interval([answers(num, 500_000) for num in (200_000, 250_000, 330_000)])
    half = stats.t.ppf(0.975, 2) * np.std([40, 50, 66], ddof=1) / np.sqrt(3)
    assert found.mean == pytest.approx(52)
    assert found.high - 52 == pytest.approx(half, abs=0.001)
    assert 52 - found.low == pytest.approx(half, abs=0.001)


def test_seeds_and_videos_join_as_the_root_of_the_sum_of_squares():
    rng = np.random.default_rng(0)
    seeds = [rng.random(10_000) < share for share in (0.55, 0.6, 0.62)]
    found = interval(seeds)
    of_seeds = stats.t.ppf(0.975, 2) * np.std([s.mean() for s in seeds], ddof=1) / np.sqrt(3)
    of_videos = 1.96 * np.mean(seeds, axis=0).std() / np.sqrt(10_000)
    assert (found.high - found.low) / 200 == pytest.approx(np.hypot(of_seeds, of_videos), rel=1e-3)
    assert found.how == '3 seeds and test videos'


def test_seeds_that_agree_leave_the_interval_of_one():
    one = answers(15, 40)
    assert interval([one, one, one])[1:3] == pytest.approx(interval([one])[1:3])


def test_bounds_stay_percent():
    found = interval([answers(num, 20) for num in (20, 12, 20)])
    assert found.high == 100
    assert 0 <= found.low < found.mean
    assert interval([answers(0, 20), answers(8, 20)]).low == 0


def test_scores_alone_never_say_more_than_the_answers():
    rng = np.random.default_rng(1)
    seeds = [rng.random(100) < 0.4 for _ in range(3)]
    with_answers, without = interval(seeds), interval_from_scores([100 * s.mean() for s in seeds], 100)
    assert without.low <= with_answers.low
    assert without.high >= with_answers.high
    assert without.mean == pytest.approx(with_answers.mean)
    assert 'from scores alone' in without.how


def test_seeds_only():
    found = interval_over_seeds([10.0, 12.0, 17.0])
    wanted = stats.t.interval(0.95, 2, 13, stats.sem([10, 12, 17]))
    assert found[:3] == pytest.approx((13, *wanted))
    assert np.isnan(interval_over_seeds([10.0]).low)


@pytest.mark.parametrize('seeds', [[], [np.array([])], [np.ones(3), np.ones(4)], [np.ones((2, 2))]])
def test_what_gives_no_interval_is_refused(seeds):
    with pytest.raises(ValueError, match='the same videos for each seed'):
        interval(seeds)


def test_paired_difference_by_hand():
    # Of 1000 videos a alone is right on 52 and b alone on 40: 1.2 points, variance 92 / 1000 - 0.012^2.
    a, b = np.zeros(1000, bool), np.zeros(1000, bool)
    a[:52] = b[52:92] = a[92:600] = b[92:600] = True
    error = np.sqrt((0.092 - 0.012**2) / 1000)
    found = paired_difference([a], [b])
    assert found.difference == pytest.approx(1.2)
    assert (found.low, found.high) == pytest.approx((1.2 - 196 * error, 1.2 + 196 * error), abs=0.15)
    assert found.p == pytest.approx(2 * stats.norm.sf(0.012 / error), abs=0.03)
    assert found.how == 'paired bootstrap over test videos only (one seed each)'
    assert found == paired_difference([a], [b])  # no luck in it
    other = paired_difference([b], [a])
    assert other.difference == -found.difference
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low), abs=0.15)


def test_the_bootstrap_agrees_with_scipys():
    rng = np.random.default_rng(2)
    shares = rng.normal(0.02, 0.3, 400)  # all distinct, as of a mean over classes
    found = paired_difference([shares], [np.zeros(400)])
    wanted = stats.bootstrap((shares,), np.mean, method='percentile', rng=3).confidence_interval
    assert (found.low, found.high) == pytest.approx((100 * wanted.low, 100 * wanted.high), abs=0.2)


def test_pairing_takes_out_what_is_hard_for_both():
    rng = np.random.default_rng(3)
    hard = rng.random(400)
    a, b = hard < 0.55, hard < 0.5
    assert paired_difference([a], [b]).low > 0
    assert paired_difference([a], [rng.permutation(b)]).low < 0


def test_seeds_widen_a_difference_as_students_t():
    # No spread over videos: each seed of a is right on a share of endless equal videos.
    a = [np.full(50, share) for share in (0.5, 0.6, 0.7)]
    b = [np.full(50, share) for share in (0.45, 0.5, 0.64)]
    paired = stats.t.interval(0.95, 2, 7, stats.sem([5, 10, 6]))
    found = paired_difference(a, b)
    assert found.difference == pytest.approx(7)
    assert (found.low, found.high) == pytest.approx(paired, abs=1.0)
    unpaired = paired_difference(a, b, paired_seeds=False)
    assert unpaired.high - unpaired.low > 2 * (found.high - found.low)


def test_no_difference():
    a = answers(30, 60)
    assert paired_difference([a, a], [a, a])[:4] == (0, 0, 0, 1)


def test_unequal_numbers():
    a = answers(30, 60)
    assert 'one seed on the other' in paired_difference([a, a], [a]).how
    with pytest.raises(ValueError, match='60 videos against 59'):
        paired_difference([a], [a[:59]])
    with pytest.raises(ValueError, match='2 seeds against 1 cannot pair up'):
        paired_difference([a, a], [a], paired_seeds=True)
