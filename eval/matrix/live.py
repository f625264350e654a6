"""What the user sees: the plan, and while it runs a live table on a terminal, or else one line per finished cell."""

import time
from statistics import mean

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from eval.cells.claims import Claim
from eval.matrix.executors.job import Finished, Job
from eval.matrix.executors.schedule import Watcher
from eval.matrix.plan import Plan, Planned

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
NOTABLE = ('elsewhere', 'failed', 'blocked')  # states that are printed before a run


class Progress(Watcher):
    """Cells with their state, elapsed time and time left.

    Args:
        found: The plan.
        jobs: Cells that run in parallel.
        console: Where to print; stderr by default.
    """

    def __init__(self, found: Plan, jobs: int, console: Console | None = None) -> None:
        self.console, self.jobs = console or Console(stderr=True), jobs
        self.states = {item.name: item.state for item in found.cells}
        self.estimates = {item.name: item.seconds for item in found.cells if item.seconds is not None}
        self.begun = time.monotonic()
        self.since: dict[str, float] = {}
        self.took: dict[str, float] = {}
        self.notes: dict[str, str] = {}
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

    def waits(self, job: Job, claim: Claim) -> None:
        if self.notes.get(job.name) != str(claim):
            self.states[job.name], self.notes[job.name] = 'elsewhere', str(claim)
            self._line(f'{job.name}: run by {claim}; waiting for its record')

    def ended(self, finished: Finished) -> None:
        name = finished.job.name
        self.states[name] = finished.state
        how = 'by another matrix'
        if finished.state == 'blocked':
            how = finished.reason
        elif finished.seconds is not None:
            self.took[name] = finished.seconds
            how = f'{finished.seconds:.0f} s'
        self._line(f'[{self.num_over()}/{len(self.states)}] {name}: {WORDS[finished.state]}, {how}')

    def num_over(self) -> int:
        """Cells that have ended."""
        return sum(state in WORDS for state in self.states.values())

    def seconds_left(self) -> float | None:
        """Estimate from cells of the same kind, or else from all cells of this run; None before any has ended."""
        usual = mean(self.took.values()) if self.took else None
        left = 0.0
        for name, state in self.states.items():
            if state in WORDS:
                continue
            seconds = self.estimates.get(name, usual)
            if seconds is None:
                return None
            elapsed = time.monotonic() - self.since[name] if state == 'running' else 0.0
            left += max(seconds - elapsed, 0.0)
        return left / self.jobs

    def table(self) -> Table:
        """The current table: all running and failed cells, and as many others as fit."""
        counts: dict[str, int] = {}
        for state in self.states.values():
            counts[state] = counts.get(state, 0) + 1
        left = self.seconds_left()
        said = [f'{self.num_over()}/{len(self.states)} cells'] + [f'{n} {state}' for state, n in counts.items()]
        said += [f'elapsed {clock(time.monotonic() - self.begun)}', f'left {"?" if left is None else clock(left)}']
        table = Table(title=', '.join(said), title_justify='left', box=None, pad_edge=False)
        table.add_column('cell', overflow='ellipsis', no_wrap=True)
        for head in ('state', 'elapsed', 'usual'):
            table.add_column(head, no_wrap=True)
        names = self._shown(max(self.console.height - 4, 4))
        for name in names:
            state = self.states[name]
            elapsed = self.took.get(name)
            if state == 'running':
                elapsed = time.monotonic() - self.since[name]
            usual = self.estimates.get(name)
            times = ['' if seconds is None else clock(seconds) for seconds in (elapsed, usual)]
            note = f' ({self.notes[name]})' if state == 'elsewhere' and name in self.notes else ''
            table.add_row(name, Text(state + note, style=STYLES.get(state, '')), *times)
        if len(names) < len(self.states):
            table.caption = f'and {len(self.states) - len(names)} more'
        return table

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
    """Print the cells with their state and expected minutes and megabytes.

    Args:
        found: The plan. Done cells show what they took; the others show the mean of their kind in this work directory.
        every_cell: Print all; else only those that failed, run elsewhere, are blocked, or have a superseded record.
    """
    shown = [item for item in found.cells if every_cell or item.superseded or item.state in NOTABLE]
    if not shown:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style='')
    for head in ('id', 'cell', 'min', 'MB', 'state'):
        table.add_column(head, justify='right' if head in ('min', 'MB') else 'left', no_wrap=True)
    for item in shown:
        minutes = '?' if item.seconds is None else f'{item.seconds / 60:.1f}'
        megabytes = '?' if item.num_bytes is None else f'{item.num_bytes / 1e6:.1f}'
        identity = item.resolved.id[:8] if item.resolved else '?'
        table.add_row(identity, item.name, minutes, megabytes, Text(_state(item)))
    # As wide as its content, so that each cell stays on one line even if another program reads the output.
    console = Console(width=10_000, highlight=False, markup=False, color_system=None)
    for line in console.render_lines(table, pad=False):
        print(f'  {"".join(segment.text for segment in line).rstrip()}')


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
    if not item.listed:
        others = f' and {len(item.needed_by) - 1} more' if len(item.needed_by) > 1 else ''
        said += f' (not in the suite, needed by {item.needed_by[0]}{others})'
    if item.superseded:
        said += f' (its record differs in: {item.superseded}; it will be moved to superseded/)'
    return said


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as H:MM:SS."""
    return f'{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}'
