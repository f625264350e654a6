"""The scripts of the README, as far as they can be checked in a minute; the whole quickstart is marked slow."""

import subprocess

import pytest

from tests.conftest import ROOT, run_tool


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


@pytest.mark.slow
def test_quickstart_does_the_whole_line_and_then_nothing(tmp_path):
    runs = {'SIGMA_RUNS': str(tmp_path / 'runs'), 'SIGMA_DATA': str(tmp_path / 'data')}
    command = ['bash', 'tools/quickstart.sh']
    import os
    import time

    first = subprocess.run(command, cwd=ROOT, env=os.environ | runs, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert '12 cells, 0 have their record' in first.stdout
    for ending in ('png', 'svg'):
        assert (tmp_path / 'runs' / f'comparison.{ending}').stat().st_size > 5000
    begun = time.time()
    second = subprocess.run(command, cwd=ROOT, env=os.environ | runs, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert '12 cells, 12 have their record, 0 to run' in second.stdout
    print(f'second run: {time.time() - begun:.0f} s')


def test_tools_explain_themselves():
    for tool in ('tools/parity.py', 'tools/convert.py', 'tools/plot.py', 'tools/prepare.py', 'tools/features.py'):
        done = run_tool(tool, '--help')
        assert done.returncode == 0
        assert 'usage' in done.stdout
