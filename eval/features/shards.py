"""One file of the feature store: the features of a few videos, with a checksum. It is read without loading it.

A shard is a safetensors file of float16 tensors. Its header holds one text: which videos the rows are, which videos
could not be decoded, and the sha256 of each tensor. The file appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from sigma.errors import DataError
from sigma.files import MOST_HEADER_BYTES, write_atomic


class DamagedShard(Exception):
    """A shard that is incomplete, or whose bytes differ from its checksum."""


@dataclass(frozen=True)
class Shard:
    """A checked shard.

    Attributes:
        path: Its file.
        rows: Positions in the list of the videos that have features, in order; n of them.
        failed: (position, reason) of each video that could not be decoded.
        places: tensor -> (offset in bytes, shape); the first length of a shape is n.
    """

    path: Path
    rows: list[int]
    failed: list[tuple[int, str]]
    places: dict[str, tuple[int, tuple[int, ...]]]

    def values(self, name: str) -> np.ndarray:
        """(n, ...) float16, mapped from the file: the disk is read where rows are used."""
        offset, shape = self.places[name]
        if 0 in shape:
            return np.zeros(shape, np.float16)
        return np.memmap(self.path, '<f2', 'r', offset, shape)


def write_shard(
    path: Path, key: str, rows: list[int], failed: list[tuple[int, str]], tensors: dict[str, np.ndarray]
) -> None:
    """Write a shard whole or not at all. The same content gives the same bytes.

    Args:
        key: What the features depend on, as a hash. A shard is only read for the same key.
        rows, failed: See `Shard`.
        tensors: name -> (n, ...) float16.
    """
    said = json.dumps(
        {
            'key': key,
            'rows': rows,
            'failed': [list(pair) for pair in failed],
            'sha256': {name: _sha256(values) for name, values in tensors.items()},
        }
    )
    # One entry: the order of several is not fixed.
    about = {'sigma': json.dumps({'said': said, 'sha256': hashlib.sha256(said.encode()).hexdigest()})}
    kept = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    write_atomic(path, safetensors.numpy.save(kept, about))


def read_shard(path: Path, key: str, check: tuple[str, ...] = ()) -> Shard:
    """Read the header of a shard, and check tensors by their checksums.

    Args:
        key: As it was written.
        check: Tensors to check. This reads them once from the disk.

    Raises:
        FileNotFoundError: if there is no such file.
        DamagedShard: if the file is incomplete or a checksum is wrong.
        DataError: if it was made with another key.
    """
    try:
        with open(path, 'rb') as file:
            (size,) = struct.unpack('<Q', file.read(8))
            if size > MOST_HEADER_BYTES:
                raise ValueError('its header is too long')
            header = json.loads(file.read(size))
            length = file.seek(0, 2)
        about = json.loads(header.pop('__metadata__')['sigma'])
        if hashlib.sha256(about['said'].encode()).hexdigest() != about['sha256']:
            raise ValueError('wrong checksum of its header')
        said = json.loads(about['said'])
        places = {name: (8 + size + one['data_offsets'][0], tuple(one['shape'])) for name, one in header.items()}
        shard = Shard(path, said['rows'], [tuple(pair) for pair in said['failed']], places)
        if length != 8 + size + max(one['data_offsets'][1] for one in header.values()):
            raise ValueError(f'it has {length} bytes, its header promises another number')
        for name in check:
            if header[name]['dtype'] != 'F16' or _sha256(shard.values(name)) != said['sha256'][name]:
                raise ValueError(f'wrong checksum of its {name}')
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OSError, struct.error) as error:
        raise DamagedShard(f'{path}: {error}') from error
    if said['key'] != key:
        raise DataError(f'{path} holds features of other weights, videos or another view; remove it.')
    return shard


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data.cast('B') if values.size else b'').hexdigest()
