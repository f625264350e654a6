"""The index of a dataset: what one strict read of every video found.

`build_index` decodes each file whole with PyAV and stops at errors (decord and OpenCV silently return damaged frames).
It writes `index.jsonl`: a header line, then one JSON object per video, sorted by path. Training skips what the index
calls unreadable; evaluation counts it as not scored. The list files next to it have mmaction2's format: `path label`
per line (sigma/data/lists.py).

The index also says how each file is read at random places: which readers were seen to return its right frames
(sigma/video/proof.py), and when each frame is shown.

Strict reading finds what the decoder can notice: broken streams, files that end early, no frames. Flipped bits that
still form a valid stream (VP8 accepts any) decode to wrong pixels and go unnoticed; the sha256 tells such files apart.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TextIO

from sigma.errors import DataError
from sigma.files import sha256_file, write_atomic
from sigma.processes import ProcessDied, in_processes, progress_bar
from sigma.video import (
    STILL,
    FrameTimes,
    Proof,
    UnreadableVideo,
    installed_readers,
    prove,
    read_still,
    read_whole,
    reason_of,
)
from sigma.video.seeking import runs_of

_log = logging.getLogger(__name__)

INDEX_VERSION = 2  # 2: readers proved for each file, times of frames
BUSY_SECONDS = 3600.0  # a decoder that works on one file for longer is taken to go round in circles
NO_SUCH_FILE = 'no such file'  # the reason for a listed video that is not on disk


@dataclass(frozen=True)
class VideoInfo:
    """One video on disk.

    Attributes:
        path: Path relative to the index's root, with forward slashes.
        readable: Whether every frame decoded without an error.
        reason: Why it is not readable; empty when it is.
        frames: Frames that a player shows; 0 if unreadable.
        fps: Mean frames per second, from the timestamps of the frames; 0 if unreadable.
        width, height: Pixels of an upright frame; 0 if unreadable.
        size_bytes, mtime_ns: Size and modification time of the file; if either changes, a later run reads it again.
        file: The file, relative to the root, if it is not at `path`: lists of published datasets use the published
            names, whatever the folder and extension of a copy.
        sha256: Hash of the file's bytes; empty if they could not be read.
        times: When each frame is shown, as `FrameTimes.to_json` writes it: the constant rate, or milliseconds.
        rotation: Degrees counterclockwise, 0, 90, 180 or 270, that make the decoded frames upright.
        colour: What the stream says about its colours: matrix, range, primaries, transfer (`sigma.video.Colour`).
        key_frames: Frame numbers of key frames, as runs: `0x25+12` is 0, 12, ... (25 of them).
        has_b_frames: Whether a frame refers to later ones.
        readers: Reader -> whether its random access was right, of those that were tried. PyAV from the start of the
            file always is.
        seeking: Where PyAV may start to read, as `SeekTable.to_text` writes it; empty: at the start.
    """

    path: str
    readable: bool = False
    reason: str = ''
    frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    mtime_ns: int = 0
    sha256: str = ''
    file: str = ''
    times: float | list[int] = 0.0
    rotation: int = 0
    colour: list[int] = field(default_factory=list)
    key_frames: str = ''
    has_b_frames: bool = False
    readers: dict[str, bool] = field(default_factory=dict)
    seeking: str = ''

    @property
    def frame_times(self) -> FrameTimes | None:
        """When each frame is shown; None if the video is not readable, or an entry made by hand does not say."""
        rate = self.times or self.fps
        return FrameTimes.from_json(rate, self.frames) if self.readable and self.frames and rate else None

    @property
    def proof(self) -> Proof | None:
        """What `sigma.video.open_reader` needs to know of the file; None if it is not readable."""
        proved = tuple(name for name, is_right in self.readers.items() if is_right)
        return Proof(self.frames, proved, self.seeking) if self.readable else None


class Index(Mapping):
    """What is on disk: path (as in the list files) -> VideoInfo.

    Attributes:
        root: Folder that the paths are relative to.
        videos: path -> VideoInfo, sorted by path.
    """

    def __init__(self, root: str | Path, videos: Iterable[VideoInfo]):
        self.root = Path(root)
        self.videos = {video.path: video for video in sorted(videos, key=lambda video: video.path)}

    def __getitem__(self, path: str) -> VideoInfo:
        return self.videos[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.videos)

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def unreadable(self) -> list[VideoInfo]:
        """Videos that could not be read, sorted by path."""
        return [video for video in self.values() if not video.readable]


# ----------------------------------------------------------------------------------------------- reading one file


def read_strictly(path: str, root: str | Path = '.', file: str = '', readers: Sequence[str] = ('pyav',)) -> VideoInfo:
    """Decode every frame of one file and say what it holds. Raises nothing: any failure becomes the `reason`.

    Args:
        path: Name of the video in the lists, relative to `root`.
        root: Folder of the dataset.
        file: The file, relative to `root`, if it is not at `path`.
        readers: Readers to try on it; `STILL` alone for an image.
    """
    known: dict[str, Any] = {'path': path, 'file': file}
    place = Path(root) / (file or path)
    try:
        stat = place.stat()
        known.update(size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)
        if stat.st_size == 0:
            return VideoInfo(**known, reason='the file is empty')
        known['sha256'] = sha256_file(place)
        if STILL in readers:
            return VideoInfo(**known, **_still(place))
        whole = read_whole(place, known['sha256'])
        proof = prove(place, whole, known['sha256'], readers)
        return VideoInfo(
            **known,
            readable=True,
            frames=whole.frames,
            fps=round(whole.fps, 6),
            width=whole.width,
            height=whole.height,
            times=whole.times.to_json(),
            rotation=whole.rotation,
            colour=list(astuple(whole.colour)),
            key_frames=runs_of(whole.key_frames),
            has_b_frames=whole.has_b_frames,
            readers={name: name in proof.readers for name in readers},
            seeking=proof.seeking,
        )
    except FileNotFoundError:
        return VideoInfo(**known, reason=NO_SUCH_FILE)
    except (UnreadableVideo, OSError, EOFError, ValueError) as error:
        return VideoInfo(**known, reason=reason_of(error))
    except Exception as error:  # whatever else a file brings up in a library: it must not stop the other files
        return VideoInfo(**known, reason=f'{type(error).__name__}: {reason_of(error)}')


def _still(place: Path) -> dict[str, Any]:
    """Fields of an image: a video of one frame that lasts a second."""
    height, width = read_still(place, strict=True).shape[:2]
    shown = {'frames': 1, 'fps': 1.0, 'times': 1.0, 'width': width, 'height': height}
    return {'readable': True, 'readers': {STILL: True}} | shown


# -------------------------------------------------------------------------------------------------- the whole index


def build_index(
    root: str | Path,
    paths: Iterable[str],
    out: str | Path,
    workers: int | None = None,
    progress: bool = True,
    files: Mapping[str, str] | None = None,
    stills: bool = False,
) -> Index:
    """Read all videos in parallel processes and write their index; nothing is read twice.

    Results are appended to `<out>.partial` as they arrive, and the finished index is renamed into place, so the same
    call resumes after a kill. Entries whose size and modification time still match are kept. A file that kills its
    decoder twice, or on which it hangs (`sigma.processes.StuckWatch`), is called unreadable; the others continue.

    Args:
        root: Folder of the dataset.
        paths: The videos, relative to `root`; a path given twice is read once.
        out: The index file, usually `index.jsonl`. Its folder is created.
        workers: Processes; None uses one per available CPU.
        progress: Show a progress bar with the remaining time on stderr.
        files: path -> the file, relative to `root`; a path without an entry has no file. None means that every file is
            at its path.
        stills: The files are images, each a video of one frame (`sigma/video/stills.py`).

    Besides PyAV, the readers named in the environment variable SIGMA_PROVE are tried on each file (`decord`,
    `torchcodec`). They are slower, and opening them would cost more than all else (docs/reading.md).

    Returns:
        The finished index, as `load_index(out)` would give it.
    """
    root, out = Path(root).resolve(), Path(out)
    readers = (STILL,) if stills else readers_to_prove()
    partial = out.with_name(f'{out.name}.partial')
    out.parent.mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys(paths))
    if (version := _version_of(out)) not in (None, INDEX_VERSION):
        _log.warning(
            '%s is an index of version %s, which does not say which reader is right for which file; all videos are '
            'read again for version %s.', out, version, INDEX_VERSION,
        )  # fmt: skip
    former = {**_former_entries(out, root), **_former_entries(partial, root)}
    if files is None:
        files = dict.fromkeys(paths, '')
    videos = {path: VideoInfo(path, reason=NO_SUCH_FILE) for path in paths if path not in files}
    places = {path: '' if files[path] == path else files[path] for path in paths if path in files}
    for path, place in places.items():
        if path in former and _is_unchanged(root, known := replace(former[path], file=place), readers):
            videos[path] = known
    jobs: list[_Job] = [
        (path, str(root), place, tuple(readers)) for path, place in places.items() if path not in videos
    ]
    header = json.dumps({'version': INDEX_VERSION, 'root': _stored_root(root, out.parent)})
    what = 'reading images' if stills else 'reading videos'
    with _open_partial(partial, header) as lines, progress_bar(what, len(jobs), progress) as advance:
        for (path, _, file, _), result in _read_all(jobs, workers):
            if isinstance(result, ProcessDied):
                result = VideoInfo(path, reason=_why_died(result), file=file)
            videos[path] = result
            lines.write(json.dumps(asdict(result)) + '\n')
            lines.flush()
            advance()
    index = Index(root, videos.values())
    write_atomic(out, '\n'.join([header, *(json.dumps(asdict(video)) for video in index.values())]) + '\n')
    partial.unlink(missing_ok=True)
    return index


_DIED = 'the decoder process died on it'
_STUCK = 'the decoder hangs on it'


def _why_died(died: ProcessDied) -> str:
    if died.stuck_seconds:
        return f'{_STUCK}: no progress for {died.stuck_seconds:.0f} s'
    return f'{_DIED} ({died.exit_code})'


def readers_to_prove() -> tuple[str, ...]:
    """PyAV, and what SIGMA_PROVE names.

    Raises:
        DataError: if it names an unknown reader, or one that is not installed.
    """
    asked = os.environ.get('SIGMA_PROVE', '').replace(',', ' ').split()
    for name in asked:
        if name not in installed_readers():
            raise DataError(f'SIGMA_PROVE names the reader {name!r}; installed are {", ".join(installed_readers())}.')
    return tuple(dict.fromkeys(('pyav', *asked)))


_Job = tuple[str, str, str, Sequence[str]]  # path, root, file, readers to try


def _read_all(jobs: list[_Job], workers: int | None) -> Iterator[tuple[_Job, VideoInfo | ProcessDied]]:
    """(job, result) of all jobs. Where a process dies, PyAV alone is tried: another reader may have crashed."""
    died = []
    for job, result in in_processes(_read_job, jobs, workers, busy_seconds=BUSY_SECONDS):
        if isinstance(result, ProcessDied):
            died.append((*job[:3], (STILL,) if STILL in job[3] else ('pyav',)))
        else:
            yield job, result
    yield from in_processes(_read_job, died, workers, busy_seconds=BUSY_SECONDS) if died else ()


def _read_job(job: _Job) -> VideoInfo:
    return read_strictly(*job)


def _stored_root(root: Path, folder: Path) -> str:
    """Relative if the videos are under the index's folder, so that the folder can be moved; else absolute."""
    folder = folder.resolve()
    return root.relative_to(folder).as_posix() if root.is_relative_to(folder) else str(root)


def _is_unchanged(root: Path, video: VideoInfo, readers: Sequence[str]) -> bool:
    """Whether an earlier entry still holds, and tells of these readers.

    If the decoder died or hung, read again: the machine may have been busy.
    """
    try:
        stat = (root / (video.file or video.path)).stat()
    except OSError:
        return False
    same = (stat.st_size, stat.st_mtime_ns) == (video.size_bytes, video.mtime_ns)
    told = not video.readable or set(readers) <= set(video.readers)
    return same and told and not video.reason.startswith((_DIED, _STUCK))


def _version_of(file: Path) -> int | None:
    """Version of an index on disk; None if there is none, or its header cannot be read."""
    try:
        with file.open(encoding='utf-8') as lines:
            return json.loads(lines.readline())['version']
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _former_entries(file: Path, root: Path) -> dict[str, VideoInfo]:
    """Entries of an index for this root and version; a kill may have left half a line."""
    if not file.is_file():
        return {}
    entries = {}
    for number, line in enumerate(file.read_text(encoding='utf-8').splitlines()):
        try:
            if number == 0:
                header = json.loads(line)
                if header['version'] != INDEX_VERSION or (file.parent / header['root']).resolve() != root:
                    return {}
            elif line:
                video = VideoInfo(**json.loads(line))
                entries[video.path] = video
        except (ValueError, TypeError, KeyError):
            if number == 0:
                return {}
    return entries


def _open_partial(partial: Path, header: str) -> TextIO:
    """Open for appending after the header line; completes half a line that a kill left."""
    text = partial.read_text(encoding='utf-8') if partial.is_file() else ''
    goes_on = text.partition('\n')[0] == header
    lines = partial.open('a', encoding='utf-8')
    try:
        fcntl.flock(lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lines.close()
        raise DataError(f'Another process is reading the videos for {partial.parent}; wait for it.') from None
    except OSError:
        pass  # a file system without locks
    if not goes_on:
        lines.truncate(0)
    if not goes_on:
        lines.write(header + '\n')
    elif not text.endswith('\n'):
        lines.write('\n')
    return lines


def load_index(path: str | Path) -> Index:
    """Read a finished index.

    Raises:
        DataError: if it is missing, has another version, or has a malformed line, which is named.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"No index at '{path}': write it with tools/prepare.py.")
    lines = path.read_text(encoding='utf-8').splitlines()
    try:
        header = json.loads(lines[0])
        version, root = header['version'], header['root']
    except (IndexError, ValueError, TypeError, KeyError):
        raise DataError(
            f"'{path}' is not an index: its first line is not a header. Write it again with tools/prepare.py."
        ) from None
    if version != INDEX_VERSION:
        raise DataError(
            f"'{path}' is an index of version {version}; this code reads version {INDEX_VERSION}, which says for each "
            'file which reader returns its right frames. Prepare the dataset again: its videos are read once more.'
        )
    videos, names = [], [field.name for field in fields(VideoInfo)]
    for number, line in enumerate(lines[1:], start=2):
        try:
            videos.append(VideoInfo(**json.loads(line)))
        except (ValueError, TypeError):
            raise DataError(
                f"'{path}' line {number} is not a JSON object of {', '.join(names)}; prepare it again."
            ) from None
    return Index((path.parent / root).resolve(), videos)
