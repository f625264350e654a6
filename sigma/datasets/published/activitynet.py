"""Temporal annotations in ActivityNet's layout, which THUMOS-14 also uses, or in BSN's.

    {"database": {NAME: {"subset": "training", "annotations": [{"segment": [start, end], "label": ...}, ...]}}}

Subset `training` becomes train, `validation` test. Times are seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sigma.data.cards import DatasetCard
from sigma.data.lists import Label
from sigma.datasets.published import Lists
from sigma.datasets.published._files import class_numbers, csv_rows, find_file, reading

SUBSETS = {'training': 'train', 'validation': 'test'}


def read(
    annotations: Path,
    card: DatasetCard,
    videos: Sequence[str],
    file: str,
    prefix: str = '',
    bsn_files: tuple[str, str] | None = None,
) -> Lists:
    """Both splits and the times of all actions. `videos` is not used.

    Args:
        file: The annotation file.
        prefix: Prefix of video names, if the annotation file leaves it out.
        bsn_files: BSN's {NAME: {annotations}} and its table of subsets, read if `file` does not exist.
    """
    found = find_file(annotations, card, file, *(bsn_files or ())[:1])
    with reading(found, card):
        content = json.loads(found.read_text(encoding='utf-8'))
        if found.name == file:
            return _of_database(content['database'], card, prefix)
    table = find_file(annotations, card, *(bsn_files or ())[1:])
    with reading(table, card):
        subset_of = {row['video']: row['subset'] for row in csv_rows(table)}
        return _of_database({video: entry | {'subset': subset_of[video]} for video, entry in content.items()}, card, '')


def _of_database(database: Mapping, card: DatasetCard, prefix: str) -> Lists:
    """{video: {subset, annotations [{segment [start, end], label}]}}; seconds, which may be written as text.

    Videos of other subsets (without labels) are left out, and segments labelled Ambiguous, which evaluators ignore.
    """
    numbers = class_numbers(card)
    splits: dict[str, list[tuple[str, Label]]] = {'train': [], 'test': []}
    times: dict[str, dict] = {}
    for name, entry in sorted(database.items()):
        if entry['subset'] not in SUBSETS:
            continue
        actions: list[list] = [
            [*map(float, one['segment']), numbers[one['label']]]
            for one in entry['annotations']
            if one['label'] != 'Ambiguous'
        ]
        if any(len(action) != 3 for action in actions):
            raise ValueError(f'{name} has a segment without start and end')
        video = f'{prefix}{name}.mp4'
        splits[SUBSETS[entry['subset']]].append((video, tuple(sorted({number for _, _, number in actions}))))
        times[video] = {'actions': actions}
    return Lists(splits, times)
