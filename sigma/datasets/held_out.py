"""Settings are chosen without the test split: a part of the training videos stands in its place."""

from pathlib import Path

from sigma.data.cards import DatasetCard, load_dataset_card
from sigma.data.lists import Label
from sigma.errors import DataError


def held_out(card: DatasetCard, every: int, out: Path) -> tuple[dict[str, list[tuple[str, Label]]], dict]:
    """Lists, and the fields of a card that reads the videos, index and annotations of another.

    Args:
        card: Of a prepared dataset.
        every: Of its training list, videos `every`, 2 x `every`, ... become the test split.
        out: Folder that the new card goes to.

    Returns:
        `train` and `test` -> (video, label) pairs in the order of the list; the fields, without `splits`.

    Raises:
        DataError: if `every` leaves a split empty, `out` is the dataset's own folder or holds another dataset, or the
            dataset is not prepared.
    """
    pairs, root = card.pairs('train'), Path(card.info['data_root']).resolve()
    if not 2 <= every <= len(pairs):
        raise DataError(f'Every {every} of {len(pairs)} training videos cannot be held out; 2 to {len(pairs)} can.')
    if out.resolve() == root:
        raise DataError(f"'{out}' is the folder of {card.name} itself: choose another --out.")
    name = f'{card.name}_heldout{every}'
    if (out / 'dataset.py').exists() and (other := load_dataset_card(str(out)).name) != name:
        raise DataError(f"'{out}' holds the dataset {other}, not {name}: choose another --out.")
    splits = {'train': [], 'test': []}
    for number, pair in enumerate(pairs, start=1):
        splits['train' if number % every else 'test'].append(pair)
    info = {key: value for key, value in card.info.items() if key not in ('data_root', 'splits')}
    for key in ('index', 'annotations', 'video_root'):
        if info.get(key):
            info[key] = str(root / info[key])  # stays as it is where it is absolute
    info['name'] = name
    info['delimiter'] = info.get('delimiter') or ' '
    told = f'its test split is every {_ordinal(every)} training video of {card.name}, of which train is the rest'
    return splits, info | {'note': '; '.join(filter(None, [card.info.get('note'), told]))}


def _ordinal(number: int) -> str:
    return {2: 'second', 3: 'third', 4: 'fourth', 5: 'fifth', 10: 'tenth'}.get(number, f'{number}th')
