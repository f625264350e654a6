"""The SLURM script, through stand-ins for srun and scontrol on the path."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from sigma.checkpoints.files import read_training_state
from tests.conftest import DEMO, PATIENCE, ROOT, assert_one_sentence, demo_options
from tests.forked import tiny_config

# As the real one: a task a node, and SIGUSR1 goes on to all of them.
SRUN = """#!/usr/bin/env bash
echo "srun $*" >>"$SEEN"
while [[ "$1" == --* ]]; do shift; done
tasks=()
trap 'kill -USR1 "${tasks[@]}"' USR1
for ((SLURM_NODEID = 0; SLURM_NODEID < SLURM_NNODES; SLURM_NODEID++)); do
    export SLURM_NODEID
    "$@" &
    tasks+=($!)
done
status=0
for task in "${tasks[@]}"; do
    while kill -0 "$task" 2>/dev/null; do wait "$task"; done
    wait "$task" || status=$?
done
exit "${SRUN_STATUS:-$status}"
"""
SCONTROL = """#!/usr/bin/env bash
echo "scontrol $*" >>"$SEEN"
[ "$1 $2" != "show hostnames" ] || printf 'node7\\nnode8\\n'
[ "$1" != requeue ] || exit "${REQUEUE_STATUS:-0}"
"""
# In the place of Python: what a node is told.
NODE = """#!/usr/bin/env bash
trap 'echo "told $NODE_RANK" >>"$SEEN"; [ -z "${TOLD_STATUS:-}" ] || exit "$TOLD_STATUS"' USR1
echo "node $NODE_RANK of $NNODES at $MASTER_ADDR:$MASTER_PORT: $*" >>"$SEEN"
for ((i = 0; i < 10 * ${NODE_SECONDS:-0}; i++)); do sleep 0.1; done
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
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60 * PATIENCE)


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
    assert sorted(seen[2:]) == [f'node {rank} of 2 at node7:20017: {call}' for rank in (0, 1)]  # 20000 + 40017 % 20000


def test_directives_ask_for_requeue_and_a_warning(tmp_path):
    lines = (ROOT / 'tools' / 'slurm_train.sh').read_text().splitlines()
    directives = [line for line in lines if line.startswith('#SBATCH')]
    assert '#SBATCH --requeue' in directives
    assert '#SBATCH --open-mode=append' in directives
    assert '#SBATCH --signal=B:USR1@180' in directives
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith('#'))
    assert all(lines.index(line) < first_command for line in directives)  # SLURM stops reading there


@contextlib.contextmanager
def running(environment: dict, *arguments, until):
    """A job, from when `until()` holds; ended with all that it started."""
    process = subprocess.Popen(
        ['bash', str(ROOT / 'tools' / 'slurm_train.sh'), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.time() + 120 * PATIENCE
        while not until():
            assert process.poll() is None, process.stdout.read()
            assert time.time() < deadline
            time.sleep(0.05)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the stand-ins that sleep
        process.stdout.close()


def lines(file) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ('number', 'settings', 'status', 'said', 'requeued'),
    [
        (signal.SIGUSR1, {'TOLD_STATUS': '75'}, 0, 'was requeued: it will continue from its newest checkpoint.', True),
        (signal.SIGUSR1, {'TOLD_STATUS': '75', 'REQUEUE_STATUS': '1'}, 1, 'cannot be requeued', True),
        (signal.SIGUSR1, {'SECONDS_TO_SAVE': '1'}, 0, 'did not save within 1 s', True),  # a node that ignores signals
        (signal.SIGUSR1, {'TOLD_STATUS': '0'}, 0, '', False),  # complete meanwhile
        (signal.SIGUSR1, {'TOLD_STATUS': '3'}, 3, '', False),  # stopped meanwhile
        (signal.SIGTERM, {'TOLD_STATUS': '75'}, 75, '', False),  # preempted: SLURM requeues; cancelled: nobody
    ],
)
def test_a_job_that_has_to_end_tells_its_nodes_first(number, settings, status, said, requeued, cluster, tmp_path):
    seen = tmp_path / 'seen'
    everyone = lambda: sum(line.startswith('node ') for line in lines(seen)) == 2  # noqa: E731
    with running(cluster | {'NODE_SECONDS': '20'} | settings, DEMO, until=everyone) as process:
        process.send_signal(number)
        assert process.wait(timeout=15 * PATIENCE) == status
        assert said in process.stdout.readline()
    assert {'told 0', 'told 1'} <= set(lines(seen))
    assert ('scontrol requeue 40017' in lines(seen)) == requeued


@pytest.mark.slow
def test_a_job_shorter_than_an_epoch_gets_on_bit_for_bit(cluster, toy, tmp_path):
    config, work, seen = tiny_config(tmp_path), tmp_path / 'run', tmp_path / 'seen'
    job = cluster | {'PYTHON': sys.executable, 'SLURM_NNODES': '1', 'SLURM_GPUS_ON_NODE': '2', 'OMP_NUM_THREADS': '1'}
    settings = demo_options(toy, train_dataloader__batch_size=1)  # twenty steps an epoch
    whole = submit(job, config, '--work-dir', tmp_path / 'whole', *settings)
    assert whole.returncode == 0, whole.stderr
    begun = lambda: any(file.read_text() for file in work.glob('2*/vis_data/scalars.json'))  # noqa: E731
    with running(job, config, '--work-dir', work, *settings, until=begun) as process:
        process.send_signal(signal.SIGUSR1)
        assert process.wait(timeout=60 * PATIENCE) == 0
        assert 'was requeued' in process.stdout.read()
    assert lines(seen)[-1] == 'scontrol requeue 40017'
    assert 0 < read_training_state((work / 'last_checkpoint').read_text())['meta']['iter'] < 20
    again = submit(job, config, '--work-dir', work, *settings)
    assert again.returncode == 0, again.stderr
    assert (work / 'iter_40.safetensors').read_bytes() == (tmp_path / 'whole' / 'iter_40.safetensors').read_bytes()


@pytest.mark.parametrize('status', [2, 3])
def test_bad_input_and_a_stopped_training_end_the_job(cluster, tmp_path, status):
    assert submit(cluster | {'SRUN_STATUS': str(status)}, DEMO).returncode == status
    assert 'requeue' not in (tmp_path / 'seen').read_text()


def test_bad_input_is_one_sentence(cluster, tmp_path):
    assert_one_sentence(submit(cluster), 'usage')
    assert_one_sentence(submit(cluster, 'none.py'), 'none.py', 'not there')
    assert_one_sentence(submit(cluster | {'SLURM_SUBMIT_DIR': str(tmp_path)}, DEMO), 'no tools/launch.py')
    outside = {name: value for name, value in cluster.items() if name != 'SLURM_JOB_ID'}
    assert_one_sentence(submit(outside, DEMO), 'SLURM job', 'sbatch')
    (tmp_path / 'scontrol').write_text('#!/usr/bin/env bash\n')
    assert_one_sentence(submit(cluster, DEMO), 'scontrol names no host')
