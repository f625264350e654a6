"""The name that a trial on a few videos (`--limit`) gives to the training subset of its record."""

from types import SimpleNamespace

import pytest

from eval.run_cell import subset_of


@pytest.mark.parametrize(
    ('limit', 'name', 'wanted'),
    [
        (None, None, None),
        (20, None, 'limit_20'),
        (20, 'limit_20', 'limit_20'),  # a sweep takes the subset of the cell whose weights it takes
        (20, '10-a-class', '10-a-class_limit_20'),
        (20, '10-a-class_limit_20', '10-a-class_limit_20'),
    ],
)
def test_a_trial_is_named_once(limit, name, wanted):
    subset = None if name is None else {'name': name}
    found = subset_of(SimpleNamespace(cell=SimpleNamespace(limit=limit)), SimpleNamespace(subset=subset))
    assert (found or {}).get('name') == wanted
