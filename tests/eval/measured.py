"""Run a cell and the cells that it needs in this process, which saves the seconds of starting new ones."""

from pathlib import Path

from eval import run_cell
from eval.cells.cell import ResolvedCell
from eval.cells.trained import has_record
from eval.records import Record, read_record


def run_needed(resolved: ResolvedCell, work: Path) -> list[str]:
    """Run the needed cells that have no record yet; return their names."""
    ran = []
    for needed in resolved.needs:
        if not has_record(needed, work):
            ran += run_needed(needed, work)
            assert run_cell.main(['--work-dir', str(work), needed.cell.to_json()]) == 0
            ran.append(needed.name)
    return ran


def measured(resolved: ResolvedCell, work: Path) -> Record:
    """Run the cells that a cell needs, then the cell; return its record."""
    run_needed(resolved, work)
    outcome = resolved.protocol.run(resolved, work)
    run = {'num_processes': 1, 'device': 'cpu', 'started': '2026-01-01T00:00:00+00:00', 'seconds': 1.0}
    return read_record(run_cell.write_results(resolved, outcome, run, str(work)))
