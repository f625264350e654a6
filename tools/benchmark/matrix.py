"""`python -m tools.benchmark matrix`: what a cell of the matrix costs beyond its own work.

Cells that do nothing, or take one step of fine-tuning on a few rendered clips, run one after the other. Each notes when
its process started and when its protocol's `run` began and ended. The overhead of a cell is the time from the end of
one `run` to the start of the next. This covers writing the record, ending the process, noticing that, and starting the
next process with its imports, claim and cards. Then the same command runs again, with only plan and table left to do.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tools.benchmark.common import BenchmarkError

ROOT = Path(__file__).resolve().parents[2]
GOAL_SECONDS = 1.0
KINDS = {
    'light': 'without work, importing only numpy',
    'torch': 'without work, importing all that fine-tuning imports',
    'finetune': 'of one step of fine-tuning and 10 test clips',
}

# A user protocol for --import.
PROTOCOL = """
import importlib, json, os, time
import numpy as np
from eval.matrix.executors.forks import WITH_TORCH
from eval.protocols.base import Outcome, Protocol
from eval.matrix.suites import SUITES, Entry

HERE, KIND = os.path.dirname(os.path.abspath(__file__)), {kind!r}
if KIND == 'finetune':
    from eval.protocols.finetune import Finetune as Base
else:
    Base = Protocol


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Marked(Base):
    name = 'marked'
    source = 'tools/benchmark/matrix.py'
    metric = 'top1'
    uses_torch = KIND != 'light'

    def config(self, resolved):
        return super().config(resolved) if KIND == 'finetune' else {{}}

    def run(self, resolved, work_dir):
        if KIND == 'torch':
            for name in WITH_TORCH:
                importlib.import_module(name)
        with open('/proc/self/stat') as file:
            started = int(file.read().rpartition(')')[2].split()[19]) / os.sysconf('SC_CLK_TCK')
        begun = now()
        outcome = super().run(resolved, work_dir) if KIND == 'finetune' else nothing(resolved)
        with open(os.path.join(HERE, 'marks.jsonl'), 'a') as file:
            file.write(json.dumps([started, begun, now()]) + '\\n')
        return outcome


def nothing(resolved):
    entries = resolved.dataset.entries('test')
    labels = np.array([entry['label'] for entry in entries])
    return Outcome([entry['video'] for entry in entries], labels, np.eye(2)[labels], [], len(entries), 2, 0,
                   {{'epoch': None, 'how': 'last'}})


SUITES['marked'] = (Entry('marked', {dataset!r}, os.path.join(HERE, 'recipe.py')),)
"""


class Marks(NamedTuple):
    """Three instants of a cell, in seconds since boot: its process started, its work began, its work ended."""

    started: float
    begun: float
    ended: float


def add_matrix(commands) -> None:
    """Add the sub-command `matrix`."""
    parser = commands.add_parser('matrix', help='what a cell costs beyond its own work')
    parser.add_argument('--kind', choices=tuple(KINDS), default='torch', help='what a cell does')
    parser.add_argument('--cells', type=int, default=6, help='number of cells, run one after the other')
    parser.add_argument(
        '--no-forks', action='store_true', help='start each cell as a new Python process instead of a fork'
    )
    parser.set_defaults(run=run_matrix)


def run_matrix(args) -> None:
    """Run the matrix twice and print the overhead of its cells."""
    if args.cells < 2:
        raise BenchmarkError(f'--cells {args.cells} was asked for; overhead is measured between two cells, so take 2.')
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command = make(home, args.kind, args.cells, args.no_forks)
        whole, again = timed(command), timed(command)
        marks = [Marks(*json.loads(line)) for line in (home / 'marks.jsonl').read_text().splitlines()]
        records = (home / 'work' / 'records').rglob('*.json')
        reported = [json.loads(path.read_text())['run']['seconds'] for path in records]
    print_matrix(args, marks, reported, whole, again)


ENCODER = """encoder = dict(
    backbone=dict(type='sigma.R2Plus1D18'), embed_dims=1, clip=dict(num_frames=1, stride_frames=1, size=1))
"""


def make(home: Path, kind: str, num_cells: int, no_forks: bool) -> list[str]:
    """Write cards and a protocol to a folder. Returns the command that measures them."""
    (home / 'encoder.py').write_text(ENCODER)
    (home / 'recipe.py').write_text("recipe = dict(protocol='marked')\n")
    dataset, encoder = str(home), str(home / 'encoder.py')
    if kind == 'finetune':
        dataset, encoder = str(home / 'toy'), 'random'
        base = ROOT / 'mmaction_configs' / 'recipes' / 'finetune_demo.py'
        (home / 'recipe.py').write_text(
            f"_base_ = {str(base)!r}\nrecipe = dict(protocol='marked', epochs=1, num_steps=None)\n"
        )
        call([sys.executable, 'tools/prepare.py', 'toy', '--out', dataset, '--clips-per-class', '1', '1'])
    else:
        write_dataset(home)
    (home / 'marked.py').write_text(PROTOCOL.format(kind=kind, dataset=dataset))
    words = ['eval/run_severe.py', '--suite', 'marked', '--import', str(home / 'marked.py'), '--encoders', encoder]
    words += ['--seeds', *map(str, range(num_cells)), '--work-dir', str(home / 'work'), '--jobs', '1']
    return [sys.executable, *words, *(['--no-forks'] if no_forks else [])]


def write_dataset(home: Path) -> None:
    """Write a dataset card of four files that are never decoded."""
    videos = [f'{number}.mp4' for number in range(4)]
    index = [json.dumps({'version': 1, 'root': '.'})]
    for video in videos:
        (home / video).write_text(video)
        index.append(json.dumps({'path': video, 'readable': True, 'frames': 8, 'fps': 8.0, 'sha256': video}))
    (home / 'index.jsonl').write_text('\n'.join(index) + '\n')
    for split, part in (('train', videos[:2]), ('test', videos[2:])):
        (home / f'{split}.txt').write_text(''.join(f'{video} {label}\n' for label, video in enumerate(part)))
    splits = {split: {'list': f'{split}.txt', 'sha256': None} for split in ('train', 'test')}
    info = {'name': 'nothing', 'classes': ['a', 'b'], 'splits': splits, 'index': 'index.jsonl', 'metric': 'top1'}
    (home / 'dataset.py').write_text(f'data_root = {str(home)!r}\ndataset_info = {info!r}\n')


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command that must succeed. Returns its seconds by the clock and its processor seconds."""
    begun, used = time.perf_counter(), os.times()
    call(command)
    now = os.times()
    processors = now.children_user + now.children_system - used.children_user - used.children_system
    return time.perf_counter() - begun, processors


def call(command: list[str]) -> None:
    """Run a command in the root folder of the project.

    Raises:
        BenchmarkError: with the last line of its stderr if it fails.
    """
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {'PYTHONPATH': paths}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        raise BenchmarkError(f'{Path(command[1]).name} could not be measured: {words[-1]}')


def overheads(marks: list[Marks]) -> tuple[list[float], list[float]]:
    """Overhead of every cell but the first, in seconds and in two parts.

    Returns:
        Seconds from the start of a cell's process to its work, and from the end of the previous cell's work to that
        start.
    """
    marks = sorted(marks, key=lambda cell: cell.begun)
    before = [cell.begun - cell.started for cell in marks[1:]]
    between = [cell.started - former.ended for former, cell in zip(marks, marks[1:])]
    return before, between


def print_matrix(args, marks: list[Marks], reported: list[float], whole: tuple, again: tuple) -> None:
    """Print the seconds per cell and their parts; `whole` and `again` come from `timed`."""
    before, between = overheads(marks)
    each = [sum(pair) for pair in zip(before, between)]
    work = statistics.median(cell.ended - cell.begun for cell in marks)
    how = 'each a new process' if args.no_forks else 'forks of one process'
    load = f'{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}'
    print(f'{args.cells} cells {KINDS[args.kind]}, one after the other, {how}; {load}')
    print(
        f'  overhead of a cell       {statistics.median(each):6.2f} s (goal {GOAL_SECONDS:g}), worst {max(each):.2f}; '
        f'{statistics.median(before):.2f} after the start of its process, {statistics.median(between):.2f} before it'
    )
    print(f'  its work                 {work:6.2f} s; its record says {statistics.median(reported):.2f} s')
    print(f'  the whole command        {whole[0]:6.2f} s; with nothing left to do (plan and table) {again[0]:.2f} s')
    print(
        f'  processor time           {(whole[1] - again[1]) / args.cells:6.2f} s per cell, including its work and its '
        'share of the imports'
    )
