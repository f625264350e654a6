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
from sigma.settings import AtMostOne, ExactlyOne, Settings

Changes = tuple[tuple[str, str], ...]  # (dotted key, value as JSON), so that a cell stays hashable and goes into JSON

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


def known_keys(recipe: dict, settings: Settings | None) -> set[str]:
    """Keys of a recipe that a command line may change: those that its protocol declares, else those that it has."""
    return set(recipe if settings is None else settings.names()) - {'protocol', 'trained', 'departures'}


def apply_changes(recipe: dict, changes: Changes, settings: Settings | None) -> tuple[dict, dict[str, Any]]:
    """The recipe with the changes whose keys are known, and those changes. Values are not checked.

    Where only one of some keys may be given (`epochs`, `num_steps`), a change to one takes the others out.

    Raises:
        DataError: if a dotted key names a part that the recipe does not have.
    """
    result, applied, known = copy.deepcopy(recipe), {}, known_keys(recipe, settings)
    asked = {key.split('.')[0] for key, _ in changes}
    for key, text in changes:
        first, *rest = key.split('.')
        if first not in known:
            continue
        value = applied[key] = json.loads(text)
        for rule in settings.rules if settings is not None and value is not None else ():
            if isinstance(rule, (ExactlyOne, AtMostOne)) and first in rule.names:
                for other in set(rule.names) - asked:
                    result.pop(other, None)
        holder = result
        for part in [first, *rest][:-1]:
            holder = holder.setdefault(part, {})
            if not isinstance(holder, dict):
                raise DataError(f'--recipe {key}: {part} of this recipe is {holder!r}, not a group of settings.')
        holder[[first, *rest][-1]] = value
    return result, applied


def in_words(applied: dict[str, Any]) -> str:
    """`epochs=5, lr=0.001`."""
    return ', '.join(f'{key}={value!r}' for key, value in applied.items())


def in_name(applied: dict[str, Any]) -> str:
    """The changes as part of a file's name: `+epochs=5+lr=0.001`; long or odd values as the start of their hash."""
    return ''.join(f'+{key}={_short(value)}' for key, value in sorted(applied.items()))


def refuse_unknown(wanted: Iterable[str], known: set[str]) -> None:
    """Refuse a change that no protocol of the plan knows.

    Raises:
        DataError: with the nearest known key.
    """
    for key in wanted:
        if key.split('.')[0] not in known:
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
