"""The training loop, which can resume in the middle of an epoch."""

import time

from mmengine.runner import EpochBasedTrainLoop

from sigma.errors import DataError
from sigma.registry import LOOPS


@LOOPS.register_module()
class TrainLoop(EpochBasedTrainLoop):
    """MMEngine's epoch loop, but it resumes at the exact step where a checkpoint was written.

    MMEngine restarts the epoch (or, in its iteration loop, decodes and discards everything before the step). Here the
    sampler jumps to the step. Needs `sigma.EpochSampler`.

    Attributes:
        seconds_waited: Total time spent waiting for batches in this process.

    Args:
        max_epochs: Epochs; None: as many as `max_steps` need.
        max_steps: Steps (forward passes) after which training ends, within the last epoch; None: at its end.

    Raises:
        DataError: if `max_epochs` or `max_steps` is not a whole number of at least 1, both are None, or the steps do
            not end in the last epoch.
    """

    seconds_waited = 0.0

    def __init__(self, runner, dataloader, max_epochs: int | None = None, max_steps: int | None = None, **others):
        if max_epochs is None and max_steps is None:
            raise DataError('train_cfg has no length; set train_cfg.max_epochs or train_cfg.max_steps.')
        for name, value in (('max_epochs', max_epochs), ('max_steps', max_steps)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise DataError(f'train_cfg.{name} is {value}; it must be a whole number, 1 or more.')
        super().__init__(runner, dataloader, max_epochs or 1, **others)
        per_epoch = len(self.dataloader)
        if max_epochs is None and max_steps is not None:
            self._max_epochs = max_epochs = -(-max_steps // per_epoch)
        if max_steps is not None and max_epochs is not None:
            if not (max_epochs - 1) * per_epoch < max_steps <= max_epochs * per_epoch:
                raise DataError(
                    f'train_cfg.max_steps is {max_steps}, not in the last of {max_epochs} epochs of {per_epoch} steps; '
                    'leave it out, or give as many epochs as the steps need.'
                )
            self._max_iters = max_steps

    def run_epoch(self) -> None:
        """Run one epoch, or the rest of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        first_step = self._iter - self._epoch * len(self.dataloader)
        if not 0 <= first_step < len(self.dataloader):
            raise DataError(
                f'Step {self._iter} is not in epoch {self._epoch + 1} of {len(self.dataloader)} steps: the checkpoint '
                'was written with another number of videos, processes or clips per batch; resume with those.'
            )
        self.dataloader.sampler.set_position(self._epoch, first_step)
        begun = time.perf_counter()  # starting the loader's processes counts as waiting
        last_step = min(len(self.dataloader), self._max_iters - self._epoch * len(self.dataloader))
        for step, data_batch in zip(range(first_step, last_step), self.dataloader):
            self.seconds_waited += time.perf_counter() - begun
            self.run_iter(step, data_batch)
            begun = time.perf_counter()
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
