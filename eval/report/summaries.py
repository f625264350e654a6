"""Columns of suites, and means over them that are reported as one number, read from the suite cards. No torch."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from eval.records import RecordError, spelled, subset_name
from sigma.configs import card_names, find_card, read_plain
from sigma.errors import DataError, did_you_mean

Key = tuple[str, str, str | None]  # of a column: protocol, dataset, kind of subset or None for all clips


class Summary(NamedTuple):
    """A plain mean of columns, in percent; an error that is a ratio enters as 100 (1 - error)."""

    name: str
    columns: tuple[Key, ...]


class Summaries(Mapping[str, Summary]):
    """Summary of every suite that has one, by the suite's name; a path of a suite card works as a name too.

    A card's `summary` has a `name`, and `columns` where the mean is not over all columns of the suite:
    (protocol, dataset, subset) as in a record, such as ('finetune', 'ucf101', '1000-examples').
    """

    def __getitem__(self, suite: str) -> Summary:
        try:
            path = find_card('suites', suite)
        except DataError:
            raise KeyError(suite) from None
        card = read_plain(path)
        if 'summary' not in card:
            raise KeyError(suite)
        try:
            columns = card['summary'].get('columns') or map(_column, card['entries'])
            found = dict.fromkeys(
                (protocol, dataset, subset and spelled(subset)) for protocol, dataset, subset in columns
            )
            return Summary(str(card['summary']['name']), tuple(found))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'{path}: `summary` needs a name, and columns of (protocol, dataset, subset) if it is not over all '
                f'columns; found {card["summary"]!r} ({type(error).__name__}: {error}).'
            ) from None

    def __iter__(self) -> Iterator[str]:
        return (name for name in card_names('suites') if self.get(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@functools.cache
def suite_columns(suite: str) -> dict[Key, str | None]:
    """Columns that a suite fills, in its order, and the group of each (None where its card states none).

    Args:
        suite: Name of a suite, or path of its card.

    Raises:
        DataError: if there is no such suite (with the nearest name), or its entries cannot be read.
    """
    path = find_card('suites', suite)
    try:
        return {_column(entry): entry.get('group') for entry in read_plain(path)['entries']}
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f'{path}: `entries` must be a list of dict(protocol=..., dataset=..., recipe=...) '
            f'({type(error).__name__}: {error}).'
        ) from None


def is_card(suite: str) -> bool:
    """Whether a suite has a card; one that a module of a user adds has none."""
    try:
        suite_columns(suite)
    except DataError:
        return False
    return True


def _column(entry: dict[str, Any]) -> Key:
    """The column of an entry of a suite. An entry may have the path of a dataset, where records have its name."""
    dataset = entry['dataset']
    if '/' in dataset or dataset.endswith('.py'):
        with contextlib.suppress(DataError, KeyError):
            dataset = read_plain(find_card('datasets', dataset))['dataset_info']['name']
    return entry['protocol'], dataset, subset_name(entry.get('shots'), entry.get('examples'))


SUMMARIES = Summaries()


def get_summary(name: str) -> Summary:
    """The summary of that suite.

    Raises:
        RecordError: if there is none (with the nearest name).
    """
    found = SUMMARIES.get(name)
    if found is None:
        raise RecordError(did_you_mean('summary', name, SUMMARIES))
    return found
