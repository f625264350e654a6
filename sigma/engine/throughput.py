"""Clips per second, and how much of the time is spent waiting for data."""

import time

from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from sigma.engine.scalars import is_look
from sigma.registry import HOOKS


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Logs `clips_per_second` over all processes, and `data_wait_percent` of this one, where the log is written.

    Both are of all steps since then: on an accelerator a step's own time is that of handing it over. The second needs
    `sigma.TrainLoop`, which keeps the time that it waits for its loader; what hooks take (a checkpoint) is none. With
    another loop it is left out.
    """

    priority = 'NORMAL'

    def before_train_epoch(self, runner) -> None:
        """Start the clock."""
        self._begin(runner)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Count; where the log is written, update both figures. `sigma.ScalarsHook` has waited for the device then."""
        self._clips += len(data_batch['inputs']) * get_world_size()
        if not is_look(runner, batch_idx):
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
