"""docs/departures.md: made from what protocols and recipes declare, which no number depends on."""

import pytest

from eval.cells.cell import Cell, ResolvedCell
from eval.protocols import get_protocol, load_protocols
from eval.protocols.base import Departure, Protocol
from sigma.errors import DataError
from tools.departures import PAGE, cell, page, recipe_departures, section


def test_the_page_is_what_is_declared():
    assert PAGE.read_text() == page(), 'run python tools/departures.py'


def test_every_declaration_is_whole():
    for name, protocol in load_protocols().items():
        for one in protocol.departures:
            assert isinstance(one, Departure), name
            assert all((one.what, one.published, one.ours, one.effect)), name


@pytest.mark.parametrize('protocol, recipe', [('finetune', 'finetune_demo'), ('robustness', 'robustness_toy')])
def test_departures_enter_no_config_and_no_identity(toy, tmp_path, protocol, recipe):
    """The same recipe with and without departures, under one name, makes the same cell."""
    cells = []
    for folder, declared in (('plain', []), ('told', [{'what': 'a', 'published': 'b', 'ours': 'c', 'effect': 'd'}])):
        file = tmp_path / folder / f'{recipe}.py'
        file.parent.mkdir()
        base = 'mmaction_configs/recipes/' + recipe
        source = (PAGE.parents[1] / f'{base}.py').read_text()
        file.write_text(f'{source}\nrecipe["departures"] = {declared!r}\n')
        cells.append(ResolvedCell(Cell(protocol, str(toy), str(file), 'random', 0), get_protocol(protocol)))
    plain, told = cells
    assert told.recipe['departures']
    assert not plain.recipe['departures']
    assert plain.id == told.id
    assert plain.config == told.config
    assert 'departures' not in repr(told.config)


def test_a_text_too_long_for_a_cell_becomes_a_note():
    notes: list[str] = []
    assert [cell('a | b', notes), cell('x' * 121, notes), cell('x' * 121, notes)] == ['a \\| b', 'note 1', 'note 1']
    one = Departure('what', 'word ' * 60, 'ours')
    text = section(['tiny'], type('Tiny', (Protocol,), {'departures': (one,)})(), {})
    assert '| what | note 1 | ours | not measured | all |' in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_recipe_with_something_else_is_named(tmp_path):
    file = tmp_path / 'mine.py'
    file.write_text("recipe = dict(protocol='finetune', departures=[dict(what='a', theirs='b')])\n")
    with pytest.raises(DataError, match='mine.*theirs'):
        recipe_departures([str(file)])
