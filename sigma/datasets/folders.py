"""Users' own videos: labels and splits, from folders or from a table."""

from __future__ import annotations

import csv
import hashlib
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sigma.data.index import build_index
from sigma.datasets.prepared import (
    LOG,
    NamedLabel,
    Splits,
    all_paths,
    check_root,
    named,
    names_in,
    refuse_another,
    write_dataset,
)
from sigma.errors import DataError, did_you_mean

METRICS = {'action_recognition': 'top1', 'multi_label': 'mean_average_precision', 'repetition': 'count_error'}
VIDEO_SUFFIXES = {
    '.3gp', '.avi', '.flv', '.gif', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.mts', '.ogv', '.ts',
    '.webm', '.wmv',
}  # fmt: skip
SPLIT_NAMES = {
    'train': 'train', 'training': 'train',
    'val': 'val', 'valid': 'val', 'validation': 'val',
    'test': 'test', 'testing': 'test',
}  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """Where videos, labels and splits come from.

    Attributes:
        path: Folder of the videos; with `csv`, the folder that its paths start from (default: that of the table).
        csv: Table with a column `path`, or None for folders of classes.
        task: `action_recognition`, `multi_label` or `repetition`.
        label_columns: Columns that make up the label, separated by commas.
        count_column: Column with the number of cycles (repetition).
        cycles_column: Column with the frames at which cycles end (repetition), or None.
        split_column: Column that holds train, val or test.
        test_where: COLUMN=VALUES of the test rows, such as serial=16-22; or None.
        test_every: Rows N, 2N, 3N, ... are the test split; or None.
        test_fraction: Test share of each class, chosen by the hash of the path; None means 0.25 for folders.
        drop_label: Labels to leave out.
    """

    path: str | None = None
    csv: str | None = None
    task: str = 'action_recognition'
    label_columns: str = 'label'
    count_column: str = 'count'
    cycles_column: str | None = None
    split_column: str = 'split'
    test_where: str | None = None
    test_every: int | None = None
    test_fraction: float | None = None
    drop_label: Sequence[str] = ()

    @property
    def root(self) -> Path:
        """Folder that the paths of the videos start from.

        Raises:
            DataError: if neither a folder nor a table was given, or the folder does not exist.
        """
        if self.path is not None:
            root = Path(self.path)
        elif self.csv is not None:
            root = Path(self.csv).parent
        else:
            raise DataError('Give PATH (videos as <class>/<video>), or --csv FILE.')
        check_root(root)
        return root


@dataclass(frozen=True)
class About:
    """What the user says about a dataset, for its card.

    Attributes:
        name: Name of the dataset; None takes that of the output folder.
        prepare: The command that made it.
        num_frames, stride_frames: How clips are sampled; None leaves it to each encoder.
        flips_are_harmless: A mirrored video keeps its label.
        source, licence: Source and licence of the videos.
    """

    prepare: str
    name: str | None = None
    num_frames: int | None = 16
    stride_frames: int | None = None
    flips_are_harmless: bool = False
    source: str = ''
    licence: str = ''

    @property
    def sampling(self) -> dict[str, int]:
        """The card's `sampling` field, with the given values only."""
        given = {'num_frames': self.num_frames, 'stride_frames': self.stride_frames}
        return {key: value for key, value in given.items() if value}


def prepare_folder(
    selection: Selection, out: Path, about: About, size: int = 112, workers: int | None = None, allow: bool = False
) -> bool:
    """Read the selected videos and write their lists, index and card to `out`.

    Args:
        size: Pixels per side for training.
        workers: Processes; None uses one per CPU.
        allow: Write the lists even if some videos are unreadable.

    Returns:
        Whether the dataset was written; False if videos are unreadable.

    Raises:
        DataError: if the selection makes no sense, no video is readable, or `out` holds another dataset.
    """
    root, splits, annotations = read_splits(selection)
    name = about.name or out.resolve().name
    refuse_another(out, name)
    is_new = not out.exists()
    index = build_index(root, all_paths(splits), out / 'index.jsonl', workers=workers)
    if len(index.unreadable) == len(index):
        first = index.unreadable[0]
        (out / 'index.jsonl').unlink()
        if is_new:
            out.rmdir()
        raise DataError(f"None of the {len(index)} videos under '{root}' is readable; {first.path}: {first.reason}.")
    info = {
        'name': name,
        'task': selection.task,
        'video_root': str(root.resolve()),
        'metric': METRICS[selection.task],
        # A mirrored video has the same number of cycles.
        'flips_change_label': selection.task != 'repetition' and not about.flips_are_harmless,
        'sampling': about.sampling,
        'size': size,
        'source': about.source,
        'licence': about.licence,
        'prepare': about.prepare,
    }
    return write_dataset(out, info, splits, index, allow, annotations)


def read_splits(selection: Selection) -> tuple[Path, Splits, dict[str, dict] | None]:
    """Folder of the videos, (path, label) pairs of each split, and annotations if a table has them.

    Raises:
        DataError: if the selection makes no sense, or a video does not exist.
    """
    root = selection.root
    if selection.csv is None and selection.task != 'action_recognition':
        raise DataError(f'--task {selection.task} needs --csv FILE: folders give only one class per video.')
    annotations = None
    if selection.csv is not None:
        splits, annotations = splits_of_csv(root, selection)
    else:
        splits = splits_of_folder(root, selection)
    check_splits(splits, root)
    return root, splits, annotations


def splits_of_folder(root: Path, options: Selection) -> Splits:
    """Videos in `<class>/<video>`, or in `train/<class>/<video>` and `test/...` or `val/...`, under `root`.

    Without split folders, a share of each class becomes the test split, chosen by the hash of the path.

    Raises:
        DataError: if there are no videos, or none in class folders.
    """
    videos, num_others = find_videos(root)
    if num_others:
        LOG.info(f'{num_others} files without a video suffix are ignored')
    if not videos:
        raise DataError(f"No videos under '{root}' (looked for {', '.join(sorted(VIDEO_SUFFIXES))}).")
    folders = {path.split('/')[0] for path in videos if '/' in path}
    has_splits = {'train', 'test'} <= folders or {'train', 'val'} <= folders
    if has_splits and not folders <= set(SPLIT_NAMES):
        others = ', '.join(sorted(folders - set(SPLIT_NAMES)))
        raise DataError(
            f"'{root}' holds split folders and others ({others}): which are classes? List the videos with --csv."
        )
    depth = 2 if has_splits else 1
    loose = [path for path in videos if path.count('/') < depth]
    if loose:
        raise DataError(
            f"{len(loose)} of {len(videos)} videos under '{root}' are in no class folder, first {loose[0]}: put them "
            'into <class>/<video>, or give their labels with --csv.'
        )
    if not has_splits:
        fraction = 0.25 if options.test_fraction is None else options.test_fraction
        return split_by_hash([(path, path.split('/')[0]) for path in videos], fraction)
    splits: Splits = {}
    for path in videos:
        split, label = path.split('/')[:2]
        splits.setdefault(SPLIT_NAMES[split], []).append((path, label))
    return _train_and_test(splits)


def find_videos(root: Path) -> tuple[list[str], int]:
    """Paths with a video suffix relative to `root`, sorted, and the number of other files. Follows links."""
    videos: list[str] = []
    num_others, seen = 0, set()
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


def split_by_hash(pairs: Iterable[tuple[str, NamedLabel]], test_fraction: float) -> Splits:
    """Make the test split from a share of each class: the videos with the smallest sha256 of their path.

    Args:
        pairs: (path, label); if labels are not classes, the share is taken from all videos.
        test_fraction: In (0, 1); rounded, but at least one video of every class that has two or more.

    Raises:
        DataError: if the fraction is not between 0 and 1.
    """
    if not 0 < test_fraction < 1:
        raise DataError(f'--test-fraction is {test_fraction}; it must be between 0 and 1.')
    by_class: dict[str, list[tuple[str, NamedLabel]]] = {}
    for path, label in pairs:
        by_class.setdefault(label if isinstance(label, str) else '', []).append((path, label))
    splits: Splits = {'train': [], 'test': []}
    for _, members in sorted(by_class.items()):
        members.sort(key=lambda pair: hashlib.sha256(pair[0].encode()).digest())
        num_test = min(max(1, round(test_fraction * len(members))), len(members) - 1)
        splits['test'] += members[:num_test]
        splits['train'] += members[num_test:]
    return splits


def splits_of_csv(root: Path, options: Selection) -> tuple[Splits, dict[str, dict] | None]:
    """Videos, labels and splits from the rows of a CSV file, and cycles if it has them.

    Returns:
        Splits of paths relative to `root`; annotations, or None without --cycles-column.

    Raises:
        DataError: if the file or a column is missing, a label or cycle is malformed, a split is unknown, or no row is
            left.
    """
    file = Path(options.csv or '')
    if not file.is_file():
        raise DataError(f"No CSV file at '{file}'.")
    try:
        with file.open(encoding='utf-8-sig', newline='') as lines:
            reader = csv.DictReader(lines)
            rows, columns = list(reader), list(reader.fieldnames or [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"'{file}' is not a CSV file in UTF-8: {error}.") from None
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
            path: {'cycles': _cycles_of_row(row, _count(count), options.cycles_column, file)}
            for row, (path, count) in zip(rows, pairs)
        }
    return _split_rows(rows, columns, pairs, file, options), annotations


def _label_of_row(row: dict, columns: list[str], task: str, file: Path) -> NamedLabel:
    """A class name (columns joined by `_`), several class names separated by `;`, or a count."""
    text = '_'.join(row[column] or '' for column in columns)
    if task == 'action_recognition':
        return text
    if task == 'multi_label':
        return tuple(sorted({name.strip() for name in text.split(';') if name.strip()}))
    if not text.strip().isdecimal() or int(text) < 1:
        raise DataError(f"'{file}': the count of {row['path']} is {text!r}, expected a whole number of at least 1.")
    return int(text)


def _count(label: NamedLabel) -> int:
    assert isinstance(label, int)  # the task is repetition
    return label


def _cycles_of_row(row: dict, count: int, column: str, file: Path) -> list[int]:
    """Frames at which cycles begin and end: 0, where the first begins, then each end."""
    words = (row[column] or '').split()
    if not all(word.isdecimal() for word in words) or len(words) != count:
        raise DataError(
            f"'{file}': {row['path']} has {count} cycles, but {column} is {row[column]!r}; expected {count} frame "
            'numbers, at which the cycles end.'
        )
    cycles = [0, *map(int, words)]
    if any(end <= start for start, end in zip(cycles, cycles[1:])):
        raise DataError(f"'{file}': the frames in {column} of {row['path']} are not in rising order: {row[column]}.")
    return cycles


def _split_rows(rows: list[dict], columns: list[str], pairs: list, file: Path, options: Selection) -> Splits:
    """Assign rows to splits: by --test-every or --test-where, else by column, else by share."""
    splits: Splits = {}
    if options.test_every is not None:
        if options.test_where is not None:
            raise DataError('--test-every and --test-where both choose the test rows: give only one.')
        kept = [pair for pair in pairs if pair[1] not in options.drop_label]
        splits = {'train': [], 'test': []}
        for number, pair in enumerate(kept, start=1):
            splits['train' if number % options.test_every else 'test'].append(pair)
        return splits
    if options.test_where is None and options.split_column not in columns:
        if options.test_fraction is None:
            raise DataError(
                f"'{file}' has no column {options.split_column!r} (columns: {', '.join(columns)}): choose the test "
                'rows with --test-where COLUMN=VALUES or --test-every N, or take a share with --test-fraction.'
            )
        return split_by_hash([pair for pair in pairs if pair[1] not in options.drop_label], options.test_fraction)
    pick = _picker(options, columns, file)
    for row, (path, label) in zip(rows, pairs):
        if label not in options.drop_label:
            splits.setdefault(pick(row), []).append((path, label))
    return _train_and_test(splits)


def _picker(options: Selection, columns: list[str], file: Path) -> Callable[[Mapping[str, str]], str]:
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

    def split_of(row: Mapping[str, str]) -> str:
        value = (row[options.split_column] or '').strip().lower()
        if value not in SPLIT_NAMES:
            known = ', '.join(SPLIT_NAMES)
            raise DataError(f"'{file}': {row['path']} is in split {value!r}; known splits: {known}.")
        return SPLIT_NAMES[value]

    return split_of


def value_matcher(values: str) -> Callable[[str], bool]:
    """A predicate on strings, from comma-separated values and whole-number ranges: `16-22`, `F10,F11,M08`, `1,4-6`."""
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
        raise DataError(f"'{file}': {did_you_mean('column', column, columns)}.")


def _check_dropped(options: Selection, labels: set) -> None:
    if options.drop_label and options.task != 'action_recognition':
        raise DataError(f'--drop-label leaves out one class, but --task {options.task} has no single class per video.')
    for label in options.drop_label:
        if label not in labels:
            raise DataError(f'--drop-label: {did_you_mean("label", label, labels)}.')


def _train_and_test(splits: Splits) -> Splits:
    """Use a validation split as the test split if there is no other."""
    if 'test' not in splits and 'val' in splits:
        splits['test'] = splits.pop('val')
    return {split: splits[split] for split in ('train', 'val', 'test') if split in splits}


def check_splits(splits: Splits, root: Path) -> None:
    """Raise a DataError for an empty split, a single class, a video listed twice, or a missing file."""
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
        raise DataError(f'All {len(pairs)} videos have the same class, {only}; at least two classes are needed.')
    doubled = [path for path, count in Counter(path for path, _ in pairs).items() if count > 1]
    if doubled:
        raise DataError(f'{named(doubled)} listed more than once.')
    absent = [path for path, _ in pairs if not (root / path).is_file()]
    if absent:
        raise DataError(f"{named(absent)} missing under '{root}'.")
