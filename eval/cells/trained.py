"""The weights and training facts of a finished cell, for other cells that measure those weights."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from eval.cells.cell import ResolvedCell
from eval.records import Record, RecordError, read_record
from sigma.errors import DataError
from sigma.files import sha256_file


@dataclass(frozen=True)
class Weights:
    """A file of weights and its sha256 (hex)."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Trained:
    """A finished cell, with its weights and the facts of its training.

    Attributes:
        resolved: The cell.
        work_dir: Work directory of its record, features and weights.
        record: Its record.
    """

    resolved: ResolvedCell
    work_dir: Path
    record: Record

    @property
    def num_train(self) -> int:
        """Number of clips that the cell trained on."""
        return self.record.dataset['num_train']

    @property
    def num_train_skipped(self) -> int:
        """Number of training clips that could not be read."""
        return self.record.dataset['num_train_skipped']

    @property
    def selection(self) -> dict:
        """Which weights the cell scored (`epoch`), and `how` it chose them."""
        return dict(self.record.selection)

    @property
    def subset(self) -> dict | None:
        """The training subset; None for all training clips."""
        return self.record.subset

    @property
    def sampling(self) -> dict | None:
        """How the cell sampled frames and views."""
        return self.record.sampling

    @property
    def note(self) -> str:
        """The note for the record of a cell that measures these weights."""
        return f'weights of the cell {self.resolved.name} ({self.resolved.id[:8]}); nothing was trained'

    def weights(self, name: str | None = None) -> Weights:
        """The file `name` in the cell's folder; without a name the newest checkpoint.

        Raises:
            DataError: if the file is gone; says how to train the cell again.
        """
        folder = self.resolved.folder(self.work_dir)
        path = folder / name if name else _newest_checkpoint(folder)
        if path is None or not path.is_file():
            raise DataError(
                f'{self.resolved.name} has its record but no {name or "weights"} in {folder}; delete '
                f'{self.resolved.record_path(self.work_dir)} and run the command again to train it again.'
            )
        return Weights(path, sha256_file(path))


def has_record(resolved: ResolvedCell, work_dir: str | Path) -> bool:
    """Whether the record of this cell, with this identity, is in the work directory."""
    return _record_of(resolved, work_dir) is not None


def load_trained(resolved: ResolvedCell, work_dir: str | Path, imports: tuple[str, ...] = ()) -> Trained:
    """Load a finished cell from the work directory.

    Args:
        resolved: A cell that another one needs.
        work_dir: Work directory of both cells.
        imports: Modules or files of user protocols, for the command in the error.

    Raises:
        DataError: if the cell has no record there; names the cell and the command that runs it.
    """
    record = _record_of(resolved, work_dir)
    if record is None:
        words = ['python', 'eval/run_cell.py', '--work-dir', str(work_dir)]
        words += [word for module in imports for word in ('--import', module)]
        raise DataError(
            f'The cell {resolved.name} has no record in {work_dir}, and its weights are needed. Run it first: '
            f'{shlex.join([*words, resolved.cell.to_json()])}'
        )
    return Trained(resolved, Path(work_dir), record)


def _record_of(resolved: ResolvedCell, work_dir: str | Path) -> Record | None:
    path = resolved.record_path(work_dir)
    if not path.is_file():
        return None
    try:
        record = read_record(path)
    except RecordError:
        return None
    return record if record.cell['id'] == resolved.id else None


def _newest_checkpoint(folder: Path) -> Path | None:
    from sigma.engine.checkpoint import CheckpointHook  # it imports torch

    files = CheckpointHook._files(folder) if folder.is_dir() else []
    return files[-1] if files else None
