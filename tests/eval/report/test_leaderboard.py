"""The leaderboard: who measured what, the order of the ranking, and links that lead to real files."""

import json
import re
import sys
from urllib.parse import unquote

import pytest

from eval.records import RecordError, find_log, identity_hash
from eval.report.page.leaderboard import name_people, read_board, sections
from eval.report.page.parts import Link
from eval.report.summaries import Summary
from tests.conftest import ROOT, assert_one_sentence, call_main
from tools import report

sys.path.insert(0, str(ROOT / 'tests' / 'data' / 'records'))
from build_records import add_record, digest  # noqa: E402

NAMES = ('toy', 'toy_b')


def add(root, encoder, accuracy, dataset='toy', **changes):
    """A record with a log, as a run leaves it."""
    record = add_record(root, accuracy, changes, encoder=encoder, dataset=dataset)
    log = root / 'cells' / f'{record.name}-{record.cell["id"][:8]}' / 'cell.log'
    log.parent.mkdir(parents=True)
    log.write_text('done\n')
    return record


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """alice and `b&b` measured the same random weights, and other weights under one name."""
    root = tmp_path_factory.mktemp('board')
    for dataset in NAMES:
        add(root / 'alice', 'random', 20, dataset)
        add(root / 'b&b' / 'records', 'random', 20, dataset)
        add(root / 'alice', 'sigma_mlp_toy', 70, dataset, **{'run.command': 'python eval/run_cell.py exact'})
    for folder, accuracy, name in ((root / 'alice', 50, 'a'), (root / 'b&b' / 'records', 60, 'b')):
        with_weights(add(folder, 'mine', accuracy), name)
    return root


def with_weights(record, name):
    """Let a record be of other weights under the same name."""
    raw = json.loads(record.path.read_text())
    raw['encoder'] |= {'checkpoint': f'{name}.pth', 'sha256': digest(name)}
    raw['identity'] |= {'encoder': ['mine', digest(name)]}
    raw['cell']['id'] = identity_hash(raw['identity'])
    record.path.write_text(json.dumps(raw))


def text(entry):
    return entry.text if isinstance(entry, Link) else entry


def test_ranking_people_and_numbers(folders):
    summary = Summary('two', tuple(('finetune', name, None) for name in NAMES))
    board = read_board([str(folders / 'alice'), f'bob={folders / "b&b"}'], summary=summary)
    (ranking, people), (numbers,) = sections(board, folders / 'page' / 'board.html')
    grid = ranking.parts[0]
    assert grid.head == ['', 'encoder', 'measured by', 'two', 'average rank', 'columns', 'best in']
    lines = [[text(entry) for entry in line] for line in grid.lines]
    assert [line[:3] for line in lines] == [
        ['1', 'sigma_mlp_toy', 'alice'],
        ['2', 'random', 'alice, bob'],
        ['3', 'mine (bob)', 'bob'],  # it lacks a column, so it has no mean
        ['4', 'mine (alice)', 'alice'],
    ]
    assert [line[-2:] for line in lines] == [['2 of 2', '2'], ['2 of 2', '0'], ['1 of 2', '0'], ['1 of 2', '0']]
    assert [line[0] for line in people.parts[0].lines] == ['alice', 'bob']
    assert [line[2] for line in people.parts[0].lines] == ['5', '3']
    entries = {(text(line[0]), line[1]): line for line in numbers.parts[0].lines}
    assert len(entries) == 6
    line = entries['sigma_mlp_toy', 'finetune / toy_b']
    assert (line[3].text, line[4], line[7].text) == ('80.0', 'alice', 'command')
    assert line[3].href == line[7].href == '#cell=sigma_mlp_toy%20%7C%20finetune%20%2F%20toy_b'
    for line in entries.values():
        for link in (entry for entry in line[5:7] if isinstance(entry, Link)):  # `mine` has no log
            assert link.href.startswith('../')
            assert (folders / 'page' / unquote(link.href)).resolve().is_file()
    assert sum(isinstance(line[6], Link) for line in entries.values()) == 4
    assert 'b%26b' in entries['mine (bob)', 'finetune / toy'][5].href


@pytest.mark.integration
def test_the_page_as_a_command(folders, tmp_path, capsys):
    out = folders / 'board.html'
    words = ('--leaderboard', folders / 'alice', f'bob={folders / "b&b"}', '--no-videos', '--out', out)
    done = call_main(report.main, capsys, *words)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith(f'{out}: 6 records, ')
    html = out.read_text()
    assert '<h1 dir="auto">Leaderboard</h1>' in html
    assert re.findall('<section id="([a-z]+)"', html)[1:4] == ['ranking', 'people', 'results']
    assert 'python eval/run_cell.py exact' in html
    assert 'href="b%26b/records/' in html
    other = folders / 'other' / 'alice'
    add(other, 'random', 33)
    for bad, said in [
        ([folders / 'alice', other], ['alice=']),
        ([folders / 'alice', f'eve={other}'], ['the same cell random_finetune_toy_s0 scored 9.00']),
        ([folders / 'nobody'], ['nobody']),
        (['=x'], ['NAME=DIR']),
    ]:
        done = call_main(report.main, capsys, '--leaderboard', *bad, '--no-videos', '--out', tmp_path / 'x.html')
        assert_one_sentence(done, *said)
        assert not (tmp_path / 'x.html').exists()


def test_names_of_people(tmp_path):
    (tmp_path / 'a=b').mkdir()
    assert name_people([str(tmp_path / 'a=b'), 'x=y/z', 'q/records']) == {
        'a=b': tmp_path / 'a=b',
        'x': name_people(['x=y/z'])['x'],
        'q': name_people(['q/records'])['q'],
    }
    with pytest.raises(RecordError, match='both called'):
        name_people(['x=a', 'x=b'])


def test_a_log_beside_the_record_comes_first(folders):
    record = read_board([str(folders / 'alice')]).table.records[0]
    assert find_log(record).name == 'cell.log'
