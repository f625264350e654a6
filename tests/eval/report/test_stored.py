"""Predictions behind a table: little memory, the same numbers, damaged ones left out."""

import shutil

import numpy as np
import pytest

from eval.metrics import load_predictions
from eval.records import RecordError, predictions_path, read_records
from eval.report import formats, stored
from eval.report.stored import Stored
from eval.report.table import Table
from eval.report.verdicts import verdicts
from tests.conftest import ROOT

COMMITTED = ROOT / 'tests' / 'data' / 'records'


def test_what_does_not_fit_is_read_again_and_equal_names_are_one_array(monkeypatch):
    records = read_records(COMMITTED)
    reads = []
    monkeypatch.setattr(stored, 'load_predictions', lambda record: reads.append(record) or load_predictions(record))
    small = Stored(most_bytes=5_000)  # 100 x 10 float32 are 4,000
    first = small.of(records[0])
    assert small.of(records[0]) is first
    second = small.of(records[1])
    assert second.video is first.video
    assert second.label is first.label
    assert len(reads) == 2
    again = small.of(records[0])
    assert len(reads) == 3
    assert np.array_equal(again.scores, first.scores)
    answered = small.answered(records[1])
    assert len(reads) == 3  # answers stay
    assert np.array_equal(answered.answer, second.scores.argmax(axis=1))
    assert answered.num_classes == 10


def test_numbers_are_the_same_with_little_memory(monkeypatch):
    wide = Table.read([COMMITTED])
    monkeypatch.setattr(Stored.__init__, '__defaults__', (False, 1))
    narrow = Table.read([COMMITTED])
    assert formats.text(narrow) == formats.text(wide)
    assert verdicts(narrow) == verdicts(wide)


def test_damaged_predictions_are_refused_or_left_out(tmp_path):
    shutil.copytree(COMMITTED / 'random', tmp_path / 'records' / 'random')
    records = read_records(tmp_path)
    predictions_path(records[0].path).write_bytes(b'PK')
    with pytest.raises(RecordError, match='not the predictions'):
        Table(records)
    table = Table(records, skip_damaged=True)
    assert [record.name for record in table.records] == [record.name for record in records[1:]]
    assert [str(predictions_path(records[0].path)) in fault for fault in table.faults] == [True]
    few = next(column for column in table.columns if column.subset)
    assert [record.seed for record in few.cells['random'].records] == [1]
    for record in records:
        predictions_path(record.path).write_bytes(b'PK')
    with pytest.raises(RecordError, match='not the predictions'):
        Table(records, skip_damaged=True)
