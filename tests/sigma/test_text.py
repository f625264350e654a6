"""Aligned columns, letter by letter."""

import pytest

from sigma.text import align

LINES = [['encoder', 'top-1'], ['random [flat]', '31.0'], ['  b', ''], ['', ''], ['', '3*']]


def test_columns_start_at_the_same_place_and_spaces_inside_stay():
    assert align(LINES).split('\n') == [
        'encoder        top-1',
        'random [flat]  31.0',
        '  b',
        '',
        '               3*',
    ]


def test_a_rule_is_as_wide_as_the_columns():
    assert align(LINES[:2], rule=True).split('\n') == ['encoder        top-1', '-' * 20, 'random [flat]  31.0']


def test_markdown():
    assert align(LINES[:3], markdown=True).split('\n') == [
        '| encoder       | top-1 |',
        '|---------------|-------|',
        '| random [flat] | 31.0  |',
        '|   b           |       |',
    ]


def test_a_long_line_is_never_wrapped_and_markup_is_plain_text():
    assert align([['[bold]x[/bold]', 'y ' * 400 + 'end']]) == '[bold]x[/bold]  ' + 'y ' * 400 + 'end'


def test_lines_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r'\[1, 2\] cells'):
        align([['a'], ['a', 'b']])
