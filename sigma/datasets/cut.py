"""Short clips cut from longer videos, one per row of a table: the labelled sections of recordings become a dataset.

Each row names a video, the frames at which its section starts and ends, and a label. A clip holds the frames of its
section; or, with `num_frames`, that many frames around the middle of the section, moved inward at the ends of the
video. Then clips of sections of a few frames are as long as an encoder needs, and all are equally long.

Each video is decoded once. Clips keep its size, rate, colours and orientation, and are written whole or not at all, so
a command that was killed goes on.
"""

from __future__ import annotations

import csv
import io
import json
import math
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sigma.data.index import VideoInfo, build_index
from sigma.datasets.folders import prepare_folder
from sigma.datasets.prepared import LOG, may_write, refuse_another
from sigma.datasets.selection import About, Selection
from sigma.datasets.tables import read_table, value_matcher
from sigma.errors import DataError, DecodeError, did_you_mean
from sigma.files import write_atomic
from sigma.processes import ProcessDied, in_processes, progress_bar
from sigma.video import H264, FFmpegError, FrameTimes, VideoWriter, even, open_video

VERSION = 1  # raise it when the same table gives other clips
CODING = H264(quantiser=18, bitexact=True)
CLIPS = 'videos'


@dataclass(frozen=True)
class Cutting:
    """How sections become clips.

    Attributes:
        start_column, end_column: Columns with the first frame of a section and the one after its last, from 0; times
            between two frames, such as 23.75, are allowed.
        num_frames: Frames of every clip, around the middle of its section; None: those of the section.
        where: COLUMN=VALUES of the rows to cut, such as slot=4; None: all.

    Raises:
        DataError: if `num_frames` is below 1.
    """

    start_column: str = 'start_frame'
    end_column: str = 'end_frame'
    num_frames: int | None = None
    where: str | None = None

    def __post_init__(self) -> None:
        if self.num_frames is not None and self.num_frames < 1:
            raise DataError(f'--clip-frames {self.num_frames} is out of range; it must be at least 1.')

    def span(self, start: float, end: float, total: int) -> tuple[int, int]:
        """First frame of a clip and the one after its last, in a video of `total` frames.

        Without `num_frames`, these are the frames that overlap the section. A video that is shorter than a clip gives
        all of its frames.
        """
        if self.num_frames is None:
            return math.floor(start), min(math.ceil(end), total)
        first = math.floor((start + end - self.num_frames) / 2 + 0.5)  # half a frame: the later one
        first = max(0, min(first, total - self.num_frames))
        return first, min(first + self.num_frames, total)


@dataclass(frozen=True)
class Section:
    """One row of the table: its cells, and where its clip lies in the video."""

    row: Mapping[str, str]
    video: str
    start: float
    end: float

    def clip(self, first: int, last: int) -> str:
        """Path of the clip of frames `first` to `last - 1`, relative to the folder of clips."""
        return f'{posixpath.splitext(self.video)[0]}/{first:06d}-{last - 1:06d}.mp4'


def prepare_cut(
    selection: Selection,
    out: Path,
    about: About,
    cutting: Cutting,
    size: int = 112,
    workers: int | None = None,
    allow: bool = False,
) -> bool:
    """Cut the sections of a table, and write clips, lists, index and card to `out`.

    Args:
        selection: `csv` has the columns `path`, those of `cutting` and those of the label.
        size: Pixels per side for training.
        workers: Processes; None uses one per CPU.
        allow: Leave out sections of unreadable videos instead of stopping.

    Returns:
        Whether the dataset was written; False if videos are unreadable.

    Raises:
        DataError: if a column is missing, a section is malformed or lies outside its video, two rows give one clip,
            clips there were cut in another way, or `out` holds another dataset.
    """
    refuse_another(out, about.name_for(out))
    about.metric_for(selection.task)
    if selection.csv is None:
        raise DataError('Give --csv FILE: a table with the columns path, start_frame, end_frame and label.')
    root = selection.root
    if out.resolve() == root.resolve():
        raise DataError(f"--out '{out}' is the folder of the videos; give another.")
    columns, sections = read_sections(Path(selection.csv), cutting)
    _keep_settings(out / 'cutting.json', cutting)
    videos = build_index(root, list(dict.fromkeys(s.video for s in sections)), out / 'sources.jsonl', workers=workers)
    if not may_write(videos, allow):
        return False
    kept = [section for section in sections if videos[section.video].readable]
    clips = plan(kept, {section.video: videos[section.video] for section in kept}, cutting)
    write_clips(root, out / CLIPS, clips, videos, workers)
    _report(clips, cutting)
    _write_table(out / 'clips.csv', columns, clips)
    chosen = replace(selection, csv=str(out / 'clips.csv'), path=str(out / CLIPS))
    return prepare_folder(chosen, out, about, size, workers, allow)


def read_sections(file: Path, cutting: Cutting) -> tuple[list[str], list[Section]]:
    """Columns of a table, and its rows as sections.

    Raises:
        DataError: if a column is missing, a number is none, an end is not after its start, or no row is chosen.
    """
    rows, columns = read_table(file)
    for column in ('path', cutting.start_column, cutting.end_column):
        _check_column(column, columns, file)
    if cutting.where is not None:
        rows = _chosen(rows, columns, cutting.where, file)
    sections = []
    for row in rows:
        start, end = (_frame(row, column, file) for column in (cutting.start_column, cutting.end_column))
        if not 0 <= start < end:
            raise DataError(
                f"'{file}': the section of {row['path']} from frame {start:g} to {end:g} is empty or starts before "
                'frame 0; the end must come after the start.'
            )
        sections.append(Section(row, posixpath.normpath(row['path']), start, end))
    return columns, sections


def plan(sections: Sequence[Section], videos: Mapping[str, VideoInfo], cutting: Cutting) -> dict[str, Section]:
    """Path of each clip -> its section; the path holds its first and last frame.

    Raises:
        DataError: if a section starts after the last frame of its video, or two give the same clip.
    """
    clips: dict[str, Section] = {}
    for section in sections:
        total = videos[section.video].frames
        if section.start >= total:
            raise DataError(
                f'A section of {section.video} starts at frame {section.start:g}, but the video has {total} frames; '
                'check the table and the frame rate that its numbers count in.'
            )
        name = section.clip(*cutting.span(section.start, section.end, total))
        if name in clips:
            raise DataError(
                f'Two rows of the table give the same clip of {section.video}, {Path(name).stem}: remove one, or cut '
                'them apart with another --clip-frames.'
            )
        clips[name] = section
    return clips


def write_clips(
    root: Path, out: Path, clips: Mapping[str, Section], videos: Mapping[str, VideoInfo], workers: int | None = None
) -> None:
    """Write the clips that are not there yet; every video is decoded once.

    Raises:
        DataError: if a video cannot be cut, with the reason.
    """
    absent: dict[str, list[str]] = {}
    for name, section in clips.items():
        if not (out / name).is_file():
            absent.setdefault(section.video, []).append(name)
    jobs = [(root / (videos[video].file or video), out, tuple(names), videos[video]) for video, names in absent.items()]
    with progress_bar('cutting', len(jobs)) as advance:
        for job, reason in in_processes(_cut, jobs, workers):
            if isinstance(reason, ProcessDied):
                reason = f'the process died ({reason.exit_code})'
            if reason:
                raise DataError(f'{job[0]} could not be cut: {reason}. Run the same command again to continue.')
            advance()


def _cut(job: tuple[Path, Path, tuple[str, ...], VideoInfo]) -> str:
    """Write the clips of one video. Returns why that failed; empty if it did not."""
    source, out, names, found = job
    spans = {name: tuple(map(int, Path(name).stem.split('-'))) for name in names}
    times = found.frame_times
    assert times is not None  # it is readable
    writers: dict[str, VideoWriter] = {}
    number = -1
    try:
        with open_video(source) as video:
            size = even(found.width), even(found.height)
            for number, frame in enumerate(video.frames()):
                for name in [name for name, (first, _) in spans.items() if first == number]:
                    writers[name] = _writer(out / name, size, times, spans[name], video.colour)
                for name, writer in list(writers.items()):
                    writer.write(frame)
                    if number == spans[name][1]:
                        _finish(out / name, writers.pop(name))
        return '' if not writers else f'it ended at frame {number}, within a section'
    except (FFmpegError, DecodeError, ValueError) as error:
        return ' '.join(str(error).split())
    finally:
        for name in names:
            _temporary(out / name).unlink(missing_ok=True)


def _writer(path: Path, size: tuple[int, int], times: FrameTimes, span: tuple[int, ...], colour) -> VideoWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = times.fps if times.is_constant else _part(times, *span)
    return VideoWriter(_temporary(path), size, rate, CODING, colour).__enter__()


def _part(times: FrameTimes, first: int, last: int) -> FrameTimes:
    """When frames `first` to `last` are shown, from the first of them on."""
    seconds = times.borders_ms[first : last + 2] / 1000
    return FrameTimes.listed(seconds[:-1], seconds[-1])


def _finish(path: Path, writer: VideoWriter) -> None:
    writer.__exit__(None, None, None)
    _temporary(path).rename(path)


def _temporary(path: Path) -> Path:
    return path.with_name(f'.{path.name}.tmp')


def _write_table(file: Path, columns: Sequence[str], clips: Mapping[str, Section]) -> None:
    """The table of the clips: all columns of the user's, with the path of the clip."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    for name, section in clips.items():
        writer.writerow({**section.row, 'path': name})
    write_atomic(file, text.getvalue())


def _report(clips: Mapping[str, Section], cutting: Cutting) -> None:
    lengths = sorted(last - first + 1 for first, last in (map(int, Path(name).stem.split('-')) for name in clips))
    LOG.info(f'{len(clips)} clips of {lengths[0]} to {lengths[-1]} frames, median {lengths[len(lengths) // 2]}')
    if cutting.num_frames is not None and (short := sum(length < cutting.num_frames for length in lengths)):
        LOG.warning(f'{short} of {len(clips)} clips have fewer than {cutting.num_frames} frames: their videos do.')


def _keep_settings(file: Path, cutting: Cutting) -> None:
    """Store how the clips are cut beside them; refuse to mix clips that were cut in two ways."""
    settings = json.dumps({'version': VERSION, 'coding': asdict(CODING), 'num_frames': cutting.num_frames})
    if file.is_file():
        if file.read_text() != settings:
            raise DataError(f'{file}: the clips there were cut with other settings. Use those, or a new folder.')
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, settings)


def _chosen(rows: list[dict[str, str]], columns: list[str], where: str, file: Path) -> list[dict[str, str]]:
    column, equals, values = where.partition('=')
    if not (column and equals and values):
        raise DataError(f'--where is {where!r}, expected COLUMN=VALUES as in slot=4 or word=zero,one.')
    _check_column(column, columns, file)
    matches = value_matcher(values)
    if not (chosen := [row for row in rows if matches(row[column])]):
        raise DataError(f"'{file}': no row has {where}.")
    return chosen


def _frame(row: Mapping[str, str], column: str, file: Path) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"'{file}': {column} of {row['path']} is {row[column]!r}, expected a frame number.")
    return number


def _check_column(column: str, columns: list[str], file: Path) -> None:
    if column not in columns:
        raise DataError(f"'{file}': {did_you_mean('column', column, columns)}.")
