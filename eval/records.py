"""The result record: one JSON file per cell, and the check that records may share a column of a table.

    <work_dir>/records/<encoder>/<protocol>-v<version>/
        <cell name>.json             the record
        <cell name>.predictions.npz  the scores of each video (eval/metrics)
        <cell name>.config.py        the resolved config

Predictions and config are written first and the record last, so a cell with a record is done. `SCHEMA` explains every
key. This module needs only the standard library, so any program can read a record.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any

from sigma.errors import SigmaError, did_you_mean
from sigma.files import write_atomic
from sigma.text import PLAIN_NAME_RULE, is_plain_name

SCHEMA_VERSION = 1
MIN_COVERAGE_PERCENT = 99.0
# Start of the note that training used a transform similar to a tested corruption.
TRAINED_WITH = 'training pipeline contains'

# key -> (types, what it holds). If None is among the types, the key may be absent. A published number
# (`published` true) may also lack the sections PUBLISHED_LACKS, since papers seldom state them.
SCHEMA: dict[str, tuple[tuple[type, ...], str]] = {
    'schema': ((int,), 'version of this table'),
    'cell.id': ((str,), 'identity_hash(identity), 64 hex digits'),
    'cell.name': ((str,), '<encoder>_<protocol>_<dataset>[_<shots>][_<recipe>]_s<seed>; also the file name'),
    'identity': ((dict,), 'everything that decides the score, as it was hashed'),
    'score.metric': ((str,), 'name of the primary metric, such as top1 (eval/metrics)'),
    'score.value': ((float,), 'the score, not rounded'),
    'score.unit': ((str,), 'percent (0 to 100), or ratio'),
    'score.higher_is_better': ((bool,), 'direction of the metric'),
    'score.others': ((dict, NoneType), 'further metrics of the same predictions: {metric: value}'),
    'dataset.name': ((str,), 'name of the dataset card'),
    'dataset.split': ((str,), 'split that was scored, such as test'),
    'dataset.list_sha256': ((str,), 'hash of the list file of that split'),
    'dataset.num_classes': ((int,), 'number of classes'),
    'dataset.num_listed': ((int,), 'videos in the list'),
    'dataset.num_scored': ((int,), 'videos with a prediction'),
    'dataset.unscored': ((list, NoneType), 'the others: [{video, reason}]'),
    'dataset.readers': ((dict, NoneType), 'test videos by the reader that served them: {reader: videos}'),
    'dataset.train_list_sha256': ((str, NoneType), 'hash of the list trained on, before the subset is drawn'),
    'dataset.num_train': ((int, NoneType), 'training videos used'),
    'dataset.num_train_skipped': ((int, NoneType), 'training videos that could not be read'),
    'dataset.limit': ((int, NoneType), 'for a trial: videos of each split that were used (--limit); None is all'),
    'subset': ((dict, NoneType), 'which part of the training list; None is all of it'),
    'subset.name': ((str,), 'kind of subset, such as 5-a-class; must agree in a column'),
    'subset.seed': ((int, NoneType), 'seed of the draw; differs between the seeds of one column'),
    'subset.sha256': ((str, NoneType), 'hash of the drawn list'),
    'sampling': ((dict, NoneType), 'how the frames of a training clip were chosen; None if not recorded'),
    'sampling.name': ((str,), 'such as dense or published; must agree in a column'),
    'sampling.num_frames': ((int, NoneType), 'frames of a clip'),
    'sampling.stride_frames': ((int, NoneType), 'video frames from one sampled frame to the next; None if it varies'),
    'sampling.clip_fps': ((float, NoneType), 'sampled frames per second, if clips are taken by time'),
    'sampling.step_frames': ((int, NoneType), 'for sliding clips: video frames from one start to the next'),
    'sampling.stills': ((int, NoneType), 'of images: how often each is repeated to make a clip'),
    'sampling.views': ((str, NoneType), 'test views, temporal x spatial, such as 5x3'),
    'encoder.name': ((str,), 'name of the encoder card'),
    'encoder.checkpoint': ((str, NoneType), 'file the weights came from; None for weights drawn at random'),
    'encoder.sha256': ((str, NoneType), 'hash of that file'),
    'encoder.pretraining_data': ((str, NoneType), 'what it was pretrained on; None for nothing'),
    'encoder.source': (
        (str, NoneType),
        'paper, address or command behind the weights or the published number',
    ),
    'encoder.flops': ((float, NoneType), 'operations of its forward pass for one clip; multiply and add are two'),
    'encoder.pretraining_flops': ((float, NoneType), 'operations of its pretraining; None if its card does not say'),
    'protocol.name': ((str,), 'such as finetune or frozen_linear'),
    'protocol.version': ((int,), 'raised when its numbers would change; a published number may not say'),
    'protocol.evaluator_version': ((int, NoneType), 'version of the code that turns outputs into scores'),
    'protocol.source': ((str, NoneType), 'where the protocol is described'),
    'recipe.name': ((str, NoneType), 'training recipe; None if there is none'),
    'config_sha256': ((str,), 'hash of the resolved config next to the record'),
    'predictions_sha256': ((str, NoneType), 'hash of the predictions next to the record'),
    'seed': ((int,), 'seed of the cell'),
    'selection.epoch': ((int, NoneType), 'epoch whose weights were scored'),
    'selection.steps': ((int, NoneType), 'optimizer steps until then, where an encoder is fine-tuned'),
    'selection.how': ((str,), 'how it was chosen: last, or best on which split'),
    'run.num_processes': ((int,), 'processes that trained together'),
    'run.batch_size': ((int, NoneType), 'clips per optimizer step, over all processes'),
    'run.device': ((str,), 'name of the device'),
    'run.started': ((str,), 'ISO 8601, with the offset from UTC'),
    'run.seconds': ((float,), 'wall-clock seconds of the cell'),
    'run.command': ((str, NoneType), 'command that measures the cell again'),
    'run.commit': ((str, NoneType), 'commit of this project; None outside a repository'),
    'run.clean': ((bool, NoneType), 'whether the working tree matched that commit'),
    'run.packages': ((dict, NoneType), 'relevant packages: {name: version}'),
    'published': ((bool,), 'true for a number copied from a paper'),
    'notes': ((list,), 'remarks for the reader'),
}
SECTIONS = {key.partition('.')[0] for key in SCHEMA if '.' in key}
PUBLISHED_LACKS = ('dataset', 'protocol', 'config_sha256', 'seed', 'selection', 'run')
PUBLISHED_HAS = ('dataset.name', 'protocol.name')
# Sections that may be absent as a whole; and keys that older records lack, which then are not compared.
OPTIONAL_SECTIONS = ('subset', 'sampling')
MAY_BE_UNSAID = ('sampling.name',)

# The fields that the records of one column share.
COMPARED = (
    *('score.metric', 'score.unit', 'score.higher_is_better'),
    *('protocol.name', 'protocol.version', 'protocol.evaluator_version'),
    *('dataset.name', 'dataset.split', 'dataset.list_sha256', 'dataset.num_classes'),
    'dataset.limit',
    *('subset.name', 'selection.how', 'sampling.name'),
)


class RecordError(SigmaError):
    """A record that cannot be read, written or compared; the message is a sentence for the user."""


@dataclass
class Record:
    """What one cell of the benchmark measured. Keys of the dicts: `SCHEMA`."""

    cell: dict
    identity: dict
    score: dict
    dataset: dict
    encoder: dict
    protocol: dict
    seed: int | None = None
    subset: dict | None = None
    recipe: dict = field(default_factory=dict)
    config_sha256: str | None = None
    predictions_sha256: str | None = None
    selection: dict = field(default_factory=dict)
    sampling: dict | None = None
    run: dict = field(default_factory=dict)
    published: bool = False
    notes: list[str] = field(default_factory=list)
    schema: int = SCHEMA_VERSION
    # Path of the file; reading and writing set it. Not part of the record.
    path: Path | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.subset, dict) and isinstance(self.subset.get('name'), str):
            self.subset = self.subset | {'name': spelled(self.subset['name'])}

    @property
    def name(self) -> str:
        return self.cell['name']

    def get(self, key: str) -> Any:
        """Value under a dotted key of `SCHEMA`; None if it is absent."""
        section, _, leaf = key.partition('.')
        value = getattr(self, section)
        return value if not leaf else (value or {}).get(leaf)

    def to_dict(self) -> dict:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != 'path'}


def subset_name(shots: int | None, examples: int | None) -> str | None:
    """How a subset is called in cells, records and tables: `5-a-class`, `1000-examples`; None for all clips."""
    return f'{examples}-examples' if examples else f'{shots}-a-class' if shots else None


def spelled(subset: str) -> str:
    """A subset's name as `subset_name` spells it; older records say `5_a_class`."""
    return re.sub(r'^(\d+)[ _-](examples|a[ _-]class)$', lambda m: f'{m[1]}-{re.sub("[ _]", "-", m[2])}', subset)


def identity_hash(identity: dict) -> str:
    """sha256 (hex) of the canonical JSON of `identity`: keys sorted as strings, no spaces, tuples as lists.

    Raises:
        RecordError: if a part has no JSON form (a path, a NaN, an array).
    """
    try:
        # Hash the identity as it will be read back from JSON: {10: 0, 9: 0} sorts differently from {'10': 0, '9': 0}.
        plain = json.loads(json.dumps(identity, allow_nan=False))
        text = json.dumps(plain, sort_keys=True, separators=(',', ':'), ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise RecordError(f'the identity of a cell holds something that JSON cannot express: {error}') from error
    return hashlib.sha256(text.encode()).hexdigest()


def record_path(root: str | Path, encoder: str, protocol: str, version: int | None, cell_name: str) -> Path:
    """Path of a cell's record under the work directory `root`; a published number has no version."""
    for part in (encoder, protocol, cell_name):
        if not is_plain_name(part):
            raise RecordError(f'{part!r} names a file: use {PLAIN_NAME_RULE}')
    folder = f'{protocol}-v{version}' if version is not None else f'{protocol}-published'
    return Path(root) / 'records' / encoder / folder / f'{cell_name}.json'


def predictions_path(path: str | Path) -> Path:
    """Path of the predictions of the record at `path`."""
    return Path(path).with_name(Path(path).name.removesuffix('.json') + '.predictions.npz')


def config_path(path: str | Path) -> Path:
    """Path of the resolved config of the record at `path`."""
    return Path(path).with_name(Path(path).name.removesuffix('.json') + '.config.py')


def log_path(path: str | Path) -> Path:
    """Path of a copy of the log beside the record at `path`; merged folders have one (`tools/records.py merge`)."""
    return Path(path).with_name(Path(path).name.removesuffix('.json') + '.log')


def find_log(record: Record) -> Path | None:
    """The log of a record's cell: beside the record, else in its work directory; None if there is none."""
    if record.path is None:
        return None
    beside = log_path(record.path)
    if beside.is_file() or len(record.path.parents) < 4:
        return beside if beside.is_file() else None
    # <work_dir>/records/<encoder>/<protocol>-v<version>/<cell>.json
    found = record.path.parents[3] / 'cells' / f'{record.name}-{record.cell["id"][:8]}' / 'cell.log'
    return found if found.is_file() else None


def set_aside(path: str | Path) -> Path | None:
    """Move a record, its predictions and its config to `<work_dir>/superseded`, where nothing counts as a result.

    Used if a cell kept its name but changed its identity. Returns the new path, or None if there was no record.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        suffix = read_record(path).cell['id'][:8]
    except RecordError:
        suffix = 'unreadable'
    folder = path.parents[3] / 'superseded' / path.parent.relative_to(path.parents[2])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f'{path.stem}.{suffix}.json'
    # The record goes first: without it the cell counts as not done, whatever happens next.
    for beside in (Path, predictions_path, config_path):
        if beside(path).exists():
            os.replace(beside(path), beside(target))
    return target


def write_record(record: Record, root: str | Path) -> Path:
    """Write a record under the work directory `root`, whole or not at all; set its `path` and return it.

    This replaces a record of the same name; call `set_aside` first to keep one with another identity.

    Raises:
        RecordError: if the record does not fit `SCHEMA`.
    """
    raw = record.to_dict()
    _check(raw, f'record {record.cell.get("name")!r}')
    encoder, protocol = raw['encoder']['name'], raw['protocol']
    path = record_path(root, encoder, protocol['name'], protocol['version'], record.name)
    text = json.dumps(raw, indent=2, ensure_ascii=False, allow_nan=False) + '\n'
    record.path = write_atomic(path, text.encode())
    return record.path


def read_record(path: str | Path) -> Record:
    """Read one record.

    Raises:
        RecordError: if the file is absent, is not JSON, or does not fit `SCHEMA`; names the file and the key.
    """
    path = Path(path)
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise RecordError(f'{path}: cannot be read: {error.strerror}') from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f'{path}: not a JSON file ({error}); if it was a record, run its cell again') from error
    if not isinstance(raw, dict) or not isinstance(raw.get('cell'), dict) or 'score' not in raw:
        raise RecordError(f'{path}: not a result record; give a work directory of eval/run_severe.py')
    _check(raw, str(path))
    return Record(**raw, path=path)


def read_records(root: str | Path) -> list[Record]:
    """All records of a work directory, of a records folder, or of a single file; sorted by path.

    Raises:
        RecordError: if there is none, or one cannot be read.
    """
    return [read_record(path) for path in record_files(root)]


def readable_records(root: str | Path) -> tuple[list[Record], list[str]]:
    """Like `read_records`, but leaves out files that are damaged or no records.

    Returns:
        The records that can be read, and one sentence for each file that was left out.

    Raises:
        RecordError: if no file can be read.
    """
    records, faults = [], []
    for path in record_files(root):
        try:
            records.append(read_record(path))
        except RecordError as error:
            faults.append(str(error))
    if not records:
        more = f' ({len(faults)} files, none is a record that can be read)' if len(faults) > 1 else ''
        raise RecordError(f'{faults[0]}{more}')
    return records, faults


def record_files(root: str | Path) -> list[Path]:
    """Paths of the JSON files where records may be: a work directory, a records folder, or a single file; sorted.

    Raises:
        RecordError: if there is none.
    """
    root = Path(root)
    if not root.exists():
        raise RecordError(f'{root}: no such folder; give a work directory of eval/run_severe.py')
    if root.is_file():
        return [root]
    folder = root / 'records' if (root / 'records').is_dir() else root
    paths = sorted(path for path in folder.rglob('*.json') if not path.name.startswith('.'))
    if not paths:
        raise RecordError(f'{folder}: no result records; run eval/run_severe.py --work-dir {root} first')
    return paths


def _check(raw: dict, where: str) -> None:
    """Check `raw` against SCHEMA and for consistency; set absent optional keys to None."""
    version = raw.get('schema')
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RecordError(f'{where}: has schema {version}, but this code reads up to {SCHEMA_VERSION}; update the code')
    published = raw.get('published') is True
    for key, (kinds, meaning) in SCHEMA.items():
        section, _, leaf = key.partition('.')
        if leaf and section in OPTIONAL_SECTIONS and raw[section] is None:
            continue
        holder = raw.setdefault(section, {}) if leaf else raw
        if not isinstance(holder, dict):
            raise RecordError(f'{where}: {section!r} is {holder!r}, wanted a dict')
        value = holder.setdefault(leaf or section, None)
        may_lack = published and section in PUBLISHED_LACKS and key not in PUBLISHED_HAS
        if value is None and NoneType not in kinds and not may_lack:
            raise RecordError(f'{where}: {key!r} is missing ({meaning})')
        if value is not None and not _is_a(value, kinds):
            wanted, found = kinds[0].__name__, type(value).__name__
            raise RecordError(f'{where}: {key!r} is {value!r} ({found}), wanted {wanted} ({meaning})')
    for section, value in raw.items():
        for key in [f'{section}.{leaf}' for leaf in value or ()] if section in SECTIONS else [section]:
            if key not in SCHEMA:
                known = [other for other in SCHEMA if other.startswith(section + '.')] or SECTIONS
                raise RecordError(f'{where}: {did_you_mean("key", key, known)}')
    _check_sense(raw, where)


def _is_a(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (isinstance(value, int) and float in kinds)


def _is_finite(value: Any) -> bool:
    """Whether it is a number that a float can hold."""
    return _is_a(value, (float,)) and abs(value) <= sys.float_info.max


def _check_sense(raw: dict, where: str) -> None:
    """Check what involves more than one key."""
    if raw['cell']['id'] != identity_hash(raw['identity']):
        raise RecordError(f"{where}: 'cell.id' is not the hash of 'identity'; one was changed after the run")
    if raw['published'] and not raw['encoder']['source']:
        raise RecordError(f"{where}: a published number must name its paper in 'encoder.source'")
    score, dataset = raw['score'], raw['dataset']
    for metric, value in {score['metric']: score['value'], **(score['others'] or {})}.items():
        if not _is_finite(value):
            raise RecordError(f'{where}: {metric} is {value!r}, wanted a finite number')
    if score['unit'] == 'percent' and score['higher_is_better'] and not 0 <= score['value'] <= 100:
        raise RecordError(f'{where}: {score["metric"]} is {score["value"]}, wanted percent from 0 to 100')
    listed, scored = dataset['num_listed'], dataset['num_scored']
    if listed is not None and scored is not None:
        unscored = dataset['unscored'] = dataset['unscored'] or []
        for entry in unscored:
            if not isinstance(entry, dict) or set(entry) != {'video', 'reason'}:
                raise RecordError(f"{where}: 'dataset.unscored' holds {entry!r}, wanted {{video, reason}}")
        if scored < 1 or scored + len(unscored) != listed:
            given = f'{scored} scored and {len(unscored)} named as unscored'
            raise RecordError(f'{where}: {listed} videos listed, but {given}')


def coverage(record: Record) -> float | None:
    """Percent of the listed videos that were scored; None if a published number does not state it."""
    listed, scored = record.get('dataset.num_listed'), record.get('dataset.num_scored')
    return None if listed is None or scored is None else 100 * scored / listed


def differences(records: Iterable[Record]) -> list[tuple[str, dict[Any, list[str]]]]:
    """Fields of `COMPARED` on which records differ, in that order: [(field, {value: [record names]})].

    What a published number does not state is not compared, nor is the sampling if an older record lacks it. Subsets
    are compared by kind, since each seed draws its own.
    """
    records, found = list(records), []
    for key in COMPARED:
        values: dict[Any, list[str]] = {}
        for record in records:
            value = record.get(key)
            if value is not None or not (record.published or key in MAY_BE_UNSAID):
                values.setdefault(value, []).append(record.name)
        if len(values) > 1:
            found.append((key, values))
    return found


def what_differs(former: dict, now: dict) -> str:
    """What two identities of one cell differ in, for a reader: `videos of test`, `the weights`, `config.optimizer`."""
    words = {
        'protocol.version': "the protocol's version",
        'encoder.weights': 'the weights',
        'dataset.lists': 'the list of {}',
        'dataset.videos': 'the videos of {}',
    }
    found = []
    for path in _paths_apart(former, now):
        known = next((key for key in words if path == key or path.startswith(f'{key}.')), None)
        found.append(words[known].format(path[len(known) + 1 :]) if known else path)
    return ', '.join(found[:3]) + (f' and {len(found) - 3} more' if len(found) > 3 else '')


def _paths_apart(former: Any, now: Any, path: str = '') -> Iterator[str]:
    """Dotted keys at which two nested dicts differ, at most two levels deep."""
    if isinstance(former, dict) and isinstance(now, dict) and path.count('.') < 2:
        for key in dict.fromkeys([*former, *now]):
            yield from _paths_apart(former.get(key), now.get(key), f'{path}.{key}' if path else str(key))
    elif json.dumps(former, sort_keys=True) != json.dumps(now, sort_keys=True):
        yield path


def is_partial(record: Record) -> bool:
    """Whether too few of the listed videos were scored for the score to represent the list."""
    share = coverage(record)
    return share is not None and share < MIN_COVERAGE_PERCENT


def check_comparable(records: Iterable[Record]) -> None:
    """Check that all records may share one column. Records that lack videos pass; tables mark them (`is_partial`).

    Args:
        records: Records of one protocol, dataset and kind of subset.

    Raises:
        RecordError: names the first field that differs, and its values.
    """
    if unlike := differences(records):
        key, values = unlike[0]
        said = '; '.join(f'{value!r} in {_some(names)}' for value, names in values.items())
        also = f' (they differ in {", ".join(other for other, _ in unlike[1:])} too)' if unlike[1:] else ''
        raise RecordError(f'records differ in {key}: {said}{also}; show them separately, or run the older ones again')


def check_versions(records: Iterable[Record]) -> None:
    """Check that no protocol has records of several versions: their numbers differ for reasons of the protocol.

    Raises:
        RecordError: names the protocol, and the versions with their records.
    """
    found: dict[str, dict[int, list[str]]] = {}
    for record in records:
        if (version := record.get('protocol.version')) is not None:
            found.setdefault(record.protocol['name'], {}).setdefault(version, []).append(record.name)
    for protocol, versions in found.items():
        if len(versions) > 1:
            said = '; '.join(f'{version} in {_some(versions[version])}' for version in sorted(versions))
            each = ' and '.join(f'{protocol} v{version}' for version in sorted(versions))
            raise RecordError(
                f'records differ in protocol.version: {said}; show {each} separately, or run the older ones again'
            )


def _some(names: list[str]) -> str:
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')
