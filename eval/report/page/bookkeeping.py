"""Sections of the page on coverage, cost, what is missing, and where every number comes from. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eval.records import Record, coverage
from eval.report.notes import partial_notes
from eval.report.page.gaps import MOST_COMMANDS, Filling, Gap
from eval.report.page.matrix import in_groups
from eval.report.page.parts import Command, Fold, Grid, Link, Part, Sentences, cell_link
from eval.report.table import Table

MOST_NAMED = 3
ORIGIN = ('record', 'score', 'videos scored', 'list', 'weights', 'protocol', 'trained', 'commit', 'device', 'started')


def coverage_parts(table: Table) -> list[Part]:
    """How many of the listed videos were scored, by column, and which were not."""
    lines: list[list[str | Link]] = []
    for column in in_groups(table.measured):
        records = [r for cell in column.cells.values() for r in cell.records if coverage(r) is not None]
        if not records:
            continue
        worst = min(records, key=lambda record: coverage(record) or 0)
        lacking = sum(bool(record.get('dataset.unscored')) for record in records)
        reasons = dict.fromkeys(e['reason'] for r in records for e in r.get('dataset.unscored') or [])
        lines.append(
            [
                column.name,
                str(worst.dataset['num_listed']),
                f'{coverage(worst):.1f} %',
                f'{lacking} of {len(records)}' if lacking else 'none',
                some(list(reasons)) or '-',
            ]
        )
    if not lines:
        return []
    notes = [*partial_notes(table, left_out=False), *partial_notes(table, left_out=True)]
    head = ['column', 'videos listed', 'lowest coverage', 'records that lack videos', 'reasons']
    grid = Grid(head, lines, numbers=(1, 2))
    return [grid, Fold('Cells that lack videos', [Sentences(notes, small=True)])] if notes else [grid]


def cost_parts(table: Table) -> list[Part]:
    """What the measurements took, by encoder and by column."""
    records = [r for r in table.records if not r.published and r.get('run.seconds') is not None]
    if not records:
        return []
    total = sum(record.run['seconds'] for record in records)
    devices: dict[str, int] = {}
    for record in records:
        device = record.get('run.device') or 'unknown'
        devices[device] = devices.get(device, 0) + 1
    on = '; '.join(f'{device} ({number} records)' for device, number in devices.items())
    parts: list[Part] = [
        Sentences([f'{hours(total)} in all for {len(records)} records, on {on}. Pretraining is not counted.'])
    ]
    by_row = {row: [r for c in table.measured if row in c.cells for r in c.cells[row].records] for row in table.rows}
    by_column = {c.name: [r for cell in c.cells.values() for r in cell.records] for c in in_groups(table.measured)}
    for word, groups in (('encoder', by_row), ('column', by_column)):
        lines: list[list[str | Link]] = []
        for name, members in groups.items():
            seconds = [r.run['seconds'] for r in members if not r.published and r.get('run.seconds') is not None]
            if seconds:
                each = [hours(number) for number in (sum(seconds), sum(seconds) / len(seconds), max(seconds))]
                lines.append([name, str(len(seconds)), *each])
        if lines:
            parts.append(Grid([word, 'records', 'in all', 'per record', 'longest'], lines, numbers=(1, 2, 3, 4)))
    return parts


def hours(seconds: float) -> str:
    """A time in the unit that suits it: `42 s`, `3.5 min`, `12.0 h`."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.1f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'


def missing_parts(gaps: Sequence[Gap], found: Sequence[Filling], faults: Sequence[str]) -> list[Part]:
    """Which cells lack seeds, and the commands that fill them; which files were left out."""
    parts: list[Part] = []
    if faults:
        parts.append(Sentences([f'Left out: {fault}' for fault in faults]))
    if not gaps:
        return [*parts, Sentences(['Nothing: every encoder has every seed in every column.'])]
    empty = sum(gap.empty for gap in gaps)
    said = [f'{empty} cells have no record'] if empty else []
    said += [f'{len(gaps) - empty} cells lack seeds that others have'] if len(gaps) > empty else []
    parts.append(Sentences([f'{"; ".join(said)}. Cells that have a record do not run again.']))
    parts += [Command(filling.command, f'Fills {filling.fills}') for filling in found]
    if len(found) >= MOST_COMMANDS:
        parts.append(Sentences(['More cells are missing than commands are shown.'], small=True))
    lines: list[list[str | Link]] = []
    for gap in gaps:
        name: str | Link = gap.row if gap.empty else cell_link(gap.row, gap.column.name, gap.row)
        lines.append([name, gap.column.name, ', '.join(map(str, gap.seeds))])
    return [*parts, Fold('All of them', [Grid(['encoder', 'column', 'seeds that are missing'], lines)])]


def origin_parts(table: Table) -> list[Part]:
    """One line per record; what all records note."""
    lines: list[list[str | Link]] = []
    records: list[Record] = []
    for column in in_groups(table.measured):
        for row, cell in column.cells.items():
            for record in (r for r in cell.records if not r.published):
                name, *others = origin(record)
                lines.append([cell_link(row, column.name, name), *others])
                records.append(record)
    if not records:
        return []
    notes = remarks(records)
    folded: list[Part] = [Fold('Notes of the records', [Sentences(notes, small=True)])] if notes else []
    return [Fold(f'All {len(records)} records', [Grid(list(ORIGIN), lines)]), *folded]


def origin(record: Record) -> tuple[str, ...]:
    """The entries of a record under `ORIGIN`; hashes by their first ten digits."""
    metric, value = record.score['metric'], record.score['value']
    commit = (record.get('run.commit') or 'unknown')[:10]
    return (
        record.name,
        f'{metric} {value:.4g}',
        f'{record.dataset["num_scored"]} of {record.dataset["num_listed"]}',
        record.dataset['list_sha256'][:10],
        (record.get('encoder.sha256') or 'random')[:10],
        f'{record.protocol["name"]} v{record.protocol["version"]}',
        trained(record),
        commit + (' (changed)' if record.get('run.clean') is False else ''),
        record.get('run.device') or '-',
        record.get('run.started') or '-',
    )


def trained(record: Record) -> str:
    """How long the scored weights were trained: epochs, and optimizer steps where the record has them."""
    epoch, steps = record.get('selection.epoch'), record.get('selection.steps')
    found = [
        f'{number} {word}{"" if number == 1 else "s"}' for number, word in ((epoch, 'epoch'), (steps, 'step')) if number
    ]
    return ', '.join(found) or '-'


def remarks(records: Sequence[Record]) -> list[str]:
    """The notes of all records, each once, with the records that have it."""
    said: dict[str, list[str]] = {}
    for record in records:
        for note in record.notes:
            said.setdefault(note, []).append(record.name)
    every = len(records)
    return [
        f'{note} ({f"all {every} records" if len(names) == every else f"{len(names)} of {every}: {some(names)}"})'
        for note, names in said.items()
    ]


def some(names: Iterable[str]) -> str:
    """The first few names and the number of others."""
    names = list(names)
    more = len(names) - MOST_NAMED
    return ', '.join(names[:MOST_NAMED]) + (f' and {more} more' if more > 0 else '')
