"""Measure one cell and write its record. `eval/run_severe.py` starts one such process per cell.

python eval/run_cell.py --work-dir W '{"protocol": "finetune", "dataset": "toy", ...}'

If a cell measures the trained weights of another, that other cell must have its record in the same work directory.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import logging
import math
import os
import platform
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from sigma.commands import Parser
from sigma.revision import git_state
from sigma.text import shell_join

if TYPE_CHECKING:
    from eval.cells.cell import Cell, ResolvedCell
    from eval.cells.claims import Held
    from eval.metrics import Predictions
    from eval.protocols.base import Outcome
    from eval.records import Record


def main(argv: list[str] | None = None) -> int:
    """Measure, write predictions, config and record; return the exit status."""
    args = parse_args(argv)
    matrix = die_with_parent()
    os.environ['SIGMA_CELL_PROCESS'] = '1'  # of eval.cells.machine
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(asctime)s %(message)s')

    from eval.cells import claims

    started, clock = datetime.now(timezone.utc).astimezone().isoformat(timespec='seconds'), time.perf_counter()
    with contextlib.ExitStack() as stack:
        # Claim first: the imports take seconds, and meanwhile another matrix should look for other work.
        held = claims.acquire(args.folder, matrix) if args.folder else None
        if held is not None:
            stack.enter_context(held)
            logging.info('started on %s, process %d', platform.node(), os.getpid())
        elif args.folder:
            return claims.ELSEWHERE
        resolved = resolve(args)
        if args.id and resolved.id != args.id:
            return report_change(resolved, args.id)
        if held is None:
            held = stack.enter_context(claim_by_hand(resolved, args.work_dir))
        if is_done(resolved, args.work_dir):
            return 0
        check_needs(resolved, args)
        return measure(resolved, args.work_dir, started, clock, held, args.imports)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument('cell', help='fields of eval.cells.cell.Cell as JSON')
    parser.add_argument('--work-dir', required=True, help='records, features, logs and checkpoints go here')
    parser.add_argument('--id', help='identity of the cell in the plan; if it has changed since, nothing runs')
    parser.add_argument('--folder', help="the cell's folder in the work directory, from the plan")
    parser.add_argument(
        '--encoder-flops', type=int, metavar='N', help='operations of the encoder for one clip, from the plan'
    )
    parser.add_argument(
        '--import',
        dest='imports',
        action='append',
        default=[],
        metavar='MODULE',
        help='module or .py file that defines protocols of your own; may be repeated',
    )
    return parser.parse_args(argv)


def resolve(args: argparse.Namespace) -> ResolvedCell:
    """The cell with its cards and config.

    Raises:
        DataError: on an unknown card, missing data, or a user protocol that cannot be imported.
    """
    from eval.cells.cell import Cell, ResolvedCell
    from eval.protocols import get_protocol, import_protocols

    import_protocols(args.imports)
    cell = Cell(**json.loads(args.cell))
    resolved = ResolvedCell(cell, get_protocol(cell.protocol))
    resolved.encoder_flops = args.encoder_flops
    return resolved


def report_change(resolved: ResolvedCell, planned_id: str) -> int:
    """Report that the cell has changed since the plan was made; return the exit status."""
    from eval.cells.claims import CHANGED

    print(
        f'{resolved.name}: weights, lists or settings changed since the plan was made '
        f'({planned_id[:8]} then, {resolved.id[:8]} now); run the command again.'
    )
    return CHANGED


def claim_by_hand(resolved: ResolvedCell, work_dir: str) -> Held:
    """Claim a cell that was started by hand, not by a matrix.

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
    """Whether another process has written the record meanwhile."""
    from eval.records import RecordError, read_record

    path = resolved.record_path(work_dir)
    with contextlib.suppress(RecordError):  # a broken one is moved aside when the new one is written
        if path.is_file() and read_record(path).cell['id'] == resolved.id:
            print(f'record: {path} (another process has made it)')
            return True
    return False


def check_needs(resolved: ResolvedCell, args: argparse.Namespace) -> None:
    """Refuse a cell if one that it needs has no record yet.

    Raises:
        DataError: naming the first of them and the command that runs it.
    """
    if needs := resolved.needs:
        from eval.cells.trained import load_trained

        for needed in needs:
            load_trained(needed, args.work_dir, tuple(args.imports))


def measure(
    resolved: ResolvedCell, work_dir: str, started: str, clock: float, held: Held, imports: Sequence[str] = ()
) -> int:
    """Run the protocol, write the results, and delete the pointer to resume from; return the exit status."""
    from eval.cells.claims import ELSEWHERE

    git_state()  # cached now, since the files may change before the cell ends
    seed_everything(resolved.cell.seed, resolved.protocol.uses_torch)
    outcome = resolved.protocol.run(resolved, Path(work_dir))
    run = {
        'num_processes': outcome.num_processes,
        'batch_size': outcome.batch_size,
        'device': device_name() if resolved.protocol.uses_torch else processor_name(),
        'started': started,
        'seconds': time.perf_counter() - clock,
        'command': command_of(resolved.cell, work_dir, imports),
        **git_state(),
        'packages': package_versions(),
    }
    if not held.ours():  # this machine slept, and another took over
        print('another process has taken over this cell')
        return ELSEWHERE
    path = write_results(resolved, outcome, run, work_dir)
    # If this cell runs again, it starts from scratch. Its weights stay for cells that measure them further.
    (resolved.folder(work_dir) / 'last_checkpoint').unlink(missing_ok=True)
    print(f'record: {path}')
    return 0


def command_of(cell: Cell, work_dir: str, imports: Sequence[str] = ()) -> str:
    """The command that measures a cell, as one types it."""
    words = ['python', 'eval/run_cell.py', '--work-dir', str(work_dir)]
    words += [word for name in imports for word in ('--import', name)]
    return shell_join([*words, cell.to_json()])


def seed_everything(seed: int, with_torch: bool) -> None:
    """Seed random, numpy and, if the protocol uses it, torch."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - other libraries draw from it
    if with_torch:
        import torch

        torch.manual_seed(seed)


def write_results(resolved: ResolvedCell, outcome: Outcome, run: dict, work_dir: str) -> Path:
    """Write predictions and config, then the record, which makes the cell done; return its path.

    Raises:
        DataError: if no test video could be read.
    """
    import pprint

    import numpy as np

    from eval.metrics import Predictions, write_predictions
    from eval.records import config_path, predictions_path, set_aside, write_record
    from sigma.errors import DataError
    from sigma.files import sha256_file, write_atomic

    if not outcome.videos:
        raise DataError(f'{resolved.name}: none of {outcome.num_listed} test videos could be read; there is no score.')
    path = resolved.record_path(work_dir)
    moved = set_aside(path)  # it has another identity: `main` has already looked for one with this identity
    if moved:
        print(f'an older record of this name, with another identity, was moved to {moved}')
    predictions = Predictions(np.array(outcome.videos), outcome.labels, np.asarray(outcome.scores, dtype=np.float32))
    stored = write_predictions(predictions_path(path), *predictions)
    text = f'# resolved config of {resolved.name}\nconfig = {pprint.pformat(resolved.config, width=100)}\n'
    config = write_atomic(config_path(path), text.encode())
    record = record_of(resolved, outcome, run, predictions)
    record.config_sha256, record.predictions_sha256 = sha256_file(config), sha256_file(stored)
    return write_record(record, work_dir)


def record_of(resolved: ResolvedCell, outcome: Outcome, run: dict, predictions: Predictions) -> Record:
    """The record, without the hashes of predictions and config."""
    from eval.records import Record

    protocol, encoder = resolved.protocol, resolved.encoder
    return Record(
        cell={'id': resolved.id, 'name': resolved.name},
        identity=resolved.identity,
        score=score_of(resolved, outcome, predictions),
        dataset=dataset_of(resolved, outcome),
        subset=subset_of(resolved, outcome),
        encoder={
            'name': encoder.name,
            'checkpoint': encoder.checkpoint,
            'sha256': resolved.weights_sha256,
            'pretraining_data': encoder.info.get('pretraining_data'),
            'source': encoder.info.get('source'),
            'flops': resolved.encoder_flops,
            'pretraining_flops': (encoder.info.get('training') or {}).get('flops'),
        },
        protocol={
            'name': protocol.name,
            'version': protocol.version,
            'evaluator_version': protocol.evaluator_version,
            'source': protocol.source,
        },
        recipe={'name': resolved.recipe_name},
        seed=resolved.cell.seed,
        selection=outcome.selection,
        sampling=outcome.sampling,
        run=run,
        notes=outcome.notes,
    )


def score_of(resolved: ResolvedCell, outcome: Outcome, predictions: Predictions) -> dict:
    """The primary metric, and the other metrics of the same predictions."""
    from eval.metrics import get_metric, other_metrics, score_predictions

    primary = resolved.protocol.metric_of(resolved)
    metric = get_metric(primary)
    num_classes = predictions.scores.shape[-1]
    others = {name: score_predictions(predictions, name) for name in other_metrics(primary, num_classes)}
    defined = {name: value for name, value in others.items() if math.isfinite(value)}  # 0/0 is NaN
    return {
        'metric': primary,
        'value': score_predictions(predictions, primary),
        'unit': metric.unit,
        'higher_is_better': metric.higher_is_better,
        'others': outcome.others | defined,
    }


def subset_of(resolved: ResolvedCell, outcome: Outcome) -> dict | None:
    """The training subset. A trial on a few videos (`--limit`) has a subset, and so a column, of its own."""
    limit, subset = resolved.cell.limit, outcome.subset
    if limit is None:
        return subset
    name, trial = (subset or {}).get('name'), f'limit_{limit}'
    if name is not None and (name == trial or name.endswith(f'_{trial}')):  # that of the cell whose weights it takes
        return subset
    return (subset or {}) | {'name': trial if name is None else f'{name}_{trial}'}


def dataset_of(resolved: ResolvedCell, outcome: Outcome) -> dict:
    """The dataset, and how many of its videos were listed, scored and trained on."""
    dataset = resolved.dataset
    return {
        'name': dataset.name,
        'split': 'test',
        'list_sha256': dataset.list_sha256('test'),
        'num_classes': resolved.protocol.num_classes(resolved),
        'num_listed': outcome.num_listed,
        'num_scored': len(outcome.videos),
        'unscored': outcome.unscored,
        'readers': readers_of(resolved),
        'train_list_sha256': dataset.list_sha256('train'),
        'num_train': outcome.num_train,
        'num_train_skipped': outcome.num_train_skipped,
        'limit': resolved.cell.limit,
    }


def readers_of(resolved: ResolvedCell) -> dict[str, int] | None:
    """How many test videos each reader serves; None if the recipe names no reader. Unreadable videos have none."""
    from sigma.video import reader_of

    asked = resolved.recipe.get('decoder')
    if asked is None:
        return None
    readable = [entry for entry in resolved.dataset.entries('test') if entry['reason'] is None]
    return dict(sorted(Counter(reader_of(entry['proof'], asked) or 'none' for entry in readable).items()))


def device_name() -> str:
    """Name of the GPU, or of the processor."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'{processor_name()[:-1]}, {torch.get_num_threads()} threads)'


def processor_name() -> str:
    """Name of the processor."""
    return f'cpu ({platform.processor() or platform.machine()})'


def package_versions() -> dict[str, str]:
    """Versions of the packages that a number may depend on."""
    names = ('torch', 'mmengine', 'mmaction2', 'mmcv-lite', 'timm', 'decord', 'av', 'numpy', 'scikit-learn')
    found = {'python': platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def die_with_parent() -> int | None:
    """End this process when the matrix that started it is killed, so that no two processes run the same cell.

    `SIGMA_CELL_OF` holds the pid of the matrix, followed by a slash and the pid of the parent if they differ
    (eval/serve_cells.py). Linux sends the signal. On other systems this process continues, and its claim keeps others
    from its cell.

    Returns:
        Pid of the matrix; None if no matrix started this process.
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
    """`main`, with errors as one sentence."""
    from eval.records import RecordError
    from sigma.text import one_line

    try:
        return main()
    except (ValueError, RecordError, OSError) as error:
        if os.environ.get('SIGMA_TRACEBACK'):
            raise
        logging.getLogger(__name__).info('stopped', exc_info=True)
        print(f'cell: {one_line(str(error))}', file=sys.stderr)
        return 2
    except RuntimeError as error:
        if type(error).__name__ == 'Preempted':  # of sigma.engine.preemption, which imports torch
            print(f'cell: {one_line(str(error))}', file=sys.stderr, flush=True)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)  # it was told to end, and has saved: stopped, not failed
            return 128 + signal.SIGTERM
        from sigma.data.loading import explain

        if os.environ.get('SIGMA_TRACEBACK') or not (said := explain(error)):
            raise
        print(f'cell: {said}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(guarded())
