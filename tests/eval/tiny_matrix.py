"""A matrix of tiny cells: a user's own protocol and suite, cards without videos, and what was run.

This module is itself what `--import` names; its cells need no torch.
"""

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from eval.matrix.suites import SUITES, Entry
from eval.protocols.base import Outcome, Protocol

ROOT = Path(__file__).resolve().parents[2]
# Of a card that is read and checked, but never built.
BACKBONE = {
    'backbone': {'type': 'sigma.R2Plus1D18'},
    'embed_dims': 1,
    'clip': {'num_frames': 1, 'stride_frames': 1, 'size': 1},
}


def home_of_process() -> Path:
    """Where this process finds its orders and notes what it ran."""
    return Path(os.environ['TINY_MATRIX'])


class Tiny(Protocol):
    """Draws scores from the cell's identity. Appends a line to `ran.txt` when it starts, and misbehaves on request."""

    name = 'tiny'
    source = 'tests'
    metric = 'top1'
    uses_torch = False

    def config(self, resolved) -> dict:
        return {'strength': resolved.recipe['strength']}

    def run(self, resolved, work_dir: Path) -> Outcome:
        with open(home_of_process() / 'ran.txt', 'a') as file:
            file.write(resolved.name + '\n')
        misbehave(resolved.name)
        entries = resolved.dataset.entries('test')
        rng = np.random.default_rng(zlib.crc32(resolved.id.encode()))
        return Outcome(
            videos=[entry['video'] for entry in entries],
            labels=np.array([entry['label'] for entry in entries]),
            scores=rng.random((len(entries), 2)),
            unscored=[],
            num_listed=len(entries),
            num_train=4,
            num_train_skipped=0,
            selection={'epoch': None, 'how': 'last'},
        )


def misbehave(name: str) -> None:
    """Do what `orders.json` says for this cell: {name: [what, argument]}."""
    orders = home_of_process() / 'orders.json'
    what, argument = json.loads(orders.read_text()).get(name, ('', 0)) if orders.is_file() else ('', 0)
    if what == 'raise':
        raise ValueError(argument)
    if what == 'signal':
        os.kill(os.getpid(), argument)
    if what == 'sleep':
        time.sleep(argument)
    if what == 'sleep once':
        time.sleep(argument if ran(home_of_process()).count(name) == 1 else 0)
    if what == 'tell':
        told = {'pid': os.getpid(), 'parent': os.getppid(), 'argv': sys.argv, 'environment': dict(os.environ)}
        (home_of_process() / f'{name}.told.json').write_text(json.dumps(told))
    if what == 'deaf':  # ignores SIGTERM
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(argument)


def make(home: Path, num_encoders: int = 3) -> Path:
    """Cards under `home`: a dataset of 4 + 10 files, encoders a, b, c with weights of their own, two recipes."""
    home.mkdir(parents=True, exist_ok=True)
    videos = [f'v{number}.mp4' for number in range(14)]
    index = [json.dumps({'version': 2, 'root': '.'})]
    for video in videos:
        (home / video).write_text(video)
        index.append(json.dumps({'path': video, 'readable': True, 'frames': 8, 'fps': 8.0, 'sha256': video}))
    (home / 'index.jsonl').write_text('\n'.join(index) + '\n')
    for split, part in (('train', videos[:4]), ('test', videos[4:])):
        (home / f'{split}.txt').write_text(''.join(f'{v} {i % 2}\n' for i, v in enumerate(part)))
    splits = {split: {'list': f'{split}.txt', 'sha256': None} for split in ('train', 'test')}
    info = {'name': 'tiny', 'classes': ['a', 'b'], 'splits': splits, 'index': 'index.jsonl', 'metric': 'top1'}
    info |= {'prepare': 'python tools/prepare.py tiny'}
    (home / 'dataset.py').write_text(f'data_root = {str(home)!r}\ndataset_info = {info!r}\n')
    for name in 'abc'[:num_encoders]:
        (home / f'{name}.safetensors').write_text(f'weights of {name}')
        card = BACKBONE | {'checkpoint': str(home / f'{name}.safetensors')}
        (home / f'{name}.py').write_text(f'encoder = {card!r}\n')
    for name, strength in (('low', 1), ('high', 2)):
        recipe = {'protocol': 'tiny', 'strength': strength}
        (home / f'{name}.py').write_text(f'recipe = {recipe!r}\n')
    return home


def order(home: Path, **orders) -> None:
    """Tell cells what to do, by name."""
    (home / 'orders.json').write_text(json.dumps(orders))


def ran(home: Path) -> list[str]:
    """Names of the cells that started, in order."""
    path = home / 'ran.txt'
    return path.read_text().split() if path.is_file() else []


def arguments(home: Path, work: Path, *more, encoders: str = 'abc', seeds=(0, 1)) -> list[str]:
    """Arguments of `run_severe.py`: two columns x encoders x seeds."""
    cards = [str(home / f'{name}.py') for name in encoders]
    words = ['--suite', 'tiny', '--datasets', home, '--encoders', *cards, '--seeds', *seeds, '--work-dir', work]
    return [str(word) for word in [*words, '--import', 'tests.eval.tiny_matrix', *more]]


def environment(home: Path) -> dict:
    """Environment of processes: one thread, no GPU, this tree, and the path of the cards."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    return os.environ | {
        'TINY_MATRIX': str(home),
        'SIGMA_CACHE': str(home / 'cache'),
        'PYTHONPATH': paths,
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
    }


def popen(home: Path, work: Path, *more, **settings) -> subprocess.Popen:
    """Start the command in a new process."""
    command = [sys.executable, str(ROOT / 'eval' / 'run_severe.py'), *arguments(home, work, *more, **settings)]
    return subprocess.Popen(
        command,
        env=environment(home),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def jobs_of(home: Path, work: Path) -> list:
    """Jobs of encoder a, seed 0."""
    from eval.cells.cell import Cell, ResolvedCell
    from eval.matrix.executors.job import job_of

    cells = [Cell('tiny', e.dataset, e.recipe, str(home / 'a.py'), 0) for e in entries(home)]
    return [job_of(ResolvedCell(cell, Tiny()), work, ['tests.eval.tiny_matrix']) for cell in cells]


def kill(process: subprocess.Popen) -> None:
    """Kill it as a power cut would, without notice to anyone."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def entries(home: Path) -> tuple[Entry, ...]:
    """Two columns."""
    return tuple(Entry('tiny', str(home), str(home / f'{recipe}.py')) for recipe in ('low', 'high'))


if 'TINY_MATRIX' in os.environ:
    SUITES['tiny'] = entries(home_of_process())
