"""A prepared dataset on disk: `train.txt`, `test.txt`, `annotations.json`, `index.jsonl` and the card.

These functions report through the logger `sigma.datasets`: counts as INFO, and what the user should look at as WARNING.
`tools/prepare.py` prints both.
"""

from __future__ import annotations

import json
import logging
import pprint
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sigma.data.cards import load_dataset_card
from sigma.data.index import NO_SUCH_FILE, Index
from sigma.data.lists import Label, list_sha256, pick_delimiter, write_list
from sigma.errors import DataError
from sigma.files import write_atomic
from sigma.text import PLAIN_NAME_RULE, align, in_utf8, is_plain_name, is_utf8, plain_name, shown

LOG = logging.getLogger('sigma.datasets')

# A class name, a tuple of class names (multi_label, localization), or a count (repetition)
NamedLabel = str | tuple[str, ...] | int
Splits = dict[str, list[tuple[str, NamedLabel]]]  # split -> (path, label) pairs


def write_dataset(
    out: Path,
    info: dict,
    splits: Splits,
    index: Index,
    allow_unreadable: bool,
    annotations: Mapping[str, dict] | None = None,
    classes: Sequence[str] | None = None,
) -> bool:
    """Report what was read, and write lists, annotations and card.

    Args:
        info: Fields of the card. `task` decides what a label is: a class name (`action_recognition`), a tuple of class
            names (`multi_label`, `localization`) or an int (`repetition`).
        splits: (path, label) pairs of each split.
        index: What was read.
        allow_unreadable: Write the lists even if some videos are unreadable.
        annotations: path -> what a list cannot express, for annotations.json: `actions` [[start_seconds, end_seconds,
            class], ...] with class names or numbers, or `cycles` [frame numbers]. None writes no such file.
        classes: Class names in the order of their numbers, if that is given; None orders the names of the labels:
            as numbers if all are numbers, else as text.

    Returns:
        Whether the dataset was written; False if videos are unreadable.

    Raises:
        DataError: if a label does not fit the task.
    """
    _check_labels(splits, info['task'])
    if not may_write(index, allow_unreadable):
        return False
    warn_of_copies(splits, index)
    warn_of_two_classes(splits, index)
    warn_of_late_cycles(annotations or {}, index)
    if classes is None:
        classes = class_order(name for pairs in splits.values() for _, label in pairs for name in names_in(label))
    numbers = {name: number for number, name in enumerate(classes)}
    delimiter = pick_delimiter(index)
    entries = {}
    for split, pairs in splits.items():
        numbered = [(path, _numbered(label, numbers)) for path, label in sorted(pairs)]
        entries[split] = write_split(out, split, numbered, delimiter)
    report_counts(splits, classes)
    info = {**info, 'splits': entries, 'delimiter': delimiter, 'index': 'index.jsonl'}
    if classes:
        info['classes'] = list(classes)
    if annotations is not None:
        info['annotations'] = 'annotations.json'
        write_annotations(out / 'annotations.json', annotations, numbers)
    write_atomic(out / 'dataset.py', card_text(info))
    LOG.info(f'card: {out / "dataset.py"}')
    return True


def report_counts(splits: Splits, classes: Sequence[str], most: int = 50) -> None:
    """Log the videos of each class and split, in a table if there are not too many classes; warn of absent classes."""
    counts = {split: Counter(name for _, label in pairs for name in names_in(label)) for split, pairs in splits.items()}
    for split, pairs in splits.items():
        cycles = sum(label for _, label in pairs if isinstance(label, int))
        what = f'{len(counts[split])} of {len(classes)} classes' if classes else f'{cycles} cycles'
        LOG.info(f'{split}: {len(pairs)} videos, {what}')
    if 0 < len(classes) <= most:
        rows = [[shown(name), *(str(counts[split][name]) for split in splits)] for name in classes]
        LOG.info(align([['class', *splits], *rows], rule=True))
    for split in splits:
        absent = [name for name in classes if not counts[split][name]]
        if absent:
            LOG.warning(f'{len(absent)} of {len(classes)} classes have no video in {split}: {listing(absent)}.')
    alike = Counter(name.casefold() for name in classes)
    if doubtful := [name for name in classes if alike[name.casefold()] > 1]:
        LOG.warning(f'Some classes differ in case alone: {listing(doubtful)}.')


def class_order(names: Iterable[str]) -> list[str]:
    """Class names without repeats, in the order of their numbers: as numbers if all are numbers, else as text."""
    found = set(names)
    if all(re.fullmatch(r'-?[0-9]+', name) for name in found):
        return sorted(found, key=lambda name: (int(name), name))
    return sorted(found)


def clean_label(text: str) -> str:
    """A class name in one line without spaces around it, its accents composed: equal to the eye is equal here."""
    return unicodedata.normalize('NFC', re.sub(r'\s*[\r\n]+\s*', ' ', text.strip()))


def check_name(name: str) -> None:
    """Raise a DataError if records could not carry the name of a dataset; it names one that would do."""
    if not is_plain_name(name):
        raise DataError(
            f"The dataset would be called '{shown(name)}', but its name becomes part of file names: "
            f'{PLAIN_NAME_RULE}. {plain_name(name)} would do: --name {plain_name(name)}, or `name` in a card.'
        )


def refuse_another(out: Path, name: str) -> None:
    """Raise a DataError if the name does not do, or the folder holds another dataset, which would be overwritten."""
    check_name(name)
    check_utf8(out)
    if not (out / 'dataset.py').exists():
        return
    try:
        other = load_dataset_card(str(out)).name
    except DataError:  # not one of ours, or damaged
        raise DataError(f"'{out}' holds a dataset other than {name}: choose another --out.") from None
    if other != name:
        raise DataError(f"'{out}' holds the dataset {other}, not {name}: choose another --out.")


def may_write(index: Index, allow_unreadable: bool) -> bool:
    """Log how many videos are readable, name the others, and return whether lists may be written."""
    unreadable = index.unreadable
    LOG.info(f'{len(index) - len(unreadable)} of {len(index)} videos are readable')
    for video in unreadable:
        if video.reason != NO_SUCH_FILE:  # those are in missing.txt
            LOG.info(f'  unreadable: {shown(video.path)}: {video.reason}')
    if unreadable and not allow_unreadable:
        LOG.warning(
            f'{len(unreadable)} of {len(index)} videos are unreadable, so no lists were written. Repair or remove '
            'them, or keep them in the lists with --allow-unreadable; evaluation then counts them as not scored.'
        )
    return allow_unreadable or not unreadable


def write_split(out: Path, split: str, pairs: list[tuple[str, Label]], delimiter: str) -> dict:
    """Write a split's list and return its entry for the card."""
    name = f'{split}.txt'
    write_list(out / name, pairs, delimiter)
    return {'list': name, 'sha256': list_sha256(out / name), 'num_videos': len(pairs)}


def write_annotations(path: Path, annotations: Mapping[str, dict], numbers: Mapping[str, int] | None = None) -> None:
    """Write {video: {...}} as JSON, sorted, one video per line; class names in `actions` become their `numbers`.

    Raises:
        DataError: if an action has a class that no label names.
    """
    lines = []
    for video in sorted(annotations):
        entry = dict(annotations[video])
        if numbers is not None and 'actions' in entry:
            entry['actions'] = [[start, end, _number(name, numbers, video)] for start, end, name in entry['actions']]
        lines.append(f'{json.dumps(video)}: {json.dumps(entry)}')
    write_atomic(path, '{\n' + ',\n'.join(lines) + '\n}\n')


def _number(name: str | int, numbers: Mapping[str, int], video: str) -> int:
    if isinstance(name, str) and name not in numbers:
        raise DataError(f'An action in {video} has the class {name!r}, which no label names.')
    return numbers[name] if isinstance(name, str) and numbers is not None else int(name)


def _check_labels(splits: Splits, task: str) -> None:
    """Raise a DataError if a label does not fit the task."""
    kinds = {
        'action_recognition': (str, 'a class name'),
        'multi_label': (tuple, 'a tuple of class names'),
        'localization': (tuple, 'a tuple of class names'),
        'repetition': (int, 'a count'),
    }
    if task not in kinds:
        raise DataError(f'Unknown task {task!r}. Known: {", ".join(kinds)}.')
    kind, wanted = kinds[task]
    for path, label in (pair for pairs in splits.values() for pair in pairs):
        if type(label) is not kind:
            raise DataError(f'{path} has the label {label!r}; the task {task} needs {wanted}.')


def _numbered(label: str | tuple[str, ...] | int, numbers: Mapping[str, int]) -> Label:
    """The label as a list file has it: class numbers in ascending order, or the count."""
    if isinstance(label, tuple):
        return tuple(sorted({numbers[name] for name in label}))
    return numbers[label] if isinstance(label, str) else label


def card_text(info: Mapping) -> str:
    """A dataset card in mmengine's config language: `data_root`, and `dataset_info` fields in a fixed order."""
    order = (
        'name', 'short', 'task', 'classes', 'trained_on', 'restricted', 'splits', 'annotations', 'sections',
        'video_root', 'delimiter', 'index', 'metric', 'rules', 'flips_change_label', 'sampling', 'stills', 'size',
        'note', 'source', 'licence', 'obtain', 'prepare',
    )  # fmt: skip
    fields = [f'    {key}={_config(info[key], 1)},' for key in order if info.get(key) not in (None, '')]
    opening = ['"""Dataset card, written by tools/prepare.py; `prepare` below is the command."""', '']
    return '\n'.join([*opening, "data_root = '{{ fileDirname }}'", 'dataset_info = dict(', *fields, ')', ''])


def _config(value, depth: int) -> str:
    """Source text of a value: dict(...) on one line, or one entry per line if it holds dicts; lists are wrapped."""
    if isinstance(value, dict):
        entries = [f'{key}={_config(entry, depth + 1)}' for key, entry in value.items()]
        if any(isinstance(entry, dict) for entry in value.values()):
            indent = '    ' * (depth + 1)
            return 'dict(\n' + ''.join(f'{indent}{entry},\n' for entry in entries) + '    ' * depth + ')'
        return f'dict({", ".join(entries)})'
    if isinstance(value, list):
        text = pprint.pformat(value, width=100, compact=True).replace('{{', '{\\x7b')
        lines = text[1:-1].split('\n ')
        if len(lines) > 1:
            indent = '\n' + '    ' * (depth + 1)
            return f'[{indent}{indent.join(lines)},{indent[:-4]}]'
    return repr(value).replace('{{', '{\\x7b')  # or MMEngine would take it for a template


# ---------------------------------------------------------------------------------------------------- small helpers


def warn_of_copies(splits: Mapping[str, Sequence[tuple[str, Any]]], index: Index) -> None:
    """Warn of test videos that are also training videos, byte for byte."""
    train = {index[path].sha256 for path, _ in splits['train'] if index[path].readable}
    copies = [path for path, _ in splits['test'] if index[path].sha256 in train]
    if copies:
        LOG.warning(f'{named(copies)} in test and, byte for byte, in train too.')


def warn_of_two_classes(splits: Splits, index: Index) -> None:
    """Warn of files with the same bytes (links, copies) in two classes."""
    places: dict[str, dict[str, str]] = {}  # hash -> class -> the first path
    for pairs in splits.values():
        for path, label in pairs:
            if isinstance(label, str) and index[path].sha256:
                places.setdefault(index[path].sha256, {}).setdefault(label, path)
    doubled = [list(found.values()) for found in places.values() if len(found) > 1]
    if doubled:
        LOG.warning(
            f'{len(doubled)} file{"s are" if len(doubled) > 1 else " is"} in more than one class, first '
            f'{" and ".join(map(shown, doubled[0][:3]))}.'
        )


def warn_of_late_cycles(annotations: Mapping[str, dict], index: Index) -> None:
    """Warn of cycles annotated after a video's last frame: the video is another cut, or has another frame rate."""
    late = [
        path
        for path, entry in annotations.items()
        if entry.get('cycles') and index[path].readable and entry['cycles'][-1] > index[path].frames
    ]
    if late:
        LOG.warning(f'{named(late)} shorter than the frame of the last annotated cycle.')


def warn_of_missing(missing: list[str], num_listed: int, out: Path, obtain: str) -> None:
    """Warn of listed videos that are not on disk, and write all their names to missing.txt."""
    file = out / 'missing.txt'
    file.unlink(missing_ok=True)
    if missing:
        write_atomic(file, '\n'.join(missing) + '\n')
        LOG.warning(
            f'{named(missing)} missing of {num_listed} listed; all names are in {file}. Get them from: {obtain}.'
        )


def all_paths(splits: Mapping[str, Sequence[tuple[str, Any]]]) -> list[str]:
    """The videos of all splits."""
    return [path for pairs in splits.values() for path, _ in pairs]


def check_root(root: Path, option: str = '') -> None:
    """Raise a DataError if the folder of the videos does not exist, or not all readers could open its videos."""
    if not root.is_dir():
        raise DataError(f"{option}{': ' if option else ''}'{shown(str(root))}' is not a folder.")
    check_utf8(root)


def check_utf8(folder: Path) -> None:
    """Raise a DataError if a folder's path is not in UTF-8, which decord cannot open; it names a path that would do."""
    path = str(folder.resolve())
    if not is_utf8(path):
        raise DataError(f"'{shown(path)}' is not in UTF-8: rename it to '{in_utf8(path)}'.")


def named(paths: list[str], most: int = 5) -> str:
    """`3 videos (a.mp4, b.mp4, c.mp4) are`, cut short if there are many."""
    names = listing([path or '(empty path)' for path in paths], most)
    return f'{len(paths)} video{"s" * (len(paths) > 1)} ({names}) {"are" if len(paths) > 1 else "is"}'


def listing(names: Sequence[str], most: int = 5) -> str:
    """`a, b, c`, cut short with dots if there are many."""
    return ', '.join(map(shown, names[:most])) + (', ...' if len(names) > most else '')


def label_text(label: NamedLabel) -> str:
    """A label for a message."""
    return ' and '.join(label) if isinstance(label, tuple) else str(label)


def names_in(label: str | tuple[str, ...] | int) -> tuple[str, ...]:
    """The class names in a label; a count has none."""
    return (label,) if isinstance(label, str) else label if isinstance(label, tuple) else ()
