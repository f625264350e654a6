"""Short names of columns, the groups that papers put them in, and their order. Needs no torch.

A dataset card says its `short` name (SSv2), and a suite card the `group` of its entries (domain shift). The suite is
the one that is given, else the one that holds most of the columns, if that is half of them and half of the suite at
least. A column without a group stands under its protocol.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eval.report.summaries import Key, suite_columns
from sigma.configs import card_names, find_card, read_plain
from sigma.errors import DataError

if TYPE_CHECKING:
    from eval.report.table import Column

# Protocol -> how papers call what it does. Any other is called by its name.
PROTOCOLS = {
    'finetune': 'fine-tuned',
    'multi_label': 'fine-tuned, multi-label',
    'frozen_linear': 'frozen linear',
    'linear': 'frozen linear with augmentation',
    'arrow_of_time': 'arrow of time',
    'repetition': 'counting',
    'repetition_frozen': 'counting, frozen',
    'repetition_cycles': 'counting by cycles',
    'localization': 'localization',
    'localization_external': 'localization, classes from elsewhere',
    'localization_bmn': 'localization by BMN',
    'localization_bmn_external': 'localization by BMN, classes from elsewhere',
    'localization_adapters': 'localization with adapters',
    'localization_adapters_external': 'localization with adapters, classes from elsewhere',
    'localization_robustness': 'localization, corrupted',
    'out_of_context': 'out of context',
    'out_of_context_frozen': 'out of context, frozen linear',
    'robustness': 'corrupted',
    'robustness_frozen': 'corrupted, frozen linear',
    'robustness_ucf-p': 'UCF101-P corruptions',
    'robustness_ucf-p_frozen': 'UCF101-P corruptions, frozen linear',
    'robustness_imagenet-c': 'ImageNet-C corruptions',
    'robustness_imagenet-c_frozen': 'ImageNet-C corruptions, frozen linear',
    'robustness_kinetics-c': 'Kinetics-C corruptions',
    'robustness_kinetics-c_frozen': 'Kinetics-C corruptions, frozen linear',
    'robustness_ssv2-c': 'SSv2-C corruptions',
    'robustness_ssv2-c_frozen': 'SSv2-C corruptions, frozen linear',
    'knn': 'kNN',
    'frozen_knn': 'kNN',
}
# Datasets of published numbers that have no card here.
NO_CARD = {
    'ava': 'AVA',
    'cifar100': 'CIFAR-100',
    'davis': 'DAVIS',
    'epic100': 'EPIC-100',
    'fineaction': 'FineAction',
    'imagenet1k': 'ImageNet-1K',
    'ucf101_24': 'UCF101-24',
    'unnamed': 'not named',
    'unnamed_in_domain': 'in domain, not named',
    'ytvos': 'YTVOS',
}


def name_columns(columns: Sequence[Column], suite: str | None = None) -> None:
    """Give columns their group and label; labels are unique within a group.

    Args:
        columns: All columns of a table.
        suite: Name or path of the suite whose groups count; None: the one that holds most of the columns.

    Raises:
        DataError: if that suite is unknown or cannot be read.
    """
    groups = groups_of([column.key for column in columns if not column.is_summary], suite)
    for column in columns:
        column.group = '' if column.is_summary else groups.get(column.key) or protocol_label(column.protocol)
        column.label = column.protocol if column.is_summary else column_label(column.dataset, column.subset)
    alike: dict[tuple[str, str], list[Column]] = {}
    for column in columns:
        alike.setdefault((column.group, column.label), []).append(column)
    for members in alike.values():
        for column in members if len(members) > 1 else ():
            column.label += f', {protocol_label(column.protocol)}'


def groups_of(keys: Sequence[Key], suite: str | None = None) -> dict[Key, str | None]:
    """Column of the suite -> its group, in the order of the suite; empty if no suite is given and none fits."""
    if suite is not None:
        return suite_columns(suite)
    found: tuple[int, int, dict[Key, str | None]] = (0, 0, {})
    for name in card_names('suites'):
        try:
            columns = suite_columns(name)
        except DataError:  # a card that is being written must not stop a table of other columns
            continue
        num = sum(key in columns for key in keys)
        if 2 * num >= max(len(columns), len(keys)) and (num, -len(columns)) > found[:2]:
            found = (num, -len(columns), columns)
    return found[2]


def unfilled(columns: Sequence[Column], suite: str | None) -> list[str]:
    """Names of the columns of a suite in which nothing was measured here; none where all numbers are published."""
    measured = {c.key for c in columns if not all(cell.published for cell in c.cells.values())}
    if suite is None or not measured:
        return []
    return [
        f'{column_label(dataset, subset)} ({group or protocol_label(protocol)})'
        for (protocol, dataset, subset), group in suite_columns(suite).items()
        if (protocol, dataset, subset) not in measured
    ]


def column_label(dataset: str, subset: str | None) -> str:
    """`GYM99 (1000)`, `UCF101 (5/class)`: short name of a dataset, and of the part of its training clips."""
    return f'{dataset_label(dataset)} ({subset_label(subset)})' if subset else dataset_label(dataset)


def subset_label(subset: str) -> str:
    """`1000` for `1000-examples`, `5/class` for `5-a-class`, `trial of 20 videos` for `limit_20`; else as it is."""
    if trial := re.fullmatch(r'(?:(.+)_)?limit_(\d+)', subset):
        said = f'trial of {trial[2]} videos'
        return f'{subset_label(trial[1])}, {said}' if trial[1] else said
    return re.sub(r'^(\d+)-(examples|a-class)$', lambda m: m[1] + ('/class' if m[2] == 'a-class' else ''), subset)


@functools.cache
def dataset_label(dataset: str) -> str:
    """The short name that a dataset's card states; else its name."""
    try:
        found = read_plain(find_card('datasets', dataset)).get('dataset_info', {}).get('short')
    except (DataError, AttributeError):
        found = None
    return found if isinstance(found, str) and found else NO_CARD.get(dataset, dataset)


def protocol_label(protocol: str) -> str:
    """How papers call what a protocol does."""
    return PROTOCOLS.get(protocol, protocol.replace('_', ' '))
