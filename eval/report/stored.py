"""The predictions behind a table: each file is read and checked once, and kept in memory as far as there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eval.metrics import Predictions, load_predictions
from eval.records import Record, RecordError

# Predictions of many videos and classes fill any memory: 2,000 records of 4,000 videos and 100 classes have 3.2 GB.
MOST_BYTES = 250_000_000


class Answered(NamedTuple):
    """What is kept of the predictions of single labels when there is no room for their scores."""

    video: np.ndarray  # (N,) names, sorted
    label: np.ndarray  # (N,) true class
    answer: np.ndarray  # (N,) class with the highest score
    num_classes: int


class Stored:
    """Predictions of records, sorted by video.

    Args:
        skip_damaged: Leave out records whose predictions are damaged, and name them in `faults`; else they are refused.
        most_bytes: Predictions above this are dropped, the oldest first, and read again when they are asked for.

    Attributes:
        faults: Sentences on what was left out.
        damaged: Ids of the cells that were left out.
    """

    def __init__(self, skip_damaged: bool = False, most_bytes: int = MOST_BYTES) -> None:
        self.skip_damaged, self.most_bytes = skip_damaged, most_bytes
        self.faults: list[str] = []
        self.damaged: set[str] = set()
        self._kept: OrderedDict[str, Predictions] = OrderedDict()
        self._without: set[str] = set()  # ids of the cells that have none
        self._num_bytes = 0
        self._answered: dict[str, Answered] = {}
        self._shared: list[np.ndarray] = []  # names and labels, which most records of a column have in common

    def read(self, seeds: Sequence[Record]) -> tuple[list[Record], list[Predictions | None]]:
        """Records of a row and their predictions, without the damaged ones.

        Raises:
            RecordError: as `load_predictions`, unless damaged ones are left out.
        """
        found: list[tuple[Record, Predictions | None]] = []
        for record in seeds:
            try:
                found.append((record, self.of(record)))
            except RecordError as error:
                if not self.skip_damaged:
                    raise
                self.faults.append(str(error))
                self.damaged.add(record.cell['id'])
        return [record for record, _ in found], [predictions for _, predictions in found]

    def of(self, record: Record) -> Predictions | None:
        """Predictions of a record; None if there are none.

        Raises:
            RecordError: as `load_predictions`, if they have to be read.
        """
        identity = record.cell['id']
        if identity in self._kept:
            self._kept.move_to_end(identity)
            return self._kept[identity]
        found = None if record.published or identity in self._without else load_predictions(record)
        if found is None:
            self._without.add(identity)
            return None
        found = Predictions(self._once(found.video), self._once(found.label), found.scores)
        if found.label.ndim == 1 and found.label.dtype.kind == 'i' and found.scores.ndim == 2:
            answer = found.scores.argmax(axis=1).astype(np.int32)
            self._answered[identity] = Answered(found.video, found.label, answer, found.scores.shape[1])
        self._kept[identity] = found
        self._num_bytes += found.scores.nbytes
        while self._num_bytes > self.most_bytes and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._num_bytes -= dropped.scores.nbytes
        return found

    def answered(self, record: Record) -> Answered | None:
        """The answer for each video of a record of single labels; None for other records, or without predictions."""
        if record.cell['id'] not in self._answered:
            self.of(record)
        return self._answered.get(record.cell['id'])

    def _once(self, array: np.ndarray) -> np.ndarray:
        """An equal array that is in memory already, or this one."""
        for other in reversed(self._shared):
            if other.dtype == array.dtype and other.shape == array.shape and other.tobytes() == array.tobytes():
                return other
        self._shared.append(array)
        return array
