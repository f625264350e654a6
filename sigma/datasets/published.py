"""Published datasets: from their own annotation files to our lists, and from listed names to files on a disk.

A dataset here has a card of its name in mmaction_configs/datasets, which states how long each list is and, where it
can, its hash. The lists come from `mmaction_configs/annotations` where the licence lets us pass them on, else from what
the user downloaded. Order and names in a list are the published ones, whatever is on the disk, so that a draw from it
is the published draw.
"""

import csv
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sigma.data.cards import CONFIG_ROOT, DatasetCard
from sigma.data.lists import Label, list_text, read_list
from sigma.errors import DataError

SHIPPED = CONFIG_ROOT / 'annotations'


@dataclass(frozen=True)
class Lists:
    """What a dataset's annotation files say.

    Attributes:
        splits: `train` and `test` -> (video, label) in published order.
        annotations: video -> `actions` or `cycles` (see `DatasetCard`); None where lists say all.
    """

    splits: dict[str, list[tuple[str, Label]]]
    annotations: dict[str, dict] | None = None


@dataclass(frozen=True)
class Source:
    """Where a dataset's lists come from.

    Attributes:
        read: (folder or file of annotations, card, found videos) -> lists.
        needs: What the user's annotations must hold; empty where all is shipped.
        other_stem: The stem under which a listed one may lie on a disk too.
    """

    read: Callable[[Path, DatasetCard, Sequence[str]], Lists]
    needs: str = ''
    other_stem: Callable[[str], str] | None = None


def read_lists(card: DatasetCard, annotations: Path | None, root: Path, videos: Sequence[str]) -> Lists:
    """The lists of a published dataset, which must be those of its card.

    Args:
        card: Of a dataset in `SOURCES`.
        annotations: Folder (or file) of the user's copy; None looks in `root`.
        root: Folder of the videos.
        videos: Found under it, relative to it.

    Raises:
        DataError: if annotation files are absent, malformed or others than the card's, or if they were given for a
            dataset whose lists are shipped.
    """
    source = SOURCES[card.name]
    if annotations is not None and not source.needs:
        raise DataError(f'The lists of {card.name} come with the project: leave out --annotations.')
    if annotations is not None and not annotations.exists():
        raise DataError(f"--annotations: there is no '{annotations}'.")
    lists = source.read(annotations if annotations is not None else root, card, videos)
    check_lists(card, lists)
    return lists


def check_lists(card: DatasetCard, lists: Lists) -> None:
    """Raise a DataError where a list is not the card's, or names a video twice or a class that there is not."""
    for split, pairs in lists.splits.items():
        entry = card.split(split)
        sha256 = hashlib.sha256(list_text(pairs, card.info['delimiter']).encode()).hexdigest()
        wrong_length = entry['num_videos'] not in (None, len(pairs))
        if wrong_length or entry['sha256'] not in (None, sha256):
            raise DataError(
                f'{card.name} ({split}): these annotations list {len(pairs)} videos, sha256 {sha256}; the card '
                f'{card.path.name} says {entry["num_videos"]}, sha256 {entry["sha256"]}. '
                f'Get the published ones: {card.info["obtain"]}.'
            )
        if card.task == 'action_recognition':
            outside = [video for video, label in pairs if label >= card.num_classes]
            if outside:
                raise DataError(f'{card.name} ({split}): {outside[0]} is of a class beyond {card.num_classes - 1}.')
    names = [video for pairs in lists.splits.values() for video, _ in pairs]
    if len(names) != len(set(names)):
        seen = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        raise DataError(f'{card.name}: {twice} is listed twice.')


# ------------------------------------------------------------------------------------- from listed names to files


def match_videos(
    listed: Iterable[str], found: Iterable[str], other_stem: Callable[[str], str] | None = None
) -> dict[str, str]:
    """Which file is which listed video: the one with its stem, in whatever folder and with whatever ending.

    Args:
        listed: Names in the lists.
        found: Videos on the disk, relative to the root.
        other_stem: The stem to look for where there is none of the listed name.

    Returns:
        listed -> found; a video that is nowhere is left out.

    Raises:
        DataError: if several files have the stem, and neither folders nor endings tell which is meant.
    """
    by_stem = {}
    for path in found:
        by_stem.setdefault(_stem(path), []).append(path)
    files = {}
    for video in listed:
        candidates = by_stem.get(_stem(video)) or (by_stem.get(other_stem(_stem(video))) if other_stem else None)
        if candidates:
            files[video] = candidates[0] if len(candidates) == 1 else _the_one(video, candidates)
    return files


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _the_one(video: str, candidates: list[str]) -> str:
    """The candidate whose folders are the listed ones, or else whose ending is too, or which lies at the very name."""
    listed = PurePosixPath(video)
    tests = (
        lambda path: path.with_suffix('').parts[-len(listed.parts) :] == listed.with_suffix('').parts,
        lambda path: path.parts[-len(listed.parts) :] == listed.parts,
        lambda path: path == listed,
    )
    left = candidates
    for test in tests:
        kept = [path for path in left if test(PurePosixPath(path))]
        if len(kept) == 1:
            return kept[0]
        left = kept or left
    raise DataError(
        f'{len(left)} files may be {video}: {", ".join(sorted(left)[:3])}; keep one, or lay the right one at {video} '
        'under the root.'
    )


# ------------------------------------------------------------------------------------------------- shipped lists


def _shipped(train: str, test: str, classes: range | None = None) -> Source:
    """Lists that come with the project; of some classes alone, whose labels then start at 0."""

    def read(_annotations: Path, _card: DatasetCard, _videos: Sequence[str]) -> Lists:
        splits = {'train': read_list(SHIPPED / train), 'test': read_list(SHIPPED / test)}
        if classes is not None:
            splits = {
                split: [(video, label - classes.start) for video, label in pairs if label in classes]
                for split, pairs in splits.items()
            }
        return Lists(splits)

    return Source(read)


def _of_gym99(first: int, last: int) -> Source:
    return _shipped('gym99/train.txt.gz', 'gym99/test.txt.gz', range(first, last + 1))


# --------------------------------------------------------------------------------------- lists of the user's copy


def _read_ssv2(annotations: Path, card: DatasetCard, _videos: Sequence[str]) -> Lists:
    """[{id, template, ...}]: the template without its brackets is the class name."""
    numbers = {name: number for number, name in enumerate(card.info['classes'])}
    splits = {}
    for split, published in (('train', 'train'), ('test', 'validation')):
        file = _find(annotations, card, f'something-something-v2-{published}.json', f'{published}.json')
        with _reading(file, card):
            rows = json.loads(file.read_text(encoding='utf-8'))
            splits[split] = [(f'{r["id"]}.webm', numbers[re.sub(r'[\[\]]', '', r['template'])]) for r in rows]
    return Lists(splits)


def _read_k400(annotations: Path, card: DatasetCard, _videos: Sequence[str]) -> Lists:
    """label,youtube_id,time_start,time_end,split; the validation list is shipped."""
    numbers = {name: number for number, name in enumerate(card.info['classes'])}
    file = _find(annotations, card, 'train.csv', 'kinetics-400_train.csv', 'kinetics_train.csv')
    with _reading(file, card):
        train = [(_kinetics_name(row), numbers[row['label']]) for row in _csv_rows(file)]
    return Lists({'train': train, 'test': read_list(SHIPPED / 'k400/test.txt.gz')})


def _read_mimetics(annotations: Path, card: DatasetCard, _videos: Sequence[str]) -> Lists:
    """label,youtube_id,time_start,time_end,...: videos of Kinetics' classes and names, all for testing."""
    numbers = {name: number for number, name in enumerate(card.info['classes'])}
    file = _find(annotations, card, 'mimetics_v1.0.csv')
    with _reading(file, card):
        rows = [(_kinetics_name(row), numbers[row['label'].replace('_', ' ')]) for row in _csv_rows(file)]
    return Lists({'train': [], 'test': rows})


def _plain_times(stem: str) -> str:
    """Times of a name without leading zeros, as some download them."""
    video, start, end = stem.rsplit('_', 2)
    return f'{video}_{int(start)}_{int(end)}'


def _kinetics_name(row: Mapping[str, str]) -> str:
    return f'{row["youtube_id"]}_{int(row["time_start"]):06d}_{int(row["time_end"]):06d}.mp4'


def _read_diving48(annotations: Path, card: DatasetCard, _videos: Sequence[str]) -> Lists:
    """[{vid_name, label, start_frame, end_frame}]."""
    splits = {}
    for split in ('train', 'test'):
        file = _find(annotations, card, f'Diving48_V2_{split}.json')
        with _reading(file, card):
            rows = json.loads(file.read_text(encoding='utf-8'))
            splits[split] = [(f'{row["vid_name"]}.mp4', int(row['label'])) for row in rows]
    return Lists(splits)


NTU60_TRAIN_SUBJECTS = {1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38}
_NTU_NAME = re.compile(r'(S(\d{3})C\d{3}P(\d{3})R\d{3}A(\d{3}))')


def _read_ntu60(annotations: Path, card: DatasetCard, videos: Sequence[str]) -> Lists:
    """`<class folder>/<name>` lines of two lists; without them, by the subjects in the names of the videos found."""
    try:
        files = {split: _find(annotations, card, f'{split}list01.txt') for split in ('train', 'test')}
    except DataError:
        lists = Lists(_ntu60_of_names(videos))
        if any(len(pairs) != card.split(split)['num_videos'] for split, pairs in lists.splits.items()):
            raise  # videos are missing: their names alone do not give the lists
        return lists
    splits = {}
    for split, file in files.items():
        with _reading(file, card):
            names = [line.split()[0] for line in file.read_text(encoding='utf-8').splitlines() if line.strip()]
            splits[split] = sorted(_ntu60_pair(_NTU_NAME.match(_stem(name))) for name in names)
    return Lists(splits)


def _ntu60_of_names(videos: Sequence[str]) -> dict[str, list[tuple[str, Label]]]:
    names = [name for name in map(_NTU_NAME.match, map(_stem, videos)) if name]
    splits = {'train': set(), 'test': set()}
    for name in names:
        if int(name[2]) <= 17 and int(name[4]) <= 60:  # the rest is NTU RGB+D 120
            splits['train' if int(name[3]) in NTU60_TRAIN_SUBJECTS else 'test'].add(_ntu60_pair(name))
    return {split: sorted(pairs) for split, pairs in splits.items()}


def _ntu60_pair(name: re.Match | None) -> tuple[str, int]:
    if name is None:
        raise ValueError('a name is not of the form S001C002P003R002A013')
    return f'{name[1]}_rgb.avi', int(name[4]) - 1


def _read_charades(annotations: Path, card: DatasetCard, _videos: Sequence[str]) -> Lists:
    """id,...,actions,length, where actions are `c092 11.90 21.20;c147 0.00 12.60`: class, start and end in seconds."""
    numbers = {name: number for number, name in enumerate(card.info['classes'])}
    splits, times = {}, {}
    for split in ('train', 'test'):
        file = _find(annotations, card, f'Charades_v1_{split}.csv')
        splits[split] = []
        with _reading(file, card):
            for row in _csv_rows(file):
                video, actions = f'{row["id"]}.mp4', []
                for action in filter(None, row['actions'].split(';')):
                    name, start, end = action.split()
                    actions.append([float(start), float(end), numbers[name]])
                splits[split].append((video, tuple(sorted({number for _, _, number in actions}))))
                times[video] = {'actions': actions}
    return Lists(splits, times)


def _read_ucfrep(annotations: Path, card: DatasetCard, _videos: Sequence[str]) -> Lists:
    """MATLAB structs <train|val>/<video>.mat, in a zip or a folder; `temporal_bound` are the frames, from 1, at which
    cycles begin and end."""
    splits, cycles = {'train': [], 'test': []}, {}
    for split, published in (('train', 'train'), ('test', 'val')):
        for name, file, content in _ucfrep_structs(annotations, card, published):
            with _reading(file, card):
                bounds = _temporal_bound(content)
                video = f'{name}.avi'
                splits[split].append((video, len(bounds) - 1))
                cycles[video] = {'cycles': [bound - 1 for bound in bounds]}
    return Lists(splits, cycles)


def _ucfrep_structs(annotations: Path, card: DatasetCard, published: str) -> list[tuple[str, Path, bytes]]:
    """(video, file, bytes of its struct), sorted by name as the published code takes them."""
    folders = [annotations / published, annotations / 'annotations' / published]
    for folder in folders:
        files = sorted(folder.glob('*.mat')) if folder.is_dir() else []
        if files:
            return [(file.stem, file, file.read_bytes()) for file in files]
    file = _find(annotations, card, 'ucf526_annotations.zip')
    with _reading(file, card), zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if PurePosixPath(name).match(f'{published}/*.mat')]
        return [(_stem(name), file, archive.read(name)) for name in sorted(names)]


def _temporal_bound(content: bytes) -> list[int]:
    from scipy.io import loadmat

    try:
        bounds = loadmat(io.BytesIO(content))['label'][0, 0]['temporal_bound'].ravel()
    except Exception as error:  # a damaged file ends in one of many kinds
        raise ValueError(f'a struct cannot be read: {error}') from None
    return [int(bound) for bound in bounds]


# ---------------------------------------------------------------------------------------------------- small helpers


def _read_thumos14(annotations: Path, card: DatasetCard, _videos: Sequence[str]) -> Lists:
    """OpenTAD's layout; `training` is the validation set of the challenge, `validation` its test set."""
    file = _find(annotations, card, 'thumos_14_anno.json')
    with _reading(file, card):
        database = json.loads(file.read_text(encoding='utf-8'))['database']
        return _of_database(database, card, {'training': 'train', 'validation': 'test'}, '')


def _read_activitynet(annotations: Path, card: DatasetCard, _videos: Sequence[str]) -> Lists:
    """The official layout, or BSN's, which says in a second file what is of which subset."""
    file = _find(annotations, card, 'activity_net.v1-3.min.json', 'anet_anno_action.json')
    subsets = {'training': 'train', 'validation': 'test'}
    with _reading(file, card):
        content = json.loads(file.read_text(encoding='utf-8'))
        if file.name == 'activity_net.v1-3.min.json':
            return _of_database(content['database'], card, subsets, 'v_')
    table = _find(annotations, card, 'video_info_new.csv')
    with _reading(table, card):
        subset_of = {row['video']: row['subset'] for row in _csv_rows(table)}
        database = {video: entry | {'subset': subset_of[video]} for video, entry in content.items()}
        return _of_database(database, card, subsets, '')


def _of_database(database: Mapping, card: DatasetCard, subsets: Mapping[str, str], prefix: str) -> Lists:
    """{video: {subset, annotations [{segment [start, end], label}]}}; seconds, which may be written as text.

    Videos of other subsets (without labels) are left out, and segments labelled Ambiguous, which evaluators ignore.
    """
    numbers = {name: number for number, name in enumerate(card.info['classes'])}
    splits, times = {'train': [], 'test': []}, {}
    for name, entry in sorted(database.items()):
        if entry['subset'] not in subsets:
            continue
        actions = [
            [*map(float, one['segment']), numbers[one['label']]]
            for one in entry['annotations']
            if one['label'] != 'Ambiguous'
        ]
        if any(len(action) != 3 for action in actions):
            raise ValueError(f'{name} has a segment without start and end')
        video = f'{prefix}{name}.mp4'
        splits[subsets[entry['subset']]].append((video, tuple(sorted({number for _, _, number in actions}))))
        times[video] = {'actions': actions}
    return Lists(splits, times)


def _find(annotations: Path, card: DatasetCard, *names: str) -> Path:
    """The first of these files that is there: the path itself, in the folder, or one folder below."""
    if annotations.is_file() and annotations.name in names:
        return annotations
    for name in names:
        for file in (annotations / name, *sorted(annotations.glob(f'*/{name}'))):
            if file.is_file():
                return file
    raise DataError(
        f"{card.name} needs {SOURCES[card.name].needs}, and '{annotations}' has no {names[0]}: give the folder by "
        f'--annotations. Get it from: {card.info["obtain"]}.'
    )


_SIGNS_OF_ANOTHER_FORMAT = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, csv.Error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class _reading:
    """Turns what goes wrong in a malformed annotation file into one sentence that names it."""

    def __init__(self, file: Path, card: DatasetCard) -> None:
        self.file, self.card = file, card

    def __enter__(self) -> None: ...

    def __exit__(self, kind, error, _traceback) -> None:
        if isinstance(error, _SIGNS_OF_ANOTHER_FORMAT):
            what = f'no such field or class: {error}' if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"'{self.file}' is not as {self.card.name} was published ({what}). "
                f'Get the published one: {self.card.info["obtain"]}.'
            ) from None


def _csv_rows(file: Path) -> Iterable[Mapping[str, str]]:
    with file.open(encoding='utf-8-sig', newline='') as lines:
        yield from csv.DictReader(lines)


SOURCES = {
    'ssv2': Source(_read_ssv2, 'something-something-v2-train.json and -validation.json'),
    'k400': Source(_read_k400, 'train.csv', other_stem=lambda stem: stem[:11]),  # the YouTube id alone
    'mimetics': Source(_read_mimetics, 'mimetics_v1.0.csv', other_stem=_plain_times),
    'ucf101': _shipped('ucf101/train.txt.gz', 'ucf101/test.txt.gz'),
    'hmdb51': _shipped('hmdb51/split1_train.txt.gz', 'hmdb51/split1_test.txt.gz'),
    'hmdb51_split2': _shipped('hmdb51/split2_train.txt.gz', 'hmdb51/split2_test.txt.gz'),
    'hmdb51_split3': _shipped('hmdb51/split3_train.txt.gz', 'hmdb51/split3_test.txt.gz'),
    'gym99': _shipped('gym99/train.txt.gz', 'gym99/test.txt.gz'),
    'gym288': _shipped('gym288/train.txt.gz', 'gym288/test.txt.gz'),
    'gym_fx_s1': _of_gym99(6, 16),
    'gym_ub_s1': _of_gym99(74, 88),
    'gym_vault': _of_gym99(0, 5),
    'gym_floor': _of_gym99(6, 40),
    'diving48': Source(_read_diving48, 'Diving48_V2_train.json and Diving48_V2_test.json'),
    'ntu60': Source(
        _read_ntu60,
        'all videos, or trainlist01.txt and testlist01.txt',
        other_stem=lambda stem: stem.removesuffix('_rgb'),
    ),
    'charades': Source(_read_charades, 'Charades_v1_train.csv and Charades_v1_test.csv'),
    'thumos14': Source(_read_thumos14, 'thumos_14_anno.json'),
    'activitynet': Source(
        _read_activitynet,
        'activity_net.v1-3.min.json, or anet_anno_action.json and video_info_new.csv',
        other_stem=lambda stem: stem.removeprefix('v_'),
    ),
    'ucfrep': Source(_read_ucfrep, 'ucf526_annotations.zip, or its unpacked folders train and val'),
}
