"""Altered test videos that ask what a recogniser looks at: the background replaced, removed or exchanged.

They are copies of test videos of a known dataset, the base, on which a model was trained. Nothing is trained on them,
so their train list is empty. They come as one folder of pictures per video and a list with `name frames class` lines.
Here they become mp4 files, and each label is that of the base's video, whatever the list's numbering. T frames, H and W
pixels.

A set is one card. Its `prepare_from` says what the videos are made from:

    prepare_from = dict(pictures='human', base='k400')

Sources: StillMix (ICCV 2023; SCUBA, ConflFG), github.com/lihaoxin05/StillMix; HAT (NeurIPS Datasets and Benchmarks
2022), github.com/princetonvisualai/HAT. Their lists are not shipped.
"""

from __future__ import annotations

import io
import itertools
import json
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from PIL import Image

from sigma.data.cards import DatasetCard, load_dataset_card
from sigma.data.index import build_index
from sigma.data.lists import Label, read_list
from sigma.datasets import published
from sigma.datasets.prepared import (
    LOG,
    card_text,
    check_root,
    may_write,
    refuse_another,
    warn_of_missing,
    write_annotations,
    write_split,
)
from sigma.datasets.published.table import shipped_list
from sigma.errors import DataError, did_you_mean
from sigma.files import write_atomic
from sigma.processes import ProcessDied, in_processes, progress_bar
from sigma.video import H264, FFmpegError, VideoWriter

PICTURES = {'.jpg', '.jpeg', '.png'}
MEAN_COLOUR = (123, 116, 103)  # around the human: ImageNet's mean, truncated to whole numbers as in HAT
FOREGROUND = 128  # mask values above it are human, as in HAT
QUANTISER = 10  # x264's; little loss beyond the pictures' own


@dataclass(frozen=True)
class Scenes:
    """How a set is made: the `prepare_from` of its card.

    Attributes:
        base: Card of the dataset whose videos were altered; its test list is shipped.
        pictures: `frames` as they are (SCUBA, ConflFG). HAT: `background` (the human painted over), `human` (the rest
            in one colour), `swap` (the human in front of another video's background).
    """

    base: str
    pictures: str = 'frames'

    @property
    def needs(self) -> tuple[str, ...]:
        """Folders that must be under the root; empty if the root holds the videos' own folders."""
        return KINDS[self.pictures][1]

    def base_list(self) -> Path:
        """The base's test list."""
        card = load_dataset_card(self.base)
        test = published.prepare_from(card).get('test')
        if not isinstance(test, str):
            raise DataError(f'The test list of {self.base} is not shipped, so no altered set can be made from it.')
        return shipped_list(test, card)


def scenes_of(card: DatasetCard) -> Scenes:
    """How a card's videos are made.

    Raises:
        DataError: if its `prepare_from` does not say so, or names an unknown kind of pictures.
    """
    given = published.prepare_from(card)
    if set(given) != {'pictures', 'base'}:
        raise DataError(f'{card.path}: prepare_from must have `pictures` and `base`; it has {", ".join(given)}.')
    if given['pictures'] not in KINDS:
        raise DataError(f'{card.path}: {did_you_mean("kind of pictures", given["pictures"], KINDS)}.')
    return Scenes(**given)


def prepare_scenes(
    card: DatasetCard,
    root: Path,
    list_file: Path,
    command: str,
    pairs_file: Path | None = None,
    fps: float = 25.0,
    out: Path | None = None,
    workers: int | None = None,
    allow: bool = False,
) -> bool:
    """Make the videos of a set, and write list, index and card.

    Args:
        root: Folder of the pictures.
        list_file: `name frames class` lines.
        command: The command that made it, for the card.
        pairs_file: HAT's pickle of background pairs, for `swap`.
        fps: Frames per second of the videos; the pictures do not tell.
        out: Folder to write to; None takes the card's.
        workers: Processes; None uses one per CPU.
        allow: Write the lists even if some videos could not be made.

    Returns:
        Whether the dataset was written; False if some videos could not be made.

    Raises:
        DataError: as `read_items` and `make_videos`.
    """
    check_root(root, '--root')
    items = read_items(card, list_file, pairs_file)
    name = card.name if pairs_file is None else f'{card.name}_{pairs_file.stem}'
    out = out or Path(card.info['data_root']).with_name(name)
    refuse_another(out, name)
    bad = make_videos(card, items, root, out / 'videos', fps, workers)
    for video, reason in list(bad.items())[:5]:
        LOG.info(f'  not made: {video}: {reason}')
    videos = [item.video for item in items]
    files = {video: video for video in videos if video not in bad}
    index = build_index(out / 'videos', videos, out / 'index.jsonl', workers=workers, files=files)
    warn_of_missing([video for video in videos if video in bad], len(videos), out, card.info['obtain'])
    if not may_write(index, allow):
        return False
    info = {**card.info, 'name': name, 'prepare': command}
    pairs: dict[str, list[tuple[str, Label]]] = {'train': [], 'test': [(item.video, item.label) for item in items]}
    info['splits'] = {split: write_split(out, split, listed, info['delimiter']) for split, listed in pairs.items()}
    if pairs_file is not None:
        info['annotations'] = 'annotations.json'
        write_annotations(out / 'annotations.json', {item.video: {'background': item.other_label} for item in items})
    write_atomic(out / 'dataset.py', card_text(info))
    LOG.info(f'test: {len(items)} videos, {len(items) - len(index.unreadable)} readable')
    LOG.info(f'card: {out / "dataset.py"}')
    return True


@dataclass(frozen=True)
class Item:
    """One video of a set.

    Attributes:
        video: Its name in the list.
        label: The base's class.
        num_frames: Pictures that the list promises.
        folder: Folder of the pictures, relative to the root.
        other: For `swap`, the folder of the video whose background it gets.
        other_label: The class of that video.
    """

    video: str
    label: int
    num_frames: int
    folder: str
    other: str | None = None
    other_label: int | None = None


# --------------------------------------------------------------------------------------------------------- lists


def read_items(card: DatasetCard, list_file: Path, pairs_file: Path | None = None) -> list[Item]:
    """The videos of a set in list order, with the base's labels.

    Args:
        list_file: `name frames class` lines; a name may have spaces.
        pairs_file: For `swap`, HAT's pickle {name: [background's name, its frames, its class]}.

    Raises:
        DataError: if a file is missing or malformed, a video is listed twice or not in the base's test list, or the
            list's classes and the base's do not correspond one to one.
    """
    scenes, name = scenes_of(card), card.name
    if (scenes.pictures == 'swap') != (pairs_file is not None):
        raise DataError(
            f'{name} needs --pairs FILE, a pickle of background pairs.' if scenes.pictures == 'swap'
            else f'{name} has no pairs of backgrounds: leave out --pairs.'
        )  # fmt: skip
    labels = {
        PurePosixPath(video).stem: label for video, label in read_list(scenes.base_list()) if isinstance(label, int)
    }
    pairs = read_pairs(pairs_file) if pairs_file is not None else {}
    items: list[Item] = []
    theirs: dict[int, int] = {}
    seen: set[str] = set()
    for folder, num_frames, number in _rows(list_file):
        label = _label_of(folder, labels, scenes, list_file)
        if pairs_file is not None and folder not in pairs:
            raise DataError(f"'{pairs_file}' has no background for {folder}, which '{list_file}' lists.")
        if theirs.setdefault(number, label) != label:
            raise DataError(
                f"'{list_file}': its class {number} stands for two classes of {scenes.base}, {theirs[number]} and "
                f'{label}, the second at {folder}: this list is of another split or numbering.'
            )
        if folder in seen:
            raise DataError(f"'{list_file}': {folder} is listed twice.")
        seen.add(folder)
        items.append(Item(f'{folder}.mp4', label, num_frames, folder))
    if len(set(theirs.values())) < len(theirs):
        raise DataError(f"'{list_file}': several of its classes are one of {scenes.base}; its numbering is another.")
    if not items:
        raise DataError(f"'{list_file}' lists no video.")
    if pairs_file is None:
        return items
    return [_before(item, *pairs[item.folder], theirs, pairs_file) for item in items]


def _before(item: Item, other: str, number: int, theirs: dict[int, int], file: Path) -> Item:
    """The item in front of another video's background; `number` is that video's class in the list's numbering."""
    if number not in theirs:
        raise DataError(f"'{file}': the background of {item.folder} has class {number}, which no listed video has.")
    return replace(item, other=other, other_label=theirs[number])


def _rows(file: Path) -> Iterator[tuple[str, int, int]]:
    if not file.is_file():
        raise DataError(f"--annotations: the list file '{file}' does not exist.")
    for number, line in enumerate(file.read_text(encoding='utf-8').split('\n'), start=1):
        if not line.strip():
            continue
        name, *numbers = line.strip().rsplit(maxsplit=2)
        if len(numbers) != 2 or not all(word.isdecimal() for word in numbers):
            raise DataError(f"'{file}' line {number}: expected `name frames class`, found {line.strip()!r}.")
        yield name, int(numbers[0]), int(numbers[1])


def _label_of(folder: str, labels: dict[str, int], scenes: Scenes, file: Path) -> int:
    """Class of the base's video with the same stem, or with the stem before `__<number>` (one of several copies)."""
    stem = PurePosixPath(folder).name
    source = stem if stem in labels else re.sub(r'__\d+$', '', stem)
    if source not in labels:
        raise DataError(f"'{file}': {folder} is not in the test list of {scenes.base}.")
    return labels[source]


class _PlainUnpickler(pickle.Unpickler):
    """Only containers, text and numbers: any other pickle could call any Python function."""

    def find_class(self, module: str, name: str):
        numbers = {('numpy', 'dtype'), ('numpy.core.multiarray', 'scalar'), ('numpy._core.multiarray', 'scalar')}
        if (module, name) not in numbers:
            raise pickle.UnpicklingError(f'it names {module}.{name}')
        return super().find_class(module, name)


def read_pairs(file: Path) -> dict[str, tuple[str, int]]:
    """foreground -> (background, its class number) from HAT's pickle, read without running code from it.

    Raises:
        DataError: if it is missing, holds anything but names and numbers, or has another form.
    """
    if not file.is_file():
        raise DataError(f"--pairs: '{file}' does not exist.")
    try:
        content = _PlainUnpickler(io.BytesIO(file.read_bytes())).load()
        return {str(name): (str(row[0]), int(row[2])) for name, row in content.items()}
    except (pickle.UnpicklingError, AttributeError, EOFError, IndexError, TypeError, ValueError, KeyError) as error:
        raise DataError(f"--pairs: '{file}' is not a pickle of background pairs ({error}).") from None


# -------------------------------------------------------------------------------------------------------- videos


def make_videos(
    card: DatasetCard, items: Sequence[Item], root: Path, out: Path, fps: float, workers: int | None = None
) -> dict[str, str]:
    """Write `<out>/<video>` of every item. Existing videos are kept, so the same call resumes after a kill.

    Args:
        fps: Frames per second of the videos; the pictures do not tell.
        workers: Processes; None uses one per CPU.

    Returns:
        Video -> reason, for every video that could not be made.

    Raises:
        DataError: if a folder that the set needs is missing, the rate is out of range, or `out` holds another dataset,
            or videos made at another rate or from other pairs.
    """
    scenes, name = scenes_of(card), card.name
    if not 1 <= fps <= 240:
        raise DataError(f'--fps {fps:g} is out of range; choose 1 to 240 frames per second.')
    for folder in scenes.needs:
        if not (root / folder).is_dir():
            raise DataError(f"--root: '{root}' has no folder {folder}; {name} is made of {', '.join(scenes.needs)}.")
    _claim(name, items, out, fps)
    jobs = [(scenes.pictures, item, root, out / item.video, fps) for item in items if not (out / item.video).exists()]
    bad = {}
    with progress_bar(f'videos of {name}', len(jobs)) as advance:
        for job, reason in in_processes(_make_job, jobs, workers):
            if isinstance(reason, ProcessDied):
                reason = f'the process died ({reason.exit_code})'
            if reason:
                bad[job[1].video] = reason
            advance()
    return bad


def _claim(name: str, items: Sequence[Item], out: Path, fps: float) -> None:
    """Store the settings beside the videos, or check that the stored ones are the same."""
    made = out.with_name(f'{out.name}.json')
    how = {'set': name, 'fps': fps, 'backgrounds': {item.video: item.other for item in items if item.other}}
    if made.is_file():
        former = json.loads(made.read_text(encoding='utf-8'))
        if differing := [key for key in how if former.get(key) != how[key]]:
            raise DataError(f"'{out}' holds videos made with another {differing[0]}: choose another --out.")
        return
    if out.with_name('dataset.py').exists():
        raise DataError(f"'{out.parent}' holds a dataset other than {name}: choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(made, json.dumps(how) + '\n')


def _make_job(job: tuple[str, Item, Path, Path, float]) -> str:
    """Make one video, whole or not at all. Returns the reason if it fails, else an empty string."""
    kind, item, root, out, fps = job
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f'.{out.name}.tmp')
    try:
        write_video(KINDS[kind][0](item, root), temporary, fps)
        temporary.replace(out)
    except (FileNotFoundError, ValueError, FFmpegError) as error:
        return ' '.join(str(error).split())
    finally:
        temporary.unlink(missing_ok=True)
    return ''


def pictures(folder: Path, num_frames: int | None = None) -> list[Path]:
    """Pictures of a video, sorted by the number at the end of their names.

    Raises:
        ValueError: if there is none, or their number is not `num_frames`.
    """
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES] if folder.is_dir() else []
    if not found or num_frames not in (None, len(found)):
        wanted = '' if num_frames is None else f', its list says {num_frames}'
        raise ValueError(f'{folder}: {len(found)} pictures{wanted}')
    return sorted(found, key=lambda path: (int((re.findall(r'\d+', path.stem) or ['0'])[-1]), path.name))


def _read(path: Path, mode: str = 'RGB') -> np.ndarray:
    """(H, W, 3) uint8 RGB, or (H, W) for a mask (mode L).

    Uses Pillow: OpenCV's PNG reader fails if another library's zlib was loaded first.
    """
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert(mode))
    except OSError as error:
        raise ValueError(f'{path} cannot be read: {error}') from None


def _mask(path: Path) -> np.ndarray:
    """(H, W) uint8."""
    return _read(path, 'L')


def as_they_are(item: Item, root: Path) -> Iterator[np.ndarray]:
    """The pictures of one folder, unchanged."""
    return map(_read, pictures(root / item.folder, item.num_frames))


def background_only(item: Item, root: Path) -> Iterator[np.ndarray]:
    """HAT: the human painted over, as it was published."""
    return map(_read, pictures(root / 'inp' / item.folder, item.num_frames))


def human_only(item: Item, root: Path) -> Iterator[np.ndarray]:
    """HAT: everything but the human in one colour; here before the model's resize, in the published code after it."""
    frames = pictures(root / 'ori' / item.folder, item.num_frames)
    masks = pictures(root / 'seg' / item.folder, len(frames))
    for frame, mask in zip(map(_read, frames), map(_mask, masks)):
        yield np.where(mask[..., None] > FOREGROUND, frame, np.array(MEAN_COLOUR, dtype=np.uint8))


def swapped(item: Item, root: Path) -> Iterator[np.ndarray]:
    """HAT: the human in front of the painted-over background of another video.

    The background is resized to the same short side, and its speed is changed so that both end together. The human is
    shifted so that its centre in the first frame is at the centre of the background's own human; the published code
    uses the first sampled frame.
    """
    assert item.other is not None
    frames = pictures(root / 'ori' / item.folder, item.num_frames)
    masks = pictures(root / 'seg' / item.folder, len(frames))
    others = pictures(root / 'inp' / item.other)
    height, width = _read(frames[0]).shape[:2]
    short_side = min(height, width)
    theirs = _to_short_side(_mask(pictures(root / 'seg' / item.other)[0]), short_side)
    move = [int(a - b) for a, b in zip(_centre(theirs), _centre(_mask(masks[0])))]
    for number, (frame, mask) in enumerate(zip(map(_read, frames), map(_mask, masks))):
        place = min(round(number / len(frames) * len(others)), len(others) - 1)
        yield pasted(_to_short_side(_read(others[place]), short_side), frame, mask > FOREGROUND, move)


def pasted(background: np.ndarray, frame: np.ndarray, human: np.ndarray, move: Sequence[int]) -> np.ndarray:
    """(H', W', 3): the background with a frame's human, shifted by (rows, columns) and clipped at the border."""
    out = background.copy()
    rows, columns = np.nonzero(human)
    y, x = rows + move[0], columns + move[1]
    inside = (y >= 0) & (y < len(out)) & (x >= 0) & (x < out.shape[1])
    out[y[inside], x[inside]] = frame[rows[inside], columns[inside]]
    return out


def _centre(mask: np.ndarray) -> tuple[float, float]:
    """(row, column) of the mask's centre of mass; the middle if nothing is human."""
    total = mask.sum(dtype=np.float64)
    if not total:
        return mask.shape[0] / 2, mask.shape[1] / 2
    rows, columns = mask.sum(axis=1, dtype=np.float64), mask.sum(axis=0, dtype=np.float64)
    return float(rows @ np.arange(len(rows)) / total), float(columns @ np.arange(len(columns)) / total)


def _to_short_side(picture: np.ndarray, short_side: int) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = short_side / min(height, width)
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    return picture if size == (width, height) else cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


# Kind of pictures -> how the frames of a video are made, and the folders that this takes.
KINDS: dict[str, tuple[Callable[[Item, Path], Iterator[np.ndarray]], tuple[str, ...]]] = {
    'frames': (as_they_are, ()),
    'background': (background_only, ('inp',)),
    'human': (human_only, ('ori', 'seg')),
    'swap': (swapped, ('ori', 'seg', 'inp')),
}


def write_video(frames: Iterator[np.ndarray], path: Path, fps: float) -> None:
    """H.264 in mp4; frames (H, W, 3) uint8 RGB of one size. An odd last row or column is repeated once.

    Raises:
        ValueError: if there is no frame, or a frame's size differs from the first one's.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError('there is no picture')
    height, width = first.shape[:2]
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    coding = H264(gop=12, quantiser=QUANTISER, scene_cuts=True)
    with VideoWriter(path, (width + width % 2, height + height % 2), fps, coding) as writer:
        for frame in itertools.chain([first], frames):
            if frame.shape != first.shape:
                raise ValueError(f'a picture is {frame.shape[:2]}, the first was {first.shape[:2]}')
            writer.write(np.ascontiguousarray(np.pad(frame, padding, mode='edge')))
