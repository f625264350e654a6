"""Protocols are found by file name; a new one is one file, of the project or of a user."""

import subprocess
import sys
from pathlib import Path

import pytest

from eval import protocols, run_severe
from eval.matrix import suites
from eval.protocols import get_protocol, load_protocols
from eval.records import read_records
from sigma.errors import DataError
from tests.conftest import ROOT
from tests.eval import tiny_matrix as tiny

NEW = '''"""A protocol in one file: every video is called a member of the first class."""

import numpy as np

from eval.protocols.base import Outcome, Protocol


class FirstClass(Protocol):
    """Chance of the first class."""

    name = {name!r}
    source = 'tests'
    metric = 'top1'
    uses_torch = False

    def config(self, resolved):
        return {{}}

    def run(self, resolved, work_dir):
        entries = resolved.dataset.entries('test')
        return Outcome(
            videos=[entry['video'] for entry in entries],
            labels=np.array([entry['label'] for entry in entries]),
            scores=np.tile([1.0, 0.0], (len(entries), 1)),
            unscored=[],
            num_listed=len(entries),
            num_train=0,
            num_train_skipped=0,
            selection={{'epoch': None, 'how': 'nothing is trained'}},
        )
'''


@pytest.fixture
def home(tmp_path, monkeypatch):
    made = tiny.make(tmp_path / 'home', num_encoders=1)
    for name, value in tiny.environment(made).items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def forget():
    """Modules of protocols that a test brings; their classes are forgotten when it ends."""
    import gc

    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith('imported_') or name in ('eval.protocols.first_class', 'eval.protocols.misnamed'):
            del sys.modules[name]
            vars(protocols).pop(name.rpartition('.')[2], None)
    gc.collect()


def test_every_protocol_lies_in_the_file_with_whose_name_its_own_begins():
    found = load_protocols()
    ours = {name: p for name, p in found.items() if type(p).__module__.startswith('eval.protocols.')}
    assert len(ours) >= 24
    assert {name.partition('_')[0] for name in ours} <= {Path(f).stem.partition('_')[0] for f in protocols._files()}
    for name, protocol in ours.items():
        assert get_protocol(name).version == protocol.version
        assert name.startswith(type(protocol).__module__.rpartition('.')[2])


def test_a_file_in_the_folder_is_all_that_a_new_protocol_takes(tmp_path, monkeypatch, forget):
    (tmp_path / 'first_class.py').write_text(NEW.format(name='first_class_of_all'))
    monkeypatch.setattr(protocols, '__path__', [*protocols.__path__, str(tmp_path)])
    assert get_protocol('first_class_of_all').metric == 'top1'
    assert 'first_class_of_all' in load_protocols()


def test_a_protocol_whose_file_cannot_be_told_from_its_name_is_refused(tmp_path, monkeypatch, forget):
    (tmp_path / 'misnamed.py').write_text(NEW.format(name='well_hidden'))
    monkeypatch.setattr(protocols, '__path__', [*protocols.__path__, str(tmp_path)])
    with pytest.raises(DataError, match="'well_hidden' is defined in eval.protocols.misnamed.*misnamed_well_hidden"):
        load_protocols()


def test_a_users_file_runs_to_a_record(home, forget, monkeypatch, capsys):
    (home / 'first.py').write_text(
        NEW.format(name='first_of_mine')
        + '\n\nfrom eval.matrix.suites import SUITES, Entry\n\n'
        + f"SUITES['first'] = (Entry('first_of_mine', {str(home)!r}, {str(home / 'first_recipe.py')!r}),)\n"
    )
    (home / 'first_recipe.py').write_text("recipe = {'protocol': 'first_of_mine'}\n")
    words = ['--suite', 'first', '--import', home / 'first.py', '--encoders', home / 'a.py']
    monkeypatch.setattr(suites, 'SUITES', dict(suites.SUITES))  # the file adds to it
    assert run_severe.main([*map(str, words), '--work-dir', str(home / 'work')]) == 0
    (record,) = read_records(home / 'work')
    assert (record.protocol['name'], record.score['value']) == ('first_of_mine', 50.0)
    assert 'first of mine' in capsys.readouterr().out


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(DataError, match="Unknown protocol 'robustness_ucfp'. Did you mean 'robustness_ucf-p'"):
        get_protocol('robustness_ucfp')


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'files'), [('frozen_linear', ['frozen']), ('localization_bmn', ['localization'])])
def test_a_protocol_imports_its_own_file_and_what_that_needs(name, files):
    code = (
        f"import sys; from eval.protocols import get_protocol; get_protocol('{name}'); "
        "files = 'finetune', 'frozen', 'localization', 'robustness'; "
        "print([file for file in files if f'eval.protocols.{file}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(files)
