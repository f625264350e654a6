"""Average ranks against Demsar's own example, scipy and a hand-made table."""

import numpy as np
import pytest
from scipy import stats

from eval.report.ranks import average_ranks, critical_difference, friedman, nemenyi
from eval.report.table import Table
from tests.eval.report.made import made_table

# Demsar (JMLR 2006), table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets. His ranks of the last but one
# data set are 2 and 3 where three digits tie, so the third column has one digit more here.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
).T


def test_demsars_example():
    ranks = average_ranks(DEMSAR).mean(axis=1)
    assert ranks.round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    # His chi-squared of 9.28 and F of 3.69 are without the correction for ties.
    chi_squared = 12 * 14 / (4 * 5) * (float((ranks**2).sum()) - 4 * 25 / 4)
    assert (round(chi_squared, 2), round(13 * chi_squared / (14 * 3 - chi_squared), 2)) == (9.28, 3.69)
    assert round(nemenyi(4, 14), 2) == 1.25
    assert round(nemenyi(4, 14, alpha=0.1), 2) == 1.12


def test_friedman_with_ties_is_scipys_and_f_follows_from_it():
    found = friedman(DEMSAR)
    wanted = stats.friedmanchisquare(*DEMSAR)
    assert (found.chi_squared, found.p_chi_squared) == pytest.approx((wanted.statistic, wanted.pvalue), rel=1e-12)
    assert found.f == pytest.approx(13 * found.chi_squared / (14 * 3 - found.chi_squared))
    assert found.p == pytest.approx(stats.f.sf(found.f, 3, 39))


def test_columns_that_all_agree_and_scores_that_all_tie():
    agree = friedman(np.array([[3, 5, 9.0], [2, 4, 8], [1, 3, 7]]))
    assert (agree.chi_squared, agree.f, agree.p) == (6.0, np.inf, 0.0)
    assert friedman(np.ones((3, 5)))[:4] == (0.0, 1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    'num, q', [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (9, 3.102), (10, 3.164)]
)
def test_critical_values_are_those_of_demsars_table_5(num, q):
    assert nemenyi(num, 1) / np.sqrt(num * (num + 1) / 6) == pytest.approx(q, abs=0.0011)


def test_functions_refuse():
    with pytest.raises(ValueError, match='3 encoders and 2 columns'):
        friedman(np.ones((2, 5)))
    with pytest.raises(ValueError, match='not finite'):
        average_ranks(np.array([[1.0, np.nan]]))
    for arguments in ((1, 5), (4, 0), (4, 5, 1.0)):
        with pytest.raises(ValueError, match='2 encoders, 1 column'):
            nemenyi(*arguments)


SKILLS = {'random': 10, 'a': 90, 'b': 70, 'c': 50, 'd': 30}


@pytest.fixture(scope='module')
def table(tmp_path_factory) -> Table:
    """Four encoders and random weights over six columns; d lacks the last one."""
    root = tmp_path_factory.mktemp('ranks')
    return made_table(root, {row: [skill] * (5 if row == 'd' else 6) for row, skill in SKILLS.items()})


def test_ranks_of_the_encoders_that_have_all_columns(table):
    found = critical_difference(table)
    assert (found.rows, found.ranks) == (['a', 'b', 'c'], [1.0, 2.0, 3.0])
    assert found.rows_left_out == ['d']
    assert len(found.columns) == 6
    assert found.columns_left_out == []
    assert found.friedman is not None
    assert found.friedman.chi_squared == pytest.approx(12.0)  # 6 columns (3 - 1), as all agree
    assert found.difference == pytest.approx(2.3437 * np.sqrt(3 * 4 / 36), abs=1e-3)  # 1.353
    assert found.groups == [(0, 1), (1, 2)]
    assert found.drawable
    text = ' '.join(found.sentences)
    for fact in ('3 encoders over 6 columns', 'a 1.00, b 2.00, c 3.00', 'chi-squared 12.00', '1.35 apart', ': d.'):
        assert fact in text, text
    assert critical_difference(table) is found  # kept with the table


def test_few_columns_give_a_sentence_and_no_diagram(table):
    keep = {column.key for column in table.measured[:4]}
    found = critical_difference(table.only(lambda column: column.key in keep))
    assert found.rows == ['a', 'b', 'c', 'd']
    assert (found.friedman, found.difference, found.groups, found.drawable) == (None, None, [], False)
    assert 'needs 5 columns or more' in found.sentences[1]


def test_without_a_full_row_the_largest_block_counts(tmp_path):
    """a and b share columns 0 to 2, c has only the last two."""
    nan = float('nan')
    table = made_table(tmp_path, {'a': [80, 80, 80, nan], 'b': [60, 60, 60, nan], 'c': [nan, nan, 70, 70]})
    found = critical_difference(table)
    assert (found.rows, len(found.columns), found.rows_left_out) == (['a', 'b'], 3, ['c'])
    assert [column.dataset for column in found.columns_left_out] == ['data3']


def test_errors_rank_the_other_way_and_equal_scores_share_a_rank(tmp_path):
    table = made_table(tmp_path, {'a': [80], 'b': [80], 'c': [40]})
    column = table.measured[0]
    for row, mean in (('a', 0.2), ('b', 0.2), ('c', 0.1)):
        column.cells[row].interval = column.cells[row].interval._replace(mean=mean)
    column.higher_is_better = False
    table.answers = {}
    found = critical_difference(table)
    assert (found.rows, found.ranks) == (['c', 'a', 'b'], [1.0, 2.5, 2.5])
