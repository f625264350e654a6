"""What a resumed run must share with the run that wrote its checkpoint, and what it may change."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from torch import nn

from sigma.checkpoints.files import misfits
from sigma.engine.optim import precision_of
from sigma.errors import CheckpointError, DataError

# The checkpoint stores the state of these, so another value in the config would have no effect.
_STATE = ('optim_wrapper.optimizer', 'param_scheduler', 'auto_scale_lr')
# These do take effect: the run continues with them, and is then a mixture of both settings.
_FREE = ('model', 'optim_wrapper', 'randomness', 'train_dataloader.dataset', 'train_dataloader.sampler')
_OTHERWISE_SAID = ('optim_wrapper.type',)  # reported as a change of precision
_MOST_SHOWN = 6


def what_was_set(cfg) -> dict[str, str]:
    """Settings of a config that affect what is learned, for the checkpoint: path -> value as text."""
    wanted = (*_STATE, *_FREE)
    leaves = dict(_leaves(cfg.to_dict()))
    return {p: v for p, v in leaves.items() if _is_under(p, wanted) and not _is_under(p, _OTHERWISE_SAID)}


def what_lines_up(runner) -> dict[str, int]:
    """What must be equal so that steps and epochs line up between a run and its continuation."""
    sampler = runner.train_dataloader.sampler
    return {
        'steps_per_epoch': len(runner.train_dataloader),
        'global_batch': getattr(sampler, 'global_batch', runner.train_dataloader.batch_size),
    }


def check_going_on(runner, checkpoint: dict, source: str) -> None:
    """Refuse to resume if the result would be wrong; log the settings that differ.

    Args:
        runner: With its model and loaders built.
        checkpoint: As read from the file; not loaded into the runner yet.
        source: Path of the checkpoint.

    Raises:
        CheckpointError: if epochs would not line up, or if a setting differs and the checkpoint stores its state.
    """
    written, now = checkpoint['meta'], what_lines_up(runner)
    for key, value in now.items():
        if written.get(key, value) != value:
            raise CheckpointError(
                f'The checkpoint was written with {key.replace("_", " ")} {written[key]}, this run has {value}: '
                'epochs would not line up. Resume with the same videos, processes and batch size, or start a new run.'
            )
    _say_change_of_precision(written.get('precision'), precision_of(runner.optim_wrapper))
    settings = what_was_set(runner.cfg)
    changes = list(_changes(written.get('settings', settings), settings))
    without_effect = [text for path, text in changes if _is_under(path, _STATE)]
    if without_effect:
        raise CheckpointError(
            f'{_listed(without_effect)}: optimizer and schedule continue as stored in {source}, so this would have no '
            'effect. Resume with the former settings, or start in another --work-dir from these weights: '
            f'--cfg-options load_from={source}.'
        )
    if changes and is_main_process():
        print_log(
            f'The run continues with other settings than its checkpoint was written with: '
            f'{_listed([text for _, text in changes])}.',
            'current',
            logging.WARNING,
        )


def check_fits(model: nn.Module, tensors: dict, source: str) -> None:
    """Refuse weights of another model. MMEngine would only warn, and train what is missing from random weights.

    Raises:
        CheckpointError: if a key is left over, missing or of another shape; gives the counts and the first of each.
    """
    problems = misfits(model, tensors)
    if problems:
        raise CheckpointError(
            f'{source} does not fit the model of this config: {"; ".join(problems)}. Use the config '
            'that it was trained with.'
        )


def _say_change_of_precision(written: str | None, now: str) -> None:
    """Warn of another precision. Weights and optimizer are always fp32, so a run may change it."""
    if written is None and now == 'fp32':
        return
    if written != now and is_main_process():
        former = written or 'an unknown precision (usually fp32)'
        print_log(
            f'The checkpoint was written by a run in {former}, this run is in {now}: it continues, but not like an '
            'uninterrupted run. For fp32: --cfg-options optim_wrapper.type=mmengine.OptimWrapper; for bf16: --amp.',
            'current',
            logging.WARNING,
        )


def _leaves(value, path: str = '') -> Iterator[tuple[str, str]]:
    """(path, value as text) of the leaves of nested dicts and lists."""
    items: Iterable[tuple]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple)) for item in value):
        items = enumerate(value)
    else:
        yield path, repr(list(value) if isinstance(value, tuple) else value)
        return
    for key, item in items:
        yield from _leaves(item, f'{path}.{key}' if path else str(key))


def _is_under(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(f'{place}.') for place in places)


def _changes(written: dict[str, str], now: dict[str, str]) -> Iterator[tuple[str, str]]:
    for path in sorted(written.keys() | now.keys()):
        if written.get(path) != now.get(path):
            yield path, f'{path} {written.get(path, "not set")} -> {now.get(path, "not set")}'


def _listed(changes: list[str]) -> str:
    more = f' and {len(changes) - _MOST_SHOWN} more' if len(changes) > _MOST_SHOWN else ''
    return '; '.join(changes[:_MOST_SHOWN]) + more


def check_readable(newest: Path, saved: dict[int, Path]) -> None:
    """Refuse a damaged newest checkpoint. A kill cannot cause damage, but a disk or a broken copy can.

    Raises:
        DataError: naming the checkpoint before it.
    """
    if newest.suffix != '.safetensors':
        return  # not one of ours: checked when it is read
    try:
        with safe_open(newest, 'pt'):
            pass
    except (SafetensorError, OSError) as error:
        older = [saved[steps] for steps in sorted(saved) if saved[steps].name != newest.name]
        advice = f'remove it and give --resume {older[-1]}' if older else 'start again in another --work-dir'
        raise DataError(f'{newest} is damaged ({error}); to continue, {advice}.') from None
