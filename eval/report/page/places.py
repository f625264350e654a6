"""Where the files behind a record lie, and the commands that make a record. No torch; nothing here raises."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from eval.records import Record
from sigma.configs import card_names, find_card, read_plain
from sigma.errors import DataError
from sigma.text import shell_join

# Escape sequences of terminals, such as colours.
_ESCAPES = re.compile(r'\x1b\[[0-9;?]*[ -/]*[@-~]')
TAIL_BYTES = 8_000
TAIL_LINES = 20
LINE_CHARACTERS = 240


def work_dir(record: Record) -> Path | None:
    """Work directory of a record; None where the record does not lie in one."""
    if record.path is None or len(record.path.parents) < 4 or record.path.parents[2].name != 'records':
        return None
    return record.path.parents[3]


def cell_folder(record: Record) -> Path | None:
    """Folder with the logs of a record's cell; None if it is not there."""
    root = work_dir(record)
    folder = root / 'cells' / f'{record.name}-{record.cell["id"][:8]}' if root else None
    return folder if folder is not None and folder.is_dir() else None


def log_tail(path: Path) -> str | None:
    """The last lines of a log, without colours; None if it cannot be read."""
    try:
        with open(path, 'rb') as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode('utf-8', errors='replace')
    except OSError:
        return None
    lines = [_ESCAPES.sub('', line.rpartition('\r')[2]).rstrip() for line in text.replace('\r\n', '\n').split('\n')]
    kept = [line for line in lines if line][-TAIL_LINES:]
    return '\n'.join(line if len(line) <= LINE_CHARACTERS else f'{line[:LINE_CHARACTERS]} ...' for line in kept)


@functools.lru_cache(maxsize=256)
def card_values(kind: str, name: str) -> dict[str, Any]:
    """What a card assigns; {} where there is no such card here or it cannot be read without its packages."""
    try:
        return read_plain(find_card(kind, name))
    except (DataError, OSError):
        return {}


def class_names(dataset: str) -> list[str]:
    """Names of the classes of a dataset, from its card; [] where it is not known here."""
    classes = card_values('datasets', dataset).get('dataset_info', {}).get('classes')
    return [str(name) for name in classes] if isinstance(classes, (list, tuple)) else []


def encoder_argument(record: Record) -> str:
    """What `--encoders` takes for the encoder of a record: a card, or `NAME=...` for weights that a user named."""
    name, checkpoint = record.encoder['name'], record.get('encoder.checkpoint')
    cards = card_names('encoders')
    if name in cards or not checkpoint:
        return name
    card = max((card for card in cards if name.startswith(f'{card}-')), key=len, default='')
    if card:
        return f'{card}@{checkpoint}'
    return f'{name}={checkpoint}'


def command_of(record: Record, encoder: str | None = None, seed: int | None = None) -> str:
    """The command that measures the cell of a record; '' for a published number.

    New records hold it (`run.command`). For older ones, and for another encoder or seed, it is put together.

    Args:
        record: Of the cell.
        encoder: Another encoder in the same column, as `--encoders` takes it.
        seed: Another seed.
    """
    if record.published:
        return ''
    if encoder is None and seed is None and (known := record.get('run.command')):
        return known
    given = record.identity
    recipe = given.get('recipe') or (record.get('recipe.name') or '').partition('+')[0]
    limit = record.get('dataset.limit')
    cell = {
        'protocol': record.protocol['name'],
        'dataset': record.dataset['name'] + (f'#limit={limit}' if limit else ''),
        'recipe': recipe,
        'encoder': encoder or encoder_argument(record),
        'seed': record.seed if seed is None else seed,
        **{key: given[key] for key in ('shots', 'examples') if given.get(key)},
    }
    if isinstance(given.get('changes'), dict):
        cell['changes'] = [[key, json.dumps(value)] for key, value in given['changes'].items()]
    where = work_dir(record)
    return shell_join(
        [
            'python',
            'eval/run_cell.py',
            '--work-dir',
            str(where or 'work_dirs/again'),
            json.dumps(cell, ensure_ascii=False),
        ]
    )


@functools.lru_cache(maxsize=1)
def suite_entries() -> dict[str, list[dict]]:
    """Entries of every suite card by the suite's name."""
    found = {name: card_values('suites', name).get('entries', []) for name in card_names('suites')}
    return {name: [entry for entry in entries if isinstance(entry, dict)] for name, entries in found.items() if entries}


def newest(records: Iterable[Record]) -> str | None:
    """When the newest of these records was started, as its file says; None where none says."""
    return max((started for record in records if (started := record.get('run.started'))), default=None)
