"""Copies of videos that are quick to read: a small short side and a key frame every few frames.

A loader that wants 16 frames from anywhere in a video decodes from the key frame before them. With one key frame in
250, as the web encodes, most of its time goes into frames that nobody asked for, and into pixels that the crop throws
away. With every frame a JPEG of its own, no frame is decoded but those asked for, at several times the size on disk.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sigma.data.index import VideoInfo, read_strictly
from sigma.errors import DataError, DecodeError
from sigma.files import write_atomic
from sigma.processes import ProcessDied, in_processes, progress_bar
from sigma.video import H264, FFmpegError, Jpeg, VideoWriter, even, open_video

SHORT_SIDES = (64, 1080)


@dataclass(frozen=True)
class Encoding:
    """How copies are made.

    Attributes:
        short_side: Pixels; a video that is smaller keeps its size. 256 to 320 suit crops of 224.
        gop: Frames from one key frame to the next. 12 suits clips of 16 frames at a stride of 2 to 4; 1 with `jpeg`.
        quality: x264's rate factor; 18 is near to what eyes cannot tell, 23 its default. With `jpeg` FFmpeg's
            quantiser, 1 to 31; 2 is the finest that is usual.
        codec: `h264`, or `jpeg`, a JPEG cache that every decoder here reads as a video.
    """

    short_side: int = 256
    gop: int = 12
    quality: int = 20
    codec: str = 'h264'

    @classmethod
    def of(cls, codec: str, short_side: int, gop: int | None = None, quality: int | None = None) -> 'Encoding':
        """What is not given as suits the codec."""
        usual = {'gop': 1, 'quality': 2} if codec == 'jpeg' else {'gop': 12, 'quality': 20}
        given = {'gop': gop, 'quality': quality}
        return cls(short_side, codec=codec, **{name: usual[name] if v is None else v for name, v in given.items()})

    def __post_init__(self) -> None:
        low, high = SHORT_SIDES
        if not low <= self.short_side <= high:
            raise DataError(f'A short side of {self.short_side} was asked; {low} to {high} pixels can be made.')
        if self.gop < 1:
            raise DataError(f'A key frame every {self.gop} frames was asked; at least 1 is needed.')
        if self.codec not in ('h264', 'jpeg'):
            raise DataError(f'Codec {self.codec!r} was asked; h264 and jpeg can be made.')
        if self.codec == 'jpeg' and self.gop != 1:
            raise DataError(f'A key frame every {self.gop} frames was asked of jpeg, whose frames are all key frames.')
        best, worst, coder = (0, 51, 'x264') if self.codec == 'h264' else (1, 31, 'jpeg')
        if not best <= self.quality <= worst:
            raise DataError(f'Quality {self.quality} was asked; {coder} knows {best} (best) to {worst}.')

    @property
    def coding(self) -> H264 | Jpeg:
        """The writer's settings."""
        return Jpeg(self.quality) if self.codec == 'jpeg' else H264(gop=self.gop, crf=self.quality)

    @property
    def settings(self) -> str:
        """What stands beside the copies; folders of former versions do not name their codec, H.264."""
        named = asdict(self)
        if self.codec == 'h264':
            del named['codec']
        return json.dumps(named)


def reencode(
    root: str | Path,
    videos: Sequence[str],
    out: str | Path,
    encoding: Encoding,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, str]:
    """Write a copy of every video to the same path under `out`, as H.264 or JPEG frames in mp4 without sound.

    What is there is never overwritten: a copy of a former run stays, so after a kill the same call goes on. A copy has
    as many frames as its source, which is read strictly; one that cannot be read whole gets no copy.

    Args:
        root: Folder of the sources.
        videos: Their paths relative to `root`.
        out: Folder of the copies; not `root`, nor in it, nor around it.
        workers: Processes; None takes one a CPU at hand.

    Returns:
        Path -> why there is no copy, of those without one.

    Raises:
        DataError: if `out` and `root` lie in one another, two videos would have the same copy, or `out` holds copies
            that were made otherwise.
    """
    root, out = Path(root).resolve(), Path(out).resolve()
    if root == out or root in out.parents or out in root.parents:
        raise DataError(f"'{out}' and '{root}' lie in one another; give a folder beside the sources.")
    _refuse_same_copies(videos)
    _keep_settings(out / 'encoding.json', encoding)
    jobs = [(str(root / v), str(out / copy_name(v)), encoding) for v in videos if not (out / copy_name(v)).exists()]
    names = {str(root / video): video for video in videos}
    bad = {}
    with progress_bar('re-encoding', len(jobs), progress) as advance:
        for (source, _, _), reason in in_processes(_reencode_job, jobs, workers):
            if isinstance(reason, ProcessDied):
                reason = f'the encoder process died on it ({reason.exit_code})'
            if reason:
                bad[names[source]] = reason
            advance()
    return dict(sorted(bad.items()))


def copy_name(video: str) -> str:
    """Path of a video's copy: the same with the ending .mp4."""
    return Path(video).with_suffix('.mp4').as_posix()


def _refuse_same_copies(videos: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for video in videos:
        if (other := first.setdefault(copy_name(video), video)) != video:
            raise DataError(f'{other} and {video} would have the same copy, {copy_name(video)}; rename one of them.')


def _keep_settings(file: Path, encoding: Encoding) -> None:
    """Write how copies are made beside them; refuse to go on otherwise."""
    if file.is_file():
        if (former := file.read_text()) != encoding.settings:
            raise DataError(f'{file} says that the copies there were made with {former}; take these, or a new folder.')
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, encoding.settings)


def _reencode_job(job: tuple[str, str, Encoding]) -> str:
    source, copy, encoding = job
    return reencode_video(source, copy, encoding)


def reencode_video(source: str | Path, copy: str | Path, encoding: Encoding) -> str:
    """Make one copy, whole or not at all; returns why not, or an empty string."""
    copy = Path(copy)
    found = read_strictly(Path(source).name, Path(source).parent)
    if not found.readable:
        return found.reason
    copy.parent.mkdir(parents=True, exist_ok=True)
    temporary = copy.with_name(f'.{copy.name}.tmp')  # one writer a copy; of a killed one the next takes over
    try:
        num_frames = _encode(Path(source), temporary, encoding, found)
        if num_frames != found.frames:
            return f'{num_frames} of {found.frames} frames were written'
        try:
            copy.hardlink_to(temporary)  # unlike a rename it fails where something has come to lie meanwhile
        except FileExistsError:
            return ''
    except (FFmpegError, DecodeError, ValueError) as error:
        return ' '.join(str(error).split())
    finally:
        temporary.unlink(missing_ok=True)
    return ''


def _encode(source: Path, out: Path, encoding: Encoding, found: VideoInfo) -> int:
    """Write the frames of `source` at their average rate; returns how many the encoder gave back."""
    size = small_size(found.width, found.height, encoding.short_side)
    rate = found.fps if found.fps > 0 else 25
    with (
        open_video(source, strict=False) as video,  # it was read strictly just before
        VideoWriter(out, size, rate, encoding.coding) as writer,
    ):
        for frame in itertools.islice(video.frames(), found.frames):
            writer.write(frame)
    return writer.num_written


def small_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with this short side, of the same shape, even as H.264 needs; never larger than they were."""
    share = min(1.0, short_side / min(width, height))
    return even(width * share), even(height * share)
