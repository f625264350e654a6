"""CIFAR-100: images and fine labels from the user's copy, the Python version or the binary version.

The images become files, `train-00000.ppm` and so on in the order of the copy: the same bytes from both versions. The
Python version is a pickle; only numpy arrays and plain values in it are built, so nothing in the file is run.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sigma.data.cards import DatasetCard
from sigma.datasets.published import Lists
from sigma.datasets.published._files import reading
from sigma.errors import DataError
from sigma.files import write_atomic

SIDE = 32
_PIXELS = 3 * SIDE * SIDE
_FOLDERS = {'cifar-100-python': '', 'cifar-100-binary': '.bin'}  # folder of a version -> suffix of its files
_ARRAY = {'_reconstruct', 'ndarray', 'dtype'}


def unpack(root: Path, out: Path, card: DatasetCard) -> Path:
    """Write each image as a file into `out/images`; those that are there already are kept.

    Returns:
        That folder.

    Raises:
        DataError: if `root` holds neither version, or its files are not as published.
    """
    images = out / 'images'
    images.mkdir(parents=True, exist_ok=True)
    for split in ('train', 'test'):
        pictures, _ = _split(root, split, card)
        for number, planes in enumerate(pictures):
            content = f'P6\n{SIDE} {SIDE}\n255\n'.encode() + planes.reshape(3, SIDE, SIDE).transpose(1, 2, 0).tobytes()
            file = images / _name(split, number)
            if not file.is_file() or file.stat().st_size != len(content):
                write_atomic(file, content, durable=False)
    return images


def read(annotations: Path, card: DatasetCard, videos: Sequence[str]) -> Lists:
    """Names and fine labels of both splits, in the order of the copy."""
    splits = {}
    for split in ('train', 'test'):
        labels = _split(annotations, split, card)[1].tolist()
        splits[split] = [(_name(split, number), label) for number, label in enumerate(labels)]
    return Lists(splits)


def _name(split: str, number: int) -> str:
    return f'{split}-{number:05d}.ppm'


def _split(root: Path, split: str, card: DatasetCard) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3072) uint8 pixels, channel by channel, and (N,) fine labels."""
    file = _file(root, split, card)
    with reading(file, card):
        if file.suffix == '.bin':  # a record: coarse label, fine label, pixels
            records = np.frombuffer(file.read_bytes(), np.uint8).reshape(-1, 2 + _PIXELS)
            return records[:, 2:], records[:, 1].astype(np.int64)
        content = _unpickled(file.read_bytes())
        pixels, labels = content[b'data'], np.array(content[b'fine_labels'])
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), _PIXELS):
            raise ValueError(f'pixels of shape {pixels.shape}, type {pixels.dtype}, for {len(labels)} labels')
        return pixels, labels


def _file(root: Path, split: str, card: DatasetCard) -> Path:
    for folder, suffix in _FOLDERS.items():
        for file in (root / folder / f'{split}{suffix}', root / f'{split}{suffix}'):
            if file.is_file():
                return file
    raise DataError(
        f"{card.name} needs {' or '.join(_FOLDERS)}, and '{root}' has no file {split} or {split}.bin in such a folder. "
        f'Get it from: {card.info["obtain"]}.'
    )


class _Arrays(pickle.Unpickler):
    """Builds plain values and numpy arrays, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ('numpy', 'numpy.core.multiarray', 'numpy._core.multiarray') and name in _ARRAY:
            return np.ndarray.__reduce__(np.empty(0))[0] if name == '_reconstruct' else getattr(np, name)
        if (module, name) == ('_codecs', 'encode'):  # how Python 3 writes bytes for Python 2
            return lambda text, _: text.encode('latin1')
        raise ValueError(f'it names {module}.{name}, and arrays need no such thing')


def _unpickled(content: bytes) -> dict:
    try:
        found = _Arrays(io.BytesIO(content), encoding='bytes').load()
    except (pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f'a damaged pickle: {error}') from None
    if not isinstance(found, dict):
        raise TypeError(f'a pickle of a {type(found).__name__}')
    return found
