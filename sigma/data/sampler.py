"""Which sample comes when: the same global order for any number of processes, from any step on."""

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from sigma.errors import DataError
from sigma.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Gives (pass, position) pairs of this process, one epoch at a time.

    Step s of an epoch takes entries [s * G, (s + 1) * G) of that epoch's permutation, G the global batch, and
    process r of W the r-th of its W parts. So the global batches do not depend on W, and a resumed run starts at any
    step without reading what came before. The tail that does not fill a batch is left out, as published.

    Args:
        dataset: Anything with a length.
        batch_size: Of this process.
        seed: Of the permutations.
        shuffle: False keeps the order of the list.
        repeats: Passes over the list in one epoch, each in an order and with randomness of its own: a small data set
            then does not start its loader anew every few steps.
        steps_together: Steps of an epoch are a multiple of this, so that an epoch never ends among steps whose
            gradients are added up.

    Raises:
        DataError: if there are fewer samples than the global batch.
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
                f'A global batch of {self.global_batch} ({self.world_size} processes x {batch_size}){together} was '
                f'asked of {self.num_samples} videos; lower train_dataloader.batch_size.'
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
        """Samples of a whole epoch on this process, wherever the next iteration starts."""
        return self.steps * self.batch_size
