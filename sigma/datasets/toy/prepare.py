"""Render the toy dataset and index it like any other."""

import dataclasses
from pathlib import Path

from sigma.data.index import build_index
from sigma.datasets.prepared import all_paths, write_dataset
from sigma.datasets.toy.render import SETS, ToySpec, annotations, card, render


def prepare_toy(spec: ToySpec, out: Path, command: str, workers: int | None = None, allow: bool = False) -> bool:
    """Render one dataset into `out`, then write its index, lists and card.

    Args:
        command: The command that makes it, for the card.
        workers: Processes; None uses one per CPU.
        allow: Write the lists even if some clips are unreadable.

    Returns:
        Whether the dataset was written; False if clips are unreadable.

    Raises:
        DataError: if `out` holds something else.
    """
    splits = render(spec, out, workers=workers)
    index = build_index(out / 'videos', all_paths(splits), out / 'index.jsonl', workers=workers)
    return write_dataset(out, {**card(spec), 'prepare': command}, splits, index, allow, annotations(spec))


def prepare_sets(
    out: Path,
    size: int,
    seed: int,
    clips_per_class: tuple[int, int] | None,
    command: str,
    workers: int | None = None,
    allow: bool = False,
) -> bool:
    """Render every dataset of the suite `severe_toy`, each into a folder of its name; see `prepare_toy`."""
    for name, spec in SETS.items():  # finished ones are only checked
        asked = dataclasses.replace(spec, size=size, seed=seed)
        if clips_per_class:
            asked = dataclasses.replace(asked, clips_per_class=clips_per_class)
        if not prepare_toy(asked, out / name, command, workers, allow):
            return False
    return True
