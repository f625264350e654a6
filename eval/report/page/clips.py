"""Videos that one encoder gets right and another wrong: which they are, and clips of some of them. No torch.

Shape letters: R rows of a column, N videos that all of them scored.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eval.metrics import METRICS
from eval.records import Record
from eval.report.page.footage import Footage, Unseen
from eval.report.page.parts import Part, Picker, Sentences
from eval.report.table import Column, Table

PER_SIDE = 6  # clips that each of two encoders gets right and the other wrong, where there are so many
MOST_VIDEOS = 24  # of a column


class Answers(NamedTuple):
    """What the rows of a column answered for the videos that all of them scored."""

    rows: list[str]
    videos: list[str]
    labels: np.ndarray  # (N,)
    right: np.ndarray  # (R, N) 1 right, 0 wrong in most seeds, -1 as many seeds right as wrong
    given: np.ndarray  # (R, N) class that the first seed gave
    record: Record  # any of them, to find the videos by


def disagreements(table: Table, columns: list[Column], footage: Footage) -> dict[str, Any]:
    """The document: {columns: [...], clips: [base64]}; a column has counts for all pairs, and some videos.

    Args:
        table: The results.
        columns: In the order of the page; those without classes or with one row are skipped.
        footage: Finds and cuts the videos.
    """
    pairs = [(column, answers) for column in columns if (answers := _answers(table, column)) is not None]
    found = [answers for _, answers in pairs]
    chosen = [choose(each.right, each.videos) for each in found]
    items: list[list[dict[str, Any]]] = [[] for _ in found]
    # The first video of each column, then the second: where the limit ends, no column is without clips.
    for turn in range(MOST_VIDEOS):
        for answers, videos, shown in zip(found, chosen, items):
            if turn < len(videos):
                shown.append(_item(answers, videos[turn], footage))
    entries = [
        {
            'column': column.name,
            'rows': answers.rows,
            'num_videos': len(answers.videos),
            'pairs': _pairs(answers.right).tolist(),
            'items': shown,
        }
        for (column, answers), shown in zip(pairs, items)
    ]
    return {'columns': entries, 'clips': footage.clips}


def _answers(table: Table, column: Column) -> Answers | None:
    metric = METRICS.get(column.metric)
    if column.is_summary or metric is None or metric.task != 'action_recognition':
        return None
    stored = {}
    for row, cell in column.cells.items():
        found = [table.answered(record) for record in cell.records]
        known = [answered for answered in found if answered is not None]
        if not cell.published and len(known) == len(found):
            stored[row] = known
    if len(stored) < 2:
        return None
    lists = {id(p.video): p.video for seeds in stored.values() for p in seeds}  # equal ones are one object
    common = sorted(set.intersection(*(set(video.tolist()) for video in lists.values())))
    if not common:
        return None
    places = {key: np.searchsorted(video, common) for key, video in lists.items()}
    right, given = [], []
    for seeds in stored.values():
        hits = np.mean([(p.answer == p.label)[places[id(p.video)]] for p in seeds], axis=0)
        right.append(np.where(hits > 0.5, 1, np.where(hits < 0.5, 0, -1)))
        given.append(seeds[0].answer[places[id(seeds[0].video)]])
    first = next(iter(stored.values()))[0]
    record = column.cells[next(iter(stored))].records[0]
    labels = first.label[np.searchsorted(first.video, common)]
    return Answers(list(stored), common, labels, np.array(right), np.array(given), record)


def choose(right: np.ndarray, videos: list[str]) -> list[int]:
    """Positions of videos such that each ordered pair of rows has a few that the first gets right, the second wrong.

    Args:
        right: (R, N), as in `Answers`.
        videos: (N,) names; where two videos serve as many pairs, the name decides.

    Returns:
        At most `MOST_VIDEOS` positions; for each pair `PER_SIDE`, if there are so many and they fit.
    """
    hit, miss = right == 1, right == 0
    serves = (hit[:, None] & miss[None]).reshape(-1, right.shape[1]).astype(np.float32)  # (R * R, N)
    wanted = np.minimum(PER_SIDE, serves.sum(axis=1))  # (R * R,)
    order = np.argsort(np.array(videos), kind='stable')
    chosen: list[int] = []
    while len(chosen) < MOST_VIDEOS and wanted.any():
        use = (wanted > 0).astype(np.float32) @ serves  # (N,) pairs that a video would serve
        use[chosen] = 0
        best = int(order[use[order].argmax()])  # by name, the first of those that serve as many
        if not use[best]:
            break
        chosen.append(best)
        wanted = np.maximum(0, wanted - serves[:, best])
    return chosen


def _pairs(right: np.ndarray) -> np.ndarray:
    """(R, R) videos that the row gets right and the column wrong."""
    return (right == 1).astype(np.int64) @ (right == 0).astype(np.int64).T


def _item(answers: Answers, position: int, footage: Footage) -> dict[str, Any]:
    video = answers.videos[position]
    item = {
        'video': video,
        'label': int(answers.labels[position]),
        'right': answers.right[:, position].tolist(),
        'given': answers.given[:, position].tolist(),
    }
    try:
        return item | {'clip': footage.clip(answers.record, video)}
    except Unseen as error:
        return item | {'why': str(error)}


def video_parts(document: dict[str, Any], footage: Footage) -> list[Part]:
    """What the page says about the clips, beside those that a reader picks."""
    if not document['columns']:
        return []
    said = [
        f'{len(footage.clips)} clips, {footage.used_bytes / 1e6:.1f} MB of at most {footage.most_bytes / 1e6:g}. '
        'Right means right in most seeds; an answer is that of the first seed.'
    ]
    said += [f'{number} videos are not shown: {reason}.' for reason, number in footage.missing.items()]
    return [Picker(), *(Sentences([sentence], small=True) for sentence in said)]
