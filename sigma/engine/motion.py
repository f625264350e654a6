"""Names and counts clips with a mask that could not follow the motion."""

import logging

from mmengine.hooks import Hook
from mmengine.logging import print_log

from sigma.registry import HOOKS


@HOOKS.register_module()
class MotionHook(Hook):
    """Logs every video without motion vectors, once: its mask stands still.

    Logs `videos_without_motion`, the count on this process so far; nothing if the pipeline reads no vectors. For
    `DecodeFramesAndVectors` with `without_motion='still'`.
    """

    priority = 'NORMAL'

    def __init__(self) -> None:
        self.reasons: dict[str, None] = {}

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Collect the reasons that the loader reports."""
        if 'without_motion' not in data_batch:
            return
        for reason in data_batch['without_motion']:
            if reason and reason not in self.reasons:
                self.reasons[reason] = None
                print_log(f'mask stands still: {reason}', 'current', logging.WARNING)
        runner.message_hub.update_scalar('train/videos_without_motion', len(self.reasons))
