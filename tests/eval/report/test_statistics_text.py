"""The summary of a table in sentences, word for word."""

import numpy as np
import pytest

from eval.report.differences import difference
from eval.report.papers import read_paper
from eval.report.statistics_text import conclusions, listed, sections
from eval.report.summaries import Summary
from eval.report.table import Table
from tests.eval.report.made import add_record, made_table

SKILLS = {'random': [10] * 6, 'a': [90, 90, 90, 90, 51, 50], 'b': [60, 60, 60, 60, 50, 51], 'c': [30] * 6}


@pytest.fixture(scope='module')
def table(tmp_path_factory):
    return made_table(tmp_path_factory.mktemp('text'), SKILLS, num_listed=200)


def test_who_wins_where_by_how_much_how_sure(table):
    said = conclusions(table)
    first = table.measured[0].cells
    lead = first['a'].interval.mean - first['b'].interval.mean
    assert said[0] == 'Best score: a in 4 of 6 columns (clearly in 4), b in 2.'
    assert said[1].startswith(f'Clearly ahead: a in data0 by {lead:.1f} points [')
    assert said[1].endswith('; and 1 more.')
    assert said[1].count('over b') == 3
    assert said[2].startswith('No clear winner in 2 of 6 columns: data4 (')
    assert said[3] == 'Random weights are clearly beaten in all 18 comparisons.'
    assert said[4].startswith('Average rank of 3 encoders over 6 columns (1 is the best): a 1.')
    assert said[-1] == (
        '1 seed in each cell, 200 test videos: with one seed, what is clear is about these weights, not about other '
        'seeds (train three).'
    )
    assert len(said) == 6


def test_all_sections(table):
    found = sections(table)
    assert list(found) == ['In short', 'Average ranks', 'What each column tells', 'Do columns agree?']
    assert found['In short'] is conclusions(table)  # computed once
    assert len(found['What each column tells']) == 6


def test_one_encoder_missing_cells_and_too_few_videos(tmp_path):
    alone = made_table(tmp_path / 'alone', {'random': [10], 'a': [11]}, seeds=(0, 1, 2))
    assert conclusions(alone) == [
        'No two encoders share a column, so nothing can be compared.',
        'Not clearly above random weights in 1 of 1 comparisons: a in data0.',
        '3 seeds in each cell, 100 test videos; clear means p < 0.05 by Holm and a 95 % interval of the difference '
        'without 0.',
    ]
    nan = float('nan')
    made_table(tmp_path / 'gaps', {'a': [50, 60], 'b': [nan, 40]})
    add_record(tmp_path / 'gaps', encoder='c', accuracy=50, dataset='data1', num_unscored=9)
    said = conclusions(Table.read([tmp_path / 'gaps']))
    assert said[0] == 'Best score: a in the only column (clearly).'
    assert said[-2:] == [
        'Missing: 2 of 6 cells (b 1, c 1).',
        'Not counted, since too few videos were scored: c in data1.',
    ]


def test_the_mean_of_a_suite_says_how_far_the_best_are_apart(tmp_path):
    made_table(tmp_path, {'a': [70, 62], 'b': [60, 60]}, num_listed=400)
    summary = Summary('mean of 2', tuple(('finetune', f'data{i}', None) for i in range(2)))
    table = Table.read([tmp_path], summary=summary)
    each = [difference(table, column, column.cells['a'], column.cells['b']) for column in table.measured]
    value = (each[0].difference + each[1].difference) / 2
    low = value - np.hypot(*(d.difference - d.low for d in each)) / 2
    high = value + np.hypot(*(d.high - d.difference for d in each)) / 2
    (said,) = (sentence for sentence in conclusions(table) if sentence.startswith('mean of 2: a '))
    assert said.endswith(f'; ahead by {value:.1f} points [{low:.1f}, {high:.1f}].')
    means = [table.columns[-1].cells[row].interval.mean for row in 'ab']
    assert value == pytest.approx(means[0] - means[1])


def test_published_numbers_are_not_tested():
    table = Table(read_paper('sigma_severe'))
    said = conclusions(table)
    assert said[0].startswith('Best score: ')
    assert said[0].endswith('; none of them clearly.')
    assert said[-1] == 'All numbers are published: they have no intervals, and no two are tested against each other.'


def test_lists():
    assert listed('abcd') == 'a, b, c, d'
    assert listed('abcdef') == 'a, b, c, d and 2 more'
