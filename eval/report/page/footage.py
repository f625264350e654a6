"""Finds the videos that records name, and makes small clips of them to put into the page. No torch.

Footage.find    record, video -> file, from the folders of `--videos` or from the dataset's card
Footage.clip    file -> bytes of a small mp4 (H.264), the same for the same file
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from eval.records import Record
from eval.report.page.places import card_values
from sigma.errors import DecodeError, SigmaError
from sigma.files import sha256_file
from sigma.text import sentence

LONGER_SIDE = 192  # pixels of a clip
MOST_FPS = 25.0
MOST_SECONDS = 3.0  # a longer video shows the seconds around its middle
MOST_SKIPPED = 3_000  # frames that are decoded to get there; else the clip starts at the beginning
CRF = 24
MEGABYTES = 5.0  # of all clips in a page, as text


class Unseen(SigmaError):
    """A video that cannot be shown; the message says why, in a few words."""


class Footage:
    """Videos on this machine.

    Args:
        folders: Where to look first: folders of videos, or folders that tools/prepare.py wrote. A video is looked for
            in each of them, and in the folder in it that is named like the dataset.
        use_cards: Look in the data folders that dataset cards name, too.
        megabytes: Limit on all clips together, as text in the page.

    Attributes:
        clips: mp4 files in base64.
        used_bytes: What they take in the page.
        missing: Reason -> number of videos that are not shown.

    Raises:
        SigmaError: if a folder does not exist.
    """

    def __init__(
        self, folders: Sequence[str | Path] = (), use_cards: bool = True, megabytes: float = MEGABYTES
    ) -> None:
        self.folders = [Path(folder) for folder in folders]
        if lost := [str(folder) for folder in self.folders if not folder.is_dir()]:
            raise SigmaError(f'{", ".join(lost)}: no such folder; give folders that hold the scored videos.')
        self.use_cards = use_cards
        self.most_bytes = int(megabytes * 1e6)
        self.used_bytes = 0
        self.clips: list[str] = []
        self.missing: dict[str, int] = {}
        self._indexes: dict[Path, tuple[Path, dict[str, str]]] = {}
        self._numbers: dict[Path, int] = {}
        self._places: dict[tuple[str, str | None], _Dataset | str] = {}

    def find(self, record: Record, video: str) -> Path:
        """The file of a video that a record names.

        Raises:
            Unseen: if it is not on this machine, or the dataset here is another one than the record's.
        """
        name = PurePosixPath(video)
        if name.is_absolute() or '..' in name.parts:  # a record may come from a stranger
            raise Unseen('its name leads out of the folder of videos')
        dataset = record.dataset['name']
        for folder in self.folders:
            for place in (folder / dataset, folder):
                root, files = self._prepared(place)
                for path in (place / name, root / files.get(video, video)):
                    if path.is_file():
                        return path
        if not self.use_cards:
            raise Unseen(f'not found under {", ".join(map(str, self.folders)) or "any folder"}')
        key = (dataset, record.get('dataset.list_sha256'))
        if key not in self._places:
            self._places[key] = _dataset(record)
        place = self._places[key]
        if isinstance(place, str):
            raise Unseen(place)
        path = place.root / place.files.get(video, video)
        if not path.is_file():
            raise Unseen(f'not found under {place.root}')
        return path

    def _prepared(self, place: Path) -> tuple[Path, dict[str, str]]:
        """Root and file names of a folder that tools/prepare.py wrote; of any other folder, itself and no names."""
        if place not in self._indexes:
            root, files = _indexed(place / 'index.jsonl')
            self._indexes[place] = (root or place, files)
        return self._indexes[place]

    def clip(self, record: Record, video: str) -> int:
        """Number of the clip of a video in `clips`; two names of one file share a clip.

        Raises:
            Unseen: if there is none, it cannot be read, or the limit is reached.
        """
        try:
            path = self.find(record, video)
            if path not in self._numbers:
                self._numbers[path] = self._added(path)
            return self._numbers[path]
        except Unseen as error:
            self.missing[str(error)] = self.missing.get(str(error), 0) + 1
            raise

    def _added(self, path: Path) -> int:
        text = base64.b64encode(small_clip(path)).decode() if self.used_bytes < self.most_bytes else ''
        if not text or self.used_bytes + len(text) > self.most_bytes:
            raise Unseen(f'left out: the clips may take {self.most_bytes / 1e6:g} MB (--video-megabytes)')
        self.used_bytes += len(text)
        self.clips.append(text)
        return len(self.clips) - 1


class _Dataset:
    """Where the videos of a dataset lie: the root, and files that have another name than the lists say."""

    def __init__(self, root: Path, files: dict[str, str]) -> None:
        self.root, self.files = root, files


def _dataset(record: Record) -> _Dataset | str:
    """The folder of a record's dataset, by its card; or a few words on why there is none."""
    name, split = record.dataset['name'], record.get('dataset.split') or 'test'
    info = card_values('datasets', name).get('dataset_info', {})
    data_root = card_values('datasets', name).get('data_root') or info.get('data_root')
    if not info or not data_root:
        return f'no card of the dataset {name} here; give its folder with --videos'
    home = Path(data_root)
    entry = info.get('splits', {}).get(split, {})
    listed = home / str(entry.get('list', f'{split}.txt'))
    if not listed.is_file():
        return f'{name} is not prepared under {home}'
    if record.get('dataset.list_sha256') not in (None, sha256_file(listed)):
        return f'{listed} is not the list that was scored'
    root, files = _indexed(home / str(info.get('index', 'index.jsonl')))
    if info.get('video_root'):
        root = home / info['video_root']
    return _Dataset(root or home, files)


def _indexed(index: Path) -> tuple[Path | None, dict[str, str]]:
    """Root of the videos and {name in lists: file} from an index, where there is one."""
    try:
        header, *lines = index.read_text(encoding='utf-8').splitlines()
        found: dict[str, Any] = json.loads(header)
        entries = [json.loads(line) for line in lines if '"file": "' in line and '"file": ""' not in line]
        return index.parent / found['root'], {entry['path']: entry['file'] for entry in entries}
    except (OSError, ValueError, KeyError):
        return None, {}


def small_clip(path: Path) -> bytes:
    """The whole of a short video, or the seconds around the middle of a longer one, as a small mp4.

    Args:
        path: Any video that FFmpeg reads.

    Raises:
        Unseen: if it cannot be read.
    """
    from sigma.video import H264, FFmpegError, VideoWriter, even, open_video

    buffer, writer = io.BytesIO(), None
    try:
        with open_video(path, strict=False, threads=1) as video, contextlib.ExitStack() as stack:
            fps = video.fps if 0 < video.fps <= 240 else MOST_FPS
            step, wanted = max(1, round(fps / MOST_FPS)), round(MOST_SECONDS * fps)
            begin = max(0, (video.stated_frames - wanted) // 2)
            begin = begin if begin <= MOST_SKIPPED else 0
            for number, frame in enumerate(itertools.islice(video.frames(), begin + wanted)):
                if number < begin or (number - begin) % step:
                    continue
                if writer is None:
                    size = [even(side) for side in _size(frame)]
                    coding = H264(gop=250, crf=CRF, b_frames=2, bitexact=True)
                    writer = stack.enter_context(VideoWriter(buffer, (size[0], size[1]), fps / step, coding))
                writer.write(frame)
    except (DecodeError, FFmpegError, OSError, ValueError) as error:
        raise Unseen(f'cannot be read: {sentence(str(error), 160)}') from None
    if writer is None:
        raise Unseen('cannot be read: it has no frame')
    return buffer.getvalue()


def _size(frame: Any) -> tuple[float, float]:
    """Width and height of a clip, upright, its longer side at most `LONGER_SIDE`."""
    from sigma.video import Turn

    width, height = Turn.of(frame).size(frame.width, frame.height)
    scale = min(1.0, LONGER_SIDE / max(width, height))
    return width * scale, height * scale
