"""Suite x encoders x seeds -> cells; which of them have a record; in which order they run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.cells import Cell, Resolved
from eval.protocols import get_protocol
from eval.records import RecordError, read_record
from eval.suites import Entry


@dataclass
class Planned:
    """A cell of the plan, and whether its record is there already."""

    resolved: Resolved
    done: bool
    superseded: bool  # a record of the same name and another identity lies there
    seconds: float | None  # what it took, where it is done


def plan(
    entries: Sequence[Entry], encoders: Sequence[str], seeds: Sequence[int], work_dir: str | Path
) -> list[Planned]:
    """Every cell, in the order it will run: by column, then encoder, then seed.

    Raises:
        DataError: if any card, checkpoint or dataset of any cell is missing; nothing has run by then.
    """
    planned = []
    for entry in entries:
        protocol = get_protocol(entry.protocol)
        for encoder in encoders:
            for seed in seeds:
                cell = Cell(entry.protocol, entry.dataset, entry.recipe, encoder, seed, entry.shots, entry.examples)
                planned.append(_look_up(Resolved(cell, protocol), work_dir))
    return planned


def _look_up(resolved: Resolved, work_dir: str | Path) -> Planned:
    path = resolved.record_path(work_dir)
    if not path.is_file():
        return Planned(resolved, done=False, superseded=False, seconds=None)
    try:
        record = read_record(path)
    except RecordError:
        return Planned(resolved, done=False, superseded=True, seconds=None)
    same = record.cell['id'] == resolved.id
    return Planned(resolved, done=same, superseded=not same, seconds=record.run.get('seconds') if same else None)


def estimate_seconds(planned: Sequence[Planned], jobs: int) -> float | None:
    """Seconds that the missing cells will take, from what like cells took; None where nothing is known."""
    known: dict[tuple, list[float]] = {}
    for item in planned:
        if item.seconds is not None:
            known.setdefault(_kind(item), []).append(item.seconds)
    missing = [item for item in planned if not item.done]
    if not missing or any(_kind(item) not in known for item in missing):
        return None
    return sum(sum(known[_kind(i)]) / len(known[_kind(i)]) for i in missing) / jobs


def _kind(item: Planned) -> tuple:
    cell = item.resolved.cell
    return cell.protocol, cell.dataset, cell.shots, cell.examples, cell.recipe
