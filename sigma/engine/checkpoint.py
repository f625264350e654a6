"""Hooks that write checkpoints, so that a kill at any moment costs at most one interval, and that load an encoder."""

import logging
import random
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, barrier, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper

from sigma.checkpoints.described import CARD_KEY
from sigma.checkpoints.encoder import load_encoder_weights
from sigma.checkpoints.files import check_finite, save_tensors, save_training_state, sha256_of_tensors, write_atomically
from sigma.engine.description import card_of, config_sha256, step_flops
from sigma.engine.optim import is_between_updates, precision_of
from sigma.engine.preemption import Preempted, signal_to_end
from sigma.engine.resume import check_fits, check_going_on, what_lines_up, what_was_set
from sigma.engine.starting import start_from_others
from sigma.errors import CheckpointError
from sigma.registry import HOOKS
from sigma.revision import git_state

FILE_NAME = re.compile(r'iter_(\d+)\.safetensors')


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Writes the whole training state atomically, and deletes an old file only when the new one is complete.

    Args:
        interval_epochs: Epochs between checkpoints; the end of training always writes one.
        interval_iters: Steps between further checkpoints within an epoch (default: only at the end of epochs).
        keep: How many of the newest files to keep.

    When a run is told to end (`sigma.engine.preemption`), the hook saves after the current step and raises `Preempted`.
    With gradient accumulation it waits for the update: a checkpoint holds no partial gradients.

    Files in the work directory: `iter_N.safetensors` (tensors, the rest as JSON in the header; nothing is pickled),
    `last_checkpoint` (path of the newest file, read by `--resume`), and after training `encoder.safetensors` (the
    weights of the encoder alone). Both say what encoder they hold (`sigma.checkpoints.described`). The state holds the
    random states of every process.
    """

    priority = 'LOWEST'

    def __init__(self, interval_epochs: int = 1, interval_iters: int | None = None, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f'CheckpointHook was asked to keep {keep} files; it must keep at least 1.')
        if interval_epochs < 1 or (interval_iters is not None and interval_iters < 1):
            raise ValueError(
                f'CheckpointHook was given interval_epochs {interval_epochs} and interval_iters {interval_iters}; both '
                'must be at least 1 (interval_iters may be None).'
            )
        self.interval_epochs, self.interval_iters, self.keep = interval_epochs, interval_iters, keep
        self._random_state: dict | None = None
        self._is_due = False
        self._signal: signal.Signals | None = None
        self._described: dict | None = None
        self._step_flops: float | None = None

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Save within an epoch. `after_train_epoch` saves its last step, once all schedulers have advanced."""
        done = runner.iter + 1
        self._signal = self._signal or signal_to_end(runner)
        at_interval = bool(self.interval_iters) and done % self.interval_iters == 0
        self._is_due = self._is_due or at_interval or self._signal is not None
        if done % len(runner.train_dataloader):
            self._save_if_due(runner, done, runner.epoch)

    def after_train_epoch(self, runner) -> None:
        """Save at the end of an epoch."""
        epochs = runner.epoch + 1
        self._is_due = self._is_due or epochs % self.interval_epochs == 0 or epochs == runner.max_epochs
        self._save_if_due(runner, runner.iter, epochs)

    def after_train(self, runner) -> None:
        """Write the weights of the encoder for others to use."""
        model = _unwrapped(runner.model)
        if hasattr(model, 'encoder') and is_main_process():
            tensors = {k: v.clone() for k, v in model.encoder.state_dict().items()}
            header = {
                'kind': 'encoder',
                'layout': 'sigma',
                'sha256': sha256_of_tensors(tensors),
                'epochs': runner.epoch,
                'iters': runner.iter,
                'config_sha256': config_sha256(runner.cfg),
                **self._card(runner, runner.iter, runner.epoch, **git_state()),
            }
            path = save_tensors(Path(runner.work_dir) / 'encoder.safetensors', tensors, header)
            runner.logger.info(f'Encoder weights: {path} (sha256 of tensors {header["sha256"]})')

    def _save_if_due(self, runner, num_iters: int, num_epochs: int) -> None:
        """Save if a checkpoint is due and no gradients are pending; then end the run if it was told to end early."""
        if not self._is_due or is_between_updates(runner.optim_wrapper, num_iters, runner.max_iters):
            return
        self.save(runner, num_iters, num_epochs)
        self._is_due = False
        if self._signal is not None and num_iters < runner.max_iters:
            barrier()  # if one process left now, a launcher would end the first one while it writes
            raise Preempted(
                f'This run was told to end ({self._signal.name}): the state after step {num_iters} of '
                f'{runner.max_iters} is saved; run the same command with --resume to continue.'
            )

    def save(self, runner, num_iters: int, num_epochs: int) -> None:
        """Write the state after `num_iters` steps, then delete all but the newest `keep` files."""
        random_states = all_gather_object(random_state())
        state = {
            'meta': {
                'epoch': num_epochs,
                'iter': num_iters,
                'seed': runner.seed,
                'dataset_meta': runner.train_dataloader.dataset.metainfo,
                'precision': precision_of(runner.optim_wrapper),
                'settings': what_was_set(runner.cfg),
                **what_lines_up(runner),
                **self._card(runner, num_iters, num_epochs),
            },
            'state_dict': dict(_unwrapped(runner.model).state_dict()),
            'optimizer': runner.optim_wrapper.state_dict(),
            'param_schedulers': _scheduler_states(runner.param_schedulers),
            'random': {str(rank): state for rank, state in enumerate(random_states)},
        }
        runner.call_hook('before_save_checkpoint', checkpoint=state)  # may refuse, after a loss that is NaN
        if not is_main_process():
            return
        folder = Path(runner.work_dir)
        path = save_training_state(folder / f'iter_{num_iters}.safetensors', state)
        write_atomically(folder / 'last_checkpoint', lambda temporary: temporary.write_text(str(path)))
        for old in [file for file in self._files(folder) if file != path][: -self.keep + 1 or None]:
            old.unlink()

    def _card(self, runner, num_iters: int, num_epochs: int, **more) -> dict[str, dict]:
        """{card: what the file says about its encoder}; empty for models without a `VideoViT` as encoder.

        The card of a training state names no commit: states before and after an interruption are the same bytes.
        """
        if self._described is None:
            self._described = card_of(runner, _unwrapped(runner.model)) or {}
            self._step_flops = step_flops(runner, _unwrapped(runner.model)) if self._described else None
        if not self._described:
            return {}
        training = self._described['training'] | {'epochs': num_epochs, 'iters': num_iters} | more
        if self._step_flops is not None:
            training['flops'] = self._step_flops * num_iters
        return {CARD_KEY: self._described | {'training': training}}

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse a checkpoint that does not fit; on a resume, give every process its random state back."""
        source = str(runner._load_from or f'The newest file of {runner.work_dir}')
        states = checkpoint.get('random') or {}
        if runner._resume and (not states or 'iter' not in checkpoint.get('meta', {})):
            raise CheckpointError(
                f'{source} holds weights but no training state, so a run cannot be resumed from it; give an '
                'iter_N.safetensors of the run, or start a new run from these weights: --cfg-options load_from=FILE.'
            )
        model = _unwrapped(runner.model)
        if not runner._resume:
            check_finite(checkpoint['state_dict'], source)
            start_from_others(model, checkpoint, source)
        check_fits(model, checkpoint['state_dict'], source)
        if not runner._resume:
            return
        checkpoint.setdefault('message_hub', runner.message_hub.state_dict())
        check_going_on(runner, checkpoint, source)
        if len(states) != get_world_size() and is_main_process():
            print_log(
                f'The checkpoint was written by {len(states)} process(es) and this run has {get_world_size()}: it '
                'continues, but not bit for bit like an uninterrupted run.',
                'current',
                logging.WARNING,
            )
        self._random_state = states.get(str(get_rank()))

    def before_train(self, runner) -> None:
        """Delete half-written files that a kill left behind."""
        if is_main_process():
            for temporary in Path(runner.work_dir).glob('.*.tmp'):
                temporary.unlink(missing_ok=True)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Set the random states as late as possible: building, seeding and starting a loader also draw from them."""
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        found = [(int(m[1]), p) for p in folder.iterdir() if (m := FILE_NAME.fullmatch(p.name))]
        return [path for _, path in sorted(found)]


@HOOKS.register_module()
class EncoderWeightsHook(Hook):
    """Loads the encoder of a checkpoint into `model.backbone` before a run starts from step 0.

    Arguments and errors as in `sigma.checkpoints.encoder.load_encoder_weights`.
    """

    def __init__(
        self,
        checkpoint: str,
        layout: str = 'sigma',
        drop: tuple[str, ...] = (),
        inner: str = '',
        positions: str | None = None,
    ) -> None:
        self.checkpoint, self.layout, self.drop = checkpoint, layout, tuple(drop)
        self.inner, self.positions = inner, positions

    def before_train(self, runner) -> None:
        """Load, unless this run was resumed from its own checkpoint."""
        if runner.iter == 0:
            backbone = _unwrapped(runner.model).backbone
            load_encoder_weights(backbone, self.checkpoint, self.layout, self.drop, self.inner, self.positions)


def random_state() -> dict:
    """The random states of torch, numpy and Python in this process, as tensors, numbers and strings."""
    generator: Any = np.random.get_state()  # noqa: NPY002
    name, keys, position, has_gauss, gauss = generator
    version, words, next_gauss = random.getstate()
    state = {
        'torch': torch.get_rng_state(),
        'numpy': [name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)],
        'python': [version, torch.tensor(words, dtype=torch.int64), next_gauss],
    }
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict) -> None:
    """Restore what `random_state` returned."""
    torch.set_rng_state(state['torch'].cpu())
    name, keys, position, has_gauss, gauss = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    version, words, next_gauss = state['python']
    random.setstate((version, tuple(words.cpu().tolist()), next_gauss))
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


def _scheduler_states(schedulers) -> list | dict:
    if isinstance(schedulers, dict):
        return {name: [s.state_dict() for s in group] for name, group in schedulers.items()}
    return [s.state_dict() for s in schedulers or []]


def _unwrapped(model):
    return model.module if is_model_wrapper(model) else model
