"""Ground-truth segments of a localization dataset, read under rules that the record states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sigma.errors import DataError

RULES = {'duplicates': 'keep', 'shortest_seconds': 0.0, 'ambiguous': 'left out when prepared', 'blocked': ()}


@dataclass
class Truth:
    """Ground-truth segments by video, and the flaws found in them.

    Attributes:
        segments: video -> (G, 3) rows: start and end in seconds, class. G may be 0.
        counts: flaw -> [how often, first video].
    """

    segments: dict[str, np.ndarray]
    counts: dict[str, list] = field(default_factory=dict)

    def count(self, what: str, video: str, number: int) -> None:
        """Add a flaw of a video, `number` times."""
        if number:
            self.counts.setdefault(what, [0, video])[0] += number

    def notes(self, split: str) -> list[str]:
        """One line per kind of flaw, for the record."""
        return [f'{split}: {number} {what}, first in {video}' for what, (number, video) in self.counts.items()]


def check_rules(rules: Mapping) -> dict:
    """Complete a card's rules with the defaults in `RULES`.

    Raises:
        DataError: if a rule is unknown, `duplicates` is neither `keep` nor `drop`, `shortest_seconds` is not a number
            of at least 0, or `blocked` is no list.
    """
    unknown = set(rules) - set(RULES)
    if unknown:
        raise DataError(f'Unknown rule of the evaluator {sorted(unknown)[0]!r}. Known: {", ".join(RULES)}.')
    if rules.get('duplicates', 'keep') not in ('keep', 'drop'):
        raise DataError(f'The rule duplicates is {rules["duplicates"]!r}; it must be keep or drop.')
    shortest = rules.get('shortest_seconds', 0.0)
    if isinstance(shortest, bool) or not isinstance(shortest, int | float) or not 0 <= shortest < float('inf'):
        raise DataError(f'The rule shortest_seconds is {shortest!r}; it must be a number of seconds, 0 or more.')
    if isinstance(rules.get('blocked', ()), str):
        raise DataError(f'The rule blocked is {rules["blocked"]!r}; it must be a list of videos.')
    return RULES | dict(rules) | {'blocked': sorted(rules.get('blocked', ()))}


def read_truth(entries: Sequence[dict], num_classes: int, rules: Mapping) -> Truth:
    """Read the ground-truth segments of videos.

    Nothing is dropped without being counted. Dropped: segments of no length or below `shortest_seconds`, segments of a
    class that the card does not list, and, with `duplicates: drop`, repeats of the same class and times. Kept but
    counted: segments that reach beyond either end of their video, and videos without a segment.

    Args:
        entries: From `DatasetCard.entries`, with annotation `actions` [[start_seconds, end_seconds, class], ...].
        num_classes: Classes on the card.
        rules: From `check_rules`.

    Raises:
        DataError: if a video has no annotation, or an action is not three numbers.
    """
    truth = Truth({})
    for entry in entries:
        video = entry['video']
        if entry['annotation'] is None or 'actions' not in entry['annotation']:
            raise DataError(f'{video} has no actions in its annotations; prepare the dataset again.')
        rows = _rows(entry['annotation']['actions'], video)
        unknown = (rows[:, 2] < 0) | (rows[:, 2] >= num_classes)
        truth.count('actions of a class that the card does not know, left out', video, int(unknown.sum()))
        short = ~unknown & ((rows[:, 1] <= rows[:, 0]) | (rows[:, 1] - rows[:, 0] < rules['shortest_seconds']))
        truth.count(f'actions of no length or below {rules["shortest_seconds"]} s, left out', video, int(short.sum()))
        rows = rows[~unknown & ~short]
        single = np.unique(rows, axis=0)
        copies = 'second copies of actions, ' + ('left out' if rules['duplicates'] == 'drop' else 'kept')
        truth.count(copies, video, len(rows) - len(single))
        if rules['duplicates'] == 'drop':
            rows = single
        truth.count('actions that begin before their video, kept', video, int((rows[:, 0] < 0).sum()))
        if entry['total_frames'] and entry['fps']:
            beyond = rows[:, 1] > entry['total_frames'] / entry['fps'] + 0.5  # times are rounded, mostly to 0.1 s
            truth.count('actions that reach beyond the end of their video, kept', video, int(beyond.sum()))
        truth.count('videos without an action, kept', video, int(len(rows) == 0))
        truth.segments[video] = rows
    return truth


def _rows(actions: Sequence, video: str) -> np.ndarray:
    """(G, 3) rows of a video's actions; raises DataError if one is not three numbers."""
    try:
        rows = np.array([[float(value) for value in action] for action in actions]).reshape(len(actions), 3)
    except (ValueError, TypeError) as error:
        raise DataError(
            f'{video}: an action must be [start_seconds, end_seconds, class], three numbers ({error}).'
        ) from None
    if not np.isfinite(rows).all():
        raise DataError(f'{video} has an action whose times or class are not numbers.')
    return rows
