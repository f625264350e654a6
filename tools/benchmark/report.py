"""`python -m tools.benchmark report`: what tables, figures and the page cost when there are many records.

Records with predictions are made up: encoders by columns by seeds, in which a video has a difficulty that all encoders
share and an encoder has a skill. Then a new process on one core reads them and makes everything that users make: the
table in every format, every figure, and the page. It prints the processor seconds of each part, which other programs
on the machine hardly change, and the peak of its memory. The made-up records can be kept (`--work-dir`), and are used
again if they fit.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import io
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tools.benchmark.common import BenchmarkError, check_counts, memory_in_own_process, peak_bytes

GOAL_SECONDS, GOAL_BYTES = 60.0, 1e9
MOST_ENCODERS, MOST_SEEDS = 20, 5
MADE_UP = 'made up by tools/benchmark/report.py'
# (protocol, subset, metric) of the first columns, all of one dataset, so that every figure has what it draws. Further
# columns are fine-tuned on a dataset of their own. Localization has scores alone, without predicted segments.
KINDS = (
    ('finetune', None, 'top1'),
    ('finetune', '5-a-class', 'top1'),
    ('frozen_linear', None, 'top1'),
    ('robustness', None, 'mpc'),
    ('localization', None, 'map_50'),
)
CORRUPTIONS, SEVERITIES = ('fog', 'contrast', 'gaussian_noise', 'jpeg'), (1, 2, 3, 4, 5)
THRESHOLDS = (30, 40, 50, 60, 70)


def add_report(commands) -> None:
    """Add the sub-command `report`."""
    parser = commands.add_parser('report', help='seconds and memory of table, figures and page')
    add = parser.add_argument
    add('--records', type=int, default=2000, help='records to make up (default: %(default)s)')
    add('--predictions', type=int, default=4000, help='videos of each record (default: %(default)s)')
    add('--classes', type=int, default=100, help='classes of each column (default: %(default)s)')
    add('--work-dir', help='make the records here and keep them (default: a temporary folder)')
    add('--memory-of', help=argparse.SUPPRESS)
    parser.set_defaults(run=run_report, device=None, precision=None)


def run_report(args: argparse.Namespace) -> None:
    """Make the records, measure in a new process, print.

    Raises:
        BenchmarkError: if a count is below 1, or a part fails.
    """
    if args.memory_of:
        print(json.dumps(measure(Path(args.memory_of))))
        return
    check_counts(args, 'records', 'predictions')
    if args.classes < 2:
        raise BenchmarkError(f'--classes {args.classes} was asked for; it must be at least 2.')
    with tempfile.TemporaryDirectory() as temporary:
        work_dir = Path(args.work_dir or temporary)
        begun = time.perf_counter()
        make_records(work_dir, args.records, args.predictions, args.classes)
        print(
            f'{args.records} records of {args.predictions} videos and {args.classes} classes: made or found in', end=''
        )
        print(f' {time.perf_counter() - begun:.0f} s (not measured)', flush=True)
        print_measured(memory_in_own_process('report', str(work_dir), args, (), label='the report'))


def print_measured(found: dict[str, Any]) -> None:
    """Print processor seconds of every part, their sum, and the peak."""
    for name, seconds in found['seconds'].items():
        print(f'{name:<32} {seconds:7.2f} s')
    for name, why in found['left_out'].items():
        print(f'{name:<32} not drawn: {why}')
    total = sum(found['seconds'].values())
    print(f'{"all":<32} {total:7.2f} s   of one core (goal {GOAL_SECONDS:.0f} s); wall clock {found["wall"]:.1f} s')
    print(f'{"peak of memory":<32} {found["bytes"] / 1e9:7.2f} GB  (goal {GOAL_BYTES / 1e9:.0f} GB)')


def measure(work_dir: Path) -> dict[str, Any]:
    """Read the records and make everything, on one core.

    Returns:
        `seconds`: part -> seconds of processor time, so that other programs on the machine do not count;
        `left_out`: figure -> why it cannot be drawn from these records; `wall`: seconds of wall-clock time of all
        parts; `bytes`: peak of resident memory.
    """
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    started = time.perf_counter()
    seconds: dict[str, float] = {}
    left_out: dict[str, str] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        begun = time.process_time()
        result = call()
        seconds[name] = time.process_time() - begun
        return result

    timed('imports', _imports)
    from eval.report.figures import figure_names, load_figure
    from eval.report.formats import FORMATS
    from eval.report.page import page
    from eval.report.table import Table
    from sigma.errors import SigmaError

    table = timed('records and predictions', lambda: Table.read([work_dir]))
    for name, form in FORMATS.items():
        timed(f'table as {name}', partial(form, table))
    with tempfile.TemporaryDirectory() as folder:
        for name in figure_names():
            if next(iter(inspect.signature(load_figure(name)).parameters)) != 'table':  # drawn from a video or masks
                continue
            try:
                timed(f'figure {name}', partial(_draw, table, name, Path(folder, name)))
            except SigmaError as error:
                left_out[f'figure {name}'] = ' '.join(str(error).split())
        timed('page', lambda: Path(folder, 'report.html').write_text(page(table), encoding='utf-8'))
    return {'seconds': seconds, 'left_out': left_out, 'wall': time.perf_counter() - started, 'bytes': peak_bytes('cpu')}


def _draw(table: Any, name: str, out: Path) -> None:
    from eval.report.figures import draw_figure, save_figure

    save_figure(draw_figure(name, table), out)


def _imports() -> None:
    import matplotlib.figure  # noqa: F401

    import eval.report.page
    import eval.report.table  # noqa: F401


# --- records that are made up ----------------------------------------------------------------------------------------


def make_records(work_dir: Path, num_records: int, num_predictions: int, num_classes: int) -> None:
    """Write records with predictions under `work_dir`, unless these records are there already.

    Raises:
        BenchmarkError: if the folder holds other files.
    """
    import numpy as np

    from eval.records import predictions_path, record_path, write_record

    asked = json.dumps({'records': num_records, 'predictions': num_predictions, 'classes': num_classes})
    made = work_dir / 'made.json'
    if made.is_file() and made.read_text() == asked:
        return
    if work_dir.is_dir() and any(work_dir.iterdir()):
        raise BenchmarkError(f'--work-dir {work_dir} holds other files; give a folder that is new or empty.')
    video = np.array([f'test/{number:06d}.mp4' for number in range(num_predictions)])
    label = np.arange(num_predictions) % num_classes
    for number, (encoder, column, seed) in enumerate(places(num_records)):
        draws = np.random.default_rng([column, 0]), np.random.default_rng([number, 1])
        difficulty, own = (each.permutation(num_predictions) / num_predictions for each in draws)
        skill = 0.3 + 0.4 * encoder / MOST_ENCODERS
        ease = skill - 0.7 * difficulty - 0.3 * own  # right where it is above 0
        record = made_record(encoder, column, seed, num_predictions, num_classes)
        protocol = record.protocol['name']
        path = predictions_path(record_path(work_dir, record.encoder['name'], protocol, 1, record.name))
        if protocol == 'localization':
            at = {f'map_{tiou}': 100 * skill * (1.3 - tiou / 100) for tiou in THRESHOLDS}
            record.score |= {'value': at['map_50'] + draws[1].normal(), 'others': at}
        elif protocol == 'robustness':
            strengths = np.array([0.0, *(0.03 * severity for _ in CORRUPTIONS for severity in SEVERITIES)])
            scores = (ease[:, None] > strengths).astype(np.float32)
            counted = np.tile(strengths > 0, (num_predictions, 1))
            record.score['value'] = 100 * float(scores[:, 1:].mean(dtype=np.float64))
            record.predictions_sha256 = write_quickly(path, video=video, label=counted, scores=scores)
        else:
            scores = draws[1].standard_normal((num_predictions, num_classes), dtype=np.float32)
            best = np.where(ease > 0, label, (label + 1) % num_classes)
            scores[np.arange(num_predictions), best] = 9
            record.score['value'] = 100 * float((ease > 0).mean())
            record.predictions_sha256 = write_quickly(path, video=video, label=label, scores=scores)
        write_record(record, work_dir)
    made.write_text(asked)


def places(num_records: int) -> Iterator[tuple[int, int, int]]:
    """(encoder, column, seed) of each record: at most 20 encoders and 5 seeds, and as many columns as it takes."""
    for number in range(num_records):
        seed, rest = number % MOST_SEEDS, number // MOST_SEEDS
        yield rest % MOST_ENCODERS, rest // MOST_ENCODERS, seed


def made_record(encoder: int, column: int, seed: int, num_predictions: int, num_classes: int) -> Any:
    """A record without score; encoder 0 is `random`."""
    from eval.records import Record, identity_hash

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    protocol, subset, metric = KINDS[column] if column < len(KINDS) else KINDS[0]
    dataset = f'data_{0 if column < len(KINDS) else column:03d}'
    name = f'encoder_{encoder:02d}' if encoder else 'random'
    weights = digest(name) if encoder else None
    identity = {'encoder': name, 'dataset': dataset, 'seed': seed, 'made up': MADE_UP}
    if column < len(KINDS):
        identity |= {'protocol': protocol, 'subset': subset}
    if protocol == 'robustness':
        cells = [f'{corruption}-{severity}' for corruption in CORRUPTIONS for severity in SEVERITIES]
        identity['config'] = {
            'columns': ['clean', *cells],
            'severities': list(SEVERITIES),
            'corruptions': {corruption: list(SEVERITIES) for corruption in CORRUPTIONS},
            'unavailable': {},
        }
    parts = (name, protocol, dataset, subset and subset.replace('-', ''), f's{seed}')
    return Record(
        cell={'id': identity_hash(identity), 'name': '_'.join(part for part in parts if part)},
        identity=identity,
        score={'metric': metric, 'value': 0.0, 'unit': 'percent', 'higher_is_better': True, 'others': {}},
        dataset={
            'name': dataset,
            'split': 'test',
            'list_sha256': digest(dataset),
            'num_classes': num_classes,
            'num_listed': num_predictions,
            'num_scored': num_predictions,
            'num_train': 5 * num_classes if subset else 100 * num_classes,
        },
        encoder={
            'name': name,
            'checkpoint': weights and f'{name}.safetensors',
            'sha256': weights,
            'source': MADE_UP,
            'flops': 1e11 * (1 + encoder % 5),
            'pretraining_flops': 1e19 * 1.3**encoder if encoder else None,
        },
        protocol={'name': protocol, 'version': 1, 'evaluator_version': 1, 'source': MADE_UP},
        recipe={'name': 'default'},
        subset={'name': subset, 'seed': seed, 'sha256': digest(f'{dataset} {subset} {seed}')} if subset else None,
        config_sha256=digest(f'{name} {dataset}'),
        seed=seed,
        selection={'epoch': 1, 'how': 'last'},
        run={'num_processes': 1, 'device': 'cpu', 'started': '2026-01-01T00:00:00+00:00', 'seconds': 60.0},
        notes=[MADE_UP],
    )


def write_quickly(path: Path, **arrays: Any) -> str:
    """Write arrays as `numpy.savez_compressed` does, with less effort to compress; return the sha256 of the file."""
    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, array in arrays.items():
            with file.open(f'{name}.npy', 'w') as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array))
    data = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
