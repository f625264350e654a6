"""Clips per second, and how much of the time is spent waiting for data."""

import time

from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from sigma.registry import HOOKS


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Logs `clips_per_second` over all processes, and `data_wait_percent` of this one, each step."""

    priority = 'NORMAL'

    def before_train_epoch(self, runner) -> None:
        """Start the clock."""
        self._last = time.perf_counter()

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """The batch is here: what passed since the last step was waiting."""
        self._loaded = time.perf_counter()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Update both figures."""
        now = time.perf_counter()
        seconds = max(now - self._last, 1e-9)
        clips = len(data_batch['inputs']) * get_world_size()
        runner.message_hub.update_scalar('train/clips_per_second', clips / seconds)
        runner.message_hub.update_scalar('train/data_wait_percent', 100 * (self._loaded - self._last) / seconds)
        self._last = now
