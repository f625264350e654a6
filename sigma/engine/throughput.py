"""Clips per second, and the share of time spent waiting for data."""

import logging
import os
import time

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log

from sigma.engine.scalars import is_check_step
from sigma.processes import num_cpus
from sigma.registry import HOOKS

MOST_WAITING = 0.5


def remedy(num_workers: int, cores: int) -> str:
    """What helps against waiting for data.

    Args:
        num_workers: Processes of the loader.
        cores: CPU cores for this process and its loader.
    """
    config = '`python -m tools.benchmark input CONFIG`'
    if num_workers < cores - 1:
        return (
            f'The loader has {num_workers} processes and there are {cores} cores: set '
            f'train_dataloader.num_workers={cores - 1}. {config} measures the input and names a faster reader.'
        )
    return (
        f'The loader uses all {cores} cores already: {config} says whether another reader or re-encoding the videos '
        'helps (tools/prepare.py reencode).'
    )


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Logs `clips_per_second` of all processes and `data_wait_percent` of this one, whenever the log is written.

    Both cover all steps since the last line, because on an accelerator a single step only measures its launch.
    `data_wait_percent` needs `sigma.TrainLoop`, which measures how long it waits for its loader (time in hooks, such as
    writing a checkpoint, does not count). With another loop it is left out.

    If more than half of the time is spent waiting, over half a minute at least, the console says so with the remedy,
    once in ten minutes.

    Args:
        seconds_between_warnings: From one such sentence to the next.
        seconds_to_judge: Least time over which the share is taken.
    """

    priority = 'NORMAL'

    def __init__(self, seconds_between_warnings: float = 600.0, seconds_to_judge: float = 30.0) -> None:
        self.seconds_between_warnings, self.seconds_to_judge = seconds_between_warnings, seconds_to_judge
        self._last_warning: float | None = None
        self._judged: tuple[float, float] | None = None  # when, and seconds waited until then

    def before_train_epoch(self, runner) -> None:
        """Start the clock."""
        self._begin(runner)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Count clips; update both values when the log is written. `sigma.ScalarsHook` has already waited by then."""
        self._clips += len(data_batch['inputs']) * get_world_size()
        if not is_check_step(runner, batch_idx):
            return
        seconds = max(time.perf_counter() - self._begun, 1e-9)
        runner.message_hub.update_scalar('train/clips_per_second', self._clips / seconds)
        if self._waited is not None:
            waited = runner.train_loop.seconds_waited - self._waited
            runner.message_hub.update_scalar('train/data_wait_percent', 100 * waited / seconds)
            self._judge(runner)
        self._begin(runner)

    def _judge(self, runner) -> None:
        """Warn if most of the time since the last judgement was spent waiting."""
        now, waited = time.perf_counter(), runner.train_loop.seconds_waited
        since, waited_then = self._judged or (now, waited)
        self._judged, seconds = (since, waited_then), now - since
        if seconds < self.seconds_to_judge:
            return
        share = (waited - waited_then) / seconds
        self._judged = now, waited
        is_time = self._last_warning is None or now - self._last_warning >= self.seconds_between_warnings
        if share > MOST_WAITING and is_time and is_main_process():
            self._last_warning = now
            cores = num_cpus() // int(os.environ.get('LOCAL_WORLD_SIZE', '1'))
            print_log(
                f'{100 * share:.0f} % of the last {seconds:.0f} s went into waiting for data. '
                f'{remedy(runner.train_dataloader.num_workers, cores)}',
                'current',
                logging.WARNING,
            )

    def _begin(self, runner) -> None:
        self._waited = getattr(runner.train_loop, 'seconds_waited', None)
        self._begun, self._clips = time.perf_counter(), 0
