"""The SLURM script, through stand-ins for srun and scontrol on the path."""

import os
import signal
import subprocess
import time

import pytest

from tests.conftest import DEMO, ROOT, assert_one_sentence

SRUN = """#!/usr/bin/env bash
echo "srun $*" >>"$SEEN"
while [[ "$1" == --* ]]; do shift; done
for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done
exit "${SRUN_STATUS:-0}"
"""
SCONTROL = """#!/usr/bin/env bash
echo "scontrol $*" >>"$SEEN"
[ "$1 $2" != "show hostnames" ] || printf 'node7\\nnode8\\n'
[ "$1" != requeue ] || exit "${REQUEUE_STATUS:-0}"
"""
# In the place of Python: what a node is told.
NODE = """#!/usr/bin/env bash
echo "node $NODE_RANK of $NNODES at $MASTER_ADDR:$MASTER_PORT: $*" >>"$SEEN"
sleep "${NODE_SECONDS:-0}"
"""


@pytest.fixture
def cluster(tmp_path):
    """Environment of a job on two nodes with four GPUs each."""
    for name, text in (('srun', SRUN), ('scontrol', SCONTROL), ('node', NODE)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return os.environ | {
        'PATH': f'{tmp_path}:{os.environ["PATH"]}',
        'PYTHON': str(tmp_path / 'node'),
        'SEEN': str(tmp_path / 'seen'),
        'SLURM_JOB_ID': '40017',
        'SLURM_JOB_NODELIST': 'node[7-8]',
        'SLURM_NNODES': '2',
        'SLURM_GPUS_ON_NODE': '4',
        'SLURM_SUBMIT_DIR': str(ROOT),
    }


def submit(environment: dict, *arguments, copy=None) -> subprocess.CompletedProcess:
    script = copy or ROOT / 'tools' / 'slurm_train.sh'
    command = ['bash', str(script), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_every_node_starts_its_processes_and_meets_at_the_first(cluster, tmp_path):
    copy = tmp_path / 'slurm_script'  # SLURM runs a copy from its spool
    copy.write_text((ROOT / 'tools' / 'slurm_train.sh').read_text())
    config = DEMO.relative_to(ROOT)
    done = submit(cluster, config, '--work-dir', 'runs/x', '--amp', copy=copy)
    assert done.returncode == 0, done.stderr
    seen = (tmp_path / 'seen').read_text().splitlines()
    call = f'tools/launch.py tools/train.py 4 {config} --resume --work-dir runs/x --amp'
    assert seen[0] == 'scontrol show hostnames node[7-8]'
    assert seen[1].startswith('srun --kill-on-bad-exit=1 --ntasks-per-node=1 bash -c')
    assert seen[2:] == [f'node {rank} of 2 at node7:20017: {call}' for rank in (0, 1)]  # 20000 + 40017 % 20000


def test_directives_ask_for_requeue_and_a_warning(tmp_path):
    lines = (ROOT / 'tools' / 'slurm_train.sh').read_text().splitlines()
    directives = [line for line in lines if line.startswith('#SBATCH')]
    assert '#SBATCH --requeue' in directives
    assert '#SBATCH --open-mode=append' in directives
    assert '#SBATCH --signal=B:USR1@180' in directives
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith('#'))
    assert all(lines.index(line) < first_command for line in directives)  # SLURM stops reading there


@pytest.mark.parametrize(('refused', 'status', 'said'), [(0, 0, 'it is requeued'), (1, 1, 'cannot be requeued')])
def test_a_job_whose_time_is_nearly_over_is_requeued(refused, status, said, cluster, tmp_path):
    script = ROOT / 'tools' / 'slurm_train.sh'
    environment = cluster | {'NODE_SECONDS': '20', 'REQUEUE_STATUS': str(refused)}
    process = subprocess.Popen(
        ['bash', str(script), str(DEMO)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.time() + 30
        while 'node 0' not in ((tmp_path / 'seen').read_text() if (tmp_path / 'seen').exists() else ''):
            assert time.time() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(timeout=10) == status
        assert said in process.stdout.readline()
        assert 'scontrol requeue 40017' in (tmp_path / 'seen').read_text().splitlines()
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the stand-ins that sleep
        process.stdout.close()


@pytest.mark.parametrize('status', [2, 3])
def test_bad_input_and_a_stopped_training_end_the_job(cluster, tmp_path, status):
    assert submit(cluster | {'SRUN_STATUS': str(status)}, DEMO).returncode == status
    assert 'requeue' not in (tmp_path / 'seen').read_text()


def test_bad_input_is_one_sentence(cluster, tmp_path):
    assert_one_sentence(submit(cluster), 'usage')
    assert_one_sentence(submit(cluster, 'none.py'), 'none.py', 'not there')
    assert_one_sentence(submit(cluster | {'SLURM_SUBMIT_DIR': str(tmp_path)}, DEMO), 'no tools/launch.py')
    outside = {name: value for name, value in cluster.items() if name != 'SLURM_JOB_ID'}
    assert_one_sentence(submit(outside, DEMO), 'no SLURM job')
    (tmp_path / 'scontrol').write_text('#!/usr/bin/env bash\n')
    assert_one_sentence(submit(cluster, DEMO), 'scontrol names no host')
