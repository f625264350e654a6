"""One's own videos: which there are, what their labels are, and which are for testing, from folders or from a table."""

import argparse
import csv
import difflib
import hashlib
import os
import posixpath
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sigma.errors import DataError

VIDEO_SUFFIXES = {
    '.3gp', '.avi', '.flv', '.gif', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.mts', '.ogv', '.ts',
    '.webm', '.wmv',
}  # fmt: skip
SPLIT_NAMES = {
    'train': 'train', 'training': 'train',
    'val': 'val', 'valid': 'val', 'validation': 'val',
    'test': 'test', 'testing': 'test',
}  # fmt: skip

# split -> (path, label) pairs; a label is a class name, a tuple of class names (multi_label) or a count (repetition)
Splits = dict[str, list[tuple[str, str | tuple[str, ...] | int]]]


def splits_of_folder(root: Path, options: argparse.Namespace) -> Splits:
    """Videos of `<class>/<video>`, or of `train/<class>/<video>` and `test/...` or `val/...`, as they lie under `root`.

    Without split folders a share of each class, chosen by the hash of the path, is the test split.

    Raises:
        DataError: if there are no videos, or none in class folders.
    """
    videos, num_others = find_videos(root)
    if num_others:
        print(f'{num_others} files without a video suffix are left aside')
    if not videos:
        raise DataError(f"No videos under '{root}' (looked for {', '.join(sorted(VIDEO_SUFFIXES))}).")
    folders = {path.split('/')[0] for path in videos if '/' in path}
    has_splits = {'train', 'test'} <= folders or {'train', 'val'} <= folders
    if has_splits and not folders <= set(SPLIT_NAMES):
        others = ', '.join(sorted(folders - set(SPLIT_NAMES)))
        raise DataError(f"'{root}' holds split folders and others ({others}): which are classes? Name them by --csv.")
    depth = 2 if has_splits else 1
    loose = [path for path in videos if path.count('/') < depth]
    if loose:
        raise DataError(
            f"{len(loose)} of {len(videos)} videos under '{root}' lie in no class folder, first {loose[0]}: put them "
            'into <class>/<video>, or name their labels by --csv.'
        )
    if not has_splits:
        fraction = 0.25 if options.test_fraction is None else options.test_fraction
        return split_by_hash([(path, path.split('/')[0]) for path in videos], fraction)
    splits = {}
    for path in videos:
        split, label = path.split('/')[:2]
        splits.setdefault(SPLIT_NAMES[split], []).append((path, label))
    return _train_and_test(splits)


def find_videos(root: Path) -> tuple[list[str], int]:
    """Paths with a video suffix relative to `root`, sorted, and how many other files there are; links are followed."""
    videos, num_others, seen = [], 0, set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith('.')]
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        for name in files:
            if name.startswith('.'):
                continue
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                videos.append((Path(folder) / name).relative_to(root).as_posix())
            else:
                num_others += 1
    return sorted(videos), num_others


def split_by_hash(pairs: Iterable[tuple[str, str | tuple[str, ...] | int]], test_fraction: float) -> Splits:
    """A share of each class becomes the test split: the videos whose path has the smallest sha256.

    Args:
        pairs: (path, label); where labels are no classes, the share is one of all videos.
        test_fraction: In (0, 1); rounded, but at least one video of a class of two or more.

    Raises:
        DataError: if the fraction is not between 0 and 1.
    """
    if not 0 < test_fraction < 1:
        raise DataError(f'--test-fraction is {test_fraction}, it must lie between 0 and 1.')
    by_class = {}
    for path, label in pairs:
        by_class.setdefault(label if isinstance(label, str) else '', []).append((path, label))
    splits = {'train': [], 'test': []}
    for _, members in sorted(by_class.items()):
        members.sort(key=lambda pair: hashlib.sha256(pair[0].encode()).digest())
        num_test = min(max(1, round(test_fraction * len(members))), len(members) - 1)
        splits['test'] += members[:num_test]
        splits['train'] += members[num_test:]
    return splits


def splits_of_csv(root: Path, options: argparse.Namespace) -> tuple[Splits, dict[str, dict] | None]:
    """Videos, labels and splits from the rows of a CSV file, and their cycles if it has them.

    Returns:
        Splits of paths relative to `root`; annotations, or None without --cycles-column.

    Raises:
        DataError: if the file or a column is missing, a label or cycle is malformed, a split is unknown, or no row is
            left.
    """
    file = Path(options.csv)
    if not file.is_file():
        raise DataError(f"No CSV file at '{file}'.")
    try:
        with file.open(encoding='utf-8-sig', newline='') as lines:
            reader = csv.DictReader(lines)
            rows, columns = list(reader), reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"'{file}' is no CSV file in UTF-8: {error}.") from None
    label_columns = [options.count_column] if options.task == 'repetition' else options.label_columns.split(',')
    for column in ['path', *label_columns, *filter(None, [options.cycles_column])]:
        _check_column(column, columns, file)
    pairs = [
        (posixpath.normpath(row['path']) if row['path'] else '', _label_of_row(row, label_columns, options.task, file))
        for row in rows
    ]
    _check_dropped(options, {label for _, label in pairs})
    annotations = None
    if options.cycles_column is not None:
        if options.task != 'repetition':
            raise DataError(f'--cycles-column is for --task repetition, not for {options.task}.')
        annotations = {
            path: {'cycles': _cycles_of_row(row, count, options.cycles_column, file)}
            for row, (path, count) in zip(rows, pairs)
        }
    return _split_rows(rows, columns, pairs, file, options), annotations


def _label_of_row(row: dict, columns: list[str], task: str, file: Path) -> str | tuple[str, ...] | int:
    """A class name (columns joined by `_`), several divided by `;`, or a count."""
    text = '_'.join(row[column] or '' for column in columns)
    if task == 'action_recognition':
        return text
    if task == 'multi_label':
        return tuple(sorted({name.strip() for name in text.split(';') if name.strip()}))
    if not text.strip().isdecimal() or int(text) < 1:
        raise DataError(f"'{file}': the count of {row['path']} is {text!r}, expected a whole number from 1.")
    return int(text)


def _cycles_of_row(row: dict, count: int, column: str, file: Path) -> list[int]:
    """Frames at which cycles begin and end: 0, where the first begins, and those at which one ends."""
    words = (row[column] or '').split()
    if not all(word.isdecimal() for word in words) or len(words) != count:
        raise DataError(
            f"'{file}': {row['path']} has {count} cycles, but {column} is {row[column]!r}; expected {count} frame "
            'numbers, those at which a cycle ends.'
        )
    cycles = [0, *map(int, words)]
    if any(end <= start for start, end in zip(cycles, cycles[1:])):
        raise DataError(f"'{file}': the frames in {column} of {row['path']} do not rise: {row[column]}.")
    return cycles


def _split_rows(rows: list[dict], columns: list[str], pairs: list, file: Path, options: argparse.Namespace) -> Splits:
    """Which row is of which split: as --test-every or --test-where say, else by column, else by share."""
    if options.test_every is not None:
        if options.test_where is not None:
            raise DataError('--test-every and --test-where both choose the test rows: give one.')
        kept = [pair for pair in pairs if pair[1] not in options.drop_label]
        splits = {'train': [], 'test': []}
        for number, pair in enumerate(kept, start=1):
            splits['train' if number % options.test_every else 'test'].append(pair)
        return splits
    splits = {}
    if options.test_where is None and options.split_column not in columns:
        if options.test_fraction is None:
            raise DataError(
                f"'{file}' has no column {options.split_column!r} (columns: {', '.join(columns)}): name the test rows "
                'by --test-where COLUMN=VALUES or --test-every N, or take a share by --test-fraction.'
            )
        return split_by_hash([pair for pair in pairs if pair[1] not in options.drop_label], options.test_fraction)
    pick = _picker(options, columns, file)
    for row, (path, label) in zip(rows, pairs):
        if label not in options.drop_label:
            splits.setdefault(pick(row), []).append((path, label))
    return _train_and_test(splits)


def _picker(options: argparse.Namespace, columns: list[str], file: Path):
    """A function from a row to its split."""
    if options.test_where is not None:
        column, equals, values = options.test_where.partition('=')
        if not (column and equals and values):
            raise DataError(
                f'--test-where is {options.test_where!r}, expected COLUMN=VALUES as in serial=16-22 or speaker=F10,M08.'
            )
        _check_column(column, columns, file)
        is_test = value_matcher(values)
        return lambda row: 'test' if is_test(row[column] or '') else 'train'

    def split_of(row: dict) -> str:
        value = (row[options.split_column] or '').strip().lower()
        if value not in SPLIT_NAMES:
            known = ', '.join(SPLIT_NAMES)
            raise DataError(f"'{file}': {row['path']} is in split {value!r}; known splits: {known}.")
        return SPLIT_NAMES[value]

    return split_of


def value_matcher(values: str):
    """A predicate on strings from a comma list of values and whole-number ranges: `16-22`, `F10,F11,M08`, `1,4-6`."""
    exact, ranges = set(), []
    for value in (value.strip() for value in values.split(',')):
        first, dash, last = value.partition('-')
        if dash and first.isdecimal() and last.isdecimal():
            ranges.append((int(first), int(last)))
        exact.add(value)

    def matches(value: str) -> bool:
        value = value.strip()
        return value in exact or (value.isdecimal() and any(a <= int(value) <= b for a, b in ranges))

    return matches


def _check_column(column: str, columns: list[str], file: Path) -> None:
    if column not in columns:
        raise DataError(
            f"'{file}' has no column {column!r}.{_did_you_mean(column, columns)} Columns: {', '.join(columns)}."
        )


def _check_dropped(options: argparse.Namespace, labels: set) -> None:
    if options.drop_label and options.task != 'action_recognition':
        raise DataError(f'--drop-label leaves out videos of one class, which --task {options.task} does not have.')
    for label in options.drop_label:
        if label not in labels:
            raise DataError(
                f'--drop-label {label!r} is no label here.{_did_you_mean(label, labels)} '
                f'Labels: {", ".join(sorted(labels))}.'
            )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f' Did you mean {near[0]!r}?' if near else ''


def _train_and_test(splits: Splits) -> Splits:
    """A validation split serves as test where there is no other."""
    if 'test' not in splits and 'val' in splits:
        splits['test'] = splits.pop('val')
    return {split: splits[split] for split in ('train', 'val', 'test') if split in splits}


def check_splits(splits: Splits, root: Path) -> None:
    """Raise a DataError for what no later step can mend: empty splits, one class, doubled or absent files."""
    pairs = [pair for split in splits.values() for pair in split]
    for split in ('train', 'test'):
        if not splits.get(split):
            raise DataError(f'No video is in the {split} split ({len(pairs)} videos in all).')
    unlabelled = [path for path, label in pairs if isinstance(label, str) and not label.strip('_ ')]
    if unlabelled:
        raise DataError(f'{named(unlabelled)} without a label.')
    labels = {name for _, label in pairs for name in names_in(label)}
    is_count = isinstance(pairs[0][1], int)
    if not is_count and len(labels) < 2:
        only = repr(labels.pop()) if labels else 'none'
        raise DataError(f'All {len(pairs)} videos are of one class, {only}: two are needed at least.')
    doubled = [path for path, count in Counter(path for path, _ in pairs).items() if count > 1]
    if doubled:
        raise DataError(f'{named(doubled)} listed more than once.')
    absent = [path for path, _ in pairs if not (root / path).is_file()]
    if absent:
        raise DataError(f"{named(absent)} not to be found under '{root}'.")


def named(paths: list[str], most: int = 5) -> str:
    """`3 videos (a.mp4, b.mp4, c.mp4) are`, cut short where there are many."""
    names = ', '.join(path or '(empty path)' for path in paths[:most]) + (', ...' if len(paths) > most else '')
    return f'{len(paths)} video{"s" * (len(paths) > 1)} ({names}) {"are" if len(paths) > 1 else "is"}'


def names_in(label: str | tuple[str, ...] | int) -> tuple[str, ...]:
    """The class names in a label; a count has none."""
    return (label,) if isinstance(label, str) else label if isinstance(label, tuple) else ()
