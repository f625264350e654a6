"""The live page of a training (`tools/train.py --live`), kept by a process of its own that reads the logs.

    python -m eval.report.live.training WORK_DIR FILE.html TITLE COMMAND

The training starts this process (eval/report/live/keeper.py) and holds its standard input. Each line there is JSON:
{"total": steps}, or at the end {"ending": "finished"}. When the input closes, the page gets its last state. So the
training never waits for the page, and the page says so if the training was killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from eval.report.live.curves import Alarms, Curves
from eval.report.live.page import REFRESH_SECONDS, LiveFile, now
from eval.report.page import write_html
from eval.report.page.parts import Fold, Grid, Part, Section, Sentences

LOOK_SECONDS = 2.0  # between looks at the logs
MOST_WAITING = 50.0  # percent of the time spent waiting for data, above which the page says so
NEWEST = ('loss', 'lr', 'clips_per_second', 'data_wait_percent')
KILLED = 'ended without a word; it was killed'


class TrainingPage:
    """Makes the page from the logs in a work directory.

    Args:
        work_dir: Of the training.
        title: Of the page.
        command: That runs the training.
    """

    def __init__(self, work_dir: Path, title: str, command: str) -> None:
        self.title, self.command = title, command
        self.curves, self.alarms = Curves(work_dir), Alarms(work_dir)
        self.total: int | None = None
        self.begun = time.monotonic()
        self.first_step: int | None = None

    def read(self) -> None:
        """Read what is new in the logs."""
        self.curves.read()
        self.alarms.read()
        if self.first_step is None and self.curves.points:
            self.begun, self.first_step = time.monotonic(), self.curves.step

    def make(self, ending: str | None = None) -> str:
        """The page; `ending` says how the training ended, None while it runs."""
        pictures: list[Part] = list(self.curves.pictures())
        waits = self.curves.latest.get('data_wait_percent', 0.0) > MOST_WAITING and not ending
        alarms = list(reversed(self.alarms.found))
        if waits:
            share = self.curves.latest['data_wait_percent']
            alarms.insert(0, f'{share:.0f} % of the time goes into waiting for data.')
        sections = [Section('progress', 'Progress', self._progress(ending))]
        if alarms:
            sections.append(Section('alarms', 'Alarms', [Sentences(alarms)]))
        sections.append(Section('curves', 'Curves', pictures or [Sentences(['No step has been logged yet.'])]))
        return write_html(
            title=self.title,
            sections=sections,
            command=self.command,
            refresh_seconds=None if ending else REFRESH_SECONDS,
            glossary=False,
        )

    def _progress(self, ending: str | None) -> list[Part]:
        step, total = self.curves.step, self.total
        said = f'Step {step} of {total} ({100 * step / total:.0f} %).' if total else f'Step {step}.'
        if left := self._seconds_left():
            said += f' About {left // 3600:.0f}:{left // 60 % 60:02.0f}:{left % 60:02.0f} left.' if not ending else ''
        first = f'{ending[0].upper()}{ending[1:]} at {now()}. {said}' if ending else said
        known = {name: self.curves.latest[name] for name in NEWEST if name in self.curves.latest}
        known |= {name: value for name, value in self.curves.latest.items() if name not in known}
        lines: list[list[Any]] = [[name.replace('_', ' '), f'{value:.4g}'] for name, value in known.items()]
        parts: list[Part] = [Sentences([first])]
        if lines:
            parts.append(Fold('Latest values', [Grid(['quantity', 'value'], lines, numbers=(1,))]))
        return parts if ending else [*parts, Sentences([f'Written at {now()}.'], small=True)]

    def _seconds_left(self) -> float | None:
        if self.total is None or self.first_step is None or self.curves.step <= self.first_step:
            return None
        per_step = (time.monotonic() - self.begun) / (self.curves.step - self.first_step)
        return per_step * max(self.total - self.curves.step, 0)


def keep(page: TrainingPage, file: LiveFile, orders: int) -> None:
    """Write the page until the input `orders` (a file descriptor) closes."""
    ending, rest, since = KILLED, b'', 0.0
    while True:
        if time.monotonic() - since >= LOOK_SECONDS:
            page.read()
            file.write(page.make)
            since = time.monotonic()
        ready, _, _ = select.select([orders], [], [], max(0.0, LOOK_SECONDS - (time.monotonic() - since)))
        if not ready:
            continue
        data = os.read(orders, 65_536)
        rest += data
        *lines, rest = rest.split(b'\n')
        for line in lines:
            order = json.loads(line)
            page.total = order.get('total', page.total)
            ending = order.get('ending', ending)
        if not data:
            break
    page.read()
    file.write(lambda: page.make(ending))


def main(argv: list[str]) -> int:
    """Keep the page of a training until its end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):  # meant for the training; its end closes the input
        signal.signal(number, signal.SIG_IGN)
    os.nice(10)
    work_dir, out, title, command = argv
    keep(TrainingPage(Path(work_dir), title, command), LiveFile(Path(out), 'train'), sys.stdin.fileno())
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
