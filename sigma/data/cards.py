"""Cards: one small config file each for a dataset or an encoder, found by name or by path.

MMEngine is imported only when the first card is read, so listing the names of cards is fast.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigma.configs import CONFIG_ROOT, card_names, check_top_level, find_card, read_plain, split_limit
from sigma.data.declared import DATASET, SECTIONS, TOP_LEVEL
from sigma.data.lists import Label, list_sha256, read_list, spread
from sigma.errors import DataError
from sigma.text import shell_join, shown

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = [
    'CONFIG_ROOT',
    'DatasetCard',
    'card_names',
    'find_card',
    'load_dataset_card',
    'read_card',
    'read_complete_card',
    'read_config',
    'silent_up_to',
]


@contextlib.contextmanager
def silent_up_to(level: int) -> Iterator[None]:
    """Silence every logger of this process at `level` and below."""
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)


def read_config(path: str | Path, **kwargs: Any) -> Config:
    """`Config.fromfile` without its log line for every environment variable that a config reads."""
    from mmengine.config import Config

    from sigma.compat import fix_config_templates  # which belongs to MMEngine, and is not needed without it

    fix_config_templates()
    with silent_up_to(logging.INFO):
        return Config.fromfile(path, **kwargs)


def read_card(path: str | Path, section: str) -> dict:
    """One section of a card (`dataset_info`, `encoder`) as a plain dict, plus `data_root` if the card has one.

    `classes` may name a text file, relative to the card, with one class name per line, and a range of its lines as a
    Python slice: `../annotations/gym99/classes.txt[6:17]`.

    Raises:
        DataError: if the file is not a config, lacks the section, its file of classes does not exist, or it assigns
            something or has a key that is not known (with the nearest name), of a wrong type, or out of range.
    """
    try:
        config = read_config(path, import_custom_modules=False)
    except Exception as error:
        raise DataError(f'{path} cannot be read as a config: {error}') from None
    if section not in config:
        raise DataError(f'{path} has no `{section}`, so it is not such a card; see mmaction_configs for examples.')
    check_top_level(path, config, TOP_LEVEL.get(section))
    if not isinstance(config[section], dict):
        raise DataError(f'{path}: `{section}` is {config[section]!r}; write {section} = dict(...).')
    card = config[section].to_dict()
    if section in SECTIONS:
        SECTIONS[section].check(f'{path}: `{section}`', card, partial=True)
    if isinstance(card.get('classes'), str):
        card['classes'] = _classes(card['classes'], Path(path))
    return card | ({'data_root': config.data_root} if 'data_root' in config else {})


def read_complete_card(path: Path, section: str) -> dict:
    """A section of a card in which no required key is missing."""
    card = read_card(path, section)
    own = {key: value for key, value in card.items() if key != 'data_root'}
    SECTIONS[section].check(f'{path}: `{section}`', own)
    return card


def _classes(text: str, card: Path) -> list[str]:
    """Class names from `FILE` or `FILE[first:end]`, relative to the card."""
    name, _, part = text.partition('[')
    file = card.parent / name
    if not file.is_file():
        raise DataError(f"{card} takes its classes from '{file.resolve()}', which does not exist.")
    names = [line for line in file.read_text(encoding='utf-8').split('\n') if line]
    if not part:
        return names
    found = re.fullmatch(r'(\d+):(\d+)\]', part)
    if not found:
        raise DataError(f'{card} takes its classes from {text!r}; a range of lines is written as [6:17].')
    return names[int(found[1]) : int(found[2])]


class NotPrepared(DataError):
    """A dataset whose files are missing.

    Attributes:
        name: Name of the dataset.
        together: The command that prepares it together with others; None if there is none.
    """

    def __init__(self, name: str, together: str | None, sentence: str) -> None:
        super().__init__(sentence)
        self.name, self.together = name, together


def sentences(errors: Iterable[DataError]) -> list[str]:
    """One sentence per error, without repeats; datasets that one command prepares share a sentence."""
    found: dict[str, list[str]] = {}  # command, or the sentence itself -> names
    first: dict[str, str] = {}
    for error in errors:
        key = (isinstance(error, NotPrepared) and error.together) or str(error)
        names = found.setdefault(key, [])
        if isinstance(error, NotPrepared) and error.name not in names:
            names.append(error.name)
        first.setdefault(key, str(error))
    return [
        f'{", ".join(names[:-1])} and {names[-1]} are not prepared. Prepare them with: {key}'
        if len(names) > 1
        else first[key]
        for key, names in found.items()
    ]


@dataclass
class DatasetCard:
    """A dataset card and the files that it points to.

    `task` decides what a label is: a class (`action_recognition`), a tuple of classes (`multi_label`, `localization`),
    or a count (`repetition`). `annotations` may name a JSON file {video: {...}} with what a list cannot express:
    `actions` [[start_seconds, end_seconds, class], ...] for `multi_label` and `localization`; `cycles` for `repetition`
    (the frame numbers at which one cycle ends and the next begins, one more than there are cycles) and, in cards with
    `sections=True`, `section` (the first and the last frame that are counted in).

    Attributes:
        path: The card.
        info: Its fields.
        limit: For a trial: videos of each split that are used; None for all (`sigma.data.lists.spread`).
    """

    path: Path
    info: dict
    limit: int | None = None
    # Lists are long, and every cell of a plan needs them, so a card reads and checks each list only once.
    _pairs: dict[str, list[tuple[str, Label]]] = field(default_factory=dict, repr=False)
    _entries: dict[str, list[dict]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return self.info['name']

    @property
    def num_classes(self) -> int:
        """Number of classes; 1 for a count."""
        return 1 if self.task == 'repetition' else len(self.needed('classes'))

    @property
    def task(self) -> str:
        return self.info.get('task', 'action_recognition')

    def needed(self, key: str) -> Any:
        """A field that cards may leave out, where it is needed.

        Raises:
            DataError: if the card has none.
        """
        if self.info.get(key) is None:
            told = DATASET[key].sentence if key in DATASET.names() else 'Folder of lists, index and videos.'
            raise DataError(f'{self.path} lacks {key} ({told.rstrip(".")}); add it to the card.')
        return self.info[key]

    def _file(self, name: str) -> Path:
        return Path(self.needed('data_root')) / name

    def split(self, split: str) -> dict:
        """The card's entry for a split: list, sha256, num_videos.

        Raises:
            DataError: naming the known splits.
        """
        if split not in self.info['splits']:
            raise DataError(f'{self.name} has no split {split!r}; it has {", ".join(self.info["splits"])}.')
        return self.info['splits'][split]

    def list_sha256(self, split: str) -> str:
        """Hash of a split's list on disk; it must equal the card's, if the card states one.

        Raises:
            DataError: if the list is missing or differs from the card's.
        """
        return list_sha256(self._checked_list(split))

    def pairs(self, split: str) -> list[tuple[str, Label]]:
        """(video, label) of every line of a split's list; its hash must equal the card's, if the card states one.

        Raises:
            DataError: if the list is missing, differs from the card's, or has a label outside the card's classes.
        """
        if split not in self._pairs:
            path, several = self._checked_list(split), self.task in ('multi_label', 'localization')
            pairs = read_list(path, self.info.get('delimiter'), several)
            if self.task != 'repetition' and 'classes' in self.info:
                self._check_labels(pairs, path)
            self._pairs[split] = pairs if self.limit is None else [pairs[i] for i in spread(pairs, self.limit)]
        return list(self._pairs[split])

    def _check_labels(self, pairs: list[tuple[str, Label]], path: Path) -> None:
        """Raise a DataError if a list has a label that is none of the card's classes."""
        known = self.num_classes
        for video, label in pairs:
            if (largest := max(label, default=0) if isinstance(label, tuple) else label) >= known:
                raise DataError(
                    f'{path} gives {video} the label {largest}, but {self.path} has {known} classes, numbered from 0; '
                    f'complete `classes` in the card.'
                )

    def _checked_list(self, split: str) -> Path:
        entry = self.split(split)
        path = self._file(entry['list'])
        if not path.is_file():
            raise self._not_prepared()
        found = list_sha256(path)
        if entry['sha256'] is not None and found != entry['sha256']:
            raise DataError(
                f'{path} is not the list that the card {self.path} describes: its sha256 is {found[:16]}..., the '
                f'card says {entry["sha256"][:16]}...; prepare the dataset again or use its own card.'
            )
        return path

    def entries(self, split: str) -> list[dict]:
        """One dict per listed video: filename, video, label, annotation (dict or None), total_frames, fps, times
        (FrameTimes) and proof (sigma.video.Proof; both None if it is not readable), reason (None if it is), sha256.

        Raises:
            DataError: as in `pairs`; also if the index is missing or lacks listed videos.
        """
        return [dict(entry) for entry in self._known_entries(split)]

    def readable(self, split: str) -> list[bool]:
        """Whether each listed video can be read, according to the index. Errors as in `entries`."""
        return [entry['reason'] is None for entry in self._known_entries(split)]

    def _known_entries(self, split: str) -> list[dict]:
        if split not in self._entries:
            self._entries[split] = self._read_entries(split)
        return self._entries[split]

    def _read_entries(self, split: str) -> list[dict]:
        pairs = self.pairs(split)
        if not self._file(self.needed('index')).is_file():
            raise self._not_prepared()
        from sigma.data.index import load_index  # PyAV and NumPy are not needed to read a card
        from sigma.data.on_disk import changed_videos

        index_file = self._file(self.needed('index'))
        index = load_index(index_file)
        absent = [video for video, _ in pairs if video not in index]
        if absent:
            raise DataError(
                f'{self._file(self.split(split)["list"])} names {len(absent)} videos that are not in its index, '
                f'{_first(absent)}. {self.how_to_prepare()}'
            )
        root = self._file(self.info['video_root']) if self.info.get('video_root') else index.root
        annotations = self._annotations()
        entries: list[dict[str, Any]] = []
        for video, label in pairs:
            info = index[video]
            reason = None if info.readable else info.reason or 'unreadable'
            entries.append(
                {
                    'filename': str(root / (info.file or video)),
                    'video': video,
                    'label': label,
                    'annotation': annotations.get(video),
                    'total_frames': info.frames,
                    'fps': info.fps,
                    'times': info.frame_times,
                    'proof': info.proof,
                    'reason': reason,
                    'sha256': info.sha256,
                }
            )
        files = [(index[e['video']], Path(e['filename'])) for e in entries]
        gone, changed = changed_videos(files, index_file)
        if gone:
            raise DataError(
                f'{self.name} ({split}) names {len(gone)} videos that are no longer under {root}, {_first(gone)}. '
                f'{self.how_to_prepare()}'
            )
        if changed:
            raise DataError(
                f'{self.name} ({split}): {len(changed)} of {len(entries)} videos are no longer the files that were '
                f'indexed, {_first(changed)}. Index them again, as another version of the dataset, whose results stay '
                f'apart from those on the old files. {self.how_to_prepare()}'
            )
        return entries

    def _annotations(self) -> dict[str, dict]:
        if not self.info.get('annotations'):
            return {}
        path = self._file(self.info['annotations'])
        if not path.is_file():
            raise self._not_prepared()
        try:
            found = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise DataError(f'{path} is not a JSON file ({error}); prepare the dataset again.') from None
        if not isinstance(found, dict):
            raise DataError(f'{path} is not {{video: annotation}} but a {type(found).__name__}; prepare it again.')
        return found

    def content_sha256(self, split: str) -> str:
        """Hash over the videos of a split: names, bytes, whether they can be read, and annotations.

        Raises:
            DataError: as in `entries`.
        """
        digest = hashlib.sha256()
        for entry in self._known_entries(split):
            digest.update(f'{entry["video"]} {entry["sha256"]} {entry["reason"] is None}\n'.encode())
            if entry['annotation'] is not None:
                digest.update(json.dumps(entry['annotation'], sort_keys=True).encode() + b'\n')
        return digest.hexdigest()

    def _not_prepared(self) -> NotPrepared:
        """The error for missing files of tools/prepare.py; it names all of them, not only the one asked for."""
        names = [entry['list'] for entry in self.info['splits'].values()]
        names += [self.info[key] for key in ('index', 'annotations') if self.info.get(key)]
        absent = [name for name in names if not self._file(name).is_file()]
        return NotPrepared(
            self.name,
            self._command_for_several(),
            f'{self.name} is not prepared: {len(absent)} of its {len(names)} files are missing from '
            f"'{self.info['data_root']}': {', '.join(absent)}. {self.how_to_prepare()}",
        )

    def _command_for_several(self) -> str | None:
        """The command that prepares this dataset together with others: `prepare_together` of its card file."""
        with contextlib.suppress(DataError):  # a user's card may import things
            command = read_plain(self.path).get('prepare_together')
            return resolved_command(command) if isinstance(command, str) else None
        return None

    def how_to_prepare(self) -> str:
        """A sentence with the command that prepares this dataset: paths resolved, and quoted for a shell."""
        how = self.info.get('prepare')
        if not how:
            return 'Run tools/prepare.py again.'
        command = resolved_command(how)
        if '--out' not in how:
            command += f' --out {shell_join([str(Path(self.info["data_root"]).absolute())])}'
        return f'Prepare it with: {command}'


def resolved_command(command: str) -> str:
    """A command of a card with `$SIGMA_DATA` filled in as the cards do it, safe to paste into any shell."""
    root = str(Path(os.environ.get('SIGMA_DATA') or 'data').absolute())
    try:
        return shell_join(word.replace('$SIGMA_DATA', root) for word in shlex.split(command))
    except ValueError:  # an unbalanced quote
        return command


def _first(videos: list[str], most: int = 3) -> str:
    """`first a.mp4`, or the first few and the number of others."""
    more = f' and {len(videos) - most} more' if len(videos) > most else ''
    return f'first {", ".join(map(shown, videos[:most]))}{more}'


def load_dataset_card(name: str) -> DatasetCard:
    """The card of a dataset, by name or path; `NAME#limit=20` uses 20 videos of each split."""
    path = find_card('datasets', name)
    return DatasetCard(path, read_complete_card(path, 'dataset_info'), split_limit(name)[1])
