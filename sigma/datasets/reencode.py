"""Copies of videos that are fast to read: a small short side and a key frame every few frames.

A loader that needs 16 frames from anywhere in a video decodes from the key frame before them. With one key frame in
250, as on the web, it spends most of its time on frames that it does not need, and on pixels that the crop discards.
If every frame is a JPEG, only the requested frames are decoded, at several times the size on disk.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sigma.data.index import VideoInfo, build_index, read_strictly
from sigma.datasets.folders import find_videos
from sigma.datasets.prepared import LOG, check_root
from sigma.errors import DataError, DecodeError
from sigma.files import write_atomic
from sigma.processes import ProcessDied, in_processes, progress_bar
from sigma.text import shell_join
from sigma.video import H264, FFmpegError, Jpeg, VideoWriter, even, open_video

SHORT_SIDES = (64, 1080)


@dataclass(frozen=True)
class Encoding:
    """How copies are made.

    Attributes:
        short_side: Pixels; smaller videos keep their size. 256 to 320 suit crops of 224.
        gop: Frames from one key frame to the next. 12 suits clips of 16 frames at a stride of 2 to 4. 1 with `jpeg`.
        quality: x264's rate factor: 18 is visually close to lossless, 23 is x264's default. With `jpeg`, FFmpeg's
            quantiser, 1 to 31; 2 is the best in common use.
        codec: `h264`, or `jpeg`, a JPEG cache that every decoder here reads as a video.

    Raises:
        DataError: if a value is out of range.
    """

    short_side: int = 256
    gop: int = 12
    quality: int = 20
    codec: str = 'h264'

    @classmethod
    def of(cls, codec: str, short_side: int, gop: int | None = None, quality: int | None = None) -> Encoding:
        """Fill in the codec's usual values for whatever is not given."""
        usual = {'gop': 1, 'quality': 2} if codec == 'jpeg' else {'gop': 12, 'quality': 20}
        given = {'gop': gop, 'quality': quality}
        return cls(short_side, codec=codec, **{name: usual[name] if v is None else v for name, v in given.items()})

    def __post_init__(self) -> None:
        low, high = SHORT_SIDES
        if not low <= self.short_side <= high:
            raise DataError(f'--short-side {self.short_side} is out of range; choose {low} to {high} pixels.')
        if self.gop < 1:
            raise DataError(f'--gop {self.gop} is out of range; it must be at least 1.')
        if self.codec not in ('h264', 'jpeg'):
            raise DataError(f'Unknown codec {self.codec!r}. Known: h264, jpeg.')
        if self.codec == 'jpeg' and self.gop != 1:
            raise DataError(f'--gop {self.gop} does not apply to jpeg, whose frames are all key frames.')
        best, worst, coder = (0, 51, 'x264') if self.codec == 'h264' else (1, 31, 'jpeg')
        if not best <= self.quality <= worst:
            raise DataError(f'--quality {self.quality} is out of range; {coder} takes {best} (best) to {worst}.')

    @property
    def coding(self) -> H264 | Jpeg:
        """The writer's settings."""
        return Jpeg(self.quality) if self.codec == 'jpeg' else H264(gop=self.gop, crf=self.quality)

    @property
    def settings(self) -> str:
        """Text stored beside the copies. H.264 is not named, as in folders of earlier versions."""
        named = asdict(self)
        if self.codec == 'h264':
            del named['codec']
        return json.dumps(named)


def prepare_copies(root: Path, out: Path, encoding: Encoding, workers: int | None = None) -> bool:
    """Copy all videos under `root` to `out` and index the copies.

    Returns:
        Whether every video has a readable copy.

    Raises:
        DataError: as `reencode`, or if there is no video.
    """
    check_root(root)
    videos, _ = find_videos(root)
    if not videos:
        raise DataError(f"There is no video under '{root}'.")
    bad = reencode(root, videos, out, encoding, workers)
    for video, reason in bad.items():
        LOG.info(f'  not re-encoded: {video}: {reason}')
    copies = [copy_name(video) for video in videos if video not in bad]
    index = build_index(out, copies, out / 'index.jsonl', workers=workers)
    for one in index.unreadable:  # not ours: a file that was there before is left alone
        LOG.info(f'  unreadable: {one.path}: {one.reason}')
    LOG.info(f'{len(copies)} of {len(videos)} videos have a copy under {out}; index: {out / "index.jsonl"}')
    place = shell_join([str(out.resolve())])
    LOG.info(f'to train on them: tools/prepare.py folder {place} --out FOLDER, or k400, ssv2 ... with --root {place}')
    if bad:
        LOG.warning(f'{len(bad)} of {len(videos)} videos could not be re-encoded.')
    return not (bad or index.unreadable)


def reencode(
    root: str | Path,
    videos: Sequence[str],
    out: str | Path,
    encoding: Encoding,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, str]:
    """Write a copy of every video to the same path under `out`, as H.264 or JPEG frames in mp4 without sound.

    Existing files are never overwritten, so the same call resumes after a kill. Sources are read strictly; one that
    cannot be read whole gets no copy.

    A copy has the frames that a player shows of its source, upright, each at its own time: without a constant rate,
    the copy has none either, so that frame numbers and seconds of annotations hold for both. It has the colours and
    their tags too; JPEG frames have them as BT.601 in full range, since they know nothing else.

    Args:
        root: Folder of the sources.
        videos: Their paths relative to `root`.
        out: Folder of the copies; not `root`, inside it, or around it.
        workers: Processes; None uses one per CPU.
        progress: Show a progress bar.

    Returns:
        Path -> reason, for every video without a copy.

    Raises:
        DataError: if one of `out` and `root` contains the other, two videos would have the same copy, or `out` holds
            copies made with other settings.
    """
    root, out = Path(root).resolve(), Path(out).resolve()
    if root == out or root in out.parents or out in root.parents:
        raise DataError(f"One of '{out}' and '{root}' contains the other; give a folder beside the sources.")
    _refuse_same_copies(videos)
    _keep_settings(out / 'encoding.json', encoding)
    jobs = [(str(root / v), str(out / copy_name(v)), encoding) for v in videos if not (out / copy_name(v)).exists()]
    names = {str(root / video): video for video in videos}
    bad = {}
    with progress_bar('re-encoding', len(jobs), progress) as advance:
        for (source, _, _), reason in in_processes(_reencode_job, jobs, workers):
            if isinstance(reason, ProcessDied):
                reason = f'the encoder process died ({reason.exit_code})'
            if reason:
                bad[names[source]] = reason
            advance()
    return dict(sorted(bad.items()))


def copy_name(video: str) -> str:
    """Path of a video's copy: the same path, ending in .mp4."""
    return Path(video).with_suffix('.mp4').as_posix()


def _refuse_same_copies(videos: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for video in videos:
        if (other := first.setdefault(copy_name(video), video)) != video:
            raise DataError(f'{other} and {video} would have the same copy, {copy_name(video)}; rename one of them.')


def _keep_settings(file: Path, encoding: Encoding) -> None:
    """Store the settings beside the copies; refuse to continue with other settings."""
    if file.is_file():
        if (former := file.read_text()) != encoding.settings:
            raise DataError(f'{file}: the copies there were made with {former}. Use these settings, or a new folder.')
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, encoding.settings)


def _reencode_job(job: tuple[str, str, Encoding]) -> str:
    source, copy, encoding = job
    return reencode_video(source, copy, encoding)


def reencode_video(source: str | Path, copy: str | Path, encoding: Encoding) -> str:
    """Make one copy, whole or not at all. Returns the reason if there is none, else an empty string."""
    copy = Path(copy)
    found = read_strictly(Path(source).name, Path(source).parent)
    if not found.readable:
        return found.reason
    copy.parent.mkdir(parents=True, exist_ok=True)
    temporary = copy.with_name(f'.{copy.name}.tmp')  # one writer per copy; overwrites what a killed one left
    try:
        num_frames = _encode(Path(source), temporary, encoding, found)
        if num_frames != found.frames:
            return f'{num_frames} of {found.frames} frames were written'
        try:
            copy.hardlink_to(temporary)  # unlike a rename, it fails if a file has appeared there
        except FileExistsError:
            return ''
    except (FFmpegError, DecodeError, ValueError) as error:
        return ' '.join(str(error).split())
    finally:
        temporary.unlink(missing_ok=True)
    return ''


def _encode(source: Path, out: Path, encoding: Encoding, found: VideoInfo) -> int:
    """Write the shown frames of `source` upright, at their times. Returns how many came out of the encoder."""
    times = found.frame_times
    assert times is not None  # it is readable
    with open_video(source, strict=False) as video:  # it has just been read strictly
        size = small_size(*video.turn.size(video.first.width, video.first.height), encoding.short_side)
        with VideoWriter(out, size, times, encoding.coding, video.colour) as writer:
            for frame in itertools.islice(video.frames(), found.frames):
                writer.write(frame)
    return writer.num_written


def small_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Even (width, height) with this short side and the same aspect ratio; never larger than before."""
    share = min(1.0, short_side / min(width, height))
    return even(width * share), even(height * share)
