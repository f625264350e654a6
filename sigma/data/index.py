"""The index of a dataset: every video read once and strictly, and what was found.

`build_index` decodes each file whole by PyAV with errors raised (decord and OpenCV hand out damaged frames without
a word) and writes `index.jsonl`: a header line, then one JSON object a video, sorted by path. Training leaves out
what the index calls unreadable, evaluation counts it as not scored. The list files beside it are mmaction2's:
`path label` a line (sigma/data/lists.py).

A strict reading finds what the decoder can know: broken streams, files that end early, no frames. Flipped bits that
still make a valid stream (VP8 accepts any) decode to wrong pixels and stay unseen; the sha256 tells such files apart.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from sigma.errors import DataError
from sigma.files import sha256_file, write_atomic
from sigma.processes import ProcessDied, in_processes, progress_bar
from sigma.video import UnreadableVideo, read_whole, reason_of

INDEX_VERSION = 1
NO_SUCH_FILE = 'no such file'  # the reason of a listed video that is not on the disk


@dataclass(frozen=True)
class VideoInfo:
    """One video as it lies on disk.

    Attributes:
        path: Relative to the index's root, with forward slashes.
        readable: Whether every frame decoded without an error.
        reason: Why it is not readable; empty when it is.
        frames: Frames decoded from first to last; 0 when unreadable.
        fps: Average frames a second as the container states it; 0 when unknown.
        width, height: Pixels of the first frame; 0 when unreadable.
        size_bytes, mtime_ns: Of the file; a changed pair makes a later run read it anew.
        file: Where it lies, relative to the root, if that is not `path`: lists of published datasets name videos by
            their published names, whatever folder and ending a copy has.
        sha256: Of the file's bytes; empty when they could not be read.
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


class Index(Mapping):
    """What is on disk: a mapping from path (as in the list files) to VideoInfo.

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
        """The videos that could not be read, each with its reason, sorted by path."""
        return [video for video in self.values() if not video.readable]


# ----------------------------------------------------------------------------------------------- reading one file


def read_strictly(path: str, root: str | Path = '.', file: str = '') -> VideoInfo:
    """Decode every frame of one file and say what it holds; whatever fails is the `reason`, nothing is raised.

    Args:
        path: Of the video as lists name it, relative to `root`.
        root: Folder of the dataset.
        file: Where it lies, relative to `root`, if not at `path`.
    """
    known = {'path': path, 'file': file}
    file = Path(root) / (file or path)
    try:
        stat = file.stat()
        known.update(size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)
        if stat.st_size == 0:
            return VideoInfo(**known, reason='the file is empty')
        known['sha256'] = sha256_file(file)
        return VideoInfo(**known, readable=True, **asdict(read_whole(file)))
    except FileNotFoundError:
        return VideoInfo(**known, reason=NO_SUCH_FILE)
    except (UnreadableVideo, OSError, EOFError, ValueError) as error:
        return VideoInfo(**known, reason=reason_of(error))


# -------------------------------------------------------------------------------------------------- the whole index


def build_index(
    root: str | Path,
    paths: Iterable[str],
    out: str | Path,
    workers: int | None = None,
    progress: bool = True,
    files: Mapping[str, str] | None = None,
) -> Index:
    """Read all videos in parallel processes and write their index; what a former run has read is not read again.

    Results are appended to `<out>.partial` as they come, and the finished index is renamed into place: after a kill the
    same call goes on. Entries whose size and modification time still agree are kept. A file that kills its decoder
    twice is called unreadable, the others go on.

    Args:
        root: Folder of the dataset.
        paths: Of the videos, relative to `root`; named twice, a video is read once.
        out: The index file, usually `index.jsonl`; its folder is made.
        workers: Processes; None takes one a CPU at hand.
        progress: Show a bar with the time left on stderr.
        files: path -> where the video lies, relative to `root`; a path that is not in it has no file. None: every
            video lies at its path.

    Returns:
        The finished index, as `load_index(out)` would give it.
    """
    root, out = Path(root).resolve(), Path(out)
    partial = out.with_name(f'{out.name}.partial')
    out.parent.mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys(paths))
    former = {**_former_entries(out, root), **_former_entries(partial, root)}
    if files is None:
        files = dict.fromkeys(paths, '')
    videos = {path: VideoInfo(path, reason=NO_SUCH_FILE) for path in paths if path not in files}
    places = {path: '' if files[path] == path else files[path] for path in paths if path in files}
    for path, place in places.items():
        if path in former and _is_unchanged(root, known := replace(former[path], file=place)):
            videos[path] = known
    jobs = [(path, str(root), place) for path, place in places.items() if path not in videos]
    header = json.dumps({'version': INDEX_VERSION, 'root': _stored_root(root, out.parent)})
    with _open_partial(partial, header) as lines, progress_bar('reading videos', len(jobs), progress) as advance:
        for (path, _, file), result in in_processes(_read_job, jobs, workers):
            if isinstance(result, ProcessDied):
                result = VideoInfo(path, reason=f'{_DIED} ({result.exit_code})', file=file)
            videos[path] = result
            lines.write(json.dumps(asdict(result)) + '\n')
            lines.flush()
            advance()
    index = Index(root, videos.values())
    write_atomic(out, '\n'.join([header, *(json.dumps(asdict(video)) for video in index.values())]) + '\n')
    partial.unlink()
    return index


_DIED = 'the decoder process died on it'


def _read_job(job: tuple[str, str, str]) -> VideoInfo:
    return read_strictly(*job)


def _stored_root(root: Path, folder: Path) -> str:
    """Relative where the videos lie under the index's own folder, which may then be moved as a whole."""
    folder = folder.resolve()
    return root.relative_to(folder).as_posix() if root.is_relative_to(folder) else str(root)


def _is_unchanged(root: Path, video: VideoInfo) -> bool:
    """Whether a former entry still describes the file; one that died may have been short of memory: read again."""
    try:
        stat = (root / (video.file or video.path)).stat()
    except OSError:
        return False
    same = (stat.st_size, stat.st_mtime_ns) == (video.size_bytes, video.mtime_ns)
    return same and not video.reason.startswith(_DIED)


def _former_entries(file: Path, root: Path) -> dict[str, VideoInfo]:
    """Entries of an index that may be torn (a kill leaves half a line), of this root and version only."""
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


def _open_partial(partial: Path, header: str):
    """Open for appending, after its own header line; half a line that a kill left is closed first."""
    text = partial.read_text(encoding='utf-8') if partial.is_file() else ''
    goes_on = text.partition('\n')[0] == header
    lines = partial.open('a' if goes_on else 'w', encoding='utf-8')
    if not goes_on:
        lines.write(header + '\n')
    elif not text.endswith('\n'):
        lines.write('\n')
    return lines


def load_index(path: str | Path) -> Index:
    """Read a finished index.

    Raises:
        DataError: if it is missing, of another version, or a line of it is malformed (which one is named).
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
            f"'{path}' is no index: its first line is no header. Write it anew with tools/prepare.py."
        ) from None
    if version != INDEX_VERSION:
        raise DataError(f"'{path}' is an index of version {version}, this code reads {INDEX_VERSION}; prepare it anew.")
    videos, names = [], [field.name for field in fields(VideoInfo)]
    for number, line in enumerate(lines[1:], start=2):
        try:
            videos.append(VideoInfo(**json.loads(line)))
        except (ValueError, TypeError):
            raise DataError(
                f"'{path}' line {number} is no JSON object of {', '.join(names)}; prepare it anew."
            ) from None
    return Index((path.parent / root).resolve(), videos)
