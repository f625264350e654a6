"""The training loop of every head: steps, learning rate, moving average, and a state from which a killed run goes on.

A protocol says what its loss is; this file does the rest. It is for heads on one process. Whole encoders are fine-tuned
by MMEngine's runner (eval/protocols/finetune.py).
"""

import copy
import logging
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eval.cells.cell import ResolvedCell
from sigma.checkpoints.files import load_strictly, read_training_state, read_weights, save_tensors, save_training_state
from sigma.errors import CheckpointError, SigmaError
from sigma.processes import progress_bar

LOG = logging.getLogger(__name__)


class TrainingError(SigmaError):
    """A training that cannot go on, because its loss is no longer a finite number."""


def train_network(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Callable[[int], Iterable[Tensor]],
    num_epochs: int,
    *,
    seed_of: Callable[[int], int | None],
    what: str = 'the head',
    rate: Callable[[int], float] | None = None,
    clip_norm: float | None = None,
    average_decay: float | None = None,
    state: Path | None = None,
    memory: dict[str, Any] | None = None,
) -> tuple[nn.Module, list[float]]:
    """Train a network: one optimizer step for every loss that `losses` yields.

    An epoch that is started again after a kill takes the same steps, to the last bit: the random state is in the file,
    and `losses(epoch)` must depend on nothing but the random numbers of torch, `epoch`, the network and `memory`.

    Args:
        network: What is trained, on its device. Every epoch starts in training mode; `losses` may freeze parts of it.
        optimizer: Over its parameters, with the peak learning rate of each group.
        losses: epoch -> scalar losses, one for each step. It may be a generator that looks at the network between two
            steps: the step is taken before the next loss is asked for.
        num_epochs: Epochs, counted from 0. The state is kept after each.
        seed_of: epoch -> seed of torch at its start; None lets the random numbers run on.
        what: What is trained, for messages and the progress bar.
        rate: Number of steps taken so far -> factor of each group's peak learning rate. None keeps the peak.
        clip_norm: Largest norm of the gradient over all parameters. None clips nothing.
        average_decay: Share of the moving average of the parameters that stays at each step, such as 0.999. None keeps
            no average. Buffers are not averaged; the average has those of the untrained network.
        state: File of the state after each epoch. It stays after the last one, so that a cell that is killed during
            scoring does not train again; `discard` removes it. None keeps nothing.
        memory: Numbers, strings, lists and tensors that `losses` remembers between epochs; kept in the state too.

    Returns:
        The moving average if one was asked for, else the network, in eval mode; and the loss of each step that this
        process took.

    Raises:
        TrainingError: if a loss is not finite.
        CheckpointError: if the state does not fit the network.
    """
    memory = {} if memory is None else memory
    average = None if average_decay is None else copy.deepcopy(network).eval()
    modules = {'state_dict': network} | ({} if average is None else {'average': average})
    peaks = [group['lr'] for group in optimizer.param_groups]
    first, step = _restore(state, modules, optimizer, memory) if state else (0, 0)
    taken: list[float] = []
    with progress_bar(f'training {what}', num_epochs - first) as advance:
        for epoch in range(first, num_epochs):
            if (seed := seed_of(epoch)) is not None:
                torch.manual_seed(seed)
            network.train()
            for loss in losses(epoch):
                if rate is not None:
                    factor = rate(step)
                    for group, peak in zip(optimizer.param_groups, peaks):
                        group['lr'] = peak * factor
                taken.append(_finite(loss, what, epoch, num_epochs, optimizer))
                optimizer.zero_grad()
                loss.backward()
                if clip_norm is not None:
                    nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
                optimizer.step()
                if average is not None and average_decay is not None:
                    _follow(average, network, average_decay)
                step += 1
            if state:
                _keep(state, modules, optimizer, memory, epoch + 1, step)
            advance()
    return (network if average is None else average).eval(), taken


# --- learning rates -------------------------------------------------------------------------------------------------


def warmup_cosine(done: float, warmup: float, total: float, start: float) -> float:
    """Factor of the learning rate: it rises linearly, then falls along half a cosine to 0.

    Args:
        done: Training done, from 0 to `total`, in any unit (epochs, or a share of 1).
        warmup: Length of the rise.
        start: Head start of the rise: it begins at start / (warmup + start), not at 0.
    """
    if done < warmup:
        return (done + start) / (warmup + start)
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(total - warmup, 1e-9)))


def epochs_done(step: int, steps_per_epoch: int) -> float:
    """Epochs that so many steps are."""
    epoch, number = divmod(step, steps_per_epoch)
    return epoch + number / steps_per_epoch


def epoch_seeds(seed: int) -> Callable[[int], int]:
    """Seed of each epoch of a training: 1000 x seed + epoch."""
    return lambda epoch: 1000 * seed + epoch


# --- files ----------------------------------------------------------------------------------------------------------


def state_path(resolved: ResolvedCell, work_dir: str | Path) -> Path:
    """Where a cell keeps the state of its training."""
    return resolved.folder(work_dir) / 'state.safetensors'


def discard(state: Path) -> None:
    """Remove the state of a training that is done, and what an earlier release left of it."""
    for path in (state, _old(state)):
        path.unlink(missing_ok=True)


def save_head(path: Path, head: nn.Module) -> None:
    """Write the weights of a trained head, whole or not at all."""
    save_tensors(path, head.state_dict(), {'kind': 'head'})


def load_head(path: Path, head: nn.Module) -> None:
    """Load weights that `save_head` wrote.

    Raises:
        CheckpointError: if the file is absent or damaged, or does not fit the head.
    """
    load_strictly(head, read_weights(path).tensors, str(path))


def _keep(
    state: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, memory: dict, epoch: int, step: int
) -> None:
    """Write all that the next epoch depends on, whole or not at all."""
    content = {name: module.state_dict() for name, module in modules.items()}
    random = {'cpu': torch.get_rng_state()}
    if torch.cuda.is_available():
        random['cuda'] = torch.cuda.get_rng_state()
    progress = {'epoch': epoch, 'step': step, 'random': random, 'memory': memory}
    save_training_state(state, content | {'optimizer': optimizer.state_dict()} | progress)


def _restore(
    state: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, memory: dict
) -> tuple[int, int]:
    """Epochs and steps done, after loading what `_keep` wrote; zeros where there is nothing to go on from."""
    if not state.is_file():
        if _old(state).is_file():
            LOG.warning(
                '%s is the state of an earlier release, which is no longer read; the training starts again from its '
                'first epoch.',
                _old(state),
            )
        return 0, 0
    try:
        content = read_training_state(state)
    except CheckpointError as error:
        LOG.warning('the training starts again from its first epoch: %s', error)
        return 0, 0
    for name, module in modules.items():
        load_strictly(module, content[name], str(state))
    optimizer.load_state_dict(content['optimizer'])
    memory.update(content['memory'])
    torch.set_rng_state(content['random']['cpu'])
    if 'cuda' in content['random'] and torch.cuda.is_available():
        torch.cuda.set_rng_state(content['random']['cuda'])
    return content['epoch'], content['step']


def _old(state: Path) -> Path:
    """Where earlier releases kept the state, as a pickle."""
    return state.with_suffix('.pt')


def _finite(loss: Tensor, what: str, epoch: int, num_epochs: int, optimizer: torch.optim.Optimizer) -> float:
    value = loss.item()
    if not math.isfinite(value):
        rates = ', '.join(f'{group["lr"]:.3g}' for group in optimizer.param_groups)
        raise TrainingError(
            f'The loss of {what} is {value} in epoch {epoch + 1} of {num_epochs}, at learning rate {rates}; lower the '
            'learning rate in the recipe.'
        )
    return value


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    for mine, theirs in zip(average.parameters(), network.parameters()):
        mine.lerp_(theirs, 1 - decay)
