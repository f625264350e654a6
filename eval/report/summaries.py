"""Means over the columns of a suite, reported as one number. Standard library alone."""

from __future__ import annotations

from typing import NamedTuple

from eval.records import RecordError
from sigma.errors import did_you_mean


class Summary(NamedTuple):
    """A plain mean of columns in percent; an error that is a ratio counts as 100 (1 - error)."""

    name: str
    columns: tuple[tuple[str, str, str | None], ...]  # (protocol, dataset, kind of subset or None for all clips)


def _severe(counting: str) -> Summary:
    """SEVERE (ECCV 2022): two experiments for each of four factors, without its in-domain reference UCF101."""
    return Summary(
        'mean of 8',
        (
            ('finetune', 'ssv2', None),  # domain shift
            ('finetune', 'gym99', None),
            ('finetune', 'ucf101', '1000_examples'),  # sample efficiency
            ('finetune', 'gym99', '1000_examples'),
            ('finetune', 'gym_fx_s1', None),  # action granularity
            ('finetune', 'gym_ub_s1', None),
            (counting, 'ucfrep', None),  # task shift
            ('multi_label', 'charades', None),
        ),
    )


SUMMARIES: dict[str, Summary] = {
    'severe': _severe('repetition'),
    'severe_cycles': _severe('repetition_cycles'),
    # The same eight experiments on rendered videos.
    'severe_toy': Summary(
        'mean of 8',
        (
            ('finetune', 'toy_shift', None),
            ('finetune', 'toy_shift_hard', None),
            ('finetune', 'toy', '100_examples'),
            ('finetune', 'toy_shift', '100_examples'),
            ('finetune', 'toy_rhythms', None),
            ('finetune', 'toy_speeds', None),
            ('repetition_frozen', 'toy_repetition', None),
            ('multi_label', 'toy_two_movers', None),
        ),
    ),
}


def get_summary(name: str) -> Summary:
    """The summary of that name.

    Raises:
        RecordError: if there is none (with the nearest name).
    """
    if name not in SUMMARIES:
        raise RecordError(did_you_mean('summary', name, SUMMARIES))
    return SUMMARIES[name]
