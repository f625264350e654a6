"""A held-out part of the training videos instead of the test split, so that settings are never chosen on test."""

from __future__ import annotations

from pathlib import Path

from sigma.data.cards import DatasetCard
from sigma.data.lists import Label
from sigma.datasets.prepared import LOG, card_text, refuse_another, write_split
from sigma.errors import DataError
from sigma.files import write_atomic


def prepare_held_out(card: DatasetCard, every: int, out: Path, command: str) -> None:
    """Write lists and a card to `out`; see `held_out`."""
    splits, info = held_out(card, every, out)
    out.mkdir(parents=True, exist_ok=True)
    entries = {split: write_split(out, split, pairs, info['delimiter']) for split, pairs in splits.items()}
    write_atomic(out / 'dataset.py', card_text({**info, 'splits': entries, 'prepare': command}))
    LOG.info(f'{info["note"]}\ncard: {out / "dataset.py"}')


def held_out(card: DatasetCard, every: int, out: Path) -> tuple[dict[str, list[tuple[str, Label]]], dict]:
    """Lists and card fields of a dataset that shares videos, index and annotations with another.

    Args:
        card: A prepared dataset.
        every: Videos `every`, 2 x `every`, ... of its training list become the test split.
        out: Folder of the new card.

    Returns:
        `train` and `test` -> (video, label) pairs in list order; the fields without `splits`.

    Raises:
        DataError: if `every` leaves a split empty, `out` is the dataset's own folder or holds another dataset, or the
            dataset is not prepared.
    """
    pairs, root = card.pairs('train'), Path(card.info['data_root']).resolve()
    if not 2 <= every <= len(pairs):
        raise DataError(f'--every {every} does not work with {len(pairs)} training videos; choose 2 to {len(pairs)}.')
    if out.resolve() == root:
        raise DataError(f"'{out}' is the folder of {card.name} itself: choose another --out.")
    name = f'{card.name}_heldout{every}'
    refuse_another(out, name)
    splits: dict[str, list[tuple[str, Label]]] = {'train': [], 'test': []}
    for number, pair in enumerate(pairs, start=1):
        splits['train' if number % every else 'test'].append(pair)
    info = {key: value for key, value in card.info.items() if key not in ('data_root', 'splits')}
    for key in ('index', 'annotations', 'video_root'):
        if info.get(key):
            info[key] = str(root / info[key])  # unchanged if it is absolute
    info['name'] = name
    info['delimiter'] = info.get('delimiter') or ' '
    told = f'its test split is every {_ordinal(every)} training video of {card.name}; its train split is the rest'
    return splits, info | {'note': '; '.join(filter(None, [card.info.get('note'), told]))}


def _ordinal(number: int) -> str:
    return {2: 'second', 3: 'third', 4: 'fourth', 5: 'fifth', 10: 'tenth'}.get(number, f'{number}th')
