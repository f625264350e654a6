"""What a user says about videos of their own: where they are, their labels and splits, and what the card states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sigma.datasets.prepared import check_root
from sigma.errors import DataError, did_you_mean

# task -> metrics that it can be ranked by; the first is the default
METRICS = {
    'action_recognition': ('top1', 'mean_class', 'top5'),
    'multi_label': ('mean_average_precision',),
    'repetition': ('count_error', 'off_by_one'),
}
TEST_FRACTION = 0.25  # if nothing else says which videos are for testing


@dataclass(frozen=True)
class Selection:
    """Where videos, labels and splits come from.

    Attributes:
        path: Folder of the videos; with `csv`, the folder that its paths start from (default: that of the table).
        csv: Table with a column `path`, or None for folders of classes.
        task: `action_recognition`, `multi_label` or `repetition`.
        label_columns: Columns that make up the label, separated by commas.
        count_column: Column with the number of cycles (repetition).
        cycles_column: Column with the frames at which cycles end (repetition), or None.
        split_column: Column that holds train, val or test.
        test_where: COLUMN=VALUES of the test rows, such as serial=16-22; or None.
        test_every: Rows (with groups: groups) N, 2N, 3N, ... are the test split; or None.
        test_fraction: Test share of each class, chosen by the hash of the path; None means 0.25 for folders.
        group_column, group_regex: What clips of one group share, such as a person: a column of the table, or the first
            group (else the whole match) of a regular expression in the path. A split that is chosen here keeps groups
            together; for one that is given, groups on both sides are named.
        drop_label: Labels to leave out.
    """

    path: str | None = None
    csv: str | None = None
    task: str = 'action_recognition'
    label_columns: str = 'label'
    count_column: str = 'count'
    cycles_column: str | None = None
    split_column: str = 'split'
    test_where: str | None = None
    test_every: int | None = None
    test_fraction: float | None = None
    group_column: str | None = None
    group_regex: str | None = None
    drop_label: Sequence[str] = ()

    @property
    def root(self) -> Path:
        """Folder that the paths of the videos start from.

        Raises:
            DataError: if neither a folder nor a table was given, or the folder does not exist.
        """
        if self.path is not None:
            root = Path(self.path)
        elif self.csv is not None:
            root = Path(self.csv).parent
        else:
            raise DataError('Give PATH (videos as <class>/<video>), or --csv FILE.')
        check_root(root)
        return root


@dataclass(frozen=True)
class About:
    """What the user says about a dataset, for its card.

    Attributes:
        name: Name of the dataset; None takes that of the output folder.
        prepare: The command that made it.
        num_frames, stride_frames: How clips are sampled; None leaves it to each encoder.
        flips_are_harmless: A mirrored video keeps its label.
        metric: What cells are ranked by; None takes the task's usual metric (`METRICS`).
        source, licence: Source and licence of the videos.
    """

    prepare: str
    name: str | None = None
    num_frames: int | None = 16
    stride_frames: int | None = None
    flips_are_harmless: bool = False
    metric: str | None = None
    source: str = ''
    licence: str = ''

    @property
    def sampling(self) -> dict[str, int]:
        """The card's `sampling` field, with the given values only."""
        given = {'num_frames': self.num_frames, 'stride_frames': self.stride_frames}
        return {key: value for key, value in given.items() if value}

    def name_for(self, out: Path) -> str:
        """Name of the dataset that is written to `out`."""
        return self.name or out.resolve().name

    def metric_for(self, task: str) -> str:
        """The metric for a task.

        Raises:
            DataError: if the given one does not belong to the task.
        """
        if self.metric is not None and self.metric not in METRICS[task]:
            raise DataError(did_you_mean(f'metric for {task}', self.metric, METRICS[task]))
        return self.metric or METRICS[task][0]
