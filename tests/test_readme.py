"""The commands of the README, run as they are written, on the rendered dataset and for a few steps."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PATIENCE, ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600 * PATIENCE)]
# What a test adds to a command, by the script that it calls: fewer steps, nothing else.
SHORTER = {
    'tools/train.py': [
        *('--cfg-options', 'train_cfg.max_steps=4', 'train_dataloader.batch_size=8'),
        *('param_scheduler.0.end=2', 'param_scheduler.1.begin=2'),
    ],
    'eval/run_severe.py': ['--epochs', '1'],
}


def commands(heading: str) -> list[list[str]]:
    """Words of each command in the first block of bash below a heading of the README."""
    text = (ROOT / 'README.md').read_text().partition(f'## {heading}\n')[2]
    block = re.search(r'```bash\n(.*?)```', text, re.DOTALL)[1].replace('\\\n', ' ')
    return [shlex.split(line, comments=True) for line in block.splitlines() if line.strip()]


@pytest.fixture(scope='module')
def checkout(tmp_path_factory) -> Path:
    """A folder that looks like the root of the project, where the commands may write."""
    folder = tmp_path_factory.mktemp('readme')
    for name in ('tools', 'eval', 'sigma', 'mmaction_configs'):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(command: list[str], checkout: Path, videos: Path) -> str:
    """Run a command of the README; `VIDEOS` becomes a real folder. Returns what it printed."""
    words = [str(videos) if word == 'VIDEOS' else word for word in command]
    assert words[0] == 'python'
    words = [sys.executable, *words[1:], *SHORTER.get(words[1], [])]
    environment = os.environ | {'PYTHONPATH': str(ROOT), 'SIGMA_CACHE': str(checkout / 'cache')}
    done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f'{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}'
    return done.stdout


def test_the_four_commands_for_a_laptop(checkout, toy):
    prepare, train, measure, plot = commands('Your own data, on a laptop')
    assert '60' in run(prepare, checkout, toy / 'videos')
    said = run(train, checkout, toy)
    assert 'work_dirs/mine/encoder.safetensors' in said
    assert '--suite own_small' in said  # the next command
    table = run(measure, checkout, toy)
    assert 'mine' in table
    assert 'random' in table
    assert len(list((checkout / 'work_dirs' / 'measured' / 'records').rglob('*s0.json'))) == 4
    run(plot, checkout, toy)
    assert list((checkout / 'work_dirs' / 'measured').glob('bars*'))
