"""What the user sees: the plan, and while it runs a live table on a terminal; elsewhere, lines.

Elsewhere means a file or a pipe: one line per finished cell, and one line a minute per running cell.
"""

import time
from pathlib import Path
from statistics import mean

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from eval.cells.claims import Claim
from eval.matrix.check import told_flops
from eval.matrix.executors.job import Finished, Job, log_bytes
from eval.matrix.executors.schedule import Watcher
from eval.matrix.plan import Plan, Planned
from eval.matrix.steps import Step, last_step
from eval.matrix.work import told_minutes

WORDS = {
    'done': 'ok',
    'failed': 'FAILED',
    'stopped': 'stopped',
    'changed': 'changed since the plan',
    'blocked': 'not run',
}
STYLES = {
    'running': 'cyan',
    'elsewhere': 'magenta',
    'done': 'green',
    'failed': 'bold red',
    'blocked': 'red',
    'to run': 'dim',
}
LOOK_SECONDS = 2.0  # between looks at the logs of running cells
LINE_SECONDS = 60.0  # between lines on what runs, where there is no terminal
NOTABLE = ('elsewhere', 'failed', 'blocked')  # states that are printed before a run


class Progress(Watcher):
    """Cells with their state, step, elapsed time and time left, and the logs of those that run.

    Args:
        found: The plan.
        jobs: Cells that run in parallel.
        console: Where to print; stderr by default.
    """

    def __init__(self, found: Plan, jobs: int, console: Console | None = None) -> None:
        self.console, self.jobs = console or Console(stderr=True), jobs
        self.states = {item.name: item.state for item in found.cells}
        known = [item for item in found.cells if item.seconds is not None]
        self.estimates = {item.name: item.seconds for item in known if item.how != 'rule'}
        self.ruled = {item.name: item.seconds for item in known if item.how == 'rule'}  # until a cell of this run ends
        self.begun = time.monotonic()
        self.since: dict[str, float] = {}
        self.took: dict[str, float] = {}
        self.notes: dict[str, str] = {}
        self.logs: dict[str, tuple[Path, int]] = {}  # of running cells: the log, and its size when they started
        self.steps: dict[str, Step] = {}
        self.looked = self.told = time.monotonic()
        self.ends: list[Finished] = []
        self.live = Live(get_renderable=self.table, console=self.console, refresh_per_second=4, transient=True)

    def __enter__(self) -> 'Progress':
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def started(self, job: Job) -> None:
        self.states[job.name], self.since[job.name] = 'running', time.monotonic()
        self.logs[job.name] = job.log, log_bytes(job)

    def waits(self, job: Job, claim: Claim) -> None:
        if self.notes.get(job.name) != str(claim):
            self.states[job.name], self.notes[job.name] = 'elsewhere', str(claim)
            self._line(f'{job.name}: run by {claim}; waiting for its record')

    def ended(self, finished: Finished) -> None:
        name = finished.job.name
        self.states[name] = finished.state
        self.ends.append(finished)
        self.logs.pop(name, None)
        self.steps.pop(name, None)
        how = 'by another matrix'
        if finished.state == 'blocked':
            how = finished.reason
        elif finished.seconds is not None:
            self.took[name] = finished.seconds
            how = f'{finished.seconds:.0f} s'
        self._line(f'[{self.num_over()}/{len(self.states)}] {name}: {WORDS[finished.state]}, {how}')

    def tick(self) -> None:
        """Look at the logs of running cells now and then."""
        now = time.monotonic()
        if now - self.looked < LOOK_SECONDS:
            return
        self.looked = now
        for name, (log, begin) in self.logs.items():
            if (step := last_step(log, begin)) is not None:
                self.steps[name] = step
        if now - self.told >= LINE_SECONDS:
            self.told = now
            for name, (log, _) in self.logs.items():
                self._line(f'{name}: {self._told_step(name)} (log: {log})')

    def _told_step(self, name: str) -> str:
        """`step 47/700, about 0:35:28 left`."""
        step, left = self.steps.get(name), self.cell_left(name)
        said = str(step) if step else f'running for {clock(time.monotonic() - self.since[name])}'
        return said if left is None else f'{said}, about {clock(left)} left'

    def cell_left(self, name: str) -> float | None:
        """Seconds left of a running cell: as it says itself, else by the estimate."""
        step = self.steps.get(name)
        if step is not None and step.seconds_left is not None:
            return step.seconds_left
        usual = self.estimates.get(name, self.ruled.get(name))
        left = None if usual is None else usual - (time.monotonic() - self.since[name])
        return left if left is not None and left > 0 else None  # it takes longer than the estimate

    def num_over(self) -> int:
        """Cells that have ended."""
        return sum(state in WORDS for state in self.states.values())

    def seconds_left(self) -> float | None:
        """Estimate from cells of the same kind, else from the cells of this run, else by the rule; None without any."""
        usual = mean(self.took.values()) if self.took else None
        left = 0.0
        for name, state in self.states.items():
            if state in WORDS:
                continue
            seconds = self.estimates.get(name, self.ruled.get(name) if usual is None else usual)
            if seconds is None:
                return None
            elapsed = time.monotonic() - self.since[name] if state == 'running' else 0.0
            left += max(seconds - elapsed, 0.0)
        return left / self.jobs

    def table(self) -> Group:
        """The current table: all running and failed cells, and as many others as fit; then the logs of what runs."""
        counts: dict[str, int] = {}
        for state in self.states.values():
            counts[state] = counts.get(state, 0) + 1
        left = self.seconds_left()
        said = [f'{self.num_over()}/{len(self.states)} cells'] + [f'{n} {state}' for state, n in counts.items()]
        said += [f'elapsed {clock(time.monotonic() - self.begun)}'] + ([f'left {clock(left)}'] if left else [])
        table = Table(box=None, pad_edge=False)
        table.add_column('cell', overflow='ellipsis', no_wrap=True)
        for head in ('state', 'step', 'elapsed', 'left', 'usual'):
            table.add_column(head, no_wrap=True)
        room = max(self.console.height - 4, 4)
        logs = list(self.logs.items())[: max(room // 3, 1)]
        names = self._shown(max(room - len(logs), 2))
        for name in names:
            table.add_row(name, *self._row(name))
        if len(names) < len(self.states):
            table.caption = f'and {len(self.states) - len(names)} more'
        lines = [Text(f'log: {log}', style='dim', no_wrap=True, overflow='ellipsis') for _, (log, _) in logs]
        title = Text(', '.join(said), style='italic', no_wrap=True, overflow='ellipsis')
        return Group(title, table, *lines)

    def _row(self, name: str) -> list[Text | str]:
        """State, step, elapsed, left and usual seconds of a cell."""
        state, elapsed, left = self.states[name], self.took.get(name), None
        usual = self.estimates.get(name, self.ruled.get(name))
        if state == 'running':
            elapsed, left = time.monotonic() - self.since[name], self.cell_left(name)
        times = ['' if seconds is None else clock(seconds) for seconds in (elapsed, left, usual)]
        note = f' ({self.notes[name]})' if state == 'elsewhere' and name in self.notes else ''
        step = str(self.steps[name]) if state == 'running' and name in self.steps else ''
        return [Text(state + note, style=STYLES.get(state, '')), step, *times]

    def _shown(self, room: int) -> list[str]:
        """Names in the order of the plan. If they do not all fit: first running, then failed, next, and done cells."""
        rank = {'running': 0, 'failed': 1, 'stopped': 1, 'changed': 1, 'blocked': 1, 'elsewhere': 2, 'to run': 3}
        chosen = sorted(self.states, key=lambda name: rank.get(self.states[name], 4))[:room]
        return [name for name in self.states if name in set(chosen)]

    def _line(self, text: str) -> None:
        if not self.console.is_terminal:
            print(text, file=self.console.file, flush=True)


def print_encoders(found: Plan) -> None:
    """Print what each row of the table will be: architecture, clips, and whether the weights are random."""
    cards = {item.resolved.encoder.name: item.resolved.encoder for item in found.listed() if item.resolved}
    for card in cards.values():
        print(f'encoder {card.sentence()}')


def print_plan(found: Plan, every_cell: bool) -> None:
    """Print the cells with their work, expected minutes and megabytes, and state; then the notes of the plan.

    Args:
        found: The plan. Done cells show what they took; the others what `Planned.seconds` estimates.
        every_cell: Print all; else only those that failed, were interrupted, run elsewhere, are blocked, or have a
            superseded record.
    """
    shown = [item for item in found.cells if every_cell or item.superseded or item.reached or item.state in NOTABLE]
    if shown:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style='')
        for head in ('id', 'cell', 'steps', 'clips', 'views', 'work', 'min', 'MB', 'state'):
            table.add_column(head, justify='left' if head in ('id', 'cell', 'state') else 'right', no_wrap=True)
        for item in shown:
            identity = item.resolved.id[:8] if item.resolved else '-'
            table.add_row(identity, item.name, *_work(item), Text(_state(item)))
        # As wide as its content, so that each cell stays on one line even if another program reads the output.
        console = Console(width=10_000, highlight=False, markup=False, color_system=None)
        for line in console.render_lines(table, pad=False):
            print(f'  {"".join(segment.text for segment in line).rstrip()}')
    for note in found.notes:
        print(f'note: {note}')


def _work(item: Planned) -> list[str]:
    """Steps of training, clips that pass the encoder, views of a test video, operations, minutes, megabytes."""
    work = item.work
    said = ['-'] * 4
    if work is not None:
        flops = '-' if work.flops is None else told_flops(work.flops)
        said = [str(work.steps), str(work.trained_clips + work.seen_clips), str(work.views), flops]
    minutes = '-' if item.seconds is None else told_minutes(item.seconds)
    megabytes = '-' if item.num_bytes is None else f'{item.num_bytes / 1e6:.1f}'
    return [*said, minutes, megabytes]


def _state(item: Planned) -> str:
    said = item.state
    if item.state == 'failed' and item.failure is not None:
        times = '' if item.failure.attempts == 1 else f' {item.failure.attempts} times'
        said = f'failed{times}: {item.failure.reason} (log: {item.failure.log}; --retry-failed runs it again)'
    elif item.state == 'elsewhere':
        said = f'running elsewhere: {item.claim}'
    elif item.state == 'missing':
        said = 'cannot run, see below'
    elif item.state == 'blocked':
        failed = item.blocker()
        said = f'blocked: it needs {failed.name}, which failed' if failed else 'blocked'
    elif item.state == 'to run' and (open_needs := [needed.name for needed in item.needs if not needed.done]):
        said = f'to run after {", ".join(open_needs)}'
    if item.state == 'to run' and item.reached is not None:
        said += f' ({item.reached})'
    if not item.listed:
        others = f' and {len(item.needed_by) - 1} more' if len(item.needed_by) > 1 else ''
        said += f' (not in the suite, needed by {item.needed_by[0]}{others})'
    if item.superseded:
        said += f' (its record differs in: {item.superseded}; it will be moved to superseded/)'
    return said


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as H:MM:SS."""
    return f'{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}'
