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

    Raises:
        DataError: if `max_epochs` is not a whole number of at least 1.
    """

    seconds_waited = 0.0

    def __init__(self, runner, dataloader, max_epochs: int, **others) -> None:
        if not isinstance(max_epochs, int) or max_epochs < 1:
            raise DataError(f'train_cfg.max_epochs is {max_epochs}; it must be a whole number, 1 or more.')
        super().__init__(runner, dataloader, max_epochs, **others)

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
        for step, data_batch in zip(range(first_step, len(self.dataloader)), self.dataloader):
            self.seconds_waited += time.perf_counter() - begun
            self.run_iter(step, data_batch)
            begun = time.perf_counter()
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
