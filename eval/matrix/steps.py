"""How far a cell has come, from what it has written: the last line of progress in its log, and its newest checkpoint.

Nothing is imported from what wrote the lines (`sigma.engine.progress`, `sigma.processes`,
`eval.features`, `eval.protocols.showing`, MMEngine).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sigma.files import state_header

TAIL_BYTES = 16_384

_LEFT = r'(?:about )?(?P<left>\d+) s left'
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf'(?P<what>): step (?P<done>\d+)/(?P<total>\d+), {_LEFT}',  # sigma.ProgressHook
        rf'^(?:.*\d\d:\d\d:\d\d\S* )?(?P<what>[^:]+): (?P<done>\d+)/(?P<total>\d+), (?:{_LEFT}|\d+ s$)',  # progress_bar
        r'(?P<what>features): (?P<done>\d+) of (?P<total>\d+) videos',
        r'(?P<what>)(?P<done>\d+) of (?P<total>\d+) videos, \d+ of \d+ columns new',
        r'Epoch\((?P<what>test)\) \[ *(?P<done>\d+)/ *(?P<total>\d+)\]',
    )
)


@dataclass(frozen=True)
class Step:
    """A place in a cell: `what` it is doing (empty for training), and how much of that is done."""

    what: str
    done: int
    total: int
    seconds_left: float | None = None

    def __str__(self) -> str:
        what = self.what or 'step'
        return f'{what} {self.done}/{self.total}'


def last_step(log: str | Path, begin: int = 0) -> Step | None:
    """The last line of progress in a log after byte `begin`; None if there is none, or no log."""
    try:
        with open(log, 'rb') as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(begin, end - TAIL_BYTES))
            lines = file.read().decode(errors='replace').splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if (found := parse_step(line)) is not None:
            return found
    return None


def parse_step(line: str) -> Step | None:
    """The progress that a line tells; None for other lines."""
    for pattern in _PATTERNS:
        if found := pattern.search(line.strip()):
            left = found.groupdict().get('left')
            what = found['what'].strip().replace('test', 'testing, batch')
            return Step(what, int(found['done']), int(found['total']), None if left is None else float(left))
    return None


@dataclass(frozen=True)
class Reached:
    """Where an interrupted cell stopped.

    Attributes:
        stopped: Last progress that its log tells; None if it tells none.
        saved: Step, or epoch, of the newest state that it goes on from; None if it starts again.
        unit: `step` or `epoch`.
    """

    stopped: Step | None
    saved: int | None
    unit: str = 'step'

    def __str__(self) -> str:
        where = f' at {self.stopped.what or "step"} {self.stopped.done} of {self.stopped.total}' if self.stopped else ''
        after = f'goes on after {self.unit} {self.saved}' if self.saved else 'no state was saved, so it starts again'
        return f'interrupted{where}; {after}'


def reached(folder: str | Path) -> Reached | None:
    """Where the cell of this folder stopped; None if it never started. Whether it has ended, the caller knows."""
    folder = Path(folder)
    log = folder / 'cell.log'
    if not log.is_file():
        return None
    pointer = folder / 'last_checkpoint'
    try:
        newest = Path(pointer.read_text().strip()).name
    except OSError:
        newest = ''
    if (found := re.fullmatch(r'iter_(\d+)\.safetensors', newest)) and (folder / newest).is_file():
        return Reached(last_step(log), int(found[1]))
    epoch = _saved_epoch(folder / 'state.safetensors')
    return Reached(last_step(log), epoch, 'epoch' if epoch else 'step')


def _saved_epoch(state: Path) -> int | None:
    """Epochs that are done in the state of a head (`eval.protocols.training`), from its header alone."""
    found = state_header(state).get('tree')
    epoch = found.get('epoch') if isinstance(found, dict) else None
    return epoch if isinstance(epoch, int) else None
