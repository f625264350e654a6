"""Prepare a dataset: render `toy`, or take a folder of videos; write list files, the index and a dataset card.

    python tools/prepare.py toy --out data/toy
    python tools/prepare.py toy --domain shift --out data/toy_shift
    python tools/prepare.py toy --form all --out data          # every set of the suite severe_toy
    python tools/prepare.py folder VIDEOS --out data/mine                          # VIDEOS/<class>/<video>
    python tools/prepare.py folder --csv clips.csv --test-where serial=16-22 --out data/gestures

OUT then holds `train.txt` and `test.txt` (mmaction2's `path label` lines), `index.jsonl` (every video read strictly
once) and `dataset.py` (the card that configs and the suite read). Videos of a folder stay where they are. Killed
anywhere, the same command goes on; what was read or rendered is not done again.

Exit status: 0 prepared; 1 some videos are unreadable (each is named; `--allow-unreadable` keeps them in the lists,
where training skips and evaluation counts them); 2 bad input, in one sentence.
"""

import argparse
import csv
import dataclasses
import difflib
import hashlib
import json
import os
import posixpath
import pprint
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from sigma.data.index import DataError, Index, build_index, write_whole
from sigma.data.lists import Label, list_sha256, pick_delimiter, write_list

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


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.command = shlex.join(['python', 'tools/prepare.py', *arguments])
    try:
        return options.run(options)
    except DataError as error:
        print(f'prepare: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('prepare: stopped; the same command goes on from here.', file=sys.stderr)
        return 130
    except OSError as error:  # a full disk, a folder without permission
        print(f'prepare: {error.strerror}: {error.filename}', file=sys.stderr)
        return 2


# -------------------------------------------------------------------------------------------------- sub-commands


def prepare_toy(options: argparse.Namespace) -> int:
    """Render a form of the toy dataset, or each of the suite `severe_toy`, then index it as any folder."""
    from sigma.data import toy

    asked = {'size': options.size, 'seed': options.seed}
    if options.clips_per_class:
        asked['clips_per_class'] = tuple(options.clips_per_class)
    look = {key: value for key in ('domain', 'level') if (value := getattr(options, key)) is not None}
    if options.form != 'all':
        return _prepare_toy(toy.ToySpec(form=options.form, **look, **asked), Path(options.out), options)
    if look:
        raise DataError(f'--form all decides --{" and --".join(look)} by itself: leave out what it decides.')
    for name, spec in toy.SETS.items():  # what is there is only checked
        if status := _prepare_toy(dataclasses.replace(spec, **asked), Path(options.out) / name, options):
            return status
    return 0


def _prepare_toy(spec, out: Path, options: argparse.Namespace) -> int:
    from sigma.data import toy

    splits = toy.render(spec, out, workers=options.workers)
    index = build_index(out / 'videos', _all_paths(splits), out / 'index.jsonl', workers=options.workers)
    info = {**toy.card(spec), 'prepare': options.command}
    return write_dataset(out, info, splits, index, options.allow_unreadable, toy.annotations(spec))


def prepare_folder(options: argparse.Namespace) -> int:
    """Take a folder of `<class>/<video>`, or the rows of a CSV file."""
    if options.csv is None and options.path is None:
        raise DataError('folder needs PATH (videos as <class>/<video>), or --csv FILE.')
    root = Path(options.path if options.path is not None else Path(options.csv).parent)
    if not root.is_dir():
        raise DataError(f"'{root}' is no folder.")
    splits = splits_of_csv(root, options) if options.csv is not None else splits_of_folder(root, options)
    check_splits(splits, root)
    out = Path(options.out)
    is_new = not out.exists()
    index = build_index(root, _all_paths(splits), out / 'index.jsonl', workers=options.workers)
    if len(index.unreadable) == len(index):
        first = index.unreadable[0]
        (out / 'index.jsonl').unlink()
        if is_new:
            out.rmdir()
        raise DataError(f"None of the {len(index)} videos under '{root}' is readable; {first.path}: {first.reason}.")
    sampling = {'num_frames': options.num_frames}
    if options.stride_frames:  # else each encoder's own
        sampling['stride_frames'] = options.stride_frames
    info = {
        'name': options.name or out.resolve().name,
        'task': 'action_recognition',
        'video_root': str(root.resolve()),
        'metric': 'top1',
        'flips_change_label': not options.flips_are_harmless,
        'sampling': sampling,
        'size': options.size,
        'source': options.source,
        'licence': options.licence,
        'prepare': options.command,
    }
    return write_dataset(out, info, splits, index, options.allow_unreadable)


def write_dataset(
    out: Path,
    info: dict,
    splits: Splits,
    index: Index,
    allow_unreadable: bool,
    annotations: Mapping[str, dict] | None = None,
) -> int:
    """Report what was read, write lists, annotations and card, and return the exit status.

    Args:
        info: Fields of the card. `task` decides what a label is: a class name (`action_recognition`), a tuple of class
            names (`multi_label`) or an int (`repetition`); classes are numbered in the order of their names.
        splits: (path, label) pairs of each split.
        annotations: path -> what a list cannot say, for annotations.json: `actions` [[start_seconds, end_seconds,
            class], ...], where a class may be its name, or `cycles` [frame numbers]. None writes no such file.

    Raises:
        DataError: if a label is not what the task asks for.
    """
    unreadable = index.unreadable
    print(f'{len(index) - len(unreadable)} of {len(index)} videos are readable')
    for video in unreadable:
        print(f'  unreadable: {video.path}: {video.reason}')
    if unreadable and not allow_unreadable:
        print(
            f'prepare: {len(unreadable)} of {len(index)} videos are unreadable, so no lists were written; mend or '
            'remove them, or keep them in the lists, to be counted as not read, by --allow-unreadable.',
            file=sys.stderr,
        )
        return 1
    _check_labels(splits, info['task'])
    _warn_of_copies(splits, index)
    classes = sorted({name for pairs in splits.values() for _, label in pairs for name in _names_in(label)})
    numbers = {name: number for number, name in enumerate(classes)}
    delimiter = pick_delimiter(index)
    entries = {}
    for split, pairs in splits.items():
        name = f'{split}.txt'
        write_list(out / name, [(path, _numbered(label, numbers)) for path, label in sorted(pairs)], delimiter)
        entries[split] = {'list': name, 'sha256': list_sha256(out / name), 'num_videos': len(pairs)}
        found = {name for _, label in pairs for name in _names_in(label)}
        what = f'{len(found)} of {len(classes)} classes' if classes else f'{sum(n for _, n in pairs)} cycles'
        print(f'{split}: {len(pairs)} videos, {what}')
    info = {**info, 'splits': entries, 'delimiter': delimiter, 'index': 'index.jsonl'}
    if classes:
        info['classes'] = classes
    if annotations is not None:
        info['annotations'] = 'annotations.json'
        write_annotations(out / 'annotations.json', annotations, numbers)
    write_whole(out / 'dataset.py', card_text(info))
    print(f'card: {out / "dataset.py"}')
    return 0


def write_annotations(path: Path, annotations: Mapping[str, dict], numbers: Mapping[str, int]) -> None:
    """Write {video: {...}} as JSON, sorted and a video a line; class names in `actions` become their numbers."""
    lines = []
    for video in sorted(annotations):
        entry = dict(annotations[video])
        if 'actions' in entry:
            entry['actions'] = [[start, end, numbers.get(name, name)] for start, end, name in entry['actions']]
        lines.append(f'{json.dumps(video)}: {json.dumps(entry)}')
    write_whole(path, '{\n' + ',\n'.join(lines) + '\n}\n')


def _check_labels(splits: Splits, task: str) -> None:
    """Raise a DataError where a label is not what the task asks for."""
    kinds = {
        'action_recognition': (str, 'a class name'),
        'multi_label': (tuple, 'a tuple of class names'),
        'repetition': (int, 'a count'),
    }
    if task not in kinds:
        raise DataError(f'Unknown task {task!r}. Known: {", ".join(kinds)}.')
    kind, wanted = kinds[task]
    for path, label in (pair for pairs in splits.values() for pair in pairs):
        if type(label) is not kind:
            raise DataError(f'{path} has the label {label!r}; the task {task} asks for {wanted}.')


def _names_in(label: str | tuple[str, ...] | int) -> tuple[str, ...]:
    """The class names in a label; a count has none."""
    return (label,) if isinstance(label, str) else label if isinstance(label, tuple) else ()


def _numbered(label: str | tuple[str, ...] | int, numbers: Mapping[str, int]) -> Label:
    """The label as a list file has it: class numbers in rising order, or the count."""
    if isinstance(label, tuple):
        return tuple(sorted({numbers[name] for name in label}))
    return numbers[label] if isinstance(label, str) else label


def card_text(info: Mapping) -> str:
    """A dataset card in mmengine's config language: `data_root`, and `dataset_info` with the fields in fixed order."""
    order = (
        'name', 'task', 'classes', 'splits', 'annotations', 'video_root', 'delimiter', 'index', 'metric',
        'flips_change_label', 'sampling', 'size', 'source', 'licence', 'prepare',
    )  # fmt: skip
    fields = [f'    {key}={_config(info[key], 1)},' for key in order if info.get(key) not in (None, '')]
    opening = ['"""Dataset card, written by tools/prepare.py; `prepare` below is the command."""', '']
    return '\n'.join([*opening, "data_root = '{{ fileDirname }}'", 'dataset_info = dict(', *fields, ')', ''])


def _config(value, depth: int) -> str:
    """Source text of a value: dict(...) on one line, or one entry a line where it holds dicts; lists are folded."""
    if isinstance(value, dict):
        entries = [f'{key}={_config(entry, depth + 1)}' for key, entry in value.items()]
        if any(isinstance(entry, dict) for entry in value.values()):
            indent = '    ' * (depth + 1)
            return 'dict(\n' + ''.join(f'{indent}{entry},\n' for entry in entries) + '    ' * depth + ')'
        return f'dict({", ".join(entries)})'
    if isinstance(value, list):
        lines = pprint.pformat(value, width=100, compact=True)[1:-1].split('\n ')
        if len(lines) > 1:
            indent = '\n' + '    ' * (depth + 1)
            return f'[{indent}{indent.join(lines)},{indent[:-4]}]'
    return repr(value)


# ----------------------------------------------------------------------------------------- which videos, which split


def splits_of_folder(root: Path, options: argparse.Namespace) -> Splits:
    """Videos of `<class>/<video>`, or of `train/<class>/<video>` and `test/...` or `val/...`, as they lie under `root`.

    Without split folders a share of each class, chosen by the hash of the path, is the test split.

    Raises:
        DataError: if there are no videos, or none in class folders.
    """
    videos, num_others = _find_videos(root)
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


def _find_videos(root: Path) -> tuple[list[str], int]:
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


def split_by_hash(pairs: Iterable[tuple[str, str]], test_fraction: float) -> Splits:
    """A share of each class becomes the test split: the videos whose path has the smallest sha256.

    Args:
        pairs: (path, class name).
        test_fraction: In (0, 1); rounded, but at least one video of a class of two or more.

    Raises:
        DataError: if the fraction is not between 0 and 1.
    """
    if not 0 < test_fraction < 1:
        raise DataError(f'--test-fraction is {test_fraction}, it must lie between 0 and 1.')
    by_class = {}
    for path, label in pairs:
        by_class.setdefault(label, []).append(path)
    splits = {'train': [], 'test': []}
    for label, paths in sorted(by_class.items()):
        paths.sort(key=lambda path: hashlib.sha256(path.encode()).digest())
        num_test = min(max(1, round(test_fraction * len(paths))), len(paths) - 1)
        for number, path in enumerate(paths):
            splits['test' if number < num_test else 'train'].append((path, label))
    return splits


def splits_of_csv(root: Path, options: argparse.Namespace) -> Splits:
    """Videos, labels and splits from the rows of a CSV file; paths are relative to `root`.

    Raises:
        DataError: if the file or a column is missing, a split is unknown, or no row is left.
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
    label_columns = options.label_columns.split(',')
    for column in ['path', *label_columns]:
        _check_column(column, columns, file)
    pairs = [
        (
            posixpath.normpath(row['path']) if row['path'] else '',
            '_'.join(row[column] or '' for column in label_columns),
        )
        for row in rows
    ]
    _check_dropped(options.drop_label, {label for _, label in pairs})
    splits = {}
    if options.test_where is None and options.split_column not in columns:
        if options.test_fraction is None:
            raise DataError(
                f"'{file}' has no column {options.split_column!r} (columns: {', '.join(columns)}): name the test rows "
                'by --test-where COLUMN=VALUES, or take a share by --test-fraction.'
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


def _check_dropped(dropped: list[str], labels: set[str]) -> None:
    for label in dropped:
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
    unlabelled = [path for path, label in pairs if not label.strip('_ ')]
    if unlabelled:
        raise DataError(f'{_named(unlabelled)} without a label.')
    labels = {label for _, label in pairs}
    if len(labels) < 2:
        raise DataError(f'All {len(pairs)} videos are of one class, {labels.pop()!r}: two are needed at least.')
    doubled = [path for path, count in Counter(path for path, _ in pairs).items() if count > 1]
    if doubled:
        raise DataError(f'{_named(doubled)} listed more than once.')
    absent = [path for path, _ in pairs if not (root / path).is_file()]
    if absent:
        raise DataError(f"{_named(absent)} not to be found under '{root}'.")


def _named(paths: list[str], most: int = 5) -> str:
    """`3 videos (a.mp4, b.mp4, c.mp4) are`, cut short where there are many."""
    names = ', '.join(path or '(empty path)' for path in paths[:most]) + (', ...' if len(paths) > most else '')
    return f'{len(paths)} video{"s" * (len(paths) > 1)} ({names}) {"are" if len(paths) > 1 else "is"}'


def _warn_of_copies(splits: Splits, index: Index) -> None:
    """Say where a test video is, byte for byte, a training video too."""
    train = {index[path].sha256 for path, _ in splits['train'] if index[path].readable}
    copies = [path for path, _ in splits['test'] if index[path].sha256 in train]
    if copies:
        print(f'prepare: {_named(copies)} in test and, byte for byte, in train too.', file=sys.stderr)


def _all_paths(splits: Splits) -> list[str]:
    return [path for pairs in splits.values() for path, _ in pairs]


# ------------------------------------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='prepare', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar='{toy,folder}')
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument('--out', required=True, help='folder to write to')
    shared.add_argument('--workers', type=positive_number, help='processes (default: one a CPU)')
    shared.add_argument('--allow-unreadable', action='store_true', help='keep unreadable videos in the lists')
    _add_toy(commands.add_parser('toy', parents=[shared], help='render the toy dataset'))
    _add_folder(commands.add_parser('folder', parents=[shared], help='take a folder of videos'))
    return parser


def _add_toy(toy: argparse.ArgumentParser) -> None:
    toy.add_argument(
        '--form',
        choices=['action_recognition', 'rhythms', 'speeds', 'repetition', 'two_movers', 'all'],
        default='action_recognition',
        help='what is asked; all: every set of the suite severe_toy, each in a folder of its name under OUT',
    )
    toy.add_argument('--domain', choices=['main', 'shift'], help='shift: other photographs and frame rate')
    toy.add_argument('--level', choices=['easy', 'hard'], help='hard: full texture, smaller movers')
    toy.add_argument(
        '--size', type=positive_number, default=64, help='pixels a side, 64 or 112 (any even number from 32)'
    )
    toy.add_argument('--seed', type=int, default=0)
    toy.add_argument(
        '--clips-per-class',
        type=positive_number,
        nargs=2,
        metavar=('TRAIN', 'TEST'),
        help="of a whole split for repetition and two_movers (default: each form's own)",
    )
    toy.set_defaults(run=prepare_toy)


def _add_folder(folder: argparse.ArgumentParser) -> None:
    add = folder.add_argument
    add('path', nargs='?', metavar='PATH', help='folder of <class>/<video>; with --csv, where its paths start')
    add('--csv', metavar='FILE', help='table with columns path and label, and split if there is one')
    add('--label-columns', default='label', metavar='A,B', help='columns that make up the label (default: label)')
    add('--split-column', default='split', metavar='COLUMN', help='holds train, val or test (default: split)')
    add('--test-where', metavar='COLUMN=VALUES', help='test rows, by values and ranges: serial=16-22, speaker=F10,M08')
    add('--test-fraction', type=float, metavar='SHARE', help='test share of each class, by hash (default: 0.25)')
    add('--drop-label', action='append', default=[], metavar='LABEL', help='leave a label out; may be repeated')
    add('--name', help='of the dataset (default: name of the OUT folder)')
    add('--num-frames', type=positive_number, default=16, help='frames of a clip (default: 16)')
    add('--stride-frames', type=positive_number, help="frames from one to the next (default: each encoder's own)")
    add('--size', type=positive_number, default=112, help='pixels a side for training (default: 112)')
    add('--flips-are-harmless', action='store_true', help='mirrored videos keep their label: training may flip')
    add('--source', default='', help='where the videos come from, for the card')
    add('--licence', default='', help='of the videos, for the card')
    folder.set_defaults(run=prepare_folder)


def positive_number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not positive')
    return number


if __name__ == '__main__':
    sys.exit(main())
