"""The command behind a record: as the record has it, or put together from its identity."""

from __future__ import annotations

import json

from eval.records import Record
from sigma.text import shell_join

WORK_DIR = 'work_dirs/again'
PUT_TOGETHER = '  # put together from the record, which does not hold its command'


def command_of(record: Record) -> str | None:
    """The command that measures a record's cell again.

    New records hold it (`run.command`). For older ones it is put together from the identity, and a comment at its end
    says so. None if the identity does not say enough, as for a number from a paper.
    """
    if record.published:
        return None
    return record.get('run.command') or _from_identity(record)


def _from_identity(record: Record) -> str | None:
    identity = record.identity
    if not {'recipe', 'shots', 'examples', 'seed'} <= set(identity):
        return None
    name, checkpoint = record.encoder['name'], record.encoder['checkpoint']
    limit, changes = record.dataset['limit'], identity.get('changes') or {}
    cell = {
        'protocol': record.protocol['name'],
        'dataset': record.dataset['name'] + (f'#limit={limit}' if limit else ''),
        'recipe': identity['recipe'],
        'encoder': f'{name}@{checkpoint}' if checkpoint else name,
        'seed': record.seed,
        'shots': identity['shots'],
        'examples': identity['examples'],
        'changes': [[key, json.dumps(value)] for key, value in changes.items()],
    }
    return shell_join(['python', 'eval/run_cell.py', '--work-dir', WORK_DIR, json.dumps(cell)]) + PUT_TOGETHER
