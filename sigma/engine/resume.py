"""What a run that goes on must share with the one that wrote its checkpoint, and what is said where it does not."""

import logging
from collections.abc import Iterator

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from torch import nn

from sigma.engine.optim import precision_of
from sigma.errors import CheckpointError

# A checkpoint brings the state of these along, so that another value in the config would be without effect.
_STATE = ('optim_wrapper.optimizer', 'param_scheduler', 'auto_scale_lr')
# These take effect: the run goes on with them, and is then of neither setting alone.
_FREE = ('model', 'optim_wrapper', 'randomness', 'train_dataloader.dataset', 'train_dataloader.sampler')
_OTHERWISE_SAID = ('optim_wrapper.type',)  # by the precision
_MOST_SHOWN = 6


def what_was_set(cfg) -> dict[str, str]:
    """Settings of a config that decide what is learnt: path -> value as text. For the checkpoint."""
    wanted = (*_STATE, *_FREE)
    leaves = dict(_leaves(cfg.to_dict()))
    return {p: v for p, v in leaves.items() if _is_under(p, wanted) and not _is_under(p, _OTHERWISE_SAID)}


def what_lines_up(runner) -> dict[str, int]:
    """What makes steps and epochs line up between a run and its continuation."""
    sampler = runner.train_dataloader.sampler
    return {
        'steps_per_epoch': len(runner.train_dataloader),
        'global_batch': getattr(sampler, 'global_batch', runner.train_dataloader.batch_size),
    }


def check_going_on(runner, checkpoint: dict, source: str) -> None:
    """Refuse to go on where that cannot be right; say in the log what differs.

    Args:
        runner: With its model and loaders built.
        checkpoint: As read; nothing of it is loaded yet.
        source: Its file.

    Raises:
        CheckpointError: if epochs would not line up, or settings differ whose state the checkpoint brings along.
    """
    written, now = checkpoint['meta'], what_lines_up(runner)
    for key, value in now.items():
        if written.get(key, value) != value:
            raise CheckpointError(
                f'The checkpoint was written with {key.replace("_", " ")} {written[key]}, this run has {value}: '
                'epochs would not line up. Resume with the same videos, processes and batch, or start anew.'
            )
    _say_change_of_precision(written.get('precision'), precision_of(runner.optim_wrapper))
    settings = what_was_set(runner.cfg)
    changes = list(_changes(written.get('settings', settings), settings))
    without_effect = [text for path, text in changes if _is_under(path, _STATE)]
    if without_effect:
        raise CheckpointError(
            f'{_listed(without_effect)}: optimizer and schedule go on as {source} holds them, so this would have no '
            'effect. Resume with the former settings, or start in another --work-dir from these weights: '
            f'--cfg-options load_from={source}.'
        )
    if changes and is_main_process():
        print_log(
            f'The run goes on with other settings than its checkpoint was written with: '
            f'{_listed([text for _, text in changes])}.',
            'current',
            logging.WARNING,
        )


def check_fits(model: nn.Module, tensors: dict, source: str) -> None:
    """Refuse weights that are not those of the model: MMEngine would say so, and train what was drawn at random.

    Raises:
        CheckpointError: naming how many keys are left over, missing or of another shape, and the first of each.
    """
    own = model.state_dict()
    extra, missing = [k for k in tensors if k not in own], [k for k in own if k not in tensors]
    shapes = [k for k in tensors if k in own and own[k].shape != tensors[k].shape]
    parts = [f'{len(extra)} of its tensors have no place there, first {extra[0]}'] if extra else []
    parts += [f'{len(missing)} are missing, first {missing[0]}'] if missing else []
    parts += [f'{k} is {tuple(tensors[k].shape)}, wanted {tuple(own[k].shape)}' for k in shapes[:1]]
    if parts:
        raise CheckpointError(
            f'{source} does not fit {type(model).__name__} as this config builds it: {"; ".join(parts)}. Take the '
            'config that it was trained with.'
        )


def _say_change_of_precision(written: str | None, now: str) -> None:
    """Weights and optimizer are fp32 in any case, so a run may change; its numbers are then of neither alone."""
    if written is None and now == 'fp32':
        return
    if written != now and is_main_process():
        former = written or 'a precision that it does not name (fp32 was usual)'
        print_log(
            f'The checkpoint was written by a run in {former}, this run is in {now}: it goes on, but not as an '
            'uninterrupted one. fp32 is --cfg-options optim_wrapper.type=mmengine.OptimWrapper, bf16 is --amp.',
            'current',
            logging.WARNING,
        )


def _leaves(value, path: str = '') -> Iterator[tuple[str, str]]:
    """(path, value as text) of everything in nested dicts and lists that is neither."""
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
