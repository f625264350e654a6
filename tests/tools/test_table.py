"""tools/table.py as a command: its formats, published means, what it refuses, and that pdflatex compiles its LaTeX."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import pytest

from eval.report.papers import _tables
from eval.report.table import Table
from tests.conftest import PATIENCE, ROOT
from tools.table import main

COMMITTED = ROOT / 'tests' / 'data' / 'records'
sys.path.insert(0, str(COMMITTED))
from build_records import add_record  # noqa: E402


def run(capsys, *words) -> tuple[int, str, str]:
    """Status, stdout and stderr of the command in this process."""
    try:
        status = main([str(word) for word in words])
    except SystemExit as left:
        status = left.code
    return status, *capsys.readouterr()


def test_the_committed_records_as_text(capsys):
    status, said, _ = run(capsys, '--records', COMMITTED, '--interval', 'none', '--baseline', 'random')
    assert status == 0
    assert said.splitlines() == [
        '               fine-tuned                frozen linear',
        '               ------------------------  -------------',
        'encoder        toy (5/class)  toy shift  toy',
        '-' * 54,
        'random         26.0 n=2       missing    44.0 n=1',
        'sigma_mlp_toy  51.5 n=2       82.8* n=1  47.0 n=1',
        'videomae_toy   missing        missing    33.0▼ n=1',
        'chance         10.0           10.0       10.0',
        '',
        'top-1 accuracy in percent, mean over n seeds; chance: a uniform guess',
        'random: random weights, no pretraining',
        'n=1: the interval covers the choice of test videos, not the choice of seed',
        'n=2 or 3: the spread of seeds is pooled over the cells of a protocol',
        'fewer than three seeds say little about others: run three (--seeds 0 1 2)',
        '* not all videos were scored: sigma_mlp_toy in finetune / toy_shift lacks 1 of 100 (seed 0)',
        "▼ clearly worse than random (p < 0.05 by Holm's correction, and a 95 % interval without 0)",
    ]


def test_a_choice_of_columns_and_rows_in_their_order(capsys):
    words = ['--encoders', 'sigma_mlp_toy', 'random', '--protocols', 'frozen_linear', 'finetune', '--datasets', 'toy']
    status, said, _ = run(capsys, '--records', COMMITTED, *words, '--interval', 'none')
    assert status == 0
    lines = said.splitlines()
    assert lines[0].split() == ['frozen', 'linear', 'fine-tuned']
    assert lines[2].split() == ['encoder', 'toy', 'toy', '(5/class)']
    assert [line.split()[0] for line in lines[4:6]] == ['sigma_mlp_toy', 'random']


@pytest.mark.parametrize('name', ['severe', 'sigma_severe', 'severepp'])
def test_published_means_are_reproduced_by_the_path_of_ours(name, capsys):
    """SIGMA's and SEVERE's printed means to 0.1, through the command; the columns are rounded, so no nearer."""
    status, said, _ = run(capsys, '--published', name, '--summary', 'severe', '--format', 'csv')
    assert status == 0
    lines = [line for line in csv.DictReader(io.StringIO(said)) if line['protocol'] == 'mean of 8' and line['mean']]
    found = {line['encoder'].removesuffix(' (published)'): float(line['mean']) for line in lines}
    printed = {row['encoder']: row['mean'] for row in _tables()[name]['rows'] if row.get('mean') is not None}
    assert set(found) == set(printed)
    assert max(abs(found[encoder] - printed[encoder]) for encoder in printed) < 0.1


def test_files_are_written_whole(tmp_path, capsys):
    out = tmp_path / 'new' / 'table.md'
    status, said, _ = run(capsys, '--records', COMMITTED, '--format', 'markdown', '--out', out)
    assert (status, said) == (0, f'{out} written\n')
    assert out.read_text().startswith('|               | fine-tuned ')


def test_damaged_files_are_named_and_the_rest_is_written(capsys, monkeypatch):
    read = Table.read

    def with_fault(*arguments, **options):
        table = read(*arguments, **options)
        table.faults = ['cell.json: not a JSON file']
        return table

    monkeypatch.setattr(Table, 'read', with_fault)
    status, said, error = run(capsys, '--records', COMMITTED)
    assert status == 1
    assert 'sigma_mlp_toy' in said
    assert error == 'table: left out: cell.json: not a JSON file\n'


BAD = [
    ([], 'give --records, --published, or both'),
    (['--records', 'nowhere'], 'nowhere: no such folder'),
    (['--published', 'sigma_sever'], "Did you mean 'sigma_severe'"),
    (['--records', 'made', '--suite', 'sever'], "Unknown suite 'sever'. Did you mean 'severe'"),
    (['--records', 'made', '--suite', 'severe'], 'no record is of a column of the suite severe'),
    (['--records', 'made', '--summary', 'sever'], "Unknown summary 'sever'. Did you mean 'severe'"),
    (['--records', 'made', '--baseline', 'randm'], "Did you mean 'random'"),
    (['--records', 'made', '--encoders', 'randm'], "Did you mean 'random'"),
    (['--records', 'made', '--metric', 'top_1'], "Did you mean 'top1'"),
    (['--records', 'made', '--format', 'html'], "invalid choice: 'html'"),
    (['--records', 'made', '--width', '5'], '--width 5 is too small'),
    (['--records', 'made', '--split', '2'], '--split is for --format latex'),
    (['--records', 'made', '--standalone'], '--standalone and --caption are for --format latex'),
    (['--records', 'made', '--out', 'made'], 'made'),
    (['--records', 'made', 'newer'], 'protocol.version'),
]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('place')
    add_record(folder / 'made')
    add_record(folder / 'newer', encoder='b', changes={'protocol.version': 2})
    return folder


@pytest.mark.parametrize('words, sentence', BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(place, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(place)
    before = sorted(place.rglob('*'))
    status, said, error = run(capsys, *words)
    assert (status, said) == (2, '')
    assert error.startswith('table: ')
    assert sentence in error
    assert error.count('\n') == 1
    assert sorted(place.rglob('*')) == before


def test_from_the_shell_without_torch(tmp_path):
    code = (
        'import runpy, sys\n'
        f'sys.argv[0] = {str(ROOT / "tools" / "table.py")!r}\n'
        'try: runpy.run_path(sys.argv[0], run_name="__main__")\n'
        'except SystemExit as left: assert left.code == 0, left.code\n'
        'heavy = {"torch", "mmengine", "matplotlib"} & set(sys.modules)\n'
        'assert not heavy, heavy\n'
    )
    words = [sys.executable, '-c', code, '--published', 'sigma_severe', '--format', 'latex']
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60 * PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('% needs \\usepackage{booktabs}\n')


@pytest.mark.parametrize('encoding, reader', [('ascii', 'cat'), ('utf-8', 'true')])
def test_a_terminal_of_any_encoding_and_a_reader_that_leaves(encoding, reader):
    command = f'{sys.executable} tools/table.py --published severepp | {reader}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ['bash', '-c', command], cwd=ROOT, env={**os.environ, 'PYTHONIOENCODING': encoding}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b'')
    assert (b'error ?' in done.stdout) == (reader == 'cat')


# --- pdflatex -------------------------------------------------------------------------------------------------------


ODD = '[שלום] 模 & 100 % {_}^~\\ "é" 🔬 ' + 'x' * 70


@pytest.fixture(scope='module')
def many(tmp_path_factory):
    """Five encoders, two of them with odd names, in four columns of `severe`; one seed each."""
    root = tmp_path_factory.mktemp('many')
    names = {'random': 'random', 'a_b': 'a_b', 'long': '-'.join(['sigma'] * 14), 'c.d+e=f': 'c.d+e=f', 'odd': ODD}
    columns = [
        ('ssv2', None, 174),
        ('gym99', None, 99),
        ('ucf101', '1000-examples', 101),
        ('gym99', '1000-examples', 99),
    ]
    for number, (made, name) in enumerate(names.items()):
        for dataset, subset, num_classes in columns:
            kinds = {'dataset': dataset, 'subset': subset, 'num_classes': num_classes, 'num_listed': 2 * num_classes}
            record = add_record(root, 30 + 10 * number, encoder=made, **kinds)
            record.encoder['name'] = name
            record.path.write_text(json.dumps(record.to_dict()), encoding='utf-8')
    return root


@pytest.mark.integration
@pytest.mark.skipif(shutil.which('pdflatex') is None, reason='pdflatex is not installed (texlive-latex-recommended)')
def test_pdflatex_compiles_every_kind_of_table(many, tmp_path, capsys):
    """No error, and no line that is wider than the page; one run of pdflatex over all of them."""
    kinds = [
        ('--published', 'sigma_severe', '--suite', 'severe', '--summary', 'severe', '--baseline', 'random'),
        ('--interval', 'pm', '--split', '3', '--caption', 'All & sundry, 100 %'),
        ('--interval', 'none', '--best', 'clear', '--encoders', 'random', '--datasets', 'ssv2'),
    ]
    bodies = []
    for words in kinds:
        status, said, error = run(capsys, '--records', many, '--format', 'latex', *words)
        assert status == 0, error
        bodies.append(said)
    bodies.append(run(capsys, '--published', 'localization', 'severepp', '--format', 'latex')[1])
    status, whole, _ = run(capsys, '--records', many, '--format', 'latex', '--standalone')
    assert status == 0
    end = '\\end{document}\n'
    assert whole.endswith(end)
    (tmp_path / 'all.tex').write_text(whole.removesuffix(end) + '\n\\clearpage\n'.join(['', *bodies]) + end)
    command = ['pdflatex', '-halt-on-error', '-interaction=nonstopmode', 'all.tex']
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors='replace', timeout=60 * PATIENCE
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / 'all.pdf').stat().st_size > 10_000
    assert [line for line in done.stdout.splitlines() if line.startswith('Overfull')] == []
