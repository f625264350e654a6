"""Files written whole or not at all, and the hash of a file. Needs only the standard library."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

MOST_HEADER_BYTES = 100_000_000  # as safetensors itself


def sha256_file(path: str | os.PathLike) -> str:
    """Hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def state_header(path: str | os.PathLike) -> dict:
    """The JSON that `sigma.checkpoints` keeps in a safetensors file, read without torch and without the tensors.

    Nested states become plain dicts; a tensor's place holds None. Empty if there is no file, or it is another one.
    """
    try:
        with open(path, 'rb') as file:
            (size,) = struct.unpack('<Q', file.read(8))
            if size > MOST_HEADER_BYTES:
                return {}
            header = json.loads(json.loads(file.read(size))['__metadata__']['sigma'])
        return header | {'tree': _plain(header['tree'])} if 'tree' in header else header
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return {}


def _plain(tree: Any) -> Any:
    """A tree of `sigma.checkpoints.files` as plain dicts and lists."""
    if isinstance(tree, list):
        return [_plain(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((mark, content),) = tree.items()
    if mark == '@dict':
        return {key: _plain(item) for key, item in content}
    return None if mark == '@tensor' else [_plain(item) for item in content]


def write_atomic(path: str | os.PathLike, data: bytes | str, durable: bool = True) -> Path:
    """Write a file whole or not at all; create its folder. A reader sees either the old bytes or the new ones.

    Args:
        data: Text is written as UTF-8.
        durable: Flush to the disk first, so that the file survives a power cut.
    """
    with open_atomic(path, durable) as file:
        file.write(data.encode('utf-8') if isinstance(data, str) else data)
    return Path(path)


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike, durable: bool = True) -> Iterator[BinaryIO]:
    """Like `write_atomic`, for content that is written piece by piece: the file appears when the block ends."""
    with atomic_path(path, durable) as temporary, open(temporary, 'wb') as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike, durable: bool = True) -> Iterator[Path]:
    """A temporary path in the same folder, for a library to fill; it is renamed to `path` when the block ends.

    The file gets the permissions of the user's umask, whatever the library set. Any file at `path` stays until then,
    and stays if the block raises.

    Raises:
        OSError: if the disk refuses (full, read-only); its `filename` is `path`.
    """
    path = Path(path)
    temporary = path.parent / f'.{path.name}.{uuid.uuid4().hex[:8]}.tmp'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'xb') as file:  # not with tempfile, whose files only their owner can read
            rights = os.fstat(file.fileno()).st_mode & 0o777
        yield temporary
        with open(temporary, 'rb+') as file:
            os.fchmod(file.fileno(), rights)
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            _flush_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # the error of a full disk does not name the file
        raise


def _flush_folder(folder: Path) -> None:
    """Flush the folder, so that the rename survives a power cut; some file systems cannot do this."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
