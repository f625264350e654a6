"""Keeps a page on disk fresh while a matrix runs (`run_severe.py --live`); it is made in a thread of its own."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

from eval.cells import claims
from eval.matrix.ending import record_of
from eval.matrix.executors.job import Finished, Job
from eval.matrix.executors.schedule import Watcher
from eval.matrix.live import WORDS, Progress, clock
from eval.matrix.plan import Plan
from eval.records import Record
from eval.report.live.matrix import MatrixPage, Running, State
from eval.report.live.page import LiveFile
from eval.report.live.page import live_path as live_path
from eval.report.summaries import SUMMARIES

LOOK_SECONDS = 5.0  # between pages while no cell ends: steps and times of the cells that run


class LivePage(Watcher):
    """Writes the page at the start, when a cell starts or ends, every few seconds, and when the matrix has ended.

    A page is made in a thread of its own, so the matrix never waits for it; a failure is told once and stops nothing.

    Args:
        found: The plan.
        progress: Where cells stand; it is told everything too.
        maker: Makes the page.
        out: File of the page.
        work_dir: Where the records are.
    """

    def __init__(self, found: Plan, progress: Progress, maker: MatrixPage, out: Path, work_dir: Path) -> None:
        self.found, self.progress, self.maker, self.work_dir = found, progress, maker, work_dir
        self.file = LiveFile(out, 'run_severe')
        self.items = {item.name: item for item in found.cells}
        self.ended_badly: dict[str, str] = {
            item.name: f'{item.name}: failed before: {item.failure.reason}'
            for item in found.cells
            if item.state == 'failed' and item.failure is not None
        }
        self.done = [item.name for item in found.cells if item.done]
        self.records: dict[str, Record] = {}
        self._changed, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep_fresh, name='live page', daemon=True)

    def __enter__(self) -> LivePage:
        self._changed.set()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._changed.set()
        self._thread.join()
        ending = 'finished' if error is None else f'stopped by {type(error).__name__}'
        if isinstance(error, KeyboardInterrupt):
            number = getattr(error, 'signal', None)
            ending = f'stopped by {number.name if number is not None else "Ctrl-C"}'
        self.file.write(lambda: self.maker.last(self.state(), ending))

    def started(self, job: Job) -> None:
        self.progress.started(job)
        self._changed.set()

    def waits(self, job: Job, claim: claims.Claim) -> None:
        self.progress.waits(job, claim)

    def tick(self) -> None:
        self.progress.tick()

    def ended(self, finished: Finished) -> None:
        self.progress.ended(finished)
        name = finished.job.name
        if finished.state == 'done':
            self.done.append(name)
        else:
            log = '' if finished.state == 'blocked' else f' (log: {finished.job.log})'
            self.ended_badly[name] = f'{name}: {WORDS[finished.state]}: {finished.reason}{log}'
        self._changed.set()

    def _keep_fresh(self) -> None:
        while not self._over.is_set():
            self._changed.wait(LOOK_SECONDS)
            self._changed.clear()
            if not self._over.is_set():
                self.file.write(lambda: self.maker.make(self.state()))

    def state(self) -> State:
        """What the page shows now."""
        for name in [name for name in list(self.done) if name not in self.records]:
            record = record_of(self.items[name], self.work_dir)
            if record is not None:
                self.records[name] = record
        states = dict(self.progress.states)
        running = [self._running(name) for name, state in states.items() if state == 'running']
        elsewhere = sum(state == 'elsewhere' for state in states.values())
        waiting = sum(state == 'to run' for state in states.values())
        return State(
            self._headline(states, elsewhere),
            [each for each in running if each is not None],
            list(self.ended_badly.values()),
            waiting + elsewhere,
            [self.records[item.name] for item in self.found.listed() if item.name in self.records],
        )

    def _headline(self, states: dict[str, str], elsewhere: int) -> str:
        done = sum(state == 'done' for state in states.values())
        bad = len(self.ended_badly)
        said = f'{done} of {len(states)} cells are done'
        said += f', {bad} did not end well' if bad else ''
        said += f', {elsewhere} run elsewhere' if elsewhere else ''
        left = self.progress.seconds_left()
        said += f'; elapsed {clock(time.monotonic() - self.progress.begun)}'
        return f'{said}, about {clock(left)} left.' if left else f'{said}.'

    def _running(self, name: str) -> Running | None:
        item, since = self.items.get(name), self.progress.since.get(name)
        if item is None or item.resolved is None or since is None:
            return None
        step, left = self.progress.steps.get(name), self.progress.cell_left(name)
        return Running(
            name,
            str(step) if step else '-',
            clock(time.monotonic() - since),
            '-' if left is None else clock(left),
            item.resolved.folder(self.work_dir),
        )


def live_page(
    found: Plan,
    progress: Progress,
    out: Path,
    work_dir: str | Path,
    title: str,
    command: str,
    suite: str | None,
    allow_partial: bool,
) -> LivePage:
    """The live page of a run; `suite` adds the mean of that suite, if it has one."""
    print(f'live page: {out}')
    summary = SUMMARIES.get(suite) if suite else None
    maker = MatrixPage(title, command, Path(work_dir), summary, allow_partial)
    return LivePage(found, progress, maker, out, Path(work_dir))
