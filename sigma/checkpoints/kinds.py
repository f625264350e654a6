"""What a file really is when it is called a checkpoint and is none: told by its first bytes."""

import struct
import zipfile
from pathlib import Path

_HEAD = 512
_MAGIC = (
    (b'version https://git-lfs', 'a Git LFS pointer, not the file itself; fetch it with: git lfs pull'),
    (b'%PDF', 'a PDF document; download the checkpoint itself'),
    (b'\x1f\x8b', 'a gzip archive; unpack it first'),
    (b'BZh', 'a bzip2 archive; unpack it first'),
    (b'\xfd7zXZ', 'an xz archive; unpack it first'),
    (b'7z\xbc\xaf', 'a 7z archive; unpack it first'),
    (b'\x89HDF', 'an HDF5 file (Keras, h5py); only PyTorch and safetensors files can be read'),
    (b'\x93NUMPY', 'a numpy array; only PyTorch and safetensors files can be read'),
)


def what_it_is(path: Path) -> str | None:
    """What a file is and what to do about it, as the end of a sentence; None if it may be a PyTorch file.

    Knows empty files, Git LFS pointers, web pages, archives, TorchScript, and files that were cut short.
    """
    size = path.stat().st_size
    if size == 0:
        return 'an empty file; download or create it again'
    if is_safetensors(path):  # the length of its header may look like another kind
        return None
    with path.open('rb') as file:
        head = file.read(_HEAD)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    text = head.lstrip(b'\xef\xbb\xbf \t\r\n').lower()
    if text.startswith((b'<!doctype', b'<html', b'<head', b'<body', b'<?xml')):
        return 'a web page (HTML or XML), not a checkpoint; the download link led to a page, so download it again'
    if text.startswith((b'{"', b"{'", b'{\n', b'[{')) and b'\x00' not in head:
        return 'a JSON text, not a checkpoint; if it is the answer of a server, download the file again'
    if head[257:262] == b'ustar' and b'storages' not in head[:100]:
        return 'a tar archive; unpack it first'
    return _what_zip(path, size) if head.startswith((b'PK\x03\x04', b'PK\x05\x06')) else None


def _what_zip(path: Path, size: int) -> str | None:
    try:
        if not zipfile.is_zipfile(path):
            return f'cut short: the end of the file is missing after {size} bytes; download it again'
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error):
        return None  # damaged; torch will say how
    if any(name.endswith('/constants.pkl') for name in names) and any('/code/' in name for name in names):
        return 'a TorchScript program, which would have to be run; ask for the state_dict of its model'
    if any(name.endswith('data.pkl') for name in names):
        return None
    if names and all(name.endswith('.npy') for name in names):
        return 'a file of numpy arrays (.npz); only PyTorch and safetensors files can be read'
    first = f', first {names[0][:80]!r}' if names else ''
    return f'a zip archive of {len(names)} other files{first}, not a checkpoint; unpack it first'


def is_safetensors(path: Path) -> bool:
    """Whether a file begins like safetensors: the length of a JSON header, then its brace. The name does not count."""
    with path.open('rb') as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b'{' and int.from_bytes(head[:8], 'little') <= path.stat().st_size


def is_pytorch(path: Path) -> bool:
    """Whether a file begins like one of `torch.save`: a zip archive, or a pickle of protocol 2."""
    with path.open('rb') as file:
        return file.read(4).startswith((b'PK\x03\x04', b'\x80\x02'))
