"""Merge folders of records, as from several machines or people, into one work directory. No torch.

A cell that stands in several folders with the same score is copied once. Records that could not stand in one table are
refused. Each file is written whole or not at all, and the record of a cell last, so a merge that was killed goes on
when the same command runs again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eval.records import (
    Record,
    RecordError,
    config_path,
    find_log,
    log_path,
    predictions_path,
    readable_records,
    record_files,
    record_path,
    what_differs,
)
from eval.report.table import check_alike
from sigma.files import sha256_file, write_atomic


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        copied: Records that are new in the merged folder.
        known: Cells that were there already.
        copies: Further copies of cells, which were not needed.
        faults: Sentences on records that were left out, because they or their files are damaged.
        notes: Sentences on records that lack predictions.
    """

    copied: list[Path] = field(default_factory=list)
    known: list[Path] = field(default_factory=list)
    copies: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def merge(places: Sequence[str | Path], out: str | Path, told: Callable[[Path], None] = lambda path: None) -> Merged:
    """Copy the records of some folders, with predictions, configs and logs, into the work directory `out`.

    Args:
        places: Work directories, folders of records, or single records.
        out: Work directory to write to. Records that it already holds count as one more folder.
        told: Called with the path of each record once it is written.

    Returns:
        What was copied and what was left out.

    Raises:
        RecordError: if no record can be read, or records are unlike: one cell with two scores, one name for two cells,
            or records that `eval.report.table.Table` would refuse. Nothing is written then.
        OSError: if a file cannot be written; what was copied until then stays, and the next merge goes on.
    """
    out, done = Path(out), Merged()
    if out.exists() and not out.is_dir():
        raise RecordError(f'{out} is a file; give a folder to merge into')
    found: list[Record] = []
    for place in [*_if_it_has_records(out), *places]:
        records, faults = readable_records(place)
        found += records
        done.faults += faults
    targets = _targets(found, out, done)
    check_alike(record for copies in targets.values() for record in copies)
    for target, copies in targets.items():
        _bring(copies, target, done, told)
    return done


def _if_it_has_records(out: Path) -> list[Path]:
    """`out`, if it holds files that may be records."""
    try:
        return [out] if record_files(out / 'records') else []
    except RecordError:
        return []


def _targets(records: Iterable[Record], out: Path, done: Merged) -> dict[Path, list[Record]]:
    """Path of each cell in the merged folder -> its copies.

    Raises:
        RecordError: if two cells would get the same path.
    """
    targets: dict[Path, list[Record]] = {}
    for record in records:
        try:
            protocol = record.protocol
            target = record_path(out, record.encoder['name'], protocol['name'], protocol['version'], record.name)
        except RecordError as error:  # a name that would leave the folder
            done.faults.append(f'{record.path}: {error}')
            continue
        copies = targets.setdefault(target, [])
        if copies and copies[0].cell['id'] != record.cell['id']:
            apart = what_differs(copies[0].identity, record.identity) or 'their identity'
            raise RecordError(
                f'{copies[0].path} and {record.path} are two cells with one name; they differ in {apart}; run one '
                'under another name (--encoders NAME=ENCODER), or merge only one of the two'
            )
        if record.path not in [copy.path for copy in copies]:
            copies.append(record)
    return targets


def _bring(copies: list[Record], target: Path, done: Merged, told: Callable[[Path], None]) -> None:
    """Copy one cell to its place: the first copy that is whole, with predictions if any copy has them."""
    here = [record for record in copies if record.path == target]
    faults: list[str] = []
    whole: list[tuple[bool, Record, dict[Path, bytes]]] = []
    for record in [*here, *(record for record in copies if record.path != target)]:
        try:
            files = _files_beside(record, target)
        except RecordError as error:
            faults.append(str(error))
            continue
        complete = not record.predictions_sha256 or predictions_path(record.path or target).is_file()
        whole.append((complete, record, files))
        if complete:
            break
    if not whole:
        done.faults += faults
        return
    complete, record, files = max(whole, key=lambda each: each[0])
    done.copies += len(copies) - 1
    if not complete:
        done.notes.append(f'{record.path}: has no predictions beside it, so intervals are less precise')
    if record.path == target:
        done.known.append(target)
        return
    assert record.path is not None
    for path, data in files.items():
        write_atomic(path, data)
    write_atomic(target, record.path.read_bytes())  # last: a cell with a record is done
    done.copied.append(target)
    told(target)


def _files_beside(record: Record, target: Path) -> dict[Path, bytes]:
    """New path -> bytes of predictions, config and log, as far as they are there.

    Raises:
        RecordError: if predictions or config are not those that the record was written with.
    """
    assert record.path is not None
    files = {}
    for beside, sha256 in ((predictions_path, record.predictions_sha256), (config_path, record.config_sha256)):
        path = beside(record.path)
        if not path.is_file():
            continue
        if path == beside(target):
            found = sha256_file(path)
        else:
            files[beside(target)] = data = path.read_bytes()
            found = hashlib.sha256(data).hexdigest()
        if sha256 not in (None, found):
            raise RecordError(f'{path}: not the file that its record was written with; run the cell again')
    log = find_log(record)
    if log is not None and log != log_path(target):
        files[log_path(target)] = log.read_bytes()
    return files
