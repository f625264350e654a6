"""Charades: rows id,...,actions,length with the class, start and end in seconds of each action.

AB12,...,c092 11.90 21.20;c147 0.00 12.60,30
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sigma.data.cards import DatasetCard
from sigma.data.lists import Label
from sigma.datasets.published import Lists
from sigma.datasets.published._files import class_numbers, csv_rows, find_file, reading


def read(annotations: Path, card: DatasetCard, videos: Sequence[str]) -> Lists:
    """Both splits and the times of all actions. `videos` is not used."""
    numbers = class_numbers(card)
    splits: dict[str, list[tuple[str, Label]]] = {}
    times: dict[str, dict] = {}
    for split in ('train', 'test'):
        file = find_file(annotations, card, f'Charades_v1_{split}.csv')
        splits[split] = []
        with reading(file, card):
            for row in csv_rows(file):
                video = f'{row["id"]}.mp4'
                actions: list[list] = []
                for action in filter(None, row['actions'].split(';')):
                    name, start, end = action.split()
                    actions.append([float(start), float(end), numbers[name]])
                splits[split].append((video, tuple(sorted({number for _, _, number in actions}))))
                times[video] = {'actions': actions}
    return Lists(splits, times)
