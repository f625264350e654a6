"""Arrays of an .npz file in memory, inflated by libdeflate where it is installed: half the time of zlib. No torch."""

from __future__ import annotations

import importlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

deflate: Any
try:
    deflate = importlib.import_module('deflate')
except ImportError:  # no wheel for this machine; zlib gives the same bytes
    deflate = None

LOCAL_HEADER_BYTES = 30
# Deflate shrinks nothing more than this; a file that claims more is damaged or hostile, and is read in small pieces.
MOST_RATIO = 1032


def read_arrays(data: bytes, names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of these names, as `numpy.load` gives them, without pickle.

    Raises:
        KeyError: if one is missing.
        zipfile.BadZipFile: if the file, or one of these arrays, is damaged.
        ValueError: if a member is no array, or holds objects.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [_member(archive, data, archive.getinfo(f'{name}.npy')) for name in names]
    return [np.lib.format.read_array(io.BytesIO(member), allow_pickle=False) for member in members]


def _member(archive: zipfile.ZipFile, data: bytes, info: zipfile.ZipInfo) -> bytes:
    """The bytes of a member, checked against its checksum."""
    plain = info.compress_type == zipfile.ZIP_DEFLATED and not info.flag_bits & 1
    if deflate is None or not plain or info.file_size > MOST_RATIO * info.compress_size:
        try:
            return archive.read(info)
        except (zlib.error, RuntimeError, NotImplementedError) as error:  # also a password, an unknown compression
            raise zipfile.BadZipFile(f'{info.filename}: {error}') from error
    header = data[info.header_offset : info.header_offset + LOCAL_HEADER_BYTES]
    if len(header) < LOCAL_HEADER_BYTES or not header.startswith(b'PK\x03\x04'):
        raise zipfile.BadZipFile(f'{info.filename}: no file header where the directory says')
    start = info.header_offset + LOCAL_HEADER_BYTES
    start += int.from_bytes(header[26:28], 'little') + int.from_bytes(header[28:30], 'little')  # name, extra field
    try:
        found = deflate.deflate_decompress(memoryview(data)[start : start + info.compress_size], info.file_size)
    except deflate.DeflateError as error:
        raise zipfile.BadZipFile(f'{info.filename}: {error}') from error
    if len(found) != info.file_size or deflate.crc32(found) != info.CRC:
        raise zipfile.BadZipFile(f'{info.filename}: its checksum is wrong')
    return bytes(found)
