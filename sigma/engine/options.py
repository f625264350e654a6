"""Are all settings of `--cfg-options` settings at all? MMEngine would add a misspelt one to the config, unread."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine import registry as mmengine_registries
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from sigma import registry as _sigma  # noqa: F401 - what configs name as `sigma.X`
from sigma.errors import DataError, did_you_mean

# What MMEngine reads besides the arguments of a class: place in the config -> keys.
_LOADER = ('dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn', 'num_batch_per_epoch')
_OF_MMENGINE = {
    '': ('auto_scale_lr', 'activation_checkpointing', 'compile', 'custom_imports', 'default_scope', 'runner_type'),
    'optim_wrapper': ('constructor', 'optimizer', 'paramwise_cfg'),
    'auto_scale_lr': ('enable', 'base_batch_size'),
    'env_cfg': ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
    'randomness': ('seed', 'deterministic', 'diff_rank_seed'),
    'default_hooks': ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint'),
}


def check_options(config: Mapping, options: Mapping[str, Any]) -> None:
    """Refuse a setting that nothing reads.

    A dotted path is right if the config has it, or if its last new part is an argument of the class that is built there
    (`type`, after the options). What lies below a new argument is not known, and accepted.

    Args:
        config: As plain dicts and lists, before the options are applied.
        options: Dotted path -> value; numbers in a path count the entries of a list, from 0.

    Raises:
        DataError: naming the path and the nearest known key.
    """
    for path in options:
        _check_path(config, path, options)


def _check_path(config: Mapping, path: str, options: Mapping[str, Any]) -> None:
    node: Any = config
    parts = path.split('.')
    for number, key in enumerate(parts):
        place = '.'.join(parts[:number])
        if isinstance(node, (list, tuple)):
            if not key.isdigit() or int(key) >= len(node):
                raise DataError(
                    f'--cfg-options {path}: {place} is a list of {len(node)} entries, counted from 0; found {key!r}.'
                )
            node = node[int(key)]
        elif isinstance(node, Mapping):
            if key in node:
                node = node[key]
                continue
            known = known_keys(node, place, options)
            if known is None or key in known or f'{place}.{key}.type' in options:
                return
            raise DataError(f'--cfg-options {path}: {did_you_mean(_called(node, place), key, known)}.')
        elif node is None:
            return  # a part that the config turns off
        else:
            raise DataError(f'--cfg-options {path}: {place} is {node!r}, which has no parts.')


def known_keys(node: Mapping, place: str, options: Mapping[str, Any]) -> set[str] | None:
    """Keys that a dict of the config may have; None if anything may be there."""
    known = set(node) | {'type'} | set(_OF_MMENGINE.get(place, ()))
    if not place:
        return known | _arguments(Runner)[0]
    if place.endswith('_dataloader'):
        return known | set(_LOADER) | _arguments(DataLoader)[0]
    kind = options.get(f'{place}.type', node.get('type'))
    if kind is None:
        return known
    built = find_class(kind)
    if built is None:
        return None  # building it says that it is unknown
    accepted, takes_any = _arguments(built)
    return None if takes_any else known | accepted


def find_class(kind: Any) -> Any:
    """The class that a config names, whatever registry it is in; None if there is none."""
    if not isinstance(kind, str):
        return kind
    for registry in vars(mmengine_registries).values():
        if isinstance(registry, Registry) and (found := registry.get(kind)) is not None:
            return found
    return None


def _arguments(built: Any) -> tuple[set[str], bool]:
    """Names of a class's arguments, and whether it takes any other; `**others` goes on to the class above."""
    names: set[str] = set()
    for owner in _makers(built):
        try:
            parameters = inspect.signature(owner).parameters.values()
        except (TypeError, ValueError):
            return names, True  # written in C
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name != 'self'}
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            return names, False
    return names, True


def _makers(built: Any) -> Iterable:
    if not inspect.isclass(built):
        return [built]
    return [owner.__dict__['__init__'] for owner in built.__mro__[:-1] if '__init__' in owner.__dict__]


def _called(node: Mapping, place: str) -> str:
    kind = node.get('type')
    where = f'key of {place}' if place else 'key of the config'
    return f'{where} ({kind})' if isinstance(kind, str) else where
