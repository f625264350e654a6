"""What goes wrong unseen: videos that fail to decode, losses that are no numbers."""

import logging
import math

from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log

from sigma.registry import HOOKS


class TrainingStopped(RuntimeError):
    """Training cannot go on; one sentence that names the step and says what would help."""


@HOOKS.register_module()
class DiagnosticsHook(Hook):
    """Names every video that failed to decode once and counts them; stops at a loss that is not a number.

    Logs `undecodable_videos`, the count on this process so far. Raises `TrainingStopped` naming the step; the
    checkpoint before it is untouched.
    """

    priority = 'NORMAL'

    def __init__(self) -> None:
        self.failures: dict[str, None] = {}

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Collect what the loader could not decode."""
        for failures in data_batch.get('failures', []):
            for failure in failures.splitlines():
                if failure not in self.failures:
                    self.failures[failure] = None
                    print_log(f'not decoded, next video taken: {failure}', 'current', logging.WARNING)
        runner.message_hub.update_scalar('train/undecodable_videos', len(self.failures))

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Look at the loss."""
        loss = outputs['loss'].detach().float().clone()
        all_reduce(loss, 'mean')  # a number that is none on one process stops all of them
        if not math.isfinite(float(loss)):
            raise TrainingStopped(
                f'The loss of step {runner.iter + 1} is {float(loss)}; training stops and the last checkpoint stays. '
                'Lower the learning rate or lengthen the warm-up, then resume.'
            )
