"""Whether the videos on disk are still the ones that were indexed.

Size and modification time are compared first, which costs one `stat` per video. Another size means another file. If
only the time differs (a copy, `touch`), the bytes are hashed; equal bytes are the same video. What was hashed is
remembered in `<index>.verified` next to the index, so that a copied dataset is hashed once and not for every cell.

A file that was replaced by one of the same size, with the old time put back, goes unnoticed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sigma.data.index import VideoInfo
from sigma.files import sha256_file, write_atomic
from sigma.processes import num_cpus, progress_bar

State = tuple[str, int, int]  # hash, size in bytes and modification time in ns of a file


def changed_videos(videos: Iterable[tuple[VideoInfo, Path]], index: Path) -> tuple[list[str], list[str]]:
    """Names of the indexed videos that are gone, and of those whose bytes are no longer the indexed ones.

    Args:
        videos: Entries of the index, each with its file. A video that was already missing, or whose state is not in
            the index, is not compared; one that was unreadable is compared too, since it may have been repaired.
        index: The index file; `<index>.verified` is read and written next to it, if the folder can be written to.
    """
    memory = index.with_name(f'{index.name}.verified')
    gone, changed, unclear = [], [], {}
    verified: Mapping[str, State] | None = None  # read only if a time differs
    for video, file in videos:
        try:
            stat = file.stat()
        except OSError:
            if video.readable:
                gone.append(video.path)
            continue
        if not video.mtime_ns or (stat.st_size, stat.st_mtime_ns) == (video.size_bytes, video.mtime_ns):
            continue
        if stat.st_size == video.size_bytes == 0:
            continue
        if stat.st_size != video.size_bytes:
            changed.append(video.path)
            continue
        if verified is None:
            verified = _read_memory(memory)
        state = (video.sha256, stat.st_size, stat.st_mtime_ns)
        if verified.get(video.path) != state:
            unclear[video.path] = (file, state)
    if unclear:
        same = _with_their_hash(unclear)
        changed += [path for path in unclear if path not in same]
        _write_memory(memory, {**(verified or {}), **same})
    return gone, sorted(changed)


def _with_their_hash(files: Mapping[str, tuple[Path, State]]) -> dict[str, State]:
    """Those of the files whose bytes have the given hash."""

    def found(file: Path) -> str:
        try:
            return sha256_file(file)
        except OSError:
            return ''  # it cannot be read, so it is not what was indexed

    same = {}
    with (
        ThreadPoolExecutor(min(8, num_cpus())) as pool,  # hashing releases the interpreter's lock
        progress_bar('comparing videos with the index', len(files)) as advance,
    ):
        hashes = pool.map(found, (file for file, _ in files.values()))
        for (path, (_, state)), sha256 in zip(files.items(), hashes):
            if sha256 == state[0]:
                same[path] = state
            advance()
    return same


def _read_memory(file: Path) -> dict[str, State]:
    """path -> state of the videos that were hashed before; empty if there is no such file or it is damaged."""
    try:
        found = json.loads(file.read_text(encoding='utf-8'))
        return {path: (str(sha256), int(size), int(mtime)) for path, (sha256, size, mtime) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_memory(file: Path, verified: Mapping[str, State]) -> None:
    if os.access(file.parent, os.W_OK):
        with contextlib.suppress(OSError):  # a full disk: the next start hashes again
            write_atomic(file, json.dumps(verified, indent=0, sort_keys=True) + '\n')
