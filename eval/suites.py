"""Suites: lists of protocol x dataset."""

from dataclasses import dataclass, replace

from eval.records import did_you_mean
from sigma.data.index import DataError


@dataclass(frozen=True)
class Entry:
    """One column of a suite: a protocol on a dataset, on all training clips or on a few of each class.

    `shots` are clips a class; `examples` a number in all, of which every class gives its share rounded up
    (`eval.subsets`), as SEVERE draws its 1000 clips.
    """

    protocol: str
    dataset: str
    recipe: str
    shots: int | None = None
    examples: int | None = None


SUITES: dict[str, tuple[Entry, ...]] = {
    # Shows that the whole line works, on the rendered dataset and two cores.
    'demo': (
        Entry('finetune', 'toy', 'finetune_demo', shots=10),
        Entry('frozen_linear', 'toy', 'frozen_demo'),
    ),
    # The same at the budget of docs/small-scale.md; and on the second domain.
    'small_scale': (
        Entry('finetune', 'toy', 'finetune_small', shots=10),
        Entry('frozen_linear', 'toy', 'frozen_demo'),
    ),
    'small_shift': (
        Entry('finetune', 'toy_shift', 'finetune_small', shots=10),
        Entry('frozen_linear', 'toy_shift', 'frozen_demo'),
    ),
    # A user's own data at published sizes: give it with --datasets.
    'own': (
        Entry('finetune', 'toy', 'finetune_vit'),
        Entry('frozen_linear', 'toy', 'frozen_default'),
    ),
    # What labels alone teach, and that appearance alone teaches nothing.
    'controls': (
        Entry('finetune', 'toy', 'finetune_small'),
        Entry('finetune', 'toy', 'finetune_small_shuffled'),
        Entry('finetune', 'toy', 'finetune_small_single'),
    ),
    # Small real footage that a user has prepared: give it with --datasets.
    'frozen_real': (Entry('frozen_linear', 'toy', 'frozen_demo'),),
    'small_real': (
        Entry('finetune', 'toy', 'finetune_small'),
        Entry('frozen_linear', 'toy', 'frozen_demo'),
    ),
}


def suite_entries(name: str, datasets: list[str] | None = None, shots: list[int] | None = None) -> list[Entry]:
    """Entries of a suite; `datasets` puts others in the place of its own, `shots` others in the place of its few-shot.

    Raises:
        DataError: if there is no such suite, with the nearest name.
    """
    if name not in SUITES:
        raise DataError(did_you_mean('suite', name, SUITES))
    entries = list(SUITES[name])
    if datasets:
        shapes = dict.fromkeys((e.protocol, e.recipe, e.shots, e.examples) for e in entries)
        entries = [Entry(p, dataset, *rest) for dataset in datasets for p, *rest in shapes]
    if shots:
        entries = [
            replace(entry, shots=number) if entry.shots else entry
            for entry in entries
            for number in (shots if entry.shots else [None])
        ]
    return list(dict.fromkeys(entries))
