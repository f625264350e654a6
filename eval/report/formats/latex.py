"""The table as LaTeX with booktabs, to include in a paper or as a whole document; pdflatex compiles it."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from eval.report.formats.layout import MISSING, NO_NUMBER, Entry, Layout, Look, Row, best_note, lay_out
from sigma.text import isolated

if TYPE_CHECKING:
    from eval.report.table import Table

# Widths in characters of \small: what fits in one column of a paper, and across a page.
ONE_COLUMN, PAGE = 50, 121
NAME = 26  # longer names are broken into lines
# Heights in points of \small: the text of a page, a line of a table, a row with intervals, a line of notes.
PAGE_HEIGHT, LINE, TWO_LINES, NOTE_LINE = 700, 11, 21, 9.5
_PLAIN = {
    '\\': r'\textbackslash{}',
    '{': r'\{',
    '}': r'\}',
    '$': r'\$',
    '&': r'\&',
    '#': r'\#',
    '%': r'\%',
    '_': r'\_',
    '^': r'\textasciicircum{}',
    '~': r'\textasciitilde{}',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    '|': r'\textbar{}',
    '"': r'\symbol{34}',
    '`': r'\textasciigrave{}',
    '[': '{[}',  # after a line break it would begin an argument
    ']': '{]}',
    '*': '{*}',
    '±': r'$\pm$',
    '×': r'$\times$',
    '†': r'$\dagger$',
    '▲': r'$\bigtriangleup$',
    '▼': r'$\bigtriangledown$',
    '↑': r'$\uparrow$',
    '↓': r'$\downarrow$',
    '–': r'\textendash{}',
    '—': r'\textemdash{}',
    '‘': '`',
    '’': "'",
    '“': '``',
    '”': "''",
    '…': r'\dots{}',
    '\u00a0': '~',
    '\u2068': '',
    '\u2069': '',
}
# Letters that pdflatex sets with its own fonts (OT1): Latin-1 and Latin Extended-A, with few exceptions.
_KNOWN = {chr(code) for code in range(0xC0, 0x180)} - set('ĦħĸŁłŊŋŦŧŉſ×÷ÐðÞþĐđĄąĘęĮįĿŀŲų') | set('Łłß')
DOCUMENT = r"""\documentclass{article}
\usepackage[margin=1.5cm]{geometry}
\usepackage{booktabs}
\pagestyle{empty}
\begin{document}
"""


def latex(table: Table, look: Look | None = None) -> str:
    """The table as a floating `table`, or `table*` where it is wide, for `\\usepackage{booktabs}`.

    In bold is the best mean of its column and the second is underlined; with `look.best` 'clear', only what is clearly
    the best is bold. Intervals stand below the numbers. Published rows follow a rule and the name of their paper. A
    table that is wider than a page is folded into blocks of `look.split` columns; blocks that do not fit below each
    other on a page become floats of their own, with the same number. Characters that pdflatex cannot set are written as
    their names or code points.
    """
    look = look or Look()
    best = look.best or 'mean'
    found = lay_out(table, look)
    folds = _folds(found, look)
    wide = max(_width(found, slice(*fold)) for fold in folds) > ONE_COLUMN
    kind = 'table*' if wide else 'table'
    caption = [*([look.caption] if look.caption else []), found.notes[0], *best_note(table, best)]
    pages = _pages(found, folds, caption)
    lines = ['% needs \\usepackage{booktabs}']
    for page, blocks in enumerate(pages):
        said = ' '.join(map(_sentence, caption)) if page == 0 else '(continued)'
        lines += [
            rf'\begin{{{kind}}}[{"t" if len(pages) == 1 else "p"}]',
            r'\centering\small\setlength{\tabcolsep}{3pt}',
            *([r'\addtocounter{table}{-1}'] if page else []),
            *_tightened(found, blocks, caption if page == 0 else [], page == len(pages) - 1),
            rf'\caption{{{said}}}',
        ]
        for number, fold in enumerate(blocks):
            lines += [r'\par\medskip'] * (number > 0) + _tabular(found, slice(*fold), best)
        if page == len(pages) - 1 and len(found.notes) > 1:
            said = r' \\ '.join(map(_note, found.notes[1:]))
            lines.append(rf'\par\smallskip{{\footnotesize\raggedright {said}\par}}')
        lines.append(rf'\end{{{kind}}}')
    body = '\n'.join(lines) + '\n'
    return f'{DOCUMENT}{body}\\end{{document}}\n' if look.standalone else body


def _pages(found: Layout, folds: list[tuple[int, int]], caption: list[str]) -> list[list[tuple[int, int]]]:
    """Blocks that fit below each other on a page, page by page; notes stand below the last."""
    used = sum(map(len, caption)) / PAGE * LINE
    notes = _notes_height(found)
    pages: list[list[tuple[int, int]]] = [[]]
    for number, fold in enumerate(folds):
        height = _height(found, slice(*fold))
        if pages[-1] and used + height + notes * (number == len(folds) - 1) > PAGE_HEIGHT:
            pages.append([])
            used = LINE
        pages[-1].append(fold)
        used += height
    return pages


def _tightened(found: Layout, blocks: list[tuple[int, int]], caption: list[str], is_last: bool) -> list[str]:
    """Less space between the rows, where a page would not hold them otherwise."""
    others = sum(map(len, caption)) / PAGE * LINE + LINE + _notes_height(found) * is_last
    height = sum(_height(found, slice(*fold)) for fold in blocks)
    stretch = round(max(0.75, (PAGE_HEIGHT - others) / height), 2)
    return [rf'\renewcommand{{\arraystretch}}{{{stretch}}}'] if stretch < 1 else []


def _notes_height(found: Layout) -> float:
    return sum(1 + len(note) // PAGE for note in found.notes[1:]) * NOTE_LINE


def _height(found: Layout, columns: slice) -> float:
    """About how many points a block takes, with its head, rules and headings of papers."""
    rows = found.rows_of(columns)
    intervals = any(entry.rest for row in rows for entry in row.entries[columns])
    height = 5.0 * LINE + 1.5 * LINE * len({row.source for row in rows if row.source}) + LINE
    for row in rows:
        own = intervals and not (row.source or row.is_constant)
        height += max(TWO_LINES if own else LINE, -(-_length(row.name) // NAME) * LINE)
    return height


def _folds(found: Layout, look: Look) -> list[tuple[int, int]]:
    """(first, last) column of each block."""
    if look.split is not None:
        num = len(found.columns)
        return [(first, min(first + look.split, num)) for first in range(0, num, look.split)]
    found_folds = _within(found, PAGE)
    for limit in range(PAGE - 4, 0, -4):  # as many blocks, of sizes as equal as possible
        if len(narrower := _within(found, limit)) > len(found_folds):
            break
        found_folds = narrower
    return found_folds


def _within(found: Layout, limit: int) -> list[tuple[int, int]]:
    """Blocks that are no wider than that."""
    folds, first = [], 0
    for number in range(1, len(found.columns)):
        if _width(found, slice(first, number + 1)) > limit:
            folds.append((first, number))
            first = number
    return [*folds, (first, len(found.columns))]


def _width(found: Layout, columns: slice) -> int:
    """About how many characters a block takes; intervals are set smaller."""
    sizes = []
    for number, column in list(enumerate(found.columns))[columns]:
        entries = [row.entries[number] for row in found.rows]
        heads = [*column.label.split(' ('), found.metrics[number] if found.metrics else '']
        below = max(len(entry.rest) for entry in entries) * 0.8
        sizes.append(max(*map(len, heads), *(len(entry.value) + len(entry.letters) for entry in entries), below) + 1.5)
    each, total = iter(sizes), float(min(NAME, max(_length(row.name) for row in found.rows)))
    for group, members in found.groups(columns):
        total += max(len(group) + 2, sum(next(each) for _ in range(members)))
    return int(total)


def _length(name: str) -> int:
    """Characters of a name as it is set, with code points and names of those that pdflatex lacks."""
    return sum(len(said) if (said := _character(c)).startswith('(') else 1 for c in name)


def _tabular(found: Layout, columns: slice, best: str) -> list[str]:
    num = len(found.columns[columns])
    groups = found.groups(columns)
    lines = [rf'\begin{{tabular}}{{@{{}}l{"c" * num}@{{}}}}', r'\toprule']
    if any(group for group, _ in groups):
        lines += _groups(groups)
    lines.append(_line(['encoder', *(_stacked(column.label) for column in found.columns[columns])]))
    if found.metrics:
        lines.append(_line(['', *(rf'{{\footnotesize {escaped(metric)}}}' for metric in found.metrics[columns])]))
    lines.append(r'\midrule')
    before: Row | None = None
    for row in found.rows_of(columns):
        new_source = row.source and (before is None or row.source != before.source)
        if before is not None and (new_source or row.is_constant > before.is_constant):
            lines.append(r'\midrule')
        if new_source:
            letters = found.headings[row.source]
            heading = rf'\emph{{published: {escaped(row.source)}}}' + (
                rf'$^{{\mathrm{{{letters}}}}}$' if letters else ''
            )
            lines.append(rf'\multicolumn{{{num + 1}}}{{@{{}}l@{{}}}}{{{heading}}} \\')
        lines += _row(row, columns, best)
        before = row
    return [*lines, r'\bottomrule', r'\end{tabular}']


def _groups(groups: list[tuple[str, int]]) -> list[str]:
    """The line of groups, and a rule below each."""
    heads, rules, first = [''], '', 2
    for group, members in groups:
        heads.append(rf'\multicolumn{{{members}}}{{c}}{{{escaped(group)}}}')
        rules += rf'\cmidrule(lr){{{first}-{first + members - 1}}}' if group else ''
        first += members
    return [_line(heads), rules]


def _stacked(label: str) -> str:
    """A label with the part of the clips below the dataset, to save width."""
    dataset, found, subset = label.partition(' (')
    return rf'\shortstack{{{escaped(dataset)}\\({escaped(subset)}}}' if found else escaped(label)


def _row(row: Row, columns: slice, best: str) -> list[str]:
    """One line, and another with the intervals; beside a name of several lines they stand in one."""
    first, entries = escaped(isolated(row.name)) + _raised(row.letters), row.entries[columns]
    values = [_entry(entry, best) for entry in entries]
    small = [rf'{{\scriptsize {escaped(entry.rest.strip())}}}' if entry.rest else '' for entry in entries]
    if _length(row.name) > NAME:
        first = rf'\parbox[t]{{4.2cm}}{{\raggedright\strut {_breakable(row.name)}{_raised(row.letters)}\strut}}'
        both = [rf'\begin{{tabular}}[t]{{@{{}}c@{{}}}}{v}\\[-2pt]{s}\end{{tabular}}' for v, s in zip(values, small)]
        return [_line([first, *(each if s else v for each, v, s in zip(both, values, small))])]
    line = _line([first, *values])
    return [f'{line}[-2pt]', _line(['', *small]) + '[1pt]'] if any(small) else [line]


def _entry(entry: Entry, best: str) -> str:
    value = '--' if entry.value in (NO_NUMBER, MISSING) else escaped(entry.value)
    if entry.best if best == 'clear' else entry.place == 1:
        value = rf'\textbf{{{value}}}'
    elif best == 'mean' and entry.place == 2:
        value = rf'\underline{{{value}}}'
    signs = (r'\dagger' if entry.best and best == 'mean' else '') + {
        0: '',
        1: r'\bigtriangleup',
        -1: r'\bigtriangledown',
    }[entry.against]
    raised = ''.join([signs, entry.mark, rf'\mathrm{{{entry.letters}}}' if entry.letters else ''])
    return value + (f'$^{{{raised}}}$' if raised else '')


def _raised(letters: str) -> str:
    return rf'$^{{\mathrm{{{letters}}}}}$' if letters else ''


def _line(cells: list[str]) -> str:
    return ' & '.join(cells) + r' \\'


def _sentence(text: str) -> str:
    """Part of a caption as a sentence: a large letter first, unless it begins a name such as mAP; a full stop last."""
    first = text[:1].upper() + text[1:] if re.match(r'[a-z]+\b', text) else text
    return _stopped(first)


def _note(note: str) -> str:
    letter, _, said = note.partition(' ')
    if re.fullmatch(r'\^[a-z]+', letter):
        return rf'$^{{\mathrm{{{letter[1:]}}}}}$ {_stopped(said)}'
    return _stopped(note)


def _stopped(text: str) -> str:
    return escaped(text) + ('' if text.endswith('.') else '.')


def _breakable(name: str) -> str:
    """A long name that may be broken behind its punctuation, and within parts without any."""
    parts = re.findall(r'[A-Za-z0-9]{1,16}[^\w\s]?|.', isolated(name), flags=re.DOTALL)
    return r'\allowbreak{}'.join(filter(None, map(escaped, parts)))


def escaped(text: str) -> str:
    """Text as pdflatex sets it: its own characters escaped, those that it lacks by name or code point."""
    said = ''.join(map(_character, unicodedata.normalize('NFC', text)))
    return said.replace('--', '-{}-').replace('--', '-{}-')  # else two hyphens become a dash


def _character(c: str) -> str:
    if c in _PLAIN:
        return _PLAIN[c]
    if c.isascii() or c in _KNOWN:
        return c if c.isprintable() else ' '
    plain = unicodedata.normalize('NFKD', c).encode('ascii', 'ignore').decode()
    if plain:
        return escaped(plain)
    if unicodedata.category(c) == 'So':
        return f'({unicodedata.name(c, f"U+{ord(c):04X}").lower()})'
    return '' if unicodedata.category(c) in ('Mn', 'Cf', 'Sk') else rf'(U+{ord(c):04X})'
