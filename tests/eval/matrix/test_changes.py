"""What the command line changes in a suite: recipes, protocols, limits, states; and how a run ends by a signal."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from eval import run_severe
from eval.cells.cell import Cell
from eval.cells.overrides import apply_changes, as_changes, in_name, parse_changes
from eval.matrix import choose, suites
from eval.matrix.steps import last_step, reached
from eval.matrix.suites import Entry
from eval.records import read_records
from eval.report.table import Table
from eval.settings.finetune import FINETUNE
from sigma.configs import split_limit, with_limit
from sigma.data.lists import spread
from sigma.errors import DataError
from tests.conftest import PATIENCE, ROOT, assert_one_sentence, run_tool
from tests.eval import tiny_matrix as tiny
from tests.eval.test_run_severe import HIGH, LOW, command, guarded, home  # noqa: F401 - a fixture

# --- recipes -------------------------------------------------------------------------------------------------------


def test_words_become_typed_values():
    found = parse_changes(['epochs=5', 'lr=1e-3', 'betas=(0.9, 0.95)', 'views.num_clips=2', 'decoder=pyav'], {'a': 1})
    assert found == {
        'a': 1,
        'epochs': 5,
        'lr': 1e-3,
        'betas': (0.9, 0.95),
        'views.num_clips': 2,
        'decoder': 'pyav',
    }
    assert parse_changes(['a=none', 'b=False', 'c=x=y'], {}) == {'a': None, 'b': False, 'c': 'x=y'}
    for words, others in ((['epochs'], {}), (['=5'], {}), (['epochs=5'], {'epochs': 4}), (['a=1', 'a=2'], {})):
        with pytest.raises(DataError):
            parse_changes(words, others)


def test_a_change_takes_out_what_it_excludes_and_leaves_the_recipe_alone():
    recipe = {'protocol': 'finetune', 'num_steps': 40, 'base_lr': 0.1, 'views': {'num_clips': 1, 'crops': 1}}
    changes = as_changes({'epochs': 5, 'views.num_clips': 2, 'strengths': [1.0]})
    changed, applied = apply_changes(recipe, changes, FINETUNE)
    assert applied == {'epochs': 5, 'views.num_clips': 2}  # `strengths` is of another protocol
    assert changed == {
        'protocol': 'finetune',
        'epochs': 5,
        'base_lr': 0.1,
        'views': {'num_clips': 2, 'crops': 1},
    }
    assert recipe['num_steps'] == 40
    assert recipe['views']['num_clips'] == 1
    assert in_name(applied) == '+epochs=5+views.num_clips=2'
    assert re.fullmatch(r'\+betas=[0-9a-f]{8}', in_name({'betas': [0.9, 0.95]}))  # a file name holds no brackets
    assert Cell(**json.loads(Cell('p', 'd', 'r', 'e', 0, changes=changes).to_json())).changes == changes


def test_a_changed_recipe_is_another_cell_with_its_own_row(home, monkeypatch, capsys):  # noqa: F811
    assert run_severe.main(command(home)) == 0
    assert run_severe.main(command(home, '--recipe', 'strength=3')) == 0
    records = {record.name: record for record in read_records(home / 'work')}
    assert set(records) == {LOW, HIGH, *(name.replace('_s0', '+strength=3_s0') for name in (LOW, HIGH))}
    changed = records[LOW.replace('_s0', '+strength=3_s0')]
    assert changed.identity['config'] == {'strength': 3}
    assert changed.identity['changes'] == {'strength': 3}
    assert changed.get('recipe.name') == 'low+strength=3'
    assert 'changes' not in records[LOW].identity
    rows = Table.read([home / 'work']).rows
    assert sorted(rows) == ['a [high+strength=3]', 'a [high]', 'a [low+strength=3]', 'a [low]']
    names = {path.name for path in (home / 'work').glob('*.table.md')}
    assert names == {'tiny-home.table.md', 'tiny-home-strength=3.table.md'}
    capsys.readouterr()
    done = guarded(monkeypatch, capsys, command(home, '--recipe', 'strenght=3'))
    assert_one_sentence(done, "--recipe strenght: Unknown setting 'strenght'. Did you mean 'strength'?")
    done = guarded(monkeypatch, capsys, command(home, '--epochs', '3'))
    assert_one_sentence(done, '--epochs: no protocol of this plan has such a setting', 'that has: ', ' finetune, ')


# --- limits --------------------------------------------------------------------------------------------------------


def test_a_limit_spreads_over_labels():
    pairs = [(f'v{n}', label) for n, label in enumerate([0, 0, 0, 0, 1, 1, 2])]
    assert spread(pairs, 3) == [0, 4, 6]
    assert spread(pairs, 5) == [0, 1, 4, 5, 6]
    assert spread(pairs, 99) == list(range(7))
    assert with_limit('toy', None) == 'toy'
    assert split_limit(with_limit(with_limit('a b/toy', 9), 20)) == ('a b/toy', 20)
    assert split_limit('toy#limit=x') == ('toy#limit=x', None)


def test_a_trial_on_a_few_videos_never_joins_the_others(home, capsys):  # noqa: F811
    assert run_severe.main(command(home)) == 0
    assert run_severe.main(command(home, '--limit', 4)) == 0
    records = {record.name: record for record in read_records(home / 'work')}
    assert set(records) == {LOW, HIGH, 'a_tiny_tiny_limit-4_low_s0', 'a_tiny_tiny_limit-4_high_s0'}
    trial, whole = records['a_tiny_tiny_limit-4_low_s0'], records[LOW]
    assert (trial.dataset['limit'], trial.dataset['num_listed'], trial.get('subset.name')) == (4, 4, 'limit_4')
    assert (whole.dataset['limit'], whole.dataset['num_listed'], whole.subset) == (None, 10, None)
    assert trial.identity['limit'] == 4
    assert 'limit' not in whole.identity
    columns = {column.name: len(column.cells) for column in Table.read([home / 'work']).columns}
    assert columns == {'tiny / tiny / limit_4': 2, 'tiny / tiny': 2}
    capsys.readouterr()
    assert run_severe.main(command(home, '--limit', 4, '--dry-run')) == 0
    assert '2 cells, 2 done' in capsys.readouterr().out


# --- suites --------------------------------------------------------------------------------------------------------


def test_protocols_restrict_a_suite_or_replace_its_entries(monkeypatch):
    entries = suites.suite_entries('demo')
    assert choose.with_protocols(entries, ['frozen_linear'], 'demo') == [entries[1]]
    assert choose.with_protocols(entries, ['frozen_linear', 'finetune'], 'demo') == [entries[1], entries[0]]
    (other,) = choose.with_protocols(entries, ['arrow_of_time'], 'demo')
    assert (other.protocol, other.dataset) == ('arrow_of_time', 'toy')
    monkeypatch.setitem(suites.SUITES, 'mine', (Entry('mine_alone', 'toy', 'mine'),))
    assert choose.with_protocols(entries, ['mine_alone'], 'demo') == [Entry('mine_alone', 'toy', 'mine')]
    with pytest.raises(DataError, match="'forzen_linear'.*Did you mean 'frozen_linear'"):
        choose.with_protocols(entries, ['forzen_linear'], 'demo')


def test_a_second_suite_in_one_work_directory_has_its_own_table(home, monkeypatch):  # noqa: F811
    monkeypatch.setitem(suites.SUITES, 'half', tiny.entries(home)[:1])
    words = command(home)
    assert run_severe.main(words) == 0
    first = (home / 'work' / 'tiny-home.table.md').read_bytes()
    words[words.index('tiny')] = 'half'
    assert run_severe.main(words) == 0
    assert (home / 'work' / 'tiny-home.table.md').read_bytes() == first
    assert (home / 'work' / 'half-home.table.md').read_bytes() != first


def test_states_of_finished_cells_are_kept_or_dropped(home, capsys):  # noqa: F811
    assert run_severe.main(command(home)) == 0
    (folder,) = (home / 'work' / 'cells').glob(f'{LOW}-*')
    (folder / 'iter_9.safetensors').write_bytes(b'weights')
    assert run_severe.main(command(home)) == 0
    assert (folder / 'iter_9.safetensors').is_file()
    assert run_severe.main(command(home, '--keep-states', 'none')) == 0
    assert not (folder / 'iter_9.safetensors').exists()
    assert (folder / 'cell.log').is_file()
    assert len(read_records(home / 'work')) == 2


def test_configs_are_printed_and_nothing_runs(home, monkeypatch, capsys):  # noqa: F811
    assert run_severe.main(command(home, '--print-config')) == 0
    assert capsys.readouterr().out.count("config = {'strength': ") == 2
    assert (
        run_severe.main(command(home, '--recipe', 'strength=9', '--print-config', LOW.replace('_s0', '+strength=9_s0')))
        == 0
    )
    assert "config = {'strength': 9}" in capsys.readouterr().out
    done = guarded(monkeypatch, capsys, command(home, '--print-config', LOW[:-1]))
    assert_one_sentence(done, 'Unknown cell', LOW)
    assert not (home / 'work').exists()


def test_devices_are_checked_and_handed_on(monkeypatch):
    from eval.matrix.executors.local import use_device

    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,7')
    use_device(None)
    use_device('cuda')
    import os

    assert os.environ['CUDA_VISIBLE_DEVICES'] == '4,7'
    with pytest.raises(DataError, match='cuda:2: 2 GPUs are visible'):
        use_device('cuda:2')
    use_device('cuda:1')
    assert os.environ['CUDA_VISIBLE_DEVICES'] == '7'
    use_device('cpu')
    assert os.environ['CUDA_VISIBLE_DEVICES'] == ''
    with pytest.raises(DataError, match='no GPU is visible'):
        use_device('cuda')


# --- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('number', 'name'), [(signal.SIGTERM, 'SIGTERM'), (signal.SIGINT, 'Ctrl-C')])
def test_a_signal_ends_with_a_sentence_the_table_so_far_and_the_command(tmp_path, number, name):
    made = tiny.make(tmp_path / 'home', num_encoders=1)
    tiny.order(made, **{HIGH: ('sleep', 600)})
    process = tiny.popen(made, tmp_path / 'work', '--jobs', 1, encoders='a', seeds=(0,))
    deadline = time.monotonic() + 100 * PATIENCE
    while HIGH not in tiny.ran(made) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    out, _ = process.communicate(timeout=100 * PATIENCE)
    assert process.returncode == 128 + number
    assert 'Traceback' not in out
    assert f'run_severe: stopped by {name}: 1 of 2 cells have their records' in out
    assert 'To go on: python ' in out
    assert f'--work-dir {tmp_path}/work' in out
    assert 'chance' in out  # the table
    assert (tmp_path / 'work' / 'tiny-home.table.md').is_file()
    assert tiny.ran(made) == [LOW, HIGH]
    assert list((tmp_path / 'work' / 'cells').rglob('failed.json')) == []


def test_the_command_that_goes_on_can_be_pasted(monkeypatch):
    from eval.matrix.ending import command_again

    monkeypatch.setattr(sys, 'argv', ['/anywhere/pytest'])
    assert command_again(['--datasets', 'my videos']) == "python eval/run_severe.py --datasets 'my videos'"


def test_a_cell_that_saved_when_told_to_end_is_stopped_and_not_failed():
    code = (
        'from eval import run_cell\nclass Preempted(RuntimeError): pass\n'
        "def main(): raise Preempted('the state after step 3 of 9 is saved')\n"
        'run_cell.main = main\nrun_cell.guarded()'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGTERM
    assert done.stderr == 'cell: the state after step 3 of 9 is saved\n'


@pytest.mark.integration
def test_a_fine_tuning_cell_that_is_told_to_end_goes_on_from_its_step(toy, tmp_path):
    words = ['--suite', 'demo', '--protocols', 'finetune', '--datasets', str(toy), '--encoders', 'random']
    words += ['--work-dir', str(tmp_path), '--recipe', 'num_steps=100000', '--jobs', '1']
    command = [sys.executable, str(ROOT / 'eval' / 'run_severe.py'), *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120 * PATIENCE
    while time.monotonic() < deadline:
        logs = list(tmp_path.glob('cells/*/cell.log'))
        if logs and (step := last_step(logs[0])) is not None and step.done >= 2:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120 * PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM, out
    (found,) = [reached(folder) for folder in (tmp_path / 'cells').iterdir()]
    assert found.saved >= 2
    assert found.unit == 'step'
    assert list(tmp_path.rglob('failed.json')) == []
    done = run_tool('eval/run_severe.py', *words, '--dry-run')
    assert f'goes on after step {found.saved}' in done.stdout
    assert '1 to run (1 interrupted before)' in done.stdout
