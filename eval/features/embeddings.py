"""Embeddings of videos for other programs: one vector per video, per time step, or all tokens, in one file.

    E.parquet            path, label, class, split, vector; what was asked is in the file's metadata (`sigma`)
    E.npy, E.csv, E.json vectors; one line per row of them: path, label, class, split; what was asked

The work is cut into parts of a few videos. Each part is written into `<file>.parts` whole or not at all, so a command
that was killed goes on, several processes can share the parts (`shard`), and memory does not grow with the dataset.
The last one joins the parts in the order of the lists and removes them. The same request gives the same bytes.

Shape letters: B videos of a batch, V views, T' H' W' token grid, D feature width, N videos.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from mmengine.dataset import pseudo_collate
from torch.utils.data import ConcatDataset, DataLoader

from eval.cells.cell import Cards
from eval.cells.encoders import EncoderCard
from eval.cells.machine import num_workers
from eval.features.clips import build_backbone, encode
from eval.features.views import evaluation_pipeline
from eval.records import identity_hash
from sigma.data.cards import DatasetCard
from sigma.data.clips import VideoClips
from sigma.errors import DataError
from sigma.files import open_atomic, write_atomic
from sigma.processes import progress_bar

FORMAT_VERSION = 1
POOLS = ('mean', 'time', 'none')
KINDS = ('.parquet', '.npy')
DECODER = 'proved'
_MOST_VIDEOS = 64  # of a part: what a kill may cost
_MOST_PART_BYTES = 64_000_000  # of a part: what is held in memory


@dataclass(frozen=True)
class Request:
    """What to embed.

    Attributes:
        dataset: Card or prepared folder.
        encoder: As in `eval.cells.encoders.Reference`.
        out: File to write; its extension decides the format.
        pool: `mean` over all tokens and views: (D,); `time`: the mean of each time step: (T', D), clip after clip;
            `none`: all tokens: (T', H', W', D).
        splits: Splits of the card, in this order; default all.
        views: Clips and crops per video; default (2, 1) for `mean`, (1, 1) otherwise.
        stride_frames: Video frames between sampled frames; default: the dataset card's, else the encoder's.
        batch_size: Videos per encoder pass.
        seed: Of random weights.

    Raises:
        DataError: if a value is unknown or out of range, or pyarrow is missing for .parquet.
    """

    dataset: str
    encoder: str
    out: Path
    pool: str = 'mean'
    splits: tuple[str, ...] | None = None
    views: tuple[int, int] | None = None
    stride_frames: int | None = None
    batch_size: int = 8
    seed: int = 0
    _cards: Cards = field(default_factory=Cards, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.pool not in POOLS:
            raise DataError(f'--pool is {self.pool!r}; known: {", ".join(POOLS)}.')
        if self.out.suffix not in KINDS:
            raise DataError(f'--out {self.out} must end in one of: {", ".join(KINDS)}.')
        if self.out.suffix == '.parquet' and importlib.util.find_spec('pyarrow') is None:
            raise DataError(
                f'--out {self.out} needs the package pyarrow, which is not installed: pip install pyarrow; or '
                f'write {self.out.with_suffix(".npy")}, which needs nothing.'
            )
        clips, crops = self.num_views
        if clips < 1 or crops not in (1, 3):
            raise DataError(f'--views {clips}x{crops}: there must be 1 clip or more, and 1 or 3 crops.')
        if (self.pool == 'time' and crops > 1) or (self.pool == 'none' and clips * crops > 1):
            raise DataError(f'--pool {self.pool} keeps places apart, so --views {clips}x{crops} cannot be averaged.')
        for name in ('batch_size', 'stride_frames'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f'--{name.replace("_", "-")} is {value}; it must be 1 or more.')
        unknown = [split for split in self.splits or () if split not in self.card.info['splits']]
        if unknown:
            self.card.split(unknown[0])  # raises, naming the known ones

    @property
    def num_views(self) -> tuple[int, int]:
        """Clips and crops."""
        return self.views or ((2, 1) if self.pool == 'mean' else (1, 1))

    @cached_property
    def card(self) -> DatasetCard:
        """The dataset's card."""
        return self._cards.dataset(self.dataset)

    @cached_property
    def encoder_card(self) -> EncoderCard:
        """The encoder's card."""
        return self._cards.encoder(self.encoder)

    @cached_property
    def split_names(self) -> tuple[str, ...]:
        """Splits in the order of the file."""
        return self.splits or tuple(self.card.info['splits'])

    @cached_property
    def rows(self) -> list[dict]:
        """Every listed video in the order of the file: path, label, class, split."""
        classes = self.card.info.get('classes')
        return [
            {
                'path': _text(entry['video']),
                'label': entry['label'],
                'class': _class_of(entry['label'], classes if self.card.task != 'repetition' else None),
                'split': split,
            }
            for split in self.split_names
            for entry in self.card.entries(split)
        ]

    @cached_property
    def pipeline(self) -> list[dict]:
        """How clips are read: evenly spaced, short side and centre or three crops, as `frozen_default`."""
        clips, crops = self.num_views
        info = self.encoder_card.info['clip']
        sampling = self.card.info.get('sampling') or {}
        stride = self.stride_frames or sampling.get('stride_frames') or info['stride_frames']
        views = {'num_clips': clips, 'crops': crops, 'resize': 'short_side'}
        return evaluation_pipeline(info, views, stride, DECODER)

    @cached_property
    def key(self) -> dict:
        """Everything that the values depend on."""
        encoder = self.encoder_card
        return {
            'version': FORMAT_VERSION,
            'encoder': {
                'name': encoder.name,
                'backbone': encoder.backbone(),
                'weights': encoder.sha256() or f'random, seed {self.seed}',
                'mean': list(encoder.mean),
                'std': list(encoder.std),
            },
            'dataset': {
                'name': self.card.name,
                'lists': {split: self.card.list_sha256(split) for split in self.split_names},
                'videos': {split: self.card.content_sha256(split) for split in self.split_names},
            },
            'pool': self.pool,
            'splits': list(self.split_names),
            'pipeline': self.pipeline,
            'batch_size': self.batch_size,
            'format': self.out.suffix,
        }

    @property
    def folder(self) -> Path:
        """Where the parts lie until the file is written."""
        return self.out.with_name(f'{self.out.name}.parts')


@dataclass(frozen=True)
class Embedded:
    """What there is after `embed`.

    Attributes:
        num_videos: Rows of the finished file, or videos in the finished parts.
        unreadable: {path, split, reason} of each video without a row.
        missing_parts, num_parts: Parts that other shards still have to make, of all; 0 once the file is written.
    """

    num_videos: int
    unreadable: list[dict]
    missing_parts: int
    num_parts: int


def embed(request: Request, shard: tuple[int, int] = (1, 1), progress: bool = True) -> Embedded:
    """Make the embeddings that are missing, and write the file when all are there.

    Args:
        request: What to embed.
        shard: (I, N): make the I-th of N shares, I from 1 to N.
        progress: Show progress on stderr.

    Raises:
        DataError: if the file exists and was made for another request, parts of another request lie beside it, another
            process works on this share, features are not finite, no video can be read, or the disk is too small.
    """
    own = _id(request)  # reads all cards and lists: nothing is written if one is wrong
    if request.out.exists():
        said = _said_by(request.out)
        if said is None or said['id'] != own:
            raise DataError(f'{request.out} already exists{_unlike(request, said)}; choose another name or move it.')
        return Embedded(said['num_videos'], said['unreadable'], 0, 0)
    request.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(request.folder / f'shard-{shard[0]}-of-{shard[1]}.lock', timeout=0):
            parts = _Parts.open(request)
            _make(request, parts, [n for n in range(len(parts)) if n % shard[1] == shard[0] - 1], progress)
    except Timeout:
        raise DataError(
            f'Another process works on shard {shard[0]}/{shard[1]} of {request.out}; wait for it.'
        ) from None
    missing = [n for n in range(len(parts)) if not parts.path(n).is_file()]
    if missing:
        made = [parts.read(n) for n in range(len(parts)) if n not in set(missing)]
        return Embedded(sum(len(part.rows) for part in made), _failures(request, made), len(missing), len(parts))
    return _join(request, parts)


# --- parts ---------------------------------------------------------------------------------------------------------


@dataclass
class _Part:
    """Rows of `Request.rows`, their values (n, ...) float32, and the reasons why other rows have none."""

    rows: np.ndarray
    values: np.ndarray
    failed: list[tuple[int, str]]


@dataclass
class _Parts:
    """The parts of a request in their folder."""

    folder: Path
    num_rows: int
    videos_per_part: int
    shape: tuple[int, ...]

    @classmethod
    def open(cls, request: Request) -> _Parts:
        """Parts that were begun, or the plan of new ones.

        Raises:
            DataError: if the folder holds parts of another request, or the disk is too small.
        """
        file = request.folder / 'request.json'
        with FileLock(request.folder / 'request.lock'):
            if not file.is_file():
                shape = _shape_of_one(request)
                one = 4 * math.prod(shape)
                _check_disk(request, one)
                plan = {'shape': shape, 'videos': max(1, min(_MOST_VIDEOS, _MOST_PART_BYTES // one))}
                write_atomic(file, json.dumps(plan | {'id': _id(request), 'key': request.key}, indent=1))
            said = json.loads(file.read_text())
        if said['id'] != _id(request):
            raise DataError(
                f'{request.folder} holds parts for another request{_unlike(request, said)}; finish that one, or remove '
                'the folder.'
            )
        return cls(request.folder, len(request.rows), said['videos'], tuple(said['shape']))

    def __len__(self) -> int:
        return math.ceil(self.num_rows / self.videos_per_part)

    def rows(self, number: int) -> range:
        """Rows of a part."""
        first = number * self.videos_per_part
        return range(first, min(first + self.videos_per_part, self.num_rows))

    def path(self, number: int) -> Path:
        """File of a part."""
        return self.folder / f'{number:06d}.npz'

    def is_whole(self, number: int) -> bool:
        """Whether a part is there; a damaged file (an interrupted copy) counts as absent."""
        try:
            self.read(number)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return False
        return True

    def read(self, number: int) -> _Part:
        """A finished part."""
        with np.load(self.path(number), allow_pickle=False) as file:
            return _Part(file['rows'], file['values'], [tuple(pair) for pair in json.loads(str(file['failed']))])

    def write(self, number: int, part: _Part) -> None:
        """Store a part, whole or not at all."""
        buffer = io.BytesIO()
        np.savez(buffer, rows=part.rows, values=part.values, failed=np.array(json.dumps(part.failed)))
        write_atomic(self.path(number), buffer.getvalue())


def _make(request: Request, parts: _Parts, numbers: list[int], progress: bool) -> None:
    """Make those of these parts that are missing, in one pass."""
    absent = [number for number in numbers if not parts.is_whole(number)]
    if not absent:
        return
    backbone = build_backbone(request.encoder_card, request.encoder_card.backbone(), request.seed)
    total, size = sum(len(parts.rows(n)) for n in numbers), request.batch_size
    batches = [list(rows[i : i + size]) for rows in map(parts.rows, absent) for i in range(0, len(rows), size)]
    loader: Any = DataLoader(
        ConcatDataset(_clips(request)), batch_sampler=batches, num_workers=num_workers(), collate_fn=pseudo_collate
    )
    found = encode(backbone, request.encoder_card, loader)
    with progress_bar(f'embeddings of {request.card.name}', total, progress) as advance:
        for _ in range(total - sum(map(len, batches))):
            advance()  # those of an earlier run
        waiting = iter(batches)
        for number in absent:
            rows: list = []
            values: list = []
            failed: list = []
            while len(rows) + len(failed) < len(parts.rows(number)):
                for row, sample, value in zip(next(waiting), *_pooled(request, *next(found))):
                    if sample.decode_error is not None:
                        failed.append((row, ' '.join(sample.decode_error.split())))
                    else:
                        rows.append(row)
                        values.append(value)
                    advance()
            stacked = np.stack(values) if values else np.zeros((0, *parts.shape), np.float32)
            if not np.isfinite(stacked).all():
                bad = request.rows[rows[int(np.argmin(np.isfinite(stacked.reshape(len(rows), -1)).all(axis=1)))]]
                raise DataError(f'{bad["path"]}: its features are not finite; check the encoder.')
            parts.write(number, _Part(np.array(rows, np.int64), stacked, failed))


def _clips(request: Request) -> list[VideoClips]:
    return [VideoClips(request.dataset, request.pipeline, split, test_mode=True) for split in request.split_names]


def _pooled(request: Request, samples: list, tokens: torch.Tensor, shape: torch.Size) -> tuple[list, np.ndarray]:
    """The samples of a batch, and what is kept of each."""
    views = tokens.unflatten(0, shape)  # (B, V, T', H', W', D)
    if request.pool == 'mean':
        kept = views.mean(dim=(1, 2, 3, 4))
    elif request.pool == 'time':
        kept = views.mean(dim=(3, 4)).flatten(1, 2)  # (B, V*T', D)
    else:
        kept = views[:, 0]
    return samples, kept.cpu().numpy()


@torch.no_grad()
def _shape_of_one(request: Request) -> tuple[int, ...]:
    """Shape of what is kept of a video, found by encoding clips of zeros."""
    card, (clips, crops) = request.encoder_card, request.num_views
    clip = card.info['clip']
    backbone = build_backbone(card, card.backbone(), request.seed)
    tokens = backbone(torch.zeros(1, 3, clip['num_frames'], clip['size'], clip['size']))
    tokens = tokens.expand(clips * crops, *tokens.shape[1:])
    return tuple(_pooled(request, [], tokens, torch.Size((1, clips * crops)))[1].shape[1:])


def _check_disk(request: Request, bytes_per_video: int) -> None:
    """Parts and the file lie side by side for a moment."""
    needed, free = 2 * bytes_per_video * len(request.rows) / 1e9, shutil.disk_usage(request.folder).free / 1e9
    if needed > free:
        raise DataError(
            f'{request.out}: {len(request.rows)} videos take {needed:.1f} GB while they are made, and {free:.1f} GB '
            'are free; choose another disk, --pool mean, or one --split at a time.'
        )


# --- the file ------------------------------------------------------------------------------------------------------


def _join(request: Request, parts: _Parts) -> Embedded:
    """Write the file from all parts, then remove them. Of several processes, one does it."""
    with FileLock(request.out.with_name(f'.{request.out.name}.lock')) as lock:
        if request.out.exists():  # another shard came first
            said = _said_by(request.out) or {}
            return Embedded(said['num_videos'], said['unreadable'], 0, 0)
        said = {'id': _id(request), 'key': request.key, 'shape': list(parts.shape), 'num_videos': 0, 'unreadable': []}
        for number in range(len(parts)):
            part = parts.read(number)
            said['num_videos'] += len(part.rows)
            said['unreadable'] += _failures(request, [part])
        if not said['num_videos']:
            shutil.rmtree(request.folder, ignore_errors=True)
            why = said['unreadable'][0] if said['unreadable'] else {'path': 'none', 'reason': 'the lists are empty'}
            raise DataError(f'{request.card.name}: no video could be read, first {why["path"]}: {why["reason"]}')
        write = _write_parquet if request.out.suffix == '.parquet' else _write_npy
        write(request, parts, said)
        shutil.rmtree(request.folder, ignore_errors=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    return Embedded(said['num_videos'], said['unreadable'], 0, 0)


def _write_npy(request: Request, parts: _Parts, said: dict) -> None:
    """E.csv and E.json first, E.npy last: with it, the work is done."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator='\n')
    writer.writerow(['path', 'label', 'class', 'split'])
    for part in map(parts.read, range(len(parts))):
        for row in (request.rows[i] for i in part.rows):
            label = ';'.join(map(str, row['label'])) if isinstance(row['label'], tuple) else row['label']
            writer.writerow([row['path'], label, row['class'], row['split']])
    write_atomic(request.out.with_suffix('.csv'), table.getvalue())
    write_atomic(request.out.with_suffix('.json'), json.dumps(said, indent=1) + '\n')
    with open_atomic(request.out) as file:
        shape = (said['num_videos'], *parts.shape)
        np.lib.format.write_array_header_1_0(file, {'descr': '<f4', 'fortran_order': False, 'shape': shape})
        for part in map(parts.read, range(len(parts))):
            file.write(part.values.astype('<f4').tobytes())


def _write_parquet(request: Request, parts: _Parts, said: dict) -> None:
    """One row group per part, so that readers stream as well."""
    import pyarrow
    import pyarrow.parquet

    several = any(isinstance(row['label'], tuple) for row in request.rows)
    kind: Any = pyarrow.float32()
    for side in reversed(parts.shape):
        kind = pyarrow.list_(kind, side)
    label = pyarrow.list_(pyarrow.int64()) if several else pyarrow.int64()
    fields = [('path', pyarrow.string()), ('label', label), ('class', pyarrow.string()), ('split', pyarrow.string())]
    schema = pyarrow.schema([*fields, ('vector', kind)], metadata={'sigma': json.dumps(said)})
    with open_atomic(request.out) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for part in map(parts.read, range(len(parts))):
            rows = [request.rows[i] for i in part.rows]
            columns = [pyarrow.array([row[name] for row in rows], of) for name, of in fields]
            vectors: Any = pyarrow.array(part.values.reshape(-1))
            for side in reversed(parts.shape):
                vectors = pyarrow.FixedSizeListArray.from_arrays(vectors, side)
            writer.write_table(pyarrow.table([*columns, vectors], schema=schema))


def _said_by(out: Path) -> dict | None:
    """What a finished file says that it holds; None if it is not one of ours."""
    try:
        if out.suffix == '.npy':
            return json.loads(out.with_suffix('.json').read_text())
        import pyarrow.parquet

        return json.loads(pyarrow.parquet.read_schema(out).metadata[b'sigma'])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _failures(request: Request, parts: list[_Part]) -> list[dict]:
    return [
        {'path': request.rows[row]['path'], 'split': request.rows[row]['split'], 'reason': reason}
        for part in parts
        for row, reason in part.failed
    ]


def _id(request: Request) -> str:
    return identity_hash(request.key)


def _unlike(request: Request, said: dict | None) -> str:
    """`, for pool 'time' instead of 'mean'`: the first difference between two requests; empty if it is unknown."""
    return next((f', for another {where}' for where in _paths_that_differ(request.key, (said or {}).get('key'))), '')


def _paths_that_differ(key: Any, other: Any, path: str = '') -> Iterator[str]:
    if isinstance(key, dict) and isinstance(other, dict):
        for name in key:
            yield from _paths_that_differ(key[name], other.get(name), f'{path}.{name}' if path else name)
    elif path and json.loads(json.dumps(key)) != other:
        plain = all(not isinstance(value, (dict, list)) for value in (key, other))
        yield f'{path} ({other!r} instead of {key!r})' if plain else path


def _class_of(label: Any, classes: list[str] | None) -> str:
    """Name of a class, or names joined by `; `; the number itself for a count."""
    if classes is None:
        return ''
    return '; '.join(_text(str(classes[n])) for n in (label if isinstance(label, tuple) else (label,)))


def _text(name: str) -> str:
    """A name as valid UTF-8; bytes that are none are written as `\\udce9`."""
    return name.encode('utf-8', 'backslashreplace').decode('utf-8')
