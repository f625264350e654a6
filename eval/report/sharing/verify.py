"""Verify records: does each say what its files say, and do they agree with each other? No torch, no data."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics import METRICS, Predictions, checked_predictions, rescore_tolerance, score_predictions
from eval.records import Record, RecordError, config_path, readable_records
from eval.report.table import check_alike
from sigma.files import sha256_file


def verify(places: Sequence[str | Path]) -> tuple[list[Record], list[str]]:
    """Check every record of some folders.

    A record must fit its schema, and its id must be the hash of its identity. Its predictions must be there, be those
    that it was written with, and give its score. Its config must be there and have its hash. What the identity says of
    lists, weights, protocol and seed must be what the record says. Records of one column must have the same list, and
    the same videos with the same labels. Numbers from papers have no files, so only their schema is checked.

    Args:
        places: Work directories, folders of records, or single records.

    Returns:
        The records that could be read, and one sentence for each fault.

    Raises:
        RecordError: if no record can be read.
    """
    records: list[Record] = []
    faults: list[str] = []
    for place in places:
        found, damaged = readable_records(place)
        records += found
        faults += damaged
    lists: dict[tuple, _Videos] = {}
    for record in records:
        faults += [f'{record.path}: {fault}' for fault in _faults(record, lists)]
    try:
        check_alike(records)
    except RecordError as error:
        faults.append(str(error))
    return records, faults


def _faults(record: Record, lists: dict[tuple, _Videos]) -> Iterator[str]:
    """What is wrong with a record, without its path."""
    assert record.path is not None
    if record.path.stem != record.name:
        yield f'the file holds the cell {record.name}; it was renamed'
    if record.published:
        return
    yield from _identity_faults(record)
    config = config_path(record.path)
    if not config.is_file():
        yield f'{config.name} is not beside it'
    elif sha256_file(config) != record.config_sha256:
        yield f'{config.name} is not the config that it was written with'
    try:
        predictions = checked_predictions(record)
    except ValueError as error:
        yield str(error)
        return
    yield from _score_faults(record, predictions)
    yield from _video_faults(record, predictions, lists)


def _identity_faults(record: Record) -> Iterator[str]:
    """Where the identity, which is hashed, says something else than the record."""
    identity = record.identity
    pairs = (
        ('protocol.name', ('protocol', 'name')),
        ('protocol.version', ('protocol', 'version')),
        ('dataset.name', ('dataset', 'name')),
        ('dataset.list_sha256', ('dataset', 'lists', record.dataset['split'])),
        ('dataset.train_list_sha256', ('dataset', 'lists', 'train')),
        ('encoder.name', ('encoder', 'name')),
        ('seed', ('seed',)),
    )
    for key, path in pairs:
        said: Any = identity
        for part in path:
            said = said.get(part) if isinstance(said, dict) else None
        if said is not None and record.get(key) is not None and said != record.get(key):
            yield f'{key} is {record.get(key)!r}, but its identity says {said!r}'
    encoder = identity.get('encoder')
    weights = encoder.get('weights') if isinstance(encoder, dict) else None
    if weights is not None and weights != (record.get('encoder.sha256') or 'random'):
        yield f'encoder.sha256 is {record.get("encoder.sha256")!r}, but its identity says {weights!r}'


def _score_faults(record: Record, predictions: Predictions) -> Iterator[str]:
    """Metrics that the predictions do not give as the record says."""
    stored = {record.score['metric']: record.score['value'], **(record.score['others'] or {})}
    for name, value in stored.items():
        found = math.nan
        if name not in METRICS:
            continue  # a metric of a user's own protocol
        with contextlib.suppress(ValueError):
            found = float(score_predictions(predictions, name))
        if not abs(found - value) <= rescore_tolerance(name):
            yield f'{name} is {value:.4f}, but its predictions give {found:.4f}'


class _Videos:
    """Videos of a column, by the first record that has them all.

    Attributes:
        of: Name of that record.
        names: Scored and unscored videos.
        labels: Video -> bytes of its label.
    """

    def __init__(self, record: Record, predictions: Predictions) -> None:
        self.of = record.name
        self.names = _named(record, predictions)
        self.labels = _labels(predictions)


def _named(record: Record, predictions: Predictions) -> set[str]:
    return set(predictions.video.tolist()) | {entry['video'] for entry in record.get('dataset.unscored') or ()}


def _labels(predictions: Predictions) -> dict[str, bytes]:
    # segments are padded with rows of NaN or -1 to the most in a file, so that rows of one video may differ in length
    if predictions.label.ndim == 3:
        return {}
    return {
        name: np.ascontiguousarray(row).tobytes() for name, row in zip(predictions.video.tolist(), predictions.label)
    }


def _video_faults(record: Record, predictions: Predictions, lists: dict[tuple, _Videos]) -> Iterator[str]:
    """Where the videos or labels are not those of the first record of the column."""
    scored = set(predictions.video.tolist())
    twice = sorted(entry['video'] for entry in record.get('dataset.unscored') or () if entry['video'] in scored)
    if twice:
        yield f'{twice[0]} is named as unscored, but has a prediction'
    dataset = record.dataset
    key = (
        record.protocol['name'],
        dataset['name'],
        dataset['list_sha256'],
        dataset['limit'],
        record.get('subset.name'),
    )
    first = lists.setdefault(key, _Videos(record, predictions))
    names = _named(record, predictions)
    if names != first.names:
        odd = min(names ^ first.names)
        yield f'has other videos than {first.of} from the same list, such as {odd}'
        return
    for name, label in _labels(predictions).items():
        if first.labels.setdefault(name, label) != label:
            yield f'the label of {name} is not that of {first.of}'
            return
