"""Sections of the page on the scores: bars, against the baseline, statistics, videos, corruptions. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eval.report import statistics_text
from eval.report.agreement import agreements
from eval.report.figures import FigureError, caption_of, draw_figure, render
from eval.report.page.clips import video_parts
from eval.report.page.footage import Footage
from eval.report.page.parts import Fold, Grid, Part, Picture, Section, Sentences, Text
from eval.report.ranks import critical_difference
from eval.report.statistics import is_clear
from eval.report.sweeps import holds_sweep, report
from eval.report.table import BASELINE, Column, Table
from eval.report.verdicts import Verdict, comparison, p_text, rule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Bars of more than this many are unreadable, and slow to draw; the heat table shows the same numbers.
MOST_BARS = 120
MOST_DRAWN = 24  # columns of the figures of statistics
MOST_SENTENCES = 10  # of statistics that are shown from the start


def section(name: str, heading: str, parts: list[Part], short: str = '') -> list[Section]:
    """The section, or nothing where it has no parts."""
    return [Section(name, heading, parts, short)] if parts else []


def bars(table: Table) -> list[Part]:
    """The figure of bars, of tables that are small enough for it."""
    plain = table.only(lambda column: not holds_sweep(column))
    if not plain.measured:
        return []
    if len(plain.columns) * len(plain.rows) > MOST_BARS:
        return [
            Sentences(['Too many cells for a figure of bars here; tools/plot.py --figure bars draws it.'], small=True)
        ]
    return [Fold('The same as bars', [_drawn('bars', plain)])]


def compared(table: Table, found: Sequence[Verdict], baseline: str | None) -> list[Section]:
    """Every row against the baseline: one line per row, one entry per column."""
    name = baseline or BASELINE
    if not found:
        said = [] if name in table.rows else comparison(table, baseline)
        return section('comparison', f'Against {name}', [Sentences(said)] if said else [])
    by_place = {(each.row, each.column): each for each in found}
    names = dict.fromkeys(each.column for each in found)
    columns = [column for column in table.measured if column.name in names]
    lines: list[list[Any]] = []
    for row in dict.fromkeys(each.row for each in found):
        verdicts = [by_place.get((row, column.name)) for column in columns]
        lines.append([row, *('-' if each is None else _entry(table, each) for each in verdicts)])
    num = sum(each.difference is not None for each in found)
    parts: list[Part] = [Grid(['encoder', *_heads(columns)], lines)]
    parts += [Sentences([rule(num)], small=True)] if num else []
    return [
        Section('comparison', f'Against {name}', [*parts, Fold('In words', [Sentences([v.sentence for v in found])])])
    ]


def _heads(columns: Sequence[Column]) -> list[str]:
    """Short names of columns; with their group, where there are several: `toy [frozen linear]`."""
    several = len({column.group for column in columns}) > 1
    return [f'{column.label} [{column.group}]' if several else column.label for column in columns]


def _entry(table: Table, verdict: Verdict) -> str:
    """`better: +4.2 [1.0, 7.4], p 0.012`; what is not clear says so first."""
    if verdict.difference is None or verdict.p_corrected is None:
        return 'not compared'
    column = next(column for column in table.measured if column.name == verdict.column)
    each = verdict.difference
    word = 'no clear difference'
    if is_clear(each, verdict.p_corrected):
        word = 'better' if each.low > 0 else 'worse'
    ends = f'[{column.text(each.low)}, {column.text(each.high)}]'
    return f'{word}: {column.text(each.difference, "+")} {ends}, {p_text(each.p, verdict.p_corrected)}'


def videos(data: dict[str, Any], footage: Footage | None) -> list[Part]:
    return [] if footage is None else video_parts(data['videos'], footage)


def statistics(table: Table) -> list[Part]:
    """What the columns say together: average ranks, how much each tells, whether they agree."""
    pictures: dict[str, list[str]] = {}
    if len(table.measured) <= MOST_DRAWN:
        if critical_difference(table).drawable:
            pictures['Average ranks'] = ['critical_difference', 'rank_bump']
        if agreements(table):
            pictures['Do columns agree?'] = ['protocol_correlations']
    parts: list[Part] = []
    for title, sentences in statistics_text.sections(table).items():
        if title == 'In short':
            continue
        found = [_drawn(name, table) for name in pictures.get(title, [])]
        parts.append(Fold(title, [Sentences(sentences), *found], unfolded=len(sentences) <= MOST_SENTENCES))
    return parts


def robustness(table: Table, baseline: str) -> list[Section]:
    """Curves and heat map over corruptions; all numbers as text on request."""
    swept = table.only(holds_sweep)
    if not swept.measured:
        return []
    pictures = [_drawn(name, swept) for name in ('severity_curves', 'robustness_heatmap')]
    parts: list[Part] = [*pictures, Fold('All numbers', [Text(report(swept, baseline))])]
    return [Section('corruptions', 'Under corruptions', parts, 'Corruptions')]


def trained(figure: Figure | None) -> list[Part]:
    """The curves of trainings, if they were asked for."""
    return [] if figure is None else [_picture(figure, 'Curves of trainings')]


def _drawn(name: str, table: Table) -> Part:
    """A figure with its caption; a sentence where the records hold nothing that it can draw."""
    try:
        figure = draw_figure(name, table)
    except FigureError as error:
        return Sentences([f'{name.replace("_", " ")}: {error}'], small=True)
    return _picture(figure, name.replace('_', ' '))


def _picture(figure: Figure, alt: str) -> Picture:
    """A figure as a part."""
    text = render(figure, '.svg')
    return Picture(text[text.index(b'<svg') :], alt, caption_of(figure))
