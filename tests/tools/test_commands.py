"""What all commands share: help for every option, one sentence for bad input, and no torch before it is needed."""

import argparse
import os
import subprocess
import sys

import pytest

from sigma import __version__
from sigma.commands import Parser, end_with, version_line
from sigma.revision import git_state
from tests.conftest import ROOT, assert_one_sentence, run_tool

HEAVY = ('torch', 'mmengine', 'sklearn', 'pandas', 'matplotlib', 'av', 'decord', 'timm')

TOOLS = ('convert', 'features', 'plot', 'prepare', 'records', 'report', 'rescore', 'table', 'train')


def imported(*words: str) -> set[str]:
    """Heavy modules that a command imports until it ends."""
    command = [sys.executable, '-X', 'importtime', *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    names = {line.rpartition('|')[2].strip() for line in done.stderr.splitlines() if line.startswith('import time:')}
    return names & set(HEAVY)


@pytest.mark.parametrize(
    'words',
    [
        ('--suite', 'tony', '--encoders', 'random'),
        ('--suite', 'demo', '--encoders', 'random', '--sedes', '1'),
        ('--list', 'suites'),
        ('--version',),
    ],
)
def test_a_typo_or_a_list_of_the_matrix_imports_nothing_heavy(words, tmp_path):
    assert imported('eval/run_severe.py', *words, '--work-dir', str(tmp_path / 'w')) <= {'mmengine'}


def test_a_misspelt_encoder_is_told_without_torch(tmp_path):
    words = ('--suite', 'demo', '--encoders', 'randon', '--work-dir', str(tmp_path / 'w'))
    assert 'torch' not in imported('eval/run_severe.py', *words)
    done = run_tool('eval/run_severe.py', *words)
    assert_one_sentence(done, "run_severe: Unknown encoder 'randon'. Did you mean 'random'?")


def test_a_typo_of_a_training_is_told_without_torch(tmp_path):
    config = 'mmaction_configs/pretrain/own_sigma-mlp_vit-t.py'
    for words, said in (
        ((config.replace('vit-t', 'vit-tt'),), f'own_sigma-mlp_vit-tt.py is not there. Did you mean {config}?'),
        (('tony.txt',), 'Config tony.txt is not there. mmaction_configs/pretrain holds the configs of this project.'),
        ((config, '--data', str(tmp_path / 'gone')), f"The dataset '{tmp_path}/gone' does not exist"),
    ):
        done = run_tool('tools/train.py', *words, '--work-dir', tmp_path / 'w')
        assert_one_sentence(done, said)
    assert imported('tools/train.py', config, '--data', str(tmp_path / 'gone')) <= {'mmengine'}
    assert not (tmp_path / 'w').exists()


@pytest.mark.integration
def test_a_plan_imports_no_protocol_of_data_that_is_not_there(tmp_path):
    words = ('--suite', 'severe', '--encoders', 'vit_b', '--work-dir', str(tmp_path / 'w'))
    assert imported('eval/run_severe.py', *words, '--dry-run') & {'torch', 'sklearn', 'timm'} == set()


@pytest.mark.integration
def test_a_plan_of_known_encoders_imports_no_torch(toy, tmp_path):
    words = ('--suite', 'own', '--datasets', str(toy), '--encoders', 'random', '--work-dir', str(tmp_path / 'w'))
    assert run_tool('eval/run_severe.py', *words, '--dry-run').returncode == 0  # now the encoder is known
    assert imported('eval/run_severe.py', *words, '--dry-run') & {'torch', 'sklearn', 'timm'} == set()


def test_bad_input_is_one_sentence(capsys):
    parser = Parser(prog='tool')
    parser.add_argument('--number', type=int, help='a number')
    parser.add_argument('--needed', required=True, help='needed')
    for words, said in (
        (['--needed', 'x', '--numbr', '3'], 'tool: unknown option --numbr (did you mean --number?); see --help\n'),
        (['--needed', 'x', 'stray'], 'tool: stray belongs to no option; see --help\n'),
        (['--needed', 'x', '--number', 'three'], "tool: --number: invalid int value: 'three'\n"),
        ([], 'tool: --needed must be given; see --help\n'),
    ):
        with pytest.raises(SystemExit) as left:
            parser.parse_args(words)
        assert left.value.code == 2
        assert capsys.readouterr().err == said


def test_a_misspelt_option_of_a_subcommand_names_the_nearest(capsys):
    parser = Parser(prog='tool')
    parts = parser.add_subparsers()
    parts.add_parser('one').add_argument('--group-regex', help='a regex')
    parts.add_parser('two').add_argument('--size', help='a size')
    with pytest.raises(SystemExit) as left:
        parser.parse_args(['one', '--group-regx', 'x'])
    assert left.value.code == 2
    assert capsys.readouterr().err == 'tool: unknown option --group-regx (did you mean --group-regex?); see --help\n'


def test_an_interrupt_is_one_sentence(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, 'argv', ['tools/convert.py', 'a', 'b'])
    for main, status, said in (
        (interrupted, 130, 'convert: interrupted; no file is half written. Run the same command again.\n'),
        (lambda: 2, 2, ''),
    ):
        with pytest.raises(SystemExit) as left:
            end_with(main)
        assert left.value.code == status
        assert capsys.readouterr().err == said


@pytest.mark.parametrize('tool', TOOLS)
def test_every_command_answers_an_interrupt(tool):
    text = (ROOT / 'tools' / f'{tool}.py').read_text()
    assert 'end_with(main)' in text or 'except KeyboardInterrupt' in text


def test_a_version_names_the_commit(monkeypatch):
    from sigma import commands

    monkeypatch.setattr(commands, 'git_state', lambda: {'commit': '0123456789abcdef', 'clean': False})
    assert version_line('run_severe') == f'run_severe {__version__} (commit 0123456789, with changes)'
    monkeypatch.setattr(commands, 'git_state', lambda: {'commit': None, 'clean': None})
    assert version_line('run_severe') == f'run_severe {__version__}'
    assert set(git_state()) == {'commit', 'clean'}


@pytest.mark.parametrize('tool', TOOLS)
def test_every_command_tells_its_version(tool):
    done = run_tool(f'tools/{tool}.py', '--version')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f'{tool} {__version__}')


@pytest.mark.parametrize(
    'words',
    [
        ('tools/plot.py', '--list'),
        ('tools/table.py', '--records', 'tests/data/records'),
        ('tools/records.py', 'verify', 'tests/data/records/random'),
        ('eval/run_severe.py', '--list', 'suites'),
    ],
)
def test_a_reader_that_leaves_early_changes_nothing(words):
    """As `| head -1`, but the reader is gone before the command says anything; the status is that of a whole run."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    heard = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert len(heard.stdout) > 0
    assert (done.returncode, done.stderr) == (heard.returncode, heard.stderr)


class Caught(Exception):
    """Carries the parser of a command."""


@pytest.mark.parametrize(
    'module',
    ['eval.run_severe', 'eval.run_cell', 'tools.features', 'tools.plot', 'tools.report', 'tools.rescore']
    + ['tools.table', 'tools.test', 'tools.train', 'tools.convert', 'tools.prepare'],
)
def test_every_option_has_help(module, monkeypatch):
    import importlib

    found = importlib.import_module(module)

    def caught(parser, *_):
        raise Caught(parser)

    monkeypatch.setattr(Parser, 'parse_args', caught)
    function = next(getattr(found, n) for n in ('parse_args', 'parse', '_parser', 'main') if hasattr(found, n))
    try:
        parser = function([])
    except Caught as error:
        (parser,) = error.args
    parsers = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers += action.choices.values()
            continue
        assert action.help, f'{module}: {action.option_strings or action.dest}'
    for one in parsers[1:]:
        assert [a.option_strings or a.dest for a in one._actions if not a.help] == [], one.prog
