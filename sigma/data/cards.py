"""Cards: one small config file each for a dataset or an encoder, found by name or by path."""

import difflib
import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from sigma.data.index import DataError, list_sha256, load_index, read_list

CONFIG_ROOT = Path(__file__).resolve().parents[2] / 'mmaction_configs'


def find_card(kind: str, name: str) -> Path:
    """Path of a card.

    Args:
        kind: Folder under `mmaction_configs`: `datasets`, `encoders`, `recipes`.
        name: File name without ending, or a path to a file (or to a folder that `tools/prepare.py` wrote).

    Raises:
        DataError: naming the nearest known names.
    """
    path = Path(name)
    if path.suffix == '.py' and path.is_file():
        return path.resolve()
    if kind == 'datasets' and (path / 'dataset.py').is_file():
        return (path / 'dataset.py').resolve()
    known = {p.stem: p for p in sorted((CONFIG_ROOT / kind).glob('*.py'))}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1)
    meant = f' Did you mean {near[0]!r}?' if near else ''
    raise DataError(
        f'Unknown {kind.removesuffix("s")} {name!r}.{meant} Known: {", ".join(known)}; or give the path of a card.'
    )


def read_config(path: str | Path, **kwargs) -> Config:
    """`Config.fromfile` without its notice for every variable of the environment that a config reads."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        return Config.fromfile(path, **kwargs)
    finally:
        logging.disable(before)


def read_card(path: str | Path, section: str) -> dict:
    """The section (`dataset_info`, `encoder`) of a card, as a plain dict, with `data_root` where the card has one.

    Raises:
        DataError: if the file is not a config or lacks the section.
    """
    try:
        config = read_config(path, import_custom_modules=False)
    except Exception as error:
        raise DataError(f'{path} cannot be read as a config: {error}') from None
    if section not in config:
        raise DataError(f'{path} has no `{section}`, so it is no such card; see mmaction_configs for examples.')
    card = config[section].to_dict()
    return card | ({'data_root': config.data_root} if 'data_root' in config else {})


@dataclass
class DatasetCard:
    """A dataset card and the files that it points to; `info` holds the card's fields."""

    path: Path
    info: dict
    _entries: dict[str, list[dict]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return self.info['name']

    @property
    def num_classes(self) -> int:
        return len(self.info['classes'])

    def _file(self, name: str) -> Path:
        return Path(self.info['data_root']) / name

    def split(self, split: str) -> dict:
        """The card's entry of a split: list, sha256, num_videos.

        Raises:
            DataError: naming the splits that there are.
        """
        if split not in self.info['splits']:
            raise DataError(f'{self.name} has no split {split!r}; it has {", ".join(self.info["splits"])}.')
        return self.info['splits'][split]

    def pairs(self, split: str) -> list[tuple[str, int]]:
        """(video, label) of every line of a split's list, whose hash must be the card's.

        Raises:
            DataError: if the list is absent or another than the card's.
        """
        entry = self.split(split)
        path = self._file(entry['list'])
        if not path.is_file():
            raise DataError(f'{self.name} ({split}) is not prepared: {path} is absent. {self._how_to_prepare()}')
        found = list_sha256(path)
        if found != entry['sha256']:
            raise DataError(
                f'{path} is another list than the card {self.path} describes: its sha256 is {found[:16]}..., the '
                f'card says {entry["sha256"][:16]}...; prepare the data set anew or use its own card.'
            )
        return read_list(path, self.info.get('delimiter'))

    def entries(self, split: str) -> list[dict]:
        """One dict a listed video: filename, video, label, total_frames, reason (None where it is readable), sha256.

        Raises:
            DataError: as `pairs`, and where the index is absent or lacks listed videos.
        """
        if split not in self._entries:
            self._entries[split] = self._read_entries(split)
        return [dict(entry) for entry in self._entries[split]]

    def _read_entries(self, split: str) -> list[dict]:
        pairs = self.pairs(split)
        index = load_index(self._file(self.info['index']))
        absent = [video for video, _ in pairs if video not in index]
        if absent:
            raise DataError(
                f'{self._file(self.split(split)["list"])} names {len(absent)} videos that its index does not have, '
                f'first {absent[0]}. {self._how_to_prepare()}'
            )
        root = self._file(self.info.get('video_root', ''))
        entries = []
        for video, label in pairs:
            info = index[video]
            reason = None if info.readable else info.reason or 'unreadable'
            entries.append(
                {
                    'filename': str(root / video),
                    'video': video,
                    'label': label,
                    'total_frames': info.frames,
                    'reason': reason,
                    'sha256': info.sha256,
                }
            )
        gone = [e['video'] for e in entries if e['reason'] is None and not Path(e['filename']).is_file()]
        if gone:
            raise DataError(
                f'{self.name} ({split}) names {len(gone)} videos that are no longer under {root}, first {gone[0]}. '
                f'{self._how_to_prepare()}'
            )
        return entries

    def content_sha256(self, split: str) -> str:
        """Hash over the videos of a split: names, bytes and whether they can be read, as the index found them.

        Raises:
            DataError: as `entries`.
        """
        digest = hashlib.sha256()
        for entry in self.entries(split):
            digest.update(f'{entry["video"]} {entry["sha256"]} {entry["reason"] is None}\n'.encode())
        return digest.hexdigest()

    def _how_to_prepare(self) -> str:
        how = self.info.get('prepare')
        return f'Prepare it with: {how}' if how else 'Run tools/prepare.py again.'


def load_dataset_card(name: str) -> DatasetCard:
    """The card of a dataset, by name or path."""
    path = find_card('datasets', name)
    return DatasetCard(path, read_card(path, 'dataset_info'))
