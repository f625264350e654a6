"""Declared settings: the keys of a recipe or card, with types, ranges, defaults and sentences, and the check.

A key that is not declared is refused with the nearest name, so a misspelt one never runs with a default in its place.
Help, listings and `docs/settings.md` are drawn from the same declarations.

Needs only the standard library.
"""

from __future__ import annotations

import ast
import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sigma.configs import merged
from sigma.errors import DataError, nearest


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __copy__(self) -> _Mark:
        return self

    def __deepcopy__(self, memo: dict) -> _Mark:
        return self


REQUIRED = _Mark('required')
ABSENT = _Mark('left out')  # the key has no default: the part that it is about is left out


@dataclass(frozen=True)
class Setting:
    """One key.

    Attributes:
        name: The key.
        kind: `int`, `float` (whole numbers too), `bool`, `str` or `dict` (any keys); `object` (anything); `[kind]` for
            a list or tuple; `{str: kind}` for a dict of any names; `Settings` for a dict of declared keys; a tuple of
            kinds for any of them; or an object with `told` and `problems(value)`, such as `Part`.
        sentence: What it sets, with the unit.
        default: Used where the key is not given. REQUIRED: it must be given. ABSENT: the key stays out.
        none: None may be given. It may also be if the default is None or ABSENT; for ABSENT it takes the key out again,
            for a recipe whose base has it.
        least, most: Range of a number, or of every number of a list.
        above: Numbers must be greater than this.
        choices: Known values, or a function that gives them.
        length: Number of values of a list; or least and most.
    """

    name: str
    kind: Any
    sentence: str
    default: Any = REQUIRED
    none: bool = False
    least: float | None = None
    above: float | None = None
    most: float | None = None
    choices: Iterable | Callable[[], Iterable] | None = None
    length: int | tuple[int, int] | None = None

    @property
    def takes_none(self) -> bool:
        return self.none or self.default is None or self.default is ABSENT

    def known(self) -> list:
        """The choices; empty where there are none."""
        found = self.choices() if callable(self.choices) else self.choices
        return list(found or ())

    def told_type(self) -> str:
        """The type in words: `whole number`, `list of 2 numbers`, `text or None`."""
        told = _told(self.kind, self.length)
        return f'{told} or None' if self.none or self.default is None else told

    def told_range(self) -> str:
        """The range or the choices in words; empty where any value goes."""
        if known := self.known():
            return ', '.join(map(str, known))
        if self.least is not None and self.most is not None:
            return f'{self.least:g} to {self.most:g}'
        parts = [f'above {self.above:g}'] if self.above is not None else []
        parts += [f'at least {self.least:g}'] if self.least is not None else []
        parts += [f'at most {self.most:g}'] if self.most is not None else []
        return ', '.join(parts)

    def told_default(self) -> str:
        """The default in words."""
        return str(self.default) if isinstance(self.default, (_Mark, bool, type(None))) else repr(self.default)

    def problems(self, value: Any, path: str) -> Iterator[str]:
        """A clause for each thing that is wrong with a value."""
        if value is None and self.takes_none:
            return
        if not fits(value, self.kind):
            yield f'{path} is {value!r}; it must be {_article(self.told_type())}'
            return
        kind = next(kind for kind in _kinds(self.kind) if fits(value, kind))
        if isinstance(kind, Settings):
            yield from kind.problems(value, f'{path}.')
        elif hasattr(kind, 'problems'):
            yield from kind.problems(value, path)
        elif isinstance(kind, list):
            yield from self._of_list(value, path)
        elif isinstance(kind, dict):
            (inner,) = kind.values()
            if isinstance(inner, Settings):
                for name, one in value.items():
                    yield from inner.problems(one, f'{path}.{name}.')
        else:
            yield from self._of_one(value, path)

    def _of_list(self, values: Sequence, path: str) -> Iterator[str]:
        least, most = self.length if isinstance(self.length, tuple) else (self.length, self.length)
        if (least is not None and len(values) < least) or (most is not None and len(values) > most):
            yield f'{path} has {len(values)} values; it must be {_article(self.told_type())}'
        for value in values:
            for kind in _kinds(self.kind):
                if isinstance(kind, list) and isinstance(kind[0], Settings):
                    yield from kind[0].problems(value, f'{path}: ')
                    break
            else:
                yield from self._of_one(value, path)

    def _of_one(self, value: Any, path: str) -> Iterator[str]:
        known = self.known()
        if known and value not in known:
            guess = nearest(str(value), map(str, known))
            hint = f'; did you mean {guess!r}?' if guess else ';'
            yield f'{path} is {value!r}{hint} known: {", ".join(map(str, known))}'
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            low = self.least is not None and value < self.least or self.above is not None and not value > self.above
            if low or self.most is not None and value > self.most or not math.isfinite(value):
                yield f'{path} is {value!r}; it must be {self.told_range() or "finite"}'


@dataclass(frozen=True)
class ExactlyOne:
    """One of these keys must be given, and no other of them."""

    names: tuple[str, ...]

    def problem(self, given: set[str]) -> str | None:
        found = [name for name in self.names if name in given]
        if len(found) == 1:
            return None
        if found:
            return f'{" and ".join(found)} are both given; set all but one of them to None'
        return f'one of {" and ".join(self.names)} must be given'


@dataclass(frozen=True)
class AtMostOne:
    """Not more than one of these keys may be given."""

    names: tuple[str, ...]

    def problem(self, given: set[str]) -> str | None:
        found = [name for name in self.names if name in given]
        return f'{" and ".join(found)} are both given; set all but one of them to None' if len(found) > 1 else None


@dataclass(frozen=True)
class Needs:
    """A key that has an effect only beside another."""

    name: str
    other: str

    def problem(self, given: set[str]) -> str | None:
        if self.name in given and self.other not in given:
            return f'{self.name} is given without {self.other}; give both, or set {self.name} to None'
        return None


Rule = ExactlyOne | AtMostOne | Needs


@dataclass(frozen=True)
class Settings:
    """The keys of a dict, and rules on which of them go together.

    `Settings(keys) + Settings(others)` has the keys of both; of two with one name the later one counts.
    """

    keys: tuple[Setting, ...]
    rules: tuple[Rule, ...] = ()
    told: str = field(default='dict', compare=False)

    def __add__(self, other: Settings) -> Settings:
        names = {setting.name for setting in other.keys}
        kept = tuple(setting for setting in self.keys if setting.name not in names)
        return Settings((*kept, *other.keys), (*self.rules, *other.rules), self.told)

    def __iter__(self) -> Iterator[Setting]:
        return iter(self.keys)

    def __getitem__(self, name: str) -> Setting:
        return next(setting for setting in self.keys if setting.name == name)

    def without(self, *names: str) -> Settings:
        """These settings without some keys, and without the rules about them."""
        rules = tuple(rule for rule in self.rules if not _names(rule) & set(names))
        return Settings(tuple(setting for setting in self.keys if setting.name not in names), rules, self.told)

    def names(self) -> list[str]:
        return [setting.name for setting in self.keys]

    def problems(self, values: Mapping, prefix: str = '', partial: bool = False) -> Iterator[str]:
        """A clause for each unknown or missing key, wrong type, value out of range, and rule that is broken.

        Args:
            values: The dict.
            prefix: Put before each key, such as `training.`.
            partial: Some keys alone, such as changes to a recipe: none is missing, and rules are left out.
        """
        known = self.names()
        unknown = [str(name) for name in values if name not in known]
        for name in unknown:
            guess = nearest(name, known)
            yield f'unknown key {prefix + name!r}' + (f' (did you mean {prefix + guess!r}?)' if guess else '')
        for setting in self.keys:
            if setting.name in values:
                yield from setting.problems(values[setting.name], prefix + setting.name)
            elif setting.default is REQUIRED and not partial:
                yield f'{prefix}{setting.name} is missing ({setting.sentence.rstrip(".")})'
        if not partial:
            given = {name for name, value in values.items() if value is not None}
            for rule in self.rules:
                if (found := rule.problem(given)) is not None:
                    yield f'{prefix}{found}'
        if unknown:
            yield f'known keys{" of " + prefix.rstrip(".") if prefix else ""}: {", ".join(known)}'

    def check(self, where: str, values: Mapping, partial: bool = False) -> None:
        """Check a dict.

        Raises:
            DataError: one sentence that names all that is wrong, with the nearest known names.
        """
        if found := list(self.problems(values, partial=partial)):
            raise DataError(f'{where}: {"; ".join(found)}.')

    def completed(self, values: Mapping) -> dict:
        """A copy with the defaults filled in, also in dicts within. What is None and has no default is left out."""
        result = {
            name: copy.deepcopy(value)
            for name, value in values.items()
            if not (value is None and name in self.names() and self[name].default is ABSENT)
        }
        for setting in self.keys:
            if setting.name not in result:
                if setting.default is not REQUIRED and setting.default is not ABSENT:
                    result[setting.name] = copy.deepcopy(setting.default)
            elif isinstance(result[setting.name], dict):
                for kind in _kinds(setting.kind):
                    if isinstance(kind, Settings):
                        result[setting.name] = kind.completed(result[setting.name])
        return result

    def rows(self, prefix: str = '') -> Iterator[tuple[str, str, str, str, str]]:
        """(key, type, range, default, sentence) of every key; a dict's keys follow it as `dict.key`."""
        for one in self.keys:
            yield prefix + one.name, one.told_type(), one.told_range(), one.told_default(), one.sentence
            for kind in _kinds(one.kind):
                kind = kind[0] if isinstance(kind, list) else kind
                if isinstance(kind, Settings):
                    yield from kind.rows(f'{prefix}{one.name}.')

    def parse(self, where: str, assignments: Sequence[str]) -> dict:
        """Changes from a command line: `KEY=VALUE`, `GROUP.KEY=VALUE`, with values as in Python; bare words are text.

        Returns:
            Nested dict, with every value checked by itself.

        Raises:
            DataError: one sentence, on an unknown key (with the nearest name), a wrong type, a value out of range, or
                an argument without `=`.
        """
        changes: dict[str, Any] = {}
        for text in assignments:
            key, equals, value = text.partition('=')
            if not equals or not key:
                raise DataError(f'{where}: {text!r} is not KEY=VALUE; known keys: {", ".join(self.names())}.')
            inner = changes
            *groups, last = key.strip().split('.')
            for group in groups:
                inner = inner.setdefault(group, {})
                if not isinstance(inner, dict):
                    raise DataError(f'{where}: {key} is given, and {group} as a whole too; give one of them.')
            inner[last] = _value(value.strip(), self._kind_of([*groups, last]))
        found = list(self._partial(changes))
        if found:
            raise DataError(f'{where}: {"; ".join(found)}.')
        return changes

    def changed(self, values: Mapping, changes: Mapping) -> dict:
        """Values with changes over them, dicts key by key; a key that a change excludes becomes None.

        A recipe with `epochs` and the change `num_steps=7` gives `epochs=None, num_steps=7`.
        """
        result = merged(dict(values), dict(changes))
        given = {name for name, value in changes.items() if value is not None}
        for rule in self.rules:
            if not isinstance(rule, Needs) and given & set(rule.names):
                result |= {name: None for name in rule.names if name in result and name not in given}
        return result

    def _kind_of(self, path: list[str]) -> Any:
        settings = self
        for name in path[:-1]:
            if name not in settings.names():
                return object
            inner = [kind for kind in _kinds(settings[name].kind) if isinstance(kind, Settings)]
            if not inner:
                return object
            settings = inner[0]
        return settings[path[-1]].kind if path[-1] in settings.names() else object

    def _partial(self, changes: Mapping, prefix: str = '') -> Iterator[str]:
        """Problems of changes, where dicts within are changes too."""
        flat = {}
        for name, value in changes.items():
            inner = [k for k in _kinds(self[name].kind) if isinstance(k, Settings)] if name in self.names() else []
            if inner and isinstance(value, dict):
                yield from inner[0]._partial(value, f'{prefix}{name}.')
            else:
                flat[name] = value
        yield from self.problems(flat, prefix, partial=True)


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind (see `Setting.kind`); ranges are not looked at."""
    if isinstance(kind, tuple):
        return any(fits(value, one) for one in kind)
    if kind is object:
        return True
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, list):
        return isinstance(value, (list, tuple)) and all(fits(one, kind[0]) for one in value)
    if isinstance(kind, dict):
        (inner,) = kind.values()
        return isinstance(value, dict) and all(isinstance(k, str) and fits(v, inner) for k, v in value.items())
    if isinstance(kind, type):
        return isinstance(value, kind)
    return isinstance(value, dict)  # Settings, or a part


_TOLD = {int: 'whole number', float: 'number', bool: 'True or False', str: 'text', dict: 'dict', object: 'any value'}
_TOLD_MANY = {int: 'whole numbers', float: 'numbers', bool: 'True or False', str: 'texts', object: 'values'}


def _told(kind: Any, length: int | tuple[int, int] | None = None) -> str:
    if isinstance(kind, tuple):
        return ' or '.join(_told(one, length) for one in kind)
    if isinstance(kind, list):
        inner = _TOLD_MANY.get(kind[0]) if isinstance(kind[0], type) else None
        inner = inner or (_told(kind[0]) + 's' if not isinstance(kind[0], list) else 'lists of ' + _told(kind[0][0]))
        count = f'{length[0]} to {length[1]} ' if isinstance(length, tuple) else f'{length} ' if length else ''
        return f'list of {count}{inner}'
    if isinstance(kind, dict):
        (inner,) = kind.values()
        return f'dict of names to {_told(inner)}'
    return _TOLD[kind] if isinstance(kind, type) else kind.told


def _article(told: str) -> str:
    return told if told.startswith(('True', 'text', 'any')) else f'a {told}'


def _kinds(kind: Any) -> tuple:
    return kind if isinstance(kind, tuple) else (kind,)


def _names(rule: Rule) -> set[str]:
    return {rule.name, rule.other} if isinstance(rule, Needs) else set(rule.names)


def _value(text: str, kind: Any) -> Any:
    """A value from a command line: text as it is where text is asked for, else as in Python."""
    words = {'none': None, 'null': None, 'true': True, 'false': False}
    if text.lower() in words:
        return words[text.lower()]
    if kind is str and text[:1] not in '"\'':
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
