"""Training on a real SLURM: two nodes, a word before the end, a lost node; the result is that of an undisturbed run."""

import sys

import pytest
import torch

from sigma.checkpoints.files import read_training_state
from tests.conftest import ROOT, demo_options
from tests.forked import tiny_config
from tests.real_slurm import slurm  # noqa: F401 - a fixture

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def task(toy, tmp_path_factory):
    """A config, and the settings of a run of 160 steps."""
    folder = tmp_path_factory.mktemp('slurm')
    settings = demo_options(toy, train_dataloader__batch_size=1, train_cfg__max_epochs=8, param_scheduler__1__end=8)
    return tiny_config(folder), settings


@pytest.fixture(scope='module')
def undisturbed(slurm, task, tmp_path_factory):  # noqa: F811
    """Weights of a job on two nodes that nothing happened to."""
    work = tmp_path_factory.mktemp('undisturbed') / 'run'
    job = begin(slurm, task, work)
    assert ended(slurm, job, work) == 'COMPLETED', log(work)
    return tensors(work)


def tensors(work) -> dict[str, torch.Tensor]:
    """Weights of the newest checkpoint."""
    return read_training_state((work / 'last_checkpoint').read_text().strip())['state_dict']


def begin(slurm, task, work, *options, processes: int = 1) -> str:  # noqa: F811
    """Submit the training; by default on two nodes, one process each."""
    config, settings = task
    script = str(ROOT / 'tools' / 'slurm_train.sh')
    about = ('--nodes=2', f'--output={work}.log', f'--chdir={ROOT}', *options)
    return slurm.submit(
        *about,
        script,
        str(config),
        '--work-dir',
        str(work),
        *settings,
        PROCESSES_PER_NODE=str(processes),
        PYTHON=sys.executable,
        OMP_NUM_THREADS='1',
        CUDA_VISIBLE_DEVICES='',
        SIGMA_ROOT=str(ROOT),
    )


def ended(slurm, job, work, seconds: float = 90) -> str:  # noqa: F811
    """State of a job once it has ended."""
    over = ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT', 'NODE_FAIL', 'GONE')
    slurm.wait_for(lambda: slurm.state(job) in over, f'end of job {job}', seconds)
    return slurm.state(job)


def steps_made(work) -> bool:
    return any(work.glob('*.safetensors')) or (work.with_name(f'{work.name}.log').is_file() and 'step ' in log(work))


def log(work) -> str:
    return work.with_name(f'{work.name}.log').read_text()


def same(found, expected) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_two_nodes_give_the_weights_of_two_processes_on_one(slurm, task, undisturbed, tmp_path):  # noqa: F811
    work = tmp_path / 'run'
    job = begin(slurm, task, work, '--nodes=1', '--overcommit', processes=2)
    assert ended(slurm, job, work) == 'COMPLETED', log(work)
    found = tensors(work)
    assert found.keys() == undisturbed.keys()
    # gloo adds in another order between hosts
    assert max(float((found[name] - undisturbed[name]).abs().max()) for name in found) < 1e-5


@pytest.mark.slow  # SLURM lets a requeued job wait for two minutes
def test_a_job_told_to_end_is_requeued_and_gives_the_same_weights(slurm, task, undisturbed, tmp_path):  # noqa: F811
    work = tmp_path / 'run'
    job = begin(slurm, task, work)
    slurm.wait_for(lambda: steps_made(work), 'first steps')
    slurm.ask('scancel', '--signal=USR1', '--batch', job)
    slurm.wait_for(lambda: 'was requeued: it will continue from its newest checkpoint' in log(work), 'requeue')
    assert ended(slurm, job, work, seconds=300) == 'COMPLETED', log(work)
    assert same(tensors(work), undisturbed)


@pytest.mark.slow  # the controller waits before it gives a node up, and again before the requeued job
def test_a_lost_node_requeues_the_job(slurm, task, undisturbed, tmp_path):  # noqa: F811
    work = tmp_path / 'run'
    job = begin(slurm, task, work)
    slurm.wait_for(lambda: steps_made(work), 'first steps')
    slurm.kill('n2')
    slurm.ask('scontrol', 'update', 'NodeName=n2', 'State=DOWN', 'Reason=lost')
    slurm.start_node('n2')
    slurm.ask('scontrol', 'update', 'NodeName=n2', 'State=RESUME')
    assert ended(slurm, job, work, seconds=400) == 'COMPLETED', log(work)
    assert same(tensors(work), undisturbed)
