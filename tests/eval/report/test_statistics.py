"""Intervals and differences against closed forms and scipy."""

import numpy as np
import pytest
from scipy import stats

from eval.metrics import METRICS
from eval.metrics.multi_label import mean_average_precision
from eval.report.statistics import (
    bootstrap_difference,
    bootstrap_interval,
    interval,
    interval_from_scores,
    interval_over_seeds,
    mean_scorer,
    paired_difference,
)


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
    assert interval_over_seeds([0.0, 4.0, 97.0], limits=(0, 100))[1:3] == (0, 100)


@pytest.mark.parametrize('seeds', [[], [np.array([])], [np.ones(3), np.ones(4)], [np.ones((2, 2))]])
def test_what_gives_no_interval_is_refused(seeds):
    with pytest.raises(ValueError, match='one array of the same videos'):
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


@pytest.mark.parametrize('seeds', [(1, 1), (3, 3), (2, 3), (1, 2)])
@pytest.mark.parametrize('paired_seeds', [None, False])
def test_b_against_a_is_a_against_b_but_for_the_sign(seeds, paired_seeds):
    rng = np.random.default_rng(8)
    a, b = ([(rng.random(80) < share).astype(float) for _ in range(n)] for share, n in zip((0.55, 0.5), seeds))
    there, back = (paired_difference(*sides, paired_seeds=paired_seeds) for sides in ((a, b), (b, a)))
    scored = [[mean_scorer(values) for values in side] for side in (a, b)]
    there_too, back_too = (
        bootstrap_difference(*sides, 80, num_resamples=500, paired_seeds=paired_seeds)
        for sides in (scored, scored[::-1])
    )
    for one, other in ((there, back), (there_too, back_too)):
        assert one.difference == pytest.approx(-other.difference, abs=1e-9)
        assert (one.low, one.high, one.p) == pytest.approx((-other.high, -other.low, other.p), abs=1e-9)
        assert one.low < one.difference < one.high


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


def test_a_bootstrapped_mean_agrees_with_scipys():
    values = np.random.default_rng(4).exponential(0.3, 105)  # errors, some above one
    found = bootstrap_interval([mean_scorer(values)], 105, num_resamples=4000)
    wanted = stats.bootstrap((values,), np.mean, method='percentile', rng=5).confidence_interval
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.005)
    assert (found.num_seeds, found.num_videos) == (1, 105)
    assert found.how == 'test videos only (one seed), bootstrap'
    assert found == bootstrap_interval([mean_scorer(values)], 105, num_resamples=4000)  # no luck in it
    ninety = bootstrap_interval([mean_scorer(values)], 105, level=0.9)
    assert found.low < ninety.low < ninety.high < found.high


def test_a_bootstrapped_interval_keeps_to_its_limits():
    values = np.array([0.0] * 9 + [5.0])
    assert bootstrap_interval([mean_scorer(values)], 10).low < 0  # centring moves it there
    assert bootstrap_interval([mean_scorer(values)], 10, limits=(0, np.inf)).low == 0
    wide = [mean_scorer(np.full(20, score)) for score in (1.0, 9.0)]
    assert bootstrap_interval(wide, 20, limits=(0, 10))[1:3] == (0, 10)


def test_bootstrapped_seeds_join_as_the_root_of_the_sum_of_squares():
    rng = np.random.default_rng(6)
    seeds = [rng.normal(mean, 1, 400) for mean in (2.0, 2.3, 2.1)]
    found = bootstrap_interval([mean_scorer(values) for values in seeds], 400, num_resamples=4000)
    of_seeds = stats.t.ppf(0.975, 2) * np.std([s.mean() for s in seeds], ddof=1) / np.sqrt(3)
    of_videos = 1.96 * np.mean(seeds, axis=0).std() / np.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(np.hypot(of_seeds, of_videos), rel=0.03)
    assert found.how == '3 seeds and test videos, bootstrap'


def several_labels(num: int, seed: int, shift: float = 1.0):
    rng = np.random.default_rng(seed)
    labels = rng.random((num, 5)) < 0.3
    return rng.normal(size=labels.shape) + shift * labels, labels


def test_the_interval_of_map_is_that_of_copied_videos():
    scores, labels = several_labels(60, 0)
    resampled = METRICS['mean_average_precision'].resampled
    found = bootstrap_interval([resampled(scores, labels)], 60, limits=(0, 100))
    rng = np.random.default_rng(7)
    draws = [rng.integers(0, 60, 60) for _ in range(1000)]
    rounds = np.array([mean_average_precision(scores[draw], labels[draw]) for draw in draws])
    assert rounds.mean() > found.mean + 0.5  # copies tie, so that uncentred quantiles would be too high
    low, high = np.quantile(rounds - rounds.mean() + found.mean, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=1.0)


def test_the_bootstrapped_difference_of_means_is_the_paired_one():
    rng = np.random.default_rng(8)
    a, b = [list(rng.random((3, 300)) < share) for share in (0.6, 0.5)]

    def bootstrapped(a, b):
        return bootstrap_difference([mean_scorer(x) for x in a], [mean_scorer(x) for x in b], 300, num_resamples=5000)

    for sides, tolerance in [((a[:1], b[:1]), 0.4), ((a, b), 2.5)]:  # a t of two degrees of freedom has long tails
        wanted, found = paired_difference(*sides), bootstrapped(*sides)
        assert 100 * found.difference == pytest.approx(wanted.difference)
        assert (100 * found.low, 100 * found.high) == pytest.approx((wanted.low, wanted.high), abs=tolerance)
        assert found.p == pytest.approx(wanted.p, abs=0.02)
        assert (found.how, found.num_videos) == (wanted.how, 300)
    unpaired = bootstrap_difference([mean_scorer(x) for x in a], [mean_scorer(x) for x in b], 300, paired_seeds=False)
    assert unpaired.difference == found.difference


def test_pairing_takes_out_of_map_what_is_hard_for_both():
    scores, labels = several_labels(200, 1)
    better = scores + 0.2 * labels
    resampled = METRICS['mean_average_precision'].resampled
    a, b = resampled(better, labels), resampled(scores, labels)
    found = bootstrap_difference([a], [b], 200)
    wanted = mean_average_precision(better, labels) - mean_average_precision(scores, labels)
    assert found.difference == pytest.approx(wanted)
    assert found.low > 0
    assert found.p < 0.01
    apart = [bootstrap_interval([side], 200) for side in (a, b)]
    assert found.high - found.low < 0.5 * min(side.high - side.low for side in apart)


def test_what_gives_no_bootstrap_is_refused():
    one = mean_scorer(np.ones(3))
    with pytest.raises(ValueError, match='0 seeds and 3 videos'):
        bootstrap_interval([], 3)
    with pytest.raises(ValueError, match='1 seeds and 0 videos'):
        bootstrap_difference([one], [one], 0)
    with pytest.raises(ValueError, match='2 seeds against 1 cannot pair up'):
        bootstrap_difference([one, one], [one], 3, paired_seeds=True)


def test_draws_without_a_score_are_left_out():
    """Two videos of which one has no truth: a quarter of the draws holds it alone, and has no score."""

    def scorer(weights):
        return np.where(weights[0] > 0, 10.0 + weights[0], np.nan)

    found = bootstrap_interval([scorer], 2)
    assert found.mean == 11
    # of the others two thirds score 11 and one third 12; they centre on 11
    assert (found.low, found.high) == pytest.approx((11 - 1 / 3, 11 + 2 / 3), abs=0.05)
    better = bootstrap_difference([lambda weights: scorer(weights) + 1], [scorer], 2)
    assert (better.difference, better.low, better.high) == pytest.approx((1, 1, 1))
    with pytest.raises(ValueError, match='none of 1000 draws of 2 videos has a score'):
        bootstrap_interval([lambda weights: np.full(weights.shape[1], np.nan)], 2)
