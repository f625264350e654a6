"""The default reader: each split is a list that comes with the project, or the rows of a table that the user has.

    train='ucf101/train.txt.gz'             a list under mmaction_configs/annotations, or next to the card
    train=dict(                             a table
        files=['train.csv', 'k400.csv'],    file names, tried in order: .csv with a header, or .json, a list of objects
        video='{id}_{start:06d}.mp4',       name of the video, from columns in braces; with `d`, a column is a number
        label='label',                      column with the class name (task `multi_label`: several, separated by `;`)
        number='label',                     instead of `label`: column with the class number, or the count
        replace=[('_', ' ')],               texts to replace in a class name, in this order
        where=dict(split='train'),          columns and the value that a row must have
    )

A split that is left out is empty. `only_classes=(6, 16)` keeps classes 6 to 16 and numbers them from 0.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sigma.data.cards import DatasetCard
from sigma.data.lists import Label, read_list
from sigma.datasets import published
from sigma.datasets.published import Lists
from sigma.datasets.published._files import class_numbers, csv_rows, find_file, reading

Pairs = list[tuple[str, Label]]


def read(
    annotations: Path,
    card: DatasetCard,
    videos: Sequence[str],
    train: str | Mapping[str, Any] | None = None,
    test: str | Mapping[str, Any] | None = None,
    only_classes: tuple[int, int] | None = None,
) -> Lists:
    """Both splits; see the top of this file. `videos` is not used."""
    splits = {'train': _split(train, annotations, card), 'test': _split(test, annotations, card)}
    if only_classes is not None:
        first, last = only_classes
        for split, pairs in splits.items():
            numbered = [(video, label) for video, label in pairs if isinstance(label, int)]
            splits[split] = [(video, label - first) for video, label in numbered if first <= label <= last]
    return Lists(splits)


def shipped_list(name: str, card: DatasetCard) -> Path:
    """A list next to the card, or under mmaction_configs/annotations."""
    beside = card.path.parent / name
    return beside if beside.is_file() else published.SHIPPED / name


def _split(given: str | Mapping[str, Any] | None, annotations: Path, card: DatasetCard) -> Pairs:
    if given is None:
        return []
    if isinstance(given, str):
        return read_list(shipped_list(given, card))
    file = find_file(annotations, card, *given['files'])
    with reading(file, card):
        return _rows(file, card, **{key: value for key, value in given.items() if key != 'files'})


def _rows(
    file: Path,
    card: DatasetCard,
    video: str,
    label: str | None = None,
    number: str | None = None,
    replace: Sequence[tuple[str, str]] = (),
    where: Mapping[str, str] | None = None,
) -> Pairs:
    rows: Iterable[Mapping[str, Any]]
    rows = json.loads(file.read_text(encoding='utf-8')) if file.suffix == '.json' else csv_rows(file)
    numbers = {} if label is None else class_numbers(card)
    pairs: Pairs = []
    for row in rows:
        if any(row[column] != value for column, value in (where or {}).items()):
            continue
        name = _Names().vformat(video, (), row)
        if label is None:
            pairs.append((name, int(row[number or ''])))
            continue
        text = row[label]
        for old, new in replace:
            text = text.replace(old, new)
        if card.task == 'multi_label':
            classes = {numbers[part.strip()] for part in text.split(';') if part.strip()}
            pairs.append((name, tuple(sorted(classes))))
        else:
            pairs.append((name, numbers[text]))
    return pairs


class _Names(string.Formatter):
    """Formats a text as a number if the format asks for one: `{start:06d}` of '7' is 000007."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return super().format_field(int(value) if format_spec.endswith('d') else value, format_spec)
