"""Clips per second, and the share of time spent waiting for data."""

import time

from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from sigma.engine.scalars import is_check_step
from sigma.registry import HOOKS


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Logs `clips_per_second` of all processes and `data_wait_percent` of this one, whenever the log is written.

    Both cover all steps since the last line, because on an accelerator a single step only measures its launch.
    `data_wait_percent` needs `sigma.TrainLoop`, which measures how long it waits for its loader (time in hooks, such as
    writing a checkpoint, does not count). With another loop it is left out.
    """

    priority = 'NORMAL'

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
        self._begin(runner)

    def _begin(self, runner) -> None:
        self._waited = getattr(runner.train_loop, 'seconds_waited', None)
        self._begun, self._clips = time.perf_counter(), 0
