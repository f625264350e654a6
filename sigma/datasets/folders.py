"""Users' own videos: labels and splits from folders; index, lists and card from whatever says them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from sigma.data.index import build_index
from sigma.data.lists import check_listable
from sigma.datasets.prepared import (
    LOG,
    Splits,
    all_paths,
    clean_label,
    listing,
    refuse_another,
    write_dataset,
)
from sigma.datasets.selection import TEST_FRACTION, About, Selection
from sigma.datasets.splits import (
    Pairs,
    check_splits,
    groups_by_regex,
    split_by_hash,
    split_every,
    split_name,
    train_and_test,
    warn_of_shared_groups,
)
from sigma.datasets.tables import splits_of_csv
from sigma.errors import DataError
from sigma.text import shown

VIDEO_SUFFIXES = {
    '.3gp', '.asf', '.avi', '.divx', '.f4v', '.flv', '.gif', '.h264', '.hevc', '.m2ts', '.m2v', '.m4v', '.mkv', '.mov',
    '.mp4', '.mpeg', '.mpg', '.mts', '.mxf', '.ogv', '.ts', '.vob', '.webm', '.wmv',
}  # fmt: skip


def prepare_folder(
    selection: Selection, out: Path, about: About, size: int = 112, workers: int | None = None, allow: bool = False
) -> bool:
    """Read the selected videos and write their lists, index and card to `out`.

    Args:
        size: Pixels per side for training.
        workers: Processes; None uses one per CPU.
        allow: Write the lists even if some videos are unreadable.

    Returns:
        Whether the dataset was written; False if videos are unreadable.

    Raises:
        DataError: if the selection makes no sense, no video is readable, or `out` holds another dataset.
    """
    refuse_another(out, about.name_for(out))
    about.metric_for(selection.task)
    root, splits, annotations = read_splits(selection)
    return index_and_write(root, splits, out, about, selection.task, size, workers, allow, annotations)


def index_and_write(
    root: Path,
    splits: Splits,
    out: Path,
    about: About,
    task: str,
    size: int = 112,
    workers: int | None = None,
    allow: bool = False,
    annotations: dict[str, dict] | None = None,
    classes: Sequence[str] | None = None,
) -> bool:
    """Index the videos of checked splits, and write lists and card; see `prepare_folder` and `write_dataset`.

    Raises:
        DataError: if no video is readable.
    """
    is_new = not out.exists()
    index = build_index(root, all_paths(splits), out / 'index.jsonl', workers=workers)
    if len(index.unreadable) == len(index):
        first = index.unreadable[0]
        (out / 'index.jsonl').unlink()
        if is_new:
            out.rmdir()
        raise DataError(f"None of the {len(index)} videos under '{root}' is readable; {first.path}: {first.reason}.")
    # A mirrored video has the same number of cycles.
    flips_change_label = task != 'repetition' and not about.flips_are_harmless
    info = {
        'name': about.name_for(out),
        'task': task,
        'video_root': str(root.resolve()),
        'metric': about.metric_for(task),
        'flips_change_label': flips_change_label,
        'sampling': about.sampling,
        'size': size,
        'source': about.source,
        'licence': about.licence,
        'prepare': about.prepare,
    }
    if not write_dataset(out, info, splits, index, allow, annotations, classes):
        return False
    off = 'off in training with labels, since a mirrored video may get another label; --flips-are-harmless: on'
    LOG.info(f'flips: {off if flips_change_label else "on in training"}')
    LOG.info(f'metric: {info["metric"]}')
    return True


def read_splits(selection: Selection) -> tuple[Path, Splits, dict[str, dict] | None]:
    """Folder of the videos, (path, label) pairs of each split, and annotations if a table has them.

    Raises:
        DataError: if the selection makes no sense, a video does not exist, or a list could not hold its name.
    """
    root = selection.root
    if selection.csv is None and selection.task != 'action_recognition':
        raise DataError(f'--task {selection.task} needs --csv FILE: folders give only one class per video.')
    annotations = None
    if selection.csv is not None:
        splits, annotations, groups = splits_of_csv(root, selection)
    else:
        splits, groups = splits_of_folder(root, selection)
    splits = train_and_test(splits)
    check_listable(all_paths(splits), str(root))
    check_splits(splits, root)
    warn_of_shared_groups(splits, groups)
    return root, splits, annotations


def splits_of_folder(root: Path, options: Selection) -> tuple[Splits, dict[str, str]]:
    """Videos under `root`, in one of three layouts, and path -> group if --group-regex is given.

    `<class>/<video>`: a share of each class becomes the test split, chosen by the hash of the path.
    `<split>/<class>/<video>` or `<class>/<split>/<video>`: splits are folders called train, val or test, or alike.

    Raises:
        DataError: if there are no videos, none in class folders, or it is unclear which folders are splits.
    """
    for option, value in (('--group-column', options.group_column), ('--test-where', options.test_where)):
        if value is not None:
            raise DataError(f'{option} names a column, so it needs --csv FILE.')
    videos, others = find_videos(root)
    report_others(others)
    if not videos:
        raise DataError(f"No videos under '{root}' (looked for {', '.join(sorted(VIDEO_SUFFIXES))}).")
    level = _level_of_splits(root, videos)
    depth = 1 if level is None else 2
    loose = [path for path in videos if path.count('/') < depth]
    if loose:
        raise DataError(
            f"{len(loose)} of {len(videos)} videos under '{root}' are in no class folder, first {shown(loose[0])}: put "
            'them into <class>/<video>, or give their labels with --csv.'
        )
    groups = {} if options.group_regex is None else groups_by_regex(options.group_regex, videos)
    labelled: Pairs = [(path, clean_label(path.split('/')[1 if level == 0 else 0])) for path in videos]
    labelled = [(path, label) for path, label in labelled if label not in options.drop_label]
    if level is None:
        if options.test_every is not None:
            return split_every(labelled, options.test_every, groups), groups
        fraction = TEST_FRACTION if options.test_fraction is None else options.test_fraction
        splits = split_by_hash(labelled, fraction, groups)
        kept = 'groups stay together' if groups else '--group-regex would keep clips of one recording together'
        LOG.info(f'split: {fraction:g} of each class is for testing, chosen by the hash of the path; {kept}')
        return splits, groups
    if options.test_every is not None or options.test_fraction is not None:
        raise DataError(f"'{root}' has folders for its splits: leave out --test-every and --test-fraction.")
    splits = {}
    for path, label in labelled:
        splits.setdefault(split_name(path.split('/')[level]) or '', []).append((path, label))
    return splits, groups


def _level_of_splits(root: Path, videos: Sequence[str]) -> int | None:
    """Which folder of a path is its split: 0 the first, 1 the second, None no folder.

    Raises:
        DataError: if only some of the folders of a level are splits, or train or test is missing.
    """
    for level, others_are in ((0, 'others'), (1, 'others below its classes')):
        folders = {path.split('/')[level] for path in videos if path.count('/') > level}
        splits = {name: split for name in folders if (split := split_name(name))}
        inside = sum(path.count('/') > level for path in videos)
        if not splits:
            continue
        others = sorted(folders - set(splits))
        if others or (level == 1 and inside < len(videos)):
            more = f' ({listing(others)})' if others else ''
            raise DataError(
                f"'{root}' holds split folders ({listing(sorted(splits))}) and {others_are}{more}: which are classes? "
                'Rename them, or list the videos with --csv.'
            )
        if 'train' not in splits.values() or len(set(splits.values())) < 2:
            raise DataError(
                f"'{root}' holds the split folders {listing(sorted(splits))} alone: a training and a test split are "
                'needed. Add the other folder, or list the videos with --csv.'
            )
        return level
    return None


def report_others(others: Counter[str]) -> None:
    """Log what is left aside, by kind."""
    if others:
        ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
        kinds = ', '.join(f'{count} {kind}' for kind, count in ordered[:12])
        LOG.info(f'left aside: {others.total()} that are no videos ({kinds}{", ..." if len(others) > 12 else ""})')


def find_videos(root: Path, suffixes: Collection[str] = VIDEO_SUFFIXES) -> tuple[list[str], Counter[str]]:
    """Paths with one of the suffixes relative to `root`, sorted, and how many others there are of each kind.

    Links are followed, also several to one folder; a link to a folder that it lies in is left aside. Kinds are
    suffixes, `without a suffix`, `hidden` (a leading dot; a folder counts once) and `links in a circle`.

    Raises:
        OSError: if a folder cannot be read.
    """
    videos: list[str] = []
    others: Counter[str] = Counter()
    for path, kind in _walk(str(root), '', (), suffixes):
        if kind is None:
            videos.append(path)
        else:
            others[kind] += 1
    return sorted(videos), others


def _walk(root: str, below: str, above: tuple[str, ...], suffixes: Collection[str]) -> Iterator[tuple[str, str | None]]:
    """(path, None) of videos and (path, kind) of other files under `root/below`; `above` are its real parents."""
    real = os.path.realpath(os.path.join(root, below))
    if real in above:
        yield below, 'links in a circle'
        return
    with os.scandir(real) as entries:
        names = sorted((entry.name, os.path.isdir(entry.path)) for entry in entries)  # a link to itself is no folder
    for name, is_folder in names:
        path = f'{below}/{name}' if below else name
        if name.startswith('.'):
            yield path, 'hidden'
        elif is_folder:
            yield from _walk(root, path, (*above, real), suffixes)
        else:
            suffix = Path(name).suffix.lower()
            yield path, None if suffix in suffixes else shown(suffix) or 'without a suffix'
