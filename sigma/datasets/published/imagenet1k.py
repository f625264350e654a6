"""ImageNet-1K: `train/<wnid>/*.JPEG`, and `val` in class folders or flat.

Classes are the WordNet numbers (wnids) in ascending order, as everywhere. A flat `val` needs its labels from the
annotations: ILSVRC2012_validation_ground_truth.txt with meta.mat of the development kit, whose numbers have an order of
their own, or LOC_val_solution.csv.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from sigma.data.cards import DatasetCard
from sigma.data.lists import Label
from sigma.datasets.published import Lists
from sigma.datasets.published._files import csv_rows, find_file, reading
from sigma.errors import DataError

_TRUTH, _META, _SOLUTION = 'ILSVRC2012_validation_ground_truth.txt', 'meta.mat', 'LOC_val_solution.csv'


def read(annotations: Path, card: DatasetCard, videos: Sequence[str]) -> Lists:
    """Both lists, sorted by path; images of `val` are listed as `val/<name>` in either layout."""
    numbers = {name.split()[0]: number for number, name in enumerate(card.info['classes'])}
    train = _in_class_folders([path for path in videos if 'train' in PurePosixPath(path).parts[:-2]], numbers)
    _check_complete('train', {label for _, label in train}, numbers, card)
    found = [path for path in videos if 'val' in PurePosixPath(path).parts[:-1]]
    nested = [path for path in found if PurePosixPath(path).parts[-2] != 'val']
    if not found:
        raise DataError(f'{card.name} needs a folder val beside train; there is none. {_obtain(card)}')
    if nested:
        test = _in_class_folders(nested, numbers)
        _check_complete('val', {label for _, label in test}, numbers, card)
    else:
        labels = _labels(annotations, card, numbers, len(found))
        test = [(path, labels[PurePosixPath(path).stem]) for path in found if PurePosixPath(path).stem in labels]
    listed: list[tuple[str, Label]] = [(f'val/{PurePosixPath(path).name}', label) for path, label in test]
    named: list[tuple[str, Label]] = [('/'.join(('train', *PurePosixPath(p).parts[-2:])), n) for p, n in train]
    return Lists({'train': sorted(named), 'test': sorted(listed)})


def _in_class_folders(paths: Sequence[str], numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    """(path, class) of the images whose folder is a class."""
    folders = [(path, PurePosixPath(path).parts[-2]) for path in paths]
    return [(path, numbers[folder]) for path, folder in folders if folder in numbers]


def _check_complete(split: str, present: set[int], numbers: Mapping[str, int], card: DatasetCard) -> None:
    absent = [wnid for wnid, number in numbers.items() if number not in present]
    if absent:
        raise DataError(
            f'{card.name}: {len(absent)} of {len(numbers)} class folders of {split} are missing or empty, first '
            f'{split}/{absent[0]}. {_obtain(card)}'
        )


def _labels(annotations: Path, card: DatasetCard, numbers: Mapping[str, int], num_images: int) -> dict[str, int]:
    """Name without extension -> class, of the images of a flat `val`."""
    try:
        file = find_file(annotations, card, _SOLUTION)
    except DataError:
        return _labels_of_kit(annotations, card, numbers, num_images)
    with reading(file, card):
        return {row['ImageId']: numbers[row['PredictionString'].split()[0]] for row in csv_rows(file)}


def _labels_of_kit(annotations: Path, card: DatasetCard, numbers: Mapping[str, int], num_images: int) -> dict[str, int]:
    truth, meta = (find_file(annotations, card, name, f'data/{name}') for name in (_TRUTH, _META))
    with reading(meta, card):
        wnids = _wnids(meta)
    with reading(truth, card):
        labels = [numbers[wnids[int(line)]] for line in truth.read_text(encoding='utf-8').split()]
    if len(labels) != num_images:
        raise DataError(
            f"{card.name}: '{truth}' has {len(labels)} lines for the {num_images} images of val; the two belong "
            f'together. {_obtain(card)}'
        )
    return {f'ILSVRC2012_val_{number:08d}': label for number, label in enumerate(labels, start=1)}


def _wnids(meta: Path) -> dict[int, str]:
    """Number in the development kit -> wnid, of the classes without children."""
    from scipy.io import loadmat

    synsets = loadmat(meta, squeeze_me=True)['synsets']
    return {int(one['ILSVRC2012_ID']): str(one['WNID']) for one in synsets if int(one['num_children']) == 0}


def _obtain(card: DatasetCard) -> str:
    return f'Get it from: {card.info["obtain"]}.'
