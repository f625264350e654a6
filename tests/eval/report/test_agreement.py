"""Agreement of columns against scipy, intervals against a simulation, noise and pairs against single comparisons."""

import numpy as np
import pytest
from scipy import stats

from eval.report import agreement
from eval.report.agreement import agreements, sentences, spearman, tau_b
from eval.report.aligned import align, scores, shared_noise
from eval.report.differences import difference
from eval.report.pairs import p_of_pairs
from eval.report.spread import column_spreads
from eval.report.statistics import Difference
from eval.report.table import Table
from eval.report.variances import Strata, share_covariance
from tests.eval.report.made import add_record, made_table
from tests.eval.report.test_table import add_counts, add_several

SKILLS = {
    'random': [12, 12, 12, 12],
    'a': [80, 82, 61, 60],
    'b': [70, 60, 60, 61],
    'c': [52, 70, 60, 60],
    'd': [40, 41, 61, 60],
}


@pytest.fixture(scope='module')
def one_seed(tmp_path_factory):
    return made_table(tmp_path_factory.mktemp('one'), SKILLS)


@pytest.fixture(scope='module')
def two_seeds(tmp_path_factory):
    return made_table(tmp_path_factory.mktemp('two'), SKILLS, seeds=(0, 1), num_listed=60)


def test_tau_and_rho_are_scipys_with_ties():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 30, 8)).astype(float)
    wanted = [stats.kendalltau(a, b).statistic for a, b in zip(first, second)]
    assert tau_b(first, second).tolist() == pytest.approx(wanted, abs=1e-12)
    wanted = [stats.spearmanr(a, b).statistic for a, b in zip(first, second)]
    assert spearman(first, second).tolist() == pytest.approx(wanted, abs=1e-12)
    assert np.isnan(tau_b(np.ones(4), np.arange(4.0)[None])[0])


def test_columns_of_a_table_give_scipys_numbers_on_its_scores(one_seed):
    found = agreements(one_seed)
    assert [(each.first.dataset, each.second.dataset) for each in found[:3]] == [
        ('data0', 'data1'),
        ('data0', 'data2'),
        ('data0', 'data3'),
    ]
    for each in found:
        sides = [[column.cells[row].interval.mean for row in 'abcd'] for column in (each.first, each.second)]
        assert each.num_encoders == 4  # without random weights
        assert each.tau == pytest.approx(stats.kendalltau(*sides).statistic)
        assert each.rho == pytest.approx(stats.spearmanr(*sides).statistic)
        assert -1 <= each.tau_low <= each.tau <= each.tau_high <= 1
        assert -1 <= each.rho_low <= each.rho <= each.rho_high <= 1
    first = found[0]
    # a is far ahead and d far behind in both columns; b and c change places by 18 and 10 points.
    assert (first.tau, first.rho) == pytest.approx((2 / 3, 0.8))
    assert first.tau_low > 0
    # Columns whose encoders do not differ say nothing about each other.
    assert (found[-1].tau_low, found[-1].tau_high) == (-1, 1)
    text = ' '.join(sentences(one_seed))
    assert 'data0 and data1: tau 0.67 [' in text
    assert 'average of 6 pairs' in text
    assert agreements(one_seed) is found


def test_of_many_pairs_only_those_named_get_an_interval(one_seed, monkeypatch):
    everywhere, whole = agreements(one_seed), sentences(one_seed)
    monkeypatch.setattr(agreement, 'MOST_INTERVALS', 5)  # the table has 6 pairs
    part = one_seed.only(lambda column: True)
    part.found = {}
    capped = agreements(part)
    assert [(each.tau, each.rho) for each in capped] == [(each.tau, each.rho) for each in everywhere]
    assert all(np.isnan(each.tau_low) and 'more than 5 pairs' in each.how for each in capped)
    said = sentences(part)
    assert [line for line in said if 'only the pairs named here' not in line] == whole
    assert len(said) == len(whole) + 1


def test_fewer_than_three_encoders_and_published_numbers(one_seed, tmp_path):
    table = made_table(tmp_path, {'random': [10, 10], 'a': [50, 60], 'b': [40, 50]})
    assert agreements(table) == []
    assert 'no two of them share three encoders' in sentences(table)[0]
    two = [column.key for column in one_seed.measured[:2]]
    part = one_seed.only(lambda column: column.key in two)
    column = part.measured[0]
    before, part.answers, part.found = column.cells['a'].interval, {}, {}
    column.cells['a'].interval = before._replace(low=np.nan, high=np.nan)
    (each,) = agreements(part)
    column.cells['a'].interval = before
    assert each.tau == pytest.approx(2 / 3)
    assert np.isnan(each.tau_low)
    assert each.how.startswith('no interval')


@pytest.mark.parametrize('num, correlation, noise', [(4, 0.6, 0.4), (8, 0.95, 1.0), (20, 0.95, 0.4)])
def test_intervals_of_tau_hold_the_true_one(num, correlation, noise):
    """200 pairs of columns each; draws with replacement held it in 98, 22 and 3 %."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        true = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], num).T
        observed = true + noise * rng.standard_normal(true.shape)
        low, high = np.quantile(
            agreement._without_ties(agreement._draws(observed, noise**2 * np.eye(2)))[0], (0.025, 0.975)
        )
        seen = tau_b(observed[0], observed[1:])[0]
        held += min(low, seen) - 1e-9 <= tau_b(true[0], true[1:])[0] <= max(high, seen) + 1e-9
    assert held >= 183  # 95 % of 200, less two standard errors


def test_draws_without_ties_give_the_same_tau_and_rho():
    true = np.random.default_rng(0).standard_normal((50, 2, 6))
    tau, rho = agreement._without_ties(true)
    assert tau.tolist() == pytest.approx(tau_b(true[:, 0], true[:, 1]).tolist())
    assert rho.tolist() == pytest.approx(spearman(true[:, 0], true[:, 1]).tolist())


def test_noise_leaves_out_what_encoders_share(one_seed):
    """Variance of a difference over videos, halved, on average over the pairs: by hand from right and wrong."""
    column = one_seed.measured[0]
    aligned = align(one_seed, column)
    right = {row: aligned.values[aligned.rows.index(row)].astype(float) for row in 'abcd'}
    pairs = [(i, j) for i in 'abcd' for j in 'abcd' if i < j]
    halved = [100**2 * (right[i] - right[j]).var() / 100 / 2 for i, j in pairs]
    found = scores(one_seed, column)
    assert (found.num_videos, found.paired, list(found.of)) == (100, True, list('abcd'))
    assert found.noise == pytest.approx(np.mean(halved))
    alone = np.mean([100**2 * right[row].var() / 100 for row in 'abcd'])
    assert found.noise < 0.7 * alone  # these encoders find the same videos hard
    assert shared_noise(one_seed, column, one_seed.measured[1]) == 0  # other videos


def test_columns_of_the_same_videos_share_noise(tmp_path):
    """A column against a copy of itself: all of its noise over videos is shared."""
    for protocol in ('finetune', 'frozen_linear'):
        for row, skill in (('a', 70), ('b', 60), ('c', 50)):
            add_record(tmp_path, encoder=row, accuracy=skill, protocol=protocol)
    table = made_table(tmp_path, {})
    first, second = table.measured
    for row in 'abc':
        table.answers[second.key, row] = table.answers[first.key, row]
    assert shared_noise(table, first, second) == pytest.approx(scores(table, first).noise)


def test_reliability_by_hand_and_columns_that_tell_nothing(one_seed):
    found = {each.column.dataset: each for each in column_spreads(one_seed)}
    first = found['data0']
    means = [first.column.cells[row].interval.mean for row in 'abcd']
    noise = scores(one_seed, first.column).noise
    assert first.between == pytest.approx(np.std(means, ddof=1))
    share = noise / np.var(means, ddof=1)
    assert first.reliability == pytest.approx(1 - share)
    assert first.low == pytest.approx(max(0, 1 - share * stats.chi2.ppf(0.975, 3) / 3))
    assert first.high == pytest.approx(1 - share * stats.chi2.ppf(0.025, 3) / 3)
    assert (first.num_pairs, first.num_encoders, first.num_videos) == (6, 4, 100)
    assert 'tells encoders apart, reliability 0.9' in first.sentence
    assert '4 encoders, 100 test videos that all scored.' in first.sentence
    last = found['data3']
    assert (last.num_apart, last.low) == (0, 0)
    assert 'does not tell encoders apart' in last.sentence


@pytest.mark.parametrize('which', ['one_seed', 'two_seeds'])
def test_p_of_all_pairs_are_those_of_single_comparisons(which, request):
    table = request.getfixturevalue(which)
    for column in table.measured:
        rows, p = align(table, column).rows, p_of_pairs(table, column)
        for i, first in enumerate(rows):
            for j, second in enumerate(rows[:i]):
                each = difference(table, column, column.cells[first], column.cells[second])
                assert isinstance(each, Difference)
                assert p[i, j] == p[j, i]
                if each.p < 0.05 and each.p > 1e-6:
                    assert p[i, j] == pytest.approx(each.p, rel=1e-6)
                else:
                    assert (p[i, j] >= 0.05) == (each.p >= 0.05)


def test_only_videos_that_all_scored_count(tmp_path):
    """b lacks the last 40 of 100 videos, and counts because partial records are allowed."""
    for row, skill, lacking in (('a', 80, 0), ('b', 60, 40), ('c', 50, 0)):
        add_record(tmp_path, encoder=row, accuracy=skill, num_unscored=lacking)
    table = Table.read([tmp_path], allow_partial=True)
    (column,) = table.measured
    found = scores(table, column)
    assert found.num_videos == 60
    wanted = table.answers[column.key, 'a'].values[0, :60].mean()
    assert found.of['a'] == pytest.approx(100 * wanted)
    assert found.of['a'] != pytest.approx(column.cells['a'].interval.mean)
    assert column_spreads(table)[0].num_videos == 60


def test_covariance_within_classes_is_the_sum_over_classes():
    """The formula of its docstring, class by class."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 7, 60)
    values = (rng.random((3, 60)) < 0.6).astype(float)
    classes, counts = np.unique(label, return_counts=True)
    weight = (1 / counts / len(classes))[np.searchsorted(classes, label)]
    within = [np.cov(values[:, label == c], bias=True) for c in classes]
    mean = values @ weight
    pooled = (values * weight) @ values.T - np.outer(mean, mean)
    shared = (sum(within) + pooled) / ((1 - 1 / counts).sum() + 1)
    wanted = sum((1 / 7) ** 2 / n * (m + shared / n) for m, n in zip(within, counts))
    found = share_covariance(values, Strata(label, weight))
    assert found[0] == pytest.approx(mean)
    assert found[1] == pytest.approx(wanted)


@pytest.mark.parametrize('seeds', [(0,), (0, 1, 2)])
def test_p_of_errors_and_of_mean_average_precision(seeds, tmp_path):
    for seed in seeds:
        for row, spread, skill in (('random', 4, 0.0), ('b', 3.2, 0.6), ('c', 0.4, 3.0)):
            add_counts(tmp_path, spread, encoder=row, seed=seed)
            add_several(tmp_path, skill, encoder=row, seed=seed)
    table = Table.read([tmp_path])
    assert {column.metric for column in table.measured} == {'count_error', 'mean_average_precision'}
    for column in table.measured:
        rows, p = align(table, column).rows, p_of_pairs(table, column)
        for i, first in enumerate(rows):
            for j, second in enumerate(rows[:i]):
                wanted = difference(table, column, column.cells[first], column.cells[second]).p
                if 2e-4 < wanted < 0.05:
                    assert p[i, j] == pytest.approx(wanted, rel=1e-6)
                else:  # random swaps end at 1e-4, where a bound may be below
                    assert (p[i, j] < 0.05) == (wanted < 0.05)
        assert p[rows.index('random'), rows.index('c')] < 0.001
