"""Which records stand in a table, and in which order. Needs no torch."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.records import Record, RecordError
from eval.report.naming import groups_of
from eval.report.summaries import Key
from sigma.errors import did_you_mean

BASELINE = 'random'


def select(
    records: Iterable[Record],
    encoders: Sequence[str] | None = None,
    protocols: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    suite: str | None = None,
    first: Sequence[str] = (),
) -> list[Record]:
    """Records of the named encoders, protocols and datasets, in the order of the names; None means all.

    Published rows stay beside named encoders, unless some of them are named too.

    Without names, encoders stand in the order of `first`; others follow: random weights, then by name, then published
    rows as they come. Columns stand in the order of the suite; without one in that of the suite with groups that holds
    most of them (`groups_of`), then by name, few shots before many before all.

    Args:
        records: Any records.
        encoders, protocols, datasets: Names to keep.
        suite: Keep only the columns of this suite.
        first: Encoders that stand first, as in the command that measured them.

    Raises:
        RecordError: on a name that no record has (with the nearest one), or if nothing is left.
        DataError: if there is no such suite.
    """
    records = without_copies(records)
    papers = {record.encoder['name'] for record in records if record.published}
    beside = bool(encoders) and papers.isdisjoint(encoders or ())  # published rows stay
    asked = {'encoder': encoders, 'protocol': protocols, 'dataset': datasets}
    for kind, names in asked.items():
        known = {getattr(record, kind)['name'] for record in records}
        for name in names or ():
            if name not in known:
                raise RecordError(did_you_mean(kind, name, known))
    kept = records
    for kind, names in asked.items():
        kept = [
            record
            for record in kept
            if not names
            or getattr(record, kind)['name'] in names
            or (kind == 'encoder' and record.published and beside)
        ]
    if not kept:
        raise RecordError(f'none of {len(records)} records has these encoders, protocols and datasets at once')
    groups = groups_of([_key(record) for record in kept], suite)
    if suite is not None:
        kept = [record for record in kept if _key(record) in groups]
        if not kept:
            raise RecordError(f'no record is of a column of the suite {suite}; leave --suite out to see what there is')
    follow = {} if datasets or not (suite or any(groups.values())) else {key: i for i, key in enumerate(groups)}

    def place(record: Record, kind: str) -> tuple:
        name, names = getattr(record, kind)['name'], asked[kind]
        if names and not (kind == 'encoder' and record.published and beside):
            return (list(names).index(name),)
        as_it_comes = kind == 'encoder' and record.published
        known = kind == 'encoder' and not as_it_comes and name in first
        number = list(first).index(name) if known else len(names or first)
        return (number, name != BASELINE, as_it_comes, '' if as_it_comes else name)

    return sorted(
        kept,
        key=lambda record: (
            place(record, 'protocol') if protocols else (),
            follow.get(_key(record), len(follow)),
            *(place(record, kind) for kind in ('protocol', 'dataset')),
            _subset_order(record.get('subset.name')),
            place(record, 'encoder'),
            -1 if record.seed is None else record.seed,
        ),
    )


def _subset_order(name: str | None) -> tuple:
    """Sorts 5-a-class before 10-a-class before all."""
    parts = re.split(r'(\d+)', name or '')
    return (name is None, [int(part) if part.isdigit() else -1 for part in parts], name or '')


def without_copies(records: Iterable[Record]) -> list[Record]:
    """Drops repeated records of one cell, as when two work directories share some.

    Raises:
        RecordError: if two records of a cell have different scores.
    """
    seen: dict[str, Record] = {}
    for record in records:
        first = seen.setdefault(record.cell['id'], record)
        if (was := first.score['value']) != (now := record.score['value']):
            both = f'{was:.2f} in {first.path} and {now:.2f} in {record.path}'
            raise RecordError(f'the same cell {record.name} scored {both}; give one of the two')
    return list(seen.values())


def kept_order(places: Iterable[str | Path]) -> list[str]:
    """Encoders in the order of the commands that measured them: that of the newest tables in these work directories.

    Every run of eval/run_severe.py leaves `NAME.table.csv` there; a file that is none is passed over.
    """
    found: dict[str, None] = {}
    for place in map(Path, places):
        tables = place.glob('*.table.csv') if place.is_dir() else ()
        for path in sorted(tables, key=lambda path: -path.stat().st_mtime):
            try:
                with path.open(encoding='utf-8', newline='') as file:
                    found |= dict.fromkeys(line['encoder'] for line in csv.DictReader(file) if line.get('encoder'))
            except (OSError, ValueError, KeyError, csv.Error):
                continue
    return list(found)


def _key(record: Record) -> Key:
    """The column of a record."""
    return record.protocol['name'], record.dataset['name'], record.get('subset.name')
