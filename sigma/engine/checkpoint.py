"""Writing checkpoints so that a kill at any moment costs at most one interval, and loading encoders whole."""

import hashlib
import logging
import random
import re
import signal
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import all_gather_object, barrier, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper

from sigma.checkpoints.files import (
    load_strictly,
    read_weights,
    save_tensors,
    save_training_state,
    sha256_of_tensors,
    write_atomically,
)
from sigma.checkpoints.layouts import Converted, from_ours, to_ours
from sigma.engine.optim import is_between_updates, precision_of
from sigma.engine.preemption import Preempted, told_to_end
from sigma.engine.resume import check_fits, check_going_on, what_lines_up, what_was_set
from sigma.errors import CheckpointError
from sigma.registry import HOOKS

FILE_NAME = re.compile(r'iter_(\d+)\.safetensors')


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Writes the whole training state atomically; deletes the previous file only after the new one is whole.

    Args:
        interval_epochs: Between checkpoints; the end of training always has one.
        interval_iters: Additional checkpoints within epochs; None for none.
        keep: Newest files that stay.

    A run that is told to end (`sigma.engine.preemption`) is saved after the step and raises `Preempted`. Where several
    passes make one step of the optimizer, a checkpoint that falls among them is written after the last of them: what
    they have added up is in none.

    Files in the work directory: `iter_N.safetensors` (tensors; everything else is JSON in the header; nothing is
    pickled), `last_checkpoint` (the newest file's path, what `--resume` reads), and after training
    `encoder.safetensors`, the encoder's weights alone. Random states of every process are in the state.
    """

    priority = 'LOWEST'

    def __init__(self, interval_epochs: int = 1, interval_iters: int | None = None, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f'CheckpointHook was asked to keep {keep} files; at least 1 must stay.')
        if interval_epochs < 1 or (interval_iters is not None and interval_iters < 1):
            raise ValueError(
                f'CheckpointHook was asked for a checkpoint every {interval_epochs} epochs and {interval_iters} steps; '
                'both start at 1, and None is no checkpoint within epochs.'
            )
        self.interval_epochs, self.interval_iters, self.keep = interval_epochs, interval_iters, keep
        self._random_state: dict | None = None
        self._is_due = False
        self._told: signal.Signals | None = None

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Save within an epoch; its last step is left to `after_train_epoch`, when all schedulers have moved."""
        done = runner.iter + 1
        self._told = self._told or told_to_end(runner)
        at_interval = bool(self.interval_iters) and done % self.interval_iters == 0
        self._is_due = self._is_due or at_interval or self._told is not None
        if done % len(runner.train_dataloader):
            self._save_if_due(runner, done, runner.epoch)

    def after_train_epoch(self, runner) -> None:
        """Save at the end of an epoch."""
        epochs = runner.epoch + 1
        self._is_due = self._is_due or epochs % self.interval_epochs == 0 or epochs == runner.max_epochs
        self._save_if_due(runner, runner.iter, epochs)

    def after_train(self, runner) -> None:
        """Leave the encoder's weights for others to use."""
        model = _unwrapped(runner.model)
        if hasattr(model, 'encoder') and is_main_process():
            tensors = {k: v.clone() for k, v in model.encoder.state_dict().items()}
            header = {
                'kind': 'encoder',
                'layout': 'sigma',
                'sha256': sha256_of_tensors(tensors),
                'epochs': runner.epoch,
                'iters': runner.iter,
                'config_sha256': hashlib.sha256(runner.cfg.pretty_text.encode()).hexdigest(),
            }
            path = save_tensors(Path(runner.work_dir) / 'encoder.safetensors', tensors, header)
            runner.logger.info(f'Encoder weights: {path} (sha256 of tensors {header["sha256"]})')

    def _save_if_due(self, runner, num_iters: int, num_epochs: int) -> None:
        """Save if that is due and no gradient is half added up; end a run that was told to, if steps are left."""
        if not self._is_due or is_between_updates(runner.optim_wrapper, num_iters, runner.max_iters):
            return
        self.save(runner, num_iters, num_epochs)
        self._is_due = False
        if self._told is not None and num_iters < runner.max_iters:
            barrier()  # nobody leaves while the first process still writes: a launcher would end it
            raise Preempted(
                f'This run was told to end ({self._told.name}): the state after step {num_iters} of {runner.max_iters} '
                'is saved; the same command with --resume goes on from it.'
            )

    def save(self, runner, num_iters: int, num_epochs: int) -> None:
        """Write the state after `num_iters` steps, then drop what is older than the newest `keep`."""
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
            },
            'state_dict': dict(_unwrapped(runner.model).state_dict()),
            'optimizer': runner.optim_wrapper.state_dict(),
            'param_schedulers': _scheduler_states(runner.param_schedulers),
            'random': {str(rank): state for rank, state in enumerate(random_states)},
        }
        runner.call_hook('before_save_checkpoint', checkpoint=state)  # may refuse: a state after a loss that is none
        if not is_main_process():
            return
        folder = Path(runner.work_dir)
        path = save_training_state(folder / f'iter_{num_iters}.safetensors', state)
        write_atomically(folder / 'last_checkpoint', lambda temporary: temporary.write_text(str(path)))
        for old in [file for file in self._files(folder) if file != path][: -self.keep + 1 or None]:
            old.unlink()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse what does not fit; give every process its random state back, where a training state is resumed."""
        source, states = str(runner._load_from or f'The newest file of {runner.work_dir}'), checkpoint.get('random')
        if runner._resume and (states is None or 'iter' not in checkpoint.get('meta', {})):
            raise CheckpointError(
                f'{source} holds weights and no training state, so nothing can be resumed from it; give an '
                'iter_N.safetensors of the run, or start from these weights: --cfg-options load_from=FILE.'
            )
        check_fits(_unwrapped(runner.model), checkpoint['state_dict'], source)
        if not runner._resume:
            return
        checkpoint.setdefault('message_hub', runner.message_hub.state_dict())
        check_going_on(runner, checkpoint, source)
        if len(states) != get_world_size() and is_main_process():
            print_log(
                f'The checkpoint was written by {len(states)} process(es), this run has {get_world_size()}: it '
                'goes on, but not bit for bit as an uninterrupted one.',
                'current',
                logging.WARNING,
            )
        self._random_state = states.get(str(get_rank()))

    def before_train(self, runner) -> None:
        """Clear away what a kill left half-written."""
        if is_main_process():
            for temporary in Path(runner.work_dir).glob('.*.tmp'):
                temporary.unlink(missing_ok=True)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Random states come last: building, seeding and starting a loader draw from them too."""
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        found = [(int(m[1]), p) for p in folder.iterdir() if (m := FILE_NAME.fullmatch(p.name))]
        return [path for _, path in sorted(found)]


@HOOKS.register_module()
class EncoderWeightsHook(Hook):
    """Loads an encoder's checkpoint whole into `model.backbone` before training from the start.

    Args:
        checkpoint: File in our layout or the published one.
        layout: Of the backbone: `sigma`, `mmaction` for mmaction2's VisionTransformer, or `plain` for any other whose
            file has the backbone's own names.
        drop: Prefixes of tensors that have no place under this protocol (the final norm of pretraining).
        inner: Attribute path from the backbone to the module that takes the weights, for adapters.

    Raises:
        CheckpointError: if a tensor is left over or missing.
    """

    def __init__(self, checkpoint: str, layout: str = 'sigma', drop: tuple[str, ...] = (), inner: str = '') -> None:
        self.checkpoint, self.layout, self.drop, self.inner = checkpoint, layout, tuple(drop), inner

    def before_train(self, runner) -> None:
        """Load, unless training goes on from a checkpoint of its own."""
        if runner.iter == 0:
            load_encoder(_unwrapped(runner.model).backbone, self.checkpoint, self.layout, self.drop, self.inner)


def load_encoder(backbone, checkpoint: str, layout: str = 'sigma', drop=(), inner: str = '') -> None:
    """Load an encoder checkpoint whole into a backbone; arguments as in `EncoderWeightsHook`."""
    if layout == 'plain':
        tensors = {k: v for k, v in read_weights(checkpoint).tensors.items() if not k.startswith(tuple(drop))}
        load_strictly(backbone.get_submodule(inner), tensors, checkpoint)
        return
    try:
        converted = to_ours(read_weights(checkpoint).tensors)
        module, may_lack = backbone.get_submodule(inner), ()
        stray = _stray(converted, drop)
        if stray:
            raise CheckpointError(f'{len(stray)} keys have no place in {type(module).__name__}, first {stray[0]}')
        positions = converted.encoder.pop('positions', None) if layout == 'sigma' else None
        tensors, _ = from_ours(converted, layout)
    except CheckpointError as error:
        text = str(error)
        raise CheckpointError(text if str(checkpoint) in text else f'{checkpoint} does not fit: {text}.') from None
    if layout == 'mmaction':
        may_lack = ('pos_embed', 'fc_norm.')  # its fixed positions, and a norm that a feature map does not pass
    tensors = {k: v for k, v in tensors.items() if not k.startswith(tuple(drop))}
    load_strictly(module, tensors, checkpoint, may_lack)
    if positions is not None:
        _set_positions(module, positions, checkpoint)


def _stray(converted: Converted, drop) -> list[str]:
    """Names that belong to an encoder and have no place in ours; what only pretraining or a classifier uses may go."""
    if converted.rest:
        return [name for name in converted.left_out if name.startswith('encoder.')]
    known = ('cls_head.',) if converted.layout != 'mvd' else ('mask_token_', 'down_', 'decoder_', 'pos_embed_')
    return [name for name in converted.left_out if not name.startswith((*known, *drop))]


def _set_positions(module, positions: torch.Tensor, checkpoint: str) -> None:
    """Positions (N, D) that travelled with the weights, in the place of the sinusoid."""
    own = getattr(module, 'positions', None)
    if own is None or own.shape != positions.shape:
        raise CheckpointError(
            f'{checkpoint} has positions of its own for {positions.shape[0]} tokens, and {type(module).__name__} takes '
            f'{0 if own is None else own.shape[0]}; build it for the clips that the weights were trained on.'
        )
    own.copy_(positions)
    module.fixed_length = True  # of a longer clip they say nothing


def random_state() -> dict:
    """States of torch, numpy and random in this process, as tensors, numbers and strings."""
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
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
    """What `random_state` gave, given back."""
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
