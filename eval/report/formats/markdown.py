"""The table as Markdown, for a README or an issue on GitHub."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eval.report.formats.layout import Entry, Look, best_note, lay_out
from sigma.text import align, isolated

if TYPE_CHECKING:
    from eval.report.table import Table


def markdown(table: Table, look: Look | None = None) -> str:
    """As `text`, as Markdown. The first line of the head has the groups, the second the columns.

    In bold is what is clearly the best of its column; with `look.best` 'mean', the best mean, and the second is
    underlined. Characters that Markdown would take for its own are escaped.
    """
    look = look or Look()
    best = look.best or 'clear'
    found = lay_out(table, look)
    groups = [group if number == 0 else '' for group, members in found.groups() for number in range(members)]
    lines = [['', *map(escaped, groups)], ['encoder', *(escaped(isolated(c.label)) for c in found.columns)]]
    if found.metrics:
        lines.append(['', *found.metrics])
    source = ''
    for row in found.rows_of(slice(None)):
        if row.source not in ('', source):
            heading = f'*published: {escaped(isolated(row.source))}*{_raised(found.headings[row.source])}'
            lines.append([heading, *([''] * len(found.columns))])
        source = row.source
        name = escaped(isolated(row.name)) + _raised(row.letters)
        lines.append([name, *(_entry(entry, best) for entry in row.entries)])
    notes = [f'{_note(note)}\n' for note in [*best_note(table, best), *found.notes]]
    return '\n'.join([align(lines, markdown=True), '', *notes]).rstrip() + '\n'


def _entry(entry: Entry, best: str) -> str:
    value = escaped(entry.value)
    if entry.best if best == 'clear' else entry.place == 1:
        value = f'**{value}**'
    elif best == 'mean' and entry.place == 2:
        value = f'<ins>{value}</ins>'
    signs = ('†' if entry.best and best == 'mean' else '') + ' ▲▼'[entry.against].strip() + escaped(entry.mark)
    return f'{value}{signs}{_raised(entry.letters)}{entry.rest}'


def _raised(letters: str) -> str:
    return f'<sup>{letters}</sup>' if letters else ''


def _note(note: str) -> str:
    letter, _, said = note.partition(' ')
    if re.fullmatch(r'\^[a-z]+', letter):
        return f'<sup>{letter[1:]}</sup> {escaped(said)}'
    return re.sub(r'^([#+>-])', r'\\\1', escaped(note))


def escaped(text: str) -> str:
    """Text of which Markdown shows every character. An underscore inside a word is none of its marks."""
    text = re.sub(r'([\\`*|~$]|\](?=[(:]))', r'\\\1', text)
    text = re.sub(r'(?<!\w)_|_(?!\w)', r'\\_', text)
    text = re.sub(r'&(?=#?\w+;)', '&amp;', text)
    return re.sub(r'<(?=[A-Za-z/!?])', '&lt;', text)
