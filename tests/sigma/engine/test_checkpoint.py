"""When checkpoints are due, by a clock that the test sets."""

from types import SimpleNamespace

import pytest

from sigma.engine import checkpoint
from sigma.engine.checkpoint import CheckpointHook
from sigma.engine.preemption import agreed


def steps_saved(monkeypatch, folder, seconds: list[float], **settings) -> list[int]:
    """Steps after which a hook saves, within one long epoch.

    Args:
        monkeypatch: Of pytest.
        folder: Work directory.
        seconds: When each step ends, counted from the start.
        settings: Of the hook.
    """
    saved: list[int] = []
    now = [0.0]
    monkeypatch.setattr(checkpoint, 'time', SimpleNamespace(monotonic=lambda: 1000 + now[0]))
    monkeypatch.setattr(checkpoint, 'is_between_updates', lambda *_: False)
    monkeypatch.setattr(CheckpointHook, 'save', lambda self, runner, num_iters, num_epochs: saved.append(num_iters))
    runner = SimpleNamespace(iter=0, epoch=0, max_iters=1000, train_dataloader=range(1000), optim_wrapper=None)
    runner.work_dir = folder
    hook = CheckpointHook(**settings)
    now[0] = 500.0  # the model is built, the data is read: none of it counts
    hook.before_train(runner)
    for number, second in enumerate(seconds):
        now[0], runner.iter = 500 + second, number
        hook.after_train_iter(runner, number)
    return saved


def test_a_checkpoint_is_due_when_its_seconds_are_over(monkeypatch, tmp_path):
    slow = [20.0 * step for step in range(1, 11)]  # steps 2, 4, ... end 40 seconds after the last checkpoint
    assert steps_saved(monkeypatch, tmp_path, slow, interval_seconds=30) == [2, 4, 6, 8, 10]
    quick = [0.5 * step for step in range(1, 131)]
    assert steps_saved(monkeypatch, tmp_path, quick, interval_seconds=30) == [60, 120]
    assert steps_saved(monkeypatch, tmp_path, quick) == []


def test_seconds_count_from_a_checkpoint_of_another_reason(monkeypatch, tmp_path):
    seconds = [10.0 * step for step in range(1, 11)]
    assert steps_saved(monkeypatch, tmp_path, seconds, interval_iters=4, interval_seconds=30) == [3, 4, 7, 8]


@pytest.mark.parametrize('seconds', [0, -1])
def test_an_interval_without_length_is_refused(seconds):
    with pytest.raises(ValueError, match=f'interval_seconds {seconds}'):
        CheckpointHook(interval_seconds=seconds)


def test_one_process_agrees_with_itself():
    assert agreed(SimpleNamespace(), 15) == 15
