"""Changes of recipes from the command line: `KEY=VALUE`, part of a cell's identity and of its name.

A cell carries every change that was asked for, and applies those that its protocol knows: `epochs=5` reaches the
fine-tuning cell whose weights a robustness cell measures, and leaves a linear probe as it is.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from sigma.errors import DataError, did_you_mean

Changes = tuple[tuple[str, str], ...]  # (dotted key, value as JSON), so that a cell stays hashable and goes into JSON

# Of each pair a recipe has one; a change to one takes the other out.
_INSTEAD_OF = {'epochs': 'num_steps', 'num_steps': 'epochs', 'lr': 'base_lr', 'base_lr': 'lr'}
_PLAIN = re.compile(r'[A-Za-z0-9_.+-]+')  # what may stand in the name of a file


def parse_changes(texts: Sequence[str], others: dict[str, Any]) -> dict[str, Any]:
    """{key: value} of `KEY=VALUE` words; values as in Python, bare words are text. `views.num_clips=2` works too.

    Args:
        texts: Words of `--recipe`.
        others: What options of their own set, such as `--epochs`.

    Raises:
        DataError: on a word without `=`, or a key that is given twice.
    """
    found = dict(others)
    for text in texts:
        key, equals, value = text.partition('=')
        key = key.strip()
        if not (equals and key):
            raise DataError(f'--recipe takes KEY=VALUE, such as epochs=5; found {text!r}.')
        if key in found:
            raise DataError(f'{key} is set twice, by --recipe and another option or word; set it once.')
        found[key] = _value(value.strip())
    return found


def as_changes(values: dict[str, Any]) -> Changes:
    """Changes in the form that a cell holds.

    Raises:
        DataError: if a value has no JSON form.
    """
    try:
        return tuple((key, json.dumps(value, allow_nan=False, sort_keys=True)) for key, value in values.items())
    except (TypeError, ValueError) as error:
        raise DataError(f'--recipe: a value cannot be written to a record: {error}.') from None


def known_keys(protocol: Any, recipe: dict) -> set[str]:
    """Top-level keys that a protocol reads: those it declares, else those of the recipe and their alternatives."""
    declared = getattr(protocol, 'recipe_keys', None)
    if declared is not None:
        return set(declared(recipe))
    return set(recipe) | {_INSTEAD_OF[key] for key in recipe if key in _INSTEAD_OF}


def apply_changes(recipe: dict, changes: Changes, known: Iterable[str]) -> tuple[dict, dict[str, Any]]:
    """The recipe with the changes whose keys are known, and those changes.

    Raises:
        DataError: if a dotted key names a part that the recipe does not have.
    """
    result, applied, known = copy.deepcopy(recipe), {}, set(known) - {'protocol', 'trained'}
    for key, text in changes:
        first, *rest = key.split('.')
        if first not in known:
            continue
        value = applied[key] = json.loads(text)
        if first in _INSTEAD_OF and _INSTEAD_OF[first] not in dict(changes):
            result.pop(_INSTEAD_OF[first], None)
        holder = result
        for part in [first, *rest][:-1]:
            holder = holder.setdefault(part, {})
            if not isinstance(holder, dict):
                raise DataError(f'--recipe {key}: {part} of this recipe is {holder!r}, not a group of settings.')
        holder[[first, *rest][-1]] = value
    return result, applied


def in_name(applied: dict[str, Any]) -> str:
    """The changes as part of a file's name: `+epochs=5+lr=0.001`; long or odd values as the start of their hash."""
    return ''.join(f'+{key}={_short(value)}' for key, value in sorted(applied.items()))


def refuse_unused(wanted: Iterable[str], used: set[str], known: Iterable[str]) -> None:
    """Refuse a change that no cell of the plan takes.

    Raises:
        DataError: with the nearest known key.
    """
    for key in wanted:
        if key not in used:
            raise DataError(f'--recipe {key}: {did_you_mean("setting", key.split(".")[0], known)}.')


def _short(value: Any) -> str:
    text = str(value)
    if len(text) <= 24 and _PLAIN.fullmatch(text):
        return text
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _value(text: str) -> Any:
    words = {'none': None, 'null': None, 'true': True, 'false': False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
