"""`run_severe.py --list`: every name with a sentence, without what takes seconds to import."""

import subprocess
import sys

import pytest

from eval import run_severe
from eval.corruptions import CORRUPTIONS
from eval.matrix.listing import KINDS, listing
from eval.matrix.suites import SUITES
from eval.protocols import load_protocols
from eval.report.figures import all_figures
from sigma.configs import card_names, first_sentence, walk_sentences
from sigma.errors import DataError
from tests.conftest import ROOT, assert_one_sentence

CARDS = ('suites', 'encoders', 'datasets', 'recipes')


def names(kind: str) -> list[str]:
    if kind in CARDS:
        return card_names(kind)
    if kind == 'probes':
        return [path.stem for path in (ROOT / 'eval' / 'probes').glob('[!_]*.py')]
    return {'protocols': load_protocols, 'corruptions': lambda: CORRUPTIONS, 'figures': all_figures}[kind]()


@pytest.mark.parametrize('kind', KINDS)
def test_every_name_has_its_sentence_in_one_column(kind):
    lines = listing(kind).splitlines()
    assert [line.split()[0] for line in lines] == sorted(names(kind))
    width = max(map(len, names(kind)), default=0)
    if kind == 'protocols':  # those of other tests have no sentence
        ours = {name for name, protocol in load_protocols().items() if type(protocol).__module__.startswith('eval.')}
        lines = [line for line in lines if line.split()[0] in ours]
        assert len({line[width:] for line in lines}) == len(lines)  # each says what sets it apart
    for line in lines:
        assert line[width : width + 2] == '  '
        assert len(line[width + 2 :]) > 15
        assert not line[width + 2 :].startswith(' ')


def test_lists_of_cards_and_the_help_need_no_torch():
    code = (
        'import sys\nfrom eval import run_severe\n'
        f'for kind in {(*CARDS, "figures")!r}:\n    run_severe.main(["--list", kind])\n'
        'try:\n    run_severe.main(["--help"])\nexcept SystemExit:\n    pass\n'
        'print([m for m in ("torch", "mmengine", "numpy", "pandas", "matplotlib") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == '[]'
    assert done.stdout.splitlines()[0].startswith('controls ')


def test_a_misspelt_kind_is_one_sentence(monkeypatch, capsys):
    with pytest.raises(DataError, match="Unknown list 'suits'. Did you mean 'suites'?"):
        listing('suits')
    monkeypatch.setattr('sys.argv', ['run_severe.py', '--list', 'encoder'])
    status = run_severe.guarded()
    done = subprocess.CompletedProcess([], status, *capsys.readouterr())
    assert_one_sentence(done, "'encoder'", "'encoders'", 'protocols')


def test_what_an_import_adds_is_listed(tmp_path, monkeypatch, capsys):
    (tmp_path / 'mine_for_list.py').write_text(
        'from eval.matrix.suites import SUITES, Entry\n'
        "SUITES['mine_for_list'] = [Entry('frozen_linear', 'toy', 'frozen_demo')]\n"
    )
    try:
        assert run_severe.main(['--list', 'suites', '--import', str(tmp_path / 'mine_for_list.py')]) == 0
        assert 'mine_for_list' in capsys.readouterr().out
    finally:
        SUITES.pop('mine_for_list', None)


def test_without_a_list_suite_encoders_and_folder_are_required(capsys):
    with pytest.raises(SystemExit) as left:
        run_severe.parse_args(['--suite', 'demo'])
    assert left.value.code == 2
    assert capsys.readouterr().err == 'run_severe: --encoders, --work-dir must be given; see --help\n'


@pytest.mark.parametrize(
    ('docstring', 'sentence'),
    [
        ('One line.', 'One line.'),
        ('A first line.\n\nMore.', 'A first line.'),
        (
            'A sentence that goes on\nin the second line. And another.\n\nMore.',
            'A sentence that goes on in the second line.',
        ),
        ('No full stop', 'No full stop'),
        (None, ''),
    ],
)
def test_the_first_sentence_of_a_docstring(docstring, sentence):
    assert first_sentence(docstring) == sentence


def test_files_that_begin_with_an_underscore_are_not_listed(tmp_path):
    (tmp_path / '__init__.py').write_text('"""A package."""\n')
    (tmp_path / 'one.py').write_text('"""The one."""\nimport nothing_of_this_name\n')
    assert list(walk_sentences(tmp_path)) == [('one', 'The one.')]
