"""A run that is told to end saves after the step, exits with its own status, and resumes bit for bit."""

import os
import signal
import time

import pytest

from sigma.engine import preemption
from tests.forked import Group, Run
from tests.sigma.engine.test_safe_to_kill import FINAL, saved_steps

NO_INTERVAL = {'default_hooks__checkpoint__interval_iters': None}  # a job shorter than an epoch then saves nothing
TOLD = 75  # EX_TEMPFAIL


class Tell:
    """A signal to this process amid a step.

    Args:
        step: Which, from 1.
        number: Of the signal.
    """

    def __init__(self, step: int, number: signal.Signals = signal.SIGUSR1) -> None:
        self.step, self.number, self.count = step, number, 0

    def __call__(self) -> None:
        """Put it into this process."""
        from mmengine.optim import OptimWrapper

        original = OptimWrapper.update_params

        def update_params(wrapper, *args, **kwargs):
            self.count += 1
            if self.count == self.step:
                os.kill(os.getpid(), self.number)
            return original(wrapper, *args, **kwargs)

        OptimWrapper.update_params = update_params


@pytest.fixture(scope='module')
def whole(config, toy, tmp_path_factory):
    """Final state of an uninterrupted run."""
    work = tmp_path_factory.mktemp('runs') / 'whole'
    run = Run(config, work, toy, **NO_INTERVAL)
    assert run.wait() == 0, run.said
    return (work / FINAL).read_bytes()


@pytest.mark.parametrize(
    ('step', 'number', 'workers'),
    [(3, signal.SIGUSR1, 0), (5, signal.SIGTERM, 0), (7, signal.SIGTERM, 1)],  # the fifth step ends an epoch
)
def test_the_state_after_the_step_is_saved(step, number, workers, config, toy, whole, tmp_path):
    work = tmp_path / 'told'
    options = NO_INTERVAL | {'train_dataloader__num_workers': workers}
    run = Run(config, work, toy, Tell(step, number), **options)
    assert run.wait() == TOLD, run.said
    last = run.said.strip().splitlines()[-1]
    assert last.startswith(
        f'train: This run was told to end ({number.name}): the state after step {step} of 10 is saved'
    )
    assert 'Traceback' not in run.said
    assert saved_steps(work) == step
    again = Run(config, work, toy, **options)
    assert again.wait() == 0, again.said
    assert (work / FINAL).read_bytes() == whole


def test_told_in_the_last_step_a_run_is_complete(config, toy, whole, tmp_path):
    run = Run(config, tmp_path / 'told', toy, Tell(10), **NO_INTERVAL)
    assert run.wait() == 0, run.said
    assert (tmp_path / 'told' / FINAL).read_bytes() == whole
    assert (tmp_path / 'told' / 'encoder.safetensors').is_file()


def test_the_processes_of_a_loader_still_end_by_sigterm():
    with preemption.deferring_signals(signal.SIGTERM, signal.SIGUSR1):
        status = []
        for number in (signal.SIGTERM, signal.SIGUSR1):
            pid = os.fork()
            if pid == 0:
                os.kill(os.getpid(), number)
                time.sleep(0.01)  # a handler runs before this
                os._exit(0)
            status.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert status == [-signal.SIGTERM, 0]
        assert preemption._received is None


def test_a_signal_that_ends_the_loader_too_is_said_without_a_traceback():
    def lose_the_loader(*signals):
        for number in signals:
            os.kill(os.getpid(), number)
        raise RuntimeError('DataLoader worker (pid 7) is killed by signal: Terminated.')

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match='pid 7'), preemption.deferring_signals(signal.SIGTERM):
        lose_the_loader()  # by something else
    with (
        pytest.raises(preemption.Preempted, match='SIGTERM ended this run.*--resume'),
        preemption.deferring_signals(15),
    ):
        lose_the_loader(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.integration
def test_one_process_is_told_and_all_end_after_the_same_step(config, toy, tmp_path):
    half = NO_INTERVAL | {'train_dataloader__batch_size': 4}
    work = tmp_path / 'whole'
    group = Group(config, work, toy, **half)
    assert group.wait() == [0, 0], group.said
    final, work = (work / FINAL).read_bytes(), tmp_path / 'told'
    group = Group(config, work, toy, (None, Tell(4)), **half)
    assert set(group.wait()) <= {TOLD, -signal.SIGKILL}, group.said  # a launcher ends the slower one
    assert 'the state after step 4 of 10 is saved' in group.said
    assert 'Traceback' not in group.said
    assert saved_steps(work) == 4
    again = Group(config, work, toy, **half)
    assert again.wait() == [0, 0], again.said
    assert (work / FINAL).read_bytes() == final


# --- gradient accumulation over three passes, in epochs of five steps ---

THREE = {'optim_wrapper__accumulative_counts': 3, 'default_hooks__checkpoint__keep': 9}


@pytest.fixture(scope='module')
def added_up(config, toy, tmp_path_factory):
    """Work folder of an uninterrupted run that accumulates gradients over three passes."""
    work = tmp_path_factory.mktemp('runs') / 'added_up'
    run = Run(config, work, toy, **THREE)
    assert run.wait() == 0, run.said
    return work


def test_no_checkpoint_falls_among_passes_that_make_one_step(added_up):
    # Asked for at 2, 4, 5 (an epoch), 6, 8, 10; the third, sixth and ninth pass and the last of all move the weights.
    assert sorted(int(path.stem[5:]) for path in added_up.glob('iter_*')) == [3, 6, 9, 10]


@pytest.mark.parametrize(
    ('number', 'status', 'saved'), [(signal.SIGKILL, -signal.SIGKILL, 6), (signal.SIGUSR1, TOLD, 9)]
)
def test_gradients_that_were_added_up_are_not_lost(number, status, saved, config, toy, added_up, tmp_path):
    work = tmp_path / 'ended'
    run = Run(config, work, toy, Tell(8, number), **THREE)
    assert run.wait() == status, run.said
    assert saved_steps(work) == saved
    again = Run(config, work, toy, **THREE)
    assert again.wait() == 0, again.said
    assert (work / FINAL).read_bytes() == (added_up / FINAL).read_bytes()
    assert 'gradient of some iterations is lost' not in again.said


def test_a_stop_at_a_collapse_waits_for_the_passes_that_make_one_step(config, toy, added_up, tmp_path):
    hook = {'custom_hooks__3__interval': 1, 'custom_hooks__3__patience': 4, 'custom_hooks__3__stop': True}
    run = Run(config, tmp_path / 'w', toy, **THREE, **hook, custom_hooks__3__thresholds__feature_std=9)
    assert run.wait() == 3, run.said
    assert 'A collapse at step 4' in run.said
    assert 'the state after step 6 is saved' in run.said
    again = Run(config, tmp_path / 'w', toy, **THREE)
    assert again.wait() == 0, again.said
    assert (tmp_path / 'w' / FINAL).read_bytes() == (added_up / FINAL).read_bytes()
