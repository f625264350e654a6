"""Scripts, pins, packaging and the files around the code; the whole quickstart is marked slow."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import PATIENCE, ROOT, run_tool
from tools import check_types

CONSOLE_SCRIPTS = {
    'sigma-train': ('tools.train:main', 'CONFIG'),
    'sigma-severe': ('eval.run_severe:guarded', '--suite'),
    'sigma-prepare': ('tools.prepare:main', 'toy'),
    'sigma-plot': ('tools.plot:guarded', '--figure'),
    'sigma-table': ('tools.table:guarded', '--format'),
    'sigma-report': ('tools.report:guarded', '--leaderboard'),
    'sigma-records': ('tools.records:guarded', 'merge'),
}


@pytest.mark.parametrize('script', sorted((ROOT / 'tools').glob('*.sh')), ids=lambda path: path.name)
def test_scripts_parse(script):
    assert subprocess.run(['bash', '-n', str(script)], check=False).returncode == 0


def test_every_pin_is_exact_and_has_its_reason_beside_it():
    for path in (ROOT / 'requirements').glob('*.txt'):
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith('#'):
                assert '==' in line, line
                assert '#' in line or 'python_version' in line, line


def test_configs_and_cards_name_their_command_or_source():
    for path in (ROOT / 'mmaction_configs').rglob('*.py'):
        assert path.read_text().startswith('"""'), path
    for path in (ROOT / 'mmaction_configs' / 'pretrain').glob('*.py'):
        assert f'mmaction_configs/pretrain/{path.name}' in path.read_text(), f'{path.name} does not say how it is run'


@pytest.mark.parametrize('option', ['--help', '-h'])
def test_scripts_explain_themselves_and_start_nothing(option, tmp_path):
    runs = {'SIGMA_RUNS': str(tmp_path / 'runs'), 'SIGMA_DATA': str(tmp_path / 'data')}
    command = ['bash', 'tools/quickstart.sh', option]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | runs, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('Run everything once')
    assert 'SIGMA_RUNS' in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('script', 'first'),
    [('dist_train', 'Train a config with N'), ('dist_test', 'Test trained weights'), ('slurm_train', 'Train a config')],
)
def test_other_scripts_explain_themselves_too(script, first):
    command = ['bash', f'tools/{script}.sh', '--help']
    environment = os.environ | {'PYTHON': 'true'}  # what a script would run
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(first)
    assert '#' not in done.stdout.replace('#SBATCH', '')


def test_quickstart_refuses_what_it_does_not_know():
    command = ['bash', 'tools/quickstart.sh', '--fast']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert '--fast' in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_quickstart_does_the_whole_line_and_then_nothing(tmp_path):
    runs = {'SIGMA_RUNS': str(tmp_path / 'runs'), 'SIGMA_DATA': str(tmp_path / 'data')}
    command = ['bash', 'tools/quickstart.sh']
    first = subprocess.run(command, cwd=ROOT, env=os.environ | runs, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert '12 cells, 0 done' in first.stdout
    for ending in ('png', 'svg'):
        assert (tmp_path / 'runs' / f'comparison.{ending}').stat().st_size > 5000
    second = subprocess.run(command, cwd=ROOT, env=os.environ | runs, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert '12 cells, 12 done, 0 to run' in second.stdout


@pytest.mark.integration
def test_tools_explain_themselves():
    for tool in ('tools/parity.py', 'tools/convert.py', 'tools/plot.py', 'tools/prepare.py', 'tools/features.py'):
        done = run_tool(tool, '--help')
        assert done.returncode == 0
        assert 'usage' in done.stdout


# ------------------------------------------------------------------------------------------------- as a package


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """A folder with this project installed as pip installs it, without the working tree."""
    home = tmp_path_factory.mktemp('installed')
    source = home / 'source'
    for name in ('sigma', 'eval', 'tools', 'mmaction_configs', 'requirements'):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__', '*.egg-info'))
    for name in ('setup.py', 'README.md', 'MANIFEST.in', 'LICENSE'):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation', '--no-index']
    done = subprocess.run(
        [*pip, '--target', str(home / 'site'), str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return home / 'site'


def call_installed(site: Path, folder: Path, name: str, *arguments) -> subprocess.CompletedProcess:
    """A console script, from a folder that holds nothing of the project."""
    environment = os.environ | {'PYTHONPATH': str(site), 'PYTHONWARNINGS': 'ignore', 'SIGMA_DATA': str(folder / 'data')}
    return subprocess.run(
        [str(site / 'bin' / name), *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100 * PATIENCE,
    )


@pytest.mark.integration
@pytest.mark.parametrize('name', CONSOLE_SCRIPTS)
def test_an_installed_command_explains_itself_from_any_folder(name, installed, tmp_path):
    entry_points = configparser.ConfigParser()
    (written,) = installed.glob('sigma_video-*-info/entry_points.txt')
    entry_points.read(written)
    target, word = CONSOLE_SCRIPTS[name]
    assert entry_points['console_scripts'][name] == target
    done = call_installed(installed, tmp_path, name, '--help')
    assert done.returncode == 0, done.stderr
    assert 'usage' in done.stdout
    assert word in done.stdout


@pytest.mark.integration
def test_an_installed_command_finds_its_configs_and_data_files(installed, tmp_path):
    command = ['--suite', 'demo', '--encoders', 'random', '--work-dir', tmp_path / 'work', '--dry-run']
    done = call_installed(installed, tmp_path, 'sigma-severe', *command)
    assert done.returncode == 2  # `toy` is not prepared here
    assert 'Traceback' not in done.stderr
    assert str(tmp_path / 'data' / 'toy') in done.stderr
    shipped = {path.relative_to(ROOT) for path in (ROOT / 'eval' / 'report').rglob('*.json')}
    shipped |= {path.relative_to(ROOT) for path in (ROOT / 'mmaction_configs' / 'annotations').rglob('*.gz')}
    assert len(shipped) > 10
    assert [path for path in shipped if not (installed / path).is_file()] == []


def test_the_citation_is_valid():
    card = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors'} <= set(card)  # what the schema 1.2.0 requires
    assert card['cff-version'] == '1.2.0'
    version = next(line for line in (ROOT / 'sigma' / '__init__.py').read_text().splitlines() if '__version__' in line)
    assert str(card['version']) == version.split("'")[1]
    paper = card['preferred-citation']
    assert {'type', 'title', 'authors', 'year'} <= set(paper)
    assert [author['family-names'] for author in paper['authors']][0] == 'Salehi'
    assert paper['identifiers'][0]['value'] == 'arXiv:2407.15447'


def test_pre_commit_and_ci_run_the_same_checks_as_the_test_script():
    script = (ROOT / 'tools' / 'test.sh').read_text()
    (repository,) = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    assert repository['repo'] == 'local'  # nothing to download
    entries = [hook['entry'] for hook in repository['hooks']]
    for check in ('ruff format', 'ruff check', 'tools/check_types.py'):
        assert check in script
        assert any(check in entry for entry in entries)
    job = yaml.safe_load((ROOT / '.github' / 'workflows' / 'ci.yml').read_text())['jobs']['tests']
    assert job['strategy']['matrix']['python'] == ['3.10', '3.11', '3.12']
    steps = [step.get('run', '') for step in job['steps']]
    assert 'bash .ci/run' in steps
    assert 'bash tools/quickstart.sh' in steps
    assert 'tools/test.sh' in (ROOT / '.ci' / 'run').read_text()


def test_limits_follow_the_machine(request):
    limit = request.node.get_closest_marker('timeout').args[0]
    assert limit == 300 * PATIENCE


# ----------------------------------------------------------------------------------------------------------- types

MYPY = """eval/report/figures/bars.py:12: error: Incompatible types  [assignment]
eval/report/table.py:3: error: Missing return  [return]
eval/report/table.py:3: note: see the docs
sigma/files.py:7:5: error: Bad  [misc]
tools/plot.py:1: error: not counted  [misc]
"""


def test_type_errors_are_counted_by_room():
    pattern_needs_no_column = MYPY.replace(':7:5:', ':7:')
    assert check_types.count(pattern_needs_no_column) == {'eval/report': 2, 'sigma/files.py': 1}


def test_more_errors_fail_fewer_ask_to_lower_and_nothing_is_raised(tmp_path, monkeypatch, capsys):
    baseline = tmp_path / 'baseline.txt'
    monkeypatch.setattr(check_types, 'BASELINE', baseline)
    monkeypatch.setattr(check_types, 'run_mypy', lambda: MYPY.replace(':7:5:', ':7:'))
    baseline.write_text('# why\neval/report 1\nsigma/files.py 1\n')
    assert check_types.main([]) == 1
    assert 'eval/report has 2 type errors, 1 in the baseline' in capsys.readouterr().err
    assert check_types.main(['--lower']) == 1  # never raised
    baseline.write_text('# why\neval/report 5\nsigma/data 3\nsigma/files.py 1\n')
    assert check_types.main([]) == 0
    assert '--lower' in capsys.readouterr().out
    assert check_types.main(['--lower']) == 0
    assert baseline.read_text() == '# why\neval/report 2\nsigma/files.py 1\n'
    baseline.write_text('eval/report 9\n')
    assert check_types.main([]) == 1  # a room that is not listed has none


def test_rooms_that_must_have_no_type_error_have_none():
    assert not set(check_types.CLEAN) & set(check_types.read(check_types.BASELINE.read_text()))
