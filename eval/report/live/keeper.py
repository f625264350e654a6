"""The process that keeps the live page of a training, seen from the training. Nothing here stops a training.

Standard library alone, and no import of what makes the page: that belongs to the other process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.report.live.page import live_path

SECONDS_TO_END = 20  # for the last state of the page


class Keeper:
    """The process that keeps the page, seen from the training. Nothing here raises.

    Args:
        work_dir: Of the training.
        out: File of the page.
        command: That runs the training.
    """

    def __init__(self, work_dir: Path, out: Path, command: str) -> None:
        words = [str(work_dir), str(out), f'{work_dir.name}: training', command]
        root = str(Path(__file__).resolve().parents[3])
        paths = os.pathsep.join([root, *filter(None, [os.environ.get('PYTHONPATH')])])
        self.process: subprocess.Popen | None = None
        try:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'eval.report.live.training', *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=os.environ | {'PYTHONPATH': paths, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'},
            )
        except OSError as error:
            print(f'train: the live page {out} cannot be kept: {error}', file=sys.stderr)

    def tell(self, **order: Any) -> None:
        """Send an order."""
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(OSError):  # it has died; it said why
                self.process.stdin.write(json.dumps(order).encode() + b'\n')
                self.process.stdin.flush()

    def end(self, ending: str) -> None:
        """Let it write the last state, and wait for that."""
        self.tell(ending=ending)
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=SECONDS_TO_END)


@contextlib.contextmanager
def training_page(given: str | None, work_dir: str | Path, words: Sequence[str]) -> Iterator[Callable[..., None]]:
    """A live page while the block runs; its last state says how the block ended.

    Args:
        given: Of `--live`: a file, '' for `live.html` in the work directory, None for no page.
        work_dir: Of the training.
        words: Arguments of tools/train.py, to show.

    Yields:
        A function that tells the page something: `total=` the number of steps.

    Raises:
        DataError: if the file does not end in .html.
    """
    if given is None:
        yield lambda **_: None
        return
    out = live_path(given, Path(work_dir) / 'live.html')
    print(f'live page: {out}', file=sys.stderr, flush=True)
    keeper = Keeper(Path(work_dir), out, shlex.join(['python', 'tools/train.py', *words]))
    ending = 'finished'
    try:
        yield keeper.tell
    except KeyboardInterrupt:
        ending = 'stopped by Ctrl-C'
        raise
    except BaseException as error:
        ending = f'stopped: {" ".join(str(error).split())[:300] or type(error).__name__}'
        raise
    finally:
        keeper.end(ending)
