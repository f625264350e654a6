"""The commands of the README, run as they are written, on the rendered dataset and for a few steps.

What a reader has to fill in is filled in here: `VIDEOS`, `IN` and `OUT.safetensors`. Two commands are too large for a
test, so we check their words against the code that reads them: pretraining a ViT-B by 8 processes, and the SLURM job
(`sbatch` is a stand-in). Measuring at published size stops at its plan (`--dry-run`). tests/test_docs.py runs the
blocks of Python, and tests/test_scripts.py `quickstart.sh` and `test.sh`.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eval.matrix.listing import KINDS
from tests.conftest import PATIENCE, ROOT
from tools import train

LAPTOP, PUBLISHED, MEASURE = 'Your own data, on a laptop', 'Pretrain at published size', 'Measure'
OWN_WEIGHTS, CLUSTER, LIBRARY = 'Your encoder', 'On a cluster', 'As a library'
# What a test adds to a command, by the script that it calls: fewer steps, nothing else.
SHORTER = {
    'tools/train.py': [
        *('--cfg-options', 'train_cfg.max_steps=4', 'train_dataloader.batch_size=8'),
        *('param_scheduler.0.end=2', 'param_scheduler.1.begin=2'),
    ],
    'eval/run_severe.py': ['--epochs', '1'],
}


def section(heading: str) -> str:
    """Text below a heading of the README, up to the next one; '' is what stands above the first."""
    text = (ROOT / 'README.md').read_text()
    return (text.partition(f'## {heading}\n')[2] if heading else text).partition('\n## ')[0]


def commands(heading: str) -> list[list[str]]:
    """Words of each command in the blocks of bash below a heading of the README."""
    blocks = re.findall(r'```bash\n(.*?)```', section(heading), re.DOTALL)
    lines = ''.join(blocks).replace('\\\n', ' ').splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.fixture(scope='module')
def checkout(tmp_path_factory) -> Path:
    """A folder that looks like the root of the project, where the commands may write."""
    folder = tmp_path_factory.mktemp('readme')
    for name in ('tools', 'eval', 'sigma', 'mmaction_configs'):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(command: list[str], checkout: Path, *more: str, **filled: object) -> str:
    """Run a command of the README with what its reader fills in; returns what it printed."""
    words = [str(filled.get(word.partition('.')[0], word)) for word in command]
    assert words[0] == 'python'
    words = [sys.executable, *words[1:], *more]
    environment = os.environ | {'PYTHONPATH': str(ROOT), 'SIGMA_CACHE': str(checkout / 'cache')}
    done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f'{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}'
    return done.stdout


@pytest.fixture(scope='module')
def laptop(checkout, toy) -> list[str]:
    """What each of the four commands for a laptop printed."""
    told = [run(c, checkout, *SHORTER.get(c[1], []), VIDEOS=toy / 'videos') for c in commands(LAPTOP)]
    assert len(told) == 4
    return told


def test_every_command_is_known_here():
    """A new block of the README needs a test; this one fails until it has one."""
    headings = re.findall(r'^## (.*)$', (ROOT / 'README.md').read_text(), re.MULTILINE)
    assert {heading: [c[1] for c in found] for heading in headings if (found := commands(heading))} == {
        LAPTOP: ['tools/prepare.py', 'tools/train.py', 'eval/run_severe.py', 'tools/plot.py'],
        PUBLISHED: ['tools/dist_train.sh'],
        MEASURE: ['eval/run_severe.py'],
        OWN_WEIGHTS: ['tools/convert.py'],
        CLUSTER: ['--nodes=4'],
        LIBRARY: ['eval/run_severe.py'],
    }
    assert [c[1] for c in commands('')] == ['tools/quickstart.sh', 'tools/test.sh']


@pytest.mark.integration
@pytest.mark.timeout(600 * PATIENCE)
def test_the_four_commands_for_a_laptop(checkout, laptop):
    prepared, trained, table, _ = laptop
    assert '60' in prepared
    assert 'work_dirs/mine/encoder.safetensors' in trained
    assert '--suite own_small' in trained  # the next command
    assert 'mine' in table
    assert 'random' in table
    assert len(list((checkout / 'work_dirs' / 'measured' / 'records').rglob('*s0.json'))) == 4
    assert list((checkout / 'work_dirs' / 'measured').glob('bars*'))


@pytest.mark.integration
@pytest.mark.timeout(600 * PATIENCE)
def test_own_weights_are_measured_beside_a_large_encoder(checkout, laptop):
    """The weights of the laptop take the place of those that 8 processes would have made; the run stops at its plan."""
    (command,) = commands(MEASURE)
    (checkout / 'work_dirs' / 'vit_b').mkdir()
    shutil.copy(checkout / 'work_dirs/mine/encoder.safetensors', checkout / 'work_dirs/vit_b')
    plan = run(command, checkout, '--dry-run')
    assert plan.startswith('12 cells, 0 done, 12 to run')  # two encoders, two protocols, three seeds
    for name in ('ours_finetune_mine_finetune_vit_s2', 'vit_b_frozen_linear_mine_frozen_default_s0'):
        assert name in plan
    assert not (checkout / 'work_dirs' / 'measure').exists()


@pytest.mark.integration
@pytest.mark.timeout(600 * PATIENCE)
def test_weights_are_converted(checkout, laptop):
    (command,) = commands(OWN_WEIGHTS)
    given = checkout / 'work_dirs/mine/encoder.safetensors'
    run(command, checkout, IN=given, OUT=checkout / 'converted.safetensors')
    assert (checkout / 'converted.safetensors').stat().st_size > 0.9 * given.stat().st_size


@pytest.mark.integration
@pytest.mark.timeout(600 * PATIENCE)
def test_figures_and_prepared_data_of_the_text(checkout, laptop):
    """Commands inside sentences: a figure from records, and the published datasets."""
    (plot,) = re.findall(r'`(tools/plot.py [^`]*)`', section(MEASURE))
    run(['python', *shlex.split(plot.replace('measure ', 'measured '))], checkout)
    assert (checkout / 'figure.png').is_file()
    (prepare,) = re.findall(r'`python (tools/prepare.py [^`]*)`', section(LAPTOP))
    words = [sys.executable, *shlex.split(prepare)]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=False)
    assert 'VIDEOS' in done.stderr or 'LABELS' in done.stderr  # they are not there; every option is known
    assert done.returncode == 2
    assert 'unknown option' not in done.stderr


def test_pretraining_at_published_size_has_the_words_of_its_tools(toy, monkeypatch):
    ((shell, script, config, processes, *options),) = commands(PUBLISHED)
    assert (shell, processes) == ('bash', '8')
    assert 'CONFIG' in subprocess.run([shell, script, '--help'], cwd=ROOT, capture_output=True, text=True).stdout
    options[options.index('data/mine')] = str(toy)
    monkeypatch.chdir(ROOT)
    cfg = train.load_config(train.parse_args([config, *options]))
    assert cfg.work_dir == 'work_dirs/vit_b'
    assert cfg.train_dataloader.dataset.card == str(toy)
    assert cfg.model.encoder.arch == 'base'


def test_the_job_for_a_cluster_is_a_script_with_a_config():
    """`sbatch` is not here, so only its words are checked; tests/tools/test_slurm.py runs the script."""
    ((submit, *options, script, config),) = commands(CLUSTER)
    assert submit == 'sbatch'
    assert ' '.join(options) == '--nodes=4 --gpus-per-node=8'
    assert (ROOT / script).is_file()
    assert (ROOT / config).is_file()


def test_everything_that_can_be_listed_is_listed(checkout):
    (command,) = commands(LIBRARY)
    named = re.search(r'list (`suites`.*?):', section(LIBRARY), re.DOTALL)[1]
    kinds = re.findall(r'`(\w+)`', named)
    assert sorted(kinds) == sorted(KINDS)
    assert command[-2:] == ['--list', 'suites']
    assert 'own_small' in run(command, checkout)
