"""The schedule and the length of a training belong together: one that ends early leaves the rest at the lowest rate."""

from collections.abc import Iterator, Mapping
from typing import Any

from sigma.errors import DataError

# (whether a schedule counts epochs, the setting that gives the length of a training in that unit)
_LENGTHS = ((True, 'max_epochs'), (False, 'max_iters'), (False, 'max_steps'))


def follow_length(cfg, options: Mapping[str, Any], former: Mapping[str, Any]) -> list[str]:
    """Let the schedule end with a training whose length was set by `--cfg-options`.

    What ended with the former training ends with the new one; warm-ups and steps in between stay. Schedules that were
    set by hand stay too.

    Args:
        cfg: Config with the options applied; changed here.
        options: Dotted path -> value.
        former: `train_cfg` before the options.

    Returns:
        A sentence for each change.

    Raises:
        DataError: if the new training ends before the last part of its schedule begins.
    """
    said = []
    by_hand = {path for path in options if path.startswith('param_scheduler')}
    for by_epoch, name in _LENGTHS:
        new, old = cfg.train_cfg.get(name), former.get(name)
        if f'train_cfg.{name}' not in options or by_hand or not isinstance(new, int) or new in (old, 0):
            continue
        for path, part in parts_of(cfg.get('param_scheduler')):
            if part.get('by_epoch', True) is not by_epoch or part.get('end') != old:
                continue
            if part.get('begin', 0) >= new > 0:
                raise DataError(
                    f'train_cfg.{name} is {new}, but {path} ({part["type"]}) begins at {part["begin"]}. Train for '
                    f'more than {part["begin"]}, or end what comes before sooner: {_sooner(cfg, part, path, name, new)}'
                )
            said.append(f'{path}.end {old} -> {new}')
            part['end'] = new
            if 'T_max' in part:
                part['T_max'] = new - part.get('begin', 0)
    return [f'The schedule follows train_cfg: {"; ".join(said)}.'] if said else []


def _sooner(cfg: Any, late: Mapping, path: str, length: str, new: int) -> str:
    """The options with which the parts up to `late` fit in a training of `length`=`new`; `new` must be above 1."""
    early = max(1, new // 8)
    before = [
        name
        for name, part in parts_of(cfg.param_scheduler)
        if part.get('by_epoch', True) is late.get('by_epoch', True) and part.get('end') == late['begin']
    ]
    settings = [f'train_cfg.{length}={new}']
    settings += [f'{name}.end={early}' for name in before] + [f'{path}.begin={early}', f'{path}.end={new}']
    return f'--cfg-options {" ".join(settings)}'


def ends_apart(param_scheduler: Any, max_epochs: int, steps_per_epoch: int) -> str | None:
    """The sentence for a schedule that ends before or after the training; None if they end together.

    Args:
        param_scheduler: Of the config: a dict, a list of them, or a dict of lists.
        max_epochs: Length of the training.
        steps_per_epoch: Steps of an epoch, for schedules that count steps.
    """
    ends = {}
    for path, part in parts_of(param_scheduler):
        if not isinstance(part.get('end'), int) or part['type'].rpartition('.')[2] in _ENDLESS:
            return None  # it ends nowhere, or says so in words of its own
        by_epoch = part.get('by_epoch', True)
        ends[path] = (part['end'] * (steps_per_epoch if by_epoch else 1), part['end'], 'epoch' if by_epoch else 'step')
    steps, path = max_epochs * steps_per_epoch, max(ends, key=lambda path: ends[path][0], default='')
    if not path or ends[path][0] == steps:
        return None
    last, number, unit = ends[path]
    total = f'{max_epochs} epochs' if unit == 'epoch' else f'{steps} steps'
    apart = 'stays at its last value from there on' if last < steps else 'does not reach its end'
    setting = f'train_cfg.max_epochs and {path}.end'
    return (
        f'The schedule ends at {unit} {number} and the training lasts {total}: the learning rate {apart}. If that is '
        f'not meant, make {setting} equal.'
    )


_ENDLESS = ('MultiStepLR', 'StepLR', 'ConstantLR', 'ExponentialLR')


def parts_of(param_scheduler: Any, path: str = 'param_scheduler') -> Iterator[tuple[str, Any]]:
    """(path, settings) of each part of a schedule."""
    if isinstance(param_scheduler, (list, tuple)):
        for number, part in enumerate(param_scheduler):
            yield from parts_of(part, f'{path}.{number}')
    elif isinstance(param_scheduler, Mapping) and 'type' in param_scheduler:
        yield path, param_scheduler
    elif isinstance(param_scheduler, Mapping):
        for name, part in param_scheduler.items():
            yield from parts_of(part, f'{path}.{name}')
