"""What goes wrong unseen: videos that fail to decode, losses that are no numbers."""

import logging
import math

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper

from sigma.engine.scalars import steps_between_looks
from sigma.errors import DataError
from sigma.registry import HOOKS


class TrainingStopped(RuntimeError):
    """Training cannot go on; one sentence that names the step and says what would help."""


@HOOKS.register_module()
class DiagnosticsHook(Hook):
    """Names every video that failed to decode once and counts them; stops at a loss that is not a number.

    Args:
        interval: Steps between looks at the losses; None looks at every step on a CPU, where that costs nothing, and
            at every tenth on an accelerator. What a step leaves behind stays on the device until then, so no
            step waits for it; every loss counts all the same, and before a checkpoint is written there is always a
            look, so that none holds the weights after such a loss.

    Logs `undecodable_videos`, the count on this process so far. Raises `TrainingStopped` naming the step; the
    checkpoint before it is untouched.
    """

    priority = 'NORMAL'

    def __init__(self, interval: int | None = None) -> None:
        if interval is not None and interval < 1:
            raise ValueError(f'DiagnosticsHook was asked to look every {interval} steps; at least 1 is needed.')
        self.interval = interval
        self.failures: dict[str, str] = {}  # video -> the first reason
        self._bad: torch.Tensor | None = None  # (step, loss) of the first loss that is no number, step 0 for none

    def before_train(self, runner) -> None:
        """Refuse masks that are drawn on another grid than the encoder's: a smaller one would pass unseen.

        Raises:
            DataError: naming both grids.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        grid = getattr(getattr(model, 'encoder', None), 'grid', None)
        pipeline = getattr(runner.train_dataloader.dataset, 'pipeline', None)
        for step in getattr(pipeline, 'transforms', ()) if grid else ():
            drawn = tuple(getattr(step, 'grid', ()))
            if drawn != grid[len(grid) - len(drawn) :]:
                raise DataError(
                    f'{type(step).__name__} draws masks of {"x".join(map(str, drawn))} cells, and the encoder has '
                    f'{"x".join(map(str, grid))} tokens (time, rows, columns); give the mask the grid of the encoder.'
                )

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Collect what the loader could not decode."""
        for failures in data_batch.get('failures', []):
            for failure in failures.splitlines():
                video = failure.partition(': ')[0]  # the reason differs with the frames that were asked for
                if video not in self.failures:
                    self.failures[video] = failure
                    print_log(f'not decoded, next video taken: {failure}', 'current', logging.WARNING)
        runner.message_hub.update_scalar('train/undecodable_videos', len(self.failures))

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Keep the first loss that is not a number; look every `interval` steps and at the last step."""
        loss = outputs['loss'].detach().double()
        if self._bad is None:
            self._bad = torch.zeros(2, dtype=torch.float64, device=loss.device)
        step = runner.iter + 1
        first = ~torch.isfinite(loss) & (self._bad[0] == 0)
        self._bad = torch.where(first, torch.stack([torch.full_like(loss, step), loss]), self._bad)
        if step % steps_between_looks(self.interval, loss.device) == 0 or step == runner.max_iters:
            self.look()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """A state after a loss that is not a number is not worth keeping."""
        self.look()

    def look(self) -> None:
        """Stop if a loss was not a number on any process.

        Raises:
            TrainingStopped: naming the step and the loss.
        """
        if self._bad is None:
            return
        step = torch.where(self._bad[0] > 0, self._bad[0], math.inf)
        loss = self._bad[1].clone()
        all_reduce(step, 'min')  # a number that is none on one process stops all of them
        all_reduce(loss, 'sum')
        if math.isfinite(float(step)):
            raise TrainingStopped(
                f'The loss of step {int(step)} is {float(loss)}; training stops and the last checkpoint stays. '
                'Lower the learning rate or lengthen the warm-up, and start in another --work-dir: anew, or from that '
                "checkpoint's weights (--cfg-options load_from=FILE); --resume keeps the former schedule."
            )
