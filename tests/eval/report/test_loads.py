"""Predictions are read once per record for a whole printout, page or figure; and what the report imports."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from eval.matrix.results import print_results
from eval.records import read_records
from tests.conftest import ROOT, call_main
from tests.eval.report.test_sweep_figures import add_sweep
from tools import plot, report

sys.path.insert(0, str(ROOT / 'tests' / 'data' / 'records'))
from build_records import add_record  # noqa: E402

OPENED: Counter | None = None


def hook(event: str, arguments: tuple) -> None:
    if event == 'open' and OPENED is not None and str(arguments[0]).endswith('.npz'):
        OPENED[str(arguments[0])] += 1


sys.addaudithook(hook)  # sees every way to open a file; it cannot be taken off again


@pytest.fixture
def work_dir(tmp_path):
    """Two encoders: two seeds of fine-tuning, a frozen probe, and a sweep over corruptions."""
    for encoder in ('random', 'sigma_mlp_toy'):
        for seed in (0, 1):
            add_record(tmp_path, encoder=encoder, seed=seed)
        add_record(tmp_path, encoder=encoder, protocol='frozen_linear')
        add_sweep(tmp_path, encoder)
    return tmp_path


@pytest.fixture
def opened():
    """How often each file of predictions was opened since the test began."""
    global OPENED
    OPENED = Counter()
    yield OPENED
    OPENED = None


def assert_each_once(opened: Counter, num_records: int) -> None:
    assert len(opened) == num_records
    assert set(opened.values()) == {1}, opened


def printout(work_dir: Path, **options) -> None:
    """`print_results` of a plan whose cells are the records of a work directory."""
    planned = []
    for record in read_records(work_dir):
        resolved = SimpleNamespace(
            record_path=lambda root, path=record.path: path,
            id=record.cell['id'],
            cell=SimpleNamespace(encoder=record.encoder['name']),
            encoder=SimpleNamespace(name=record.encoder['name']),
        )
        planned.append(SimpleNamespace(resolved=resolved))
    print_results(planned, work_dir, 'demo', **options)


def test_a_printout_reads_each_prediction_once(work_dir, opened, capsys):
    printout(work_dir)
    said = capsys.readouterr().out
    assert 'finetune / toy: sigma_mlp_toy ' in said  # verdicts
    assert 'sigma_mlp_toy - random, mPC: ' in said  # the sweep
    for name in ('demo.table.md', 'demo.table.csv', 'demo.robustness.txt'):
        assert (work_dir / name).stat().st_size > 200
    assert_each_once(opened, 8)


def test_u21_rows_of_a_printout_stand_in_the_order_of_the_command(tmp_path, capsys, monkeypatch):
    for encoder in ('random', 'a', 'z'):
        add_record(tmp_path, encoder=encoder)
    add_record(tmp_path, encoder='b', dataset='toy_shift')
    add_record(tmp_path, encoder='a', dataset='toy_shift')
    order = {'z': 0, 'b': 1, 'a': 2, 'random': 3}
    planned = sorted(read_records(tmp_path), key=lambda record: order[record.encoder['name']])
    monkeypatch.setattr(sys.modules[__name__], 'read_records', lambda place: planned)
    printout(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[4:8]] == ['z', 'b', 'a', 'random']


def test_a_printout_says_why_nothing_is_compared(work_dir, capsys):
    printout(work_dir, baseline='absent')
    assert 'absent; the rows are: random, sigma_mlp_toy' in capsys.readouterr().out


def test_a_page_reads_each_prediction_once(work_dir, opened, capsys):
    done = call_main(report.main, capsys, '--records', work_dir, '--out', work_dir / 'r.html')
    assert (done.returncode, done.stderr) == (0, '')
    page = (work_dir / 'r.html').read_text()
    assert 'Under corruptions' in page
    assert 'Against random' in page
    assert_each_once(opened, 8)


@pytest.mark.parametrize('figure', ['bars', 'severity_curves', 'robustness_heatmap'])
def test_a_table_and_a_figure_read_each_prediction_once(work_dir, opened, capsys, figure):
    arguments = ('--table', 'text', '--figure', figure, '--out', work_dir / 'figure.png')
    assert call_main(plot.main, capsys, '--records', work_dir, *arguments).returncode == 0
    assert_each_once(opened, 8)


HEAVY = ('numpy', 'scipy', 'statsmodels', 'pandas', 'matplotlib', 'jinja2', 'rich', 'torch')


def loaded(code: str) -> list[str]:
    """Which of `HEAVY` a process has imported after the code."""
    code += f'\nimport sys; print([name for name in {HEAVY} if name in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    return eval(done.stdout.splitlines()[-1])


@pytest.mark.parametrize('tool', ['plot', 'report'])
def test_help_imports_nothing_heavy(tool):
    code = f'from tools.{tool} import main\ntry: main(["--help"])\nexcept SystemExit as exit: assert exit.code == 0'
    assert loaded(code) == []


def test_the_report_needs_no_torch():
    modules = ('table', 'formats', 'notes', 'verdicts', 'sweeps', 'page', 'figures.bars', 'figures.robustness_heatmap')
    found = loaded('import ' + ', '.join(f'eval.report.{module}' for module in modules))
    assert 'torch' not in found
    assert 'numpy' in found  # the question can be answered yes
