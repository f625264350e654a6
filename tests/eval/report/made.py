"""Tables of made-up records for tests of statistics: encoders of given skills over several data sets."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.report.table import Table

sys.path.insert(0, str(Path(__file__).parents[2] / 'data' / 'records'))
from build_records import add_record  # noqa: E402


def made_table(
    root: Path, skills: Mapping[str, Sequence[float]], seeds: Sequence[int] = (0,), **kinds: int | str
) -> Table:
    """A table with one column for each place of `skills`: finetune / data0, finetune / data1 and so on.

    Args:
        root: Folder for the records.
        skills: Encoder -> its accuracy in percent in each column; NaN where it has no record.
        seeds: One record each.
        kinds: Further arguments of `build_records.make_record`.
    """
    for encoder, of_columns in skills.items():
        for i, skill in enumerate(of_columns):
            for seed in seeds if not math.isnan(skill) else ():
                add_record(root, encoder=encoder, accuracy=skill, dataset=f'data{i}', seed=seed, **kinds)
    return Table.read([root])
