"""Which entries of a suite a command runs, after `--protocols` and `--limit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eval.matrix.suites import SUITES, Entry
from sigma.configs import own_recipe, split_limit, with_limit
from sigma.errors import DataError, did_you_mean


def with_protocols(entries: Sequence[Entry], protocols: Sequence[str], suite: str) -> list[Entry]:
    """The entries of these protocols; a protocol that the suite lacks is measured on each dataset of the suite.

    The recipe of such an entry is the one that the dataset's card names for the protocol, else that of another suite
    on the same dataset, else that of the first suite with the protocol.

    Raises:
        DataError: if no suite has an entry of the protocol; names the nearest that one has.
    """
    found: list[Entry] = []
    datasets = dict.fromkeys(entry.dataset for entry in entries)
    for protocol in protocols:
        own = [entry for entry in entries if entry.protocol == protocol]
        found += own or [_replacement(protocol, dataset, suite) for dataset in datasets]
    return list(dict.fromkeys(found))


def with_limits(entries: Sequence[Entry], limit: int | None) -> list[Entry]:
    """The entries on at most so many videos of each split."""
    return [replace(entry, dataset=with_limit(entry.dataset, limit)) for entry in entries]


def _replacement(protocol: str, dataset: str, suite: str) -> Entry:
    others = [entry for members in SUITES.values() for entry in members if entry.protocol == protocol]
    if not others:
        known = sorted({entry.protocol for members in SUITES.values() for entry in members})
        raise DataError(
            f'--protocols: the suite {suite} has no entry of it and no other suite shows a recipe for it. '
            f'{did_you_mean("protocol", protocol, known)}.'
        )
    name = split_limit(dataset)[0]
    same = next((entry for entry in others if entry.dataset == name), others[0])
    return Entry(protocol, dataset, own_recipe(dataset, protocol) or same.recipe)
