"""The order of samples: the same globally for any number of processes, and resumable at any step."""

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from sigma.errors import DataError
from sigma.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Yields this process's (pass, position) pairs, one epoch at a time.

    Step s of an epoch takes entries [s * G, (s + 1) * G) of that epoch's permutation, where G is the global batch.
    Process r of W takes the r-th of W parts. So global batches do not depend on W, and a resumed run starts at any step
    without reading what came before. The tail that does not fill a batch is dropped, as published.

    Args:
        dataset: Anything with a length.
        batch_size: Samples per step of this process.
        seed: Seed of the permutations.
        shuffle: False keeps the list order.
        repeats: Passes over the list per epoch, each with its own order and randomness, so that a small dataset does
            not restart its loader every few steps.
        steps_together: Gradient accumulation steps. Steps per epoch are a multiple of this, so that an accumulation
            never spans two epochs.

    Raises:
        DataError: if there are fewer samples than one global batch.
    """

    def __init__(
        self,
        dataset,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        repeats: int = 1,
        steps_together: int = 1,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.num_samples, self.batch_size, self.seed, self.shuffle = len(dataset), batch_size, seed, shuffle
        self.repeats = repeats
        self.global_batch = batch_size * self.world_size
        self.steps = self.num_samples * repeats // (self.global_batch * steps_together) * steps_together
        if not self.steps:
            together = f' x {steps_together} accumulations' if steps_together > 1 else ''
            raise DataError(
                f'A global batch of {self.global_batch} ({self.world_size} processes x {batch_size}){together} needs '
                f'more than the {self.num_samples} videos there are; lower train_dataloader.batch_size.'
            )
        self.set_position(0, 0)

    def set_position(self, epoch: int, step: int) -> None:
        """Start the next iteration at this step of this epoch."""
        self.epoch, self.step = epoch, step

    def __iter__(self):
        passes = range(self.epoch * self.repeats, (self.epoch + 1) * self.repeats)
        order = [(number, int(position)) for number in passes for position in self._order(number)]
        for step in range(self.step, self.steps):
            begin = step * self.global_batch + self.rank * self.batch_size
            yield from order[begin : begin + self.batch_size]

    def _order(self, number: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.num_samples)
        return np.random.default_rng([self.seed, number]).permutation(self.num_samples)

    def __len__(self) -> int:
        """Samples per whole epoch on this process, wherever the next iteration starts."""
        return self.steps * self.batch_size
