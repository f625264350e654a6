"""Labels and splits from the rows of a CSV file."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sigma.data.lists import whole_number
from sigma.datasets.prepared import LOG, NamedLabel, Splits, clean_label
from sigma.datasets.selection import Selection
from sigma.datasets.splits import KNOWN_SPLITS, Pairs, groups_by_regex, split_by_hash, split_every, split_name
from sigma.errors import DataError, did_you_mean
from sigma.text import shown

Row = Mapping[str, str]


def splits_of_csv(root: Path, options: Selection) -> tuple[Splits, dict[str, dict] | None, dict[str, str]]:
    """Videos, labels and splits from the rows of a CSV file, cycles if it has them, and groups if they are asked for.

    Returns:
        Splits of paths relative to `root`; annotations, or None without --cycles-column; path -> group.

    Raises:
        DataError: if the file or a column is missing, a label or cycle is malformed, a split is unknown, or no row is
            left.
    """
    file = Path(options.csv or '')
    rows, columns = read_table(file)
    label_columns = [options.count_column] if options.task == 'repetition' else options.label_columns.split(',')
    for column in ['path', *label_columns, *filter(None, [options.cycles_column, options.group_column])]:
        _check_column(column, columns, file)
    paths = [_path_of_row(row, root) for row in rows]
    pairs = [(path, _label_of_row(row, label_columns, options.task, file)) for path, row in zip(paths, rows)]
    _check_dropped(options, {label for _, label in pairs})
    annotations = None
    if options.cycles_column is not None:
        if options.task != 'repetition':
            raise DataError(f'--cycles-column is for --task repetition, not for {options.task}.')
        annotations = {
            path: {'cycles': _cycles_of_row(row, _count(count), options.cycles_column, file)}
            for row, (path, count) in zip(rows, pairs)
        }
    groups = _groups(rows, paths, file, options)
    kept = [(row, pair) for row, pair in zip(rows, pairs) if pair[1] not in options.drop_label]
    splits = _split_rows([row for row, _ in kept], columns, [pair for _, pair in kept], file, options, groups)
    return splits, annotations, groups


def read_table(file: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Rows and column names of a CSV file with a header; empty rows are passed over, and counted in the log.

    Cells are separated by commas, or, where the header has none, by semicolons or tabs, as spreadsheets write them.

    Raises:
        DataError: if there is no such file, it is not CSV in UTF-8, has a column twice, or a row has too many cells.
    """
    if not file.is_file():
        raise DataError(f"No CSV file at '{file}'.")
    try:
        with file.open(encoding='utf-8-sig', newline='') as lines:
            separator = _separator(lines.readline())
            lines.seek(0)
            reader = csv.reader(lines, delimiter=separator)
            columns = [column.strip() for column in next(reader, [])]
            _check_header(columns, file)
            found = [_row_of(cells, columns, file, reader.line_num) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"'{file}' is not a CSV file in UTF-8: {error}.") from None
    rows = [row for row in found if any(cell.strip() for cell in row.values())]
    if len(rows) < len(found):
        num = len(found) - len(rows)
        LOG.info(f'{num} empty row{"s" * (num > 1)} of {file.name} {"are" if num > 1 else "is"} passed over')
    return rows, columns


def _separator(header: str) -> str:
    """What separates the cells: the first of comma, semicolon and tab that the header has, else a comma."""
    return next((mark for mark in ',;\t' if mark in header), ',')


def _check_header(columns: Sequence[str], file: Path) -> None:
    if twice := next((name for name in columns if name and columns.count(name) > 1), None):
        raise DataError(f"'{file}' has two columns {shown(twice)!r}: rename one.")


def _row_of(cells: Sequence[str], columns: Sequence[str], file: Path, line: int) -> dict[str, str]:
    """Column -> cell; a short row lacks its last cells, and a long one may only have empty ones beyond the columns."""
    if any(cell.strip() for cell in cells[len(columns) :]):
        raise DataError(
            f"'{file}' line {line} has {len(cells)} cells for {len(columns)} columns: put such a cell in quotes."
        )
    cells = [*cells, *[''] * (len(columns) - len(cells))]
    return {name: _cell(name, cell) for name, cell in zip(columns, cells)}


def _cell(column: str, cell: str) -> str:
    """A cell without the spaces around it, which in a path may be part of a name."""
    return cell if column == 'path' else cell.strip()


def _path_of_row(row: Row, root: Path) -> str:
    """The path as it is written, or without the spaces around it if there is no such file."""
    text = row['path']
    if text != text.strip() and not (root / text).is_file():
        text = text.strip()
    return posixpath.normpath(text) if text else ''


def _label_of_row(row: Row, columns: Sequence[str], task: str, file: Path) -> NamedLabel:
    """A class name (columns joined by `_`), several class names separated by `;`, or a count."""
    text = clean_label('_'.join(row[column] for column in columns))
    if task == 'action_recognition':
        return text
    if task == 'multi_label':
        return tuple(sorted({clean_label(name) for name in text.split(';') if name.strip()}))
    if not (number := whole_number(text)):
        raise DataError(f"'{file}': the count of {row['path']} is {text!r}, expected a whole number of at least 1.")
    return number


def _count(label: NamedLabel) -> int:
    assert isinstance(label, int)  # the task is repetition
    return label


def _cycles_of_row(row: Row, count: int, column: str, file: Path) -> list[int]:
    """Frames at which cycles begin and end: 0, where the first begins, then each end."""
    words = row[column].split()
    ends = [number for word in words if (number := whole_number(word)) is not None]
    if len(ends) < len(words) or len(words) != count:
        raise DataError(
            f"'{file}': {row['path']} has {count} cycles, but {column} is {row[column]!r}; expected {count} frame "
            'numbers, at which the cycles end.'
        )
    cycles = [0, *ends]
    if any(end <= start for start, end in zip(cycles, cycles[1:])):
        raise DataError(f"'{file}': the frames in {column} of {row['path']} are not in rising order: {row[column]}.")
    return cycles


def _groups(rows: Sequence[Row], paths: Sequence[str], file: Path, options: Selection) -> dict[str, str]:
    """path -> group, from a column or from the path; empty if none was asked for."""
    if options.group_column is None:
        return groups_by_regex(options.group_regex, paths) if options.group_regex is not None else {}
    if options.group_regex is not None:
        raise DataError('--group-column and --group-regex both say what a group is: give only one.')
    groups = {path: row[options.group_column] for row, path in zip(rows, paths)}
    if without := [path for path, group in groups.items() if not group]:
        raise DataError(f"'{file}': {len(without)} rows have no {options.group_column}, first {without[0]}.")
    return groups


def _split_rows(
    rows: Sequence[Row], columns: list[str], pairs: Pairs, file: Path, options: Selection, groups: Mapping[str, str]
) -> Splits:
    """Assign rows to splits: by --test-every or --test-where, else by column, else by share."""
    if options.test_every is not None:
        if options.test_where is not None:
            raise DataError('--test-every and --test-where both choose the test rows: give only one.')
        return split_every(pairs, options.test_every, groups)
    if options.test_where is None and options.test_fraction is not None:
        if options.split_column in columns:
            LOG.info(f'the column {options.split_column} is not used, because of --test-fraction')
        return split_by_hash(pairs, options.test_fraction, groups)
    if options.test_where is None and options.split_column not in columns:
        raise DataError(
            f"'{file}' has no column {options.split_column!r} (columns: {', '.join(columns)}): choose the test rows "
            'with --test-where COLUMN=VALUES or --test-every N, or take a share with --test-fraction.'
        )
    pick = _picker(options, columns, file)
    splits: Splits = {}
    for row, pair in zip(rows, pairs):
        splits.setdefault(pick(row), []).append(pair)
    return splits


def _picker(options: Selection, columns: list[str], file: Path) -> Callable[[Row], str]:
    """A function from a row to its split."""
    if options.test_where is not None:
        column, equals, values = options.test_where.partition('=')
        if not (column and equals and values):
            raise DataError(
                f'--test-where is {options.test_where!r}, expected COLUMN=VALUES as in serial=16-22 or speaker=F10,M08.'
            )
        _check_column(column, columns, file)
        is_test = value_matcher(values)
        return lambda row: 'test' if is_test(row[column]) else 'train'

    def split_of(row: Row) -> str:
        split = split_name(row[options.split_column])
        if split is None:
            found = row[options.split_column]
            raise DataError(f"'{file}': {row['path']} is in split {found!r}; known splits: {KNOWN_SPLITS}.")
        return split

    return split_of


def value_matcher(values: str) -> Callable[[str], bool]:
    """A predicate on strings, from comma-separated values and whole-number ranges: `16-22`, `F10,F11,M08`, `1,4-6`."""
    exact, ranges = set(), []
    for value in (value.strip() for value in values.split(',')):
        first, dash, last = value.partition('-')
        least, most = whole_number(first), whole_number(last)
        if dash and least is not None and most is not None:
            ranges.append((least, most))
        exact.add(value)

    def matches(value: str) -> bool:
        value = value.strip()
        number = whole_number(value)
        return value in exact or (number is not None and any(least <= number <= most for least, most in ranges))

    return matches


def _check_column(column: str, columns: list[str], file: Path) -> None:
    if column not in columns:
        raise DataError(f"'{file}': {did_you_mean('column', column, columns)}.")


def _check_dropped(options: Selection, labels: set) -> None:
    if options.drop_label and options.task != 'action_recognition':
        raise DataError(f'--drop-label leaves out one class, but --task {options.task} has no single class per video.')
    for label in options.drop_label:
        if label not in labels:
            raise DataError(f'--drop-label: {did_you_mean("label", label, labels)}.')
