"""Measure one cell and write its record. `eval/run_severe.py` starts one such process a cell.

python eval/run_cell.py --work-dir W '{"protocol": "finetune", "dataset": "toy", ...}'
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import json
import logging
import math
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval.cells.cell import ResolvedCell


def main(argv: list[str] | None = None) -> int:
    """Measure, write predictions, config and record; return the exit status."""
    args = parse_args(argv)
    matrix = die_with_parent()
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(asctime)s %(message)s')

    from eval.cells import claims

    started, clock = datetime.now(timezone.utc).astimezone().isoformat(timespec='seconds'), time.perf_counter()
    with contextlib.ExitStack() as stack:
        # The claim comes before the imports that take seconds, so that of two matrices one looks for other work.
        held = claims.acquire(args.folder, matrix) if args.folder else None
        if held is not None:
            stack.enter_context(held)
            logging.info('started on %s, process %d', platform.node(), os.getpid())
        elif args.folder:
            return claims.ELSEWHERE
        resolved = resolve(args)
        if args.id and resolved.id != args.id:
            return tell_change(resolved, args.id)
        if held is None:
            held = stack.enter_context(claim_by_hand(resolved, args.work_dir))
        if is_done(resolved, args.work_dir):
            return 0
        return measure(resolved, args.work_dir, started, clock, held)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('cell', help='fields of eval.cells.cell.Cell as JSON')
    parser.add_argument('--work-dir', required=True)
    parser.add_argument('--id', help='identity that the plan gave; where it is another one now, nothing runs')
    parser.add_argument('--folder', help="the cell's folder in the work directory, as the plan gave it")
    parser.add_argument(
        '--import', dest='imports', action='append', default=[], metavar='MODULE', help='defines further protocols'
    )
    return parser.parse_args(argv)


def resolve(args: argparse.Namespace):
    """The cell with its cards and config."""
    from eval.cells.cell import Cell, ResolvedCell
    from eval.protocols import get_protocol, import_protocols

    import_protocols(args.imports)
    cell = Cell(**json.loads(args.cell))
    return ResolvedCell(cell, get_protocol(cell.protocol))


def tell_change(resolved: ResolvedCell, planned_id: str) -> int:
    """What was planned is not what lies here now."""
    from eval.cells.claims import CHANGED

    print(
        f'{resolved.name}: weights, lists or settings changed since the plan was made '
        f'({planned_id[:8]} then, {resolved.id[:8]} now); run the command again.'
    )
    return CHANGED


def claim_by_hand(resolved: ResolvedCell, work_dir: str):
    """The claim of a cell that no matrix started.

    Raises:
        DataError: if another process runs it.
    """
    from eval.cells import claims
    from sigma.errors import DataError

    held = claims.acquire(resolved.folder(work_dir))
    if held is None:
        raise DataError(f'{resolved.name} is run by {claims.holder(resolved.folder(work_dir))}; wait for its record.')
    return held


def is_done(resolved: ResolvedCell, work_dir: str) -> bool:
    """Whether another process has made the record in the meantime."""
    from eval.records import RecordError, read_record

    path = resolved.record_path(work_dir)
    with contextlib.suppress(RecordError):  # one that does not read is moved aside when there is another
        if path.is_file() and read_record(path).cell['id'] == resolved.id:
            print(f'record: {path} (another process has made it)')
            return True
    return False


def measure(resolved: ResolvedCell, work_dir: str, started: str, clock: float, held) -> int:
    """Run the protocol, write the results, and drop the training state that led to them."""
    from eval.cells.claims import ELSEWHERE

    git_state()  # of the code that runs, not of what lies here when it ends
    seed_everything(resolved.cell.seed, resolved.protocol.uses_torch)
    outcome = resolved.protocol.run(resolved, Path(work_dir))
    run = {
        'num_processes': outcome.num_processes,
        'batch_size': outcome.batch_size,
        'device': device_name() if resolved.protocol.uses_torch else processor_name(),
        'started': started,
        'seconds': time.perf_counter() - clock,
        **git_state(),
        'packages': package_versions(),
    }
    if not held.ours():  # this machine slept, and another took over
        print('another process has taken this cell over')
        return ELSEWHERE
    path = write_results(resolved, outcome, run, work_dir)
    # A cell that is run again starts anew; the weights stay for those who measure them further.
    (resolved.folder(work_dir) / 'last_checkpoint').unlink(missing_ok=True)
    print(f'record: {path}')
    return 0


def seed_everything(seed: int, with_torch: bool) -> None:
    """Seed numpy, random and, where the protocol uses it, torch."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - other libraries draw from it
    if with_torch:
        import torch

        torch.manual_seed(seed)


def write_results(resolved: ResolvedCell, outcome, run: dict, work_dir: str) -> Path:
    """Predictions and config first, the record last: where a record is, the cell is done."""
    import pprint

    import numpy as np

    from eval.metrics import Predictions, write_predictions
    from eval.records import config_path, predictions_path, set_aside, write_record
    from sigma.errors import DataError
    from sigma.files import sha256_file, write_atomic

    if not outcome.videos:
        raise DataError(f'{resolved.name}: none of {outcome.num_listed} test videos could be read; there is no score.')
    path = resolved.record_path(work_dir)
    moved = set_aside(path)  # of another identity; `main` has looked for one of this
    if moved:
        print(f'another result of this name was moved to {moved}')
    predictions = Predictions(np.array(outcome.videos), outcome.labels, np.asarray(outcome.scores, dtype=np.float32))
    stored = write_predictions(predictions_path(path), *predictions)
    text = f'# resolved config of {resolved.name}\nconfig = {pprint.pformat(resolved.config, width=100)}\n'
    config = write_atomic(config_path(path), text.encode())
    record = record_of(resolved, outcome, run, predictions)
    record.config_sha256, record.predictions_sha256 = sha256_file(config), sha256_file(stored)
    return write_record(record, work_dir)


def record_of(resolved: ResolvedCell, outcome, run: dict, predictions):
    """The record, but for the hashes of the files beside it."""
    from eval.records import Record

    protocol, encoder = resolved.protocol, resolved.encoder
    return Record(
        cell={'id': resolved.id, 'name': resolved.name},
        identity=resolved.identity,
        score=score_of(resolved, outcome, predictions),
        dataset=dataset_of(resolved, outcome),
        subset=outcome.subset,
        encoder={
            'name': encoder.name,
            'checkpoint': encoder.checkpoint,
            'sha256': resolved.weights_sha256,
            'pretraining_data': encoder.info.get('pretraining_data'),
            'source': encoder.info.get('source'),
        },
        protocol={
            'name': protocol.name,
            'version': protocol.version,
            'evaluator_version': protocol.evaluator_version,
            'source': protocol.source,
        },
        recipe={'name': Path(resolved.cell.recipe).stem},
        seed=resolved.cell.seed,
        selection=outcome.selection,
        sampling=outcome.sampling,
        run=run,
        notes=outcome.notes,
    )


def score_of(resolved: ResolvedCell, outcome, predictions) -> dict:
    """The primary metric, and what else the same predictions say."""
    from eval.metrics import get_metric, other_metrics, score_predictions

    primary = resolved.protocol.metric_of(resolved)
    metric = get_metric(primary)
    others = {name: score_predictions(predictions, name) for name in other_metrics(primary)}
    defined = {name: value for name, value in others.items() if math.isfinite(value)}  # a share of nothing is not
    return {
        'metric': primary,
        'value': score_predictions(predictions, primary),
        'unit': metric.unit,
        'higher_is_better': metric.higher_is_better,
        'others': outcome.others | defined,
    }


def dataset_of(resolved: ResolvedCell, outcome) -> dict:
    """What was listed and scored, and trained on."""
    dataset = resolved.dataset
    return {
        'name': dataset.name,
        'split': 'test',
        'list_sha256': dataset.list_sha256('test'),
        'num_classes': resolved.protocol.num_classes(resolved),
        'num_listed': outcome.num_listed,
        'num_scored': len(outcome.videos),
        'unscored': outcome.unscored,
        'train_list_sha256': dataset.list_sha256('train'),
        'num_train': outcome.num_train,
        'num_train_skipped': outcome.num_train_skipped,
    }


def device_name() -> str:
    """Name of the GPU, or of the processor."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'{processor_name()[:-1]}, {torch.get_num_threads()} threads)'


def processor_name() -> str:
    """Name of the processor."""
    return f'cpu ({platform.processor() or platform.machine()})'


@functools.cache
def git_state() -> dict:
    """Commit of this project and whether the tree equals it, when first asked; None outside a repository."""
    root = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str | None:
        done = subprocess.run(['git', '-C', str(root), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        commit, changes = git('rev-parse', 'HEAD'), git('status', '--porcelain')
    except FileNotFoundError:  # no git here
        return {'commit': None, 'clean': None}
    return {'commit': commit, 'clean': None if commit is None else not changes}


def package_versions() -> dict[str, str]:
    """Versions of what a number may depend on."""
    names = ('torch', 'mmengine', 'mmaction2', 'mmcv-lite', 'timm', 'decord', 'av', 'numpy', 'scikit-learn')
    found = {'python': platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def die_with_parent() -> int | None:
    """End when the matrix that started this process is killed, so that no two do the same work; its process number.

    `SIGMA_CELL_OF` holds it, and behind a slash the parent's where that is another (eval/serve_cells.py). Linux sends
    the signal. Elsewhere the process goes on, and its claim keeps others from its cell.
    """
    if 'SIGMA_CELL_OF' not in os.environ:
        return None
    matrix, _, parent = os.environ.pop('SIGMA_CELL_OF').partition('/')
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(parent or matrix):  # it was killed before the line above
        os.kill(os.getpid(), signal.SIGTERM)
    return int(matrix)


def guarded() -> int:
    """`main` with bad input in one sentence."""
    from eval.records import RecordError

    try:
        return main()
    except (ValueError, RecordError, OSError) as error:
        if os.environ.get('SIGMA_TRACEBACK'):
            raise
        logging.getLogger(__name__).info('stopped', exc_info=True)
        print(f'cell: {" ".join(str(error).split())}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(guarded())
