"""Long videos with exact boundaries, made by joining short clips: actions, with background between them.

A joined video is background, action, background, ..., action, background. Every action clip appears whole, in exactly
one video. Between actions comes a stretch of a background clip, half of it to all of it. A background clip is reused
only after all others of its split. Starts and ends of actions follow from the number of frames written, so they are
exact to the frame. Joined videos have a constant rate; every clip keeps its speed, stands upright and has its colours.
A limit: every boundary is a cut, and a cut is easier to see than the moment at which a movement begins. The card, and
so every record, says that the videos are concatenations.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from sigma.data.index import Index, VideoInfo, build_index
from sigma.datasets.folders import read_splits
from sigma.datasets.prepared import LOG, Splits, all_paths, may_write, named, refuse_another, write_dataset
from sigma.datasets.selection import About, Selection
from sigma.errors import DataError, DecodeError, did_you_mean
from sigma.files import write_atomic
from sigma.processes import ProcessDied, in_processes, progress_bar
from sigma.video import H264, Colour, FFmpegError, Frame, FrameTimes, VideoWriter, exact_rate, open_video

LEAST_SHARE = 0.5  # of a background clip, in one stretch
# Raise it when the same parameters give different videos. 2: clips stand upright, keep their colours, and are timed by
# their timestamps; clips of a constant rate without rotation and colour tags give the bytes of version 1.
VERSION = 2


@dataclass(frozen=True)
class Joining:
    """How clips are joined.

    Attributes:
        background: Label of the background clips.
        fps: Frames per second of all joined videos.
        width, height: Pixels of all joined videos, even.
        num_actions: Fewest and most actions in a video; the last video of a split may have fewer.
        seed: For the order of the clips and the stretches of background.
        quantiser: H.264's constant quantiser; smaller is better.

    Raises:
        DataError: if a number is out of range.
    """

    background: str
    fps: float
    width: int
    height: int
    num_actions: tuple[int, int] = (4, 6)
    seed: int = 0
    quantiser: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 240:
            raise DataError(f'--fps {self.fps} is out of range; choose 1 to 240 frames per second.')
        if min(self.width, self.height) < 16 or self.width % 2 or self.height % 2:
            raise DataError(
                f'Videos of {self.width}x{self.height} cannot be made: H.264 needs even sides of at least 16 pixels. '
                'Choose a size with --frame-size.'
            )
        low, high = self.num_actions
        if not 1 <= low <= high:
            raise DataError(f'--actions {low} {high} is out of range; give the smaller number first, at least 1.')
        if self.seed < 0:
            raise DataError(f'The seed is {self.seed}; it must be at least 0.')

    @property
    def rate(self) -> Fraction:
        """Frames per second as a container states them."""
        return exact_rate(self.fps)


@dataclass(frozen=True)
class Piece:
    """One part of a joined video.

    Attributes:
        clip: Path of the clip.
        label: The action; None for background.
        picks: Frame numbers of the clip, one per frame of the joined video, in ascending order with repeats.
    """

    clip: str
    label: str | None
    picks: tuple[int, ...]


Plan = dict[str, tuple[Piece, ...]]  # path of a joined video, <split>/<number>.mp4 -> its pieces


def prepare_join(
    selection: Selection,
    out: Path,
    about: About,
    background: str,
    fps: float | None = None,
    frame_size: tuple[int, int] | None = None,
    num_actions: tuple[int, int] = (4, 6),
    seed: int = 0,
    workers: int | None = None,
    allow: bool = False,
) -> bool:
    """Join the selected clips, and write videos, lists, annotations, index and card to `out`.

    Args:
        fps, frame_size: Of the joined videos; None takes those of the clips, if they agree.
        workers: Processes; None uses one per CPU.
        allow: Leave out unreadable clips instead of stopping.

    Returns:
        Whether the dataset was written; False if clips are unreadable.

    Raises:
        DataError: if the input makes no sense, or `out` holds another dataset.
    """
    check_folder(out)
    refuse_another(out, about.name_for(out))
    root, splits, _ = read_splits(selection)
    check_background(splits, background)
    # Rate and size may follow from the clips; everything given is checked before minutes of reading.
    asked = Joining(background, 25 if fps is None else fps, *(frame_size or (16, 16)), num_actions, seed)
    with _restored_on_error(out / 'clips.jsonl'):
        clips = build_index(root, all_paths(splits), out / 'clips.jsonl', workers=workers)
        if not may_write(clips, allow):
            return False
        fps, width, height = common_look(clips, fps, frame_size)
        joining = replace(asked, fps=fps, width=width, height=height)
        videos = plan(splits, clips, joining)
        write_joined(videos, clips, out, joining, workers)
    index = build_index(out / 'videos', list(videos), out / 'index.jsonl', workers=workers)
    check_lengths(videos, index)
    info = {
        'name': about.name_for(out),
        'task': 'localization',
        'video_root': 'videos',
        'metric': 'map_30_70',
        'flips_change_label': not about.flips_are_harmless,
        'sampling': about.sampling,
        'note': note(splits, clips, videos, joining),
        'source': about.source,
        'licence': about.licence,
        'prepare': about.prepare,
    }
    LOG.info(info['note'])
    return write_dataset(out, info, labelled(videos), index, False, annotations(videos, joining))


@contextlib.contextmanager
def _restored_on_error(file: Path) -> Iterator[None]:
    """Give a file its former content back if the block raises a DataError."""
    former = file.read_text(encoding='utf-8') if file.is_file() else None
    try:
        yield
    except DataError:
        if former is not None:
            write_atomic(file, former)
        raise


def common_look(index: Index, fps: float | None, size: tuple[int, int] | None) -> tuple[float, int, int]:
    """Frames per second, width and height of the joined videos: as given, or those that all clips share.

    Raises:
        DataError: if a value is not given and clips differ, with what was found.
    """
    clips = [clip for clip in index.values() if clip.readable]
    if not clips:
        raise DataError(f"None of the {len(index)} clips under '{index.root}' is readable.")
    if size is None:
        sizes = Counter((clip.width, clip.height) for clip in clips)
        if len(sizes) > 1:
            found = ', '.join(f'{width}x{height} ({count})' for (width, height), count in sizes.most_common(4))
            raise DataError(
                f'The {len(clips)} clips have {len(sizes)} frame sizes, {found}{", ..." if len(sizes) > 4 else ""}: '
                'choose one with --frame-size WIDTHxHEIGHT; all clips are resized to it.'
            )
        (size,) = sizes
    if fps is None:
        rates = Counter(round(clip.fps, 2) for clip in clips)
        if len(rates) > 1 or 0 in rates:
            raise DataError(
                f'The {len(clips)} clips have {len(rates)} frame rates, {min(rates):g} to {max(rates):g} per second: '
                'choose one with --fps; every clip keeps its speed.'
            )
        fps = clips[0].fps
    return fps, *size


def plan(splits: Splits, index: Index, joining: Joining) -> Plan:
    """Which pieces each joined video is made of. Deterministic.

    Args:
        splits: (clip, label) pairs of `train` and `test`; unreadable clips are skipped; the caller names them.
        index: The index of the clips.
        joining: How to join them.

    Raises:
        DataError: if a split has no readable background, or no readable action.
    """
    videos: Plan = {}
    for split in splits:
        rng = np.random.default_rng([joining.seed, sorted(splits).index(split)])
        readable = sorted((clip, label) for clip, label in splits[split] if index[clip].readable)
        actions = [pair for pair in readable if pair[1] != joining.background]
        backgrounds = [clip for clip, label in readable if label == joining.background]
        if not backgrounds:
            raise DataError(f'No readable clip of {split} has the background label {joining.background!r}.')
        if not actions:
            raise DataError(f'All readable clips of {split} are background ({joining.background!r}).')
        order = iter(rng.permutation(len(actions)).tolist())
        rests = _stretches(backgrounds, index, joining.rate, rng)
        left, count = len(actions), 0
        while left:
            size = min(left, int(rng.integers(*joining.num_actions, endpoint=True)))
            pieces = [next(rests)]
            for _ in range(size):
                clip, label = actions[next(order)]
                pieces += [Piece(clip, label, picks(_times_of(index[clip], joining.rate), joining.rate)), next(rests)]
            videos[f'{split}/{count:04d}.mp4'] = tuple(pieces)
            left, count = left - size, count + 1
    return videos


def _stretches(clips: list[str], index: Index, rate: Fraction, rng: np.random.Generator) -> Iterator[Piece]:
    """Endless stretches of background; every clip is used once before any is used again."""
    while True:
        for place in rng.permutation(len(clips)).tolist():
            clip = clips[place]
            whole = picks(_times_of(index[clip], rate), rate)
            length = int(rng.integers(max(1, round(LEAST_SHARE * len(whole))), len(whole), endpoint=True))
            first = int(rng.integers(0, len(whole) - length, endpoint=True))
            yield Piece(clip, None, whole[first : first + length])


def _times_of(clip: VideoInfo, rate: Fraction) -> FrameTimes:
    """When a clip's frames are shown; without a known rate, it has that of the joined videos."""
    return clip.frame_times or FrameTimes.constant(clip.frames, clip.fps or float(rate))


def picks(times: FrameTimes, rate: Fraction) -> tuple[int, ...]:
    """The frames of a clip that keep its speed at another frame rate; all of them if the rates agree.

    Each frame of the joined video shows the clip's frame at the middle of its time. So a clip without a constant rate
    gets one here, and lasts as long as before, to half a frame.
    """
    if not times.is_constant:
        count = max(1, round(times.duration * rate))
        return tuple(times.frame_at((np.arange(count) + 0.5) / float(rate)).tolist())
    num_frames, fps = times.num_frames, times.fps
    ratio = Fraction(fps).limit_denominator(100_000) / rate if abs(fps - float(rate)) > 5e-3 else Fraction(1)
    count = max(1, round(num_frames / ratio))
    return tuple(min(num_frames - 1, int((number + Fraction(1, 2)) * ratio)) for number in range(count))


def annotations(videos: Plan, joining: Joining) -> dict[str, dict]:
    """video -> `actions` [[start, end, class], ...] in seconds.

    Frame n is at n / fps. An action starts at its first frame and ends at the first frame of the background after it.
    """
    found = {}
    for video, pieces in videos.items():
        actions, place = [], 0
        for piece in pieces:
            end = place + len(piece.picks)
            if piece.label is not None:
                actions.append([round(float(n / joining.rate), 6) for n in (place, end)] + [piece.label])
            place = end
        found[video] = {'actions': actions}
    return found


def labelled(videos: Plan) -> Splits:
    """split -> (video, classes) of all joined videos."""
    splits: Splits = {}
    for video, pieces in videos.items():
        classes = tuple(sorted({piece.label for piece in pieces if piece.label is not None}))
        splits.setdefault(video.split('/')[0], []).append((video, classes))
    return splits


def note(splits: Splits, index: Index, videos: Plan, joining: Joining) -> str:
    """The note in the card of joined videos."""
    num_clips = sum(piece.label is not None for pieces in videos.values() for piece in pieces)
    backgrounds = {piece.clip for pieces in videos.values() for piece in pieces if piece.label is None}
    unreadable = sum(not index[clip].readable for pairs in splits.values() for clip, _ in pairs)
    text = (
        f'concatenations, not recordings: {num_clips} clips of actions, each in one video, with stretches of '
        f'{len(backgrounds)} clips of {joining.background!r} between them; every boundary is a cut; '
        f'{joining.width}x{joining.height} at {joining.fps:g} frames a second, whatever a clip had'
    )
    return text + (f'; {unreadable} unreadable clips left out' if unreadable else '')


def write_joined(
    videos: Plan, index: Index, out: Path, joining: Joining, workers: int | None = None, progress: bool = True
) -> None:
    """Write the joined videos under `<out>/videos`, as H.264 in mp4; videos of an earlier run stay.

    `<out>/joined.json` holds the parameters and the pieces of each video.

    Raises:
        DataError: if `out` holds another dataset, or a clip cannot be decoded as the index says.
    """
    _claim(videos, index, out, joining)
    absent = [video for video in videos if not (out / 'videos' / video).is_file()]
    jobs = [(str(index.root), str(out / 'videos' / video), videos[video], joining) for video in absent]
    with progress_bar('joining clips', len(jobs), progress) as advance:
        for (_, path, _, _), reason in in_processes(_join_job, jobs, workers):
            if isinstance(reason, ProcessDied):
                reason = f'the process died ({reason.exit_code})'
            if reason:
                raise DataError(f'{path} was not written: {reason}.')
            advance()


def check_folder(out: Path) -> None:
    """Raise a DataError if `out` holds a dataset that was not joined."""
    if (out / 'dataset.py').exists() and not (out / 'joined.json').exists():
        raise DataError(f"'{out}' holds a dataset that was not joined: choose another --out.")


def _claim(videos: Plan, index: Index, out: Path, joining: Joining) -> None:
    """Write the plan to `out`, or check that the plan there is the same."""
    made_of = {
        video: [[p.clip, index[p.clip].sha256, p.label, p.picks[0], p.picks[-1], len(p.picks)] for p in pieces]
        for video, pieces in videos.items()
    }
    parameters = json.loads(json.dumps({'version': VERSION, **asdict(joining), 'videos': made_of}))
    manifest = out / 'joined.json'
    if manifest.is_file():
        try:
            former = json.loads(manifest.read_text(encoding='utf-8'))
        except ValueError:
            former = {}
        differing = [key for key in parameters if former.get(key) != parameters[key]]
        if differing:
            what = differing[0] if differing[0] != 'videos' else 'clips or order of them'
            raise DataError(f"'{out}' holds videos that were joined with other {what}: choose another --out.")
        return
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    lines = ',\n'.join(f'{json.dumps(video)}: {json.dumps(pieces)}' for video, pieces in made_of.items())
    head = json.dumps({key: value for key, value in parameters.items() if key != 'videos'})[:-1]
    write_atomic(manifest, f'{head}, "videos": {{\n{lines}\n}}}}\n')


def _join_job(job: tuple[str, str, tuple[Piece, ...], Joining]) -> str:
    return join_video(*job)


def join_video(root: str, out: str, pieces: tuple[Piece, ...], joining: Joining) -> str:
    """Write one joined video, whole or not at all. Returns the reason if it fails, else an empty string."""
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.tmp')  # one writer per video; overwrites what a killed one left
    try:
        num_written, wanted = _write(Path(root), temporary, pieces, joining), sum(len(p.picks) for p in pieces)
        if num_written != wanted:
            return f'{num_written} of {wanted} frames came out of the encoder'
        temporary.replace(path)
    except (FFmpegError, DecodeError, ValueError) as error:
        return ' '.join(str(error).split())
    finally:
        temporary.unlink(missing_ok=True)
    return ''


def _write(root: Path, out: Path, pieces: tuple[Piece, ...], joining: Joining) -> int:
    """Write the pieces, upright. Returns the number of frames that came out of the encoder."""
    coding, size = H264(quantiser=joining.quantiser, bitexact=True), (joining.width, joining.height)
    with VideoWriter(out, size, joining.rate, coding, _common_colour(root, pieces)) as writer:
        for piece in pieces:
            for frame in _shown(root / piece.clip, piece.picks):
                writer.write(frame)
    return writer.num_written


def _common_colour(root: Path, pieces: tuple[Piece, ...]) -> Colour | None:
    """The colour tags of all clips; None if they differ: then each is converted to what untagged files have."""
    colours = set()
    for clip in {piece.clip for piece in pieces}:
        with open_video(root / clip, strict=False, threads=1) as video:
            colours.add(video.colour)
    return colours.pop() if len(colours) == 1 else None


def _shown(clip: Path, wanted: tuple[int, ...]) -> Iterator[Frame]:
    """The frames of a clip with these numbers, in rising order; a number may repeat.

    Raises:
        DecodeError: if the clip cannot be decoded, or ends before the last of them.
    """
    place = 0
    with open_video(clip, strict=False, threads=1) as video:  # one process per video already
        for number, frame in enumerate(video.frames()):
            while place < len(wanted) and wanted[place] == number:
                yield frame
                place += 1
            if place == len(wanted):
                return
    raise DecodeError(f'{clip} ends before its frame {wanted[place]}')


def check_lengths(videos: Plan, index: Index) -> None:
    """Raise a DataError if a joined video, read again, does not have the frames that were written."""
    for video, pieces in videos.items():
        wanted, info = sum(len(piece.picks) for piece in pieces), index[video]
        if info.frames != wanted:
            raise DataError(
                f'{video} has {info.frames} readable frames, {wanted} were joined ({info.reason or "not as written"}): '
                'remove it and run the command again.'
            )


def check_background(splits: Splits, background: str) -> None:
    """Raise a DataError if no clip has the background label, or every clip has it."""
    labels = Counter(label for pairs in splits.values() for _, label in pairs)
    if background not in labels:
        raise DataError(f'--background: {did_you_mean("label", background, map(str, labels))}.')
    if len(labels) == 1:
        clips = [clip for pairs in splits.values() for clip, _ in pairs]
        raise DataError(f'{named(clips)} background; action clips are needed too.')
