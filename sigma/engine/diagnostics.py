"""Problems that would go unnoticed: videos that fail to decode, losses that are NaN, masks on the wrong grid."""

import logging
import math

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper

from sigma.engine.scalars import steps_between_checks
from sigma.errors import DataError
from sigma.registry import HOOKS


class TrainingStopped(RuntimeError):
    """Training cannot continue; the message names the step and what would help."""


@HOOKS.register_module()
class DiagnosticsHook(Hook):
    """Logs every video that fails to decode, once, and counts them; stops the training at a loss that is NaN or inf.

    Args:
        interval: Steps between checks of the losses (default: 1 on a CPU, where a check costs nothing, and 10 on an
            accelerator). Between checks, losses stay on the device, so no step waits for them. No loss is missed. A
            check always precedes a checkpoint, so no checkpoint is written after a bad loss.

    Logs `undecodable_videos`, the count on this process so far.

    Raises:
        TrainingStopped: naming the step of the bad loss; the checkpoint before it is untouched.
        DataError: before training, if masks are drawn on another grid than the encoder's.
    """

    priority = 'NORMAL'

    def __init__(self, interval: int | None = None) -> None:
        if interval is not None and interval < 1:
            raise ValueError(f'DiagnosticsHook was asked to check every {interval} steps; it needs at least 1.')
        self.interval = interval
        self.failures: dict[str, str] = {}  # video -> the first reason
        self._bad: torch.Tensor | None = None  # (step, loss) of the first bad loss; step 0 if there was none

    def before_train(self, runner) -> None:
        """Refuse masks drawn on another grid than the encoder's; a smaller grid would go unnoticed.

        Raises:
            DataError: naming both grids.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        grid = getattr(getattr(model, 'encoder', None), 'grid', ())
        pipeline = getattr(runner.train_dataloader.dataset, 'pipeline', None)
        for step in getattr(pipeline, 'transforms', ()) if grid else ():
            drawn = tuple(getattr(step, 'grid', ()))
            if drawn != grid[len(grid) - len(drawn) :]:
                raise DataError(
                    f'{type(step).__name__} draws masks of {"x".join(map(str, drawn))} cells, but the encoder has '
                    f'{"x".join(map(str, grid))} tokens (time, rows, columns); give the mask the grid of the encoder.'
                )

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Collect the videos that the loader could not decode."""
        for failures in data_batch.get('failures', []):
            for failure in failures.splitlines():
                video = failure.partition(': ')[0]  # the reason differs with the frames requested
                if video not in self.failures:
                    self.failures[video] = failure
                    print_log(f'not decoded, the next video is used instead: {failure}', 'current', logging.WARNING)
        runner.message_hub.update_scalar('train/undecodable_videos', len(self.failures))

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Remember the first bad loss; check every `interval` steps and at the last step."""
        loss = outputs['loss'].detach().double()
        if self._bad is None:
            self._bad = torch.zeros(2, dtype=torch.float64, device=loss.device)
        step = runner.iter + 1
        first = ~torch.isfinite(loss) & (self._bad[0] == 0)
        self._bad = torch.where(first, torch.stack([torch.full_like(loss, step), loss]), self._bad)
        if step % steps_between_checks(self.interval, loss.device) == 0 or step == runner.max_iters:
            self.check()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to save a state after a bad loss."""
        self.check()

    def check(self) -> None:
        """Stop if a loss was NaN or inf on any process.

        Raises:
            TrainingStopped: naming the step and the loss.
        """
        if self._bad is None:
            return
        step = torch.where(self._bad[0] > 0, self._bad[0], math.inf)
        loss = self._bad[1].clone()
        all_reduce(step, 'min')  # a bad loss on any process stops all of them
        all_reduce(loss, 'sum')
        if math.isfinite(float(step)):
            raise TrainingStopped(
                f'The loss of step {int(step)} is {float(loss)}; training stops and the last checkpoint stays. '
                'Lower the learning rate or lengthen the warm-up, and start in another --work-dir, from scratch or '
                "from that checkpoint's weights (--cfg-options load_from=FILE). --resume would keep the old schedule."
            )
