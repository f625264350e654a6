"""Train, validation and test: their names, a split by hash that keeps groups together, and what is odd about one."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from sigma.datasets.prepared import LOG, NamedLabel, Splits, label_text, listing, named, names_in
from sigma.errors import DataError

Pairs = list[tuple[str, NamedLabel]]
_SPLITS = {
    'train': 'train', 'training': 'train',
    'val': 'val', 'valid': 'val', 'validation': 'val', 'validate': 'val',
    'test': 'test', 'testing': 'test',
}  # fmt: skip
KNOWN_SPLITS = ', '.join(_SPLITS)


def split_name(text: str) -> str | None:
    """`train`, `val` or `test` for a name that says one, in any case: `Training`, `VALID`, `test_set`; else None."""
    word = re.sub(r'[\s_.-]+', '', text).casefold()
    return _SPLITS.get(word) or _SPLITS.get(re.sub(r'(set|split)$', '', word))


def split_by_hash(
    pairs: Iterable[tuple[str, NamedLabel]], test_fraction: float, groups: Mapping[str, str] | None = None
) -> Splits:
    """Make the test split from a share of each class: the videos, or groups, with the smallest sha256 of their name.

    Args:
        pairs: (path, label); if labels are not classes, the share is taken from all videos.
        test_fraction: In (0, 1); rounded, but at least one video of every class that has two or more.
        groups: path -> group, to keep groups together; shares are then met as well as whole groups allow, and every
            class stays in train. None or empty: every video is a group of its own.

    Raises:
        DataError: if the fraction is not between 0 and 1.
    """
    if not 0 < test_fraction < 1:
        raise DataError(f'--test-fraction is {test_fraction}; it must be between 0 and 1.')
    by_group: dict[str, Pairs] = {}
    groups = groups or {}
    for path, label in pairs:
        by_group.setdefault(groups.get(path, path), []).append((path, label))
    sizes = Counter(_class_of(label) for members in by_group.values() for _, label in members)
    wanted = {name: min(max(1, round(test_fraction * size)), size - 1) for name, size in sizes.items()}
    in_test: Counter[str] = Counter()
    splits: Splits = {'train': [], 'test': []}
    for group in sorted(by_group, key=lambda group: hashlib.sha256(group.encode('utf-8', 'surrogateescape')).digest()):
        adds = Counter(_class_of(label) for _, label in by_group[group])
        short = any(in_test[name] < wanted[name] for name in adds)
        leaves_some = all(in_test[name] + number < sizes[name] for name, number in adds.items())
        if short and leaves_some:
            in_test += adds
            splits['test'] += by_group[group]
        else:
            splits['train'] += by_group[group]
    return splits


def _class_of(label: NamedLabel) -> str:
    return label if isinstance(label, str) else ''


def split_every(pairs: Pairs, every: int, groups: Mapping[str, str]) -> Splits:
    """Make videos `every`, 2 x `every`, ... the test split; with groups, these groups in order of appearance."""
    numbers: dict[str, int] = {}
    splits: Splits = {'train': [], 'test': []}
    for path, label in pairs:
        number = numbers.setdefault(groups.get(path, path), len(numbers) + 1)
        splits['train' if number % every else 'test'].append((path, label))
    return splits


def train_and_test(splits: Splits) -> Splits:
    """Use a validation split as the test split if there is no other."""
    if 'test' not in splits and 'val' in splits:
        splits['test'] = splits.pop('val')
    return {split: splits[split] for split in ('train', 'val', 'test') if split in splits}


def groups_by_regex(pattern: str, paths: Iterable[str]) -> dict[str, str]:
    """path -> what `pattern` finds in it: its first group, else the whole match.

    Raises:
        DataError: if it is not a regular expression, or finds nothing in a path.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise DataError(f'--group-regex {pattern!r} is not a regular expression: {error}.') from None
    groups = {}
    for path in paths:
        found = regex.search(path)
        text = found and (found[1] if regex.groups else found[0])
        if not text:
            raise DataError(f'--group-regex {pattern!r} finds no group in {path}.')
        groups[path] = text
    return groups


def warn_of_shared_groups(splits: Splits, groups: Mapping[str, str]) -> None:
    """Warn of groups with videos in train and in another split, which makes the test easier than it looks."""
    trained = {groups[path] for path, _ in splits['train'] if path in groups}
    for split in ('val', 'test'):
        both = sorted(trained & {groups[path] for path, _ in splits.get(split, []) if path in groups})
        if both:
            LOG.warning(
                f'{len(both)} group{"s are" if len(both) > 1 else " is"} in train and in {split}: {listing(both)}. '
                '--test-fraction or --test-every would keep groups together.'
            )


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
    check_listed_once(splits)
    absent = [path for path, _ in pairs if not (root / path).is_file()]
    if absent:
        raise DataError(f"{named(absent)} missing under '{root}'.")


def check_listed_once(splits: Splits) -> None:
    """Raise a DataError for a video that is listed twice: with two labels, in two splits, or simply twice."""
    places: dict[str, list[tuple[str, NamedLabel]]] = {}
    for split, pairs in splits.items():
        for path, label in pairs:
            places.setdefault(path, []).append((split, label))
    doubled = {path: found for path, found in places.items() if len(found) > 1}
    if not doubled:
        return
    contradictory = {path: found for path, found in doubled.items() if len({label for _, label in found}) > 1}
    path, found = next(iter((contradictory or doubled).items()))
    how = ''
    if contradictory:
        how = f': {len(contradictory)} with different labels, first {path} ({label_text(found[0][1])} and '
        how += f'{label_text(found[1][1])})'
    elif len({split for split, _ in found}) > 1:
        how = f': {path} is in {found[0][0]} and in {found[1][0]}'
    raise DataError(f'{named(list(doubled))} listed more than once{how}.')
