"""Lists that a user already has, in mmaction2's format: one `path label` a line, classes as numbers."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from sigma.data.lists import check_listable, whole_number
from sigma.datasets.folders import index_and_write
from sigma.datasets.prepared import LOG, NamedLabel, Splits, check_root, clean_label, refuse_another
from sigma.datasets.selection import About
from sigma.datasets.splits import (
    Pairs,
    check_listed_once,
    check_splits,
    groups_by_regex,
    split_by_hash,
    train_and_test,
    warn_of_shared_groups,
)
from sigma.errors import DataError
from sigma.text import sentence

MOST_CLASSES = 100_000  # more are no classes but ids or counts; a head for them would not fit a GPU
Numbered = list[tuple[str, tuple[int, ...]]]


def prepare_list(
    files: Mapping[str, Path],
    out: Path,
    about: About,
    root: Path | None = None,
    class_file: Path | None = None,
    task: str = 'action_recognition',
    delimiter: str | None = None,
    test_fraction: float | None = None,
    group_regex: str | None = None,
    size: int = 112,
    workers: int | None = None,
    allow: bool = False,
) -> bool:
    """Read the videos of mmaction2's lists and write lists, index and card to `out`; classes keep their numbers.

    Args:
        files: `train`, and `val` or `test` or both -> list file.
        root: Folder that the paths start from; None takes that of the training list.
        class_file: Class names, one per line; None names the classes by their numbers.
        task: `action_recognition`, `multi_label` (any number of labels) or `repetition` (counts).
        delimiter: Between path and labels; None takes a tab if the line has one, else a space.
        test_fraction: Without other lists: the test share of each class, as in `split_by_hash`.
        group_regex: What clips of one group share, as in `Selection`.
        size, workers, allow: As in `prepare_folder`.

    Returns:
        Whether the dataset was written; False if videos are unreadable.

    Raises:
        DataError: if a list is missing or malformed, names a video twice or one that does not exist, or has a label
            without a class name.
    """
    refuse_another(out, about.name_for(out))
    about.metric_for(task)
    root = root or files['train'].parent
    check_root(root, '--root')
    lists = {split: read_path_labels(file, task, delimiter) for split, file in files.items()}
    lists = {split: [(relative_to(root, path), labels) for path, labels in pairs] for split, pairs in lists.items()}
    check_frames(lists, root)
    classes = None if task == 'repetition' else class_names(lists, class_file)
    splits: Splits = {split: [(p, named_label(n, classes, task)) for p, n in pairs] for split, pairs in lists.items()}
    check_listed_once(splits)
    groups = {}
    if group_regex is not None:
        groups = groups_by_regex(group_regex, [path for pairs in splits.values() for path, _ in pairs])
    splits = complete(splits, test_fraction, groups)
    check_listable([path for pairs in splits.values() for path, _ in pairs], str(root))
    check_splits(splits, root)
    warn_of_shared_groups(splits, groups)
    return index_and_write(root, splits, out, about, task, size, workers, allow, classes=classes)


def read_path_labels(file: Path, task: str, delimiter: str | None) -> Numbered:
    """(path, labels) of every line that is not empty; a path may hold the delimiter if there is one label.

    Raises:
        DataError: if the file is missing, or a line is not a path and whole numbers; the line is named.
    """
    if not file.is_file():
        raise DataError(f"No list file at '{file}'.")
    try:
        lines = file.read_text(encoding='utf-8-sig').split('\n')
    except UnicodeDecodeError as error:
        raise DataError(f"'{file}' is not a list in UTF-8: {error}.") from None
    pairs: Numbered = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        split_by = delimiter or ('\t' if '\t' in line else ' ')
        most = -1 if task == 'multi_label' else 1
        path, *labels = line.strip().rsplit(split_by, most)
        found = [whole_number(label) for label in labels]
        numbers = tuple(number for number in found if number is not None)
        if not path or len(numbers) < len(found) or not (labels or most < 0):
            wanted = 'path label label ...' if most < 0 else 'path label'
            raise DataError(
                f"'{file}' line {number}: expected `{wanted}` with whole numbers as labels, found "
                f"'{sentence(line, 200)}'."
            )
        pairs.append((path.strip(), numbers))
    num_empty = sum(not line.strip() for line in lines[:-1])
    if num_empty:
        LOG.info(f'{num_empty} empty line{"s" * (num_empty > 1)} of {file.name} passed over')
    if not pairs:
        raise DataError(f"'{file}' lists no video.")
    return pairs


def relative_to(root: Path, path: str) -> str:
    """A path of a list, relative to `root` if it lies under it."""
    place = Path(path)
    if place.is_absolute() and place.is_relative_to(root.resolve()):
        path = place.relative_to(root.resolve()).as_posix()
    return posixpath.normpath(path)


def check_frames(lists: Mapping[str, Numbered], root: Path) -> None:
    """Raise a DataError for a list of folders of frames (`folder num_frames label`), which mmaction2 has too."""
    path = next(iter(lists.values()))[0][0]
    folder = path.rpartition(' ')[0]
    if (root / path).is_dir() or (folder and (root / folder).is_dir()):
        raise DataError(f"'{root / (folder or path)}' is a folder: lists of frames cannot be used, only of videos.")


def class_names(lists: Mapping[str, Numbered], class_file: Path | None) -> list[str]:
    """Names of all classes, in the order of their numbers.

    Raises:
        DataError: if the file is missing, not in UTF-8, has a name twice, or has fewer names than the largest label
            needs; without a file, if that would be more than MOST_CLASSES.
    """
    largest = max((label for pairs in lists.values() for _, labels in pairs for label in labels), default=0)
    if class_file is None:
        if largest >= MOST_CLASSES:
            raise DataError(
                f'The lists have the label {largest}: labels are the numbers of classes, from 0, and at most '
                f'{MOST_CLASSES - 1}. Number the classes from 0; for counts, say --task repetition.'
            )
        return [str(number) for number in range(largest + 1)]
    if not class_file.is_file():
        raise DataError(f"--classes: no file at '{class_file}'.")
    try:
        lines = class_file.read_text(encoding='utf-8-sig').split('\n')
    except UnicodeDecodeError as error:
        raise DataError(f"'{class_file}' is not a list of class names in UTF-8: {error}.") from None
    names = [clean_label(line) for line in lines if line.strip()]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"'{class_file}' names the class {twice!r} twice.")
    if largest >= len(names):
        raise DataError(
            f"'{class_file}' has {len(names)} class names, for the labels 0 to {len(names) - 1}; the lists have the "
            f'label {largest}.'
        )
    return names


def named_label(numbers: tuple[int, ...], classes: Sequence[str] | None, task: str) -> NamedLabel:
    """The label of a line: a class name, a tuple of them, or a count."""
    if classes is None:
        return numbers[0]
    return tuple(classes[number] for number in numbers) if task == 'multi_label' else classes[numbers[0]]


def complete(splits: Splits, test_fraction: float | None, groups: Mapping[str, str]) -> Splits:
    """Train and test, and val if all three are given; a lone training list is split by `test_fraction`.

    Raises:
        DataError: if nothing says which videos are for testing.
    """
    if len(splits) > 1:
        if test_fraction is not None:
            raise DataError('--test-fraction splits a training list; with --val or --test, leave it out.')
        return train_and_test(splits)
    if test_fraction is None:
        raise DataError('Give --test LIST (or --val LIST) beside --train, or take a share with --test-fraction 0.25.')
    pairs: Pairs = splits['train']
    return split_by_hash(pairs, test_fraction, groups)
