"""Intervals and differences against closed forms and scipy."""

import itertools

import numpy as np
import pytest
from scipy import stats

from eval.metrics import METRICS
from eval.metrics.classification import mean_class_weights
from eval.metrics.multi_label import mean_average_precision
from eval.report import p_values
from eval.report.bootstrap import mean_scorer, rescored
from eval.report.p_values import holm, mcnemar, p_of_swaps
from eval.report.statistics import (
    Difference,
    bootstrap_difference,
    bootstrap_interval,
    interval,
    interval_from_scores,
    interval_over_seeds,
    is_clear,
    paired_difference,
)
from eval.report.variances import Pool, Spread, Strata, pool
from tools.benchmark import simulations


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
    assert found.high - 52 == pytest.approx(half, abs=0.01)
    assert 52 - found.low == pytest.approx(half, abs=0.01)


def test_seeds_and_videos_add_up():
    """Variance S^2 / n + C by hand: three seeds that are right on the first 5000, 5600 and 6400 of 10,000 videos."""
    shares = np.array([0.5, 0.56, 0.64])
    found = interval([answers(int(10_000 * share), 10_000) for share in shares])
    of_seeds = shares.var(ddof=1) / 3
    pairs = [(0, 1), (0, 2), (1, 2)]  # the lower share is right by both
    of_videos = np.mean([shares[i] - shares[i] * shares[j] for i, j in pairs]) / 10_000
    variance = of_seeds + of_videos
    freedom = variance**2 / (of_seeds**2 / 2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert (found.high - found.low) / 200 == pytest.approx(half, rel=1e-3)
    assert found.how == '3 seeds and test videos'


def test_seeds_that_differ_by_luck_alone_lose_no_degree_of_freedom():
    """Two seeds with equal scores, right on disjoint halves: C is negative, so I / n remains, as of 2 N answers."""
    a = answers(50, 100)
    found = interval([a, ~a])
    wanted = stats.binomtest(100, 200).proportion_ci(method='wilson')
    assert (found.low / 100, found.high / 100) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


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
    alike = interval_over_seeds([21.2, 21.2])
    assert alike.mean == 21.2
    assert np.isnan([alike.low, alike.high]).all()
    assert alike.how == 'none: 2 seeds with one score, and no predictions'
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
    assert (found.low, found.high) == pytest.approx((1.2 - 196 * error, 1.2 + 196 * error), abs=0.02)
    assert found.p == pytest.approx(stats.binomtest(52, 92).pvalue)  # McNemar's exact test
    assert found.how == 'paired over test videos only (one seed each)'


@pytest.mark.parametrize('num_seeds', [1, 3])
@pytest.mark.parametrize('num_videos, p', [(1, 1.0), (2, 0.5), (4, 0.125), (5, 0.0625)])
def test_s1_a_wins_each_of_a_few_videos(num_videos, p, num_seeds):
    """S1: this was 100 points [100, 100] and p 0.0002."""
    found = paired_difference([np.ones(num_videos)] * num_seeds, [np.zeros(num_videos)] * num_seeds)
    assert (found.difference, found.high) == (100, 100)
    assert found.low < 40
    assert found.p == pytest.approx(p)


def test_s1_four_against_none_of_200():
    """S1: p was 0.033, and the interval did not hold 0."""
    a, b = answers(4, 200), answers(0, 200)
    found = paired_difference([a], [b])
    assert found.p == pytest.approx(0.125)
    assert found.low < 0 < found.difference == pytest.approx(2)
    several = paired_difference([a] * 3, [b] * 3)  # repeated measures of the same videos say nothing more
    assert several.p == pytest.approx(0.125)
    assert (several.low, several.high) == pytest.approx((found.low, found.high), abs=1e-6)


def newcombe(both, only_a, only_b, neither):
    """Method 8 of Newcombe (1998), written from the paper's formulas for one table of counts."""
    num = both + only_a + only_b + neither

    def wilson(right):
        ends = stats.binomtest(right, num).proportion_ci(method='wilson')
        return right / num - ends.low, ends.high - right / num

    (below_a, above_a), (below_b, above_b) = wilson(both + only_a), wilson(both + only_b)
    above = both * neither - only_a * only_b
    scale = np.sqrt((both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither))
    phi = above / scale if scale else 0
    value = (only_a - only_b) / num
    low = value - np.sqrt(below_a**2 - 2 * phi * below_a * above_b + above_b**2)
    high = value + np.sqrt(above_a**2 - 2 * phi * above_a * below_b + below_b**2)
    least = 1.96**2 / (num + 1.96**2)  # Tango's score interval where no answer differs
    return 100 * max(min(low, value - least), -1), 100 * min(max(high, value + least), 1)


@pytest.mark.parametrize(
    'counts', [(36, 12, 2, 0), (1, 1, 7, 5), (54, 0, 0, 0), (0, 30, 0, 0), (43, 0, 8, 3), (20, 12, 2, 16)]
)
def test_one_seed_each_is_newcombes_interval(counts):
    """S1: his interval of paired shares, over all kinds of empty cells of the table; never narrower than Tango's."""
    a, b = (np.repeat(column, counts) for column in ([1, 1, 0, 0], [1, 0, 1, 0]))
    found = paired_difference([a], [b])
    assert (found.low, found.high) == pytest.approx(newcombe(*counts), abs=1e-3)


def test_newcombes_published_example():
    """S1: 36, 12, 2 and 0 pairs give 0.0569 to 0.3404 in his table, by methods 8 and 10 alike (20 points)."""
    low, high = newcombe(36, 12, 2, 0)
    assert (low, high) == pytest.approx((5.69, 34.04), abs=0.01)


def test_swaps_are_exact_where_answers_are_few():
    """Three seeds on six videos: all 2^6 ways to swap a and b by hand."""
    rng = np.random.default_rng(5)
    a, b = rng.random((3, 6)) < 0.8, rng.random((3, 6)) < 0.3
    each = a.mean(axis=0) - b.mean(axis=0)
    signs = np.array(list(itertools.product([1, -1], repeat=6)))
    wanted = np.mean(np.abs(signs @ each) >= abs(each.sum()) - 1e-9)
    assert paired_difference(list(a), list(b)).p >= wanted - 1e-12
    assert p_of_swaps(each) == pytest.approx(wanted)
    assert p_values._p_of_random_swaps(np.abs(each), abs(each.sum())) == pytest.approx(wanted, abs=0.02)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    with pytest.raises(ValueError, match='from 0 to 1'):
        holm([0.5, np.nan])


def test_holm_and_mcnemar_equal_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar as other_mcnemar
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).random(40) ** 3
    p[3] = p[7]
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method='holm')[1].tolist(), abs=1e-14)
    first, second = np.array([0, 3, 4, 12, 400]), np.array([0, 0, 9, 12, 310])
    wanted = [other_mcnemar([[50, b], [c, 7]], exact=True).pvalue for b, c in zip(first, second)]
    assert mcnemar(first, second).tolist() == pytest.approx(wanted, abs=1e-14)


def test_a_verdict_needs_p_and_an_interval_without_0():
    found = Difference(2.0, 0.5, 3.5, 0.01, 100, '')
    assert is_clear(found, 0.04)
    assert not is_clear(found, 0.06)
    assert not is_clear(found._replace(low=-0.1), 0.04)


def test_s2_a_class_of_one_video_has_a_variance():
    """S2: 30 classes of one video and 5 of 20, all with an accuracy of a half: the variance was that of the 5."""
    label = np.repeat(np.arange(35), [1] * 30 + [20] * 5)
    right = np.concatenate([np.arange(30) % 2, np.arange(100) % 2])
    strata = Strata(label, mean_class_weights(label))
    found = interval([right], strata=strata)
    # by hand: the spread within classes that borrow is 0.25 throughout, 5 * (1 - 1 / 20) + 1 of it is known
    shared = (5 * 0.25 + 0.25) / (5 * 0.95 + 1)
    variance = (30 * shared + 5 * (0.25 + shared / 20) / 20) / 35**2
    half = 1.96 * np.sqrt(variance)
    assert (found.high - found.low) / 200 == pytest.approx(half, rel=0.06)  # Wilson's are narrower at 50 %
    assert variance > 0.9 * (30 * 0.25 + 5 * 0.25 / 20) / 35**2
    assert variance > 5 * 5 * 0.25 / 20 / 35**2  # what it was


@pytest.mark.parametrize('sizes', [(1,) * 30 + (20,) * 5, (1,) * 20 + (2,) * 20 + (50,) * 5])
def test_s2_intervals_of_classes_hold_the_truth(sizes):
    """S2: coverage was 0.75 and 0.67; 600 tables here, 2,000 in docs/statistics.md."""
    row = simulations.Row('', '', 1, simulations.shares(sizes, True), sum(sizes), True)
    found = simulations.simulate(row, 600)
    assert 92 < found.interval < 98  # three standard errors around 93 to 97 would be 90 to 99
    assert 92 < found.difference < 98.5
    assert found.false < 7.5


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


def test_pairing_takes_out_what_is_hard_for_both():
    rng = np.random.default_rng(3)
    hard = rng.random(400)
    a, b = hard < 0.55, hard < 0.5
    assert paired_difference([a], [b]).low > 0
    assert paired_difference([a], [rng.permutation(b)]).low < 0


def test_seeds_widen_a_difference_as_students_t():
    # Many videos: each seed of a is right on a share of them.
    a = [answers(int(500_000 * share), 500_000) for share in (0.5, 0.6, 0.7)]
    b = [answers(int(500_000 * share), 500_000) for share in (0.45, 0.5, 0.64)]
    paired = stats.t.interval(0.95, 2, 7, stats.sem([5, 10, 6]))
    found = paired_difference(a, b)
    assert found.difference == pytest.approx(7)
    assert (found.low, found.high) == pytest.approx(paired, abs=0.02)
    assert found.p == pytest.approx(2 * stats.t.sf(7 / stats.sem([5, 10, 6]), 2), rel=0.01)
    unpaired = paired_difference(a, b, paired_seeds=False)
    wanted = stats.ttest_ind([50, 60, 70], [45, 50, 64], equal_var=False)
    assert unpaired.p == pytest.approx(wanted.pvalue, rel=0.01)
    assert (unpaired.low, unpaired.high) == pytest.approx(tuple(wanted.confidence_interval()), abs=0.05)


def test_no_difference():
    a = answers(30, 60)
    found = paired_difference([a, a], [a, a])
    assert (found.difference, found.p) == (0, 1)
    assert found.low == -found.high
    assert found.high == pytest.approx(
        100 * 1.96**2 / (60 + 1.96**2), abs=1e-3
    )  # 60 videos do not show that there is none


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
    # As wide as new videos would have it: copies enter the curve together, so that the draws vary too little.
    wider = jackknifed([(scores, labels)])[0, 0] ** 0.5 / rounds.std()
    assert 1.05 < wider < 1.3
    low, high = np.quantile(found.mean + wider * (rounds - rounds.mean()), [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=1.0)


def jackknifed(seeds: list) -> np.ndarray:
    """(S, S) covariance of the mAP of seeds, each (scores, labels), from leaving out one video at a time."""
    num = len(seeds[0][0])
    without = np.array(
        [[mean_average_precision(np.delete(s, n, 0), np.delete(y, n, 0)) for n in range(num)] for s, y in seeds]
    )
    return np.cov(without, ddof=0).reshape(len(seeds), -1) * (num - 1)


def test_the_covariance_of_map_is_the_jackknifes():
    seeds = [several_labels(40, seed) for seed in (3, 4)]
    resampled = METRICS['mean_average_precision'].resampled
    found = rescored([resampled(*seed) for seed in seeds], 40, num_resamples=2)
    assert found.covariance == pytest.approx(jackknifed(seeds), rel=1e-5)


def test_the_bootstrapped_difference_of_means_is_the_paired_one():
    rng = np.random.default_rng(8)
    a, b = [list(rng.random((3, 300)) < share) for share in (0.6, 0.5)]

    def bootstrapped(a, b):
        return bootstrap_difference([mean_scorer(x) for x in a], [mean_scorer(x) for x in b], 300, num_resamples=5000)

    for sides, tolerance in [((a[:1], b[:1]), 0.4), ((a, b), 0.6)]:
        wanted, found = paired_difference(*sides), bootstrapped(*sides)
        assert 100 * found.difference == pytest.approx(wanted.difference)
        assert (100 * found.low, 100 * found.high) == pytest.approx((wanted.low, wanted.high), abs=tolerance)
        assert found.p == pytest.approx(wanted.p, abs=0.02)
        assert (found.how, found.num_videos) == (wanted.how.replace('paired', 'paired bootstrap'), 300)
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
    # of the others two thirds score 11 and one third 12: quantiles of their spread, times t / z of one free video
    wider = stats.t.ppf(0.975, 1) / stats.norm.ppf(0.975) * np.sqrt(2)  # the variance of 2 videos, by 1
    assert (found.low, found.high) == pytest.approx((11 - wider / 3, 11 + wider * 2 / 3), rel=0.05)
    better = bootstrap_difference([lambda weights: scorer(weights) + 1], [scorer], 2)
    assert (better.difference, better.low, better.high) == pytest.approx((1, 1, 1))
    assert better.p < 1e-6
    with pytest.raises(ValueError, match='none of 1000 draws of 2 videos has a score'):
        bootstrap_interval([lambda weights: np.full(weights.shape[1], np.nan if weights.shape[1] > 1 else 1.0)], 2)


SHARES = [np.array([0.0, 1.0, 1.0])]
SCORER = mean_scorer(np.array([0.5, 1.0, 2.0]))


@pytest.mark.parametrize(
    'call, words',
    [
        (lambda: paired_difference([np.array([1, np.nan, 0])], SHARES), '1 of 3 values are no shares from 0 to 1'),
        (lambda: interval([np.array([75.0, 75.0])]), 'no shares from 0 to 1, first 75.0 .* percents must be divided'),
        (lambda: interval([np.array([0.5, -0.5])]), 'no shares'),
        (lambda: interval(SHARES, level=95), 'a level of 95 was asked for; it is a share between 0 and 1'),
        (lambda: interval(SHARES, level=0), 'a level of 0'),
        (lambda: interval(SHARES, level=np.nan), 'a level of nan'),
        (lambda: interval(SHARES, strata=Strata(np.arange(2), np.ones(2) / 2)), 'for 3 videos; need one each'),
        (lambda: interval(SHARES, strata=Strata(np.arange(3), np.ones(3))), 'need shares that sum to 1'),
        (lambda: paired_difference(SHARES, SHARES, level=1), 'a level of 1'),
        (lambda: interval_from_scores([0.5, 101], 20), 'need percent, from 0 to 100'),
        (lambda: interval_from_scores([np.nan], 20), 'need percent'),
        (lambda: interval_from_scores([50], 20, level=95), 'a level of 95'),
        (lambda: interval_over_seeds([]), 'need one per seed'),
        (lambda: interval_over_seeds([1, np.inf]), '1 of 2 scores of seeds are not finite, first 1'),
        (lambda: interval_over_seeds([1, 2], level=2), 'a level of 2'),
        (lambda: bootstrap_interval([SCORER], 3, level=95), 'a level of 95'),
        (lambda: bootstrap_interval([SCORER], 2.5), 'whole number'),
        (lambda: bootstrap_interval([SCORER], 3, num_resamples=0), '0 resamples were asked for'),
        (lambda: bootstrap_difference([SCORER], [SCORER], 3, level=-1), 'a level of -1'),
        (lambda: bootstrap_interval([lambda weights: weights[0] * np.nan], 3), 'scores of seeds are not finite'),
        (lambda: mean_scorer(np.array([1, np.inf])), '1 of 2 values of videos are not finite'),
        (lambda: mean_scorer(np.array([])), 'need one per video'),
    ],
)
def test_s3_nonsense_ends_in_a_sentence(call, words):
    """S3: these gave NaN, 7500 percent, or a number."""
    with pytest.raises(ValueError, match=words):
        call()


def test_one_video_has_no_bootstrap():
    one = mean_scorer(np.array([0.3]))
    assert np.isnan(bootstrap_interval([one], 1).low)
    assert bootstrap_difference([one], [mean_scorer(np.array([0.9]))], 1).p == 1


def test_a_pool_of_equal_cells_by_hand():
    cells = [Spread(0.010, 0.002, 0.25, 1), Spread(0.004, 0.002, 0.25, 1), Spread(0.001, 0.002, 0.25, 1)]
    found = pool(cells)
    assert found.excess == pytest.approx(0.003 / 0.25)  # the mean of S^2 is 0.005
    assert found.num_cells == 3
    assert found.of(0.002, 0.25) == pytest.approx((0.005, 3))  # as many degrees of freedom as cells of two seeds


def test_a_pool_needs_two_cells_that_tell_something():
    silent = Spread(0.0, 0.0, 0.25, 1)  # all seeds give the same answers
    assert pool([]) is None
    assert pool([Spread(0.01, 0.002, 0.25, 1), silent, Spread(0.0, 0.0, 0.0, 1)]) is None


def test_a_cell_unlike_the_pool_keeps_its_own_spread():
    close = Pool(excess=0.0, freedom=1e6, num_cells=20)
    right = np.arange(100)
    near, far = ([right < a, right < b] for a, b in ((58, 60), (30, 80)))
    assert interval(near, pooled=close).how.endswith('pooled over 20 cells')
    assert interval(far, pooled=close) == interval(far)
    more = [*far, right < 50, right < 60]
    assert interval(more, pooled=close) == interval(more)  # four seeds speak for themselves


def test_seeds_that_are_all_alike_have_an_interval_with_a_pool_too():
    right = np.arange(100) < 60
    close = Pool(excess=0.0, freedom=10.0, num_cells=5)
    assert interval([right, right], pooled=close) == interval([right, right])
