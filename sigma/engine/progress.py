"""A progress bar with the time left on a terminal; a line every few seconds elsewhere."""

import sys
import time

from mmengine.dist import master_only
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sigma.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows steps done, time left, loss, and clips per second.

    Args:
        title: What is being trained; default: the folder of the run.
        seconds_between_lines: Seconds from line to line, if standard error is not a terminal.
    """

    priority = 'VERY_LOW'

    def __init__(self, title: str | None = None, seconds_between_lines: float = 15.0) -> None:
        self.title, self.seconds_between_lines = title, seconds_between_lines
        self.bar: Progress | None = None

    @master_only
    def before_train(self, runner) -> None:
        """Open the bar at the step where training starts or resumes."""
        self.title = self.title or runner.work_dir.rstrip('/').rsplit('/', 1)[-1]
        self.started, self.first, self.last_line = time.time(), runner.iter, 0.0
        if runner.iter >= runner.max_iters:
            print(
                f'{self.title}: already complete, epoch {runner.epoch} of {runner.max_epochs} (step {runner.iter}); '
                'nothing was trained.',
                file=sys.stderr,
            )
            return
        if sys.stderr.isatty():
            self.bar = Progress(
                TextColumn('{task.description}'),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn('left'),
                TimeRemainingColumn(),
                TextColumn('{task.fields[status]}'),
                console=Console(stderr=True),
            )
            self.task = self.bar.add_task(self.title, total=runner.max_iters, completed=runner.iter, status='')
            self.bar.start()

    @master_only
    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Update the bar, or print a line if it is time."""
        done = runner.iter + 1
        scalars = runner.message_hub.log_scalars  # from the last line of the log, so nothing waits for the device
        known = 'train/loss' in scalars
        status = f'loss {scalars["train/loss"].current():.4f}' if known else 'no loss logged yet'
        if 'train/clips_per_second' in scalars:
            status += f', {scalars["train/clips_per_second"].mean(20):.0f} clips/s'
        if self.bar is not None:
            self.bar.update(self.task, completed=done, status=status)
            return
        now = time.time()
        if now - self.last_line >= self.seconds_between_lines or done == runner.max_iters:
            self.last_line = now
            left = (now - self.started) / (done - self.first) * (runner.max_iters - done)
            print(
                f'{self.title}: step {done}/{runner.max_iters}, {left:.0f} s left, {status}',
                file=sys.stderr,
                flush=True,
            )

    @master_only
    def after_train(self, runner) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.stop()
