"""The caption of a figure: what it shows, metrics, units and directions, videos, seeds, intervals, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from eval.report.figures._layout import PUBLISHED_MARK, shortened
from eval.report.notes import chance_note, partial_notes, published_notes, seed_notes, summary_notes
from eval.report.table import Column, Table

MOST_NAMED = 6


def caption(
    table: Table,
    says: str,
    *,
    names: Mapping[str, str] | None = None,
    more: Iterable[str] = (),
    interval: bool = True,
    chance: bool = False,
) -> str:
    """All that a reader needs to know of a figure, in sentences.

    Args:
        table: The part of the table that is drawn.
        says: What the figure shows, one or two sentences.
        names: Row -> name in the figure; those that were shortened are listed.
        more: Further sentences, such as what is missing.
        interval: Whether intervals are drawn.
        chance: Whether chance is drawn.
    """
    sentences = [says, _metrics(table.columns), _videos(table.measured), _seeds(table)]
    if interval and any(not cell.published for cell in table.cells):
        sentences += ['Intervals: 95 %', *(_capital(note) for note in seed_notes(table) if 'fewer than' not in note)]
    if chance and (note := chance_note(table)):
        sentences.append(f'Chance (dashed): {note}')
    sentences += more
    for left_out, what in ((False, 'Not all videos scored'), (True, 'Too few videos scored to count in a mean')):
        if notes := partial_notes(table, left_out):
            sentences.append(f'{what}: {several(notes)}')
    sentences += [_capital(note) for note in (*summary_notes(table), *published_notes(table))]
    sentences.append(_short(names or {}))
    return ' '.join(_sentence(text) for text in sentences if text)


def several(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Names with semicolons between them, the first few and how many more."""
    return '; '.join(names[:most]) + (f'; and {len(names) - most} more' if len(names) > most else '')


def _sentence(text: str) -> str:
    text = ' '.join(text.split())
    return text + ('' if text.endswith(('.', '!', '?')) else '.')


def _capital(note: str) -> str:
    """A note that starts with a word, not with a name or a symbol, as the start of a sentence."""
    return note if note.startswith('n=') else f'{note[0].upper()}{note[1:]}'


def _metrics(columns: Sequence[Column]) -> str:
    """Metrics with unit and direction, each with the columns that have it if there are several."""
    found: dict[str, list[str]] = {}
    for column in columns:
        unit = {'percent': '%', 'ratio': 'a ratio'}.get(column.unit, column.unit)
        better = 'higher is better' if column.higher_is_better else 'lower is better'
        what = column.name if column.is_summary else column.metric_label
        found.setdefault(f'{what} ({unit}, {better})', []).append(column.label)
    if len(found) == 1:
        return f'Metric: {next(iter(found))}'
    return 'Metrics: ' + ', '.join(
        f'{metric} in {", ".join(dict.fromkeys(labels))}' if len(labels) <= 3 else metric
        for metric, labels in found.items()
    )


def _videos(columns: Sequence[Column]) -> str:
    """How many test videos each column has."""
    found: dict[str, list[str]] = {}
    for column in columns:
        counts = sorted({cell.interval.num_videos for cell in column.cells.values()} - {0})
        if counts:
            number = f'{counts[0]}' if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'
            found.setdefault(number, []).append(column.label)
    if len(found) == 1:
        return f'Test videos: {next(iter(found))}' + (' in each column' if len(columns) > 1 else '')
    return (
        'Test videos: '
        + ', '.join(f'{number} ({", ".join(dict.fromkeys(labels))})' for number, labels in found.items())
        if found
        else ''
    )


def _seeds(table: Table) -> str:
    counts = sorted({len(cell.records) for cell in table.cells if not cell.published})
    if not counts:
        return ''
    number = f'{counts[0]}' if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'
    return f'n = {number} seed{"" if counts == [1] else "s"}'


def _short(names: Mapping[str, str]) -> str:
    """What the shortened names stand for, and the mark of published rows."""
    cut = [f'{short} is {shortened(row, 160)}' for row, short in names.items() if '…' in short and short != row]
    said = (
        [f'{PUBLISHED_MARK} published numbers, not measured here']
        if any(short.endswith(PUBLISHED_MARK) or f'{PUBLISHED_MARK} ' in short for short in names.values())
        else []
    )
    return '. '.join([*said, *([f'Short names: {"; ".join(cut)}'] if cut else [])])
