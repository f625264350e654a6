"""Suites: lists of protocol x dataset, one card each in `mmaction_configs/suites`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from eval.protocols.declared import check_recipe_file, settings_of
from sigma.configs import card_names, check_top_level, find_card, own_recipes, read_plain
from sigma.errors import DataError, did_you_mean
from sigma.settings import Setting, Settings


@dataclass(frozen=True)
class Entry:
    """One column of a suite: a protocol on a dataset, on all training clips or on a few.

    Attributes:
        recipe: Name or path of a recipe. `{family}` in it stands for the family on the encoder's card (`vit`,
            `r2plus1d`). Such a recipe is that of its dataset: on another dataset, that one's own takes its place
            (`suite_entries`).
        shots: Training clips per class.
        examples: Training clips in total. Each class gets its share, rounded up (`eval.protocols.subsets`), as SEVERE
            draws its 1000 clips.
        group: Heading over its column in tables and figures, such as `domain shift`; None: its protocol.
    """

    protocol: str
    dataset: str
    recipe: str
    shots: int | None = None
    examples: int | None = None
    group: str | None = field(default=None, compare=False)


class Suites(MutableMapping[str, tuple[Entry, ...]]):
    """Entries of every suite by name, from the cards and from users' modules.

    The path of a suite card also works as a name. A module given to `--import` may add a suite that needs Python:

        from eval.matrix.suites import SUITES, Entry
        SUITES['mine'] = (Entry('frozen_linear', 'ucf101', 'frozen_default'),)

    Raises:
        DataError: one sentence, if a card cannot be read or an entry does not fit.
        KeyError: if there is no such suite.
    """

    def __init__(self) -> None:
        self._added: dict[str, tuple[Entry, ...]] = {}

    def __getitem__(self, name: str) -> tuple[Entry, ...]:
        if name in self._added:
            return self._added[name]
        if name not in card_names('suites') and not (Path(name).suffix == '.py' and Path(name).is_file()):
            raise KeyError(name)
        return read_suite(find_card('suites', name))

    def __setitem__(self, name: str, entries: Iterable[Entry]) -> None:
        self._added[name] = tuple(entries)

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*card_names('suites'), *self._added]))

    def __len__(self) -> int:
        return sum(1 for _ in self)


SUITES = Suites()
_FIELDS = tuple(each.name for each in fields(Entry))
_REQUIRED = ('protocol', 'dataset', 'recipe')
_COUNTS = ('shots', 'examples')
SUMMARY = Settings(
    (
        Setting('name', str, 'Name of the mean, in tables.'),
        Setting('columns', [[object]], '(protocol, dataset, subset) of each column; default: all of the suite.', None),
    )
)


def read_suite(path: str | Path) -> tuple[Entry, ...]:
    """Entries of a suite card, in order.

    Raises:
        DataError: one sentence, if the card cannot be read, has no entries, or an entry does not fit.
    """
    card = read_plain(path)
    check_top_level(path, card, ('entries', 'summary'))
    entries, summary = card.get('entries'), card.get('summary', {'name': ''})
    if not isinstance(summary, dict):
        raise DataError(f'{path}: `summary` is {summary!r}; write dict(name=...).')
    SUMMARY.check(f'{path}: `summary`', summary)
    if not isinstance(entries, (list, tuple)) or not entries:
        raise DataError(f'{path} has no `entries`, a list of dict(protocol=..., dataset=..., recipe=...).')
    return tuple(_entry(path, number, entry) for number, entry in enumerate(entries, start=1))


def _entry(path: str | Path, number: int, entry: Any) -> Entry:
    where = f'{path}, entry {number}'
    if not isinstance(entry, dict):
        raise DataError(f'{where} is {entry!r}; write dict(protocol=..., dataset=..., recipe=...).')
    for key in entry:
        if key not in _FIELDS:
            raise DataError(f'{where}: {did_you_mean("key", str(key), _FIELDS)}.')
    if lacking := [key for key in _REQUIRED if not isinstance(entry.get(key), str)]:
        raise DataError(f'{where} lacks {", ".join(lacking)} (text).')
    if entry.get('group') is not None and not isinstance(entry['group'], str):
        raise DataError(f'{where}: group is {entry["group"]!r}; it is the text over its column in tables.')
    for key in _COUNTS:
        value = entry.get(key)
        if value is not None and (type(value) is not int or value < 1):
            raise DataError(f'{where}: {key} is {value!r}; it must be a number of clips, at least 1.')
    return Entry(**entry)


def suite_entries(name: str, datasets: Sequence[str] | None = None, shots: Sequence[int] | None = None) -> list[Entry]:
    """Entries of a suite.

    Args:
        name: Name of a suite, or path of a suite card.
        datasets: Use these instead of the suite's own. Where an entry's recipe has `{family}`, the one that the
            dataset's card names under `recipes` for the protocol takes its place, if it names one: SSv2 is then trained
            as the suites of SEVERE train it, not by the recipe of another dataset.
        shots: Clips per class, instead of those of the suite's few-shot entries.

    Raises:
        DataError: if there is no such suite (with the nearest name), its card does not fit, `shots` is given and the
            suite has no few-shot entry, a recipe has an unknown key, or `recipes` of a dataset's card is no dict of
            protocols to recipes.
    """
    if name not in SUITES:
        if Path(name).suffix == '.py' or len(Path(name).parts) > 1:
            raise DataError(f'The suite {name!r} does not exist.')
        raise DataError(f'{did_you_mean("suite", name, SUITES)}; or give the path of a suite card.')
    entries = list(SUITES[name])
    if shots and not any(entry.shots for entry in entries):
        having = ', '.join(suite for suite, members in SUITES.items() if any(entry.shots for entry in members))
        raise DataError(f'--shots: the suite {name} has no entry with clips per class; these do: {having}.')
    if datasets:
        shapes = dict.fromkeys(replace(entry, dataset='') for entry in entries)
        entries = [_on(dataset, shape) for dataset in datasets for shape in shapes]
    if shots:
        entries = [
            replace(entry, shots=number) if entry.shots else entry
            for entry in entries
            for number in (shots if entry.shots else [None])
        ]
    for protocol, recipe in dict.fromkeys((entry.protocol, entry.recipe) for entry in entries):
        check_recipe_file(protocol, recipe)
    return list(dict.fromkeys(entries))


def _on(dataset: str, entry: Entry) -> Entry:
    """The entry on this dataset, by the dataset's own recipe if the entry's belongs to a dataset."""
    moved = replace(entry, dataset=dataset, group=None)  # a group is about the suite's own data
    if '{family}' not in entry.recipe:
        return moved
    recipes = own_recipes(dataset)
    for protocol in recipes:
        settings_of(protocol)  # raises if there is no such protocol
    return replace(moved, recipe=recipes.get(entry.protocol) or entry.recipe)
