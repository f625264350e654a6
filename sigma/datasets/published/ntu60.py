"""NTU RGB+D 60: the cross-subject lists, from `<class folder>/<name>` lines or from the names of all videos.

File names state setup, camera, subject, replication and action: S001C002P003R002A013_rgb.avi.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sigma.data.cards import DatasetCard
from sigma.data.lists import Label
from sigma.datasets.published import Lists, stem_of
from sigma.datasets.published._files import find_file, reading
from sigma.errors import DataError

TRAIN_SUBJECTS = {1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38}
_NAME = re.compile(r'(S(\d{3})C\d{3}P(\d{3})R\d{3}A(\d{3}))')


def read(annotations: Path, card: DatasetCard, videos: Sequence[str]) -> Lists:
    """Read the two lists if they exist; else split by the subject in the video names, and no video may be missing."""
    try:
        files = {split: find_file(annotations, card, f'{split}list01.txt') for split in ('train', 'test')}
    except DataError:
        lists = Lists(_from_names(videos))
        if any(len(pairs) != card.split(split)['num_videos'] for split, pairs in lists.splits.items()):
            raise  # videos are missing: their names alone do not give the lists
        return lists
    splits: dict[str, list[tuple[str, Label]]] = {}
    for split, file in files.items():
        with reading(file, card):
            names = [line.split()[0] for line in file.read_text(encoding='utf-8').split('\n') if line.strip()]
            splits[split] = sorted(_pair(_NAME.match(stem_of(name))) for name in names)
    return Lists(splits)


def _from_names(videos: Sequence[str]) -> dict[str, list[tuple[str, Label]]]:
    names = [name for name in map(_NAME.match, map(stem_of, videos)) if name]
    splits: dict[str, set[tuple[str, Label]]] = {'train': set(), 'test': set()}
    for name in names:
        if int(name[2]) <= 17 and int(name[4]) <= 60:  # the rest is NTU RGB+D 120
            splits['train' if int(name[3]) in TRAIN_SUBJECTS else 'test'].add(_pair(name))
    return {split: sorted(pairs) for split, pairs in splits.items()}


def _pair(name: re.Match[str] | None) -> tuple[str, Label]:
    if name is None:
        raise ValueError('a name is not of the form S001C002P003R002A013')
    return f'{name[1]}_rgb.avi', int(name[4]) - 1
